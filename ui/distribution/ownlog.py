"""A visitor's own log on the Distribution page: brought, read as it is said, and shown as read."""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import available_timezones

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import streamlit as st

from hitcore.catalogue.songs import Catalogue
from hitcore.errors import HitcoreError
from hitcore.plays.hitscores import hit_scores, read_log
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import ANYTHING, texts
from hitcore.plays.parsing.playlog import PlayLog, Scratch
from hitcore.plays.readers import FORMATS, ReadLimits, tabular
from ui.distribution.studies import Study
from ui.frame import page

KEEP_S = 6 * 3600
FIELDS = ("song_id", "date", "plays", "listened_at", "title", "artist_ids", "release_date")
"""What a visitor may say the column of."""


@dataclass(frozen=True)
class HowToRead:
    """What a visitor says about a log."""

    format: str | None = None
    columns: tuple[tuple[str, str | int], ...] = ()
    skip_bad_rows: bool = False
    keep_duplicates: bool | None = None
    decimal: str | None = None


def own_study() -> Study | None:
    """Ask for a log, show how it was understood, and give it back when it can be scored."""
    left, right = st.columns(2)
    logs = left.file_uploader(
        "Play log: one file, or several of one format",
        accept_multiple_files=True,
        key="log",
        help="Daily counts or single plays as CSV or Parquet; what Spotify, Apple Music, YouTube "
        "Music, Deezer, ListenBrainz and Last.fm's exporters give out, as it comes; charts. "
        "Compressed files and archives are fine.",
    )
    table = right.file_uploader(
        "Table of songs, with release dates (where the log has none)", key="songs"
    )
    with st.expander("How to read it", icon=":material/table:"):
        how, zone = _how_to_read()
    if not logs:
        page.empty_state(
            "Bring a play log to see how unequal its plays are. It is read on this server, is "
            "never shown to others and is deleted after a few hours.",
            icon=":material/upload_file:",
        )
        return None
    study = _read(
        tuple((file.name, file.getvalue()) for file in logs),
        None if table is None else (table.name, table.getvalue()),
        how,
    )
    study = by_the_clock_of(study, zone)
    _preview(study)
    return study


def by_the_clock_of(study: Study, zone: str | None) -> Study:
    """The study with its days cut in a time zone; None for the log's own, else UTC."""
    if study.log is None or study.log.kind != "events":
        return study
    chosen = zone or study.log.time_zone or "UTC"
    name = study.name if chosen == "UTC" else f"{study.name} · days of {chosen}"
    return replace(study, key=f"{study.key} {chosen}", name=name, time_zone=chosen)


def _how_to_read() -> tuple[HowToRead, str | None]:
    """What the visitor says about the log, and the service's time zone."""
    left, right = st.columns(2)
    form = left.selectbox("Format", (None, *FORMATS), format_func=lambda f: f or "find out")
    zone = right.selectbox(
        "Time zone of the service, for logs of single plays",
        (None, *sorted(available_timezones())),
        format_func=lambda z: z or "the log's own, else UTC",
        key="zone",
        help="The day on which a song was played, and so its 60th day, is that of the service: "
        "a play at 07:00 in Taipei falls on the day before in UTC.",
    )
    again = left.selectbox(
        "Events of the same listener, song and time",
        (None, False, True),
        format_func={
            None: "are one, where listeners are known",
            False: "are one",
            True: "all count",
        }.get,
        key="duplicates",
    )
    decimal = right.selectbox(
        "Before decimals of counts stands",
        (None, ".", ","),
        format_func={None: "what the column shows", ".": "a point", ",": "a comma"}.get,
        key="decimal",
    )
    skip = st.toggle("Leave out rows that cannot be right, and count them")
    return HowToRead(form, _chosen_columns(), skip, again, decimal), zone


def _chosen_columns() -> tuple[tuple[str, str | int], ...]:
    """Columns named by the visitor, for a table whose own names say too little.

    All of them as numbers, from 0, for a table without a head.
    """
    st.caption(
        "Column names, where they are not found (tables only); numbers from 0 for a table without "
        "a line of names:"
    )
    boxes = st.columns(4)
    named = [
        (
            name,
            boxes[n % 4].text_input(name, placeholder=tabular.NAMES[name][0], key=f"column-{name}"),
        )
        for n, name in enumerate(FIELDS)
    ]
    given = [(name, column.strip()) for name, column in named if column.strip()]
    if all(column.isascii() and column.isdigit() for _, column in given):
        return tuple((name, int(column[:4])) for name, column in given)
    return tuple(given)


@st.cache_resource(max_entries=6, ttl=KEEP_S, show_spinner="Reading the log …")
def _read(
    logs: tuple[tuple[str, bytes], ...],
    table: tuple[str, bytes] | None,
    how: HowToRead,
) -> Study:
    scratch = Scratch(Path(tempfile.mkdtemp(prefix="hitcore-upload-")))
    stored = [_store(scratch.folder, name, content) for name, content in logs]
    songs_file = None if table is None else _store(scratch.folder, *table)
    names = dict(zip([p.name for p in stored], [name for name, _ in logs], strict=True))
    if table is not None and songs_file is not None:
        names[songs_file.name] = table[0]
    mapping = dict(how.columns)
    try:
        log, songs = read_log(
            stored,
            songs_file,
            how.format,
            mapping=mapping or None,
            on_error="skip" if how.skip_bad_rows else "raise",
            keep_duplicates=how.keep_duplicates,
            decimal=how.decimal,
        )
        catalogue = _catalogue(log, songs)
    except HitcoreError as error:
        raise type(error)(with_names(str(error), names)) from error
    columns_taken = columns_of(stored[0], mapping) if log.report.format == "tabular" else None
    key = hashlib.sha256("".join([*map(str, stored), repr(how)]).encode())
    shown = logs[0][0] if len(logs) == 1 else f"{len(logs)} files"
    return Study(key.hexdigest(), f"your log: {shown}", log, catalogue, log, columns_taken, scratch)


def columns_of(path: Path, mapping: dict[str, str | int]) -> pd.DataFrame:
    """Which column of a table of plays is taken for what, and whether that was said or guessed."""
    if parquet.is_parquet(path):
        header = tuple(pq.read_schema(path).names)
    else:
        with closing(texts(path, ReadLimits(), ANYTHING)) as found:
            header = tabular.header_of(next(found), mapping).names
    taken = tabular.chosen(header, mapping, path.name)
    rows = [
        (name, column, "given" if name in mapping else "guessed") for name, column in taken.items()
    ]
    rows += [("not used", column, "") for column in header if column not in taken.values()]
    return pd.DataFrame(rows, columns=["taken for", "column", "how"])


def _store(folder: Path, name: str, content: bytes) -> Path:
    """Put an upload into a folder of the hash of its content.

    Of its name stay letters, digits, points, dashes and underscores: a chart says its day there,
    and Spotify what is a video.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-100:].lstrip(".") or "log"
    path = folder / hashlib.sha256(content).hexdigest()[:32] / plain
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def with_names(message: str, names: dict[str, str]) -> str:
    """A message about stored files in the names that their owner knows.

    Example:
        >>> with_names("ab12.csv, line 2: no", {"ab12.csv": "mine.csv"})
        'mine.csv, line 2: no'
    """
    for stored, name in names.items():
        message = re.sub(rf"(\S*/)?{re.escape(stored)}", lambda _, name=name: name, message)
    return message


def _catalogue(log: PlayLog, songs: pa.Table | None) -> Catalogue:
    """The songs of a log; one that names only ids gives songs without a release date."""
    if songs is None:
        cumulative = hit_scores(log, _ids_of(log), "cumulative")
        return Catalogue(cumulative[["song_id"]])
    catalogue = Catalogue(songs.to_pandas())
    table = catalogue.songs
    # Logs rarely name artists apart from their ids; shown and filtered by, the ids serve.
    names = table["artist"].where(table["artist"] != "", table["artist_ids"].map(", ".join))
    return Catalogue(table.assign(artist=names))


def _ids_of(log: PlayLog) -> pa.Table:
    ids = pc.unique(ds.dataset([str(p) for p in log.plays]).to_table(["song_id"])["song_id"])
    return pa.table({"song_id": ids, "release_date": pa.nulls(len(ids), pa.date32())})


def _preview(study: Study) -> None:
    """How the log was understood: what was read, left out, found odd; its first songs."""
    if study.log is None:
        return
    report = study.log.report
    problems = sum(report.dropped.values()) + sum(report.odd.values())
    word = "no problems" if not problems else f"{problems:,} rows or songs to know about"
    with st.expander(
        f"Read as {report.format}: {report.n_kept:,} rows, {word}",
        icon=":material/fact_check:",
        expanded=study.columns is not None,
    ):
        for line in report.lines():
            st.markdown(page.plain(line))
        st.caption("First rows of the log, and first songs, as they were understood")
        boxes = st.columns(2 if study.columns is None else [3, 3, 2])
        boxes[0].dataframe(_first_rows(study.log.plays), hide_index=True)
        boxes[1].dataframe(_first_songs(study.songs), hide_index=True)
        if study.columns is not None:
            boxes[2].dataframe(study.columns, hide_index=True)


def _first_rows(files: Sequence[Path]) -> pd.DataFrame:
    return ds.dataset([str(path) for path in files]).head(5).to_pandas()


def _first_songs(catalogue: Catalogue) -> pd.DataFrame:
    """The first songs with what is known of them."""
    table = catalogue.songs.drop(columns="hit_score").head(5)
    known = [
        name
        for name in table
        if table[name].map(lambda v: v not in ("", ()) and v is not pd.NaT).any()
    ]
    return table[known]

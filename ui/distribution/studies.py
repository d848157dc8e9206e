"""What the Distribution page studies: the plays of the demo catalogue or of a visitor's own log."""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import available_timezones

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import streamlit as st

from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, HitcoreError
from hitcore.plays.definitions import DEFAULT_DEFINITION
from hitcore.plays.hitscores import ScoreReport, daily_shares, hit_scores, read_log, score_report
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import ANYTHING, texts
from hitcore.plays.parsing.playlog import PlayLog, Scratch
from hitcore.plays.readers import FORMATS, ReadLimits, tabular
from ui.frame import loaders, page

KEEP_S = 6 * 3600
FIELDS = ("song_id", "date", "plays", "listened_at", "title", "artist_ids", "release_date")
"""What a visitor may say the column of."""


@dataclass(frozen=True)
class Study:
    """A log and its songs, ready to be scored under any definition."""

    key: str
    """Names the content, for caches."""
    name: str
    """As the strip shows it."""
    plays: PlayLog | tuple[Path, ...]
    songs: Catalogue
    log: PlayLog | None = None
    """The log as it was read, where a visitor brought it."""
    columns: pd.DataFrame | None = field(default=None, repr=False)
    """Which column of a table was taken for what."""
    scratch: Scratch | None = field(default=None, repr=False)
    """Keeps a visitor's files as long as the study lives."""
    time_zone: str = "UTC"
    """In which the days of single plays are cut."""


@st.cache_resource(show_spinner=False)
def demo_study() -> Study | None:
    """The demo catalogue with its daily plays; None where the app has none."""
    try:
        workspace = loaders.demo_workspace()
    except DataError:
        return None
    return study_of(workspace, "demo catalogue (synthetic songs)")


def study_of(workspace: Workspace, name: str) -> Study | None:
    """The songs of a workspace with its plays, or its daily shares; None where it has neither."""
    counts = workspace.path / "plays.parquet"
    files = [counts] if counts.exists() else sorted(workspace.daily_shares.glob("*.parquet"))
    if not files or not workspace.songs.exists():
        return None
    return Study(str(workspace.path), name, tuple(files), Catalogue.read(workspace.songs))


@st.cache_data(max_entries=64, show_spinner="Counting plays …")
def scored(_study: Study, key: str, definition: str) -> tuple[pd.DataFrame, ScoreReport]:
    """The songs with their hit score under a definition, and what is undefined or odd."""
    zone = _study.time_zone
    scores = hit_scores(_study.plays, _study.songs, definition, zone)
    report = score_report(_study.plays, _study.songs, definition, zone)
    return _study.songs.scored(scores).songs, report


@st.cache_data(max_entries=256, show_spinner=False)
def daily_curve(_study: Study, key: str, song_id: str) -> pd.DataFrame:
    """The daily share of a song on each of its days in the log, `date, share`."""
    return daily_shares(_study.plays, [song_id], _study.time_zone)[["date", "share"]]


# --- a visitor's log -----------------------------------------------------------------------------


def own_study() -> Study | None:
    """Ask for a log, show how it was understood, and give it back when it can be scored."""
    left, right = st.columns(2)
    logs = left.file_uploader(
        "Play log: one file, or several of one format",
        accept_multiple_files=True,
        key="log",
        help="Daily counts or single plays as CSV or Parquet; ListenBrainz, Last.fm and Spotify "
        "exports; charts. Compressed files are fine.",
    )
    table = right.file_uploader(
        "Table of songs, with release dates (where the log has none)", key="songs"
    )
    with st.expander("How to read it", icon=":material/table:"):
        form = st.selectbox("Format", (None, *FORMATS), format_func=lambda f: f or "find out")
        zone = st.selectbox(
            "Time zone of the service, for logs of single plays",
            (None, *sorted(available_timezones())),
            format_func=lambda z: z or "the log's own, else UTC",
            key="zone",
            help="The day on which a song was played, and so its 60th day, is that of the service: "
            "a play at 07:00 in Taipei falls on the day before in UTC.",
        )
        skip = st.toggle("Leave out rows that cannot be right, and count them")
        columns = _chosen_columns()
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
        form,
        columns,
        "skip" if skip else "raise",
    )
    study = by_the_clock_of(study, zone)
    _preview(study)
    return study


def by_the_clock_of(study: Study, zone: str | None) -> Study:
    """The study with its days cut in a time zone; None for the log's own, else UTC."""
    if study.log is None or study.log.kind != "events":
        return study
    chosen = zone or study.log.time_zone or "UTC"
    return replace(study, key=f"{study.key} {chosen}", time_zone=chosen)


def _chosen_columns() -> tuple[tuple[str, str], ...]:
    """Columns named by the visitor, for a table whose own names say too little."""
    st.caption("Column names, where they are not found (tables only):")
    boxes = st.columns(4)
    named = [
        (
            name,
            boxes[n % 4].text_input(name, placeholder=tabular.NAMES[name][0], key=f"column-{name}"),
        )
        for n, name in enumerate(FIELDS)
    ]
    return tuple((name, column.strip()) for name, column in named if column.strip())


@st.cache_resource(max_entries=6, ttl=KEEP_S, show_spinner="Reading the log …")
def _read(
    logs: tuple[tuple[str, bytes], ...],
    table: tuple[str, bytes] | None,
    form: str | None,
    columns: tuple[tuple[str, str], ...],
    on_error: str,
) -> Study:
    scratch = Scratch(Path(tempfile.mkdtemp(prefix="hitcore-upload-")))
    stored = [_store(scratch.folder, name, content) for name, content in logs]
    songs_file = None if table is None else _store(scratch.folder, *table)
    names = dict(zip([p.name for p in stored], [name for name, _ in logs], strict=True))
    if table is not None and songs_file is not None:
        names[songs_file.name] = table[0]
    try:
        log, songs = read_log(
            stored,
            songs_file,
            form,
            mapping=dict(columns) or None,
            on_error="skip" if on_error == "skip" else "raise",
        )
        catalogue = _catalogue(log, songs)
    except HitcoreError as error:
        raise type(error)(with_names(str(error), names)) from error
    columns_taken = columns_of(stored[0], dict(columns)) if log.report.format == "tabular" else None
    key = hashlib.sha256("".join([*names, form or "", repr(columns), on_error]).encode())
    shown = logs[0][0] if len(logs) == 1 else f"{len(logs)} files"
    return Study(key.hexdigest(), f"your log: {shown}", log, catalogue, log, columns_taken, scratch)


def columns_of(path: Path, mapping: dict[str, str]) -> pd.DataFrame:
    """Which column of a table of plays is taken for what, and whether that was said or guessed."""
    if parquet.is_parquet(path):
        header = tuple(pq.read_schema(path).names)
    else:
        with closing(texts(path, ReadLimits(), ANYTHING)) as found:
            header = tabular.header_of(next(found)).names
    taken = tabular.chosen(header, mapping, path.name)
    rows = [
        (name, column, "given" if name in mapping else "guessed") for name, column in taken.items()
    ]
    rows += [("not used", column, "") for column in header if column not in taken.values()]
    return pd.DataFrame(rows, columns=["taken for", "column", "how"])


def _store(folder: Path, name: str, content: bytes) -> Path:
    """Put an upload under the hash of its content; of its name only a plain suffix stays."""
    suffix = re.search(r"(\.[a-z0-9]{1,8}){0,2}$", name.lower())
    path = folder / (hashlib.sha256(content).hexdigest()[:32] + (suffix[0] if suffix else ""))
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
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

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
    import pyarrow.dataset as ds

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


def default_definition(study: Study) -> str:
    """`day:60`, unless the log or its songs cannot serve it."""
    has_dates = study.log is None or study.log.kind != "totals"
    has_releases = study.songs.songs["release_date"].notna().any()
    return DEFAULT_DEFINITION if has_dates and has_releases else "cumulative"

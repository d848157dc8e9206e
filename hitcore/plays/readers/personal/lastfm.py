"""Last.fm scrobbles: what exporters write, and the 1K-users data set (TSV).

Last.fm itself exports nothing, so files come from several tools:
    `uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid`, newest first;
    without a head, `artist,album,track,14 Nov 2023 22:13` (lastfm-to-csv), with a head as well;
    without a head and with tabs, time, track, artist, album and three ids (lastexport);
    with tabs, `ISO time`, `unixtime`, `track name`, `track mbid`, `artist name`, … (lastscrape);
    without a head, `2021-04-01,10:42:53,artist,track` (lastfm-backup-cli);
    1K users: without a head and with tabs, user, ISO time, artist id, artist, track id, track.
A row without a time is the song that was playing at the moment of export. Quotes are plain
characters where cells are told apart by tabs. Times are UTC. Most rows have no track id; such a
song is its lower-cased artist and title.

References:
    O. Celma: "Music Recommendation and Discovery in the Long Tail", 2010 (the 1K data set).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text
from hitcore.plays.parsing.cells import Cell, Id, Instant, or_null, shown, trimmed
from hitcore.plays.parsing.delimited import (
    DELIMITED,
    Header,
    best_delimiter,
    delimited,
    rows_of,
    split_line,
)
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import (
    EARLIEST_SCROBBLE,
    Batch,
    Converter,
    Reading,
    Rows,
    identified,
)

_NAMED = r"[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4},? [0-9]{2}:[0-9]{2}"
_SECONDS = r"[0-9]{9,10}"
_DAY, _CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
_LOOKED_AT = 20


@dataclass(frozen=True)
class Layout:
    """What the cells of a file without a head are."""

    names: tuple[str, ...]
    """Of the columns, in order."""
    delimiter: str
    column: int
    """The cell by which the layout is known."""
    pattern: str
    """What that cell looks like."""

    def fits(self, lines: Sequence[bytes]) -> bool:
        """Whether lines are of this layout: all of its width, one at least with a time."""
        quoted = self.delimiter != "\t"
        rows = [split_line(line, self.delimiter, quoted) for line in lines if line.strip()]
        timed = [row for row in rows if len(row) == len(self.names)]
        times = [row[self.column].strip() for row in timed]
        return (
            bool(rows)
            and len(timed) == len(rows)
            and any(re.fullmatch(self.pattern, time) for time in times)
            and all(not time or re.fullmatch(self.pattern, time) for time in times)
        )


_USERS = Layout(
    ("user_id", "listened_at", "artist_mbid", "artist", "track_mbid", "track"),
    *("\t", 1, _DAY + "T[0-9:]+Z"),
)
_LAYOUTS = (
    _USERS,
    Layout(("artist", "album", "track", "listened_at"), ",", 3, _NAMED),
    Layout(
        ("listened_at", "track", "artist", "album", "track_mbid", "artist_mbid", "album_mbid"),
        *("\t", 0, _SECONDS),
    ),
    Layout(("day", "clock", "artist", "track"), ",", 1, _CLOCK),
)
_HEADS: tuple[Mapping[str, str], ...] = (
    {
        "listened_at": "uts",
        "artist": "artist",
        "artist_mbid": "artist_mbid",
        "track": "track",
        "track_mbid": "track_mbid",
    },
    {
        "listened_at": "unixtime",
        "artist": "artist name",
        "artist_mbid": "artist mbid",
        "track": "track name",
        "track_mbid": "track mbid",
    },
    {"listened_at": "date", "artist": "artist", "album": "album", "track": "track"},
)
_NEEDED = ("listened_at", "artist", "track")


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The scrobbles, in batches."""
    for path in paths:
        for text, header in delimited(path, reading, _header):
            columns = _columns(header, text.name)
            cells: dict[str, Cell] = {"song_id": Id(), "listened_at": Instant(first=0)}
            if "user_id" in columns:
                cells["user_id"] = Id()
            converter = Converter(reading, "events", cells, earliest=EARLIEST_SCROBBLE)
            for rows in rows_of(text, header, columns, reading):
                rows = _timed(rows)
                playing = np.asarray(
                    pc.equal(trimmed(rows.columns["listened_at"]), "").to_numpy(
                        zero_copy_only=False
                    )
                )
                reading.drop("playing at the moment of export (no time)", playing)
                yield converter.batch(_identified(rows, reading), ~playing)


def is_scrobbles(head: bytes) -> bool:
    """Whether a file begins like one of an exporter, or the 1K users."""
    return _head_of(first_lines(head)[0]) is not None or _layout(head) is not None


def _layout(head: bytes) -> Layout | None:
    whole = head.split(b"\n")[:-1] if len(head) > 1 and b"\n" in head else [head]
    lines = [line.rstrip(b"\r") for line in whole[:_LOOKED_AT]]
    return next((layout for layout in _LAYOUTS if layout.fits(lines)), None)


def _head_of(line: bytes) -> tuple[Header, Mapping[str, str]] | None:
    """The head of a file that has one, and its columns by what they are."""
    delimiter = best_delimiter(line)
    names = tuple(cell.strip().lower() for cell in split_line(line, delimiter))
    for known in _HEADS:
        needed = {known[key] for key in _NEEDED}
        if needed <= set(names) and not {"plays", "playcount", "streams"} & set(names):
            return Header(names, delimiter, quoted=delimiter != "\t"), known
    return None


def _header(text: Text) -> Header:
    layout = _layout(text.peek())
    if layout is not None:
        return Header(layout.names, layout.delimiter, 0, quoted=layout.delimiter != "\t")
    line = text.line()
    found = _head_of(line)
    if found is None:
        raise DataError(
            f"{text.name}, line 1: {shown(line.decode(errors='replace'))} is of no known exporter; "
            "say what its columns are, as in --column 0=artist --column 1=track --column "
            "2=listened_at"
        )
    return found[0]


def _columns(header: Header, name: str) -> dict[str, str]:
    if header.n_lines == 0:
        return {column: column for column in header.names}
    known = next(known for known in _HEADS if {known[key] for key in _NEEDED} <= set(header.names))
    return {key: column for key, column in known.items() if column in header.names}


def _timed(rows: Rows) -> Rows:
    """The rows with their time in one column."""
    if "day" not in rows.columns:
        return rows
    day, clock = trimmed(rows.columns["day"]), trimmed(rows.columns["clock"])
    moment = pc.utf8_trim_whitespace(pc.binary_join_element_wise(day, clock, " "))
    return rows.holding({**rows.columns, "listened_at": moment})


def _identified(rows: Rows, reading: Reading) -> Rows:
    given = rows.columns
    none = pa.nulls(len(rows), pa.string())
    artist_id = or_null(given.get("artist_mbid", none))
    columns: dict[str, pa.Array] = {
        "song_id": identified(
            reading, given.get("track_mbid", none), given["artist"], given["track"]
        ),
        "listened_at": given["listened_at"],
        "title": given["track"],
        "artist_ids": pc.coalesce(artist_id, or_null(given["artist"])),
    }
    if "user_id" in given:
        columns["user_id"] = given["user_id"]
    return rows.holding(columns)


READER = Reader(
    "lastfm",
    batches,
    DELIMITED,
    is_scrobbles,
    source="files of the usual exporters, and the read-me of the 1K-users data set",
    as_of="2026",
    one_listener=True,
)

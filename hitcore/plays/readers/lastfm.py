"""Last.fm: the CSV of the usual exporter, and the "1K users" TSV.

Exporter: `uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid`, newest first; a row
without `uts` is the song that was playing at the moment of export. 1K users: no header, and six
tab-separated cells: user, ISO time, artist id, artist, track id, track; quotes are plain
characters there. Most rows have no track id; such a song is its lower-cased artist and title.

References:
    O. Celma: "Music Recommendation and Discovery in the Long Tail", 2010 (the 1K data set).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.plays.parsing.archives import Text
from hitcore.plays.parsing.cells import Cell, Id, Instant, or_null, trimmed
from hitcore.plays.parsing.delimited import Header, delimited, rows_of, split_line
from hitcore.plays.parsing.reading import (
    EARLIEST_SCROBBLE,
    Batch,
    Converter,
    Reading,
    Rows,
    identified,
)

_EXPORTER = {
    "listened_at": "uts",
    "artist": "artist",
    "artist_mbid": "artist_mbid",
    "track": "track",
    "track_mbid": "track_mbid",
}
_USERS = ("user_id", "listened_at", "artist_mbid", "artist", "track_mbid", "track")
_USERS_LINE = re.compile(rb"user_[0-9]+\t[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z\t")


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The scrobbles, in batches."""
    for path in paths:
        for text, header in delimited(path, reading, _header):
            columns = {name: name for name in _USERS} if header.n_lines == 0 else _EXPORTER
            cells: dict[str, Cell] = {"song_id": Id(), "listened_at": Instant()}
            if "user_id" in columns:
                cells["user_id"] = Id()
            converter = Converter(reading, "events", cells, earliest=EARLIEST_SCROBBLE)
            for rows in rows_of(text, header, columns, reading):
                timed = np.asarray(
                    pc.not_equal(trimmed(rows.columns["listened_at"]), "").to_numpy(
                        zero_copy_only=False
                    )
                )
                reading.drop("playing at the moment of export (no time)", ~timed)
                yield converter.batch(_identified(rows, reading), timed)


def is_exporter(line: bytes) -> bool:
    """Whether this is the first line of an exporter's CSV."""
    return {"uts", "artist", "track"} <= set(split_line(line))


def is_users(line: bytes) -> bool:
    """Whether this is a line of the 1K TSV."""
    return _USERS_LINE.match(line) is not None


def _header(text: Text) -> Header:
    if is_users(text.peek()):
        return Header(_USERS, "\t", n_lines=0, quoted=False)
    return Header(split_line(text.line()))


def _identified(rows: Rows, reading: Reading) -> Rows:
    given = rows.columns
    columns: dict[str, pa.Array] = {
        "song_id": identified(reading, given["track_mbid"], given["artist"], given["track"]),
        "listened_at": given["listened_at"],
        "title": given["track"],
        "artist_ids": pc.coalesce(or_null(given["artist_mbid"]), or_null(given["artist"])),
    }
    if "user_id" in given:
        columns["user_id"] = given["user_id"]
    return Rows(rows.file, columns, rows.first, rows.place)

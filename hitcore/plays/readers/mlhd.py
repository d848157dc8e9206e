"""MLHD and MLHD+: the Music Listening Histories Dataset, a file for each listener.

A line is seconds since 1970, artist ids, a release id and a recording id of MusicBrainz, between
tabs; the file's name is the listener (`<uuid>.txt.zst`, `.gz`, `.bz2`, `.xz`), and thousands of
them come in a tar archive. Scrobbles of no known recording are left out and counted: nothing else
names their song.

References:
    G. Vigliensoni, I. Fujinaga: "The Music Listening Histories Dataset", ISMIR 2017.
    MusicBrainz Wiki, MLHD+.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.plays.parsing.archives import Text, Wanted, base_name
from hitcore.plays.parsing.cells import Cell, Id, Instant, trimmed
from hitcore.plays.parsing.delimited import Header, delimited, rows_of
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import (
    ARTIST_SEPARATOR,
    EARLIEST_SCROBBLE,
    Batch,
    Converter,
    Reading,
    Rows,
)

HISTORIES = Wanted(re.compile(r".+\.(txt|tsv)", re.IGNORECASE), "<uuid>.txt")
_NAMES = ("listened_at", "artist_ids", "release", "song_id")
_ID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_LINE = re.compile(rb"[0-9]{9,10}\t[0-9a-f, -]*\t(?:%b)?\t(?:%b)?" % (_ID, _ID))


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The scrobbles, in batches."""
    for path in paths:
        for text, header in delimited(path, reading, _header, HISTORIES):
            listener = base_name(text.name.rsplit(":", 1)[-1]).split(".")[0]
            cells: dict[str, Cell] = {
                "song_id": Id(),
                "user_id": Id(),
                "listened_at": Instant(first=0),
            }
            converter = Converter(reading, "events", cells, earliest=EARLIEST_SCROBBLE)
            for rows in rows_of(text, header, {name: name for name in _NAMES}, reading):
                known = np.asarray(
                    pc.not_equal(trimmed(rows.columns["song_id"]), "").to_numpy(
                        zero_copy_only=False
                    )
                )
                reading.drop("no recording is known", ~known)
                yield converter.batch(_told(rows, listener), known)


def is_history(head: bytes) -> bool:
    """Whether a file begins like a listener's history."""
    return _LINE.fullmatch(first_lines(head)[0]) is not None


def _header(text: Text) -> Header:
    return Header(_NAMES, "\t", n_lines=0, quoted=False)


def _told(rows: Rows, listener: str) -> Rows:
    artists = pc.replace_substring_regex(
        trimmed(rows.columns["artist_ids"]), r"\s*,\s*", ARTIST_SEPARATOR
    )
    return rows.holding(
        {
            "song_id": rows.columns["song_id"],
            "user_id": pa.array([listener] * len(rows), pa.string()),
            "listened_at": rows.columns["listened_at"],
            "artist_ids": artists,
        }
    )


READER = Reader(
    "mlhd",
    batches,
    HISTORIES,
    is_history,
    source="the pages of the data set and of MLHD+ at MusicBrainz",
    as_of="2023",
)

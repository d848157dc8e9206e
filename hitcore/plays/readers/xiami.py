"""Xiami's daily counts (Alibaba Music, 2015): one file with plays and songs.

One row per song and day with activity; dates are YYYYMMDD. `publish_time` is the song's release,
`gender` is the artist's, `language` and `gender` are codes whose meaning was not published.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hitcore.plays.parsing.archives import Text
from hitcore.plays.parsing.cells import Day, Id
from hitcore.plays.parsing.counts import Count
from hitcore.plays.parsing.delimited import DELIMITED, Header, delimited, rows_of, split_line
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import Batch, Converter, Reading

COLUMNS = {
    "song_id": "song_id",
    "date": "date",
    "plays": "plays",
    "artist_ids": "artist_id",
    "release_date": "publish_time",
    "language": "language",
    "gender": "gender",
    "initial_plays": "song_init_plays",
}


def is_xiami(head: bytes) -> bool:
    """Whether a file begins like the log."""
    names = set(split_line(first_lines(head)[0]))
    return {"song_id", "publish_time", "song_init_plays"} <= names


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The rows of the log, in batches."""
    converter = Converter(reading, "daily", {"song_id": Id(), "date": Day(), "plays": Count()})
    for path in paths:
        for text, header in delimited(path, reading, _header):
            for rows in rows_of(text, header, COLUMNS, reading):
                yield converter.batch(rows)


def _header(text: Text) -> Header:
    return Header(split_line(text.line()))


READER = Reader(
    "xiami",
    batches,
    DELIMITED,
    is_xiami,
    source="the file itself, of a competition of 2016",
    as_of="2016",
)

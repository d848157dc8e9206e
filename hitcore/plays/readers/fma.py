"""Free Music Archive metadata (`tracks.csv`): songs, artists, dates, and listens as totals.

The table has three lines of head: the group of each column, its name, and the name of the index.
`track.listens` counts plays since the upload, so only the hit score `cumulative` can be had of it.
The release date is the album's, else unknown; `date_created` is the day of the upload, from which
plays count. Draw long tails from the whole file: its smaller subsets are cut by popularity.

References:
    M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson: "FMA: A Dataset for Music Analysis",
    ISMIR 2017.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hitcore.errors import DataError, ParameterError
from hitcore.plays.parsing.archives import Text, Wanted, texts
from hitcore.plays.parsing.cells import Id
from hitcore.plays.parsing.counts import Count
from hitcore.plays.parsing.delimited import Header, rows_of, split_line
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import Batch, Converter, Reading

_FILES = Wanted(re.compile(r"tracks\.csv", re.IGNORECASE), "tracks.csv")
_COLUMNS = {
    "song_id": "track_id",
    "plays": "track.listens",
    "title": "track.title",
    "artist_ids": "artist.id",
    "release_date": "album.date_released",
    "date_created": "track.date_created",
    "genre": "track.genre_top",
    "language": "track.language_code",
    "subset": "set.subset",
}


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The tracks, in batches."""
    for path in paths:
        for text in texts(path, reading.limits, _FILES, reading.progress):
            reading.begin(text.name)
            header = _header(text)
            converter = Converter(reading, "totals", {"song_id": Id(), "plays": Count()})
            for rows in rows_of(text, header, _COLUMNS, reading):
                yield converter.batch(rows)
    reading.note("Listens are totals since the upload: only the hit score 'cumulative' is defined.")


def is_tracks(head: bytes) -> bool:
    """Whether a file begins like the table."""
    first, second = first_lines(head)
    return {"album", "artist", "set", "track"} <= set(split_line(first)) and "listens" in set(
        split_line(second)
    )


def audio_path(folder: str | os.PathLike[str], song_id: str | int) -> Path:
    """Where the audio of a track lies below the folder of an unpacked FMA audio archive.

    Raises:
        ParameterError: The id is not a whole number from 0 to 999999.

    Example:
        >>> audio_path("fma_full", 2).as_posix()
        'fma_full/000/000002.mp3'
    """
    text = str(song_id)
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ParameterError(f"track id {text[:40]!r}; ids are whole numbers from 0 to 999999")
    name = f"{int(text):06d}"
    return Path(folder) / name[:3] / f"{name}.mp3"


def _header(text: Text) -> Header:
    groups, names = split_line(text.line()), split_line(text.line())
    index = split_line(text.line())
    if len(groups) != len(names) or not index or index[0] != "track_id":
        raise DataError(
            f"{text.name}, line 3: tracks.csv begins with two lines of column names and a line "
            "that begins with track_id"
        )
    joined = [f"{group}.{name}" for group, name in zip(groups, names, strict=True)]
    return Header(("track_id", *joined[1:]), n_lines=3)


READER = Reader(
    "fma",
    batches,
    _FILES,
    is_tracks,
    source="the data set's repository, fma_metadata",
    as_of="2017",
)

"""LFM-1b and LFM-2b: listening events of Last.fm users, as tables of numbers.

LFM-1b (`LFM-1b_LEs.txt`): without a head and with tabs, user, artist, album, track and seconds
since 1970. LFM-2b (`listening-events.tsv`): `user_id`, `track_id`, `album_id`, `timestamp`, the
last as `2013-01-05 12:34:56` in UTC. Both usually packed (`.gz`, `.bz2`). Names of tracks
and artists stand in other tables; songs are their numbers here.

References:
    M. Schedl: "The LFM-1b Dataset for Music Retrieval and Recommendation", ICMR 2016.
    M. Schedl et al.: "LFM-2b: A Dataset of Enriched Music Listening Events", CHIIR 2022.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text, Wanted
from hitcore.plays.parsing.cells import Cell, Id, Instant
from hitcore.plays.parsing.delimited import Header, delimited, rows_of, split_line
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import EARLIEST_SCROBBLE, Batch, Converter, Reading

EVENTS = Wanted(
    re.compile(r"(LFM-1b_LEs.*|listening[-_]events.*)\.(txt|tsv)", re.IGNORECASE),
    "LFM-1b_LEs.txt or listening-events.tsv",
)
_FIRST = ("user_id", "artist_id", "album_id", "track_id", "timestamp")
_LINE = re.compile(rb"[0-9]+\t[0-9]+\t[0-9]+\t[0-9]+\t[0-9]{9,10}")


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The events, in batches."""
    columns = {"song_id": "track_id", "user_id": "user_id", "listened_at": "timestamp"}
    for path in paths:
        for text, header in delimited(path, reading, _header, EVENTS):
            cells: dict[str, Cell] = {
                "song_id": Id(),
                "user_id": Id(),
                "listened_at": Instant(first=0),
            }
            converter = Converter(reading, "events", cells, earliest=EARLIEST_SCROBBLE)
            artists = {"artist_ids": "artist_id"} if "artist_id" in header.names else {}
            for rows in rows_of(text, header, columns | artists, reading):
                yield converter.batch(rows)


def is_events(head: bytes) -> bool:
    """Whether a file begins like the events of either data set."""
    line = first_lines(head)[0]
    names = set(split_line(line, "\t", quoted=False))
    return (
        _LINE.fullmatch(line) is not None
        or {
            "user_id",
            "track_id",
            "album_id",
            "timestamp",
        }
        <= names
    )


def _header(text: Text) -> Header:
    if _LINE.fullmatch(first_lines(text.peek())[0]):
        return Header(_FIRST, "\t", n_lines=0, quoted=False)
    names = split_line(text.line(), "\t", quoted=False)
    if not {"user_id", "track_id", "timestamp"} <= set(names):
        raise DataError(
            f"{text.name}, line 1: no listening events of LFM-1b (five numbers) or LFM-2b "
            "(user_id, track_id, album_id, timestamp)"
        )
    return Header(names, "\t", quoted=False)


READER = Reader(
    "lfm",
    batches,
    EVENTS,
    is_events,
    source="the papers of the two data sets, and programs that read them",
    as_of="2022",
)

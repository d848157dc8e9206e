"""Spotify's short streaming history: `StreamingHistory_music_0.json` of the account data.

Each file is a JSON array of `{"endTime": "2022-12-05 16:52", "artistName": …, "trackName": …,
"msPlayed": …}`: a year at most, times of the end in UTC and to the minute, no ids. Songs are told
apart by artist and title, so two recordings of one title are one song. The extended history has
more; where both lie side by side, that one is read. Old files hold podcasts among the songs, with
the show as the artist, and cannot tell them apart; newer ones keep them in a file of their own.

References:
    Spotify: "Understanding my data", streaming history of the account data.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitcore.plays.parsing.archives import Wanted, texts
from hitcore.plays.parsing.cells import Id, Instant
from hitcore.plays.parsing.jsonlists import rows_of
from hitcore.plays.parsing.reader import Reader
from hitcore.plays.parsing.reading import Batch, Converter, Reading, Rows, identified
from hitcore.plays.readers.personal.spotify_history import counted_plays

SHORT = Wanted(
    re.compile(r"StreamingHistory(_music_?)?[0-9]*\.json", re.IGNORECASE),
    "StreamingHistory_music_0.json",
)
_FIELDS = ("endTime", "artistName", "trackName", "msPlayed")


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The plays of songs, in batches."""
    for path in paths:
        for text in texts(path, reading.limits, SHORT, reading.progress):
            reading.begin(text.name)
            converter = Converter(
                reading, "events", {"song_id": Id(), "listened_at": Instant(first=0)}
            )
            ended = Instant()

            def cells(stream: dict[str, Any], _: int) -> list[object] | None:
                if "podcastName" in stream:
                    reading.dropped["a podcast's episode, not a song"] += 1
                    return None
                return [stream.get(field) for field in _FIELDS]

            for rows in rows_of(text, _FIELDS, cells, reading, "stream"):
                yield _plays(rows, converter, ended)
    reading.note(
        "The short history tells times to the minute, covers a year at most and names no ids: "
        "songs are told apart by artist and title. The extended one has more."
    )


def is_short(head: bytes) -> bool:
    """Whether a file begins like a short history."""
    return head.lstrip().startswith(b"[") and b'"endTime"' in head and b'"msPlayed"' in head


def _plays(rows: Rows, converter: Converter, ended: Instant) -> Batch:
    reading, given = converter.reading, rows.columns
    song = pa.nulls(len(rows), pa.string())
    ids = identified(reading, song, given["artistName"], given["trackName"])
    every = pa.array([True] * len(rows)).to_numpy(zero_copy_only=False)
    keep, milliseconds = counted_plays(rows, "msPlayed", every, reading)
    ends, refused = ended.parse(given["endTime"])
    reading.refuse(rows, "endTime", ended, refused & keep)
    keep &= ~refused
    starts = ends.cast(pa.int64()).to_numpy(zero_copy_only=False) - 1000 * milliseconds
    columns = {
        "song_id": ids,
        "listened_at": pa.array(starts, pa.timestamp("us")),
        "title": given["trackName"],
        "artist_ids": given["artistName"],
    }
    return converter.batch(rows.holding(columns), keep)


READER = Reader(
    "spotify_short",
    batches,
    SHORT,
    is_short,
    source="Spotify's page 'Understanding my data', streaming history of the account data",
    as_of="2026",
    one_listener=True,
)

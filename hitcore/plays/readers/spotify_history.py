"""Spotify's extended streaming history: the JSON files of one's data request, or their zip.

Each file is a JSON array of streams. `ts` is when the stream ended, so a play is dated `ms_played`
before it. A play counts from 30 seconds, as Spotify itself counts. Podcasts, audiobooks and videos
are left out. `username`, `ip_addr` and the device are never read into a table; private sessions
count like any other, since nothing personal of them is kept.

References:
    Spotify: "Understanding my data", extended streaming history.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text, Wanted, texts
from hitcore.plays.parsing.cells import Count, Id, Instant, one_line, or_null, shown
from hitcore.plays.parsing.reading import Batch, Converter, Reading, Rows

HISTORY = Wanted(
    re.compile(r"(Streaming_History_Audio.*|endsong.*)\.json", re.IGNORECASE),
    "Streaming_History_Audio_2023_0.json or endsong_0.json",
)
MIN_PLAYED_MS = 30_000

_FIELDS = (
    "ts",
    "ms_played",
    "spotify_track_uri",
    "master_metadata_track_name",
    "master_metadata_album_artist_name",
)
_BATCH_STREAMS = 100_000
_SPACE = re.compile(r"[ \t\r\n]*")


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The plays of songs, in batches."""
    for path in paths:
        for text in texts(path, reading.limits, HISTORY, reading.progress):
            reading.begin(text.name)
            converter = Converter(reading, "events", {"song_id": Id(), "listened_at": Instant()})
            ended = Instant()
            for rows in _rows(text, reading):
                yield _plays(rows, converter, ended)


def is_history(head: bytes) -> bool:
    """Whether a file begins like a history."""
    return head.lstrip().startswith(b"[") and b'"ms_played"' in head and b'"ts"' in head


def _plays(rows: Rows, converter: Converter, ended: Instant) -> Batch:
    """The streams that count, dated by their beginning."""
    reading, given = converter.reading, rows.columns
    uri = or_null(given["spotify_track_uri"])
    keep = _mask(pc.is_valid(uri))
    reading.drop("no song (podcast, audiobook or video)", ~keep)
    played, refused = Count().parse(given["ms_played"])
    reading.refuse(rows, "ms_played", Count(), refused & keep)
    keep &= ~refused
    milliseconds = played.to_numpy(zero_copy_only=False)
    short = keep & (milliseconds < MIN_PLAYED_MS)
    reading.drop("played for less than 30 seconds", short)
    keep &= ~short
    ends, refused = ended.parse(given["ts"])
    reading.refuse(rows, "ts", ended, refused & keep)
    keep &= ~refused
    starts = ends.cast(pa.int64()).to_numpy(zero_copy_only=False) - 1000 * milliseconds
    columns = {
        "song_id": uri,
        "listened_at": pa.array(starts, pa.timestamp("us")),
        "title": given["master_metadata_track_name"],
        "artist_ids": given["master_metadata_album_artist_name"],
    }
    return converter.batch(Rows(rows.file, columns, rows.first, rows.place), keep)


def _rows(text: Text, reading: Reading) -> Iterator[Rows]:
    pending: list[tuple[str | None, ...]] = []
    first = 0
    for number, stream in enumerate(_streams(text, reading.limits.max_document_bytes)):
        if not isinstance(stream, dict):
            raise DataError(f"{text.name}, record {number + 1:,}: not a stream but {shown(stream)}")
        lacking = [name for name in _FIELDS[:3] if name not in stream]
        if lacking:
            raise DataError(
                f"{text.name}, record {number + 1:,}: no field {shown(lacking[0])}; the extended "
                "streaming history has it (the short one, StreamingHistory_music_0.json, is "
                "not enough)"
            )
        pending.append(tuple(_text(stream.get(name)) for name in _FIELDS))
        if len(pending) == _BATCH_STREAMS:
            yield _batch(text, pending, first, reading)
            first += len(pending)
            pending = []
    if pending:
        yield _batch(text, pending, first, reading)


def _batch(text: Text, streams: list[tuple[str | None, ...]], first: int, reading: Reading) -> Rows:
    reading.n_read += len(streams)
    columns = {
        name: pa.array([stream[i] for stream in streams], pa.string())
        for i, name in enumerate(_FIELDS)
    }
    return Rows(text.name, columns, first, lambda number: f"record {number + 1:,}")


def _streams(text: Text, max_bytes: int) -> Iterator[Any]:
    """The elements of the file's JSON array, one at a time: only one is ever held as objects."""
    content = text.stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DataError(
            f"{text.name} is larger than {max_bytes:,} bytes; Spotify's own files are far smaller"
        )
    document = content.decode()
    decoder = json.JSONDecoder()
    position = _after_space(document, 0)
    if not document.startswith("[", position):
        raise _broken(text.name, document, position, "a list of streams begins with [")
    position = _after_space(document, position + 1)
    if document.startswith("]", position):
        return
    while True:
        try:
            stream, position = decoder.raw_decode(document, position)
        except (ValueError, RecursionError) as error:
            place = getattr(error, "pos", position)
            raise _broken(text.name, document, place, str(error)) from error
        yield stream
        position = _after_space(document, position)
        if document.startswith("]", position):
            return
        if not document.startswith(",", position):
            raise _broken(text.name, document, position, "expecting , or ]")
        position = _after_space(document, position + 1)


def _broken(name: str, document: str, position: int, reason: str) -> DataError:
    line = document.count("\n", 0, position) + 1
    words = one_line(reason, 100)
    return DataError(
        f"{name}, line {line:,}: not a whole JSON list of streams: {words}; the file may be cut off"
    )


def _after_space(document: str, position: int) -> int:
    match = _SPACE.match(document, position)
    return match.end() if match else position


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).encode("utf-8", "replace").decode()


def _mask(array: pa.Array) -> np.ndarray:
    return np.array(array.to_numpy(zero_copy_only=False))

"""Spotify's extended streaming history: the JSON files of one's data request, their folder or zip.

Each file is a JSON array of streams. `ts` is when the stream ended, so a play is dated `ms_played`
before it. Of what was played offline, `ts` may be when the device came back; such a play is dated
by `offline_timestamp`, where the device noted a sensible one. A play counts from 30 seconds, as
Spotify itself counts. Podcasts, audiobooks and videos are left out. `username`, `ip_addr` and the
device are never read into a table; private sessions count like any other, since nothing personal
of them is kept.

References:
    Spotify: "Understanding my data", extended streaming history.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Wanted, names_at, texts
from hitcore.plays.parsing.cells import Id, Instant, or_null, shown
from hitcore.plays.parsing.counts import PLAIN, Count
from hitcore.plays.parsing.jsonlists import rows_of
from hitcore.plays.parsing.reader import Reader
from hitcore.plays.parsing.reading import Batch, Converter, Reading, Rows

HISTORY = Wanted(
    re.compile(r"(Streaming_History_Audio.*|endsong.*)\.json", re.IGNORECASE),
    "Streaming_History_Audio_2023_0.json or endsong_0.json",
)
VIDEO = re.compile(r"(Streaming_History_Video.*|endvideo.*)\.json", re.IGNORECASE)
SHORT = re.compile(r"StreamingHistory(_[a-z]+_?)?[0-9]*\.json", re.IGNORECASE)
MIN_PLAYED_MS = 30_000
SHORT_PLAY = "played for less than 30 seconds"
NO_PLAY = "played for 0 milliseconds"
_SPOTIFY_BEGAN = 1159660800
"""2006-10-01; a device's clock that says less was not set."""

_FIELDS = {
    "ts": "ts",
    "ms_played": "ms_played",
    "song_id": "spotify_track_uri",
    "title": "master_metadata_track_name",
    "artist_ids": "master_metadata_album_artist_name",
    "episode": "spotify_episode_uri",
    "audiobook": "audiobook_uri",
    "offline": "offline",
    "offline_timestamp": "offline_timestamp",
}


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The plays of songs, in batches."""
    for path in _audio_only(paths, reading):
        for text in texts(path, reading.limits, HISTORY, reading.progress):
            reading.begin(text.name)
            converter = Converter(
                reading, "events", {"song_id": Id(), "listened_at": Instant(first=0)}
            )
            ended = Instant(first=_SPOTIFY_BEGAN)

            def cells(stream: dict[str, Any], number: int, name: str = text.name) -> list[object]:
                return _cells(stream, number, name)

            for rows in rows_of(text, list(_FIELDS), cells, reading, "stream"):
                yield _plays(rows, converter, ended)


def is_history(head: bytes) -> bool:
    """Whether a file begins like a history."""
    return head.lstrip().startswith(b"[") and b'"ms_played"' in head and b'"ts"' in head


def _audio_only(paths: Sequence[Path], reading: Reading) -> list[Path]:
    """The paths without files of videos; what is left out beside the history is said."""
    named = [path for path in paths if path.is_file() and VIDEO.fullmatch(path.name)]
    kept = [path for path in paths if path not in named] or list(paths)
    beside = [name for path in kept for name in names_at(path, reading.limits)]
    n_video = sum(VIDEO.fullmatch(name) is not None for name in beside) + len(named)
    n_short = sum(SHORT.fullmatch(name) is not None for name in beside)
    if n_video and kept != named:
        reading.note(f"Files of videos are left out: {n_video:,}.")
    if n_short:
        reading.note(
            f"Files of the short history are left out, the extended has more: {n_short:,}."
        )
    return kept


def _cells(stream: dict[str, Any], number: int, name: str) -> list[object]:
    lacking = [field for field in ("ts", "ms_played", "spotify_track_uri") if field not in stream]
    if lacking:
        raise DataError(
            f"{name}, record {number + 1:,}: no field {shown(lacking[0])}; the extended streaming "
            "history has it (the short one is the format spotify_short)"
        )
    cells = [stream.get(field) for field in _FIELDS.values()]
    episode = stream.get("spotify_episode_uri") or stream.get("episode_name")
    audiobook = stream.get("audiobook_uri") or stream.get("audiobook_title")
    cells[5:8] = [episode, audiobook, "yes" if stream.get("offline") is True else None]
    return cells


def _plays(rows: Rows, converter: Converter, ended: Instant) -> Batch:
    """The streams that count, dated by their beginning."""
    reading, given = converter.reading, rows.columns
    uri = or_null(given["song_id"])
    song = _mask(pc.is_valid(uri))
    episode, audiobook = (_mask(pc.is_valid(given[name])) for name in ("episode", "audiobook"))
    reading.drop("a podcast's episode, not a song", ~song & episode)
    reading.drop("an audiobook's chapter, not a song", ~song & audiobook & ~episode)
    reading.drop("no song is named", ~song & ~audiobook & ~episode)
    keep, milliseconds = counted_plays(rows, "ms_played", song, reading)
    ends, refused = ended.parse(given["ts"])
    reading.refuse(rows, "ts", ended, refused & keep)
    keep &= ~refused
    end = ends.cast(pa.int64()).to_numpy(zero_copy_only=False)
    starts = _by_the_device(rows, end - 1000 * milliseconds, end, keep, reading)
    columns = {
        "song_id": uri,
        "listened_at": pa.array(starts, pa.timestamp("us")),
        "title": given["title"],
        "artist_ids": given["artist_ids"],
    }
    return converter.batch(rows.holding(columns), keep)


def counted_plays(
    rows: Rows, column: str, among: np.ndarray, reading: Reading
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows were played for 30 seconds, of those among which one looks, and all times in ms.

    The others are counted: those of no time at all, and those of less than 30 seconds.
    """
    count = Count(convention=PLAIN)
    played, refused = count.parse(rows.columns[column])
    reading.refuse(rows, column, count, refused & among)
    milliseconds = np.asarray(played.to_numpy(zero_copy_only=False))
    keep = among & ~refused
    reading.drop(NO_PLAY, keep & (milliseconds == 0))
    reading.drop(SHORT_PLAY, keep & (milliseconds > 0) & (milliseconds < MIN_PLAYED_MS))
    return keep & (milliseconds >= MIN_PLAYED_MS), milliseconds


def _by_the_device(
    rows: Rows, starts: np.ndarray, ends: np.ndarray, keep: np.ndarray, reading: Reading
) -> np.ndarray:
    """When plays began; those made offline by the clock of the device, where it is sensible."""
    offline = keep & _mask(pc.is_valid(rows.columns["offline"]))
    if not offline.any():
        return starts
    noted, _ = Count(convention=PLAIN).parse(rows.columns["offline_timestamp"])
    number = np.asarray(noted.to_numpy(zero_copy_only=False))
    micros = number * np.where(number < 10**11, 10**6, 10**3)
    sensible = offline & (micros >= _SPOTIFY_BEGAN * 10**6) & (micros <= ends)
    for reason, mask in {
        "played offline; dated by the device's clock": sensible,
        "played offline without a sensible time of the device; dated by the end that was "
        "reported": offline & ~sensible,
    }.items():
        if n := int(mask.sum()):
            reading.odd[reason] += n
    return np.where(sensible, micros, starts)


def _mask(array: pa.Array) -> np.ndarray:
    return np.array(array.to_numpy(zero_copy_only=False))


READER = Reader(
    "spotify_history",
    batches,
    HISTORY,
    is_history,
    source="Spotify's page 'Understanding my data', extended streaming history",
    as_of="2026",
    one_listener=True,
)

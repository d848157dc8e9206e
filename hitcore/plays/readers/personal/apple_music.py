"""Apple Music: `Apple Music Play Activity.csv` of one's privacy data, its folder or zip in a zip.

One row per event. `PLAY_END` rows are plays, dated by `Event Start Timestamp` (UTC), or where that
is missing by the end less the time played. A play counts from 30 seconds, as elsewhere; videos,
lyrics shown and plays of negative length are left out and counted. The file tells no ids, and no
artist of a song, only that of the album or playlist it was played from (`Container Artist Name`;
older files: `Artist Name`). An artist known once for a song and its album is taken for all plays
of the two; a song whose artist is never told is its album and title.

References:
    Apple's privacy pages, "Apple Media Services information", Apple Music Activity.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text, Wanted
from hitcore.plays.parsing.cells import Id, Instant, or_null, trimmed
from hitcore.plays.parsing.delimited import Header, delimited, rows_of, split_line
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import Batch, Converter, Reading, Rows, text_key
from hitcore.plays.readers.personal.spotify_history import MIN_PLAYED_MS, NO_PLAY, SHORT_PLAY

ACTIVITY = Wanted(
    re.compile(r"Apple Music Play Activity.*\.csv", re.IGNORECASE),
    "Apple Music Play Activity.csv",
    nested=True,
)
_TITLE = ("Song Name", "Content Name", "Track Name")
_ARTIST = ("Artist Name", "Container Artist Name")
_ALBUM = ("Album Name", "Container Album Name")
_OTHERS = {
    "began": "Event Start Timestamp",
    "ended": "Event End Timestamp",
    "played": "Play Duration Milliseconds",
    "event": "Event Type",
    "media": "Media Type",
}
_INTEGER = r"^-?[0-9]{1,15}(\.0*)?$"


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The plays of songs, in batches."""
    for path in paths:
        artists = _artists(path, reading)
        for text, header in delimited(path, reading, _header, ACTIVITY):
            converter = Converter(
                reading, "events", {"song_id": Id(), "listened_at": Instant(first=0)}
            )
            began, ended = Instant(), Instant()
            for rows in rows_of(text, header, _columns(header, text.name), reading):
                yield _plays(rows, converter, began, ended, artists)
    reading.note(
        "Apple Music names the artist of the album or playlist that a song was played from, or "
        "none: songs without one are told apart by album and title."
    )


def is_activity(head: bytes) -> bool:
    """Whether a file begins like a play activity."""
    names = set(split_line(first_lines(head)[0]))
    return {"Event Start Timestamp", "Play Duration Milliseconds"} <= names


def _header(text: Text) -> Header:
    return Header(split_line(text.line()))


def _columns(header: Header, name: str) -> dict[str, str]:
    title = next((n for n in _TITLE if n in header.names), None)
    if title is None:
        raise DataError(f"{name}, line 1: there is no column 'Song Name'")
    found = {"title": title}
    for key, names in {"artist": _ARTIST, "album": _ALBUM}.items():
        column = next((n for n in names if n in header.names), None)
        if column is not None:
            found[key] = column
    return found | {key: column for key, column in _OTHERS.items() if column in header.names}


def _artists(path: Path, reading: Reading) -> dict[tuple[str, str], str]:
    """The artist of each title and album for which exactly one is told."""
    again = reading.again()
    again.on_error = "skip"  # rows that are none are refused, or counted, when plays are read
    told: dict[tuple[str, str], str] = {}
    several: set[tuple[str, str]] = set()
    for text, header in delimited(path, again, _header, ACTIVITY):
        columns = _columns(header, text.name)
        wanted: dict[str, str] = {
            key: columns[key] for key in ("title", "album", "artist") if key in columns
        }
        if len(wanted) < 3:
            continue
        for rows in rows_of(text, header, wanted, again):
            table = pa.table({key: or_null(rows.columns[key]) for key in wanted})
            for row in table.group_by(list(wanted)).aggregate([]).to_pylist():
                key = (row["title"] or "", row["album"] or "")
                if row["artist"] and told.setdefault(key, row["artist"]) != row["artist"]:
                    several.add(key)
    return {key: artist for key, artist in told.items() if key not in several}


def _plays(
    rows: Rows,
    converter: Converter,
    began: Instant,
    ended: Instant,
    artists: dict[tuple[str, str], str],
) -> Batch:
    reading, given = converter.reading, rows.columns
    n = len(rows)
    empty = pa.array([""] * n, pa.string())
    title, album = trimmed(given["title"]), trimmed(given.get("album", empty))
    keep, milliseconds = _counted(rows, title, empty, reading)
    starts, refused = began.parse(given["began"])
    micros = starts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    absent = keep & _equal(trimmed(given["began"]), "")
    reading.refuse(rows, "began", began, refused & keep & ~absent)
    keep &= ~refused | absent
    if absent.any() and "ended" in given:
        ends, no_end = ended.parse(given["ended"])
        reading.drop("no time is told", absent & no_end)
        keep &= ~(absent & no_end)
        reading.odd["without a start; dated by the end less the time played"] += int(
            (absent & ~no_end).sum()
        )
        end = ends.cast(pa.int64()).to_numpy(zero_copy_only=False)
        micros = np.where(absent, end - 1000 * milliseconds, micros)
    else:
        reading.drop("no time is told", absent)
        keep &= ~absent
    artist = _artist_of(trimmed(given.get("artist", empty)), title, album, artists)
    columns = {
        "song_id": pc.coalesce(
            text_key(artist, title), text_key(album, title), pc.utf8_lower(title)
        ),
        "listened_at": pa.array(micros, pa.timestamp("us")),
        "title": title,
        "artist_ids": artist,
    }
    return converter.batch(rows.holding(columns), keep)


def _counted(
    rows: Rows, title: pa.Array, empty: pa.Array, reading: Reading
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are plays of 30 seconds of a song, and the time played of each."""
    given = rows.columns
    event, media = trimmed(given.get("event", empty)), trimmed(given.get("media", empty))
    is_end = _equal(event, "PLAY_END") | _equal(event, "")
    video = _equal(pc.utf8_upper(media), "VIDEO")
    named = ~_equal(title, "")
    reading.drop("no end of a play (lyrics shown, a play begun)", ~is_end)
    reading.drop("a video, not a song", is_end & video)
    reading.drop("no song is named", is_end & ~video & ~named)
    keep = is_end & ~video & named
    text = trimmed(given["played"])
    number = pc.match_substring_regex(text, _INTEGER)
    whole = pc.replace_substring_regex(pc.if_else(number, text, "0"), r"\..*$", "")
    played = whole.cast(pa.int64()).to_numpy(zero_copy_only=False)
    known = np.asarray(number.to_numpy(zero_copy_only=False))
    reading.drop("no time of playing is told", keep & ~known)
    reading.drop("played for a negative time", keep & known & (played < 0))
    reading.drop(NO_PLAY, keep & known & (played == 0))
    reading.drop(SHORT_PLAY, keep & known & (played > 0) & (played < MIN_PLAYED_MS))
    return keep & known & (played >= MIN_PLAYED_MS), np.asarray(played)


def _artist_of(
    given: pa.Array, title: pa.Array, album: pa.Array, artists: dict[tuple[str, str], str]
) -> pa.Array:
    if not artists:
        return or_null(given)
    pairs = zip(title.to_pylist(), album.to_pylist(), given.to_pylist(), strict=True)
    found = [artists.get((t, a)) or own or None for t, a, own in pairs]
    return pa.array(found, pa.string())


def _equal(cells: pa.Array, text: str) -> np.ndarray:
    return np.array(pc.equal(cells, text).to_numpy(zero_copy_only=False))


READER = Reader(
    "apple_music",
    batches,
    ACTIVITY,
    is_activity,
    source="Apple's privacy data, Apple Media Services information, Apple Music Activity",
    as_of="2025",
    one_listener=True,
)

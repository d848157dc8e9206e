"""YouTube Music: `watch-history.json` of Google Takeout, its folder or zip.

A JSON list of everything watched, videos and music alike. Entries of YouTube Music carry that
name in `header`; `title` is the song's behind a word for "watched" in the account's language,
`titleUrl` ends with the video's id, `subtitles` names the channel: the artist, mostly as "ABBA -
Topic". `time` is UTC. How long one listened is not told, so every entry counts as a play, also
one that was skipped after a second. Other videos, advertisements, searches and what has been
removed since are left out and counted. The file's name depends on the language, so files are
judged by their content. The HTML form of the history is not read.

References:
    Google Takeout, "YouTube and YouTube Music", history as JSON.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Wanted, texts
from hitcore.plays.parsing.cells import Id, Instant
from hitcore.plays.parsing.jsonlists import rows_of
from hitcore.plays.parsing.reader import Reader
from hitcore.plays.parsing.reading import Batch, Converter, Reading

HISTORY = Wanted(re.compile(r".+\.json", re.IGNORECASE), "watch-history.json")
_VIDEO = re.compile(r"https?://(?:music|www|m)\.youtube\.com/watch\?v=([A-Za-z0-9_-]{6,20})(?:&|$)")
_ENGLISH = "Watched "
_MANY = 20
"""Titles from which the word for "watched" can be told: what all of them begin or end with."""


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The plays of YouTube Music, in batches."""
    for path in paths:
        for text in texts(path, reading.limits, HISTORY, reading.progress):
            if text.name != path.name and not is_watched(text.peek()):
                continue
            reading.begin(text.name)
            if text.peek(1024).lstrip().startswith(b"<"):
                raise DataError(
                    f"{text.name} is the history as a web page; ask Takeout for JSON: Multiple "
                    "formats, History, JSON"
                )
            converter = Converter(reading, "events", {"song_id": Id(), "listened_at": Instant()})
            names = ("song_id", "listened_at", "title", "artist_ids")

            def cells(entry: dict[str, Any], _: int) -> list[object] | None:
                return _cells(entry, reading)

            for rows in rows_of(text, names, cells, reading, "entry"):
                titles = _without_watched(rows.columns["title"])
                yield converter.batch(rows.holding({**rows.columns, "title": titles}))
    reading.note(
        "The history does not tell how long one listened: every entry of YouTube Music counts."
    )


def is_watched(head: bytes) -> bool:
    """Whether a file begins like a watch history."""
    start = head.lstrip().startswith(b"[")
    return start and b'"header"' in head and b'"titleUrl"' in head and b'"activityControls"' in head


def _cells(entry: dict[str, Any], reading: Reading) -> list[object] | None:
    """Id, time, title and artist of a song; None, counted, for anything else."""
    url = entry.get("titleUrl")
    found = _VIDEO.match(url) if isinstance(url, str) else None
    details = entry.get("details")
    if entry.get("header") != "YouTube Music":
        reading.dropped["of YouTube, not YouTube Music"] += 1
    elif isinstance(details, list) and details:
        reading.dropped["an advertisement"] += 1
    elif found is None:
        reading.dropped["no song (a search, or removed since)"] += 1
    else:
        return [found[1], entry.get("time"), entry.get("title"), _artist(entry)]
    return None


def _artist(entry: dict[str, Any]) -> str | None:
    channels = entry.get("subtitles")
    first = channels[0] if isinstance(channels, list) and channels else None
    name = first.get("name") if isinstance(first, dict) else None
    return name.removesuffix(" - Topic") if isinstance(name, str) else None


def _without_watched(titles: pa.Array) -> pa.Array:
    """Titles without the word that all of them begin or end with."""
    known = [title for title in pc.unique(titles).to_pylist() if title]
    if known and all(title.startswith(_ENGLISH) for title in known):
        return pc.utf8_slice_codeunits(titles, len(_ENGLISH))
    if len(known) < _MANY:
        return titles
    begin = _shared(known)
    end = _shared([title[::-1] for title in known])[::-1]
    begin, end = begin[: begin.rfind(" ") + 1], end[end.find(" ") :] if " " in end else ""
    if end:
        titles = pc.utf8_slice_codeunits(titles, 0, -len(end))
    return pc.utf8_slice_codeunits(titles, len(begin))


def _shared(texts: list[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts), max(texts)
    n_alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[: min(len(first), len(last)) if n_alike is None else n_alike]


READER = Reader(
    "youtube_music",
    batches,
    HISTORY,
    is_watched,
    source="Google Takeout, YouTube and YouTube Music, history as JSON",
    as_of="2026",
    one_listener=True,
)

"""The songs that a visitor brought: kept on the server, listed in the session, reported once.

A report is made in the visitor's turn at the machine and kept by what decides it: the content, the
highlight, the tagger and the models. Only the session that brought a song knows its hash; a link
with the hash reopens it for the same visitor, and for nobody else.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from hitcore.analysis import DEFAULT_TAGGER, SongReport, analyse
from hitcore.errors import HitcoreError
from hitcore.highlights import METHODS
from ui.turns import machine_turns
from ui.uploads import current_owner, upload_store

DEMO_SONGS = Path(__file__).resolve().parent.parent / "assets" / "demo_songs"
MAX_REPORTS = 256
TAGGERS = ("musicnn-mtt", "musicnn-msd", "jynet")


@dataclass(frozen=True)
class Choice:
    """What a report depends on besides the song."""

    highlight: str | None = None
    """A method; None for the default."""
    window: tuple[float, float] | None = None
    """A window chosen by hand."""
    tagger: str = DEFAULT_TAGGER
    models: tuple[str, ...] | None = None
    """None for those installed."""


@dataclass(frozen=True)
class Brought:
    """One song of this session."""

    digest: str
    """SHA-256 of the content."""
    name: str
    """What the visitor's file was called; untrusted."""


class Reports:
    """The latest reports of this server, by what decides them."""

    def __init__(self, max_entries: int = MAX_REPORTS) -> None:
        self._entries: OrderedDict[tuple[str, Choice], SongReport] = OrderedDict()
        self._lock = threading.Lock()
        self._max = max_entries

    def get(self, key: tuple[str, Choice]) -> SongReport | None:
        """The report, if it is still known."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: tuple[str, Choice], report: SongReport) -> None:
        """Keep a report; the one unused for longest goes when there are too many."""
        with self._lock:
            self._entries[key] = report
            while len(self._entries) > self._max:
                self._entries.popitem(last=False)


@st.cache_resource(show_spinner=False)
def reports() -> Reports:
    """The reports of this server."""
    return Reports()


def brought() -> list[Brought]:
    """The songs of this session, in the order in which they came."""
    songs: list[Brought] = st.session_state.setdefault("songs", [])
    return songs


def bring(name: str, content: bytes) -> Brought:
    """Keep a song for this visitor."""
    song = Brought(upload_store().put(current_owner(), content), name)
    if song.digest not in {other.digest for other in brought()}:
        brought().append(song)
    return song


def reopen(digest: str) -> None:
    """List a song again that this visitor brought before (from a link); others find nothing."""
    known = {song.digest for song in brought()}
    if digest not in known and upload_store().get(current_owner(), digest) is not None:
        brought().append(Brought(digest, "song"))


def path_of(song: Brought) -> Path | None:
    """Where the song lies; None once it was deleted."""
    return upload_store().get(current_owner(), song.digest)


def report_of(song: Brought, choice: Choice) -> SongReport | HitcoreError:
    """The report of a song, made in this visitor's turn; or what is wrong with it."""
    key = (song.digest, choice)
    known = reports().get(key)
    if known is not None:
        return known
    path = path_of(song)
    if path is None:
        return HitcoreError("the upload was deleted in the meantime: bring the song again")
    bar = st.progress(0.0, text="Waiting for a turn")
    try:
        with machine_turns().wait(lambda place: _say_place(bar, place)):
            report = analyse(
                path,
                choice.models,
                choice.window or choice.highlight,
                choice.tagger,
                name="song",
                on_stage=lambda stage, done: bar.progress(done, text=stage),
            )
    except HitcoreError as error:
        # The page names the song itself; the cause is the same error without a name.
        return error.__cause__ if isinstance(error.__cause__, HitcoreError) else error
    finally:
        bar.empty()
    reports().put(key, report)
    return report


@st.cache_data(show_spinner=False)
def demo_songs() -> dict[str, Path]:
    """The bundled demo songs by title and genre; none where they are absent."""
    listed = DEMO_SONGS / "songs.json"
    if not listed.exists():
        return {}
    songs = json.loads(listed.read_text(encoding="utf-8"))
    return {f"{song['title']} ({song['genre']})": DEMO_SONGS / song["file"] for song in songs}


def choice_from(parameters: Mapping[str, str]) -> Choice:
    """The choice that an address asks for; what is not a known name is passed over.

    Example:
        >>> choice_from({"highlight": "middle", "tagger": "<script>"})
        Choice(highlight='middle', window=None, tagger='musicnn-mtt', models=None)
    """
    method, tagger = parameters.get("highlight"), parameters.get("tagger")
    return Choice(
        highlight=method if method in METHODS else None,
        tagger=tagger if tagger in TAGGERS else DEFAULT_TAGGER,
    )


def _say_place(bar: object, place: int) -> None:
    words = "You are next" if place == 1 else f"{place - 1} before you in the line"
    bar.progress(0.0, text=words)  # type: ignore[attr-defined]

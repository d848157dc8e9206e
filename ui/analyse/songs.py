"""The songs that a visitor brought: kept on the server, listed in the session, reported once.

A report is made in the visitor's turn at the machine and kept by what decides it: the content, the
highlight, the tagger and the models. Only the session that brought a song knows its hash; a link
with the hash reopens it for the same visitor, and for nobody else.
"""

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import streamlit as st

from hitcore.analysis.song import DEFAULT_TAGGER, HIGHLIGHT_S, SongReport, analyse
from hitcore.errors import HitcoreError
from hitcore.files import ASSETS
from hitcore.highlights import METHODS
from ui.server.queue import machine_turns
from ui.server.uploads import current_owner, upload_store

DEMO_SONGS = ASSETS / "demo_songs"
MAX_REPORTS = 256
MAX_VIEWS = 64
TAGGERS = ("musicnn-mtt", "musicnn-msd", "jynet")

Value = TypeVar("Value")
OnStage = Callable[[str, float], None]
"""Called with each stage's name and the fraction done before it."""


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


class Latest(Generic[Value]):
    """What this server made last, by what decides it."""

    def __init__(self, max_entries: int) -> None:
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self._max = max_entries

    def get(self, key: Hashable) -> Value | None:
        """What was made for this, if it is still known."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keep something; the one unused for longest goes when there are too many."""
        with self._lock:
            self._entries[key] = value
            while len(self._entries) > self._max:
                self._entries.popitem(last=False)


@st.cache_resource(show_spinner=False)
def reports() -> Latest[SongReport]:
    """The reports of this server."""
    return Latest(MAX_REPORTS)


@st.cache_resource(show_spinner=False)
def views() -> Latest[object]:
    """What visitors asked for beside the reports: taggrams, the evidence of every method."""
    return Latest(MAX_VIEWS)


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
    try:
        report = in_turn(
            lambda on_stage: analyse(
                path,
                choice.models,
                choice.window or choice.highlight,
                choice.tagger,
                name="song",
                on_stage=on_stage,
            )
        )
    except HitcoreError as error:
        # The page names the song itself; the cause is the same error without a name.
        return error.__cause__ if isinstance(error.__cause__, HitcoreError) else error
    reports().put(key, report)
    return report


def view_of(key: Hashable, make: Callable[[OnStage], Value]) -> Value:
    """What `make` gives, made once for each key in the visitor's turn, with its stages shown.

    Raises:
        HitcoreError: as `make` does.
    """
    known = views().get(key)
    if known is None:
        known = in_turn(make)
        views().put(key, known)
    return known  # type: ignore[return-value]


def in_turn(make: Callable[[OnStage], Value]) -> Value:
    """Heavy work under a bar that names its stages, or the visitor's place in the line."""
    bar = st.progress(0.0, text="Waiting for a turn")
    try:
        with machine_turns().wait(lambda place: _say_place(bar, place)):
            return make(lambda stage, done: bar.progress(done, text=stage))
    finally:
        bar.empty()


@st.cache_data(show_spinner=False)
def demo_songs() -> dict[str, Path]:
    """The bundled demo songs by title and genre; none where they are absent."""
    listed = DEMO_SONGS / "songs.json"
    if not listed.exists():
        return {}
    songs = json.loads(listed.read_text(encoding="utf-8"))
    return {f"{song['title']} ({song['genre']})": DEMO_SONGS / song["file"] for song in songs}


def choice_from(parameters: Mapping[str, str]) -> Choice:
    """The choice that an address asks for; what is not a known name or time is passed over.

    Example:
        >>> choice_from({"highlight": "middle", "tagger": "<script>", "start": "12.5"})
        Choice(highlight='middle', window=(12.5, 42.5), tagger='musicnn-mtt', models=None)
    """
    method, tagger = parameters.get("highlight"), parameters.get("tagger")
    start = _seconds(parameters.get("start", ""))
    return Choice(
        highlight=method if method in METHODS else None,
        window=None if start is None else (start, start + HIGHLIGHT_S),
        tagger=tagger if tagger in TAGGERS else DEFAULT_TAGGER,
    )


def address_of(choice: Choice) -> dict[str, str | None]:
    """The address that asks for a choice: None for what it leaves out.

    Example:
        >>> address_of(Choice("middle"))
        {'highlight': 'middle', 'start': None, 'tagger': None}
    """
    return {
        "highlight": choice.highlight,
        "start": None if choice.window is None else f"{choice.window[0]:.2f}",
        "tagger": None if choice.tagger == DEFAULT_TAGGER else choice.tagger,
    }


def choices() -> dict[str, Choice]:
    """What this session chose for each song.

    What the address asks for when the session begins holds for every song, but a start by hand
    for the address's own song alone.
    """
    if "choices" not in st.session_state:
        asked = choice_from(st.query_params)
        st.session_state["choices"] = {}
        st.session_state["usual-choice"] = replace(asked, window=None)
        if "song" in st.query_params:
            st.session_state["choices"][st.query_params["song"]] = asked
    found: dict[str, Choice] = st.session_state["choices"]
    return found


def choice_of(song: Brought) -> Choice:
    """What this session chose for a song."""
    chosen = choices()
    usual: Choice = st.session_state.get("usual-choice", Choice())
    return chosen.get(song.digest, usual)


def choose(song: Brought, choice: Choice) -> None:
    """Choose otherwise for a song, and show the page anew."""
    choices()[song.digest] = choice
    st.rerun()


def into_address(parameters: Mapping[str, str | None]) -> None:
    """Set what the page's address asks for; None takes a parameter out."""
    for name, value in parameters.items():
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value


def _seconds(text: str) -> float | None:
    """A time in seconds from 0 on, or nothing."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _say_place(bar: object, place: int) -> None:
    words = "You are next" if place == 1 else f"{place - 1} before you in the line"
    bar.progress(0.0, text=words)  # type: ignore[attr-defined]

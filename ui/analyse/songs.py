"""The songs of a visitor: their own library, what they chose for each song, and what a link opens.

Everything is kept in the library of the server (`ui.server.library`), so that neither a reload nor
a restart loses it. The address names the song in view and what was chosen for it; it opens that
song for its owner alone. A link with the word of a shared song opens it for everybody, until its
owner revokes it.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from hitcore.analysis.song import DEFAULT_TAGGER, HIGHLIGHT_S
from hitcore.errors import HitcoreError
from hitcore.files import ASSETS
from hitcore.highlights import METHODS
from ui.server.library import Entry, Library
from ui.server.quotas import quota
from ui.server.uploads import UploadStore, keep_hours
from ui.server.visitors import current_owner

DEMO_SONGS = ASSETS / "demo_songs"
TAGGERS = ("musicnn-mtt", "musicnn-msd", "jynet")
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:-]{0,99}")
GONE = (
    "This song is private or gone. Only who brought a song can open its address; anybody can open "
    "a link that its owner shares, until they end that or the song's time is over. Ask for a new "
    "link."
)


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
    """One song that the visitor can open."""

    digest: str
    """SHA-256 of the content."""
    name: str
    """What it is called; untrusted."""
    word: str | None = None
    """The word of the link that opened it, where it is another person's."""

    @property
    def is_own(self) -> bool:
        """Whether the visitor may rename, share and remove it."""
        return self.word is None


@st.cache_resource(show_spinner=False)
def library() -> Library:
    """The songs of everybody on this server, in the user's cache folder; swept from now on."""
    from hitcore.weights import cache_folder

    books = Library(UploadStore(cache_folder() / "uploads", keep_hours()), quota())
    books.sweep_forever()
    return books


def brought() -> list[Brought]:
    """The visitor's own songs, in the order in which they came."""
    return [Brought(entry.digest, entry.name) for entry in library().songs(current_owner())]


def bring(name: str, content: bytes) -> Brought:
    """Keep a song for this visitor, with what the address of their visit asks for."""
    owner = current_owner()
    entry = library().add(owner, name, content)
    if not entry.choice:
        library().choose(owner, entry.digest, kept_choice(_usual()))
    return Brought(entry.digest, entry.name)


def in_view() -> tuple[Brought | None, str | None]:
    """The song that the address opens, and what to say where it opens none.

    Without a song in the address it is the one that came last.
    """
    word, digest = st.query_params.get("shared"), st.query_params.get("song")
    if word is not None:
        found = library().shared(word)
        return (
            (None, GONE) if found is None else (Brought(found[1].digest, found[1].name, word), None)
        )
    entries = library().songs(current_owner())
    if digest is not None:
        named = next((entry for entry in entries if entry.digest == digest), None)
        if named is None:
            return None, GONE
    else:
        opened = st.session_state.get("opened")
        named = next((e for e in reversed(entries) if e.digest == opened), None)
        named = named or next(reversed(entries), None)
    if named is not None and named.fault is not None:
        # What cannot be analysed is said above; another song can be looked at meanwhile.
        named = next((entry for entry in entries if entry.fault is None), named)
    return (None if named is None else Brought(named.digest, named.name)), None


def note_opened(song: Brought, choice: Choice) -> None:
    """A song is in view: its time begins anew, the address names it, the visit remembers it."""
    if song.is_own:
        path_of(song, used=True)
        st.session_state["opened"] = song.digest
        into_address({"song": song.digest, **address_of(choice)})


def open_song(digest: str | None) -> None:
    """Let the address open one of the visitor's own songs, or none."""
    for name in ("shared", "highlight", "start", "tagger", "model", "song"):
        st.query_params.pop(name, None)
    if digest is not None:
        st.query_params["song"] = digest


def path_of(song: Brought, *, used: bool = False) -> Path | None:
    """Where the song lies; None once it was deleted, or is not shared any more.

    Args:
        song: One of the visitor's songs.
        used: Whether the time for which it is kept begins anew.
    """
    if song.word is not None:
        found = library().shared(song.word)
        return None if found is None else found[0]
    return library().store.get(current_owner(), song.digest, used=used)


@st.cache_data(show_spinner=False)
def demo_songs() -> dict[str, Path]:
    """The bundled demo songs by title and genre; none where they are absent."""
    listed = DEMO_SONGS / "songs.json"
    if not listed.exists():
        return {}
    songs = json.loads(listed.read_text(encoding="utf-8"))
    return {f"{song['title']} ({song['genre']})": DEMO_SONGS / song["file"] for song in songs}


# --- what was chosen -----------------------------------------------------------------------------


def choice_from(parameters: Mapping[str, str]) -> Choice:
    """The choice that an address asks for; what is not a known name or time is passed over.

    Example:
        >>> choice_from({"highlight": "middle", "tagger": "<script>", "start": "12.5"})
        Choice(highlight='middle', window=(12.5, 42.5), tagger='musicnn-mtt', models=None)
    """
    method, tagger = parameters.get("highlight"), parameters.get("tagger")
    model = parameters.get("model", "")
    start = _seconds(parameters.get("start", ""))
    return Choice(
        highlight=method if method in METHODS else None,
        window=None if start is None else (start, start + HIGHLIGHT_S),
        tagger=tagger if tagger in TAGGERS else DEFAULT_TAGGER,
        models=(model,) if MODEL_NAME.fullmatch(model) else None,
    )


def address_of(choice: Choice) -> dict[str, str | None]:
    """The address that asks for a choice: None for what it leaves out.

    Example:
        >>> address_of(Choice("middle"))
        {'highlight': 'middle', 'start': None, 'tagger': None, 'model': None}
    """
    return {
        "highlight": choice.highlight,
        "start": None if choice.window is None else f"{choice.window[0]:.2f}",
        "tagger": None if choice.tagger == DEFAULT_TAGGER else choice.tagger,
        "model": None if choice.models is None else choice.models[0],
    }


def kept_choice(choice: Choice) -> dict[str, Any]:
    """A choice as the library keeps it."""
    return asdict(choice)


def choice_kept(document: Mapping[str, Any]) -> Choice:
    """The choice that the library kept; the usual one where it kept none.

    Example:
        >>> choice_kept(kept_choice(Choice("middle", (1.0, 31.0)))) == Choice("middle", (1.0, 31.0))
        True
        >>> choice_kept({}) == Choice()
        True
    """
    window, models = document.get("window"), document.get("models")
    return Choice(
        highlight=document.get("highlight"),
        window=None if window is None else (float(window[0]), float(window[1])),
        tagger=document.get("tagger", DEFAULT_TAGGER),
        models=None if models is None else tuple(models),
    )


def choice_of(song: Brought) -> Choice:
    """What was chosen for a song: by its owner, and by this visitor where it is another's."""
    entry = _entry_of(song)
    asked = _asked_by_address(song, entry)
    if not song.is_own:
        passing: dict[str, Choice] = st.session_state.setdefault("passing-choices", {})
        if asked is not None:
            passing.setdefault(song.digest, asked)
        return passing.get(song.digest) or choice_kept(entry.choice if entry else {})
    if asked is not None:
        library().choose(current_owner(), song.digest, kept_choice(asked))
        return asked
    return choice_kept(entry.choice if entry else {})


def choose(song: Brought, choice: Choice) -> None:
    """Choose otherwise for a song, and show the page anew."""
    remember(song, choice)
    st.rerun()


def remember(song: Brought, choice: Choice) -> None:
    """Keep what was chosen for a song: for good where it is one's own, else for this visit."""
    if song.is_own:
        library().choose(current_owner(), song.digest, kept_choice(choice))
    else:
        st.session_state.setdefault("passing-choices", {})[song.digest] = choice


def into_address(parameters: Mapping[str, str | None]) -> None:
    """Set what the page's address asks for; None takes a parameter out."""
    for name, value in parameters.items():
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value


# --- inside --------------------------------------------------------------------------------------


def _entry_of(song: Brought) -> Entry | None:
    if song.word is not None:
        found = library().shared(song.word)
        return None if found is None else found[1]
    return library().entry(current_owner(), song.digest)


def _asked_by_address(song: Brought, entry: Entry | None) -> Choice | None:
    """What the address of this visit's beginning asks for this song; None after it was heeded."""
    if st.session_state.get("address-heeded") or entry is None:
        return None
    st.session_state["address-heeded"] = True
    in_address = st.query_params.get("song", st.query_params.get("shared"))
    if in_address not in (song.digest, song.word):
        return None
    asked = choice_from(st.query_params)
    return None if asked == Choice() else asked


def _usual() -> Choice:
    """What the address of this visit's beginning asks for all songs."""
    if "usual-choice" not in st.session_state:
        asked = choice_from(st.query_params)
        st.session_state["usual-choice"] = (
            Choice() if "song" in st.query_params else replace(asked, window=None)
        )
    usual: Choice = st.session_state["usual-choice"]
    return usual


def _seconds(text: str) -> float | None:
    """A time in seconds from 0 on, or nothing."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def require(song: Brought) -> Path:
    """Where the song lies.

    Raises:
        HitcoreError: it was deleted in the meantime.
    """
    path = path_of(song)
    if path is None:
        raise HitcoreError("the upload was deleted in the meantime: bring the song again")
    return path

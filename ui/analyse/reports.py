"""Reports of songs: made in the background, kept in memory and beside the upload, found again.

A report is known by what decides it: the content, what was chosen, and the models that are
installed, so that importing weights makes a new one. Memory is shared by everybody who brought the
same sound; what lies on disk is each owner's own and goes with their song.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import streamlit as st

from hitcore.analysis.song import SongReport, analyse, default_models
from hitcore.errors import HitcoreError
from ui.analyse import kept
from ui.analyse.songs import Brought, Choice, choice_kept, library, path_of, require
from ui.analyse.summary import line_of
from ui.frame.ensembles import model_of
from ui.server.background import Background, OnStage, Task
from ui.server.library import Entry, Library
from ui.server.queue import machine_turns
from ui.server.quotas import Usage
from ui.server.visitors import current_owner

MAX_REPORTS = 256
MAX_VIEWS = 64

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """What this server made last, by the song's hash and by what else decides it."""

    def __init__(self, max_entries: int) -> None:
        self._entries: OrderedDict[tuple[str, Hashable], Value] = OrderedDict()
        self._lock = threading.Lock()
        self._max = max_entries

    def get(self, digest: str, key: Hashable) -> Value | None:
        """What was made for this, if it is still known."""
        with self._lock:
            if (digest, key) in self._entries:
                self._entries.move_to_end((digest, key))
            return self._entries.get((digest, key))

    def put(self, digest: str, key: Hashable, value: Value) -> None:
        """Keep something; the one unused for longest goes when there are too many."""
        with self._lock:
            self._entries[digest, key] = value
            while len(self._entries) > self._max:
                self._entries.popitem(last=False)

    def forget(self, digest: str) -> None:
        """Drop all that was made for a song."""
        with self._lock:
            for entry in [entry for entry in self._entries if entry[0] == digest]:
                del self._entries[entry]


@st.cache_resource(show_spinner=False)
def reports() -> Latest[SongReport]:
    """The reports of this server."""
    return _forgetting(Latest(MAX_REPORTS))


@st.cache_resource(show_spinner=False)
def views() -> Latest[object]:
    """What visitors asked for beside the reports: clips, taggrams, the evidence of every method."""
    return _forgetting(Latest(MAX_VIEWS))


def _forgetting(latest: Latest[Value]) -> Latest[Value]:
    """The same, which from now on drops what was made of songs whose time is over."""
    library().on_gone.append(latest.forget)
    return latest


@st.cache_resource(show_spinner=False)
def background() -> Background:
    """The work of this server that goes on without its visitors."""
    return Background(machine_turns(), library().quota.waiting)


def usage() -> Usage:
    """What the visitor has of this server, and of how much."""
    owner = current_owner()
    n_songs, megabytes = library().taken(owner)
    worked_s = machine_turns().worked.seconds(owner)
    n_waiting = background().n_waiting(owner)
    return Usage(n_songs, megabytes, n_waiting, worked_s, library().quota)


# --- one song ------------------------------------------------------------------------------------


def decides(choice: Choice, installed: list[str] | None = None) -> str:
    """What decides a report besides the song: what was chosen, and the models that are there.

    Args:
        choice: What was chosen.
        installed: The models that reports show by default; None: look.
    """
    models = installed or default_models()[0] if choice.models is None else list(choice.models)
    return repr((choice, models, kept.FIELDS))


def found_report(song: Brought, choice: Choice) -> SongReport | None:
    """The report of a song as it was made before; None where it has to be made."""
    key = decides(choice)
    known = reports().get(song.digest, key)
    if known is not None or not song.is_own:
        return known
    document = library().store.get_report(current_owner(), song.digest)
    report = None if document is None else kept.report_from(document, key, path_of(song))
    if report is not None:
        reports().put(song.digest, key, report)
    return report


def in_view(song: Brought, choice: Choice) -> SongReport | None:
    """The report of the song in view; None while it is made, or where none can be made.

    Another person's song, seen by a link, is analysed here and now where no report of it is known.
    """
    if song.is_own:
        return found_report(song, choice)
    report = report_of(song, choice)
    if isinstance(report, HitcoreError):
        raise report
    return report


def report_of(song: Brought, choice: Choice) -> SongReport | HitcoreError:
    """The report of a song, made now in this visitor's turn; or what is wrong with it."""
    known = found_report(song, choice)
    if known is not None:
        return known
    try:
        path = require(song)
        report = in_turn(lambda on_stage: _analyse(path, choice, on_stage))
    except HitcoreError as error:
        return without_name(error)
    reports().put(song.digest, decides(choice), report)
    return report


def view_of(song: Brought, key: Hashable, make: Callable[[OnStage], Value]) -> Value:
    """What `make` gives, made once for each song and key in the visitor's turn, stages shown.

    Raises:
        HitcoreError: as `make` does.
    """
    known = views().get(song.digest, key)
    if known is None:
        known = in_turn(make)
        views().put(song.digest, key, known)
    return known  # type: ignore[return-value]


def in_turn(make: Callable[[OnStage], Value]) -> Value:
    """Heavy work under a bar that names its stages, or the visitor's place in the queue.

    Raises:
        QuotaError: the visitor's seconds of work within an hour are used up.
        HitcoreError: as `make` does.
    """
    bar = st.progress(0.0, text="Starting")
    try:
        with machine_turns().wait(
            current_owner(),
            lambda place: bar.progress(0.0, text=place_words(place)),
            patient=False,
        ):
            return make(lambda stage, done: bar.progress(done, text=stage))
    finally:
        bar.empty()


def place_words(place: int) -> str:
    """What somebody in the queue is told.

    Example:
        >>> place_words(1), place_words(3)
        ('You are next: somebody else is at work', '2 before you in the queue')
    """
    if place == 1:
        return "You are next: somebody else is at work"
    return f"{place - 1} before you in the queue"


def without_name(error: HitcoreError) -> HitcoreError:
    """The same error without the song's name, which the page shows itself."""
    return error.__cause__ if isinstance(error.__cause__, HitcoreError) else error


# --- all songs of a visitor ----------------------------------------------------------------------


def want_all(first: str | None = None) -> int:
    """Have every song of the visitor analysed that has no report yet, the one in view first.

    Returns:
        How many found no room in the visitor's line, and are taken on by a later look.
    """
    owner = current_owner()
    installed = default_models()[0]
    wanted = [entry for entry in library().songs(owner) if is_wanted(entry, installed)]
    background().submit(owner, [_task(owner, e) for e in wanted if e.digest == first], first=True)
    return background().submit(owner, [_task(owner, entry) for entry in wanted])


def is_wanted(entry: Entry, installed: list[str]) -> bool:
    """Whether a song has to be analysed, anew where other models are installed by now."""
    if entry.paused or entry.fault is not None:
        return False
    key = decides(choice_kept(entry.choice), installed)
    return entry.line is None or entry.line.get("decides") != key


def remove(digests: list[str]) -> None:
    """Delete songs of the visitor with everything that was derived from them."""
    owner = current_owner()
    background().drop(owner, set(digests))
    library().remove(owner, digests)
    for digest in digests:
        _forget_unheld(library(), digest, (reports(), views()))


def _task(owner: str, entry: Entry) -> Task:
    """The analysis of one song; its thread knows nothing of Streamlit."""
    books, known, made = library(), reports(), views()
    choice, key = choice_kept(entry.choice), decides(choice_kept(entry.choice))

    def work(on_stage: OnStage) -> None:
        path = books.store.get(owner, entry.digest, used=False)
        if path is None:
            return
        report = known.get(entry.digest, key)
        if report is None:
            report = _analyse(path, choice, on_stage)
        line = {"decides": key, **line_of(report)}
        books.put_report(owner, entry.digest, kept.document_of(report, key), line)
        known.put(entry.digest, key, report)
        _forget_unheld(books, entry.digest, (known, made))  # removed in the meantime

    def on_fault(error: HitcoreError) -> None:
        books.put_fault(owner, entry.digest, str(without_name(error)))

    return Task(entry.digest, entry.name, work, on_fault)


def _analyse(path: Path, choice: Choice, on_stage: OnStage) -> SongReport:
    models = None if choice.models is None else [model_of(name) for name in choice.models]
    return analyse(
        path,
        models,
        choice.window or choice.highlight,
        choice.tagger,
        name="song",
        on_stage=on_stage,
    )


def _forget_unheld(books: Library, digest: str, caches: tuple[Latest, ...]) -> None:  # type: ignore[type-arg]
    """Drop what is known of a song that nobody has any more."""
    if not books.is_held(digest):
        for cache in caches:
            cache.forget(digest)

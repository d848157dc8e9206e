"""How the server is: its line, workers, memory, disk, versions, and what went wrong last."""

import platform
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
import streamlit as st

from hitcore.audio import walls
from hitcore.audio.isolation import Walls
from hitcore.weights import cache_folder
from ui.analyse import reports, songs
from ui.server import jobs, log
from ui.server.queue import machine_turns

PACKAGES = ("hitcore", "streamlit", "torch", "numpy", "librosa", "soundfile", "av", "duckdb")
FREE_DISK_GB = 2.0
"""With less, somebody should make room."""
FREE_MEMORY_GB = 0.5
"""With less, the next reports may not fit."""


@dataclass(frozen=True)
class Line:
    """Work that waits, and who does it."""

    n_places: int
    """Pieces of work that may be done at once."""
    n_busy: int
    """Pieces at work."""
    n_waiting: int
    """Who waits for a turn: one for each person's songs, one for each window that asks for more."""
    n_songs: int
    """Songs that wait for their analysis."""
    n_owners: int
    """People whose songs wait or are at work."""
    n_experiments: int
    """Experiments at work, beside the line."""


@dataclass(frozen=True)
class Room:
    """Memory and disk."""

    memory_gb: float
    """What the server and its children hold."""
    memory_free_gb: float
    """What the machine has left."""
    n_processes: int
    """The server and its children."""
    disk_free_gb: float
    """Left on the disk of uploads, weights and reports."""
    n_songs: int
    """Uploads kept."""
    songs_gb: float
    """What they and their reports take."""


@dataclass(frozen=True)
class Status:
    """Everything at one moment."""

    started: float
    """When the server was started, seconds since 1970."""
    n_sessions: int
    """Windows that are open."""
    line: Line
    """Work."""
    room: Room
    """Memory and disk."""
    walls: Walls
    """Around the decoders of songs."""
    versions: dict[str, str]
    """Of Python and what matters most."""
    events: dict[str, int]
    """How often each event happened since the start."""
    faults: tuple[log.Fault, ...]
    """What went wrong last, the latest first."""

    def to_mend(self) -> list[str]:
        """What somebody should do something about, a line each."""
        lines = []
        if self.room.disk_free_gb < FREE_DISK_GB:
            lines.append(
                f"{self.room.disk_free_gb:.1f} GB are free on disk: make room, set HITCORE_CACHE "
                "to another, or lower HITCORE_QUOTA_MB"
            )
        if self.room.memory_free_gb < FREE_MEMORY_GB:
            lines.append(
                f"{self.room.memory_free_gb:.1f} GB of memory are free: end other work on this "
                "machine, or restart the server when nobody waits"
            )
        if self.walls.advice:
            lines.append(f"{self.walls.sentence}: {self.walls.advice}")
        return lines


def now() -> Status:
    """How the server is now."""
    return Status(
        started=psutil.Process().create_time(),
        n_sessions=_n_sessions(),
        line=_line(),
        room=_room(),
        walls=walls(),
        versions={"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        events=dict(sorted(log.EVENTS.items())),
        faults=tuple(reversed(log.FAULTS)),
    )


def _n_sessions() -> int:
    if not st.runtime.exists():
        return 0
    found = st.runtime.get_instance().stats_mgr.get_stats(["active_sessions"])
    return sum(stat.value for stats in found.values() for stat in stats)


def _line() -> Line:
    turns, background = machine_turns(), reports.background()
    return Line(
        turns.n_places, turns.n_busy, turns.n_waiting, background.n_waiting(),
        background.n_owners(), jobs.n_at_work(),
    )  # fmt: skip


def _room() -> Room:
    folder = cache_folder()
    exists = next(path for path in (folder, *folder.parents) if path.exists())
    sizes = [_size(path) for path in songs.library().store.root.glob("*/*")]
    n_songs = sum(1 for path in songs.library().store.root.glob("*/*") if not path.suffix)
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return Room(
        memory_gb=sum(map(_resident, processes)) / 1e9,
        memory_free_gb=psutil.virtual_memory().available / 1e9,
        n_processes=len(processes),
        disk_free_gb=shutil.disk_usage(exists).free / 1e9,
        n_songs=n_songs,
        songs_gb=sum(sizes) / 1e9,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed in the meantime
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def uptime_words(seconds: float) -> str:
    """How long the server has been at work.

    Example:
        >>> uptime_words(300), uptime_words(90_000)
        ('5 min', '1 d 1 h')
    """
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"


def age_words(when: float) -> str:
    """How long ago something was, in words."""
    return f"{uptime_words(max(0.0, time.time() - when))} ago"

"""What one person may take of this server: songs, megabytes, places in the line, seconds of work.

Experiments belong to everybody, so their number is limited for all together.

The operator sets each by an environment variable; pages show how much is taken before a limit is
met. Where one is met it is said in a line, what is there stays, and nobody else notices.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hitcore.errors import HitcoreError, ParameterError

HOUR_S = 3600.0

NEARLY = 0.9
"""From this share of a limit on, people are warned."""


class QuotaError(HitcoreError):
    """Somebody has as much of this server as one person may have."""


@dataclass(frozen=True)
class Quota:
    """How much one person may have here.

    Example:
        >>> Quota(songs=2).songs, Quota().megabytes
        (2, 2000.0)
    """

    songs: int = 200
    """Songs kept at a time: HITCORE_QUOTA_SONGS."""
    megabytes: float = 2000.0
    """What these songs and their reports take on disk: HITCORE_QUOTA_MB."""
    waiting: int = 100
    """Songs in the line at a time: HITCORE_QUOTA_WAITING."""
    work_s: float = 1800.0
    """Seconds of work within any hour: HITCORE_QUOTA_WORK_S."""


@dataclass(frozen=True)
class Usage:
    """How much one person has here now, of how much."""

    songs: int
    """Songs kept."""
    megabytes: float
    """What they and their reports take on disk."""
    waiting: int
    """Songs in the line."""
    work_s: float
    """Seconds of work within the last hour."""
    quota: Quota
    """How much there may be."""

    def words(self) -> str:
        """All of it on one line.

        Example:
            >>> Usage(12, 310.2, 0, 41.0, Quota()).words()
            '12 of 200 songs · 310 of 2,000 MB · 41 of 1,800 s of work in the last hour'
            >>> Usage(12, 0.2, 3, 0.4, Quota()).words().split(" · ")[1:3]
            ['0.2 of 2,000 MB', '3 of 100 songs in the line']
        """
        return " · ".join(words for words, _ in self._parts())

    def nearly(self) -> str | None:
        """What is nearly or wholly used up, on one line; None where nothing is.

        Example:
            >>> Usage(185, 310.0, 0, 0.0, Quota()).nearly()
            '185 of 200 songs'
            >>> Usage(12, 310.0, 0, 0.0, Quota()).nearly() is None
            True
        """
        return " · ".join(words for words, share in self._parts() if share >= NEARLY) or None

    def _parts(self) -> list[tuple[str, float]]:
        """Words for each limit, and the share of it that is taken."""
        quota, shown = self.quota, []
        shown.append((_of(self.songs, quota.songs, "songs"), self.songs / quota.songs))
        shown.append((_of(self.megabytes, quota.megabytes, "MB"), self.megabytes / quota.megabytes))
        if self.waiting:
            words = _of(self.waiting, quota.waiting, "songs in the line")
            shown.append((words, self.waiting / quota.waiting))
        words = _of(self.work_s, quota.work_s, "s of work in the last hour")
        return [*shown, (words, self.work_s / quota.work_s)]


class Worked:
    """Seconds of work that each owner had within the last hour.

    Times are those of a clock that nobody sets, so that a changed time of day gives nobody more.

    Example:
        >>> now = [0.0]
        >>> worked = Worked(limit_s=10, clock=lambda: now[0])
        >>> worked.add("me", 12)
        >>> worked.seconds("me"), worked.free_in_s("me"), worked.free_in_s("you")
        (12.0, 3600.0, 0.0)
        >>> now[0] = 3600.0
        >>> worked.seconds("me"), worked.free_in_s("me")
        (0.0, 0.0)
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._pieces: dict[str, deque[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def add(self, owner: str, seconds: float) -> None:
        """Note a piece of work that ended now."""
        with self._lock:
            self._forget_old()
            self._pieces.setdefault(owner, deque()).append((self._clock(), float(seconds)))

    def seconds(self, owner: str) -> float:
        """How many seconds of work an owner had within the last hour."""
        with self._lock:
            self._forget_old()
            return sum((seconds for _, seconds in self._pieces.get(owner, ())), 0.0)

    def free_in_s(self, owner: str) -> float:
        """In how many seconds an owner may have work again; 0 for now."""
        with self._lock:
            self._forget_old()
            pieces = self._pieces.get(owner, ())
            left, free_at = sum(seconds for _, seconds in pieces), self._clock()
            for ended, seconds in pieces:
                if left < self._limit_s:
                    break
                left, free_at = left - seconds, ended + HOUR_S
            return max(0.0, free_at - self._clock())

    def _forget_old(self) -> None:
        since = self._clock() - HOUR_S
        for owner in list(self._pieces):
            pieces = self._pieces[owner]
            while pieces and pieces[0][0] <= since:
                pieces.popleft()
            if not pieces:
                del self._pieces[owner]


def quota() -> Quota:
    """What one person may have on this server, as its operator says.

    Raises:
        ParameterError: a variable holds no positive number.
    """
    usual = Quota()
    return Quota(
        songs=int(_number("HITCORE_QUOTA_SONGS", usual.songs, whole=True)),
        megabytes=_number("HITCORE_QUOTA_MB", usual.megabytes),
        waiting=int(_number("HITCORE_QUOTA_WAITING", usual.waiting, whole=True)),
        work_s=_number("HITCORE_QUOTA_WORK_S", usual.work_s),
    )


def experiments_at_once() -> int:
    """How many experiments may be at work at a time, of everybody: HITCORE_QUOTA_EXPERIMENTS.

    Raises:
        ParameterError: the variable holds no positive whole number.
    """
    return int(_number("HITCORE_QUOTA_EXPERIMENTS", 2, whole=True))


def _number(name: str, usual: float, *, whole: bool = False) -> float:
    given = os.environ.get(name, "")
    try:
        value = float(given) if given else usual
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf") or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ParameterError(f"{name} is {given!r}: {kind} above 0 is allowed, such as {usual:g}")
    return value


def _of(taken: float, limit: float, unit: str) -> str:
    """How much of how much, in figures that can be read at a glance."""
    shown = f"{taken:.1g}" if 0 < taken < 1 else f"{taken:,.0f}"
    return f"{shown} of {limit:,.0f} {unit}" if limit >= 1 else f"{shown} of {limit:g} {unit}"


def minutes(seconds: float) -> str:
    """A time to wait, in words.

    Example:
        >>> minutes(40), minutes(700)
        ('40 s', '12 min')
    """
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"

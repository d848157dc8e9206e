"""Work that goes on without its visitor: each owner's songs, one after the other, in fair turns.

A thread for each owner takes their songs in order and waits for a turn at the machine before each
one (see `ui.server.queue`), so that who brought a hundred delays nobody by more than one. Closing
the tab changes nothing. Cancelling ends the song at work at its next stage and keeps what is done.
An owner has a bounded number of songs in line; what does not fit is left to its page to offer anew.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hitcore.errors import HitcoreError
from ui.server import log
from ui.server.queue import Turns

OnStage = Callable[[str, float], None]
"""Called with each stage's name and the fraction done before it."""


@dataclass(frozen=True)
class Task:
    """One piece of work."""

    key: str
    """Unique among its owner's; one that waits already is not taken twice."""
    title: str
    """What people call it; untrusted text."""
    work: Callable[[OnStage], None]
    """Does it, and says its stages."""
    on_fault: Callable[[HitcoreError], None]
    """Called where it cannot be done."""


@dataclass(frozen=True)
class Progress:
    """How far an owner's work is."""

    n_done: int
    """Pieces finished since there was nothing to do."""
    n_total: int
    """Pieces finished, at work and waiting."""
    key: str
    """The piece at work."""
    title: str
    """What people call it; untrusted text."""
    stage: str
    """What happens to it; empty while it waits for a turn."""
    fraction: float
    """How far the piece at work is, 0 to 1."""
    place: int
    """The owner's place in the queue of all visitors, from 1; 0 when at work."""
    n_busy: int
    """How many of other owners are at work, while this one waits."""
    seconds_left: float | None
    """Until all is done, as the pieces so far went; None before the first."""
    free_in_s: float = 0.0
    """In how many seconds the owner may have work again, where theirs is used up."""


class _Cancelled(Exception):
    """Ends the piece at work from its next stage."""


class _Owner:
    """The work of one owner."""

    def __init__(self) -> None:
        self.waiting: list[Task] = []
        self.task: Task | None = None
        self.n_done = 0
        self.started = time.monotonic()
        self.stage, self.fraction, self.place = "", 0.0, 0
        self.cancelled = False


class Background:
    """The work of all owners of this server.

    Example:
        >>> background, done = Background(Turns(1)), []
        >>> task = Task("a", "A", lambda say: done.append("a"), print)
        >>> background.submit("me", [task])
        0
        >>> background.wait("me")
        True
        >>> done, background.progress("me")
        (['a'], None)
    """

    def __init__(self, turns: Turns, max_waiting: int | None = None) -> None:
        self._turns = turns
        self._max_waiting = max_waiting
        self._owners: dict[str, _Owner] = {}
        self._changed = threading.Condition()

    def submit(self, owner: str, tasks: Sequence[Task], *, first: bool = False) -> int:
        """Take on what is not at work or waiting already, as far as the owner's line has room.

        Args:
            owner: Whose work it is.
            tasks: What to do, in this order.
            first: Whether it comes before what waits.

        Returns:
            How many found no room: what comes first pushes out what comes last.
        """
        with self._changed:
            mine = self._owners.get(owner)
            known = _keys(mine)
            new = [task for task in tasks if task.key not in known]
            if first and mine is not None:
                wanted = {task.key for task in tasks}
                new += [task for task in mine.waiting if task.key in wanted]
                mine.waiting = [task for task in mine.waiting if task.key not in wanted]
            if not new:
                return 0
            if mine is None:
                mine = self._owners[owner] = _Owner()
                threading.Thread(
                    target=self._work, args=(owner, mine), name="songs", daemon=True
                ).start()
            mine.waiting[:] = [*new, *mine.waiting] if first else [*mine.waiting, *new]
            without_room = mine.waiting[self._max_waiting :] if self._max_waiting else []
            del mine.waiting[len(mine.waiting) - len(without_room) :]
            return len(without_room)

    def progress(self, owner: str) -> Progress | None:
        """How far an owner's work is; None where there is nothing to do."""
        with self._changed:
            mine = self._owners.get(owner)
            if mine is None or mine.cancelled or (mine.task is None and not mine.waiting):
                return None
            task = mine.task or mine.waiting[0]
            n_left = len(mine.waiting) + (mine.task is not None)
            spent = time.monotonic() - mine.started
            # What the piece at work has done counts, or the time left would stand still.
            done = mine.n_done + (mine.fraction if mine.stage else 0)
            left = spent / done * (mine.n_done + n_left - done) if mine.n_done else None
            return Progress(
                mine.n_done, mine.n_done + n_left, task.key, task.title, mine.stage, mine.fraction,
                mine.place, self._turns.n_busy if mine.place else 0, left,
                self._turns.worked.free_in_s(owner) if mine.place else 0.0,
            )  # fmt: skip

    def pending(self, owner: str) -> set[str]:
        """The keys of what is at work and waiting."""
        with self._changed:
            return _keys(self._owners.get(owner))

    def n_waiting(self, owner: str | None = None) -> int:
        """How many pieces of an owner's wait, of everybody's where none is named."""
        with self._changed:
            owners = self._owners.values() if owner is None else [self._owners.get(owner)]
            return sum(len(mine.waiting) for mine in owners if mine is not None)

    def n_owners(self) -> int:
        """How many owners have work here."""
        return len(self._owners)

    def drop(self, owner: str, keys: set[str]) -> None:
        """Do not do these, if they wait; end one that is at work at its next stage."""
        with self._changed:
            mine = self._owners.get(owner)
            if mine is None:
                return
            mine.waiting = [task for task in mine.waiting if task.key not in keys]
            if mine.task is not None and mine.task.key in keys:
                mine.cancelled = True

    def cancel(self, owner: str) -> list[str]:
        """Stop an owner's work, keep what is done; the keys of what is left undone."""
        with self._changed:
            left = _keys(self._owners.get(owner))
        self.drop(owner, left)
        return sorted(left)

    def wait(self, owner: str, timeout_s: float = 60.0) -> bool:
        """Wait until an owner's work is done; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: owner not in self._owners, timeout_s)

    # --- the thread of one owner -----------------------------------------------------------------

    def _work(self, owner: str, mine: _Owner) -> None:
        while True:
            with self._changed:
                if not mine.waiting:
                    del self._owners[owner]
                    self._changed.notify_all()
                    return
                mine.task, mine.cancelled = mine.waiting.pop(0), False
                mine.stage, mine.fraction = "", 0.0
            self._do(owner, mine, mine.task)
            with self._changed:
                mine.task, mine.n_done = None, mine.n_done + 1

    def _do(self, owner: str, mine: _Owner, task: Task) -> None:
        def say(stage: str, fraction: float) -> None:
            if mine.cancelled:
                raise _Cancelled
            mine.stage, mine.fraction = stage, fraction

        def say_place(place: int) -> None:
            if mine.cancelled:
                raise _Cancelled
            mine.place = place

        try:
            with self._turns.wait(owner, say_place):
                mine.place = 0
                started = time.monotonic()
                say("Starting", 0.0)
                task.work(say)
                log.event("song done", seconds=time.monotonic() - started)
        except _Cancelled:
            log.event("song cancelled")
        except HitcoreError as error:
            log.event("song refused", kind=type(error).__name__)
            self._tell(task, error)
        except Exception as error:  # a bug of ours must not end what waits behind it
            log.fault("song failed", error)
            fault = f"a fault of the app itself ({type(error).__name__}): its log has the details"
            self._tell(task, HitcoreError(fault))
        finally:
            mine.place = 0

    @staticmethod
    def _tell(task: Task, error: HitcoreError) -> None:
        """Say what is wrong with a piece; a disk that is full can keep not even that."""
        try:
            task.on_fault(error)
        except HitcoreError as second:
            log.fault("keeping a fault", second)


def _keys(mine: _Owner | None) -> set[str]:
    if mine is None:
        return set()
    now = set() if mine.task is None else {mine.task.key}
    return now | {task.key for task in mine.waiting}

"""Turns at the machine: heavy work of all visitors waits in one line, one song at a time.

Twenty analyses at once on two cores would make everyone wait for everyone. So each song of each
visitor takes a turn, at most `n_places` at a time; whoever waits sees their place. The line goes
round its owners: nobody has a second turn while somebody who waits has had none, however many
songs or windows somebody has. Whoever has used up their seconds of work within an hour waits until
some of them are an hour ago, and others pass.

References:
    A. Demers, S. Keshav, S. Shenker, "Analysis and simulation of a fair queueing algorithm",
    SIGCOMM 1989: rounds are their virtual time, and a turn is one unit of it.
"""

import os
import threading
import time
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st

from ui.server import log
from ui.server.quotas import QuotaError, Worked, minutes, quota

SAY_EVERY_S = 2.0
"""Who waits is told their place at least so often."""


@dataclass(order=True, frozen=True)
class _Ticket:
    """A place in the line: by rounds, and within a round by arrival."""

    round: int
    number: int
    owner: str = field(compare=False)


class Turns:
    """A fair line for a bounded number of places.

    Example:
        >>> turns = Turns(n_places=1)
        >>> with turns.wait("me"):
        ...     turns.n_busy
        1
        >>> turns.n_busy
        0
    """

    def __init__(self, n_places: int, worked: Worked | None = None) -> None:
        self.n_places = n_places
        self.worked = Worked(float("inf")) if worked is None else worked
        self._changed = threading.Condition()
        self._line: list[_Ticket] = []
        self._busy = 0
        self._tickets_given = 0
        self._round = 0
        self._rounds: dict[str, int] = {}

    @property
    def n_busy(self) -> int:
        """How many are at work now."""
        return self._busy

    @property
    def n_waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    @contextmanager
    def wait(
        self, owner: str, on_place: Callable[[int], None] | None = None, *, patient: bool = True
    ) -> Iterator[None]:
        """Hold a place while the block runs; wait for it first.

        Args:
            owner: Whose turn it is.
            on_place: Called with one's place in the queue, 1 for the next: when it changes, and
                every two seconds. An exception from it (a visitor who left) gives the place in the
                line back.
            patient: Whether to stay in line while the owner's seconds of work are used up.

        Raises:
            QuotaError: they are used up, and it is not worth waiting.
        """
        ticket = self._ticket(owner)
        try:
            self._stand(ticket, on_place, patient=patient)
        except BaseException:
            self._leave(ticket)
            raise
        started = time.monotonic()
        try:
            yield
        finally:
            self.worked.add(owner, time.monotonic() - started)
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _ticket(self, owner: str) -> _Ticket:
        """Join the line in the round after one's last, and in none that is over."""
        with self._changed:
            over = [name for name, last in self._rounds.items() if last < self._round]
            for name in over:
                del self._rounds[name]
            self._rounds[owner] = max(self._round, self._rounds.get(owner, 0) + 1)
            self._tickets_given += 1
            ticket = _Ticket(self._rounds[owner], self._tickets_given, owner)
            insort(self._line, ticket)
            return ticket

    def _leave(self, ticket: _Ticket) -> None:
        """Go away without a turn: it does not count as one."""
        with self._changed:
            self._line.remove(ticket)
            mine = [other.round for other in self._line if other.owner == ticket.owner]
            self._rounds[ticket.owner] = max([ticket.round - 1, *mine])
            self._changed.notify_all()

    def _place(self, ticket: _Ticket) -> int:
        """The place in line, counting those before who may have a turn now."""
        before = self._line[: self._line.index(ticket)]
        return 1 + sum(not self.worked.free_in_s(other.owner) for other in before)

    def _stand(
        self, ticket: _Ticket, on_place: Callable[[int], None] | None, *, patient: bool
    ) -> None:
        """Return once it is the turn of `ticket` and a place is free; the place is then taken."""
        said, said_at = 0, 0.0
        while True:
            free_in_s = self.worked.free_in_s(ticket.owner)
            if free_in_s and not patient:
                log.event("quota met", of="seconds of work")
                raise QuotaError(used_up_words(free_in_s))
            with self._changed:
                place = self._place(ticket)
                if place == 1 and not free_in_s and self._busy < self.n_places:
                    self._line.remove(ticket)
                    self._busy += 1
                    self._round = max(self._round, ticket.round)
                    self._changed.notify_all()
                    return
                self._changed.wait(timeout=0.5)
            now = time.monotonic()
            if on_place is not None and (place != said or now - said_at >= SAY_EVERY_S):
                on_place(place)
                said, said_at = place, now


def used_up_words(free_in_s: float) -> str:
    """What somebody is told whose seconds of work are used up.

    Example:
        >>> used_up_words(700)
        'your seconds of work within an hour are used up: there are more in 12 min'
    """
    return (
        f"your seconds of work within an hour are used up: there are more in {minutes(free_in_s)}"
    )


@st.cache_resource(show_spinner=False)
def machine_turns() -> Turns:
    """The one line of this server: half as many places as cores, at least one."""
    return Turns(max(1, (os.cpu_count() or 2) // 2), Worked(quota().work_s))

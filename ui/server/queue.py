"""Turns at the machine: heavy work of all visitors waits in one line, one song at a time.

Twenty analyses at once on two cores would make everyone wait for everyone. So each song of each
visitor takes a turn: first come, first served, at most `n_places` at a time; whoever waits sees
their place. A visitor with many songs goes back to the end of the line after each of them.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

SAY_EVERY_S = 2.0
"""Who waits is told their place at least so often."""


class Turns:
    """A fair line for a bounded number of places.

    Example:
        >>> turns = Turns(n_places=1)
        >>> with turns.wait():
        ...     turns.n_busy
        1
        >>> turns.n_busy
        0
    """

    def __init__(self, n_places: int) -> None:
        self._n_places = n_places
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._busy = 0

    @property
    def n_busy(self) -> int:
        """How many are at work now."""
        return self._busy

    @property
    def n_waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    @contextmanager
    def wait(self, on_place: Callable[[int], None] | None = None) -> Iterator[None]:
        """Hold a place while the block runs; wait for it first.

        Args:
            on_place: Called with one's place in the queue, 1 for the next: when it changes, and
                every two seconds. An exception from it (a visitor who left) gives the place in the
                line back.
        """
        ticket = object()
        with self._changed:
            self._line.append(ticket)
        try:
            self._stand(ticket, on_place)
        except BaseException:
            with self._changed:
                self._line.remove(ticket)
                self._changed.notify_all()
            raise
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _stand(self, ticket: object, on_place: Callable[[int], None] | None) -> None:
        """Return once `ticket` is first in line and a place is free; the place is then taken."""
        said, said_at = 0, 0.0
        while True:
            with self._changed:
                place = self._line.index(ticket) + 1
                if place == 1 and self._busy < self._n_places:
                    self._line.popleft()
                    self._busy += 1
                    self._changed.notify_all()
                    return
                self._changed.wait(timeout=0.5)
            now = time.monotonic()
            if on_place is not None and (place != said or now - said_at >= SAY_EVERY_S):
                on_place(place)
                said, said_at = place, now


@st.cache_resource
def machine_turns() -> Turns:
    """The one line of this server: half as many places as cores, at least one."""
    return Turns(n_places=max(1, (os.cpu_count() or 2) // 2))

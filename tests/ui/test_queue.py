"""The line at the machine is fair and never lets more in than there are places."""

import threading
import time
from collections.abc import Callable

import pytest

from ui.server.queue import Turns
from ui.server.quotas import HOUR_S, QuotaError, Worked


def test_first_come_first_served_and_never_more_than_the_places() -> None:
    turns, order, most, started = Turns(n_places=2), [], [], []
    gate = threading.Event()

    def visit(number: int) -> None:
        with turns.wait(f"person {number}"):
            order.append(number)
            most.append(turns.n_busy)
            gate.wait(5)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for thread in threads:  # one after the other, so that the order of arrival is known
        thread.start()
        started.append(thread)
        deadline = time.monotonic() + 5
        while turns.n_busy + turns.n_waiting < len(started) and time.monotonic() < deadline:
            time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert sorted(order) == list(range(6))
    assert order[:2] == [0, 1]
    assert max(most) == 2
    assert (turns.n_busy, turns.n_waiting) == (0, 0)


def test_who_waits_sees_their_place() -> None:
    turns, places = Turns(n_places=1), []
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.wait("me"):
            inside.set()
            leave.wait(10)

    def note(place: int) -> None:
        places.append(place)
        leave.set()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(5)
    with turns.wait("me", note):
        assert places[0] == 1
    holder.join(5)


def test_a_place_that_stays_is_not_said_at_every_stir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.server.queue.SAY_EVERY_S", float("inf"))
    turns, places, told = Turns(n_places=1), [], threading.Event()

    def note(place: int) -> None:
        places.append(place)
        told.set()

    def wait() -> None:
        with turns.wait("waiter", note):
            pass

    def leave(place: int) -> None:
        raise ConnectionError("the visitor closed the page")

    waiter = threading.Thread(target=wait)
    with turns.wait("me"):
        waiter.start()
        assert told.wait(30)
        for _ in range(3):  # others who come and go wake up all who wait
            with pytest.raises(ConnectionError), turns.wait("other", leave):
                pytest.fail("the place was taken")
    waiter.join(30)
    assert places == [1]


def test_who_leaves_the_line_gives_the_place_back() -> None:
    turns = Turns(n_places=1)

    def leave(place: int) -> None:
        raise ConnectionError("the visitor closed the page")

    with turns.wait("me"):
        with pytest.raises(ConnectionError), turns.wait("other", leave):
            pytest.fail("the place was taken")
        assert turns.n_waiting == 0
    with turns.wait("me"):
        assert turns.n_busy == 1


def test_a_failing_analysis_gives_the_place_back() -> None:
    turns = Turns(n_places=1)
    with pytest.raises(ValueError, match="bad song"), turns.wait("me"):
        raise ValueError("bad song")
    assert turns.n_busy == 0


# --- fairness over owners ------------------------------------------------------------------------


class Line:
    """People who join one after the other while the machine is busy; the order of their turns."""

    def __init__(self, n_places: int = 1, worked: Worked | None = None) -> None:
        self.turns, self.order = Turns(n_places, worked), list[str]()
        self._leave, self._threads = threading.Event(), list[threading.Thread]()
        for _ in range(n_places):
            self._start("first", lambda: self._leave.wait(30), "")

    def join(self, owner: str, name: str) -> None:
        self._start(owner, lambda: None, name)

    def _start(self, owner: str, work: Callable[[], object], name: str) -> None:
        before = self.turns.n_busy + self.turns.n_waiting

        def visit() -> None:
            with self.turns.wait(owner):
                if name:
                    self.order.append(name)
                work()

        thread = threading.Thread(target=visit, daemon=True)
        self._threads.append(thread)
        thread.start()
        deadline = time.monotonic() + 20
        while self.turns.n_busy + self.turns.n_waiting == before and time.monotonic() < deadline:
            time.sleep(0.001)

    def served(self) -> list[str]:
        self._leave.set()
        for thread in self._threads:
            thread.join(30)
        return self.order


def test_who_floods_the_line_delays_another_by_one_turn() -> None:
    line = Line()
    for number in range(6):  # one person with six windows, who was there first
        line.join("many", f"many {number}")
    line.join("few", "few 0")
    line.join("few", "few 1")
    line.join("one", "one 0")
    expected = "many 0, few 0, one 0, many 1, few 1, many 2, many 3, many 4, many 5"
    assert line.served() == expected.split(", ")


def test_who_was_served_long_ago_has_saved_nothing_up_and_owes_nothing() -> None:
    """A round that is over counts for nobody: neither as credit nor as debt."""
    turns = Turns(1)
    for _ in range(9):
        with turns.wait("old"):
            pass
    line = Line()
    line.turns._round, line.turns._rounds = turns._round, dict(turns._rounds)
    line.join("new", "new 0")
    line.join("old", "old 0")
    line.join("new", "new 1")
    line.join("old", "old 1")
    assert line.served() == ["new 0", "old 0", "new 1", "old 1"]


def test_windows_that_were_closed_do_not_count_as_turns() -> None:
    line = Line()

    def leave(place: int) -> None:
        raise ConnectionError("the visitor closed the page")

    for _ in range(5):
        with pytest.raises(ConnectionError), line.turns.wait("closes", leave):
            pytest.fail("the place was taken")
    line.join("other", "other 0")
    line.join("other", "other 1")
    line.join("closes", "closes 0")
    assert line.served() == ["other 0", "closes 0", "other 1"]


# --- seconds of work -----------------------------------------------------------------------------


def test_whose_seconds_are_used_up_waits_and_others_pass() -> None:
    now = [0.0]
    worked = Worked(10, clock=lambda: now[0])
    worked.add("greedy", 11)
    line = Line(worked=worked)
    line.join("greedy", "greedy 0")
    line.join("other", "other 0")
    line.join("other", "other 1")
    line._leave.set()
    deadline = time.monotonic() + 30
    while len(line.order) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert line.turns.n_waiting == 1
    assert line.order == ["other 0", "other 1"]
    now[0] = HOUR_S
    assert line.served() == ["other 0", "other 1", "greedy 0"]


def test_who_will_not_wait_an_hour_is_told() -> None:
    worked = Worked(10, clock=lambda: 0.0)
    worked.add("greedy", 10)
    turns = Turns(1, worked)
    told = pytest.raises(QuotaError, match="used up: there are more in 60 min")
    with told, turns.wait("greedy", patient=False):
        pytest.fail("the place was taken")
    assert turns.n_waiting == 0


def test_a_turn_costs_what_it_took() -> None:
    turns = Turns(1, Worked(1000))
    with turns.wait("me"):
        threading.Event().wait(0.05)
    assert turns.worked.seconds("me") >= 0.05
    assert turns.worked.seconds("you") == 0

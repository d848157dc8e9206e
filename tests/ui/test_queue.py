"""The line at the machine is fair and never lets more in than there are places."""

import threading
import time

import pytest

from ui.server.queue import Turns


def test_first_come_first_served_and_never_more_than_the_places() -> None:
    turns, order, most, started = Turns(n_places=2), [], [], []
    gate = threading.Event()

    def visit(number: int) -> None:
        with turns.wait():
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
        with turns.wait():
            inside.set()
            leave.wait(10)

    def note(place: int) -> None:
        places.append(place)
        leave.set()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(5)
    with turns.wait(note):
        assert places[0] == 1
    holder.join(5)


def test_a_place_that_stays_is_not_said_at_every_stir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.server.queue.SAY_EVERY_S", float("inf"))
    turns, places, told = Turns(n_places=1), [], threading.Event()

    def note(place: int) -> None:
        places.append(place)
        told.set()

    def wait() -> None:
        with turns.wait(note):
            pass

    def leave(place: int) -> None:
        raise ConnectionError("the visitor closed the page")

    waiter = threading.Thread(target=wait)
    with turns.wait():
        waiter.start()
        assert told.wait(30)
        for _ in range(3):  # others who come and go wake up all who wait
            with pytest.raises(ConnectionError), turns.wait(leave):
                pytest.fail("the place was taken")
    waiter.join(30)
    assert places == [1]


def test_who_leaves_the_line_gives_the_place_back() -> None:
    turns = Turns(n_places=1)

    def leave(place: int) -> None:
        raise ConnectionError("the visitor closed the page")

    with turns.wait():
        with pytest.raises(ConnectionError), turns.wait(leave):
            pytest.fail("the place was taken")
        assert turns.n_waiting == 0
    with turns.wait():
        assert turns.n_busy == 1


def test_a_failing_analysis_gives_the_place_back() -> None:
    turns = Turns(n_places=1)
    with pytest.raises(ValueError, match="bad song"), turns.wait():
        raise ValueError("bad song")
    assert turns.n_busy == 0

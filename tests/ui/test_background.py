"""Work without its visitor: in order, apart for each owner, cancelled without loss."""

import threading
from collections.abc import Callable

from hitcore.errors import HitcoreError
from ui.server.background import Background, OnStage, Progress, Task
from ui.server.queue import Turns
from ui.server.quotas import HOUR_S, Worked


def task(key: str, done: list[str], gate: threading.Event | None = None, n: int = 3) -> Task:
    """Says n stages, waits for the gate between them, and notes that it is done."""

    def work(say: OnStage) -> None:
        for stage in range(n):
            say(f"Stage {stage}", stage / n)
            if gate is not None:
                assert gate.wait(20)
        done.append(key)

    return Task(key, f"Song {key}", work, lambda error: done.append(f"{key}: {error}"))


def until(truth: Callable[[], bool]) -> None:
    for _ in range(4000):
        if truth():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come true in twenty seconds")


def test_songs_are_done_in_order_and_the_first_wanted_first() -> None:
    background, done, gate = Background(Turns(1)), [], threading.Event()
    background.submit("me", [task("a", done, gate), task("b", done), task("c", done)])
    until(lambda: bool(_progress(background).stage))
    background.submit("me", [task("c", done)], first=True)
    background.submit("me", [task("b", done), task("a", done)])  # known already
    gate.set()
    assert background.wait("me", 20)
    assert done == ["a", "c", "b"]


def test_progress_counts_names_and_estimates() -> None:
    background, done, gate = Background(Turns(1)), [], threading.Event()
    assert background.progress("me") is None
    background.submit("me", [task("a", done), task("b", done, gate), task("c", done)])
    until(lambda: done == ["a"] and bool(_progress(background).stage))
    progress = _progress(background)
    assert (progress.n_done, progress.n_total, progress.title) == (1, 3, "Song b")
    assert progress.stage == "Stage 0"
    assert progress.seconds_left is not None
    assert progress.seconds_left > 0
    assert background.pending("me") == {"b", "c"}
    gate.set()
    assert background.wait("me", 20)
    assert background.progress("me") is None


def test_cancelling_keeps_what_is_done_and_ends_what_is_at_work() -> None:
    background, done, gate = Background(Turns(1)), [], threading.Event()
    background.submit("me", [task("a", done), task("b", done, gate), task("c", done)])
    until(lambda: done == ["a"] and bool(_progress(background).stage))
    assert background.cancel("me") == ["b", "c"]
    assert background.progress("me") is None
    gate.set()
    assert background.wait("me", 20)
    assert done == ["a"]
    background.submit("me", [task("b", done)])  # and it can be taken up again
    assert background.wait("me", 20)
    assert done == ["a", "b"]


def test_a_song_that_is_removed_is_not_done() -> None:
    background, done, gate = Background(Turns(1)), [], threading.Event()
    background.submit("me", [task("a", done, gate), task("b", done), task("c", done)])
    background.drop("me", {"b"})
    gate.set()
    assert background.wait("me", 20)
    assert done == ["a", "c"]


def test_who_brings_many_delays_others_by_one_song() -> None:
    background, done, gate = Background(Turns(1)), [], threading.Event()
    many = [task(f"many-{i}", done, gate if i == 0 else None) for i in range(5)]
    background.submit("many", many)
    until(lambda: bool(_progress(background, "many").stage))
    background.submit("one", [task("one", done)])
    until(lambda: _progress(background, "one").place == 1)
    assert _progress(background, "one").n_busy == 1
    gate.set()
    assert background.wait("many", 20)
    assert background.wait("one", 20)
    assert done.index("one") == 1


def test_two_who_flood_and_one_who_does_not_are_served_in_turn() -> None:
    turns, done, left = Turns(1), list[str](), {"a": 4, "b": 4, "c": 1}
    background = Background(turns)

    def piece(owner: str, number: int) -> Task:
        def work(say: OnStage) -> None:
            # Nobody's turn ends before everybody else who has work stands in line.
            until(lambda: turns.n_waiting == sum(n > 0 for o, n in left.items() if o != owner))
            left[owner] -= 1
            done.append(f"{owner}{number}")

        return Task(f"{owner}{number}", "", work, lambda error: None)

    for owner in left:
        background.submit(owner, [piece(owner, number) for number in range(left[owner])])
        if owner != "c":  # with the last one there, all of it begins
            until(lambda owner=owner: turns.n_busy + turns.n_waiting == "abc".index(owner) + 1)
    for owner in left:
        assert background.wait(owner, 60)
    assert done == ["a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3", "b3"]


def test_an_owners_line_has_bounded_room_and_what_is_first_has_it() -> None:
    background, done, gate = Background(Turns(1), max_waiting=3), [], threading.Event()
    background.submit("me", [task("a", done, gate)])
    until(lambda: bool(_progress(background).stage))
    assert background.submit("me", [task(key, done) for key in "bcdef"]) == 2
    assert background.pending("me") == set("abcd")
    assert background.submit("me", [task("f", done)], first=True) == 1
    assert background.pending("me") == set("abcf")
    assert background.submit("you", [task("g", done)]) == 0  # another's room is another's
    assert (background.n_waiting("me"), background.n_owners()) == (3, 2)
    gate.set()
    assert background.wait("me", 20)
    assert background.wait("you", 20)
    assert [key for key in done if key != "g"] == ["a", "f", "b", "c"]


def test_an_owner_whose_seconds_are_used_up_is_told_when_it_goes_on() -> None:
    now = [0.0]
    turns = Turns(1, Worked(5, clock=lambda: now[0]))
    background, done = Background(turns), []
    turns.worked.add("me", 6)
    background.submit("me", [task("a", done)])
    background.submit("you", [task("b", done)])
    assert background.wait("you", 20)
    until(lambda: _progress(background).place == 1)
    assert _progress(background).free_in_s == HOUR_S
    assert done == ["b"]
    now[0] = HOUR_S
    assert background.wait("me", 20)
    assert done == ["b", "a"]


def test_a_lone_visitor_is_never_told_to_wait() -> None:
    background, done, places = Background(Turns(1)), [], []

    def work(say: OnStage) -> None:
        places.append(_progress(background).place)
        done.append("x")

    background.submit("me", [Task(str(i), "", work, lambda error: None) for i in range(3)])
    assert background.wait("me", 20)
    assert places == [0, 0, 0]


def test_what_fails_is_told_and_what_follows_is_done() -> None:
    background, done = Background(Turns(1)), []

    def fails(say: OnStage) -> None:
        raise HitcoreError("no sound in it")

    def breaks(say: OnStage) -> None:
        raise ZeroDivisionError

    told: list[str] = []
    background.submit(
        "me",
        [
            Task("a", "A", fails, lambda error: told.append(str(error))),
            Task("b", "B", breaks, lambda error: told.append(str(error))),
            task("c", done),
        ],
    )
    assert background.wait("me", 20)
    assert done == ["c"]
    assert told[0] == "no sound in it"
    assert "ZeroDivisionError" in told[1]


def _progress(background: Background, owner: str = "me") -> Progress:
    found = background.progress(owner)
    return found or Progress(0, 0, "", "", "", 0.0, 0, 0, None)

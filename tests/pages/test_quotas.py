"""Analyse near and at a limit: shown before, one line when it is met, nothing of others touched."""

import re

import pytest

from tests.pages.test_analyse import (  # noqa: F401  (fixtures)
    digest,
    installed,
    run_until_done,
    sound,
    titles,
    visit,
)
from tests.ui.test_background import until
from ui.analyse import reports, songs
from ui.server.quotas import Quota, QuotaError

SMALL = Quota(songs=10, megabytes=20, waiting=2, work_s=1000)


@pytest.fixture
def small(digest: str, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    """A server where nobody may have much; one song of this person is there."""
    monkeypatch.setattr(songs.library(), "quota", SMALL)
    reports.background.clear()
    return digest


def captions(app: object) -> list[str]:
    return [element.value for element in app.caption]  # type: ignore[attr-defined]


def test_what_is_taken_is_shown_and_said_louder_near_the_limit(small: str) -> None:
    app = run_until_done(visit().run())
    shown = next(words for words in captions(app) if "of 10 songs" in words)
    assert shown.startswith("1 of 10 songs · 1 of 20 MB · ")
    assert "of 1,000 s of work in the last hour" in shown
    assert not app.warning
    for number in range(8):
        songs.library().add("session:me", f"{number}", b"%d" % number)
    app = run_until_done(app.run())
    (warning,) = app.warning
    assert warning.value.startswith("You have 9 of 10 songs: ")


def test_what_does_not_fit_is_refused_in_one_line_and_the_rest_is_kept(small: str) -> None:
    app = visit().run()
    many = [(f"{number}.wav", b"%d" % number, "audio/wav") for number in range(12)]
    app = run_until_done(app.file_uploader[0].set_value(many).run())
    (refused,) = [element.value for element in app.error if "not kept" in element.value]
    assert "3 of 12 songs were not kept" in refused.replace("\\", "")
    assert "you have 10 of 10 songs here" in refused.replace("\\", "")
    assert len(songs.library().songs("session:me")) == 10
    songs.library().add("session:another", "theirs", sound())  # nobody else notices
    next(button for button in app.button if button.label == "Dismiss").click().run()
    assert not [element for element in app.error if "not kept" in element.value]


def test_songs_beyond_the_line_are_kept_and_join_it_later(small: str) -> None:
    turns = reports.machine_turns()
    with turns.wait("somebody else"):  # nothing is done meanwhile
        for number in range(4):
            songs.library().add("session:me", f"{number}.wav", sound() + bytes([number]))
        app = visit().run()
        said = "\n".join(element.value for element in app.info)
        # Of five songs two wait, and one more where the owner's thread has taken it up already.
        assert re.search(r"Your line is full with 2 songs\. [23] more are kept", said)
        until(lambda: reports.background().progress("session:me").place == 1)
        app.run()
        assert reports.background().n_waiting("session:me") == 2
        shown = next(words for words in captions(app) if "songs in the line" in words)
        assert "2 of 2 songs in the line" in shown
    app = run_until_done(app.run())
    app = run_until_done(app.run())
    entries = songs.library().songs("session:me")
    assert [entry.name for entry in entries if entry.line is None] == []


def test_whose_seconds_are_used_up_is_told_and_another_works(small: str) -> None:
    turns = reports.machine_turns()
    worked = turns.worked
    worked.add("session:me", 1e9)
    try:
        app = visit().run()
        until(lambda: bool(reports.background().progress("session:me").free_in_s))
        app.run()
        words = "\n".join(element.proto.text for element in app.get("progress"))
        assert "your seconds of work within an hour are used up" in words.replace("\\", "")
        told = pytest.raises(QuotaError, match="there are more in 60 min")
        with told, turns.wait("session:me", patient=False):
            pytest.fail("there was work")
        with turns.wait("session:you", patient=False):
            assert turns.n_busy == 1
    finally:
        reports.background().cancel("session:me")
        worked._pieces.clear()
        assert reports.background().wait("session:me")

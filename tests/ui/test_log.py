"""One line for each event, and nothing in it of the songs or the people."""

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit.logger
from streamlit.testing.v1 import AppTest

from tests.pages import test_analyse
from tests.pages.test_analyse import digest, installed, run_until_done, sound  # noqa: F401
from ui.analyse import reports, songs
from ui.server import log
from ui.server.background import Task

TITLE = "Zanzibar Quixotic"
ADDRESS = "xenia@distinctive.example"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logs as the server does."""
    root, kept = logging.getLogger(), logging.getLogger().handlers[:]
    monkeypatch.setattr(streamlit.logger, "setup_formatter", streamlit.logger.setup_formatter)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(logging, "_warnings_showwarning", logging._warnings_showwarning)
    log.EVENTS.clear()
    log.FAULTS.clear()
    with warnings.catch_warnings():
        stream = io.StringIO()
        log.set_up(stream)
        yield stream
    root.handlers[:] = kept
    logging.captureWarnings(False)


def test_a_visit_leaves_lines_and_no_title_no_address_no_hash(
    digest: str,  # noqa: F811
    written: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person with an address analyses, fails, is refused, and meets a bug of ours."""
    owner = f"person:{ADDRESS}"
    for module in (songs, reports, test_analyse.songs):
        monkeypatch.setattr(module, "current_owner", lambda: owner)
    monkeypatch.setattr("ui.analyse.table.current_owner", lambda: owner)
    app = AppTest.from_file(str(test_analyse.PAGE), default_timeout=120)
    given = [(f"{TITLE}.wav", sound(), "audio/wav"), (f"{TITLE} 2.wav", b"no sound", "audio/wav")]
    app.run().file_uploader[0].set_value(given).run()
    assert reports.background().wait(owner, 300)
    app.run()
    assert TITLE in "\n".join(element.value for element in (*app.markdown, *app.error))

    def breaks(_: object) -> None:
        raise ValueError(f"{TITLE} by {ADDRESS}\nin two lines")

    reports.background().submit(owner, [Task("b", TITLE, breaks, lambda error: None)])
    assert reports.background().wait(owner, 20)
    bad = AppTest.from_string(f"raise KeyError('{TITLE} {ADDRESS}')", default_timeout=60).run()
    assert bad.exception
    first = songs.library().songs(owner)[0].digest
    reports.background().cancel(owner)
    songs.library().remove(owner, [first])

    found = written.getvalue().splitlines()
    text = "\n".join(found)
    for secret in (*TITLE.split(), ADDRESS, *ADDRESS.split("@"), first, "session:", "person:"):
        assert secret not in text, text
    for event in ("song kept", "song done", "song refused kind=AudioError", "songs removed",
                  "song failed ValueError at test_log.py:"):  # fmt: skip
        assert sum(event in line for line in found) >= 1, (event, text)
    assert all(line[:4].isdigit() and line[4] == "-" for line in found), text
    assert log.EVENTS["song kept"] == 2
    assert [fault.line for fault in log.FAULTS if "song failed" in fault.line]
    assert not [fault for fault in log.FAULTS if TITLE in fault.line]


def test_an_error_is_one_line_with_its_place(written: io.StringIO) -> None:
    def breaks() -> None:
        raise KeyError(TITLE)

    try:
        breaks()
    except KeyError as error:
        log.fault("looking", error)
    logging.getLogger("uvicorn.error").info('192.0.2.7:1 - "WebSocket /?song=x" [accepted]')
    logging.getLogger("streamlit.any").error("a page broke for %s", TITLE, exc_info=True)
    (looked, other) = written.getvalue().splitlines()
    assert looked.endswith(f"ERROR looking KeyError at {Path(__file__).name}:{breaks_line()}")
    assert other.endswith("ERROR uncaught error")
    assert [fault.line for fault in log.FAULTS] == [looked, other]


def breaks_line() -> int:
    source = Path(__file__).read_text().splitlines()
    return source.index("        raise KeyError(TITLE)") + 1

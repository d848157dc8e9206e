"""Status: the state of the server for who runs it, the same as figures, for nobody else."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from streamlit.testing.v1 import AppTest

from hitcore.audio.isolation import Walls
from tests.pages.test_analyse import digest, installed  # noqa: F401
from ui.operators import metrics, status
from ui.server import access, log

PAGE = Path(__file__).resolve().parents[2] / "pages" / "status.py"


@pytest.mark.parametrize("is_admin", [True, False])
def test_the_page_is_for_operators_alone(
    is_admin: bool,
    digest: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "is_admin", lambda: is_admin)
    app = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not app.exception
    tables = [list(frame.value.columns) for frame in app.dataframe]
    assert bool(tables) is is_admin
    assert len(app.error) == (not is_admin)
    if is_admin:
        room = next(frame.value for frame in app.dataframe if "Room" in frame.value)
        assert room.set_index("Room").loc["Songs kept", "Now"].startswith("1, ")
        shown = "\n".join(frame.value.to_csv() for frame in app.dataframe)
        assert "noise" not in shown
        assert digest not in shown


def test_the_figures_are_those_of_the_state(digest: str) -> None:  # noqa: F811
    log.EVENTS["tried"] = 3
    families = {
        family.name: family
        for family in text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode())
    }
    found = status.now()
    assert families["hitcore_songs"].samples[0].value == found.room.n_songs == 1
    assert families["hitcore_places"].samples[0].value == found.line.n_places
    events = {s.labels["event"]: s.value for s in families["hitcore_events"].samples}
    assert events["tried"] == 3
    assert (
        families["hitcore_versions_info"].samples[0].labels["hitcore"] == found.versions["hitcore"]
    )
    assert families["process_open_fds"].samples[0].value > 0


def test_what_runs_short_is_said_with_what_to_do(
    digest: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status, "FREE_DISK_GB", 0)
    monkeypatch.setattr(status, "FREE_MEMORY_GB", 0)
    monkeypatch.setattr(status, "walls", lambda: Walls(True, 7))
    assert status.now().to_mend() == []
    monkeypatch.setattr(status, "FREE_DISK_GB", 1e9)
    monkeypatch.setattr(status, "FREE_MEMORY_GB", 1e9)
    monkeypatch.setattr(status, "walls", lambda: Walls(False, 0, "no filter", "no Landlock"))
    disk, memory, decoders = status.now().to_mend()
    assert "run without a sandbox" in decoders
    assert "install libseccomp" in decoders
    assert "make room" in disk
    assert "end other work" in memory

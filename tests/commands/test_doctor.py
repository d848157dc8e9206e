"""`hitcore doctor` says what is there, and what to do about what is not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hitcore import cli, weights
from hitcore.commands import doctor


def test_it_names_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    found = {one["subject"]: one for one in json.loads(result.stdout)}
    assert result.exit_code == 2, "the tagger is needed and not there"
    assert not found["weights musicnn-mtt"]["ok"]
    assert "hitcore weights fetch musicnn-mtt" in found["weights musicnn-mtt"]["advice"]
    assert found["weights kkbox-ret30"]["ok"], "the published network is optional"
    assert found["decoder"]["ok"]
    assert found["torch"]["state"][0].isdigit()
    assert found["weights demo-j"]["state"] == "shipped"


def test_damaged_weights_and_a_full_disk_are_faults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def damaged(name: str) -> None:
        raise weights.WeightsError(f"{name} is damaged")

    monkeypatch.setattr(weights, "is_installed", lambda name: True)
    monkeypatch.setattr(weights, "load", damaged)
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 1e9)
    found = {one.subject: one for one in doctor.examine()}
    assert found["weights musicnn-mtt"].state == "musicnn-mtt is damaged"
    assert not found["disk"].ok


def test_as_text_each_thing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(cli.app, ["doctor"])
    lines = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert all(line[:2] in ("ok", "--") for line in lines)
    assert any(line.startswith("ok  python: 3") for line in lines)

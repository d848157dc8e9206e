"""The workspace folder: marker, paths, locks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError


def test_create_open_and_create_again(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "deep" / "ws")
    made.songs.write_text("kept")
    assert Workspace.open(tmp_path / "deep" / "ws") == made == Workspace.create(made.path)
    assert made.songs.read_text() == "kept"


def test_an_empty_folder_may_become_one(tmp_path: Path) -> None:
    assert Workspace.create(tmp_path).path == tmp_path


def test_layout(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    paths = [
        workspace.songs,
        workspace.hit_scores,
        workspace.daily_shares,
        workspace.features_folder("ab12"),
        workspace.run_folder("r1"),
        workspace.ledger,
    ]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "songs.parquet",
        "hit_scores.parquet",
        "daily_shares",
        os.path.join("features", "ab12"),
        os.path.join("runs", "r1"),
        "ledger.sqlite",
    ]


def test_refuses_what_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="demo create"):
        Workspace.open(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    for attempt in (Workspace.open, Workspace.create):
        with pytest.raises(DataError):
            attempt(tmp_path / "file")
    with pytest.raises(DataError, match="other things"):
        Workspace.create(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (json.dumps({"format": "hitcore-workspace", "version": 999}), "version 999"),
        (json.dumps({"format": "other", "version": 1}), "another format"),
        ("[]", "another format"),
        ("{", "cannot be read"),
    ],
)
def test_refuses_other_versions(tmp_path: Path, marker: str, message: str) -> None:
    (tmp_path / "workspace.json").write_text(marker)
    for attempt in (Workspace.open, Workspace.create):
        with pytest.raises(DataError, match=message):
            attempt(tmp_path)
    assert (tmp_path / "workspace.json").read_text() == marker


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\\b", "x" * 129, "a\n"])
def test_names_are_never_paths(tmp_path: Path, name: str) -> None:
    workspace = Workspace.create(tmp_path)
    for attempt in (workspace.run_folder, workspace.features_folder):
        with pytest.raises(ParameterError, match="letters, digits"):
            attempt(name)
    with pytest.raises(ParameterError), workspace.lock(name):
        pass


def test_a_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    other = (
        "import sys; from hitcore.catalogue.workspace import Workspace\n"
        "from hitcore.errors import DataError\n"
        "try:\n"
        "    with Workspace.open(sys.argv[1]).lock('features'): print('mine')\n"
        "except DataError as error: print(error)\n"
    )

    def attempt() -> str:
        command = [sys.executable, "-c", other, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with workspace.lock("features"):
        assert "another process is at work on 'features'" in attempt()
    assert attempt().strip() == "mine"

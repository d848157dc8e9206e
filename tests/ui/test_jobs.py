"""A job is at work from the moment it was started until its process has ended."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import ParameterError
from ui.server import jobs
from ui.server.jobs import Job
from ui.server.quotas import QuotaError

JOB = Job("table1", ("c",), folds=3, epochs=1, grid="one")


@pytest.fixture
def sleeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace whose jobs sleep, in a process that has a child of its own."""
    monkeypatch.setattr(Job, "command", lambda self, workspace: ["sh", "-c", "sleep 600; true"])
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    yield Workspace.create(tmp_path / "w")
    for child in jobs._CHILDREN:
        child.kill()
        child.wait()


def until_ended(workspace: Workspace) -> None:
    """Wait until the job is no longer at work."""
    deadline = time.monotonic() + 60
    while jobs.is_running(workspace, JOB.name):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_at_work_at_once_and_until_it_ends_however_it_ends(sleeping: Workspace) -> None:
    assert not jobs.is_running(sleeping, JOB.name)
    jobs.start(sleeping, JOB)
    assert jobs.is_running(sleeping, JOB.name)
    with pytest.raises(ParameterError, match="at work already"):
        jobs.start(sleeping, JOB)
    assert jobs.is_running(sleeping, JOB.name)
    assert [job.name for job in jobs.jobs(sleeping)] == [JOB.name]
    pid = int(json.loads((sleeping.path / ".jobs/table1.process.json").read_text())["pid"])
    os.killpg(pid, signal.SIGKILL)
    until_ended(sleeping)
    jobs.start(sleeping, JOB)
    assert jobs.is_running(sleeping, JOB.name)
    jobs.cancel(sleeping, JOB.name)
    until_ended(sleeping)


def test_no_more_are_at_work_than_the_server_takes(
    sleeping: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_QUOTA_EXPERIMENTS", "2")
    other = Workspace.create(tmp_path / "other")
    jobs.start(sleeping, JOB)
    jobs.start(other, JOB)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "workspace.json").write_text("{")
    third = replace(JOB, name="third")
    with pytest.raises(QuotaError, match=r"^2 experiments are at work on this server") as refused:
        jobs.start(other, third)
    assert "\n" not in str(refused.value)
    assert [job.name for job in jobs.jobs(other)] == [JOB.name], "nothing of it is left"
    with pytest.raises(ParameterError, match="at work already"):
        jobs.start(other, JOB)
    jobs.cancel(sleeping, JOB.name)
    until_ended(sleeping)
    jobs.start(other, third)
    assert jobs.n_at_work() == 2
    monkeypatch.setenv("HITCORE_QUOTA_EXPERIMENTS", "none")
    with pytest.raises(ParameterError, match="HITCORE_QUOTA_EXPERIMENTS is 'none'"):
        jobs.start(sleeping, JOB)


def test_the_last_words_leave_out_pythons_own_of_ended_workers(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    folder = workspace.path / jobs.FOLDER
    folder.mkdir()
    (folder / "a.log.log").write_text(
        "features of 12 songs\n/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: "
        "UserWarning: resource_tracker: There appear to be 4 leaked semaphore objects\n"
        "  warnings.warn('resource_tracker: There appear')\n  warnings.warn(\nended\n"
    )
    assert jobs.last_words(workspace, "a") == "features of 12 songs\nended"


def test_how_long_a_job_has_been_starting_is_known(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    assert jobs.started_s(workspace, "a") == 0
    (workspace.path / jobs.FOLDER / "a.process.json").write_text("{}")
    assert 0 <= jobs.started_s(workspace, "a") < 60

"""Long work started from a page: a child process that outlives the tab, told apart by name.

The child is the command line itself; what it did stands in the workspace (the ledger, the feature
stores), so that closing the tab, restarting the server or killing the child loses nothing. Beside
the ledger each job keeps its command, its latest progress and its log.
"""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import HitcoreError, ParameterError
from hitcore.experiments import Ledger
from hitcore.files import write_atomic
from ui.server import workspaces
from ui.server.quotas import QuotaError, experiments_at_once

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
FOLDER = ".jobs"
TRACKERS_SECOND = "  warnings.warn("
_LOOKING = threading.Lock()
"""Looking whether a job's lock is free takes it for a moment."""
_STARTING = threading.Lock()
"""Between counting what is at work and starting one more."""
_CHILDREN: list["subprocess.Popen[bytes]"] = []
"""Those that this server has started, until they have ended and somebody has looked."""


@dataclass(frozen=True)
class Job:
    """One experiment as it was asked for."""

    name: str
    """Unique in its workspace."""
    rows: tuple[str, ...]
    """Rows of Table 1 and baselines."""
    folds: int
    """Number of folds."""
    epochs: int
    """Epochs at most."""
    grid: str
    """full, small or one."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ParameterError(
                f"name {self.name!r}: letters, digits, - and _ are allowed, at most 40"
            )
        if not self.rows:
            raise ParameterError("choose at least one row")

    def command(self, workspace: Workspace) -> list[str]:
        """The command line that does it."""
        return [
            *(sys.executable, "-m", "hitcore", "experiment", "run", str(workspace.path)),
            *("--rows", ",".join(self.rows), "--folds", str(self.folds)),
            *("--epochs", str(self.epochs), "--grid", self.grid, "--name", self.name),
            *("--build-features", "--workers", "1"),
            *("--progress-file", str(_file(workspace, self.name, "progress"))),
        ]


def start(workspace: Workspace, job: Job) -> None:
    """Start a job, or go on with one that was cancelled or broken off.

    Raises:
        ParameterError: it is at work already.
        QuotaError: as many as this server takes are at work.
    """
    with _STARTING:
        if not is_running(workspace, job.name) and (n := n_at_work()) >= experiments_at_once():
            verb = "is" if n == 1 else "are"
            raise QuotaError(
                f"{n} experiment{'s' * (n != 1)} {verb} at work on this server, as many as it "
                f"takes at a time: start {job.name!r} when one has ended"
            )
        _start(workspace, job)


def n_at_work() -> int:
    """How many jobs are at work on this server, in any workspace."""
    n = 0
    for name in workspaces.names():
        with contextlib.suppress(HitcoreError):  # a damaged one, which Experiments speaks of
            place = workspaces.opened(name)
            n += sum(is_running(place, job.name) for job in jobs(place))
    return n


def _start(workspace: Workspace, job: Job) -> None:
    log_file = _file(workspace, job.name, "log").with_suffix(".log")
    with _LOOKING, open(_lock(workspace, job.name), "ab") as lock, open(log_file, "ab") as log:
        if not _taken(lock):
            raise ParameterError(f"the experiment {job.name!r} is at work already")
        write_atomic(_file(workspace, job.name, "job"), json.dumps(asdict(job)))
        _file(workspace, job.name, "progress").unlink(missing_ok=True)
        # The child inherits the lock and holds it until it ends, however it ends. Its own session,
        # so that it goes on when the server ends; the pages come before it.
        process = subprocess.Popen(
            ["nice", "-n", "5", *job.command(workspace)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        _CHILDREN[:] = [process, *(child for child in _CHILDREN if child.poll() is None)]
    write_atomic(_file(workspace, job.name, "process"), json.dumps({"pid": process.pid}))


def cancel(workspace: Workspace, name: str) -> None:
    """Ask a job to stop after its epoch; what is done stays done.

    One that has no runs in the ledger yet (it is starting, or building features) is ended at
    once: whatever it has finished is on disk.
    """
    if Ledger(workspace.ledger).cancel(name) or not is_running(workspace, name):
        return
    process = json.loads(_file(workspace, name, "process").read_text(encoding="utf-8"))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process["pid"], signal.SIGTERM)


def jobs(workspace: Workspace) -> list[Job]:
    """The jobs of a workspace, the latest first."""
    files = sorted(
        (workspace.path / FOLDER).glob("*.job.json"), key=lambda f: f.stat().st_mtime, reverse=True
    )
    found = []
    for file in files:
        document = json.loads(file.read_text(encoding="utf-8"))
        found.append(Job(**document | {"rows": tuple(document["rows"])}))
    return found


def progress(workspace: Workspace, name: str) -> dict[str, object]:
    """The latest progress of a job; empty before its first."""
    try:
        document = json.loads(_file(workspace, name, "progress").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return dict(document)


def last_words(workspace: Workspace, name: str, n_lines: int = 8) -> str:
    """The end of a job's log: why it stopped."""
    path = _file(workspace, name, "log").with_suffix(".log")
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    # Python's own word on workers that were ended with their job; it tells nobody anything.
    told = [line for line in lines if "resource_tracker" not in line and line != TRACKERS_SECOND]
    return "\n".join(told[-n_lines:])


def started_s(workspace: Workspace, name: str) -> float:
    """Seconds since a job was last started; 0 where it never was."""
    try:
        return max(0.0, time.time() - _file(workspace, name, "process").stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def is_running(workspace: Workspace, name: str) -> bool:
    """Whether a living process is at work on it."""
    with _LOOKING, open(_lock(workspace, name), "ab") as lock:
        return not _taken(lock)


def _taken(lock: IO[bytes]) -> bool:
    """Whether the lock of this file could be taken; it is given back with the last open copy."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _file(workspace: Workspace, name: str, kind: str) -> Path:
    if not NAME.fullmatch(name):
        raise ParameterError(f"name {name!r} is no name of an experiment")
    folder = workspace.path / FOLDER
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.{kind}.json"


def _lock(workspace: Workspace, name: str) -> Path:
    return _file(workspace, name, "lock").with_suffix(".lock")

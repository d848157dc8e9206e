"""One process for each GPU, which computes for all workers what they have decoded.

A worker decodes a song on its core and asks for the arrays of its clips; clips that wait, whoever
sent them, go through the networks as one batch. So a GPU is set up once, holds each network once,
and is not shared by as many processes as there are cores.

Nobody is in charge of the process. The first worker that finds none starts it, the same way on one
machine and on every node of a cluster, and it ends when the last worker has gone. If it dies, the
next request starts another one and is asked again. What does not fit into the GPU's memory is
divided; a single song that does not fit is computed by its worker, which says so.

Conventions:
    meeting point: a folder of the user alone, named by the build, with the socket in it. Nobody
        else can reach it, so what comes over the socket is trusted like a pool's own pipes.
"""

import contextlib
import hashlib
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from hitcore.audio import Waveform
from hitcore.errors import EngineError, HitcoreError
from hitcore.featurestore.compute import Arrays, Clip, Computes, Device
from hitcore.featurestore.recipe import FeatureConfig

log = logging.getLogger(__name__)

MOST_AT_ONCE = 64
"""Clips in one batch; more wait for the next."""

N_TRIES = 3
"""A request that ends the process this many times is given up."""

START_LIMIT_S = 120.0
"""Setting up a GPU takes seconds; on a busy machine many."""

IDLE_S = 3.0
"""The process ends when nobody has been connected for so long; a new pool connects sooner."""

_begun: list[subprocess.Popen[bytes]] = []
"""Processes that were started here; they outlive whoever holds them."""

_START = "import sys; sys.path[:] = sys.argv[3:]; from hitcore.featurestore import serving; "
_START += "serving.serve(sys.argv[1], sys.argv[2])"


# --- a worker's side -----------------------------------------------------------------------------


class Served:
    """Computes in the process of a device, which is started where there is none.

    Args:
        device: As in `hitcore.devices`.
        build: A name that nobody can guess; whoever knows it shares the process.

    Raises:
        EngineError: the process cannot be started.
    """

    def __init__(self, device: str, build: str) -> None:
        self.device, self.folder = device, meeting_point(device, build)
        self._here = Device("cpu")
        self._connection: Connection | None = None
        self._connect()

    def highlight(self, song: Waveform, config: FeatureConfig) -> tuple[float, float]:
        """Start and end of the clip; of the methods, attention alone gains from the device."""
        if config.segment.partition(":")[0] != "attention":
            return self._here.highlight(song, config)
        span: tuple[float, float] = self._ask("highlight", song, config)
        return span

    def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
        """Mel and, where asked for, mean tags of each clip."""
        made: list[Arrays] = self._ask("arrays", clips)
        return made

    def close(self) -> None:
        """Leave; the process ends when everybody has left."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, what: str, *given: Any) -> Any:
        """The answer of the process; what it has no room for is computed here.

        Raises:
            EngineError: it ended each time it was asked.
        """
        for _ in range(N_TRIES):
            try:
                answer = self._answer((what, *given))
            except (EOFError, OSError) as error:
                log.warning(
                    "the process on %s has ended (%r); starting it again", self.device, error
                )
                continue
            if isinstance(answer, MemoryError):
                log.warning("%s has no room for a song, which is computed here", self.device)
                return getattr(self._here, what)(*given)
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise EngineError(
            f"the process that computes on {self.device} ended {N_TRIES} times at the same song"
            f"{_last_words(self.folder)}"
        )

    def _answer(self, request: Any) -> Any:
        """What the process answers to a request.

        A song that outlasts its limit breaks off the wait: its answer must not be taken for the
        next song's, so the connection goes too.
        """
        connection = self._connection or self._connect()
        try:
            connection.send(request)
            return connection.recv()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Connection:
        deadline = time.monotonic() + START_LIMIT_S
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with FileLock(self.folder / "lock"):
            connection = _connected(self.folder) or self._started(deadline)
        self._connection = connection
        return connection

    def _started(self, deadline: float) -> Connection:
        """A connection to a process that is started now."""
        with open(self.folder / "log", "w") as words:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, self.device, str(self.folder), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        _begun.append(process)
        while time.monotonic() < deadline:
            if (connection := _connected(self.folder)) is not None:
                return connection
            if process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        raise EngineError(
            f"the process that computes on {self.device} does not start{_last_words(self.folder)}"
        )


@lru_cache(maxsize=4)
def served(device: str, build: str) -> Served:
    """The connection of this worker to a device's process, made once."""
    return Served(device, build)


def meeting_point(device: str, build: str) -> Path:
    """The folder where the workers of a build on this machine find the process of a device."""
    # On a cluster two nodes' worth of workers may share a machine, each with devices of its own.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    key = hashlib.sha256(f"{build} {device} {visible}".encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"hitcore-{key}"


def _connected(folder: Path) -> Connection | None:
    try:
        return Client(str(folder / "socket"), "AF_UNIX")
    except OSError:
        return None


def _last_words(folder: Path) -> str:
    """The last line that the process wrote, in brackets, if it wrote any."""
    try:
        words = (folder / "log").read_text(errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in words if line.strip()]
    return f" ({said[-1]})" if said else ""


# --- the process ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Job:
    """One request, and where its answer goes."""

    what: str
    """A method of `Computes`."""
    given: tuple[Any, ...]
    """Its arguments."""
    answer: Callable[[Any], None]
    """Takes the value, or the exception in its place."""

    @property
    def n_clips(self) -> int:
        """Clips that it adds to a batch."""
        return len(self.given[0]) if self.what == "arrays" else 0


class Desk:
    """Where requests wait; it knows whether anybody is there."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._n_connected, self._left_at = 0, time.monotonic()

    def receive(self, connection: Connection) -> None:
        """Take the requests of one worker until it leaves."""
        self._count(+1)
        try:
            while True:
                what, *given = connection.recv()
                self.jobs.put(Job(what, tuple(given), connection.send))
        except (EOFError, OSError):
            pass
        finally:
            self._count(-1)
            connection.close()

    def waiting(self, timeout_s: float) -> list[Job]:
        """Requests that wait, as many as make one batch; none where none comes in time."""
        taken: list[Job] = []
        with contextlib.suppress(queue.Empty):
            taken.append(self.jobs.get(timeout=timeout_s))
            while sum(job.n_clips for job in taken) < MOST_AT_ONCE:
                taken.append(self.jobs.get_nowait())
        return taken

    @property
    def deserted(self) -> bool:
        """Whether nobody has been here for a while."""
        with self._lock:
            return not self._n_connected and time.monotonic() - self._left_at > IDLE_S

    def _count(self, change: int) -> None:
        with self._lock:
            self._n_connected += change
            self._left_at = time.monotonic()


def serve(device: str, folder: str) -> None:
    """Compute for whoever connects, until everybody has left.

    Args:
        device: As in `hitcore.devices`.
        folder: The meeting point.
    """
    torch.zeros(1, device=device)  # A GPU that cannot be had is told before anybody waits for it.
    computes, desk, path = Device(device), Desk(), Path(folder) / "socket"
    path.unlink(missing_ok=True)  # of one that was killed
    with Listener(str(path), "AF_UNIX", backlog=1024) as listener:
        threading.Thread(target=_welcome, args=(listener, desk), daemon=True).start()
        while not desk.deserted:
            answer(desk.waiting(timeout_s=0.2), computes)


def answer(jobs: Sequence[Job], computes: Computes) -> None:
    """Answer each request; those for arrays together."""
    together = [job for job in jobs if job.what == "arrays"]
    for job in jobs:
        if job.what != "arrays":
            _settle([job], partial(_one, job, computes))
    if together:
        _settle(together, partial(_arrays, computes))


def _settle(jobs: Sequence[Job], values: Callable[[Sequence[Job]], list[Any]]) -> None:
    """Send each request its value; where they fail together, by halves, down to the culprit."""
    try:
        answers = values(jobs)
    except Exception as error:
        if "CUDA error" in str(error):
            raise  # This process can use its GPU no more; the next one can.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(jobs) > 1:
            _settle(jobs[: len(jobs) // 2], values)
            _settle(jobs[len(jobs) // 2 :], values)
            return
        answers = [_told(error)]
    for job, value in zip(jobs, answers, strict=True):
        with contextlib.suppress(OSError):  # It has left.
            job.answer(value)


def _one(job: Job, computes: Computes, _: Sequence[Job]) -> list[Any]:
    return [getattr(computes, job.what)(*job.given)]


def _arrays(computes: Computes, jobs: Sequence[Job]) -> list[Any]:
    made = iter(computes.arrays([clip for job in jobs for clip in job.given[0]]))
    return [list(islice(made, job.n_clips)) for job in jobs]


def _told(error: Exception) -> Exception:
    """The error as a worker can take it."""
    if isinstance(error, torch.OutOfMemoryError):
        return MemoryError(str(error))
    if isinstance(error, HitcoreError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _welcome(listener: Listener, desk: Desk) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:
            return  # closed
        threading.Thread(target=desk.receive, args=(connection,), daemon=True).start()

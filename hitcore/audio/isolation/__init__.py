"""Decoding in child processes that a hostile file may kill, hang or fill without other harm.

Decoders are C code that parses what strangers wrote. So no file is decoded in this process:

    this process  --socket-->  server  --fork-->  one child per file

A server (`server`) is a light process (numpy, soundfile and soxr, no torch) that is kept between
files, so that a file costs a fork and no start-up. Each file is decoded in a fresh fork of it under
limits on memory, processor time and wall time, in a `sandbox` where the system has one, and leaves
nothing behind for the next. Files go in and samples come out as descriptors of memory files, which
are mapped and never copied or unpickled. A server that dies or hangs is replaced. Servers end with
the process that started them.

Calls may come from many threads, from forked and from spawned processes.
"""

import atexit
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hitcore.audio.isolation import sandbox
from hitcore.audio.isolation.sandbox import Walls
from hitcore.errors import AudioError

LONGEST_MESSAGE = 1 << 16
_LONGEST_START_S = 60.0
_PARALLEL = max(2, os.cpu_count() or 1)
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from hitcore.audio.isolation import server; "
    "server.serve()"
)

_NO_SERVER = (
    "the decoding process could not be started, or was killed twice; memory is probably short: "
    "check `python -c 'import soundfile, soxr, av'`"
)

Reply = dict[str, Any]

_told: set[Walls] = set()
log = logging.getLogger(__name__)


def run(
    request: Reply, source: int, results: Sequence[int], max_wall_s: float, max_memory: int
) -> tuple[Reply, Walls]:
    """The findings of one decoding, carried out in a bounded child process, and its sandbox.

    At most as many files are decoded at once as there are processors; further calls wait.

    Args:
        request: the fields of `decoder.Request`.
        source: descriptor of the file.
        results: descriptors of the files that take the samples, one per sample rate.
        max_wall_s: seconds after which the child is killed.
        max_memory: bytes that the child may use beyond what it starts with.

    Raises:
        AudioError: the file was refused, broke its decoder or a limit, or did what no decoder may.
        ParameterError: the surroundings ask for a sandbox that there is not (`sandbox.mode`).
    """
    mode = sandbox.mode()
    limits = {"max_wall_s": max_wall_s, "max_memory": max_memory}
    job = {"request": request, "sandbox": mode, **limits}
    with _pool.slots:
        try:
            reply, stand = _asked(job, [source, *results], max_wall_s)
        except TimeoutError:
            raise AudioError(_too_slow(max_wall_s)) from None
        except OSError:  # The server itself was gone, through no fault of this file.
            try:
                reply, stand = _asked(job, [source, *results], max_wall_s)
            except OSError as error:
                raise AudioError(_NO_SERVER) from error
    if mode == sandbox.OFF:
        stand = sandbox.NONE
    _tell(stand)
    return _checked(reply, stand, max_wall_s, max_memory), stand


def walls() -> Walls:
    """The sandbox that decoders have here, or would have; found out once by each process.

    Raises:
        AudioError: no decoding process could be started.
        ParameterError: the surroundings ask for a sandbox that there is not (`sandbox.mode`).

    Example:
        >>> walls().sentence[:12]
        'decoders run'
    """
    if sandbox.mode() == sandbox.OFF:
        return sandbox.NONE
    if (known := _pool.known_walls()) is not None:  # Nobody waits for decoders that are at work.
        return known
    try:
        with _pool.slots, _lent() as server:
            stand = server.walls()
    except OSError as error:
        raise AudioError(_NO_SERVER) from error
    _tell(stand)
    return stand


def _asked(job: Reply, files: list[int], max_wall_s: float) -> tuple[Reply, Walls]:
    """The reply of one server, and the walls around its children."""
    with _lent() as server:
        return server.ask(job, files, max_wall_s), server.walls()


@contextlib.contextmanager
def _lent() -> Iterator["_Server"]:
    """A server, which is kept for the next file unless anything goes wrong."""
    server = _pool.take()
    try:
        yield server
    except BaseException:
        server.kill()
        raise
    _pool.give_back(server)


def _tell(stand: Walls) -> None:
    """Put into the log, once, that a wall is missing."""
    if stand in _told or (stand.seccomp and stand.landlock):
        return
    _told.add(stand)
    log.log(logging.INFO if stand.seccomp else logging.WARNING, "%s", stand.sentence)


def memory_file() -> int:
    """Descriptor of a new file that lives in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hitcore")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


# --- this process --------------------------------------------------------------------------------


class _Server:
    """One server process, seen from here."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        here = str(Path(__file__).resolve().parents[3])
        paths = [os.path.abspath(path) for path in sys.path] + [here]
        self._socket = ours
        self.known_walls: Walls | None = None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, *paths],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def ask(self, job: Reply, files: list[int], max_wall_s: float) -> Reply:
        """The reply to a job; TimeoutError where it takes too long, OSError where none comes."""
        self.walls()  # Starting is not the file's fault.
        send(self._socket, job, files)
        # The child ends itself in time; a second more, and it is not able to.
        return receive(self._socket, time.monotonic() + max_wall_s + 1.0)[0]

    def walls(self) -> Walls:
        """The sandbox of its children, once it has started; OSError where it does not."""
        if self.known_walls is None:
            try:
                ready, _ = receive(self._socket, time.monotonic() + _LONGEST_START_S)
            except TimeoutError as error:
                raise ConnectionError("the server does not start") from error
            self.known_walls = Walls(**ready["walls"])
        return self.known_walls

    def kill(self) -> None:
        """End the server and whatever it runs, at once."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Let go of a server that belongs to the process this one was forked from."""
        self._socket.close()
        self._process.returncode = 0


class _Pool:
    """The servers of this process."""

    def __init__(self) -> None:
        self.slots = threading.BoundedSemaphore(_PARALLEL)
        self._lock = threading.Lock()
        self._idle: list[_Server] = []
        self._all: set[_Server] = set()

    def take(self) -> _Server:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        server = _Server()
        with self._lock:
            self._all = {known for known in self._all if known._process.returncode is None}
            self._all.add(server)
        return server

    def give_back(self, server: _Server) -> None:
        with self._lock:
            self._idle.append(server)

    def known_walls(self) -> Walls | None:
        """What a server has said of the sandbox; None: none has started."""
        with self._lock:
            return next((s.known_walls for s in self._all if s.known_walls is not None), None)

    def close(self) -> None:
        with self._lock:
            servers, self._all, self._idle = self._all, set(), []
        for server in servers:
            server.kill()

    def forget(self) -> None:
        for server in self._all:
            server.forget()


_pool = _Pool()


def _after_fork() -> None:
    """A forked process starts servers of its own; the lock may be held by a thread it lacks."""
    global _pool
    _pool.forget()
    _pool = _Pool()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close() -> None:
    _pool.close()


def _environment() -> dict[str, str]:
    """What the server may know of our environment: no secrets, and one thread."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _checked(reply: Reply, stand: Walls, max_wall_s: float, max_memory: int) -> Reply:
    """The findings in a reply, or the error that it stands for."""
    if "findings" in reply:
        return dict(reply["findings"])
    if "unprotected" in reply:
        asked = f"{sandbox.VARIABLE}={sandbox.REQUIRE}"
        raise AudioError(f"{stand.sentence}, and {asked} refuses that: {stand.advice}")
    if "refused" in reply:
        raise AudioError(str(reply["refused"]))
    if reply.get("memory"):
        raise AudioError(
            f"decoding needs more than the {max_memory / 2**20:.0f} MB that are allowed; the file "
            "is probably damaged or hostile: convert it, or raise "
            "DecodeLimits(max_memory_bytes=...)"
        )
    number = int(reply.get("signal", 0))
    if number in (signal.SIGALRM, signal.SIGXCPU):
        raise AudioError(_too_slow(max_wall_s))
    if number == sandbox.ENDED_BY:
        raise AudioError(
            "the decoder tried what no decoder may (open a file, reach the network, start a "
            "program, …) and its sandbox stopped it; nothing was harmed; the file is probably "
            "hostile: convert it to WAV or FLAC with a program you trust"
        )
    raise AudioError(
        f"the decoder crashed on this file ({_signal_name(number)}); nothing else was harmed; the "
        "file is damaged or hostile: convert it to WAV or FLAC with a program you trust"
    )


def _too_slow(max_wall_s: float) -> str:
    return (
        f"decoding took longer than the {max_wall_s:g} s that are allowed and was stopped; the "
        "file is probably damaged or hostile: convert it, or raise DecodeLimits(max_wall_s=...)"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"status {number}"


# --- both sides ----------------------------------------------------------------------------------


def send(connection: socket.socket, message: Reply, files: Sequence[int] = ()) -> None:
    """One message on one line; descriptors travel with it."""
    line = json.dumps(message).encode() + b"\n"
    connection.settimeout(10.0)
    sent = socket.send_fds(connection, [line], list(files)) if files else connection.send(line)
    connection.sendall(line[sent:])


def receive(connection: socket.socket, deadline: float | None) -> tuple[Reply, list[int]]:
    """The next message and its descriptors; OSError where the other side is gone."""
    line, files = b"", list[int]()
    while not line.endswith(b"\n"):
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part, more, _, _ = socket.recv_fds(connection, LONGEST_MESSAGE, 16)
        files += more
        line += part
        if not part or len(line) > LONGEST_MESSAGE:
            raise ConnectionError("the other side is gone")
    return json.loads(line), files

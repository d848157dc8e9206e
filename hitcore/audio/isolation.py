"""Decoding in child processes that a hostile file may kill, hang or fill without other harm.

Decoders are C code that parses what strangers wrote. So no file is decoded in this process:

    this process  --socket-->  server  --fork-->  one child per file

A server is a light process (numpy, soundfile and soxr, no torch) that is kept between files, so
that a file costs a fork and no start-up. Each file is decoded in a fresh fork of it under limits
on memory, processor time and wall time, and leaves nothing behind for the next. Files go in and
samples come out as descriptors of memory files, which are mapped and never copied or unpickled.
A server that dies or hangs is replaced. Servers end with the process that started them.

Calls may come from many threads, from forked and from spawned processes.
"""

import atexit
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hitcore.audio.waveform import SAMPLE_RATES
from hitcore.errors import AudioError

_LONGEST_MESSAGE = 1 << 16
_LONGEST_START_S = 60.0
_PARALLEL = max(2, os.cpu_count() or 1)
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from hitcore.audio import isolation; isolation.serve()"
)

Reply = dict[str, Any]


def run(
    request: Reply, source: int, results: Sequence[int], max_wall_s: float, max_memory: int
) -> Reply:
    """The findings of one decoding, carried out in a bounded child process.

    At most as many files are decoded at once as there are processors; further calls wait.

    Args:
        request: the fields of `decoder.Request`.
        source: descriptor of the file.
        results: descriptors of the files that take the samples, one per sample rate.
        max_wall_s: seconds after which the child is killed.
        max_memory: bytes that the child may use beyond what it starts with.

    Raises:
        AudioError: the file was refused, or broke its decoder or a limit.
    """
    job = {"request": request, "max_wall_s": max_wall_s, "max_memory": max_memory}
    with _pool.slots:
        try:
            reply = _asked(job, [source, *results], max_wall_s)
        except TimeoutError:
            raise AudioError(_too_slow(max_wall_s)) from None
        except OSError:  # The server itself was gone, through no fault of this file.
            try:
                reply = _asked(job, [source, *results], max_wall_s)
            except OSError as error:
                raise AudioError(
                    "the decoding process could not be started, or was killed twice; memory is "
                    "probably short: check `python -c 'import soundfile, soxr, av'`"
                ) from error
    return _checked(reply, max_wall_s, max_memory)


def _asked(job: Reply, files: list[int], max_wall_s: float) -> Reply:
    """The reply of one server, which is kept for the next file unless anything goes wrong."""
    server = _pool.take()
    try:
        reply = server.ask(job, files, max_wall_s)
    except BaseException:
        server.kill()
        raise
    _pool.give_back(server)
    return reply


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
        here = str(Path(__file__).resolve().parents[2])
        paths = [os.path.abspath(path) for path in sys.path] + [here]
        self._socket = ours
        self._ready = False
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
        if not self._ready:  # Starting is not the file's fault.
            try:
                _receive(self._socket, time.monotonic() + _LONGEST_START_S)
            except TimeoutError as error:
                raise ConnectionError("the server does not start") from error
            self._ready = True
        _send(self._socket, job, files)
        # The child ends itself in time; a second more, and it is not able to.
        return _receive(self._socket, time.monotonic() + max_wall_s + 1.0)[0]

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


def _checked(reply: Reply, max_wall_s: float, max_memory: int) -> Reply:
    """The findings in a reply, or the error that it stands for."""
    if "findings" in reply:
        return dict(reply["findings"])
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


def _send(connection: socket.socket, message: Reply, files: Sequence[int] = ()) -> None:
    """One message on one line; descriptors travel with it."""
    line = json.dumps(message).encode() + b"\n"
    connection.settimeout(10.0)
    sent = socket.send_fds(connection, [line], list(files)) if files else connection.send(line)
    connection.sendall(line[sent:])


def _receive(connection: socket.socket, deadline: float | None) -> tuple[Reply, list[int]]:
    """The next message and its descriptors; OSError where the other side is gone."""
    line, files = b"", list[int]()
    while not line.endswith(b"\n"):
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part, more, _, _ = socket.recv_fds(connection, _LONGEST_MESSAGE, 16)
        files += more
        line += part
        if not part or len(line) > _LONGEST_MESSAGE:
            raise ConnectionError("the other side is gone")
    return json.loads(line), files


# --- the server ----------------------------------------------------------------------------------


def serve() -> None:
    """Decode file after file for the process at the other end of standard input."""
    import gc

    # Loaded and made once, before the forks.
    from hitcore.audio import decoder  # noqa: F401
    from hitcore.audio.mpegframes import make_usual_patterns

    make_usual_patterns()
    connection = socket.socket(fileno=0)
    gc.freeze()
    _send(connection, {"ready": True})
    while True:
        try:
            job, files = _receive(connection, None)
        except OSError:
            return
        reply = _in_fork(job, files, connection)
        if reply.get("needs_ffmpeg"):  # Loaded here, it is there for this file and all others.
            import av  # noqa: F401

            reply = _in_fork(job, files, connection)
        for file in files:
            os.close(file)
        _send(connection, reply)


def _in_fork(job: Reply, files: list[int], connection: socket.socket) -> Reply:
    """The reply to one job, worked out in a fresh fork of this server."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            connection.close()
            _limit(job, os.fstat(files[0]).st_size)
            os.write(writing, json.dumps(_decode(job, files)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        # The end comes when the child ends, whatever it wrote.
        line = pipe.read(_LONGEST_MESSAGE // 2)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"signal": 0}


def _limit(job: Reply, size: int) -> None:
    """Bound this process; what breaks a limit fails or is killed by the system.

    The file is mapped, which takes `size` bytes of address space and no memory of its own.
    """
    seconds = int(job["max_wall_s"]) + 1
    rates = [rate or SAMPLE_RATES[1] for rate in job["request"]["sample_rates"]]
    largest = 4 * max(rates) * job["request"]["max_duration_s"]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job["max_wall_s"])
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: int(largest) + 2**20,
        resource.RLIMIT_AS: _address_space() + size + int(job["max_memory"]),
    }
    for name, value in limits.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (bound, bound))


def _address_space() -> int:
    """Bytes of address space in use now; a generous guess where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 1 << 32
    return pages * resource.getpagesize()


def _decode(job: Reply, files: list[int]) -> Reply:
    from hitcore.audio import decoder, refusals

    # FFmpeg's libraries are large, and are loaded by the server once for all children.
    loaded = "av" in sys.modules
    if not loaded:
        sys.modules["av"] = None  # type: ignore[assignment]  # importing it fails
    fields = {**job["request"], "sample_rates": tuple(job["request"]["sample_rates"])}
    try:
        return {"findings": decoder.decode_file(files[0], files[1:], decoder.Request(**fields))}
    except refusals.Refusal as refusal:
        return {"refused": str(refusal)}
    except MemoryError:
        return {"memory": True}
    except Exception as error:
        if isinstance(error, ImportError) and not loaded:
            return {"needs_ffmpeg": True}
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return {"memory": True}
        # A hostile file can make a library raise anything; here that is the file's fault.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return {"refused": f"the file cannot be decoded ({reason}); it is probably damaged"}

"""The server: one fork per file, behind the walls that the system has.

What a child is given is moved to fixed descriptors and everything else is closed, its file is
mapped, its limits are set; then the walls go up, and only then is a byte of the file looked at.
"""

import contextlib
import errno
import fcntl
import gc
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NoReturn

from hitcore.audio import decoder, refusals
from hitcore.audio.isolation import LONGEST_MESSAGE, Reply, memory_file, receive, send, warming
from hitcore.audio.isolation.policy import NOWHERE, OUTPUTS, SOURCE
from hitcore.audio.isolation.sandbox import ENDED_BY, OFF, REQUIRE, Sandbox, find
from hitcore.audio.waveform import SAMPLE_RATES

# Above all descriptors that a child is left with.
_OUT_OF_THE_WAY = 64
_OWN_WORK = {"max_wall_s": 10.0, "max_memory": 2**28, "request": asdict(warming.REQUEST)}


def serve() -> None:
    """Decode file after file for the process at the other end of standard input."""
    connection = socket.socket(fileno=0)
    sounds = warming.sounds()
    warming.warm(sounds, memory_file)
    gc.freeze()
    sandbox, walls = find(partial(_lets_work, sounds[-2:], connection))
    send(connection, {"walls": asdict(walls)})
    while True:
        try:
            job, files = receive(connection, None)
        except OSError:
            return
        chosen = Sandbox() if job["sandbox"] == OFF else sandbox
        if job["sandbox"] == REQUIRE and sandbox.calls is None:
            reply: Reply = {"unprotected": True}
        else:
            reply = _in_fork(job, files, connection, chosen)
        if reply.get("needs_ffmpeg"):  # Loaded here, it is there for this file and all others.
            warming.warm_ffmpeg(sounds)
            reply = _in_fork(job, files, connection, chosen)
        for file in files:
            os.close(file)
        send(connection, reply)


# --- inside --------------------------------------------------------------------------------------


def _lets_work(sounds: list[bytes], connection: socket.socket, sandbox: Sandbox) -> bool:
    """Whether the walls do not stop the decoding of sounds of our own making."""
    for content in sounds:
        files = [memory_file(), memory_file()]
        try:
            os.write(files[0], content)
            reply = _in_fork(_OWN_WORK, files, connection, sandbox)
            if reply.get("signal") == ENDED_BY:
                return False
        finally:
            for file in files:
                os.close(file)
    return True


def _in_fork(job: Reply, files: list[int], connection: socket.socket, sandbox: Sandbox) -> Reply:
    """The reply to one job, worked out in a fresh fork of this server."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            connection.close()
            _work(job, files, writing, sandbox)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        # The end comes when the child ends, whatever it wrote.
        line = pipe.read(LONGEST_MESSAGE // 2)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"signal": 0}


def _work(job: Reply, files: list[int], writing: int, sandbox: Sandbox) -> NoReturn:
    """Decode one file in this process and write the reply."""
    source, reply_to, *results = _moved(files[0], [writing, *files[1:]])
    _limit(job, os.fstat(source).st_size)
    # What is not loaded by now is not found, instead of being looked for.
    sys.meta_path.clear()
    if not (ffmpeg := "av" in sys.modules):
        sys.modules["av"] = None  # type: ignore[assignment]  # importing it fails
    try:
        data = decoder.mapped(source)
        sandbox.enter()
    except MemoryError:
        reply: Reply = {"memory": True}
    except OSError as error:
        why = f"the decoder's sandbox cannot be set up ({error.strerror})"
        reply = {"memory": True} if error.errno == errno.ENOMEM else {"refused": why}
    else:
        reply = _decode(job, data, source, results, ffmpeg)
    os.write(reply_to, json.dumps(reply).encode())
    os._exit(0)


def _moved(source: int, outputs: Sequence[int]) -> list[int]:
    """These descriptors at their places, in this order; all others of this process are closed."""
    places = [SOURCE, *OUTPUTS[: len(outputs)]]
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for file in (source, *outputs)]
    for file, place in zip(aside, places, strict=True):
        os.dup2(file, place, inheritable=False)
    os.dup2(NOWHERE[1], NOWHERE[0])
    for file in _open_descriptors():
        if file not in (*NOWHERE, *places):
            with contextlib.suppress(OSError):  # The one that listed them is closed already.
                os.close(file)
    return places


def _open_descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return list(range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))


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


def _decode(
    job: Reply, data: refusals.Bytes, source: int, results: list[int], ffmpeg: bool
) -> Reply:
    """The findings, or why there are none; `ffmpeg`: whether its libraries are loaded."""
    fields = {**job["request"], "sample_rates": tuple(job["request"]["sample_rates"])}
    try:
        request = decoder.Request(**fields)
        return {"findings": decoder.decode_mapped(data, source, results, request)}
    except refusals.Refusal as refusal:
        return {"refused": str(refusal)}
    except MemoryError:
        return {"memory": True}
    except Exception as error:
        if isinstance(error, ImportError) and not ffmpeg:
            return {"needs_ffmpeg": True}
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return {"memory": True}
        # A hostile file can make a library raise anything; here that is the file's fault.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return {"refused": f"the file cannot be decoded ({reason}); it is probably damaged"}

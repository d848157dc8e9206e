"""A decoder that somebody has taken over: a file that begins with MARK says what it then does.

Behind AT it names the folder that it does it in. `serve` is the server of `hitcore.audio.isolation`
but for this: a test names it in `isolation._START`. An act that nobody stops is told as a refusal
of the file.
"""

import ctypes
import importlib
import mmap
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable

from hitcore.audio import decoder
from hitcore.audio.isolation import server
from hitcore.audio.isolation.policy import OUTPUTS, SOURCE
from hitcore.audio.refusals import Refusal

MARK = b"act: "
WENT_THROUGH = "went through"
READABLE = "/etc/passwd"
AT = " @ "
LEAKED = 50
_LIBC = ctypes.CDLL(None, use_errno=True)
_SERVER = os.getpid()
_PTRACE_SEIZE = 0x4206  # Unlike attaching, it does not stop the other.
_AT_EMPTY_PATH = 0x1000
_EXECUTABLE = mmap.PROT_READ | mmap.PROT_EXEC
_PAGE = mmap.mmap(-1, mmap.PAGESIZE)
_ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(_PAGE))


_folder = ""


def _inside(name: str) -> str:
    """A path in the folder that the file names."""
    return os.path.join(_folder, name)


def _called(name: str, *arguments: object) -> int:
    """A function of the C library, without what Python would do around it."""
    result = int(getattr(_LIBC, name)(*arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _map_code() -> object:
    return mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, _EXECUTABLE)


def _map_source() -> None:
    """As the C library does it: Python would duplicate the descriptor first."""
    _LIBC.mmap.restype = ctypes.c_void_p
    both = mmap.PROT_READ | mmap.PROT_WRITE
    offset = ctypes.c_long(0)
    found = _LIBC.mmap(None, ctypes.c_size_t(mmap.PAGESIZE), both, mmap.MAP_SHARED, SOURCE, offset)
    if found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "it cannot be mapped")


def _thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _connect() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


ACTS: dict[str, Callable[[], object]] = {
    "read a file": lambda: os.open(READABLE, os.O_RDONLY),
    "write a file": lambda: os.open(_inside("new"), os.O_WRONLY | os.O_CREAT),
    "list a folder": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink(_inside("old")),
    "rename a file": lambda: os.rename(_inside("old"), _inside("older")),
    "make a folder": lambda: os.mkdir(_inside("more")),
    "ask about a file": lambda: os.stat(READABLE),
    "ask by a descriptor": lambda: _called(
        "fstatat", SOURCE, READABLE.encode(), ctypes.create_string_buffer(512), _AT_EMPTY_PATH
    ),
    "ask whether it may": lambda: os.access(READABLE, os.R_OK),
    "follow a link": lambda: os.readlink("/proc/self/exe"),
    "change folder": lambda: os.chdir("/"),
    "make a socket": lambda: socket.socket(),
    "make a local socket": lambda: socket.socket(socket.AF_UNIX),
    "make a pair of sockets": lambda: socket.socketpair(),
    "connect": _connect,
    "connect a descriptor": lambda: _called("connect", OUTPUTS[0], None, 0),
    "make a pipe": lambda: os.pipe(),
    "make a memory file": lambda: os.memfd_create("more"),
    "fork": _fork,
    "start a thread": _thread,
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "spawn a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "trace the server": lambda: _called("ptrace", _PTRACE_SEIZE, _SERVER, 0, 0),
    "read the server's memory": lambda: _called("process_vm_readv", _SERVER, None, 0, None, 0, 0),
    "signal the server": lambda: os.kill(_SERVER, 0),
    "signal the server's thread": lambda: _called("tgkill", _SERVER, _SERVER, 0),
    "signal itself": lambda: os.kill(os.getpid(), 0),
    "catch a signal": lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    "stop its clock": lambda: signal.setitimer(signal.ITIMER_REAL, 0),
    "read another descriptor": lambda: os.read(LEAKED, 1),
    "read what it wrote": lambda: os.pread(OUTPUTS[1], 1, 0),
    "write to its source": lambda: os.write(SOURCE, b"x"),
    "duplicate a descriptor": lambda: os.dup(SOURCE),
    "map its source for writing": _map_source,
    "map code": _map_code,
    "turn memory into code": lambda: _called(
        "mprotect", ctypes.c_void_p(_ADDRESS), ctypes.c_size_t(mmap.PAGESIZE), _EXECUTABLE
    ),
    "become another user": lambda: os.setuid(os.getuid()),
    "rename itself": lambda: _called("prctl", 15, b"decoder", 0, 0, 0),
    "leave its limits": lambda: _called("setpriority", 0, 0, 0),
    "unshare": lambda: _called("unshare", 0),
    "open by a plain call": lambda: _called("open", READABLE.encode(), os.O_RDONLY),
    "abort": lambda: _called("abort"),
    "warn": lambda: warnings.warn("as numpy does of numbers too large", stacklevel=1),
    "load a module": lambda: importlib.import_module("xml.dom.minidom"),
    "list its descriptors": lambda: sorted(int(name) for name in os.listdir("/dev/fd")),
}


def serve() -> None:
    """Decode as ever, but do what a file says that begins with MARK."""
    decode = decoder.decode_mapped

    def taken_over(data, source, results, request):
        if data[: len(MARK)] != MARK:
            return decode(data, source, results, request)
        global _folder
        name, _folder = data[len(MARK) :].decode().split(AT)
        try:
            result = ACTS[name]()
        except OSError as error:
            raise Refusal(f"{name}: {type(error).__name__} {error}") from None
        raise Refusal(f"{name} {WENT_THROUGH}: {result}")

    decoder.decode_mapped = taken_over
    os.dup2(1, LEAKED, inheritable=True)
    server.serve()

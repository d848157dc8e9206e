"""What a decoder may ask of the system once its file is open: the whole list.

Its descriptors have fixed numbers, so that a rule can name them. It reads SOURCE, writes to
OUTPUTS, takes and gives back memory, looks at the clock, and ends. Whatever is not here ends it:
files, sockets, processes, threads, other processes' memory, new code.

Some calls fail instead, because libraries make them and do without: libsndfile looks for an Apple
resource fork beside every MP3 by a plain `open`, Python asks whether a file is a terminal,
allocators offer names for their memory, and `abort` sends a signal before it crashes in another
way. Nothing is opened, and nobody gets a signal.
"""

import errno
import mmap
import os
import signal
from collections.abc import Sequence

from hitcore.audio.isolation.seccomp import Argument, Rule

SOURCE = 3
"""The descriptor of the file that is decoded."""
OUTPUTS = range(16, 32)
"""Descriptors that may be written to: for the reply, and for the samples at each rate."""
NOWHERE = (0, 1, 2)
"""Descriptors that lead to nothing; libraries write their complaints there."""

NOT_THERE = errno.ENOENT
"""What a plain `open` is answered, whatever the name."""

_TCGETS = 0x5401
_SET_VMA = 0x53564D41
_AT_EMPTY_PATH = 0x1000
_MAY_MOVE = 1
_LARGE_FILE = 0o100000
_READ_OR_WRITE = mmap.PROT_READ | mmap.PROT_WRITE


def rules(libc: Sequence[str]) -> list[Rule]:
    """The list, for a C library with this name and version (`platform.libc_ver()`)."""
    outputs = Argument(0, OUTPUTS.start, ~(len(OUTPUTS) - 1))
    writable = [outputs, *(Argument(0, number) for number in NOWHERE[1:])]
    seekable = [outputs, Argument(0, SOURCE)]
    found = [
        *(Rule(name, (Argument(0, SOURCE),)) for name in ("read", "pread64", "readv")),
        *(Rule(name, (where,)) for name in ("write", "writev") for where in writable),
        *(Rule(name, (where,)) for name in ("lseek", "fstat") for where in seekable),
        Rule("ftruncate", (outputs,)),
        Rule("close"),
        # Memory: none that can be run, and no file can be mapped.
        Rule(
            "mmap",
            (
                Argument(2, 0, ~_READ_OR_WRITE),
                Argument(3, mmap.MAP_ANONYMOUS, mmap.MAP_ANONYMOUS),
            ),
        ),
        Rule("mprotect", (Argument(2, 0, ~_READ_OR_WRITE),)),
        Rule("mremap", (Argument(3, 0, ~_MAY_MOVE),)),
        *(Rule(name) for name in ("munmap", "brk", "madvise", "futex", "sched_yield")),
        # Clocks, chance, and who it is itself.
        *(Rule(name) for name in ("clock_gettime", "clock_getres", "gettimeofday", "time")),
        *(Rule(name) for name in ("getrandom", "getpid", "gettid", "sysinfo")),
        # Signals that it raised itself, and its end.
        *(Rule(name) for name in ("rt_sigprocmask", "rt_sigreturn", "restart_syscall")),
        *(Rule(name) for name in ("exit", "exit_group")),
        Rule("openat", (Argument(2, os.O_RDONLY, ~_LARGE_FILE),), NOT_THERE),
        Rule("open", (Argument(1, os.O_RDONLY, ~_LARGE_FILE),), NOT_THERE),
        Rule("ioctl", (Argument(1, _TCGETS),), errno.ENOTTY),
        Rule("prctl", (Argument(0, _SET_VMA),), errno.EINVAL),
        Rule("tgkill", (Argument(2, signal.SIGABRT),), errno.EPERM),
        Rule("rt_sigaction", (Argument(0, signal.SIGABRT),), errno.EPERM),
    ]
    if _asks_by_name(libc):
        empty = Argument(3, _AT_EMPTY_PATH)
        found += [Rule("newfstatat", (where, empty)) for where in seekable]
    return found


# --- inside --------------------------------------------------------------------------------------


def _asks_by_name(libc: Sequence[str]) -> bool:
    """Whether `fstat` is carried out as `newfstatat`, as in the GNU library before version 2.39.

    A filter cannot see the name in that call, so there a decoder that was taken over could learn
    whether a path exists, and how large the file is, and nothing of its content.
    """
    name, version = libc
    if name != "glibc":
        return False
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return numbers < [2, 39]

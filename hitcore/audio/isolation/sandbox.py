"""The walls around a decoder: what code that took it over could still do is its own file's harm.

Two, each of which holds without the other (`Walls`):

    filter: a list of system calls (`policy`) that the kernel holds the process to (`seccomp`);
        any other ends it at once. This one alone keeps the promise: no files, no network, no
        processes.
    Landlock: the kernel's own refusal of files, TCP and signals to others (`landlock`).

Both are put up for good by the process itself, once all that it needs is loaded and open. Where a
system lacks one, decoding goes on without, and everything that tells of the decoder says so
(`Walls.sentence`); HITCORE_SANDBOX=require refuses to decode without the filter, and
HITCORE_SANDBOX=off leaves both out, for finding faults.
"""

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hitcore.audio.isolation import landlock, policy
from hitcore.audio.isolation.seccomp import Filter
from hitcore.errors import ParameterError

VARIABLE = "HITCORE_SANDBOX"
REQUIRE, OFF = "require", "off"
_MODES = ("", REQUIRE, OFF)
WITHOUT = "decoders run without a sandbox"
ENDED_BY = int(signal.SIGSYS)
"""The signal by which the filter ends a process."""


def mode() -> str:
    """What the surroundings ask for: REQUIRE, OFF, or nothing.

    Raises:
        ParameterError: it is none of these.
    """
    given = os.environ.get(VARIABLE, "")
    if given not in _MODES:
        raise ParameterError(
            f"{VARIABLE} is {given!r}; allowed are {REQUIRE!r} (decode in a sandbox or not at all) "
            f"and {OFF!r} (for finding faults); leave it out to use what the system has"
        )
    return given


@dataclass(frozen=True)
class Walls:
    """What stands around decoders on this system, and why one of the two does not.

    Example:
        >>> Walls(True, 7).sentence
        'decoders run in a sandbox: a filter of system calls and Landlock (version 7)'
        >>> Walls(False, 0, "libseccomp is not installed", "no Landlock").sentence
        'decoders run without a sandbox (libseccomp is not installed; no Landlock)'
    """

    seccomp: bool
    """The filter of system calls."""
    landlock: int
    """The version of Landlock; 0: it does not stand."""
    why_no_seccomp: str = ""
    """The reason, where it does not stand."""
    why_no_landlock: str = ""
    """The reason, where it does not stand."""

    @property
    def sentence(self) -> str:
        """What is to be said of decoders here."""
        if self.seccomp and self.landlock:
            second = f"and Landlock (version {self.landlock})"
            return f"decoders run in a sandbox: a filter of system calls {second}"
        if self.seccomp:
            why = self.why_no_landlock
            return f"decoders run in a sandbox: a filter of system calls, without Landlock ({why})"
        if self.landlock:
            return (
                f"decoders run in half a sandbox: Landlock (version {self.landlock}) without a "
                f"filter of system calls ({self.why_no_seccomp})"
            )
        reasons = dict.fromkeys(filter(None, (self.why_no_seccomp, self.why_no_landlock)))
        return f"{WITHOUT} ({'; '.join(reasons)})"

    @property
    def advice(self) -> str:
        """What to do about a filter that does not stand; empty where it does."""
        if self.seccomp:
            return ""
        if self == NONE:
            return f"unset {VARIABLE}"
        if platform.system() != "Linux":
            return "run hitcore on Linux, or in a container of it, where songs come from strangers"
        return (
            "install libseccomp (`apt-get install libseccomp2`), and let containers load filters "
            "of system calls (Docker's own profile does)"
        )


NONE = Walls(False, 0, f"{VARIABLE}={OFF}")
"""What stands where none is wanted."""


@dataclass(frozen=True)
class Sandbox:
    """The walls that a process puts up around itself."""

    calls: Filter | None = None
    """The filter of system calls, not loaded yet."""
    landlock: int = 0
    """The version of Landlock; 0: without."""

    def enter(self) -> None:
        """Put this process behind the walls, for good.

        Raises:
            MemoryError: there is no memory for it.
            OSError: the kernel does not take it.
        """
        if self.landlock:
            landlock.give_up_everything(self.landlock)
        if self.calls is not None:
            self.calls.load()


def find(works: Callable[[Sandbox], bool]) -> tuple[Sandbox, Walls]:
    """The sandbox that this system has: each wall is tried, and must hold and let decoders work.

    Args:
        works: decodes something behind the walls that it is given; says whether they let it.
    """
    version, why_no_landlock = _tried(landlock.version, 0)
    calls, why_no_seccomp = _tried(lambda: Filter(policy.rules(platform.libc_ver())), None)
    if version and not _holds(Sandbox(None, version), errno.EACCES):
        version, why_no_landlock = 0, "Landlock is there and does not hold"
    if calls and not _holds(Sandbox(calls), policy.NOT_THERE):
        calls, why_no_seccomp = None, "the kernel does not take the filter, or does not keep to it"
    if calls and not works(Sandbox(calls, version)):
        calls, why_no_seccomp = None, "the filter stops sound decoders on this system"
    walls = Walls(calls is not None, version, why_no_seccomp, why_no_landlock)
    return Sandbox(calls, version), walls


# --- inside --------------------------------------------------------------------------------------

T = TypeVar("T")


def _tried(action: Callable[[], T], otherwise: T) -> tuple[T, str]:
    """What comes of it, and the reason where nothing does."""
    try:
        return action(), ""
    except OSError as error:
        return otherwise, str(error.strerror)


def _holds(sandbox: Sandbox, refusal: int) -> bool:
    """Whether a process behind these walls is refused, in this way, a folder that all may read."""
    child = os.fork()
    if child == 0:
        try:
            sandbox.enter()
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.open(b"/", os.O_RDONLY) < 0:
                os._exit(ctypes.get_errno())
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == refusal

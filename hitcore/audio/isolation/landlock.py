"""Landlock: this process gives up files, TCP and signals to others, as far as the kernel can.

Linux has three system calls for it since 5.13, and the C library has none of them.
"""

import ctypes
import errno
import os
import sys
from functools import cache

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # The same on every machine.
_ASK_VERSION = 1
_NO_NEW_PRIVILEGES = 38
# Rights on files by the version that brought them: how many there are from then on.
_N_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11


_REASONS = {
    errno.ENOSYS: "this system has no Landlock",
    errno.EOPNOTSUPP: "this kernel has Landlock switched off",
    errno.EPERM: "Landlock is not allowed here, as in some containers",
}


class LandlockError(OSError):
    """This kernel has no Landlock, or something keeps this process from using it."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def version() -> int:
    """The version of Landlock's interface that the kernel has.

    Raises:
        LandlockError: it has none.
    """
    return _call(_CREATE_RULESET, 0, 0, _ASK_VERSION)


def give_up_everything(has: int) -> None:
    """No file can be opened, made or removed by this process from now on, and no TCP port used.

    Files that are open stay usable. Since version 6 neither signals nor abstract sockets reach
    other processes.

    Args:
        has: the version of Landlock's interface.

    Raises:
        LandlockError: the kernel does not take it.
    """
    ruleset = _Ruleset(
        (1 << max(n for since, n in _N_FILE_RIGHTS.items() if since <= has)) - 1,
        _TCP_RIGHTS if has >= _TCP_SINCE else 0,
        _SCOPES if has >= _SCOPES_SINCE else 0,
    )
    file = _call(_CREATE_RULESET, ctypes.addressof(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        _gain_no_privileges()
        _call(_RESTRICT_SELF, file, 0)
    finally:
        os.close(file)


# --- inside --------------------------------------------------------------------------------------


def _gain_no_privileges() -> None:
    """Programs that would run with other rights will not; the kernel asks for this promise."""
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if _libc().prctl(_NO_NEW_PRIVILEGES, one, zero, zero, zero):
        raise LandlockError(ctypes.get_errno(), "privileges cannot be given up")


def _call(number: int, *arguments: int) -> int:
    """The result of a system call; its errors are raised."""
    if sys.platform != "linux":
        raise LandlockError(errno.ENOSYS, _REASONS[errno.ENOSYS])
    result = int(_libc().syscall(*map(ctypes.c_long, (number, *arguments))))
    if result < 0:
        code = ctypes.get_errno()
        raise LandlockError(code, _REASONS.get(code, f"Landlock: {os.strerror(code)}"))
    return result


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc

"""A filter of system calls, through the stable interface of libseccomp (version 2.4 or later).

The few functions that are needed are called through ctypes, because no binding is both kept and
free of code that would have to be built: libseccomp's own comes with Debian and not with pip.
"""

import ctypes
import errno
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

LIBRARY = "libseccomp.so.2"

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_MASKED_EQUAL = 7
_BAD_ARCHITECTURE, _OPTIMISE = 2, 8
_BINARY_TREE = 2
_UNKNOWN_NAME = -1
_INSTRUCTION_BYTES = 8
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_WHOLE = 2**64 - 1


class FilterError(OSError):
    """The filter cannot be made, or the kernel does not take it."""


@dataclass(frozen=True)
class Argument:
    """A condition on one argument of a system call: its bits under `mask` are `value`.

    Example:
        >>> Argument(0, 3), Argument(2, 0, ~0b11).mask == 2**64 - 4
        (Argument(index=0, value=3, mask=18446744073709551615), True)
    """

    index: int
    """Which argument, from 0."""
    value: int
    """What it has to be."""
    mask: int = _WHOLE
    """Which of its bits count."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", self.mask & _WHOLE)


@dataclass(frozen=True)
class Rule:
    """One system call and what it is answered where all conditions hold."""

    name: str
    """As the kernel calls it; a name that this system lacks is passed over."""
    arguments: tuple[Argument, ...] = ()
    """The conditions; none: whatever the arguments."""
    error: int = 0
    """The number of the error that it fails with; 0: it is carried out."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class Filter:
    """A list of what a process may ask of the system; any other call ends the process.

    It is made once, so that loading it costs a process next to nothing.

    Args:
        rules: what is allowed, and what fails in a way that libraries expect.

    Raises:
        FilterError: libseccomp is not installed, too old, or does not know this machine.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._instructions = _compiled(rules)
        length = len(self._instructions) // _INSTRUCTION_BYTES
        self._program = _Program(length, self._instructions)
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def load(self) -> None:
        """Put this process under the filter, for good; it can gain no privileges from then on.

        Raises:
            FilterError: the kernel does not take it.
        """
        one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
        if self._prctl(_NO_NEW_PRIVILEGES, one, zero, zero, zero) or self._prctl(
            _SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(self._program)
        ):
            code = ctypes.get_errno()
            raise FilterError(code, f"loading the filter: {os.strerror(code)}")


# --- inside --------------------------------------------------------------------------------------


def _compiled(rules: Sequence[Rule]) -> bytes:
    """The rules as the kernel takes them."""
    library = _loaded()
    context = library.seccomp_init(KILL_PROCESS)
    if not context:
        raise FilterError(errno.ENOTSUP, "the kernel or libseccomp cannot end a process by it")
    try:
        _check(library.seccomp_attr_set(context, _BAD_ARCHITECTURE, KILL_PROCESS), "architectures")
        library.seccomp_attr_set(context, _OPTIMISE, _BINARY_TREE)  # Since version 2.5.
        for rule in rules:
            _add(library, context, rule)
        with tempfile.TemporaryFile() as file:
            _check(library.seccomp_export_bpf(context, file.fileno()), "compiling")
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: Rule) -> None:
    number = library.seccomp_syscall_resolve_name(rule.name.encode())
    if number == _UNKNOWN_NAME:
        return
    compared = (_Comparison * len(rule.arguments))(
        *(_Comparison(a.index, _MASKED_EQUAL, a.mask, a.value) for a in rule.arguments)
    )
    action = _ERRNO | rule.error if rule.error else ALLOW
    code = library.seccomp_rule_add_array(context, action, number, len(compared), compared)
    _check(code, f"the rule for {rule.name}")


def _check(code: int, what: str) -> None:
    if code < 0:
        raise FilterError(-code, f"{what}: {os.strerror(-code)}")


def _loaded() -> ctypes.CDLL:
    """The library, with what its functions take and give."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise FilterError(errno.ENOENT, "libseccomp is not installed") from None
    context = ctypes.c_void_p
    signatures = {
        "seccomp_init": (context, [ctypes.c_uint32]),
        "seccomp_attr_set": (ctypes.c_int, [context, ctypes.c_int, ctypes.c_uint32]),
        "seccomp_syscall_resolve_name": (ctypes.c_int, [ctypes.c_char_p]),
        "seccomp_rule_add_array": (
            ctypes.c_int,
            [context, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison)],
        ),
        "seccomp_export_bpf": (ctypes.c_int, [context, ctypes.c_int]),
        "seccomp_release": (None, [context]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library

"""Memory that visitors needed goes back to the system when they have left.

Every run of a page is a thread of its own, and glibc gives threads heaps of their own, from which
the buffers of an analysis, freed long ago, do not return: twenty songs left 750 MB behind. So there
are two heaps for all threads, Arrow uses the same allocator, and once a minute all that is free is
given back. Elsewhere than on glibc nothing is done.

References:
    mallopt(3), malloc_trim(3).
"""

import ctypes
import threading
import time

import pyarrow

GIVE_BACK_EVERY_S = 60.0
LARGE = 2**25
"""Bytes from which an allocation is a mapping of its own, and free memory at an end is returned at
once. Much less, and the networks wait for fresh pages at every step: at a megabyte they take twice
as long."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def return_to_system() -> bool:
    """Set the allocator up, before threads are started; whether it is one that can be."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        return False
    for option, value in (
        (_M_ARENA_MAX, 2),
        (_M_MMAP_THRESHOLD, LARGE),
        (_M_TRIM_THRESHOLD, LARGE),
    ):
        libc.mallopt(option, value)
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    threading.Thread(target=_give_back_forever, name="memory", daemon=True).start()
    return True


def give_back() -> None:
    """Return every page that holds nothing but free memory."""
    ctypes.CDLL(None).malloc_trim(0)


def _give_back_forever() -> None:
    while True:
        time.sleep(GIVE_BACK_EVERY_S)
        give_back()

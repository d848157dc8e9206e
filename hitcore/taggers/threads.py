"""Parts of a batch side by side, each on one thread.

torch spreads every single operation over its threads and waits for the last of them. A network of
many small operations is then slower on two cores than on one; with the batch divided between the
threads, nobody waits before the end.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def map_parts(function: Callable[[Tensor], Result], parts: Sequence[Tensor]) -> list[Result]:
    """The function of each part, in order; as many at a time as torch may use threads.

    One after the other, in this thread, where there is nothing to gain: a single part or thread, a
    GPU; or where gradients are wanted, which belong to the thread.

    Example:
        >>> with torch.no_grad():
        ...     [float(total) for total in map_parts(torch.sum, torch.ones(3, 2).split(2))]
        [4.0, 2.0]
    """
    n_threads = torch.get_num_threads()
    if min(n_threads, len(parts)) == 1 or torch.is_grad_enabled() or parts[0].is_cuda:
        return [function(part) for part in parts]
    # Whether gradients are wanted is known to each thread by itself.
    without = torch.inference_mode if torch.is_inference_mode_enabled() else torch.no_grad
    return list(_pool(n_threads).map(without()(function), parts))


@lru_cache(maxsize=4)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads that compute with one thread each."""
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="tagger")
    ready = threading.Barrier(n_threads)

    def start() -> None:
        torch.get_num_threads()  # Asked or used first, torch sets the number of this thread.
        torch.set_num_threads(1)
        ready.wait()

    for started in [pool.submit(start) for _ in range(n_threads)]:
        started.result()
    torch.set_num_threads(n_threads)  # Later threads begin with the number that was set last.
    return pool


# The threads stay behind in the process that is forked.
os.register_at_fork(after_in_child=_pool.cache_clear)

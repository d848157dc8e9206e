"""Work spread over processes here or over a Ray cluster, through one small seam.

`map_songs` calls a function once for each item and yields the outcomes as they come. The function
does its work on one core and leaves what is big in the workspace; only small values travel back.
An item that fails, kills its worker or outlasts its limit gives an outcome that says so, and the
others go on.

Conventions:
    engine: "local" (a pool of processes on this machine), "ray" (a Ray cluster started here, or
        the one that `RAY_ADDRESS` names), or "ray:ADDRESS".
    function, items, values: picklable by name, as everywhere where processes share work; scripts
        that call this need the usual `if __name__ == "__main__":`.
"""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from hitcore.errors import EngineError, HitcoreError, ParameterError

T = TypeVar("T")
R = TypeVar("R")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

IN_FLIGHT_PER_WORKER = 3
"""Items handed out ahead, so that no worker waits and no list of millions is copied."""


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of one item."""

    item: T
    """The item as given."""
    value: R | None
    """What the function returned; None where it failed."""
    error: str | None
    """Why it failed, in one line; None where it did not."""
    cause: str | None
    """The kind of failure, for counting: a class name, "timeout" or "worker died"."""
    duration_s: float
    """Seconds from handing out to coming back."""

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return self.error is None


def map_songs(
    function: Callable[[T], R],
    items: Iterable[T],
    engine: str = "local",
    *,
    n_workers: int | None = None,
    timeout_s: float | None = None,
    n_gpus_per_task: float = 0.0,
) -> Generator[Outcome[T, R], None, None]:
    """The outcome of `function` for each item, in the order in which they are ready.

    Args:
        function: Called in a worker process; single-threaded, so that workers do not fight.
        items: One call each; consumed as workers become free.
        engine: See the module's conventions.
        n_workers: Processes of the local engine; None for one for each core.
        timeout_s: Limit of one call; a call that outlasts it is ended and its item given up.
        n_gpus_per_task: Share of a GPU that a task holds on a Ray cluster.

    Raises:
        ParameterError: An unknown engine, or a number that makes no sense.
        EngineError: The engine cannot be started.

    Example:
        >>> sorted(o.value for o in map_songs(abs, [-1, 2, -3], n_workers=1))
        [1, 2, 3]
    """
    if n_workers is not None and n_workers < 1:
        raise ParameterError(f"n_workers is {n_workers}: at least 1 is needed")
    if timeout_s is not None and timeout_s <= 0:
        raise ParameterError(f"timeout_s is {timeout_s}: a limit is more than 0 seconds")
    name, _, address = engine.partition(":")
    if engine == "local":
        return _local(function, items, n_workers or usable_cores(), timeout_s)
    if name == "ray":
        return _ray(function, items, address or None, timeout_s, n_gpus_per_task)
    raise ParameterError(f"engine {engine!r}: local, ray or ray:ADDRESS is expected")


def usable_cores() -> int:
    """The number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


# --- processes on this machine -------------------------------------------------------------------


def _local(
    function: Callable[[T], R], items: Iterable[T], n_workers: int, timeout_s: float | None
) -> Generator[Outcome[T, R], None, None]:
    from pebble import ProcessPool

    # Spawned, not forked: the parent may hold threads and GPU contexts that a fork would break.
    context = multiprocessing.get_context("spawn")
    queue = iter(items)
    pool: Any = ProcessPool(
        max_workers=n_workers,
        initializer=_start_worker,
        initargs=(os.getpid(),),
        context=context,
    )
    flying: dict[Future[R], tuple[T, float]] = {}
    try:
        while True:
            room = n_workers * IN_FLIGHT_PER_WORKER - len(flying)
            for item in islice(queue, max(room, 0)):
                future = pool.schedule(function, args=[item], timeout=timeout_s)
                flying[future] = (item, time.monotonic())
            if not flying:
                break
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                item, started = flying.pop(future)
                yield _settled(item, future.result, started, timeout_s)
        pool.close()
    finally:
        pool.stop()
        pool.join()


def _start_worker(parent: int) -> None:
    """In a new worker: one thread, Ctrl-C left to the parent, and an end when the parent ends."""
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    if "torch" in sys.modules:  # came with the main module, before the variables were set
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


# --- a Ray cluster -------------------------------------------------------------------------------


def _ray(
    function: Callable[[T], R],
    items: Iterable[T],
    address: str | None,
    timeout_s: float | None,
    n_gpus: float,
) -> Generator[Outcome[T, R], None, None]:
    ray = _connected_ray(address)
    # A task whose node dies is run again elsewhere; one that raises is not: it would raise again.
    task = ray.remote(num_cpus=1, num_gpus=n_gpus, max_retries=5)(_called)
    queue = iter(items)
    flying: dict[Any, tuple[T, float]] = {}
    try:
        while True:
            n_cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
            for item in islice(queue, max(n_cores * IN_FLIGHT_PER_WORKER - len(flying), 0)):
                flying[task.remote(function, item)] = (item, time.monotonic())
            if not flying:
                return
            done, _ = ray.wait(list(flying), num_returns=1, timeout=1.0)
            done += _overdue(ray, flying, done, timeout_s)
            for reference in done:
                item, started = flying.pop(reference)
                yield _settled(item, partial(ray.get, reference), started, timeout_s)
    finally:
        for reference in flying:
            ray.cancel(reference, force=True)


def _called(function: Callable[[T], R], item: T) -> R:
    """The function's value; Ray itself takes plain functions only, no partial or built-in one."""
    return function(item)


def _connected_ray(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "the engine ray needs Ray, which is not installed: pip install 'hitcore[ray]'"
        ) from error
    if not ray.is_initialized():
        if address:
            _require_answer(address)
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EngineError(
                f"no Ray cluster answers at {address or 'this machine'} ({error}): start one with "
                "`ray start --head`, or use the engine local"
            ) from error
    return ray


def _require_answer(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would end the whole process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ParameterError(f"the Ray address {address!r}: HOST:PORT is expected")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise EngineError(
            f"no Ray cluster answers at {address} ({error}): start one with `ray start --head`, "
            "or use the engine local"
        ) from error


def _overdue(
    ray: Any, flying: dict[Any, tuple[T, float]], done: list[Any], timeout_s: float | None
) -> list[Any]:
    """End the tasks that outlasted their limit; they come back as cancelled."""
    if timeout_s is None:
        return []
    now = time.monotonic()
    # Waiting for a free core counts here, so the limit covers what may stand before in the queue.
    limit = timeout_s * IN_FLIGHT_PER_WORKER
    late = [ref for ref, (_, start) in flying.items() if ref not in done and now - start > limit]
    for reference in late:
        ray.cancel(reference, force=True)
    return late


# --- both ----------------------------------------------------------------------------------------


def _settled(
    item: T, result: Callable[[], R], started: float, timeout_s: float | None
) -> Outcome[T, R]:
    """The outcome of a call that has ended, however it ended."""
    try:
        value = result()
    except Exception as error:
        name = type(error).__name__
        if name.startswith("RayTaskError"):  # what the function raised, in Ray's wrapping
            error = getattr(error, "cause", error)
            name = type(error).__name__
        elif name in _DEATHS:
            return _failed(item, "its worker process died", "worker died", started)
        elif isinstance(error, TimeoutError) or name == "TaskCancelledError":
            return _failed(item, f"gave up after its limit of {timeout_s:g} s", "timeout", started)
        text = str(error) if isinstance(error, HitcoreError) else f"{name}: {error}"
        return _failed(item, text, name, started)
    return Outcome(item, value, None, None, time.monotonic() - started)


_DEATHS = ("ProcessExpired", "WorkerCrashedError", "NodeDiedError", "ObjectLostError")
"""What pebble and Ray raise where a process ended before its call did."""


def _failed(item: T, error: str, cause: str, started: float) -> Outcome[T, R]:
    line = " ".join(error.split())
    return Outcome(item, None, line, cause, time.monotonic() - started)

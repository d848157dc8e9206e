"""What runs are made of and made on: the run, its bench, and which runs can be done together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hitcore.catalogue.workspace import Workspace
from hitcore.experiments.data import ExperimentSongs
from hitcore.experiments.ledger import Ledger
from hitcore.experiments.plan import ExperimentConfig
from hitcore.experiments.variants import Variant


@dataclass(frozen=True, eq=False)
class Run:
    """One row on one fold."""

    run_id: str
    """The hash of its configuration."""
    row: Variant
    """What is run."""
    fold: int
    """On which fold."""
    repeat: int
    """The number of its seed of training, from 0."""
    config: dict[str, Any]
    """What the id is the hash of."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Where and on what runs are made."""

    workspace: Workspace
    songs: ExperimentSongs
    config: ExperimentConfig
    ledger: Ledger
    device: str = "cpu"
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[Sequence[Run], float, str], None] = lambda runs, fraction, text: None


def stack_key(run: Run) -> tuple[object, ...]:
    """Equal for runs that can be members of one stack: one input, network shape and loss."""
    row = run.row
    if not row.trains:
        return (run.run_id,)
    training = repr(run.config.get("training"))
    return (run.config["features"], row.attributes, row.network, row.tags, training)


class Stopper:
    """Whether to stop: asked by the caller, or cancelled in the ledger (looked up now and then)."""

    INTERVAL_S = 1.0

    def __init__(self, bench: Bench, runs: Sequence[Run]) -> None:
        self._bench, self._runs = bench, runs
        self._next = 0.0
        self._answer = False

    def __call__(self) -> bool:
        """Asked often, looked up once in a while."""
        if self._bench.should_stop():
            return True
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.INTERVAL_S
            self._answer = any(self._bench.ledger.cancelling(run.run_id) for run in self._runs)
        return self._answer

"""Checkpoints written beside the training: it goes on while a thread writes where it stood."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hitcore.checkpoints import Checkpoint, drop_checkpoint, write_checkpoint

BY_MEMBER = ("rate", "lowest_loss", "best_value", "best_epoch", "diverged", "history")
"""What a chunk's state holds for each of its members."""


class Keeper:
    """Writes checkpoints of one training into a folder, one at a time.

    Args:
        folder: Where they lie; None keeps none.
        fingerprint: Of the training.
    """

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self._thread = ThreadPoolExecutor(1, "checkpoints") if folder is not None else None
        self._writing: Future[None] | None = None
        self._latest: Checkpoint | None = None

    def offer(self, checkpoint: Checkpoint, *, wait: bool) -> bool:
        """Write it from a copy made now; whether it is being written.

        Args:
            checkpoint: The state; all of it may change as soon as this returns.
            wait: Whether it must be on disk when this returns. If not, and the one before is still
                being written, it is passed over.

        Raises:
            DataError: This one, or one written in the meantime, could not be written.
        """
        if self._thread is None:
            return False
        if self._writing is not None and (wait or self._writing.done()):
            self._settle()
        if self._writing is not None:
            return False
        copy = {name: value.detach().clone() for name, value in checkpoint.tensors.items()}
        ready = None
        if any(value.is_cuda for value in copy.values()):
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        # The training goes on changing its lists while they are written down.
        mine = Checkpoint(list(checkpoint.members), copy, deepcopy(checkpoint.state))
        self._writing = self._thread.submit(self._write, mine, ready)
        if wait:
            self._settle()
        return True

    def _settle(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, checkpoint: Checkpoint, ready: Any) -> None:
        assert self.folder is not None, "without a folder nothing is offered"
        tensors = checkpoint.tensors
        if ready is not None:  # on a stream of its own, so that the training does not wait
            aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(aside):
                torch.cuda.current_stream().wait_event(ready)
                tensors = {name: value.cpu() for name, value in tensors.items()}
        here = Checkpoint(checkpoint.members, tensors, checkpoint.state)
        write_checkpoint(self.folder, self.fingerprint, here)
        self._latest = here

    def halves(self, members: list[int]) -> list[Checkpoint] | None:
        """The last checkpoint of these members as two of half as many; None where there is none."""
        self._settle()
        latest = self._latest
        if latest is None or latest.members != members or self.folder is None:
            return None
        cut = len(members) // 2
        parts = [part_of(latest, range(cut)), part_of(latest, range(cut, len(members)))]
        for part in parts:
            write_checkpoint(self.folder, self.fingerprint, part)
        drop_checkpoint(self.folder, members)
        return parts

    def close(self) -> None:
        """Wait for what is being written."""
        if self._thread is not None:
            self._settle()
            self._thread.shutdown()


def part_of(whole: Checkpoint, places: range) -> Checkpoint:
    """The state of some members of a chunk as that of a chunk of their own."""
    state = dict(whole.state)
    alive = [place for place in state["alive"] if place in places]
    rows = [state["alive"].index(place) for place in alive]
    state["alive"] = [place - places.start for place in alive]
    for name in BY_MEMBER:
        state[name] = state[name][places.start : places.stop]

    def rows_of(name: str, value: Tensor) -> Tensor:
        return value[places.start : places.stop] if name.startswith("best.") else value[rows]

    tensors = {name: rows_of(name, value).clone() for name, value in whole.tensors.items()}
    return Checkpoint(whole.members[places.start : places.stop], tensors, state)

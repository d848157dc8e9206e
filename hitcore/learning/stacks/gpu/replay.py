"""An epoch whose steps do not wait for Python: one step is recorded, the others are its replays.

On a GPU a step of the small network takes far less time than the launches of its kernels from
Python. So the batches of an epoch go to the device once, a counter there says which is next, and a
step over buffers at fixed addresses is recorded as a CUDA graph after a few steps have been taken
by hand. From then on Python does one thing a step: replay. It looks up a few times in an epoch,
however many steps that has, to tell where it stands and to ask whether to stop.

Where a recording fails the steps are taken one by one, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

log = logging.getLogger(__name__)

BY_HAND = 3
"""Steps before the recording: libraries choose their kernels and memory in them."""

N_LOOKS = 16
"""How often Python looks up in an epoch."""

Step = Callable[[], None]
Recorder = Callable[[Step], Step]
"""From a step to what repeats it."""


def recorder_for(device: torch.device) -> Recorder | None:
    """How steps are recorded on this device; None where they are taken one by one."""
    return _record_graph if device.type == "cuda" else None


def _record_graph(step: Step) -> Step:
    """The step as a CUDA graph; what it computes is not done while it is recorded."""
    graph = torch.cuda.CUDAGraph()
    # A thread that writes a checkpoint may use the device meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph.replay


class ReplayedEpochs:
    """Epochs of one stack as long as its members stay the same.

    Args:
        step: Takes songs `(n_groups, n_songs)`, the members that are active `(K,)` and where to
            add the losses `(K,)`, and moves the parameters.
        record: Turns a step without arguments into its replay.
        n_members: K.
        device: Where everything lives.
    """

    def __init__(
        self,
        step: Callable[[Tensor, Tensor, Tensor], None],
        record: Recorder,
        n_members: int,
        device: torch.device,
    ) -> None:
        self._step, self._record, self._device = step, record, device
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        """The number of the step, on the device."""
        self.rate = torch.zeros(n_members, device=device)
        """Each member's step size."""
        self.keys = torch.zeros(n_members, dtype=torch.int64, device=device)
        """Each member's key of dropout."""
        self._total = torch.zeros(n_members, device=device)
        self._songs: Tensor | None = None
        self._active: Tensor | None = None
        self._replay: Step | None = None

    def run(
        self,
        songs: Tensor,
        active: Tensor,
        rate: Tensor,
        keys: Tensor,
        after_steps: Callable[[int], None],
    ) -> Tensor:
        """Take all steps of an epoch.

        Args:
            songs: The batches, `(n_steps, n_groups, n_songs)`.
            active: Which members have a batch in each step, `(n_steps, K)`.
            rate: Step sizes of this epoch.
            keys: Keys of dropout of this epoch.
            after_steps: Called now and then with the number of steps since the last call.

        Returns:
            The sum of each member's losses, `(K,)`.
        """
        self._fill(songs, active, rate, keys)
        n_steps = len(songs)
        n_by_hand = 0
        if self._replay is None:
            n_by_hand = min(BY_HAND, n_steps)
            self._by_hand(n_by_hand)
            after_steps(n_by_hand)
            if n_by_hand < n_steps:
                self._replay = self._recorded()
        replay = self._replay
        n_parts = min(N_LOOKS, n_steps - n_by_hand)
        for part in np.array_split(np.arange(n_by_hand, n_steps), max(n_parts, 1)):
            if replay is not None:
                for _ in part:
                    replay()
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
            after_steps(len(part))
        return self._total.clone()

    def _fill(self, songs: Tensor, active: Tensor, rate: Tensor, keys: Tensor) -> None:
        held = self._songs
        if held is None or held.shape[1:] != songs.shape[1:] or len(held) < len(songs):
            self._songs, self._active = songs.clone(), active.clone()
            self._replay = None
        assert self._songs is not None, "made above"
        assert self._active is not None, "made above"
        self._songs[: len(songs)].copy_(songs)
        self._active[: len(songs)].copy_(active)
        self.rate.copy_(rate)
        self.keys.copy_(keys)
        self.at.zero_()
        self._total.zero_()

    def _one(self) -> None:
        assert self._songs is not None, "filled before"
        assert self._active is not None, "filled before"
        songs = self._songs.index_select(0, self.at).squeeze(0)
        active = self._active.index_select(0, self.at).squeeze(0)
        self._step(songs, active, self._total)
        self.at.add_(1)

    def _by_hand(self, n_steps: int) -> None:
        """Steps from Python, aside from the main stream as a recording asks for."""
        if self._device.type != "cuda":
            for _ in range(n_steps):
                self._one()
            return
        aside: Any = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(n_steps):
                self._one()
        torch.cuda.current_stream(self._device).wait_stream(aside)

    def _recorded(self) -> Step:
        try:
            return self._record(self._one)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning(
                "the step cannot be recorded (%s): steps are taken one by one, which is slower",
                " ".join(str(error).split())[:200],
            )
            return self._one

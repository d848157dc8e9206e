"""What a training came to, and where it stands on its way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hitcore.learning.loop import EpochRecord
from hitcore.learning.settings import Member, TrainConfig, TrainingData, network_of
from hitcore.networks.hitnet import HitNet


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    n_members_done: int
    """Members that have ended."""
    n_members: int
    """Members in all."""
    epoch: int
    """The epoch at hand of the chunk at hand."""
    fraction: float
    """Share of the work done, if every member took all its epochs; 0 to 1."""
    songs_per_s: float
    """Songs taken forward and back per second, counted once per member."""
    eta_s: float
    """Seconds left at this speed at most; members that stop early make it less."""
    message: str = ""
    """What a person should know, such as that the stack was split."""


@dataclass(frozen=True, eq=False)
class MemberResult:
    """What training one member came to."""

    member: Member
    """Who."""
    best_epoch: int
    """The epoch whose weights are kept, from 1; 0 if it diverged at once."""
    history: tuple[EpochRecord, ...]
    """One record per epoch."""
    state_dict: dict[str, Tensor]
    """Weights for `HitNet.load_state_dict`; they take the raw log-mel and the raw tags."""
    scores: NDArray[np.float32]
    """Predictions for all songs of the data; NaN where no epoch went through."""
    diverged: bool
    """Whether training had to end since loss or weights were no longer finite."""

    def network(self, data: TrainingData, config: TrainConfig) -> HitNet:
        """The trained network, in evaluation mode."""
        network = network_of(self.member, data, config)
        network.load_state_dict(self.state_dict)
        return network.eval()


@dataclass(frozen=True, eq=False)
class StackResult:
    """What training a stack came to."""

    members: tuple[MemberResult, ...]
    """In the order in which they were given."""
    finished: bool
    """False where `should_stop` ended it early; each member then has its best weights so far."""
    n_chunks: int
    """Into how many parts the stack was cut."""
    songs_per_s: float
    """Songs taken forward and back per second of training in this call, validation included,
    counted once per member."""

"""Fitting a tagger: epochs, the choice of the best one, checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore.checkpoints import resume_epoch, save_epoch, state_of
from hitcore.errors import DataError, ParameterError
from hitcore.taggers import ARCHITECTURES, Network
from hitcore.taggers.training.inputs import Inputs
from hitcore.taggers.training.scoring import TagScores, score_tags


@dataclass(frozen=True)
class TaggerConfig:
    """How a tagger is trained."""

    architecture: str = "jynet"
    """`jynet` or `musicnn`."""
    n_epochs: int = 100
    """Passes over the training clips, at most."""
    batch_size: int = 16
    """Clips in a step; of each, one window."""
    learning_rate: float = 1e-3
    """Of Adam, at the start; halved after `patience` epochs without gain."""
    patience: int = 5
    """Epochs without gain on validation before the rate is halved; after three halvings it ends."""
    balance: float = 0.5
    """How far rare tags count more: a clip that has the tag weighs (without ÷ with) to this power,
    at most 20. 0 counts all alike, 1 counts both sides of each tag alike."""
    seed: int = 0
    """Of the first weights, the order of clips, the windows and dropout."""

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            allowed = ", ".join(ARCHITECTURES)
            raise ParameterError(f"architecture is {self.architecture!r}; allowed are {allowed}")
        for name in ("n_epochs", "batch_size", "learning_rate", "patience"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.balance <= 1:
            raise ParameterError(f"balance is {self.balance}; allowed is 0 to 1")


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave."""

    epoch: int
    """Its number, from 1."""
    train_loss: float
    """Mean loss over the training clips."""
    valid_roc_auc: float
    """Macro ROC-AUC on the validation clips."""
    valid_pr_auc: float
    """Macro PR-AUC on the validation clips."""
    learning_rate: float
    """The rate it was trained with."""


class TaggerFit:
    """A tagger on its way: network, optimiser, history and the best weights so far.

    Args:
        inputs: What to learn from.
        tag_names: The tags.
        config: How.
        checkpoint: File that keeps the state after every epoch; what is there is taken up.
        device: Where to compute.

    Raises:
        DataError: The checkpoint is of another run, or damaged.
    """

    def __init__(
        self,
        inputs: Inputs,
        tag_names: tuple[str, ...],
        config: TaggerConfig,
        checkpoint: Path,
        device: torch.device | str = "cpu",
    ) -> None:
        self.inputs, self.tag_names, self.config = inputs, tag_names, config
        self.checkpoint, self.device = checkpoint, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = ARCHITECTURES[config.architecture](n_tags=len(tag_names))
        self.network: Network = network.to(self.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self.history: list[Epoch] = []
        self.best = state_of(self.network)
        self._class_weight = self._rare_tags()
        if checkpoint.exists():
            self._resume()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or four times `patience` epochs brought nothing."""
        waited = len(self.history) - self._best_epoch()
        return len(self.history) >= self.config.n_epochs or waited >= 4 * self.config.patience

    def run(self, on_epoch: Callable[[Epoch], None] | None = None) -> TagScores:
        """Train to the end; the scores of the best epoch's weights on the test clips."""
        while not self.finished:
            epoch = self._epoch()
            self.history.append(epoch)
            if self._best_epoch() == len(self.history):
                self.best = state_of(self.network)
            self._save()
            if on_epoch is not None:
                on_epoch(epoch)
        self.network.load_state_dict(self.best)
        return self.scores("test")

    def scores(self, part: str) -> TagScores:
        """The scores on the clips of a part of the split."""
        clips = self.inputs.splits[part]
        self.network.eval()
        with torch.inference_mode():
            rows = [self._clip_activation(int(clip)) for clip in clips]
        return score_tags(self.tag_names, self.inputs.labels[clips], np.stack(rows))

    def _epoch(self) -> Epoch:
        """One pass over the training clips; its draws follow from the seed and its number."""
        number = len(self.history) + 1
        draw = np.random.default_rng([self.config.seed, number])
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        order = draw.permutation(self.inputs.splits["train"])
        size = self.config.batch_size
        self.network.train()
        total = 0.0
        with torch.random.fork_rng(devices=self._gpus()):
            torch.manual_seed(1_000_003 * self.config.seed + number)
            for first in range(0, len(order), size):
                clips = order[first : first + size]
                if len(clips) == 1 and len(order) > 1:
                    continue  # batch norm needs two
                total += self._step(clips, draw) * len(clips)
        scores = self.scores("valid")
        return Epoch(number, total / len(order), scores.macro_roc_auc, scores.macro_pr_auc, rate)

    def _step(self, clips: NDArray[np.int64], draw: np.random.Generator) -> float:
        windows = self.inputs.batch(clips, draw).to(self.device)
        labels = torch.from_numpy(self.inputs.labels[clips]).to(self.device).float()
        logits, _ = self.network(windows)
        loss = self._loss(_over_time(logits), labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss is {loss.item()} in epoch {len(self.history) + 1}: lower learning_rate "
                f"(it is {self.config.learning_rate})"
            )
        return float(loss.item())

    def _loss(self, activation: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, in which clips that have a rare tag weigh more."""
        weight = 1 + labels * (self._class_weight - 1)
        return torch.nn.functional.binary_cross_entropy(activation, labels, weight)

    def _clip_activation(self, clip: int) -> NDArray[np.float32]:
        logits, _ = self.network(self.inputs.windows(clip).to(self.device))
        activation: NDArray[np.float32] = torch.sigmoid(logits).mean(dim=(0, 1)).cpu().numpy()
        return activation

    def _rare_tags(self) -> Tensor:
        """What a clip that has the tag weighs, for each tag."""
        labels = self.inputs.labels[self.inputs.splits["train"]]
        with_tag = labels.sum(axis=0, dtype=np.int64)
        ratio = (len(labels) - with_tag) / np.maximum(with_tag, 1)
        weight = np.clip(np.maximum(ratio, 1e-3) ** self.config.balance, 1e-3, 20.0)
        return torch.from_numpy(weight).float().to(self.device)

    def _rate(self) -> float:
        """The learning rate of the next epoch."""
        waited = len(self.history) - self._best_epoch()
        return self.config.learning_rate * 0.5 ** (waited // self.config.patience)

    def _best_epoch(self) -> int:
        """The epoch with the highest macro PR-AUC on validation; the last of equals; 0 if none."""
        values = [float(np.nan_to_num(epoch.valid_pr_auc, nan=-1.0)) for epoch in self.history]
        return max((value, i + 1) for i, value in enumerate(values))[1] if values else 0

    def _gpus(self) -> list[int]:
        return [self.device.index or 0] if self.device.type == "cuda" else []

    # --- checkpoints -----------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What makes a run this run and not another; the number of epochs may grow."""
        settings = {key: value for key, value in asdict(self.config).items() if key != "n_epochs"}
        data = hashlib.sha256(json.dumps([self.inputs.clip_ids, self.tag_names]).encode())
        data.update(self.inputs.labels.tobytes())
        for name in sorted(self.inputs.splits):
            data.update(self.inputs.splits[name].tobytes())
        return {"settings": settings, "data": data.hexdigest()}

    def _save(self) -> None:
        history = [asdict(epoch) for epoch in self.history]
        save_epoch(
            self.checkpoint, self.network, self.optimiser, self.best, self._identity(), history
        )

    def _resume(self) -> None:
        """Take up where the checkpoint stands."""
        self.best, history = resume_epoch(
            self.checkpoint, self.network, self.optimiser, self._identity()
        )
        self.history = [Epoch(**epoch) for epoch in history]


def _over_time(logits: Tensor) -> Tensor:
    """The mean activation over a window's rows, kept off 0 and 1, `(n_windows, n_tags)`."""
    return torch.sigmoid(logits).mean(dim=1).clamp(1e-6, 1 - 1e-6)

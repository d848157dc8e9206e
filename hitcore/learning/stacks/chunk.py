"""One chunk of a stack: its members trained together, epoch by epoch, until each has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore.checkpoints import Checkpoint
from hitcore.learning.batches import (
    Rules,
    dropout_seeds,
    epoch_batches,
    group_key,
    lists_of,
    pair_stack,
    part_batches,
    stacked_batches,
)
from hitcore.learning.choosing import Validation
from hitcore.learning.listwise import LIST_LOSSES
from hitcore.learning.loop import EpochRecord
from hitcore.learning.losses import in_batch_loss, multi_objective_loss, rating_loss
from hitcore.learning.pairs import Naive, PairRule
from hitcore.learning.settings import Member, TrainConfig
from hitcore.learning.stacks.devicedata import DeviceData
from hitcore.learning.stacks.fresh import fastest, fresh_stack
from hitcore.learning.stacks.gpu.replay import Recorder, ReplayedEpochs, recorder_for
from hitcore.learning.stacks.optimisers import make_optimiser
from hitcore.learning.stacks.stack import Dropout, Stack

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 64
"""Songs per step where nothing is trained."""

SONGS_ON_CUDA = 1 << 15
"""As many on a GPU, over all members."""

PAIRS_AT_ONCE = 1 << 25
"""Pairs of validation songs, over all members alike, whose losses a GPU finds at once."""

PAIRED_AT_MOST = 1500
"""Validation songs whose pairs are looked at, evenly spread; as many as the paper's folds have."""

LARGEST_FUSED_BATCH = 64
"""Songs of a batch whose loss is one kernel; more of them take the plain path."""


class Chunk:
    """Members of one network shape in the course of training.

    Args:
        numbers: The members' numbers in the whole training.
        members: The members themselves.
        data: The data, on the device.
        rules: Pair rules, shared by all chunks.
        config: Settings.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        members: Sequence[Member],
        data: DeviceData,
        rules: Rules,
        config: TrainConfig,
    ) -> None:
        self.numbers, self.members = list(numbers), list(members)
        self.data, self.rules, self.config = data, rules, config
        self.device = data.device
        self._fused = fastest(self.device) is not Stack
        # Plain steps on a GPU draw from generators, which a recording would not move on.
        replays = self._fused or self.device.type == "cpu"
        self._record = recorder_for(self.device) if replays else None
        self.stack = fresh_stack(self.members, data, config, config.precision)
        self.optimiser = make_optimiser(config.optimiser, self.stack.parameters)
        self.best = {name: value.clone() for name, value in self.stack.parameters.items()}
        n = len(members)
        self.alive = list(range(n))
        self.epoch = 0
        self.rate = [m.learning_rate or config.learning_rate for m in members]
        self.lowest_loss = [float("inf")] * n
        self.best_value = [[float("-inf")] for _ in range(n)]
        self.best_epoch = [0] * n
        self.diverged = [False] * n
        self.history: list[list[EpochRecord]] = [[] for _ in members]
        self._validations: dict[Member, Validation] = {}
        self._valid_masks: dict[tuple[int, bytes], Tensor] = {}
        self._dropped: Any = None
        self._epochs: ReplayedEpochs | None = None
        self._regroup()

    # --- the course of training -------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether every member has ended."""
        return not self.alive or self.epoch >= self.config.max_epochs

    def run_epoch(self, after_step: Callable[[int], None]) -> None:
        """Train one epoch, look at the validation songs, and let members end.

        Args:
            after_step: Called after every step with the number of songs it took forward and back.
        """
        self.epoch += 1
        train_loss = self._train(after_step)
        valid_loss, figures = self._validate()
        finite = self._finite()
        going, improved = [], []
        for place, number in enumerate(self.alive):
            record = EpochRecord(
                self.epoch,
                train_loss[place],
                valid_loss[place],
                figures[place][0] if np.isfinite(figures[place][0]) else float("nan"),
                self.rate[number],
            )
            if not (finite[place] and np.isfinite([record.train_loss, record.valid_loss]).all()):
                self.diverged[number] = True
                log.warning(
                    "%s diverged in epoch %d: its loss or weights are not finite; lower its "
                    "learning_rate",
                    self.members[number].label,
                    self.epoch,
                )
                continue
            kept = self._judge(number, record, figures[place])
            self.history[number].append(replace(record, kept=kept))
            if kept:
                improved.append(place)
            if self.epoch - self.best_epoch[number] < self.config.patience:
                going.append(place)
        if improved:
            numbers = [self.alive[place] for place in improved]
            for name, parameter in self.stack.parameters.items():
                self.best[name][numbers] = parameter.detach()[improved]
        self._keep(going)

    def _judge(self, number: int, record: EpochRecord, figures: tuple[float, float]) -> bool:
        """Whether this epoch is the best yet; slow down if the loss stands still."""
        by_ndcg = self.config.best_by == "ndcg" and not np.isnan(record.valid_ndcg)
        value = list(figures) if by_ndcg else [-record.valid_loss]
        best = value > self.best_value[number]
        if best:
            self.best_value[number], self.best_epoch[number] = value, record.epoch
        if record.valid_loss < self.lowest_loss[number]:
            self.lowest_loss[number] = record.valid_loss
        else:
            self.rate[number] *= self.config.lr_decay
        return best

    def _train(self, after_step: Callable[[int], None]) -> list[float]:
        n_members = len(self.alive)
        rate = torch.tensor([self.rate[n] for n in self.alive], device=self.device)
        seeds = dropout_seeds(self._living(), self.epoch)
        if not self._fused:
            self._dropped = Dropout(self.config.dropout, seeds, self.device)
        for leaf in self.stack.leaves().values():
            leaf.requires_grad_()
        total = torch.zeros(n_members, device=self.device)
        n_steps = torch.zeros(n_members, device=self.device)
        for number, batches in enumerate(self._batches()):
            active = (batches >= 0).any(dim=2)[:, self.stack.groups].float()
            n_steps += active.sum(dim=0)
            n_songs = n_members * batches.shape[2]
            if self._record is None:
                for songs, moved in zip(batches, active, strict=True):
                    self._step(songs, moved, total, rate, self._dropped)
                    after_step(n_songs)
            else:
                keys = [(seed + number * _NEXT_KEY) % 2**63 for seed in seeds]
                total += self._replayed(self._record).run(
                    batches,
                    active,
                    rate,
                    torch.tensor(keys, device=self.device),
                    lambda n_steps, n_songs=n_songs: after_step(n_steps * n_songs),  # type: ignore
                )
        mean: list[float] = (total / n_steps).tolist()
        return mean

    def _batches(self) -> Iterator[Tensor]:
        """The batches of an epoch, whole, or of each part of the data while it is at hand."""
        config, explicit = self.config, self.config.pairing == "explicit"
        if self.data.on_disk is None:
            steps = [
                epoch_batches(m, self.rules.over_training(m), self.epoch, config)
                for m in self._leaders
            ]
            yield stacked_batches(steps, explicit, self.device)
            return
        for number, part in enumerate(self.data.brought(self.data.parts(self.epoch))):
            steps = [part_batches(m, part, number, self.epoch, config) for m in self._leaders]
            if any(steps):
                yield stacked_batches(steps, explicit, self.device, config.batch_size)

    def _replayed(self, record: Recorder) -> ReplayedEpochs:
        """The recorded step of the members as they are now."""
        if self._epochs is None:
            epochs: ReplayedEpochs = ReplayedEpochs(
                lambda songs, active, total: self._step(
                    songs, active, total, epochs.rate, self._dropped
                ),
                record,
                len(self.alive),
                self.device,
            )
            self._epochs = epochs
            if self._fused:
                from hitcore.learning.stacks.gpu.launches import Draws

                self._dropped = Draws(epochs.keys, self.device, self.config.dropout, epochs.at)
        return self._epochs

    def _step(
        self,
        songs: Tensor,
        active: Tensor,
        total: Tensor,
        rate: Tensor,
        dropped: Any,
    ) -> None:
        """Scores, losses, gradients; the parameters move, and the losses are added to total."""
        scores = self.stack.scores_of(self.data, songs, dropped)
        mine = songs[self.stack.groups]
        explicit = self.config.pairing == "explicit"
        loss = self._pair_loss(scores, mine) if explicit else self._batch_loss(scores, mine)
        leaves = self.stack.leaves()
        for leaf in leaves.values():
            leaf.grad = None
        loss.sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(self.stack.parameters, rate, active, leaves)
        total += loss.detach() * active

    def _batch_loss(self, scores: Tensor, songs: Tensor) -> Tensor:
        known, weight = songs.clamp(min=0), (songs >= 0).float()
        if self.config.objective != "pairwise":
            y = self.data.y[known] / self._unit
            rated = rating_loss(scores, y, weight)
            ranked = self._list_loss(scores, y, self.data.gain[known], weight)
            return (1 - self._rank_weight) * rated + self._rank_weight * ranked
        permitted = self._pairs.in_batch(songs)
        y = self.data.y[known] / self._unit
        of_batch: Callable[..., Tensor] = in_batch_loss
        if self._fused and songs.shape[1] <= LARGEST_FUSED_BATCH:
            from hitcore.learning.stacks.gpu.fused import batch_loss as of_batch
        return of_batch(scores, y, permitted, self._margin, self._rank_weight)

    def _list_loss(self, scores: Tensor, y: Tensor, gain: Tensor, weight: Tensor) -> Tensor:
        loss = LIST_LOSSES[self.config.objective]
        return loss(scores, y, gain, weight, self.config.top, self.config.temperature)

    def _pair_loss(self, scores: Tensor, songs: Tensor) -> Tensor:
        first, second = songs.chunk(2, dim=1)
        (score_i, score_j), weight = scores.chunk(2, dim=1), (first >= 0).float()
        y_i, y_j = (self.data.y[half.clamp(min=0)] / self._unit for half in (first, second))
        return multi_objective_loss(
            score_i, score_j, y_i, y_j, self._margin, self._rank_weight, weight
        )

    # --- looking at songs -------------------------------------------------------------------------

    def _validate(self) -> tuple[list[float], list[tuple[float, float]]]:
        songs = [torch.from_numpy(m.songs["valid"]).to(self.device) for m in self._leaders]
        padded = torch.nn.utils.rnn.pad_sequence(songs, batch_first=True, padding_value=-1)
        scores = self.score(padded)
        groups = self.stack.groups.tolist()
        losses = torch.empty(len(self.alive), device=self.device)
        alike: dict[tuple[object, ...], list[int]] = {}
        for place, (member, group) in enumerate(zip(self._living(), groups, strict=True)):
            w = member.effective_rank_weight
            # On a CPU each member by itself: what is alike does not fit into its caches.
            key = (group, member.sampler, w > 0) if self.device.type != "cpu" else (place,)
            alike.setdefault(key, []).append(place)
        for places in alike.values():
            mine = songs[groups[places[0]]]
            at_once = max(1, PAIRS_AT_ONCE // len(mine) ** 2)
            for start in range(0, len(places), at_once):
                part = places[start : start + at_once]
                losses[part] = self._valid_loss(part, scores[part, : len(mine)], mine)
        together = scores.cpu().numpy()
        standings = [
            self._validation(member).scores_of_valid(mine[: len(songs[group])]).figures()
            for member, mine, group in zip(self._living(), together, groups, strict=True)
        ]
        return losses.tolist(), standings

    def _valid_loss(self, places: list[int], scores: Tensor, songs: Tensor) -> Tensor:
        """Rating over all validation songs, ranking over their permitted pairs (any, if none).

        Of members with the same validation songs, the same sampler and all with or without a
        ranking part: `(n_places,)`. Lists are as long as in training, so that the two losses can be
        compared.
        """
        first, w = self.members[self.alive[places[0]]], self._rank_weight[places]
        y = self.data.y[songs] / self._unit[places]
        loss = (1 - w) * rating_loss(scores, y)
        if first.effective_rank_weight == 0:
            return loss
        if self.config.objective != "pairwise":
            lists = lists_of(len(songs), self.config.batch_size, first.seed).to(self.device)
            known, present = lists.clamp(min=0), (lists >= 0).float()
            gain = self.data.gain[songs][known].expand(len(places), -1, -1)
            present = present.expand_as(gain)
            return loss + w * self._list_loss(scores[:, known], y[:, known], gain, present).mean(-1)
        step = -(-len(songs) // PAIRED_AT_MOST)  # pairs grow with the square of the songs
        songs, scores, y = songs[::step], scores[:, ::step], y[:, ::step]
        margin, permitted = self._margin[places], self._valid_pairs(first, songs)
        return loss + w * in_batch_loss(scores, y, permitted, margin, 1.0, ties="both")

    def _valid_pairs(self, member: Member, songs: Tensor) -> Tensor:
        """The mask of a member's validation songs; it is the same in every epoch."""
        rule = self.rules.over_data(member)
        key = (id(rule), member.songs["valid"].tobytes())
        if key not in self._valid_masks:
            permitted = rule.in_batch(songs)
            if not bool(permitted.any()):
                any_two: PairRule = Naive(self.data.source.n_songs)
                permitted = any_two.in_batch(songs)
            self._valid_masks[key] = permitted
        return self._valid_masks[key]

    def _validation(self, member: Member) -> Validation:
        """All that choosing a member's epoch may see."""
        if member not in self._validations:
            truth = np.asarray(self.data.source.hit_scores)
            self._validations[member] = Validation.of(member, truth, self.config.top)
        return self._validations[member]

    @torch.no_grad()
    def score(self, songs: Tensor) -> Tensor:
        """Scores without dropout, a few songs at a time: `(n_groups, n)` to `(K, n)`."""
        at_once = ROWS_AT_ONCE
        if self.device.type == "cuda":  # few large passes, whatever the number of members
            at_once = max(at_once, SONGS_ON_CUDA // max(len(self.stack), 1))
        if self.data.on_disk is not None:
            at_once = max(1, min(at_once, self.data.capacity // len(songs)))
        parts = torch.split(songs, at_once, dim=1)
        brought: Iterable[object] = parts
        if self.data.on_disk is not None and self.stack.audio is not None:
            brought = self.data.brought([np.unique(p[p >= 0].cpu().numpy()) for p in parts])
        scores = torch.empty(len(self.stack), songs.shape[1], device=self.device)
        for here, part, _ in zip(torch.split(scores, at_once, 1), parts, brought, strict=True):
            here.copy_(self.stack.scores_of(self.data, part, lambda x: x))
        return scores  # filled in place: small results between large buffers break up memory

    def outcome(self) -> tuple[NDArray[np.float32], list[dict[str, Tensor]]]:
        """Scores of all songs `(n_members, n_songs)`, and the weights, both of the best epochs.

        The scores are those of the exported weights, so in single precision whatever trained
        them; NaN for members without one whole epoch.
        """
        self.stack = fresh_stack(self.members, self.data, self.config, "float32")
        self.stack.parameters = {name: value.clone() for name, value in self.best.items()}
        self.stack.refresh()
        n_groups = int(self.stack.groups.max()) + 1
        songs = torch.arange(self.data.source.n_songs, device=self.device)
        trained = torch.tensor(self.best_epoch, device=self.device) > 0
        scores = torch.full((len(self.members), len(songs)), torch.nan, device=self.device)
        if bool(trained.any()):
            all_scores = self.score(songs.expand(n_groups, -1)) * self.stack.unit[:, None]
            scores[trained] = all_scores[trained]
        weights = [self.stack.state_dict(place) for place in range(len(self.members))]
        return scores.cpu().numpy(), weights

    # --- saving -----------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """All that is needed to go on from the end of this epoch."""
        tensors = {f"weights.{name}": v for name, v in self.stack.parameters.items()}
        tensors |= {f"optimiser.{name}": v for name, v in self.optimiser.state.items()}
        tensors |= {f"best.{name}": v for name, v in self.best.items()}
        state = {name: getattr(self, name) for name in _PLAIN}
        state["history"] = [[asdict(record) for record in one] for one in self.history]
        return Checkpoint(self.numbers, tensors, state)

    def restore(self, saved: Checkpoint) -> None:
        """Go on where a checkpoint was written."""
        for name in _PLAIN:
            setattr(self, name, saved.state[name])
        self.history = [[EpochRecord(**record) for record in one] for one in saved.state["history"]]
        self.stack.keep(torch.tensor(self.alive, dtype=torch.long, device=self.device))
        self.stack.parameters = self._part(saved, "weights.")
        self.stack.refresh()
        self.optimiser.state = self._part(saved, "optimiser.")
        self.best = self._part(saved, "best.")
        self._regroup()

    def _part(self, saved: Checkpoint, prefix: str) -> dict[str, Tensor]:
        return {
            # A copy: products of memory aligned in another way may differ in the last bit.
            name.removeprefix(prefix): value.to(self.device, copy=True)
            for name, value in saved.tensors.items()
            if name.startswith(prefix)
        }

    # --- members ----------------------------------------------------------------------------------

    def _living(self) -> list[Member]:
        return [self.members[number] for number in self.alive]

    def _keep(self, places: list[int]) -> None:
        if len(places) == len(self.alive):
            return
        self.alive = [self.alive[place] for place in places]
        index = torch.tensor(places, dtype=torch.long, device=self.device)
        self.stack.keep(index)
        self.optimiser.state = {n: v[index].clone() for n, v in self.optimiser.state.items()}
        self._regroup()

    def _regroup(self) -> None:
        """What depends on who is still being trained."""
        self._epochs = None
        members = self._living()
        if not members:
            return
        leaders: dict[object, Member] = {}
        for member in members:
            leaders.setdefault(group_key(member, self.config), member)
        self._leaders = list(leaders.values())
        self._pairs = pair_stack(members, self.rules)
        self._unit = self.stack.unit.unsqueeze(1)
        self._margin = torch.tensor([m.margin for m in members], device=self.device)
        self._rank_weight = torch.tensor(
            [m.effective_rank_weight for m in members], device=self.device
        )

    def _finite(self) -> list[bool]:
        """Whether a member's weights are finite; one bad gradient would have spoiled them."""
        fine = torch.ones(len(self.alive), dtype=torch.bool, device=self.device)
        for values in (self.stack.parameters, self.optimiser.state):
            for value in values.values():
                fine &= torch.isfinite(value.detach()).view(len(fine), -1).all(dim=1)
        finite: list[bool] = fine.tolist()
        return finite


_NEXT_KEY = 0x9E3779B97F4A7C15
"""What a member's key of dropout moves on by from one part of the data to the next."""

_PLAIN = ("alive", "epoch", "rate", "lowest_loss", "best_value", "best_epoch", "diverged")
"""Attributes of a chunk that a checkpoint keeps as they are."""

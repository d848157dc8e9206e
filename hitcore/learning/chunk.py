"""One chunk of a stack: its members trained together, epoch by epoch, until each has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

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
    stacked_batches,
)
from hitcore.learning.choosing import Validation
from hitcore.learning.listwise import LIST_LOSSES
from hitcore.learning.losses import in_batch_loss, multi_objective_loss, rating_loss
from hitcore.learning.optimisers import make_optimiser
from hitcore.learning.pairs import Naive, PairRule
from hitcore.learning.settings import Member, TrainConfig, TrainingData, network_of
from hitcore.learning.stack import Dropout, Normalisation, Stack
from hitcore.networks.hitnet import LEAK, HitNet, LinearRater, initialise
from hitcore.networks.mixing import MixKind

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 64
"""Songs per step where nothing is trained."""


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of one member came to."""

    epoch: int
    """Its number, from 1."""
    train_loss: float
    """Mean over the steps, with dropout."""
    valid_loss: float
    """The same loss on the validation songs, without dropout."""
    valid_ndcg: float
    """nDCG@top of the validation songs; NaN where undefined."""
    learning_rate: float
    """Step size during the epoch."""


class DeviceData:
    """The data on the device, frames before bins."""

    def __init__(self, data: TrainingData, device: torch.device) -> None:
        self.device = device
        self.source = data
        self.y = torch.from_numpy(np.asarray(data.y)).float().to(device)
        hit_scores = np.asarray(data.hit_scores)
        self.gain = torch.from_numpy(hit_scores / max(hit_scores.max(), 1e-300)).float().to(device)
        self.mel = None if data.mel is None else _frames_first(torch.as_tensor(data.mel), device)
        self.tags = None if data.tags is None else torch.as_tensor(data.tags).float().to(device)
        self._statistics: dict[tuple[str, bytes], tuple[Tensor, Tensor]] = {}

    def statistics(self, name: str, songs: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Mean and 1/deviation of each feature over some songs; 1 where it does not vary."""
        key = (name, songs.tobytes())
        if key not in self._statistics:
            features = self.mel if name == "mel" else self.tags
            assert features is not None
            self._statistics[key] = _moments(features, torch.from_numpy(songs).to(self.device))
        return self._statistics[key]


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
        self.stack = self._fresh_stack(self.config.precision)
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
        valid_loss, standing = self._validate()
        finite = self._finite()
        going = []
        for place, number in enumerate(self.alive):
            record = EpochRecord(
                self.epoch,
                train_loss[place],
                valid_loss[place],
                standing[place][0] if np.isfinite(standing[place][0]) else float("nan"),
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
            self.history[number].append(record)
            self._judge(number, place, record, standing[place])
            if self.epoch - self.best_epoch[number] < self.config.patience:
                going.append(place)
        self._keep(going)

    def _judge(
        self, number: int, place: int, record: EpochRecord, standing: tuple[float, float]
    ) -> None:
        """Keep the weights if they are the best yet; slow down if the loss stands still."""
        by_ndcg = self.config.best_by == "ndcg" and not np.isnan(record.valid_ndcg)
        value = list(standing) if by_ndcg else [-record.valid_loss]
        if value > self.best_value[number]:
            self.best_value[number], self.best_epoch[number] = value, record.epoch
            for name, parameter in self.stack.parameters.items():
                self.best[name][number] = parameter.detach()[place]
        if record.valid_loss < self.lowest_loss[number]:
            self.lowest_loss[number] = record.valid_loss
        else:
            self.rate[number] *= self.config.lr_decay

    def _train(self, after_step: Callable[[int], None]) -> list[float]:
        members, config = self._living(), self.config
        explicit = config.pairing == "explicit"
        batches = stacked_batches(
            [
                epoch_batches(m, self.rules.over_training(m), self.epoch, config)
                for m in self._leaders
            ],
            explicit,
            self.device,
        )
        dropped = Dropout(config.dropout, dropout_seeds(members, self.epoch), self.device)
        rate = torch.tensor([self.rate[n] for n in self.alive], device=self.device)
        total = torch.zeros(len(members), device=self.device)
        for parameter in self.stack.parameters.values():
            parameter.requires_grad_()
        for songs in batches:
            present = songs >= 0
            scores = self._scores(songs, dropped)
            mine = songs[self.stack.groups]
            loss = self._pair_loss(scores, mine) if explicit else self._batch_loss(scores, mine)
            for parameter in self.stack.parameters.values():
                parameter.grad = None
            loss.sum().backward()  # type: ignore[no-untyped-call]
            active = present.any(dim=1)[self.stack.groups].float()
            self.optimiser.step(self.stack.parameters, rate, active)
            total += loss.detach() * active
            after_step(len(members) * songs.shape[1])
        n_steps = (batches >= 0).any(dim=2).sum(dim=0)[self.stack.groups]
        return [float(value) for value in total / n_steps]

    def _scores(self, songs: Tensor, dropped: Callable[[Tensor], Tensor]) -> Tensor:
        """Scores of each group's songs `(n_groups, n_songs)` for each member: `(K, n_songs)`."""
        known = songs.clamp(min=0)
        mel = None if self.stack.audio is None or self.data.mel is None else self.data.mel[known]
        tags = None if self.stack.tag is None or self.data.tags is None else self.data.tags[known]
        return self.stack.scores(mel, tags, dropped)

    def _batch_loss(self, scores: Tensor, songs: Tensor) -> Tensor:
        known, weight = songs.clamp(min=0), (songs >= 0).float()
        if self.config.objective != "pairwise":
            y = self.data.y[known] / self._unit
            rated = rating_loss(scores, y, weight)
            ranked = self._list_loss(scores, y, self.data.gain[known], weight)
            return (1 - self._rank_weight) * rated + self._rank_weight * ranked
        permitted = self._pairs.in_batch(songs)
        return in_batch_loss(
            scores, self.data.y[known] / self._unit, permitted, self._margin, self._rank_weight
        )

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
        losses, standings = [], []
        for place, (member, group) in enumerate(
            zip(self._living(), self.stack.groups.tolist(), strict=True)
        ):
            mine = scores[place, : len(songs[group])]
            y = self.data.y[songs[group]] / self.stack.unit[place]
            losses.append(float(self._valid_loss(member, mine, y, songs[group])))
            said = self._validation(member).scores_of_valid(mine.cpu().numpy())
            standings.append(said.standing())
        return losses, standings

    def _valid_loss(self, member: Member, scores: Tensor, y: Tensor, songs: Tensor) -> Tensor:
        """Rating over all validation songs, ranking over their permitted pairs (any, if none).

        Lists are as long as in training, so that the two losses can be compared.
        """
        w = member.effective_rank_weight
        loss = (1 - w) * rating_loss(scores, y)
        if w == 0:
            return loss
        if self.config.objective != "pairwise":
            places = lists_of(len(songs), self.config.batch_size, member.seed).to(self.device)
            known, weight = places.clamp(min=0), (places >= 0).float()
            gain = self.data.gain[songs]
            of_lists = self._list_loss(scores[known], y[known], gain[known], weight)
            return loss + w * of_lists.mean()
        permitted = self.rules.over_data(member).in_batch(songs)
        if not bool(permitted.any()):
            any_two: PairRule = Naive(self.data.source.n_songs)
            permitted = any_two.in_batch(songs)
        return loss + w * in_batch_loss(scores, y, permitted, member.margin, 1.0, ties="both")

    def _validation(self, member: Member) -> Validation:
        """All that choosing a member's epoch may see."""
        if member not in self._validations:
            truth = np.asarray(self.data.source.hit_scores)
            self._validations[member] = Validation.of(member, truth, self.config.top)
        return self._validations[member]

    @torch.no_grad()
    def score(self, songs: Tensor) -> Tensor:
        """Scores without dropout, a few songs at a time: `(n_groups, n)` to `(K, n)`."""
        parts = torch.split(songs, ROWS_AT_ONCE, dim=1)
        return torch.cat([self._scores(part, lambda x: x) for part in parts], dim=1)

    def outcome(self) -> tuple[NDArray[np.float32], list[dict[str, Tensor]]]:
        """Scores of all songs `(n_members, n_songs)`, and the weights, both of the best epochs.

        The scores are those of the exported weights, so in single precision whatever trained
        them; NaN for members without one whole epoch.
        """
        self.stack = self._fresh_stack("float32")
        self.stack.parameters = {name: value.clone() for name, value in self.best.items()}
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
        return [bool(value) for value in fine]

    def _fresh_stack(self, precision: str) -> Stack:
        units = [self._unit_of(member) for member in self.members]
        networks = [self._network(m, unit) for m, unit in zip(self.members, units, strict=True)]
        keys = [group_key(member, self.config) for member in self.members]
        order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        groups = [order[key] for key in keys]
        if precision == "auto":
            precision = "bfloat16" if self.device.type == "cuda" else "float32"
        return Stack(
            networks,
            groups,
            self._normalisation("mel") if networks[0].audio is not None else None,
            self._normalisation("tags") if networks[0].tag is not None else None,
            torch.tensor(units, device=self.device),
            self.device,
            getattr(torch, precision),
        )

    def _network(self, member: Member, unit: float) -> HitNet:
        network = initialise(network_of(member, self.data.source, self.config), member.seed)
        if self.config.centre_output:
            _start_from(network, float(self._truth(member).mean()) / unit)
        return network

    def _unit_of(self, member: Member) -> float:
        return float(self._truth(member).std()) if self.config.standardise else 1.0

    def _truth(self, member: Member) -> NDArray[np.float64]:
        return np.asarray(self.data.source.y, np.float64)[member.songs["train"]]

    def _normalisation(self, name: str) -> Normalisation:
        moments = [self.data.statistics(name, m.songs["train"]) for m in self.members]
        mean, scale = (torch.stack(values) for values in zip(*moments, strict=True))
        if not self.config.standardise:
            mean, scale = torch.zeros_like(mean), torch.ones_like(scale)
        return Normalisation(mean, scale)


_PLAIN = ("alive", "epoch", "rate", "lowest_loss", "best_value", "best_epoch", "diverged")
"""Attributes of a chunk that a checkpoint keeps as they are."""


def _start_from(network: HitNet, mean: float) -> None:
    """Set the last biases so that the mixed score of nothing is the mean of y."""
    before_leak = mean if mean > 0 else mean / LEAK
    with torch.no_grad():
        if isinstance(network.audio, LinearRater):
            network.audio.conv1.bias.fill_(mean)  # type: ignore[union-attr]
        elif network.audio is not None:
            network.audio.get_submodule("conv5").bias.fill_(before_leak)  # type: ignore
        alone = network.audio is None or network.mix is MixKind.CONVEX
        if network.tag is not None and alone:
            network.tag.dense4.bias.fill_(before_leak)


def _frames_first(mel: Tensor, device: torch.device) -> Tensor:
    """`(n_songs, n_frames, n_mels)` on the device, in the precision it came in."""
    dtype = torch.float16 if mel.dtype == torch.float16 else torch.float32
    n_songs, n_mels, n_frames = mel.shape
    turned = torch.empty(n_songs, n_frames, n_mels, dtype=dtype, device=device)
    for start in range(0, n_songs, 256):
        turned[start : start + 256] = mel[start : start + 256].to(device).mT
    return turned


def _moments(features: Tensor, songs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1/deviation of the last dimension over some songs, in double precision."""
    n_features = features.shape[-1]
    total = torch.zeros(2, n_features, dtype=torch.float64, device=features.device)
    n_rows = 0
    for part in torch.split(songs, 256):
        rows = features[part].float().view(-1, n_features)
        offset = features[songs[0]].float().view(-1, n_features)[0]
        rows = rows - offset
        total += torch.stack([rows.sum(0), rows.square().sum(0)])
        n_rows += len(rows)
    mean = total[0] / n_rows
    deviation = (total[1] / n_rows - mean.square()).clamp(min=0).sqrt()
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 1.0)
    return (mean + offset).float(), scale.float()

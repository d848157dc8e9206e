"""The paper in one sitting: a Siamese network with ranking loss, in ordinary PyTorch.

Sections 2.1 to 2.4 from top to bottom: pairs of songs are drawn by a rule (2.3), both songs of a
pair go through one network (Figs. 1 and 2), its scores are compared with the truth by eqs. 1 to 3,
and the optimiser takes a step. `hitcore.learning.stacks` trains hundreds of models at once and is
tested against this loop; networks, losses and samplers of one's own are trained by it.

Conventions:
    A batch is a list of songs and a mask of the pairs among them that are compared. Explicit pairs
    are a batch of all first songs, then all second songs; in a batch, any permitted pair counts.
    Inputs have mean 0 and deviation 1 over the training songs, y is in units of its deviation.

References:
    The paper, sections 2.1 to 2.4, eqs. 1 to 4.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hitcore.checkpoints import state_of
from hitcore.errors import UndefinedMetricWarning
from hitcore.evaluation.metrics import ndcg_at
from hitcore.learning.batches import Rules, dropout_seeds, epoch_batches
from hitcore.learning.givenpairs import GivenPairs
from hitcore.learning.losses import Loss, MultiObjective
from hitcore.learning.pairs import Naive, PairRule
from hitcore.learning.settings import Member, TrainConfig, TrainingData, check, standardised_model
from hitcore.networks.standardised import StandardisedNet


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
    kept: bool = False
    """Whether it was the best epoch so far, so that its weights were kept."""


@dataclass(frozen=True, eq=False)
class LoopResult:
    """What training one model came to."""

    network: StandardisedNet
    """The network of the best epoch, in evaluation mode; it takes raw inputs and predicts y."""
    history: tuple[EpochRecord, ...]
    """One record per epoch."""
    best_epoch: int
    """The epoch whose weights are kept, from 1; 0 if it diverged at once."""
    scores: NDArray[np.float32]
    """Predictions for all songs of the data, `(n_songs,)`; NaN where no epoch went through."""
    diverged: bool
    """Whether training had to end since the loss was no longer finite."""


@torch.random.fork_rng(devices=[])  # dropout is seeded below; the caller's draws stay theirs
def train(
    data: TrainingData,
    member: Member,
    config: TrainConfig | None = None,
    *,
    network: nn.Module | None = None,
    rule: PairRule | None = None,
    loss: Loss | None = None,
    device: str | torch.device = "cpu",
) -> LoopResult:
    """One model, trained epoch by epoch; the slow reference of `fit_stack`.

    Args:
        data: Features and truth of all songs.
        member: Its songs, hyper-parameters and seed, and what is not given below.
        config: Settings.
        network: Any module of `(mel, tags)` that gives scores `(n_songs,)` or a `HitNetOutput`;
            trained as it is given. None: the member's, with the weights of its seed.
        rule: Pairs over all songs of the data. None: the member's sampler.
        loss: Any `Loss`. None: the member's `MultiObjective`.
        device: Where to train.

    Raises:
        ParameterError, DataError, SplitLeakageError: As `fit_stack`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tags = rng.random((60, 5))
        >>> data = TrainingData(None, tags, y=tags[:, 0], hit_scores=tags[:, 0])
        >>> member = Member(range(40), range(40, 60), audio=None, use_tags=True, sampler="ab")
        >>> result = train(data, member, TrainConfig(max_epochs=3))
        >>> len(result.history), result.scores.shape
        (3, (60,))
    """
    config = config or TrainConfig()
    check(data, [member], config)
    rules = Rules(data)
    compared = rule or rules.over_data(member)
    drawn = _among(rule, member.songs["train"]) if rule else rules.over_training(member)
    objective = loss or MultiObjective(member.margin, member.effective_rank_weight)
    model = standardised_model(data, member, config, network).to(device)
    y = torch.from_numpy(np.asarray(data.y)).float().to(device) / model.unit
    optimiser = _optimiser(model, member, config)
    valid = torch.from_numpy(member.songs["valid"]).to(device)
    history: list[EpochRecord] = []
    best, best_value, best_epoch, lowest = state_of(model), -math.inf, 0, math.inf
    diverged = False
    for epoch in range(1, config.max_epochs + 1):
        rate, losses = optimiser.param_groups[0]["lr"], []
        torch.manual_seed(dropout_seeds([member], epoch)[0])
        model.train()
        for songs in map(torch.from_numpy, epoch_batches(member, drawn, epoch, config)):
            pairs = _pairs(songs, compared, config).to(device)
            score = _scores(model, data, songs, device)  # eq. 4: audio and tags as one
            value = objective(score, y[songs.to(device)], pairs)  # eqs. 1 to 3
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(value.detach()))
        model.eval()
        with torch.no_grad():
            score = _scores(model, data, valid.cpu(), device)
            valid_loss = float(_whole(objective, score, y[valid], compared, valid.cpu()))
        if not np.isfinite([*losses, valid_loss]).all():
            diverged = True
            break
        ndcg = _ndcg(data, member, score, config)
        by_ndcg = config.best_by == "ndcg" and not math.isnan(ndcg)
        kept = (ndcg if by_ndcg else -valid_loss) > best_value
        history.append(EpochRecord(epoch, float(np.mean(losses)), valid_loss, ndcg, rate, kept))
        if kept:
            best_value, best_epoch = (ndcg if by_ndcg else -valid_loss), epoch
            best = state_of(model)
        if valid_loss < lowest:
            lowest = valid_loss
        else:
            optimiser.param_groups[0]["lr"] *= config.lr_decay
        if epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(best)
    with torch.no_grad():
        parts = torch.split(torch.arange(data.n_songs), 64)
        scores = torch.cat([_scores(model.eval(), data, part, device) for part in parts])
    scores = scores * model.unit if best_epoch else torch.full_like(scores, torch.nan)
    return LoopResult(model, tuple(history), best_epoch, scores.cpu().numpy(), diverged)


def _among(rule: PairRule, songs: NDArray[np.int64]) -> GivenPairs:
    """A rule over all songs of the data, as one over some of them."""
    return GivenPairs(rule.in_batch(torch.from_numpy(songs)), rule.name)


def _pairs(songs: Tensor, rule: PairRule, config: TrainConfig) -> Tensor:
    """Which pairs of a batch are compared: the drawn ones, or all that the rule permits."""
    if config.pairing == "in_batch":
        return rule.in_batch(songs)
    n_pairs = len(songs) // 2
    return torch.diag(torch.ones(n_pairs, dtype=torch.bool), n_pairs)


def _scores(
    model: StandardisedNet, data: TrainingData, songs: Tensor, device: str | torch.device
) -> Tensor:
    """The scores of some songs, in units of the deviation of y."""
    mel, tags = (
        None if values is None else torch.as_tensor(values)[songs].to(device)
        for values in (data.mel, data.tags)
    )
    score: Tensor = model(mel, tags).score
    return score / model.unit


def _whole(loss: Loss, score: Tensor, y: Tensor, rule: PairRule, songs: Tensor) -> Tensor:
    """The loss on the validation songs, over their permitted pairs (any, if none)."""
    pairs = rule.in_batch(songs).to(score.device)
    if not bool(pairs.any()):
        pairs = Naive(rule.n_songs).in_batch(songs).to(score.device)
    return (
        loss.whole(score, y, pairs) if isinstance(loss, MultiObjective) else loss(score, y, pairs)
    )


def _ndcg(data: TrainingData, member: Member, score: Tensor, config: TrainConfig) -> float:
    truth = np.asarray(data.hit_scores)[member.songs["valid"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the history says NaN
        return ndcg_at(truth, score.cpu().numpy(), config.top)


def _optimiser(model: nn.Module, member: Member, config: TrainConfig) -> torch.optim.Optimizer:
    rate = member.learning_rate or config.learning_rate
    if config.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), rate)
    # As published: the sums of squares start at 0.1.
    return torch.optim.Adagrad(model.parameters(), rate, initial_accumulator_value=0.1, eps=0.0)

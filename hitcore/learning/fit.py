"""One call from arrays to a model: sampler, loss and network by name, or objects of one's own.

Built-in parts train through the stack; a network, a loss or a sampler of one's own through the
plain loop, epoch for epoch the same procedure.

References:
    The paper, sections 2.1 to 2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from hitcore.errors import ParameterError
from hitcore.evaluation.percentiles import Reference
from hitcore.learning.loop import train as train_in_loop
from hitcore.learning.losses import Loss
from hitcore.learning.pairs import PairRule
from hitcore.learning.settings import Member, TrainConfig, TrainingData, stacks
from hitcore.learning.stacks.fitting import fit_member
from hitcore.networks.hitnet import HitNet
from hitcore.networks.models import HitModel, ModelSpec
from hitcore.networks.registry import AUDIO_NETWORKS

LOSSES = ("multi", "rating")
"""Losses that `fit` knows by name: eq. 3 over a sampler's pairs, and eq. 1 alone."""

Sampler = str | PairRule | Callable[[TrainingData], PairRule] | None


def fit(
    data: TrainingData,
    *,
    sampler: Sampler = "ab",
    loss: str | Loss = "multi",
    network: str | nn.Module = "cnn",
    splits: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    margin: float = 0.1,
    rank_weight: float = 0.5,
    tag_weight: float = 0.5,
    seed: int = 0,
    config: TrainConfig | None = None,
    device: str | torch.device = "cpu",
    tag_names: Sequence[str] = (),
    tagger: str = "musicnn-mtt",
    name: str = "mine",
) -> HitModel:
    """A trained model, with the scores of its test songs as reference.

    Args:
        data: Features and truth of all songs.
        sampler: `naive`, `ab` or `artist`; a `PairRule` over all songs of the data, or a function
            of the data that gives one; None for rating alone.
        loss: `multi` (eq. 3) or `rating` (eq. 1); or any callable of scores, truth and pair mask.
        network: Names of `AUDIO_NETWORKS`, `tags`, or both joined by `+` (`cnn+tags`); or any
            `nn.Module` of `(mel, tags)` that gives scores `(n_songs,)`.
        splits: Positions of training, validation and test songs; None: 80, 10 and 10 % at random.
            Songs of one artist in two splits flatter a model: make splits with `Catalogue.folds`.
        margin: m of eq. 2.
        rank_weight: w of eq. 3.
        tag_weight: μ of eq. 4.
        seed: Seed of everything random.
        config: How it is trained.
        device: Where it is trained.
        tag_names: Names of the tags, in order; needed to analyse songs with a model that uses them.
        tagger: Whose tags they are.
        name: What the model is called.

    Raises:
        ParameterError: An unknown sampler, loss or network.
        DataError, SplitLeakageError: The data does not serve for what is asked.
        EngineError: The device is absent.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tags = rng.random((80, 5))
        >>> data = TrainingData(None, tags, y=tags[:, 0], hit_scores=tags[:, 0])
        >>> model = fit(data, network="tags", sampler="ab", config=TrainConfig(max_epochs=2))
        >>> model(None, torch.zeros(3, 5)).score.shape
        torch.Size([3])
    """
    config = config or TrainConfig()
    own_parts = not (isinstance(network, str) and isinstance(loss, str)) or _is_rule(sampler)
    member = _member(
        data, sampler, loss, network, splits, margin=margin, rank_weight=rank_weight,
        tag_weight=tag_weight, seed=seed, name=name,
    )  # fmt: skip
    if own_parts:
        rule = sampler(data) if callable(sampler) else sampler
        found = train_in_loop(
            data,
            member,
            config,
            network=network if isinstance(network, nn.Module) else None,
            rule=rule if isinstance(rule, PairRule) else None,
            loss=None if isinstance(loss, str) else loss,
            device=device,
        )
        trained: HitNet = found.network.cpu()
        scores, diverged = found.scores, found.diverged
    else:
        result = fit_member(data, member, config, device=device)
        trained, scores, diverged = result.network(data, config), result.scores, result.diverged
    if diverged and not np.isfinite(scores).all():
        raise ParameterError(
            f"training of {name} diverged in its first epoch: lower learning_rate in the config"
        )
    spec = _spec(name, data, member, config, network, own_parts, tag_names, tagger)
    return HitModel([trained], spec, _reference(data, member, scores))


def _is_rule(sampler: Sampler) -> bool:
    return isinstance(sampler, PairRule) or callable(sampler)


def _member(
    data: TrainingData,
    sampler: Sampler,
    loss: str | Loss,
    network: str | nn.Module,
    splits: tuple[ArrayLike, ArrayLike, ArrayLike] | None,
    *,
    rank_weight: float,
    seed: int,
    margin: float,
    tag_weight: float,
    name: str,
) -> Member:
    """The built-in parts as a member; what is one's own stands in for them later."""
    if isinstance(loss, str) and loss not in LOSSES:
        raise ParameterError(f"loss is {loss!r}; allowed is {', '.join(LOSSES)}, or a callable")
    if isinstance(network, str):
        parts = network.split("+")
        audio = [part for part in parts if part != "tags"]
        if len(audio) > 1 or any(part not in AUDIO_NETWORKS for part in audio):
            known = ", ".join([*AUDIO_NETWORKS, "tags"])
            raise ParameterError(
                f"network is {network!r}; allowed is {known}, one of them joined to tags as in "
                "cnn+tags, or an nn.Module"
            )
        chosen, use_tags = (audio[0] if audio else None), "tags" in parts
    else:
        chosen, use_tags = (None if data.mel is None else "cnn"), data.tags is not None
    train, valid, test = _random_splits(data.n_songs, seed) if splits is None else splits
    named = None if loss == "rating" else "naive" if _is_rule(sampler) else sampler
    return Member(
        train, valid, test, chosen, use_tags, named,  # type: ignore[arg-type]
        margin=margin, rank_weight=rank_weight, tag_weight=tag_weight, seed=seed, name=name,
    )  # fmt: skip


def _random_splits(n_songs: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    order = np.random.default_rng(seed).permutation(n_songs)
    train, valid, test = np.split(order, [int(0.8 * n_songs), int(0.9 * n_songs)])
    return train, valid, test


def _spec(
    name: str,
    data: TrainingData,
    member: Member,
    config: TrainConfig,
    network: str | nn.Module,
    own_parts: bool,
    tag_names: Sequence[str],
    tagger: str,
) -> ModelSpec:
    """What the model takes, so that `analyse` can feed it."""
    own_network = isinstance(network, nn.Module)
    mel = None if data.mel is None or member.audio is None else torch.as_tensor(data.mel)
    n_tags = torch.as_tensor(data.tags).shape[1] if member.use_tags else 0
    names = tuple(tag_names) or tuple(f"tag {i + 1}" for i in range(n_tags))
    return ModelSpec(
        name=name,
        audio=AUDIO_NETWORKS[member.audio].__name__ if member.audio and not own_network else None,
        mel=None if mel is None else data.preset or config.preset or "paper",
        n_mels=128 if mel is None else mel.shape[1],
        n_frames=323 if mel is None else mel.shape[2],
        tagger=tagger if n_tags else None,
        tag_names=names[:n_tags],
        tag_weights=(member.tag_weight,),
        mix=str(config.mix),
        target_transform=None,
        title=name,
        trained_on=f"{len(member.songs['train'])} songs given to hitcore.fit",
        standardised=own_parts or not stacks(member),
        own=type(network).__name__ if isinstance(network, nn.Module) else "",
    )


def _reference(data: TrainingData, member: Member, scores: NDArray[np.float32]) -> Reference | None:
    """The songs that training never saw, for a song's place among them."""
    test = member.songs["test"]
    if not len(test):
        return None
    truth = np.asarray(data.hit_scores, np.float64)[test]
    return Reference(np.zeros(len(test), np.int64), scores[test].astype(np.float64), truth)

"""Which songs each member of a stack is shown at each step, and which pairs among them it compares.

The order of an epoch follows from a member's seed and the epoch's number alone, so members with the
same songs, seed and way of drawing form a group that is shown the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore.errors import DataError
from hitcore.learning.pairs import AB, Artist, Naive, PairRule, PairStack, mean_hit_score
from hitcore.learning.settings import Member, TrainConfig, TrainingData

Indices = NDArray[np.int64]
ABSENT = -1
"""Fills places of a batch where a member has no song."""


class Rules:
    """The pair rules of members, made once for each set of training songs.

    `over_training` is a rule over the positions of a member's training songs, for drawing;
    `over_data` is the same rule over all songs, for masks.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._made: dict[tuple[str, str, bytes], PairRule] = {}

    def over_training(self, member: Member) -> PairRule:
        """The rule over `member.train`: song i of the rule is `member.train[i]`."""
        songs = member.songs["train"]
        key = ("training", member.sampler or "naive", songs.tobytes())
        if key not in self._made:
            self._made[key] = self._make(member, songs)
        return self._made[key]

    def over_data(self, member: Member) -> PairRule:
        """The rule over all songs of the data, with group A as the training songs define it."""
        songs = member.songs["train"] if member.sampler == "ab" else np.zeros(0, np.int64)
        key = ("data", member.sampler or "naive", songs.tobytes())
        if key not in self._made:
            scores = np.asarray(self._data.hit_scores)
            if member.sampler == "ab":
                rule: PairRule = AB(scores, threshold=mean_hit_score(scores[songs]))
            else:
                rule = self._make(member, np.arange(self._data.n_songs))
            self._made[key] = rule
        return self._made[key]

    def _make(self, member: Member, songs: Indices) -> PairRule:
        if member.sampler == "ab":
            return AB(np.asarray(self._data.hit_scores)[songs])
        if member.sampler == "artist":
            artists = self._data.artist_ids
            assert artists is not None, "checked before training"
            try:
                return Artist([artists[song] for song in songs])
            except DataError as error:
                raise DataError(f"{member.label}: {error}") from error
        return Naive(len(songs))


def group_key(member: Member, config: TrainConfig) -> tuple[bytes | int | str, ...]:
    """Equal for members that are shown the same songs in the same order."""
    sampler: str = member.sampler or "naive"
    if config.pairing == "in_batch" and sampler != "artist":
        sampler = "any"  # naive and A/B show a member the same songs and differ in the pairs alone
    songs = member.songs
    return (songs["train"].tobytes(), songs["valid"].tobytes(), member.seed, sampler)


def epoch_batches(member: Member, rule: PairRule, epoch: int, config: TrainConfig) -> list[Indices]:
    """The songs of each step of one epoch; of explicit pairs, all first songs, then all second.

    Args:
        member: Whose songs.
        rule: Its rule over its training songs.
        epoch: Number of the epoch, which decides the order together with the member's seed.
        config: Batch size and way of pairing.
    """
    rng = np.random.default_rng([member.seed, epoch, 0])
    songs = member.songs["train"]
    if config.pairing == "in_batch":
        order = songs[rule.epoch_order(rng)]
        return np.array_split(order, -(-len(order) // config.batch_size))
    n_pairs = min(config.pairs_per_epoch or len(songs), rule.n_permitted())
    pairs = songs[rule.explicit(n_pairs, rng)]
    return [part.T.reshape(-1) for part in np.array_split(pairs, -(-n_pairs // config.batch_size))]


def part_batches(
    member: Member, part: Indices, number: int, epoch: int, config: TrainConfig
) -> list[Indices]:
    """The songs of each step while one part of the data is at hand; none if it has none of them.

    Args:
        member: Whose songs.
        part: The songs of the part.
        number: Which part of the epoch it is.
        epoch: Number of the epoch.
        config: Batch size.
    """
    songs = part[np.isin(part, member.songs["train"])]
    if not len(songs):
        return []
    order = np.random.default_rng([member.seed, epoch, 0, number]).permutation(songs)
    return np.array_split(order, -(-len(order) // config.batch_size))


def stacked_batches(
    batches: Sequence[list[Indices]], pairs: bool, device: torch.device, least: int = 0
) -> Tensor:
    """All groups' batches of an epoch as one array, filled up with ABSENT.

    Args:
        batches: The steps of each group.
        pairs: Whether a batch holds first songs and then second songs, each half filled up apart.
        device: Where the result lives.
        least: Places of a batch at least, so that the batches of all parts have one shape.

    Shape:
        Result `(n_steps, n_groups, n_songs)`.
    """
    halves = 2 if pairs else 1
    n_steps = max(map(len, batches))
    width = max(least, *(len(step) // halves for steps in batches for step in steps))
    filled = np.full((n_steps, len(batches), halves, width), ABSENT, np.int64)
    for group, steps in enumerate(batches):
        for step, songs in enumerate(steps):
            filled[step, group, :, : len(songs) // halves] = songs.reshape(halves, -1)
    return torch.from_numpy(filled.reshape(n_steps, len(batches), -1)).to(device)


def lists_of(n_songs: int, length: int, seed: int) -> Tensor:
    """Places 0 ... n_songs - 1 in random order, cut into lists of about this length.

    Shape:
        Result `(n_lists, n_each)`, filled up with ABSENT.

    Example:
        >>> lists_of(3, 2, seed=0).tolist()
        [[2, 1], [0, -1]]
    """
    order = np.random.default_rng([seed, 2]).permutation(n_songs)
    lists = [torch.from_numpy(one) for one in np.array_split(order, -(-n_songs // length))]
    return torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=ABSENT)


def dropout_seeds(members: Sequence[Member], epoch: int) -> list[int]:
    """A seed of each member's dropout in one epoch."""
    return [
        int(np.random.SeedSequence([m.seed, epoch, 1]).generate_state(1, np.uint64)[0] >> 1)
        for m in members
    ]


def pair_stack(members: Sequence[Member], rules: Rules) -> PairStack:
    """The masks of all members at once."""
    return PairStack([rules.over_data(member) for member in members])

"""Which pairs of songs a Siamese network may compare: naive, A/B and artist sampling.

Three of four songs in a long tail are hardly played, so most pairs drawn at random compare two
songs whose order is noise. A sampler is a rule that says which pairs may be formed. One rule
serves two ways of training: `explicit` draws pairs and both songs run through the network (the
paper's Siamese), `in_batch` runs every song of a batch once and takes each permitted pair among
them. Both come from the same set of pairs.

The set is never written out (15,000 songs make 112 million pairs). Every rule is instead a signed
sum of cliques, that is of groups in which any two songs pair up: naive is one clique of all
songs; A/B is all songs minus the clique of group B; artist is one clique per artist, minus what
songs with several artists in common were counted twice. Statistics are sums over cliques in closed
form (see `paircounts`); a pair is drawn by its number among the rule's pairs.

Conventions:
    song: a position in the arrays that the rule was made from, 0 ... n_songs - 1.
    pair: two different songs. Which comes first is drawn at random: eq. 2 asks the first of two
        songs that are equal in truth to score higher, so a fixed order would teach the order of
        the rows.
    head, tail: songs above the threshold, and all others; the threshold is the mean of the raw
        hit scores unless given.

References:
    Yu et al. 2017, section 2.3 (the three samplers), eq. 2 (the loss over pairs).
"""

import math
from abc import ABC
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hitcore.errors import DataError, ParameterError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SAMPLERS = ("naive", "ab", "artist")


@dataclass(frozen=True, eq=False)
class CliqueSum:
    """A set of pairs as a signed sum of cliques (groups in which any two songs pair up)."""

    members: Ints
    """Songs of all cliques one after another, ascending within a clique."""
    clique: Ints
    """The clique to which each entry of `members` belongs, ascending."""
    sign: Ints
    """Per clique: its pairs are added (+1) or taken away (-1)."""
    repeated: Ints = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """Pairs that lie in more than one added clique, `(n_repeated, 2)`."""
    excess: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """How many times too often each of `repeated` is counted."""


class PairRule(ABC):
    """A rule that says which pairs of songs may be formed: Naive, AB, Artist or `GivenPairs`."""

    name: str
    """The sampler's name."""

    def __init__(self, n_songs: int, members: Ints, clique: Ints, sign: Ints) -> None:
        if n_songs < 2:
            raise DataError(f"{n_songs} songs form no pair: at least 2 songs are needed")
        self.n_songs = n_songs
        self.cliques = CliqueSum(members, clique, sign)
        # For drawing: songs in some order, and with how many later songs each one pairs up.
        self._order = np.arange(n_songs)
        self._n_later = n_songs - 1 - np.arange(n_songs)
        # For batches: songs of which every pair needs one, cliques of which it needs one.
        self._leads: NDArray[np.bool_] | None = None
        self._cliques_of: Ints | None = None
        self._on_device: dict[torch.device, tuple[Tensor | None, Tensor | None]] = {}

    def n_permitted(self) -> int:
        """Exact number of pairs that may be formed.

        Example:
            >>> Naive(15_000).n_permitted()
            112492500
        """
        return int(self._n_later.sum())

    def explicit(self, n_pairs: int | None, rng: np.random.Generator) -> Ints:
        """One epoch: different permitted pairs in random order; None: all of them.

        Every permitted pair is equally likely; none comes twice. Memory grows with n_pairs (and
        n_songs), not with the number of permitted pairs. Either song may come first, at random.

        Shape:
            Returns `(n_pairs, 2)`.

        Raises:
            ParameterError: more pairs than the rule permits, or fewer than none.

        Example:
            >>> Naive(3).explicit(3, np.random.default_rng(0)).tolist()
            [[2, 1], [1, 0], [0, 2]]
        """
        total = self.n_permitted()
        n_pairs = total if n_pairs is None else n_pairs
        if not 0 <= n_pairs <= total:
            raise ParameterError(
                f"{n_pairs} pairs asked for, {self.name} sampling of these {self.n_songs} songs "
                f"permits 0 to {total}: ask for fewer, or begin another epoch"
            )
        number = _distinct(total, n_pairs, rng)
        upto = np.cumsum(self._n_later)
        place = np.searchsorted(upto, number, side="right")
        nth = number - (upto[place] - self._n_later[place])
        pairs = np.stack([self._order[place], self._later(place, nth)], axis=1)
        turned = rng.random((n_pairs, 1)) < 0.5
        return np.where(turned, pairs[:, ::-1], pairs)

    def in_batch(self, songs: Tensor) -> Tensor:
        """Mask of the permitted pairs within a batch: True above the diagonal where i, j pair up.

        A negative entry of `songs` is padding and pairs with nothing, nor does a song pair with
        itself where it stands in the batch twice. No value is copied off the device.

        Shape:
            songs: `(..., n_batch)` integers on any device. Returns `(..., n_batch, n_batch)` bool.

        Example:
            >>> AB([9.0, 1.0, 1.0]).in_batch(torch.tensor([0, 1, 2])).int().tolist()
            [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
        """
        leads, cliques_of = self._tensors(songs.device)
        known = songs.clamp(min=0)
        mask = different(songs)
        if leads is not None:
            mask &= _either(leads[known])
        if cliques_of is not None:
            mask &= _meet(cliques_of[known])
        return mask

    def epoch_order(self, rng: np.random.Generator) -> Ints:
        """Every song once, in random order, so that a batch cut from it is rich in pairs.

        Shape:
            Returns `(n_songs,)`.
        """
        return rng.permutation(self.n_songs)

    def _later(self, place: Ints, nth: Ints) -> Ints:
        """The nth later partner of the songs at these places of the order."""
        partner: Ints = self._order[place + 1 + nth]
        return partner

    def _tensors(self, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        if device not in self._on_device:
            leads, cliques_of = (
                None if array is None else torch.from_numpy(array).to(device)
                for array in (self._leads, self._cliques_of)
            )
            self._on_device[device] = (leads, cliques_of)
        return self._on_device[device]


class Naive(PairRule):
    """Any two songs.

    Raises:
        DataError: fewer than two songs.
    """

    name = "naive"

    def __init__(self, n_songs: int) -> None:
        songs = np.arange(n_songs)
        super().__init__(n_songs, songs, np.zeros_like(songs), np.ones(1, np.int64))


class AB(PairRule):
    """At least one song of group A, that is with a raw hit score above the threshold.

    Where the rule spans more than the training set, give the training set's mean as threshold.

    Shape:
        hit_scores: `(n_songs,)`, raw shares.

    Raises:
        DataError: fewer than two songs, scores that are not finite, or all equal.
        ParameterError: no song above the threshold given.

    Example:
        >>> AB([9.0, 1.0, 1.0, 1.0]).n_permitted()
        3
    """

    name = "ab"

    def __init__(self, hit_scores: ArrayLike, threshold: float | None = None) -> None:
        score = _scores(hit_scores)
        self.threshold = mean_hit_score(score) if threshold is None else float(threshold)
        head = score > self.threshold
        if not head.any():
            raise ParameterError(
                f"no song is above the A/B threshold {self.threshold:.6g}, so group A is empty: "
                f"the highest hit score is {score.max():.6g}, choose a threshold below it"
            )
        songs, tail = np.arange(score.size), np.flatnonzero(~head)
        clique = np.repeat([0, 1], [songs.size, tail.size])
        super().__init__(score.size, np.concatenate([songs, tail]), clique, np.array([1, -1]))
        self._order = np.concatenate([np.flatnonzero(head), tail])
        self._n_later = np.where(songs < head.sum(), self._n_later, 0)
        self._leads = head


class Artist(PairRule):
    """Both songs share an artist; songs that share several are still one pair.

    Shape:
        artist_ids: `n_songs` entries, each a list of artists or one artist as a string; an empty
        list, an empty string or None is a song without known artist, which pairs with nothing.

    Raises:
        DataError: no two songs share an artist.

    Example:
        >>> Artist(["ann", ["ann", "bob"], ["ann", "bob"], "cy"]).n_permitted()
        3
    """

    name = "artist"

    def __init__(self, artist_ids: Iterable[str | Sequence[str] | None]) -> None:
        lineups = [_lineup(entry) for entry in artist_ids]
        songs_of: dict[str, list[int]] = {}
        for song, lineup in enumerate(lineups):
            for artist in lineup:
                songs_of.setdefault(artist, []).append(song)
        # Artists with the same songs (a duo that never parts) are one clique.
        cliques = list({tuple(songs): None for songs in songs_of.values() if len(songs) > 1})
        if not cliques:
            raise DataError(
                f"no two of {len(lineups)} songs share an artist, so artist sampling has no pair: "
                "check the artist ids, or use naive or A/B sampling"
            )
        size = np.array([len(songs) for songs in cliques])
        members = np.concatenate([np.array(songs, np.int64) for songs in cliques])
        clique = np.repeat(np.arange(size.size), size)
        super().__init__(len(lineups), members, clique, np.ones(size.size, np.int64))
        self._cliques_of = _padded(members, clique, self.n_songs)
        self._n_cliques = (self._cliques_of >= 0).sum(axis=1)
        self._end = np.cumsum(size)
        # Where in `members` a song stands for the first time.
        self._place = np.zeros(self.n_songs, np.int64)
        self._place[members[::-1]] = np.arange(members.size)[::-1]
        self._count_later()

    def epoch_order(self, rng: np.random.Generator) -> Ints:
        """Every song once; the songs of an artist stand together, artists and songs shuffled.

        Shape:
            Returns `(n_songs,)`.
        """
        assert self._cliques_of is not None
        column = rng.integers(np.maximum(self._n_cliques, 1))
        chosen = self._cliques_of[np.arange(self.n_songs), column]
        n_cliques = self.cliques.sign.size
        # Songs that pair with nothing get a place of their own, anywhere between the artists.
        alone = n_cliques + np.arange(self.n_songs)
        place = rng.permutation(n_cliques + self.n_songs)[np.where(chosen >= 0, chosen, alone)]
        return np.lexsort((rng.random(self.n_songs), place))

    def _count_later(self) -> None:
        """Numbers of later partners, and the pairs that lie in several cliques."""
        after = self._end[self.cliques.clique[self._place]] - self._place - 1
        self._n_later = np.where(self._n_cliques > 0, after, 0)
        repeated, excess = [self.cliques.repeated], [self.cliques.excess]
        for song in np.flatnonzero(self._n_cliques > 1):
            partner, times = self._partners_after(int(song))
            self._n_later[song] = partner.size
            again = times > 1
            repeated.append(np.stack([np.full(again.sum(), song), partner[again]], axis=1))
            excess.append(times[again] - 1)
        self.cliques = replace(
            self.cliques, repeated=np.concatenate(repeated), excess=np.concatenate(excess)
        )

    def _partners_after(self, song: int) -> tuple[Ints, Ints]:
        """Later songs that share an artist with this one, and in how many cliques."""
        assert self._cliques_of is not None
        parts = []
        for clique in self._cliques_of[song]:
            if clique >= 0:
                start = 0 if clique == 0 else self._end[clique - 1]
                songs = self.cliques.members[start : self._end[clique]]
                parts.append(songs[np.searchsorted(songs, song, side="right") :])
        partner, times = np.unique(np.concatenate(parts), return_counts=True)
        return partner, times

    def _later(self, place: Ints, nth: Ints) -> Ints:
        partner = np.empty_like(place)
        alone = self._n_cliques[place] == 1
        partner[alone] = self.cliques.members[self._place[place[alone]] + 1 + nth[alone]]
        several = np.flatnonzero(~alone)
        several = several[np.argsort(place[several], kind="stable")]
        songs, start = np.unique(place[several], return_index=True)
        for song, draws in zip(songs, np.split(several, start[1:]), strict=False):
            partner[draws] = self._partners_after(int(song))[0][nth[draws]]
        return partner


class PairStack:
    """The rules of K members of a stack, asked for all their batches at once.

    Rules of all kinds may stand side by side; they span the same songs, so that a fold's rule is
    one over the whole catalogue with the threshold of its training set.

    Raises:
        ParameterError: no rule, rules over different numbers of songs, or different artists.

    Example:
        >>> stack = PairStack([Naive(3), AB([9.0, 1.0, 1.0])])
        >>> stack.in_batch(torch.tensor([[0, 1, 2], [0, 1, 2]])).sum(dim=(1, 2)).tolist()
        [3, 2]
    """

    def __init__(self, rules: Sequence[PairRule]) -> None:
        if len({rule.n_songs for rule in rules}) != 1:
            sizes = sorted({rule.n_songs for rule in rules})
            raise ParameterError(f"rules of a stack must span the same songs, got sizes {sizes}")
        self.rules = tuple(rules)
        lineups = [rule._cliques_of for rule in rules if rule._cliques_of is not None]
        if any(not np.array_equal(lineups[0], other) for other in lineups[1:]):
            raise ParameterError("the artist rules of a stack must have the same artist_ids")
        everyone = np.ones(rules[0].n_songs, np.bool_)
        leads = [everyone if rule._leads is None else rule._leads for rule in rules]
        self._leads = torch.from_numpy(np.stack(leads))
        self._cliques_of = torch.from_numpy(lineups[0]) if lineups else None
        self._by_artist = torch.tensor([rule._cliques_of is not None for rule in rules])

    def in_batch(self, songs: Tensor) -> Tensor:
        """Masks of the permitted pairs, member by member as `PairRule.in_batch`.

        Shape:
            songs: `(K, n_batch)` integers. Returns `(K, n_batch, n_batch)` bool.
        """
        if self._leads.device != songs.device:
            self._leads = self._leads.to(songs.device)
            self._by_artist = self._by_artist.to(songs.device)
            if self._cliques_of is not None:
                self._cliques_of = self._cliques_of.to(songs.device)
        known = songs.clamp(min=0)
        mask = different(songs) & _either(torch.gather(self._leads, 1, known))
        if self._cliques_of is not None:
            mask &= _meet(self._cliques_of[known]) | ~self._by_artist[:, None, None]
        return mask


def mean_hit_score(hit_scores: ArrayLike) -> float:
    """The A/B threshold: the mean of the raw hit scores, summed without rounding on the way.

    Raises:
        DataError: scores that are not finite, or all equal, so that none is above the mean.

    Example:
        >>> mean_hit_score([0.1, 0.2, 0.6])
        0.3
    """
    score = _scores(hit_scores)
    if score.min() == score.max():
        raise DataError(
            f"all {score.size} hit scores are {score[0]:.6g}, so no song is above the mean and "
            "group A is empty: check the hit scores, or use naive sampling"
        )
    return math.fsum(score) / score.size


def _scores(hit_scores: ArrayLike) -> Floats:
    score = np.asarray(hit_scores, np.float64)
    if score.ndim != 1 or score.size < 2:
        raise DataError(f"hit_scores has shape {score.shape}: one value each for 2 or more songs")
    n_bad = int((~np.isfinite(score)).sum())
    if n_bad:
        raise DataError(
            f"{n_bad} of {score.size} hit scores are NaN or infinite: drop the songs whose hit "
            "score is undefined before pairs are formed"
        )
    return score


def _lineup(entry: str | Sequence[str] | None) -> list[str]:
    if entry is None or isinstance(entry, str):
        return [entry] if entry else []
    return sorted({artist for artist in entry if artist})


def _padded(members: Ints, clique: Ints, n_songs: int) -> Ints:
    """The cliques of each song as rows, -1 where a song has fewer."""
    count = np.bincount(members, minlength=n_songs)
    rows = np.full((n_songs, max(int(count.max()), 1)), -1, np.int64)
    order = np.lexsort((clique, members))
    column = np.arange(members.size) - (np.cumsum(count) - count)[members[order]]
    rows[members[order], column] = clique[order]
    return rows


def _distinct(total: int, n: int, rng: np.random.Generator) -> Ints:
    """n different numbers below total in random order, in memory of the order of n."""
    if 2 * n > total:
        return rng.permutation(total)[:n]
    drawn = np.zeros(0, np.int64)
    while drawn.size < n:
        drawn = np.concatenate([drawn, rng.integers(total, size=n - drawn.size + 16)])
        first = np.unique(drawn, return_index=True)[1]
        drawn = drawn[np.sort(first)]
    return drawn[:n]


def different(songs: Tensor) -> Tensor:
    """True above the diagonal where two different songs stand, neither of them padding."""
    first, second = songs.unsqueeze(-1), songs.unsqueeze(-2)
    return ((first != second) & (first >= 0) & (second >= 0)).triu(1)


def _either(lead: Tensor) -> Tensor:
    return lead.unsqueeze(-1) | lead.unsqueeze(-2)


def _meet(cliques: Tensor) -> Tensor:
    """Where two songs have a clique in common, from `(..., n_batch, n_cliques)` ids, -1 = none."""
    first, second = cliques.unbind(-1), cliques.masked_fill(cliques < 0, -2).unbind(-1)
    mask = torch.zeros(*cliques.shape[:-1], cliques.shape[-2], dtype=torch.bool)
    mask = mask.to(cliques.device)
    for one in first:
        for other in second:
            mask |= one.unsqueeze(-1) == other.unsqueeze(-2)
    return mask

"""What the pairs of a sampler are made of: hits or unpopular songs, and how far apart they lie.

All figures are exact and none needs the pairs written out: a rule's pairs are a signed sum of
cliques, and in a clique of n songs there are c_g · c_h pairs between songs of label g and of label
h, and c_g · (c_g − 1) / 2 within label g.

Conventions:
    head, tail: songs above the threshold, and all others; the threshold is the mean of the raw
        hit scores unless given.

References:
    Yu et al. 2017, section 2.3 (why pairs of two unpopular songs are a problem) and Fig. 3.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import ParameterError
from hitcore.learning.pairs import PairRule, mean_hit_score


@dataclass(frozen=True)
class Composition:
    """What the pairs of a rule are made of, in exact counts."""

    n_pairs: int
    """Pairs that the rule permits."""
    n_possible: int
    """Pairs that all songs could form."""
    head_head: int
    """Pairs of two songs above the threshold."""
    head_tail: int
    """Pairs of one song above the threshold and one that is not."""
    tail_tail: int
    """Pairs of two songs that are not above the threshold."""
    n_head: int
    """Songs above the threshold."""
    threshold: float
    """The raw hit score that parts head from tail."""
    mean_gap: float
    """Mean difference of the raw hit scores within a pair."""


def composition(
    rule: PairRule, hit_scores: ArrayLike, threshold: float | None = None
) -> Composition:
    """How many pairs a rule permits between head and tail, and how far their scores lie apart.

    Shape:
        hit_scores: `(n_songs,)`, raw shares; threshold None is their mean.

    Raises:
        DataError: scores that are not finite, or all equal where no threshold is given.
        ParameterError: another number of scores than the rule has songs.

    Example:
        >>> from hitcore.learning.pairs import Naive
        >>> made = composition(Naive(8), [9.0] + [1.0] * 7)
        >>> made.tail_tail / made.n_pairs
        0.75
    """
    score = _per_song(rule, hit_scores, "hit_scores").astype(np.float64)
    threshold = mean_hit_score(score) if threshold is None else float(threshold)
    head = score > threshold
    counts = count_between(rule, head, 2)
    return Composition(
        n_pairs=rule.n_permitted(),
        n_possible=math.comb(rule.n_songs, 2),
        head_head=int(counts[1, 1]),
        head_tail=int(counts[0, 1]),
        tail_tail=int(counts[0, 0]),
        n_head=int(head.sum()),
        threshold=threshold,
        mean_gap=mean_gap(rule, score),
    )


def count_between(rule: PairRule, labels: ArrayLike, n_labels: int) -> NDArray[np.int64]:
    """Exact number of permitted pairs between the songs of each two labels.

    With labels that number bins of the hit score this is the density of the pairs over score ×
    score.

    Shape:
        labels: `(n_songs,)`, integers 0 ... n_labels - 1. Returns `(n_labels, n_labels)`,
        symmetric; a pair within one label counts once, on the diagonal.

    Raises:
        ParameterError: another number of labels than the rule has songs, or one out of range.

    Example:
        >>> from hitcore.learning.pairs import AB
        >>> count_between(AB([9.0, 8.0, 1.0, 1.0]), [1, 1, 0, 0], 2).tolist()
        [[0, 4], [4, 1]]
    """
    label = _per_song(rule, labels, "labels").astype(np.int64)
    if label.min() < 0 or label.max() >= n_labels:
        raise ParameterError(
            f"labels run from {label.min()} to {label.max()}, allowed are 0 to {n_labels - 1}"
        )
    terms = rule.cliques
    cell = terms.clique * n_labels + label[terms.members]
    size = np.bincount(cell, minlength=terms.sign.size * n_labels).reshape(-1, n_labels)
    counts: NDArray[np.int64] = (size * terms.sign[:, None]).T @ size
    within = (terms.sign[:, None] * (size * (size - 1) // 2)).sum(axis=0)
    np.fill_diagonal(counts, within)
    first, second = label[terms.repeated[:, 0]], label[terms.repeated[:, 1]]
    apart = first != second
    np.subtract.at(counts, (first, second), terms.excess)
    np.subtract.at(counts, (second[apart], first[apart]), terms.excess[apart])
    return counts


def mean_gap(rule: PairRule, values: ArrayLike) -> float:
    """Mean of |value_i - value_j| over all permitted pairs.

    Shape:
        values: `(n_songs,)`.

    Raises:
        ParameterError: another number of values than the rule has songs.

    Example:
        >>> from hitcore.learning.pairs import Naive
        >>> mean_gap(Naive(3), [0.0, 1.0, 3.0])
        2.0
    """
    value = _per_song(rule, values, "values").astype(np.float64)
    terms = rule.cliques
    order = np.lexsort((value[terms.members], terms.clique))
    clique = terms.clique[order]
    size = np.bincount(clique, minlength=terms.sign.size)
    rank = np.arange(order.size) - (np.cumsum(size) - size)[clique]
    # In a clique sorted upwards, value k of n is the larger one k times, the smaller n-1-k times.
    weight = terms.sign[clique] * (2 * rank - size[clique] + 1)
    gaps = float(weight @ value[terms.members[order]])
    repeated = np.abs(value[terms.repeated[:, 0]] - value[terms.repeated[:, 1]])
    return (gaps - float(repeated @ terms.excess)) / rule.n_permitted()


def _per_song(rule: PairRule, values: ArrayLike, what: str) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.shape != (rule.n_songs,):
        raise ParameterError(f"{what} has shape {array.shape}, the rule has {rule.n_songs} songs")
    return array

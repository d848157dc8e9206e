"""How everything is chosen that is not learnt: grid points, epochs, the weight of a fusion.

One rule in one place: the candidate with the highest nDCG@top on the validation songs, ties broken
by Kendall's τ there, further ties by the order of the candidates. What chooses is handed
`ValidationScores`, which only a fold's `Validation` makes, so that no test song can have a say: the
type holds no other song's score or truth.

The A/B threshold is not chosen: it is the mean hit score of the training songs
(`hitcore.learning.batches.Rules`).

Conventions:
    Figures are rounded to 12 digits before they are compared, so that the order in which sums
    were added up decides nothing. An undefined figure (NaN) ranks last. A candidate whose scores
    are not all finite has diverged and is left out.

References:
    Section 4 of the paper: parameters are set on a validation set.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import DataError, ParameterError, SplitLeakageError, UndefinedMetricWarning
from hitcore.evaluation.metrics import kendall_at, ndcg_at

Floats = NDArray[np.float64]

DIGITS = 12
"""Digits of a figure that count in a comparison."""

_KEY = object()
"""Known to `Validation` alone."""


class HasSplits(Protocol):
    """A fold or a member of a stack: song positions by split."""

    @property
    def train(self) -> Any:
        """Training songs."""

    @property
    def valid(self) -> Any:
        """Validation songs."""

    @property
    def test(self) -> Any:
        """Test songs."""


@dataclass(frozen=True, eq=False)
class ValidationScores:
    """A candidate's scores of the validation songs with their truth; made by `Validation` alone.

    Raises:
        ParameterError: made by anything else.
    """

    score: Floats = field(repr=False)
    """The candidate's scores, (n_valid,)."""
    truth: Floats = field(repr=False)
    """Raw hit scores of the same songs, (n_valid,)."""
    top: float
    """Share (or count) of songs at the top that decides."""
    key: object = field(repr=False)
    """What `Validation` proves itself with."""

    def __post_init__(self) -> None:
        if self.key is not _KEY:
            raise ParameterError(
                "ValidationScores are made from a fold's validation songs alone: use "
                "Validation.of(split, hit_scores).scores(…)"
            )

    @property
    def diverged(self) -> bool:
        """Whether a score is NaN or infinite."""
        return not bool(np.isfinite(self.score).all())

    def figures(self) -> tuple[float, float]:
        """nDCG@top and Kendall's τ@top, rounded; −∞ where undefined or diverged."""
        if self.diverged:
            return -math.inf, -math.inf
        with warnings.catch_warnings():
            # An undefined figure ranks last; which candidate wins is decided by the others.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            ndcg = ndcg_at(self.truth, self.score, self.top)
            kendall = kendall_at(self.truth, self.score, self.top)
        return _rounded(ndcg), _rounded(kendall)

    def mixed(self, other: ValidationScores, weight: float) -> ValidationScores:
        """`(1 − weight)` of these scores and `weight` of another candidate's.

        Raises:
            ParameterError: the two are of different songs.
        """
        if self.score.shape != other.score.shape or not np.array_equal(self.truth, other.truth):
            raise ParameterError("the two candidates are of different validation songs")
        score = (1 - weight) * self.score + weight * other.score
        return ValidationScores(score, self.truth, self.top, _KEY)


@dataclass(frozen=True, eq=False)
class Validation:
    """The validation songs of one fold, and nothing else of it.

    Example:
        >>> from types import SimpleNamespace
        >>> fold = SimpleNamespace(train=[0, 1], valid=[2, 3], test=[4])
        >>> valid = Validation.of(fold, [0.0, 0.0, 0.1, 0.2, 0.9], top=2)
        >>> worse, better = [0, 0, 9.0, 8.0, 0], [0, 0, 1.0, 2.0, 0]
        >>> choose([valid.scores(worse), valid.scores(better)])
        1
    """

    songs: NDArray[np.int64] = field(repr=False)
    """Their positions."""
    truth: Floats = field(repr=False)
    """Their raw hit scores."""
    top: float
    """Share (or count) of songs at the top that decides."""

    @classmethod
    def of(cls, split: HasSplits, hit_scores: ArrayLike, top: float = 0.10) -> Validation:
        """The validation songs of a fold.

        Args:
            split: The fold, or a member of a stack.
            hit_scores: Raw hit scores of all songs; only those of the validation songs are kept.
            top: As in `hitcore.evaluation.ndcg_at`.

        Raises:
            SplitLeakageError: a validation song is a training or test song too.
        """
        songs = np.asarray(split.valid, np.int64)
        others = [np.asarray(part, np.int64) for part in (split.train, split.test)]
        if np.isin(songs, np.concatenate(others)).any():
            raise SplitLeakageError(
                "a validation song is also a training or test song: make disjoint splits with "
                "Catalogue.folds"
            )
        return cls(songs, np.asarray(hit_scores, np.float64)[songs], top)

    def scores(self, of_all: ArrayLike) -> ValidationScores:
        """What a candidate says of the validation songs.

        Shape:
            of_all: `(n_songs,)`, of all songs; the others' are dropped here.
        """
        return self.scores_of_valid(np.asarray(of_all, np.float64)[self.songs])

    def scores_of_valid(self, score: ArrayLike) -> ValidationScores:
        """The same for scores of the validation songs alone, in the order of the split.

        Shape:
            score: `(n_valid,)`.

        Raises:
            ParameterError: another number of scores.
        """
        values = np.asarray(score, np.float64)
        if values.shape != self.songs.shape:
            raise ParameterError(f"{values.size} scores for {self.songs.size} validation songs")
        return ValidationScores(values, self.truth, self.top, _KEY)


def choose(candidates: Sequence[ValidationScores]) -> int:
    """The number of the best candidate; the first of equals.

    Raises:
        ParameterError: there is no candidate.
        DataError: all have diverged.
    """
    if not candidates:
        raise ParameterError("no candidate to choose from; give at least one")
    sound = [number for number, one in enumerate(candidates) if not one.diverged]
    if not sound:
        raise DataError(
            f"all {len(candidates)} candidates diverged (their scores are NaN): lower the "
            "learning rate, or take smaller margins"
        )
    return max(sound, key=lambda number: (candidates[number].figures(), -number))


def _rounded(figure: float) -> float:
    return -math.inf if math.isnan(figure) else round(figure, DIGITS)

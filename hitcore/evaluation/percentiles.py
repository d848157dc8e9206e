"""Where a song's scores would stand among the songs of a catalogue.

Ten-fold training leaves ten models, each with a scale of its own, so their outputs are not simply
averaged: each model says where the song would stand among the songs that *it* had not seen, and
the places are averaged. What the songs in that place achieved gives the share and the chance of
the top 10 %.

Conventions:
    percentile: 0 to 1, the share of reference songs that score lower; ties count half.
    reference: out-of-fold predictions; fold k's songs were scored by member k, which had not
        seen them.

References:
    Section 4 of the paper: ten-fold cross validation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import DataError
from hitcore.evaluation.calibration import CONFIDENCE, coverage, interval, places

Floats = NDArray[np.float64]

NEIGHBOURHOOD = 0.10
"""Share of the reference songs that count as "songs in about this place"."""


@dataclass(frozen=True)
class PercentileRank:
    """Where a song would stand among the songs of a catalogue."""

    percentile: float
    """Mean over the members, 0 to 1."""
    low: float
    """Lower end of the interval that holds 80 % of songs (`hitcore.evaluation.calibration`)."""
    high: float
    """Upper end of that interval."""
    hit_score: float
    """Median hit score of the reference songs that the models put in about this place."""
    top10_chance: float
    """Share of those songs that really are in the catalogue's top 10 %."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Out-of-fold predictions of an ensemble over its catalogue.

    Example:
        >>> ramp = np.arange(100.0)
        >>> reference = Reference(np.zeros(100, int), ramp, ramp / 5000)
        >>> rank = reference.percentile_rank([89.5])
        >>> rank.percentile, rank.top10_chance
        (0.9, 0.5)
    """

    fold: NDArray[np.int64] = field(repr=False)
    """The fold whose member scored the song, (n_songs,)."""
    score: Floats = field(repr=False)
    """That member's output, (n_songs,)."""
    hit_score: Floats = field(repr=False)
    """What the song achieved, (n_songs,)."""

    def percentiles(self, scores: ArrayLike) -> Floats:
        """Where each member's score stands among its own reference songs.

        Shape:
            scores (n_members,) -> (n_members,)

        Raises:
            DataError: not one score per member.
        """
        values = np.asarray(scores, dtype=np.float64)
        folds = np.unique(self.fold)
        if values.shape != folds.shape:
            raise DataError(f"{values.size} scores for {folds.size} members: one each is needed")
        return np.array(
            [
                float(places([value], self.score[self.fold == fold])[0])
                for fold, value in zip(folds, values, strict=True)
            ]
        )

    def percentile_rank(self, scores: ArrayLike) -> PercentileRank:
        """Where a song with these scores, one per member, would stand.

        Shape:
            scores (n_members,)
        """
        place = float(self.percentiles(scores).mean())
        n_near = max(1, round(NEIGHBOURHOOD * len(self.score)))
        put = self.predicted()
        near = np.argsort(np.abs(put - place), kind="stable")[:n_near]
        top = self.hit_score >= np.quantile(self.hit_score, 0.9)
        return PercentileRank(
            place,
            *interval(place, put, self.achieved()),
            float(np.median(self.hit_score[near])),
            float(top[near].mean()),
        )

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which a model's file holds them."""
        return {
            "reference/fold": self.fold.astype(np.int32),
            "reference/score": self.score.astype(np.float32),
            "reference/hit_score": self.hit_score.astype(np.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> "Reference | None":
        """What `to_tensors` gave, found among the tensors of a file; None where it is not there.

        Example:
            >>> Reference.from_tensors({}) is None
            True
        """
        names = ("reference/fold", "reference/score", "reference/hit_score")
        if any(name not in tensors for name in names):
            return None
        fold, score, hit_score = (tensors[name] for name in names)
        return cls(fold.astype(np.int64), score.astype(np.float64), hit_score.astype(np.float64))

    def predicted(self) -> Floats:
        """Where each reference song was put among those of its own fold, (n_songs,)."""
        found = np.empty(len(self.score))
        for fold in np.unique(self.fold):
            rows = self.fold == fold
            found[rows] = places(self.score[rows], self.score[rows])
        return found

    def achieved(self) -> Floats:
        """Where each reference song truly stands among all of them, (n_songs,)."""
        return places(self.hit_score, self.hit_score)

    def coverage(self, confidence: float = CONFIDENCE) -> float:
        """The share of reference songs that intervals made without their own fold hold."""
        return coverage(self.score, self.hit_score, self.fold, confidence)

"""The average of two models' scores (A/B with artist sampling), its weight chosen on validation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import ParameterError, UndefinedMetricWarning
from hitcore.evaluation.metrics import kendall_at, ndcg_at

WEIGHTS = tuple(step / 10 for step in range(11))
"""Weights that are tried; 0.5 is the plain average of the paper."""


def fuse(score_a: ArrayLike, score_b: ArrayLike, weight: float = 0.5) -> NDArray[np.float64]:
    """The weighted average of two models' scores.

    Args:
        score_a: Scores of the first model.
        score_b: Scores of the second model, for the same songs and on the same scale.
        weight: Share of the second model, 0 to 1.

    Shape:
        All `(n_songs,)`.

    Raises:
        ParameterError: The weight is outside 0 to 1, or the scores are of different songs.

    References:
        Section 2.3 of the paper, rows (k) and (l) of Table 1: the plain average.

    Example:
        >>> fuse([0.0, 1.0], [1.0, 2.0], weight=0.25).tolist()
        [0.25, 1.25]
    """
    a, b = np.asarray(score_a, np.float64), np.asarray(score_b, np.float64)
    if a.shape != b.shape:
        raise ParameterError(f"scores of shapes {a.shape} and {b.shape} are of different songs")
    if not 0 <= weight <= 1:
        raise ParameterError(f"weight is {weight}; allowed is 0 to 1")
    return (1 - weight) * a + weight * b


def choose_weight(
    score_a: ArrayLike,
    score_b: ArrayLike,
    hit_scores: ArrayLike,
    *,
    weights: Sequence[float] = WEIGHTS,
    top: float = 0.10,
) -> float:
    """The weight with the highest nDCG@top, ties broken by Kendall, then by closeness to 0.5.

    Give it validation songs, never test songs.

    Args:
        score_a: Scores of the first model.
        score_b: Scores of the second model.
        hit_scores: Raw hit scores of these songs.
        weights: What to choose from.
        top: Share of songs at the top that counts.

    Raises:
        ParameterError: No weight to choose from, or scores of different songs.

    Example:
        >>> truth = np.arange(20.0)
        >>> choose_weight(-truth, truth, truth)
        0.6
    """
    if not weights:
        raise ParameterError("no weight to choose from; give at least one")
    return max(weights, key=lambda weight: _standing(score_a, score_b, hit_scores, weight, top))


def _standing(
    score_a: ArrayLike, score_b: ArrayLike, truth: ArrayLike, weight: float, top: float
) -> tuple[float, float, float]:
    fused = fuse(score_a, score_b, weight)
    with warnings.catch_warnings():
        # An undefined figure ranks last; which weight wins is then decided by the others.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        figures = [ndcg_at(truth, fused, top), kendall_at(truth, fused, top)]
    ndcg, kendall = (-math.inf if math.isnan(figure) else round(figure, 12) for figure in figures)
    return ndcg, kendall, -abs(weight - 0.5)

"""The average of two models' scores (A/B with artist sampling), its weight chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import ParameterError
from hitcore.learning.choosing import ValidationScores, choose

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
    first: ValidationScores, second: ValidationScores, *, weights: Sequence[float] = WEIGHTS
) -> float:
    """The weight of the second model that ranks the validation songs best; of equals, nearest ½.

    Args:
        first: What the first model says of the validation songs.
        second: What the second model says of them.
        weights: What to choose from.

    Raises:
        ParameterError: No weight to choose from, or scores of different songs.
        DataError: A model has diverged.

    Example:
        >>> from types import SimpleNamespace
        >>> from hitcore.learning.choosing import Validation
        >>> truth = np.arange(20.0)
        >>> fold = SimpleNamespace(train=[], valid=range(20), test=[])
        >>> valid = Validation.of(fold, truth)
        >>> choose_weight(valid.scores(-truth), valid.scores(truth))
        0.6
    """
    near_half = sorted(weights, key=lambda weight: abs(weight - 0.5))
    return near_half[choose([first.mixed(second, weight) for weight in near_half])]

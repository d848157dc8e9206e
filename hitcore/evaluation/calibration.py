"""An interval around a percentile, from how far out-of-fold percentiles were from the truth.

The members of an ensemble may agree and all be wrong. What tells how sure a percentile is are the
songs that the ensemble had not learned from: how far from where each of them was put did it truly
stand? The interval reaches as far to either side as the wanted share of those distances does.
Where songs to come are like the songs of the reference, it holds the truth for at least that share
of them, whatever the model (split conformal prediction).

Conventions:
    percentiles: 0 to 1. confidence: share of songs that the interval is to hold, 0.80 unless given.

References:
    V. Vovk, A. Gammerman, G. Shafer, "Algorithmic learning in a random world", 2005.
    J. Lei, M. G'Sell, A. Rinaldo, R. Tibshirani, L. Wasserman, "Distribution-free predictive
    inference for regression", JASA 2018, section 2.2.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import DataError, ParameterError

Floats = NDArray[np.float64]

CONFIDENCE = 0.80
"""Share of songs that an interval holds unless told otherwise."""


def places(values: ArrayLike, among: ArrayLike) -> Floats:
    """The share of `among` that is below each value; ties count half.

    Shape:
        values (n,), among (m,) -> (n,)

    Raises:
        DataError: `among` is empty.

    Example:
        >>> places([0, 2, 9], among=[1, 2, 3, 4]).tolist()
        [0.0, 0.375, 1.0]
    """
    ordered = np.sort(np.asarray(among, np.float64))
    if not ordered.size:
        raise DataError("there are no songs to find a place among: give at least one")
    wanted = np.asarray(values, np.float64)
    below = np.searchsorted(ordered, wanted, side="left")
    up_to = np.searchsorted(ordered, wanted, side="right")
    return (below + up_to) / (2 * ordered.size)


def reach(predicted: ArrayLike, achieved: ArrayLike, confidence: float = CONFIDENCE) -> float:
    """How far an interval reaches to either side of a percentile.

    The smallest distance that, with n songs, at least `⌈(n + 1)·confidence⌉` of them keep between
    where they were put and where they stand; 1 where there are too few songs for the confidence.

    Shape:
        predicted, achieved `(n_songs,)`: percentiles by the model out of fold, and by the truth.

    Raises:
        DataError: Not one of each per song, or no song.
        ParameterError: A confidence outside 0 to 1.

    Example:
        >>> reach([0.5] * 9, [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9], confidence=0.8)
        0.4
    """
    if not 0 < confidence < 1:
        raise ParameterError(f"confidence is {confidence}, allowed is 0 < confidence < 1 (0.80)")
    put, stood = np.asarray(predicted, np.float64), np.asarray(achieved, np.float64)
    if put.ndim != 1 or put.shape != stood.shape or not put.size:
        raise DataError(
            f"predicted has shape {put.shape}, achieved {stood.shape}: one of each per song is "
            "needed, for at least one song"
        )
    rank = math.ceil((put.size + 1) * confidence - 1e-9)
    if rank > put.size:
        return 1.0
    # Distances are sums of fractions: rounded, so that equal ones are equal.
    return float(np.sort(np.abs(put - stood).round(12))[rank - 1])


def interval(
    percentile: float, predicted: ArrayLike, achieved: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Where a song with this percentile truly stands, at the given confidence.

    Shape:
        predicted, achieved `(n_songs,)` as in `reach`; the result's ends lie within 0 to 1 and
        hold the percentile between them.

    Example:
        >>> interval(0.9, [0.5, 0.5, 0.5], [0.3, 0.5, 0.6], confidence=0.5)
        (0.8, 1.0)
    """
    far = reach(predicted, achieved, confidence)
    return round(max(0.0, percentile - far), 12), round(min(1.0, percentile + far), 12)


def coverage(
    predicted: ArrayLike, achieved: ArrayLike, fold: ArrayLike, confidence: float = CONFIDENCE
) -> float:
    """The share of songs that the intervals hold, each made without the song's own fold.

    Shape:
        predicted, achieved, fold `(n_songs,)`: raw scores by the model and raw truth; the songs of
        a fold are placed among those of all other folds.

    Raises:
        DataError: Fewer than two folds.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.normal(size=600)
        >>> scores = truth + rng.normal(size=600)
        >>> 0.75 < coverage(scores, truth, np.arange(600) % 10, confidence=0.8) < 0.85
        True
    """
    scores, truth = np.asarray(predicted, np.float64), np.asarray(achieved, np.float64)
    folds = np.asarray(fold)
    if len(np.unique(folds)) < 2:
        raise DataError("coverage needs at least two folds: one to judge by the others")
    held = np.zeros(len(scores), bool)
    for own in np.unique(folds):
        here, rest = folds == own, folds != own
        far = reach(
            places(scores[rest], scores[rest]), places(truth[rest], truth[rest]), confidence
        )
        gap = places(scores[here], scores[rest]) - places(truth[here], truth[rest])
        held[here] = np.abs(gap) <= far + 1e-9
    return float(held.mean())

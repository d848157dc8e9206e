"""How sure a figure is, and whether one row of Table 1 is really better than another.

Conventions:
    Intervals are two-sided; `confidence` is 0.95 unless given.
    Folds: values at the same place of two lists belong to the same fold.
    Undefined values (NaN) are dropped with their partner, with an `UndefinedMetricWarning`; where
        fewer than two are left, the answer is NaN.

The folds of a cross-validation share most of their training songs, so their figures are not
independent and the ordinary paired t-test is too sure of itself: it calls far more than 5 % of
equal methods different. Nadeau and Bengio widen the variance of the mean difference from
`s²/n` to `s²(1/n + n_test/n_train)`; that is the default here. Independent repetitions (seeds
with data of their own) need no correction.

References:
    C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 2003.
    R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests", PAKDD 2004.
    S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from hitcore.errors import ParameterError, UndefinedMetricWarning

Vector = NDArray[np.float64]

MAX_EXACT_FLIPS = 16
"""Up to this many folds all 2^n flips of the signs are tried; beyond, as many are drawn."""


@dataclass(frozen=True)
class Interval:
    """An estimate and where it may really lie."""

    estimate: float
    """The figure itself."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class PairedTest:
    """The difference of two rows over the same folds."""

    difference: float
    """Mean of first minus second."""
    low: float
    """Lower end of the difference's interval, by the (corrected) t."""
    high: float
    """Upper end of the difference's interval, by the (corrected) t."""
    p_value: float
    """Two-sided p of the (corrected) t-test."""
    p_sign_flip: float
    """Two-sided p of the sign-flip test: assumes no normal law, but independent folds."""
    n: int
    """Number of folds with both values."""


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: ArrayLike,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The statistic of the samples with its percentile bootstrap interval.

    Songs are drawn with replacement, the same songs from every sample, so that truth and
    prediction stay together. Resamples for which the statistic is undefined are left out.

    Shape:
        samples: each `(n,)`.

    Raises:
        ParameterError: no samples, unequal lengths, a confidence outside (0, 1).

    Example:
        >>> from hitcore.evaluation.metrics import ndcg_at
        >>> shares = np.arange(1.0, 101.0)
        >>> found = bootstrap_interval(ndcg_at, shares, shares[::-1] ** 2)
        >>> found.low <= found.estimate <= found.high
        True
    """
    _check_confidence(confidence)
    arrays = [np.asarray(sample) for sample in samples]
    if not arrays or any(array.shape[:1] != arrays[0].shape[:1] for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ParameterError(f"samples must be one or more arrays of equal length, got {shapes}")
    n = arrays[0].shape[0]
    estimate = float(statistic(*arrays))
    rng = np.random.default_rng(seed)
    resampled = np.full(n_resamples, math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for index in range(n_resamples if n else 0):
            drawn = rng.integers(n, size=n)
            resampled[index] = statistic(*(array[drawn] for array in arrays))
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(estimate) or 2 * defined.size < n_resamples:
        return Interval(estimate, *_undefined("most bootstrap resamples have no value"))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(estimate, float(low), float(high))


def mean_interval(
    values: ArrayLike, test_train_ratio: float = 1 / 8, confidence: float = 0.95
) -> Interval:
    """The mean over folds with its t interval, widened for the folds' common training songs.

    Shape:
        values: `(n_folds,)`; test_train_ratio: size of a test fold over that of its training set,
        0 for independent repetitions.

    Raises:
        ParameterError: a confidence outside (0, 1) or a negative ratio.

    Example:
        >>> mean_interval([1.0, 2.0, 3.0], test_train_ratio=0).estimate
        2.0
    """
    test = paired_test(values, np.zeros(np.asarray(values).shape), test_train_ratio, confidence)
    return Interval(test.difference, test.low, test.high)


def paired_test(
    first: ArrayLike,
    second: ArrayLike,
    test_train_ratio: float = 1 / 8,
    confidence: float = 0.95,
) -> PairedTest:
    """Whether first differs from second over the same folds, by corrected t and by sign flips.

    Shape:
        first, second: `(n_folds,)`; test_train_ratio: size of a test fold over that of its
        training set (1/8 for 8:1:1), 0 for independent repetitions.

    Raises:
        ParameterError: unequal lengths, a confidence outside (0, 1) or a negative ratio.

    References:
        Nadeau and Bengio 2003, section 3 (the corrected resampled t).

    Example:
        >>> test = paired_test([3.0, 4.0, 6.0], [1.0, 1.0, 2.0], test_train_ratio=0)
        >>> test.difference, round(test.p_value, 4), test.p_sign_flip
        (3.0, 0.0351, 0.25)
    """
    _check_confidence(confidence)
    if not test_train_ratio >= 0:
        raise ParameterError(f"test_train_ratio is {test_train_ratio}, allowed is 0 or more")
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ParameterError(
            f"paired values need equal lengths, one per fold: got shapes {one.shape}, {other.shape}"
        )
    gap = one - other
    known = gap[~np.isnan(gap)]
    if known.size < gap.size:
        dropped = f"{gap.size - known.size} of {gap.size} folds have no value and are left out"
        warnings.warn(dropped, UndefinedMetricWarning, stacklevel=2)
    n = known.size
    if n < 2:
        nan = math.nan
        mean = float(known[0]) if n else nan
        low, high = _undefined("fewer than two folds have a value")
        return PairedTest(mean, low, high, nan, nan, n)
    mean = math.fsum(known) / n
    scale = float(known.std(ddof=1)) * math.sqrt(1 / n + test_train_ratio)
    reach = scale * float(stats.t.ppf(0.5 + confidence / 2, n - 1))
    return PairedTest(
        difference=mean,
        low=mean - reach,
        high=mean + reach,
        p_value=_p_of_t(mean, scale, n),
        p_sign_flip=_p_of_flips(known),
        n=n,
    )


def holm(p_values: ArrayLike) -> Vector:
    """The p-values corrected for their number: each is the level at which Holm rejects it.

    NaN stays NaN and does not count as a test.

    Shape:
        p_values: `(n_tests,)`. Returns `(n_tests,)`, in the same order.

    Raises:
        ParameterError: values outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or bool(((p < 0) | (p > 1)).any()):
        raise ParameterError("p_values must be a list of numbers from 0 to 1 (or NaN)")
    corrected = np.full(p.size, math.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    factors = order.size - np.arange(order.size)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


def _p_of_t(mean: float, scale: float, n: int) -> float:
    if scale == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / scale, n - 1))


def _p_of_flips(gap: Vector) -> float:
    """Share of sign flips whose mean is at least as far from 0 as the one observed."""
    n = gap.size
    observed = abs(float(gap.sum()))
    if n <= MAX_EXACT_FLIPS:
        sums = np.zeros(1)
        for value in gap:
            sums = np.concatenate([sums + value, sums - value])
        drawn_itself = 0
    else:
        signs = np.random.default_rng(0).integers(0, 2, (2**MAX_EXACT_FLIPS, n), dtype=np.int8)
        sums = np.where(signs, -1.0, 1.0) @ gap
        drawn_itself = 1
    # Equal sums differ by rounding, according to the order in which they were added up.
    reached = np.abs(sums) >= observed - 1e-12 * float(np.abs(gap).sum())
    return float((reached.sum() + drawn_itself) / (sums.size + drawn_itself))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ParameterError(f"confidence is {confidence}, allowed is 0 < confidence < 1 (0.95)")


def _undefined(why: str) -> tuple[float, float]:
    warnings.warn(f"the interval is undefined: {why}", UndefinedMetricWarning, stacklevel=3)
    return math.nan, math.nan

"""How unequally plays are spread over songs, and whether a test split is spread alike.

A few songs get most plays. The figures here say how few: of a set of hit scores, any shares or
counts of the same unit. They do not depend on the unit, nor on the order of the songs.

Conventions:
    values: hit scores (n_songs,), finite, 0 or above; undefined scores are dropped beforehand.
    below the mean: strictly below, by more than rounding. The rank of the mean is the number of
        songs strictly above it: in a ranking from the top the curve crosses its mean after it.
    Figures that have no value (no song, or no plays at all) are NaN.

References:
    Section 3 and Fig. 3 of the paper: about 87.5 % of the songs are below the mean.
    M. Hill, "Diversity and evenness", Ecology 1973 (effective numbers).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from hitcore.errors import DataError, ParameterError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class LongTail:
    """The figures of one set of hit scores."""

    n_songs: int
    n_zero: int
    """Songs without any play."""
    mean: float
    median: float
    share_below_mean: float
    """Fraction of songs strictly below the mean; the paper's 87.5 %."""
    rank_of_mean: int
    """Songs strictly above the mean: where the big dot of Fig. 3 stands."""
    gini: float
    """0: all songs equal; towards 1: one song has everything."""
    top_1_share: float
    """Share of the plays that the top 1 % of the songs have."""
    top_10_share: float
    """Share of the plays that the top 10 % of the songs have."""
    effective_songs: float
    """As many equally played songs would be as diverse: the exponential of the entropy."""


def long_tail(values: ArrayLike) -> LongTail:
    """All figures of a set of hit scores at once.

    Raises:
        ParameterError: a value is negative, infinite or NaN.

    Example:
        >>> figures = long_tail([0.5, 0.2, 0.1, 0.1, 0.1])
        >>> figures.share_below_mean, figures.rank_of_mean, round(figures.gini, 3)
        (0.6, 1, 0.36)
    """
    x = checked_values(values)
    return LongTail(
        n_songs=len(x),
        n_zero=int((x == 0).sum()),
        mean=float(x.mean()) if len(x) else np.nan,
        median=float(np.median(x)) if len(x) else np.nan,
        share_below_mean=share_below_mean(x),
        rank_of_mean=rank_of_mean(x),
        gini=gini(x),
        top_1_share=top_share(x, 0.01),
        top_10_share=top_share(x, 0.10),
        effective_songs=effective_songs(x),
    )


def share_below_mean(values: ArrayLike) -> float:
    """Fraction of the songs strictly below the mean of all; NaN without songs.

    Example:
        >>> share_below_mean([1, 1, 1, 5])
        0.75
    """
    x = checked_values(values)
    return float((_side_of_mean(x) < 0).mean()) if len(x) else np.nan


def rank_of_mean(values: ArrayLike) -> int:
    """Number of songs strictly above the mean of all.

    Example:
        >>> rank_of_mean([1, 1, 1, 5])
        1
    """
    x = checked_values(values)
    return int((_side_of_mean(x) > 0).sum()) if len(x) else 0


def gini(values: ArrayLike) -> float:
    """The Gini coefficient: twice the area between the Lorenz curve and equality; NaN if all are 0.

    Example:
        >>> gini([1, 1, 1]), gini([0, 0, 0, 1])
        (0.0, 0.75)
    """
    x = np.sort(checked_values(values))
    n, total = len(x), x.sum()
    if not total:
        return np.nan
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ x / (n * total))


def lorenz(values: ArrayLike) -> tuple[Vector, Vector]:
    """The Lorenz curve: the fraction of songs, least played first, and of plays that they have.

    Shape:
        values (n_songs,) -> two vectors (n_songs + 1,), each from 0 to 1

    Raises:
        DataError: no song has any plays, so there are no fractions of them.

    Example:
        >>> lorenz([3, 1])[1].tolist()
        [0.0, 0.25, 1.0]
    """
    x = np.sort(checked_values(values))
    if not x.sum():
        raise DataError("no song has any plays: there is nothing to divide among them")
    plays = np.concatenate([[0.0], np.cumsum(x)])
    return np.linspace(0.0, 1.0, len(x) + 1), plays / plays[-1]


def top_share(values: ArrayLike, top: float) -> float:
    """Share of the plays that the best songs have; NaN if all are 0.

    Args:
        values: Hit scores.
        top: A fraction (float, above 0 to 1; at least one song) or a count (int).

    Example:
        >>> top_share([6, 2, 1, 1], 1)
        0.6
    """
    x = np.sort(checked_values(values))[::-1]
    if not (isinstance(top, int) and top >= 1) and not 0 < top <= 1:
        raise ParameterError(f"top is {top}: a fraction above 0 to 1, or a count, is allowed")
    n_top = top if isinstance(top, int) else max(1, int(np.floor(top * len(x) + 0.5)))
    return float(x[:n_top].sum() / x.sum()) if x.sum() else np.nan


def effective_songs(values: ArrayLike) -> float:
    """How many equally played songs would be as diverse (Hill number of order 1); NaN if all are 0.

    Example:
        >>> round(effective_songs([1, 1, 1, 1, 0]), 9)
        4.0
    """
    x = checked_values(values)
    x = x[x > 0]
    if not len(x):
        return np.nan
    p = x / x.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


# --- whole set and test split --------------------------------------------------------------------


@dataclass(frozen=True)
class SplitComparison:
    """Whether a test split is spread like the songs outside it."""

    ks: float
    """Largest distance between the two distribution functions."""
    p_value: float
    """Chance of at least that distance if the split were random; small: the split is biased."""
    gini_whole: float
    gini_split: float
    gini_p_value: float
    """Chance of a split at least as unlike the whole in its Gini coefficient, by permutation."""


def compare_split(
    values: ArrayLike, rows: ArrayLike, n_permutations: int = 999, seed: int | None = 0
) -> SplitComparison:
    """Whether the songs of a split are spread like all songs, as Fig. 3 (a) and (b) are.

    The Kolmogorov-Smirnov test compares the split with the songs outside it: a split is part of
    the whole, and two samples that share songs would look more alike than they are.

    Args:
        values: Hit scores of all songs.
        rows: Row numbers of the split, each once; some songs must be outside it.
        n_permutations: Random splits of the same size to compare the Gini coefficient with.
        seed: Of the permutations.

    Raises:
        ParameterError: a value is negative or not finite.
        DataError: the split is empty, holds every song or names a row twice.

    Example:
        >>> x = np.random.default_rng(0).lognormal(size=1000)
        >>> compare_split(x, np.arange(100)).p_value > 0.05
        True
        >>> compare_split(np.sort(x), np.arange(100)).p_value < 1e-6
        True
    """
    x = checked_values(values)
    chosen = np.zeros(len(x), dtype=bool)
    indices = np.asarray(rows, dtype=np.int64)
    chosen[indices] = True
    n = int(chosen.sum())
    if n != len(indices) or not 0 < n < len(x):
        raise DataError(
            f"a split of {len(indices):,} rows of {len(x):,} songs cannot be compared with the "
            "rest: it must name some songs, each once, and leave some out"
        )
    test = stats.ks_2samp(x[chosen], x[~chosen])
    rng = np.random.default_rng(seed)
    whole, split = gini(x), gini(x[chosen])
    random = np.array([gini(rng.choice(x, n, replace=False)) for _ in range(n_permutations)])
    centre = np.nanmean(random)
    return SplitComparison(
        ks=float(test.statistic),
        p_value=float(test.pvalue),
        gini_whole=whole,
        gini_split=split,
        gini_p_value=float(
            (1 + (np.abs(random - centre) >= abs(split - centre)).sum()) / (1 + n_permutations)
        ),
    )


# --- inside --------------------------------------------------------------------------------------


def checked_values(values: ArrayLike) -> Vector:
    """The values as a flat vector.

    Raises:
        ParameterError: a value is negative, infinite or NaN.
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    if not np.all(np.isfinite(x)) or np.any(x < 0):
        raise ParameterError(
            "hit scores must be finite and 0 or above: drop the songs whose score is undefined"
        )
    return x


def _side_of_mean(x: Vector) -> Vector:
    """−1 below the mean, 0 at it (to rounding), 1 above it."""
    mean = x.mean()
    return np.where(np.abs(x - mean) <= 1e-12 * mean, 0.0, np.sign(x - mean))

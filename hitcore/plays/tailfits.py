"""Laws of the long tail: a log-normal or a power law, how well it fits, and how sure that is.

Conventions:
    values: hit scores (n_songs,), finite, 0 or above; songs without plays are not fitted.
    Intervals are 95 % percentile bootstrap intervals over songs.
    p-values ask how often data that do follow the fitted law would lie as far off; a small one
        says that the law is not a good description, a large one does not say that it is true.

References:
    A. Clauset, C. Shalizi, M. Newman: "Power-law distributions in empirical data", SIAM Review
    2009 (the power-law fit). H. Lilliefors, JASA 1967 (goodness of fit with fitted parameters).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from hitcore.errors import DataError
from hitcore.plays.longtail import LongTail, checked_values, long_tail

Vector = NDArray[np.float64]
Interval = tuple[float, float]
Fit = TypeVar("Fit")

MIN_TAIL = 25
"""A power law is fitted to no fewer songs than this."""
MAX_THRESHOLDS = 100
"""So many thresholds are tried, evenly over the ranks (on a log scale), for where a tail begins."""
_LEVEL = (2.5, 97.5)


@dataclass(frozen=True)
class LogNormalFit:
    """A log-normal distribution fitted to the positive values by maximum likelihood."""

    mu: float
    """Mean of the natural logarithm."""
    sigma: float
    """Standard deviation of the natural logarithm."""
    mu_interval: Interval
    sigma_interval: Interval
    ks: float
    """Largest distance between the fitted and the observed distribution function."""
    p_value: float
    """How often a true log-normal, fitted alike, lies at least that far off; small: a poor fit."""
    n: int
    """Positive values that were fitted."""

    def survival(self, x: ArrayLike) -> Vector:
        """Fraction of the fitted songs above `x`."""
        return np.asarray(stats.lognorm.sf(x, self.sigma, scale=np.exp(self.mu)), dtype=float)


@dataclass(frozen=True)
class PowerLawFit:
    """A power law with density ∝ x^(−alpha) from `x_min` on, by maximum likelihood."""

    alpha: float
    alpha_interval: Interval
    x_min: float
    """Where the tail begins: the threshold whose fit lies closest to the observed tail."""
    ks: float
    """Largest distance between the fitted and the observed distribution function of the tail."""
    p_value: float
    """How often data that do follow the power law from `x_min` on lie at least that far off."""
    n: int
    """Positive values."""
    n_tail: int
    """Values from `x_min` on."""

    def survival(self, x: ArrayLike) -> Vector:
        """Fraction of the fitted songs above `x`; NaN below `x_min`, where nothing is claimed."""
        values = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore"):
            tail = (self.n_tail / self.n) * (values / self.x_min) ** (1 - self.alpha)
        return np.where(values >= self.x_min, tail, np.nan)


def fit_log_normal(values: ArrayLike, n_bootstrap: int = 200, seed: int | None = 0) -> LogNormalFit:
    """A log-normal fitted to the positive values, how far off it is, and how sure its parameters.

    The p-value is a parametric bootstrap: samples of the fitted distribution are fitted anew, as
    the tabulated Kolmogorov-Smirnov distribution does not hold for fitted parameters.

    Raises:
        ParameterError: a value is negative or not finite.
        DataError: fewer than 3 positive values, or all alike.

    Example:
        >>> x = np.exp(np.random.default_rng(0).normal(-8, 1.5, 2000))
        >>> fit = fit_log_normal(x)
        >>> round(fit.mu), round(fit.sigma, 1), fit.p_value > 0.05
        (-8, 1.5, True)
    """
    logs = np.log(_positive(values, at_least=3))
    if np.ptp(logs) == 0:
        raise DataError("all positive values are alike: no distribution can be fitted to them")
    rng = np.random.default_rng(seed)
    n = len(logs)
    mu, sigma = float(logs.mean()), float(logs.std())
    ks = _ks_normal(logs)
    # The statistic does not depend on mu and sigma, so standard normal samples serve.
    simulated = np.array([_ks_normal(rng.standard_normal(n)) for _ in range(n_bootstrap)])
    drawn = _resampled(logs, n_bootstrap, rng, lambda s: np.array([s.mean(), s.std()]))
    return LogNormalFit(
        mu=mu,
        sigma=sigma,
        mu_interval=_interval(drawn[:, 0]),
        sigma_interval=_interval(drawn[:, 1]),
        ks=ks,
        p_value=_p_value(ks, simulated),
        n=n,
    )


def fit_power_law(values: ArrayLike, n_bootstrap: int = 100, seed: int | None = 0) -> PowerLawFit:
    """A power law fitted to the tail, where the tail begins, how far off it is, and how sure alpha.

    The threshold is the one that brings fit and data closest (Clauset et al., section 3.3), among
    at most `MAX_THRESHOLDS` of the values. The p-value is their semi-parametric bootstrap: below
    the threshold the data themselves, above it the fitted law, everything fitted anew.

    Raises:
        ParameterError: a value is negative or not finite.
        DataError: fewer than `MIN_TAIL` positive values, or all alike.

    Example:
        >>> x = np.random.default_rng(0).pareto(1.5, 3000) + 1
        >>> fit = fit_power_law(x, n_bootstrap=50)
        >>> bool(abs(fit.alpha - 2.5) < 0.2 and fit.p_value > 0.05)
        True
    """
    x = np.sort(_positive(values, at_least=MIN_TAIL))
    if x[0] == x[-1]:
        raise DataError("all positive values are alike: no distribution can be fitted to them")
    rng = np.random.default_rng(seed)
    alpha, x_min, ks = _fit_tail(x)
    n, n_tail = len(x), int((x >= x_min).sum())
    body = x[x < x_min]

    def simulate() -> float:
        n_above = rng.binomial(n, n_tail / n) if len(body) else n
        above = x_min * (1 - rng.random(n_above)) ** (-1 / (alpha - 1))
        below = rng.choice(body, n - n_above) if len(body) else body
        return _fit_tail(np.sort(np.concatenate([below, above])))[2]

    simulated = np.array([simulate() for _ in range(n_bootstrap)])
    drawn = _resampled(x, n_bootstrap, rng, lambda s: np.array([_fit_tail(np.sort(s))[0]]))
    return PowerLawFit(
        alpha=alpha,
        alpha_interval=_interval(drawn[:, 0]),
        x_min=x_min,
        ks=ks,
        p_value=_p_value(ks, simulated),
        n=n,
        n_tail=n_tail,
    )


@dataclass(frozen=True)
class TailSummary:
    """The long-tail figures of a set of hit scores together with both fits."""

    figures: LongTail
    log_normal: LogNormalFit | None
    """None where there are too few songs, or all are alike."""
    power_law: PowerLawFit | None
    """None where there are too few songs, or all are alike."""
    notes: tuple[str, ...]
    """Why a fit is missing."""

    def lines(self) -> list[str]:
        """The summary as plain lines of text."""
        f = self.figures
        lines = [
            f"{f.n_songs:,} songs, {f.n_zero:,} with a score of 0; mean {f.mean:.3g}, "
            f"median {f.median:.3g}",
            f"{f.share_below_mean:.1%} of the songs are below the mean; "
            f"the mean stands at rank {f.rank_of_mean:,}",
            f"Gini {f.gini:.3f}; the top 1 % of the songs has {f.top_1_share:.1%} of the plays, "
            f"the top 10 % {f.top_10_share:.1%}; like {f.effective_songs:,.1f} equal songs",
        ]
        if self.log_normal:
            fit = self.log_normal
            low, high = fit.sigma_interval
            lines.append(
                f"log-normal: mu {fit.mu:.2f}, sigma {fit.sigma:.2f} ({low:.2f} to {high:.2f}), "
                f"KS {fit.ks:.3f}, p {fit.p_value:.2g}"
            )
        if self.power_law:
            tail = self.power_law
            low, high = tail.alpha_interval
            lines.append(
                f"power law: alpha {tail.alpha:.2f} ({low:.2f} to {high:.2f}) from "
                f"{tail.x_min:.3g} on ({tail.n_tail:,} songs), KS {tail.ks:.3f}, "
                f"p {tail.p_value:.2g}"
            )
        return [*lines, *self.notes]


def summarise(values: ArrayLike, seed: int | None = 0) -> TailSummary:
    """All long-tail figures and both fits; a fit that cannot be made is None, with the reason.

    Raises:
        ParameterError: a value is negative or not finite.

    Example:
        >>> summarise([0.5, 0.3, 0.2]).power_law is None
        True
    """
    x = checked_values(values)
    notes: list[str] = []

    def attempted(fit: Callable[..., Fit], name: str) -> Fit | None:
        try:
            return fit(x, seed=seed)
        except DataError as error:
            notes.append(f"no {name}: {error}")
            return None

    log_normal = attempted(fit_log_normal, "log-normal fit")
    power_law = attempted(fit_power_law, "power-law fit")
    return TailSummary(long_tail(x), log_normal, power_law, tuple(notes))


def _fit_tail(x: Vector) -> tuple[float, float, float]:
    """alpha, x_min and the distance of the closest power law; `x` sorted and positive."""
    starts = _thresholds(x)
    logs = np.log(x)
    suffix = np.cumsum(logs[::-1])[::-1]
    best = (np.nan, np.nan, np.inf)
    for start in starts:
        n_tail = len(x) - start
        excess = suffix[start] - n_tail * logs[start]
        if excess <= 0:
            continue
        slope = n_tail / excess  # alpha − 1
        fitted = 1 - np.exp(-slope * (logs[start:] - logs[start]))
        ks = _distance(fitted)
        if ks < best[2]:
            best = (float(1 + slope), float(x[start]), ks)
    return best


def _thresholds(x: Vector) -> NDArray[np.int64]:
    """Indices at which a tail may begin: first occurrences, evenly over log rank from the top."""
    longest = len(x)
    shortest = min(MIN_TAIL, longest)
    sizes = np.unique(np.geomspace(shortest, longest, MAX_THRESHOLDS).round().astype(np.int64))
    return np.unique(np.searchsorted(x, x[longest - sizes], side="left"))


def _ks_normal(sample: Vector) -> float:
    """Distance of a sample from the normal distribution of its own mean and deviation."""
    z = np.sort(sample)
    return _distance(special.ndtr((z - z.mean()) / z.std()))


def _distance(fitted: Vector) -> float:
    """Kolmogorov-Smirnov distance; `fitted` is the fitted function at the sorted sample."""
    steps = np.arange(len(fitted) + 1) / len(fitted)
    return float(max((steps[1:] - fitted).max(), (fitted - steps[:-1]).max()))


def _resampled(
    x: Vector, times: int, rng: np.random.Generator, statistic: Callable[[Vector], Vector]
) -> Vector:
    drawn = [statistic(rng.choice(x, len(x))) for _ in range(times)]
    return np.array(drawn, dtype=np.float64).reshape(times, -1)


def _interval(drawn: Vector) -> Interval:
    low, high = np.nanpercentile(drawn, _LEVEL)
    return float(low), float(high)


def _p_value(observed: float, simulated: Vector) -> float:
    return float((1 + (simulated >= observed).sum()) / (1 + len(simulated)))


def _positive(values: ArrayLike, at_least: int) -> Vector:
    x = checked_values(values)
    x = x[x > 0]
    if len(x) < at_least:
        raise DataError(
            f"{len(x)} songs have a score above 0; a fit needs at least {at_least}: give a longer "
            "log, more songs or another definition"
        )
    return x

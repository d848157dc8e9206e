"""Which claims the results support: one family of tests, and what their power was.

The problem: with many rows, figures and folds, something is always "significant". So claims and the
one comparison that decides each are fixed beforehand (`claims`), p is corrected over all of them
at once (Holm), intervals are as wide as the correction asks, and "no gain" needs a test of its own
(two one-sided tests against a margin): a difference that was not found is *inconclusive*.

Conventions:
    supported, contradicted: significant after Holm, in the claim's direction or against it.
    inconclusive: neither; `power` says how often a difference of the paper's size would be found.
    not judged: fewer than `MIN_SEEDS` seeds of training, or fewer than `MIN_TOP` songs in the top
        of a test fold; figures are shown, no verdict is given.
    variance: a difference in fold f by seed s is d + fold_f + seed_fs. The mean over a fold's seeds
        keeps the folds' part whole and divides the seeds' part; the variance of the mean over
        folds is widened for the training songs that folds share (Nadeau and Bengio).
    A fold without a value (NaN) is left out and counted.

References:
    S. Holm, "A simple sequentially rejective multiple test procedure", 1979. D. Schuirmann, "A
    comparison of the two one-sided tests procedure", J. Pharmacokinetics and Biopharmaceutics
    1987. C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 2003.
    R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests", PAKDD 2004.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from hitcore.evaluation import metrics
from hitcore.evaluation.intervals import holm
from hitcore.experiments.claims import ATTRIBUTE_CLAIMS, CLAIMS, DECIDES, NO_GAIN, Claim
from hitcore.experiments.figures import EXPLORATORY, Figures
from hitcore.experiments.results import METRICS

Floats = NDArray[np.float64]
Word = Literal["supported", "contradicted", "inconclusive", "not judged"]

ALPHA = 0.05
"""Chance of any false claim in a family."""
MIN_SEEDS = 3
"""Seeds of training that a row needs for a verdict."""
MIN_TOP = 10
"""Songs in the top of a test fold that a verdict needs."""


@dataclass(frozen=True)
class Comparison:
    """First minus second in one figure, over folds and seeds.

    Example:
        >>> test = Comparison.of(np.array([[2.0], [3.0], [4.0]]), 0.0)
        >>> test.difference, round(test.p_value, 3), round(test.interval(0.05)[0], 2)
        (3.0, 0.035, 0.52)
    """

    difference: float
    """Mean over folds of the mean over seeds."""
    scale: float
    """Standard error of the difference, folds' common training songs taken into account."""
    n_folds: int
    """Folds with a value."""
    n_undefined: int
    """Folds left out since a row has no value there."""
    n_seeds: int
    """Seeds per fold, the fewest."""
    fold_sd: float
    """Deviation between folds that seeds do not explain; NaN with one seed."""
    seed_sd: float
    """Deviation between seeds of a fold; NaN with one seed."""

    @classmethod
    def of(cls, gaps: Floats, test_train_ratio: float) -> "Comparison":
        """The comparison of differences `(n_folds, n_seeds)`; NaN where undefined."""
        known = ~np.isnan(gaps)
        counts = known.sum(axis=1)
        used = counts > 0
        n = int(used.sum())
        means = np.where(known, gaps, 0.0).sum(axis=1)[used] / counts[used]
        spread = float(means.std(ddof=1)) if n > 1 else math.nan
        fold_sd, seed_sd = _components(gaps[used], means, spread)
        return cls(
            difference=float(means.mean()) if n else math.nan,
            scale=spread * math.sqrt(1 / n + test_train_ratio) if n > 1 else math.nan,
            n_folds=n,
            n_undefined=len(gaps) - n,
            n_seeds=int(counts[used].min()) if n else 0,
            fold_sd=fold_sd,
            seed_sd=seed_sd,
        )

    @property
    def p_value(self) -> float:
        """Two-sided p of no difference; NaN where undefined."""
        return float(np.minimum(1.0, 2 * self.p_above(0.0, abs(self.difference))))

    @property
    def p_within(self) -> float:
        """p of a difference of at least `NO_GAIN` either way: the worse of two one-sided tests."""
        return max(
            self.p_above(-NO_GAIN, self.difference), self.p_above(-NO_GAIN, -self.difference)
        )

    def p_above(self, bound: float, value: float) -> float:
        """One-sided p of a true value at the bound, where `value` above it was found."""
        if not self.scale > 0:
            return math.nan if math.isnan(self.scale) else float(value <= bound)
        return float(special.stdtr(self.n_folds - 1, (bound - value) / self.scale))

    def interval(self, alpha: float) -> tuple[float, float]:
        """The two-sided interval of level 1 − alpha."""
        if self.n_folds < 2:
            return math.nan, math.nan
        reach = self.scale * float(special.stdtrit(self.n_folds - 1, 1 - alpha / 2))
        return self.difference - reach, self.difference + reach

    def power(self, effect: float, alpha: float) -> float:
        """Chance that a true difference is found significant and on its side, by noncentral t."""
        if self.n_folds < 2 or not self.scale > 0 or math.isnan(effect):
            return math.nan
        limit = float(special.stdtrit(self.n_folds - 1, 1 - alpha / 2))
        return float(stats.nct.sf(limit, self.n_folds - 1, abs(effect) / self.scale))


@dataclass(frozen=True)
class Verdict:
    """What the results say of one claim."""

    claim: Claim
    """The claim, with the pairs whose rows are there."""
    figures: dict[str, Comparison]
    """By figure: primary ones first; the one that decides is `DECIDES`."""
    word: Word
    """The verdict."""
    why: str
    """Where it is not judged: why; else empty."""
    p_value: float
    """p of the comparison that decides: of no difference, or of a gain for claims of no gain."""
    p_holm: float
    """The same, corrected over all claims."""
    alpha: float
    """The level at which Holm tests this claim; its intervals are of level 1 − alpha."""

    @property
    def decides(self) -> Comparison:
        """The comparison that decides."""
        return self.figures[DECIDES]

    @property
    def interval_alpha(self) -> float:
        """Claims of no gain have the interval that their two one-sided tests look at."""
        return 2 * self.alpha if self.claim.of_no_gain else self.alpha

    def interval(self, metric: str = DECIDES) -> tuple[float, float]:
        """The corrected interval: without 0 (or within the margin) exactly where p_holm < 0.05."""
        return self.figures[metric].interval(self.interval_alpha)

    @cached_property
    def power(self) -> float:
        """Chance that a difference of the paper's size is found with these folds and songs.

        For claims of no gain: the chance to see that there is none, where there is none.
        """
        test = self.decides
        if not self.claim.of_no_gain:
            return test.power(self.claim.paper_effect, self.alpha)
        if test.n_folds < 2 or not test.scale > 0:
            return math.nan
        room = NO_GAIN / test.scale - float(special.stdtrit(test.n_folds - 1, 1 - self.alpha))
        return max(0.0, float(2 * special.stdtr(test.n_folds - 1, room) - 1))


def judge(
    figures: Figures,
    claims: Sequence[Claim] = (*CLAIMS, *ATTRIBUTE_CLAIMS),
    alpha: float = ALPHA,
) -> tuple[Verdict, ...]:
    """The verdicts on all claims of which some rows are there: one family, corrected by Holm.

    Args:
        figures: Of one set of results.
        claims: Fixed beforehand.
        alpha: Chance of any false claim.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kendall = {row: rng.normal(0.3 * (row == "i"), 0.02, (10, 3)) for row in "ei"}
        >>> found = judge(Figures({metric: kendall for metric in METRICS}))
        >>> [(verdict.claim.words, verdict.word) for verdict in found]
        [('A/B sampling is better than naive', 'supported')]
    """
    here = set(figures.rows)
    asked = [
        replace(claim, pairs=tuple(pair for pair in claim.pairs if set(pair) <= here))
        for claim in claims
    ]
    asked = [claim for claim in asked if claim.pairs]
    shown = [metric for metric in (*METRICS, *EXPLORATORY) if metric in figures.values]
    found = [
        {
            metric: Comparison.of(figures.difference(metric, claim.pairs), figures.test_train_ratio)
            for metric in shown
        }
        for claim in asked
    ]
    raw = [
        one[DECIDES].p_within if claim.of_no_gain else one[DECIDES].p_value
        for claim, one in zip(asked, found, strict=True)
    ]
    corrected, levels = holm(raw), _levels(raw, alpha)
    return tuple(
        _verdict(figures, claim, one, float(p), float(p_holm), level, alpha)
        for claim, one, p, p_holm, level in zip(asked, found, raw, corrected, levels, strict=True)
    )


def every_pair(
    figures: Figures, alpha: float = ALPHA
) -> dict[tuple[str, str, str], tuple[Comparison, float, float]]:
    """Any row against any other, for whoever looks at results without a claim fixed beforehand.

    p is corrected (Holm) over all pairs of rows and the three primary figures, since any of them
    might have been looked at.

    Returns:
        By first row, second row and figure: the comparison, p corrected, and the level alpha of
        its interval. A pair stands there in one order.
    """
    keys = [
        (one, other, metric)
        for one, other in combinations(figures.rows, 2)
        for metric in METRICS
        if metric in figures.values
    ]
    found = [
        Comparison.of(figures.difference(metric, ((one, other),)), figures.test_train_ratio)
        for one, other, metric in keys
    ]
    raw = [test.p_value for test in found]
    corrected, levels = holm(raw), _levels(raw, alpha)
    return {
        key: (test, float(p), level)
        for key, test, p, level in zip(keys, found, corrected, levels, strict=True)
    }


def too_small(figures: Figures) -> str:
    """Why a set of results is too small for verdicts, in a sentence; empty where it is not."""
    if figures.n_top >= MIN_TOP:
        return ""
    return (
        f"The top of a test fold has {figures.n_top} songs, and a verdict needs {MIN_TOP}: the "
        "figures @10 % are chance here. Take fewer folds, or more songs."
    )


def too_small_before(n_songs: int, n_folds: int, top: float = 0.10) -> str:
    """The same before anything is run, from the songs that there are; empty where they suffice.

    Example:
        >>> too_small_before(2_000, 10), too_small_before(300, 10)[:36]
        ('', 'The top of a test fold has 3 songs, ')
    """
    n_top = metrics.n_top(n_songs // n_folds, top)
    return too_small(Figures({}, n_top=n_top))


def _verdict(
    figures: Figures,
    claim: Claim,
    found: dict[str, Comparison],
    p_value: float,
    p_holm: float,
    level: float,
    alpha: float,
) -> Verdict:
    rows = {row for pair in claim.pairs for row in pair}
    fewest = min(figures.n_seeds(row) for row in rows)
    why = too_small(figures)
    if not why and fewest < MIN_SEEDS:
        seeds = "one seed" if fewest == 1 else f"{fewest} seeds"
        why = f"trained with {seeds}, and a verdict needs {MIN_SEEDS}"
    word: Word = "inconclusive"
    test = found[DECIDES]
    if why:
        word = "not judged"
    elif p_holm < alpha:
        word = "supported" if claim.of_no_gain or test.difference > 0 else "contradicted"
    elif claim.of_no_gain and test.interval(level)[0] > NO_GAIN:
        word = "contradicted"  # the gain is surely larger than the margin
    return Verdict(claim, found, word, why, p_value, p_holm, level)


def _levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm tests each hypothesis: alpha over the number not yet rejected."""
    p = np.asarray(p_values, np.float64)
    n = int((~np.isnan(p)).sum())
    levels = np.full(p.size, alpha / max(n, 1))
    stopped = 0.0
    for step, number in enumerate(np.argsort(p, kind="stable")[:n]):
        # Once one is not rejected, all later ones are tested at the level where it stopped.
        levels[number] = stopped or alpha / (n - step)
        if not stopped and not p[number] < levels[number]:
            stopped = float(levels[number])
    return [float(level) for level in levels]


def _components(gaps: Floats, means: Floats, spread: float) -> tuple[float, float]:
    """Deviations between folds and between the seeds of a fold, by one-way analysis of variance."""
    n_seeds = (~np.isnan(gaps)).sum(axis=1)
    several = n_seeds > 1
    if len(means) < 2 or not several.any():
        return math.nan, math.nan
    within = np.nanvar(gaps[several], axis=1, ddof=1)
    seeds = float(np.average(within, weights=n_seeds[several] - 1))
    folds = max(0.0, spread**2 - seeds / float(n_seeds.mean()))
    return math.sqrt(folds), math.sqrt(seeds)

"""Long-tail figures and fits against closed forms, laws and independent oracles."""

import numpy as np
import pandas as pd
import powerlaw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hitcore.errors import DataError, ParameterError
from hitcore.plays.longtail import (
    compare_split,
    effective_songs,
    gini,
    long_tail,
    lorenz,
    rank_of_mean,
    share_below_mean,
    top_share,
)
from hitcore.plays.tailfits import fit_log_normal, fit_power_law

positive_lists = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=60)


def papers_catalogue(n: int = 15_000) -> np.ndarray:
    """A long tail of which exactly 87.5 % of the songs lie below the mean."""
    rng = np.random.default_rng(0)
    tail = rng.uniform(0, 0.6, n * 7 // 8)
    hits = 2 + rng.pareto(1.5, n // 8)
    return np.concatenate([hits, tail]) * 1e-6


class TestFigures:
    def test_the_papers_claim(self) -> None:
        """Where 87.5 % of the songs are below the mean, all figures say so (section 3)."""
        figures = long_tail(papers_catalogue())
        assert figures.share_below_mean == 0.875
        assert figures.rank_of_mean == 1875

    def test_closed_forms(self) -> None:
        sigma = 1.3
        x = np.exp(sigma * stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000))
        assert gini(x) == pytest.approx(2 * stats.norm.cdf(sigma / np.sqrt(2)) - 1, abs=1e-4)
        assert share_below_mean(x) == pytest.approx(stats.norm.cdf(sigma / 2), abs=1e-4)
        top = 1 - stats.norm.cdf(stats.norm.ppf(0.9) - sigma)
        assert top_share(x, 0.10) == pytest.approx(top, abs=1e-3)
        assert effective_songs(np.full(17, 0.3)) == pytest.approx(17)
        assert gini(np.arange(1, 6)) == pytest.approx(4 / 15)

    @given(positive_lists)
    def test_gini_is_the_mean_difference_and_the_lorenz_area(self, values: list[float]) -> None:
        x = np.array(values)
        differences = np.abs(x[:, None] - x[None, :]).mean()
        np.testing.assert_allclose(gini(x), differences / (2 * x.mean()), atol=1e-12)
        songs, plays = lorenz(x)
        np.testing.assert_allclose(gini(x), 1 - 2 * np.trapezoid(plays, songs), atol=1e-12)

    @given(positive_lists, st.floats(1e-6, 1e6), st.randoms())
    def test_unit_and_order_do_not_matter(self, values: list[float], unit: float, rnd) -> None:
        shuffled = list(values)
        rnd.shuffle(shuffled)
        one, other = long_tail(values), long_tail(np.array(shuffled) * unit)
        assert (one.share_below_mean, one.rank_of_mean) == (
            other.share_below_mean,
            other.rank_of_mean,
        )
        for name in ("gini", "top_1_share", "top_10_share", "effective_songs"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)

    @given(positive_lists)
    def test_bounds(self, values: list[float]) -> None:
        figures = long_tail(values)
        n = len(values)
        assert 0 <= figures.gini <= 1 - 1 / n + 1e-12 or figures.gini == pytest.approx(0, abs=1e-12)
        assert 1 - 1e-9 <= figures.effective_songs <= n + 1e-9
        n_below = round(figures.share_below_mean * n)
        assert n_below + figures.rank_of_mean <= n

    @given(st.floats(1e-9, 1.0), st.integers(1, 50))
    def test_all_alike_is_neither_below_nor_above_the_mean(self, value: float, n: int) -> None:
        assert share_below_mean([value] * n) == 0
        assert rank_of_mean([value] * n) == 0
        assert gini([value] * n) == pytest.approx(0, abs=1e-12)

    def test_against_pandas(self) -> None:
        x = pd.Series(np.random.default_rng(4).lognormal(-9, 1.6, 5000))
        ranked = x.sort_values(ascending=False, ignore_index=True)
        figures = long_tail(x)
        assert figures.rank_of_mean == int((ranked > ranked.mean()).sum())
        assert figures.share_below_mean == (x < x.mean()).mean()
        assert figures.top_10_share == pytest.approx(ranked.head(500).sum() / x.sum(), rel=1e-12)
        assert figures.median == x.median()
        assert figures.effective_songs == pytest.approx(np.exp(stats.entropy(x)), rel=1e-12)

    def test_degenerate(self) -> None:
        nothing = long_tail([])
        assert nothing.n_songs == 0
        assert np.isnan([nothing.mean, nothing.gini, nothing.share_below_mean]).all()
        silent = long_tail([0.0, 0.0])
        assert (silent.n_zero, silent.share_below_mean) == (2, 0.0)
        assert np.isnan([silent.gini, silent.top_10_share, silent.effective_songs]).all()
        assert long_tail([0.3]).gini == 0
        with pytest.raises(DataError, match="no song has any plays"):
            lorenz([0.0])

    @pytest.mark.parametrize("values", [[-0.1], [np.nan], [np.inf]])
    def test_refuses(self, values: list[float]) -> None:
        with pytest.raises(ParameterError, match="finite"):
            long_tail(values)

    @pytest.mark.parametrize("top", [0, -1, 1.5, 0.0])
    def test_refuses_impossible_tops(self, top: float) -> None:
        with pytest.raises(ParameterError):
            top_share([1, 2], top)


class TestLogNormal:
    def test_against_scipy(self) -> None:
        x = np.random.default_rng(0).lognormal(-8, 1.2, 800)
        fit = fit_log_normal(x, n_bootstrap=50)
        shape, _, scale = stats.lognorm.fit(x, floc=0)
        assert (fit.mu, fit.sigma) == pytest.approx((np.log(scale), shape), abs=1e-6)
        expected = stats.kstest(x, stats.lognorm(shape, scale=scale).cdf).statistic
        assert fit.ks == pytest.approx(expected, abs=1e-6)
        observed = [np.mean(x > value) for value in (1e-4, 1e-3)]
        np.testing.assert_allclose(fit.survival([1e-4, 1e-3]), observed, atol=fit.ks)

    def test_p_value_accepts_its_own_law_and_refuses_another(self) -> None:
        rng = np.random.default_rng(1)
        accepted = [
            fit_log_normal(rng.lognormal(size=300), n_bootstrap=60, seed=i).p_value > 0.05
            for i in range(40)
        ]
        assert 0.8 <= np.mean(accepted) <= 1.0
        assert fit_log_normal(rng.pareto(1.5, 2000) + 1).p_value < 0.05

    def test_intervals_cover(self) -> None:
        covered = []
        for seed in range(60):
            x = np.random.default_rng(seed).lognormal(-5, 0.7, 200)
            fit = fit_log_normal(x, n_bootstrap=200, seed=seed)
            covered.append(fit.mu_interval[0] <= -5 <= fit.mu_interval[1])
        assert np.mean(covered) > 0.85

    def test_scale(self) -> None:
        x = np.random.default_rng(2).lognormal(size=100)
        one, other = fit_log_normal(x, 20), fit_log_normal(x * 1000, 20)
        assert other.mu == pytest.approx(one.mu + np.log(1000))
        assert (other.sigma, other.ks) == pytest.approx((one.sigma, one.ks))
        assert one == fit_log_normal(x, 20)

    def test_degenerate(self) -> None:
        assert fit_log_normal([0, 0, 1, 2, 3], 10).n == 3
        with pytest.raises(DataError, match="at least 3"):
            fit_log_normal([0, 1, 2])
        with pytest.raises(DataError, match="alike"):
            fit_log_normal([1, 1, 1])


class TestPowerLaw:
    def test_against_powerlaw(self) -> None:
        """The package of Alstott et al. at our threshold: same exponent and distance."""
        rng = np.random.default_rng(5)
        x = np.concatenate([rng.uniform(0.1, 1, 800), rng.pareto(1.8, 700) + 1])
        fit = fit_power_law(x, n_bootstrap=5)
        oracle = powerlaw.Fit(x, xmin=fit.x_min, verbose=False).power_law
        assert fit.alpha == pytest.approx(oracle.alpha, rel=1e-9)
        # Its distance looks at one side of each step, ours at both: they differ by a step at most.
        assert fit.ks == pytest.approx(oracle.D, abs=1.001 / fit.n_tail)
        assert fit.x_min == pytest.approx(1.0, rel=0.25)

    def test_finds_the_exponent_and_the_threshold(self) -> None:
        covered = []
        for seed in range(8):
            x = np.random.default_rng(seed).pareto(1.2, 500) + 1
            fit = fit_power_law(x, n_bootstrap=30, seed=seed)
            covered.append(fit.alpha_interval[0] < 2.2 < fit.alpha_interval[1])
        assert np.mean(covered) >= 0.7
        assert fit.p_value > 0.05
        np.testing.assert_allclose(fit.survival([50.0]), np.mean(x > 50), atol=fit.ks)
        assert fit.n_tail == (x >= fit.x_min).sum()
        assert np.isnan(fit.survival(fit.x_min / 2))

    def test_refuses_what_is_no_power_law(self) -> None:
        three_values = np.random.default_rng(7).integers(1, 4, 600)
        assert fit_power_law(three_values, n_bootstrap=40).p_value < 0.05

    def test_scale(self) -> None:
        x = np.random.default_rng(8).pareto(1.5, 400) + 1
        one, other = fit_power_law(x, 5), fit_power_law(x * 1e-6, 5)
        assert other.alpha == pytest.approx(one.alpha)
        assert other.x_min == pytest.approx(one.x_min * 1e-6)

    def test_degenerate(self) -> None:
        with pytest.raises(DataError, match="at least 25"):
            fit_power_law(np.arange(1, 25))
        with pytest.raises(DataError, match="alike"):
            fit_power_law(np.ones(100))


class TestSplit:
    def test_random_splits_are_alike_and_sorted_ones_are_not(self) -> None:
        x = papers_catalogue(3000)
        rng = np.random.default_rng(0)
        p = [compare_split(x, rng.permutation(3000)[:300], 50).p_value for _ in range(40)]
        assert np.mean(np.array(p) > 0.05) > 0.8
        biased = compare_split(x, np.arange(300), 200)
        assert biased.p_value < 1e-6
        assert biased.gini_p_value < 0.02

    def test_against_scipy(self) -> None:
        x = np.random.default_rng(3).lognormal(size=500)
        rows = np.arange(0, 500, 7)
        expected = stats.ks_2samp(x[rows], np.delete(x, rows))
        found = compare_split(x, rows, 20)
        assert (found.ks, found.p_value) == (expected.statistic, expected.pvalue)
        assert (found.gini_whole, found.gini_split) == (gini(x), gini(x[rows]))

    @pytest.mark.parametrize("rows", [[], [0, 0], [0, 1, 2]])
    def test_refuses(self, rows: list[int]) -> None:
        with pytest.raises(DataError, match="leave some out"):
            compare_split([0.1, 0.2, 0.3], rows)

"""Intervals and tests against scipy, against enumeration, and by their error rates."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from hitcore.errors import ParameterError, UndefinedMetricWarning
from hitcore.evaluation.intervals import bootstrap_interval, holm, mean_interval, paired_test
from hitcore.evaluation.metrics import kendall_at


def test_without_correction_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.3, 1, 12), rng.normal(0, 1, 12)
    expected = stats.ttest_rel(one, other)
    ci = expected.confidence_interval(0.9)
    test = paired_test(one, other, test_train_ratio=0, confidence=0.9)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert (test.low, test.high) == (pytest.approx(ci.low), pytest.approx(ci.high))
    assert test.n == 12


def test_the_correction_widens_by_the_published_factor() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.5, 0.3, 0.2, 0.1, 0.4, 0.3, 0.2])
    plain, corrected = mean_interval(values, 0), mean_interval(values)
    factor = math.sqrt((1 / 10 + 1 / 8) / (1 / 10))
    assert corrected.high - corrected.low == pytest.approx(factor * (plain.high - plain.low))
    assert corrected.estimate == plain.estimate == pytest.approx(values.mean())


@pytest.mark.parametrize("seed", range(3))
def test_sign_flips_equal_scipys_exact_permutation_test(seed: int) -> None:
    gap = np.random.default_rng(seed).normal(0.5, 1, 8).round(1)
    expected = stats.permutation_test(
        (gap, np.zeros(8)), lambda a, b: np.mean(a - b), permutation_type="samples"
    )
    assert paired_test(gap, np.zeros(8)).p_sign_flip == pytest.approx(expected.pvalue)


def test_sign_flips_of_many_folds_are_drawn() -> None:
    gap = np.random.default_rng(1).normal(0.3, 1, 20)
    sums = np.zeros(1)
    for value in gap:
        sums = np.concatenate([sums + value, sums - value])
    exact = np.mean(np.abs(sums) >= abs(gap.sum()) - 1e-9)
    assert paired_test(gap, np.zeros(20)).p_sign_flip == pytest.approx(exact, abs=0.01)


def test_swapping_the_rows_swaps_the_sign() -> None:
    one, other = [0.3, 0.5, 0.2, 0.8], [0.1, 0.6, 0.1, 0.3]
    forth, back = paired_test(one, other), paired_test(other, one)
    assert back.difference == -forth.difference
    assert (back.low, back.high) == (-forth.high, -forth.low)
    assert (back.p_value, back.p_sign_flip) == (forth.p_value, forth.p_sign_flip)


def test_equal_rows_and_a_constant_gap() -> None:
    same = paired_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (same.difference, same.p_value, same.p_sign_flip) == (0, 1, 1)
    constant = paired_test([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (constant.low, constant.high, constant.p_value) == (1, 1, 0)
    assert constant.p_sign_flip == 2 / 8


def test_equal_methods_are_called_different_at_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    n_rounds = 2000
    t = np.array(
        [paired_test(gap, np.zeros(10), 0).p_value for gap in rng.normal(size=(n_rounds, 10))]
    )
    assert abs((t < 0.05).mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / n_rounds)


def test_folds_of_one_data_set_need_the_correction() -> None:
    """The estimates share their training songs, so a common error moves all folds at once."""
    rng = np.random.default_rng(0)
    n_rounds, ratio = 2000, 1 / 8
    # Correlation of the folds' errors as Nadeau and Bengio assume it: n_test / (n_test + n_train).
    rho = ratio / (1 + ratio)
    common, own = rng.normal(size=(n_rounds, 1)), rng.normal(size=(n_rounds, 10))
    gaps = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
    plain = np.array([paired_test(gap, np.zeros(10), 0).p_value for gap in gaps])
    corrected = np.array([paired_test(gap, np.zeros(10), ratio).p_value for gap in gaps])
    assert (plain < 0.05).mean() > 0.10
    assert abs((corrected < 0.05).mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / n_rounds)


def test_folds_without_a_value_are_left_out() -> None:
    with pytest.warns(UndefinedMetricWarning, match="1 of 4 folds"):
        test = paired_test([1.0, math.nan, 3.0, 5.0], [0.0, 0.0, 1.0, 2.0])
    assert (test.n, test.difference) == (3, 2)
    with pytest.warns(UndefinedMetricWarning, match="fewer than two folds"):
        alone = paired_test([1.0], [0.0])
    assert (alone.difference, alone.n) == (1, 1)
    assert math.isnan(alone.p_value)
    assert math.isnan(alone.low)


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(0)
    for level in (0.01, 0.05, 0.2):
        p = rng.random(6) ** 3
        rejected = set()
        for step, index in enumerate(np.argsort(p)):
            if p[index] > level / (6 - step):
                break
            rejected.add(int(index))
        assert set(np.flatnonzero(holm(p) <= level)) == rejected


def test_holm_of_one_of_none_and_of_the_undefined() -> None:
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []
    with_gap = holm([0.01, math.nan, 0.04])
    assert (with_gap[0], with_gap[2]) == (0.02, 0.04)
    assert math.isnan(with_gap[1])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    with pytest.raises(ParameterError, match="from 0 to 1"):
        holm([1.2])


def test_bootstrap_of_a_mean_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        found = bootstrap_interval(np.mean, rng.exponential(size=60), n_resamples=200, seed=seed)
        hits += found.low <= 1 <= found.high
    assert 0.88 <= hits / 300 <= 0.98


def test_bootstrap_keeps_truth_and_prediction_together() -> None:
    songs = np.arange(40.0)
    found = bootstrap_interval(lambda a, b: float(np.mean(a - b)), songs, songs + 1)
    assert (found.estimate, found.low, found.high) == (-1, -1, -1)
    again = bootstrap_interval(np.mean, songs, seed=3)
    assert again == bootstrap_interval(np.mean, songs, seed=3)
    assert again != bootstrap_interval(np.mean, songs, seed=4)


def test_bootstrap_of_what_is_undefined_is_nan() -> None:
    with pytest.warns(UndefinedMetricWarning):
        found = bootstrap_interval(kendall_at, [3.0, 2.0], [1.0, 2.0])
    assert math.isnan(found.low)
    with pytest.raises(ParameterError, match="equal length"):
        bootstrap_interval(kendall_at, [1.0], [1.0, 2.0])
    with pytest.raises(ParameterError, match="equal length"):
        bootstrap_interval(kendall_at)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_a_bad_confidence_says_so(confidence: float) -> None:
    for call in (
        lambda: bootstrap_interval(np.mean, [1.0, 2.0], confidence=confidence),
        lambda: paired_test([1.0, 2.0], [2.0, 1.0], confidence=confidence),
    ):
        with pytest.raises(ParameterError, match="confidence is"):
            call()


def test_bad_folds_say_so() -> None:
    with pytest.raises(ParameterError, match="equal lengths"):
        paired_test([1.0, 2.0], [1.0])
    with pytest.raises(ParameterError, match="test_train_ratio is -1"):
        paired_test([1.0, 2.0], [2.0, 1.0], test_train_ratio=-1)


def test_all_flips_are_tried_up_to_the_limit() -> None:
    gap = [0.1, 0.2, 0.4]
    sums = [
        abs(sum(s * g for s, g in zip(signs, gap, strict=True)))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    expected = sum(total >= 0.7 - 1e-12 for total in sums) / 8
    assert paired_test(gap, [0.0] * 3).p_sign_flip == expected == 0.25

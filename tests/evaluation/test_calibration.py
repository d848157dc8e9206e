"""Conformal intervals: their closed form, and that they hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from hitcore.errors import DataError, ParameterError
from hitcore.evaluation.calibration import coverage, interval, places, reach
from hitcore.evaluation.percentiles import Reference


def test_places_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    among, values = rng.integers(0, 9, 50), rng.integers(0, 9, 12)
    expected = [stats.percentileofscore(among, value, kind="mean") / 100 for value in values]
    assert places(values, among) == pytest.approx(expected)
    with pytest.raises(DataError, match="no songs"):
        places([1.0], [])


def test_reach_is_the_order_statistic_of_split_conformal() -> None:
    rng = np.random.default_rng(1)
    put, stood = rng.random(99), rng.random(99)
    # (99 + 1) · 0.8 = 80: the 80th smallest distance.
    assert reach(put, stood, 0.8) == pytest.approx(np.sort(np.abs(put - stood))[79])
    assert reach(put[:3], stood[:3], 0.9) == 1.0  # three songs cannot promise nine of ten
    for wrong in (0.0, 1.0, float("nan")):
        with pytest.raises(ParameterError, match="confidence"):
            reach(put, stood, wrong)
    with pytest.raises(DataError, match="shape"):
        reach(put, stood[:5])


@pytest.mark.parametrize("nominal", [0.8, 0.9])
@pytest.mark.parametrize("noise", [0.3, 1.0, 10.0])
def test_coverage_is_nominal_however_good_the_model(nominal: float, noise: float) -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=3000)
    scores = np.exp(truth + noise * rng.normal(size=3000))  # any rising scale will do
    assert coverage(scores, truth, np.arange(3000) % 10, nominal) == pytest.approx(
        nominal, abs=0.02
    )


def test_agreement_of_the_members_narrows_nothing() -> None:
    """An interval comes from errors alone: members that agree and are wrong have wide ones."""
    rng = np.random.default_rng(3)
    fold, score = np.arange(400) % 2, rng.normal(size=400)
    known = Reference(fold, score, score)
    unknown = Reference(fold, score, rng.normal(size=400))
    for_known, for_unknown = known.percentile_rank([0, 0]), unknown.percentile_rank([0, 0])
    assert for_known.percentile == for_unknown.percentile
    assert for_known.high - for_known.low < 0.1 < 0.9 < for_unknown.high - for_unknown.low


def test_an_interval_holds_its_percentile_and_stays_within_0_and_1() -> None:
    rng = np.random.default_rng(4)
    put, stood = rng.random(50), rng.random(50)
    for percentile in (0.0, 0.02, 0.5, 1.0):
        low, high = interval(percentile, put, stood)
        assert 0 <= low <= percentile <= high <= 1

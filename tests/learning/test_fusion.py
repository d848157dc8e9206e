"""The average of two models' scores and the choice of its weight."""

from types import SimpleNamespace

import numpy as np
import pytest

from hitcore.errors import ParameterError
from hitcore.learning import choose_weight, fuse
from hitcore.learning.choosing import Validation

TRUTH = np.arange(20.0)


def validation(truth: np.ndarray = TRUTH) -> Validation:
    return Validation.of(SimpleNamespace(train=[], valid=range(len(truth)), test=[]), truth)


def test_the_weight_is_the_share_of_the_second_model() -> None:
    assert fuse([0, 4], [8, 2], 0.25).tolist() == [2.0, 3.5]
    assert fuse([0, 4], [8, 2], 0).tolist() == [0.0, 4.0]
    assert fuse([0, 4], [8, 2], 1).tolist() == [8.0, 2.0]
    assert fuse([0, 4], [8, 2]).tolist() == [4.0, 3.0], "the plain average of the paper"


def test_scores_are_taken_in_double_precision() -> None:
    assert fuse(np.float32([1]), np.float32([2])).dtype == np.float64


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_is_a_share(weight: float) -> None:
    with pytest.raises(ParameterError, match=r"^weight is .+; allowed is 0 to 1$"):
        fuse([0.0], [1.0], weight)


def test_scores_are_of_the_same_songs() -> None:
    with pytest.raises(ParameterError, match=r"^scores of shapes \(1,\) and \(2,\) are of diff"):
        fuse([0.0], [1.0, 2.0])


def test_mixed_scores_are_the_fusion_of_both() -> None:
    valid = validation()
    one, other = np.sin(TRUTH), np.cos(TRUTH)
    for weight in (0.0, 0.3, 1.0):
        mixed = valid.scores(one).mixed(valid.scores(other), weight)
        assert np.allclose(mixed.score, fuse(one, other, weight))
        assert np.array_equal(mixed.truth, TRUTH)


def test_candidates_of_different_songs_are_not_mixed() -> None:
    here = validation().scores(TRUTH)
    elsewhere = validation(TRUTH + 1).scores(TRUTH)
    fewer = validation(TRUTH[:10]).scores(TRUTH[:10])
    for other in (elsewhere, fewer):
        with pytest.raises(ParameterError, match="different validation songs"):
            here.mixed(other, 0.5)


def test_of_weights_that_rank_alike_the_nearest_to_a_half_is_taken() -> None:
    valid = validation()
    same = valid.scores(TRUTH)
    assert choose_weight(same, same) == 0.5
    assert choose_weight(same, same, weights=[1.0, 0.2, 0.6, 0.0]) == 0.6


def test_the_better_model_gets_the_weight_that_its_ranking_needs() -> None:
    valid = validation()
    good, bad = valid.scores(TRUTH), valid.scores(-TRUTH)
    assert choose_weight(bad, good) == 0.6
    assert choose_weight(good, bad) == 0.4

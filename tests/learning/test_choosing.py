"""What chooses sees validation songs only, by type, and by one rule."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hitcore.errors import DataError, ParameterError, SplitLeakageError
from hitcore.evaluation.metrics import kendall_at, ndcg_at
from hitcore.learning import Member, TrainConfig, TrainingData, choose_weight, fuse
from hitcore.learning import fit_member as fit
from hitcore.learning.batches import Rules
from hitcore.learning.choosing import Validation, ValidationScores, choose

FOLD = Member(range(30), range(30, 50), range(50, 70), audio="linear")
TRUTH = np.random.default_rng(0).lognormal(sigma=2, size=70)


def test_only_validation_songs_are_kept() -> None:
    valid = Validation.of(FOLD, TRUTH)
    scores = valid.scores(np.arange(70.0))
    assert scores.score.tolist() == list(np.arange(30.0, 50.0))
    assert scores.truth.tolist() == TRUTH[30:50].tolist()


def test_nothing_else_can_make_them() -> None:
    with pytest.raises(ParameterError, match="validation songs alone"):
        ValidationScores(np.zeros(3), np.zeros(3), 0.1, object())
    with pytest.raises(ParameterError, match="2 scores for 20 validation songs"):
        Validation.of(FOLD, TRUTH).scores_of_valid([1.0, 2.0])


def test_a_leak_is_refused() -> None:
    for split in (replace(FOLD, test=range(49, 60)), replace(FOLD, train=range(31))):
        with pytest.raises(SplitLeakageError):
            Validation.of(split, TRUTH)


def test_the_rule_is_ndcg_then_kendall_then_the_first() -> None:
    truth = np.r_[np.zeros(50), np.arange(20.0)]
    valid = Validation.of(replace(FOLD, valid=range(50, 70), test=()), truth, top=2)
    good = truth.copy()
    swapped = truth.copy()
    swapped[[68, 69]] = swapped[[69, 68]]
    bad = -truth
    scored = [valid.scores(one) for one in (bad, swapped, good, good)]
    assert choose(scored) == 2
    assert choose([scored[0], scored[1]]) == 1
    # Equal in nDCG, since both find the same top; Kendall decides.
    tied = Validation.of(replace(FOLD, valid=range(50, 70), test=()), (truth >= 10).astype(float))
    assert tied.scores(good).figures()[0] == 1.0
    figures = scored[1].figures()
    assert figures == (
        round(ndcg_at(truth[50:], swapped[50:], 2), 12),
        round(kendall_at(truth[50:], swapped[50:], 2), 12),
    )


def test_both_figures_are_of_the_top_that_is_asked_for() -> None:
    score = np.random.default_rng(1).normal(size=70)
    figures = Validation.of(FOLD, TRUTH, top=7).scores(score).figures()
    here = TRUTH[30:50], score[30:50]
    assert figures == (round(ndcg_at(*here, 7), 12), round(kendall_at(*here, 7), 12))
    assert figures[1] != round(kendall_at(*here), 12)


def test_an_undefined_figure_ranks_below_the_worst() -> None:
    valid = Validation.of(FOLD, TRUTH)
    constant = valid.scores(np.zeros(70))
    assert constant.figures()[1] == -math.inf
    assert valid.scores(-TRUTH).figures()[1] > -math.inf


def test_kendall_breaks_ties_of_ndcg() -> None:
    truth = np.r_[np.zeros(50), np.ones(18), 3.0, 2.0]
    valid = Validation.of(replace(FOLD, valid=range(50, 70), test=()), truth, top=1)
    three = Validation.of(replace(FOLD, valid=range(50, 70), test=()), truth, top=3)
    right = np.r_[np.zeros(68), 2.0, 1.0]
    assert valid.scores(right).figures()[0] == 1.0
    wrong = np.r_[np.zeros(68), 1.0, 2.0]
    assert three.scores(right).figures() > three.scores(wrong).figures()


def test_diverged_candidates_are_left_out() -> None:
    valid = Validation.of(FOLD, TRUTH)
    broken = np.full(70, math.nan)
    assert choose([valid.scores(broken), valid.scores(-TRUTH)]) == 1
    with pytest.raises(DataError, match="all 2 candidates diverged"):
        choose([valid.scores(broken), valid.scores(broken)])
    with pytest.raises(ParameterError, match="no candidate"):
        choose([])


def test_test_and_training_songs_have_no_say_in_a_fusion() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=70), np.log(TRUTH) + rng.normal(size=70)

    def weight(truth: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
        valid = Validation.of(FOLD, truth)
        return choose_weight(valid.scores(one), valid.scores(other))

    chosen = weight(TRUTH, a, b)
    assert chosen > 0.5
    others = np.r_[0:30, 50:70]
    for _ in range(5):
        truth, one, other = TRUTH.copy(), a.copy(), b.copy()
        for values in (truth, one, other):
            values[others] = rng.permutation(values[others]) * 3
        assert weight(truth, one, other) == chosen
    valid = Validation.of(FOLD, TRUTH)
    best = max(
        (ndcg_at(TRUTH[30:50], fuse(a, b, w)[30:50]), w) for w in [k / 10 for k in range(11)]
    )
    assert valid.scores(fuse(a, b, chosen)).figures()[0] == pytest.approx(best[0])


def small_data(seed: int = 0) -> TrainingData:
    rng = np.random.default_rng(seed)
    tags = rng.random((70, 3)).astype(np.float32)
    shares = np.exp(3 * tags[:, 0] + rng.normal(size=70)) * 1e-6
    return TrainingData(None, tags, y=np.log(shares), hit_scores=shares)


@pytest.mark.parametrize("best_by", ["loss", "ndcg"])
def test_training_and_the_choice_of_the_epoch_never_look_at_test_songs(best_by: str) -> None:
    """Neither at their truth (what is chosen) nor at their features (standardisation)."""
    data = small_data()
    member = replace(FOLD, audio=None, use_tags=True, sampler="ab", rank_weight=0.8)
    config = TrainConfig(max_epochs=12, best_by=best_by, learning_rate=0.05, batch_size=8)  # type: ignore[arg-type]
    before = fit(data, member, config)
    test = np.asarray(member.test)
    order = np.random.default_rng(5).permutation(test)
    y, shares, tags = (np.asarray(v).copy() for v in (data.y, data.hit_scores, data.tags))
    y[test], shares[test] = y[order], shares[order] * 50
    tags[test] = 1e3 * tags[order]
    after = fit(TrainingData(None, tags, y=y, hit_scores=shares), member, config)
    assert after.best_epoch == before.best_epoch
    for name, weight in before.state_dict.items():
        np.testing.assert_array_equal(after.state_dict[name].numpy(), weight.numpy())


def test_by_ndcg_kendall_decides_between_epochs_of_equal_ndcg() -> None:
    data = small_data(3)
    member = replace(FOLD, audio=None, use_tags=True)
    config = TrainConfig(max_epochs=25, best_by="ndcg", learning_rate=0.03, dropout=0.0,
                         patience=25, top=0.1)  # fmt: skip
    result = fit(data, member, config)
    ndcg = [record.valid_ndcg for record in result.history]
    assert ndcg[result.best_epoch - 1] == max(ndcg)


def test_the_threshold_of_a_b_is_that_of_the_training_songs_in_both_pairings() -> None:
    data = small_data()
    shares = np.asarray(data.hit_scores).copy()
    shares[40:] *= 1e4  # validation and test songs alone
    rules = Rules(TrainingData(None, np.asarray(data.tags), y=data.y, hit_scores=shares))
    member = replace(FOLD, audio=None, use_tags=True, sampler="ab", valid=range(40, 50))
    threshold = shares[np.asarray(member.train)].mean()
    assert rules.over_training(member).threshold == pytest.approx(threshold)  # type: ignore[attr-defined]
    assert rules.over_data(member).threshold == pytest.approx(threshold)  # type: ignore[attr-defined]
    assert shares.mean() > 2 * threshold


def test_the_top_of_the_settings_decides_the_epoch() -> None:
    data, member = small_data(4), replace(FOLD, audio=None, use_tags=True)
    for top in (0.1, 0.5):
        config = TrainConfig(max_epochs=3, top=top, learning_rate=0.02)
        result = fit(data, member, config)
        valid = np.asarray(member.valid)
        stopped = fit(data, member, replace(config, max_epochs=result.best_epoch))
        expected = ndcg_at(data.hit_scores[valid], stopped.scores[valid], top)
        assert result.history[result.best_epoch - 1].valid_ndcg == pytest.approx(expected, abs=1e-6)

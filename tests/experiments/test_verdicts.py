"""Verdicts: false claims are rare, intervals and p agree, and nothing is found by not finding."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hitcore.evaluation.intervals import holm, paired_test
from hitcore.evaluation.metrics import kendall_at
from hitcore.experiments import METRICS, Results
from hitcore.experiments.claims import CLAIMS, NO_GAIN, Claim
from hitcore.experiments.figures import Figures
from hitcore.experiments.verdicts import Comparison, Verdict, every_pair, judge, too_small

ROWS = tuple("abcdefghij")
N_FOLDS, N_SEEDS = 10, 3
TWO = Claim("the first is better", (("i", "e"), ("j", "f")))


def figures(kendall: dict[str, np.ndarray], **settings: float) -> Figures:
    return Figures({"kendall": kendall}, **settings)  # type: ignore[arg-type]


@cache
def folds_of_equal_rows(n_folds: int = 120, n_songs: int = 200) -> np.ndarray:
    """Kendall@10 % of ten equally good rows, from predictions: `(n_rows, n_folds, n_seeds)`."""
    rng = np.random.default_rng(0)
    found = np.empty((len(ROWS), n_folds, N_SEEDS))
    for fold in range(n_folds):
        appeal, common = rng.normal(size=(2, n_songs))
        for row in range(len(ROWS)):
            own = 0.3 * appeal + 0.7 * common + 0.5 * rng.normal(size=n_songs)
            for seed in range(N_SEEDS):
                score = own + 0.4 * rng.normal(size=n_songs)
                found[row, fold, seed] = kendall_at(np.exp(2 * appeal), score)
    return found


def null_world(rng: np.random.Generator) -> Figures:
    """No row is better than another, and the fusions gain just what counts as a gain.

    Folds share eight ninths of their training songs, so the luck of a row's training set is common
    to all of them: the correlation of 1/9 that Nadeau and Bengio reckon with.
    """
    pool = folds_of_equal_rows()
    drawn = pool[:, rng.integers(pool.shape[1], size=N_FOLDS)]
    own = pool.mean(axis=2) - pool.mean(axis=(0, 2))
    luck = math.sqrt(1 / 8) * own.std() * rng.normal(size=len(ROWS))
    kendall = {row: drawn[n] + luck[n] for n, row in enumerate(ROWS)}
    for fused, part in (("k", "i"), ("l", "j")):
        noise = rng.normal(0, 0.02, (N_FOLDS, 1)) + rng.normal(0, 0.02) / 3
        kendall[fused] = kendall[part] + NO_GAIN + noise
    return figures(kendall)


def test_in_1000_null_worlds_at_most_6_percent_have_a_supported_claim() -> None:
    rng = np.random.default_rng(1)
    worlds = [judge(null_world(rng)) for _ in range(1000)]
    assert all(len(world) == len(CLAIMS) for world in worlds)
    false = [any(verdict.word == "supported" for verdict in world) for world in worlds]
    assert np.mean(false) <= 0.06
    against = [any(verdict.word == "contradicted" for verdict in world) for world in worlds]
    assert np.mean(against) <= 0.06
    # The family is used: without a correction this many claims would be wrong far more often.
    raw = [any(v.p_value < 0.05 for v in world) for world in worlds]
    assert np.mean(raw) > 0.12


def test_an_effect_of_the_papers_size_is_found_as_often_as_the_power_says() -> None:
    rng = np.random.default_rng(2)
    found, told = [], []
    for _ in range(150):
        values = {row: rng.normal(0, 0.06, (N_FOLDS, N_SEEDS)) for row in "efij"}
        for row in "ij":
            values[row] = values[row] + TWO.paper_effect / 2
        half = Claim(TWO.words, TWO.pairs)
        verdict = judge(figures(values, test_train_ratio=0.125), (half,))[0]
        found.append(verdict.word == "supported")
        told.append(verdict.decides.power(TWO.paper_effect / 2, verdict.alpha))
    assert np.mean(found) == pytest.approx(np.mean(told), abs=0.1)
    assert 0.2 < np.mean(found) < 1


def test_interval_and_corrected_p_never_contradict_each_other() -> None:
    rng = np.random.default_rng(3)
    for effect in (0.0, 0.03, 0.08):
        for _ in range(30):
            values = {row: rng.normal(0, 0.05, (N_FOLDS, N_SEEDS)) for row in "abcdefghijkl"}
            for row in "ijkl":
                values[row] = values[row] + effect
            for verdict in judge(figures(values)):
                low, high = verdict.interval()
                if verdict.claim.of_no_gain:
                    assert (verdict.p_holm < 0.05) == (low > -NO_GAIN and high < NO_GAIN)
                else:
                    assert (verdict.p_holm < 0.05) == (low > 0 or high < 0)


def test_one_seed_is_the_corrected_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(2, 10))
    ours = Comparison.of((one - other)[:, None], 1 / 8)
    theirs = paired_test(one, other)
    assert ours.p_value == pytest.approx(theirs.p_value)
    assert ours.interval(0.05) == pytest.approx((theirs.low, theirs.high))
    plain = Comparison.of((one - other)[:, None], 0.0)
    assert plain.p_value == pytest.approx(stats.ttest_rel(one, other).pvalue)


def test_folds_and_seeds_have_their_parts_of_the_variance() -> None:
    rng = np.random.default_rng(5)
    gaps = rng.normal(0, 0.3, (4000, 1)) + rng.normal(0, 0.4, (4000, 3))
    test = Comparison.of(gaps, 0.0)
    assert test.fold_sd == pytest.approx(0.3, abs=0.02)
    assert test.seed_sd == pytest.approx(0.4, abs=0.02)
    assert test.scale == pytest.approx(math.sqrt((0.09 + 0.16 / 3) / 4000), rel=0.05)
    assert math.isnan(Comparison.of(gaps[:, :1], 0.0).seed_sd)


def test_two_one_sided_tests_are_those_of_schuirmann() -> None:
    gaps = np.random.default_rng(6).normal(0.01, 0.03, (10, 1))
    above = stats.ttest_1samp(gaps[:, 0], -NO_GAIN, alternative="greater").pvalue
    below = stats.ttest_1samp(gaps[:, 0], NO_GAIN, alternative="less").pvalue
    assert Comparison.of(gaps, 0.0).p_within == pytest.approx(max(above, below))


def of_no_gain(gain: float, sd: float) -> Verdict:
    rng = np.random.default_rng(7)
    values = {row: rng.normal(0, sd, (10, 3)) for row in "ijkl"}
    values["k"], values["l"] = values["i"] + gain, values["j"] + gain
    values["k"] = values["k"] + rng.normal(0, sd, (10, 3))
    return judge(figures(values), CLAIMS[-1:])[0]


def test_no_gain_needs_proof_and_is_not_found_by_noise() -> None:
    assert of_no_gain(0.0, 0.01).word == "supported"
    assert of_no_gain(0.0, 0.3).word == "inconclusive"
    assert of_no_gain(0.2, 0.01).word == "contradicted"
    assert of_no_gain(0.0, 0.01).power > 0.95 > 0.05 > of_no_gain(0.0, 0.3).power


def test_folds_without_a_value_are_counted() -> None:
    gaps = np.arange(8.0).reshape(4, 2)
    gaps[1] = np.nan
    gaps[2, 1] = np.nan
    test = Comparison.of(gaps, 0.0)
    assert (test.n_folds, test.n_undefined, test.n_seeds) == (3, 1, 1)
    assert test.difference == pytest.approx((0.5 + 4 + 6.5) / 3)
    none = Comparison.of(np.full((3, 2), np.nan), 0.0)
    assert none.n_folds == 0
    assert math.isnan(none.p_value)
    assert np.isnan(none.interval(0.05)).all()


def test_too_few_seeds_or_songs_get_no_verdict() -> None:
    rng = np.random.default_rng(8)
    clear = {row: rng.normal(row in "ij", 0.01, (10, 3)) for row in "efij"}
    assert judge(figures(clear), (TWO,))[0].word == "supported"
    single = {row: values[:, :1] for row, values in clear.items()}
    verdict = judge(figures(single), (TWO,))[0]
    assert (verdict.word, verdict.why) == (
        "not judged",
        "trained with one seed, and a verdict needs 3",
    )
    short = figures(clear, n_top=9)
    assert judge(short, (TWO,))[0].word == "not judged"
    assert "has 9 songs, and a verdict needs 10" in too_small(short)
    assert too_small(figures(clear, n_top=10)) == ""


def test_repetitions_with_divisions_of_their_own_count_as_seeds() -> None:
    rng = np.random.default_rng(4)
    rows = ("attr-naive", "attr-ab")
    table = pd.DataFrame(
        {"row": row, "fold": fold, "repeat": 0, "n_folds": 5, "k": 20, "n": 200, "n_train": 600}
        | dict.fromkeys(METRICS, 0.3 * (row == "attr-ab") + rng.normal(0, 0.01))
        for row in rows for fold in range(15)
    )  # fmt: skip

    def verdict(metrics: pd.DataFrame) -> Verdict:
        found = judge(Figures.of(Results(metrics, pd.DataFrame(), pd.DataFrame())))
        return next(each for each in found if each.claim.pairs == (("attr-ab", "attr-naive"),))

    assert verdict(table).word == "supported"
    assert verdict(table.assign(n_folds=15)).why.startswith("trained with one seed")
    # A row of which a repetition lacks a fold has not been repeated there.
    lacks = table[(table["row"] == "attr-ab") | (table["fold"] != 12)]
    assert verdict(lacks).why.startswith("trained with 2 seeds")


def test_any_two_rows_are_corrected_for_all_that_could_have_been_looked_at() -> None:
    rng = np.random.default_rng(9)
    values = {row: rng.normal(0, 0.05, (10, 3)) for row in "abcd"}
    pairs = every_pair(Figures(dict.fromkeys(METRICS, values)))
    assert len(pairs) == 6 * 3
    raw = [test.p_value for test, _, _ in pairs.values()]
    assert [p for _, p, _ in pairs.values()] == pytest.approx(holm(raw).tolist())
    for test, p, level in pairs.values():
        low, high = test.interval(level)
        assert (p < 0.05) == (low > 0 or high < 0)


def test_a_table_of_metrics_becomes_folds_and_seeds() -> None:
    lines = [
        {"row": row, "fold": fold, "repeat": repeat, "n": 20, "n_train": 160, "k": 12 + fold}
        | dict.fromkeys(METRICS, level + fold + repeat / 10)
        for row, level, seeds in (("i", 1.0, 3), ("e", 0.0, 3), ("artist-prior", 0.5, 1))
        for fold in range(4)
        for repeat in range(seeds)
    ]
    shuffled = pd.DataFrame(lines).sample(frac=1, random_state=0)
    made = Figures.of(Results(shuffled, pd.DataFrame(), pd.DataFrame()))
    assert made.test_train_ratio == 1 / 8
    assert (made.n_top, made.n_seeds("i"), made.n_seeds("artist-prior")) == (12, 3, 1)
    np.testing.assert_allclose(made.difference("ndcg", (("i", "e"),)), 1.0)
    against = made.difference("ndcg", (("i", "artist-prior"),))
    np.testing.assert_allclose(against, [[0.5, 0.6, 0.7]] * 4)

"""Ranking metrics against scipy, scikit-learn, cases worked by hand, and their laws."""

import itertools
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score, roc_auc_score

from hitcore import cli
from hitcore.errors import ParameterError, UndefinedMetricWarning
from hitcore.evaluation.metrics import (
    auc_at,
    evaluate,
    kendall_at,
    n_top,
    ndcg_at,
    pairwise_accuracy,
    parse_top,
    recall_at,
    spearman_at,
)

METRICS = [ndcg_at, kendall_at, spearman_at, auc_at, recall_at]
NAMES = [metric.__name__ for metric in METRICS]
# Few different values, so that ties are common.
lists = st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 3)), min_size=2, max_size=25)


def long_tail(n_songs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=n_songs)
    return np.exp(2 * latent - 12), latent + rng.normal(size=n_songs)


def quietly(metric: Callable[..., float], *args: object) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return metric(*args)


# --- independent oracles -------------------------------------------------------------------------


@pytest.mark.parametrize("n_songs", [30, 1500])
def test_ndcg_equals_sklearn(n_songs: int) -> None:
    y_true, y_score = long_tail(n_songs, 0)
    k = n_songs // 10
    assert ndcg_at(y_true, y_score) == pytest.approx(ndcg_score([y_true], [y_score], k=k))
    assert ndcg_at(y_true, y_score, k) == ndcg_at(y_true, y_score, 0.10)


@settings(max_examples=200, deadline=None)
@given(lists, st.integers(1, 25))
def test_ndcg_with_ties_equals_sklearn(songs: list[tuple[int, int]], k: int) -> None:
    y_true, y_score = np.array(songs, float).T
    if np.ptp(y_true) == 0:
        assert math.isnan(quietly(ndcg_at, y_true, y_score, k))
    else:
        expected = ndcg_score([y_true], [y_score], k=k)
        assert ndcg_at(y_true, y_score, k) == pytest.approx(expected)


def test_tau_and_rho_equal_scipy_on_the_true_top() -> None:
    y_true, y_score = long_tail(1500, 1)
    top = np.argsort(-y_true)[:150]
    tau = stats.kendalltau(y_true[top], y_score[top]).statistic
    rho = stats.spearmanr(y_true[top], y_score[top]).statistic
    assert kendall_at(y_true, y_score) == pytest.approx(tau, abs=1e-12)
    assert spearman_at(y_true, y_score) == pytest.approx(rho, abs=1e-12)
    of_predicted_top = np.argsort(-y_score)[:150]
    assert tau != pytest.approx(
        stats.kendalltau(y_true[of_predicted_top], y_score[of_predicted_top]).statistic, abs=0.05
    ), "the case must tell the true top from the predicted top"


@settings(max_examples=100, deadline=None)
@given(lists, st.integers(1, 25))
def test_auc_equals_sklearn(songs: list[tuple[int, int]], k: int) -> None:
    y_true, y_score = np.array(songs, float).T
    hit = y_true >= np.sort(y_true)[::-1][min(k, y_true.size) - 1]
    if hit.all():
        assert math.isnan(quietly(auc_at, y_true, y_score, k))
    else:
        assert auc_at(y_true, y_score, k) == pytest.approx(roc_auc_score(hit, y_score))


@settings(max_examples=100, deadline=None)
@given(lists)
def test_pairwise_accuracy_equals_counting(songs: list[tuple[int, int]]) -> None:
    y_true, y_score = np.array(songs, float).T
    points = [
        0.5 if y_score[i] == y_score[j] else float(y_score[i] > y_score[j])
        for i, j in itertools.permutations(range(y_true.size), 2)
        if y_true[i] > y_true[j]
    ]
    if not points:
        assert math.isnan(quietly(pairwise_accuracy, y_true, y_score))
    else:
        assert pairwise_accuracy(y_true, y_score) == pytest.approx(np.mean(points))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=6))
def test_ties_in_the_prediction_are_averaged_over_all_orders(songs: list[tuple[int, int]]) -> None:
    y_true, y_score = np.array(songs, float).T
    if np.ptp(y_true) == 0:
        return
    for metric in (ndcg_at, recall_at):
        over_orders = [
            metric(y_true, y_score + 0.01 * np.array(nudge), 2)
            for nudge in itertools.permutations(range(y_true.size))
        ]
        assert metric(y_true, y_score, 2) == pytest.approx(np.mean(over_orders))


# --- worked by hand ------------------------------------------------------------------------------


def test_ndcg_worked_by_hand() -> None:
    # Predicted order: 1, 5, 0, 3 plays; true order: 5, 3, 1, 0.
    y_true, y_score = [5.0, 3.0, 1.0, 0.0], [0.7, 0.1, 0.9, 0.5]
    expected = (1 / 1 + 5 / math.log2(3)) / (5 / 1 + 3 / math.log2(3))
    assert ndcg_at(y_true, y_score, 2) == pytest.approx(expected)
    # The first two tied: each of both ranks gathers their mean of 3 plays.
    tied = [0.9, 0.1, 0.9, 0.5]
    expected = (3 / 1 + 3 / math.log2(3)) / (5 / 1 + 3 / math.log2(3))
    assert ndcg_at(y_true, tied, 2) == pytest.approx(expected)
    # A tie that crosses the edge of the top: 5, then the mean of 3, 1 and 0.
    crossing = [0.9, 0.1, 0.1, 0.1]
    expected = (5 / 1 + (4 / 3) / math.log2(3)) / (5 / 1 + 3 / math.log2(3))
    assert ndcg_at(y_true, crossing, 2) == pytest.approx(expected)


def test_tau_and_rho_worked_by_hand() -> None:
    # The true top 4 is 9, 8, 7, 6; the songs below may score what they like.
    y_true = [9.0, 8.0, 7.0, 6.0, 1.0, 0.0]
    y_score = [3.0, 4.0, 2.0, 1.0, 99.0, -99.0]
    assert kendall_at(y_true, y_score, 4) == pytest.approx((5 - 1) / 6)
    assert spearman_at(y_true, y_score, 4) == pytest.approx(1 - 6 * (1 + 1) / (4 * 15))
    # One tie in the prediction: 5 right, 0 wrong, 1 tied: 5 / sqrt(6 · 5).
    assert kendall_at(y_true, [4.0, 4.0, 2.0, 1.0, 0.0, 0.0], 4) == pytest.approx(5 / 30**0.5)


def test_songs_tied_with_the_last_of_the_true_top_belong_to_it() -> None:
    y_true = [9.0, 5.0, 5.0, 5.0, 1.0]
    y_score = [4.0, 3.0, 1.0, 2.0, 5.0]
    assert kendall_at(y_true, y_score, 2) == kendall_at(y_true[:4], y_score[:4], 4)
    assert auc_at(y_true, y_score, 2) == 0.0
    # Song 4 and song 0 are predicted first: one of two is a hit.
    assert recall_at(y_true, y_score, 2) == 0.5


@pytest.mark.parametrize(
    ("n_songs", "top", "expected"),
    [
        (1500, 0.10, 150),
        (1500, 150, 150),
        (15, 0.10, 2),
        (14, 0.10, 1),
        (50, 0.29, 15),
        (3, 0.10, 1),
        (100, 1.0, 100),
        (100, 1, 1),
        (100, 101, 100),
        (7, np.int64(3), 3),
        (100, np.float32(0.1), 10),
    ],
)
def test_how_many_songs_the_top_has(n_songs: int, top: float, expected: int) -> None:
    assert n_top(n_songs, top) == expected


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
@settings(max_examples=60, deadline=None)
@given(songs=lists, seed=st.integers(0, 1000), k=st.integers(1, 8))
def test_the_order_of_the_songs_does_not_matter(
    metric: Callable[..., float], songs: list[tuple[int, int]], seed: int, k: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(songs))
    y_true, y_score = np.array(songs, float).T * 0.1
    one = quietly(metric, y_true, y_score, k)
    other = quietly(metric, y_true[order], y_score[order], k)
    assert one == other or (math.isnan(one) and math.isnan(other))


def test_sums_over_tied_songs_do_not_depend_on_their_order_even_in_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    y_true, y_score = rng.lognormal(sigma=3, size=500), rng.integers(0, 3, 500)
    expected = ndcg_at(y_true, y_score)
    for _ in range(50):
        order = rng.permutation(500)
        assert ndcg_at(y_true[order], y_score[order]) == expected


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
def test_only_the_order_of_the_scores_matters(metric: Callable[..., float]) -> None:
    y_true, y_score = long_tail(200, 2)
    assert metric(y_true, np.exp(y_score) * 1e-9) == metric(y_true, y_score)


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
def test_the_unit_of_the_truth_does_not_matter(metric: Callable[..., float]) -> None:
    y_true, y_score = long_tail(200, 3)
    assert metric(y_true * 1e9, y_score) == pytest.approx(metric(y_true, y_score), rel=1e-12)


def test_tau_and_rho_change_sign_with_the_prediction() -> None:
    y_true, y_score = long_tail(200, 4)
    assert kendall_at(y_true, -y_score) == pytest.approx(-kendall_at(y_true, y_score))
    assert spearman_at(y_true, -y_score) == pytest.approx(-spearman_at(y_true, y_score))
    assert pairwise_accuracy(y_true, -y_score) == pytest.approx(
        1 - pairwise_accuracy(y_true, y_score)
    )


def test_the_perfect_and_the_reversed_prediction() -> None:
    y_true, _ = long_tail(100, 5)
    best, worst = evaluate(y_true, y_true), evaluate(y_true, -y_true)
    assert (best.ndcg, best.auc, best.recall, best.pairwise_accuracy) == (1, 1, 1, 1)
    assert (best.kendall, best.spearman) == (pytest.approx(1), pytest.approx(1))
    assert (worst.auc, worst.recall, worst.pairwise_accuracy) == (0, 0, 0)
    assert (worst.kendall, worst.spearman) == (pytest.approx(-1), pytest.approx(-1))
    assert worst.ndcg < 0.01


def test_a_perfect_ranking_is_not_above_1_by_rounding() -> None:
    for seed in range(50):
        y_true = long_tail(20 + seed, seed)[0]
        assert ndcg_at(y_true, y_true**2, 0.5) <= 1
        assert ndcg_at(y_true.round(6), y_true.round(6), 0.5) <= 1


def test_a_constant_prediction_is_worth_a_random_order() -> None:
    y_true, _ = long_tail(100, 6)
    rng = np.random.default_rng(0)
    shuffled = [ndcg_at(y_true, rng.random(100)) for _ in range(2000)]
    assert ndcg_at(y_true, np.zeros(100)) == pytest.approx(np.mean(shuffled), rel=0.05)
    assert auc_at(y_true, np.zeros(100)) == 0.5
    assert recall_at(y_true, np.zeros(100)) == pytest.approx(0.1)
    assert pairwise_accuracy(y_true, np.zeros(100)) == 0.5


@pytest.mark.parametrize("top", [0.3, 7])
def test_all_figures_are_of_the_top_that_is_asked_for(top: float) -> None:
    y_true, y_score = long_tail(60, 4)
    found = evaluate(y_true, y_score, top)
    for name, metric in zip(("ndcg", "kendall", "spearman", "auc", "recall"), METRICS, strict=True):
        assert getattr(found, name) == metric(y_true, y_score, top) != metric(y_true, y_score)


@pytest.mark.parametrize(
    ("text", "top"), [("25%", 0.25), ("100 %", 1.0), ("0.5", 0.5), ("1", 1), ("150", 150)]
)
def test_a_top_in_words(text: str, top: float) -> None:
    assert parse_top(text) == top
    assert type(parse_top(text)) is type(top)


# --- degenerate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
@pytest.mark.parametrize("y_true", [[], [1.0], [0.0, 0.0, 0.0]], ids=["none", "one", "all zero"])
def test_undefined_is_nan_with_a_warning(metric: Callable[..., float], y_true: list[float]) -> None:
    with pytest.warns(UndefinedMetricWarning, match="is undefined"):
        assert math.isnan(metric(y_true, np.arange(len(y_true))))


@pytest.mark.parametrize(
    ("metric", "y_true", "said"),
    [
        (kendall_at, [1.0, 2.0], "Kendall's τ is undefined: the true top has fewer than two"),
        (spearman_at, [1.0, 2.0], "Spearman's ρ is undefined: the true top has fewer than two"),
        (auc_at, [1.0], "AUC is undefined: no song stands outside the true top"),
        (pairwise_accuracy, [1.0, 1.0],
         "pairwise accuracy is undefined: there are fewer than two different y_true"),
    ],
)  # fmt: skip
def test_the_warning_names_the_figure_and_the_reason(
    metric: Callable[..., float], y_true: list[float], said: str
) -> None:
    with pytest.warns(UndefinedMetricWarning) as caught:
        metric(y_true, np.arange(len(y_true)))
    assert [str(warning.message)[: len(said)] for warning in caught] == [said]


def test_the_warning_points_at_the_callers_line() -> None:
    with pytest.warns(UndefinedMetricWarning) as caught:
        kendall_at([1.0], [1.0])
    assert Path(caught[0].filename) == Path(__file__)


def test_a_true_top_of_one_song_or_of_tied_predictions_has_no_tau() -> None:
    for y_score in ([5.0, 4.0, 3.0], [1.0, 1.0, 1.0]):
        for metric in (kendall_at, spearman_at):
            with pytest.warns(UndefinedMetricWarning, match="true top"):
                assert math.isnan(metric([3.0, 2.0, 1.0], y_score, 1))
    with pytest.warns(UndefinedMetricWarning):
        assert math.isnan(kendall_at([3.0, 2.0, 1.0], [7.0, 7.0, 1.0], 2))


@pytest.mark.parametrize("metric", [*METRICS, pairwise_accuracy, evaluate])
def test_bad_values_say_what_is_wrong(metric: Callable[..., object]) -> None:
    with pytest.raises(ParameterError, match="y_score has 1 of 2 values that are NaN"):
        metric([1.0, 2.0], [1.0, math.nan])
    with pytest.raises(ParameterError, match="y_true has 1 of 2 values that are NaN or infinite"):
        metric([1.0, math.inf], [1.0, 2.0])
    with pytest.raises(ParameterError, match=r"\(2,\) and y_score \(3,\)"):
        metric([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("top", [0, -1, 0.0, 1.5, math.nan, True, "10%", None])
def test_a_bad_top_says_what_is_allowed(top: object) -> None:
    with pytest.raises(ParameterError, match="0 < top <= 1, or a count"):
        ndcg_at([1.0, 2.0], [1.0, 2.0], top)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["y_true", "y_score"])
def test_values_that_carry_gradients_are_refused_by_name(name: str) -> None:
    values = {"y_true": torch.ones(3), "y_score": torch.ones(3)}
    values[name].requires_grad_()
    with pytest.raises(ParameterError, match=rf"^{name} carries gradients: give {name}\.detach"):
        ndcg_at(**values)


def test_a_negative_gain_is_refused() -> None:
    with pytest.raises(ParameterError, match="not its transform"):
        ndcg_at([1.0, -2.0], [1.0, 2.0])
    assert kendall_at([1.0, -2.0], [1.0, 2.0], 2) == -1


def test_json_has_null_for_what_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning):
        figures = evaluate([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]).to_dict()
    assert (figures["kendall"], figures["spearman"]) == (None, None)
    assert (figures["n"], figures["k"], figures["ndcg"]) == (3, 1, pytest.approx(1 / 3))


# --- hitcore evaluate ----------------------------------------------------------------------------


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["hitcore", "evaluate", *map(str, args)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    shown = capsys.readouterr()
    return int(exit_.value.code or 0), shown.out, shown.err


@pytest.fixture
def table(tmp_path: Path) -> Path:
    y_true, y_score = long_tail(100, 7)
    songs = zip(y_true.tolist(), y_score.tolist(), strict=True)
    lines = [f"song {n},{true!r},{score!r}" for n, (true, score) in enumerate(songs)]
    path = tmp_path / "predictions.csv"
    path.write_text("song_id,y_true,y_score\n" + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("top", ["10%", "0.1", "10", " 10 % "])
def test_evaluate_prints_one_json_document(
    top: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, table, "--top", top, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == evaluate(*long_tail(100, 7)).to_dict()


def test_evaluate_prints_a_table(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, table)
    assert code == 0
    assert out.startswith("top 10 of 100 songs")
    assert f"{ndcg_at(*long_tail(100, 7)):.4f}" in out


def test_evaluate_writes_null_for_the_undefined_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "three.csv"
    path.write_text("\ufeffy_score, y_true\r\n3,1\r\n2,1\r\n\r\n1,1\r\n", encoding="utf-8")
    code, out, err = run(monkeypatch, capsys, path, "--json")
    assert code == 0
    figures = json.loads(out)
    assert (figures["ndcg"], figures["kendall"], figures["n"]) == (None, None, 3)
    assert "nDCG is undefined" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("", "the first line names nothing"),
        ("y_true,y_score\n", "has no songs"),
        ("a,y_true\n1,2\n", "no column y_score; the first line names a, y_true"),
        ("truth;score\n1;2\n", "no column y_true and no column y_score"),
        ("y_true,y_score\n1,2\n3,four\n", 'line 3: y_score is "four"'),
        ("y_true,y_score\n1,2\n3\n", 'line 3: y_score is ""'),
        ("y_true,y_score\nnan,2\n", 'line 2: y_true is "nan"'),
        ("y_true,y_score\n-1,2\n1,1\n", "not its transform"),
        (b"y_true,y_score\n\xff\xfe,1\n", "cannot be read as a CSV file"),
    ],
)
def test_evaluate_says_what_is_wrong_in_one_line(
    content: str | bytes | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "predictions.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = run(monkeypatch, capsys, path, "--json")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("top", ["ten", "0", "-5", "1.5", "150%", "", "nan"])
def test_evaluate_refuses_a_bad_top(
    top: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, table, f"--top={top}")
    assert (code, out) == (2, "")
    assert "allowed is a percentage" in err
    assert err.count("\n") == 1

"""The report of Table 1: its sentences follow the library's verdicts."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from hitcore.experiments import METRICS, Results
from hitcore.experiments.claims import CLAIMS
from hitcore.experiments.figures import EXPLORATORY, Figures
from hitcore.experiments.verdicts import judge

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def table1_report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("table1_report")


@pytest.fixture
def why(table1_report: ModuleType) -> ModuleType:
    return importlib.import_module("table1_why")


def results(level: dict[str, float], n_seeds: int = 3, k: int = 20) -> Results:
    """Rows whose figures differ by a level, with a little noise of each fold's own."""
    rng = np.random.default_rng(0)
    lines = [
        {"row": row, "fold": fold, "repeat": seed, "n": 200, "n_train": 1600, "k": k}
        | dict.fromkeys((*METRICS, *EXPLORATORY), value + rng.normal(0, 0.002))
        for row, value in level.items()
        for fold in range(10)
        for seed in range(n_seeds)
    ]
    return Results(pd.DataFrame(lines), pd.DataFrame(), pd.DataFrame())


def test_sentences_follow_the_verdicts_of_the_library(table1_report: ModuleType) -> None:
    found = results({"a": 0.5, "b": 0.5, "c": 0.6, "d": 0.6, "e": 0.6, "i": 0.4, "k": 0.4})
    figures = Figures.of(found)
    told = {verdict.claim.words: table1_report.finding(verdict) for verdict in judge(figures)}
    assert "HL-30 is better than Mid-30: supported.** Kendall@10 %" in told[CLAIMS[0].words]
    assert "mean of (c) − (a), (d) − (b): +0.1" in told[CLAIMS[0].words]
    assert "The generator plants this effect" in told[CLAIMS[0].words]
    assert "Tags help: inconclusive.**" in told[CLAIMS[1].words]
    assert "A/B sampling is better than naive: contradicted.**" in told[CLAIMS[3].words]
    assert "adds little to A/B: supported.**" in told[CLAIMS[5].words]
    assert CLAIMS[4].words not in told, "its rows are not there"
    for text in told.values():
        assert "10 folds × 3 seeds" in text
        assert "Exploratory: AUC of the top 10 %" in text
        assert "of such runs" in text
    table = table1_report.claims_table(judge(figures))
    assert table.count("| decides |") == len(told)
    assert table.count("| exploratory |") == 2 * len(told)


def test_rows_with_one_seed_get_figures_and_no_verdict(table1_report: ModuleType) -> None:
    found = results({"a": 0.5, "c": 0.6, "k": 0.4}, n_seeds=1)
    figures = Figures.of(found)
    text = table1_report.finding(judge(figures)[0])
    assert "not judged (trained with one seed, and a verdict needs 3)" in text
    assert "without a verdict: rows a, c, k." in table1_report.warning(found, figures)
    found = results({"a": 0.5, "c": 0.6}, k=7)
    assert "has 7 songs, and a verdict needs 10" in table1_report.warning(found, Figures.of(found))


def test_pairs_are_told_apart_by_what_they_join(why: ModuleType) -> None:
    truth = [1e-3, 9e-4, 1e-6, 2e-6]
    table = pd.DataFrame({"fold": 0, "y_true": truth, "y_score": [1.0, 2.0, 0.0, 0.5]})
    told = why.ordered(table)
    assert told == {"head_head": 0.0, "head_tail": 1.0, "tail_tail": 1.0}
    flat = table.assign(y_score=1.0)
    assert why.ordered(flat) == dict.fromkeys(told, 0.5)
    assert why.tail_spread(table.assign(y_score=[3.0, 2.0, 1.0, 1.0])) == 0

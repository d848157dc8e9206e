"""The report of Table 1: its sentences follow the figures, and p is corrected within a metric."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from hitcore.evaluation.intervals import holm
from hitcore.experiments import Results

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def table1_report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("table1_report")


@pytest.fixture
def why(table1_report: ModuleType) -> ModuleType:
    return importlib.import_module("table1_why")


def results(level: dict[str, float]) -> Results:
    """Rows whose figures differ by a level, with a little noise of each fold's own."""
    rng = np.random.default_rng(0)
    noise = {row: rng.normal(0, 0.002, 10) for row in level}
    lines = [
        {"row": row, "fold": fold}
        | dict.fromkeys(
            ("ndcg", "kendall", "spearman", "auc", "pairwise_accuracy"), value + noise[row][fold]
        )
        for row, value in level.items()
        for fold in range(10)
    ]
    return Results(pd.DataFrame(lines), pd.DataFrame(), pd.DataFrame())


def test_each_claim_gets_its_verdict_and_its_sentences(table1_report: ModuleType) -> None:
    found = results({"a": 0.5, "b": 0.5, "c": 0.6, "e": 0.6, "i": 0.4, "g": 0.4, "k": 0.5})
    tests = table1_report.claim_tests(found)
    assert table1_report.verdicts(tests) == {
        "HL-30 is better than Mid-30": "holds",
        "Tags help": "cannot be told",
        "Ranking beside rating helps (naive pairs)": "cannot be told",
        "A/B sampling is better than naive": "the opposite holds",
        "A/B sampling is better than artist": "cannot be told",
        "Fusing A/B and artist adds little to A/B": "does not hold",
    }
    text = "\n".join(table1_report.findings(tests))
    assert "(i) Siamese, A/B, HL-30, against (e) Siamese, naive, HL-30: nDCG@10 % -0." in text
    assert "p < 0.001, worse" in text
    assert "HL-30 is better than Mid-30: holds.** Of 5 tests 5 are significantly better" in text


def test_p_is_corrected_within_each_metric_alone(table1_report: ModuleType) -> None:
    found = results({"a": 0.5, "c": 0.5, "e": 0.501, "i": 0.5})
    tests = table1_report.claim_tests(found)
    for metric in table1_report.ALL:
        family = [t for each in tests.values() for t in each if t.metric == metric]
        assert len(family) == 3
        assert [t.p_holm for t in family] == holm([t.found.p_value for t in family]).tolist()


def test_pairs_are_told_apart_by_what_they_join(why: ModuleType) -> None:
    truth = [1e-3, 9e-4, 1e-6, 2e-6]
    table = pd.DataFrame({"fold": 0, "y_true": truth, "y_score": [1.0, 2.0, 0.0, 0.5]})
    told = why.ordered(table)
    assert told == {"head_head": 0.0, "head_tail": 1.0, "tail_tail": 1.0}
    flat = table.assign(y_score=1.0)
    assert why.ordered(flat) == dict.fromkeys(told, 0.5)
    assert why.tail_spread(table.assign(y_score=[3.0, 2.0, 1.0, 1.0])) == 0

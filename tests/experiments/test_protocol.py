"""The protocol: nothing chosen depends on test songs, and what is reported is of them alone."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace

from hitcore.catalogue.attributes import Attributes
from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.evaluation.metrics import evaluate
from hitcore.experiments import ExperimentConfig, Grid, Ledger, load_results, run_experiment, runs
from hitcore.experiments.runs import seed_of
from hitcore.learning import StackResult, TrainConfig

N_SONGS = 120
ROWS = ["attr-ab", "attr-artist", "attr-ab-artist"]
GRID = Grid(margins=(0.05, 3.0), rank_weights=(0.1, 0.99), tag_weights=(0.5,))
CONFIG = ExperimentConfig(
    n_folds=3,
    grid=GRID,
    training=TrainConfig(batch_size=16, max_epochs=3, learning_rate=0.02, top=0.2),
)
CHOSEN = ["margin", "rank_weight", "tag_weight", "fusion_weight", "best_epoch", "valid_ndcg"]


def make(path: Path, shares: np.ndarray | None = None, seed: int = 0) -> Workspace:
    """Songs with three attributes, of which one tells a little of the hit score."""
    place = planted_workspace(path, n_songs=N_SONGS, segments=(), seed=seed)
    table = pd.read_parquet(place.hit_scores)
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(N_SONGS, 3))
    values[:, 0] += np.log(table["hit_score"].to_numpy()) / 2
    ids = tuple(table["song_id"])
    Attributes(ids, ("energy", "tempo", "valence"), values.astype(np.float32)).write(place)
    if shares is not None:
        table.assign(hit_score=shares).to_parquet(place.hit_scores)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make(tmp_path_factory.mktemp("protocol") / "w")


@pytest.fixture(scope="module")
def found(place: Workspace) -> pd.DataFrame:
    return run_experiment(place, ROWS, CONFIG)


def test_permuting_the_truth_of_test_songs_changes_nothing_that_is_chosen(
    tmp_path: Path, place: Workspace, found: pd.DataFrame
) -> None:
    """Neither grid point, epoch and fusion weight, nor a score; only the figures on test songs."""
    table = pd.read_parquet(place.hit_scores)
    catalogue = Catalogue.read(place.songs, place.hit_scores).defined()
    test = catalogue.folds(3, "song", 0)[0].test
    ids = np.asarray(catalogue.song_ids)[test]
    shares = table.set_index("song_id")["hit_score"].copy()
    shares[ids] = np.random.default_rng(1).permutation(shares[ids].to_numpy()) * 30
    other = make(tmp_path / "w", shares.to_numpy())
    again = run_experiment(other, ROWS, CONFIG)
    before, after = (t[t["fold"] == 0].set_index("row") for t in (found, again))
    pd.testing.assert_frame_equal(before[CHOSEN], after[CHOSEN])
    assert (before["ndcg"] != after["ndcg"]).all()
    scores = [
        load_results(w).predictions.query("fold == 0")["y_score"].to_numpy() for w in (place, other)
    ]
    np.testing.assert_array_equal(*scores)


def test_the_grid_point_is_the_best_on_validation_and_not_the_first_or_the_worst(
    tmp_path: Path, found: pd.DataFrame
) -> None:
    """Each point run alone: the whole grid takes, fold by fold, the one with the best figure."""
    alone = []
    for margin in GRID.margins:
        for weight in GRID.rank_weights:
            grid = replace(GRID, margins=(margin,), rank_weights=(weight,))
            other = make(tmp_path / f"{margin}-{weight}")
            alone.append(run_experiment(other, ["attr-ab"], replace(CONFIG, grid=grid)))
    figures = np.stack([one["valid_ndcg"].to_numpy() for one in alone])
    whole = found[found["row"] == "attr-ab"]
    np.testing.assert_allclose(whole["valid_ndcg"], figures.max(axis=0), atol=1e-6)
    best = figures.argmax(axis=0)
    assert set(best) - {0}, "the first point is not always the best, or this shows nothing"
    assert (figures.max(axis=0) > figures.min(axis=0)).all()
    # Margin and w reach the networks: each point gives other scores.
    assert len({round(value, 9) for value in figures[:, 0]}) > 2


def test_figures_are_those_of_the_test_songs(place: Workspace, found: pd.DataFrame) -> None:
    results = load_results(place)
    for row in ROWS:
        told = found[found["row"] == row].set_index("fold")
        for split, prefix in (("test", ""), ("valid", "valid_")):
            table = results.predictions
            table = table[(table["row"] == row) & (table["split"] == split)]
            for fold, part in table.groupby("fold"):
                expected = evaluate(part["y_true"], part["y_score"], top=0.2)
                for name in ("ndcg", "kendall", "spearman"):
                    value = told.loc[fold, prefix + name]
                    assert value == pytest.approx(getattr(expected, name), nan_ok=True)
    assert (found["k"] == round(0.2 * N_SONGS / 3)).all()


def test_seeds_of_training_are_runs_of_their_own_on_the_same_folds(place: Workspace) -> None:
    config = replace(CONFIG, n_seeds=2, grid=Grid((0.3,), (0.5,), (0.5,)))
    table = run_experiment(place, ["attr-ab-artist", "artist-prior"], config)
    counts = table.groupby("row").size().to_dict()
    assert counts == {"attr-ab": 6, "attr-artist": 6, "attr-ab-artist": 6, "artist-prior": 3}
    ab = table[table["row"] == "attr-ab"]
    assert (ab.groupby("fold")["auc"].nunique() > 1).all()
    results = load_results(place)
    folds = results.folds_of("attr-ab")
    assert folds["fold"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(folds["ndcg"], ab.groupby("fold")["ndcg"].mean())
    assert results.test_predictions("attr-ab")["song_id"].is_unique
    assert len({seed_of(s, f, r) for s in range(3) for f in range(10) for r in range(3)}) == 90


def diverging(monkeypatch: pytest.MonkeyPatch, margins: set[float]) -> None:
    """Let the members with these margins come out of real training as if they had diverged."""
    train = runs.fit_stack

    def fit_stack(*given: Any, **settings: Any) -> StackResult:
        result = train(*given, **settings)
        members = tuple(
            replace(one, scores=one.scores * np.nan, diverged=True)
            if one.member.margin in margins
            else one
            for one in result.members
        )
        return replace(result, members=members)

    monkeypatch.setattr(runs, "fit_stack", fit_stack)


def test_a_grid_point_that_diverges_is_left_out_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(monkeypatch, {3.0})
    with caplog.at_level(logging.WARNING):
        table = run_experiment(make(tmp_path / "w"), ["attr-ab"], CONFIG)
    assert (table["margin"] == 0.05).all()
    assert table["n_diverged"].tolist() == [2, 2, 2]
    assert "row attr-ab, fold 0: 2 of 4 grid points diverged" in caplog.text


def test_where_every_point_diverges_the_other_rows_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(monkeypatch, {0.05, 3.0})
    place = make(tmp_path / "w")
    with pytest.raises(DataError, match=r"3 of 6 runs failed.*all 4 candidates diverged"):
        run_experiment(place, ["attr-ab", "release-year"], CONFIG)
    states = Ledger(place.ledger).table().set_index("row")["state"]
    assert set(states["release-year"]) == {"done"}


def test_reading_the_ledger_takes_no_write_lock(tmp_path: Path) -> None:
    import sqlite3

    Ledger(tmp_path / "ledger.sqlite").plan("x", {"r": {"row": "a", "fold": 0}})
    writer = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    reader = Ledger(tmp_path / "ledger.sqlite", timeout_s=0.1)
    assert reader.state("r") == "planned"
    assert not reader.cancelling("r")
    assert reader.count(["r"], "planned") == 1
    assert len(reader.table()) == 1
    with pytest.raises(DataError, match="locked"):
        reader.cancel("x")
    writer.execute("ROLLBACK")
    writer.close()

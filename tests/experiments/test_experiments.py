"""Experiments: what is done is not done again, whatever happens in between."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, EngineError, ParameterError
from hitcore.experiments import (
    BASELINES,
    TABLE1,
    ExperimentConfig,
    Grid,
    Ledger,
    export_results,
    fold_kinds,
    load_results,
    run_experiment,
    run_table1,
    variant,
)
from hitcore.experiments.baselines import artist_prior, release_year
from hitcore.experiments.data import songs_of
from hitcore.experiments.runner import plan_runs
from hitcore.experiments.variants import with_parts
from hitcore.learning import TrainConfig

FIGURES = ["row", "fold", "ndcg", "kendall", "spearman", "auc"]
QUICK = ExperimentConfig(
    n_folds=3,
    grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.3, 0.7)),
    training=TrainConfig(batch_size=16, max_epochs=3, learning_rate=0.02),
)
CHEAP_ROWS = ["tags", "linear", "artist-prior", "release-year"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted_workspace(tmp_path_factory.mktemp("planted") / "w", n_songs=60)


# --- the rows ------------------------------------------------------------------------------------


def test_table_1_has_the_papers_rows_in_its_order() -> None:
    assert "".join(row.row for row in TABLE1) == "abcdefghijkl"
    best = max(TABLE1, key=lambda row: row.paper.kendall if row.paper else -1)
    assert best.row == "l"
    assert [row.row for row in TABLE1 if row.sampler == "ab"] == ["i", "j"]
    assert all(row.paper is None for row in BASELINES)


def test_a_fusion_brings_its_parts() -> None:
    assert [row.row for row in with_parts(["l", "a"])] == ["a", "h", "j", "l"]


def test_only_the_parameters_that_a_row_has_are_varied() -> None:
    grid = Grid()
    sizes = {row.row: len(grid.points(row)) for row in TABLE1}
    assert (sizes["a"], sizes["b"], sizes["e"], sizes["j"]) == (1, 3, 9, 27)


def written(workspace: Workspace) -> list[int]:
    """When the runs of a workspace were written."""
    return sorted(p.stat().st_mtime_ns for p in workspace.runs.glob("[!.]*/metrics.parquet"))


# --- running -------------------------------------------------------------------------------------


def test_results_are_tidy_and_come_back_the_same(workspace: Workspace) -> None:
    table = run_experiment(workspace, CHEAP_ROWS, QUICK)
    assert len(table) == len(CHEAP_ROWS) * 3
    assert set(FIGURES) <= set(table.columns)
    results = load_results(workspace)
    tested = results.test_predictions("tags")
    assert sorted(tested["song_id"]) == sorted(f"s{i:04d}" for i in range(60))
    assert len(results.history[results.history["row"] == "tags"]) > 0
    before = written(workspace)
    again = run_experiment(workspace, CHEAP_ROWS, QUICK)
    assert before == written(workspace)
    pd.testing.assert_frame_equal(again[FIGURES], table[FIGURES])


def test_divisions_are_kept_apart_and_shipped_together(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w", segments=())
    by_song = run_experiment(place, ["artist-prior"], QUICK)
    by_artist = run_experiment(place, ["release-year"], replace(QUICK, fold_kind="artist"))
    assert fold_kinds(place) == ["song", "artist"]
    assert load_results(place, {"fold_kind": "song"}).rows == ["artist-prior"]
    assert load_results(place).rows == ["release-year"]  # the latest
    with pytest.raises(DataError, match="n_folds 7"):
        load_results(place, {"n_folds": 7})
    # What is done is found again, though it is not of the latest division.
    pd.testing.assert_frame_equal(run_experiment(place, ["artist-prior"], QUICK), by_song)

    both = [load_results(place, {"fold_kind": kind}) for kind in fold_kinds(place)]
    shipped = Workspace.create(tmp_path / "shipped")
    export_results(both[0], shipped, {"songs": 60}, both[1])
    for result, table in zip(both, (by_song, by_artist), strict=True):
        division = {"fold_kind": table["fold_kind"].iloc[0]}
        pd.testing.assert_frame_equal(load_results(shipped, division).metrics, result.metrics)


def test_the_planted_ranking_is_found_by_tags_and_not_by_the_year(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w", n_songs=150, segments=("repetition",))
    config = replace(QUICK, training=replace(QUICK.training, max_epochs=40))
    table = run_experiment(place, ["tags", "release-year"], config)
    right = table.groupby("row")["pairwise_accuracy"].mean()
    assert right["tags"] > 0.65
    assert 0.35 < right["release-year"] < 0.65


def test_a_network_row_and_its_fusion(workspace: Workspace) -> None:
    config = replace(QUICK, training=replace(QUICK.training, max_epochs=1))
    table = run_experiment(workspace, ["k"], config)
    assert sorted(table["row"].unique()) == ["g", "i", "k"]
    fused = table[table["row"] == "k"]
    assert fused["fusion_weight"].between(0, 1).all()
    runs = list(workspace.runs.glob("[!.]*/model.safetensors"))
    assert runs


def test_workers_of_a_pool_find_the_same(tmp_path: Path) -> None:
    first = planted_workspace(tmp_path / "first")
    second = planted_workspace(tmp_path / "second")
    alone = run_experiment(first, CHEAP_ROWS, QUICK)
    pooled = run_experiment(second, CHEAP_ROWS, QUICK, n_workers=2)
    key = ["row", "fold"]
    pd.testing.assert_frame_equal(
        alone.sort_values(key)[FIGURES].reset_index(drop=True),
        pooled.sort_values(key)[FIGURES].reset_index(drop=True),
    )


def test_the_same_seed_gives_the_same_to_the_byte(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        place = planted_workspace(tmp_path / name)
        run_experiment(place, ["tags"], QUICK)
        results = load_results(place)
        found.append(results.predictions["y_score"].to_numpy().tobytes())
        found.append(results.metrics[FIGURES].to_csv())
    assert found[0] == found[2]
    assert found[1] == found[3]


def test_stopping_keeps_the_state_and_the_next_call_ends_the_same(tmp_path: Path) -> None:
    whole = run_experiment(planted_workspace(tmp_path / "whole"), ["tags", "linear"], QUICK)
    place = planted_workspace(tmp_path / "broken")
    asked = []

    def after_a_while() -> bool:
        asked.append(1)
        return len(asked) > 4

    partial = run_experiment(place, ["tags", "linear"], QUICK, should_stop=after_a_while)
    assert len(partial) < len(whole)
    states = set(Ledger(place.ledger).table()["state"])
    assert states <= {"planned", "done"}
    rest = run_experiment(place, ["tags", "linear"], QUICK)
    pd.testing.assert_frame_equal(rest[FIGURES], whole[FIGURES])


def test_kill_9_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    arguments = ["--rows", "a,c,tags,linear", "--folds", "3", "--epochs", "2", "--grid", "one"]
    whole = planted_workspace(tmp_path / "whole", n_songs=300)
    assert _experiment(whole, arguments).returncode == 0
    place = planted_workspace(tmp_path / "broken", n_songs=300)
    process = subprocess.Popen(
        [sys.executable, "-m", "hitcore", "experiment", "run", str(place.path), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list(place.runs.glob("[!.]*/metrics.parquet")) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    done_before = {p: p.stat().st_mtime_ns for p in place.runs.glob("[!.]*/metrics.parquet")}
    assert 0 < len(done_before) < 12
    assert not [
        p for p in place.runs.iterdir() if p.name[0] != "." and not (p / "config.json").exists()
    ]
    finished = _experiment(place, arguments)
    assert finished.returncode == 0, finished.stderr
    assert {p: p.stat().st_mtime_ns for p in done_before} == done_before
    key = ["row", "fold"]
    tables = [load_results(w).metrics.sort_values(key)[FIGURES] for w in (whole, place)]
    pd.testing.assert_frame_equal(*(table.reset_index(drop=True) for table in tables))


def _experiment(place: Workspace, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hitcore", "experiment", "run", str(place.path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def test_run_table1_is_the_contract(workspace: Workspace) -> None:
    table = run_table1(workspace.path, rows=["release-year"], folds=3)
    assert {"row", "fold", "ndcg", "kendall", "spearman"} <= set(table.columns)
    assert table["fold"].tolist() == [0, 1, 2]


# --- baselines -----------------------------------------------------------------------------------


def test_baselines_look_at_training_songs_only(workspace: Workspace) -> None:
    songs = songs_of(workspace, QUICK, [variant("artist-prior")])
    split, y = songs.folds[0], np.asarray(songs.catalogue.hit_scores)
    for rule in (artist_prior, release_year):
        changed = y.copy()
        changed[split.test] = 0.5
        changed[split.valid] = 0.25
        np.testing.assert_array_equal(
            rule(songs.catalogue, y, split), rule(songs.catalogue, changed, split)
        )


# --- bad input -----------------------------------------------------------------------------------


def test_an_unknown_row_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ParameterError, match="row 'z' is unknown: one of a, b, c"):
        run_experiment(workspace, ["z"], QUICK)


def test_no_rows_are_refused(workspace: Workspace) -> None:
    with pytest.raises(ParameterError, match="no rows asked for"):
        run_experiment(workspace, [], QUICK)


def test_missing_features_name_the_command(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w", segments=("middle",))
    with pytest.raises(DataError, match=r"hitcore features build .* --highlight repetition"):
        run_experiment(place, ["c"], QUICK)


def test_more_folds_than_songs_are_refused(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="fold"):
        run_experiment(workspace, ["release-year"], replace(QUICK, n_folds=100))


def test_no_gpu_is_said(workspace: Workspace) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineError, match="cuda"):
        run_experiment(workspace, ["tags"], QUICK, device="cuda")


def test_a_workspace_of_another_version_is_refused(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w")
    marker = place.path / "workspace.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"version": 99}))
    with pytest.raises(DataError, match="version 99"):
        run_table1(place.path, rows=["release-year"], folds=3)


def test_a_locked_ledger_is_said(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", timeout_s=0.2)
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match="locked by another process"):
        ledger.table()
    other.execute("ROLLBACK")
    other.close()
    assert ledger.table().empty


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match="is no ledger"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_full_disk_gives_the_runs_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = planted_workspace(tmp_path / "w")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("hitcore.experiments.runs.write_table", full)
        with pytest.raises(DataError, match="No space left on device"):
            run_experiment(place, ["release-year"], QUICK)
    assert not [p for p in place.runs.iterdir() if not p.name.startswith(".")]
    assert len(run_experiment(place, ["release-year"], QUICK)) == 3


def test_a_run_that_is_still_being_written_is_not_seen(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w")
    run_experiment(place, ["release-year"], QUICK)
    finished = next(path for path in place.runs.iterdir() if path.name[0] != ".")
    before = len(load_results(place).metrics)
    shutil.copytree(finished, place.runs / f".{finished.name}.part")
    assert len(load_results(place).metrics) == before


def test_a_failed_run_says_why_and_the_others_are_kept(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w")
    songs = pd.read_parquet(place.songs)
    songs["artist_ids"] = [[f"a{i}"] for i in range(len(songs))]  # nobody has two songs
    songs.to_parquet(place.songs)
    with pytest.raises(DataError, match="3 of 6 runs failed, first row g"):
        run_experiment(place, ["g", "release-year"], QUICK)
    states = Ledger(place.ledger).table().set_index("row")["state"]
    assert set(states["release-year"]) == {"done"}


# --- the ledger ----------------------------------------------------------------------------------


def test_a_run_is_taken_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    other = Ledger(tmp_path / "ledger.sqlite")
    ledger.plan("x", {"r": {"row": "a", "fold": 0}})
    assert ledger.take(["r"]) == ["r"]
    assert other.take(["r"]) == []
    assert other.table()["state"].tolist() == ["running"]


def test_a_run_of_a_dead_worker_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.plan("x", {"r": {"row": "a", "fold": 0}})
    code = (
        "import os, pathlib; from hitcore.experiments import Ledger;"
        f"print(Ledger(pathlib.Path({str(path)!r})).take(['r'])); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert ledger.table()["state"].tolist() == ["interrupted"]
    assert ledger.take(["r"]) == ["r"]


def test_cancelled_runs_are_planned_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    runs = {name: {"row": "a", "fold": i} for i, name in enumerate(("r0", "r1"))}
    ledger.plan("x", runs)
    ledger.take(["r0"])
    assert ledger.cancel("x") == 2
    assert ledger.cancelling("r0")
    assert ledger.take(["r1"]) == []
    ledger.give_back("r0", cancelled=True)
    assert ledger.table()["state"].tolist() == ["cancelled", "cancelled"]
    assert ledger.plan("x", runs) == 2
    assert not ledger.cancelling("r0")


def test_plans_of_two_experiments_do_not_repeat_runs(workspace: Workspace) -> None:
    songs = songs_of(workspace, QUICK, [variant("a")])
    first = plan_runs(workspace, songs, [variant("a")], QUICK)
    both = plan_runs(workspace, songs, [variant("a"), variant("c")], QUICK)
    assert {run.run_id for run in first} < {run.run_id for run in both}
    other = plan_runs(workspace, songs, [variant("a")], replace(QUICK, seed=1))
    assert not {run.run_id for run in first} & {run.run_id for run in other}

"""Rows that share an input are trained as one stack where there is a GPU: the same results."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from planted import planted_workspace

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.experiments import ExperimentConfig, Grid, run_experiment, runner
from hitcore.experiments.ledger import Ledger
from hitcore.learning import TrainConfig

CONFIG = ExperimentConfig(
    n_folds=3,
    segment="repetition",
    grid=Grid(margins=(0.3,), rank_weights=(0.5, 0.8), tag_weights=(0.5,)),
    training=TrainConfig(max_epochs=2, batch_size=10),
)
ROWS = ["c", "e", "g", "i", "d"]
FIGURES = ["ndcg", "kendall", "spearman", "best_epoch"]


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Runs are put together as on a GPU; which rows stood in each stack."""
    together = runner._units
    seen: list[list[str]] = []

    def units(runs: Sequence[runner.Run], *, stacked: bool) -> list[list[runner.Run]]:
        found = list(together(runs, stacked=True))
        seen.extend(sorted({run.row.row for run in unit}) for unit in found if unit[0].row.trains)
        return found

    monkeypatch.setattr(runner, "_units", units)
    return seen


def figures(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["row", "fold"])[FIGURES].sort_index()


def test_rows_of_one_stack_equal_rows_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stacked: list[list[str]]
) -> None:
    together = figures(run_experiment(planted_workspace(tmp_path / "one"), ROWS, CONFIG))
    assert stacked == [["c", "e", "g", "i"], ["d"]]
    monkeypatch.undo()
    alone = figures(run_experiment(planted_workspace(tmp_path / "other"), ROWS, CONFIG))
    pd.testing.assert_frame_equal(together, alone)


def test_the_fault_of_one_row_costs_the_others_nothing(
    tmp_path: Path, stacked: list[list[str]]
) -> None:
    workspace: Workspace = planted_workspace(tmp_path / "one")
    songs = pd.read_parquet(workspace.songs)
    songs["artist_ids"] = [[f"artist {number}"] for number in range(len(songs))]
    songs.to_parquet(workspace.songs)
    with pytest.raises(DataError, match="3 of 6 runs failed, first row g"):
        run_experiment(workspace, ["c", "g"], CONFIG)
    table = Ledger(workspace.ledger).table()
    assert set(table.loc[table["state"] == "done", "row"]) == {"c"}
    assert stacked == [["c", "g"]]

"""Which ensembles that were trained here can be asked: those of every fold, and no others."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from planted import planted_workspace
from streamlit.testing.v1 import AppTest

from hitcore.catalogue.workspace import Workspace
from hitcore.experiments import ExperimentConfig, Grid, finished_rows, load_results, run_experiment
from hitcore.learning import TrainConfig
from hitcore.networks.models import load_model
from ui.frame import ensembles

COMPARE = Path(__file__).resolve().parents[2] / "pages" / "compare.py"
QUICK = ExperimentConfig(
    n_folds=3,
    grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.3,)),
    training=TrainConfig(batch_size=16, max_epochs=2, learning_rate=0.02),
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One whose row of tags is finished on three folds, and stands among the app's."""
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    monkeypatch.setattr(ensembles, "cache_folder", lambda: tmp_path / "cache")
    place = planted_workspace(tmp_path / "songs", segments=("repetition",))
    run_experiment(place, ["tags"], QUICK)
    return place


def cancelled(workspace: Workspace, config: ExperimentConfig, n_done: int) -> None:
    """An experiment that was cancelled when so many of its runs had ended."""
    before = set(workspace.runs.glob("[!.]*"))
    run_experiment(workspace, ["tags"], config)
    for folder in sorted(set(workspace.runs.glob("[!.]*")) - before)[n_done:]:
        shutil.rmtree(folder)


def offered() -> list[str]:
    return [each.name for each in ensembles.trained()]


@pytest.mark.parametrize(
    "other",
    [
        replace(QUICK, n_folds=5),
        replace(QUICK, seed=7),
        replace(QUICK, training=replace(QUICK.training, max_epochs=1)),
    ],
    ids=["folds", "seed", "epochs"],
)
def test_what_was_cancelled_later_does_not_hide_what_is_finished(
    workspace: Workspace, other: ExperimentConfig
) -> None:
    assert offered() == ["trained:songs:song:tags"]
    finished = finished_rows(workspace)[0]
    cancelled(workspace, other, n_done=2)
    assert offered() == ["trained:songs:song:tags"]
    pd.testing.assert_frame_equal(finished_rows(workspace)[0].metrics, finished.metrics)
    model = load_model(ensembles.model_of("trained:songs:song:tags"))
    assert len(model.networks) == QUICK.n_folds
    assert model.reference is not None
    assert len(model.reference.score) == 60


def test_a_later_one_that_is_finished_takes_its_place(workspace: Workspace) -> None:
    run_experiment(workspace, ["tags"], replace(QUICK, n_folds=5))
    assert offered() == ["trained:songs:song:tags"]
    assert len(load_model(ensembles.model_of(offered()[0])).networks) == 5


def test_a_row_without_all_of_its_folds_is_not_offered(workspace: Workspace) -> None:
    for run in load_results(workspace).metrics["run_id"][:1]:
        shutil.rmtree(workspace.run_folder(str(run)))
    assert offered() == []


def test_compare_offers_it_beside_those_that_ship(workspace: Workspace) -> None:
    app = AppTest.from_file(str(COMPARE), default_timeout=120).run()
    assert not app.exception
    models = app.button_group(key="variants").options
    titles = [str(getattr(option, "content", option)) for option in models]
    assert any("of songs" in title for title in titles), titles
    assert len(titles) == len(ensembles.titles())
    assert len(app.button_group(key="variants").value) == len(titles), "all to begin with"

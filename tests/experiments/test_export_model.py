"""From an experiment to a model in one step: all folds as one file, with what it is worth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from streamlit.testing.v1 import AppTest

from hitcore.catalogue.workspace import Workspace
from hitcore.cli import main
from hitcore.errors import DataError, ParameterError
from hitcore.experiments import ExperimentConfig, Grid, load_results, run_experiment
from hitcore.experiments.export import export_model
from hitcore.featurestore import create_scored
from hitcore.learning import TrainConfig
from hitcore.networks.cards import load_card
from hitcore.networks.models import load_model
from hitcore.taggers.names import TAG_NAMES

PAGES = Path(__file__).resolve().parents[2] / "pages"
CONFIG = ExperimentConfig(
    n_folds=3,
    fold_kind="artist",
    grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.5,)),
    training=TrainConfig(batch_size=8, learning_rate=0.02, max_epochs=4),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, np.ndarray]:
    """Forty songs with tags; the row of tags alone, trained on three folds. And the tags."""
    folder, rng, n = tmp_path_factory.mktemp("mine"), np.random.default_rng(5), 40
    ids, tags = np.array([f"s{i:02d}" for i in range(n)]), rng.uniform(0, 1, (n, 50))
    np.savez(
        folder / "f.npz", song_id=ids, tags=tags.astype(np.float32), preset="paper",
        tag_names=TAG_NAMES["musicnn-mtt"],
        log_mel=rng.uniform(0, 9, (n, 128, 323)).astype(np.float16),
    )  # fmt: skip
    popularity = np.round(90 * tags[:, 3] + 5)
    table = pd.DataFrame({"song_id": ids, "artist": [f"a{i % 13}" for i in range(n)]})
    table.assign(popularity=popularity).to_csv(folder / "songs.csv", index=False)
    made = create_scored(folder / "w", folder / "songs.csv", features=folder / "f.npz")
    run_experiment(made.workspace, ["tags", "ridge-tags"], CONFIG, device="cpu")
    return made.workspace, tags.astype(np.float32)


def test_the_reference_is_each_song_by_the_network_that_had_not_learned_from_it(
    trained: tuple[Workspace, np.ndarray], tmp_path: Path
) -> None:
    workspace, tags = trained
    results = load_results(workspace)
    made = export_model(workspace, results, "tags", tmp_path / "mine.safetensors")
    model = load_model(made.path)
    assert len(model.networks) == made.n_folds == 3
    assert model.reference is not None
    found = results.test_predictions("tags")
    assert made.n_songs == len(found) == len(model.reference.score) == 40
    rows = found["song_id"].str[1:].astype(int).to_numpy()
    with torch.no_grad():
        by_fold = model.fold_scores(None, torch.from_numpy(tags[rows])).numpy()
    own = by_fold[found["fold"].to_numpy(), np.arange(40)]
    np.testing.assert_allclose(own, model.reference.score, atol=0.02)  # weights of 16 bits
    assert model.domain is not None
    known = model.domain.distance(model.statistics(None, torch.from_numpy(tags)))
    assert (known <= 1).mean() >= 0.9
    unlike = torch.full((1, 50), 1e-3)  # its songs have tags from 0 to 1
    assert model.domain.distance(model.statistics(None, unlike))[0] > 1.5
    rho = spearmanr(found["y_true"], found["y_score"]).statistic
    assert made.spearman.estimate == pytest.approx(rho)
    assert made.spearman.low <= rho <= made.spearman.high
    assert f"Spearman {rho:.2f} [" in model.spec.limits
    assert "popularity" in model.spec.trained_on
    assert model.spec.target_transform is None  # points of popularity are no share of plays
    assert model.spec.highlight == "middle"


def test_the_card_travels_in_the_file_and_says_what_was_measured(
    trained: tuple[Workspace, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace, _ = trained
    results = load_results(workspace)
    made = export_model(workspace, results, "tags", tmp_path / "mine.safetensors")
    moved = tmp_path / "given to a colleague.safetensors"
    made.path.rename(moved)
    card = load_card(moved)
    assert card is not None
    figures = {figure.name: figure for figure in card.evaluation}
    rho = figures["Spearman's ρ, all songs"]
    assert (rho.value, rho.n) == (pytest.approx(made.spearman.estimate, abs=1e-4), 40)
    folds = results.folds_of("tags")
    assert figures["nDCG at the top 10 %, mean of 3 folds"].value == pytest.approx(
        folds["ndcg"].mean(), abs=1e-4
    )
    for figure in card.evaluation:
        assert figure.low is None or -1 <= figure.low <= figure.value <= (figure.high or 0) <= 1
    assert "40 songs of the catalogue w" in card.training_data
    assert "tags: musicnn-mtt" in card.training_data.lower()
    assert "its popularity" in card.label
    assert "at most 4 epochs" in card.training_procedure
    assert "folds that share no artist" in card.evaluation_data
    monkeypatch.setattr("sys.argv", ["hitcore", "weights", "card", str(moved)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert capsys.readouterr().out == card.as_markdown()
    monkeypatch.setattr("sys.argv", ["hitcore", "weights", "card", str(tmp_path / "no")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    app = AppTest.from_file(str(PAGES / "models.py"), default_timeout=120).run()
    app.file_uploader(key="model-file").upload(moved.name, moved.read_bytes()).run()
    assert not app.exception
    words = " ".join(each.value for each in app.markdown).replace("\\", "")
    assert "40 songs of the catalogue w" in words
    app.file_uploader(key="model-file").upload(moved.name, b"no model").run()
    assert app.error


def test_what_cannot_be_exported_is_said_in_a_line(
    trained: tuple[Workspace, np.ndarray], tmp_path: Path
) -> None:
    workspace, _ = trained
    results = load_results(workspace)
    with pytest.raises(DataError, match="trains no network"):
        export_model(workspace, results, "ridge-tags", tmp_path / "m.safetensors")
    with pytest.raises(DataError, match="no results yet"):
        export_model(workspace, results, "d", tmp_path / "m.safetensors")
    with pytest.raises(ParameterError, match=r"ends in \.safetensors"):
        export_model(workspace, results, "tags", tmp_path / "m.bin")
    metrics = results.metrics[results.metrics["fold"] < 2]
    fewer = type(results)(metrics, results.predictions, results.history)
    with pytest.raises(DataError, match="2 of its 3 folds"):
        export_model(workspace, fewer, "tags", tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_model_and_says_what_it_is_worth(
    trained: tuple[Workspace, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "mine.safetensors"
    words = ["experiment", "export", str(trained[0].path), "--row", "tags", "--out", str(file)]
    monkeypatch.setattr("sys.argv", ["hitcore", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    out = capsys.readouterr().out
    assert "3 networks" in out
    assert "artist-disjoint" in out
    assert json.loads(json.dumps(load_model(file).spec.to_dict()))["name"] == "mine"
    monkeypatch.setattr("sys.argv", ["hitcore", *words[:-2]])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2

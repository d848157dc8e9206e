"""Rows without a network, and rows of attributes: rules, and whole runs on small workspaces."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from hitcore.catalogue.songs import Catalogue, Song, Split
from hitcore.catalogue.workspace import Workspace
from hitcore.commands.experiment import rows_of
from hitcore.errors import DataError
from hitcore.experiments import ExperimentConfig, Grid, load_results, run_experiment
from hitcore.experiments.baselines import PENALTIES, RULES, BaselineInputs, genres_of, ridge
from hitcore.experiments.lambdamart import grades, lambda_mart
from hitcore.featurestore import Features, create_scored
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.learning import TrainConfig
from hitcore.taggers.names import TAG_NAMES

ROWS = Split(np.arange(60), np.arange(60, 80), np.arange(80, 100))


def linear_world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, 6)) * [1, 10, 0.1, 1, 1, 0] + 3
    return x, x @ [2.0, 0.3, 5.0, 0, 0, 0] + rng.normal(size=100)


def test_ridge_is_scikit_learns_at_the_penalty_that_validation_chooses() -> None:
    x, y = linear_world()
    z = (x - x[ROWS.train].mean(0)) / np.where(x[ROWS.train].std(0) > 0, x[ROWS.train].std(0), 1)
    errors, scores = [], []
    for penalty in PENALTIES:
        model = Ridge(alpha=penalty * len(ROWS.train)).fit(z[ROWS.train], y[ROWS.train])
        scores.append(model.predict(z))
        errors.append(np.mean((scores[-1] - y)[ROWS.valid] ** 2))
    np.testing.assert_allclose(ridge(x, y, ROWS), scores[int(np.argmin(errors))], rtol=1e-8)


def test_ridge_sees_no_truth_of_test_songs_and_no_scale_of_inputs() -> None:
    x, y = linear_world()
    found = ridge(x, y, ROWS)
    other = y.copy()
    other[ROWS.test] = np.random.default_rng(1).permutation(other[ROWS.test]) * 100
    np.testing.assert_array_equal(ridge(x, other, ROWS), found)
    np.testing.assert_allclose(ridge(x * 7 - 2, y, ROWS), found, rtol=1e-6)
    moved = x.copy()
    moved[ROWS.test] += 50  # features of test songs take no part in the standardisation
    np.testing.assert_array_equal(ridge(moved, y, ROWS)[:80], found[:80])


def test_loudness_genre_and_decade_say_what_was_planted() -> None:
    songs = Catalogue.from_songs(
        Song(f"s{i}", genre=("Pop/Rock; Rap" if i % 2 else "Jazz"), hit_score=i / 200)
        for i in range(100)
    )
    levels = np.linspace(1, 5, 100)[:, None, None] * np.ones((1, 4, 8))
    features = Features(
        tuple(songs.song_ids), levels.astype(np.float16), None, (), FeatureConfig(tagger=None)
    )
    y = np.where(np.arange(100) % 2, 1.0, 0.0)
    inputs = BaselineInputs(songs, y, ROWS, features)
    np.testing.assert_allclose(RULES["loudness"](inputs), levels[:, 0, 0], rtol=1e-3)
    by_genre = RULES["genre"](inputs)
    # 30 songs of each genre, and 2 of the mean of ½ that they are shrunk toward.
    np.testing.assert_allclose(by_genre, np.where(np.arange(100) % 2, 31 / 32, 1 / 32))
    assert np.ptp(RULES["decade"](inputs)) == 0  # no song has a date
    assert genres_of(songs)[1] == ("Pop/Rock", "Rap")
    with pytest.raises(DataError, match="have no tags"):
        RULES["ridge-tags"](inputs)


def test_lambdamart_ranks_what_can_be_ranked() -> None:
    pytest.importorskip("lightgbm", reason="LightGBM is of the extra `benchmark`")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 3))
    truth = np.clip(x[:, 0] + 0.3 * rng.normal(size=1200), 0, None)
    split = Split(np.arange(800), np.arange(800, 1000), np.arange(1000, 1200))
    scores = lambda_mart(x, truth, split)
    assert stats.spearmanr(scores[split.test], truth[split.test]).statistic > 0.8
    np.testing.assert_array_equal(lambda_mart(x, truth, split), scores)
    assert grades(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Sixty songs, two of them silent, whose popularity follows an attribute and a tag."""
    folder = tmp_path_factory.mktemp("real")
    rng = np.random.default_rng(3)
    n = 60
    popularity = rng.permutation(n) + 10
    tags = np.full((n, 50), 0.02, np.float32)
    tags[:, 7] = popularity / 100
    ids = np.array([f"s{i}" for i in range(n)])
    np.savez(
        folder / "f.npz", song_id=ids[2:], tags=tags[2:], tag_names=TAG_NAMES["musicnn-mtt"],
        log_mel=rng.uniform(0, 9, (n - 2, 128, 323)).astype(np.float16),
    )  # fmt: skip
    table = pd.DataFrame({"song_id": ids, "artist": [f"a{i % 20}" for i in range(n)]})
    table = table.assign(popularity=popularity, energy=popularity + rng.normal(0, 3, n))
    table.assign(tempo=rng.uniform(60, 180, n)).to_csv(folder / "songs.csv", index=False)
    made = create_scored(
        folder / "w", folder / "songs.csv", features=folder / "f.npz",
        attributes=["energy", "tempo"],
    )  # fmt: skip
    return made.workspace


def test_rows_of_sound_leave_silent_songs_out_and_learn_points_as_they_are(
    workspace: Workspace,
) -> None:
    config = ExperimentConfig(n_folds=3, fold_kind="artist")
    settled = config.for_workspace(workspace)
    assert (settled.target, settled.segment) == ("identity", "given")
    metrics = run_experiment(workspace, ["ridge-tags", "loudness"], config, device="cpu")
    assert set(metrics["row"]) == {"ridge-tags", "loudness"}
    found = load_results(workspace).test_predictions("ridge-tags")
    assert set(found["song_id"]) == {f"s{i}" for i in range(2, 60)}
    assert stats.spearmanr(found["y_score"], found["y_true"]).statistic > 0.9


def test_rows_of_attributes_take_every_song_and_the_tag_network(workspace: Workspace) -> None:
    config = ExperimentConfig(
        n_folds=3,
        grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.5,)),
        training=TrainConfig(batch_size=8, learning_rate=0.02, max_epochs=15, patience=15),
    )
    rows = ["attr-linear", "attr-rating", "attr-ab-artist"]
    metrics = run_experiment(workspace, rows, config, device="cpu")
    assert set(metrics["row"]) == {*rows, "attr-ab", "attr-artist"}
    results = load_results(workspace, {"fold_kind": "song"})
    for row in rows[:2]:
        found = results.test_predictions(row)
        assert found["song_id"].nunique() == 60
        assert stats.spearmanr(found["y_score"], found["y_true"]).statistic > 0.7


def test_what_a_workspace_lacks_is_said_in_a_line(tmp_path: Path) -> None:
    table = pd.DataFrame({"song_id": list("abcdef"), "popularity": range(6)})
    table.to_csv(tmp_path / "songs.csv", index=False)
    bare = create_scored(tmp_path / "w", tmp_path / "songs.csv").workspace
    with pytest.raises(DataError, match=r"no song of .* has sound, which these rows need"):
        run_experiment(bare, ["c"], ExperimentConfig(n_folds=3))
    with pytest.raises(DataError, match="has no attributes: make it with"):
        run_experiment(bare, ["attr-linear"], ExperimentConfig(n_folds=3))


def test_the_presets_name_rows() -> None:
    assert {"c", "l", "ridge-sound", "loudness", "genre"} < set(rows_of("real", None))
    assert not {"a", "b", "artist-prior"} & set(rows_of("real", None))
    assert {"attr-naive", "attr-ab-artist", "decade"} < set(rows_of("attributes", None))

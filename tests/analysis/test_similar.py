"""Similar songs: distances that are what they say, and a map that does not move."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace
from sklearn.decomposition import PCA

from hitcore.analysis.similar import SongLibrary, nearest, song_map
from hitcore.analysis.typical import typical_song
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.featurestore.store import FeatureStore


def library(n_songs: int = 40, seed: int = 0, embedded: bool = True) -> SongLibrary:
    generator = np.random.default_rng(seed)
    popularity = generator.uniform(0, 1, n_songs)
    popularity[3] = np.nan
    return SongLibrary(
        ids=tuple(f"id{i}" for i in range(n_songs)),
        titles=tuple(f"Song {i}" for i in range(n_songs)),
        tags=generator.uniform(0.01, 0.9, (n_songs, 5)),
        tag_names=tuple("abcde"),
        embeddings=generator.normal(0, 3, (n_songs, 8)) if embedded else None,
        popularity=popularity,
        sources=tuple(f"demo:0:{i}" for i in range(n_songs)),
    )


@pytest.mark.parametrize("embedded", [True, False])
def test_a_song_is_nearest_to_itself_and_then_by_distance(embedded: bool) -> None:
    songs = library()
    embedding = songs.embeddings[7] if embedded else None
    found = nearest(songs, songs.tags[7], embedding, 40)
    assert found[0].song_id == "id7"
    assert found[0].distance == pytest.approx(0, abs=1e-9)
    assert found[0].source == "demo:0:7"
    distances = [song.distance for song in found]
    assert distances == sorted(distances)
    assert nearest(songs, songs.tags[7], embedding, 1, without=["id7"])[0].song_id != "id7"
    assert next(song for song in found if song.song_id == "id3").popularity is None


def test_one_is_the_distance_of_two_songs_of_the_library() -> None:
    songs = library(60)
    squares = []
    for i in range(60):
        found = nearest(songs, songs.tags[i], songs.embeddings[i], 60)
        squares += [song.distance**2 for song in found]
    assert np.sqrt(np.mean(squares)) == pytest.approx(1, rel=1e-6)


def test_tags_and_embedding_count_alike() -> None:
    songs = library(60)
    mean_tags = 1 / (1 + np.exp(-np.log(songs.tags / (1 - songs.tags)).mean(axis=0)))
    middle = songs.embeddings.mean(axis=0)
    # From the middle of all songs, the mean square distance is half of that of two songs.
    both = nearest(songs, mean_tags, middle, 60)
    assert np.mean([song.distance**2 for song in both]) == pytest.approx(0.5, rel=1e-6)
    # Half of it is the tags' part: a library whose embeddings are all alike has lost the rest.
    alike = replace(songs, embeddings=np.zeros((60, 8)))
    half = nearest(alike, mean_tags, np.zeros(8), 60)
    assert np.mean([song.distance**2 for song in half]) == pytest.approx(0.25, rel=1e-6)


def test_the_map_is_that_of_principal_components() -> None:
    songs = library(embedded=False)
    found = song_map(songs, songs.tags[:2])
    odds = np.log(songs.tags / (1 - songs.tags))
    oracle = PCA(2).fit(odds)
    expected = oracle.transform(odds)
    scale = np.linalg.norm(expected[:, 0]) / np.linalg.norm(found.points[:, 0])
    np.testing.assert_allclose(np.abs(found.points) * scale, np.abs(expected), atol=1e-8)
    np.testing.assert_allclose(found.explained, oracle.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(found.here, found.points[:2], atol=1e-9)
    again = song_map(songs, np.full((1, 5), 0.99))
    np.testing.assert_array_equal(again.points, found.points)
    assert set(found.ends[0]) <= set("abcde")


def test_a_library_comes_back_from_its_file(tmp_path: Path) -> None:
    songs = library()
    songs.save(tmp_path / "songs.safetensors")
    back = SongLibrary.load(tmp_path / "songs.safetensors")
    assert (back.ids, back.titles, back.sources) == (songs.ids, songs.titles, songs.sources)
    np.testing.assert_allclose(back.tags, songs.tags, atol=1e-3)
    np.testing.assert_allclose(back.popularity, songs.popularity)


def test_a_workspace_is_a_library(tmp_path: Path) -> None:
    workspace = planted_workspace(tmp_path / "w", n_songs=30)
    songs = SongLibrary.of_workspace(workspace)
    table = pd.read_parquet(workspace.hit_scores).set_index("song_id")["hit_score"]
    assert len(songs.ids) == 30
    assert songs.popularity[4] == table[songs.ids[4]]
    store = FeatureStore(workspace, store_config(workspace))
    np.testing.assert_allclose(songs.tags, store.load(list(songs.ids)).tags)
    assert nearest(songs, songs.tags[4])[0].song_id == songs.ids[4]
    bare = Workspace.create(tmp_path / "bare")
    with pytest.raises(DataError, match="features build"):
        SongLibrary.of_workspace(bare)


def store_config(workspace: Workspace) -> FeatureConfig:
    path = sorted(workspace.features.glob("*/config.json"))[0]
    return FeatureConfig(**json.loads(path.read_text()))


def test_what_does_not_fit_is_refused() -> None:
    songs = library()
    with pytest.raises(ParameterError, match="5"):
        nearest(songs, [0.5])
    with pytest.raises(ParameterError, match="embedding"):
        nearest(songs, songs.tags[0], [1.0])
    with pytest.raises(DataError, match="no songs"):
        SongLibrary((), (), np.empty((0, 1)), ("a",))


def test_one_song_alone_makes_a_library_and_a_map() -> None:
    one = SongLibrary(("a",), ("A",), np.array([[0.2, 0.5]]), ("x", "y"))
    assert nearest(one, [0.2, 0.5])[0].distance == 0
    assert np.isfinite(song_map(one, [[0.9, 0.1]]).here).all()


def test_the_typical_song_fits_the_shipped_models() -> None:
    clips = typical_song("clips")
    assert len(clips.tags) == 50
    assert clips.spectrum("paper").shape == clips.spectrum("release").shape == (128,)
    assert 0 < clips.tags_for(["guitar"])[0] < 1
    with pytest.raises(ParameterError, match="zither"):
        clips.tags_for(["zither"])
    with pytest.raises(ParameterError, match="known are"):
        typical_song("nowhere")

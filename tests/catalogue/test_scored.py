"""Catalogues of one number per song: with features, attributes or neither; what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hitcore.catalogue.attributes import read_attributes
from hitcore.catalogue.scores import read_scores, scale_of
from hitcore.catalogue.songs import Catalogue
from hitcore.errors import DataError, HitcoreError, ParameterError
from hitcore.evaluation.metrics import ndcg_at
from hitcore.featurestore import FeatureStore, create_scored, given_config, read_given
from hitcore.taggers.names import TAG_NAMES

TAGS = TAG_NAMES["musicnn-mtt"]
N = 12


def table(folder: Path, name: str = "songs.csv", **columns: object) -> Path:
    """Twelve songs of four artists with a popularity; columns replace or add."""
    content = {
        "song_id": [f"s{i}" for i in range(N)],
        "artist": [f"Artist {i % 4}" for i in range(N)],
        "year": [1980 + i for i in range(N)],
        "popularity": [5 * i + 1 for i in range(N)],
        "tempo": [90.5 + i for i in range(N)],
        **columns,
    }
    path = folder / name
    frame = pd.DataFrame({key: value for key, value in content.items() if value is not None})
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def features(folder: Path, **arrays: object) -> Path:
    """Features of the twelve songs; arrays replace or add, None leaves out."""
    rng = np.random.default_rng(0)
    content = {
        "song_id": np.array([f"s{i}" for i in range(N)]),
        "log_mel": rng.uniform(0, 9, (N, 128, 323)).astype(np.float16),
        "tags": rng.uniform(0, 1, (N, 50)).astype(np.float32),
        "tag_names": np.array(TAGS),
        "preset": "paper",
        **arrays,
    }
    path = folder / "features.npz"
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def test_a_table_and_features_become_a_workspace(tmp_path: Path) -> None:
    npz = features(tmp_path, song_id=np.array([f"s{i}" for i in reversed(range(N))]))
    made = create_scored(tmp_path / "w", table(tmp_path), features=npz, attributes=["tempo"])
    catalogue = Catalogue.read(made.workspace.songs, made.workspace.hit_scores)
    assert catalogue["s3"].hit_score == pytest.approx(0.16)
    assert (catalogue["s3"].artist, catalogue["s3"].artist_ids) == ("Artist 3", ("Artist 3",))
    assert str(catalogue["s3"].release_date) == "1983-01-01"
    config = given_config(made.workspace)
    assert config is not None
    assert (config.segment, config.mel, config.tagger) == ("given", "paper", "musicnn-mtt")
    store = FeatureStore(made.workspace, config)
    assert store.verify() == []
    loaded, source = store.load(["s0", "s7"]), np.load(npz)
    np.testing.assert_array_equal(loaded.mel, source["log_mel"][[11, 4]])
    np.testing.assert_array_equal(loaded.tags, source["tags"][[11, 4]])
    assert loaded.tag_names == TAGS
    assert read_attributes(made.workspace).of(["s1"]).values.tolist() == [[91.5]]


def test_bytes_with_a_scale_are_the_log_mel(tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 200, (N, 128, 323)).astype(np.uint8)
    npz = features(tmp_path, log_mel=None, log_mel_u8=levels, scale=np.float32(0.05), preset=None)
    found = read_given(npz)
    assert found.mel == pytest.approx(levels * 0.05, abs=4e-3)  # half precision
    assert any("taken for 'paper'" in note for note in found.notes)


@pytest.mark.parametrize(
    ("column", "values", "unit", "divisor", "target"),
    [
        ("popularity", [0, 50, 100], "points", 100, "identity"),
        ("listens", [0, 1_000_000, 3_000_000], "count", 4_000_000, "neg_inv_log10"),
        ("weeks_on_chart", [0, 3, 90], "weeks", 90, "identity"),
        ("hit_score", [0, 1e-6, 0.5], "share", 1, "neg_inv_log10"),
        ("score", [0, 2.5, 7.5], "number", 7.5, "identity"),
    ],
)
def test_each_kind_of_number_has_its_scale(
    tmp_path: Path, column: str, values: list[float], unit: str, divisor: float, target: str
) -> None:
    path = tmp_path / "songs.csv"
    pd.DataFrame({"song_id": ["a", "b", "c"], column: values}).to_csv(path, index=False)
    found = read_scores(path)
    assert (found.scale.unit, found.scale.divisor, found.scale.target) == (unit, divisor, target)
    scores = found.songs.set_index("song_id")["hit_score"][["a", "b", "c"]].to_numpy()
    np.testing.assert_allclose(scores * divisor, values)
    # Dividing changes neither who is in group A nor nDCG.
    raw, guess = np.asarray(values, float), [0.1, 0.9, 0.5]
    assert ((scores > scores.mean()) == (raw > raw.mean())).all()
    assert ndcg_at(scores, guess, 2) == pytest.approx(ndcg_at(raw, guess, 2))
    made = create_scored(tmp_path / "w", path)
    assert scale_of(made.workspace) == found.scale


def test_the_column_is_found_or_named(tmp_path: Path) -> None:
    both = table(tmp_path, listens=range(N))
    with pytest.raises(DataError, match=r"popularity, listens\): name it with --column"):
        read_scores(both)
    assert read_scores(both, column="listens").scale.unit == "count"
    parquet = table(tmp_path, "songs.parquet", known=[True, False] * (N // 2))
    assert read_scores(parquet).songs["hit_score"].max() == pytest.approx(0.56)
    assert read_scores(parquet, column="tempo").scale.unit == "number"


def wrong(**columns: object) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {"scores": table(folder, **columns)}


def wrong_features(**arrays: object) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {"scores": table(folder), "features": features(folder, **arrays)}


def nan_mel() -> np.ndarray:
    mel = np.ones((N, 128, 323), np.float16)
    mel[4, 3, 2] = np.nan
    return mel


SWAPPED = np.array([TAGS[1], TAGS[0], *TAGS[2:]])
BAD = {
    "text": (wrong(popularity=["many", *range(1, N)]), "popularity of song 's0' is 'many'"),
    "negative": (wrong(popularity=[-1, *range(1, N)]), "is '-1'"),
    "too large": (wrong(popularity=[1e12, *range(1, N)]), "a number from 0 to 100"),
    "too many plays": (wrong(popularity=None, plays=[10**12, *range(1, N)]), "0 to 1e\\+11"),
    "nan": (wrong(popularity=[np.nan, *range(1, N)]), "is (empty|'nan')"),
    "all equal": (wrong(popularity=[7] * N), "all equal: there is nothing to rank"),
    "twice": (wrong(song_id=["s1", *[f"s{i}" for i in range(1, N)]]), "stands at"),
    "attribute of text": (
        lambda folder: {"scores": table(folder, tempo=["fast"] * N), "attributes": ["tempo"]},
        "tempo of song 's0' is 'fast'",
    ),
    "attribute absent": (
        lambda folder: {"scores": table(folder), "attributes": ["mood"]},
        "no column 'mood'",
    ),
    "another preset": (wrong_features(preset="release"), "preset is 'release'"),
    "decibels": (
        wrong_features(log_mel=np.full((N, 128, 323), -40.0, np.float32)),
        "another preset",
    ),
    "nan in mel": (wrong_features(log_mel=nan_mel()), "row 4 is NaN"),
    "frames": (wrong_features(log_mel=np.ones((N, 128, 320), np.float16)), "323 frames"),
    "order of tags": (wrong_features(tag_names=SWAPPED), "number 0 is 'classical', 'guitar'"),
    "other tags": (wrong_features(tag_names=np.array(["x"] * 50)), "50 tag_names that are not"),
    "nan in tags": (wrong_features(tags=np.full((N, 50), np.nan, np.float32)), "NaN or outside"),
    "ids without sound": (
        wrong_features(song_id=np.array([f"t{i}" if i < 2 else f"s{i}" for i in range(N)])),
        "2 of 12 songs of songs.csv have no sound in features.npz",
    ),
    "ids twice": (
        wrong_features(song_id=np.array(["s1", *[f"s{i}" for i in range(1, N)]])),
        "stands twice",
    ),
    "no npz": (
        lambda folder: {"scores": table(folder), "features": table(folder, "features.npz.csv")},
        "cannot be read as NPZ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_one_line_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    make, said = BAD[case]
    given = make(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(HitcoreError, match=said) as caught:
        create_scored(tmp_path / "w", **given)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_songs_without_sound_stay_where_rows_need_none(tmp_path: Path) -> None:
    npz = features(tmp_path, song_id=np.array([f"x{i}" if i < 2 else f"s{i}" for i in range(N)]))
    songs = table(tmp_path)
    made = create_scored(tmp_path / "w", songs, features=npz, attributes=["tempo"])
    assert (made.n_songs, made.n_with_sound, made.n_left_out) == (N, N - 2, 0)
    fewer = create_scored(tmp_path / "v", songs, features=npz, skip_bad_rows=True)
    assert (fewer.n_songs, fewer.n_with_sound, fewer.n_left_out) == (N - 2, N - 2, 2)
    with pytest.raises(ParameterError, match="not both"):
        create_scored(tmp_path / "u", songs, features=npz, audio=tmp_path)


def test_the_note_beside_the_scores_survives_or_says_so(tmp_path: Path) -> None:
    made = create_scored(tmp_path / "w", table(tmp_path))
    note = made.workspace.path / "scores.json"
    assert json.loads(note.read_text())["unit"] == "points"
    note.write_text('{"column": "x", "unit": "wishes", "divisor": 1}')
    with pytest.raises(HitcoreError, match="unit 'wishes'"):
        scale_of(made.workspace)

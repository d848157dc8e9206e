"""Training a tagger on clips in MagnaTagATune's format whose tags are true by construction."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from hitcore.audio import load_audio
from hitcore.errors import DataError, ParameterError
from hitcore.taggers import load_tagger
from hitcore.taggers.training import (
    Inputs,
    TaggerConfig,
    TaggerFit,
    prepare_inputs,
    score_tags,
    train_tagger,
)
from hitcore.taggers.training.magnatagatune import (
    PARTS,
    SYNONYMS,
    _artist_split,
    read_magnatagatune,
)

RATE = 16_000
TAGS = ("guitar", "drums", "vocal", "fast", "slow")
FOLDERS = "0123456789abcdef"


# --- a small MagnaTagATune whose tags are true ---------------------------------------------------


def note(kind: str, draw: np.random.Generator, n: int) -> np.ndarray:
    """A plucked string, a drum or a sung vowel of n samples."""
    t = np.arange(n) / RATE
    if kind == "drums":
        return draw.standard_normal(n) * np.exp(-t * 40)
    pitch = 110 * 2 ** (draw.integers(0, 24) / 12)
    if kind == "guitar":
        partials = range(1, 9)
        return sum(np.sin(2 * np.pi * k * pitch * t) / k * np.exp(-t * 3 * k) for k in partials)
    wobble = pitch * t + 0.4 * np.sin(2 * np.pi * 5.5 * t)
    gains = {k: np.exp(-(((k * pitch - 800) / 500) ** 2)) + 0.1 for k in range(1, 20)}
    return sum(gain * np.sin(2 * np.pi * k * wobble) for k, gain in gains.items()) / 4


def clip(kind: str, fast: bool, draw: np.random.Generator, seconds: float) -> np.ndarray:
    """A phrase of at most 7 seconds, repeated."""
    sound = np.zeros(round(min(seconds, 7.3) * RATE))
    gap = round(RATE * (0.18 if fast else 0.9) * draw.uniform(0.9, 1.1))
    for start in range(0, len(sound), gap):
        n = min(gap * 2 if kind == "guitar" else gap, len(sound) - start)
        sound[start : start + n] += note(kind, draw, n)
    sound *= draw.uniform(0.05, 0.7) / (np.abs(sound).max() + 1e-9)
    whole = np.resize(sound, round(seconds * RATE))
    return whole + 0.001 * draw.standard_normal(len(whole))


def write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([header, *rows])


def write_magnatagatune(root: Path, n_per_folder: int, seconds: float) -> Path:
    draw = np.random.default_rng(0)
    annotations, info = [], []
    for i in range(16 * n_per_folder):
        folder = FOLDERS[i % 16]
        kind = TAGS[draw.integers(3)]
        fast = bool(draw.integers(2))
        path = f"{folder}/clip-{i}.mp3"
        (root / folder).mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, clip(kind, fast, draw, seconds), RATE, format="MP3")
        given = {kind, "fast" if fast else "slow"}
        annotations.append([str(i), *(str(int(tag in given)) for tag in TAGS), path])
        info.append([str(i), f"artist {i // 3}", path])
    write_table(root / "annotations_final.csv", ["clip_id", *TAGS, "mp3_path"], annotations)
    write_table(root / "clip_info_final.csv", ["clip_id", "artist", "mp3_path"], info)
    return root


def table(root: Path) -> tuple[list[str], list[list[str]]]:
    lines = (root / "annotations_final.csv").read_text().splitlines()
    header, *rows = ([cell.strip('"') for cell in line.split("\t")] for line in lines)
    return header, rows


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trained_tagger_knows_what_it_hears(tmp_path: Path) -> None:
    root = write_magnatagatune(tmp_path / "mtt", n_per_folder=4, seconds=29.2)
    clips = read_magnatagatune(root)
    config = TaggerConfig("jynet", n_epochs=7, batch_size=8)
    result = train_tagger(clips, tmp_path / "mine.safetensors", config, n_workers=2)
    print(f"held-out macro ROC-AUC {result.test.macro_roc_auc:.3f}")
    assert result.test.macro_roc_auc > 0.9
    assert result.test.macro_pr_auc > 0.8
    assert result.skipped == {}
    # The file alone does what the training measured.
    tagger = load_tagger(result.path)
    test = clips.splits["test"]
    means = [tagger.tag(load_audio(clips.paths[i], RATE)).mean() for i in test]
    again = score_tags(clips.tag_names, clips.labels[test], means)
    assert again.macro_roc_auc > 0.9


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 clips of one second: for everything but learning."""
    return write_magnatagatune(tmp_path_factory.mktemp("tiny"), n_per_folder=1, seconds=1.0)


@pytest.fixture(scope="module")
def inputs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return prepare_inputs(
        read_magnatagatune(tiny), "jynet", tmp_path_factory.mktemp("inputs"), n_workers=0
    )


def test_a_broken_run_goes_on_as_if_it_had_not_been(inputs: Inputs, tmp_path: Path) -> None:
    two, one = TaggerConfig(n_epochs=2), TaggerConfig(n_epochs=1)
    whole = TaggerFit(inputs, TAGS, two, tmp_path / "whole.safetensors")
    whole.run()
    broken = tmp_path / "broken.safetensors"
    TaggerFit(inputs, TAGS, one, broken).run()
    resumed = TaggerFit(inputs, TAGS, two, broken)
    assert len(resumed.history) == 1
    resumed.run()
    for ours, expected in zip(resumed.history, whole.history, strict=True):
        np.testing.assert_equal(asdict(ours), asdict(expected))  # NaN equals NaN
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[key], value, rtol=0, atol=0)
    with pytest.raises(DataError, match="checkpoint of another training"):
        TaggerFit(inputs, TAGS, TaggerConfig(seed=1), broken)
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(DataError, match="not a readable checkpoint"):
        TaggerFit(inputs, TAGS, two, broken)


def test_musicnn_takes_a_step(tiny: Path, tmp_path: Path) -> None:
    clips = read_magnatagatune(tiny)
    sizes = {"train": 2, "valid": 1, "test": 2}
    few = replace(clips, splits={name: clips.splits[name][:n] for name, n in sizes.items()})
    config = TaggerConfig("musicnn", n_epochs=1, batch_size=2)
    result = train_tagger(few, tmp_path / "m.safetensors", config, n_workers=0)
    assert len(result.history) == 1
    assert load_tagger(result.path).tag_names == clips.tag_names


def test_rare_tags_weigh_more(inputs: Inputs, tmp_path: Path) -> None:
    share = inputs.labels[inputs.splits["train"]].mean(axis=0)
    for balance in (0.0, 0.5, 1.0):
        config = TaggerConfig(balance=balance)
        fit = TaggerFit(inputs, TAGS, config, tmp_path / "none.safetensors")
        expected = np.minimum(((1 - share) / share) ** balance, 20)
        np.testing.assert_allclose(fit._class_weight, expected, rtol=1e-4)


def test_unreadable_clips_are_counted_and_left_out(tiny: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny, tmp_path / "mtt"))
    (root / "3" / "clip-3.mp3").write_bytes(b"no sound")
    (root / "4" / "clip-4.mp3").write_bytes(b"")
    clips = read_magnatagatune(root)
    inputs = prepare_inputs(clips, "jynet", tmp_path / "inputs", n_workers=0)
    assert inputs.skipped == {"clip unreadable": 2}
    assert "3" not in inputs.clip_ids
    names = {name: [inputs.clip_ids[i] for i in rows] for name, rows in inputs.splits.items()}
    assert names["valid"] == ["12"]
    assert names["test"] == ["13", "14", "15"]
    seen: list[tuple[int, int]] = []
    again = prepare_inputs(
        clips, "jynet", tmp_path / "inputs", on_progress=lambda *at: seen.append(at)
    )
    assert seen == []  # nothing is done twice
    np.testing.assert_array_equal(again.labels, inputs.labels)
    (root / "c" / "clip-12.mp3").write_bytes(b"no sound")
    with pytest.raises(DataError, match="no clip of valid could be read"):
        prepare_inputs(clips, "jynet", tmp_path / "anew", n_workers=0)


@pytest.mark.parametrize(
    "settings",
    [{"architecture": "rnn"}, {"n_epochs": 0}, {"balance": 2.0}, {"learning_rate": float("nan")}],
)
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(settings))):
        TaggerConfig(**settings)


def test_the_command(tiny: Path, tmp_path: Path) -> None:
    words = ["train", "tagger", "--data", str(tiny), "--out", str(tmp_path / "mine.safetensors")]
    done = command(*words, "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {row["tag"] for row in document["test"]["tags"]} == set(TAGS)
    assert len(document["history"]) == 1
    assert Path(document["path"]).exists()
    bad = command(
        "train", "tagger", "--data", str(tmp_path), "--out", str(tmp_path / "x.safetensors")
    )
    assert (bad.returncode, len(bad.stderr.splitlines())) == (2, 1)
    assert "annotations_final.csv does not exist" in bad.stderr


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hitcore", *words], capture_output=True, text=True, check=False
    )


# --- scores --------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(2, 60))
def test_scores_equal_scikit_learns(seed: int, n_clips: int) -> None:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, (n_clips, 3))
    values = draw.integers(0, 6, (n_clips, 3)) / 5  # many ties
    scores = score_tags(("a", "b", "c"), labels, values)
    for i in range(3):
        if 0 < labels[:, i].sum() < n_clips:
            assert scores.roc_auc[i] == pytest.approx(roc_auc_score(labels[:, i], values[:, i]))
            expected = average_precision_score(labels[:, i], values[:, i])
            assert scores.pr_auc[i] == pytest.approx(expected)
        else:
            assert np.isnan(scores.roc_auc[i])
            assert np.isnan(scores.pr_auc[i])
    json.dumps(scores.to_dict(), allow_nan=False)


def test_scores_of_other_shapes_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"\(n_clips, 2\)"):
        score_tags(("a", "b"), np.zeros((3, 2)), np.zeros((2, 2)))


# --- the reader ----------------------------------------------------------------------------------


def test_the_usual_split_by_folder(tiny: Path) -> None:
    clips = read_magnatagatune(tiny)
    for name, folders in {"train": "0123456789ab", "valid": "c", "test": "def"}.items():
        assert {clips.paths[i].parent.name for i in clips.splits[name]} == set(folders)
    counts = clips.labels.sum(axis=0)
    assert (np.diff(counts.astype(int)) <= 0).all()  # most frequent first
    assert set(clips.tag_names) == set(TAGS)
    assert len(read_magnatagatune(tiny, n_tags=2).tag_names) == 2
    assert read_magnatagatune(tiny, tags=["slow", "drums"]).tag_names == ("slow", "drums")


@given(st.lists(st.integers(1, 40), min_size=30, max_size=60), st.integers(0, 10))
def test_no_artist_in_two_parts_and_shares_kept(sizes: list[int], seed: int) -> None:
    artists = [f"a{i}" for i, size in enumerate(sizes) for _ in range(size)]
    parts = _artist_split(artists, seed)
    assert all(
        len({p for a, p in zip(artists, parts, strict=True) if a == x}) == 1 for x in artists
    )
    for name, sixteenths in PARTS.items():
        share = parts.count(name) / len(parts)
        assert abs(share - sixteenths / 16) <= max(sizes) / len(artists)


def test_the_artist_split_reads_the_artists(tiny: Path, tmp_path: Path) -> None:
    clips = read_magnatagatune(tiny, split="artists", seed=3)
    where = {name: {clips.artists[i] for i in rows} for name, rows in clips.splits.items()}
    assert not where["train"] & where["test"]
    assert not where["train"] & where["valid"]
    root = Path(shutil.copytree(tiny, tmp_path / "mtt"))
    (root / "clip_info_final.csv").unlink()
    read_magnatagatune(root)
    with pytest.raises(DataError, match=r"clip_info_final\.csv does not exist"):
        read_magnatagatune(root, split="artists")


def test_synonyms_become_one_tag(tiny: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny, tmp_path / "mtt"))
    header, rows = table(root)
    renamed = [{"drums": "female voice", "guitar": "woman"}.get(name, name) for name in header]
    write_table(root / "annotations_final.csv", renamed, rows)
    clips = read_magnatagatune(root, merge_synonyms=True)
    before = read_magnatagatune(tiny, tags=["drums", "guitar"])
    merged = clips.labels[:, clips.tag_names.index("female vocal")]
    np.testing.assert_array_equal(merged, before.labels.max(axis=1))
    listed = [name for group in SYNONYMS for name in group]
    assert len(listed) == len(set(listed))


def test_rows_that_cannot_be_used_are_counted(tiny: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny, tmp_path / "mtt"))
    shutil.rmtree(root / "5")
    (root / "6" / "clip-6.mp3").unlink()
    header, rows = table(root)
    extra = [
        ["100", *"10101", ""],
        ["101", *"10101", "../outside.mp3"],
        ["102", *"10101", "/etc/passwd"],
        ["../103", *"10101", "0/clip-0.mp3"],
        ["0", *"10101", "0/clip-0.mp3"],
    ]
    write_table(root / "annotations_final.csv", header, [*rows, *extra])
    assert read_magnatagatune(root).skipped == {
        "folder 5 absent": 1,
        "file absent": 1,
        "no mp3_path": 1,
        "mp3_path outside the folders 0 to f": 2,
        "clip_id is no number": 1,
        "clip listed twice": 1,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"mp3_path"', '"path"'), "columns mp3_path are missing"),
        (lambda text: text.replace("\t", ","), "columns clip_id, mp3_path are missing"),
        (lambda text: text.replace('"1"\t"0"', '"1"\t"yes"', 1), "is 'yes'; allowed are 0 and 1"),
        (lambda text: text[:-40], "columns, the header has 7: the file is cut off"),
        (lambda text: text.replace('"drums"', '"vocal"'), "should name each tag once"),
        (lambda text: "", "columns clip_id, mp3_path are missing"),
        (lambda text: "\x00\xff" * 9, "missing|no tab-separated text"),
    ],
)
def test_damaged_tables_are_told(tiny: Path, tmp_path: Path, change, message: str) -> None:
    root = Path(shutil.copytree(tiny, tmp_path / "mtt"))
    path = root / "annotations_final.csv"
    path.write_text(change(path.read_text()), encoding="latin-1")
    with pytest.raises(DataError, match=message):
        read_magnatagatune(root)


def test_missing_archives_and_tags_are_told(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the tags \['sitar'\] have no column"):
        read_magnatagatune(tiny, tags=["drums", "sitar"])
    with pytest.raises(ParameterError, match="allowed are folders, artists"):
        read_magnatagatune(tiny, split="random")
    with pytest.raises(ParameterError, match="n_tags is 0"):
        read_magnatagatune(tiny, n_tags=0)
    root = Path(shutil.copytree(tiny, tmp_path / "mtt"))
    shutil.rmtree(root / "c")
    with pytest.raises(DataError, match=r"no clips are left for valid \(folder c absent: 1\)"):
        read_magnatagatune(root)
    for folder in FOLDERS:
        shutil.rmtree(root / folder, ignore_errors=True)
    with pytest.raises(DataError, match=r"unpack the archives mp3\.zip"):
        read_magnatagatune(root)

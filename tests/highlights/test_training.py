"""The attention highlighter: chunks, masks, the authors' tensors, the position trap, training."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from hitcore import weights
from hitcore.audio import Waveform, load_audio
from hitcore.cli import app, main
from hitcore.errors import DataError, ParameterError, WeightsError
from hitcore.highlights import best_windows, find_highlight
from hitcore.highlights.attention import (
    HighlightNet,
    attention_evidence,
    batch_chunks,
    load_highlighter,
    position_share,
    positional_encoding,
    song_chunks,
)
from hitcore.highlights.labels import MOODS, LabelledSongs, SourceSong, label_songs, mood_songs
from hitcore.highlights.training import (
    MIN_CHUNKS,
    HighlighterConfig,
    HighlighterEpoch,
    HighlighterTraining,
    _Chunks,
    train_highlighter,
)
from tests.weights.test_weights import tensor_bundle

RATE = 22050


def random_network(statistics: str = "song", seed: int = 0) -> HighlightNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return HighlightNet(statistics=statistics).eval()


def random_chunks(n_chunks: int, seed: int = 0, n_frames: int = 129) -> torch.Tensor:
    return torch.rand(n_chunks, 128, n_frames, generator=torch.Generator().manual_seed(seed)) * 5


def attention_of(network: HighlightNet, chunks: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(chunks[None], torch.ones(1, len(chunks), dtype=torch.bool)).attention[0]


# --- chunks --------------------------------------------------------------------------------------


def test_chunks_do_not_drift() -> None:
    samples = np.zeros(RATE * 301, np.float32)
    samples[(np.arange(100) * 3.0 * RATE + 1.5 * RATE).astype(int)] = 1.0  # amid each chunk
    chunks = song_chunks(Waveform(samples, RATE))
    assert chunks.shape == (100, 128, 129)
    centres = chunks.sum(dim=1).argmax(dim=1)
    assert centres.min() >= 62
    assert centres.max() <= 67


@pytest.mark.parametrize(
    ("seconds", "n_chunks"), [(0.5, 1), (3.0, 1), (5.9, 1), (6.0, 2), (61, 20)]
)
def test_number_of_chunks(seconds: float, n_chunks: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    assert song_chunks(Waveform(noise, RATE)).shape == (n_chunks, 128, 129)


def test_positional_encoding_closed_form() -> None:
    encoding = positional_encoding(50).double()
    assert (encoding[0] == 0).all()
    k = np.arange(1, 50)[:, None]
    pair = np.arange(128)[None, :]
    angle = k / 10_000 ** (2 * pair / 256)
    np.testing.assert_allclose(encoding[1:, 0::2], np.sin(angle), atol=1e-6)
    np.testing.assert_allclose(encoding[1:, 1::2], np.cos(angle), atol=1e-6)


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("statistics", ["song", "learnt"])
def test_a_batch_of_different_lengths_equals_each_song_alone(statistics: str) -> None:
    network = random_network(statistics)
    songs = [random_chunks(n, seed=n, n_frames=40) for n in (12, 5, 1, 8)]
    batch, mask = batch_chunks(songs)
    batch[~mask] = torch.nan  # what is masked is never looked at
    with torch.inference_mode():
        together = network(batch, mask)
    assert together.attention.shape == (4, 12)
    torch.testing.assert_close(together.attention.sum(dim=1), torch.ones(4))
    assert (together.attention[~mask] == 0).all()
    for row, song in zip(together.attention, songs, strict=True):
        torch.testing.assert_close(row[: len(song)], attention_of(network, song))


def test_gain_in_the_log_domain_does_not_matter() -> None:
    # Each song is normalised by itself: a constant on the input of the first layer's output cannot
    # matter, since the convolution of a constant is a constant but for its padded edges.
    network = random_network()
    chunks = random_chunks(10)
    near = attention_of(network, chunks * 3.0)
    torch.testing.assert_close(near, attention_of(network, chunks), atol=2e-3, rtol=0)


def same_pad(x: np.ndarray, kernel: int, stride: int = 2) -> np.ndarray:
    total = max((-(-x.shape[1] // stride) - 1) * stride + kernel - x.shape[1], 0)
    return np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))


def numpy_reference(tensors: dict[str, np.ndarray], chunks: np.ndarray) -> np.ndarray:
    """The published network in the layout of its tensors: chunks `(n, frames, bins)`."""

    def batch_norm(x: np.ndarray, layer: str) -> np.ndarray:
        axes = tuple(range(x.ndim - 1))
        normed = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3)
        return normed * tensors[f"{layer}/BatchNorm/gamma"] + tensors[f"{layer}/BatchNorm/beta"]

    x = chunks.astype(np.float64)
    for layer in ("Conv", "Conv_1", "Conv_2"):
        kernel = tensors[f"{layer}/weights"].reshape(
            -1, x.shape[2], tensors[f"{layer}/weights"].shape[3]
        )
        padded = same_pad(x, len(kernel))
        places = range(0, padded.shape[1] - len(kernel) + 1, 2)
        x = np.stack(
            [np.einsum("nkc,kcf->nf", padded[:, i : i + len(kernel)], kernel) for i in places], 1
        )
        x = np.maximum(batch_norm(x, layer), 0)
    x = x.max(axis=1)
    for i in range(1, len(x)):
        angle = i / 10_000 ** (2 * (np.arange(256) // 2) / 256)
        x[i] += np.where(np.arange(256) % 2 == 0, np.sin(angle), np.cos(angle))
    for i, act in enumerate((lambda v: np.maximum(v, 0),) * 2 + (np.tanh, lambda v: v)):
        layer = "fully_connected" + (f"_{i}" if i else "")
        x = act(batch_norm(x @ tensors[f"{layer}/weights"], layer))
    weight = np.exp(x[:, 0] - x[:, 0].max())
    return weight / weight.sum()


@pytest.fixture(scope="module")
def checkpoint() -> tuple[dict[str, np.ndarray], bytes, bytes]:
    """A checkpoint in TensorFlow's format with the published names and random values."""
    entry = weights.REGISTRY["nam-lf"]
    rng = np.random.default_rng(0)
    tensors = {
        key: (rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape)).astype(np.float32)
        for key, shape in entry.shapes.items()
    }
    for key in tensors:
        if "BatchNorm" in key:
            tensors[key] = rng.normal("gamma" in key, 0.3, tensors[key].shape).astype(np.float32)
    # What the authors' file holds beside: the training head, moving statistics, optimiser slots.
    extra = {
        "fully_connected_4/weights": rng.normal(size=(256, 8)).astype(np.float32),
        "Conv/BatchNorm/moving_mean": np.full(64, 7, np.float32),
        "Conv/weights/Adam": np.ones((3, 128, 1, 64), np.float32),
    }
    return tensors, *tensor_bundle({**tensors, **extra})


def test_published_tensors_give_the_published_computation(checkpoint) -> None:
    tensors, index, data = checkpoint
    entry = weights.REGISTRY["nam-lf"]
    contents = {"model/model.index": index, "model/model.data-00000-of-00001": data}
    network = HighlightNet.published(weights.convert(entry, contents).tensors)
    chunks = random_chunks(9)
    expected = numpy_reference(tensors, chunks.transpose(1, 2).numpy())
    np.testing.assert_allclose(attention_of(network, chunks), expected, atol=2e-5)


def test_published_tensors_that_are_missing_or_misshapen(checkpoint) -> None:
    tensors = dict(checkpoint[0])
    short = {**tensors, "Conv_1/weights": tensors["Conv_1/weights"][:3]}
    with pytest.raises(WeightsError, match="Conv_1/weights"):
        HighlightNet.published(short)
    del tensors["fully_connected_2/BatchNorm/beta"]
    with pytest.raises(WeightsError, match="fully_connected_2/BatchNorm/beta"):
        HighlightNet.published(tensors)


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    weights.save(path, {"a": np.ones(2, np.float32)}, {"name": "other", "kind": "tagger"})
    with pytest.raises(WeightsError, match="no highlighter"):
        load_highlighter(path)


# --- the trap of position ------------------------------------------------------------------------


def test_a_network_deaf_to_the_music_is_found_out() -> None:
    network = random_network()
    with torch.no_grad():
        for convolution in network.convolutions:
            convolution.weight.zero_()
    assert position_share(network, random_chunks(30)) == pytest.approx(1.0)
    song = Waveform(np.random.default_rng(0).normal(0, 0.1, RATE * 60).astype(np.float32), RATE)
    found = attention_evidence(song, network=network)
    assert not found.confident
    assert "position" in found.note


def test_chunks_that_sound_the_same_leave_position_alone() -> None:
    chunk = random_chunks(1)
    assert position_share(random_network(), chunk.expand(20, -1, -1)) == pytest.approx(
        1.0, abs=1e-3
    )


@pytest.fixture(scope="module")
def shipped() -> HighlightNet:
    return load_highlighter()


@pytest.fixture(scope="module")
def song() -> Waveform:
    from hitcore.demo import DemoConfig, make_song

    return make_song(DemoConfig(), 7).waveform


def test_attention_follows_the_chunks_when_they_are_shuffled(shipped, song) -> None:
    chunks = song_chunks(song)
    before = attention_of(shipped, chunks)
    stay, follow, moved = [], [], 0
    start = np.convolve(before, np.ones(10), "valid").argmax()
    for seed in range(5):
        order = torch.randperm(len(chunks), generator=torch.Generator().manual_seed(seed))
        after = attention_of(shipped, chunks[order])
        follow.append(np.corrcoef(after, before[order])[0, 1])
        stay.append(np.corrcoef(after, before)[0, 1])
        moved += np.convolve(after, np.ones(10), "valid").argmax() != start
    share = position_share(shipped, chunks)
    print(f"follows {np.mean(follow):.2f}, stays {np.mean(stay):.2f}, position {share:.2f}")
    assert np.mean(follow) > 0.5
    assert np.mean(follow) > np.mean(stay) + 0.3
    assert moved >= 4
    assert share < 0.5


def test_what_has_no_parts_is_not_confident(shipped, song) -> None:
    rng = np.random.default_rng(0)
    loop = np.tile(song.samples[RATE * 60 : RATE * 63], 40)
    for samples in (np.zeros(RATE * 90), rng.normal(0, 0.1, RATE * 120), loop):
        found = attention_evidence(Waveform(samples.astype(np.float32), RATE), network=shipped)
        assert np.isfinite(found.curve).all()
        assert not found.confident
        assert "no clear highlight" in found.note


def test_attention_starts_on_whole_seconds_and_ignores_gain_and_tail(shipped, song) -> None:
    start = best_windows(attention_evidence(song, network=shipped))[0].start
    assert start == round(start)
    tail = Waveform(np.append(song.samples, np.zeros(RATE * 40, np.float32)), RATE)
    assert best_windows(attention_evidence(tail, network=shipped))[0].start == pytest.approx(
        start, abs=1.0
    )
    gain = Waveform(song.samples * np.float32(0.5), RATE)
    assert best_windows(attention_evidence(gain, network=shipped))[0].start == pytest.approx(
        start, abs=1.0
    )


def test_packaged_weights_are_small(shipped) -> None:
    assert weights.packaged()["attention-small"].stat().st_size < 4e6


# --- training ------------------------------------------------------------------------------------

CLASSES = ("low", "high", "wide")
CHORDS = {"low": (200, 300, 400), "high": (2000, 2500, 3000), "wide": (500, 1500, 4500)}


def told_song(label: str, place: int, seed: int, n_chunks: int = 6) -> Waveform:
    """Noise, and in one chunk the chord that tells the label."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.02, RATE * 3 * n_chunks)
    t = np.arange(RATE * 3) / RATE
    chord = sum(0.1 * np.sin(2 * np.pi * f * rng.uniform(0.98, 1.02) * t) for f in CHORDS[label])
    samples[RATE * 3 * place : RATE * 3 * (place + 1)] += chord
    return Waveform(samples.astype(np.float32), RATE)


def told_songs(n_songs: int) -> tuple[LabelledSongs, list[int]]:
    rng = np.random.default_rng(0)
    places = rng.integers(0, 6, n_songs).tolist()
    labels = [CLASSES[i % 3] for i in range(n_songs)]
    songs = tuple(
        SourceSong(f"song{i}", lambda i=i: told_song(labels[i], places[i], i), f"song{i}")
        for i in range(n_songs)
    )
    targets = np.eye(3, dtype=np.float32)[[CLASSES.index(label) for label in labels]]
    return LabelledSongs(songs, targets, CLASSES, {}), places


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> HighlighterTraining:
    data, _ = told_songs(24)
    out = tmp_path_factory.mktemp("train") / "mine.safetensors"
    return train_highlighter(
        data, out, HighlighterConfig(n_epochs=12, batch_size=6, learning_rate=3e-3)
    )


def test_training_learns_and_keeps_the_best(trained) -> None:
    losses = [epoch.valid_loss for epoch in trained.history]
    assert min(losses) < 0.7 * np.log(3)
    assert trained.history[-1].train_loss < trained.history[0].train_loss


def test_attention_rests_where_the_label_is_told(trained) -> None:
    network = load_highlighter(trained.path)
    hits = 0
    for seed in range(12):
        place = seed % 6
        chunks = song_chunks(told_song(CLASSES[seed % 3], place, 1000 + seed))
        hits += int(attention_of(network, chunks).argmax()) == place
    assert hits >= 9  # 2 by chance
    assert trained.position_share < 0.5


def test_trained_weights_serve_as_a_method(trained, song) -> None:
    found = find_highlight(song, f"attention:{trained.path}")
    assert found.method == "attention"
    assert found.duration_s == 30


def test_training_again_is_the_same(tmp_path: Path) -> None:
    data, _ = told_songs(6)
    config = HighlighterConfig(n_epochs=1, batch_size=3)
    first, second = (
        train_highlighter(data, tmp_path / name, config).path
        for name in ("a.safetensors", "b.safetensors")
    )
    a, b = weights.load(first).tensors, weights.load(second).tensors
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def test_a_broken_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    data, _ = told_songs(8)
    config = HighlighterConfig(n_epochs=4, batch_size=3)
    whole = train_highlighter(data, tmp_path / "whole.safetensors", config)

    def die_after_two(epoch: HighlighterEpoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    out, heard = tmp_path / "broken.safetensors", []
    with pytest.raises(KeyboardInterrupt):
        train_highlighter(data, out, config, on_epoch=die_after_two)
    assert not out.exists()
    broken = train_highlighter(data, out, config, on_epoch=heard.append)
    assert [epoch.epoch for epoch in heard] == [3, 4]
    assert broken.history == whole.history
    a, b = weights.load(whole.path).tensors, weights.load(out).tensors
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.highlights.test_training import told_songs
from hitcore.highlights.training import HighlighterConfig, train_highlighter
data, _ = told_songs(8)
end = lambda epoch: os._exit(9) if epoch.epoch == {last} else None
train_highlighter(data, {out!r}, HighlighterConfig(n_epochs=3, batch_size=3), on_epoch=end)
"""


def test_a_killed_process_goes_on_where_it_stood(tmp_path: Path) -> None:
    out = tmp_path / "killed.safetensors"

    def process(last: int) -> int:
        code = KILLED.format(tests=str(Path(__file__).parents[2]), out=str(out), last=last)
        return subprocess.run([sys.executable, "-c", code], timeout=300, check=False).returncode

    assert process(last=1) == 9
    assert process(last=0) == 0
    data, _ = told_songs(8)
    config = HighlighterConfig(n_epochs=3, batch_size=3)
    whole = train_highlighter(data, tmp_path / "whole.safetensors", config)
    a, b = weights.load(whole.path).tensors, weights.load(out).tensors
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    data, _ = told_songs(6)
    out = tmp_path / "mine.safetensors"
    train_highlighter(data, out, HighlighterConfig(n_epochs=1, batch_size=3))
    with pytest.raises(DataError, match="checkpoint of another training"):
        train_highlighter(data, out, HighlighterConfig(n_epochs=1, batch_size=3, seed=1))
    longer = train_highlighter(data, out, HighlighterConfig(n_epochs=2, batch_size=3))
    assert [epoch.epoch for epoch in longer.history] == [1, 2]
    state = tmp_path / "mine.safetensors.work" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(DataError, match="not a readable checkpoint"):
        train_highlighter(data, out, HighlighterConfig(n_epochs=3, batch_size=3))


def test_a_step_hears_a_part_of_a_song_in_its_order(tmp_path: Path) -> None:
    rows = np.arange(30, dtype=np.float16)[:, None, None] * np.ones((1, 2, 3), np.float16)
    np.save(tmp_path / "song.npy", rows)
    chunks = _Chunks(tmp_path / "song.npy")
    heard = [chunks.load(0.4, np.random.default_rng(seed))[:, 0, 0] for seed in range(5)]
    assert {len(part) for part in heard} == {12}
    assert all((part.diff() > 0).all() for part in heard)
    assert len({tuple(part.tolist()) for part in heard}) == 5
    assert len(chunks.load(0.1, np.random.default_rng(0))) == MIN_CHUNKS
    assert len(chunks.load()) == 30


def test_settings_that_make_no_sense() -> None:
    for wrong in (
        {"n_epochs": 0},
        {"valid_share": 0.0},
        {"position_dropout": 1.5},
        {"chunk_share": 0.0},
        {"weight_decay": -1.0},
    ):
        with pytest.raises(ParameterError):
            HighlighterConfig(**wrong)
    with pytest.raises(ParameterError, match="safetensors"):
        train_highlighter(told_songs(3)[0], "weights.bin")


def songs_named(*names: str) -> list[SourceSong]:
    return [SourceSong(name, lambda: told_song("low", 0, 0, 2), name) for name in names]


def test_labels_are_matched_by_name_and_strangers_counted(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "song,label,weight\na.mp3,sad,1\na,calm,3\nb,sad,\nstranger,sad,1\n", encoding="utf-8-sig"
    )
    data = label_songs(songs_named("a", "b", "c"), file)
    assert data.label_names == ("calm", "sad")
    np.testing.assert_allclose(data.targets, [[0.75, 0.25], [0, 1]])
    assert data.skipped == {"rows of unknown songs": 1, "songs without a label": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("song,mood\na,sad\n", "column label is missing"),
        ("song,label,weight\na,sad,heavy\n", "line 2"),
        ("song,label,weight\na,sad,-1\n", "no positive number"),
        ("song,label\nx,sad\ny,calm\n", "0 of 2 songs"),
        ("song,label\na,sad\nb,sad\n", "of 1 labels"),
        ("", "missing"),
    ],
)
def test_labels_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        label_songs(songs_named("a", "b"), file)


def test_moods_of_a_tagger() -> None:
    from hitcore.taggers import load_tagger

    if not weights.is_installed("musicnn-msd"):
        pytest.skip("musicnn-msd is not installed: hitcore weights fetch musicnn-msd")
    data = mood_songs(songs_named("a", "b"), load_tagger("musicnn-msd"))
    assert data.targets.shape == (2, len(MOODS))
    np.testing.assert_allclose(data.targets.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(ParameterError, match="sombre"):
        mood_songs(songs_named("a", "b"), load_tagger("musicnn-msd"), moods=["sad", "sombre"])


def test_train_command(tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    rows = ["song,label"]
    for i, label in enumerate(CLASSES * 2):
        soundfile.write(music / f"s{i}.wav", told_song(label, i % 3, i, 3).samples, RATE)
        rows.append(f"s{i},{label}")
    (music / "broken.wav").write_bytes((music / "s0.wav").read_bytes()[:44])  # a head, no sound
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "broken,low", "stranger,low"]))
    out = tmp_path / "mine.safetensors"
    command = ["train", "highlighter", str(music), "--labels", str(tmp_path / "labels.csv")]
    result = CliRunner().invoke(app, [*command, "--out", str(out), "--epochs", "1", "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["songs"] == 6
    assert report["skipped"]["songs unreadable"] == 1
    assert report["skipped"]["rows of unknown songs"] == 1
    assert 0 <= report["position_share"] <= 1
    waveform = load_audio(music / "s0.wav")
    assert find_highlight(waveform, f"attention:{out}", length_s=3.0).duration_s == 3.0


def test_train_command_tells_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "hitcore",
        "train",
        "highlighter",
        str(tmp_path / "none"),
        "--out",
        "x.safetensors",
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "does not exist" in capsys.readouterr().err

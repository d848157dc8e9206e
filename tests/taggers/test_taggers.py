"""The taggers against the outputs of the originals, and the laws that any tagger obeys."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hitcore import weights
from hitcore.audio import Waveform, load_audio
from hitcore.errors import ParameterError, WeightsError
from hitcore.features import JYNET_MELS
from hitcore.taggers import JYNet, MusicNN, Tagger, Taggram, load_tagger, save_tagger
from hitcore.taggers.jynet import CLIP_SAMPLES, ROW_S, clip_starts, standardise
from hitcore.taggers.maxpool import strongest_over_bins
from hitcore.taggers.threads import map_parts

RATE = 16_000
TAGS = ("loud", "quiet", "fast", "slow")
DESCRIPTION = {
    "name": "mine",
    "title": "Mine",
    "trained_on": "noise",
    "source": "a test",
    "licence": "MIT",
    "limits": "all",
}


def published(name: str) -> Tagger:
    if not weights.is_installed(name):
        pytest.skip(f"{name} is not installed: hitcore weights fetch {name}")
    return load_tagger(name)


@pytest.fixture(scope="module")
def jynet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HITCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        weights.import_local("jynet", shared / "reference" / "hsp_cnn")
        tagger = load_tagger("jynet")
    return tagger


@pytest.fixture(scope="module")
def theirs(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "reference/jynet/battle_epic_expected.npz"))


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> Waveform:
    values = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return Waveform(0.1 * values.astype(np.float32), rate)


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics, some scales of batch norm negative."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            for values in (module.weight, module.bias, module.running_mean):
                values.data = torch.randn(values.shape, generator=generator)
            module.running_var.data = 0.5 + torch.rand(module.bias.shape, generator=generator)
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            module.bias.data = 0.1 * torch.randn(module.bias.shape, generator=generator)
    return network.eval()


@pytest.fixture(scope="module")
def untrained() -> dict[str, Tagger]:
    return {
        "musicnn": Tagger("musicnn", scrambled(MusicNN(4)), TAGS),
        "jynet": Tagger("jynet", scrambled(JYNet(4)), TAGS),
    }


# --- the originals -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["musicnn-mtt", "musicnn-msd"])
def test_musicnn_equals_the_original(name: str, shared: Path) -> None:
    tagger = published(name)
    folder = shared / "reference" / "musicnn"
    expected = np.load(folder / "joram_expected.npz")
    key = f"{name.removeprefix('musicnn-').upper()}_musicnn"
    mel = torch.tensor(expected["log_mel_spectrogram"].T)
    patches = mel[:, : 9 * 187].reshape(96, 9, 187).transpose(0, 1)
    with torch.inference_mode():
        logits, embeddings = tagger.network(patches)
    tags = torch.sigmoid(logits[:, 0]).numpy()
    np.testing.assert_allclose(tags, expected[f"{key}.taggram"], atol=1e-4)
    np.testing.assert_allclose(embeddings[:, 0], expected[f"{key}.penultimate"], atol=1e-3)
    assert tagger.tag_names == tuple(expected[f"{key}.tags"])

    taggram = tagger.tag(load_audio(folder / str(expected["clip_name"]), RATE))
    np.testing.assert_allclose(taggram.activations, expected[f"{key}.taggram"], atol=2e-3)
    assert taggram.embeddings.shape == (9, 200)
    assert taggram.flags == ()


def test_jynet_equals_the_original(jynet: Tagger, theirs: dict[str, np.ndarray]) -> None:
    features = [theirs[f"feat_log_raw_{config.n_fft}"].T for config in JYNET_MELS]
    with torch.inference_mode():
        logits, _ = jynet.network(torch.tensor(np.stack(features))[None])
    scores = torch.sigmoid(logits[0]).mean(dim=0).clamp(1e-6, 1 - 1e-6)
    np.testing.assert_allclose(scores, theirs["jynet_scores188"], atol=1e-4)

    taggram = jynet.tag(Waveform(theirs["audio_16k"], RATE))
    assert jynet.tag_names == tuple(theirs["tags50"])
    assert taggram.activations.shape == (57, 50)
    np.testing.assert_allclose(taggram.mean(), theirs["jynet_tags50"], atol=5e-3)


def test_jynet_hears_each_song_by_itself(jynet: Tagger, theirs: dict[str, np.ndarray]) -> None:
    song = Waveform(theirs["audio_16k"], RATE)
    together = jynet.tag_batch([noise(30), song, noise(5, seed=1)])
    np.testing.assert_allclose(together[1].mean(), jynet.tag(song).mean(), atol=1e-5)


def test_jynet_from_another_rate(jynet: Tagger, theirs: dict[str, np.ndarray]) -> None:
    found = jynet.tag(Waveform(theirs["audio_22k"], 22_050)).mean()
    np.testing.assert_allclose(found, theirs["jynet_tags50"], atol=0.02)


def test_both_name_the_same_tags(jynet: Tagger) -> None:
    musicnn = published("musicnn-mtt")
    assert set(jynet.tag_names) == set(musicnn.tag_names)
    assert jynet.tag_names != musicnn.tag_names


# --- the networks --------------------------------------------------------------------------------


def test_musicnn_in_evaluation_equals_layer_by_layer() -> None:
    network = scrambled(MusicNN(4))
    mel = torch.rand(3, 96, 187)
    with torch.inference_mode():
        x = network.norm_input(mel[:, None])
        front = []
        for block in (*network.timbral, *network.temporal):
            response = block.conv(functional.pad(x, block.padding))
            normalised = functional.batch_norm(
                functional.relu(response),
                block.norm.running_mean,
                block.norm.running_var,
                block.norm.weight,
                block.norm.bias,
                eps=1e-3,
            )
            front.append(normalised.amax(dim=2))
        found = [block(x[:, 0]) for block in (*network.timbral, *network.temporal)]
        for ours, expected in zip(found, front, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
        many = network(mel.repeat(4, 1, 1))[0]
        torch.testing.assert_close(many[:3], network(mel)[0], rtol=1e-4, atol=1e-5)


def test_jynet_smooths_by_the_published_gaussian() -> None:
    network = JYNet(2)
    network.log_width.data = torch.tensor([0.3, 1.9])
    row = np.random.default_rng(0).random(57)
    found = np.einsum("t,ts->s", row, network._smoothing(57)[1].detach().numpy())
    width = np.exp(np.float32(1.9))
    steps = np.arange(-128, 128)
    gaussian = np.exp(-(steps**2) / (2 * width**2)) / (width * np.sqrt(2 * np.pi))
    expected = np.convolve(np.pad(row, (128, 127)), gaussian, mode="valid")
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_standardising_undoes_scale_and_shift(scale: float, shift: float) -> None:
    mel = torch.rand(3, 8, 40, generator=torch.Generator().manual_seed(0))
    mel[:, 2] = 0.7
    found = standardise(mel * scale + shift)
    expected = standardise(mel)
    varied = torch.arange(8) != 2
    torch.testing.assert_close(found[:, varied], expected[:, varied], rtol=1e-3, atol=1e-3)
    assert bool((expected[:, 2] == 0).all())


@given(st.integers(1, 10 * CLIP_SAMPLES))
@example(946_977)
@example(1_420_540)
def test_the_clips_of_a_long_song_cover_it_once(n_samples: int) -> None:
    starts = np.array(clip_starts(n_samples)) / RATE
    kept = JYNet.rows_kept(starts)
    times = np.concatenate(
        [start + np.arange(57)[k] * ROW_S for start, k in zip(starts, kept, strict=True)]
    )
    assert (np.diff(times) > 0).all()
    assert (np.diff(times) < 2 * ROW_S).all()
    if n_samples >= CLIP_SAMPLES:
        assert starts[-1] + CLIP_SAMPLES / RATE <= n_samples / RATE + 1e-9
        # A clip goes on for a while after its last row, and a row that overlaps is left out.
        rest = CLIP_SAMPLES / RATE - 57 * ROW_S
        assert times[-1] + ROW_S + rest + ROW_S > n_samples / RATE - 1e-9


# --- any tagger ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["musicnn", "jynet"])
@pytest.mark.parametrize(
    ("waveform", "flags"),
    [
        (noise(5), None),
        (noise(0.01), ("padded",)),
        (Waveform(np.zeros(40 * RATE, np.float32), RATE), ("silent",)),
        (Waveform(np.ones(1, np.float32), 8_000), ("padded",)),
        (noise(31, rate=22_050), ()),
    ],
)
def test_any_sound_gives_finite_tags(
    untrained: dict[str, Tagger], name: str, waveform: Waveform, flags: tuple[str, ...] | None
) -> None:
    tagger = untrained[name]
    taggram = tagger.tag(waveform)
    assert len(taggram.activations) == len(taggram.times) == len(taggram.embeddings) > 0
    assert ((taggram.activations >= 0) & (taggram.activations <= 1)).all()
    assert np.isfinite(taggram.embeddings).all()
    expected = ("padded",) if flags is None and name == "jynet" else flags or ()
    assert taggram.flags == expected


@pytest.mark.parametrize("name", ["musicnn", "jynet"])
def test_a_batch_equals_one_by_one(untrained: dict[str, Tagger], name: str) -> None:
    tagger = untrained[name]
    sounds = [noise(7), noise(1, seed=1), noise(33 if name == "jynet" else 9, seed=2)]
    for alone, together in zip(
        [tagger.tag(sound) for sound in sounds], tagger.tag_batch(sounds), strict=True
    ):
        np.testing.assert_allclose(together.activations, alone.activations, atol=1e-5)
        np.testing.assert_array_equal(together.times, alone.times)
        assert together.flags == alone.flags
    assert tagger.tag_batch([]) == []


def test_musicnn_patches_are_heard_one_by_one(untrained: dict[str, Tagger]) -> None:
    tagger = untrained["musicnn"]
    a, b = noise(5.984, seed=3), noise(5.984, seed=4)
    both = Waveform(np.concatenate([a.samples, b.samples]), RATE)
    # The first patch of each half is far enough from the seam.
    found = tagger.tag(both).activations
    np.testing.assert_allclose(found[0], tagger.tag(a).activations[0], rtol=1e-5)
    assert np.abs(found[2] - found[0]).max() > 1e-3
    np.testing.assert_allclose(tagger.tag(both).times, np.arange(4) * 2.992)


def test_an_empty_waveform_is_refused(untrained: dict[str, Tagger]) -> None:
    with pytest.raises(ParameterError, match="holds no samples"):
        untrained["musicnn"].tag(Waveform(np.zeros(0, np.float32), RATE))


@given(st.permutations(range(4)))
def test_selecting_by_name_undoes_any_order(order: list[int]) -> None:
    values = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    taggram = Taggram(values, TAGS, np.arange(5.0))
    shuffled = taggram.select([TAGS[i] for i in order])
    np.testing.assert_array_equal(shuffled.select(TAGS).activations, values)
    np.testing.assert_array_equal(shuffled.mean(), taggram.mean()[order])


def test_taggrams_are_checked() -> None:
    taggram = Taggram(np.zeros((2, 4), np.float32), TAGS, np.arange(2.0))
    with pytest.raises(ParameterError, match=r"\['sitar'\] are not among the 4"):
        taggram.select(["loud", "sitar"])
    with pytest.raises(ParameterError, match="3 times and 4 tag names"):
        Taggram(np.zeros((2, 4), np.float32), TAGS, np.arange(3.0))
    assert (taggram.mean() > 0).all()


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["musicnn", "jynet"])
def test_a_trained_tagger_comes_back(
    untrained: dict[str, Tagger], name: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_tagger(path, untrained[name].network, TAGS, DESCRIPTION)
    tagger = load_tagger(path)
    assert (tagger.name, tagger.tag_names) == ("mine", TAGS)
    sound = noise(4)
    np.testing.assert_array_equal(
        tagger.tag(sound).activations, untrained[name].tag(sound).activations
    )


def test_files_that_are_no_tagger(
    untrained: dict[str, Tagger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.safetensors"
    save_tagger(path, untrained["musicnn"].network, TAGS, DESCRIPTION)
    found = weights.read(path)
    changes = {
        "is no tagger": {"kind": "hit model"},
        "architecture 'rnn' is not known": {"architecture": "rnn"},
        r"tensor output\.weight is float32 \(4, 200\)": {"tag_names": list(TAGS[:3])},
        "tensor log_width is missing": {"architecture": "jynet"},
    }
    for message, change in changes.items():
        weights.save(path, found.tensors, {**found.metadata, **change})
        with pytest.raises(WeightsError, match=message):
            load_tagger(path)
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match="hitcore weights fetch musicnn-mtt"):
        load_tagger("musicnn-mtt")
    with pytest.raises(ParameterError, match="no weights are named 'nix'"):
        load_tagger("nix")


@pytest.mark.parametrize("n_bins", [96, 95, 7])
@pytest.mark.parametrize("height", [1, 2, 3, 6, 7])
def test_the_strongest_response_is_that_of_the_convolution(n_bins: int, height: int) -> None:
    """Odd and even numbers of bins and of places; with its slopes."""
    generator = torch.Generator().manual_seed(height)
    x = torch.randn(2, n_bins, 20, generator=generator, requires_grad=True)
    weight = torch.randn(40, 1, height, 5, generator=generator, requires_grad=True)
    direct = functional.conv2d(x.unsqueeze(1), weight).amax(dim=2)
    found = strongest_over_bins(x, weight)
    torch.testing.assert_close(found, direct, rtol=1e-5, atol=2e-5)
    heed = torch.randn(direct.shape, generator=generator)
    slopes = torch.autograd.grad((heed * found).sum(), (x, weight))
    torch.testing.assert_close(
        slopes, torch.autograd.grad((heed * direct).sum(), (x, weight)), rtol=1e-4, atol=1e-4
    )


def test_musicnn_learns_what_it_evaluates() -> None:
    """In training the same network: with statistics taken from a batch, both ways agree."""
    network = scrambled(MusicNN(4))
    block, mel = network.timbral[0], torch.rand(2, 96, 187)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
    trained = block.train()(mel)
    n = 2 * 187 * 59
    block.norm.running_var *= (n - 1) / n  # the running variance is the unbiased one
    torch.testing.assert_close(block.eval()(mel), trained, rtol=1e-3, atol=1e-3)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_parts_are_heard_side_by_side_on_one_thread_each() -> None:
    at_work = threading.Barrier(2, timeout=60)  # broken, and with it the test, if one comes alone

    def heard(part: Tensor) -> tuple[int, bool, bool, Tensor]:
        at_work.wait()
        inference = torch.is_inference_mode_enabled()
        return torch.get_num_threads(), inference, torch.is_grad_enabled(), 2 * part

    parts = torch.arange(4.0).split(2)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            found = map_parts(heard, parts)
        assert [one[:3] for one in found] == 2 * [(1, mode is torch.inference_mode, False)]
        assert torch.cat([double for *_, double in found]).tolist() == [0.0, 2.0, 4.0, 6.0]
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_gradients_pass_through_parts() -> None:
    x = torch.ones(4, requires_grad=True)
    torch.cat(map_parts(torch.square, x.split(1))).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0] * 4


@pytest.mark.usefixtures("two_threads")
def test_a_part_that_fails_fails_all() -> None:
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        map_parts(lambda part: 1 // int(part.sum()), torch.zeros(2, 1).split(1))


@pytest.mark.usefixtures("two_threads")
def test_two_threads_hear_what_one_hears(untrained: dict[str, Tagger]) -> None:
    sound = Waveform(
        np.random.default_rng(5).normal(0, 0.1, 16_000 * 31).astype(np.float32), 16_000
    )
    together = untrained["musicnn"].tag(sound)
    torch.set_num_threads(1)
    alone = untrained["musicnn"].tag(sound)
    np.testing.assert_allclose(together.activations, alone.activations, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together.embeddings, alone.embeddings, rtol=1e-4, atol=1e-4)

"""The hit curve: every window equals its crop alone, and a song's score follows from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hitcore import weights
from hitcore.analysis.curve import HitCurve, SongMels, hit_curve, mixed_scores, window_scores
from hitcore.analysis.tagstretches import CLIP_S, TagStretches, hear_stretches
from hitcore.audio import Waveform
from hitcore.errors import ParameterError, WeightsError
from hitcore.features import MEL_PRESETS, RELEASE_MEL, MelConfig, fit_frames, log_mel
from hitcore.networks.hitnet import (
    AudioNetwork,
    HitCNN,
    HitNet,
    InceptionCNN,
    LinearRater,
    initialise,
)
from hitcore.networks.models import HitModel, ModelSpec, load_model
from hitcore.taggers import load_tagger

RATE = 22_050


def song(seconds: float, seed: int = 0) -> Waveform:
    """Noise whose colour and loudness change, so that no two windows sound alike."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 0.1, round(seconds * RATE))
    swell = 1 + 0.9 * np.sin(np.arange(len(noise)) / RATE * 0.7)
    return Waveform((noise * swell).astype(np.float32), RATE)


@torch.inference_mode()
def alone(network: AudioNetwork, mel: torch.Tensor, step: int) -> list[float]:
    n = network.n_frames
    return [
        float(network(mel[..., first : first + n]))
        for first in range(0, mel.shape[-1] - n + 1, step)
    ]


@pytest.mark.parametrize("kind", [HitCNN, InceptionCNN, LinearRater])
@pytest.mark.parametrize("n_frames", [323, 320, 130, 45])
def test_each_window_equals_its_crop_alone(kind: type[AudioNetwork], n_frames: int) -> None:
    network = initialise(kind(n_mels=16, n_frames=n_frames), seed=1).eval()
    for parameter in network.parameters():  # biases and the linear rater start at 0
        parameter.data += 0.1 * torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(3)
        )
    mel = 5 * torch.rand(1, 16, n_frames + 87, generator=torch.Generator().manual_seed(2))
    together = window_scores(network, mel)
    assert together.shape == (22,)
    assert np.ptp(together) > 1e-3
    np.testing.assert_allclose(together, alone(network, mel, 4), atol=1e-5)


@pytest.mark.parametrize("name", [n for n in weights.packaged() if n.startswith("demo-")])
def test_shipped_networks(name: str) -> None:
    mel = log_mel(song(45).samples, preset_of(name))[None]
    for network in load_model(name).networks[:3]:
        np.testing.assert_allclose(
            window_scores(network.audio, mel), alone(network.audio, mel, 4), atol=1e-5
        )


def preset_of(name: str) -> MelConfig:
    return MEL_PRESETS[load_model(name).spec.mel]


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> HitModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HITCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        weights.import_local("kkbox-ret30", shared / "reference" / "hsp_cnn")
        return load_model("kkbox-ret30")


def test_published_network_on_every_half_frame(published: HitModel) -> None:
    sound = song(40)
    model = HitModel(
        [HitNet(published.networks[0].audio)], replace(published.spec, tagger=None, tag_names=())
    )
    curve = hit_curve(model, SongMels(sound))
    hop = RELEASE_MEL.hop_length
    np.testing.assert_allclose(np.diff(curve.starts), hop / 2 / RATE, rtol=1e-9)
    mels = [log_mel(sound.samples[late:], RELEASE_MEL)[None] for late in (0, hop // 2)]
    audio = published.networks[0].audio
    both = [alone(audio, mel, 1) for mel in mels]
    expected = np.empty(len(both[0]) + len(both[1]))
    expected[0::2], expected[1::2] = both
    np.testing.assert_allclose(curve.scores, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["real-clips", "hot100-attributes"])
def test_networks_of_statistics_rate_each_window_as_it_is(name: str) -> None:
    model, sound = load_model(name), song(40)
    heard = TagStretches(model.spec.tag_names, np.zeros(1), np.full((1, 50), 0.1), 3.0, 40.0)
    curve = hit_curve(model, SongMels(sound), heard)
    mel = SongMels(sound).of("paper")[None]
    assert len(curve.starts) == 1 + (mel.shape[-1] - 323) // 8
    with torch.inference_mode():
        for number in (0, 5, len(curve.starts) - 1):
            window = mel[..., 8 * number : 8 * number + 323]
            expected = model.fold_scores(window, torch.full((1, 50), 0.1))[:, 0]
            np.testing.assert_allclose(curve.fold_scores[:, number], expected, atol=1e-4)
    quiet = hit_curve(model, SongMels(Waveform(np.zeros(9 * RATE, np.float32), RATE)), heard)
    assert np.isfinite(quiet.fold_scores).all()


def test_cut_sound_differs_from_a_window_at_its_edges_alone() -> None:
    model = load_model("demo-c")
    sound = song(45)
    curve = hit_curve(model, SongMels(sound))
    start = curve.starts[9]
    clip = sound.crop(start, start + 30.0)
    mel = log_mel(clip.samples, preset_of("demo-c"))[None]
    with torch.inference_mode():
        cut = model(mel).frame_scores[0].double().numpy()
        inside = [
            n.audio.frame_scores_throughout(SongMels(sound).of("paper")[None])
            for n in model.networks
        ]
    window = torch.stack(inside).mean(dim=0)[0, 9 : 9 + 78].double().numpy()
    np.testing.assert_allclose(cut[1:-1], window[1:-1], atol=1e-5)


def test_a_song_shorter_than_a_window_is_scored_as_the_model_scores_it() -> None:
    model, sound = load_model("demo-c"), song(8)
    curve = hit_curve(model, SongMels(sound))
    with torch.inference_mode():
        expected = float(model(fit_frames(SongMels(sound).of("paper"))[None]).score)
    assert curve.starts.tolist() == [0.0]
    assert curve.song_score == pytest.approx(expected, abs=1e-6)


def test_headline_is_the_median_and_at_finds_the_nearest_window() -> None:
    scores = np.array([[3.0, 1.0, 2.0, 8.0], [5.0, 1.0, 2.0, 6.0]])
    curve = HitCurve(np.array([0.0, 0.4, 0.8, 1.2]), scores, 30.0)
    assert curve.song_score == 3.0
    assert curve.song_fold_scores.tolist() == [2.5, 3.5]
    assert curve.at(0.9) == 2.0
    assert curve.best_start == 1.2
    assert curve.to_dict()["median"] == float(np.median(curve.to_dict()["scores"]))


def test_shares_of_audio_and_tags_are_mixed_as_the_network_mixes_them() -> None:
    assert mixed_scores([1.0], [3.0], 0.5, "additive").tolist() == [2.5]
    assert mixed_scores([1.0], [3.0], 0.25, "convex").tolist() == [1.5]
    assert mixed_scores(None, [3.0], 0.25, "convex").tolist() == [3.0]
    with pytest.raises(ParameterError):
        mixed_scores(None, None, 0.5, "convex")


def test_a_model_of_tags_alone_has_a_curve() -> None:
    spec = ModelSpec("tags", audio=None, mel=None, tagger="musicnn-mtt", tag_names=("a", "b"))
    model = HitModel([initialise(spec.build(), 5)], spec)
    heard = TagStretches(
        ("a", "b"), np.array([0.0, 30.0]), np.array([[0.1, 0.9], [0.8, 0.2]]), 30.0, 60.0
    )
    curve = hit_curve(model, SongMels(song(60)), heard)
    with torch.inference_mode():
        first = float(model(None, torch.tensor([[0.1, 0.9]])).score)
    assert curve.scores[0] == pytest.approx(first, abs=1e-6)
    assert len(curve.starts) == 81
    with pytest.raises(ParameterError, match="hear"):
        hit_curve(model, SongMels(song(60)), None)


# --- tags over a song ----------------------------------------------------------------------------


def test_patches_average_over_the_window_and_clips_lie_between() -> None:
    patches = TagStretches(("a",), np.arange(0, 60, 3.0), np.arange(20.0)[:, None] / 20, 3.0, 60.0)
    # A window over patches 5 to 14 in full: the mean of them.
    assert patches.over(np.array([15.0]))[0, 0] == pytest.approx(np.mean(np.arange(5, 15)) / 20)
    clips = TagStretches(("a",), np.array([0.0, 20.0]), np.array([[0.2], [0.6]]), 30.0, 50.0)
    np.testing.assert_allclose(
        clips.over(np.array([0.0, 5.0, 20.0, 30.0]))[:, 0], [0.2, 0.3, 0.6, 0.6]
    )


def test_on_the_highlight_tags_are_those_of_the_highlight_alone() -> None:
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("musicnn-mtt is not installed")
    tagger, sound, start = load_tagger("musicnn-mtt"), song(75, seed=4), 20.0
    clip = tagger.tag(sound.crop(start, start + CLIP_S))
    heard = hear_stretches(tagger, sound, clip, start)
    assert len(heard.starts) == len(clip.times) + 4
    # The clip's last 80 ms hold no patch: there its last patch stands for them, here too.
    np.testing.assert_allclose(heard.over(np.array([start]))[0], clip.mean(), atol=0.005)
    loud = heard.moved({heard.tag_names[0]: 0.25})
    np.testing.assert_allclose(
        loud.over(heard.starts[:1])[0, 0], heard.over(heard.starts[:1])[0, 0] + 0.25, atol=1e-9
    )


def test_unknown_tags_are_refused() -> None:
    heard = TagStretches(("a",), np.zeros(1), np.zeros((1, 1)), 30.0, 30.0)
    with pytest.raises(WeightsError, match="b"):
        heard.select(["b"])

"""The log-mel front end against librosa, the published models' own features, and its laws."""

import dataclasses
import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hitcore.errors import ParameterError
from hitcore.features import (
    HIGHLIGHT_MEL,
    JYNET_MELS,
    MEL_PRESETS,
    MUSICNN_MEL,
    PAPER_MEL,
    RELEASE_MEL,
    MelConfig,
    fit_frames,
    log_mel,
    mel_filters,
)

PRESETS = list(MEL_PRESETS.values())


def each_preset(function):
    return pytest.mark.parametrize("config", PRESETS, ids=lambda c: c.name)(function)


def music(n_samples: int, sample_rate: int, seed: int = 0) -> NDArray[np.float32]:
    """Decaying tones with noise: loud and quiet bins, neither white nor a single line."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples) / sample_rate
    tones = sum(np.sin(2 * np.pi * f * t) * np.exp(-3 * (t % 0.5)) for f in (82.4, 440.0, 3520.0))
    return (0.25 * tones + 0.01 * rng.standard_normal(n_samples)).astype(np.float32)


def oracle(samples: NDArray[np.float32], config: MelConfig) -> NDArray[np.float32]:
    """librosa's power mel spectrogram, uncompressed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
        return librosa.feature.melspectrogram(
            y=samples,
            sr=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            window=config.window,
            power=config.power,
            fmin=config.f_min,
            fmax=config.f_max,
            center=config.center,
            pad_mode=config.pad_mode,
        )


def plain(config: MelConfig, **changes: object) -> MelConfig:
    return dataclasses.replace(config, compression="none", half_precision=False, **changes)


def assert_equal_to_rounding(ours: torch.Tensor, theirs: NDArray[np.float32]) -> None:
    """Within a few float32 roundings of the loudest bin of each frame."""
    assert ours.shape == theirs.shape
    loudest = np.maximum(theirs.max(axis=-2, keepdims=True), 1e-12)
    assert np.abs(ours.numpy() - theirs).max() / loudest.max() < 1e-6
    assert (np.abs(ours.numpy() - theirs) / loudest).max() < 3e-6


@each_preset
def test_filter_bank_is_librosas_bit_for_bit(config: MelConfig) -> None:
    theirs = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=0.0
    )
    np.testing.assert_array_equal(mel_filters(config), theirs)


@each_preset
@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.3, 2.0, 7.77])
def test_mel_equals_librosa(config: MelConfig, seconds: float) -> None:
    samples = music(round(seconds * config.sample_rate), config.sample_rate)
    theirs = oracle(samples, config)
    assert_equal_to_rounding(log_mel(samples, plain(config)), theirs)
    if config.half_precision:
        theirs = theirs.astype(np.float16).astype(np.float32)
    compress = {
        "none": lambda mel: mel,
        "ln": lambda mel: np.log(1 + 10_000 * mel.astype(np.float64)),
        "log10": lambda mel: np.log10(1 + 10_000 * mel.astype(np.float64)),
    }[config.compression]
    # Half precision: a rounding of float32 may tip a value to the next float16, 2**-11 away.
    tolerance = 5e-4 if config.half_precision else 2e-4
    np.testing.assert_allclose(
        log_mel(samples, config), compress(theirs), atol=tolerance, rtol=1e-3
    )


@pytest.mark.parametrize("changes", [{"power": 1.0}, {"center": False}, {"pad_mode": "constant"}])
@pytest.mark.parametrize("config", [PAPER_MEL, HIGHLIGHT_MEL], ids=lambda c: c.name)
def test_other_settings_equal_librosa(config: MelConfig, changes: dict[str, object]) -> None:
    samples = music(22_050, 22_050)
    changed = plain(config, **changes)
    assert_equal_to_rounding(log_mel(samples, changed), oracle(samples, changed))


def test_other_band_equals_librosa() -> None:
    samples = music(22_050, 22_050)
    changed = plain(PAPER_MEL, f_min=80.0, f_max=8000.0, n_mels=64)
    assert_equal_to_rounding(log_mel(samples, changed), oracle(samples, changed))


@each_preset
@pytest.mark.parametrize("n_samples", [1, 2, 3, 100])
def test_clips_shorter_than_the_padding(config: MelConfig, n_samples: int) -> None:
    samples = music(n_samples, config.sample_rate) + 0.1
    mel = log_mel(samples, plain(config))
    assert mel.shape == (config.n_mels, config.n_frames(n_samples))
    assert_equal_to_rounding(mel, oracle(samples, config))


def test_release_mel_is_what_the_released_checkpoint_saw(shared: Path) -> None:
    expected = np.load(shared / "reference/jynet/battle_epic_expected.npz")
    mel = fit_frames(log_mel(expected["audio_22k"], RELEASE_MEL))
    np.testing.assert_allclose(mel, expected["xte"], rtol=8.3e-4, atol=0)


def test_jynet_mels_are_the_published_features(shared: Path) -> None:
    expected = np.load(shared / "reference/jynet/battle_epic_expected.npz")
    for config in JYNET_MELS:
        mel = log_mel(expected["audio_16k"], config)
        published = expected[f"feat_log_raw_{config.n_fft}"]
        np.testing.assert_allclose(mel.T[:911], published, atol=1e-4, rtol=0)


def test_musicnn_mel_is_the_packages_own(shared: Path) -> None:
    folder = shared / "reference/musicnn"
    (clip,) = folder.glob("*.mp3")
    samples, _ = librosa.load(clip, sr=16_000)
    published = np.load(folder / "joram_expected.npz")["log_mel_spectrogram"]
    np.testing.assert_allclose(log_mel(samples, MUSICNN_MEL).T, published, atol=1e-3, rtol=0)


@each_preset
def test_a_batch_is_its_clips_one_by_one(config: MelConfig) -> None:
    clips = np.stack([music(20_000, config.sample_rate, seed) for seed in range(6)])
    batch = log_mel(clips.reshape(2, 3, -1), config)
    assert batch.shape[:2] == (2, 3)
    for clip, mel in zip(clips, batch.flatten(0, 1), strict=True):
        torch.testing.assert_close(mel, log_mel(clip, config), atol=1e-3, rtol=1e-3)


def test_a_long_clip_is_worked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = music(40_000, 22_050)
    whole = log_mel(samples, HIGHLIGHT_MEL)
    monkeypatch.setattr("hitcore.features._BLOCK_VALUES", {"cpu": 5 * HIGHLIGHT_MEL.n_fft})
    torch.testing.assert_close(log_mel(samples, HIGHLIGHT_MEL), whole, atol=1e-5, rtol=1e-5)


def test_a_shift_by_one_hop_shifts_the_frames_by_one() -> None:
    samples = music(60_000, 22_050)
    mel, shifted = (log_mel(s, PAPER_MEL) for s in (samples, samples[PAPER_MEL.hop_length :]))
    torch.testing.assert_close(shifted[:, 3:20], mel[:, 4:21], atol=1e-5, rtol=1e-5)


def test_power_grows_with_the_square_of_the_gain() -> None:
    samples = music(30_000, 22_050)
    torch.testing.assert_close(
        log_mel(4 * samples, RELEASE_MEL), 16 * log_mel(samples, RELEASE_MEL)
    )


def test_a_tone_lands_in_its_own_bin() -> None:
    bank = mel_filters(RELEASE_MEL)
    for bin_ in (60, 90, 120):
        frequency = bank[bin_].argmax() * RELEASE_MEL.sample_rate / RELEASE_MEL.n_fft
        t = np.arange(44_100) / RELEASE_MEL.sample_rate
        mel = log_mel(np.sin(2 * np.pi * frequency * t), RELEASE_MEL)
        assert mel.mean(-1).argmax() == bin_


@each_preset
def test_silence_is_zero(config: MelConfig) -> None:
    mel = log_mel(np.zeros(30_000, np.float32), config)
    assert mel.dtype == torch.float32
    assert not mel.any()


def test_musicnn_values_go_through_float16() -> None:
    samples = music(16_000, 16_000)
    rounded = log_mel(samples, dataclasses.replace(MUSICNN_MEL, compression="none"))
    exact = log_mel(samples, plain(MUSICNN_MEL))
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact.half().float(), atol=0, rtol=0)


def test_musicnn_values_beyond_float16_stay_finite() -> None:
    assert log_mel(1e5 * music(16_000, 16_000), MUSICNN_MEL).isfinite().all()


def test_gradients_reach_the_samples() -> None:
    samples = torch.from_numpy(music(22_050, 22_050)).requires_grad_()
    log_mel(samples, PAPER_MEL).sum().backward()
    assert samples.grad is not None
    assert samples.grad.abs().sum() > 0


@pytest.mark.parametrize("n_frames", [1, 5, 128, 323])
@pytest.mark.parametrize("total", [1, 2, 160, 322, 323, 324, 325, 1000])
def test_fit_frames_keeps_the_middle(total: int, n_frames: int) -> None:
    mel = torch.arange(1.0, total + 1).expand(4, total)
    fitted = fit_frames(mel, n_frames)
    assert fitted.shape == (4, n_frames)
    if total >= n_frames:
        start = total // 2 - n_frames // 2
        torch.testing.assert_close(fitted, mel[:, start : start + n_frames])
    else:
        torch.testing.assert_close(fitted[:, :total], mel)
        assert not fitted[:, total:].any()


def test_fit_frames_is_the_released_crop() -> None:
    mel = torch.arange(1000.0).expand(2, 1000)
    torch.testing.assert_close(fit_frames(mel), mel[:, 1000 // 2 - 161 : 1000 // 2 + 162])


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda: log_mel(np.zeros(0, np.float32), PAPER_MEL), "at least one sample"),
        (lambda: log_mel(np.zeros(9, np.int16), PAPER_MEL), "floating point"),
        (lambda: log_mel(np.float32(3.0), PAPER_MEL), "at least one sample"),
        (lambda: fit_frames(torch.ones(2, 2), 0), "n_frames is 0"),
        (lambda: MelConfig("x", 16_000, 512, 0, 96), "hop_length is 0"),
        (lambda: MelConfig("x", 16_000, 512, 256, 96, f_max=9000.0), "9000.0 Hz"),
        (lambda: MelConfig("x", 16_000, 512, 256, 96, window="box"), "'box'"),
        (
            lambda: log_mel(np.zeros(9, np.float32), dataclasses.replace(PAPER_MEL, center=False)),
            "needs at least 4096",
        ),
    ],
)
def test_refusals_say_what_is_allowed(call, fragment: str) -> None:
    with pytest.raises(ParameterError, match=fragment):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_preset
def test_the_gpu_agrees_with_the_cpu(config: MelConfig) -> None:
    clips = np.stack([music(10 * config.sample_rate, config.sample_rate, s) for s in range(3)])
    on_gpu = log_mel(clips, plain(config), device="cuda")
    assert on_gpu.is_cuda
    assert_equal_to_rounding(on_gpu.cpu(), log_mel(clips, plain(config)).numpy())

"""The log-mel front end: samples in, mel spectrogram out, on the CPU or a GPU.

Each published model was trained on its own kind of mel spectrogram; feeding it another gives
plausible numbers that are wrong. So every kind is a named, frozen `MelConfig`, and every model
names its preset. The filter bank is Slaney's (linear below 1 kHz, logarithmic above, triangles of
unit area), as in librosa, which is the oracle of the tests.

Conventions:
    samples: mono `(..., n_samples)`, about -1 to 1, at the sample rate of the configuration.
    mel spectrogram: `(..., n_mels, n_frames)`, mel bin 0 is the lowest, frame t is centred on
    sample `t * hop_length`; there are `1 + n_samples // hop_length` frames.
    Short clips: reflection goes back and forth as often as the padding needs, as in numpy, so a
    single sample is already a valid clip. An empty one is an error.

References:
    M. Slaney: "Auditory Toolbox", technical report 1998-010, 1998.
    L.-C. Yu et al.: "Hit Song Prediction for Pop Music by Siamese CNN with Ranking Loss", 2017,
    section 2.5 (`PAPER_MEL`); the released checkpoint departs from it (`RELEASE_MEL`).
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hitcore.errors import ParameterError

# Values of the framed signal that are held at once: small enough for the cache of a CPU, large
# enough to fill a GPU. It bounds memory for songs of any length and batches of any size.
_BLOCK_VALUES = {"cpu": 1 << 19, "cuda": 1 << 26}

_MELS_AT_ONCE = 16
"""Mel bins of one matrix product, which spans their own frequencies alone."""

_LARGEST_HALF = 65504.0


@runtime_checkable
class Sound(Protocol):
    """Mono samples that know their rate, as a `hitcore.Waveform`."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """The samples, `(n_samples,)`."""
        ...

    @property
    def sample_rate(self) -> int:
        """Samples per second, Hz."""
        ...


@dataclass(frozen=True)
class MelConfig:
    """One kind of mel spectrogram, settled to the last detail.

    Example:
        >>> PAPER_MEL.n_frames(30 * PAPER_MEL.sample_rate)
        323
    """

    name: str
    """The name by which models refer to it."""
    sample_rate: int
    """Rate of the samples that go in, Hz."""
    n_fft: int
    """Length of the transform and of its window, samples."""
    hop_length: int
    """Distance between frames, samples."""
    n_mels: int
    """Number of mel bins."""
    window: Literal["hann", "hamming"] = "hann"
    """Window, in its periodic form."""
    power: float = 2.0
    """Exponent of the magnitude spectrum: 2 gives power, 1 magnitude."""
    f_min: float = 0.0
    """Lower edge of the lowest mel bin, Hz."""
    f_max: float | None = None
    """Upper edge of the highest mel bin, Hz; None: half the sample rate."""
    compression: Literal["none", "ln", "log10"] = "ln"
    """`none`: as it is; `ln`: ln(1 + gain * S); `log10`: log10(1 + gain * S)."""
    gain: float = 10_000.0
    """The factor inside the logarithm."""
    half_precision: bool = False
    """Round to float16 and back before the compression, as musicnn's training data were."""
    center: bool = True
    """Pad by n_fft / 2 on both sides, so that frame t is centred on sample t * hop_length."""
    pad_mode: Literal["reflect", "constant"] = "reflect"
    """What the padding holds: the mirrored signal, or zeros."""

    def __post_init__(self) -> None:
        for field in ("sample_rate", "n_fft", "hop_length", "n_mels", "power", "gain"):
            if not getattr(self, field) > 0:
                raise ParameterError(f"{field} is {getattr(self, field)}; it must be above 0")
        if not 0 <= self.f_min < self.highest <= self.sample_rate / 2:
            raise ParameterError(
                f"the mel bins span {self.f_min} to {self.highest} Hz; allowed is "
                f"0 <= f_min < f_max <= {self.sample_rate / 2} Hz (half the sample rate)"
            )
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                given = getattr(self, field)
                raise ParameterError(f"{field} is {given!r}; allowed are {', '.join(allowed)}")

    @property
    def highest(self) -> float:
        """The upper edge of the highest mel bin, Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    def n_frames(self, n_samples: int) -> int:
        """The number of frames that `n_samples` samples give."""
        reach = n_samples if self.center else n_samples - self.n_fft
        return 1 + reach // self.hop_length

    def frame_times(self, n_frames: int) -> NDArray[np.float64]:
        """The centre of each frame, seconds.

        Example:
            >>> MUSICNN_MEL.frame_times(3)
            array([0.   , 0.016, 0.032])
        """
        offset = 0.0 if self.center else self.n_fft / 2
        return (np.arange(n_frames) * self.hop_length + offset) / self.sample_rate


_CHOICES = {
    "window": ("hann", "hamming"),
    "compression": ("none", "ln", "log10"),
    "pad_mode": ("reflect", "constant"),
}

PAPER_MEL = MelConfig("paper", 22_050, 4096, 2048, 128, window="hamming")
"""The paper's front end; the compression is that of its reference [18]."""
RELEASE_MEL = MelConfig("release", 22_050, 4096, 2048, 128, compression="none")
"""What the authors' released checkpoint was trained on: a Hann window and raw power."""
MUSICNN_MEL = MelConfig("musicnn", 16_000, 512, 256, 96, compression="log10", half_precision=True)
"""The input of the musicnn taggers."""
JYNET_MELS = tuple(
    MelConfig(f"jynet-{n_fft}", 16_000, n_fft, 512, 128)
    for n_fft in (512, 1024, 2048, 4096, 8192, 16_384)
)
"""The six resolutions of the JYnet tagger, finest in time first."""
HIGHLIGHT_MEL = MelConfig("highlight", 22_050, 2048, 512, 128)
"""The input of the attention-based highlight extractor."""

MEL_PRESETS = {
    config.name: config
    for config in (PAPER_MEL, RELEASE_MEL, MUSICNN_MEL, *JYNET_MELS, HIGHLIGHT_MEL)
}
"""Every preset by its name."""


def log_mel(
    samples: Tensor | NDArray[np.floating] | Sound,
    config: MelConfig,
    device: torch.device | str | None = None,
) -> Tensor:
    """The mel spectrogram of one clip or a batch of clips of equal length.

    The work is done on `device` (None: where the samples are) and the result stays there. Memory
    beyond input and output is bounded, so a song of any length may be passed. The result is
    differentiable in the samples.

    Args:
        samples: mono samples at `config.sample_rate`, or a waveform of that rate.
        config: the kind of mel spectrogram.
        device: where to compute, such as "cuda".

    Shape:
        samples `(..., n_samples)` -> `(..., n_mels, n_frames)`, float32.

    Raises:
        ParameterError: the clip is empty, not a floating-point signal, or of another rate.

    Example:
        >>> log_mel(np.zeros((2, 22_050), np.float32), PAPER_MEL).shape
        torch.Size([2, 128, 11])
    """
    if isinstance(samples, Sound):
        if samples.sample_rate != config.sample_rate:
            raise ParameterError(
                f"the waveform has {samples.sample_rate} Hz and {config.name} takes "
                f"{config.sample_rate} Hz: waveform.resample({config.sample_rate}) first"
            )
        samples = samples.samples
    signal = torch.as_tensor(samples)
    if signal.ndim == 0 or signal.shape[-1] == 0 or not signal.is_floating_point():
        raise ParameterError(
            f"samples have shape {tuple(signal.shape)} and type {signal.dtype}; allowed is "
            "floating point (..., n_samples) with at least one sample"
        )
    signal = signal.to(device=device, dtype=torch.float32)
    clips = signal.reshape(-1, signal.shape[-1])
    if config.center:
        clips = _pad(clips, config.n_fft // 2, config.pad_mode)
    elif clips.shape[-1] < config.n_fft:
        raise ParameterError(
            f"the clip has {clips.shape[-1]} samples; without centring {config.name} needs "
            f"at least {config.n_fft}"
        )
    mel = _compress(_mel_power(clips, config), config)
    return mel.reshape(*signal.shape[:-1], *mel.shape[-2:])


def fit_frames(mel: Tensor, n_frames: int = 323) -> Tensor:
    """The middle `n_frames` frames; a shorter spectrogram is padded with zeros at its end.

    Zero is what silence gives under every compression. The frames kept are
    `[T // 2 - n_frames // 2, ...)`, as the released model's data were cut.

    Shape:
        `(..., n_mels, T)` -> `(..., n_mels, n_frames)`.

    Example:
        >>> fit_frames(torch.arange(7.0).reshape(1, 7), 3)
        tensor([[2., 3., 4.]])
        >>> fit_frames(torch.ones(1, 2), 3)
        tensor([[1., 1., 0.]])
    """
    if n_frames < 1:
        raise ParameterError(f"n_frames is {n_frames}; it must be at least 1")
    missing = n_frames - mel.shape[-1]
    if missing > 0:
        return functional.pad(mel, (0, missing))
    start = mel.shape[-1] // 2 - n_frames // 2
    return mel[..., start : start + n_frames]


def mel_filters(config: MelConfig) -> NDArray[np.float32]:
    """Slaney's mel filter bank: one triangle of unit area (in Hz) for each mel bin.

    Shape:
        `(n_mels, n_fft // 2 + 1)`.

    Example:
        >>> bank = mel_filters(MUSICNN_MEL)
        >>> bank.shape, bool((bank >= 0).all())
        ((96, 257), True)
    """
    frequencies = np.fft.rfftfreq(config.n_fft, 1.0 / config.sample_rate)
    edges = _hz(np.linspace(_mel(config.f_min), _mel(config.highest), config.n_mels + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - frequencies[None, :]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    area = 2.0 / (edges[2:] - edges[:-2])
    return (triangles * area[:, None]).astype(np.float32)


# --- inside --------------------------------------------------------------------------------------

_HZ_PER_MEL = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def _mel(hz: float) -> float:
    """Slaney's mel of a frequency: linear up to 1 kHz, 27 steps per factor 6.4 above."""
    if hz < _KNEE_HZ:
        return hz / _HZ_PER_MEL
    return _KNEE_MEL + math.log(hz / _KNEE_HZ) / _LOG_STEP


def _hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The frequency of a mel; the inverse of `_mel`."""
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)


@functools.lru_cache(maxsize=32)
def _filters_on(config: MelConfig, device: torch.device) -> list[tuple[slice, Tensor]]:
    """The filter bank a few mel bins at a time: which values of a frame they take, and how much.

    A frame's values are the squares of its real and imaginary parts in turn, so that power is
    summed by the matrix product; outside its own frequencies a filter is 0.
    """
    groups = []
    for filters in torch.split(torch.from_numpy(mel_filters(config)), _MELS_AT_ONCE):
        heard = torch.nonzero(filters.sum(dim=0)).flatten().tolist() or [0]
        first, last = heard[0], heard[-1] + 1
        weights = filters[:, first:last].repeat_interleave(2, dim=1).T.contiguous()
        groups.append((slice(2 * first, 2 * last), weights.to(device)))
    return groups


@functools.lru_cache(maxsize=32)
def _window_on(config: MelConfig, device: torch.device) -> Tensor:
    make = torch.hann_window if config.window == "hann" else torch.hamming_window
    return make(config.n_fft, periodic=True, dtype=torch.float64).float().to(device)


def _pad(clips: Tensor, width: int, mode: str) -> Tensor:
    """`width` samples more on both sides."""
    n_samples = clips.shape[-1]
    if mode == "constant":
        return functional.pad(clips, (width, width))
    if n_samples > width:
        return functional.pad(clips, (width, width), mode="reflect")
    if n_samples == 1:
        return clips.expand(-1, 2 * width + 1)
    # The clip is shorter than its padding: walk back and forth over it.
    period = 2 * (n_samples - 1)
    walk = torch.arange(-width, n_samples + width, device=clips.device) % period
    return clips[:, torch.minimum(walk, period - walk)]


def _mel_power(clips: Tensor, config: MelConfig) -> Tensor:
    """The uncompressed mel spectrogram of padded clips, a block of frames at a time."""
    window = _window_on(config, clips.device)
    filters = _filters_on(config, clips.device)
    n_frames = 1 + (clips.shape[-1] - config.n_fft) // config.hop_length
    budget = _BLOCK_VALUES.get(clips.device.type, _BLOCK_VALUES["cpu"])
    step = max(1, budget // (config.n_fft * max(1, len(clips))))
    blocks = []
    for first in range(0, n_frames, step):
        last = min(first + step, n_frames) - 1
        part = clips[:, first * config.hop_length : last * config.hop_length + config.n_fft]
        frames = part.unfold(1, config.n_fft, config.hop_length)
        parts = torch.view_as_real(torch.fft.rfft(frames * window)).flatten(-2)
        squares = parts.square()
        if config.power != 2.0:
            power = squares[..., 0::2] + squares[..., 1::2]
            # Half to each part, whose sum the filters take.
            squares = (power.pow(config.power / 2.0) / 2.0).repeat_interleave(2, dim=-1)
        blocks.append(torch.cat([squares[..., own] @ bank for own, bank in filters], dim=-1))
    return torch.cat(blocks, dim=1).transpose(1, 2).contiguous()


def _compress(mel: Tensor, config: MelConfig) -> Tensor:
    if config.half_precision:
        mel = mel.clamp(max=_LARGEST_HALF).half().float()
    if config.compression == "none":
        return mel
    log = torch.log1p(config.gain * mel)
    return log / math.log(10.0) if config.compression == "log10" else log

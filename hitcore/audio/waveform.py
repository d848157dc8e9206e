"""Mono sound in memory: crop, resample, encode."""

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from hitcore.errors import AudioError, ParameterError

SAMPLE_RATES = (1_000, 768_000)
"""The lowest and highest sample rate that make sense, Hz."""


@dataclass(frozen=True, eq=False)
class Waveform:
    """Mono sound.

    Shape:
        samples: `(n_samples,)`.

    Raises:
        ParameterError: the samples are not one row of numbers, or the rate is not positive.
        AudioError: a sample is NaN or infinite.

    Example:
        >>> Waveform(np.zeros(44_100), 22_050).duration_s
        2.0
    """

    samples: NDArray[np.float32]
    """Full scale is 1; converted to contiguous float32."""
    sample_rate: int
    """Samples per second, Hz."""

    def __post_init__(self) -> None:
        if getattr(self.samples, "requires_grad", False):
            raise ParameterError("samples carry gradients: give samples.detach() instead")
        given = np.asarray(self.samples)
        if given.ndim != 1 or given.dtype.kind != "f":
            raise ParameterError(
                f"samples have shape {given.shape} and type {given.dtype}; allowed is mono "
                "floating point (n_samples,): average the channels, divide integers by full scale"
            )
        if not isinstance(self.sample_rate, int | np.integer) or self.sample_rate <= 0:
            raise ParameterError(f"sample_rate is {self.sample_rate!r}; it must be a positive int")
        if not math.isfinite(float(given.sum(dtype=np.float64))):
            raise AudioError(
                "the samples hold NaN or infinite values; every sample must be a finite number; "
                "clean the array where it is made"
            )
        object.__setattr__(self, "samples", np.ascontiguousarray(given, dtype=np.float32))
        object.__setattr__(self, "sample_rate", int(self.sample_rate))

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def crop(self, start_s: float, end_s: float) -> "Waveform":
        """The samples of `[start_s, end_s)`; silence where that reaches outside.

        The length depends on `end_s - start_s` alone, so equal intervals give equal lengths.

        Example:
            >>> wave = Waveform(np.ones(100), 100)
            >>> part = wave.crop(0.9, 1.2)
            >>> len(part.samples), float(part.samples.sum())
            (30, 10.0)
        """
        if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s <= end_s):
            raise ParameterError(f"crop({start_s}, {end_s}): start must not lie behind the end")
        first = round(start_s * self.sample_rate)
        last = first + round((end_s - start_s) * self.sample_rate)
        inside = self.samples[max(0, first) : max(0, last)]
        before = min(max(0, -first), last - first)
        after = last - first - before - len(inside)
        if before or after:
            inside = np.pad(inside, (before, after))
        return Waveform(inside, self.sample_rate)

    def resample(self, sample_rate: int) -> "Waveform":
        """The same sound at another rate.

        Example:
            >>> len(Waveform(np.zeros(44_100), 44_100).resample(16_000).samples)
            16000
        """
        check_rate(sample_rate)
        if sample_rate == self.sample_rate:
            return self
        resampled = soxr.resample(self.samples, self.sample_rate, sample_rate, quality="HQ")
        return Waveform(resampled, sample_rate)


def encode(waveform: Waveform, format: Literal["WAV", "FLAC"] = "WAV") -> bytes:
    """The content of a 16-bit sound file; what is beyond full scale is clipped.

    Example:
        >>> encode(Waveform(np.zeros(8), 8000))[:4]
        b'RIFF'
    """
    if format not in ("WAV", "FLAC"):
        raise ParameterError(f"format is {format!r}; allowed are WAV and FLAC")
    file = io.BytesIO()
    soundfile.write(file, waveform.samples, waveform.sample_rate, "PCM_16", format=format)
    return file.getvalue()


def check_rate(rate: object) -> None:
    """Refuse a sample rate that is none."""
    low, high = SAMPLE_RATES
    if not isinstance(rate, int | np.integer) or not low <= rate <= high:
        raise ParameterError(f"sample_rate is {rate!r}; allowed is an int from {low} to {high} Hz")

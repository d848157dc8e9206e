"""What comes back in a song: features over time and the time-lag matrix of their similarity.

A moment is described by its harmony (chroma: the strength of the twelve pitch classes), its melody
(the strength of each semitone in the range of the voice) and its timbre (cepstral coefficients of
the mel spectrum), each against the song's own mean, so that what all of the song shares says
nothing. The time-lag matrix says how alike the moments `t` and `t + lag` are; a passage that comes
back is a line along time at one lag.

Silence at both ends is cut off before anything is measured, and the level is normalised: neither a
gain nor a silent tail changes a single number.

References:
    M. Goto: "A chorus section detection method for musical audio signals", IEEE TASLP 2006 (time
    lag, neighbouring lags subtracted).
    M. Mueller: "Fundamentals of Music Processing", 2015, chapter 4.
    E. Zwicker, H. Fastl: "Psychoacoustics", 1999, chapter 8 (specific loudness is about the power
    0.23 of a band's energy).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from hitcore.audio import Waveform

Array = NDArray[np.float32]

SAMPLE_RATE = 22050
N_FFT = 8192
HOP_LENGTH = 4096
MAX_FRAMES = 2048
"""A longer song gets longer hops: the matrix, and with it memory and time, stays bounded."""
SILENCE_DB = 50.0
"""Frames this far below the loud ones are silent."""
LOWEST_LEVEL = 1e-5
"""Root mean square (full scale = 1) below which a whole song counts as silent."""
PITCHES = np.arange(40, 97)
"""Semitones whose strength is measured, E2 to C7, as MIDI numbers."""
VOICE = slice(15, 51)
"""Those of them where voices sing: G3 to F#6."""


@dataclass(frozen=True, eq=False)
class SongFrames:
    """A song as a row of moments, from the first that sounds to the last."""

    chroma: Array
    """`(n_frames, 12)`, centred on the song's mean, unit length."""
    melody: Array
    """`(n_frames, 36)`, semitones from G3 to F#6, centred on the song's mean, unit length."""
    timbre: Array
    """`(n_frames, 15)`, standardised over the song, unit length."""
    loudness: Array
    """`(n_frames,)`, perceived loudness; 1 = that of the song's loud passages."""
    hop_s: float
    """Seconds from frame to frame."""
    start_s: float
    """Where the first frame starts, in seconds of the song."""

    @property
    def end_s(self) -> float:
        """Where the last frame ends, in seconds of the song."""
        return self.start_s + self.n_frames * self.hop_s

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.loudness)


def describe(waveform: Waveform) -> SongFrames | None:
    """Harmony, melody, timbre and loudness of a song over time; None for silence.

    Example:
        >>> describe(Waveform(np.zeros(44100, np.float32), 22050)) is None
        True
    """
    if waveform.sample_rate != SAMPLE_RATE:
        waveform = waveform.resample(SAMPLE_RATE)
    span = sounding_span(waveform)
    if span is None:
        return None
    first, last = (round(edge * SAMPLE_RATE) for edge in span)
    samples = waveform.samples[first:last]
    # The logarithms below have floors: at one level, a gain changes nothing.
    samples = samples * np.float32(0.1 / np.sqrt(np.mean(samples**2)))
    hop = HOP_LENGTH * max(1, -(-len(samples) // (HOP_LENGTH * MAX_FRAMES)))
    power = _power_spectrogram(samples, hop)
    level = 10 * np.log10(power.sum(axis=1) + 1e-12)
    sounding = level > np.percentile(level, 95) - SILENCE_DB
    pitches = np.log1p(100 * np.sqrt(power @ _pitch_bank()))
    chroma, melody = pitches @ _pitch_classes(), pitches[:, VOICE]
    bands = power @ _mel_bank()
    cepstrum = scipy.fft.dct(np.log(bands + 1e-5), axis=1, norm="ortho")
    loudness = (bands**0.23).sum(axis=1)
    return SongFrames(
        chroma=_unit(chroma - chroma[sounding].mean(axis=0), sounding),
        melody=_unit(melody - melody[sounding].mean(axis=0), sounding),
        timbre=_unit(_standardise(cepstrum[:, 1:16], sounding), sounding),
        loudness=loudness / np.percentile(loudness, 95),
        hop_s=hop / SAMPLE_RATE,
        start_s=first / SAMPLE_RATE,
    )


def sounding_span(waveform: Waveform) -> tuple[float, float] | None:
    """From the first moment of a song that is not silent to the last, in seconds; None: silence.

    Example:
        >>> sound = np.zeros(10_240, np.float32)
        >>> sound[2048:4096] = 0.5
        >>> sounding_span(Waveform(sound, 1024))
        (2.0, 4.0)
    """
    samples, n_blocks = waveform.samples, len(waveform.samples) // 1024
    blocks = samples[: n_blocks * 1024].reshape(n_blocks, 1024)
    level = np.sqrt(np.einsum("ij,ij->i", blocks, blocks).astype(np.float64) / 1024)
    if n_blocks == 0 or level.max() <= LOWEST_LEVEL:
        return None
    sounding = np.flatnonzero(level > level.max() * 10 ** (-SILENCE_DB / 20))
    # The samples after the last whole block belong to it.
    last = len(samples) if sounding[-1] == n_blocks - 1 else int(sounding[-1] + 1) * 1024
    return float(sounding[0] * 1024 / waveform.sample_rate), last / waveform.sample_rate


def time_lag(features: Array, later: Array | None = None) -> Array:
    """Cosine similarity of the moments `t` and `t + lag`; zero where `t + lag` is past the end.

    Args:
        features: What sounds at `t`.
        later: What sounds at `t + lag`, if it is described in another way; None: the same.

    Shape:
        features: `(n_frames, n_features)`, rows of unit length; returns `(n_frames, n_lags)` with
        as many lags as frames.

    Example:
        >>> time_lag(np.array([[1, 0], [0, 1], [1, 0]], np.float32)).tolist()
        [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    n = len(features)
    padded = np.zeros((n, 2 * n), np.float32)
    np.matmul(features, (features if later is None else later).T, out=padded[:, :n])
    return _skewed(padded).copy()


def time_time(lagged: Array) -> Array:
    """From `(t, lag)` to `(t, u)`: the symmetric matrix of the moments `t` and `u`.

    Shape:
        `(n_frames, n_lags)` to `(n_frames, n_frames)`; zero on the diagonal.

    Example:
        >>> time_time(np.array([[9, 1, 2], [9, 3, 0], [9, 0, 0]], np.float32)).tolist()
        [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    n = len(lagged)
    padded = np.zeros((n, 2 * n), np.float32)
    _skewed(padded)[:, 1:] = lagged[:, 1:]
    square: Array = padded[:, :n] + padded[:, :n].T
    return square


def _skewed(padded: Array) -> Array:
    """A view of an `(n, 2n)` matrix whose row `t` starts at column `t`."""
    n, step = len(padded), padded.itemsize
    return as_strided(padded, (n, n), ((2 * n + 1) * step, step))


def running_sums(lagged: NDArray[np.generic], dtype: type = np.float32) -> NDArray[Any]:
    """Sums along time from the first row on; row by row, which the cache likes better than numpy's.

    Example:
        >>> running_sums(np.ones((3, 2), np.float32)).tolist()
        [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """
    sums: NDArray[Any] = np.empty(lagged.shape, dtype)
    sums[:1] = lagged[:1]
    for before, row, total in zip(sums[:-1], lagged[1:], sums[1:], strict=True):
        np.add(before, row, out=total)
    return sums


def window_means(running: Array, n_frames: int) -> Array:
    """The mean of each lag's similarity over windows of `n_frames`, by the window's middle.

    Args:
        running: From `running_sums`.
        n_frames: Length of a window, odd.

    Shape:
        running: `(n_frames, n_lags)`, of `time_lag`; returns `(n_windows, n_windows)`, for the
        middles and the lags that leave room for a window.

    Example:
        >>> window_means(running_sums(time_lag(np.ones((4, 1), np.float32))), 3).round(2)
        array([[1.  , 1.  ],
               [1.  , 0.67]], dtype=float32)
    """
    n_windows = max(0, len(running) - n_frames + 1)
    # Sums of windows as differences of running sums: whole rows at a time, which is quick.
    means = running[n_frames - 1 :, :n_windows].copy()
    if n_windows > 1:
        means[1:] -= running[: n_windows - 1, :n_windows]
    means /= n_frames
    return means


def hold_ends(means: Array, n: int) -> Array:
    """Means of windows drawn out over all `n` frames of the song.

    Near its ends the nearest window that lies wholly inside is taken, so that the mean is always
    over as many values; a lag that leaves no room for one is zero.

    Shape:
        means: `(n_windows, n_windows)`, from `window_means`; returns `(n, n)`, as `time_lag`.

    Example:
        >>> hold_ends(np.array([[3, 2], [4, 0]], np.float32), 4).tolist()
        [[3.0, 2.0, 0.0, 0.0], [3.0, 2.0, 0.0, 0.0], [4.0, 2.0, 0.0, 0.0], [4.0, 2.0, 0.0, 0.0]]
    """
    n_windows = len(means)
    half = (n - n_windows) // 2
    smooth: Array = np.zeros((n, n), np.float32)
    if not n_windows:
        return smooth
    smooth[half : half + n_windows, :n_windows] = means
    smooth[:half, :n_windows] = means[:1]
    last = n_windows - 1 - np.arange(n_windows)  # the last window of each lag
    held = means[last, np.arange(n_windows)]
    for t in range(half, n):
        first = max(0, n - half - t)
        smooth[t, first:n_windows] = held[first:]
    return smooth


# --- features ------------------------------------------------------------------------------------


def _power_spectrogram(samples: Array, hop: int) -> Array:
    """`(n_frames, N_FFT // 2 + 1)`; a frame is the mean over the spectra of its hop."""
    padded = np.pad(samples, (N_FFT // 2, N_FFT // 2 + hop))
    frames = sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    per_frame = hop // HOP_LENGTH
    n_frames = max(1, -(-len(samples) // hop))
    window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    power = np.empty((n_frames, N_FFT // 2 + 1), np.float32)
    for first in range(0, n_frames, 8):
        last = min(first + 8, n_frames)
        spectra = scipy.fft.rfft(frames[first * per_frame : last * per_frame] * window, axis=1)
        energy = np.square(spectra.real)
        energy += np.square(spectra.imag)
        if per_frame > 1:
            energy = energy.reshape(last - first, per_frame, -1).mean(axis=1)
        power[first:last] = energy
    return power


@lru_cache(maxsize=1)
def _pitch_bank() -> Array:
    """One triangle per semitone from E2 (40) to C7 (96) over the bins `(n_bins, 57)`."""
    frequencies = np.arange(1, N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    pitches = 69 + 12 * np.log2(frequencies / 440)
    bank = np.maximum(0, 1 - np.abs(pitches[:, None] - PITCHES[None, :]))
    bank = np.vstack([np.zeros(len(PITCHES)), bank / np.maximum(bank.sum(axis=0), 1)])
    return np.asarray(bank, np.float32)


@lru_cache(maxsize=1)
def _pitch_classes() -> Array:
    """From pitches to pitch classes `(57, 12)`."""
    classes = PITCHES[:, None] % 12 == np.arange(12)[None, :]
    return np.asarray(classes, np.float32)


@lru_cache(maxsize=1)
def _mel_bank() -> Array:
    """Forty triangles from 60 Hz to 8 kHz, evenly spaced in mel `(n_bins, 40)`."""
    frequencies = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    mel = 1127 * np.log1p(frequencies / 700)
    edges = np.linspace(1127 * np.log1p(60 / 700), 1127 * np.log1p(8000 / 700), 42)
    rising = (mel[:, None] - edges[None, :-2]) / (edges[1] - edges[0])
    bank = np.maximum(0, np.minimum(rising, 2 - rising))
    return np.asarray(bank / np.maximum(bank.sum(axis=0), 1e-9), np.float32)


def _standardise(features: Array, sounding: NDArray[np.bool_]) -> Array:
    centred = features - features[sounding].mean(axis=0)
    scaled: Array = centred / (centred[sounding].std(axis=0) + 1e-6)
    return scaled


def _unit(features: Array, sounding: NDArray[np.bool_]) -> Array:
    """Rows of unit length; a silent frame is like no other."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.where(sounding[:, None], features / np.maximum(length, 1e-6), 0)
    return unit.astype(np.float32)

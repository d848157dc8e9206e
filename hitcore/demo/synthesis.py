"""Notes to sound: wavetable lines, additive pads and drum strokes, all vectorised.

The problem: hundreds of hours of music from one core. So nothing is computed per sample in Python,
nothing twice, and phrases are periodic: a Fourier synthesis of a whole bar loops without a seam.

Conventions:
    Samples are float32 at 22,050 Hz; control values (pitch, loudness) come every `HOP` samples.
    A partial k of a note at f Hz has amplitude `k^-tilt × formants(kf) × filter(kf) × decay(age)`.

References:
    J. O. Smith: "Spectral Audio Signal Processing" (additive synthesis by the inverse FFT).
    K. Stevens: "Acoustic Phonetics" (formants of the vowels).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from hitcore.demo.composition import Notes
from hitcore.demo.config import SAMPLE_RATE

Samples = NDArray[np.float32]

HOP = 128
TABLE = 1024
N_PARTIALS = 80
_AGE_EDGES = np.array([0.025, 0.06, 0.11, 0.18, 0.3, 0.5, 0.9])
_AGES = np.concatenate([[0.0], _AGE_EDGES])

# Centre frequencies of the first four formants of a, e, i, o, u, Hz, for a voice of size 1.
_FORMANTS = np.array(
    [
        [800, 1200, 2600, 3400],
        [480, 1850, 2550, 3500],
        [310, 2200, 2950, 3700],
        [480, 850, 2500, 3400],
        [340, 700, 2400, 3300],
    ],
    dtype=float,
)
_FORMANT_GAIN = np.array([1.0, 0.7, 0.35, 0.25])
_FORMANT_WIDTH = np.array([110.0, 130.0, 190.0, 260.0])


@dataclass(frozen=True)
class Timbre:
    """How an instrument or a voice sounds."""

    tilt: float = 1.0
    """Partials fall as k^-tilt: 0.6 is brilliant, 2 is dull."""
    even: float = 1.0
    """Level of the even partials; 0 is hollow."""
    voice: float = 0.0
    """Size of a singer's formants (about 1); 0 is no voice."""
    cutoff: float = 9_000.0
    """Where a gentle low-pass begins, Hz."""
    decay_s: float = 0.0
    """Time in which a struck tone falls to 1/e; 0 is sustained."""
    damping: float = 0.0
    """How much faster high partials die: per second and kHz."""
    attack_s: float = 0.008
    """Rise time."""
    release_s: float = 0.04
    """Fall time after the note's end."""
    vibrato_cents: float = 0.0
    """Depth of the vibrato."""
    glide: float = 0.0
    """How slowly pitch moves to the next note, 0 to 1."""


def render_line(notes: Notes, timbre: Timbre, step: int, n_samples: int) -> Samples:
    """One voice, one note at a time, shape (n_samples,); a note ends when the next begins.

    Every (pitch, vowel, age) gets one period of sound in a table, and each sample is one lookup.
    """
    n_frames = -(-n_samples // HOP)
    if len(notes.start) == 0:
        return np.zeros(n_samples, np.float32)
    frame_s = HOP / SAMPLE_RATE
    begins = notes.start * step / HOP
    frames = np.arange(n_frames)
    which = np.clip(np.searchsorted(begins, frames, side="right") - 1, 0, None)
    age = (frames - begins[which]) * frame_s
    left = notes.length[which] * step / SAMPLE_RATE - age
    amplitude = _envelope(age, left, notes.velocity[which], timbre)
    frequency = 440.0 * 2 ** ((notes.pitch - 69) / 12)
    rows, tables = _tables(notes, frequency, which, age, timbre)
    return _look_up(
        tables, rows, _bent(frequency[which], age, timbre), amplitude.astype(np.float32)
    )[:n_samples]


def render_pad(
    pitches: NDArray[np.float64], timbre: Timbre, detune: int, n_samples: int, phase_seed: int
) -> Samples:
    """A held chord that fills `n_samples` and loops without a seam, shape (n_samples,).

    All partials go into one spectrum; `detune` bins apart stand the two halves of each, which
    beat against each other.
    """
    frequency = 440.0 * 2 ** ((pitches - 69) / 12)
    k = np.arange(1, 41)
    partials = frequency[:, None] * k
    amplitude = _partial_amplitudes(frequency, k, timbre)
    inside = partials < 0.45 * SAMPLE_RATE
    bins = np.round(partials[inside] * n_samples / SAMPLE_RATE).astype(np.int64)
    turn = np.exp(2j * np.pi * np.random.default_rng(phase_seed).random((2, bins.size)))
    spectrum = np.zeros(n_samples // 2 + 1, np.complex64)
    np.add.at(spectrum, np.maximum(bins - detune, 0), 0.5 * amplitude[inside] * turn[0])
    np.add.at(
        spectrum, np.minimum(bins + detune, len(spectrum) - 1), 0.5 * amplitude[inside] * turn[1]
    )
    sound: Samples = irfft(spectrum, n_samples)
    sound *= n_samples / 2
    edge = np.minimum(np.arange(n_samples, dtype=np.float32) / 600, 1)
    return sound * edge * edge[::-1]


def strike(phrase: Samples, drum: Samples, strokes: NDArray[np.float64], step: int) -> None:
    """Add a drum's strokes to a phrase, in place; what rings past the end begins it anew."""
    n = len(phrase)
    for start, strength in strokes:
        first = int(start * step) % n
        head = min(len(drum), n - first)
        phrase[first : first + head] += np.float32(strength) * drum[:head]
        if head < len(drum):
            phrase[: len(drum) - head] += np.float32(strength) * drum[head:]


def muddy_room(sound: Samples, seed: int) -> Samples:
    """A periodic phrase as a dull, boomy room gives it back: smoothed, then many echoes.

    Shape:
        `(n_samples,)` to `(n_samples,)`.
    """
    rng = np.random.default_rng(seed)
    dull = uniform_filter1d(sound, 15, mode="wrap")
    wet = np.zeros_like(sound)
    for echo in range(14):
        delay = int((0.012 + 0.45 * rng.random() ** 1.5) * SAMPLE_RATE)
        level = np.float32((-1) ** echo * np.exp(-delay / (0.22 * SAMPLE_RATE)))
        wet[delay:] += level * dull[:-delay]
        wet[:delay] += level * dull[-delay:]
    return wet


# --- drums ---------------------------------------------------------------------------------------


def drum_kit(kit: str, clarity: float, rng: np.random.Generator) -> dict[str, Samples]:
    """The strokes of a kit; a clear production has shorter, harder ones."""
    deep = {"acoustic": 60, "rock": 64, "dance": 48, "trap": 42, "soft": 70}[kit]
    long = {"acoustic": 0.12, "rock": 0.13, "dance": 0.16, "trap": 0.32, "soft": 0.1}[kit]
    ring = 1.5 - 0.8 * clarity
    drums = {
        "kick": _membrane(deep * rng.uniform(0.9, 1.1), long, 5.0, 0.03) * 1.3,
        "tom": _membrane(110 * rng.uniform(0.9, 1.1), 0.18 * ring, 1.2, 0.06),
        "hat": 0.35 * _noise(0.03 * ring, 6000, rng),
        "shaker": 0.22 * _noise(0.022 * ring, 4200, rng),
        "crash": 0.5 * _noise(0.55 * ring, 3800, rng),
    }
    body = _noise({"soft": 0.05, "trap": 0.07}.get(kit, 0.1) * ring, 1400, rng)
    tone = _membrane(190 * rng.uniform(0.9, 1.1), 0.05, 0.6, 0.02)
    snare = 0.7 * body
    snare[: len(tone)] += tone[: len(snare)] * (0.1 if kit in ("dance", "trap") else 0.5)
    if kit in ("dance", "trap"):  # a clap: a few strokes in quick succession
        late = int(0.011 * SAMPLE_RATE)
        for turn in (1, 2):
            snare[turn * late :] += 0.6 * body[: len(body) - turn * late]
    click = np.zeros(64, np.float32)
    click[:8] = 0.6 * clarity
    drums["kick"][:64] += click
    return drums | {"snare": snare.astype(np.float32)}


def _membrane(hz: float, decay_s: float, bend: float, bend_s: float) -> Samples:
    t = np.arange(int(5 * decay_s * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    phase = 2 * np.pi * hz * (t + bend * bend_s * (1 - np.exp(-t / bend_s)))
    sound: Samples = (np.sin(phase) * np.exp(-t / decay_s)).astype(np.float32)
    return sound


def _noise(decay_s: float, high_pass: float, rng: np.random.Generator) -> Samples:
    n = int(next_fast_len(int(4 * decay_s * SAMPLE_RATE) + 64, real=True))
    spectrum = rfft(rng.standard_normal(n).astype(np.float32))
    f = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    spectrum *= (1 / (1 + (high_pass / np.maximum(f, 1)) ** 4)).astype(np.float32)
    sound: Samples = irfft(spectrum, n)
    sound *= np.exp(-np.arange(n, dtype=np.float32) / np.float32(decay_s * SAMPLE_RATE))
    return sound


# --- inside a line -------------------------------------------------------------------------------


def _envelope(
    age: NDArray[np.float64], left: NDArray[np.float64], velocity: NDArray[np.float64], t: Timbre
) -> NDArray[np.float64]:
    level = velocity * np.clip(age / t.attack_s, 0, 1) * np.clip(1 + left / t.release_s, 0, 1)
    return level * np.exp(-np.maximum(age, 0) / t.decay_s) if t.decay_s else level


def _bent(
    frequency: NDArray[np.float64], age: NDArray[np.float64], t: Timbre
) -> NDArray[np.float64]:
    """Pitch per frame: glides between notes and vibrato that sets in late."""
    if t.glide:
        width = max(1, int(t.glide * 0.12 * SAMPLE_RATE / HOP))
        padded = np.concatenate([np.full(width - 1, frequency[0]), frequency])
        frequency = np.convolve(padded, np.full(width, 1 / width), mode="valid")
    if t.vibrato_cents:
        time = np.arange(len(frequency)) * HOP / SAMPLE_RATE
        depth = t.vibrato_cents * np.clip((age - 0.12) / 0.3, 0, 1)
        frequency = frequency * 2 ** (depth * np.sin(2 * np.pi * 5.4 * time) / 1200)
    return frequency


def _tables(
    notes: Notes,
    frequency: NDArray[np.float64],
    which: NDArray[np.int64],
    age: NDArray[np.float64],
    timbre: Timbre,
) -> tuple[NDArray[np.int64], Samples]:
    """The row of each frame, and one period per row, shape (n_rows, TABLE)."""
    sung = timbre.voice > 0
    colour = notes.vowel if sung else np.zeros_like(notes.vowel)
    keys, note_key = np.unique(np.stack([frequency, colour]), axis=1, return_inverse=True)
    n_ages = len(_AGES) if timbre.damping else 1
    bucket = np.searchsorted(_AGE_EDGES, age, side="right") if timbre.damping else 0
    rows = note_key.ravel()[which] * n_ages + bucket
    k = np.arange(1, N_PARTIALS + 1)
    amplitude = _partial_amplitudes(keys[0], k, timbre, keys[1].astype(np.int64))
    partials = keys[0][:, None] * k
    amplitude *= partials < 0.45 * SAMPLE_RATE
    loss = np.exp(-timbre.damping / 1000 * partials[:, None, :] * _AGES[:n_ages, None])
    spectrum = np.zeros((len(keys[0]) * n_ages, TABLE // 2 + 1), np.complex64)
    # Quadratic phases keep the partials from piling up into one spike per period.
    turn = np.exp(-0.5j * np.pi * k**2 / N_PARTIALS - 0.5j * np.pi)
    weighted = (amplitude[:, None, :] * loss).reshape(-1, N_PARTIALS) * turn
    spectrum[:, 1 : N_PARTIALS + 1] = weighted * (TABLE / 2)
    tables: Samples = irfft(spectrum, TABLE, axis=-1)
    return rows, tables


def _partial_amplitudes(
    frequency: NDArray[np.float64],
    k: NDArray[np.int64],
    timbre: Timbre,
    vowel: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Amplitudes, shape (n_notes, n_partials); a note's partials have unit energy together."""
    partials = frequency[:, None] * k
    amplitude = k**-timbre.tilt / (1 + (partials / timbre.cutoff) ** 4)
    amplitude = amplitude * np.where(k % 2 == 0, timbre.even, 1.0)
    if timbre.voice and vowel is not None:
        centre = _FORMANTS[vowel][:, None, :] * timbre.voice
        away = (partials[:, :, None] - centre) / _FORMANT_WIDTH
        amplitude = amplitude * (0.03 + (_FORMANT_GAIN / (1 + away**2)).sum(axis=-1))
    return np.asarray(amplitude / np.sqrt((amplitude**2).sum(axis=1, keepdims=True)))


def _look_up(
    tables: Samples, rows: NDArray[np.int64], frequency: NDArray[np.float64], amplitude: Samples
) -> Samples:
    """Read the tables at a running phase, shape (n_frames × HOP,)."""
    ramp = np.arange(HOP, dtype=np.float32)
    advance = frequency * (TABLE / SAMPLE_RATE)
    begin = np.cumsum(advance) * HOP % TABLE
    begin = np.roll(begin, 1)
    begin[0] = 0
    phase = advance.astype(np.float32)[:, None] * ramp
    phase += begin.astype(np.float32)[:, None]
    index = phase.astype(np.int32)
    index &= TABLE - 1
    index += (rows * TABLE).astype(np.int32)[:, None]
    sound = tables.ravel().take(index, mode="clip")
    target = np.append(amplitude[1:], amplitude[-1])
    loudness = ((target - amplitude) / HOP)[:, None] * ramp
    loudness += amplitude[:, None]
    sound *= loudness
    return sound.ravel()

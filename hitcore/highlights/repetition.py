"""The passage that comes back and is loud: a chorus found by self-similarity.

Harmony, melody and timbre must come back together: verses repeat their chords, but a chorus
repeats its tune, its words and its instruments too. The similarity at each lag is averaged along
time, so that only passages count, and the mean over the neighbouring lags is taken off, so that
what merely stays the same does not count as coming back. What then stands out from the song's own
chance similarity is credited to all of its occurrences and weighed by energy. Only the best returns
of a moment count, or a verse over a short pattern of chords would win by their number; and a return
may be higher by a semitone or two, as the last chorus often is.

Chance is measured on the song at hand, as the spread of all similarities; no threshold depends on
the recording. How little the settings matter is shown in docs/highlights.md.

References:
    M. Goto: "A chorus section detection method for musical audio signals", IEEE TASLP 2006.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from hitcore.audio import Waveform
from hitcore.errors import ParameterError
from hitcore.highlights.sections import find_sections
from hitcore.highlights.selfsimilarity import (
    Array,
    SongFrames,
    describe,
    hold_ends,
    running_sums,
    time_lag,
    time_time,
    window_means,
)
from hitcore.highlights.windows import (
    NO_CLEAR_HIGHLIGHT,
    Evidence,
    FloatArray,
    contrast,
    silent_evidence,
    whole_song,
)


@dataclass(frozen=True)
class RepetitionConfig:
    """Settings of the repetition method; the figures are lengths that hold for songs in general."""

    min_lag_s: float = 12.0
    """What comes back sooner is a riff or a line, not a section; seconds."""
    passage_s: float = 10.0
    """Length over which a repetition must hold on the mean, about four bars; seconds."""
    detail_s: float = 4.0
    """Length over which it must hold at each moment, about a sung line; seconds."""
    neighbourhood_s: float = 3.0
    """Reach of the neighbouring lags, to each side, whose mean is taken off; seconds."""
    timbre_weight: float = 0.5
    """Share of timbre in the similarity; chroma and melody share the rest equally."""
    threshold: float = 3.0
    """How far a repetition must stand out, in standard deviations of the song's similarities."""
    max_returns: int = 2
    """Returns that count: with two, a passage that is heard three times has full evidence."""
    max_transposition: int = 2
    """Up to so many semitones higher a passage may come back: the last chorus often does."""
    loudness_power: float = 4.0
    """Power of the perceived loudness by which a moment is weighed; 4 is about its energy."""
    min_evidence: float = 3.0
    """Evidence (standard deviations) below which nothing comes back."""
    min_contrast: float = 0.15
    """Share of its worth by which the best window must surpass the mean one to be confident."""

    def __post_init__(self) -> None:
        for name in ("min_lag_s", "passage_s", "detail_s", "neighbourhood_s", "min_evidence"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} is {getattr(self, name)}: it must be above 0")
        if not 0 <= self.timbre_weight <= 1:
            raise ParameterError(f"timbre_weight is {self.timbre_weight}: it must be from 0 to 1")
        if self.max_returns < 1 or not 0 <= self.max_transposition < 12:
            raise ParameterError(
                f"max_returns is {self.max_returns}, max_transposition {self.max_transposition}: "
                "at least 1 return and 0 to 11 semitones are allowed"
            )
        if not self.threshold >= 0 or not self.loudness_power >= 0:
            raise ParameterError("threshold and loudness_power must not be negative")


def repetition_evidence(waveform: Waveform, config: RepetitionConfig | None = None) -> Evidence:
    """What comes back, weighed by loudness.

    Args:
        waveform: The whole song.
        config: Settings; None for the usual ones.

    References:
        See the module.
    """
    config = config or RepetitionConfig()
    frames = describe(waveform)
    if frames is None:
        return silent_evidence("repetition", waveform.duration_s)
    lines = repetition_lines(frames, config)
    strength = repetition_strength(lines, frames, config)
    raw = strength * loudness_weight(frames, config)
    comes_back = bool(strength.max() >= config.min_evidence)
    scale = float(raw.max()) if comes_back else config.min_evidence
    curve, curve_times = whole_song(raw / scale, frames, waveform.duration_s)
    sections = find_sections(lines, raw, frames) if comes_back else ()
    reason = ""
    if not comes_back:
        reason = f"{NO_CLEAR_HIGHLIGHT}: nothing comes back"
    elif contrast(curve, curve_times, waveform.duration_s) < config.min_contrast:
        reason = f"{NO_CLEAR_HIGHLIGHT}: all parts are much alike"
    return Evidence(
        method="repetition",
        curve=curve,
        curve_times=curve_times,
        duration_s=waveform.duration_s,
        confident=not reason,
        note=reason,
        active=(frames.start_s, min(frames.end_s, waveform.duration_s)),
        onsets=np.unique([section.start for section in sections]),
        sections=sections,
    )


def repetition_lines(frames: SongFrames, config: RepetitionConfig) -> Array:
    """How far the passage around `t` stands out as coming back at `t + lag`: squared deviations.

    Shape:
        Returns `(n_frames, n_lags)`; zero where nothing stands out.
    """
    timbre = running_sums(time_lag(frames.timbre))
    pitch = np.hstack([frames.chroma, frames.melody]) * np.float32(np.sqrt(0.5))
    raised = [
        running_sums(time_lag(_raised(frames, k), pitch))
        for k in range(config.max_transposition + 1)
    ]

    def stands_out(length_s: float) -> Array:
        n_frames = odd(length_s / frames.hop_s)
        joint = window_means(raised[0], n_frames)
        # The maximum is taken over whole passages, which come back in one key.
        for higher in raised[1:]:
            np.maximum(joint, window_means(higher, n_frames), out=joint)
        joint *= 1 - config.timbre_weight
        joint += config.timbre_weight * window_means(timbre, n_frames)
        return _deviation(hold_ends(joint, frames.n_frames), frames, config)

    lines: Array = np.maximum(stands_out(config.passage_s) - config.threshold, 0)
    lines *= np.maximum(stands_out(config.detail_s), 0)
    return lines


def repetition_strength(lines: Array, frames: SongFrames, config: RepetitionConfig) -> FloatArray:
    """How well what sounds at each moment comes back, before or after: deviations `(n_frames,)`.

    The root of the sum over its best returns, `max_returns` of them: more say nothing of a chorus,
    for a short pattern comes back more often than any section.
    """
    returns = time_time(lines)
    # One return is a ridge several frames wide: only its crest counts.
    width = odd(2 * config.neighbourhood_s / frames.hop_s)
    returns *= returns >= maximum_filter1d(returns, width, axis=1)
    total, moments = np.zeros(frames.n_frames), np.arange(frames.n_frames)
    for _ in range(min(config.max_returns, frames.n_frames)):
        best = returns.argmax(axis=1)
        total += returns[moments, best]
        returns[moments, best] = 0
    strength: FloatArray = np.sqrt(total)
    return strength


def loudness_weight(frames: SongFrames, config: RepetitionConfig) -> FloatArray:
    """1 where the song is loud, less where it is not `(n_frames,)`."""
    smooth = gaussian_filter1d(frames.loudness.astype(np.float64), 2.0 / frames.hop_s)
    weight: FloatArray = np.minimum(smooth, 1.0) ** config.loudness_power
    return weight


def _raised(frames: SongFrames, semitones: int) -> Array:
    """Chroma and melody as they would be some semitones higher, unit length together."""
    chroma = np.roll(frames.chroma, semitones, axis=1)
    melody = np.zeros_like(frames.melody)
    melody[:, semitones:] = frames.melody[:, : frames.melody.shape[1] - semitones]
    return np.asarray(np.hstack([chroma, melody]) * np.sqrt(0.5), np.float32)


def _deviation(smooth: Array, frames: SongFrames, config: RepetitionConfig) -> Array:
    """Similarity less that of the neighbouring lags, in standard deviations of the song's own."""
    reach = odd(2 * config.neighbourhood_s / frames.hop_s)
    standing: Array = smooth - uniform_filter1d(smooth, reach, axis=1, mode="nearest")
    n = frames.n_frames
    eligible = np.arange(n)[None, :] < np.arange(n, 0, -1)[:, None]
    eligible[:, : round(config.min_lag_s / frames.hop_s)] = False
    # The median resists the few lags that do come back; a part of the values is enough for it.
    spread = np.abs(standing[::3, ::2][eligible[::3, ::2]])
    sigma = 1.4826 * float(np.median(spread)) if len(spread) else 1.0
    standing /= max(sigma, 0.01)
    standing *= eligible
    return standing


def odd(n: float) -> int:
    """The odd whole number next to `n`, at least 1: the length of a centred window."""
    return max(1, 2 * round((n - 1) / 2) + 1)

"""Moving a highlight's start to where a listener would cut: a beat, or the onset of a section."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hitcore.audio import Waveform
from hitcore.errors import ParameterError
from hitcore.features import MelConfig, log_mel
from hitcore.highlights.repetition import repetition_evidence
from hitcore.highlights.windows import FloatArray, Highlight

Snap = Literal["beat", "section"]
REACH_S: dict[Snap, float] = {"beat": 1.0, "section": 5.0}
"""How far a start may be moved, in seconds; without a beat or onset so near it stays."""
BEAT_RATE, BEAT_HOP = 11_025, 256
"""Sample rate and hop of the onsets."""


def snap_highlight(highlight: Highlight, waveform: Waveform, to: Snap) -> Highlight:
    """The highlight from the nearest beat or section onset on, as long as before.

    Args:
        highlight: A window of the song.
        waveform: The whole song.
        to: "beat", or "section" for the onsets of what comes back.

    Raises:
        ParameterError: `to` is neither.

    Example:
        >>> from hitcore.highlights import find_highlight
        >>> song = Waveform(np.zeros(22050 * 40, np.float32), 22050)
        >>> snap_highlight(find_highlight(song, "middle"), song, "section").start
        5.0
    """
    if to not in REACH_S:
        raise ParameterError(f"snap is {to!r}: a start is moved to a 'beat' or a 'section'")
    points = beat_times(waveform) if to == "beat" else repetition_evidence(waveform).onsets
    latest = waveform.duration_s - highlight.duration_s
    points = points[(points >= 0) & (points <= latest)]
    if len(points) == 0:
        return highlight
    nearest = float(points[np.abs(points - highlight.start).argmin()])
    if abs(nearest - highlight.start) > REACH_S[to]:
        return highlight
    return replace(highlight, start=nearest, end=nearest + highlight.duration_s)


def beat_times(waveform: Waveform) -> FloatArray:
    """The beats of a song in seconds, ascending; none where there are no onsets.

    The tempo is the strongest period of the onsets' autocorrelation, near 120 beats a minute where
    several are as strong; the beats are the sequence that best keeps to it and to the onsets.

    References:
        D. P. W. Ellis: "Beat Tracking by Dynamic Programming", Journal of New Music Research 2007.

    Example:
        >>> clicks = np.zeros(22050 * 12, np.float32)
        >>> clicks[5000 :: 22050 // 2] = 1.0
        >>> np.diff(beat_times(Waveform(clicks, 22050))).round(1).tolist()[2:8]
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    onsets = _onset_strength(waveform)
    if not onsets.any():
        return np.empty(0)
    frame_s = BEAT_HOP / BEAT_RATE
    n = len(onsets)
    spectrum = np.fft.rfft(onsets - onsets.mean(), 2 * n)
    autocorrelation = np.fft.irfft(np.abs(spectrum) ** 2)[:n]
    lags = np.arange(max(1, round(0.25 / frame_s)), min(n, round(1.5 / frame_s)))
    if len(lags) == 0:
        return np.empty(0)
    prior = np.exp(-0.5 * np.log2(lags * frame_s / 0.5) ** 2)
    period = int(lags[(prior * autocorrelation[lags]).argmax()])
    return np.asarray(_best_beats(onsets / onsets.std(), period) * frame_s, np.float64)


def _onset_strength(waveform: Waveform) -> FloatArray:
    """How much louder each frame is than the one before, over the mel bands `(n_frames,)`."""
    config = MelConfig("onsets", BEAT_RATE, 1024, BEAT_HOP, 40)
    mel = log_mel(waveform.resample(BEAT_RATE).samples, config).numpy()
    rise = np.maximum(np.diff(mel, axis=1, prepend=mel[:, :1]), 0).mean(axis=0)
    return np.asarray(rise, np.float64)


def _best_beats(onsets: FloatArray, period: int, tightness: float = 100.0) -> NDArray[np.int64]:
    """Frames of the beats: the path with the largest sum of onsets less the tempo's deviations."""
    steps = np.arange(-2 * period, -period // 2 + 1)
    penalty = -tightness * np.log(-steps / period) ** 2
    total, before = onsets.copy(), np.full(len(onsets), -1)
    for i in range(period // 2, len(onsets)):
        reachable = steps + i >= 0
        sums = total[i + steps[reachable]] + penalty[reachable]
        if len(sums) and (best := int(sums.argmax())) >= 0 and sums[best] > 0:
            total[i] += sums[best]
            before[i] = i + steps[reachable][best]
    beats = [int(total[-2 * period :].argmax()) + max(0, len(total) - 2 * period)]
    while before[beats[-1]] >= 0:
        beats.append(int(before[beats[-1]]))
    return np.asarray(beats[::-1])

"""Where a song's evidence is densest: from a curve over time to windows of a given length.

Every method of this package answers with `Evidence`: a curve that says for each moment how much
speaks for hearing it. This module turns evidence into highlights. A window is half-open,
`[start, end)` in seconds of the song; its worth is the integral of the curve over it. Among
windows that are worth almost the same, the one that starts on a section's onset is preferred:
it is the more natural cut. Where nothing speaks for any window, the middle one is taken.

References:
    Y.-S. Huang, S.-Y. Chou, Y.-H. Yang: "Pop Music Highlighter: Marking the Emotion Keypoints",
    TISMIR 2018 (the window with the largest sum of the curve).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import ParameterError
from hitcore.highlights.selfsimilarity import SongFrames

FloatArray = NDArray[np.float64]

ONSET_TOLERANCE = 0.03
"""Share of the best window's worth that may be given up to start on a section's onset."""

NO_CLEAR_HIGHLIGHT = "no clear highlight"


@dataclass(frozen=True)
class Section:
    """A stretch of the song that comes back; sections of one group sound alike."""

    start: float
    """Seconds."""
    end: float
    """Seconds, exclusive."""
    group: int
    """Number of the group, 0 for the one that most speaks for the highlight."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """How much speaks for hearing each moment of a song."""

    method: str
    """Name of the method that found it."""
    curve: FloatArray
    """Evidence per frame `(n_frames,)`, not negative, 1 at most."""
    curve_times: FloatArray
    """Start of each frame in seconds `(n_frames,)`; a frame lasts until the next one starts."""
    duration_s: float
    """Length of the song in seconds."""
    confident: bool
    """Whether the curve stands out anywhere."""
    note: str = ""
    """Why it is not confident; empty where it is."""
    active: tuple[float, float] | None = None
    """First and last moment that is not silent, in seconds; None: the whole song."""
    onsets: FloatArray = field(default_factory=lambda: np.empty(0))
    """Where sections begin, in seconds, ascending."""
    sections: tuple[Section, ...] = ()
    """What comes back, ordered by start."""
    start_grid_s: float | None = None
    """Windows may start at its multiples only, in seconds; None: anywhere."""


@dataclass(frozen=True, eq=False)
class Highlight:
    """The part of a song that is worth hearing: `[start, end)` in seconds, and why."""

    start: float
    """Seconds."""
    end: float
    """Seconds, exclusive."""
    method: str
    """Name of the method that chose it."""
    curve: FloatArray = field(default_factory=lambda: np.empty(0))
    """The method's evidence over the whole song `(n_frames,)`, from 0 to 1; empty without any."""
    curve_times: FloatArray = field(default_factory=lambda: np.empty(0))
    """Start of each frame of the curve in seconds `(n_frames,)`."""
    confident: bool = True
    """Whether the evidence singles out a part of the song; if not, see `note`."""
    note: str = ""
    """What a listener should know: "no clear highlight: …", or empty."""
    sections: tuple[Section, ...] = ()
    """Repeated sections of the song, where the method finds them."""

    @property
    def duration_s(self) -> float:
        """Length in seconds; shorter than asked for where the song is."""
        return self.end - self.start


def best_windows(evidence: Evidence, n_windows: int = 1, length_s: float = 30.0) -> list[Highlight]:
    """The best windows that do not overlap, best first.

    Fewer than `n_windows` come back where the song has no room for more. A song that is no longer
    than `length_s` gives one window, the whole song.

    Args:
        evidence: What a method found.
        n_windows: How many windows at most.
        length_s: Length of a window in seconds.

    Raises:
        ParameterError: If `n_windows` or `length_s` is not positive.

    Example:
        >>> times = np.arange(100.0)
        >>> curve = np.where((times >= 40) & (times < 60), 1.0, 0.1)
        >>> found = Evidence("example", curve, times, duration_s=100.0, confident=True)
        >>> [(h.start, h.end) for h in best_windows(found, 2, length_s=20.0)]
        [(40.0, 60.0), (20.0, 40.0)]
    """
    if n_windows < 1:
        raise ParameterError(f"n_windows is {n_windows}: at least 1 window can be asked for")
    if not (np.isfinite(length_s) and length_s > 0):
        raise ParameterError(f"length_s is {length_s}: a highlight's length is in seconds, above 0")
    if evidence.duration_s <= length_s:
        return [_highlight(evidence, 0.0, evidence.duration_s)]
    starts = _candidates(evidence, length_s)
    worth = window_worth(evidence, starts, length_s)
    free = np.ones(len(starts), dtype=bool)
    windows: list[Highlight] = []
    while len(windows) < n_windows and free.any():
        start = _choose(evidence, starts[free], worth[free])
        windows.append(_highlight(evidence, start, start + length_s))
        free &= np.abs(starts - start) >= length_s - 1e-9
    return windows


def window_worth(evidence: Evidence, starts: FloatArray, length_s: float) -> FloatArray:
    """The integral of the evidence over `[start, start + length_s)` for each start.

    Shape:
        starts: `(n_windows,)` in seconds; returns `(n_windows,)`.
    """
    edges = np.append(evidence.curve_times, evidence.duration_s)
    total = np.concatenate([[0.0], np.cumsum(evidence.curve * np.diff(edges))])
    # The integral is linear within a frame, so its interpolation is exact.
    upper: FloatArray = np.interp(starts + length_s, edges, total)
    lower: FloatArray = np.interp(starts, edges, total)
    return upper - lower


def contrast(curve: FloatArray, curve_times: FloatArray, duration_s: float) -> float:
    """Share of its worth by which the best window surpasses the mean one; 0 for a flat curve.

    The windows last 30 seconds, or half of the song where it is shorter than a minute.

    Example:
        >>> contrast(np.ones(100), np.arange(100.0), 100.0)
        0.0
    """
    length = min(30.0, duration_s / 2)
    evidence = Evidence("", curve, curve_times, duration_s, confident=False)
    worth = window_worth(evidence, curve_times[curve_times <= duration_s - length], length)
    return float(1 - worth.mean() / worth.max()) if worth.max() > 0 else 0.0


def silent_evidence(method: str, duration_s: float) -> Evidence:
    """What any method says of silence: nothing, at every moment."""
    return Evidence(
        method=method,
        curve=np.zeros(1),
        curve_times=np.zeros(1),
        duration_s=duration_s,
        confident=False,
        note=f"{NO_CLEAR_HIGHLIGHT}: silence",
    )


def whole_song(
    curve: FloatArray, frames: SongFrames, duration_s: float
) -> tuple[FloatArray, FloatArray]:
    """A curve over what sounds, and its times, drawn out with zeros over silent ends."""
    times = np.asarray(frames.start_s + np.arange(len(curve)) * frames.hop_s, np.float64)
    if frames.start_s > 0:
        curve, times = np.append(0.0, curve), np.append(0.0, times)
    if frames.end_s < duration_s:
        curve, times = np.append(curve, 0.0), np.append(times, frames.end_s)
    return curve, times


def _candidates(evidence: Evidence, length_s: float) -> FloatArray:
    """Starts for which the window keeps to what sounds: every frame, every onset, the middle."""
    first, last = evidence.active or (0.0, evidence.duration_s)
    latest = max(first, last - length_s)
    if latest + length_s > evidence.duration_s:
        first = latest = evidence.duration_s - length_s
    if evidence.start_grid_s is not None:
        step = evidence.start_grid_s
        on_grid = np.arange(np.ceil(first / step - 1e-9), latest // step + 1) * step
        if len(on_grid):
            return np.asarray(on_grid, np.float64)
    starts = np.concatenate([evidence.curve_times, evidence.onsets])
    within = starts[(starts > first) & (starts < latest)]
    return np.unique(np.concatenate([[first, (first + latest) / 2, latest], within]))


def _choose(evidence: Evidence, starts: FloatArray, worth: FloatArray) -> float:
    """The best start, or an onset that is worth almost as much."""
    best = float(worth.max())
    on_onset = np.isin(starts, evidence.onsets) & (worth >= best * (1 - ONSET_TOLERANCE))
    if on_onset.any() and best > 0:
        return float(starts[on_onset][worth[on_onset].argmax()])
    equal = starts[worth >= best - 1e-12 * max(best, 1.0)]
    middle = (starts[0] + starts[-1]) / 2
    return float(equal[np.abs(equal - middle).argmin()])


def _highlight(evidence: Evidence, start: float, end: float) -> Highlight:
    return Highlight(
        start=start,
        end=end,
        method=evidence.method,
        curve=evidence.curve,
        curve_times=evidence.curve_times,
        confident=evidence.confident,
        note=evidence.note,
        sections=evidence.sections,
    )

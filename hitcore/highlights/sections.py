"""The sections that come back, each with all of its occurrences.

A section is read off the strongest line of the time-lag matrix: what sounds along the line comes
back one lag later. All other lags at which the same stretch stands out give its further
occurrences. What is explained is set aside, and the next strongest line gives the next group.
"""

import numpy as np

from hitcore.highlights.selfsimilarity import Array, SongFrames, running_sums
from hitcore.highlights.windows import FloatArray, Section

MIN_SECTION_S = 8.0
"""A shorter repetition is a line or a riff, not a section."""
MAX_RUNS = 500
"""Lines after these are too weak to begin a section."""
MAX_GROUPS = 6
"""Sections after these are not worth naming."""

Span = tuple[int, int]


def find_sections(lines: Array, worth: FloatArray, frames: SongFrames) -> tuple[Section, ...]:
    """Groups of stretches that sound alike, ordered by start; group 0 is worth most per second.

    Args:
        lines: What comes back, from `repetition_lines`.
        worth: Evidence per frame, which orders the groups.
        frames: The song over time.

    Shape:
        lines: `(n_frames, n_lags)`; worth: `(n_frames,)`.
    """
    shortest = max(2, round(MIN_SECTION_S / frames.hop_s))
    free = np.ones(frames.n_frames, dtype=bool)
    groups: list[list[Span]] = []
    total = running_sums(np.vstack([np.zeros_like(lines[:1]), lines]), np.float64)
    for start, end, lag in _runs(lines, total, shortest)[:MAX_RUNS]:
        if len(groups) == MAX_GROUPS:
            break
        stretch = _longest_free(free, *_core(lines, start, end, lag))
        if stretch is None or stretch[1] - stretch[0] < shortest:
            continue
        spans = _occurrences(total, stretch, lag, free)
        if len(spans) < 2:
            continue
        for a, b in spans:
            free[a:b] = False
        groups.append(spans)
    groups.sort(key=lambda spans: -max(float(worth[a:b].mean()) for a, b in spans))
    sections = [
        Section(
            start=float(frames.start_s + a * frames.hop_s),
            end=float(min(frames.start_s + b * frames.hop_s, frames.end_s)),
            group=number,
        )
        for number, spans in enumerate(groups)
        for a, b in spans
    ]
    return tuple(sorted(sections, key=lambda section: section.start))


def _runs(lines: Array, total: FloatArray, shortest: int) -> list[tuple[int, int, int]]:
    """Unbroken lines `(start, end, lag)`, those with the largest sum first."""
    n_frames, n_lags = lines.shape
    marked = np.zeros((n_lags, n_frames + 2), dtype=np.int8)
    marked[:, 1:-1] = (lines > 0).T
    steps = np.diff(marked, axis=1)
    lags, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    sums = total[ends, lags] - total[starts, lags]
    long = np.flatnonzero(ends - starts >= shortest)
    order = long[np.argsort(-sums[long], kind="stable")]
    return [(int(starts[i]), int(ends[i]), int(lags[i])) for i in order]


def _core(lines: Array, start: int, end: int, lag: int) -> Span:
    """The line without its blurred ends.

    At the true edge of a section half of each averaging window is in it, and the product of both
    averages is a quarter of what it is inside.
    """
    strength = lines[start:end, lag]
    inside = np.flatnonzero(strength >= 0.25 * np.quantile(strength, 0.9))
    return int(start + inside[0]), int(start + inside[-1] + 1)


def _longest_free(free: np.ndarray, start: int, end: int) -> Span | None:
    """The longest stretch of `[start, end)` that no group has taken."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free[start:end].astype(np.int8), [0]])))
    if len(edges) == 0:
        return None
    spans = edges.reshape(-1, 2)
    a, b = spans[(spans[:, 1] - spans[:, 0]).argmax()]
    return int(start + a), int(start + b)


def _occurrences(total: FloatArray, stretch: Span, lag: int, free: np.ndarray) -> list[Span]:
    """The stretch and the places where it sounds again, none on another, ordered by time."""
    start, end = stretch
    n = len(total) - 1
    length = end - start
    strength = np.zeros(n)
    forward = total[end] - total[start]
    strength[start:] = forward[: n - start] / length
    # What sounds at `earlier` comes back at `start`, one lag of `start - earlier` later.
    earlier = np.arange(start)
    backward = total[earlier + length, start - earlier] - total[earlier, start - earlier]
    strength[:start] = backward / length
    spans = [stretch]
    needed = 0.25 * strength[min(start + lag, n - 1)]
    for place in np.argsort(-strength, kind="stable"):
        if strength[place] < needed or strength[place] <= 0:
            break
        span = (int(place), int(min(place + length, n)))
        apart = all(span[0] >= b or span[1] <= a for a, b in spans)
        if apart and free[span[0] : span[1]].mean() > 0.8:
            spans.append(span)
    return sorted(spans)

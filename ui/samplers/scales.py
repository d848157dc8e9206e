"""On which scale the truth of a catalogue is shown: shares of plays in ppm, or percentiles.

Shares of plays span powers of ten and are drawn on a log axis. Every other truth is drawn over
percentiles: numbers whose unit is the catalogue's own, and studies that ship ranks alone. There
naive sampling is even by construction, and how far apart two songs are cannot be seen.
"""

from collections.abc import Callable
from dataclasses import dataclass

import altair as alt
import numpy as np
from numpy.typing import NDArray

from hitcore.catalogue.scores import scale_of
from ui.frame.page import ppm
from ui.frame.resultsets import ResultSet

Floats = NDArray[np.float64]
N_BINS = 26


@dataclass(frozen=True)
class Scale:
    """How the truth of songs stands on the axes of a picture of pairs."""

    one: str
    """Axis title: that of one song."""
    other: str
    """Axis title: that of the other."""
    format: str
    """How a place on the axis is written in tooltips."""
    is_share: bool
    """Whether the truth is a share of plays."""
    bins: Callable[[Floats], tuple[NDArray[np.int64], Floats]]
    """From the truth of all songs, the bin of each and the edges of the bins on the axis."""
    place: Callable[[Floats, float], float]
    """Where on the axis a threshold on the truth of all songs stands."""
    words: Callable[[Floats, float], str]
    """The same in words."""

    @property
    def axis(self) -> alt.Axis:
        """Ticks of an axis, without its title."""
        if self.is_share:
            return alt.Axis(format=",~g", tickCount=4, grid=False)
        return alt.Axis(values=[0, 25, 50, 75, 100], grid=False)

    @property
    def stretch(self) -> alt.Scale:
        """Log for shares, straight for percentiles."""
        kind, domain = ("log", alt.Undefined) if self.is_share else ("linear", [0, 100])
        return alt.Scale(type=kind, nice=False, domain=domain)  # type: ignore[arg-type]


def score_edges(scores: Floats) -> Floats:
    """Edges of bins that are equally wide on a log scale; the lowest band is for shares of 0."""
    positive = scores[scores > 0]
    low, high = float(positive.min()), float(positive.max())
    if high < low * 1.01:
        high = low * 10
    edges = np.geomspace(low, high, N_BINS + 1)
    if (scores == 0).any():
        edges = np.concatenate([[edges[0] ** 2 / edges[1]], edges])
    return edges


def percentile_bins(scores: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Bins of about equally many songs; songs of one truth share a bin, as wide as they are many.

    Returns:
        The bin of each song, and the edges of the bins as percentages of the songs.

    Example:
        >>> label, edges = percentile_bins(np.array([0.0, 0.0, 0.5, 1.0]))
        >>> label.tolist(), edges.tolist()
        ([0, 0, 1, 2], [0.0, 50.0, 75.0, 100.0])
    """
    below = np.searchsorted(np.sort(scores), scores, side="left") / scores.size
    cuts = np.linspace(0, 1, N_BINS + 1)
    _, label = np.unique(np.searchsorted(cuts, below, side="right"), return_inverse=True)
    edges = np.concatenate([[0], np.cumsum(np.bincount(label))]) * (100 / scores.size)
    return label.astype(np.int64), edges


def _share_bins(scores: Floats) -> tuple[NDArray[np.int64], Floats]:
    edges = score_edges(scores)
    label = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, edges.size - 2)
    return label.astype(np.int64), edges * 1e6


def _below(scores: Floats, threshold: float) -> float:
    return 100 * float((scores <= threshold).mean())


SHARES = Scale(
    one="hit score of one song (ppm)",
    other="hit score of the other (ppm)",
    format=".3~g",
    is_share=True,
    bins=_share_bins,
    place=lambda scores, threshold: 1e6 * threshold,
    words=lambda scores, threshold: ppm(threshold),
)
"""Shares of plays, on a log axis."""

PERCENTILES = Scale(
    one="percentile of one song",
    other="percentile of the other",
    format=".1f",
    is_share=False,
    bins=percentile_bins,
    place=_below,
    words=lambda scores, threshold: f"at percentile {_below(scores, threshold):.0f}",
)
"""Any other truth: the percentage of songs below."""


@dataclass(frozen=True)
class Truth:
    """What the songs of a set of results are told apart by, as a page can show it."""

    scale: Scale
    """On which axes."""
    n_above_mean: int | None
    """Songs above the mean of the true figures, where only their ranks are here; else None."""
    note: str
    """What cannot be shown, in a sentence; empty where all can."""


def truth_of(chosen: ResultSet) -> Truth:
    """How the truth of a set of results can be shown.

    Raises:
        DataError: the note of a workspace on its scores is damaged.
    """
    if chosen.workspace is None:
        return Truth(SHARES, None, "")
    even = "Over percentiles naive sampling is even by construction"
    if chosen.is_study:
        note = (
            "The figures of these songs are other people's and do not ship, their ranks do: so the "
            f"pictures are over percentiles. {even}, and how far apart the figures of two songs "
            "are cannot be shown. The metrics below were measured on the figures themselves."
        )
        return Truth(PERCENTILES, int(str(chosen.about()["above_mean"])), note)
    scale = scale_of(chosen.opened())
    if scale.is_share:
        return Truth(SHARES, None, "")
    return Truth(PERCENTILES, None, f"Songs stand by their percentile in {scale.column}. {even}.")

"""The tags of each window of a song, from a few stretches of it that a tagger has heard.

Hearing a whole song takes a tagger ten times as long as its highlight, so it hears some stretches,
spread evenly, beside the highlight itself. There are two kinds of tagger. musicnn hears 3 seconds
at a time: each patch stands for the moments that are nearest to it, and a window's tags are the
mean over its moments. JYnet standardises half a minute by itself, so that its tags move with where
the half minute begins: each is one vote, votes overlap, and a window's tags lie between those of
the nearest ones, exactly a vote's own where it starts there. On the highlight both give what the
tagger says of the highlight alone.

Conventions:
    taggram: `(n_patches, n_tags)`, activations from 0 to 1; times in seconds of the song.

References:
    Section 2.4 of the paper; `docs/decisions.md` for how many stretches there are, and why.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hitcore.audio import Waveform
from hitcore.errors import WeightsError
from hitcore.taggers import AnyTagger, Tagger, Taggram

Floats = NDArray[np.float64]

CLIP_S = 30.0
"""What a model hears at a time, seconds."""

N_PATCHES = 4
"""Short patches that are heard beside the highlight's."""

CLIP_STEP_S = 15.0
"""From the start of one long clip to the next, so that they overlap by half; seconds."""

N_CLIPS = 4
"""Long clips that are heard at most; those of a longer song lie further apart."""

_LEAST, _MOST = 1e-6, 1 - 1e-6


@dataclass(frozen=True, eq=False)
class TagStretches:
    """What a tagger says of some stretches of a song.

    Example:
        >>> starts, loud = np.array([0.0, 10.0]), np.array([[0.2], [0.6]])
        >>> heard = TagStretches(("loud",), starts, loud, stretch_s=30.0, duration_s=60.0)
        >>> heard.over(np.array([0.0, 5.0, 20.0]), 30.0).ravel()
        array([0.2, 0.4, 0.6])
    """

    tag_names: tuple[str, ...]
    """What the columns stand for."""
    starts: Floats
    """Where the stretches start, seconds, ascending, (n_stretches,)."""
    activations: Floats
    """What the tagger says of each, (n_stretches, n_tags)."""
    stretch_s: float
    """Length of a stretch, seconds."""
    duration_s: float
    """Length of the song, seconds."""

    def over(self, starts: Floats, window_s: float = CLIP_S) -> Floats:
        """The tags of windows.

        Args:
            starts: Where the windows start, seconds.
            window_s: How long they are, seconds.

        Shape:
            starts (n_windows,) -> (n_windows, n_tags)
        """
        if self.stretch_s >= CLIP_S / 2:
            found = _between(self.starts, self.activations, starts)
        else:
            found = self._mean_over(starts, window_s)
        return np.asarray(found.clip(_LEAST, _MOST))

    def moved(self, changes: dict[str, float]) -> "TagStretches":
        """The same song with some tags stronger or weaker throughout, kept from 0 to 1.

        Args:
            changes: What is added to each tag.
        """
        activations = self.activations.copy()
        for tag, change in changes.items():
            column = self.tag_names.index(tag)
            activations[:, column] = (activations[:, column] + change).clip(_LEAST, _MOST)
        return replace(self, activations=activations)

    def select(self, tag_names: Sequence[str]) -> "TagStretches":
        """The same with these tags in this order, which is how models want them.

        Raises:
            WeightsError: a tag is not among those of the tagger.
        """
        missing = [name for name in tag_names if name not in self.tag_names]
        if missing:
            raise WeightsError(f"the tagger does not know the tags {', '.join(missing)}")
        columns = [self.tag_names.index(name) for name in tag_names]
        chosen = self.activations[:, columns]
        return replace(self, tag_names=tuple(tag_names), activations=chosen)

    def _mean_over(self, starts: Floats, window_s: float) -> Floats:
        """The mean over the moments of each window, a moment being like the nearest stretch."""
        middles = self.starts + self.stretch_s / 2
        end = max(self.duration_s, middles[-1], float(starts.max()) + window_s)
        edges = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [end]])
        weighed = self.activations * np.diff(edges)[:, None]
        sums = np.concatenate([np.zeros((1, weighed.shape[1])), np.cumsum(weighed, axis=0)])
        upto = np.minimum(starts + window_s, max(self.duration_s, window_s))
        inside = _between(edges, sums, upto) - _between(edges, sums, starts)
        return np.asarray(inside / (upto - starts)[:, None])


def hear_stretches(
    tagger: AnyTagger, song: Waveform, highlight: Taggram, start: float
) -> TagStretches:
    """What a tagger says of stretches spread over a song, the highlight's among them.

    Args:
        tagger: The tagger; one of one's own is taken to judge half a minute as a whole.
        song: The whole song.
        highlight: What it said of the highlight.
        start: Where the highlight starts, seconds.
    """
    patch_s = tagger.network.patch_s if isinstance(tagger, Tagger) else CLIP_S
    if patch_s >= CLIP_S / 2:
        known_starts, known = np.array([start]), highlight.mean()[None]
        others = _clip_starts(song.duration_s, start)
        length = CLIP_S
    else:
        known_starts, known = start + highlight.times, highlight.activations
        others = _patch_starts(song.duration_s, start, start + CLIP_S, patch_s)
        length = patch_s
    crops = [song.crop(other, min(other + length, song.duration_s)) for other in others]
    if isinstance(tagger, Tagger):
        taggrams = tagger.tag_batch(crops)
    else:
        taggrams = [tagger.tag(crop) for crop in crops]
    heard = [taggram.activations.mean(axis=0) for taggram in taggrams]
    starts = np.concatenate([known_starts, others])
    activations = np.concatenate([known, np.array(heard).reshape(-1, known.shape[1])])
    order = np.argsort(starts, kind="stable")
    return TagStretches(
        tag_names=highlight.tag_names,
        starts=starts[order],
        activations=activations[order].astype(np.float64),
        stretch_s=length,
        duration_s=song.duration_s,
    )


# --- inside --------------------------------------------------------------------------------------


def _clip_starts(duration_s: float, highlight: float) -> Floats:
    """Starts of overlapping clips over the song; none where the highlight's clip starts."""
    last = max(duration_s - CLIP_S, 0.0)
    n_clips = min(N_CLIPS, 1 + math.ceil(last / CLIP_STEP_S))
    starts = np.linspace(0.0, last, n_clips)
    return starts[np.abs(starts - highlight) > 1.0]


def _patch_starts(duration_s: float, start: float, end: float, patch_s: float) -> Floats:
    """Starts of patches spread evenly over what lies outside the highlight."""
    before = np.arange(start - patch_s, -1e-9, -patch_s)[::-1]
    after = np.arange(end, duration_s - patch_s, patch_s)
    room = np.concatenate([before, after])
    chosen = np.linspace(0, len(room) - 1, N_PATCHES + 2)[1:-1] if len(room) > N_PATCHES else None
    return room if chosen is None else room[chosen.round().astype(int)]


def _between(at: Floats, values: Floats, where: Floats) -> Floats:
    """Values between two known places, and the first or last one beyond them."""
    return np.stack([np.interp(where, at, column) for column in values.T], axis=1)

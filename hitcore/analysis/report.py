"""The report of one song: what it is, its highlight, its tags, and what each model says of it.

Conventions:
    times: seconds of the song; the highlight is half-open, `[start, end)`.
    share: of all plays of a day, 0 to 1.
    percentile, low, high: 0 to 1; None rather than a number that has not been earned.
    untrusted: names, titles and artists come from files and are never markup.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitcore.analysis.curve import HitCurve
from hitcore.audio import AudioInfo
from hitcore.evaluation.percentiles import PercentileRank
from hitcore.highlights import Highlight
from hitcore.taggers import Taggram

N_ENVELOPE = 1200
"""Points of the waveform's envelope."""


@dataclass(frozen=True, eq=False)
class ModelScore:
    """What one model says of a song."""

    model: str
    """The model's name."""
    title: str
    """As shown to people."""
    provenance: str
    """What it was trained on, and its licence."""
    demo: bool
    """Whether it was trained on synthetic songs."""
    score: float
    """The model's output for the highlight, the mean of its folds."""
    share: float | None
    """The share of plays that it estimates for the song; None where only the order counts."""
    audio_score: float | None
    """What the audio network says."""
    tag_score: float | None
    """What the tag network says."""
    fold_scores: tuple[float, ...]
    """The output of each fold's network."""
    mixes: dict[str, float] = field(default_factory=dict)
    """The share under each way of mixing audio and tags that the model was published with."""
    song_score: float | None = None
    """The median of the model's output over all 30-second windows of the song; None where only
    the highlight was rated."""
    percentile: float | None = None
    """Share of the reference songs that score lower than `song_score`, 0 to 1; None where there is
    no reference or the song is outside the model's domain."""
    low: float | None = None
    """Lower end of the interval around `percentile` that holds the truth for 80 % of songs."""
    high: float | None = None
    """Upper end of that interval."""
    in_domain: bool | None = None
    """Whether the song is like those that the model learned from; None where nobody knows."""
    reference: str | None = None
    """What the percentile is among; None where there is no reference."""
    chance: float | None = None
    """The probability that the model gives the song, 0 to 1, where its score is one's log-odds."""
    measured: str = ""
    """How well the model told songs apart that it had not learned from; empty where unmeasured."""
    note: str = ""
    """Why there is no percentile, in a sentence for people; empty where there is one."""
    percentile_rank: PercentileRank | None = None
    """The percentile with what the reference songs in that place achieved; None as `percentile`."""
    frame_scores: NDArray[np.float64] | None = field(default=None, repr=False)
    """What each stretch of the highlight contributes, (n_score_frames,)."""
    curve: HitCurve | None = field(default=None, repr=False)
    """The score of every window of the song."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        document = asdict(replace(self, frame_scores=None, curve=None))
        frames = self.frame_scores
        document["frame_scores"] = None if frames is None else frames.round(6).tolist()
        document["curve"] = None if self.curve is None else self.curve.to_dict()
        return document


@dataclass(frozen=True, eq=False)
class SongReport:
    """What is known of one song."""

    name: str
    """The file's name as given, or "song"; untrusted text."""
    title: str | None
    """From the file's tags; untrusted text."""
    artist: str | None
    """From the file's tags; untrusted text."""
    content_hash: str
    """SHA-256 of the file's content."""
    info: AudioInfo
    """What the file is."""
    highlight: Highlight
    """The part that was rated."""
    alternatives: tuple[tuple[float, float], ...]
    """Next best windows of the same method that do not overlap, best first."""
    tagger: str
    """Which network heard the tags."""
    taggram: Taggram
    """Its tags over the highlight."""
    scores: tuple[ModelScore, ...]
    """What each model says."""
    flags: tuple[str, ...]
    """What a reader must know: truncated, silent, shorter than the highlight, …"""
    notes: tuple[str, ...]
    """What could not be done, and how to mend it."""
    envelope: NDArray[np.float32] = field(repr=False)
    """The waveform's lowest and highest sample per stretch, (2, n_points)."""
    source_path: Path | None = field(default=None, repr=False)
    """Where the file lies; None for content that was handed over."""

    @property
    def display_name(self) -> str:
        """Title and artist where the file names them, else the file's name."""
        if self.title and self.artist:
            return f"{self.title} — {self.artist}"
        return self.title or self.name

    @property
    def tags(self) -> list[tuple[str, float]]:
        """The tags of the highlight with their activations, strongest first."""
        mean = self.taggram.mean()
        return [(self.taggram.tag_names[i], float(mean[i])) for i in np.argsort(-mean)]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; the envelope and the taggram's patches are left out."""
        return {
            "name": self.name,
            "title": self.title,
            "artist": self.artist,
            "content_hash": self.content_hash,
            "duration_s": self.info.duration_s,
            "info": asdict(self.info),
            "highlight": {
                "start": self.highlight.start,
                "end": self.highlight.end,
                "method": self.highlight.method,
                "confident": self.highlight.confident,
                "note": self.highlight.note,
                "alternatives": [list(window) for window in self.alternatives],
                "curve": np.asarray(self.highlight.curve, float).round(4).tolist(),
                "curve_times": np.asarray(self.highlight.curve_times, float).round(3).tolist(),
            },
            "tagger": self.tagger,
            "tags": [{"tag": tag, "activation": round(value, 6)} for tag, value in self.tags],
            "scores": [score.to_dict() for score in self.scores],
            "flags": list(self.flags),
            "notes": list(self.notes),
        }


def envelope_of(samples: NDArray[np.float32], n_points: int = N_ENVELOPE) -> NDArray[np.float32]:
    """The lowest and the highest sample of each of `n_points` equal stretches.

    Shape:
        (n_samples,) -> (2, n_points); fewer points where there are fewer samples.

    Example:
        >>> envelope_of(np.array([0, 1, -1, 0.5], np.float32), 2)
        array([[ 0. , -1. ],
               [ 1. ,  0.5]], dtype=float32)
    """
    n_points = max(1, min(n_points, len(samples)))
    if not len(samples):
        return np.zeros((2, 1), np.float32)
    edges = np.linspace(0, len(samples), n_points, endpoint=False).astype(np.int64)
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    return np.stack([low, high]).astype(np.float32)

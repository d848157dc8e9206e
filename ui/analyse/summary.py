"""A report on one line: what tables, exports and comparisons say of a song."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hitcore.analysis.song import ModelScore, SongReport

N_POINTS = 30
"""Points of the small waveform."""
N_TAGS = 3


@dataclass(frozen=True)
class Place:
    """Where one model says that a song would stand; None for what is not known or not earned."""

    model: str
    """The model's name."""
    title: str
    """What people call it."""
    demo: bool
    """Whether it learned from synthetic songs."""
    percentile: float | None
    """0 to 1."""
    low: float | None
    """Lower end of its interval, 0 to 1."""
    high: float | None
    """Upper end."""
    share: float | None
    """Share of plays, 0 to 1, where the model has a scale."""
    score: float
    """The model's own output."""
    in_domain: bool | None
    """Whether the song is like those that the model knows."""
    reference: str
    """What the percentile is among."""

    def words(self) -> str:
        """The place with its interval, as a table shows it.

        Example:
            >>> Place("m", "M", False, 0.78, 0.61, 0.9, None, 1.0, True, "522 clips").words()
            '78 (61–90)'
            >>> Place("m", "M", False, None, None, None, 1e-4, 1.0, False, "").words()
            'unlike the songs it knows'
        """
        if self.in_domain is False:
            return "unlike the songs it knows"
        if self.percentile is None:
            return "–"
        whole = f"{100 * self.percentile:.0f}"
        if self.low is None or self.high is None:
            return whole
        return f"{whole} ({100 * self.low:.0f}–{100 * self.high:.0f})"


def place_of(score: ModelScore) -> Place:
    """What one model says of a song."""
    rank = score.percentile_rank
    percentile = getattr(score, "percentile", None)
    low, high = getattr(score, "low", None), getattr(score, "high", None)
    if percentile is None and rank is not None and not hasattr(score, "percentile"):
        percentile, low, high = rank.percentile, rank.low, rank.high
    return Place(
        score.model,
        score.title,
        score.demo,
        _number(percentile),
        _number(low),
        _number(high),
        _number(score.share),
        float(score.score),
        getattr(score, "in_domain", None),
        getattr(score, "reference", "") or "",
    )


def name_of(name: str, report: SongReport) -> str:
    """What a song is called: its tags, unless its owner renamed it; untrusted.

    Args:
        name: What the library calls it.
        report: Its report.
    """
    return called(name, report.title, report.artist)


def called(name: str, title: str | None, artist: str | None) -> str:
    """Title and artist for a song that is still called as its file was.

    Example:
        >>> called("track01.mp3", "Miedo", "Yuanan"), called("Our single", "Miedo", "Yuanan")
        ('Miedo — Yuanan', 'Our single')
    """
    if not title or not _is_file_name(name):
        return name
    return f"{title} — {artist}" if artist else title


def line_of(report: SongReport) -> dict[str, Any]:
    """What a table shows of a report, as JSON values."""
    return {
        "title": report.title,
        "artist": report.artist,
        "duration_s": report.info.duration_s,
        "highlight": [report.highlight.start, report.highlight.end],
        "wave": small_waveform(report),
        "places": [vars(place_of(score)) for score in report.scores],
        "tags": [tag for tag, _ in report.tags[:N_TAGS]],
        "flags": list(report.flags),
    }


def small_waveform(report: SongReport) -> list[float]:
    """The loudness of the song in a few points."""
    peaks = np.abs(report.envelope).max(axis=0)
    parts = np.array_split(peaks, min(N_POINTS, len(peaks)))
    return [round(float(part.max()), 3) for part in parts]


def _is_file_name(name: str) -> bool:
    """Whether a name ends as names of sound files do."""
    stem, dot, ending = name.rpartition(".")
    return name == "song" or bool(stem and dot and ending.isalnum() and len(ending) <= 5)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)

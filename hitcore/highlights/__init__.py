"""The part of a song that is worth hearing: a highlight of 30 seconds, or of any length.

Three ways to find it, each with its evidence curve over the song:

- `middle`: the middle of the song (the paper's Mid-30);
- `repetition`: what comes back and is loud;
- `attention`: what a network that was trained on moods attends to (the paper's HL-30).

Conventions: times in seconds of the song, windows half-open `[start, end)`; a song no longer than
the window gives the whole song.

References:
    L.-C. Yu et al.: "Hit Song Prediction for Pop Music by Siamese CNN with Ranking Loss", 2017,
    section 2.5 (Mid-30, HL-30).
"""

from hitcore.highlights.methods import (
    DEFAULT_METHOD,
    METHODS,
    HighlightMethod,
    check_method,
    find_evidence,
    find_highlight,
    find_highlights,
    repeated_sections,
)
from hitcore.highlights.snapping import snap_highlight
from hitcore.highlights.windows import Evidence, Highlight, Section, best_windows

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Evidence",
    "Highlight",
    "HighlightMethod",
    "Section",
    "best_windows",
    "check_method",
    "find_evidence",
    "find_highlight",
    "find_highlights",
    "repeated_sections",
    "snap_highlight",
]

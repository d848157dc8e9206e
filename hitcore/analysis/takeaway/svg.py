"""Small drawings as SVG text, for reports that must open without a server or a library.

Curves, bars and an interval on a scale: what a printed page needs, in a size that it knows. Text
that comes from outside is escaped; nothing is fetched and nothing runs.

Conventions:
    Coordinates are millimetres of the printed page, so that strokes and text keep their size.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

INK, GREY, FAINT, ACCENT = "#161412", "#66625C", "#DDD8CF", "#A83A25"
_TEXT = "font-size:3px;font-family:inherit"


def drawing(width: float, height: float, parts: Sequence[str], words: str) -> str:
    """A drawing of its parts.

    Args:
        width: Millimetres.
        height: Millimetres.
        parts: What is drawn, the lowest first.
        words: What it shows, for those who cannot see it.
    """
    said = escape(words)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}mm" height="{height:g}mm" role="img" aria-label="{said}">'
        f"<title>{said}</title>{''.join(parts)}</svg>"
    )


def line(x: ArrayLike, y: ArrayLike, colour: str = INK, width: float = 0.35) -> str:
    """A line through points, in millimetres.

    Example:
        >>> line([0, 1], [2, 3.5])
        '<path d="M0 2L1 3.5" fill="none" stroke="#161412" stroke-width="0.35"/>'
    """
    return f'<path d="{_path(x, y)}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def area(x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str = GREY) -> str:
    """What lies between two lines over the same x."""
    there = np.concatenate([np.asarray(x, np.float64), np.asarray(x, np.float64)[::-1]])
    edge = np.concatenate([np.asarray(low, np.float64), np.asarray(high, np.float64)[::-1]])
    return f'<path d="{_path(there, edge)}Z" fill="{colour}"/>'


def box(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(width, 0):.2f}" height="{max(height, 0):.2f}" '
        f'fill="{colour}" fill-opacity="{opacity:g}"/>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = GREY) -> str:
    """Words at a place; escaped.

    Example:
        >>> "&lt;b&gt;" in text(0, 0, "<b>")
        True
    """
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" fill="{colour}" style="{_TEXT}">'
        f"{escape(words)}</text>"
    )


def scaled(values: ArrayLike, low: float, high: float, first: float, last: float) -> Floats:
    """Values from `low` to `high` as millimetres from `first` to `last`.

    Example:
        >>> scaled([0.0, 5.0], 0.0, 10.0, 20.0, 0.0).tolist()
        [20.0, 10.0]
    """
    span = high - low or 1.0
    return np.asarray(first + (np.asarray(values, np.float64) - low) / span * (last - first))


def _path(x: ArrayLike, y: ArrayLike) -> str:
    points = zip(np.asarray(x, np.float64), np.asarray(y, np.float64), strict=True)
    return "M" + "L".join(f"{_short(a)} {_short(b)}" for a, b in points)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")

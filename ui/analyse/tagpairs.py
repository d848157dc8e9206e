"""Two taggers side by side: what both say of the same passage, and the picture of it."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from hitcore.taggers import Taggram
from ui.frame.theme import palette

N_ROWS = 12
LINES = ("", " ")
"""Rows without a tag above the first, for names."""
NAME_WIDTH = 0.33
"""Share of the picture's width that a tagger's name takes at the width of a phone, at most."""
MIN_TAGS_FOR_ORDER = 8
"""Fewer shared tags say nothing about agreement in order."""


@dataclass(frozen=True)
class TagPairs:
    """The tags of one passage by two taggers; tags are the same where their names are, in any case.

    Example:
        >>> one = Taggram(np.array([[0.2, 0.9]]), ("slow", "Rock"), np.zeros(1))
        >>> two = Taggram(np.array([[0.5, 0.1]]), ("rock", "sad"), np.zeros(1))
        >>> pair("a", one, "b", two).shared
        [('Rock', 0.9, 0.5)]
    """

    first: str
    """Name of the one tagger."""
    second: str
    """Name of the other."""
    shared: list[tuple[str, float, float]]
    """Tag and both activations, the strongest first."""
    only_first: list[tuple[str, float]]
    """Tags that the second does not know, the strongest first."""
    only_second: list[tuple[str, float]]
    """Tags that the first does not know."""

    @property
    def agreement(self) -> float | None:
        """Rank correlation over the shared tags; None for few tags or where all are alike."""
        if len(self.shared) < MIN_TAGS_FOR_ORDER:
            return None
        ranks = [rankdata([row[side] for row in self.shared]) for side in (1, 2)]
        if min(rank.std() for rank in ranks) == 0:
            return None
        return float(np.corrcoef(ranks)[0, 1])

    def finding(self) -> str:
        """The title of their picture."""
        if not self.shared:
            return f"{self.first} and {self.second} have no word in common"
        tag, one, two = max(self.shared, key=lambda row: abs(row[1] - row[2]))
        return f"{self.first} and {self.second} differ most on “{tag}”: {one:.2f} and {two:.2f}"

    def table(self) -> pd.DataFrame:
        """All tags of both; a cell is empty where a tagger does not know the word."""
        rows = [
            *self.shared,
            *((tag, value, None) for tag, value in self.only_first),
            *((tag, None, value) for tag, value in self.only_second),
        ]
        return pd.DataFrame(rows, columns=["tag", self.first, self.second])


def pair(first: str, one: Taggram, second: str, two: Taggram) -> TagPairs:
    """Pair the mean activations of two taggers over the same passage."""
    left, right = (
        {
            name.casefold(): (name, float(value))
            for name, value in zip(g.tag_names, g.mean(), strict=True)
        }
        for g in (one, two)
    )
    both = [(left[key][0], left[key][1], right[key][1]) for key in left if key in right]
    return TagPairs(
        first,
        second,
        shared=sorted(both, key=lambda row: -max(row[1:])),
        only_first=_strongest(left, right),
        only_second=_strongest(right, left),
    )


def _strongest(
    own: dict[str, tuple[str, float]], other: dict[str, tuple[str, float]]
) -> list[tuple[str, float]]:
    return sorted((own[key] for key in own if key not in other), key=lambda tag: -tag[1])


# --- the picture ---------------------------------------------------------------------------------


def paired_dots(pairs: TagPairs) -> alt.LayerChart:
    """One row per shared tag: a filled dot for the first tagger, an open one for the second.

    Both are named above the first row, with a thin line to their dots. The scale ends at 1, or at a
    half or a quarter where nothing is above it.
    """
    colours = palette()
    rows = pd.DataFrame(pairs.shared[:N_ROWS], columns=["tag", "one", "two"])
    strongest = max(max(row[1:]) for row in pairs.shared)
    top = next(end for end in (0.25, 0.5, 1.0) if strongest <= end)
    names = _names(pairs, top)
    lines = sorted({name["line"] for name in names})
    order = [*lines, *rows["tag"]]
    axis = alt.Axis(ticks=False, domain=False, labelOverlap=False)
    y = alt.Y("tag:N", scale=alt.Scale(domain=order), title=None, axis=axis)
    x = alt.X(
        "one:Q",
        title="Activation (0 to 1)",
        scale=alt.Scale(domain=[0, top]),
        axis=alt.Axis(values=[0, top / 2, top], format="~", grid=False),
    )
    tips = [
        "tag",
        alt.Tooltip("one:Q", format=".3f", title=pairs.first),
        alt.Tooltip("two:Q", format=".3f", title=pairs.second),
    ]
    base = alt.Chart(rows).encode(y=y, tooltip=tips)
    layers = [_leaders(names, rows["tag"].iloc[0], order), *_texts(names, order)]
    layers += [
        base.mark_rule(color=colours.grey, strokeWidth=2).encode(x=x, x2="two:Q"),
        base.mark_circle(color=colours.ink, size=70, opacity=1).encode(x=x),
        base.mark_point(
            color=colours.ink, fill=colours.paper, size=55, strokeWidth=1.8, opacity=1
        ).encode(x=alt.X("two:Q")),
    ]
    return alt.layer(*layers).properties(height=22 * len(order) + 50)


def _names(pairs: TagPairs, top: float = 1.0) -> list[dict[str, object]]:
    """Where the two names stand above the first row's dots, so that nothing crosses a word.

    They take a line each. Names read to the right where there is room; the lower line is for the
    one that leaves the other's thin line alone.
    """
    near, far = NAME_WIDTH * top, (1 - NAME_WIDTH) * top
    ends = sorted(zip(pairs.shared[0][1:], (pairs.first, pairs.second), strict=True))
    (left, left_name), (right, right_name) = ends
    high, low = LINES
    if left < near and right > far:
        spots = [(left, left_name, high, "left"), (right, right_name, low, "right")]
    elif right <= far:
        spots = [(left, left_name, high, "left"), (right, right_name, low, "left")]
    else:
        spots = [(left, left_name, low, "right"), (right, right_name, high, "right")]
    return [{"x": x, "name": name, "line": line, "align": align} for x, name, line, align in spots]


def _leaders(names: list[dict[str, object]], row: str, order: list[str]) -> alt.Chart:
    """Thin lines from the names down to the dots of the first row."""
    table = pd.DataFrame([{**name, "row": row} for name in names])
    return (
        alt.Chart(table)
        .mark_rule(color=palette().grey, strokeWidth=0.8)
        .encode(x="x:Q", y=alt.Y("line:N", scale=alt.Scale(domain=order)), y2="row:N")
    )


def _texts(names: list[dict[str, object]], order: list[str]) -> list[alt.Chart]:
    marks = []
    for name in names:
        side = -1 if name["align"] == "right" else 1
        text = alt.Chart(pd.DataFrame([name])).mark_text(
            align=name["align"], dx=4 * side, color=palette().ink, fontSize=11, fontWeight="bold"
        )
        at = alt.Y("line:N", scale=alt.Scale(domain=order))
        marks.append(text.encode(x="x:Q", y=at, text="name:N"))
    return marks

"""Why a song scores as it does, as pictures: tags as a waterfall, bands and moments as bars."""

import altair as alt
import numpy as np
import pandas as pd

from hitcore.analysis.song import SongReport
from hitcore.analysis.why import Contribution, Explanation
from ui.frame.theme import palette

N_TAGS = 8
REST = "all other tags"


def sentence(why: Explanation, n_tags: int = 3) -> str:
    """The tags that matter most, in words.

    Example:
        >>> more = Contribution("female vocal", 0.2, 0.7, 0.3)
        >>> less = Contribution("slow", -0.1, 0.1, 0.2)
        >>> sentence(Explanation("tags", 0.6, 0.5, (more, less), "", points=2.0))
        'More “female vocal” than most: +4 points. Less “slow” than most: −2 points.'
        >>> sentence(Explanation("tags", 0.5, 0.5, (Contribution("slow", 0.0, 0.2, 0.2),), ""))
        'Its tags are those of the typical song.'
    """
    said = [part for part in why.largest(n_tags) if abs(part.value) > 1e-9]
    if not said:
        return "Its tags are those of the typical song."
    return " ".join(
        f"{_more(part)} “{part.name}” than most: {_worth(why, part.value)}." for part in said
    )


def waterfall(why: Explanation, n_tags: int = N_TAGS) -> alt.LayerChart:
    """From the typical song's score to this song's, by the tags that matter most."""
    table = waterfall_table(why, n_tags)
    colours = palette()
    unit = "Percentage points" if why.points is not None else "Score"
    order = list(table["name"])
    base = alt.Chart(table).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=180))
    )
    colour = alt.Color(
        "sign:N",
        scale=alt.Scale(
            domain=["raises", "lowers", "whole"], range=[colours.blue, colours.violet, colours.ink]
        ),
        legend=None,
    )
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X("from:Q", title=f"{unit} above or below the typical song"),
        x2="to:Q",
        color=colour,
        tooltip=[
            alt.Tooltip("name:N", title="tag"),
            alt.Tooltip("change:Q", format="+.3f"),
            alt.Tooltip("here:Q", format=".2f", title="in this song"),
            alt.Tooltip("typical:Q", format=".2f", title="in the typical song"),
        ],
    )
    words = base.mark_text(align="left", dx=4, color=colours.ink).encode(
        x="right:Q", text="label:N"
    )
    return (bars + words).properties(height=26 * len(table) + 40)


def waterfall_table(why: Explanation, n_tags: int = N_TAGS) -> pd.DataFrame:
    """The numbers of the waterfall: each bar starts where the one above it ended."""
    parts = why.largest(n_tags)
    steps = [*parts]
    if len(why.parts) > len(parts):
        steps.append(Contribution(REST, why.rest(n_tags)))
    rows, at = [], 0.0
    for part in steps:
        change = _in_unit(why, part.value)
        rows.append(_row(part, at, at + change, change, "raises" if change >= 0 else "lowers", why))
        at += change
    whole = Contribution("this song in all", why.difference)
    rows.append(_row(whole, 0.0, at, at, "whole", why))
    return pd.DataFrame(rows)


def bands(why: Explanation) -> alt.Chart:
    """What each band of the spectrum adds."""
    colours = palette()
    table = pd.DataFrame(
        [{"band": part.name, "adds": _in_unit(why, part.value)} for part in why.parts]
    )
    unit = "percentage points" if why.points is not None else "score"
    return (
        alt.Chart(table)
        .mark_bar(height={"band": 0.7})
        .encode(
            y=alt.Y("band:N", sort=list(table["band"])[::-1], title=None),
            x=alt.X("adds:Q", title=f"Adds ({unit})"),
            color=alt.condition(
                "datum.adds >= 0", alt.value(colours.blue), alt.value(colours.violet)
            ),
            tooltip=["band:N", alt.Tooltip("adds:Q", format="+.3f")],
        )
        .properties(height=26 * len(table) + 40)
    )


def moments(why: Explanation, report: SongReport) -> alt.Chart:
    """What each moment of the highlight adds, compared with the highlight's mean."""
    colours = palette()
    start, end = report.highlight.start, report.highlight.end
    step = (end - start) / max(len(why.parts), 1)
    table = pd.DataFrame(
        {
            "second": np.round(start + step * np.arange(len(why.parts)), 2),
            "until": np.round(start + step * (np.arange(len(why.parts)) + 1), 2),
            "adds": [_in_unit(why, part.value) for part in why.parts],
        }
    )
    return (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("second:Q", title="Time in the song (s)", scale=alt.Scale(domain=[start, end])),
            x2="until:Q",
            y=alt.Y("adds:Q", title="Adds"),
            color=alt.condition(
                "datum.adds >= 0", alt.value(colours.blue), alt.value(colours.violet)
            ),
            tooltip=["second:Q", alt.Tooltip("adds:Q", format="+.4f")],
        )
        .properties(height=160)
    )


# --- inside --------------------------------------------------------------------------------------


def _row(
    part: Contribution, start: float, end: float, change: float, sign: str, why: Explanation
) -> dict[str, object]:
    return {
        "name": part.name,
        "from": start,
        "to": end,
        "right": max(start, end),
        "change": change,
        "sign": sign,
        "label": _worth(why, part.value),
        "here": part.here,
        "typical": part.typical,
    }


def _in_unit(why: Explanation, value: float) -> float:
    points = why.in_points(value)
    return value if points is None else points


def _more(part: Contribution) -> str:
    more = part.here is not None and part.typical is not None and part.here >= part.typical
    return "More" if more else "Less"


def _worth(why: Explanation, value: float) -> str:
    """A contribution with its sign and its unit: whole points, or the score to two digits."""
    points = why.in_points(value)
    amount = f"{abs(value):.2g}" if points is None else f"{abs(points):.0f}"
    sign = "−" if (value if points is None else points) < 0 and float(amount) else "+"
    return f"{sign}{amount}" if points is None else f"{sign}{amount} points"

"""Two songs side by side: players, both curves on one axis, tags in pairs, and who is ahead."""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from hitcore.analysis.song import ModelScore, SongReport
from ui.analyse import passage, tagpairs
from ui.analyse.reports import found_report
from ui.analyse.songs import Brought, choice_of
from ui.analyse.summary import Place, name_of, place_of
from ui.frame import charts
from ui.frame.page import clock, plain
from ui.frame.theme import palette

N_TAGS = 12
MAX_LETTERS = 28
CLOCK = "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') + (datum.value % 60)"
"""Whole seconds as m:ss, in the charts' own language."""


def show(first: Brought, second: Brought) -> None:
    """Both songs, as far as they are analysed."""
    found = [(song, found_report(song, choice_of(song))) for song in (first, second)]
    waiting = [song.name for song, report in found if report is None]
    st.divider()
    st.subheader("Side by side", anchor=False)
    if waiting:
        st.info(plain(f"{' and '.join(waiting)}: not analysed yet."), icon=":material/hourglass:")
        return
    (one, one_report), (two, two_report) = found
    assert one_report is not None, "nothing is waiting"
    assert two_report is not None, "nothing is waiting"
    names = _names(one, one_report, two, two_report)
    for column, song, report, name in zip(
        st.columns(2, gap="medium"), (one, two), (one_report, two_report), names, strict=True
    ):
        with column:
            start, end = report.highlight.start, report.highlight.end
            st.markdown(f"**{plain(name)}**, highlight {clock(start)} – {clock(end)}")
            passage.player(song, report)
    _scores(one_report, two_report, names)
    _curves(one_report, two_report, names)
    _tags(one_report, two_report, names)


def verdict(one: Place, two: Place, names: tuple[str, str]) -> str:
    """Whether two songs differ by more than their intervals, in a sentence.

    Example:
        >>> a = Place("m", "M", False, 0.9, 0.8, 0.95, None, 1.0, True, "")
        >>> b = Place("m", "M", False, 0.4, 0.2, 0.6, None, 0.5, True, "")
        >>> verdict(a, b, ("A", "B"))
        'A ranks above B by more than their intervals.'
        >>> verdict(b, b, ("A", "B"))
        'Their intervals overlap: the comparison is inconclusive.'
    """
    ends = (one.low, one.high, two.low, two.high)
    if one.percentile is None or two.percentile is None or any(end is None for end in ends):
        return "No percentile for both, so their places cannot be compared."
    if one.low > two.high:  # type: ignore[operator]
        return f"{names[0]} ranks above {names[1]} by more than their intervals."
    if two.low > one.high:  # type: ignore[operator]
        return f"{names[1]} ranks above {names[0]} by more than their intervals."
    return "Their intervals overlap: the comparison is inconclusive."


def tag_pairs(one: SongReport, two: SongReport, names: tuple[str, str]) -> pd.DataFrame:
    """The strongest tags of both songs, one line per tag and song."""
    pairs = tagpairs.pair(names[0], one.taggram, names[1], two.taggram).shared[:N_TAGS]
    return pd.DataFrame(
        [
            {"tag": tag, "song": name, "activation": value}
            for tag, *values in pairs
            for name, value in zip(names, values, strict=True)
        ]
    )


# --- the parts -----------------------------------------------------------------------------------


def _names(
    one: Brought, one_report: SongReport, two: Brought, two_report: SongReport
) -> tuple[str, str]:
    """What the songs are called, short, and never the same."""
    first, second = (
        name if len(name) <= MAX_LETTERS else name[: MAX_LETTERS - 1] + "…"
        for name in (name_of(one.name, one_report), name_of(two.name, two_report))
    )
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


def _common(one: SongReport, two: SongReport) -> list[tuple[ModelScore, ModelScore]]:
    """The scores of the models that rated both."""
    others = {score.model: score for score in two.scores}
    return [(score, others[score.model]) for score in one.scores if score.model in others]


def _scores(one: SongReport, two: SongReport, names: tuple[str, str]) -> None:
    lines = []
    for first, second in _common(one, two):
        places = place_of(first), place_of(second)
        lines.append(
            {
                "Model": f"{first.title}{' (demo)' if first.demo else ''}",
                names[0]: places[0].words(),
                names[1]: places[1].words(),
                "Finding": verdict(*places, names),
            }
        )
    if not lines:
        st.markdown("No model has rated both.")
        return
    table = pd.DataFrame(lines)
    st.table(
        table.map(plain).rename(columns=plain).set_index("Model"),
        border="horizontal",
        alt="The place of both songs by each model, with intervals.",
    )
    st.caption("Percentile (interval), as each model sees it.")


def _curves(one: SongReport, two: SongReport, names: tuple[str, str]) -> None:
    both = next(
        (pair for pair in _common(one, two) if all(score.curve is not None for score in pair)), None
    )
    if both is None:
        return
    table = pd.concat(
        [
            pd.DataFrame({"song": name, "start": score.curve.starts, "score": score.curve.scores})
            for name, score in zip(names, both, strict=True)
            if score.curve is not None
        ]
    )
    medians = [float(np.median(score.curve.scores)) for score in both if score.curve is not None]
    higher = names[int(np.argmax(medians))]
    colours = palette()
    colour = alt.Color(
        "song:N",
        scale=alt.Scale(domain=list(names), range=[colours.accent, colours.blue]),
        legend=alt.Legend(title=None, orient="top", labelLimit=300),
    )
    chart = (
        alt.Chart(table)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X(
                "start:Q",
                title="Start of the 30 s (m:ss)",
                axis=alt.Axis(grid=False, labelExpr=CLOCK, tickCount=6, tickMinStep=5),
            ),
            y=alt.Y("score:Q", title="Score of the 30 s", scale=alt.Scale(zero=False)),
            color=colour,
        )
        .properties(height=240)
    )
    charts.figure(
        f"The curve of {higher} lies higher at its median",
        chart,
        f"Each point is the score that {plain(both[0].title)} gives to the 30 s that begin there.",
        table,
        key="pair-curves",
    )


def _tags(one: SongReport, two: SongReport, names: tuple[str, str]) -> None:
    table = tag_pairs(one, two, names)
    if table.empty:
        return
    colours = palette()
    wide = table.pivot(index="tag", columns="song", values="activation")
    most = (wide[names[0]] - wide[names[1]]).abs().idxmax()
    chart = (
        alt.Chart(table)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("tag:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False)),
            yOffset=alt.YOffset("song:N", sort=list(names)),
            x=alt.X(
                "activation:Q",
                title="Activation (0 to 1)",
                axis=alt.Axis(values=[0, 0.5, 1], grid=False),
            ),
            color=alt.Color(
                "song:N",
                scale=alt.Scale(domain=list(names), range=[colours.accent, colours.blue]),
                legend=alt.Legend(title=None, orient="top", labelLimit=300),
            ),
            tooltip=["song", "tag", alt.Tooltip("activation:Q", format=".2f")],
        )
        .properties(height=30 * table["tag"].nunique() + 60)
    )
    charts.figure(
        f"They differ most on “{most}”",
        chart,
        "Two bars per tag, one for each highlight; longer: the tagger is surer that it fits.",
        table,
        key="pair-tags",
    )

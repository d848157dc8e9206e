"""The hit curve as a picture: what a model says of every 30 seconds of a song.

A click on the curve gives the start of the window under it, so that a page can move the passage.
"""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hitcore.analysis.curve import HitCurve
from hitcore.analysis.digits import sure_digits
from hitcore.analysis.song import ModelScore, SongReport
from ui.frame.page import clock
from ui.frame.theme import Palette, palette

MAX_POINTS = 900
"""Points that are drawn; the published network has thousands."""


def first_curve(report: SongReport, model: str | None = None) -> ModelScore | None:
    """The score whose curve is shown: that of a model, or the first that has one."""
    for score in report.scores:
        if score.curve is not None and model in (None, score.model):
            return score
    return None


def curve_figure(report: SongReport, model: str | None = None) -> go.Figure | None:
    """The curve along the song, with the parts of sound and tags, median, range and highlight.

    Args:
        report: The song's report.
        model: Whose curve; None for the first model that has one.

    Returns:
        None where no model has a curve.
    """
    score = first_curve(report, model)
    if score is None or score.curve is None:
        return None
    figure = go.Figure()
    add_curve(figure, score.curve, palette())
    figure.add_vrect(
        x0=report.highlight.start, x1=report.highlight.end, fillcolor=palette().accent,
        opacity=0.16, line_width=0,
    )  # fmt: skip
    step = next((s for s in (10, 15, 30, 60, 120, 300) if report.info.duration_s / s <= 8), 600)
    ticks = list(range(0, int(report.info.duration_s) + 1, step))
    figure.update_xaxes(
        tickvals=ticks, ticktext=[clock(t) for t in ticks], range=[0, report.info.duration_s],
        title_text="Middle of the 30 seconds (m:ss)", showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(title_text="Score", nticks=4, showgrid=False, zeroline=False)
    figure.update_layout(
        height=210, margin={"l": 0, "r": 8, "t": 8, "b": 0}, hovermode="x", showlegend=False,
        clickmode="event+select",
    )  # fmt: skip
    return figure


def add_curve(figure: go.Figure, curve: HitCurve, colours: Palette, **place: Any) -> None:
    """Draw a curve into a figure: its range as a band, its median, and the score of each window.

    Args:
        figure: The figure.
        curve: The curve.
        colours: Of the theme.
        place: `row` and `col` of a figure of several rows.
    """
    every = max(1, len(curve.starts) // MAX_POINTS)
    middles = (curve.starts + curve.window_s / 2)[::every]
    low, high = curve.range
    figure.add_hrect(
        y0=low, y1=high, fillcolor=colours.faint, opacity=0.5, line_width=0, layer="below", **place
    )
    figure.add_hline(y=curve.song_score, line={"color": colours.grey, "width": 1}, **place)
    figure.add_scatter(
        x=middles, y=curve.scores[::every], mode="lines+markers", name="score of the 30 s",
        line={"color": colours.ink, "width": 1.8}, marker={"size": 5, "opacity": 0},
        customdata=curve.starts[::every], showlegend=False,
        hovertemplate="%{y:.3g}<extra></extra>", **place,
    )  # fmt: skip


def start_of_click(state: Any, curve: HitCurve) -> float | None:
    """Where the window starts that was clicked in `st.plotly_chart(…, on_select="rerun")`.

    Example:
        >>> curve = HitCurve(np.array([0.0, 5.0, 9.0]), np.zeros((1, 3)), 30.0)
        >>> start_of_click({"selection": {"points": [{"x": 20.4}]}}, curve)
        5.0
        >>> start_of_click({"selection": {"points": []}}, curve) is None
        True
    """
    points = (state or {}).get("selection", {}).get("points", [])
    if not points or not isinstance(points[0].get("x"), int | float):
        return None
    return float(curve.starts[curve.nearest(points[0]["x"] - curve.window_s / 2)])


def curve_words(report: SongReport, score: ModelScore) -> str:
    """The headline beside the value at the highlight, with the range, in a sentence."""
    curve = score.curve
    if curve is None:
        return ""
    if len(curve.starts) < 2:
        return "The song is one window of 30 seconds."
    low, high = curve.range
    median, here, least, most = (
        sure_digits(value, low, high)
        for value in (curve.song_score, curve.at(report.highlight.start), low, high)
    )
    best = clock(curve.best_start)
    return (
        f"The song scores {median}, the median over its 30-second windows; four fifths of them lie "
        f"between {least} and {most} (the band). The highlight scores {here}; the best window "
        f"starts at {best}."
    )


def curve_table(curve: HitCurve) -> pd.DataFrame:
    """The numbers behind the curve."""
    columns: dict[str, np.ndarray] = {"start_s": curve.starts.round(3), "score": curve.scores}
    if curve.fold_audio is not None:
        columns["audio_score"] = curve.fold_audio.mean(axis=0)
    if curve.fold_tag is not None:
        columns["tag_score"] = curve.fold_tag.mean(axis=0)
    return pd.DataFrame(columns)

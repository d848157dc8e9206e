"""The pictures of one song: where its highlight is and why, its tags, and where it would stand."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from hitcore.analysis.song import BY_HAND, ModelScore, SongReport
from hitcore.evaluation.percentiles import PercentileRank
from hitcore.highlights import DEFAULT_METHOD, Evidence
from hitcore.taggers import Taggram
from ui.frame.page import clock
from ui.frame.theme import ORDERED_SCALE, Palette, palette

N_TAGS = 12
N_TICKS = 8
Array = NDArray[np.float64]


def song_map(report: SongReport, others: Sequence[Evidence] = ()) -> go.Figure:
    """Evidence over time, the waveform with the highlight marked, and the score of each moment.

    Where the evidence of several methods is given, each has a row of its own.
    """
    colours = palette()
    scored = next((s for s in report.scores if s.frame_scores is not None), None)
    curves = _curves(report, others)
    pixels = [54 if len(curves) > 1 else 90] * len(curves) + [136] + ([76] if scored else [])
    gap = 22
    inner = sum(pixels) + gap * (len(pixels) - 1)
    figure = make_subplots(
        rows=len(pixels), cols=1, shared_xaxes=True, row_heights=pixels,
        vertical_spacing=gap / inner,
    )  # fmt: skip
    for row, (method, times, evidence) in enumerate(curves, start=1):
        chose = method == _method_of_curve(report)
        figure.add_scatter(
            x=times, y=evidence, mode="lines", name=method, showlegend=False,
            line={"color": colours.ink if chose else colours.grey, "width": 1.6},
            hovertemplate=f"{method} %{{y:.2f}}<extra></extra>", row=row, col=1,
        )  # fmt: skip
        title = "Evidence" if row == (len(curves) + 1) // 2 else None
        figure.update_yaxes(title_text=title, range=[0, 1.05], tickvals=[0, 1], row=row, col=1)
        if len(curves) > 1:
            # In the gap above its row: there no curve can run through the words.
            figure.add_annotation(
                text=f"<b>{method}</b>" if chose else method, x=0, xref="x domain", xanchor="left",
                y=1, yanchor="bottom", showarrow=False, row=row, col=1,
                font={"size": 12, "color": colours.ink if chose else colours.grey},
            )  # fmt: skip
            figure.layout.annotations[-1].yref = f"y{row if row > 1 else ''} domain"
    _add_waveform(figure, report, colours, len(curves) + 1)
    if scored:
        _add_frame_scores(figure, report, scored, colours, len(curves) + 2)
    for row in range(1, len(pixels) + 1):
        figure.add_vrect(
            x0=report.highlight.start,
            x1=report.highlight.end,
            fillcolor=colours.accent,
            opacity=0.16,
            line_width=0,
            row=row,
            col=1,
        )
    ticks = _time_ticks(report.info.duration_s)
    figure.update_xaxes(
        tickvals=ticks, ticktext=[clock(t) for t in ticks], range=[0, report.info.duration_s],
        showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_xaxes(title_text="Time in the song (m:ss)", row=len(pixels), col=1)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_layout(
        height=inner + 70,
        margin={"l": 0, "r": 8, "t": 24 if len(curves) > 1 else 8, "b": 0},
        hovermode="x",
        showlegend=False,
        dragmode=False,
    )
    return figure


def evidence_table(report: SongReport, others: Sequence[Evidence] = ()) -> pd.DataFrame:
    """The numbers behind the curves of the map, one row per method and moment."""
    return pd.concat(
        [
            pd.DataFrame({"method": method, "time_s": times, "evidence": evidence})
            for method, times, evidence in _curves(report, others)
        ]
    )


def taggram_map(
    taggram: Taggram, start_s: float, highlight: tuple[float, float] | None = None
) -> go.Figure:
    """The strongest tags over time as a heat map."""
    colours = palette()
    order = np.argsort(taggram.mean())[-N_TAGS:]
    centres = taggram.times + taggram.patch_s / 2 + start_s
    figure = go.Figure(
        go.Heatmap(
            z=taggram.activations[:, order].T,
            x=centres,
            y=[taggram.tag_names[i] for i in order],
            colorscale=ORDERED_SCALE,
            zmin=0,
            zmax=1,
            colorbar={"title": {"text": "Activation"}, "thickness": 10, "tickvals": [0, 0.5, 1]},
            hovertemplate="%{y} at %{x:.0f} s: %{z:.2f}<extra></extra>",
        )
    )
    if highlight is not None:
        for edge in highlight:
            figure.add_vline(x=edge, line_color=colours.accent, line_width=2)
    ticks = _time_ticks(
        float(centres[-1] + taggram.patch_s / 2), float(centres[0] - taggram.patch_s / 2)
    )
    figure.update_xaxes(
        tickvals=ticks, ticktext=[clock(t) for t in ticks], title_text="Time in the song (m:ss)"
    )
    figure.update_layout(height=330, margin={"l": 0, "r": 0, "t": 8, "b": 0}, dragmode=False)
    return figure


def tag_bars(tags: list[tuple[str, float]], n_tags: int = N_TAGS) -> alt.Chart:
    """The strongest tags as bars."""
    colours = palette()
    table = pd.DataFrame(tags[:n_tags], columns=["tag", "activation"])
    base = alt.Chart(table).encode(
        y=alt.Y(
            "tag:N",
            sort=None,
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelOverlap=False),
        ),
    )
    bars = base.mark_bar(color=colours.grey, height=10, cornerRadiusEnd=2).encode(
        x=alt.X(
            "activation:Q",
            title="Activation (0 to 1)",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(values=[0, 0.5, 1], grid=False),
        ),
        tooltip=["tag", alt.Tooltip("activation:Q", format=".3f")],
    )
    labels = base.mark_text(align="left", dx=4, color=colours.ink, fontSize=11).encode(
        x="activation:Q", text=alt.Text("activation:Q", format=".2f")
    )
    return (bars + labels).properties(height=22 * len(table) + 50)


def percentile_strip(rank: PercentileRank) -> alt.LayerChart:
    """The percentile on a line from 0 to 100, with its interval."""
    colours = palette()
    table = pd.DataFrame(
        [
            {
                "low": 100 * rank.low,
                "mid": 100 * rank.percentile,
                "high": 100 * rank.high,
                "line": "",
            }
        ]
    )
    scale = alt.Scale(domain=[0, 100])
    axis = alt.Axis(values=[0, 25, 50, 75, 90, 100], grid=False, title="Percentile")
    base = alt.Chart(table).encode(y=alt.Y("line:N", axis=None))
    rail = base.mark_rule(color=colours.faint, strokeWidth=6).encode(
        x=alt.datum(0, scale=scale), x2=alt.datum(100)
    )
    spread = base.mark_bar(color=colours.grey, opacity=0.6, height=12).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"
    )
    middle = base.mark_tick(color=colours.accent, thickness=4, size=26).encode(
        x=alt.X("mid:Q", scale=scale, axis=axis),
        tooltip=[
            alt.Tooltip("mid:Q", format=".0f", title="percentile"),
            alt.Tooltip("low:Q", format=".0f", title="interval, from"),
            alt.Tooltip("high:Q", format=".0f", title="to"),
        ],
    )
    return (rail + spread + middle).properties(height=80)


def catalogue_place(hit_scores: np.ndarray, rank: PercentileRank) -> alt.LayerChart:
    """The catalogue's long tail by rank, with the place of this song."""
    colours = palette()
    ordered = np.sort(hit_scores)[::-1]
    ranks = np.unique(np.geomspace(1, len(ordered), 300).astype(int))
    table = pd.DataFrame({"rank": ranks, "ppm": 1e6 * ordered[ranks - 1]})
    table = table[table["ppm"] > 0]
    place = max(1, round((1 - rank.percentile) * len(ordered)))
    best = max(1, round((1 - rank.high) * len(ordered)))
    worst = max(1, round((1 - rank.low) * len(ordered)))
    mark = pd.DataFrame([{"rank": place, "best": best, "worst": worst, "label": "this song"}])
    plain_axis = alt.Axis(grid=False)
    x = alt.X(
        "rank:Q",
        scale=alt.Scale(type="log"),
        title="Rank among the catalogue's songs",
        axis=plain_axis,
    )
    curve = (
        alt.Chart(table)
        .mark_line(color=colours.grey, strokeWidth=2)
        .encode(
            x=x,
            y=alt.Y(
                "ppm:Q",
                scale=alt.Scale(type="log"),
                title="Hit score (share on day 60, ppm)",
                axis=plain_axis,
            ),
        )
    )
    span = (
        alt.Chart(mark)
        .mark_rect(color=colours.accent, opacity=0.15)
        .encode(x=alt.X("best:Q", scale=alt.Scale(type="log")), x2="worst:Q")
    )
    line = alt.Chart(mark).mark_rule(color=colours.accent, strokeWidth=2).encode(x=x)
    text = (
        alt.Chart(mark)
        .mark_text(color=colours.accent, align="left", dx=5, y=12, fontWeight="bold")
        .encode(x=x, text="label:N")
    )
    return (span + curve + line + text).properties(height=260)


# --- the rows of the map -------------------------------------------------------------------------


def _curves(report: SongReport, others: Sequence[Evidence]) -> list[tuple[str, Array, Array]]:
    """Method, times and evidence of every curve in view."""
    if others:
        return [(found.method, found.curve_times, found.curve) for found in others]
    chosen = report.highlight
    return [(_method_of_curve(report), chosen.curve_times, chosen.curve)]


def _method_of_curve(report: SongReport) -> str:
    """Whose evidence the report holds: a window by hand comes with the default method's."""
    method = report.highlight.method
    return DEFAULT_METHOD if method == BY_HAND else method


def _add_waveform(figure: go.Figure, report: SongReport, colours: Palette, row: int) -> None:
    low, high = report.envelope
    times = np.linspace(0, report.info.duration_s, len(low))
    line = {"color": colours.grey, "width": 0.8}
    figure.add_scatter(
        x=times, y=high, mode="lines", line=line, hoverinfo="skip", showlegend=False, row=row, col=1
    )
    figure.add_scatter(
        x=times, y=low, mode="lines", line=line, fill="tonexty", fillcolor=colours.grey,
        hoverinfo="skip", showlegend=False, row=row, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="Amplitude", range=[-1, 1], tickvals=[-1, 0, 1], row=row, col=1)


def _add_frame_scores(
    figure: go.Figure, report: SongReport, scored: ModelScore, colours: Palette, row: int
) -> None:
    assert scored.frame_scores is not None, "asked for a model with frame scores"
    n = len(scored.frame_scores)
    width = (report.highlight.end - report.highlight.start) / n
    times = report.highlight.start + width * (np.arange(n) + 0.5)
    figure.add_scatter(
        x=times, y=scored.frame_scores, mode="lines", name="frame score",
        line={"color": colours.accent, "width": 1.8}, showlegend=False,
        hovertemplate="frame score %{y:.3f}<extra></extra>", row=row, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="Frame score", nticks=3, row=row, col=1)


def _time_ticks(end_s: float, start_s: float = 0.0) -> list[float]:
    """Round times between start and end."""
    span = max(end_s - start_s, 1.0)
    step = next((s for s in (5, 10, 15, 30, 60, 120, 300, 600) if span / s <= N_TICKS), 900)
    first = int(np.ceil(start_s / step)) * step
    return [float(t) for t in range(first, int(end_s) + 1, step)]

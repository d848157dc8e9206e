"""The pictures of one song: where its highlight is and why, its tags, and where it would stand."""

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hitcore.analysis import ModelScore, SongReport
from hitcore.highlights import Evidence
from hitcore.standing import Standing
from hitcore.taggers import Taggram
from ui.page import clock
from ui.theme import ORDERED_SCALE, Palette, palette

N_TAGS = 12
N_TICKS = 8
METHOD_DASHES = {"repetition": "solid", "attention": "dot", "fused": "dash", "middle": "longdash"}


def song_map(report: SongReport, others: list[Evidence] | None = None) -> go.Figure:
    """Evidence over time, the waveform with the highlight marked, and the score of each moment."""
    colours = palette()
    scored = next((s for s in report.scores if s.frame_scores is not None), None)
    heights = [0.3, 0.45, 0.25] if scored else [0.38, 0.62]
    figure = make_subplots(
        rows=len(heights), cols=1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.06
    )
    _add_evidence(figure, report, others or [], colours)
    _add_waveform(figure, report, colours)
    if scored:
        _add_frame_scores(figure, report, scored, colours)
    for row in range(1, len(heights) + 1):
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
    figure.update_xaxes(title_text="Time in the song (m:ss)", row=len(heights), col=1)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_layout(
        height=380 if scored else 300,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        hovermode="x",
        showlegend=bool(others),
        legend={"orientation": "h", "y": 1.12, "x": 0},
        dragmode=False,
    )
    return figure


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
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], grid=False),
        ),
        tooltip=["tag", alt.Tooltip("activation:Q", format=".3f")],
    )
    labels = base.mark_text(align="left", dx=4, color=colours.ink, fontSize=11).encode(
        x="activation:Q", text=alt.Text("activation:Q", format=".2f")
    )
    return (bars + labels).properties(height=22 * len(table) + 40)


def standing_strip(standing: Standing) -> alt.LayerChart:
    """The percentile on a line from 0 to 100, with the spread of the folds."""
    colours = palette()
    table = pd.DataFrame(
        [
            {
                "low": 100 * standing.low,
                "mid": 100 * standing.percentile,
                "high": 100 * standing.high,
                "line": "",
            }
        ]
    )
    scale = alt.Scale(domain=[0, 100])
    axis = alt.Axis(
        values=[0, 25, 50, 75, 90, 100], grid=False, title="Percentile in the catalogue"
    )
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
            alt.Tooltip("low:Q", format=".0f", title="lowest fold"),
            alt.Tooltip("high:Q", format=".0f", title="highest fold"),
        ],
    )
    return (rail + spread + middle).properties(height=80)


def catalogue_place(hit_scores: np.ndarray, standing: Standing) -> alt.LayerChart:
    """The catalogue's long tail by rank, with the place of this song."""
    colours = palette()
    ordered = np.sort(hit_scores)[::-1]
    ranks = np.unique(np.geomspace(1, len(ordered), 300).astype(int))
    table = pd.DataFrame({"rank": ranks, "ppm": 1e6 * ordered[ranks - 1]})
    table = table[table["ppm"] > 0]
    place = max(1, round((1 - standing.percentile) * len(ordered)))
    best = max(1, round((1 - standing.high) * len(ordered)))
    worst = max(1, round((1 - standing.low) * len(ordered)))
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


def _add_evidence(
    figure: go.Figure, report: SongReport, others: list[Evidence], colours: Palette
) -> None:
    chosen = report.highlight
    for evidence in others:
        dash = METHOD_DASHES.get(evidence.method, "dot")
        figure.add_scatter(
            x=evidence.curve_times, y=evidence.curve, mode="lines", name=evidence.method,
            line={"color": colours.grey, "width": 1.2, "dash": dash}, row=1, col=1,
        )  # fmt: skip
    figure.add_scatter(
        x=chosen.curve_times, y=chosen.curve, mode="lines", name=f"{chosen.method} (chosen)",
        line={"color": colours.ink, "width": 1.6},
        hovertemplate="evidence %{y:.2f}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="Evidence", range=[0, 1.05], tickvals=[0, 1], row=1, col=1)


def _add_waveform(figure: go.Figure, report: SongReport, colours: Palette) -> None:
    low, high = report.envelope
    times = np.linspace(0, report.info.duration_s, len(low))
    line = {"color": colours.grey, "width": 0.8}
    figure.add_scatter(
        x=times, y=high, mode="lines", line=line, hoverinfo="skip", showlegend=False, row=2, col=1
    )
    figure.add_scatter(
        x=times, y=low, mode="lines", line=line, fill="tonexty", fillcolor=colours.grey,
        hoverinfo="skip", showlegend=False, row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="Amplitude", range=[-1, 1], tickvals=[-1, 0, 1], row=2, col=1)


def _add_frame_scores(
    figure: go.Figure, report: SongReport, scored: ModelScore, colours: Palette
) -> None:
    assert scored.frame_scores is not None, "asked for a model with frame scores"
    n = len(scored.frame_scores)
    width = (report.highlight.end - report.highlight.start) / n
    times = report.highlight.start + width * (np.arange(n) + 0.5)
    figure.add_scatter(
        x=times, y=scored.frame_scores, mode="lines", name="frame score",
        line={"color": colours.accent, "width": 1.8}, showlegend=False,
        hovertemplate="frame score %{y:.3f}<extra></extra>", row=3, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="Frame score", nticks=3, row=3, col=1)


def _time_ticks(end_s: float, start_s: float = 0.0) -> list[float]:
    """Round times between start and end."""
    span = max(end_s - start_s, 1.0)
    step = next((s for s in (5, 10, 15, 30, 60, 120, 300, 600) if span / s <= N_TICKS), 900)
    first = int(np.ceil(start_s / step)) * step
    return [float(t) for t in range(first, int(end_s) + 1, step)]

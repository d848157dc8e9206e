"""Several songs on the Analyse page: a table to sort, and a click that opens one below."""

import numpy as np
import pandas as pd
import streamlit as st

from hitcore.analysis.song import SongReport
from ui.analyse.songs import Brought
from ui.analyse.view import name_of, summary_row
from ui.frame import charts
from ui.frame.page import clock

N_POINTS = 60


def choose(found: dict[Brought, SongReport]) -> Brought:
    """Show the table of these songs; the one that is open."""
    songs = list(found)
    table = pd.DataFrame([_row(song, report) for song, report in found.items()])
    opened = st.query_params.get("song")
    default = next((i for i, song in enumerate(songs) if song.digest == opened), 0)
    st.markdown(
        f"**{len(songs)} songs.** Click a row to open the song below; click a column to sort."
    )
    state = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="songs-table",
        column_config=_columns(table),
        alt="One row for each song with its waveform, highlight, scores and strongest tags.",
    )
    everything = pd.concat([summary_row(song, report) for song, report in found.items()])
    st.download_button(
        "Download all as CSV",
        charts.csv_bytes(everything),
        "hitcore-songs.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    rows = state["selection"]["rows"]
    return songs[rows[0] if rows and rows[0] < len(songs) else default]


def _row(song: Brought, report: SongReport) -> dict[str, object]:
    chosen = report.highlight
    row: dict[str, object] = {
        "Song": name_of(song, report),
        "Waveform": _small_waveform(report),
        "Highlight": f"{clock(chosen.start)} – {clock(chosen.end)}",
    }
    for score in report.scores:
        label = f"{score.model}{' (demo)' if score.demo else ''}"
        if score.percentile_rank is not None:
            row[f"Percentile, {label}"] = round(100 * score.percentile_rank.percentile)
            row[f"Spread, {label}"] = (
                f"{100 * score.percentile_rank.low:.0f} – {100 * score.percentile_rank.high:.0f}"
            )
        elif score.share is not None:
            row[f"Share in ppm, {label}"] = round(1e6 * score.share, 1)
    row["Strongest tags"] = ", ".join(tag for tag, _ in report.tags[:3])
    row["Flags"] = ", ".join(report.flags)
    return row


def _small_waveform(report: SongReport) -> list[float]:
    """The loudness of the song in a few points."""
    peaks = np.abs(report.envelope).max(axis=0)
    return [float(part.max()) for part in np.array_split(peaks, min(N_POINTS, len(peaks)))]


def _columns(table: pd.DataFrame) -> dict[str, object]:
    config: dict[str, object] = {
        "Waveform": st.column_config.BarChartColumn("Waveform", y_min=0, y_max=1, width="small"),
        "Song": st.column_config.TextColumn("Song", width="medium"),
    }
    for name in table.columns:
        if name.startswith("Percentile"):
            config[name] = st.column_config.ProgressColumn(
                name, min_value=0, max_value=100, format="%d"
            )
    return config

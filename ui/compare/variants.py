"""Songs of this session scored by every packaged model: a slope chart of percentiles."""

import pandas as pd
import streamlit as st

from hitcore import weights
from hitcore.errors import HitcoreError
from hitcore.experiments import VARIANTS
from ui.analyse import reports, songs
from ui.analyse.summary import name_of
from ui.compare import rows
from ui.frame import charts, page


def show() -> None:
    """Ask for songs, score them with every model that has a catalogue, and draw the slopes."""
    models = demo_models()
    if not models:
        page.empty_state("No trained ensembles are installed: see the Models page.")
        return
    brought, demos = songs.brought(), songs.demo_songs()
    if not brought and not demos:
        page.empty_state("Bring songs on the Analyse page first.")
        return
    if brought:
        st.markdown(f"{len(brought)} songs from the Analyse page, {len(models)} variants.")
    else:
        st.markdown(f"The {len(demos)} demo songs, {len(models)} variants. Bring yours on Analyse.")
    st.caption(which_words(models))
    if not st.button(
        "Score them with every packaged variant", icon=":material/stacked_line_chart:"
    ):
        return
    chosen = brought or [songs.bring(name, path.read_bytes()) for name, path in demos.items()]
    table = _percentiles(chosen, models)
    if table.empty:
        st.info(
            "The variants learned from synthetic songs and say nothing about real ones: try the "
            "demo songs.",
            icon=":material/help:",
        )
        return
    charts.figure(
        "Do the variants agree about these songs?",
        rows.slopes(table),
        "Each line is a song; the higher, the closer to the top of the demo catalogue.",
        table,
        key="slopes",
    )


def which_words(models: list[str]) -> str:
    """Which rows of Table 1 ship as models, and which do not, and why."""
    packaged = [row for row in VARIANTS if f"demo-{row}" in models]
    left = [row for row, v in VARIANTS.items() if v.paper and row not in packaged]
    if not packaged:
        return ""
    text = f"Packaged as ensembles of the demo catalogue: rows {', '.join(packaged)}."
    if left:
        text += (
            f" Not packaged, to keep the app small: {', '.join(left)}; `hitcore experiment export` "
            "makes ensembles of any row that you have run."
        )
    return text


def demo_models() -> list[str]:
    """The packaged hit models, by name."""
    return [
        row.name
        for row in weights.status()
        if row.kind == "hit model"
        and row.name in weights.packaged()
        and row.name.startswith("demo-")
    ]


def _percentiles(chosen: list[songs.Brought], models: list[str]) -> pd.DataFrame:
    lines = []
    for song in chosen:
        report = reports.report_of(song, songs.Choice(models=tuple(models)))
        if isinstance(report, HitcoreError):
            page.show_error(report, song.name)
            continue
        for score in report.scores:
            if score.percentile_rank is not None:
                place = 100 * score.percentile_rank.percentile
                lines.append(
                    {"Song": name_of(song.name, report), "Model": score.title, "Percentile": place}
                )
    return pd.DataFrame(lines)

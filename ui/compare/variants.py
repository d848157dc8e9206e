"""A visitor's songs scored by every model of this server: a slope chart of percentiles."""

import pandas as pd
import streamlit as st

from hitcore.errors import HitcoreError
from hitcore.experiments import VARIANTS
from ui.analyse import reports, songs
from ui.analyse.summary import name_of
from ui.compare import rows
from ui.frame import charts, ensembles, page


def show() -> None:
    """Ask for songs and models, score the songs with the models, and draw the slopes."""
    titles = ensembles.titles()
    if not titles:
        page.empty_state("No hit models are installed: see the Models page.")
        return
    brought, demos = songs.brought(), songs.demo_songs()
    if not brought and not demos:
        page.empty_state("Bring songs on the Analyse page first.")
        return
    models = st.pills(
        "Models",
        list(titles),
        selection_mode="multi",
        default=list(titles),
        format_func=lambda name: titles.get(name, name),
        key="variants",
    )
    if brought:
        st.markdown(f"{len(brought)} song{'s' * (len(brought) > 1)} from the Analyse page.")
    else:
        st.markdown(f"The {len(demos)} demo songs. Bring yours on Analyse.")
    st.caption(which_words(list(titles)))
    if not st.button(
        "Score them with these models", icon=":material/stacked_line_chart:", disabled=not models
    ):
        return
    chosen = brought or [songs.bring(name, path.read_bytes()) for name, path in demos.items()]
    table = _percentiles(chosen, models)
    if table.empty:
        st.info(
            "None of these models knows songs like these, so none gives them a place. The demo "
            "ensembles learned from synthetic songs: try the demo songs.",
            icon=":material/help:",
        )
        return
    charts.figure(
        "Do the models agree about these songs?",
        rows.slopes(table),
        "Each line is a song; the higher, the more of the songs that a model knows score lower. A "
        "model to which a song is foreign has no point on its line.",
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
            f" Not packaged, to keep the app small: {', '.join(left)}. Each row that you train on "
            "the Experiments page or by `hitcore experiment run` joins these models."
        )
    return text


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

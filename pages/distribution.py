"""Distribution: how unequally plays are spread over songs, and what counts as a hit."""

import streamlit as st

from ui.distribution import charts as distributioncharts
from ui.distribution import choices as distribution
from ui.distribution import songdays, studies
from ui.frame import charts, page

page.header(
    "Distribution",
    "A few songs get most plays. How few depends on what you count as a hit.",
)
strip = st.empty()

with page.error_boundary():
    study = distribution.choose_study()
    if study is None:
        st.stop()
    definition = distribution.choose_definition(studies.default_definition(study))
    songs, report = studies.scored(study, study.key, definition)
    counted = distribution.words_of(definition)
    strip.caption(page.plain(f"{study.name} · {report.n_songs:,} songs · hit score: {counted}"))
    distribution.show_report(report)
    choices = st.container(horizontal=True, gap="small")
    with choices:
        songs = distribution.choose_songs(songs)
        fold_kind, fold = distribution.choose_fold()
    view = distribution.view_of(songs, definition, fold_kind, fold)
    st.markdown(distribution.finding(view))
    distribution.show_figures(view)

    st.subheader("Fig. 3: the distribution as the paper draws it", anchor="fig3")
    test = view.songs[view.songs["in_test"]]
    whole = distributioncharts.ranking_chart(view.songs, view.figures)
    split = distributioncharts.ranking_chart(test, view.test_figures)
    columns = st.columns(2, gap="medium")
    for column, name, chart, table in zip(
        columns,
        distribution.panel_findings(view),
        (whole, split),
        (view.songs, test),
        strict=True,
    ):
        with column:
            charts.figure(
                name,
                chart,
                "Each song's share of plays, most played first; the big dot marks the mean.",
                table[["rank", "song_id", "title", "artist", "hit_score"]],
                key=f"fig3-{name[1]}",
            )
    st.caption(page.plain(distribution.compared(view)))

    st.subheader("The tail, for analysts", anchor="tail")
    song = songdays.chosen_song(view)
    log_normal, power_law = distribution.fits(view.scores)
    columns = st.columns([3, 2], gap="medium")
    with columns[0]:
        charts.figure(
            distribution.law_finding(log_normal, power_law),
            distributioncharts.tail_chart(view.songs, test, log_normal, power_law, song),
            "Rank against share on log scales: a power law is a straight line. Click a song.",
            distribution.law_table(log_normal, power_law),
            key="tail",
            on_select="rerun",
        )
    with columns[1]:
        charts.figure(
            distribution.top_finding(view),
            distributioncharts.lorenz_chart(view.figures, view.scores),
            "The further the curve sags below the diagonal, the more unequal the plays.",
            distribution.inequality_table(view),
            key="lorenz",
        )
    charts.figure(
        "What a network learns: the transform spreads the tail",
        distributioncharts.target_chart(view.scores, view.figures.mean),
        "Songs by transformed share; songs without plays stand at 0. A/B sampling calls songs "
        "right of the line popular.",
        distributioncharts.target_table(view.scores),
        key="target",
    )

    st.subheader("Song by song", anchor="songs")
    songdays.show_table(view)
    if song is None:
        st.caption("Choose a song, here or in the log-log chart, to see its days.")
    else:
        songdays.show_song(study, view, report, song)
    with choices:
        distribution.export(view, whole, split)

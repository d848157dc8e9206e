"""Samplers: which pairs of songs each method compares, and how its rows learn from them."""

import streamlit as st

from ui.frame import charts, page, resultsets
from ui.samplers import learning, scales
from ui.samplers import pairs as samplers

page.header(
    "Samplers",
    "A Siamese network learns by comparing songs two at a time. Which two makes the difference.",
)
strip = st.empty()

with page.error_boundary():
    chosen = resultsets.choose_catalogue()
    catalogue = chosen.songs()
    strip.caption(page.plain(" · ".join(chosen.strip())))
    if catalogue.empty:
        page.empty_state(
            "No catalogue yet: make one with `hitcore demo create`, or bring your own."
        )
        st.stop()
    truth = scales.truth_of(chosen)
    if chosen.is_study:
        st.caption(page.plain(str(chosen.about()["about"])))
    songs = samplers.scored(catalogue)
    scores = songs["hit_score"].to_numpy(float)
    headline = st.container()
    mean = samplers.mean_threshold(scores, truth.n_above_mean)
    threshold = samplers.choose_threshold(scores, mean)
    st.caption(samplers.threshold_words(scores, threshold, mean, truth.scale))

    views = []
    columns = st.columns(3, gap="medium")
    for column, name in zip(columns, samplers.RULES, strict=True):
        with column, page.error_boundary():
            views.append(samplers.view(name, songs, threshold, truth.scale))
    headline.markdown(samplers.finding(views))

    for each in views:
        with columns[list(samplers.RULES).index(each.name)]:
            st.subheader(samplers.TITLES[each.name], anchor=each.name)
            st.markdown(samplers.RULES[each.name])
            charts.figure(
                samplers.count_words(each),
                samplers.density_chart(each, samplers.brightest_of(views)),
                samplers.density_caption(each),
                each.cells,
                key=f"density-{each.name}",
            )
            charts.figure(
                "What its pairs join",
                samplers.composition_chart(each),
                "Popular: above the A/B threshold.",
                samplers.composition_table([each]),
                key=f"composition-{each.name}",
            )
    if truth.note:
        st.caption(page.plain(truth.note))

st.subheader("How the rows learn", anchor="learning")
with page.error_boundary():
    results = chosen.load()
    features = learning.choose_features(learning.features_of(results.rows))
    rows = learning.rows_with(features, results.rows)
    table = learning.learning_table(results, rows)
    if table.empty:
        page.empty_state(learning.no_rows_words(chosen.is_study))
    else:
        charts.figure(
            learning.learning_finding(table),
            learning.learning_chart(table),
            learning.learning_caption(results, rows),
            table,
            key="learning",
        )
        st.markdown("**What the test songs say**")
        st.table(learning.test_figures(results, rows).set_index("Sampler"), border="horizontal")
        st.caption(
            "Mean over the folds with its 95 % interval, on songs that no model of the fold had "
            "seen; the same figures as on Compare."
        )
        st.markdown(learning.test_finding(results))
st.caption(samplers.FUSION)

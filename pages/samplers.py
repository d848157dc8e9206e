"""Samplers: which pairs of songs each method compares, and how its rows learn from them."""

import streamlit as st

from ui.frame import charts, loaders, page
from ui.samplers import pairs as samplers

catalogue, results = loaders.catalogue(), loaders.results()
page.header(
    "Samplers",
    "A Siamese network learns by comparing songs two at a time. Which two makes the difference.",
    *loaders.strip(),
)

if catalogue.empty:
    page.empty_state("No catalogue yet: make one with `hitcore demo create`, or bring your own.")
    st.stop()

with page.error_boundary():
    songs = samplers.scored(catalogue)
    scores = songs["hit_score"].to_numpy(float)
    headline = st.container()
    threshold = samplers.choose_threshold(scores)
    st.caption(samplers.threshold_words(scores, threshold))

    views = []
    columns = st.columns(3, gap="medium")
    for column, name in zip(columns, samplers.RULES, strict=True):
        with column, page.error_boundary():
            views.append(samplers.view(name, songs, threshold))
    headline.markdown(samplers.finding(views))

    for each in views:
        with columns[list(samplers.RULES).index(each.name)]:
            st.subheader(samplers.TITLES[each.name], anchor=each.name)
            st.markdown(samplers.RULES[each.name])
            charts.figure(
                samplers.count_words(each),
                samplers.density_chart(each, threshold, samplers.brightest_of(views)),
                "Each cell counts pairs of songs by their two hit scores; brighter holds more.",
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

st.subheader("How the rows learn", anchor="learning")
with page.error_boundary():
    features = st.segmented_control(
        "Features", samplers.FEATURES, default=samplers.FEATURES[0], required=True
    )
    rows = samplers.rows_with(features, results.rows)
    table = samplers.learning_table(results.history, rows)
    if table.empty:
        page.empty_state("No Siamese row has results on these features yet: run it on Experiments.")
    else:
        charts.figure(
            samplers.learning_finding(table),
            samplers.learning_chart(table),
            "Each line is what would be kept if training stopped there, chosen on the validation "
            "songs: the mean over all folds, which are the same for every line, and its 95 % "
            "interval.",
            table,
            key="learning",
        )
        st.markdown(samplers.test_finding(results))
st.caption(samplers.FUSION)

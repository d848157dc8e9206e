"""Compare: Table 1, live. Every row with its interval, and any two rows against each other."""

import streamlit as st

from ui.compare import choices, figures, pair, variants
from ui.compare import rows as compare
from ui.frame import charts, page, resultsets

page.header(
    "Compare",
    "The paper's Table 1, run again: every model variant on the same folds of the same songs, "
    "with intervals, beside the paper's own figures.",
)
strip = st.empty()

with page.error_boundary():
    chosen = resultsets.choose()
    if chosen is None:
        page.empty_state("No results yet: run an experiment on the Experiments page.")
        st.stop()
    results = chosen.load()
    strip.caption(page.plain(" · ".join(chosen.strip())))
    if chosen.is_study:
        st.caption(page.plain(str(chosen.about()["about"])))
    st.markdown(pair.headline(results))
    cells = compare.cells(results.metrics)
    shown = figures.choose(results, chosen.key)
    metrics = compare.FIGURES[shown]
    sorts = (compare.ORDER, *(compare.TEST_NAMES[metric] for metric in metrics))
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    filters = compare.FILTERS
    which = left.selectbox("Rows", filters, choices.start("rows", filters, filters[0]), key="rows")
    order = middle.selectbox("Sort by", sorts, choices.start("sort", sorts, sorts[0]),
                             key="sort")  # fmt: skip
    views = ("Table", "Folds")
    view = right.segmented_control(
        "Show", views, default=views[choices.start("view", views, views[0])], required=True,
        key="view",
    )  # fmt: skip
    for key, value, first in (("rows", which, filters), ("sort", order, sorts),
                              ("view", view, views)):  # fmt: skip
        choices.note(key, value, first[0])
    rows = compare.chosen_rows(results, which, order, cells)
    if not rows:
        page.empty_state("No row of this kind has results yet.")
    elif view == "Table":
        st.table(compare.table1(rows, cells, shown).set_index("Row"), border="horizontal")
        st.caption(compare.table_caption(rows, shown))
    else:
        metric = st.segmented_control(
            "Metric", metrics, default=metrics[choices.start("metric", metrics, metrics[0])],
            required=True, key="metric", format_func=compare.TEST_NAMES.get,
        )  # fmt: skip
        choices.note("metric", metric, metrics[0])
        charts.figure(
            f"How far do the rows differ in {compare.METRIC_WORDS[metric]}?",
            compare.fold_dots(results, rows, metric, cells),
            compare.folds_caption(rows, metric),
            key="folds",
        )
    charts.numbers(compare.numbers(rows, cells), key="table1")

    verdicts = pair.tested(results)[2]
    if verdicts:
        st.subheader("The paper's claims on these songs", anchor="claims")
        if reason := pair.common_reason(verdicts):
            st.markdown(reason)
        st.dataframe(pair.claims_table(verdicts), hide_index=True, key="claims")
        st.caption(pair.CLAIMS_CAPTION)

    st.subheader("Two rows against each other", anchor="pair")
    one, other = st.columns(2)
    names, options = {row: compare.label(row) for row in results.rows}, results.rows
    last = options[min(len(options), 10) - 1]
    first = one.selectbox("First row", options, choices.start("first", options, last),
                          format_func=names.get, key="first")  # fmt: skip
    second = other.selectbox("Second row", options, choices.start("second", options, options[0]),
                             format_func=names.get, key="second")  # fmt: skip
    choices.note("first", first, last)
    choices.note("second", second, options[0])
    if first == second:
        st.markdown("Choose two different rows.")
    else:
        found = pair.against(results, first, second)
        charts.figure(
            pair.finding(results, first, second, found),
            pair.difference_chart(results, first, second, found),
            pair.PAIR_CAPTION,
            pair.test_table(found),
            key="tests",
        )
        with st.expander("The songs they disagree about most"):
            apart = compare.disagreements(results, chosen.songs(), first, second)
            st.dataframe(apart, hide_index=True, key="disagreements")
            st.caption("Percentiles within each song's test fold; 100 is the top.")

st.subheader("Your songs under every variant", anchor="songs")
with page.error_boundary():
    variants.show()

"""Compare: Table 1, live. Every row with its interval, and any two rows against each other."""

import streamlit as st

from hitcore.experiments import METRICS, VARIANTS
from ui.compare import rows as compare
from ui.compare import variants
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
    st.markdown(compare.headline(results))
    cells = compare.cells(results.metrics)
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    which = left.selectbox("Rows", compare.FILTERS, key="rows")
    order = middle.selectbox("Sort by", (compare.ORDER, *compare.METRIC_NAMES.values()), key="sort")
    view = right.segmented_control(
        "Show", ("Table", "Folds"), default="Table", required=True, key="view"
    )
    rows = compare.chosen_rows(results, which, order, cells)
    if not rows:
        page.empty_state("No row of this kind has results yet.")
    elif view == "Table":
        st.table(compare.table1(rows, cells).set_index("Row"), border="horizontal")
        st.caption(
            "Mean over the folds ± half of its 95 % interval; the best two of what is shown are "
            "bold. Small and grey: the paper's figure on KKBOX's songs, which are other songs."
        )
    else:
        metric = st.segmented_control(
            "Metric", METRICS, default=METRICS[0], required=True, key="metric",
            format_func=compare.METRIC_NAMES.get,
        )  # fmt: skip
        charts.figure(
            f"How far do the rows differ in {compare.METRIC_WORDS[metric]}?",
            compare.fold_dots(results, rows, metric, cells),
            "Grey dots: folds. Coloured tick and line: mean and 95 % interval. Blue diamond: the "
            "paper's figure on its own songs.",
            key="folds",
        )
    charts.numbers(compare.numbers(rows, cells), key="table1")

    st.subheader("Two rows against each other", anchor="pair")
    one, other = st.columns(2)
    names = {row: f"({row}) {VARIANTS[row].title}" for row in results.rows}
    first = one.selectbox("First row", results.rows, len(results.rows[:10]) - 1,
                          format_func=names.get, key="first")  # fmt: skip
    second = other.selectbox("Second row", results.rows, 0, format_func=names.get, key="second")
    if first == second:
        st.markdown("Choose two different rows.")
    else:
        tests = compare.against(results, first, second)
        st.markdown(compare.finding(first, second, tests))
        st.dataframe(compare.test_table(tests), hide_index=True, key="tests")
        st.caption(
            "First minus second, fold by fold; the last two look at all test songs, the others at "
            "the top. The interval and p come from a t-test corrected for the training songs that "
            "folds share; p is corrected for the five metrics (Holm)."
        )
        with st.expander("The songs they disagree about most"):
            found = compare.disagreements(results, chosen.songs(), first, second)
            st.dataframe(found, hide_index=True, key="disagreements")
            st.caption("Percentiles within each song's test fold; 100 is the top.")

st.subheader("Your songs under every variant", anchor="songs")
with page.error_boundary():
    variants.show()

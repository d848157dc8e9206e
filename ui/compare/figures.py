"""Which figures the Compare page shows: the paper's of the top 10 %, or those of all test songs."""

import streamlit as st

from hitcore.experiments import Results
from ui.compare import choices, pair
from ui.compare import rows as compare


def choose(results: Results, key: str) -> str:
    """The figures that the visitor wants; an address that sorts by one of them asks for them.

    Where the top of a test fold is too short to speak, the order of all its songs is shown first.

    Args:
        results: What is in view.
        key: Its name.
    """
    offered = compare.figures_of(results.metrics)
    usual = offered[-1] if pair.top_is_short(results) else offered[0]
    asked = {st.query_params.get(name) for name in ("sort", "metric")}
    named = next((each for each in offered if asked & set(compare.names_of(each))), usual)
    chosen = st.segmented_control(
        "Figures of",
        offered,
        default=offered[choices.start("figures", offered, named)],
        required=True,
        key=f"figures-{key}",
    )
    return choices.note("figures", chosen, usual)

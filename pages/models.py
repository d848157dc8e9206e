"""Models: every named weight and ensemble, what it is, where it comes from, what it cannot do."""

import streamlit as st

from ui.frame import page
from ui.models import table

page.header(
    "Models",
    "Every network that this app can use: what it is, what it learned from, under which terms, "
    "and how far to trust it.",
    "weights are verified by their checksum before they are read",
)

with page.error_boundary():
    chosen = table.choose()
    st.caption(
        "Click a row for its card, a column to sort. Measured: agreement of the model's order "
        "with the true one over songs that it had not seen (Spearman's ρ; 1 the same order, 0 "
        "chance), with its 95 % interval. Absent weights leave the rest working."
    )
    table.show(chosen)
    table.card_of_a_file()
    table.decoders()

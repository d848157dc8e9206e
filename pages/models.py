"""Models: every named weight and ensemble, what it is, where it comes from, what it cannot do."""

import streamlit as st

from ui.frame import page
from ui.models import table as models

page.header(
    "Models",
    "Every network that this app can use: what it is, what it learned from, under which terms, "
    "and how far to trust it.",
    "weights are verified by their checksum before they are read",
)

with page.error_boundary():
    rows = models.status()
    st.dataframe(
        models.table(rows),
        hide_index=True,
        key="models",
        alt="All named weights: name, purpose, state, licence and size.",
    )
    st.caption("“Used by” names the pages that ask for it. Absent weights leave the rest working.")

    for kind, group in models.by_kind(rows).items():
        st.subheader(kind, anchor=False)
        for row in group:
            with st.container(border=True):
                models.card(row)

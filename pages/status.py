"""Status: how the server is, for who runs it."""

import streamlit as st

from ui.frame import page
from ui.operators import view
from ui.server import access

page.header(
    "Status",
    "How this server is: its line, its room, and what went wrong last. No song and no person is "
    "named here.",
    "the same for Prometheus: /metrics",
)
if not access.is_admin():
    st.error(
        "This page is for who runs the server: admins in its secrets, or, where nobody signs in, "
        "whoever works on the machine itself.",
        icon=":material/lock:",
    )
    st.stop()
with page.error_boundary():
    view.show()

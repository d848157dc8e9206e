"""The app's front door: sign-in where it is asked for, then navigation. `make app` serves it."""

import streamlit as st

from ui.frame import page
from ui.server import access

st.set_page_config(page_title="hitcore", page_icon="assets/icon.svg", layout="wide")
access.enter()
st.logo("assets/logo.svg", size="large")

PAGES = [
    st.Page("pages/analyse.py", title="Analyse", icon=":material/graphic_eq:", default=True),
    st.Page("pages/compare.py", title="Compare", icon=":material/table_chart:"),
    st.Page("pages/samplers.py", title="Samplers", icon=":material/scatter_plot:"),
    st.Page("pages/distribution.py", title="Distribution", icon=":material/show_chart:"),
    st.Page("pages/experiments.py", title="Experiments", icon=":material/science:"),
    st.Page("pages/models.py", title="Models", icon=":material/deployed_code:"),
    st.Page("pages/method.py", title="Method", icon=":material/menu_book:"),
]
if access.is_admin():
    PAGES.append(st.Page("pages/status.py", title="Status", icon=":material/monitor_heart:"))

chosen = st.navigation(PAGES, position="top")
access.sign_out_button()
with page.error_boundary():
    chosen.run()

"""What `make app` serves: the pages of app.py behind the gate of `ui.server.gate`."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from ui.server.gate import Gate
from ui.server.visitors import Visitors

app = st.App(
    Path(__file__).resolve().with_name("app.py"),
    middleware=[Middleware(Visitors), Middleware(Gate)],
)

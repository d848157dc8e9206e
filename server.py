"""What `make app` serves (through `ui.serve`): the pages of app.py behind the gate of `ui.gate`."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from ui.gate import Gate

app = st.App(Path(__file__).resolve().with_name("app.py"), middleware=[Middleware(Gate)])

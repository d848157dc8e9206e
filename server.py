"""What `make app` serves: the pages of app.py behind the gate of `ui.server.gate`."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ui.server.front import SecureCookies
from ui.server.gate import Gate
from ui.server.visitors import Visitors

# Streamlit asks only connections and its agents' addresses for the name of the host.
HOSTS = st.get_option("server.allowedHosts") or ["*"]

app = st.App(
    Path(__file__).resolve().with_name("app.py"),
    middleware=[
        Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        Middleware(SecureCookies),
        Middleware(Visitors),
        Middleware(Gate),
    ],
)

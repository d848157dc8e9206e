"""What `make app` serves: the pages of app.py behind the gate of `ui.server.gate`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route

from ui.operators import metrics
from ui.server import log
from ui.server.front import SecureCookies, base_path
from ui.server.gate import Gate
from ui.server.visitors import Visitors

# Streamlit asks only connections and its agents' addresses for the name of the host.
HOSTS = st.get_option("server.allowedHosts") or ["*"]


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[None]:
    """Write the log from here on, when the web server has set its own up."""
    log.set_up()
    log.event("server started", version=version("hitcore"))
    yield
    log.event("server ended")


app = st.App(
    Path(__file__).resolve().with_name("app.py"),
    lifespan=lifespan,
    routes=[Route(f"{base_path()}/metrics", metrics.answer)],
    middleware=[
        Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        Middleware(SecureCookies),
        Middleware(Visitors),
        Middleware(Gate),
    ],
)

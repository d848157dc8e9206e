"""Who a visitor is: the signed-in person, else this browser, told apart by a cookie of ours.

The cookie holds a random number and nothing else. Scripts cannot read it, other sites cannot send
it, and it outlives the tab, the browser and the server, so that songs are found again as long as
they are kept.
"""

import re
import secrets
from http.cookies import SimpleCookie

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.server.front import base_path
from ui.server.streamlit_private import XSRF_COOKIE, browser_token

COOKIE = "hitcore_visitor"
"""Name of the cookie that tells browsers apart."""

COOKIE_DAYS = 90
"""A browser that stays away for longer is a new one."""

NUMBER = re.compile(r"[0-9a-f]{32}")


class Visitors:
    """An ASGI layer that gives every browser a number with the first page that it asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; set the cookie where a page of HTML goes out to a new browser."""
        if scope["type"] != "http" or _number_of(HTTPConnection(scope).cookies):
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", new_cookie(base_path() or "/"))
            await send(message)

        await self._app(scope, receive, with_cookie)


def new_cookie(path: str) -> str:
    """The header that gives a browser its number, to be sent under this path alone.

    Example:
        >>> new_cookie("/hits").split("; ", 1)[1]
        'HttpOnly; Max-Age=7776000; Path=/hits; SameSite=Lax'
    """
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = secrets.token_hex(16)
    age = str(COOKIE_DAYS * 86_400)
    cookie[COOKIE].update({"path": path, "max-age": age, "samesite": "Lax"})
    cookie[COOKIE]["httponly"] = True
    return cookie[COOKIE].OutputString()


def current_owner() -> str:
    """Who is here: the signed-in person, else this browser, else this session."""
    if st.user.get("is_logged_in"):
        # The provider's own number for a person: addresses are given to others in time.
        return f"person:{st.user.get('iss')}:{st.user.get('sub') or st.user.get('email')}"
    number = _number_of(st.context.cookies)
    if number:
        return f"visitor:{number}"
    # Served without `server.py`: Streamlit's own cookie lasts until the browser is closed.
    token = browser_token(st.context.cookies.get(XSRF_COOKIE, ""))
    if token:
        return f"browser:{token}"
    return f"session:{st.session_state.setdefault('owner', secrets.token_hex(16))}"


def _number_of(cookies: object) -> str | None:
    """The browser's number; None where its cookie is absent or not one of ours."""
    value = cookies.get(COOKIE)  # type: ignore[attr-defined]
    return value if isinstance(value, str) and NUMBER.fullmatch(value) else None

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

COOKIE = "hitcore_visitor"
"""Name of the cookie that tells browsers apart."""

COOKIE_DAYS = 90
"""A browser that stays away for longer is a new one."""

NUMBER = re.compile(r"[0-9a-f]{32}")

STREAMLIT_COOKIE = "_streamlit_xsrf"


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
                    headers.append("set-cookie", new_cookie(secure=_is_secure(scope)))
            await send(message)

        await self._app(scope, receive, with_cookie)


def new_cookie(*, secure: bool) -> str:
    """The header that gives a browser its number.

    Example:
        >>> new_cookie(secure=False).split("; ", 1)[1]
        'HttpOnly; Max-Age=7776000; Path=/; SameSite=Lax'
    """
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = secrets.token_hex(16)
    cookie[COOKIE].update({"path": "/", "max-age": COOKIE_DAYS * 86_400, "samesite": "Lax"})
    cookie[COOKIE]["httponly"] = True
    if secure:
        cookie[COOKIE]["secure"] = True
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
    token = browser_token(st.context.cookies.get(STREAMLIT_COOKIE, ""))
    if token:
        return f"browser:{token}"
    return f"session:{st.session_state.setdefault('owner', secrets.token_hex(16))}"


def browser_token(cookie: str) -> str | None:
    """The secret inside a version 2 cross-site cookie; None where there is none.

    The cookie is `2|mask|masked token|time` in hexadecimal. Mask and time change with every page,
    the token stays as long as the browser is open.

    Example:
        >>> browser_token("2|01010101|0303|1700000000")
        '0202'
        >>> browser_token("garbage") is None
        True
    """
    parts = cookie.split("|")
    if len(parts) != 4 or parts[0] != "2":
        return None
    try:
        mask, masked = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        return None
    if not mask or not masked:
        return None
    return bytes(byte ^ mask[i % len(mask)] for i, byte in enumerate(masked)).hex()


def _number_of(cookies: object) -> str | None:
    """The browser's number; None where its cookie is absent or not one of ours."""
    value = cookies.get(COOKIE)  # type: ignore[attr-defined]
    return value if isinstance(value, str) and NUMBER.fullmatch(value) else None


def _is_secure(scope: Scope) -> bool:
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"").decode("latin-1")
    return scope.get("scheme") == "https" or forwarded.split(",")[0].strip() == "https"

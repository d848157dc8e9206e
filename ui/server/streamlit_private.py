"""All that the project uses of Streamlit beside its documented interface, in this one place.

A version of Streamlit may change any of it without a word. `tests/ui/test_streamlit_private.py`
holds each name to the signature in `SURFACE`, the version to `VERSION`, and the rest of the project
to this module; what to look at when Streamlit is upgraded stands in `docs/behind-a-proxy.md`.
"""

import logging
from collections.abc import Mapping
from typing import Any

import streamlit.logger
from streamlit.auth_util import get_origin_from_redirect_uri
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import cli
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from streamlit.web.server.starlette.starlette_websocket import (
    _get_signed_cookie_with_chunks,
    _parse_decoded_user_cookie,
)

VERSION = "1.67.0"
"""The version whose private parts these are."""

SURFACE = {
    "streamlit.auth_util.get_origin_from_redirect_uri": "() -> 'str | None'",
    "streamlit.logger.setup_formatter": "(logger: 'logging.Logger') -> 'None'",
    "streamlit.logger.update_formatter": "() -> 'None'",
    "streamlit.runtime.pages_manager.PagesManager.uses_pages_directory": "None",
    "streamlit.web.cli.main": "<Group main>",
    "streamlit.web.server.starlette.starlette_server_config.USER_COOKIE_NAME": "'_streamlit_user'",
    "streamlit.web.server.starlette.starlette_server_config.XSRF_COOKIE_NAME": "'_streamlit_xsrf'",
    "streamlit.web.server.starlette.starlette_websocket._get_signed_cookie_with_chunks": (
        "(cookies: 'dict[str, str]', cookie_name: 'str') -> 'bytes | None'"
    ),
    "streamlit.web.server.starlette.starlette_websocket._parse_decoded_user_cookie": (
        "(decoded_cookie: 'bytes', origin: 'str') -> 'dict[str, Any]'"
    ),
}
"""Each name, with its signature or its value."""

FRAME = "static-assets"
"""Name of the mount that serves the empty frame: HTML, scripts, fonts."""

XSRF_COOKIE = "_streamlit_xsrf"
"""Name of the cookie against requests from other sites; `browser_token` reads it."""


def signed_in_claims(cookies: Mapping[str, str]) -> dict[str, Any]:
    """What the provider said of the person whom these cookies name, if this server signed them.

    Returns:
        The claims with `is_logged_in`; empty where there is no such cookie, where another secret
        signed it, or where it was made for another address than that of `redirect_uri`.
    """
    cookie = _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)
    origin = get_origin_from_redirect_uri()
    if cookie is None or origin is None:
        return {}
    return _parse_decoded_user_cookie(cookie, origin)


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


def route_pages_by_navigation_alone() -> None:
    """Let no folder named `pages` be taken for the older kind of multipage app."""
    PagesManager.uses_pages_directory = False


def log_through_root() -> None:
    """Let all loggers of Streamlit and its web server write through the root's handlers alone."""

    def to_root(logger: logging.Logger) -> None:
        logger.handlers.clear()
        logger.propagate = True

    streamlit.logger.setup_formatter = to_root
    streamlit.logger.update_formatter()


def run(arguments: list[str]) -> None:
    """Run Streamlit's command line, such as `["run", "server.py"]`; returns when it ends."""
    cli.main(arguments, prog_name="streamlit")

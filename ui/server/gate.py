"""The gate before Streamlit's own addresses: files in and out only for those who may enter.

The pages are guarded by `ui.server.access.enter`. But Streamlit takes uploads and hands out media
under addresses of its own, before any page runs: whoever has opened the sign-in page could fill the
server's memory, and whoever has a media address could fetch it. This layer stands before them and
reads the same signed cookie as Streamlit does. What is public without sign-in: the empty frame
(HTML, scripts, fonts), the health check, and the connection over which the sign-in page comes.
"""

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.auth_util import get_origin_from_redirect_uri
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from streamlit.web.server.starlette.starlette_websocket import (
    _get_signed_cookie_with_chunks,
    _parse_decoded_user_cookie,
)

from ui.server import access

GUARDED = ("_stcore", "media", "component", "app")
"""First parts of Streamlit's addresses that serve more than the empty frame."""

PUBLIC = ("/_stcore/health", "/_stcore/host-config", "/_stcore/allowed-message-origins")


class Gate:
    """An ASGI layer that answers 401 to what needs a sign-in and has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and needs_sign_in(scope["path"]) and not may_enter(scope):
            await PlainTextResponse("Sign in first.", 401)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def needs_sign_in(path: str) -> bool:
    """Whether an address serves more than the empty frame.

    Example:
        >>> needs_sign_in("/media/3f.wav"), needs_sign_in("/compare")
        (True, False)
    """
    return path.lstrip("/").split("/")[0] in GUARDED and path not in PUBLIC


def may_enter(scope: Scope) -> bool:
    """Whether the signed cookie of a request names somebody who may enter."""
    rules = access.policy()
    if not rules.required:
        return True
    cookie = _get_signed_cookie_with_chunks(HTTPConnection(scope).cookies, USER_COOKIE_NAME)
    origin = get_origin_from_redirect_uri()
    if cookie is None or origin is None:
        return False
    return rules.verdict(_parse_decoded_user_cookie(cookie, origin)) == "enter"

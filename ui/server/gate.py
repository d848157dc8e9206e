"""The gate before every address of the server: what is not listed here as open needs a sign-in.

The pages are guarded by `ui.server.access.enter`. But Streamlit takes uploads and hands out media
under addresses of its own, before any page runs: whoever has opened the sign-in page could fill the
server's memory, and whoever has a media address could fetch it. This layer stands before them and
reads the same signed cookie as Streamlit does.

It asks the routes of the server themselves which of them will answer, so that it sees an address as
they do: behind the base path, in a mount, however it is spelt. Open are the empty frame (HTML,
scripts, fonts), the health check, the way to the provider and back, and the connection over which
the sign-in page comes. Everything else is closed, also what a later version brings.
"""

import re
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ui.server import access
from ui.server.front import base_path
from ui.server.streamlit_private import FRAME, signed_in_claims

OPEN = (
    ("http", "/_stcore/health"),
    ("http", "/_stcore/host-config"),
    ("http", "/auth/login"),
    ("http", "/auth/logout"),
    ("http", "/oauth2callback"),
    ("http", "/metrics"),  # asks by itself: for a token, or for an admin
    ("websocket", "/_stcore/stream"),
)
"""Routes that answer without sign-in, by kind and by path behind the base path."""

PAGES = tuple(
    path.stem for path in (Path(__file__).resolve().parents[2] / "pages").glob("[!_]*.py")
)
"""Names of the pages, under each of which the same empty frame is served."""

FRAME_PATHS = frozenset(
    {"/", "/index.html", "/favicon.png", "/manifest.json"}
    | {f"/{page}{rest}" for page in PAGES for rest in ("", "/")}
    # Asked for by the frame to find out whether a page's name is the base path; answered with 404.
    | {f"/{page}/_stcore/{name}" for page in PAGES for name in ("health", "host-config")}
)
"""Addresses of the empty frame, beside its scripts and fonts."""

FRAME_FILES = re.compile(r"/static(/[\w-][\w.-]*)+", re.ASCII)
"""Addresses of scripts and fonts; no name begins with a dot."""


class Gate:
    """An ASGI layer that answers 401 to what needs a sign-in and has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a connection on, or refuse it."""
        if scope["type"] == "lifespan" or is_open(scope) or may_enter(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008, "Sign in first.")(scope, receive, send)
        else:
            await PlainTextResponse("Sign in first.", 401)(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Whether a request goes to what is open to everybody."""
    route, inner = _taken(scope)
    if route is None:
        # Starlette sends the base path on to the same with a slash.
        scope = {**scope, "path": f"{scope['path']}/"}
        route, inner = _taken(scope)
    if _is_frame(route):
        path = _within(scope, inner)
        reading = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        return reading and (path in FRAME_PATHS or FRAME_FILES.fullmatch(path) is not None)
    if not isinstance(route, Route | WebSocketRoute):
        return False  # something mounted, of which nothing is known
    return any((scope["type"], route.path) == (kind, base_path() + name) for kind, name in OPEN)


def may_enter(scope: Scope) -> bool:
    """Whether a request may pass: by its signed cookie, or because nobody need sign in."""
    claims = signed_in_claims(HTTPConnection(scope).cookies)
    return access.policy().verdict(claims) == "enter"


def _taken(scope: Scope) -> tuple[BaseRoute | None, Scope]:
    """The route that will answer, and what it adds to the scope; None where none answers."""
    for route in scope["app"].routes:
        match, inner = route.matches(scope)
        if match is Match.FULL:
            return route, inner
    return None, {}


def _is_frame(route: BaseRoute | None) -> bool:
    return isinstance(route, Mount) and route.name == FRAME and route.path == base_path()


def _within(scope: Scope, inner: Scope) -> str:
    """The path inside the mount that answers."""
    path: str = scope["path"]
    return path.removeprefix(inner["root_path"])

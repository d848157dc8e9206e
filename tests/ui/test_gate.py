"""Every address of the running server, with and without a base path: listed as open, or closed."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from streamlit import config
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from ui.server.gate import FRAME_PATHS, OPEN, PAGES, Gate
from ui.server.streamlit_private import FRAME

ROOT = Path(__file__).resolve().parents[2]
SECRET = 32 * "?"
TOKEN = 32 * "t"
ORIGIN = "http://127.0.0.1:1"
SECRETS = f"""
[auth]
cookie_secret = "{SECRET}"
redirect_uri = "{ORIGIN}/oauth2callback"
[access]
allow = ["@label.example"]
admins = ["ann@label.example"]
metrics_token = "{TOKEN}"
"""
BEN = {"is_logged_in": True, "sub": "2", "email": "ben@label.example", "email_verified": True}


def cookie(secret: str = SECRET, **claims: Any) -> dict[str, str]:
    """The header of somebody who signed in at a server with this secret."""
    name = "_streamlit_user"
    content = json.dumps({**BEN, "origin": ORIGIN, **claims})
    return {"cookie": f"{name}={create_signed_value(secret, name, content).decode()}"}


# --- the gate before routes of the test's own ----------------------------------------------------


INSIDE = PlainTextResponse("inside")
"""Answers whatever comes."""


async def greeted(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def gated(*routes: BaseRoute) -> Starlette:
    """A small app behind the gate."""
    return Starlette(routes=list(routes), middleware=[Middleware(Gate)])


def ask(app: Starlette, path: str, method: str = "GET", root_path: str = "", **headers: str) -> int:
    """The status of one request."""
    return _first(app, {"type": "http", "method": method}, path, root_path, headers)


def connects(app: Starlette, path: str) -> int:
    """101 where a websocket opens, 403 where it is refused."""
    return _first(app, {"type": "websocket"}, path, "", {})


def _first(
    app: Starlette, kind: dict[str, str], path: str, root_path: str, headers: dict[str, str]
) -> int:
    answers: list[int] = []

    async def receive() -> dict[str, Any]:
        opening = "http.request" if kind["type"] == "http" else "websocket.connect"
        return {"type": opening, "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        statuses = {"websocket.accept": 101, "websocket.close": 403}
        answers.append(message.get("status") or statuses.get(message["type"], 0))

    raw = [(b"host", b"127.0.0.1"), *((k.encode(), v.encode()) for k, v in headers.items())]
    scope = {"path": path, "root_path": root_path, "headers": raw, "query_string": b"", **kind}
    # On a thread of its own: an open browser keeps its event loop running on the tests' thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, app(scope, receive, send)).result()
    return answers[0]


@pytest.fixture
def guarded(secrets: Path) -> None:
    """Sign-in is asked for."""
    secrets.write_text(SECRETS)
    st.secrets._reset()


@pytest.fixture
def based() -> Iterator[None]:
    """The server stands at /hits."""
    config.set_option("server.baseUrlPath", "hits")
    yield
    config.set_option("server.baseUrlPath", "")


MEDIA = Route("/media/{name:path}", INSIDE)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (cookie(), 200),
        (cookie("another server's secret"), 401),
        (cookie(email="eve@evil.example"), 401),
        (cookie(email_verified=False), 401),
        (cookie(is_logged_in=False), 401),
        (cookie(origin="http://evil.example"), 401),
        ({"cookie": cookie()["cookie"][:-3] + "abc"}, 401),
        ({"cookie": "_streamlit_user=eyJpc19sb2dnZWRfaW4iOnRydWV9.x.y"}, 401),
    ],
)
def test_only_a_cookie_that_this_server_signed_passes(headers: dict[str, str], status: int) -> None:
    assert ask(gated(MEDIA), "/media/3f.wav", **headers) == status


def test_where_nobody_need_sign_in_everything_is_open(secrets: Path) -> None:
    assert ask(gated(MEDIA), "/media/3f.wav") == 200


@pytest.mark.usefixtures("guarded")
def test_secrets_that_cannot_be_read_close_the_gate(secrets: Path) -> None:
    secrets.write_text("[auth\n")
    st.secrets._reset()
    assert ask(gated(MEDIA), "/media/3f.wav", **cookie()) == 401


@pytest.mark.usefixtures("guarded")
def test_a_route_is_open_by_kind_and_method_not_by_path_alone() -> None:
    app = gated(
        Route("/_stcore/health", INSIDE, methods=["GET"]),
        Route("/_stcore/stream", INSIDE),
        WebSocketRoute("/oauth2callback", greeted),
        WebSocketRoute("/_stcore/stream", greeted),
        Mount("/", INSIDE, name=FRAME),
    )
    assert ask(app, "/_stcore/health") == 200
    assert ask(app, "/_stcore/health", "POST") == 401
    assert ask(app, "/_stcore/stream") == 401
    assert connects(app, "/_stcore/stream") == 101
    assert connects(app, "/oauth2callback") == 403
    assert connects(app, "/compare") == 403


@pytest.mark.usefixtures("guarded")
def test_the_frame_is_open_to_readers_and_only_where_it_is_known() -> None:
    app = gated(Mount("/", INSIDE, name=FRAME))
    assert ask(app, "/compare") == 200
    assert ask(app, "/static/js/index.js", "HEAD") == 200
    for path in ("/other", "/compare/more", "/static/", "/static/.git/x", "/static/a/../b"):
        assert ask(app, path) == 401, path
    assert ask(app, "/compare", "POST") == 401


@pytest.mark.usefixtures("guarded")
def test_a_mount_is_not_the_frame_for_its_name_or_its_place_alone() -> None:
    assert ask(gated(Mount("/", INSIDE, name="another")), "/compare") == 401
    assert ask(gated(Mount("/elsewhere", INSIDE, name=FRAME)), "/elsewhere/compare") == 401


@pytest.mark.usefixtures("guarded")
def test_what_is_mounted_at_an_open_path_is_closed() -> None:
    inside = [Route("/more", INSIDE)]
    app = gated(Mount("/_stcore/health", routes=inside), Mount("/auth", routes=inside))
    assert ask(app, "/_stcore/health/more") == 401
    assert ask(app, "/auth/more") == 401


@pytest.mark.usefixtures("guarded", "based")
def test_the_base_path_is_part_of_what_is_open() -> None:
    app = gated(
        Route("/hits/_stcore/health", INSIDE),
        Route("/_stcore/health", INSIDE),
        Mount("/hits", INSIDE, name=FRAME),
    )
    assert ask(app, "/hits/_stcore/health") == 200
    assert ask(app, "/_stcore/health") == 401
    assert ask(app, "/hits/compare") == 200
    assert ask(app, "/hits") == 307
    for path in ("/compare", "/hits/hits/compare", "/hitscompare", "/other"):
        assert ask(app, path) == 401, path
    assert connects(app, "/hits") == 403


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("mounted", [False, True], ids=["cut off by a proxy", "mounted"])
def test_a_path_before_the_app_changes_nothing(mounted: bool) -> None:
    app = gated(Route("/_stcore/health", INSIDE), MEDIA, Mount("/", INSIDE, name=FRAME))
    before = "/all/hits"
    root_path = "" if mounted else before
    app = Starlette(routes=[Mount(before, app)]) if mounted else app
    assert ask(app, f"{before}/_stcore/health", root_path=root_path) == 200
    assert ask(app, f"{before}/compare", root_path=root_path) == 200
    assert ask(app, f"{before}/media/3f.wav", root_path=root_path) == 401
    assert ask(app, f"{before}/media/3f.wav", root_path=root_path, **cookie()) == 200
    assert ask(app, f"{before}{before}/media/3f.wav", root_path=root_path) == 401


def test_a_page_is_known_to_the_gate_when_its_file_is_there() -> None:
    assert {f"/{page.stem}" for page in (ROOT / "pages").glob("*.py")} <= FRAME_PATHS
    assert "compare" in PAGES


# --- the server itself ---------------------------------------------------------------------------

CLOSED = {
    ("Route", "GET HEAD", "/_stcore/metrics"),
    ("Route", "OPTIONS", "/_stcore/metrics"),
    ("Route", "GET HEAD", "/_stcore/script-health-check"),
    ("Route", "OPTIONS", "/_stcore/script-health-check"),
    ("Route", "GET HEAD", "/media/{file_id:path}"),
    ("Route", "OPTIONS", "/media/{file_id:path}"),
    ("Route", "PUT", "/_stcore/upload_file/{session_id}/{file_id}"),
    ("Route", "DELETE", "/_stcore/upload_file/{session_id}/{file_id}"),
    ("Route", "OPTIONS", "/_stcore/upload_file/{session_id}/{file_id}"),
    ("Route", "GET HEAD", "/component/{path:path}"),
    ("Route", "OPTIONS", "/component/{path:path}"),
    ("Route", "GET HEAD", "/_stcore/bidi-components/{path:path}"),
    ("Route", "OPTIONS", "/_stcore/bidi-components/{path:path}"),
    ("Route", "GET HEAD", "/app/static/{path:path}"),
    ("Route", "OPTIONS", "/app/static/{path:path}"),
    ("Route", "DELETE GET HEAD OPTIONS PATCH POST PUT", "/_stcore/agent/interact"),
    ("Route", "DELETE GET HEAD OPTIONS PATCH POST PUT", "/_stcore/agent/openapi.json"),
    ("Route", "DELETE GET HEAD OPTIONS PATCH POST PUT", "/_stcore/agent/mcp"),
}
"""Routes that nobody reaches without sign-in."""
OPENED = {
    ("Route", "GET HEAD", "/_stcore/health"): 200,
    ("Route", "OPTIONS", "/_stcore/health"): 204,
    ("Route", "GET HEAD", "/_stcore/host-config"): 200,
    ("Route", "GET HEAD", "/auth/login"): 302,
    ("Route", "GET HEAD", "/auth/logout"): 302,
    ("Route", "GET HEAD", "/oauth2callback"): 302,
    ("WebSocketRoute", "", "/_stcore/stream"): 101,
    ("Route", "GET HEAD", "/metrics"): 401,  # by itself, see below
    ("Mount", "", ""): 200,
}
"""Routes that everybody reaches, and what they then answer."""

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")


@dataclass(frozen=True)
class Served:
    """A running server and what it says of its routes."""

    port: int
    base: str
    routes: set[tuple[str, str, str]]

    def ask(self, target: str, method: str = "GET", **headers: str) -> int:
        """The status of one request, its target sent letter for letter."""
        return self.answer(target, method, **headers).status

    def answer(self, target: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, target, headers=headers)
            return connection.getresponse()

    def connects(self, target: str) -> int:
        """The status of an attempt to open a websocket; 101 where it opens."""
        address = f"ws://127.0.0.1:{self.port}{target}"
        origin = Origin(f"http://127.0.0.1:{self.port}")
        try:
            with connect(address, origin=origin, proxy=None, open_timeout=60):
                return 101
        except InvalidStatus as refusal:
            return refusal.response.status_code


@pytest.fixture(scope="module", params=["", "hits"], ids=["at the root", "under a base path"])
def served(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Served]:
    """`server.py` as it is served, with sign-in."""
    secrets = tmp_path_factory.mktemp("served") / "secrets.toml"
    secrets.write_text(SECRETS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("served.py")
    command = [sys.executable, str(script), str(port), request.param, str(secrets)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("[[")), "")
        assert line, "the server did not start"
        _wait(port)
        base = f"/{request.param}" if request.param else ""
        found = {(kind, methods, path.removeprefix(base)) for kind, methods, path in
                 json.loads(line) if path.startswith(base)}  # fmt: skip
        assert len(found) == len(json.loads(line)), "a route stands outside of the base path"
        yield Served(port, base, found)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("the server does not listen")


def concrete(route: str) -> str:
    """An address that a route answers."""
    return re.sub(r"{\w+:path}", "a/b.wav", re.sub(r"{\w+}", "a", route))


def spellings(path: str) -> set[str]:
    """Other ways to write an address, some of which a server takes for the same."""
    first, _, rest = path.lstrip("/").partition("/")
    escaped = f"/%{ord(first[0]):02x}{first[1:]}"
    rest = f"/{rest}" if rest else ""
    return {
        f"/{path}", f"//{path}", f"{path}/", f"{path}//", f"/.{path}", f"/x/..{path}",
        f"/static/..{path}", f"/static/%2e%2e{path}", f"/static/..%2f{path.lstrip('/')}",
        f"/compare/..{path}", f"/compare{path}", f"/static{path}/../..{path}",
        path.upper(), path.title(), f"{escaped}{rest}", f"/{first}%2f{rest.lstrip('/')}",
        f"/{first}/{rest}", f"/{first}/.{rest}", f"/{first};x{rest}", f"{path};x",
        f"{path};/health", f"{path}%00", f"{path}%3f",
        f"{path}?x=/_stcore/health", f"{path}%20", f"{path}%23",
        f"{path}/../health", f"{path}%5c", path.replace("/", "%5c"), path.replace("/", "\\"),
        f"/_stcore/health/..{path}", f"/_stcore/health%2f..{path}", f"/%252e{path}",
    }  # fmt: skip


def test_every_route_of_the_server_is_open_or_closed_in_these_tables(served: Served) -> None:
    """A new one fails here until somebody has decided."""
    assert served.routes == CLOSED | set(OPENED)


def test_the_table_of_the_gate_is_that_of_these_tests() -> None:
    kinds = {"Route": "http", "WebSocketRoute": "websocket"}
    assert set(OPEN) == {(kinds[kind], path) for kind, _, path in OPENED if kind != "Mount"}


def test_open_routes_answer_without_sign_in(served: Served) -> None:
    for (kind, methods, path), expected in OPENED.items():
        if kind == "WebSocketRoute":
            assert served.connects(served.base + path) == expected
            continue
        for method in methods.split() or ["GET", "HEAD"]:
            found = served.ask(served.base + (path or "/"), method)
            assert found == expected, (method, path)


def test_the_figures_are_for_the_token_and_for_admins(served: Served) -> None:
    path = f"{served.base}/metrics"
    assert served.ask(path, authorization=f"Bearer {TOKEN}") == 200
    assert served.ask(path, authorization=f"Bearer {TOKEN}x") == 401
    assert served.ask(path, **cookie(email="ann@label.example")) == 200
    assert served.ask(path, **cookie()) == 401
    assert (
        served.ask(path, **cookie("another secret, of 32 characters", email="ann@label.example"))
        == 401
    )


def test_closed_routes_ask_for_sign_in_by_every_method(served: Served) -> None:
    forged = cookie("a secret of more than 32 characters, but another")
    for path in {concrete(path) for _, _, path in CLOSED}:
        for method in METHODS:
            assert served.ask(served.base + path, method) == 401, (method, path)
        assert served.ask(served.base + path, **forged) == 401
        assert served.ask(served.base + path, **cookie()) != 401
        assert served.connects(served.base + path) == 403


def test_closed_routes_ask_for_sign_in_however_they_are_spelt(served: Served) -> None:
    """400 is what the protocol's parser says of a target that is none."""
    for path in {concrete(path) for _, _, path in CLOSED}:
        for spelt in spellings(path):
            for target in {served.base + spelt, spelt}:
                assert served.ask(target) in (401, 400), target
        for before in ("/", served.base.upper(), 2 * served.base, f"/x/..{served.base}"):
            assert served.ask(before + path) in (401, 400), before + path


def test_open_addresses_are_open_in_their_own_spelling_alone(served: Served) -> None:
    for path in ("/compare", "/compare/", "/favicon.png", "/static/js/none.js", "/samplers"):
        assert served.ask(served.base + path) in (200, 301), path
    for path in ("/Compare", "/compare;x", "/compare/x", "/none", "/_stcore", "/_stcore/health/",
                 "/static/", "/auth/login/", "/auth", "/pages/compare.py"):  # fmt: skip
        assert served.ask(served.base + path) == 401, path
    assert served.ask(f"{served.base}/compare", "POST") == 401
    assert served.ask(f"{served.base}/_stcore/health", "POST") == 401
    for path in ("/", "/compare", "/_stcore/health"):
        assert served.connects(served.base + path) == 403, path


def test_the_server_answers_to_its_own_names_alone(served: Served) -> None:
    """A page elsewhere that calls this server by a name of its own (DNS rebinding) gets nothing."""
    for path in ("/", "/_stcore/health", "/media/a.wav"):
        assert served.ask(served.base + path, host="evil.example", **cookie()) == 400
        assert served.ask(served.base + path, host="localhost", **cookie()) != 400


def test_every_browser_gets_a_number_and_over_https_over_https_alone(served: Served) -> None:
    page, secure = f"{served.base}/compare", {"x-forwarded-proto": "https"}
    cookie = served.answer(page).headers["set-cookie"]
    assert f"Path={served.base or '/'};" in cookie
    assert "Secure" not in cookie
    assert "; Secure" in served.answer(page, **secure).headers["set-cookie"]
    assert (
        "; Secure" in served.answer(f"{served.base}/_stcore/health", **secure).headers["set-cookie"]
    )

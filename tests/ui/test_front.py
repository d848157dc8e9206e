"""What a proxy may say, and how cookies are marked behind one."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hitcore.errors import ParameterError
from ui.server.front import PROXIES, SecureCookies, check_proxies

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("value", ["", "127.0.0.1,::1", " 10.0.0.5 , 10.1.0.0/16", "fd00::/8"])
def test_proxies_are_named_by_address_or_network(value: str) -> None:
    check_proxies(value)


@pytest.mark.parametrize(
    "value", ["*", "10.0.0.5,*", "0.0.0.0/0", "::/0", "proxy.example.org", "10.1.2.3/16", "1,,2"]
)
def test_everybody_is_no_name(value: str) -> None:
    with pytest.raises(ParameterError, match="names proxies by address or network"):
        check_proxies(value)


def test_a_server_that_would_believe_everybody_does_not_start() -> None:
    command = [sys.executable, "-m", "ui.server.serve", "--server.port", "none"]
    environment = {**os.environ, PROXIES: "*"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: FORWARDED_ALLOW_IPS names proxies by address or network, such as 10.0.0.5 or "
        "10.1.0.0/16, not '*'"
    )


async def cookies(request: Request) -> PlainTextResponse:
    """An answer with cookies of every kind."""
    response = PlainTextResponse("")
    for cookie in (
        "plain=1",
        "lax=1; Path=/; samesite=lax; HttpOnly",
        "all=1;SECURE;SameSite=None",
    ):
        response.headers.append("set-cookie", cookie)
    return response


APP = Starlette(routes=[Route("/", cookies)], middleware=[Middleware(SecureCookies)])


def given(address: str, peer: str = "127.0.0.1", **headers: str) -> list[str]:
    """The cookies that one request is given, behind what uvicorn makes of its headers."""

    async def ask() -> httpx.Response:
        app = ProxyHeadersMiddleware(APP, trusted_hosts="10.0.0.5")  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app=app, client=(peer, 1))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(address, headers=headers)

    # On a thread of its own: an open browser keeps its event loop running on the tests' thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ask()).result().headers.get_list("set-cookie")


PLAIN = ["plain=1", "lax=1; Path=/; samesite=lax; HttpOnly", "all=1;SECURE;SameSite=None"]
SECURE = [
    "plain=1; Secure; SameSite=Lax",
    "lax=1; Path=/; samesite=lax; HttpOnly; Secure",
    "all=1;SECURE;SameSite=None",
]


def test_over_https_every_cookie_is_secure_and_of_this_site() -> None:
    assert given("https://here/") == SECURE
    assert given("http://here/") == PLAIN


def test_a_named_proxy_is_believed_and_nobody_else() -> None:
    says = {"x-forwarded-proto": "https"}
    assert given("http://here/", peer="10.0.0.5", **says) == SECURE
    assert given("http://here/", peer="10.0.0.6", **says) == PLAIN

"""The cookie that tells browsers apart: given once, kept for long, out of reach of scripts."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from streamlit import config

from ui.server.visitors import COOKIE, NUMBER, Visitors

APP = Starlette(
    routes=[
        Route("/", lambda request: HTMLResponse("<p>page</p>")),
        Route("/media", lambda request: PlainTextResponse("sound")),
    ],
    middleware=[Middleware(Visitors)],
)


def answer(path: str = "/", **headers: str) -> httpx.Response:
    """What the server answers to one request."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def number_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].split(";")[0].removeprefix(f"{COOKIE}=")


def test_a_browser_gets_its_number_with_its_first_page_and_keeps_it() -> None:
    assert "set-cookie" not in answer("/media").headers
    first = answer()
    for word in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="):
        assert word in first.headers["set-cookie"]
    assert NUMBER.fullmatch(number_of(first))
    assert "set-cookie" not in answer(cookie=f"{COOKIE}={number_of(first)}").headers


def test_another_browser_gets_another_number() -> None:
    assert number_of(answer()) != number_of(answer())


@pytest.mark.parametrize("value", ["", "1", "x" * 32, "../" + "0" * 29])
def test_a_number_that_is_none_of_ours_is_replaced(value: str) -> None:
    assert NUMBER.fullmatch(number_of(answer(cookie=f"{COOKIE}={value}")))


def test_under_a_base_path_the_cookie_goes_to_nothing_else_on_the_host() -> None:
    config.set_option("server.baseUrlPath", "hits")
    try:
        assert "Path=/hits;" in answer().headers["set-cookie"]
    finally:
        config.set_option("server.baseUrlPath", "")

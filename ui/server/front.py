"""What a proxy in front of the server changes: the base path, who is believed, and the cookies.

A proxy says in `X-Forwarded-Proto` and `X-Forwarded-For` how and for whom it asks. uvicorn believes
that of the peers in the environment's `FORWARDED_ALLOW_IPS` (addresses and networks, with commas)
and of this machine alone where it is not set. Here that list is held to be one of names: who
believes everybody believes the stranger who writes the header himself.
"""

import ipaddress
from collections.abc import Iterable

import streamlit as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitcore.errors import ParameterError

PROXIES = "FORWARDED_ALLOW_IPS"
"""The variable that names the proxies that are believed."""


def base_path() -> str:
    """Where the app stands on its host: "" at the root, else such as "/hits"."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""


def check_proxies(value: str) -> None:
    """Refuse a list of proxies that does not name each of them; an empty one names none.

    Raises:
        ParameterError: for "*", a network of all addresses, and what is no address.

    Example:
        >>> check_proxies("127.0.0.1, 10.1.0.0/16")
        >>> check_proxies("*")
        Traceback (most recent call last):
        hitcore.errors.ParameterError: FORWARDED_ALLOW_IPS names proxies by address or network, ...
    """
    for name in value.split(",") if value.strip() else ():
        try:
            network = ipaddress.ip_network(name.strip())
        except ValueError as error:
            raise _not_named(name) from error
        if network.prefixlen == 0:
            raise _not_named(name)


def _not_named(name: str) -> ParameterError:
    return ParameterError(
        f"{PROXIES} names proxies by address or network, such as 10.0.0.5 or 10.1.0.0/16, not "
        f"{name.strip()!r}"
    )


class SecureCookies:
    """An ASGI layer: over HTTPS every cookie is sent over HTTPS alone, and never across sites.

    Streamlit marks its cookies so only where it serves HTTPS itself, and its sign-in never.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; mark the cookies of its answer."""
        if scope["type"] != "http" or scope["scheme"] != "https":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, _marked(value) if name.lower() == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._app(scope, receive, marked)


def _marked(cookie: bytes) -> bytes:
    names = {_name(part) for part in cookie.split(b";")[1:]}
    return cookie + b"".join(_absent(names, (b"Secure", b"SameSite=Lax")))


def _absent(names: set[bytes], marks: Iterable[bytes]) -> Iterable[bytes]:
    return (b"; " + mark for mark in marks if _name(mark) not in names)


def _name(part: bytes) -> bytes:
    return part.split(b"=")[0].strip().lower()

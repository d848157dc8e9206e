"""Serves `server.py` as it is and says which routes it has: `python served.py PORT BASE SECRETS`.

Run by `test_gate.py` in a process of its own, since Streamlit serves one app a process.
"""

import json
import sys
from typing import Any

import uvicorn
from starlette.routing import BaseRoute, Mount
from streamlit import config

from ui.server import streamlit_private


def kinds(routes: list[BaseRoute], before: str = "") -> list[list[str]]:
    """Kind, methods and path of every route, and of those inside mounts."""
    found = []
    for route in routes:
        path = before + getattr(route, "path", repr(route))
        methods = " ".join(sorted(getattr(route, "methods", None) or ()))
        found.append([type(route).__name__, methods, path])
        if isinstance(route, Mount):
            found += kinds(list(route.routes or []), path)
    return found


def main(port: str, base: str, secrets: str) -> None:
    config.set_option("server.baseUrlPath", base)
    config.set_option("secrets.files", [secrets])
    # What Streamlit serves only where it is asked for is asked for.
    config.set_option("server.enableStaticServing", True)
    config.set_option("server.scriptHealthCheckEnabled", True)
    streamlit_private.route_pages_by_navigation_alone()
    from server import app

    async def served(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                print(json.dumps(kinds(scope["app"].routes)), flush=True)

        await app(scope, receive, tell if scope["type"] == "lifespan" else send)

    uvicorn.run(served, host="127.0.0.1", port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Serves the app: `server.py` (app.py behind its gate) with `pages/` routed by `app.py` alone.

Streamlit takes a folder named `pages` beside the main script for its older kind of multipage app
until the main script has run once. The first visitor of a server who followed a link to a page
would then see that page without the app around it, and past its door. Here that is switched off
before the server starts.

What takes seconds to import is imported while the first visitor is still on the way.
"""

import gc
import importlib
import os
import sys
import threading
from pathlib import Path

from hitcore.errors import ParameterError
from ui.server import streamlit_private
from ui.server.front import PROXIES, check_proxies
from ui.server.memory import return_to_system

APP = Path(__file__).resolve().parents[2] / "server.py"


def main(options: list[str]) -> None:
    """Serve the app with these options of `streamlit run`; returns when the server ends."""
    if PROXIES in os.environ:
        try:
            check_proxies(os.environ[PROXIES])
        except ParameterError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
    streamlit_private.route_pages_by_navigation_alone()
    return_to_system()
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
    streamlit_private.run(["run", str(APP), *options])


def _warm_up() -> None:
    for name in ("hitcore.analysis.song", "hitcore.experiments", "altair", "plotly.graph_objects"):
        importlib.import_module(name)
    # Streamlit collects garbage after each run of a page, which takes a sixth of a second for what
    # was just imported, every time, while nobody else can go on. None of it is garbage.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main(sys.argv[1:])

"""The app as `make app` serves it, and a real Chromium to visit it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from planted import planted_workspace

from hitcore import weights
from tests.browser import provider as oidc

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    return (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def app_command(port: int) -> list[str]:
    """The line of the Makefile that serves the app, with this Python and this port."""
    makefile = (ROOT / "Makefile").read_text()
    line = re.search(r"^\t\$\(BIN\)/python (-m ui\.server\.serve .*)$", makefile, re.MULTILINE)
    assert line is not None, "`make app` no longer serves the app"
    words = line.group(1).replace("$(PORT)", str(port)).split()
    return [sys.executable, *words]


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of workspaces with one whose features are there."""
    folder = tmp_path_factory.mktemp("workspaces")
    planted_workspace(folder / "planted", n_songs=60)
    return folder


@pytest.fixture(scope="module")
def server(workspaces: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running app."""
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with served(folder, port, HITCORE_WORKSPACES=str(workspaces)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def served(folder: Path, port: int, *options: str, base: str = "", **more: str) -> Iterator[None]:
    """The app with more options and a larger environment while the block runs; logs in a folder."""
    log = folder / "log"
    command, environment = [*app_command(port), *options], {**os.environ, **more}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
    try:
        wait_until_served(port, process, log, base)
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait_until_served(
    port: int, process: subprocess.Popen[bytes], log: Path, base: str = ""
) -> None:
    address = f"http://127.0.0.1:{port}{base}/_stcore/health"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app did not answer: {log.read_text(errors='replace')}")


# --- sign-in -------------------------------------------------------------------------------------

ANN = {"sub": "1", "email": "Ann@example.org", "email_verified": True}
SECRETS = """
[auth]
redirect_uri = "{address}/oauth2callback"
cookie_secret = "a test's secret, of more than 32 characters"
client_id = "{client_id}"
client_secret = "{client_secret}"
server_metadata_url = "{issuer}/.well-known/openid-configuration"

[access]
allow = ["ann@example.org", "@label.example"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[oidc.Provider]:
    with oidc.running() as running:
        yield running


def secrets_for(address: str, provider: oidc.Provider) -> str:
    """The secrets of an app at an address that signs people in with a provider."""
    return SECRETS.format(
        address=address, issuer=provider.issuer,
        client_id=oidc.CLIENT_ID, client_secret=oidc.CLIENT_SECRET,
    )  # fmt: skip


def sign_in(page: Any, provider: oidc.Provider, user: dict[str, Any], path: str = "/") -> None:
    provider.user, provider.forged = user, False
    page.goto(path)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a scale."""
    t = np.arange(12 * 22_050) / 22_050
    path = tmp_path_factory.mktemp("song") / "scale.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 220 * 2 ** (np.floor(t) / 12) * t), 22_050)
    return path


# --- browsers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flags() -> list[str]:
    """Flags that the browser of a file of tests is started with, beside those of all."""
    return []


@pytest.fixture(scope="module")
def browser(flags: list[str]) -> Iterator["sync_api.Browser"]:
    # Playwright's loop must end with the last of these tests: others run loops of their own.
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or set CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "sync_api.Browser", server: str) -> Iterator["sync_api.Page"]:
    """A fresh visitor, whose console must stay free of errors and who asks no other host."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=server)
    visited = context.new_page()
    visited.set_default_timeout(120_000)
    errors: list[str] = []
    asked: set[str] = set()
    visited.on("pageerror", lambda error: errors.append(str(error)))
    visited.on("request", lambda request: asked.add(request.url))
    yield visited
    context.close()
    assert not errors
    assert not [url for url in asked if not url.startswith((server, "data:", "blob:"))]


def until_quiet(page: Any) -> None:
    """Wait until nothing runs and nothing of the last run is left, for half a second."""
    page.wait_for_timeout(500)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')"
    )

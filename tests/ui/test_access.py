"""Who may come in is decided by what the provider says, and in doubt against the visitor."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.auth_util import get_origin_from_redirect_uri
from streamlit.testing.v1 import AppTest
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from ui.server.access import policy, policy_of
from ui.server.gate import Gate

ROOT = Path(__file__).resolve().parents[2]
AUTH = {"cookie_secret": 32 * "?", "redirect_uri": "http://127.0.0.1:1/oauth2callback"}
BEN = {"is_logged_in": True, "sub": "2", "email": "ben@label.example", "email_verified": True}


def allowing(*entries: str, **more: Any) -> Any:
    return policy_of({"auth": AUTH, "access": {"allow": list(entries), **more}})


@pytest.mark.parametrize(
    ("allow", "claims", "verdict"),
    [
        (["ben@label.example"], {}, "enter"),
        (["@label.example"], {}, "enter"),
        (["@LABEL.example"], {"email": "Ben@Label.Example"}, "enter"),
        (["*"], {"email": None}, "enter"),
        (["@label.example"], {"email_verified": "true"}, "enter"),
        (["@label.example"], {"email_verified": False}, "refused"),
        (["@label.example"], {"email_verified": None}, "refused"),
        (["@label.example"], {"email_verified": "false"}, "refused"),
        (["@label.example"], {"email": "ben@sub.label.example"}, "refused"),
        (["@label.example"], {"email": "ben@notlabel.example"}, "refused"),
        (["@label.example"], {"email": "ben@label.example.evil.example"}, "refused"),
        (["@label.example"], {"email": "eve@evil.example@label.example"}, "refused"),
        (["@label.example"], {"email": "@label.example "}, "refused"),
        (["@label.example"], {"email": ["ben@label.example"]}, "refused"),
        (["ann@label.example"], {}, "refused"),
        (["@label.example"], {"is_logged_in": False}, "sign in"),
        (["*"], {"is_logged_in": "true"}, "sign in"),
        (["*"], {"is_logged_in": None}, "sign in"),
    ],
)
def test_verdicts(allow: list[str], claims: dict[str, Any], verdict: str) -> None:
    assert allowing(*allow).verdict(BEN | claims) == verdict


def test_unverified_addresses_only_where_that_was_asked_for() -> None:
    claims = BEN | {"email_verified": None}
    assert allowing("@label.example", trust_unverified=True).verdict(claims) == "enter"
    assert allowing("@label.example", trust_unverified="yes").verdict(claims) == "refused"


@pytest.mark.parametrize(
    ("secrets", "fault"),
    [
        ({"auth": AUTH}, "lists nobody"),
        ({"auth": AUTH, "access": {"allow": []}}, "lists nobody"),
        ({"auth": AUTH, "access": {"allow": "*"}}, "lists nobody"),
        ({"auth": AUTH, "access": {"allow": ["label.example"]}}, "takes"),
        ({"auth": AUTH, "access": {"allow": [7]}}, "takes"),
        ({"auth": AUTH, "access": "open"}, "lists nobody"),
        ({"access": {"allow": ["*"]}}, r"no \[auth\]"),
        ({"auth": {}, "access": {"allow": ["*"]}}, r"no \[auth\]"),
        ({"auth": AUTH | {"cookie_secret": "short"}, "access": {"allow": ["*"]}}, "shorter"),
        ({"auth": {"client_id": "x"}, "access": {"allow": ["*"]}}, "shorter"),
    ],
)
def test_half_a_configuration_lets_nobody_in(secrets: dict[str, Any], fault: str) -> None:
    rules = policy_of(secrets)
    assert rules.fault is not None
    assert re.search(fault, rules.fault)
    assert rules.verdict(BEN) == "refused"


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Path]:
    """A secrets.toml of the test's own; the settings come back as they were."""
    file = tmp_path / "secrets.toml"
    before = st.get_option("secrets.files")
    config.set_option("secrets.files", [str(file)])
    st.secrets._reset()
    yield file
    config.set_option("secrets.files", before)
    st.secrets._reset()


def test_secrets_that_cannot_be_read_let_nobody_in(secrets: Path) -> None:
    assert not policy().required
    secrets.write_text("[auth\n")
    st.secrets._reset()
    assert policy().fault == "secrets.toml cannot be read"


@pytest.mark.parametrize("page", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_a_page_that_is_run_past_the_door_is_closed_too(secrets: Path, page: Path) -> None:
    secrets.write_text(f'[auth]\ncookie_secret = "{32 * "?"}"\n[access]\nallow = ["*"]\n')
    test = AppTest.from_file(str(page), default_timeout=60).run()
    assert not test.exception
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.dataframe
    assert [title.value for title in test.title] == ["hitcore"]


# --- the gate ------------------------------------------------------------------------------------


def status(path: str, cookies: str = "") -> int:
    """What the gate answers; 299 where it lets a request pass."""
    answers: list[int] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        answers.append(299)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    scope = {"type": "http", "path": path, "headers": [(b"cookie", cookies.encode())]}
    # On a thread of its own: an open browser keeps its event loop running on the tests' thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, Gate(inside)(scope, None, send)).result()  # type: ignore[arg-type]
    return answers[0]


def cookie(secret: str, **claims: Any) -> str:
    origin = get_origin_from_redirect_uri()
    content = json.dumps({**BEN, "origin": origin, **claims})
    name = "_streamlit_user"
    return f"{name}={create_signed_value(secret, name, content).decode()}"


def test_files_pass_the_gate_only_with_a_cookie_that_this_server_signed(secrets: Path) -> None:
    media = "/media/3f.wav"
    assert status(media) == 299
    secrets.write_text(
        "[auth]\n"
        + "".join(f'{key} = "{value}"\n' for key, value in AUTH.items())
        + '[access]\nallow = ["@label.example"]\n'
    )
    st.secrets._reset()
    ours = get_cookie_secret()
    assert status(media) == 401
    assert status(media, cookie(ours)) == 299
    assert status(media, cookie("another server's secret")) == 401
    assert status(media, cookie(ours, email="eve@evil.example")) == 401
    assert status(media, cookie(ours, is_logged_in=False)) == 401
    assert status(media, cookie(ours, origin="http://evil.example")) == 401
    assert status(media, cookie(ours)[:-3] + "abc") == 401
    for path in ("/_stcore/upload_file/a/b", "/_stcore/metrics", "/component/x/y", "/media/x",
                 "/_stcore/agent/mcp", "/_stcore/bidi-components/x"):  # fmt: skip
        assert status(path) == 401
    for path in ("/", "/compare", "/static/js/index.js", "/_stcore/health", "/auth/login"):
        assert status(path) == 299

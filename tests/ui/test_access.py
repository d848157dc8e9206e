"""Who may come in is decided by what the provider says, and in doubt against the visitor."""

import re
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from ui.server.access import policy, policy_of

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
        (["@label.example"], {"email": "ben"}, "refused"),
        (["en@label.example"], {}, "refused"),
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


def test_secrets_that_cannot_be_read_let_nobody_in(secrets: Path) -> None:
    assert not policy().required
    secrets.write_text("[auth\n")
    st.secrets._reset()
    assert policy().fault == "secrets.toml cannot be read"


def test_headers_that_name_the_visitor_let_nobody_in() -> None:
    """Streamlit would take them from whoever asks, and they would say more than the cookie."""
    config.set_option("server.trustedUserHeaders", {"X-User": "email"})
    try:
        assert policy().verdict(BEN) == "refused"
        assert "trustedUserHeaders" in str(policy().fault)
    finally:
        config.set_option("server.trustedUserHeaders", {})


@pytest.mark.parametrize("page", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_a_page_that_is_run_past_the_door_is_closed_too(secrets: Path, page: Path) -> None:
    secrets.write_text(f'[auth]\ncookie_secret = "{32 * "?"}"\n[access]\nallow = ["*"]\n')
    test = AppTest.from_file(str(page), default_timeout=60).run()
    assert not test.exception
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.dataframe
    assert [title.value for title in test.title] == ["hitcore"]


def test_the_app_stops_at_the_door(secrets: Path) -> None:
    secrets.write_text(f'[auth]\ncookie_secret = "{32 * "?"}"\n[access]\nallow = ["*"]\n')
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not test.exception
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.sidebar

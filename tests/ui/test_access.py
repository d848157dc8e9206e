"""Who may come in is decided by what the provider says, and in doubt against the visitor."""

import re
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from starlette.requests import HTTPConnection
from streamlit import config
from streamlit.testing.v1 import AppTest

from ui.operators import metrics
from ui.server.access import is_local, policy, policy_of

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
        (["@label.example"], {"email": None}, "refused"),
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
        ({"auth": AUTH, "access": {"allow": [["@label.example"]]}}, "takes"),
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
    assert rules.verdict(BEN) == rules.verdict({}) == "refused"


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


@pytest.mark.parametrize("is_admin", [False, True])
def test_the_state_of_the_server_is_shown_to_operators_alone(
    secrets: Path, is_admin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.server.access.is_admin", lambda: is_admin)
    test = AppTest.from_file(str(ROOT / "pages" / "status.py"), default_timeout=60).run()
    assert not test.exception
    refused = [error.value for error in test.error if "for who runs the server" in error.value]
    assert bool(refused) is not is_admin
    assert bool(test.metric or test.dataframe or test.subheader) is is_admin


def test_the_app_stops_at_the_door(secrets: Path) -> None:
    secrets.write_text(f'[auth]\ncookie_secret = "{32 * "?"}"\n[access]\nallow = ["*"]\n')
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not test.exception
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.sidebar


# --- admins, and whoever reads the figures -------------------------------------------------------

TOKEN = "a scraper's token of 32 characters"


@pytest.mark.parametrize(
    ("admins", "claims", "is_admin"),
    [
        (["ben@label.example"], {}, True),
        (["BEN@label.example"], {"email": "Ben@Label.example"}, True),
        (["ann@label.example"], {}, False),
        ([], {}, False),
        (["ben@label.example"], {"email_verified": None}, False),
        (["ben@label.example"], {"is_logged_in": False}, False),
        (["eve@elsewhere.example"], {"email": "eve@elsewhere.example"}, False),  # may not enter
    ],
)
def test_admins_are_those_on_both_lists(
    admins: list[str], claims: dict[str, Any], is_admin: bool
) -> None:
    assert allowing("@label.example", admins=admins).is_admin(BEN | claims) is is_admin


@pytest.mark.parametrize("more", [
    {"admins": "ben@label.example"}, {"admins": ["*"]}, {"admins": ["@label.example"]},
    {"admins": [1]}, {"metrics_token": "short"}, {"metrics_token": 1},
])  # fmt: skip
def test_admins_by_halves_let_nobody_in(more: dict[str, Any]) -> None:
    rules = allowing("@label.example", **more)
    assert rules.fault is not None
    assert rules.verdict(BEN) == "refused"
    assert not rules.is_admin(BEN)


def test_without_sign_in_only_this_machine_is_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    for address, listens, headers, expected in (
        ("127.0.0.1", "127.0.0.1", {}, True),
        ("::1", "localhost", {"Accept": "text/html"}, True),
        ("192.0.2.1", "127.0.0.1", {}, False),
        ("127.0.0.1", "0.0.0.0", {}, False),
        ("127.0.0.1", None, {}, False),
        ("127.0.0.1", "127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, False),
        ("127.0.0.1", "127.0.0.1", {"Forwarded": "for=192.0.2.1"}, False),
        ("testclient", "127.0.0.1", {}, False),
    ):
        monkeypatch.setattr(st, "get_option", lambda name, listens=listens: listens)
        assert is_local(address, headers) is expected, (address, listens, headers)


def asked(path_token: str = "", **cookies: str) -> HTTPConnection:
    headers = [(b"authorization", path_token.encode())] if path_token else []
    headers += [(b"cookie", f"{name}={value}".encode()) for name, value in cookies.items()]
    return HTTPConnection({"type": "http", "headers": headers, "client": ("127.0.0.1", 1)})


@pytest.mark.parametrize(("given", "may"), [
    (f"Bearer {TOKEN}", True), (f"bearer  {TOKEN}", True), ("Bearer x", False),
    (TOKEN, False), (f"Basic {TOKEN}", False), ("Bearer ", False), ("", False),
    (f"Bearer {TOKEN}é", False),
])  # fmt: skip
def test_figures_for_who_has_the_token(
    given: str, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = allowing("*", metrics_token=TOKEN)
    monkeypatch.setattr("ui.server.access.policy", lambda: rules)
    assert metrics.may_read(asked(given)) is may
    assert not rules.is_token("")
    assert not allowing("*").is_token("None")


def test_figures_for_admins_and_for_nobody_else_who_is_signed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = allowing("@label.example", admins=["ben@label.example"])
    monkeypatch.setattr("ui.server.access.policy", lambda: rules)
    for address, may in (("ben@label.example", True), ("ann@label.example", False)):
        monkeypatch.setattr(metrics, "signed_in_claims", lambda _, a=address: BEN | {"email": a})
        assert metrics.may_read(asked()) is may

"""Who is not on the list gets nothing: page, media, upload, link. With a real OpenID provider."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from hitcore import weights
from tests.browser import provider as oidc
from tests.browser.conftest import ANN, free_port, secrets_for, served, sign_in

pytestmark = pytest.mark.browser

BEN = {"sub": "2", "email": "ben@label.example", "email_verified": True}
EVE = {"sub": "3", "email": "eve@elsewhere.example", "email_verified": True}


@pytest.fixture(scope="module")
def guarded(provider: oidc.Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app that asks for sign-in."""
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    address = f"http://127.0.0.1:{port}"
    secrets = folder / "secrets.toml"
    secrets.write_text(secrets_for(address, provider))
    workspaces = str(folder / "workspaces")
    with served(folder, port, "--secrets.files", str(secrets), HITCORE_WORKSPACES=workspaces):
        yield address


@pytest.fixture
def visitor(browser: Any, guarded: str) -> Iterator[Any]:
    """A fresh visitor of the guarded app."""
    context = browser.new_context(base_url=guarded)
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.mark.parametrize("path", ["/compare", f"/?song={'0' * 64}"])
def test_a_stranger_sees_the_sign_in_and_nothing_else(visitor: Any, path: str) -> None:
    visitor.goto(path)
    visitor.get_by_role("button", name="Sign in").wait_for()
    shown = visitor.locator("[data-testid=stMain]").inner_text()
    words = " ".join(shown.replace("login", "").split())
    assert words == "hitcore The songs here are confidential. Sign in to go on. Sign in"
    assert visitor.locator("input, audio, img, canvas, [data-testid=stTopNavLink]").count() == 0


def test_files_go_neither_in_nor_out_without_sign_in(visitor: Any, guarded: str) -> None:
    visitor.goto("/")
    visitor.get_by_role("button", name="Sign in").wait_for()
    cookies = {cookie["name"]: cookie["value"] for cookie in visitor.context.cookies()}
    token = {"X-Xsrftoken": cookies["_streamlit_xsrf"]}
    forms = {"multipart": {"file": {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"x"}}}
    request = visitor.request
    sent = request.put(f"{guarded}/_stcore/upload_file/any/any", headers=token, **forms)
    assert sent.status == 401
    forged = {"Cookie": "_streamlit_user=eyJpc19sb2dnZWRfaW4iOnRydWV9.x.y", **token}
    for address in ("/media/0000.wav", "/_stcore/metrics", "/_stcore/agent/openapi.json"):
        assert request.get(guarded + address).status == 401
        assert request.get(guarded + address, headers=forged).status == 401
    assert request.get(f"{guarded}/_stcore/health").status == 200


def test_who_is_on_the_list_works_and_nobody_else_reaches_it(
    visitor: Any, browser: Any, guarded: str, provider: oidc.Provider, song: Path
) -> None:
    sign_in(visitor, provider, ANN)
    uploader = visitor.locator('input[type="file"]').first
    uploader.wait_for(state="attached")
    assert visitor.get_by_text("Signed in as Ann@example.org").count() == 1
    uploader.set_input_files(str(song))
    visitor.get_by_text("Where the highlight is, and why").wait_for(timeout=120_000)
    media = urljoin(guarded, visitor.locator("audio").first.get_attribute("src"))
    assert visitor.request.get(media).status == 200
    address = visitor.url
    assert "song=" in address

    # Nobody: neither the media address nor the link.
    nobody = browser.new_context(base_url=guarded)
    assert nobody.request.get(media).status == 401
    page = nobody.new_page()
    page.goto(address)
    page.get_by_role("button", name="Sign in").wait_for()
    assert page.locator("audio").count() == 0
    nobody.close()

    # A colleague who may enter: the app, and nothing of Ann's.
    other = browser.new_context(base_url=guarded)
    colleague = other.new_page()
    sign_in(colleague, provider, BEN)
    colleague.locator('input[type="file"]').first.wait_for(state="attached")
    colleague.goto(address)
    colleague.get_by_text("Nothing here yet").wait_for(timeout=60_000)
    assert colleague.locator("audio").count() == 0
    # Who knows the hash of a clip may fetch it, as SECURITY.md says.
    assert other.request.get(media).status == 200
    other.close()

    # Ann herself, later and in another tab: her link still works; signed out, it does not.
    again = visitor.context.new_page()
    again.goto(address)
    again.get_by_text("Where the highlight is, and why").wait_for(timeout=120_000)
    again.get_by_role("button", name="Sign out").first.click()
    again.get_by_role("button", name="Sign in").wait_for()
    assert again.request.get(media).status == 401


def test_signed_in_and_not_on_the_list_is_said(
    visitor: Any, guarded: str, provider: oidc.Provider
) -> None:
    sign_in(visitor, provider, EVE, "/compare")
    visitor.get_by_text("not on the list of people who may use this server").wait_for()
    assert visitor.locator("input, audio, [data-testid=stTopNavLink]").count() == 0
    assert visitor.request.get(f"{guarded}/media/0000.wav").status == 401


def test_a_token_that_another_key_signed_is_not_believed(
    visitor: Any, provider: oidc.Provider
) -> None:
    provider.user, provider.forged = ANN, True
    visitor.goto("/")
    visitor.get_by_role("button", name="Sign in").click()
    visitor.wait_for_url("**/")
    visitor.get_by_role("button", name="Sign in").wait_for()
    assert visitor.locator('input[type="file"]').count() == 0

"""No serious fault that axe finds, on any page, light or dark; nothing wider than a phone.

Axe comes from the npm registry (`npm install --no-save axe-core`, which continuous integration
does), or from the file that AXE names.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT

pytestmark = pytest.mark.browser

PAGES = ("/compare", "/samplers", "/distribution", "/experiments", "/models", "/method")
GRAVE = {"serious", "critical"}


@pytest.fixture(scope="module")
def axe() -> str:
    """The program that looks for faults, to be run in a page."""
    path = Path(os.environ.get("AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
    if not path.exists():
        pytest.skip("axe-core is not here: npm install --no-save axe-core, or set AXE to its file")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, server: str, axe: str, scheme: str) -> None:
    context = browser.new_context(base_url=server, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto("/")
    page.get_by_text("Waiting Lights (pop)").click()
    page.get_by_text("Where the highlight is, and why").wait_for()
    found = grave_faults(page, axe)
    for path in PAGES:
        page.goto(path)
        page.locator("h1").first.wait_for()
        if path == "/distribution":  # as it is with songs picked out, too
            page.get_by_role("button", name="Filter songs").click()
            page.get_by_text("pop", exact=True).click()
        found += grave_faults(page, axe)
    context.close()
    assert found == []


def grave_faults(page: Any, axe: str) -> list[str]:
    """What axe finds on a page once it is still, one line per fault."""
    page.wait_for_timeout(1500)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')"
    )
    page.evaluate(axe)
    answer = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert answer["passes"], "axe looked at nothing"
    return [
        f"{page.url}: {fault['id']}: {fault['nodes'][0]['failureSummary']}"
        for fault in answer["violations"]
        if fault["impact"] in GRAVE
    ]


def test_a_phone_shows_score_and_player_without_scrolling_far(browser: Any, server: str) -> None:
    context = browser.new_context(base_url=server, viewport={"width": 420, "height": 900})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto("/")
    title = page.locator("h1").first.bounding_box()
    assert title is not None
    assert title["y"] < 120  # no blank above it
    page.get_by_text("Waiting Lights (pop)").click()
    page.get_by_text("Where the highlight is, and why").wait_for()
    page.locator("audio").first.wait_for()
    # It waits for a player once more: a page that runs again takes it away for a moment.
    top = page.locator("audio").first.evaluate("e => e.getBoundingClientRect().top")
    assert top < 2 * 900
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.goto("/method")
    for part in (page.get_by_test_id("stGraphVizChart"), page.locator(".katex-display").nth(1)):
        part.wait_for()
        box = part.bounding_box()
        inner = part.evaluate("e => e.scrollWidth - e.clientWidth")
        assert box is not None
        assert box["x"] + box["width"] <= 420
        assert inner <= 4  # what was cut on a phone was wider by 200
    context.close()

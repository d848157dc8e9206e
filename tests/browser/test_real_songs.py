"""What a stranger sees: a real song first, then a spoken minute."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, until_quiet

pytestmark = pytest.mark.browser

SHARED = Path(os.environ.get("HITCORE_SHARED", ROOT.parent / "shared"))
WESNOTH = Path("/usr/share/games/wesnoth/1.16/data/core/music")
SPOKEN = (
    "The history of the harbour begins with a small group of families who settled on the northern "
    "bank of the river. They built houses of timber and stone, and for many years they lived by "
    "the sea alone. Then merchants came from the south and asked for permission to build a market. "
)


@pytest.fixture(scope="module")
def song() -> Path:
    """A recording: a song at hand, else a piece of Debian's wesnoth music that is not flagged."""
    found = [*sorted((SHARED / "data" / "highlights").glob("*.mp3")), WESNOTH / "frantic.ogg"]
    there = [path for path in found if path.is_file()]
    if not there:
        pytest.skip("no recording here: install Debian's package wesnoth-1.16-music")
    return there[0]


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spoken minute."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("nothing here can speak: install Debian's package espeak-ng")
    path = tmp_path_factory.mktemp("speech") / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", "en", "-s", "160", "-w", str(path), SPOKEN * 4], check=True)
    return path


def bring(page: Any, path: Path) -> Any:
    """Upload a file, wait for its report, and give the box that says where it would stand."""
    page.goto("/")
    chooser = page.locator('input[type="file"]').first
    chooser.wait_for(state="attached")
    chooser.set_input_files([str(path)])
    page.get_by_text("Where the highlight is, and why").wait_for()
    page.get_by_role("button", name="highlight.wav").wait_for()
    until_quiet(page)
    box = page.get_by_test_id("stVerticalBlock").filter(
        has=page.get_by_role("heading", name="Where it would stand", exact=True)
    )
    return box.last


def test_a_song_gets_a_place_and_how_sure_it_is_and_speech_a_sentence_instead(
    page: Any, song: Path, speech: Path, tmp_path: Path
) -> None:
    box = bring(page, song)
    words = box.inner_text()
    assert words.index("Real clips") < words.index("Sounds like songs that charted")
    assert "demo" not in words.lower(), "no synthetic model speaks of a real song"
    place = int(box.get_by_test_id("stMetricValue").first.inner_text())
    sure = box.get_by_test_id("stMetricDelta").first.inner_text()
    low, high = (int(word) for word in sure.removeprefix("likely ").split(" to "))
    assert 0 <= low <= place <= high <= 100
    assert f"above {place} of 100 among 522 real clips" in words
    assert f"the truth lies in such a range, here from {low} to {high}" in words
    assert ("That is wide" in words) == (high - low >= 50)
    assert "There is no percentile" not in words
    assert "Measured: ρ 0." in words
    below = re.search(r"Sounds like songs that charted: percentile (\d+) \((\d+)–(\d+)\)", words)
    assert below is not None, words
    assert int(below[2]) <= int(below[1]) <= int(below[3])
    for width, scheme in ((1440, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 1400})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=str(tmp_path / f"song-{width}-{scheme}.png"))
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "nothing sticks out to the side"
    page.set_viewport_size({"width": 1440, "height": 1000})

    box = bring(page, speech)
    page.get_by_role("heading", name=speech.name).wait_for()  # until then, the song's is there
    until_quiet(page)
    words = box.inner_text()
    assert box.get_by_test_id("stMetricValue").count() == 0, "no number of speech"
    assert words.count("There is no percentile: this does not sound like the songs") == 1
    assert "Sounds like songs that charted: unlike the songs it knows" in words
    assert "likely" not in words
    page.screenshot(path=str(tmp_path / "speech.png"))

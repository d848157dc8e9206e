"""A visitor's songs in a real browser: a batch, reload, restart, removing and sharing."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hitcore import weights
from tests.browser.conftest import (
    ROOT,
    app_command,
    free_port,
    sync_api,
    until_quiet,
    wait_until_served,
)

pytestmark = pytest.mark.browser

N_BATCH = 100
ROW_PX = 36
REPORT = "Where the highlight is, and why"


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A hundred short tunes, all different."""
    folder, rate = tmp_path_factory.mktemp("tunes"), 11_025
    t = np.arange(35 * rate) / rate
    paths = []
    for number in range(N_BATCH):
        notes = np.random.default_rng(number).integers(0, 24, 70)[(2 * t).astype(int)]
        tone = 0.3 * np.sin(2 * np.pi * np.cumsum(220 * 2 ** (notes / 12)) / rate)
        paths.append(folder / f"tune {number:03d}.flac")
        soundfile.write(paths[-1], tone.astype(np.float32), rate)
    return paths


def drop(page: Any, *paths: Path) -> None:
    page.locator('input[type="file"]').first.wait_for(state="attached")
    page.locator('input[type="file"]').first.set_input_files([str(path) for path in paths])


def height_of_the_uploader(page: Any) -> float:
    """How far down the page the songs begin, below the place where they are dropped, in pixels."""
    page.get_by_test_id("stProgress").first.wait_for(state="detached")
    songs = page.get_by_text(re.compile(r"^Your songs \(\d+\)")).first.bounding_box()
    drop_here = page.get_by_test_id("stFileUploader").first.bounding_box()
    return float(songs["y"] - drop_here["y"])


def remove_all(page: Any) -> None:
    until_quiet(page)
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("button", name="Delete", exact=True).first.click()
    page.get_by_text("Nothing here yet").wait_for()


def unfold(page: Any, menu: Any, inside: Any) -> Any:
    """What a menu opens, a button's by its name; a page that ran again may have closed it."""
    if isinstance(menu, str):
        menu = page.get_by_role("button", name=menu, exact=True)
    for _ in range(5):
        until_quiet(page)
        menu.click()
        try:
            inside.wait_for(timeout=5_000)
        except sync_api.TimeoutError:
            continue
        return inside
    raise AssertionError(f"{menu} does not open")


def click_row(page: Any, row: int, x: int) -> None:
    """Click into the table of songs, which is a picture: `x` pixels from its left edge."""
    until_quiet(page)
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    table.click(position={"x": x, "y": ROW_PX * (row + 1) + ROW_PX // 2})


def test_a_batch_goes_on_without_its_page_and_cancel_keeps_what_is_done(
    page: Any, tunes: list[Path]
) -> None:
    page.goto("/")
    drop(page, *tunes)
    progress = page.get_by_text(re.compile(rf"Song \d+ of {N_BATCH}, tune \d+\.flac: "))
    progress.wait_for()
    page.get_by_role("heading", name=f"Your songs ({N_BATCH})").wait_for()
    page.get_by_text(REPORT).wait_for()  # the first is there long before the last
    assert progress.count() == 1
    assert page.get_by_test_id("stFileUploaderFile").count() == 0
    page.get_by_text(re.compile(r"\d+ (s|min) left")).wait_for()

    page.reload()  # in the middle
    progress.wait_for()
    number = int(re.search(r"Song (\d+)", progress.inner_text()).group(1))  # type: ignore[union-attr]
    assert number > 1
    page.get_by_role("button", name="Cancel").click()
    left_out = page.get_by_text(re.compile(r"(\d+) songs were left out when you cancelled"))
    left_out.wait_for()
    n_left = int(re.search(r"(\d+) songs", left_out.inner_text()).group(1))  # type: ignore[union-attr]
    assert 0 < n_left < N_BATCH
    page.get_by_text(REPORT).wait_for()

    remove_all(page)
    page.reload()
    page.get_by_text("Nothing here yet").wait_for()


def test_a_song_is_renamed_shared_revoked_and_removed(
    page: Any, browser: Any, server: str, tunes: list[Path]
) -> None:
    page.goto("/")
    drop(page, tunes[0])
    page.get_by_text(REPORT).wait_for()
    unfold(page, "Rename", page.get_by_role("textbox", name="Name")).fill("Our *single*")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    page.get_by_role("heading", name="Our *single*").wait_for()

    own = page.url
    unfold(page, "Share", page.get_by_role("button", name="Make a link")).click()
    link = page.get_by_text(re.compile(r"\?shared=")).first
    link.wait_for()
    address = link.inner_text().strip()
    assert address.startswith(server)

    other = browser.new_context()
    stranger = other.new_page()
    stranger.goto(own)
    stranger.get_by_text("This song is private or gone").wait_for()
    stranger.goto(address)
    stranger.get_by_role("heading", name="Our *single*").wait_for()
    stranger.get_by_text(REPORT).wait_for()
    stranger.locator("audio").first.wait_for(state="attached")
    for act in ("Rename", "Share", "Remove"):
        assert stranger.get_by_role("button", name=act, exact=True).count() == 0

    page.get_by_role("button", name="End sharing").click()
    page.get_by_role("button", name="Make a link").wait_for()
    stranger.reload()
    stranger.get_by_text("This song is private or gone").wait_for()
    assert stranger.locator("audio").count() == 0
    other.close()

    page.reload()
    page.get_by_role("heading", name="Our *single*").wait_for()
    delete = page.get_by_role("button", name="Delete", exact=True).first
    unfold(page, "Remove", delete).click()
    page.get_by_text("Nothing here yet").wait_for()
    page.goto(own)
    page.get_by_text("This song is private or gone").wait_for()


def test_a_row_opens_its_song_and_its_time_plays(page: Any, tunes: list[Path]) -> None:
    page.goto("/")
    drop(page, tunes[0])
    page.get_by_text(REPORT).wait_for()
    until_quiet(page)
    room = height_of_the_uploader(page)
    drop(page, tunes[1])
    page.get_by_text("Your songs (2)").wait_for()
    page.get_by_text(re.compile(r"Song \d of 2")).wait_for(state="detached")
    until_quiet(page)
    assert height_of_the_uploader(page) == room  # no gap grows under it with each drop
    click_row(page, 0, 90)
    page.get_by_role("heading", name="tune 000.flac").wait_for()
    click_row(page, 1, 90)
    page.get_by_role("heading", name="tune 001.flac").wait_for()
    page.get_by_text(REPORT).wait_for()
    until_quiet(page)
    before = page.locator("audio").count()
    click_row(page, 0, 575)  # the time of its highlight, at this width
    page.get_by_text("Highlight of tune 000.flac").wait_for()
    assert page.locator("audio").count() == before + 1
    page.get_by_role("heading", name="tune 001.flac").wait_for()  # nothing else was opened or rated


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of its own with the tagger's weights."""
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    folder = tmp_path / "cache"
    (folder / "weights").mkdir(parents=True)
    for file in weights.cache_folder().glob("musicnn-mtt*"):
        (folder / "weights" / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


def serve(port: int, cache: Path) -> Iterator[None]:
    """A server on this port, until the generator is closed."""
    log = cache / "log"
    environment = {**os.environ, "HITCORE_CACHE": str(cache)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            app_command(port), cwd=ROOT, stdout=output, stderr=output, env=environment
        )
    try:
        wait_until_served(port, process, log)
        yield
    finally:
        process.kill()
        process.wait(20)


def test_songs_are_there_after_the_server_was_killed(
    browser: Any, tunes: list[Path], cache: Path, port: int
) -> None:
    context = browser.new_context(base_url=f"http://127.0.0.1:{port}")
    page = context.new_page()
    page.set_default_timeout(120_000)
    running = serve(port, cache)
    next(running)
    page.goto("/")
    drop(page, *tunes[:2])
    page.get_by_text(REPORT).wait_for()
    page.get_by_text(re.compile(r"Song \d of 2")).wait_for(state="detached")
    running.close()
    reports = sorted((cache / "weights" / "uploads").glob("*/[!.]*.report"))
    made = [path.stat().st_mtime for path in reports]
    assert len(reports) == 2

    running = serve(port, cache)
    next(running)
    page.goto("/")
    page.get_by_role("heading", name="Your songs (2)").wait_for()
    page.get_by_text(REPORT).wait_for()
    assert [path.stat().st_mtime for path in reports] == made  # nothing was analysed again
    remove_all(page)
    assert [path for path in (cache / "weights" / "uploads").glob("*/*") if path.is_file()] == []
    running.close()
    context.close()


def test_two_ticked_songs_stand_side_by_side_and_the_report_opens_from_disk(
    page: Any, browser: Any, tunes: list[Path], tmp_path: Path
) -> None:
    page.goto("/")
    drop(page, *tunes[:2])
    page.get_by_text(REPORT).wait_for()
    page.get_by_text(re.compile(r"Song \d of 2")).wait_for(state="detached")
    click_row(page, 0, 17)
    click_row(page, 1, 17)
    page.get_by_role("heading", name="Side by side").wait_for()
    page.get_by_text("They differ most on").wait_for()
    until_quiet(page)
    assert page.locator("audio").count() >= 3

    with page.expect_download() as download:
        page.get_by_role("button", name="Report", exact=True).click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    alone = browser.new_context(offline=True).new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(file.as_uri())
    alone.get_by_text("tune 000.flac").first.wait_for()
    length = alone.evaluate(
        "() => new Promise((done, no) => { const a = document.querySelector('audio');"
        "a.muted = true; a.onerror = no; a.ontimeupdate = () => done(a.duration); a.play(); })"
    )
    assert length == pytest.approx(30, abs=0.1)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    alone.context.close()


def test_a_model_that_was_trained_here_rates_a_song(page: Any, tunes: list[Path]) -> None:
    page.goto("/experiments")
    epochs = page.get_by_label("Epochs at most")
    epochs.wait_for(state="attached")
    if not epochs.is_visible():  # the form is folded where something has run before
        page.get_by_text("New experiment").click()
    epochs.fill("1")
    epochs.press("Enter")
    name = page.get_by_label("Name", exact=True).last
    name.fill("quick")
    name.press("Enter")
    for row in ("(e)", "(i)"):
        until_quiet(page)
        page.get_by_test_id("stButtonGroup").get_by_text(row, exact=False).first.click()
    until_quiet(page)
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Starting, ").or_(page.get_by_text("Experiment, ")).first.wait_for()
    page.get_by_text("Done: 3 runs").wait_for(timeout=300_000)

    page.goto("/")
    drop(page, tunes[0])
    page.get_by_text(REPORT).wait_for()
    option = page.get_by_role("option", name="(c) CNN, HL-30 of planted")
    unfold(page, page.get_by_label("Model", exact=True).first, option).click()
    page.get_by_text("trained on 60 songs of the catalogue planted").first.wait_for()
    assert "model=trained%3Aplanted" in page.url or "model=trained:planted" in page.url

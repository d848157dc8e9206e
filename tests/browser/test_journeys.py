"""What people do with the app, in a real browser."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hitcore.demo import DemoConfig, make_song

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song as MP3, 70 s of it, so that there is something to choose from."""
    song = make_song(DemoConfig(n_songs=20), 7).waveform
    path = tmp_path_factory.mktemp("songs") / "a <b>song<b>.mp3"
    samples = song.samples[: 70 * song.sample_rate]
    soundfile.write(path, np.stack([samples, samples], axis=1), song.sample_rate, format="MP3")
    return path


def upload(page: Any, *paths: Path) -> None:
    page.goto("/")
    page.locator('input[type="file"]').first.wait_for(state="attached")
    page.locator('input[type="file"]').first.set_input_files([str(path) for path in paths])


def wait_for_report(page: Any) -> None:
    page.get_by_text("Where the highlight is, and why").wait_for()
    page.get_by_role("button", name="highlight.wav").wait_for()


def downloaded(page: Any, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return Path(download.value.path()).read_bytes()


def command_line(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "hitcore", "analyse", str(path), "--json"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_song_gives_its_report_and_it_is_the_command_lines(
    page: Any, mp3: Path, tmp_path: Path
) -> None:
    upload(page, mp3)
    wait_for_report(page)
    source = page.locator("audio").first.get_attribute("src")
    clip = page.request.get(source).body()
    samples, rate = soundfile.read(io.BytesIO(clip))
    assert len(samples) / rate == pytest.approx(30.0, abs=1e-3)
    assert np.abs(samples).max() > 0.05

    shown = json.loads(downloaded(page, "JSON"))
    told = command_line(mp3)
    assert shown["content_hash"] == told["content_hash"]
    assert shown["highlight"] == told["highlight"]
    assert [t["tag"] for t in shown["tags"]] == [t["tag"] for t in told["tags"]]
    for here, there in zip(shown["tags"], told["tags"], strict=True):
        assert here["activation"] == pytest.approx(there["activation"], abs=1e-5)
    assert [s["model"] for s in shown["scores"]] == [s["model"] for s in told["scores"]]
    for here, there in zip(shown["scores"], told["scores"], strict=True):
        assert here["score"] == pytest.approx(there["score"], abs=1e-5)

    picture = page.screenshot(path=str(tmp_path / "report.png"), full_page=True)
    assert len(picture) > 20_000
    assert page.locator("b", has_text="song").count() == 0  # the name is never markup


def test_what_is_no_song_is_said_in_a_line_and_the_others_finish(
    page: Any, mp3: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp3"
    text.write_text("this is no music\n" * 50)
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    upload(page, text, mp3)
    wait_for_report(page)
    alert = page.get_by_test_id("stAlert").filter(has_text="notes.mp3")
    alert.wait_for()
    assert "text" in alert.inner_text()
    assert page.get_by_test_id("stException").count() == 0


def test_a_link_reopens_the_song_for_its_owner_and_for_nobody_else(
    page: Any, browser: Any, server: str, mp3: Path
) -> None:
    upload(page, mp3)
    wait_for_report(page)
    address = page.url
    assert "song=" in address
    page.goto(address)
    wait_for_report(page)
    stranger = browser.new_context(base_url=server).new_page()
    stranger.goto(address)
    stranger.get_by_text("Nothing here yet").wait_for(timeout=60_000)
    assert stranger.get_by_text("Where the highlight is").count() == 0
    stranger.context.close()


def test_an_experiment_is_started_cancelled_and_resumed(page: Any) -> None:
    page.goto("/experiments")
    page.get_by_text("About").first.wait_for()
    epochs = page.get_by_label("Epochs at most")
    epochs.fill("60")
    epochs.press("Enter")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_text("Experiment,").first.wait_for()
    first = page.get_by_test_id("stProgress").first.inner_text()
    page.wait_for_function(
        "was => document.querySelector('[data-testid=stProgress]')?.innerText !== was", arg=first
    )
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Resume").wait_for()
    assert page.get_by_text("cancelled").count() > 0
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Resume").wait_for()


def test_what_came_with_the_app_opens_on_compare_as_it_stood_on_experiments(page: Any) -> None:
    page.goto("/experiments")
    page.get_by_role("link", name="Open in Compare").last.click()
    page.get_by_role("heading", name="Compare", exact=True).wait_for()
    page.get_by_text("demo catalogue (synthetic songs)").wait_for()
    assert "(a)" in page.get_by_test_id("stTable").first.inner_text()


def test_compare_is_sorted_filtered_and_exported(page: Any) -> None:
    page.goto("/compare?results=:song")
    page.get_by_test_id("stTable").first.wait_for()
    table = page.get_by_test_id("stTable").first
    assert table.inner_text().index("(a)") < table.inner_text().index("(j)")
    choose(page, "Rows", "With tags")
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stTable]').innerText.includes('(a)')"
    )
    choose(page, "Sort by", "nDCG@10 %")
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stTable] tbody tr').innerText.includes('(b)')"
    )
    page.get_by_text("Numbers").first.click()
    exported = list(csv.DictReader(io.StringIO(downloaded(page, "Download CSV").decode())))
    figures = [float(line["ndcg"]) for line in exported]
    assert len(figures) > 1
    assert figures == sorted(figures, reverse=True)
    assert all("tag" in line["features"] for line in exported)


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=option).click()


@pytest.mark.parametrize(
    "path", ["/", "/compare", "/samplers", "/distribution", "/experiments", "/models", "/method"]
)
@pytest.mark.parametrize("width", [1440, 420])
def test_every_page_opens_without_an_error(page: Any, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(path)
    page.locator("h1").first.wait_for()
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')"
    )
    assert page.get_by_test_id("stException").count() == 0
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0

"""Many people at once in real browsers: every answer right and one's own, and nobody locked out.

    python benchmarks/crowd.py                    20 people, a few minutes
    python benchmarks/crowd.py --people 4 --json  the short form that the tests run

Starts the app as `make app` does. Each person is a browser context of its own (own cookies, own
websocket), uploads a song that only they have, waits for its report and downloads it as JSON. The
report must be that of the same song analysed alone. Meanwhile a bystander opens other pages again
and again; how long that takes is printed too. Memory is that of the server and its children.

Visitors bring their own machines, and drawing twenty reports takes more than making them: here the
browsers of the crowd run at the lowest priority, beside the server and the bystander's browser.
"""

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import soundfile  # noqa: E402
from playwright.async_api import Browser, Page, async_playwright  # noqa: E402

from tests.browser.conftest import (  # noqa: E402
    FLAGS,
    app_command,
    chromium,
    free_port,
    wait_until_served,
)
from tests.protocol import megabytes  # noqa: E402

SESSION_KEPT_S = 125
"""Streamlit forgets a visitor two minutes after they left, when the next one comes."""
BYSTANDERS_PAGES = ("/method", "/models", "/compare")
PATIENCE_MS = 580_000


def song(number: int, folder: Path) -> Path:
    """Forty seconds of a tune that only this person has."""
    rng = np.random.default_rng(number)
    t = np.arange(40 * 22_050) / 22_050
    notes = rng.integers(0, 24, 80)[np.minimum((2 * t).astype(int), 79)]
    tone = np.sin(2 * np.pi * np.cumsum(220 * 2 ** (notes / 12)) / 22_050)
    loudness = 0.2 + 0.1 * np.sin(2 * np.pi * t / (7 + number % 5))
    path = folder / f"song-{number}.flac"
    soundfile.write(path, (loudness * tone).astype(np.float32), 22_050)
    return path


def answer(report: dict[str, Any]) -> dict[str, Any]:
    """The part of a report that two analyses of one song share."""
    return {
        "content_hash": report["content_hash"],
        "highlight": report["highlight"],
        "tags": [(tag["tag"], round(tag["activation"], 4)) for tag in report["tags"]],
        "scores": [(score["model"], round(score["score"], 4)) for score in report["scores"]],
    }


def alone(songs: list[Path]) -> list[dict[str, Any]]:
    """The answers when one song is analysed after another, by the command line."""
    command = [sys.executable, "-m", "hitcore", "analyse", *map(str, songs), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    document = json.loads(done.stdout)
    return [answer(one) for one in (document if isinstance(document, list) else [document])]


@contextmanager
def serving(cache: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The app, its address and its process."""
    port, log = free_port(), cache / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(app_command(port), cwd=ROOT, stdout=output, stderr=output)
    try:
        wait_until_served(port, server, log)
        yield f"http://127.0.0.1:{port}", psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(30)


async def visit(browser: Browser, address: str, path: Path, report: dict[str, Any]) -> None:
    """One person: upload, wait, download. `report` is filled as things happen."""
    context = await browser.new_context(base_url=address)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto("/")
    uploader = page.locator('input[type="file"]').first
    await uploader.wait_for(state="attached")
    report["queued"] = False
    page_task = asyncio.create_task(_note_place(page, report))
    started = time.monotonic()
    await uploader.set_input_files(str(path))
    await page.get_by_text("Where the highlight is, and why").wait_for()
    report["seconds"] = time.monotonic() - started
    page_task.cancel()
    button = page.get_by_role("button", name="JSON")
    async with page.expect_download() as download:
        await button.click()
    file = await (await download.value).path()
    report["answer"] = answer(json.loads(Path(file).read_text()))
    report["context"] = context


async def _note_place(page: Page, report: dict[str, Any]) -> None:
    """Whether a place in the queue was shown while this person waited."""
    await (
        page.get_by_text("before you in the queue").or_(page.get_by_text("You are next")).wait_for()
    )
    report["queued"] = True


def browsers() -> list[psutil.Process]:
    """The processes of all browsers that were started here."""
    return [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]


def yield_to_others(started: list[psutil.Process]) -> None:
    """Let processes, and those that they started, run when nobody else wants to."""
    for process in started:
        with suppress(psutil.NoSuchProcess):
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    one.nice(19)


async def look_around(page: Page, times: list[float]) -> None:
    """Open the other pages one after the other; how long each took until it stood."""
    for path in BYSTANDERS_PAGES:
        started = time.monotonic()
        await page.goto(path)
        await page.locator("h1").first.wait_for()
        times.append(time.monotonic() - started)
        await asyncio.sleep(0.5)


async def bystander(browser: Browser, address: str, times: list[float]) -> None:
    """Somebody who reads other pages meanwhile."""
    context = await browser.new_context(base_url=address)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    while True:
        await look_around(page, times)


async def crowd(
    address: str, server: psutil.Process, songs: list[Path], kept_s: float
) -> dict[str, Any]:
    """Everybody at once; what each got, and what it cost; at last, after `kept_s`, one more."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        crowds_browser = browsers()
        quiet = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        # The base is a server that has served: somebody analysed a song and saw every page, so the
        # models and tables that all visitors share are in memory.
        first: dict[str, Any] = {}
        await visit(browser, address, songs[0], first)
        await look_around(first["context"].pages[0], [])
        await first["context"].close()
        await asyncio.sleep(3)
        base, reactions, reports = megabytes(server), [], [dict[str, Any]() for _ in songs[1:]]
        watcher = asyncio.create_task(bystander(quiet, address, reactions))
        people = zip(songs[1:], reports, strict=True)
        visits = [asyncio.create_task(visit(browser, address, *each)) for each in people]
        peak = base
        started = time.monotonic()
        while pending := [task for task in visits if not task.done()]:
            peak = max(peak, megabytes(server))
            yield_to_others(crowds_browser)  # Chromium raises its processes time and again.
            await asyncio.wait(pending, timeout=1.0)
        whole = time.monotonic() - started
        watcher.cancel()
        failures = [repr(task.exception()) for task in visits if task.exception() is not None]
        full = megabytes(server)
        for report in reports:
            if "context" in report:
                await report["context"].close()
        await asyncio.sleep(kept_s)
        late = await browser.new_page()
        await late.goto(f"{address}/method")
        await late.locator("h1").first.wait_for()
        await browser.close()
        await quiet.close()
    return {
        "reports": reports, "failures": failures, "reactions": reactions, "whole_s": whole,
        "base_mb": base, "peak_mb": peak, "full_mb": full,
    }  # fmt: skip


def settled(server: psutil.Process, base: float, patience_s: float) -> float:
    """Memory once it no longer falls, or after a while."""
    deadline = time.monotonic() + patience_s
    lowest = megabytes(server)
    while time.monotonic() < deadline and lowest > base * 1.05:
        time.sleep(5)
        lowest = min(lowest, megabytes(server))
    return lowest


def measure(n_people: int, patience_s: float) -> dict[str, Any]:
    """The figures of one crowd."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        songs = [song(number, folder) for number in range(n_people + 1)]
        expected = {one["content_hash"]: one for one in alone(songs)}
        with serving(folder) as (address, server):
            kept_s = SESSION_KEPT_S if patience_s else 0.0
            seen = asyncio.run(crowd(address, server, songs, kept_s))
            after = settled(server, seen["base_mb"], patience_s)
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in songs[1:]]
    right = sum(
        report.get("answer", {}).get("content_hash") == own and report["answer"] == expected[own]
        for report, own in zip(seen["reports"], hashes, strict=True)
    )
    times = [report["seconds"] for report in seen["reports"] if "seconds" in report]
    reactions = seen["reactions"] or [float("nan")]
    return {
        "people": n_people,
        "right": right,
        "lost": n_people - len(times),
        "saw_their_place": sum(report.get("queued", False) for report in seen["reports"]),
        "whole_s": round(seen["whole_s"], 1),
        "p50_s": round(float(np.percentile(times, 50)), 1) if times else None,
        "p95_s": round(float(np.percentile(times, 95)), 1) if times else None,
        "other_pages": len(seen["reactions"]),
        "other_p50_s": round(float(np.percentile(reactions, 50)), 2),
        "other_p95_s": round(float(np.percentile(reactions, 95)), 2),
        "base_mb": round(seen["base_mb"]),
        "peak_mb": round(seen["peak_mb"]),
        "per_session_mb": round((seen["full_mb"] - seen["base_mb"]) / n_people, 1),
        "after_mb": round(after),
        "failures": seen["failures"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--patience", type=float, default=180, help="s to wait for memory to fall")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if chromium() is None:
        print("no Chromium here: install it, or set CHROMIUM", file=sys.stderr)
        return 2
    os.environ["PYTHONUNBUFFERED"] = "1"
    figures = measure(options.people, options.patience)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:<18}{value}")
    return 0 if figures["right"] == options.people and not figures["lost"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long a visitor waits: one song after another, from its upload to its report on the screen.

    python benchmarks/firstreport.py [--songs 5] [--json]

Starts the app as `make app` does, with caches of its own, and visits it with a real Chromium. Each
song is a melody of four minutes that the server has not met, encoded as an MP3. Two times are
taken for each: until its place among real songs is to be read, and until the page is at rest, with
all charts drawn. Each song is brought by a visitor of their own, in a browser that holds nothing.
The first song is a warm-up and is shown apart: the server loads its models for it.

The limit is five seconds on two idle cores, so the load of the machine before it began is printed
beside: with other work the times say little. Chromium runs on the same cores.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from tests.browser.conftest import FLAGS, chromium  # noqa: E402
from tests.protocol import serving  # noqa: E402
from tests.sounds import encoded, music  # noqa: E402

LIMIT_S = 5.0
PATIENCE_MS = 120_000
BUSY = "[data-testid=stStatusWidget], [data-stale=true], [data-testid=stSkeleton]"
AT_REST = f"() => !document.querySelector('{BUSY}')"


def song(number: int) -> bytes:
    """Four minutes of a melody that swells at its own pace."""
    sound = music(240)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * np.linspace(0, 3 + number, len(sound)))
    return encoded("mp3", (sound * swell[:, None]).astype(np.float32))


def seconds_of(browser: Browser, address: str, path: Path) -> tuple[float, float]:
    """Seconds from the upload to the place, and to a page at rest."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    chooser = page.locator("input[type=file]").first
    chooser.wait_for(state="attached")
    page.wait_for_function(AT_REST)
    started = time.perf_counter()
    chooser.set_input_files(path)
    page.get_by_text("Where it would stand").wait_for()
    read = time.perf_counter() - started
    page.get_by_role("heading", name="Take it away").wait_for()  # the last part of the report
    page.wait_for_function(AT_REST)
    drawn = time.perf_counter() - started
    context.close()
    return read, drawn


def measured(n_songs: int) -> dict[str, object]:
    """The times of several songs on a server of their own."""
    binary = chromium()
    if binary is None:
        sys.exit("no Chromium here: install Debian's package chromium, or set CHROMIUM")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        songs = []
        for number in range(n_songs + 1):
            songs.append(Path(folder) / f"melody {number}.mp3")
            songs[-1].write_bytes(song(number))
        with serving(Path(folder)) as (address, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
            times = [seconds_of(browser, address, path) for path in songs]
            browser.close()
    read, drawn = zip(*times[1:], strict=True)
    return {
        "songs": n_songs,
        "cores": os.cpu_count(),
        "load_before": load,
        "first_s": times[0],
        "read_s": read,
        "drawn_s": drawn,
        "median_read_s": statistics.median(read),
        "median_drawn_s": statistics.median(drawn),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(options.songs)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['cores']} cores, load {found['load_before']:.2f} before it began")
    print("seconds from upload to      its place   the page drawn")
    print("the first (loads models)    {:>9.2f}   {:>14.2f}".format(*found["first_s"]))
    for read, drawn in zip(found["read_s"], found["drawn_s"], strict=True):
        print(f"another                     {read:>9.2f}   {drawn:>14.2f}")
    medians = found["median_read_s"], found["median_drawn_s"]
    print("median                      {:>9.2f}   {:>14.2f}".format(*medians))
    kept = ["kept" if median <= LIMIT_S else "missed" for median in medians]
    print(f"the limit of {LIMIT_S:g} s is {kept[0]} for the place, {kept[1]} for the page drawn")


if __name__ == "__main__":
    main()

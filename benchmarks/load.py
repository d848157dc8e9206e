"""Many windows at once, by Streamlit's own messages: seconds for a page, whose turn, memory.

    python benchmarks/load.py                       50 windows, some three minutes
    python benchmarks/load.py --sessions 10 --json  the short form that the tests run

Starts the app as `make app` does. All windows open a page that computes nothing at the same moment,
then go on opening it after pauses of their own. Meanwhile some of them bring songs, each after the
one before stands in line, and one brings five at once before them. Every report must be that of
its owner's song, done in the order of the line: songs of different people first come, first
served, and never two of the one who brought many between two of others. At the end everybody
leaves, and memory is looked at once the server has forgotten them.

No browser takes part, so the figures are the server's; those who ask take a core from it.
"""

import argparse
import asyncio
import hashlib
import io
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import soundfile  # noqa: E402

from tests.protocol import megabytes, serving, visiting  # noqa: E402

IDLE_PAGE = "method"
"""Computes nothing."""
N_MANY = 5
"""Songs that one person brings at once."""
N_LOOKS = 3
"""So often a window opens the page at its own pace."""
SESSION_KEPT_S = 125
"""Streamlit forgets a window two minutes after it was closed, when the next one comes."""


def song(number: int) -> bytes:
    """Twelve seconds of a tune that only one person has."""
    rng = np.random.default_rng(number)
    t = np.arange(12 * 22_050) / 22_050
    notes = rng.integers(0, 24, 24)[np.minimum((2 * t).astype(int), 23)]
    tone = 0.3 * np.sin(2 * np.pi * np.cumsum(220 * 2 ** (notes / 12)) / 22_050)
    file = io.BytesIO()
    soundfile.write(file, tone.astype(np.float32), 22_050, format="FLAC")
    return file.getvalue()


async def look(address: str, begin: asyncio.Event, pause_s: float, seen: dict[str, Any]) -> None:
    """One window that opens a page again and again; how long each took."""
    async with visiting(address) as visit:
        seen["ready"].append(visit)
        await begin.wait()
        seen["at_once"].append(await visit.open(IDLE_PAGE))
        for _ in range(N_LOOKS):
            await asyncio.sleep(random.uniform(0, 2 * pause_s))
            seen["paced"].append(await visit.open(IDLE_PAGE))
        seen["right"] += "The way of the data" in visit.text() and "song-" not in visit.text()
        await seen["leave"].wait()


async def bring(address: str, numbers: list[int], stands: asyncio.Event) -> list[str]:
    """One person with songs: the names that the page and its report show; `stands` when in line."""
    async with visiting(address) as visit:
        await visit.open()
        files = {f"song-{number}.flac": song(number) for number in numbers}
        await visit.upload(files)
        stands.set()
        await visit.until("Where the highlight is, and why")
        report = json.loads(await visit.download("JSON"))
        known = {hashlib.sha256(content).hexdigest(): name for name, content in files.items()}
        return [known.get(report["content_hash"], "another's")]


def order_of_reports(cache: Path) -> list[int]:
    """The numbers of the songs, in the order in which their reports were kept."""
    numbers = {hashlib.sha256(song(n)).hexdigest(): n for n in range(1, 200)}
    files = sorted(cache.rglob("[!.]*.report"), key=lambda path: path.stat().st_mtime_ns)
    return [numbers[path.stem] for path in files if path.stem in numbers]


def _wait_for_reports(cache: Path, n_songs: int) -> None:
    """The rest of the songs is done without their people."""
    deadline = time.monotonic() + 300
    while len(order_of_reports(cache)) < n_songs and time.monotonic() < deadline:
        time.sleep(0.5)


def in_order(order: list[int], n_before: int, many: list[int], others: list[int]) -> bool:
    """Whether others were served as they came, with at most one song of the many between two.

    The first `n_before` were done before the last of the others stood in line: a server that is
    faster than they come serves two of the many in a row, and nobody has waited.
    """
    if [number for number in order if number not in many] != others or sorted(order) != sorted(
        [*many, *others]
    ):
        return False
    while_all_stood = order[n_before : order.index(others[-1]) + 1]
    return not any(a in many and b in many for a, b in itertools.pairwise(while_all_stood))


async def crowd(
    address: str, server: psutil.Process, cache: Path, n_sessions: int, n_songs: int, pause_s: float
) -> dict[str, Any]:
    """Everybody at once; what each saw."""
    seen: dict[str, Any] = {
        "ready": [], "at_once": [], "paced": [], "right": 0, "leave": asyncio.Event(),
    }  # fmt: skip
    async with visiting(address) as first:  # a server that has served: models are in memory
        await first.open()
        await first.upload({"song-0.flac": song(0)})
        await first.until("Where the highlight is, and why")
        await first.open(IDLE_PAGE)
    base, begin = megabytes(server), asyncio.Event()
    windows = [asyncio.create_task(look(address, begin, pause_s, seen)) for _ in range(n_sessions)]
    while len(seen["ready"]) < n_sessions:
        await asyncio.sleep(0.05)
    spent = server.cpu_times()
    begin.set()
    while len(seen["at_once"]) < n_sessions:
        await asyncio.sleep(0.05)
    spent_now = server.cpu_times()
    cpu_s = spent_now.user + spent_now.system - spent.user - spent.system
    people = []
    for numbers in [list(range(1, 1 + N_MANY)), *([n] for n in range(10, 10 + n_songs))]:
        stands = asyncio.Event()
        people.append(asyncio.create_task(bring(address, numbers, stands)))
        await asyncio.wait([people[-1], waits := asyncio.create_task(stands.wait())],
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        waits.cancel()
    n_before = len(order_of_reports(cache))
    names = await asyncio.gather(*people, return_exceptions=True)
    while len(seen["paced"]) < N_LOOKS * n_sessions and not all(task.done() for task in windows):
        await asyncio.sleep(0.1)
    peak = megabytes(server)
    seen["leave"].set()
    failed = [repr(e) for e in await asyncio.gather(*windows, return_exceptions=True) if e]
    own = [f"song-{n}.flac" for n in range(10, 10 + n_songs)]
    right = sum(shown == [name] for shown, name in zip(names[1:], own, strict=True))
    right += isinstance(names[0], list) and names[0][0] in {f"song-{n}.flac" for n in range(1, 6)}
    failed += [repr(shown) for shown in names if isinstance(shown, BaseException)]
    return {
        **seen,
        "base": base,
        "peak": peak,
        "cpu_s": cpu_s,
        "own_reports": right,
        "n_before": n_before,
        "failures": failed,
    }


async def sessions_left(address: str) -> float:
    """How many windows the server still counts as open, once that no longer changes."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as http:
        for _ in range(100):
            text = (await http.get("/metrics")).text
            left = float(text.split("\nhitcore_sessions ")[1].split()[0])
            if left == 0:
                break
            await asyncio.sleep(0.1)
    return left


async def after_all_left(address: str, server: psutil.Process, patience_s: float) -> float:
    """Memory once the server has forgotten the windows, which it does when another comes."""
    await asyncio.sleep(patience_s)
    async with visiting(address) as late:
        await late.open(IDLE_PAGE)
    lowest, deadline = megabytes(server), time.monotonic() + patience_s
    while time.monotonic() < deadline:
        await asyncio.sleep(5)
        lowest = min(lowest, megabytes(server))
    return lowest


def percentile(times: list[float], q: float) -> float:
    return round(float(np.percentile(times, q)), 2)


def measure(n_sessions: int, n_songs: int, pause_s: float, patience_s: float) -> dict[str, Any]:
    """The figures of one crowd."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cache = folder / "cache"
        with serving(folder) as (address, server):
            seen = asyncio.run(crowd(address, server, cache, n_sessions, n_songs, pause_s))
            left = asyncio.run(sessions_left(address))
            _wait_for_reports(cache, N_MANY + n_songs)
            after = asyncio.run(after_all_left(address, server, patience_s))
        order = order_of_reports(cache)
    many, others = list(range(1, 1 + N_MANY)), list(range(10, 10 + n_songs))
    return {
        "sessions": n_sessions,
        "right_pages": seen["right"],
        "reports": len(others) + 1,
        "own_reports": seen["own_reports"],
        "in_order": in_order(order, seen["n_before"], many, others),
        "order": order,
        "n_before": seen["n_before"],
        "sessions_left": left,
        "pages": len(seen["at_once"]) + len(seen["paced"]),
        "at_once_p50_s": percentile(seen["at_once"], 50),
        "at_once_p95_s": percentile(seen["at_once"], 95),
        "paced_p50_s": percentile(seen["paced"], 50),
        "paced_p95_s": percentile(seen["paced"], 95),
        "cpu_ms_a_page": round(1000 * seen["cpu_s"] / n_sessions, 1),
        "base_mb": round(seen["base"]),
        "peak_mb": round(seen["peak"]),
        "after_mb": round(after),
        "per_session_mb": round((seen["peak"] - seen["base"]) / n_sessions, 2),
        "failures": seen["failures"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--songs", type=int, default=8, help="people with one song each")
    parser.add_argument("--pause", type=float, default=5, help="s between two looks, on average")
    parser.add_argument("--patience", type=float, default=SESSION_KEPT_S, help="s until forgotten")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.sessions, options.songs, options.pause, options.patience)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:<18}{value}")
    whole = (
        figures["right_pages"] == figures["sessions"]
        and figures["own_reports"] == figures["reports"]
        and figures["in_order"]
        and not figures["sessions_left"]
        and not figures["failures"]
    )
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())

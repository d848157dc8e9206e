"""Everything that `docs/reliability.md` promises, tried for real, and one table of what survived.

    python benchmarks/trust.py            all of it, some forty minutes on two cores
    python benchmarks/trust.py --quick    a tenth of it
    python benchmarks/trust.py --only kills --only crowd

Runs the other scripts and the test suites in processes of their own, one after the other, so that
each can be run alone as well: `fuzz_audio.py`, `fuzz_logs.py`, `kills.py`, `crowd.py`, and the
suites of bad input, faults, strangers, decoders that were taken over, and supply chain. Exit
status 1 where anything did not survive.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    tried: str
    n_tried: int
    n_survived: int
    seconds: float
    remark: str

    @property
    def ok(self) -> bool:
        """Whether all survived, and there was something to survive."""
        return self.n_survived == self.n_tried > 0


def script(name: str, *options: str) -> tuple[Any, float]:
    """What one of the other scripts reports as JSON, and the seconds it took."""
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "benchmarks" / name), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if not done.stdout.strip():
        raise RuntimeError(f"{name} reported nothing: {done.stderr[-500:]}")
    return json.loads(done.stdout), time.monotonic() - started


def hostile_audio(share: float) -> Iterator[Line]:
    """Mutated sound files of every kind."""
    count = round(5000 * share)
    found, seconds = script("fuzz_audio.py", "--count", str(count))
    contained = found["crash contained"] + found["hang killed"] + found["memory limit"]
    contained += found["sandbox stopped"]
    yield Line(
        "mutated sound files",
        count,
        count - found["BUG"],
        seconds,
        f"{found['decoded']} decoded, {found['refused']} refused, {contained} crashes or hangs "
        f"contained; memory +{found['memory_growth_mb']} MB",
    )


def hostile_logs(share: float) -> Iterator[Line]:
    """Mutated play logs and archives of every format."""
    count = round(5000 * share)
    found, seconds = script("fuzz_logs.py", "--cases", str(count))
    yield Line(
        "mutated logs and archives",
        count,
        count - found["failed"],
        seconds,
        f"{found['read']} read, {found['refused']} refused, {found['hung']} hung; slowest "
        f"{found['slowest_s']} s; memory +{found['rss_growth_mib']} MiB",
    )


def kills(share: float) -> Iterator[Line]:
    """kill -9 at random moments in every kind of writing."""
    rows, _ = script("kills.py", "--count", str(max(2, round(50 * share))))
    for row in rows:
        remark = f"whole {row['whole_s']} s, resumed in {row['resumed_s']} s on average"
        yield Line(
            f"kill -9: {row['work']}",
            row["kills"],
            row["survived"],
            row["seconds"],
            "; ".join([remark, *row["failures"]]),
        )


def crowds(share: float) -> Iterator[Line]:
    """People in real browsers at once."""
    people = max(2, round(20 * share))
    found, seconds = script("crowd.py", "--people", str(people))
    yield Line(
        "people at once",
        people,
        found["right"],
        seconds,
        f"report p50 {found['p50_s']} s, p95 {found['p95_s']} s; {found['saw_their_place']} saw "
        f"their place in line; other pages p50 {found['other_p50_s']} s, p95 "
        f"{found['other_p95_s']} s; {found['per_session_mb']} MB a session; memory "
        f"{found['base_mb']} → {found['peak_mb']} → {found['after_mb']} MB",
    )


def server_faults(share: float) -> Iterator[Line]:
    """A server that is killed, cut off, full, set back, flooded."""
    rows, _ = script("serverfaults.py", *(["--quick"] if share < 1 else []))
    for row in rows:
        if row["tried"]:
            yield Line(row["fault"], row["tried"], row["survived"], row["seconds"], row["remark"])


def load(share: float) -> Iterator[Line]:
    """Windows at once, by Streamlit's own messages."""
    sessions = max(10, round(50 * share))
    found, seconds = script("load.py", "--sessions", str(sessions))
    order = "in the order of the line" if found["in_order"] else "NOT in the order of the line"
    own = found["own_reports"] if found["in_order"] else 0
    yield Line(
        "windows at once: pages and reports",
        found["sessions"] + found["reports"],
        found["right_pages"] + own,
        seconds,
        f"a page that computes nothing p95 {found['at_once_p95_s']} s for all at the same moment, "
        f"{found['paced_p95_s']} s at their own pace, {found['cpu_ms_a_page']} ms of processor "
        f"time each; reports {order}; memory {found['base_mb']} → {found['peak_mb']} → "
        f"{found['after_mb']} MB",
    )


def suite(name: str, *files: str) -> Callable[[float], Iterator[Line]]:
    """A test suite as one line."""

    def run(share: float) -> Iterator[Line]:
        started = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", *files]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        last = done.stdout.strip().splitlines()[-1]
        counts = {
            word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", last)
        }
        passed = counts.get("passed", 0)
        bad = counts.get("failed", 0) + counts.get("error", 0)
        remark = f"{counts['skipped']} skipped" if "skipped" in counts else ""
        yield Line(name, passed + bad, passed, time.monotonic() - started, remark)

    return run


def doors(share: float) -> Iterator[Line]:
    """Each check between a stranger and the songs dropped in turn; a test must notice."""
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "benchmarks" / "mutants.py"), "door:"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"mutants.py: {done.stderr[-500:]}")
    tried = re.findall(r"^(killed|SURVIVED|NOT APPLIED) ", done.stdout, re.MULTILINE)
    seconds = time.monotonic() - started
    yield Line("checks of the doors dropped", len(tried), tried.count("killed"), seconds, "")


PARTS: dict[str, Callable[[float], Iterator[Line]]] = {
    "input": suite(
        "bad input: cases", "tests/test_hostile_input.py", "tests/audio/test_hostile.py",
        "tests/plays/test_hostile.py",
    ),
    "faults": suite("faults: cases", "tests/test_faults.py"),
    "strangers": suite(
        "strangers: cases", "tests/ui/test_access.py", "tests/browser/test_strangers.py"
    ),
    "gate": suite(
        "every address at the gate: cases", "tests/ui/test_gate.py", "tests/ui/test_front.py",
        "tests/ui/test_streamlit_private.py",
    ),
    "proxy": suite("behind nginx: cases", "tests/browser/test_proxy.py"),
    "doors": doors,
    "sandbox": suite("decoders taken over: cases", "tests/audio/test_sandbox.py"),
    "supply": suite("supply chain: cases", "tests/test_supply_chain.py"),
    "audio": hostile_audio,
    "logs": hostile_logs,
    "kills": kills,
    "quotas": suite(
        "quotas, the line, the log: cases", "tests/ui/test_queue.py", "tests/ui/test_library.py",
        "tests/ui/test_background.py", "tests/pages/test_quotas.py", "tests/ui/test_log.py",
    ),
    "server": server_faults,
    "load": load,
    "crowd": crowds,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    options = parser.parse_args()
    share = 0.1 if options.quick else 1.0
    lines: list[Line] = []
    for name in options.only or PARTS:
        for line in PARTS[name](share):
            lines.append(line)
            print(f"{line.tried}: {line.n_survived} of {line.n_tried}", file=sys.stderr)
    print("| tried | times | survived | seconds | |")
    print("|---|--:|--:|--:|---|")
    for line in lines:
        survived = f"{line.n_survived:,}" if line.ok else f"**{line.n_survived:,}**"
        print(
            f"| {line.tried} | {line.n_tried:,} | {survived} | {line.seconds:.0f} | {line.remark} |"
        )
    return 0 if all(line.ok for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())

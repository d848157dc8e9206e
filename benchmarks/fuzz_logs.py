"""Mutated play logs and archives of every format: each must be read or refused, nothing else.

    python benchmarks/fuzz_logs.py                  5,000 cases, two to three minutes
    python benchmarks/fuzz_logs.py --cases 200      the same, smaller
    python benchmarks/fuzz_logs.py --case 1234      one case again, with its traceback

A case is a well-formed small log with some bytes changed, before or after it is packed; its number
and the seed decide all of it. Cases run in a child process, which is watched from outside: an
exception other than `DataError`, a signal, more than 20 seconds, a file left behind after a
refusal or a canonical table that breaks its own rules each count as a failure.
"""

import argparse
import json
import random
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.logsamples import KINDS, plain

MAX_SECONDS = 20
START_SECONDS = 120
TOKENS = [
    *(b"-1", b"1e30", b"NaN", b"inf", b"9" * 400, b"1,234", b"0x10", b" ", b"", b"\xef\xbb\xbf"),
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xc3"),
    *(b"{", b"}", b"[", b"]", b"[" * 2000, b'{"a":' * 2000, b"null", b"true", b"\\ud800", b"\\"),
    *(b"2024-02-30", b"0000-00-00", b"9999-12-31", b"T24:00:00Z", b"+99:99", b"../", b"%s%n"),
]


# -- one case ------------------------------------------------------------------------------------


def mutated(rng: random.Random, content: bytes) -> bytes:
    """`content` with one to five changes."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 5])):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([1, 2, 4, 16, 100, 1000]))
        match rng.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end] * rng.choice([1, 2, 50])
            case 3:
                data[at:at] = rng.randbytes(rng.choice([1, 4, 64]))
            case 4:
                del data[at:]
            case 5:
                data[at:end] = bytes(end - at)
            case _:
                data[at : end if rng.randrange(2) else at] = rng.choice(TOKENS)
    return bytes(data)


def make_case(seed: int, number: int) -> tuple[str, str, bytes]:
    """The kind, the file name and the content of a case."""
    rng = random.Random(f"{seed}/{number}")
    kind = list(KINDS)[number % len(KINDS)]
    name, make, packs = KINDS[kind]
    pack = rng.choice(packs)
    content = make(rng)
    inside = rng.randrange(2) == 0 or pack is plain
    file_name, packed = pack(name, mutated(rng, content) if inside else content)
    return kind, file_name, packed if inside else mutated(rng, packed)


def run_case(seed: int, number: int, folder: Path) -> str:
    """ "read" or "refused"; anything else raises."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from hitcore.errors import DataError
    from hitcore.plays.readers import PLAYS_SCHEMAS, read_plays

    rng = random.Random(number)
    _, name, content = make_case(seed, number)
    path = folder / name
    path.write_bytes(content)
    out = folder / "out"
    on_error = "skip" if rng.randrange(4) == 0 else "raise"
    try:
        log = read_plays(path, folder=out, on_error=on_error)
    except DataError as error:
        if list(out.glob("*")):
            raise AssertionError("a refused log left a file behind") from error
        if not str(error).isprintable():
            raise AssertionError(f"the message is not one clean line: {error!r}") from error
        return "refused"
    rows = 0
    for file in log.plays:
        table = pq.read_table(file)
        table.validate(full=True)
        names = PLAYS_SCHEMAS[log.kind].names
        if table.schema.names != names or any(table[c].null_count for c in names if c != "user_id"):
            raise AssertionError(f"not canonical: {table.schema}")
        if "plays" in names and pc.min(table["plays"]).as_py() < 0:
            raise AssertionError("negative plays")
        rows += len(table)
    if rows != log.report.n_kept or not rows:
        raise AssertionError(f"{rows} rows, but {log.report.n_kept} reported")
    return "read"


def work(seed: int) -> None:
    """The child: case numbers come in by standard input, one answer a line goes out."""
    import hitcore.plays.readers.formats  # noqa: F401 (counted to no case)

    print(json.dumps(["ready", None]), flush=True)
    for line in sys.stdin:
        folder = Path(tempfile.mkdtemp(prefix="hitcore-fuzz-"))
        try:
            outcome = run_case(seed, int(line), folder)
        except Exception as error:
            outcome = f"failed: {type(error).__name__}: {str(error)[:200]}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps([outcome, rss]), flush=True)


# -- the parent ------------------------------------------------------------------------------------


class Child:
    """A child process that runs cases until it dies."""

    def __init__(self, seed: int) -> None:
        command = [sys.executable, __file__, "--work", "--seed", str(seed)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        if not self.selector.select(START_SECONDS) or not self.process.stdout.readline():
            sys.exit("the child does not start")

    def run(self, number: int) -> tuple[str, int | None]:
        """What became of a case, and the child's peak memory in MiB (None: it is dead)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        if not self.selector.select(MAX_SECONDS):
            self.process.kill()
            self.process.wait()
            return "failed: hung", None
        answer = self.process.stdout.readline()
        if not answer:
            return f"failed: the process died with {self.process.wait()}", None
        outcome, rss = json.loads(answer)
        return outcome, rss

    def close(self) -> None:
        """Let the child end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.selector.close()
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def fuzz(n_cases: int, seed: int) -> dict[str, Any]:
    """The counts of `n_cases` cases."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    failures: list[str] = []
    peaks: list[int] = []
    began = time.monotonic()
    slowest = 0.0
    child = Child(seed)
    for number in range(n_cases):
        started = time.monotonic()
        outcome, rss = child.run(number)
        kind = list(KINDS)[number % len(KINDS)]
        counts[kind][outcome.partition(":")[0]] += 1
        if number >= len(KINDS):
            slowest = max(slowest, time.monotonic() - started)
        if outcome.startswith("failed"):
            failures.append(f"case {number} ({kind}): {outcome}")
        if rss is None:
            child.close()
            child = Child(seed)
        else:
            peaks.append(rss)
    child.close()
    warm = peaks[min(len(peaks) - 1, 10 * len(KINDS))] if peaks else 0
    total = sum(counts.values(), Counter())
    return {
        "cases": n_cases,
        "read": total["read"],
        "refused": total["refused"],
        "failed": total["failed"],
        "hung": sum("hung" in failure for failure in failures),
        "failures": failures,
        "by_kind": {kind: dict(counter) for kind, counter in counts.items()},
        "rss_growth_mib": max(peaks, default=0) - warm,
        "slowest_s": round(slowest, 2),
        "seconds": round(time.monotonic() - began, 1),
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result as a table."""
    yield f"{'kind':<20}{'read':>8}{'refused':>9}{'failed':>8}"
    for kind, counter in result["by_kind"].items():
        cells = [counter.get(key, 0) for key in ("read", "refused", "failed")]
        yield f"{kind:<20}{cells[0]:>8}{cells[1]:>9}{cells[2]:>8}"
    yield f"{'all':<20}{result['read']:>8}{result['refused']:>9}{result['failed']:>8}"
    yield (
        f"{result['cases']:,} cases in {result['seconds']:.0f} s, the slowest "
        f"{result['slowest_s']:.1f} s; {result['hung']} hung; memory grew by "
        f"{result['rss_growth_mib']} MiB after the first {10 * len(KINDS)}"
    )
    yield from result["failures"][:20]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one here and show what happens")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.seed)
        return 0
    if options.case is not None:
        kind, name, content = make_case(options.seed, options.case)
        print(kind, name, content[:2000])
        print(run_case(options.seed, options.case, Path(tempfile.mkdtemp())))
        return 0
    result = fuzz(options.cases, options.seed)
    print(json.dumps(result) if options.json else "\n".join(lines(result)))
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

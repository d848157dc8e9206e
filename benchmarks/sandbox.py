"""What the sandbox costs each file: the same sound decoded with it and without, by turns.

    python benchmarks/sandbox.py [--count 500]

A short sound, so that little but the start and the end of a child is measured. Processor time is
that of the server and its children (Linux counts it in hundredths of a second, so it is summed),
wall time is from the call to the samples. The differences are what one file pays.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hitcore.audio import decode, isolation, walls  # noqa: E402
from hitcore.audio.isolation.sandbox import OFF, VARIABLE  # noqa: E402
from tests.sounds import encoded, music  # noqa: E402

TURN = 20


def processor_s() -> float:
    """Seconds of processor time of the one server and all its children so far."""
    (server,) = isolation._pool._all
    fields = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def turn(song: bytes, mode: str) -> tuple[float, list[float]]:
    """Some files one after the other: processor seconds of all, and wall milliseconds of each."""
    os.environ[VARIABLE] = mode
    spent = processor_s()
    wall = []
    for _ in range(TURN):
        begun = time.perf_counter()
        decode(song, 22_050)
        wall.append(1000 * (time.perf_counter() - begun))
    return processor_s() - spent, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    options = parser.parse_args()
    os.environ.pop(VARIABLE, None)
    print(walls().sentence)
    song = encoded("flac", music(1))
    turns = [[turn(song, mode) for mode in ("", OFF)] for _ in range(options.count // TURN)]
    processor, wall = (
        [np.ravel([pair[mode][what] for pair in turns]) for mode in (0, 1)] for what in (0, 1)
    )
    for name, (within, without) in {
        "processor time": [
            float(seconds.sum()) / TURN / len(turns) * 1000 for seconds in processor
        ],
        "wall time, median": [float(np.median(times)) for times in wall],
        "wall time, lowest": [float(times.min()) for times in wall],
    }.items():
        difference = f"{within - without:+.2f} ms, {within / without:.2f} times"
        print(f"{name}: {within:.2f} ms with it, {without:.2f} ms without: {difference}")


if __name__ == "__main__":
    main()

"""Lengths of odd sound files: expected, ours, libsndfile's, and ffmpeg's where it is installed.

    python benchmarks/lengths.py [--markdown]

The files are those of the tests (`tests/audio/test_lengths.py`, `making.py`), made on the spot:
what is expected follows from how they were made. The last lines say what counting the frames of an
MP3 costs beside decoding it: processor time, the best of several.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hitcore.audio import decode, decoder, mpegframes  # noqa: E402
from tests.audio.making import EXACT, MORE_KINDS, mp3, of_kind  # noqa: E402
from tests.audio.test_lengths import CASES  # noqa: E402
from tests.sounds import music  # noqa: E402

KIND_S = 4


def cases() -> dict[str, tuple[Callable[[], bytes], float | None]]:
    """Every case and the length that its making gives it; None where an encoder adds to it."""
    kinds = {
        f"{named[0]}, {named[1]}": (
            lambda kind=kind, rate=rate: of_kind(kind, music(KIND_S, rate)),
            KIND_S if kind in EXACT else None,
        )
        for kind, (_, _, rate, named) in MORE_KINDS.items()
    }
    return {**CASES, **kinds}


def libsndfile(data: bytes) -> float | None:
    """The length that libsndfile states; None where it refuses."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return file.frames / file.samplerate
    except soundfile.LibsndfileError:
        return None


def ffmpeg(data: bytes, folder: Path, rate: int) -> float | None:
    """The length of all that ffmpeg decodes; None where it is not installed or decodes nothing."""
    if not shutil.which("ffmpeg"):
        return None
    (folder / "song").write_bytes(data)
    command = ["ffmpeg", "-v", "quiet", "-i", folder / "song", "-map", "a:0", "-ac", "1"]
    ran = subprocess.run([*command, "-ar", str(rate), "-f", "f32le", "-"], capture_output=True)
    return len(ran.stdout) / 4 / rate or None


def cost(n_seconds: float = 200) -> dict[str, float]:
    """Milliseconds of processor time: counting the frames of a song, decoding it, its middle."""
    song = mp3(music(n_seconds))
    requests = {
        "whole": decoder.Request((22_050,), None, None, 1800.0),
        "middle": decoder.Request((22_050,), None, 30.0, 1800.0),
    }
    found = {"frames": best(lambda: mpegframes.walk(song, 0))}
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as out:
        file.write(song)
        file.flush()
        for name, request in requests.items():
            found[name] = best(
                lambda request=request: decoder.decode_file(file.fileno(), [out.fileno()], request)
            )
    return found


def best(work: Callable[[], object], n: int = 7) -> float:
    times = []
    for _ in range(n):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return 1000 * float(np.min(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="as the table in the documentation")
    options = parser.parse_args()
    line = "| {} | {} | {} | {} | {} |" if options.markdown else "{:<42}{:>10}{:>10}{:>12}{:>10}"
    print(line.format("case", "expected", "ours", "libsndfile", "ffmpeg"))
    if options.markdown:
        print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, expected) in cases().items():
            data = make()
            info = decode(data).info
            theirs = libsndfile(data), ffmpeg(data, Path(folder), info.sample_rate)
            lengths = (expected, info.duration_s, *theirs)
            print(line.format(name, *("–" if x is None else f"{x:.3f}" for x in lengths)))
    spent = cost()
    parts = spent["frames"] / spent["whole"], spent["frames"] / spent["middle"]
    print(
        f"\ncounting the frames of an MP3 of 200 s: {spent['frames']:.1f} ms, {parts[0]:.1%} of "
        f"decoding it ({spent['whole']:.0f} ms), {parts[1]:.1%} of decoding its middle 30 s "
        f"({spent['middle']:.0f} ms)"
    )


if __name__ == "__main__":
    main()

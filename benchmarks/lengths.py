"""Odd sound files: lengths (expected, ours, libsndfile's, ffmpeg's), and what is said of them.

    python benchmarks/lengths.py                                 the tables, and what they cost
    python benchmarks/lengths.py --write docs/reliability.md     the same, between its marks there

The files are those of the tests (`tests/audio`), made on the spot: what is expected follows from
how they were made. ffmpeg's lengths are there where it is installed. The last line says what
counting the frames of an MP3 costs beside decoding it: processor time, the best of several.
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
from hitcore.errors import AudioError  # noqa: E402
from hitcore.files import write_atomic  # noqa: E402
from tests.audio.making import EXACT, MORE_KINDS, mp3, of_kind  # noqa: E402
from tests.audio.test_formats import LOCKED, NOT_READ, NOT_SOUND  # noqa: E402
from tests.audio.test_lengths import CASES, NOTES, opposed, part_damaged  # noqa: E402
from tests.audio.test_names import TITLES, tagged  # noqa: E402
from tests.sounds import encoded, music  # noqa: E402

KIND_S = 4
START, END = "<!-- sound cases: begin -->", "<!-- sound cases: end -->"
FRAME_S = 0.027
"""The longest frame of MPEG audio at 44.1 kHz, and a sample: 1,152 samples."""
LENGTH_HEAD = ("case", "expected", "ours", "libsndfile", "ffmpeg")


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


def lengths(folder: Path) -> list[tuple[str, ...]]:
    """The rows of the first table."""
    rows = []
    for name, (make, expected) in cases().items():
        data = make()
        info = decode(data).info
        theirs = libsndfile(data), ffmpeg(data, folder, info.sample_rate)
        found = (expected, info.duration_s, *theirs)
        rows.append((name, *("–" if x is None else f"{x:.3f}" for x in found)))
    return rows


def sayings() -> dict[str, tuple[bytes, str]]:
    """Files that are no matter of length: what must be said of each, as a fragment."""
    noted = {f"{case}: noted": (CASES[case][0](), said) for case, said in NOTES.items()}
    cancelling = {
        f"channels that cancel each other out, {kind}": (opposed(kind), "flag one channel")
        for kind in ("wav", "flac", "ogg", "mp3", "m4a")
    }
    unread = {
        f"{name.replace(chr(92), '').rstrip(',')}": (data, f"{name.replace(chr(92), '')} is not")
        for name, data in NOT_READ.items()
    }
    nothing = {f"beside songs: {name}": (data, "refused: ") for name, data in NOT_SOUND.items()}
    titles = {
        f"title {bytes_!r}": (tagged(0, bytes_), f"title {meant}")
        for bytes_, meant in TITLES.items()
    }
    return {
        **noted,
        **cancelling,
        "silence": (encoded("wav", 0 * music(2)), "flag silent"),
        "a damaged link of a chained file": (part_damaged(), "part 2 of 3 cannot be decoded"),
        "locked by its seller (drms)": (LOCKED, "locked"),
        **unread,
        **nothing,
        **titles,
    }


def said_of(data: bytes) -> str:
    """All that is said of a file, on one line."""
    try:
        info = decode(data).info
    except AudioError as error:
        return f"refused: {str(error).split(';')[0]}"
    parts = [f"flag {flag}" for flag in info.flags] + list(info.notes)
    return "; ".join(parts) or f"title {info.title}"


def report(folder: Path) -> tuple[str, bool]:
    """Both tables and the cost as Markdown, and whether all is as expected."""
    rows = lengths(folder)
    # An MP3 of two that were joined keeps the delay of the second, a frame at most.
    off = [row for row in rows if row[1] != "–" and abs(float(row[1]) - float(row[2])) > FRAME_S]
    lines = [_line(LENGTH_HEAD), "|---|--:|--:|--:|--:|", *map(_line, rows), ""]
    lines += [f"{len(rows) - len(off)} of {len(rows)} within {1000 * FRAME_S:.0f} ms.", ""]
    found = {name: (expected, said_of(data)) for name, (data, expected) in sayings().items()}
    wrong = [name for name, (expected, got) in found.items() if expected not in got]
    lines += [_line(("other situations", "expected", "got")), "|---|---|---|"]
    lines += [_line((name, expected, got)) for name, (expected, got) in found.items()]
    lines += ["", f"{len(found) - len(wrong)} of {len(found)} as expected.", ""]
    return "\n".join([*lines, cost_words()]), not off and not wrong


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def cost_words() -> str:
    """What counting the frames costs."""
    spent = cost()
    parts = spent["frames"] / spent["whole"], spent["frames"] / spent["middle"]
    return (
        f"Counting the frames of an MP3 of 200 s takes {spent['frames']:.1f} ms of processor time, "
        f"{parts[0]:.1%} of decoding it ({spent['whole']:.0f} ms), {parts[1]:.1%} of decoding its "
        f"middle 30 s ({spent['middle']:.0f} ms)."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="a page with marks, between which it goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, right = report(Path(folder))
    if options.write is None:
        print(text)
    else:
        page = options.write.read_text(encoding="utf-8")
        before, rest = page.split(START)
        _, after = rest.split(END)
        write_atomic(options.write, f"{before}{START}\n\n{text}\n\n{END}{after}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())

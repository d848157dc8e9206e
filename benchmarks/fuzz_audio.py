"""Thousands of damaged sound files of every kind: decoded or refused, and nothing else.

    python benchmarks/fuzz_audio.py                     10,000 files, a few minutes
    python benchmarks/fuzz_audio.py --count 200 --json  the short form that the tests run

Real files of every container that is read, chained and joined ones and headers of totals that lie
among them, are made by encoding a synthesised melody with libsndfile and FFmpeg; each is then
mutated (seeded): bits flipped, bytes overwritten, cut, spliced with another kind, header fields
set to extremes, runs repeated or removed; most damaged Ogg pages get a checksum that fits, or
their decoders would never see the damage. Every mutant goes through `hitcore.audio.decode`. What
may come out is finite sound or an AudioError; anything else fails the run (exit status 1).
Crashes and hangs of the decoding child are counted, because they are contained: each must have
become an AudioError while this process went on. So is what its sandbox stopped: a damaged file
makes no decoder open another one, so each of those is a call that the sandbox's list lacks.
"""

import argparse
import json
import resource
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hitcore.audio import DecodeLimits, decode  # noqa: E402
from hitcore.errors import AudioError  # noqa: E402
from tests.audio.making import MORE_KINDS, emptied, lying, mp3, of_kind, stripped  # noqa: E402
from tests.sounds import KINDS, encoded, id3, music, resealed  # noqa: E402

ODD = "odd headers"
LIMITS = DecodeLimits(max_wall_s=10.0)
EXTREMES = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\0\0\0\1",
]
OUTCOMES = ["decoded", "refused", "crash contained", "hang killed", "memory limit"]
OUTCOMES += ["sandbox stopped", "BUG"]


def seeds() -> dict[str, bytes]:
    """One or two undamaged files of every kind."""
    files = {}
    for kind in KINDS:
        rate = 48_000 if kind == "opus" else 22_050
        files[kind] = encoded(kind, music(1.5, rate), rate)
        files[f"{kind}, mono"] = encoded(kind, music(0.7, rate, 1), rate)
    for kind, (_, _, rate, _) in MORE_KINDS.items():
        files[kind] = of_kind(kind, music(1.2, rate))
    vbr = mp3(music(1.5))
    files |= {
        f"{ODD}, stripped": stripped(vbr),
        f"{ODD}, emptied": emptied(vbr),
        f"{ODD}, lying": lying(vbr, 7),
        f"{ODD}, joined": vbr + files["mp3"],
        f"{ODD}, behind zeros": bytes(3000) + vbr,
        f"{ODD}, chained": files["ogg"] + files["opus"] + files["ogg flac"],
        f"{ODD}, no size": files["wav"].replace(files["wav"][40:44], bytes(4), 1),
    }
    files["mp3, tagged"] = id3(TIT2="Title", TPE1="Artist") + files["mp3"]
    files["m4a, tagged"] = encoded(
        "m4a", music(1.0, 22_050), 22_050, title="Title", artist="Artist"
    )
    return files


def mutate(data: bytes, others: list[bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    """A damaged copy, and what was done to it."""
    kind = str(
        rng.choice(["flip", "overwrite", "cut", "splice", "header", "extreme", "repeat", "remove"])
    )
    content = bytearray(data)
    n = len(content)
    match kind:
        case "flip":
            for at in rng.integers(0, n, 1 << rng.integers(0, 8)):
                content[at] ^= 1 << rng.integers(0, 8)
        case "overwrite":
            at, size = rng.integers(0, n), rng.integers(1, 300)
            content[at : at + size] = rng.bytes(size)
        case "cut":
            content = content[: rng.integers(0, n)]
        case "splice":
            other = others[rng.integers(len(others))]
            content = content[: rng.integers(0, n)] + other[rng.integers(0, len(other)) :]
        case "header":
            for at in rng.integers(0, min(n, 200), rng.integers(1, 6)):
                content[at] = rng.integers(0, 256)
        case "extreme":
            at = rng.integers(0, min(n, 400))
            value = EXTREMES[rng.integers(len(EXTREMES))] * int(rng.choice([1, 2]))
            content[at : at + len(value)] = value
        case "repeat":
            at, size = rng.integers(0, n), rng.integers(1, 5000)
            content[at:at] = content[at : at + size] * int(rng.integers(1, 20))
        case "remove":
            at = rng.integers(0, n)
            del content[at : at + rng.integers(1, 5000)]
    if data[:4] == b"OggS" and rng.integers(0, 4):
        return f"{kind}, resealed", resealed(bytes(content))
    return kind, bytes(content)


def outcome(data: bytes, passage: bool) -> tuple[str, str]:
    """What decoding this file comes to, and the message."""
    try:
        decoded = decode(
            data,
            (22_050, 16_000),
            segment="middle" if passage else None,
            length_s=0.5,
            limits=LIMITS,
        )
    except AudioError as error:
        message = str(error)
        for word, name in (
            ("crashed", "crash contained"),
            ("longer than the 10 s", "hang killed"),
            ("more than the", "memory limit"),
            ("its sandbox stopped", "sandbox stopped"),
        ):
            if word in message:
                return name, message
        return "refused", message
    except Exception as error:
        return "BUG", f"{type(error).__name__}: {error}"
    if not all(np.isfinite(wave.samples).all() for wave in decoded.waveforms.values()):
        return "BUG", "samples that are not finite"
    return "decoded", ""


def resident() -> int:
    """Bytes of memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the files that crash or hang")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    files = seeds()
    names, contents = list(files), list(files.values())
    for name, content in files.items():
        assert outcome(content, False)[0] == "decoded", name

    by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in (*KINDS, *MORE_KINDS, ODD)}
    messages: Counter[str] = Counter()
    base, peak, started = resident(), 0, time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        for first in range(0, options.count, 100):
            batch = []
            for index in range(first, min(first + 100, options.count)):
                name = names[index % len(names)]
                damage, content = mutate(files[name], contents, rng)
                batch.append((name, damage, content, bool(rng.integers(0, 4) == 0)))
            results = threads.map(lambda item: outcome(item[2], item[3]), batch)
            for (name, damage, content, _), (result, message) in zip(batch, results, strict=True):
                by_kind[name.split(",")[0]][result] += 1
                if result not in ("decoded", "refused"):
                    messages[f"{result}: {name}, {damage}: {message[:160]}"] += 1
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        (options.keep / f"{result}-{sum(messages.values())}").write_bytes(content)
            peak = max(peak, resident() - base)
    totals = sum(by_kind.values(), Counter())
    report = {
        "files": options.count,
        "seconds": round(time.monotonic() - started, 1),
        "memory_growth_mb": round(peak / 1e6, 1),
        **{name: totals[name] for name in OUTCOMES},
    }
    if options.json:
        print(json.dumps({**report, "by_kind": by_kind, "notes": messages}, indent=2))
    else:
        print(f"{'kind':<12}" + "".join(f"{name:>17}" for name in OUTCOMES))
        for kind, counts in [*by_kind.items(), ("all", totals)]:
            print(f"{kind:<12}" + "".join(f"{counts[name]:>17}" for name in OUTCOMES))
        print(
            f"\n{report['files']} files in {report['seconds']} s; memory of this process grew by "
            f"{report['memory_growth_mb']} MB at most"
        )
        for message, count in messages.most_common(20):
            print(f"{count:>5}  {message}")
    grew = peak > 100e6
    if totals["BUG"] or grew:
        print("FAILED: " + ("memory grew" if grew else "see BUG above"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

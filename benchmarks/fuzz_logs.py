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
import bz2
import gzip
import io
import json
import lzma
import random
import resource
import selectors
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import logcases

MAX_SECONDS = 20
START_SECONDS = 120
TOKENS = [
    *(b"-1", b"1e30", b"NaN", b"inf", b"9" * 400, b"1,234", b"0x10", b" ", b"", b"\xef\xbb\xbf"),
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xc3"),
    *(b"{", b"}", b"[", b"]", b"[" * 2000, b'{"a":' * 2000, b"null", b"true", b"\\ud800", b"\\"),
    *(b"2024-02-30", b"0000-00-00", b"9999-12-31", b"T24:00:00Z", b"+99:99", b"../", b"%s%n"),
]


# -- well-formed logs --------------------------------------------------------------------------


def daily_csv(rng: random.Random, delimiter: str = ",") -> bytes:
    rows = [f"s{i},2024-01-{i % 28 + 1:02d},{rng.randrange(1000)}" for i in range(40)]
    return "\n".join(["song_id,date,plays", *rows, ""]).replace(",", delimiter).encode()


def events_csv(rng: random.Random) -> bytes:
    rows = [f'u{i % 5},"s{i % 7}",2024-01-01T10:{i:02d}:00+02:00,"T, {i}"' for i in range(40)]
    return "\r\n".join(["user,track_id,timestamp,title", *rows, ""]).encode()


def xiami(rng: random.Random) -> bytes:
    head = (
        "song_id,downloads,collects,date,publish_time,song_init_plays,language,gender,plays,"
        "artist_id"
    )
    rows = [
        f"{i:032x},0,0,201503{i % 28 + 1:02d},20030201,6517,11,1,{i},a{i % 3}" for i in range(40)
    ]
    return "\n".join([head, *rows, ""]).encode()


def listens(rng: random.Random) -> bytes:
    rows = [
        {
            "user_id": i % 5,
            "listened_at": 1430000000 + i,
            "recording_msid": f"{i:08x}",
            "track_metadata": {
                "artist_name": "Ä",
                "track_name": f"Track {i}",
                "additional_info": {"recording_mbid": f"m{i % 7}", "artist_mbids": ["x", "y"]},
            },
        }
        for i in range(20)
    ]
    return "".join(
        json.dumps(row, ensure_ascii=bool(rng.randrange(2))) + "\n" for row in rows
    ).encode()


def scrobbles(rng: random.Random) -> bytes:
    head = "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid"
    rows = [f'"{1700000000 + i}","14 Nov","A ""{i}""","","B","","T{i}","t{i}"' for i in range(30)]
    return "\n".join([head, *rows, ""]).encode()


def users_1k(rng: random.Random) -> bytes:
    rows = [f'user_00000{i % 9}\t2009-05-04T23:{i:02d}:57Z\ta\tA "\t\tT{i}' for i in range(30)]
    return ("\n".join(rows) + "\n").encode()


def history(rng: random.Random) -> bytes:
    rows = [
        {
            "ts": f"2023-01-15T18:{i:02d}:33Z",
            "username": "u",
            "ms_played": 20000 + 2000 * i,
            "ip_addr": "203.0.113.9",
            "master_metadata_track_name": f"T{i}",
            "master_metadata_album_artist_name": "A",
            "spotify_track_uri": f"spotify:track:{i}" if i % 4 else None,
        }
        for i in range(20)
    ]
    return json.dumps(rows, indent=rng.choice([None, 2])).encode()


def chart(rng: random.Random) -> bytes:
    head = "rank,uri,artist_names,track_name,source,peak_rank,previous_rank,days_on_chart,streams"
    rows = [f'{i},spotify:track:{i},"A, B",T{i},C,1,1,1,{10**6 - i}' for i in range(30)]
    return b"\xef\xbb\xbf" + "\n".join([head, *rows, ""]).encode()


def old_chart(rng: random.Random) -> bytes:
    rows = [f'{i},"T{i}",A,{9000 - i},https://open.spotify.com/track/{i}' for i in range(30)]
    head = ',,,"Note that these figures are estimates.",'
    return "\n".join([head, "Position,Track Name,Artist,Streams,URL", *rows, ""]).encode()


def fma(rng: random.Random) -> bytes:
    head = (
        ",album,album,artist,set,track,track,track,track,track\n"
        ",comments,date_released,id,subset,date_created,genre_top,language_code,listens,title\n"
        "track_id,,,,,,,,,\n"
    )
    rows = [
        f'{i},0,2009-01-05 00:00:00,1,small,2008-11-26 01:48:12,Rock,en,{i},"T\n{i}"'
        for i in range(20)
    ]
    return (head + "\n".join(rows) + "\n").encode()


def parquet(rng: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hitcore.plays.readers import PLAYS_SCHEMAS

    n = 60
    canonical = bool(rng.randrange(2))
    columns = {
        "song_id": [f"s{i}" for i in range(n)],
        "date": pa.array(range(19000, 19000 + n), pa.int32()).cast(pa.date32()),
        "plays": pa.array(range(n), pa.int64() if canonical else pa.float64()),
    }
    buffer = io.BytesIO()
    table = pa.table(columns, PLAYS_SCHEMAS["daily"] if canonical else None)
    compression = rng.choice(["none", "snappy", "zstd", "gzip"])
    pq.write_table(table, buffer, row_group_size=20, compression=compression)
    return buffer.getvalue()


def export_lines(rng: random.Random) -> bytes:
    rows = [logcases.listen(i, f"m{i % 5}") for i in range(20)]
    return logcases.lines(*rows).encode()


def listen_list(rng: random.Random) -> bytes:
    rows = [logcases.listen(i, f"m{i % 5}") for i in range(20)]
    return json.dumps(rows, indent=rng.choice([None, 1])).encode()


def short_history(rng: random.Random) -> bytes:
    rows = [
        {"endTime": f"2023-01-15 18:{i:02d}", "artistName": "Ä", "trackName": "T", "msPlayed": 9**i}
        for i in range(10)
    ]
    return json.dumps(rows, indent=rng.choice([None, 2])).encode()


def watched(rng: random.Random) -> bytes:
    rows = [logcases.video(i, f"abcdefgh{i:03d}", f"Watched {i}") for i in range(30)]
    return json.dumps(rows).encode()


def apple(rng: random.Random) -> bytes:
    cells = [logcases.apple(i, f"S{i % 4}", start=i % 3 > 0) for i in range(30)]
    return logcases.rows(logcases.APPLE, *cells).encode()


def deezer(rng: random.Random) -> bytes:
    moments = [f"2023-01-15 18:{i:02d}:00" for i in range(30)]
    return logcases.workbook(*(("T", "A", f"I{m}", "", "", 60, m) for m in moments))


def headless_scrobbles(rng: random.Random) -> bytes:
    cells = [f'"A ""{i}""",B,T{i},15 Jan 2023 18:{i:02d}' for i in range(30)]
    return logcases.rows("", *cells).encode()


def lfm_events(rng: random.Random) -> bytes:
    if rng.randrange(2):
        cells = [f"{i % 3}\t{i}\t1\t2013-01-05 12:34:{i:02d}" for i in range(30)]
        return logcases.rows("user_id\ttrack_id\talbum_id\ttimestamp", *cells).encode()
    return logcases.rows("", *[f"{i % 3}\t1\t1\t{i}\t{1385212958 + i}" for i in range(30)]).encode()


def mlhd(rng: random.Random) -> bytes:
    cells = [f"{1385212958 + i}\t{logcases.MBID}1\t\t{logcases.MBID}{i % 9}" for i in range(30)]
    return logcases.rows("", *cells).encode()


def chart_table(rng: random.Random) -> bytes:
    cells = [
        f"T{i},{i},2024-01-{i % 28 + 1:02d},A,https://open.spotify.com/track/{i},Peru,top200,UP,{i}"
        for i in range(30)
    ]
    head = "title,rank,date,artist,url,region,chart,trend,streams"
    return logcases.rows(head, *cells).encode()


def spelt_counts(rng: random.Random) -> bytes:
    numbers = [rng.choice(["1.234", "12.000", "7", "1.000.000"]) for _ in range(40)]
    rows = [f"s{i};2024-01-01;{n}" for i, n in enumerate(numbers)]
    return logcases.rows("sep=;\nsong_id;date;plays", *rows).encode()


# -- packing -------------------------------------------------------------------------------------


def plain(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content


def gzipped(name: str, content: bytes) -> tuple[str, bytes]:
    return f"{name}.gz", gzip.compress(content, mtime=0)


def zstandard(name: str, content: bytes) -> tuple[str, bytes]:
    import zstandard as codec

    return f"{name}.zst", codec.compress(content)


def bzipped(name: str, content: bytes) -> tuple[str, bytes]:
    return f"{name}.bz2", bz2.compress(content)


def xzipped(name: str, content: bytes) -> tuple[str, bytes]:
    return f"{name}.xz", lzma.compress(content)


def nested(name: str, content: bytes) -> tuple[str, bytes]:
    """A zip in a zip."""
    _, inner = zipped(name, content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Activity.zip", inner)
    return "outer.zip", buffer.getvalue()


def packed_in_tar(name: str, content: bytes) -> tuple[str, bytes]:
    """A tar of packed files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for pack in (bzipped, xzipped, gzipped):
            member, packed = pack(name, content)
            info = tarfile.TarInfo(f"0/{pack.__name__}/{member}")
            info.size = len(packed)
            archive.addfile(info, io.BytesIO(packed))
    return "log.tar", buffer.getvalue()


def zipped(name: str, content: bytes) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"folder/{name}", content)
        archive.writestr("folder/ReadMe.pdf", b"%PDF")
    return "log.zip", buffer.getvalue()


def tarred(name: str, content: bytes) -> tuple[str, bytes]:
    import zstandard as codec

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in (f"listens/1/{name}", f"listens/{'long' * 40}/{name}"):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return "log.tar.zst", codec.compress(buffer.getvalue())


Make = Callable[[random.Random], bytes]
Pack = Callable[[str, bytes], tuple[str, bytes]]
CHART_NAME = "regional-global-daily-2023-01-05.csv"
KINDS: dict[str, tuple[str, Make, tuple[Pack, ...]]] = {
    "daily csv": ("log.csv", daily_csv, (plain, gzipped, zstandard, zipped)),
    "daily tsv": ("log.tsv", lambda rng: daily_csv(rng, "\t"), (plain,)),
    "events csv": ("log.csv", events_csv, (plain, gzipped)),
    "parquet": ("log.parquet", parquet, (plain,)),
    "xiami": ("log.csv", xiami, (plain, gzipped)),
    "listenbrainz": ("1.listens", listens, (plain, zstandard, tarred, tarred)),
    "lastfm exporter": ("recent.csv", scrobbles, (plain,)),
    "lastfm 1k": ("log.tsv", users_1k, (plain,)),
    "spotify history": ("Streaming_History_Audio_2023_0.json", history, (plain, zipped)),
    "spotify charts": (CHART_NAME, chart, (plain, zipped)),
    "spotify old charts": (CHART_NAME, old_chart, (plain,)),
    "fma": ("tracks.csv", fma, (plain, zipped)),
    "listenbrainz export": ("1.jsonl", export_lines, (zipped, bzipped, xzipped)),
    "listenbrainz list": ("listens.json", listen_list, (plain, zipped)),
    "spotify short": ("StreamingHistory_music_0.json", short_history, (plain, zipped)),
    "youtube music": ("watch-history.json", watched, (plain, zipped)),
    "apple music": ("Apple Music Play Activity.csv", apple, (plain, nested)),
    "deezer": ("deezer-data_1.xlsx", deezer, (plain, plain, zipped)),
    "lastfm without head": ("me.csv", headless_scrobbles, (plain, bzipped)),
    "lfm": ("listening-events.tsv", lfm_events, (plain, bzipped, xzipped)),
    "mlhd": ("u1.txt", mlhd, (plain, packed_in_tar)),
    "chart tables": ("charts.csv", chart_table, (plain,)),
    "numbers as spelt": ("log.csv", spelt_counts, (plain, xzipped)),
}


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

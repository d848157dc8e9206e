"""Faults of a server that holds people's songs: nothing that was said to be kept is lost.

    python benchmarks/serverfaults.py            a batch of 100, a minute's cut, 10,000 tiny files
    python benchmarks/serverfaults.py --quick    the short form that the tests run
    python benchmarks/serverfaults.py --only disk --only clock

The server is killed (SIGKILL) in the middle of a batch and of an upload, and started again; a
connection is cut; the one who started an experiment is killed; the disk is full while a report is
written; the clock is set back an hour; files are very long, very large, very many. Each row counts
what was tried and what came through whole, for its owner and for nobody else.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx  # noqa: E402
import psutil  # noqa: E402
import soundfile  # noqa: E402
from streamlit.proto.BackMsg_pb2 import BackMsg  # noqa: E402

from benchmarks.load import song  # noqa: E402
from hitcore.audio import load_audio  # noqa: E402
from hitcore.catalogue.workspace import Workspace  # noqa: E402
from hitcore.errors import AudioError, HitcoreError  # noqa: E402
from hitcore.experiments import ExperimentConfig, Ledger, load_results, run_experiment  # noqa: E402
from tests.audio.making import id3_of  # noqa: E402
from tests.planted import planted_workspace  # noqa: E402
from tests.protocol import Visit, serving, visiting  # noqa: E402
from ui.analyse.intake import refused_words  # noqa: E402
from ui.server import jobs  # noqa: E402
from ui.server.background import Background, Task  # noqa: E402
from ui.server.library import Library  # noqa: E402
from ui.server.queue import Turns  # noqa: E402
from ui.server.quotas import Quota, QuotaError  # noqa: E402
from ui.server.uploads import UploadStore  # noqa: E402

Row = dict[str, Any]
REPORT = "Where the highlight is, and why"


def row(fault: str, tried: int, survived: int, remark: str = "") -> Row:
    """One line of the table."""
    return {"fault": fault, "tried": tried, "survived": survived, "remark": remark}


# --- the server is killed, a connection is cut ---------------------------------------------------


def kept(cache: Path) -> dict[str, bytes]:
    """Every upload and report that a reader of the cache sees, by name."""
    files = [path for path in cache.rglob("uploads/*/*") if not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in files}


def whole_uploads(cache: Path) -> bool:
    """Whether every upload is what its name says."""
    found = {name: data for name, data in kept(cache).items() if "." not in name}
    return all(hashlib.sha256(data).hexdigest() == name for name, data in found.items())


def n_reports(cache: Path) -> int:
    """Finished ones: what is being written has a name with a point in front."""
    return len(list(cache.rglob("uploads/*/[!.]*.report")))


async def until(truth: Callable[[], bool], limit_s: float = 1500.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + limit_s
    while not truth():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true")
        await asyncio.sleep(0.1)


async def half_an_upload(visit: Visit, size: int) -> asyncio.StreamWriter:
    """Begin to send a file and stop in the middle of it."""
    asked = BackMsg()
    asked.file_urls_request.request_id = "half"
    asked.file_urls_request.session_id = visit.session_id
    asked.file_urls_request.file_names.append("half.wav")
    await visit.socket.send(asked.SerializeToString())
    while (message := await visit.receive()).WhichOneof("type") != "file_urls_response":
        pass
    url = message.file_urls_response.file_urls[0].upload_url
    host = httpx.URL(visit.address)
    _, writer = await asyncio.open_connection(host.host, host.port)
    cookies = "; ".join(f"{name}={value}" for name, value in visit.http.cookies.items())
    head = (
        f"PUT {url} HTTP/1.1\r\nHost: {host.host}:{host.port}\r\nCookie: {cookies}\r\n"
        f"X-Xsrftoken: {visit.http.cookies['_streamlit_xsrf']}\r\nContent-Length: {size}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="half.wav"\r\n\r\n'
    )
    writer.write(head.encode() + bytes(size // 2))
    await writer.drain()
    return writer


def client(address: str, cookies: httpx.Cookies | None = None) -> httpx.AsyncClient:
    """The same browser at a server that was started again, or a new one."""
    return httpx.AsyncClient(base_url=address, timeout=300, cookies=cookies)


async def before_the_kill(
    address: str, server: psutil.Process, cache: Path, songs: dict[str, bytes]
) -> httpx.Cookies:
    """A batch at work and an upload half sent, then SIGKILL."""
    async with client(address) as http:
        await http.get("/")
        await http.get("/_stcore/health")
        async with visiting(address, http) as visit:
            await visit.open()
            await visit.upload(songs)
            await half_an_upload(visit, 4_000_000)
            await until(lambda: n_reports(cache) >= 2)
            server.kill()
        return http.cookies


async def after_the_kill(
    address: str, cache: Path, cookies: httpx.Cookies, songs: dict[str, bytes]
) -> tuple[bool, bool]:
    """Whether the owner finds all songs, which then are done, and whether a stranger finds none."""
    async with client(address, cookies) as http, visiting(address, http) as visit:
        await visit.open()
        lists_all = f"Your songs ({len(songs)})" in visit.text()
        await until(lambda: n_reports(cache) == len(songs))
    async with visiting(address) as stranger:
        await stranger.open()
        none = "Your songs" not in stranger.text()
    return lists_all, none


async def cut(address: str, seconds: float) -> list[bool]:
    """A connection that is cut while a song is analysed, and taken up again; then by a stranger."""
    async with client(address) as http:
        await http.get("/")
        await http.get("/_stcore/health")
        async with visiting(address, http) as visit:
            await visit.open()
            await visit.upload({"cut-song.flac": song(190)})
            session = visit.session_id
            visit.socket.transport.abort()
        await asyncio.sleep(seconds)
        async with visiting(address, http, session) as again:
            await again.open()
            await again.until(REPORT)
            same, whole = again.session_id == session, "Your songs (1)" in again.text()
    async with visiting(address, session_id=session) as thief:
        await thief.open()
        nothing = "cut-song" not in thief.text() and "Your songs" not in thief.text()
    return [same, whole, nothing]


def server_faults(quick: bool) -> Iterator[Row]:
    """SIGKILL in the middle of a batch and an upload; a cut connection."""
    songs = {f"song-{n}.flac": song(n) for n in range(1, 5 if quick else 101)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cache = folder / "cache"
        with serving(folder) as (address, server):
            cookies = asyncio.run(before_the_kill(address, server, cache, songs))
        at_kill = kept(cache)
        uploads_whole = whole_uploads(cache)
        with serving(folder) as (address, _):
            lists_all, none = asyncio.run(after_the_kill(address, cache, cookies, songs))
            now = kept(cache)
            same = [name for name, data in at_kill.items() if now.get(name) == data]
            digests = [hashlib.sha256(content).hexdigest() for content in songs.values()]
            done = sum(digest in now and f"{digest}.report" in now for digest in digests)
            n_before = sum("." in name for name in at_kill)
            intact = lists_all and none and len(same) == len(at_kill)
            yield row(
                "server killed in a batch: songs", len(songs), done if intact else 0,
                f"{n_before} had reports, the same to the byte; the rest was done after the start",
            )  # fmt: skip
            held = uploads_whole and len(now) == 2 * done
            yield row("server killed in an upload", 1, int(held), "no part of it is seen")
            seconds = 1.0 if quick else 60.0
            found = asyncio.run(cut(address, seconds))
            remark = f"cut for {seconds:.0f} s; same window, same song, nothing for a stranger"
            yield row("connection cut", len(found), sum(found), remark)


# --- an experiment whose server is killed --------------------------------------------------------

ROWS, FOLDS = ("artist-prior", "release-year"), 4
STARTER = """
import os, signal, sys
from pathlib import Path
from hitcore.catalogue.workspace import Workspace
from ui.server import jobs
jobs.start(Workspace.open(Path(sys.argv[1])), jobs.Job("e", {rows}, {folds}, 1, "one"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def experiments(quick: bool) -> Iterator[Row]:
    """Whoever started it is killed; it goes on, and its result is the undisturbed one."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = planted_workspace(Path(scratch) / "whole", 40, segments=())
        run_experiment(whole, list(ROWS), ExperimentConfig(n_folds=FOLDS))
        place = planted_workspace(Path(scratch) / "w", 40, segments=())
        code = STARTER.format(rows=ROWS, folds=FOLDS)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        died = subprocess.run([sys.executable, "-c", code, str(place.path)], env=environment)
        was_at_work = jobs.is_running(place, "e")
        asyncio.run(until(lambda: not jobs.is_running(place, "e")))
        same = _figures(place) == _figures(whole)
        done = Ledger(place.ledger).table()["state"].eq("done").sum()
    held = died.returncode == -signal.SIGKILL and was_at_work and same
    survived, remark = int(done) if held else 0, "it goes on to the undisturbed result"
    yield row("server killed in an experiment: runs", len(ROWS) * FOLDS, survived, remark)


def _figures(place: Workspace) -> str:
    table = load_results(place).metrics.sort_values(["row", "fold"])
    return table[["row", "fold", "ndcg", "kendall", "spearman"]].to_csv(index=False)


# --- a full disk, a clock set back ---------------------------------------------------------------


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A disk of two megabytes; None where this account may not mount one."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", scratch]
        may = os.geteuid() == 0 and shutil.which("mount") is not None
        if not may or subprocess.run(command, capture_output=True).returncode:
            yield None
        else:
            try:
                yield Path(scratch)
            finally:
                subprocess.run(["umount", "-l", scratch], check=True)


def full_disk(quick: bool) -> Iterator[Row]:
    """Reports that do not fit: the song stays, no half of a report is seen, and it works later."""
    left = [0, 4096, 20_000] if quick else [4096 * n for n in range(25)]
    survived = 0
    for leave in left:
        with small_disk() as disk:
            if disk is None:
                yield row("disk full under a report", 0, 0, "only root may mount a small disk")
                return
            survived += _report_on_a_full_disk(disk, leave)
    yield row("disk full under a report", len(left), survived, "done once there was room")


def _report_on_a_full_disk(disk: Path, leave: int) -> bool:
    library, background = Library(UploadStore(disk / "uploads")), Background(Turns(1))
    entry, report = library.add("me", "song", b"sound"), json.dumps({"report": 400_000 * "x"})

    def task() -> Task:
        return Task(
            entry.digest, entry.name,
            lambda say: library.put_report("me", entry.digest, report, {"places": []}),
            lambda error: library.put_fault("me", entry.digest, str(error)),
        )  # fmt: skip

    filler = disk / ".filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - leave)))
    background.submit("me", [task()])
    ended = background.wait("me", 60)
    nothing_half = library.store.get_report("me", entry.digest) is None
    sound = library.store.get("me", entry.digest)
    filler.unlink()
    background.submit("me", [task()])
    ended = ended and background.wait("me", 60)
    (now,) = library.songs("me")
    return (
        ended and nothing_half and sound is not None and sound.read_bytes() == b"sound"
        and now.line is not None and library.store.get_report("me", entry.digest) == report
    )  # fmt: skip


def _shifted(seconds: float, true_time: Callable[[], float] = time.time) -> float:
    return true_time() + seconds


def clock(quick: bool) -> Iterator[Row]:
    """An hour back while songs are kept: none goes before its time, none stays for ever."""
    hours, held = (1.0,) if quick else (0.5, 1.0, 2.0, 24.0), []
    for back in hours:
        with tempfile.TemporaryDirectory() as scratch:
            library = Library(UploadStore(Path(scratch) / "uploads", keep_hours=1))
            first = library.add("me", "first", b"first")
            word = library.share("me", first.digest)
            with mock.patch("time.time", partial(_shifted, -3600 * back)):
                second = library.add("me", "second", b"second")
                library.sweep()
                names = [entry.name for entry in library.songs("me")]
                ends = library.store.kept_until("me", first.digest)
                held += [sorted(names) == ["first", "second"], library.shared(word) is not None]
                held += [library.songs("you") == []]
                held += [ends is not None and ends <= time.time() + 3601]
            with mock.patch("time.time", partial(_shifted, 3700)):
                library.sweep()
                held += [library.songs("me") == [], library.shared(word) is None]
                held += [library.store.get("me", second.digest) is None]
    yield row("clock set back", len(held), sum(held), f"by {', '.join(f'{h:g}' for h in hours)} h")


# --- files very long, very large, very many ------------------------------------------------------


def odd_files(quick: bool) -> Iterator[Row]:
    """Two hours of sound, a cover of 100 MB, ten thousand tiny files."""
    with tempfile.TemporaryDirectory() as scratch:
        long = Path(scratch) / "two-hours.wav"
        n_bytes = 2 * 7200 * 8000
        with long.open("wb") as file:
            head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + n_bytes, b"WAVE", b"fmt ", 16, 1, 1,
                               8000, 16_000, 2, 16)  # fmt: skip
            file.write(head + struct.pack("<4sI", b"data", n_bytes))
            file.truncate(44 + n_bytes)
        yield row("two hours of sound", 1, int(_refused_as_too_long(long)), "refused in a line")
        n_mb = 10 if quick else 100
        covered = Path(scratch) / "covered.mp3"
        sound = io.BytesIO()
        soundfile.write(sound, [0.1, -0.1] * 66_150, 22_050, format="MP3")
        covered.write_bytes(id3_of(n_mb * 1_000_000, fill=b"\0") + sound.getvalue())
        heard = abs(load_audio(covered).duration_s - 6) < 0.1
        yield row("a cover of " + f"{n_mb} MB", 1, int(heard), "its 6 s of sound are heard")
        yield _tiny_files(Path(scratch), 1000 if quick else 10_000)


def _refused_as_too_long(path: Path) -> bool:
    try:
        load_audio(path)
    except AudioError as error:
        return "2:00:00 long" in str(error) and "\n" not in str(error)
    return False


def _tiny_files(folder: Path, n_files: int) -> Row:
    library = Library(UploadStore(folder / "uploads"), Quota(songs=200))
    refused: list[HitcoreError] = []
    for number in range(n_files):
        try:
            library.add("many", str(number), b"%d" % number)
        except QuotaError as error:
            refused.append(error)
        if number == n_files // 2:
            library.add("few", "one", b"one")
    words = refused_words(refused, n_files)
    kept_ = [entry.name for entry in library.songs("many")] == [str(n) for n in range(200)]
    others = [entry.name for entry in library.songs("few")] == ["one"]
    one_line = words is not None and words.startswith(f"{n_files - 200:,} of {n_files:,} songs")
    whole = kept_ and others and one_line and len(refused) == n_files - 200
    return row("tiny files", n_files, n_files if whole else 0, "200 kept, the rest in one line")


PARTS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "server": server_faults,
    "experiment": experiments,
    "disk": full_disk,
    "clock": clock,
    "files": odd_files,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.only or PARTS:
        started = time.monotonic()
        for found in PARTS[name](options.quick):
            rows.append({**found, "seconds": round(time.monotonic() - started, 1)})
            started = time.monotonic()
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for found in rows:
            print(f"{found['fault']}: {found['survived']} of {found['tried']}; {found['remark']}")
    return 0 if all(found["survived"] == found["tried"] for found in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Bad input of every kind through the doors that people use: the command line and the address bar.

Each case has its exact class, exit status and a fragment of its one line. The cases of sound files
and of play logs are those of `tests/audio` and `tests/plays`, here through the command
line; weights, workspaces, predictions and query strings are below.
"""

import json
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from hitcore import cli, weights
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import (
    AudioError,
    DataError,
    HitcoreError,
    ParameterError,
    WeightsError,
)
from hitcore.featurestore import read_source
from tests.audio.test_hostile import REFUSED
from tests.pages.test_distribution import make_workspace
from tests.planted import planted_workspace
from tests.plays.test_hostile import CASES as LOGS
from tests.sounds import encoded, music
from ui.distribution import studies
from ui.frame import loaders

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    status: int
    error: BaseException | None
    out: str
    line: str
    """Standard error."""


@pytest.fixture
def hitcore(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """The command line itself, in this process; notes which error became the line."""
    errors: list[BaseException] = []
    plain = cli.one_line

    def noting(error: BaseException) -> str:
        errors.append(error)
        return plain(error)

    monkeypatch.setattr(cli, "one_line", noting)

    def run(*arguments: str | Path) -> Outcome:
        errors.clear()
        monkeypatch.setattr(sys, "argv", ["hitcore", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return Outcome(
            int(ended.value.code or 0), errors[0] if errors else None, shown.out, shown.err
        )

    return run


def check(outcome: Outcome, error: type[HitcoreError], fragment: str) -> None:
    """Status 2, this very class, and one readable line with the fragment."""
    assert outcome.status == 2
    assert type(outcome.error) is error
    lines = [line for line in outcome.line.splitlines() if line.startswith("hitcore: ")]
    assert len(lines) == 1, outcome.line
    assert re.search(fragment, lines[0]), lines[0]
    assert "Traceback" not in outcome.line
    assert lines[0].isprintable()


# --- sound files and logs ------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED)
def test_sound_files(case: str, tmp_path: Path, hitcore: Callable[..., Outcome]) -> None:
    make, fragment = REFUSED[case]
    (tmp_path / "song").write_bytes(make())
    outcome = hitcore("analyse", tmp_path / "song", "--json")
    check(outcome, AudioError, fragment)
    assert re.search(fragment, json.loads(outcome.out)["error"])


@pytest.mark.parametrize("case", [c for c in LOGS if not c.options], ids=lambda case: case.name)
def test_logs(case: object, tmp_path: Path, hitcore: Callable[..., Outcome]) -> None:
    path = case.write(tmp_path)  # type: ignore[attr-defined]
    known = case.format  # type: ignore[attr-defined]
    out = tmp_path / "scores.csv"
    format_ = ["--format", known] if known else []
    outcome = hitcore("plays", "score", path, "--out", out, *format_)
    check(outcome, DataError, re.escape(" ".join(case.message.split())))  # type: ignore[attr-defined]
    assert not out.exists()


# --- weights -------------------------------------------------------------------------------------


def tensors(header: object, data: bytes = b"") -> bytes:
    """A safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def ours(**changes: object) -> bytes:
    """A small file as hitcore writes it, with parts of its header replaced."""
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    document = {"name": "x", "digest": weights.digest({"w": value})}
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    header = {"__metadata__": {"hitcore": json.dumps(document)}, "w": entry}
    data = changes.pop("data", value.tobytes())
    header.update(changes)
    return tensors(header, data)  # type: ignore[arg-type]


def entry(**changes: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}


NAN = np.array([[0, 1, 2], [3, np.nan, 5]], np.float32).tobytes()
NOT_SAFE = "is damaged or no safetensors file"
NO_NAME = "does not say what it is"
WEIGHTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", NOT_SAFE),
    "text": (b"hello, I am a network\n" * 9, NOT_SAFE),
    "pickle": (b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93.", NOT_SAFE),
    "zip, as torch saves": (b"PK\x03\x04" + bytes(200), NOT_SAFE),
    "header of 2**63 bytes": (struct.pack("<Q", 2**63 - 1) + b"{}", NOT_SAFE),
    "header cut off": (struct.pack("<Q", 1000) + b'{"w":', NOT_SAFE),
    "header that is no JSON": (tensors(b"{'w': 1}"), NOT_SAFE),
    "header of deep JSON": (tensors(b'{"a":' * 50_000), NOT_SAFE),
    "tensor beyond the end": (ours(w=entry(data_offsets=[0, 2400], shape=[20, 30])), NOT_SAFE),
    "tensor of 2**62 values": (ours(w=entry(shape=[2**31, 2**31])), NOT_SAFE),
    "negative shape": (ours(w=entry(shape=[-2, -3])), NOT_SAFE),
    "offsets backwards": (ours(w=entry(data_offsets=[24, 0])), NOT_SAFE),
    "unknown type": (ours(w=entry(dtype="OBJECT")), NOT_SAFE),
    "cut off": (ours()[:-5], NOT_SAFE),
    "bytes behind the end": (ours() + b"more", NOT_SAFE),
    "no document": (ours(__metadata__={}), NO_NAME),
    "document that is no object": (ours(__metadata__={"hitcore": "[1]"}), NO_NAME),
    "document that is no JSON": (ours(__metadata__={"hitcore": "{"}), NOT_SAFE),
    "document of deep JSON": (ours(__metadata__={"hitcore": "[" * 100_000}), NOT_SAFE),
    "one bit changed": (ours(data=bytes([1]) + bytes(23)), "the checksum of its tensors disagrees"),
    "NaN": (ours(data=NAN), "the tensor w holds NaN or infinite values"),
    "another network's": (ours(), r"the tensor \S+ is missing: it is another network's file"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hitcore: Callable[..., Outcome]
) -> None:
    content, fragment = WEIGHTS[case]
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    file = tmp_path / "weights" / "jynet.safetensors"
    file.parent.mkdir()
    file.write_bytes(content)
    outcome = hitcore("weights", "verify")
    check(outcome, WeightsError, fragment)
    assert "hitcore weights import jynet" in outcome.line
    with pytest.raises(WeightsError, match=fragment):
        weights.load("jynet")


COPIES: dict[str, tuple[bytes | None, str]] = {
    "absent": (None, "does not exist; jynet is read from"),
    "empty": (b"", "has 0 bytes, the published"),
    "another file": (b"x" * 999, "has 999 bytes, the published"),
}


@pytest.mark.parametrize("case", COPIES)
def test_copies_of_weights(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hitcore: Callable[..., Outcome]
) -> None:
    content, fragment = COPIES[case]
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / Path(weights.REGISTRY["jynet"].files[0].path).name
    if content is not None:
        copy.write_bytes(content)
    check(hitcore("weights", "import", "jynet", copy), WeightsError, fragment)
    assert not weights.is_installed("jynet")


@pytest.mark.parametrize(
    ("arguments", "error", "fragment"),
    [
        (["weights", "fetch", "no-such"], ParameterError, "no weights are named 'no-such'|unknown"),
        (["weights", "fetch", "../../etc/passwd"], ParameterError, "etc/passwd"),
        (["analyse", "SONG", "--model", "no-such"], ParameterError, "no-such"),
        (["analyse", "SONG", "--model", "/etc/passwd"], ParameterError, "/etc/passwd"),
        (["analyse", "SONG", "--tagger", "no-such"], ParameterError, "no-such"),
        (["analyse", "SONG", "--highlight", "<script>"], ParameterError, "<script>"),
    ],
)
def test_names(
    arguments: list[str],
    error: type[HitcoreError],
    fragment: str,
    tmp_path: Path,
    hitcore: Callable[..., Outcome],
) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(encoded("wav", music(3)))
    check(hitcore(*[song if a == "SONG" else a for a in arguments]), error, fragment)


# --- workspaces ----------------------------------------------------------------------------------


def write(name: str, content: bytes | str) -> Callable[[Path], None]:
    """Replace one file of a workspace."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def table(name: str, **columns: object) -> Callable[[Path], None]:
    """Replace one table of a workspace."""
    return lambda folder: pd.DataFrame(columns).to_parquet(folder / name)


def in_store(name: str, content: bytes) -> Callable[[Path], None]:
    """Replace one file of each feature store."""

    def spoil(folder: Path) -> None:
        for path in folder.glob(f"features/*/{name}"):
            path.write_bytes(content)

    return spoil


def swap(name: str) -> Callable[[Path], None]:
    """A folder where a file should be."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


RUN = ("experiment", "run", "W", "--rows", "tags", "--folds", "3", "--epochs", "1", "--grid", "one")
SHOW = ("experiment", "show", "W")
VERIFY = ("features", "verify", "W")
BUILD = ("features", "build", "W", "--workers", "1", "--tagger", "none")
MARKER = "workspace.json"
Spoil = Callable[[Path], None]
WORKSPACES: dict[str, tuple[Spoil, tuple[str, ...], type[HitcoreError], str]] = {
    "empty marker": (write(MARKER, ""), SHOW, DataError, "workspace.json of .* cannot be read"),
    "marker of bytes": (write(MARKER, b"\xff\xfe\0"), SHOW, DataError, "cannot be read"),
    "marker of deep JSON": (write(MARKER, "[" * 100_000), SHOW, DataError, "cannot be read"),
    "marker that is a list": (write(MARKER, "[]"), SHOW, DataError, "names another format"),
    "marker of tomorrow": (
        write(MARKER, '{"format": "hitcore-workspace", "version": 2}'),
        SHOW, DataError, "is a workspace of version 2; this hitcore reads version 1",
    ),
    "marker that is a folder": (swap(MARKER), SHOW, DataError, "cannot be read"),
    "no results": (lambda _: None, SHOW, DataError, "has no results yet: run `hitcore experiment"),
    "damaged results": (
        write("runs/x/metrics.parquet", "PAR1?"), SHOW, DataError, "cannot be read.*delete",
    ),
    "songs of bytes": (write("songs.parquet", "x"), RUN, DataError, "songs.parquet"),
    "songs that are a folder": (swap("songs.parquet"), RUN, DataError, "no column song_id"),
    "songs without ids": (table("songs.parquet", title=["a"]), RUN, DataError, "song_id"),
    "a song twice": (
        table("songs.parquet", song_id=["a", "a"], artist_ids=[["x"], ["x"]]),
        RUN, DataError, "'a'",
    ),
    "no songs": (table("songs.parquet", song_id=[], source=[]), BUILD, DataError, "no songs"),
    "songs without sound": (table("songs.parquet", song_id=["a"]), BUILD, DataError, "`source`"),
    "scores of bytes": (write("hit_scores.parquet", "x"), RUN, DataError, "hit_scores.parquet"),
    "scores of text": (
        table("hit_scores.parquet", song_id=["s0000"], hit_score=["much"]),
        RUN, DataError, "a hit_score is no number",
    ),
    "scores of strangers": (
        table("hit_scores.parquet", song_id=["<b>"], hit_score=[0.1]), RUN, DataError, "<b>",
    ),
    "infinite scores": (
        table("hit_scores.parquet", song_id=["s0000"], hit_score=[np.inf]),
        RUN, DataError, "a hit score is outside 0 to 1",
    ),
    "ledger of bytes": (write("ledger.sqlite", b"no database" * 999), RUN, DataError, "no ledger"),
    "ledger that is a folder": (
        lambda folder: (folder / "ledger.sqlite").mkdir(), RUN, DataError, "ledger.sqlite",
    ),
    "cut shard": (in_store("shard-*.npy", b"\x93NUMPY"), VERIFY, DataError, "is not as it was wr"),
    "pickled shard": (
        in_store("shard-*-mel.npy", b"\x93NUMPY\1\0v\0{'descr': '|O'"), RUN, DataError, "not as it",
    ),
    "damaged description": (in_store("shard-*.json", b"{"), VERIFY, DataError, "is damaged"),
    "deep description": (
        in_store("shard-*.json", b"[" * 100_000), VERIFY, DataError, "is damaged",
    ),
    "damaged index": (in_store("index.parquet", b"x"), RUN, DataError, "index.parquet is damaged"),
    "damaged settings": (in_store("config.json", b"{"), VERIFY, DataError, "config.json"),
    "settings of another kind": (
        in_store("config.json", b'{"evil": 1}'), VERIFY, DataError, "config.json",
    ),
    "unknown row": (
        lambda _: None, ("experiment", "run", "W", "--rows", "a,ö"), ParameterError, "row 'ö'",
    ),
    "a billion folds": (
        lambda _: None, (*RUN[:5], "--folds", "1000000000"), DataError, "fold",
    ),
    "no folds": (lambda _: None, (*RUN[:5], "--folds", "-1"), ParameterError, "fold"),
    "unknown device": (
        lambda _: None, (*RUN, "--device", "tpu"), ParameterError, "device 'tpu': cpu, cuda",
    ),
    "unknown engine": (
        lambda _: None, (*BUILD, "--engine", "magic"), ParameterError, "magic",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that is as it should be."""
    return planted_workspace(tmp_path_factory.mktemp("w") / "w", 20, ("repetition",)).path


@pytest.mark.parametrize("case", WORKSPACES)
def test_workspaces(
    case: str, tmp_path: Path, planted: Path, hitcore: Callable[..., Outcome]
) -> None:
    spoil, command, error, fragment = WORKSPACES[case]
    folder = Path(shutil.copytree(planted, tmp_path / "w"))
    spoil(folder)
    check(hitcore(*[folder if part == "W" else part for part in command]), error, fragment)
    leftovers = [path for path in folder.rglob("*.part*") if path.is_file()]
    assert leftovers == []


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ("/nonexistent/workspace", "is no workspace"),
        ("/etc/hostname", "is no workspace"),
        ("/etc", "is no workspace"),
        ("a\0b", "null"),
        ("x" * 5000, "too long"),
    ],
)
def test_paths_that_are_no_workspace(
    path: str, fragment: str, hitcore: Callable[..., Outcome]
) -> None:
    check(hitcore("experiment", "show", path), DataError, fragment)


def test_a_song_that_points_out_of_the_workspace(
    tmp_path: Path, hitcore: Callable[..., Outcome]
) -> None:
    place = Workspace.create(tmp_path / "w")
    sources = ["../../../etc/passwd", "/etc/passwd", "x/../../secret", "\0", "nothing.mp3"]
    ids = [f"s{number}" for number in range(len(sources))]
    pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(place.songs)
    for source in sources[:3]:
        with pytest.raises(DataError, match="a path inside the workspace's audio/ is expected"):
            read_source(place.path, source)
    for source in sources[3:]:
        with pytest.raises(HitcoreError):
            read_source(place.path, source)


# --- predictions ---------------------------------------------------------------------------------

PREDICTIONS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", ""),
    "no columns": (b"a,b\n1,2\n", "y_true"),
    "no rows": (b"y_true,y_score\n", ""),
    "text": (b"y_true,y_score\n1,high\n", "y_score|high"),
    "infinite": (b"y_true,y_score\n1,inf\n2,3\n", "finite|inf"),
    "bytes": (b"\xff\xfe\0\x01", ""),
    "a folder": (b"", ""),
}


@pytest.mark.parametrize("case", PREDICTIONS)
def test_predictions(case: str, tmp_path: Path, hitcore: Callable[..., Outcome]) -> None:
    content, fragment = PREDICTIONS[case]
    path = tmp_path / "predictions.csv"
    path.mkdir() if case == "a folder" else path.write_bytes(content)
    outcome = hitcore("evaluate", path)
    assert outcome.status == 2
    assert isinstance(outcome.error, DataError | ParameterError)
    assert re.search(fragment, outcome.line)
    assert "Traceback" not in outcome.line


# --- query strings -------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>"
STRINGS = {
    "empty": "",
    "path": "../../../../etc/passwd",
    "markup": SCRIPT,
    "image": "<img src=x onerror=alert(1)>",
    "markdown": "[click](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "huge number": "1e999",
    "digits": "9" * 6000,
    "other digits": "٦٠",
    "NaN": "nan",
    "long": "a" * 100_000,
    "zero": "\0" * 64,
    "somebody's song": "0" * 64,
    "SQL": "' OR 1=1; DROP TABLE runs; --",
    "template": "{{7*7}}${7*7}%s%n",
    "direction": "\u202eevil\u2066",
}
PARAMETERS = {
    "analyse": ("song", "highlight", "tagger"),
    "samplers": ("below",),
    "distribution": ("hit", "song"),
    "compare": ("rows", "song"),
}


@pytest.fixture(scope="module")
def _demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A demo catalogue with plays and hit scores, so that the pages have something to show."""
    folder = make_workspace(tmp_path_factory.mktemp("demo") / "demo")
    songs = pd.read_parquet(folder / "songs.parquet")
    scores = np.arange(1, len(songs) + 1) ** 2 / 1e6
    songs[["song_id"]].assign(hit_score=scores).to_parquet(folder / "hit_scores.parquet")
    cached = (loaders.demo_workspace, loaders.catalogue, studies.demo_study, studies.scored)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loaders, "DEMO", folder)
        for loader in cached:
            loader.clear()
        yield
    for loader in cached:
        loader.clear()


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize("page", PARAMETERS)
@pytest.mark.parametrize("case", STRINGS)
def test_query_strings(page: str, case: str) -> None:
    """The page opens as without them: no exception, and nothing of the text as markup."""
    text = STRINGS[case]
    test = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=60)
    for name in PARAMETERS[page]:
        test.query_params[name] = f"day:{text}" if name == "hit" else text
    test.run()
    assert not test.exception
    assert not test.error
    if len(text) > 5:
        shown = [str(e.value) for kind in ("markdown", "caption", "title") for e in test.get(kind)]
        assert not [words for words in shown if text in words]


def test_there_are_enough_cases() -> None:
    ours = (REFUSED, LOGS, WEIGHTS, COPIES, WORKSPACES, PREDICTIONS, STRINGS)
    assert sum(map(len, ours)) >= 60
    assert min(len(WEIGHTS), len(WORKSPACES), len(STRINGS)) >= 15

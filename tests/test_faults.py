"""Killed processes, full disks, closed folders, locks, clocks, two at one workspace.

After each: nothing partial is seen, the work goes on, and its result is the undisturbed one. The
kills at random moments are `benchmarks/kills.py`, a few of each work here. Elsewhere stand: a
decoder's child that is killed, hangs or runs out of memory (`tests/audio`), a locked or damaged
ledger and a killed experiment (`tests/experiments`), killed workers, damaged shards and two
builds at once (`tests/featurestore`).
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hitcore import weights
from hitcore.catalogue.workspace import Workspace
from hitcore.checkpoints import Checkpoint, read_checkpoints, write_checkpoint
from hitcore.engines import Outcome
from hitcore.errors import DataError, HitcoreError, WeightsError
from hitcore.experiments import ExperimentConfig, Ledger, load_results, run_experiment
from hitcore.featurestore import FeatureConfig, FeatureStore, build_features
from hitcore.files import write_atomic
from tests.planted import planted_workspace
from ui.server.uploads import UploadStore

ROOT = Path(__file__).resolve().parent.parent
LINUX = sys.platform == "linux"
ROWS = ["artist-prior", "release-year"]
FOLDS = ExperimentConfig(n_folds=4)
PLAIN = FeatureConfig(segment="middle", tagger=None)


def visible(folder: Path) -> list[Path]:
    """The files that a reader of a folder sees."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    hidden = [any(p.startswith(".") for p in path.relative_to(folder).parts) for path in files]
    return sorted(path for path, is_hidden in zip(files, hidden, strict=True) if not is_hidden)


def songs(folder: Path, n_songs: int = 3) -> Workspace:
    """A workspace of demo songs without features."""
    place = Workspace.create(folder)
    ids = [f"s{number}" for number in range(n_songs)]
    sources = [f"demo:0:{number}" for number in range(n_songs)]
    pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(place.songs)
    return place


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are built by this process; starting a pool takes longer than the work."""

    def here(
        function: Callable[[Any], Any], items: Iterable[Any], *_: object, **__: object
    ) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            try:
                yield Outcome(item, function(item), None, None, 0.0)
            except DataError as error:
                yield Outcome(item, None, str(error), "DataError", 0.0)

    monkeypatch.setattr("hitcore.featurestore.build.map_songs", here)


# --- kill -9 -------------------------------------------------------------------------------------


def test_kills_at_random_moments_lose_nothing() -> None:
    command = [sys.executable, "benchmarks/kills.py", "--count", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)
    assert {row["work"] for row in rows} == {"features", "training", "ledger", "weights", "uploads"}
    assert all(row["kills"] == row["survived"] == 2 for row in rows)


# --- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(
        command, capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Use up a disk but for some bytes."""
    filler = disk / ".filler"
    free = shutil.disk_usage(disk).free
    filler.write_bytes(bytes(max(free - leave, 0)))
    return filler


@pytest.mark.usefixtures("in_process")
def test_a_full_disk_under_features(small_disk: Path) -> None:
    place = songs(small_disk / "w")
    filler = fill(small_disk, 40_000)
    with pytest.raises(DataError, match=r"No space left on device.*free some space"):
        build_features(place, [PLAIN], n_workers=1)
    store = FeatureStore(place, PLAIN)
    assert not list(store.folder.glob("shard-*"))
    filler.unlink()
    assert build_features(place, [PLAIN], n_workers=1).n_built == 3
    assert store.verify() == []


def test_a_full_disk_under_weights_uploads_and_the_ledger(small_disk: Path) -> None:
    file, small = small_disk / "w.safetensors", {"a": np.zeros(10, np.float32)}
    weights.save(file, small, {"name": "w"})
    ledger = Ledger(small_disk / "ledger.sqlite")
    ledger.plan("x", {"r": {"row": "a", "fold": 0}})
    store = UploadStore(small_disk / "uploads")
    kept = store.put("me", b"song")
    filler = fill(small_disk, 0)
    before = visible(small_disk)

    with pytest.raises(WeightsError, match=r"No space left on device.*free space"):
        weights.save(file, {"a": np.zeros(1_000_000, np.float32)}, {"name": "w"})
    with pytest.raises(HitcoreError, match="cannot be kept on the server"):
        store.put("me", bytes(1_000_000))
    runs = {f"r{number}": {"row": "a", "fold": number, "x": "y" * 5000} for number in range(99)}
    with pytest.raises(DataError, match="free some space, then run again"):
        ledger.plan("x", runs)

    assert visible(small_disk) == before
    assert weights.load(file).tensors["a"].shape == (10,)
    path = store.get("me", kept)
    assert path is not None
    assert path.read_bytes() == b"song"
    filler.unlink()
    assert ledger.table()["run_id"].tolist() == ["r"]
    assert ledger.plan("x", runs) == 99
    weights.save(file, {"a": np.zeros(100_000, np.float32)}, {"name": "w"})


def test_a_full_disk_under_an_experiment(small_disk: Path, tmp_path: Path) -> None:
    whole = planted_workspace(tmp_path / "whole", 40, segments=())
    expected = run_experiment(whole, ROWS, FOLDS)
    place = planted_workspace(small_disk / "w", 40, segments=())
    Ledger(place.ledger)
    filler = fill(small_disk, 60_000)
    with pytest.raises(DataError, match=r"free some space|No space left"):
        run_experiment(place, ROWS, FOLDS)
    for metrics in place.runs.glob("[!.]*/metrics.parquet"):
        pd.read_parquet(metrics)
    filler.unlink()
    found = run_experiment(place, ROWS, FOLDS)
    figures = ["row", "fold", "ndcg", "kendall", "spearman"]
    pd.testing.assert_frame_equal(found[figures], expected[figures])


# --- folders that are closed ---------------------------------------------------------------------

CLOSED = """
import os, sys
os.chdir({root!r})
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from pathlib import Path
import numpy as np
from hitcore import weights
from hitcore.errors import HitcoreError
from hitcore.experiments import ExperimentConfig, Ledger, run_experiment
from hitcore.featurestore import FeatureConfig, build_features
from hitcore.checkpoints import Checkpoint, read_checkpoints, write_checkpoint
from hitcore.catalogue.workspace import Workspace
from ui.server.uploads import UploadStore
os.environ["HOME"] = {folder!r}
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
place = Workspace.open({folder!r})
def said(work):
    try:
        work()
    except HitcoreError as error:
        print(type(error).__name__, error)
    else:
        print("nothing was said")
said(lambda: Workspace.create(Path({folder!r}) / "new"))
said(lambda: Ledger(place.path / "new.sqlite"))
said(lambda: build_features(place, [FeatureConfig(segment="middle", tagger=None)], n_workers=1))
said(lambda: weights.save(place.path / "w.safetensors", dict(a=np.zeros(1)), dict(name="w")))
said(lambda: UploadStore(place.path / "uploads").put("me", b"x"))
said(lambda: run_experiment(place, ["release-year"], ExperimentConfig(n_folds=4)))
"""


@pytest.mark.skipif(not LINUX, reason="rights are dropped as Linux does it")
def test_a_folder_that_may_not_be_written_is_said_in_a_line_each(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w", 40, segments=())
    before = visible(place.path)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    place.path.chmod(0o555)
    try:
        code = CLOSED.format(root=str(ROOT), folder=str(place.path))
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HITCORE_CACHE": "/nowhere"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment,
            timeout=200, cwd=ROOT,
        )  # fmt: skip
    finally:
        place.path.chmod(0o755)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    kinds = [line.split()[0] for line in lines]
    expected = ["DataError", "DataError", "DataError", "WeightsError", "HitcoreError", "DataError"]
    assert kinds == expected, done.stdout + done.stderr
    assert visible(place.path) == before


# --- locks, and two at once ----------------------------------------------------------------------


def test_a_ledger_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    code = (
        "import pathlib; from hitcore.experiments import Ledger\n"
        f"ledger = Ledger(pathlib.Path({str(tmp_path / 'ledger.sqlite')!r}))\n"
        "print(ledger.plan('x', {'r': {'row': 'a', 'fold': 0}}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        time.sleep(1.0)
        other.execute("COMMIT")
        other.close()
        out, _ = child.communicate(timeout=60)
    assert out == "1\n"
    assert ledger.table()["run_id"].tolist() == ["r"]


def test_two_at_one_workspace_do_each_run_once_and_find_the_same(tmp_path: Path) -> None:
    whole = planted_workspace(tmp_path / "whole", 60, segments=("repetition",))
    place = planted_workspace(tmp_path / "both", 60, segments=("repetition",))
    rows = ["--rows", "tags,linear,artist-prior", "--folds", "4", "--epochs", "3", "--grid", "one"]
    command = [sys.executable, "-m", "hitcore", "experiment", "run"]
    both = [
        subprocess.Popen(
            [*command, str(place.path), *rows], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    assert [process.wait(400) for process in both] == [0, 0], [p.communicate() for p in both]
    for process in both:
        process.communicate()
    subprocess.run([*command, str(whole.path), *rows], check=True, capture_output=True)
    ledger = Ledger(place.ledger).table()
    assert ledger["state"].tolist() == ["done"] * 12
    assert ledger["worker"].notna().all()
    figures = ["row", "fold", "ndcg", "kendall", "spearman"]
    tables = [load_results(one).metrics.sort_values(["row", "fold"]) for one in (place, whole)]
    found, expected = (table[figures].reset_index(drop=True) for table in tables)
    pd.testing.assert_frame_equal(found, expected)
    assert len(list(place.runs.glob("[!.]*"))) == 12


# --- clocks and caches ---------------------------------------------------------------------------


def test_a_clock_that_was_set_back_changes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the runs are made in 2040, the others ten years before: the table is the same."""
    expected = run_experiment(planted_workspace(tmp_path / "a", 40, segments=()), ROWS, FOLDS)
    place = planted_workspace(tmp_path / "b", 40, segments=())
    for year, rows in (("2040", ROWS[:1]), ("2030", ROWS)):
        stamp = f"{year}-01-01T00:00:00+00:00"
        monkeypatch.setattr("hitcore.experiments.ledger._now", lambda stamp=stamp: stamp)
        ahead = (int(year) - 2026) * 3.15e7
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda real=time.time, ahead=ahead: real() + ahead)
            run_experiment(place, rows, FOLDS)
    figures = ["row", "fold", "ndcg", "kendall", "spearman"]
    found = load_results(place).metrics
    pd.testing.assert_frame_equal(found[figures], expected[figures])
    assert Ledger(place.ledger).take([]) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"half of "])
def test_a_half_written_cache_is_told_from_a_whole_one(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    file = tmp_path / "weights" / "jynet.safetensors"
    write_atomic(file, content)
    assert not weights.is_installed("jynet")
    with pytest.raises(WeightsError, match=r"mend it: .*hitcore weights import jynet"):
        weights.load("jynet")


def test_a_full_disk_under_a_checkpoint_leaves_the_last_one(small_disk: Path) -> None:
    values = {"w": torch.arange(1000.0)}
    write_checkpoint(small_disk, "f", Checkpoint([0], values, {"epoch": 1}))
    filler = fill(small_disk, 0)
    larger = Checkpoint([0], {"w": torch.arange(100_000.0)}, {"epoch": 2})
    with pytest.raises(DataError, match=r"No space left.*the last checkpoint stands"):
        write_checkpoint(small_disk, "f", larger)
    (found,) = read_checkpoints(small_disk, "f")
    assert found.state == {"epoch": 1}
    filler.unlink()
    write_checkpoint(small_disk, "f", Checkpoint([0], values, {"epoch": 3}))
    assert read_checkpoints(small_disk, "f")[0].state == {"epoch": 3}

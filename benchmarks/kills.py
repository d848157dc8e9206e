"""kill -9 at random moments, then the rest of the work: nothing partial is seen, nothing is lost.

    python benchmarks/kills.py                 50 kills of each work, several minutes
    python benchmarks/kills.py --count 5       the short form that the tests run

Works: building features, training with checkpoints, writing the ledger, converting weights, keeping
an upload. Each trial forks a child that does the work in an empty folder, and kills it after a time
drawn evenly from the duration of an undisturbed run. Then every file that can be seen is checked,
the work is done again on what was left, and its result is compared with the undisturbed one, to
the byte. A trial whose child was through before the kill is counted as late, and drawn again.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402

from hitcore import weights  # noqa: E402
from hitcore.audio import Waveform  # noqa: E402
from hitcore.catalogue.workspace import Workspace  # noqa: E402
from hitcore.engines import Outcome  # noqa: E402
from hitcore.experiments import Ledger  # noqa: E402
from hitcore.featurestore import FeatureConfig, FeatureStore, build, build_features  # noqa: E402
from hitcore.learning import fit_stack  # noqa: E402
from tests.learning.test_stack import CONFIG, all_kinds, planted  # noqa: E402
from ui.server.uploads import UploadStore  # noqa: E402

N_SONGS = 20
N_RUNS = 40
SHARED = Path(os.environ.get("HITCORE_SHARED", ROOT.parent / "shared"))
JYNET = SHARED / "reference" / "hsp_cnn"


@dataclass(frozen=True)
class Work:
    """Something that may be killed."""

    prepare: Callable[[Path], None]
    """Makes what the work starts from."""
    do: Callable[[Path], None]
    """Does it, from the start or from where it was left; runs in a child."""
    check: Callable[[Path], None]
    """Fails where something that can be seen is not whole."""
    result: Callable[[Path], str]
    """A fingerprint of the finished work."""


def digest(*parts: bytes) -> str:
    """A fingerprint of bytes."""
    return hashlib.sha256(b"|".join(parts)).hexdigest()


# --- features ------------------------------------------------------------------------------------

FEATURES = FeatureConfig(segment="middle", tagger=None)


def tone(workspace: Path, source: str) -> Waveform:
    """Thirty-one seconds that only this song has."""
    t = np.arange(31 * 22_050) / 22_050
    pitch = 100 + 10 * int(source)
    return Waveform(np.sin(2 * np.pi * pitch * t).astype(np.float32), 22_050)


def here(function: Any, items: Any, *_: object, **__: object) -> Iterator[Outcome[Any, Any]]:
    """`map_songs` without its pool: the process that is killed is the one that writes."""
    for item in items:
        yield Outcome(item, function(item), None, None, 0.0)


def prepare_features(folder: Path) -> None:
    place = Workspace.create(folder / "w")
    ids = [f"s{number}" for number in range(N_SONGS)]
    sources = [str(number) for number in range(N_SONGS)]
    pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(place.songs)


def do_features(folder: Path) -> None:
    build.SHARD_SIZE, build.map_songs = 4, here
    build_features(Workspace.open(folder / "w"), [FEATURES], read_song=tone)


def check_features(folder: Path) -> None:
    store = FeatureStore(Workspace.open(folder / "w"), FEATURES)
    index = store.index()
    good = index.loc[index["status"] == "ok", "song_id"].tolist()
    store.load(good)
    for sidecar in store.folder.glob("shard-*.json"):
        store.checked_shard(int(sidecar.stem.split("-")[1]))
    for part in store.folder.glob("parts/[!.]*.npz"):
        with np.load(part, allow_pickle=False) as arrays:
            assert arrays["mel"].shape == (128, 323)


def result_features(folder: Path) -> str:
    store = FeatureStore(Workspace.open(folder / "w"), FEATURES)
    assert store.verify() == []
    assert not list(store.folder.glob(".*")), "leftovers"
    features = store.load([f"s{number}" for number in range(N_SONGS)])
    return digest(features.mel.tobytes(), "".join(store.index()["content_hash"]).encode())


# --- training ------------------------------------------------------------------------------------


def do_training(folder: Path) -> None:
    torch.set_num_threads(1)
    target = folder / "checkpoints"
    config = replace(CONFIG, dropout=0.25, max_epochs=25, checkpoint_interval_s=0)
    result = fit_stack(planted(), all_kinds()[:2], config, checkpoint_dir=target)
    parts = [repr(member.history).encode() for member in result.members]
    for member in result.members:
        parts += [value.numpy().tobytes() for _, value in sorted(member.state_dict.items())]
        parts.append(member.scores.tobytes())
    (folder / "result").write_text(digest(*parts))


def check_training(folder: Path) -> None:
    from safetensors import safe_open

    for path in (folder / "checkpoints").glob("[!.]*"):
        with safe_open(path, framework="pt") as file:
            assert json.loads(file.metadata()["content"])["state"]
            for name in file.keys():  # noqa: SIM118
                assert file.get_tensor(name).isfinite().all()


def result_training(folder: Path) -> str:
    assert not list((folder / "checkpoints").glob(".*")), "leftovers"
    return (folder / "result").read_text()


# --- the ledger ----------------------------------------------------------------------------------


def do_ledger(folder: Path) -> None:
    ledger = Ledger(folder / "ledger.sqlite")
    runs = {f"r{number}": {"row": "a", "fold": number} for number in range(N_RUNS)}
    ledger.plan("x", runs)
    with open(folder / "told", "ab", buffering=0) as told:
        for run in ledger.take(runs):
            ledger.note_progress(run, 0.5)
            ledger.finish(run, duration_s=1.0, device="cpu", code_version="0")
            told.write(f"{run}\n".encode())


def check_ledger(folder: Path) -> None:
    """What was told to be done is done, whatever came after."""
    told = folder / "told"
    names = told.read_text().split() if told.exists() else []
    if not (folder / "ledger.sqlite").exists():
        assert not names
        return
    states = Ledger(folder / "ledger.sqlite").table().set_index("run_id")["state"]
    assert set(states) <= {"planned", "interrupted", "done"}, set(states)
    assert all(states[name] == "done" for name in names)


def result_ledger(folder: Path) -> str:
    table = Ledger(folder / "ledger.sqlite").table()
    return digest(table[["run_id", "row", "fold", "state", "progress"]].to_csv().encode())


# --- weights and uploads -------------------------------------------------------------------------


def do_weights(folder: Path) -> None:
    os.environ["HITCORE_CACHE"] = str(folder)
    if JYNET.is_dir():
        weights.import_local("jynet", JYNET)
        weights.import_local("kkbox-ret30", JYNET)
        return
    tensors = {f"t{n}": np.full((400, 400), n, np.float32) for n in range(20)}
    for name in ("a", "b"):
        weights.save(folder / "weights" / f"{name}.safetensors", tensors, {"name": name})


def check_weights(folder: Path) -> None:
    for path in (folder / "weights").glob("[!.]*.safetensors"):
        weights.load(path)


def result_weights(folder: Path) -> str:
    files = sorted((folder / "weights").glob("[!.]*.safetensors"))
    assert len(files) == 2
    leftovers = list((folder / "weights").glob(".*.part*")) if JYNET.is_dir() else []
    assert not leftovers, "leftovers"
    return digest(*(path.read_bytes() for path in files))


SONGS = [bytes([number]) * 5_000_000 for number in range(6)]


def do_uploads(folder: Path) -> None:
    store = UploadStore(folder / "uploads")
    for song in SONGS:
        store.put("me", song)


def check_uploads(folder: Path) -> None:
    for path in (folder / "uploads").glob("*/[!.]*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def result_uploads(folder: Path) -> str:
    return digest(*(path.name.encode() for path in sorted((folder / "uploads").glob("*/[!.]*"))))


def nothing(folder: Path) -> None:
    """Start from an empty folder."""


WORKS = {
    "features": Work(prepare_features, do_features, check_features, result_features),
    "training": Work(nothing, do_training, check_training, result_training),
    "ledger": Work(nothing, do_ledger, check_ledger, result_ledger),
    "weights": Work(nothing, do_weights, check_weights, result_weights),
    "uploads": Work(nothing, do_uploads, check_uploads, result_uploads),
}


# --- the trials ----------------------------------------------------------------------------------


def in_child(work: Work, folder: Path, kill_after: float | None = None) -> bool:
    """Do the work in a fork; whether it got through."""
    child = os.fork()
    if child == 0:
        try:
            work.do(folder)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return True


def trials(name: str, count: int, seed: int) -> dict[str, Any]:
    """Kill one work `count` times; what became of it."""
    work, rng = WORKS[name], random.Random(seed)
    began, resumed_s = time.monotonic(), []
    survived = late = 0
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        work.prepare(whole)
        started = time.monotonic()
        assert in_child(work, whole)
        duration = time.monotonic() - started
        expected = work.result(whole)
        while survived + len(failures) < count and late < 5 * count + 20:
            folder = Path(scratch) / "broken"
            folder.mkdir()
            work.prepare(folder)
            moment = rng.uniform(0, duration)
            if in_child(work, folder, moment):
                late += 1
            else:
                try:
                    work.check(folder)
                    started = time.monotonic()
                    in_child(work, folder)
                    resumed_s.append(time.monotonic() - started)
                    work.check(folder)
                    assert work.result(folder) == expected, "another result"
                    survived += 1
                except Exception as error:
                    failures.append(f"killed after {moment:.3f} s: {type(error).__name__}: {error}")
            shutil.rmtree(folder)
    return {
        "work": name,
        "kills": survived + len(failures),
        "survived": survived,
        "late": late,
        "whole_s": round(duration, 2),
        "resumed_s": round(float(np.mean(resumed_s)), 2) if resumed_s else None,
        "seconds": round(time.monotonic() - began, 1),
        "failures": failures,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", choices=WORKS, action="append", help="only this; may be repeated")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [trials(name, options.count, options.seed) for name in options.work or WORKS]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'work':<10}{'kills':>7}{'survived':>10}{'late':>6}{'whole s':>9}{'resumed s':>11}")
        for row in rows:
            print(
                f"{row['work']:<10}{row['kills']:>7}{row['survived']:>10}{row['late']:>6}"
                f"{row['whole_s']:>9}{row['resumed_s'] or 0:>11}"
            )
            print("".join(f"  {failure}\n" for failure in row["failures"][:5]), end="")
    return 1 if any(row["survived"] < options.count for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

"""A feature store larger than memory: rate and memory of training on it, and its index.

    python benchmarks/store.py [--songs 100000] [--in-memory 20000] [--index 2000000] [--quick]

One member of the network of Fig. 1 is trained for one epoch of all songs with the store mapped, and
before and after it on as many of them as the memory holds, each in a process of its own, so that
the peak of resident memory is its own. Rates are of the clock and of processor time: on a machine
with other work the second is the fair one. 100,000 songs take 8.3 GB of disk.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from planted import planted

from hitcore.catalogue.workspace import Workspace
from hitcore.featurestore import FeatureConfig, FeatureStore, build_features
from hitcore.learning import Member, TrainConfig, TrainingData, fit_stack

CONFIG = FeatureConfig(segment="middle")


def train(workspace: Path, n_songs: int, mapped: bool) -> None:
    """One epoch in this process; prints its figures as JSON."""
    place = Workspace.open(workspace)
    table = pd.read_parquet(place.hit_scores)[:n_songs]
    ids = table["song_id"].tolist()
    start = clocks()
    store = FeatureStore(place, CONFIG)
    features = store.map(ids) if mapped else store.load(ids)
    opened = clocks() - start
    shares = table["hit_score"].to_numpy().copy()
    data = TrainingData(features.mel, None, y=-1 / np.log10(shares), hit_scores=shares)
    order = np.random.default_rng(0).permutation(len(ids))
    n_held = min(len(ids) // 10, 500)
    member = Member(order[2 * n_held :], order[:n_held], order[n_held : 2 * n_held], sampler="ab")
    marks: list[np.ndarray] = []
    fit_stack(
        data,
        [member],
        TrainConfig(max_epochs=1, batch_size=16),
        should_stop=lambda: marks.append(clocks()) or False,
        progress=lambda now: marks.append(clocks()),
    )
    epoch_s, epoch_cpu_s = marks[-1] - marks[0]
    figures = {
        "opened_s": opened[0],
        "epoch_s": epoch_s,
        "epoch_cpu_s": epoch_cpu_s,
        "songs": len(member.songs["train"]),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(json.dumps(figures))


def clocks() -> np.ndarray:
    """The time on the wall and that of this process on the processor, seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def in_a_process(*words: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, capture_output=True, text=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def index(n_songs: int) -> None:
    """How long the index of so many songs takes to open and to be asked."""
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Workspace.create(Path(folder) / "w"), CONFIG)
        store.folder.mkdir(parents=True)
        at = np.arange(n_songs)
        table = pd.DataFrame(
            {
                "song_id": [f"s{i:07d}" for i in range(n_songs)], "shard": at // 64,
                "row": at % 64, "content_hash": [f"{i:064x}" for i in range(n_songs)],
                "start_s": 0.0, "end_s": 30.0, "status": "ok", "error": None,
            }
        )  # fmt: skip
        table.to_parquet(store.folder / "index.parquet", index=False)
        start, used = time.perf_counter(), time.process_time()
        opened = store.places()
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        print(f"index of {len(opened):,} songs: opened in {wall:.2f} s ({cpu:.2f} processor s)")


def trusted(place: Workspace) -> None:
    """How long a build takes that finds all its songs there, and how long reading them all."""
    start = time.perf_counter()
    report = build_features(place, [CONFIG], n_workers=1)
    built = time.perf_counter() - start
    assert report.n_kept == report.n_songs, "nothing was lacking"
    start = time.perf_counter()
    assert FeatureStore(place, CONFIG).verify() == []
    print(
        f"{report.n_kept:,} songs trusted by size and time in {built:.1f} s; "
        f"read and compared in {time.perf_counter() - start:.1f} s"
    )


def epochs(place: Workspace, n_songs: int, n_in_memory: int) -> None:
    """One epoch mapped between two in memory; the ratio of their rates."""
    ways = [("in memory", n_in_memory, False), ("mapped", n_songs, True)]
    rates: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in ways}
    for name, n, mapped in [ways[0], ways[1], ways[0]]:
        words = ["--train", str(place.path), "--songs", str(n), *(["--mapped"] if mapped else [])]
        found = in_a_process(*words)
        rate = found["songs"] / np.array([found["epoch_s"], found["epoch_cpu_s"]])
        rates[name].append(rate)
        print(
            f"{name:10}: opened in {found['opened_s']:.2f} s, one epoch of {found['songs']:,.0f} "
            f"songs in {found['epoch_s']:.1f} s ({rate[0]:,.0f} songs/s, {rate[1]:,.0f} for each "
            f"second of processor time), peak {found['peak_gb']:.2f} GB",
            flush=True,
        )
    wall, cpu = rates["mapped"][0] / np.mean(rates["in memory"], axis=0)
    print(f"mapped over in memory: {wall:.2f} by the clock, {cpu:.2f} of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--in-memory", type=int, default=20_000, help="songs that fit")
    parser.add_argument("--index", type=int, default=2_000_000)
    parser.add_argument("--quick", action="store_true", help="2,000 songs, an index of 200,000")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mapped", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.songs, options.mapped)
        return
    if options.quick:
        options.songs, options.index = 2_000, 200_000
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    index(options.index)
    with tempfile.TemporaryDirectory() as folder:
        place = planted(Path(folder) / "w", options.songs, [CONFIG])
        trusted(place)
        epochs(place, options.songs, min(options.in_memory, options.songs))


if __name__ == "__main__":
    main()

"""A feature store larger than memory: rate and memory of training on it, and its index.

    python benchmarks/store.py [--songs 100000] [--index 2000000] [--quick] [--processor-time]

One member of the network of Fig. 1 is trained for one epoch, once with the features in memory
(where they fit) and once with the store mapped, each in a process of its own, so that the peak of
resident memory is its own. 100,000 songs take 8.3 GB of disk.
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
from hitcore.featurestore import FeatureConfig, FeatureStore
from hitcore.learning import Member, TrainConfig, TrainingData, fit_stack

CONFIG = FeatureConfig(segment="middle")


def train(workspace: Path, mapped: bool, processor_time: bool) -> None:
    """One epoch in this process; prints its figures as JSON."""
    clock = time.process_time if processor_time else time.perf_counter
    place = Workspace.open(workspace)
    table = pd.read_parquet(place.hit_scores)
    ids = table["song_id"].tolist()
    start = clock()
    store = FeatureStore(place, CONFIG)
    features = store.map(ids) if mapped else store.load(ids)
    opened = clock() - start
    shares = table["hit_score"].to_numpy().copy()
    data = TrainingData(features.mel, None, y=-1 / np.log10(shares), hit_scores=shares)
    order = np.random.default_rng(0).permutation(len(ids))
    n_held = min(len(ids) // 10, 500)
    member = Member(order[2 * n_held :], order[:n_held], order[n_held : 2 * n_held], sampler="ab")
    marks: list[float] = []
    config = TrainConfig(max_epochs=1, batch_size=16)
    fit_stack(
        data,
        [member],
        config,
        should_stop=lambda: marks.append(clock()) or False,
        progress=lambda now: marks.append(clock()),
    )
    steps = -(-len(member.songs["train"]) // config.batch_size)
    figures = {
        "opened_s": opened,
        "first_s": marks[0] - start,
        "epoch_s": marks[-1] - marks[0],
        "steps": steps,
        "songs": len(member.songs["train"]),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(json.dumps(figures))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--index", type=int, default=2_000_000)
    parser.add_argument("--quick", action="store_true", help="2,000 songs, an index of 200,000")
    parser.add_argument("--processor-time", action="store_true", help="for a shared machine")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mapped", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.mapped, options.processor_time)
        return
    if options.quick:
        options.songs, options.index = 2_000, 200_000
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    index(options.index)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "w"
        planted(place, options.songs, [CONFIG])
        for name in ("in memory", "mapped"):
            words = ["--train", str(place)]
            words += ["--mapped"] if name == "mapped" else []
            words += ["--processor-time"] if options.processor_time else []
            found = in_a_process(*words)
            print(
                f"{name:10}: opened in {found['opened_s']:.2f} s, one epoch of "
                f"{found['songs']:,.0f} songs in {found['epoch_s']:.1f} s "
                f"({found['songs'] / found['epoch_s']:,.0f} songs/s), "
                f"peak {found['peak_gb']:.2f} GB"
            )


if __name__ == "__main__":
    main()

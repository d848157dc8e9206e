"""Whether all workers of a feature build have work until its end.

    python benchmarks/busy.py [--songs 1000] [--workers 16] [--mean-s 0.6]

The cores of a large machine are stood in for: a song's decoding is a sleep, whose length varies
from song to song as real songs' do (log-normal, standard deviation half the mean). So the figure is
of how songs are handed out, on a machine of any size; what workers wait for on a real one (memory,
disks) is not in it. Busy is the time inside songs, as a share of the span times the workers, from
when every worker has begun (a small machine starts many workers slowly) to the last song's end.
"""

import argparse
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hitcore.audio import Waveform
from hitcore.catalogue.workspace import Workspace
from hitcore.featurestore import FeatureConfig, build_features

CONFIG = FeatureConfig(segment="middle", tagger=None)
SPREAD = math.sqrt(math.log(1.25))
"""Of the logarithm, where the standard deviation is half the mean."""


def read_asleep(workspace: Path, source: str) -> Waveform:
    """A second of noise, after a sleep of as many seconds as the source says; noted in a file."""
    number, seconds = source.split()
    begun = time.time()
    time.sleep(float(seconds))
    (workspace / "spans" / number).write_text(f"{begun} {time.time()} {os.getpid()}")
    noise = np.random.default_rng(int(number)).normal(0, 0.1, 22_050)
    return Waveform(noise.astype(np.float32), 22_050)


def busy(n_songs: int, n_workers: int, mean_s: float) -> dict[str, float]:
    draws = np.random.default_rng(1).normal(0, SPREAD, n_songs)
    seconds = mean_s * np.exp(draws - SPREAD**2 / 2)
    sources = [f"{number} {length:.4f}" for number, length in enumerate(seconds)]
    with tempfile.TemporaryDirectory() as scratch:
        place = Workspace.create(Path(scratch) / "w")
        (place.path / "spans").mkdir()
        ids = [f"s{number}" for number in range(n_songs)]
        pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(place.songs)
        report = build_features(place, [CONFIG], read_song=read_asleep, n_workers=n_workers)
        assert report.n_built == n_songs, report.failures
        files = (place.path / "spans").iterdir()
        spans = np.array([[float(word) for word in file.read_text().split()] for file in files])
    starts, ends, workers = spans.T
    begun = max(starts[workers == worker].min() for worker in np.unique(workers))
    inside = np.clip(ends, begun, None) - np.clip(starts, begun, None)
    span = ends.max() - begun
    idle_end = float(np.mean([ends.max() - ends[workers == one].max() for one in set(workers)]))
    return {"span_s": span, "busy": float(inside.sum()) / n_workers / span, "idle_end_s": idle_end}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--mean-s", type=float, default=0.6, help="of a song's decoding")
    options = parser.parse_args()
    found = busy(options.songs, options.workers, options.mean_s)
    print(f"{options.songs} songs of {options.mean_s} s, {options.workers} workers: busy ", end="")
    print(f"{100 * found['busy']:.1f} % of {found['span_s']:.1f} s; at the end a worker ", end="")
    print(f"waits {found['idle_end_s']:.1f} s for the last one on average")


if __name__ == "__main__":
    main()

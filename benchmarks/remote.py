"""What a workspace at an address costs: requests, bytes and processor time for each song.

    python benchmarks/remote.py [--songs 2000] [--quick] [--no-tagger]

Features of made-up songs are built twice, in a folder and at an S3 server on loopback whose
requests are counted; then a machine without copies opens the finished store. Both ways must give
the same numbers. Rates are of the workers' processor time, so that other work on the machine does
not count; the server's own time does not either. From 256 songs on, shards are of 64 songs, as in a
large catalogue.
"""

import argparse
import logging
import os
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import soundfile  # noqa: E402
from s3server import S3  # noqa: E402

from hitcore.catalogue.copying import copy_workspace  # noqa: E402
from hitcore.catalogue.workspace import Workspace  # noqa: E402
from hitcore.featurestore import FeatureConfig, FeatureStore, build_features  # noqa: E402

SECONDS, RATE = 30, 22_050
MANY = 2_000_000

PRICES = {"written": 5.0e-6, "read": 0.4e-6}
"""US dollars a request, list price of S3's standard class; writing counts PUT and LIST."""
PRICE_GB_MONTH = 0.023


class Counting(logging.Filter):
    """Counts the server's requests by what they ask, and lets none be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Count a request; never let it through."""
        asked = re.search(r'"([A-Z]+) (\S+)', record.getMessage())
        if asked:
            listing = asked[1] == "GET" and "list-type" in asked[2]
            self.counts["LIST" if listing else asked[1]] += 1
        return False

    def taken(self) -> Counter[str]:
        """What was counted since the last call."""
        found, self.counts = self.counts, Counter()
        return found


def songs(workspace: Workspace, n_songs: int) -> list[str]:
    """Songs of half a minute as FLAC, in the workspace's folder of sound."""
    workspace.audio.mkdir()
    ids = [f"s{i:05d}" for i in range(n_songs)]
    for number, song in enumerate(ids):
        noise = np.random.default_rng(number).normal(0, 0.1, SECONDS * RATE)
        soundfile.write(workspace.audio / f"{song}.flac", noise, RATE)
    table = pd.DataFrame({"song_id": ids, "source": [f"{song}.flac" for song in ids]})
    table.to_parquet(workspace.songs)
    return ids


def build(workspace: Workspace, config: FeatureConfig, n_songs: int) -> float:
    """Processor time of the workers for each song, seconds."""
    before = worker_s()
    report = build_features(workspace, [config], n_workers=1)
    assert report.n_built == n_songs, report.failures
    return (worker_s() - before) / n_songs


def worker_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shown(title: str, counts: Counter[str], n_songs: int) -> None:
    each = ", ".join(f"{name} {n / n_songs:.3f}" for name, n in sorted(counts.items()))
    written = counts["PUT"] + counts["LIST"] + counts["POST"]
    read = counts["GET"] + counts["HEAD"]
    price = (written * PRICES["written"] + read * PRICES["read"]) * MANY / n_songs
    print(f"{title}: requests a song: {each}; for {MANY:,} songs {price:,.2f} dollars")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="256 songs")
    parser.add_argument("--no-tagger", action="store_true", help="spectrograms alone")
    options = parser.parse_args()
    config = FeatureConfig("middle", tagger=None if options.no_tagger else "musicnn-mtt")
    n_songs = 256 if options.quick else options.songs
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {n_songs:,} songs")
    logger, counting = logging.getLogger("werkzeug"), Counting()
    with tempfile.TemporaryDirectory() as name, S3.serving() as server:
        logger.setLevel(logging.INFO)
        logger.addFilter(counting)
        folder = Path(name)
        os.environ.update(server.environment, HITCORE_COPIES=str(folder / "driver"))
        server.empty()
        here = Workspace.create(folder / "w")
        ids = songs(here, n_songs)
        there = copy_workspace(str(here.path), "s3://bucket/w")
        folder_s = build(here, config, n_songs)
        counting.taken()
        address_s = build(there, config, n_songs)
        print(
            f"workers: {folder_s:.4f} s of processor time a song in a folder, {address_s:.4f} s at "
            f"an address ({address_s / folder_s:.3f} times)"
        )
        shown("building", counting.taken(), n_songs)
        os.environ["HITCORE_COPIES"] = str(folder / "other")
        start, used = time.perf_counter(), time.process_time()
        store = FeatureStore(Workspace.open("s3://bucket/w"), config)
        store.refresh()
        found = store.load(ids)
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        shown("opening on another machine", counting.taken(), n_songs)
        same = FeatureStore(here, config).load(ids)
        assert np.array_equal(found.mel, same.mel)
        assert options.no_tagger or np.array_equal(found.tags, same.tags)
        sizes = store.workspace.mirror.sizes(store.folder, deep=True)
        per_song = sum(sizes.values()) / n_songs
        print(
            f"bytes a song: {per_song:,.0f} (of {len(sizes) / n_songs:.3f} files); brought and "
            f"checked in {wall:.1f} s ({cpu:.1f} processor s, the server's included); kept for "
            f"{MANY:,} songs {per_song * MANY / 1e9 * PRICE_GB_MONTH:.2f} dollars a month"
        )


if __name__ == "__main__":
    main()

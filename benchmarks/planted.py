"""Made-up songs of the real size whose features carry their hit score: for timing, not for show.

python benchmarks/planted.py WORKSPACE --songs 15000
"""

import argparse
import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from hitcore.catalogue.workspace import Workspace
from hitcore.featurestore import FeatureConfig, FeatureStore
from hitcore.featurestore.store import digest_of
from hitcore.files import sha256_of

SHARD = 256
"""Songs in a shard; a build makes smaller ones."""


def planted(
    path: Path, n_songs: int, configs: Iterable[FeatureConfig], seed: int = 0, shard: int = SHARD
) -> Workspace:
    """A workspace with songs, hit scores and features, without any sound."""
    rng = np.random.default_rng(seed)
    workspace = Workspace.create(path)
    appeal = rng.permutation(n_songs) / n_songs
    ids = [f"s{i:07d}" for i in range(n_songs)]
    days = pd.to_timedelta(rng.integers(0, 365, n_songs), unit="D")
    songs = pd.DataFrame(
        {
            "song_id": ids,
            "source": [f"demo:0:{i}" for i in range(n_songs)],
            "title": [f"Song {i}" for i in range(n_songs)],
            "artist_ids": [[f"a{i % max(n_songs // 5, 1)}"] for i in range(n_songs)],
            "release_date": pd.to_datetime("2016-01-01") + days,
        }
    )
    songs.to_parquet(workspace.songs)
    table = pd.DataFrame({"song_id": ids, "hit_score": 1e-6 * np.exp(6 * appeal)})
    table.to_parquet(workspace.hit_scores)
    for config in configs:
        store = FeatureStore(workspace, config)
        store.folder.mkdir(parents=True)
        parts = range(0, n_songs, shard)
        with ThreadPoolExecutor() as pool:
            list(
                pool.map(
                    lambda start, store=store: _shard(
                        store, start // shard, ids[start : start + shard],
                        appeal[start : start + shard],
                    ),
                    parts,
                )
            )  # fmt: skip
        store.write_index()
    return workspace


def _shard(store: FeatureStore, number: int, ids: list[str], appeal: np.ndarray) -> None:
    rng = np.random.default_rng([number, 1])
    config = store.config
    shape = (len(ids), config.mel_config.n_mels, config.n_frames)
    mel = 2 + rng.standard_normal(shape, np.float32)
    mel[:, 40] += (2 * appeal)[:, None]
    tags = rng.random((len(ids), 50), np.float32)
    tags[:, 0] = appeal
    about: dict = {"tag_names": [f"tag{i}" for i in range(50)]}
    for name, array in (("mel", mel.astype(np.float16)), ("tags", tags)):
        file = store.folder / f"shard-{number:05d}-{name}.npy"
        np.save(file, array)
        seen = file.stat()
        about |= {name: file.name, f"{name}_sha256": sha256_of(file)}
        about[f"{name}_stamp"] = [seen.st_size, seen.st_mtime_ns]
    about["songs"] = [
        {
            "song_id": song, "shard": number, "row": row,
            "content_hash": hashlib.sha256(song.encode()).hexdigest(),
            "start_s": 0.0, "end_s": 30.0, "status": "ok", "error": None,
        }
        for row, song in enumerate(ids)
    ]  # fmt: skip
    about["sha256"] = digest_of(about)
    (store.folder / f"shard-{number:05d}.json").write_text(json.dumps(about))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--songs", type=int, default=15_000)
    options = parser.parse_args()
    configs = [FeatureConfig(segment="middle"), FeatureConfig()]
    planted(options.workspace, options.songs, configs)


if __name__ == "__main__":
    main()

"""A workspace whose features carry a planted ranking, written without any sound."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from hitcore.catalogue.workspace import Workspace
from hitcore.featurestore import FeatureConfig, FeatureStore
from hitcore.files import sha256_of


def planted_workspace(
    path: Path,
    n_songs: int = 60,
    segments: tuple[str, ...] = ("middle", "repetition"),
    seed: int = 0,
) -> Workspace:
    """Songs whose loudness in one mel band and whose first tag rise with their hit score."""
    rng = np.random.default_rng(seed)
    workspace = Workspace.create(path)
    appeal = rng.permutation(n_songs) / n_songs
    ids = [f"s{i:04d}" for i in range(n_songs)]
    songs = pd.DataFrame(
        {
            "song_id": ids,
            "source": [f"demo:0:{i}" for i in range(n_songs)],
            "title": [f"Song {i}" for i in range(n_songs)],
            "artist_ids": [[f"a{i % (n_songs // 5)}"] for i in range(n_songs)],
            "release_date": pd.to_datetime("2016-01-01")
            + pd.to_timedelta(rng.integers(0, 365, n_songs), unit="D"),
        }
    )
    songs.to_parquet(workspace.songs)
    shares = 1e-6 * np.exp(6 * appeal)
    pd.DataFrame({"song_id": ids, "hit_score": shares}).to_parquet(workspace.hit_scores)
    for segment in segments:
        mel = rng.normal(2, 1, (n_songs, 128, 323)).clip(0).astype(np.float16)  # ln(1 + power)
        mel[:, 40] += (4 * appeal)[:, None].astype(np.float16)
        tags = rng.random((n_songs, 50)).astype(np.float32)
        tags[:, 0] = appeal
        write_store(workspace, FeatureConfig(segment=segment), ids, mel, tags)
    return workspace


def write_store(
    workspace: Workspace,
    config: FeatureConfig,
    ids: list[str],
    mel: np.ndarray,
    tags: np.ndarray,
    shard: int | None = None,
) -> None:
    """A feature store of shards of so many songs (None: of one), in the format of a build."""
    store = FeatureStore(workspace, config)
    store.folder.mkdir(parents=True)
    size = shard or len(ids)
    for number, start in enumerate(range(0, len(ids), size)):
        about: dict = {"tag_names": [f"tag{i}" for i in range(tags.shape[1])]}
        for name, array in (("mel", mel), ("tags", tags)):
            file = store.folder / f"shard-{number:05d}-{name}.npy"
            np.save(file, array[start : start + size])
            stamp = [file.stat().st_size, file.stat().st_mtime_ns]
            about |= {name: file.name, f"{name}_sha256": sha256_of(file), f"{name}_stamp": stamp}
        about["songs"] = [
            {
                "song_id": song,
                "shard": number,
                "row": row,
                "content_hash": hashlib.sha256(song.encode()).hexdigest(),
                "start_s": 0.0,
                "end_s": 30.0,
                "status": "ok",
                "error": None,
            }
            for row, song in enumerate(ids[start : start + size])
        ]
        (store.folder / f"shard-{number:05d}.json").write_text(json.dumps(about))
    store.write_index()

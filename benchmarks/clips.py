"""The real clips of `../shared/data/real`, for scripts that learn from them or judge by them.

Nothing of them is written into the project but weights and figures.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hitcore.catalogue.songs import Catalogue, Song
from hitcore.networks.statistics import mel_statistics

SHARED = Path(os.environ.get("HITCORE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
ATTRIBUTES = (
    "acousticness",
    "danceability",
    "energy",
    "instrumentalness",
    "liveness",
    "speechiness",
    "valence",
)


@dataclass(frozen=True, eq=False)
class Clips:
    """Features and labels of the clips, row by row the same ones."""

    table: pd.DataFrame
    mel: torch.Tensor
    """`(n, 128, 323)`, log-mel by the paper's preset."""
    tags: torch.Tensor
    """`(n, 50)`, by musicnn-mtt."""
    tag_names: tuple[str, ...]
    statistics: torch.Tensor
    """`mel_statistics` of `mel`."""

    @property
    def popularity(self) -> NDArray[np.float64]:
        """Of the artist, 0 to 1."""
        return self.table["artist_popularity"].to_numpy(float) / 100

    @property
    def artists(self) -> NDArray[np.str_]:
        """Who made each."""
        return self.table["artist_id"].to_numpy(str)


def read_clips() -> Clips:
    folder = SHARED / "data" / "real"
    table = pd.read_parquet(folder / "clips.parquet")
    with np.load(folder / "clips_features.npz") as found:
        if list(found["song_id"]) != list(table["song_id"]):
            raise SystemExit("clips.parquet and clips_features.npz do not list the same songs")
        mel = torch.from_numpy(found["log_mel_u8"].astype(np.float32) * float(found["scale"]))
        tags = torch.from_numpy(found["tags"].astype(np.float32))
        names = tuple(str(name) for name in found["tag_names"])
    return Clips(table, mel, tags, names, mel_statistics(mel))


def read_charts() -> pd.DataFrame:
    """The 28,466 songs of 1960 to 2019, half of them on the Hot 100."""
    return pd.read_parquet(SHARED / "data" / "charts" / "hot100_1960_2019.parquet")


def artist_folds(artists: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold in which each clip is tested; no artist stands in two."""
    songs = [Song(f"s{i:05d}", artist_ids=(str(a),)) for i, a in enumerate(artists)]
    catalogue = Catalogue.from_songs(songs)
    fold = np.empty(len(artists), np.int64)
    for number, split in enumerate(catalogue.folds(n_folds, kind="artist", seed=seed)):
        fold[split.test] = number
    return fold

"""Songs whose order can be learned, and a split of them."""

import numpy as np

from hitcore.learning import TrainingData

N_MELS, N_FRAMES, N_TAGS, N_SONGS = 8, 20, 5, 60


def planted(
    n_songs: int = N_SONGS, n_mels: int = N_MELS, n_frames: int = N_FRAMES, seed: int = 0
) -> TrainingData:
    """Songs whose order is written into two bins and two tags, under noise."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n_songs)
    mel = rng.normal(size=(n_songs, n_mels, n_frames))
    mel[:, :2] += 0.7 * quality[:, None, None]
    tags = rng.random((n_songs, N_TAGS))
    tags[:, :2] += quality[:, None]
    share = 1e-4 * np.exp(1.5 * quality)
    return TrainingData(
        mel=(4 + mel).astype(np.float32),
        tags=tags.astype(np.float32),
        y=-1 / np.log10(share),
        hit_scores=share,
        artist_ids=[[f"artist {song // 4}"] for song in range(n_songs)],
        preset="paper",
    )


def split(n_songs: int = N_SONGS, seed: int = 0) -> dict[str, np.ndarray]:
    order = np.random.default_rng(seed).permutation(n_songs)
    cut = [int(0.7 * n_songs), int(0.85 * n_songs)]
    return dict(zip(("train", "valid", "test"), np.split(order, cut), strict=True))

"""Songs for builds under test: cheap ones, some that hang, crash or fail, and their catalogues."""

import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hitcore.audio import Waveform
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import AudioError
from hitcore.featurestore import FeatureConfig, FeatureStore

SECONDS = 3
SAMPLE_RATE = 22_050
CONFIG = FeatureConfig(segment="middle", tagger=None)


def read_noise(workspace: Path, source: str) -> Waveform:
    """Three seconds of noise that follow from the source's name."""
    seed = int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")
    samples = np.random.default_rng(seed).normal(0, 0.1, SECONDS * SAMPLE_RATE)
    return Waveform(samples.astype(np.float32), SAMPLE_RATE)


def read_slowly(workspace: Path, source: str) -> Waveform:
    """The same, so slowly that a build can be interrupted."""
    time.sleep(0.1)
    return read_noise(workspace, source)


def read_trouble(workspace: Path, source: str) -> Waveform:
    """Noise, or what the source's name asks for."""
    if source == "hang":
        time.sleep(3600)
    if source == "stuck":
        # Nothing in this process can interrupt it: the signal is blocked, as in C code.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)
    if source == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if source == "bug":
        raise ZeroDivisionError("division by zero")
    if source == "corrupt":
        raise AudioError("the file is no sound file")
    return read_noise(workspace, source)


def catalogue(path: Path, sources: list[str]) -> Workspace:
    workspace = Workspace.create(path)
    ids = [f"s{i:03d}" for i in range(len(sources))]
    pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(workspace.songs)
    return workspace


def noise(path: Path, n_songs: int) -> Workspace:
    return catalogue(path, [f"noise {i}" for i in range(n_songs)])


def song_ids(workspace: Workspace) -> list[str]:
    return pd.read_parquet(workspace.songs)["song_id"].tolist()


def contents(workspace: Workspace, config: FeatureConfig = CONFIG) -> tuple[np.ndarray, list]:
    """What a store holds of each song, wherever it stands."""
    store = FeatureStore(workspace, config)
    index = store.index().sort_values("song_id").drop(columns=["shard", "row"])
    return store.load(song_ids(workspace)).mel, index.to_dict("records")


def same(first: Workspace, second: Workspace) -> bool:
    (mel, index), (other_mel, other_index) = contents(first), contents(second)
    return bool(np.array_equal(mel, other_mel)) and index == other_index

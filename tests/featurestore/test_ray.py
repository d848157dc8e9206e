"""Features and experiments on a real Ray cluster of three nodes, one of which is lost."""

import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace
from s3server import S3
from slowsongs import read_noise, read_slowly

from hitcore.catalogue.copying import copy_workspace
from hitcore.catalogue.workspace import Workspace
from hitcore.engines import map_songs
from hitcore.experiments import (
    ExperimentConfig,
    ExperimentProgress,
    Grid,
    Ledger,
    load_results,
    run_experiment,
)
from hitcore.featurestore import (
    BuildReport,
    FeatureConfig,
    FeatureStore,
    Progress,
    build_features,
)
from hitcore.learning import TrainConfig

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'hitcore[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    # Ray's own processes and sockets are its own affair.
    pytest.mark.filterwarnings("ignore"),
]

CONFIG = FeatureConfig(segment="middle", tagger=None)
N_SONGS = 200
ROWS = ["tags", "linear", "artist-prior", "release-year"]
EXPERIMENT = ExperimentConfig(
    n_folds=6,
    grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.3, 0.7)),
    training=TrainConfig(batch_size=16, max_epochs=3, learning_rate=0.02),
)
FIGURES = ["row", "fold", "ndcg", "kendall", "spearman", "auc", "tag_weight", "best_epoch"]
MEMORY = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work itself."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_DEDUP_LOGS", "0")
        head = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **MEMORY})
        yield head
        ray.shutdown()
        head.shutdown()


@pytest.fixture
def workers(cluster: Any) -> Iterator[list[Any]]:
    """Two nodes that work, with one core each."""
    nodes = [cluster.add_node(num_cpus=1, **MEMORY) for _ in range(2)]
    cluster.wait_for_nodes()
    yield nodes
    for node in nodes:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


def is_lost(node: Any) -> bool:
    """Whether the cluster knows that a node is gone; it takes a moment to notice."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node.node_id):
            return True
        time.sleep(0.2)
    return False


def test_features_on_a_cluster_that_loses_a_node_are_those_made_here(
    cluster: Any, workers: list[Any], tmp_path: Path
) -> None:
    here, there = (_catalogue(tmp_path / name) for name in ("here", "there"))
    build_features(here, [CONFIG], read_song=read_noise, n_workers=2)
    seen, report = _built_while_losing(workers[0], cluster, there)
    assert seen[0].n_done < N_SONGS / 2
    assert is_lost(workers[0])
    assert (report.n_built, len(report.failures)) == (N_SONGS, 0)
    stores = [FeatureStore(place, CONFIG) for place in (here, there)]
    indexes = [store.index().drop(columns=["shard", "row"]) for store in stores]
    pd.testing.assert_frame_equal(
        *(index.sort_values("song_id").reset_index(drop=True) for index in indexes)
    )
    ids = [f"s{i:03d}" for i in range(N_SONGS)]
    np.testing.assert_array_equal(stores[0].load(ids).mel, stores[1].load(ids).mel)
    arrays = [np.load(path, mmap_mode="r") for path in stores[1].folder.glob("*-mel.npy")]
    assert sum(map(len, arrays)) == N_SONGS
    assert stores[1].verify() == []


def _built_while_losing(
    node: Any, cluster: Any, workspace: Workspace
) -> tuple[list[Progress], BuildReport]:
    """Features made on a cluster that loses a node at the first song: what was told, the end."""
    seen: list[Progress] = []

    def lose_it(progress: Progress) -> None:
        if not seen:
            cluster.remove_node(node, allow_graceful=False)
        seen.append(progress)

    report = build_features(
        workspace,
        [CONFIG],
        read_song=read_slowly,
        engine=f"ray:{cluster.address}",
        on_progress=lose_it,
    )
    return seen, report


def _catalogue(path: Path) -> Workspace:
    workspace = Workspace.create(path)
    ids = [f"s{i:03d}" for i in range(N_SONGS)]
    sources = [f"noise {i}" for i in range(N_SONGS)]
    pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(workspace.songs)
    return workspace


def test_experiments_on_a_cluster_that_loses_a_node_find_the_same(
    cluster: Any, workers: list[Any], tmp_path: Path
) -> None:
    here, there = (planted_workspace(tmp_path / name, n_songs=90) for name in ("here", "there"))
    run_experiment(here, ROWS, EXPERIMENT)
    lost: list[int] = []

    def lose_a_node(progress: ExperimentProgress) -> None:
        if progress.n_done >= 3 and not lost:
            cluster.remove_node(workers[0], allow_graceful=False)
            lost.append(progress.n_done)

    run_experiment(
        there, ROWS, EXPERIMENT, engine=f"ray:{cluster.address}", on_progress=lose_a_node
    )
    assert lost
    assert lost[0] < 24
    assert is_lost(workers[0])
    tables = [load_results(place).metrics[FIGURES] for place in (here, there)]
    assert len(tables[1]) == len(tables[1].drop_duplicates(["row", "fold"])) == 24
    pd.testing.assert_frame_equal(*tables)
    ledger = Ledger(there.ledger).table()
    assert ledger["state"].tolist() == ["done"] * 24
    finished = {path.parent.name for path in there.runs.glob("[!.]*/metrics.parquet")}
    assert finished == set(ledger["run_id"])


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An S3 server, and a driver that is its client and has copies of its own."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'hitcore[s3]'")
    pytest.importorskip("moto", reason="moto, which makes the S3 server, is not installed")
    with S3.serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HITCORE_COPIES", str(tmp_path / "driver"))
        server.empty()
        yield server


@pytest.fixture
def apart(cluster: Any, s3: S3, tmp_path: Path) -> Iterator[list[Any]]:
    """Two nodes that share no folder, with one core each."""
    nodes = []
    for name in ("first", "second"):
        environment = {**s3.environment, "HITCORE_COPIES": str(tmp_path / name)}
        nodes.append(cluster.add_node(num_cpus=1, env_vars=environment, **MEMORY))
    cluster.wait_for_nodes()
    yield nodes
    for node in nodes:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


def test_nodes_that_share_nothing_but_an_address_make_the_same_and_one_may_be_lost(
    cluster: Any, apart: list[Any], s3: S3, tmp_path: Path
) -> None:
    here = planted_workspace(tmp_path / "w", n_songs=30, segments=("repetition",))
    there = copy_workspace(str(here.path), "s3://bucket/w")
    rows = ["tags", "release-year"]
    config = replace(EXPERIMENT, n_folds=3)
    run_experiment(here, rows, config)
    run_experiment(there, rows, config, engine=f"ray:{cluster.address}")
    tables = [load_results(place).metrics[FIGURES] for place in (here, there)]
    pd.testing.assert_frame_equal(*tables)
    states = Ledger(there.ledger).table()["state"]
    assert states.tolist() == ["done"] * 6

    songs = pd.read_parquet(here.songs).assign(source=[f"noise {i}" for i in range(30)])
    for place in (here, there):
        songs.to_parquet(place.songs)
        place.push(place.songs)
    build_features(here, [CONFIG], read_song=read_noise, n_workers=1)
    seen, report = _built_while_losing(apart[0], cluster, there)
    assert seen[0].n_done < 30
    assert (report.n_built, len(report.failures)) == (30, 0)
    assert not list(FeatureStore(there, CONFIG).folder.glob("*.npy")), "made in other folders"
    assert list((tmp_path / "second").rglob("shard-*-mel.npy"))
    ids = songs["song_id"].tolist()
    found = [FeatureStore(place, CONFIG).load(ids).mel for place in (here, there)]
    np.testing.assert_array_equal(*found)


def test_failures_come_back_as_here(cluster: Any, workers: list[Any]) -> None:
    outcomes = {o.item: o for o in map_songs(math.sqrt, [4, -1], f"ray:{cluster.address}")}
    local = {o.item: o for o in map_songs(math.sqrt, [4, -1], n_workers=1)}
    assert outcomes[4].value == local[4].value == 2.0
    assert outcomes[-1].cause == local[-1].cause == "ValueError"
    assert replace(outcomes[-1], duration_s=0) == replace(local[-1], duration_s=0)

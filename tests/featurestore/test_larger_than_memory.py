"""Stores that stay on disk while they are trained on, trusted by size and time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace, write_store

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError
from hitcore.featurestore import FeatureConfig, FeatureStore, MappedFeatures
from hitcore.featurestore import store as stores
from hitcore.learning import Member, TrainConfig, TrainingData, fit_stack

N_SONGS, SHARD = 60, 7
CONFIG = FeatureConfig(segment="middle")
TRAIN = TrainConfig(max_epochs=2, batch_size=6)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A store of many small shards."""
    place = planted_workspace(tmp_path / "w", N_SONGS, segments=("middle",))
    whole = FeatureStore(place, CONFIG).load(ids())
    for file in FeatureStore(place, CONFIG).folder.iterdir():
        file.unlink()
    FeatureStore(place, CONFIG).folder.rmdir()
    write_store(place, CONFIG, ids(), whole.mel, whole.tags, shard=SHARD)
    return place


def ids() -> list[str]:
    return [f"s{i:04d}" for i in range(N_SONGS)]


def mapped(workspace: Workspace, songs: list[str]) -> MappedFeatures:
    return FeatureStore(workspace, CONFIG).map(songs)


def truth() -> np.ndarray:
    return 1e-6 * np.exp(np.random.default_rng(1).normal(size=N_SONGS))


def data_of(mel: object, tags: np.ndarray | None) -> TrainingData:
    shares = truth()
    return TrainingData(mel, tags, y=-1 / np.log10(shares), hit_scores=shares)


def members() -> list[Member]:
    order = np.random.default_rng(2).permutation(N_SONGS)
    parts = np.array_split(order, 5)
    return [
        Member(np.concatenate(parts[:3]), parts[3], parts[4], sampler=sampler, seed=4,
               use_tags=use_tags)
        for sampler in ("ab", None)
        for use_tags in (False, True)
    ]  # fmt: skip


def test_what_is_mapped_is_what_is_loaded(workspace: Workspace) -> None:
    order = [ids()[i] for i in np.random.default_rng(0).permutation(N_SONGS)]
    whole, part = FeatureStore(workspace, CONFIG).load(order), mapped(workspace, order)
    assert part.mel.shape == whole.mel.shape
    assert np.array_equal(part.mel.rows(np.arange(N_SONGS)), whole.mel)
    assert np.array_equal(part.mel.rows(np.array([41, 3, 41])), whole.mel[[41, 3, 41]])
    assert np.array_equal(part.tags, whole.tags)
    assert part.tag_names == whole.tag_names


def test_training_by_parts_is_training_in_memory_where_the_order_is_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every epoch's order forced to be that of the parts, the two ways agree to rounding."""
    from hitcore.learning.stacks import chunk
    from hitcore.learning.stacks.devicedata import DeviceData

    monkeypatch.setattr("hitcore.learning.stacks.devicedata.PART_SONGS", 15)
    part = mapped(workspace, ids())
    config = replace(TRAIN, dropout=0.0)
    by_parts = fit_stack(data_of(part.mel, part.tags), members(), config)
    held = FeatureStore(workspace, CONFIG).load(ids())
    lazy = DeviceData(data_of(part.mel, part.tags), chunk.torch.device("cpu"))

    def in_the_order_of_parts(member, rule, epoch, config):  # type: ignore[no-untyped-def]
        steps = []
        for number, songs in enumerate(lazy.parts(epoch)):
            steps += chunk.part_batches(member, songs, number, epoch, config)
        return steps

    monkeypatch.setattr(chunk, "epoch_batches", in_the_order_of_parts)
    in_memory = fit_stack(data_of(held.mel, held.tags), members(), config)
    for one, other in zip(by_parts.members, in_memory.members, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=2e-4)
        assert not np.isnan(one.scores).any()


def test_parts_hold_every_song_once_in_an_order_of_the_epoch(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hitcore.learning.stacks.devicedata import DeviceData, torch

    monkeypatch.setattr("hitcore.learning.stacks.devicedata.PART_SONGS", 15)
    part = mapped(workspace, ids())
    data = DeviceData(data_of(part.mel, None), torch.device("cpu"))
    orders = [data.parts(epoch) for epoch in (1, 1, 2)]
    for order in orders:
        assert sorted(np.concatenate(order).tolist()) == list(range(N_SONGS))
        assert all(len(songs) <= data.capacity for songs in order)
    first, again, other = (np.concatenate(order).tolist() for order in orders)
    assert first == again != other


def test_a_store_that_changes_during_training_is_named(workspace: Workspace) -> None:
    part = mapped(workspace, ids())
    file = part.mel.files[2]
    array = np.load(file)
    array[0] += 1
    np.save(file, array)
    with pytest.raises(DataError, match=rf"{file.name} has changed while it was read"):
        fit_stack(data_of(part.mel, part.tags), members(), TRAIN)


def test_pairs_of_all_songs_are_refused_where_the_songs_lie_on_disk(workspace: Workspace) -> None:
    part = mapped(workspace, ids())
    with pytest.raises(ParameterError, match="pairing='in_batch'"):
        fit_stack(data_of(part.mel, None), members()[:1], replace(TRAIN, pairing="explicit"))


def test_a_build_trusts_size_and_time_and_verify_reads_all(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(workspace, CONFIG)
    read: list[Path] = []
    sha256_of = stores.sha256_of
    monkeypatch.setattr(stores, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    assert store.drop_damaged_shards() == 0
    assert read == [], "nothing is read that has its noted size and time"
    assert store.verify() == []
    assert len(read) == 2 * -(-N_SONGS // SHARD)
    file = sorted(store.folder.glob("shard-*-mel.npy"))[1]
    file.write_bytes(file.read_bytes()[:-2] + b"xy")
    assert store.drop_damaged_shards() == 1, "another time of change: the checksum decides"


def test_the_index_of_a_large_store_opens_fast_enough_to_be_asked_for(tmp_path: Path) -> None:
    """A hundredth of 2 million songs; the bench has the whole (benchmarks/store.py)."""
    place = Workspace.create(tmp_path / "w")
    store = FeatureStore(place, CONFIG)
    store.folder.mkdir(parents=True)
    n = 20_000
    pd.DataFrame(
        {
            "song_id": [f"s{i:07d}" for i in range(n)], "shard": np.arange(n) // 64,
            "row": np.arange(n) % 64, "content_hash": ["a" * 64] * n, "start_s": 0.0,
            "end_s": 30.0, "status": "ok", "error": None,
        }
    ).to_parquet(store.folder / "index.parquet")  # fmt: skip
    wanted = [f"s{i:07d}" for i in range(n - 1, -1, -7)]
    table = store._rows_of(wanted)
    assert table["shard"].tolist() == [i // 64 for i in range(n - 1, -1, -7)]
    with pytest.raises(DataError, match="1 of 2 songs have no features"):
        store._rows_of(["s0000001", "other"])

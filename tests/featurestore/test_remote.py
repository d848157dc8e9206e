"""Workspaces at an address: a real S3 server on loopback, which also refuses, vanishes, returns."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace
from s3server import S3
from slowsongs import read_noise

from hitcore.audio import Waveform
from hitcore.catalogue.copying import copy_workspace
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError, StoreError
from hitcore.experiments import ExperimentConfig, Grid, Ledger, load_results, run_experiment
from hitcore.featurestore import FeatureConfig, FeatureStore, Progress, build_features
from hitcore.featurestore.shards import ShardTask, build_shard
from hitcore.learning import TrainConfig
from hitcore.remote import Mirror

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'hitcore[s3]'")
pytest.importorskip("moto", reason="moto, which makes the S3 server, is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # the server's and boto's own affair

CONFIG = FeatureConfig(segment="middle", tagger=None)
IDS = [f"s{i:03d}" for i in range(40)]
ROWS = ["linear", "artist-prior", "release-year"]
EXPERIMENT = ExperimentConfig(n_folds=3, grid=Grid((0.3,), (0.8,), (0.5,)))
TRAINED = ExperimentConfig(
    n_folds=3, grid=EXPERIMENT.grid, training=TrainConfig(batch_size=16, max_epochs=1)
)
FIGURES = ["row", "fold", "ndcg", "kendall", "spearman", "auc"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with S3.serving() as server:
        server.empty()
        yield server


@pytest.fixture(scope="module")
def built(server: S3, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A folder with features, and the same built at s3://bucket/built."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patched:
        surround(patched, server, folder)
        for place in (folder / "w", "s3://bucket/built"):
            workspace = catalogue(place)
            report = build_features(workspace, [CONFIG], read_song=read_noise, n_workers=1)
            assert (report.n_built, len(report.failures)) == (len(IDS), 0)
    return Workspace.open(folder / "w")


@pytest.fixture
def s3(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, and a machine that has no copies yet."""
    surround(monkeypatch, server, tmp_path)
    return server


def surround(patched: pytest.MonkeyPatch, server: S3, folder: Path) -> None:
    """What a machine must know to be a client, and where it keeps copies."""
    patched.setenv("HITCORE_COPIES", str(folder / "cache"))
    patched.setenv("HITCORE_STORE_PATIENCE", "20")
    for name, value in server.environment.items():
        patched.setenv(name, value)


def catalogue(path: Path | str) -> Workspace:
    workspace = Workspace.create(path)
    table = pd.DataFrame({"song_id": IDS, "source": [f"noise {i}" for i in IDS]})
    table.to_parquet(workspace.songs)
    workspace.push(workspace.songs)
    return workspace


def store_at(address: str) -> FeatureStore:
    store = FeatureStore(Workspace.open(address), CONFIG)
    store.refresh()
    return store


def assert_same_features(here: Workspace, there: FeatureStore) -> None:
    stores = [FeatureStore(here, CONFIG), there]
    indexes = [
        store.index().drop(columns=["shard", "row"]).sort_values("song_id", ignore_index=True)
        for store in stores
    ]
    pd.testing.assert_frame_equal(*indexes)
    whole = stores[0].load(IDS).mel
    assert np.array_equal(there.map(IDS).mel.rows(np.arange(len(IDS))), whole)
    assert np.array_equal(there.load(IDS).mel, whole)


def test_features_at_an_address_are_those_of_a_folder(s3: S3, built: Workspace) -> None:
    store = store_at("s3://bucket/built")
    assert not list(store.folder.glob("*.npy")), "arrays come when they are asked for"
    assert_same_features(built, store)
    assert store.verify() == []
    assert store.index()["shard"].nunique() > 1
    held = set(store.workspace.mirror.sizes(store.folder, deep=True))
    assert not [name for name in held if name.startswith("parts/")], "nothing unfinished stays"
    again = build_features(store.workspace, [CONFIG], read_song=read_noise, n_workers=1)
    assert (again.n_built, again.n_kept) == (0, len(IDS))


def test_a_copy_that_was_checked_is_trusted_by_size_and_time(
    s3: S3, built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at("s3://bucket/built")
    store.map(IDS)
    read: list[Path] = []
    monkeypatch.setattr("hitcore.featurestore.store.sha256_of", read.append)
    store.map(IDS)
    assert read == []


def test_a_shard_that_the_store_has_lost_or_cut_is_named_and_mended(
    s3: S3, built: Workspace
) -> None:
    copy_workspace(str(built.path), "s3://bucket/damaged")
    store = store_at("s3://bucket/damaged")
    whole = store.load(IDS).mel
    lost, cut = sorted(store.folder.glob("*-mel.npy"))[:2]
    store.workspace.remove(lost)
    cut.write_bytes(cut.read_bytes()[:-100])
    store.workspace.push(cut)
    problems = store.verify()
    assert len(problems) == 2
    assert lost.name in problems[0]
    assert cut.name in problems[1]
    with pytest.raises(DataError, match=rf"{lost.name}.*features build s3://bucket/damaged"):
        store.load(IDS)
    report = build_features(store.workspace, [CONFIG], read_song=read_noise, n_workers=1)
    assert 0 < report.n_built < len(IDS)
    assert store.verify() == []
    assert np.array_equal(store.load(IDS).mel, whole)


def test_a_song_that_ends_one_machine_after_another_is_given_up(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine was at when it was lost is known to the next one."""
    place = catalogue("s3://bucket/lost")
    songs = tuple((song, f"noise {song}") for song in IDS[:4])
    task = ShardTask(
        place.path, (CONFIG,), 0, songs, read_fatally, build="one", address=place.address
    )
    for machine in ("first", "second"):
        monkeypatch.setenv("HITCORE_COPIES", str(tmp_path / machine))
        with pytest.raises(SystemExit):
            build_shard(task)
    monkeypatch.setenv("HITCORE_COPIES", str(tmp_path / "third"))
    assert build_shard(task) == {"worker died": 1}
    store = store_at("s3://bucket/lost")
    index = store.write_index()
    assert index.loc[index["status"] == "failed", "song_id"].tolist() == [IDS[2]]


def read_fatally(workspace: Path, source: str) -> Waveform:
    if source == f"noise {IDS[2]}":
        raise SystemExit("the machine is lost")
    return read_noise(workspace, source)


def test_experiments_at_an_address_find_what_they_find_in_a_folder(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = planted_workspace(tmp_path / "w", n_songs=30, segments=("repetition",))
    there = copy_workspace(str(here.path), "s3://bucket/w")
    run_experiment(here, ROWS, EXPERIMENT)
    # One row's runs fail on workers that share no ledger with this process: they are named here.
    store = FeatureStore(there, FeatureConfig())
    array = store.folder / "shard-00000-mel.npy"
    there.fetch(array)
    content = array.read_bytes()
    there.remove(array)
    with pytest.raises(DataError, match=r"3 of 9 runs failed, first row linear.*shard-00000-mel"):
        run_experiment(there, ROWS, EXPERIMENT, n_workers=2)
    states = Ledger(there.ledger).table().set_index("row")["state"]
    assert set(states["linear"]) == {"failed"}
    assert set(states["release-year"]) == {"done"}
    array.write_bytes(content)
    there.push(array)
    run_experiment(there, ROWS, EXPERIMENT)
    assert Ledger(there.ledger).table()["state"].tolist() == ["done"] * 9
    # Another driver finds what is done by its folders, and all of it can be taken back.
    monkeypatch.setenv("HITCORE_COPIES", str(tmp_path / "elsewhere"))
    place = Workspace.open("s3://bucket/w")
    seen: list[int] = []
    run_experiment(place, ROWS, EXPERIMENT, on_progress=lambda now: seen.append(now.n_done))
    assert set(seen) == {9}
    back = copy_workspace("s3://bucket/w", str(tmp_path / "back"))
    tables = [load_results(each).metrics[FIGURES] for each in (here, there, place, back)]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    assert FeatureStore(back, FeatureConfig()).verify() == []


def test_a_store_that_vanishes_while_features_are_built(
    s3: S3, built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for; where it stays away it is named, and the next build goes on."""
    monkeypatch.setenv("HITCORE_STORE_PATIENCE", "6")
    there = catalogue("s3://bucket/vanishing")
    seen: list[Progress] = []

    def vanish(progress: Progress) -> None:
        s3.stop()
        if not seen:
            threading.Timer(1.0, s3.start).start()
        seen.append(progress)

    with pytest.raises(DataError, match=r"s3://bucket/vanishing does not answer.*what is done is"):
        build_features(there, [CONFIG], read_song=read_noise, n_workers=1, on_progress=vanish)
    assert len(seen) == 2, "the first time it was waited for"
    s3.start()
    report = build_features(there, [CONFIG], read_song=read_noise, n_workers=1)
    assert report.n_kept > 0, "what was done before is kept"
    assert report.n_built + report.n_kept == len(IDS)
    assert_same_features(built, store_at("s3://bucket/vanishing"))


def test_a_store_that_vanishes_while_experiments_run(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_STORE_PATIENCE", "1")
    here = planted_workspace(tmp_path / "w", n_songs=30, segments=("repetition",))
    there = copy_workspace(str(here.path), "s3://bucket/vanishing-runs")
    rows = ["release-year", "tags"]
    run_experiment(here, rows, TRAINED)

    def vanish(progress: object) -> None:
        s3.stop()

    with pytest.raises(StoreError, match=r"vanishing-runs does not answer.*run the same command"):
        run_experiment(there, rows, TRAINED, on_progress=vanish)
    assert set(Ledger(there.ledger).table()["state"]) <= {"planned", "done"}
    s3.start()
    run_experiment(there, rows, TRAINED)
    pd.testing.assert_frame_equal(*(load_results(w).metrics[FIGURES] for w in (here, there)))


def test_what_cannot_be_opened_is_said_in_one_line(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_STORE_PATIENCE", "0.3")
    for place, told in {
        "s3://bucket/none": "s3://bucket/none is no workspace .*workspace copy W s3://bucket/none",
        "s3://nobucket/w": "s3://nobucket/w is no workspace .*absent: .*bucket does not exist",
        "nosuch://bucket/w": "nosuch://bucket/w cannot be reached: ",
    }.items():
        with pytest.raises(DataError, match=told) as caught:
            Workspace.open(place)
        assert "\n" not in str(caught.value)
    Workspace.create("s3://bucket/opened")
    s3.check_credentials(True)
    try:
        with pytest.raises(StoreError, match=r"/opened refuses \(.*check the credentials"):
            Workspace.open("s3://bucket/opened")
    finally:
        s3.check_credentials(False)
    s3.stop()
    try:
        with pytest.raises(StoreError, match=r"/opened does not answer \(Could not connect"):
            Workspace.open("s3://bucket/opened")
    finally:
        s3.start()
    monkeypatch.setenv("HITCORE_STORE_PATIENCE", "long")
    with pytest.raises(StoreError, match="HITCORE_STORE_PATIENCE is 'long'"):
        Workspace.open("s3://bucket/opened")


def test_other_things_are_never_written_over(s3: S3, tmp_path: Path) -> None:
    here = catalogue(tmp_path / "w")
    (tmp_path / "other.txt").write_text("mine")
    Mirror("s3://bucket/other", tmp_path).push(tmp_path / "other.txt")
    with pytest.raises(DataError, match=r"s3://bucket/other holds other things"):
        Workspace.create("s3://bucket/other")
    with pytest.raises(DataError, match=r"s3://bucket/other holds other things"):
        copy_workspace(str(here.path), "s3://bucket/other")
    copy_workspace(str(here.path), "s3://bucket/copied")
    with pytest.raises(DataError, match=r"s3://bucket/copied holds other things"):
        copy_workspace(str(here.path), "s3://bucket/copied")
    with pytest.raises(ParameterError, match="one of the two is an address"):
        copy_workspace(str(here.path), str(tmp_path / "other"))


def test_a_copy_that_was_broken_off_is_begun_again(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = planted_workspace(tmp_path / "w", n_songs=30, segments=("repetition",))
    push, pushed = Mirror.push, []

    def breaking_off(self: Mirror, *paths: Path) -> None:
        for path in paths:
            pushed.append(path)
            if len(pushed) == 4:
                raise KeyboardInterrupt
            push(self, path)

    monkeypatch.setattr(Mirror, "push", breaking_off)
    with pytest.raises(KeyboardInterrupt):
        copy_workspace(str(here.path), "s3://bucket/broken-off")
    monkeypatch.setattr(Mirror, "push", push)
    with pytest.raises(DataError, match="is no workspace"):
        Workspace.open("s3://bucket/broken-off")
    there = copy_workspace(str(here.path), "s3://bucket/broken-off")
    assert FeatureStore(there, FeatureConfig()).folder.name in {
        name.split("/")[1] for name in there.mirror.sizes(there.path, deep=True) if "/" in name
    }


def test_a_name_from_elsewhere_leads_out_of_no_folder(s3: S3, tmp_path: Path) -> None:
    place = Workspace.create("s3://bucket/names")
    store, root = place.mirror._reached
    store.pipe_file(f"{root}/../escaped.txt", b"mine")
    store.pipe_file(f"{root}/results/..%2f..%2fescaped.txt", b"mine")
    store.pipe_file(f"{root}/results/a/../../../escaped.txt", b"mine")
    place.refresh(place.path, deep=True)
    found = [path for path in tmp_path.rglob("*escaped.txt") if path.is_file()]
    assert all(path.resolve().is_relative_to(place.path) for path in found)

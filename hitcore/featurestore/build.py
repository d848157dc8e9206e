"""Building feature stores: who lacks which songs, shards handed out, and what became of them."""

import math
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pandas as pd
import torch

from hitcore.catalogue.workspace import Workspace
from hitcore.devices import torch_device
from hitcore.engines import Outcome, map_songs, usable_cores
from hitcore.errors import DataError
from hitcore.featurestore.compute import tagger_of
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.featurestore.serving import meeting_point
from hitcore.featurestore.shards import N_TRIES, ShardTask, build_shard, disk_error
from hitcore.featurestore.sounds import ReadSong, check_root
from hitcore.featurestore.store import FeatureStore
from hitcore.files import remove_leftovers

SHARD_SIZE = 64
"""Most songs in a shard, and in a task."""

SMALLEST_SHARD = 8
"""Shards get smaller towards the end, so that every core has work, but none smaller than this."""

TASKS_PER_WORKER = 4
"""What is left is always enough for so many more tasks of a worker, down to the smallest."""

SONG_LIMIT_S = 120.0
"""A song that takes longer is given up."""

GPU_SHARE = 1 / 32
"""Share of a GPU that a task takes on a Ray cluster: decoding on a core is what it waits for."""

SERVED = ("cuda",)
"""Kinds of devices on which one process computes for all workers."""

Songs = tuple[tuple[str, str], ...]
"""Songs as (song_id, source)."""


@dataclass(frozen=True)
class Progress:
    """How far a build is."""

    n_done: int
    """Songs finished, failed ones included."""
    n_total: int
    """Songs to do in this build."""
    elapsed_s: float
    """Seconds since the build began."""
    failures: dict[str, int]
    """Failed songs so far, by cause."""

    @property
    def songs_per_s(self) -> float:
        """Songs per second so far."""
        return self.n_done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float:
        """Seconds that remain at this rate; infinite before the first song."""
        rate = self.songs_per_s
        return (self.n_total - self.n_done) / rate if rate else float("inf")


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    n_songs: int
    """Songs of the catalogue."""
    n_built: int
    """Songs whose features were made now."""
    n_kept: int
    """Songs whose features were there already."""
    failures: pd.DataFrame = field(repr=False)
    """Songs without features: song_id, error."""
    elapsed_s: float = 0.0
    """Seconds that the build took."""


def build_features(
    workspace: Workspace,
    configs: Iterable[FeatureConfig],
    *,
    read_song: ReadSong | None = None,
    engine: str = "local",
    n_workers: int | None = None,
    song_limit_s: float = SONG_LIMIT_S,
    device: str = "cpu",
    audio_root: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """Make the features that are missing; songs that failed before are tried again.

    Args:
        workspace: Its `songs.parquet` names each song's sound in the column `source`.
        configs: The stores to build; each song is decoded once for all of them.
        read_song: Brings a song's sound from its entry; must be importable by name. None: files
            of the workspace's `audio` folder, and demo songs.
        engine: As in `hitcore.engines`.
        n_workers: Processes of the local engine.
        song_limit_s: A song that takes longer is named and given up, seconds.
        device: Where the mel, the tagger and the attention are computed; `cuda` for all GPUs of
            this machine, each of which has one process that serves all workers.
        audio_root: Folder, or address of an object store that fsspec can read, below which the
            songs' sources lie; None: the workspace's `audio` folder.
        on_progress: Called after each shard.

    Raises:
        DataError: no songs, no such root, another build is at work here, or the disk is full.
        StoreError: the workspace's address does not answer.
        WeightsError: the tagger's weights are not installed.
        ParameterError: the device is unknown.
        EngineError: the engine cannot be started, or the device is not there.
    """
    chosen = str(torch_device(device))
    if audio_root is not None:
        check_root(audio_root)
    stores = [FeatureStore(workspace, config) for config in dict.fromkeys(configs)]
    songs = _songs_with_audio(workspace)
    for store in stores:
        if store.config.tagger is not None:
            tagger_of(store.config.tagger)  # better refused now than by every song
    start = time.monotonic()
    try:
        with workspace.lock("features"):
            for store in stores:
                store.folder.mkdir(parents=True, exist_ok=True)
                remove_leftovers(store.folder)
                store.refresh()
                store.drop_damaged_shards()
                store.write_index()
            todo = _lacking(stores, songs)
            n_total = sum(map(len, todo))
            common = ShardTask(
                workspace.path,
                configs=(),
                number=_next_number(stores),
                songs=(),
                read_song=read_song,
                song_limit_s=song_limit_s,
                build=secrets.token_hex(8),
                device=chosen,
                served=chosen.partition(":")[0] in SERVED,
                audio_root=_root(workspace, audio_root),
                address=workspace.address,
            )
            tasks = _tasks(common, todo, n_workers, _devices(chosen, engine))
            _run(tasks, n_total, engine, n_workers, on_progress, start)
            for store in stores:
                store.refresh()
            indexes = [store.write_index() for store in stores]
            for store, index in zip(stores, indexes, strict=True):
                store.drop_outdated_shards(index)
                store.drop_parts()
    except OSError as error:
        raise disk_error(error) from error
    built = [song for group in todo for song in group]
    return _report(songs, built, indexes, time.monotonic() - start)


# --- the driver ----------------------------------------------------------------------------------


def _root(workspace: Workspace, audio_root: str | None) -> str | None:
    """Where the songs lie, for machines that have the address of the workspace alone."""
    if audio_root is None and workspace.address is not None:
        return f"{workspace.address}/audio"
    return audio_root


def _songs_with_audio(workspace: Workspace) -> Songs:
    try:
        songs = pd.read_parquet(workspace.songs)
    except (OSError, ValueError) as error:
        raise DataError(f"{workspace.songs} cannot be read: {error}") from error
    if songs.empty or "source" not in songs.columns:
        raise DataError(
            f"{workspace.songs} has no songs with a column `source` that names each song's sound"
        )
    twice = songs.loc[songs["song_id"].duplicated(), "song_id"]
    if len(twice):
        raise DataError(f"{workspace.songs} has the song_id {twice.iloc[0]!r} more than once")
    # A song without sound takes part in rows that need none.
    songs = songs[songs["source"].fillna("") != ""]
    return tuple(zip(songs["song_id"].astype(str), songs["source"].astype(str), strict=True))


def _lacking(stores: list[FeatureStore], songs: Songs) -> dict[Songs, tuple[FeatureStore, ...]]:
    """The songs that a store lacks, in the catalogue's order, by the stores that lack them."""
    ids = [song_id for song_id, _ in songs]
    missing = [set(store.missing(ids)) for store in stores]
    groups: dict[tuple[FeatureStore, ...], list[tuple[str, str]]] = {}
    for song in songs:
        lack = tuple(store for store, ids in zip(stores, missing, strict=True) if song[0] in ids)
        if lack:
            groups.setdefault(lack, []).append(song)
    return {tuple(group): lack for lack, group in groups.items()}


def _shard_size(n_left: int, n_workers: int) -> int:
    """Songs in the next shard, where so many are left.

    Example:
        >>> _shard_size(15_000, 2), _shard_size(200, 2), _shard_size(5, 2)
        (64, 25, 8)
    """
    share = math.ceil(n_left / (TASKS_PER_WORKER * n_workers))
    return min(SHARD_SIZE, max(SMALLEST_SHARD, share))


def _tasks(
    common: ShardTask,
    todo: dict[Songs, tuple[FeatureStore, ...]],
    n_workers: int | None,
    devices: list[str],
) -> list[ShardTask]:
    """Shards of songs that are missing in the same stores, numbered on from `common`.

    They go to one device after the other.
    """
    tasks: list[ShardTask] = []
    n_left = sum(map(len, todo))
    for songs, stores in todo.items():
        configs, first = tuple(store.config for store in stores), 0
        while first < len(songs):
            part = songs[first : first + _shard_size(n_left, n_workers or usable_cores())]
            number, device = common.number + len(tasks), devices[len(tasks) % len(devices)]
            tasks.append(replace(common, configs=configs, number=number, songs=part, device=device))
            first, n_left = first + len(part), n_left - len(part)
    return tasks


def _devices(device: str, engine: str) -> list[str]:
    """The devices that a name stands for: `cuda` for each GPU here; Ray gives tasks their own.

    Example:
        >>> _devices("cuda:1", "local")
        ['cuda:1']
    """
    if device != "cuda" or engine != "local":
        return [device]
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def _next_number(stores: list[FeatureStore]) -> int:
    written = [path for store in stores for path in store.folder.glob("shard-*.json")]
    return max((int(path.stem.split("-")[1]) for path in written), default=-1) + 1


def _run(
    tasks: list[ShardTask],
    n_total: int,
    engine: str,
    n_workers: int | None,
    on_progress: Callable[[Progress], None] | None,
    start: float,
) -> None:
    """Run the tasks; one whose worker died goes on where it ended, or passes over the culprit."""
    n_done, failures, deaths = 0, Counter[str](), Counter[int]()
    limit = SHARD_SIZE * (tasks[0].song_limit_s + 60.0) if tasks else None
    n_gpus = GPU_SHARE if tasks and tasks[0].device.startswith("cuda") else 0.0
    meeting_points = {meeting_point(task.device, task.build) for task in tasks if task.served}
    try:
        while tasks:
            again: list[ShardTask] = []
            outcomes = map_songs(
                build_shard,
                tasks,
                engine,
                n_workers=n_workers,
                timeout_s=limit,
                n_gpus_per_task=n_gpus,
            )
            for outcome in outcomes:
                if outcome.ok and outcome.value is not None:
                    n_done += len(outcome.item.songs)
                    failures.update(outcome.value)
                else:
                    again.append(_once_more(outcome, deaths))
                if on_progress is not None:
                    elapsed = time.monotonic() - start
                    on_progress(Progress(n_done, n_total, elapsed, dict(failures)))
            tasks = again
    finally:
        for folder in meeting_points:
            shutil.rmtree(folder, ignore_errors=True)


def _once_more(outcome: Outcome[ShardTask, dict[str, int]], deaths: Counter[int]) -> ShardTask:
    """The task again, if its worker died.

    Raises:
        DataError: the failure is not one song's fault.
    """
    task = outcome.item
    deaths[task.number] += 1
    # Each song is tried N_TRIES times; more deaths than that are no song's fault.
    n_allowed = N_TRIES * (len(task.songs) + 1)
    if outcome.cause not in ("worker died", "timeout") or deaths[task.number] > n_allowed:
        raise DataError(f"features cannot be built: {outcome.error}")
    return task


def _report(
    songs: Songs, todo: list[tuple[str, str]], indexes: list[pd.DataFrame], elapsed_s: float
) -> BuildReport:
    failed = pd.concat([index[index["status"] != "ok"] for index in indexes], ignore_index=True)
    failed = failed.loc[failed["song_id"].isin([song for song, _ in songs]), ["song_id", "error"]]
    failed = failed.drop_duplicates("song_id").reset_index(drop=True)
    n_built = len(todo) - len(failed)
    return BuildReport(len(songs), n_built, len(songs) - len(todo), failed, elapsed_s)

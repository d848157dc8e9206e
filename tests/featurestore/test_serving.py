"""One process that computes for all workers: the same features, whatever becomes of it."""

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from slowsongs import CONFIG, noise, read_noise, read_slowly
from sounds import music

from hitcore.audio import Waveform
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import AudioError, DataError, EngineError
from hitcore.featurestore import (
    FeatureConfig,
    FeatureStore,
    Progress,
    build,
    build_features,
    serving,
    shards,
)
from hitcore.featurestore.compute import Arrays, Clip, Device, features_of
from hitcore.featurestore.serving import Desk, Job, Served, answer, meeting_point
from hitcore.featurestore.sounds import Sound

TAGGED = FeatureConfig(segment="middle")
ATTENTION = FeatureConfig(segment="attention", tagger=None)


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """End the processes that a test has started from here."""
    yield
    for process in serving._begun:
        process.kill()
        process.wait()
    serving._begun.clear()


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that a GPU takes, with a CPU in its place."""
    monkeypatch.setattr(build, "SERVED", ("cuda", "cpu"))


@pytest.fixture
def token() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def served(token: str) -> Iterator[Served]:
    served = Served("cpu", token)
    yield served
    served.close()
    shutil.rmtree(served.folder, ignore_errors=True)


def processes(folder: Path | str = "") -> list[psutil.Process]:
    """The processes that serve, at one meeting point or at all."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "serving.serve" in words and str(folder) in words:
            found.append(process)
    return found


def meeting_points() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("hitcore-*"))


def clip(seed: int, config: FeatureConfig = CONFIG) -> Clip:
    return Clip.of(read_noise(Path(), str(seed)), config)


# --- the same features ---------------------------------------------------------------------------


def test_the_features_are_those_of_this_process(served: Served) -> None:
    sound = Sound(Waveform(music(45, 22_050).mean(axis=1), 22_050), "hash")
    configs = [TAGGED, ATTENTION, FeatureConfig()]
    both = zip(features_of(sound, configs), features_of(sound, configs, served), strict=True)
    for ours, theirs in both:
        assert ours.keys() == theirs.keys()
        np.testing.assert_array_equal(ours["clip"], theirs["clip"])
        np.testing.assert_array_equal(ours["mel"], theirs["mel"])
        if "tags" in ours:
            np.testing.assert_allclose(ours["tags"], theirs["tags"], atol=1e-6)


def assert_right(place: Workspace, config: FeatureConfig) -> None:
    """A store of noise holds what this process computes."""
    table = pd.read_parquet(place.songs)
    found = FeatureStore(place, config).load(table["song_id"].tolist())
    for number, source in enumerate(table["source"]):
        (expected,) = features_of(Sound(read_noise(place.path, source), ""), [config])
        np.testing.assert_array_equal(found.mel[number], expected["mel"])
        if found.tags is not None:
            np.testing.assert_allclose(found.tags[number], expected["tags"], atol=1e-6)


def test_a_served_build_is_right_and_one_process_serves_it(tmp_path: Path, on_cpu: None) -> None:
    place, before = noise(tmp_path / "w", 12), meeting_points()
    seen: set[int] = set()

    def watch(_: Progress) -> None:
        seen.update(process.pid for process in processes())

    configs = [CONFIG, TAGGED]
    report = build_features(place, configs, read_song=read_slowly, n_workers=2, on_progress=watch)
    assert (report.n_built, len(seen)) == (12, 1)
    assert_right(place, CONFIG)
    assert_right(place, TAGGED)
    assert meeting_points() <= before


def test_it_ends_when_everybody_has_left(served: Served, token: str) -> None:
    (process,) = processes(served.folder)
    second = Served("cpu", token)
    assert processes(served.folder) == [process]
    served.close()
    with pytest.raises(psutil.TimeoutExpired):
        process.wait(timeout=serving.IDLE_S + 1)
    second.close()
    process.wait(timeout=60)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_build_on_a_gpu_has_the_features_of_the_cpu(tmp_path: Path) -> None:
    place = noise(tmp_path / "w", 12)
    report = build_features(place, [TAGGED], read_song=read_noise, n_workers=2, device="cuda")
    assert report.n_built == 12
    found = FeatureStore(place, TAGGED).load([f"s{i:03d}" for i in range(12)])
    assert found.tags is not None
    for number in range(12):
        sound = Sound(read_noise(place.path, f"noise {number}"), "")
        (expected,) = features_of(sound, [TAGGED])
        np.testing.assert_allclose(found.mel[number], expected["mel"], atol=2e-2)
        np.testing.assert_allclose(found.tags[number], expected["tags"], atol=1e-2)


# --- batches -------------------------------------------------------------------------------------


class Counting(Device):
    """Notes how many clips came at once; has room for some, and breaks at others."""

    def __init__(self, room: int = 1000, broken: int | None = None) -> None:
        super().__init__("cpu")
        self.room, self.broken, self.batches = room, broken, list[int]()

    def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
        self.batches.append(len(clips))
        if len(clips) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.broken in [clip.config.n_frames for clip in clips]:
            raise ZeroDivisionError("a bug")
        return super().arrays(clips)


def jobs_of(clips: Sequence[Sequence[Clip]]) -> tuple[list[Job], dict[int, Any]]:
    """A request for each group of clips, and what will be answered to it."""
    answers: dict[int, Any] = {}
    jobs = [
        Job("arrays", (list(group),), partial(answers.__setitem__, number))
        for number, group in enumerate(clips)
    ]
    return jobs, answers


def right(answer: Any, clips: Sequence[Clip]) -> bool:
    expected = Device().arrays(clips)
    return len(answer) == len(clips) and all(
        np.array_equal(one["mel"], other["mel"])
        for one, other in zip(answer, expected, strict=True)
    )


def test_what_waits_is_one_batch_and_everybody_gets_the_own_answer() -> None:
    groups = [[clip(0)], [clip(1), clip(2)], [], [clip(3)]]
    jobs, answers = jobs_of(groups)
    desk = Desk()
    for job in jobs:
        desk.jobs.put(job)
    computes = Counting()
    answer(desk.waiting(1.0), computes)
    assert computes.batches == [4]
    assert all(right(answers[number], group) for number, group in enumerate(groups))


def test_a_batch_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_AT_ONCE", 3)
    jobs, _ = jobs_of([[clip(0), clip(1)], [clip(2), clip(3)], [clip(4)]])
    desk = Desk()
    for job in jobs:
        desk.jobs.put(job)
    assert desk.waiting(0.1) == jobs[:2]
    assert desk.waiting(0.1) == jobs[2:]
    assert desk.waiting(0.1) == []


def test_a_batch_that_has_no_room_is_divided() -> None:
    groups = [[clip(seed)] for seed in range(5)]
    jobs, answers = jobs_of(groups)
    computes = Counting(room=2)
    answer(jobs, computes)
    assert computes.batches == [5, 2, 3, 1, 2]
    assert all(right(answers[number], group) for number, group in enumerate(groups))


def test_one_song_that_fails_costs_the_others_nothing() -> None:
    bad = clip(2, FeatureConfig(segment="middle", tagger=None, n_frames=7))
    groups = [[clip(0)], [clip(1)], [bad], [clip(3)]]
    jobs, answers = jobs_of(groups)
    answer(jobs, Counting(broken=7))
    assert str(answers.pop(2)) == "ZeroDivisionError: a bug"
    assert all(right(found, groups[number]) for number, found in answers.items())


def test_a_worker_that_has_left_costs_the_others_nothing() -> None:
    jobs, answers = jobs_of([[clip(0)], [clip(1)]])

    def gone(_: object) -> None:
        raise BrokenPipeError

    answer([Job("arrays", jobs[0].given, gone), jobs[1]], Device())
    assert right(answers[1], [clip(1)])


def test_a_gpu_that_is_broken_ends_the_process() -> None:
    class Broken(Device):
        def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    jobs, answers = jobs_of([[clip(0)]])
    with pytest.raises(RuntimeError, match="illegal memory access"):
        answer(jobs, Broken())
    assert not answers


# --- what may become of it -----------------------------------------------------------------------


class Asked:
    """A process in a thread of the test, which computes as the test wants."""

    def __init__(self, computes: Device, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.listener = Listener(str(folder / "socket"), "AF_UNIX")
        self.computes, self.desk, self.stop = computes, Desk(), threading.Event()
        self.threads = [
            threading.Thread(target=serving._welcome, args=(self.listener, self.desk), daemon=True),
            threading.Thread(target=self.work, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def work(self) -> None:
        while not self.stop.is_set():
            answer(self.desk.waiting(0.05), self.computes)


@pytest.fixture
def asked(token: str) -> Iterator[Callable[[Device], Served]]:
    made: list[Asked] = []
    folder = meeting_point("cpu", token)

    def start(computes: Device) -> Served:
        made.append(Asked(computes, folder))
        return Served("cpu", token)

    yield start
    for one in made:
        one.stop.set()
        one.listener.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_song_without_room_is_computed_by_its_worker(
    asked: Callable[[Device], Served], caplog: pytest.LogCaptureFixture
) -> None:
    worker = asked(Counting(room=0))
    assert right(worker.arrays([clip(0)]), [clip(0)])
    assert "cpu has no room for a song, which is computed here" in caplog.text


def test_an_error_of_the_song_reaches_its_worker(asked: Callable[[Device], Served]) -> None:
    class Unhappy(Device):
        def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
            raise AudioError("the clip is no music")

    with pytest.raises(AudioError, match="the clip is no music"):
        asked(Unhappy()).arrays([clip(0)])


def test_an_answer_that_comes_too_late_is_nobody_elses(asked: Callable[[Device], Served]) -> None:
    class Slow(Device):
        def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
            if clips[0].config.n_frames == 7:
                time.sleep(1.0)
            return super().arrays(clips)

    worker = asked(Slow())
    late = clip(0, FeatureConfig(segment="middle", tagger=None, n_frames=7))
    with pytest.raises(shards._OutlastedError), shards._limit(0.3):
        worker.arrays([late])
    assert right(worker.arrays([clip(1)]), [clip(1)])


def test_a_killed_process_is_started_again(served: Served, token: str) -> None:
    (process,) = processes(served.folder)
    process.kill()
    assert right(served.arrays([clip(0)]), [clip(0)])
    (other,) = processes(served.folder)
    assert other.pid != process.pid


def test_a_build_survives_the_death_of_its_process(tmp_path: Path, on_cpu: None) -> None:
    place = noise(tmp_path / "w", 24)
    before = {process.pid for process in processes()}
    killed: list[int] = []

    def kill(_: Progress) -> None:
        mine = [process for process in processes() if process.pid not in before]
        if not killed and mine:
            killed.append(mine[0].pid)
            mine[0].kill()

    report = build_features(place, [CONFIG], read_song=read_slowly, n_workers=2, on_progress=kill)
    assert killed
    assert (report.n_built, len(report.failures)) == (24, 0)
    assert_right(place, CONFIG)


def test_a_process_that_ends_again_and_again_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    start = "import sys; sys.path[:] = sys.argv[3:]; from hitcore.featurestore import serving; "
    start += "serving.answer = lambda jobs, _: jobs and sys.exit('the card fell off the bus'); "
    monkeypatch.setattr(serving, "_START", start + "serving.serve(sys.argv[1], sys.argv[2])")
    worker = Served("cpu", token)
    with pytest.raises(EngineError, match=r"ended 3 times .*the card fell off the bus"):
        worker.arrays([clip(0)])
    shutil.rmtree(worker.folder)


def test_a_device_that_cannot_be_had_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cpu: None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    place, before = noise(tmp_path / "w", 4), meeting_points()
    monkeypatch.setattr(build, "torch_device", lambda _: torch.device("cuda:0"))
    with pytest.raises(DataError, match="process that computes on cuda:0 does not start") as caught:
        build_features(place, [CONFIG], read_song=read_noise, n_workers=1)
    assert "\n" not in str(caught.value)
    assert meeting_points() <= before


def test_the_machines_gpus_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert build._devices("cuda", "local") == ["cuda:0", "cuda:1"]
    assert build._devices("cuda", "ray") == ["cuda"]
    common = shards.ShardTask(tmp_path, (), 5, ())
    songs = tuple((f"s{i}", "") for i in range(24))
    store = FeatureStore(Workspace.create(tmp_path / "w"), CONFIG)
    tasks = build._tasks(common, {songs: (store,)}, 16, ["cuda:0", "cuda:1"])
    assert [(task.number, task.device) for task in tasks] == [
        (5, "cuda:0"),
        (6, "cuda:1"),
        (7, "cuda:0"),
    ]

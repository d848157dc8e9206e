"""The feature store: whole, resumable to the song, and never silently wrong."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from slowsongs import (
    CONFIG,
    catalogue,
    noise,
    read_noise,
    read_slowly,
    read_trouble,
    same,
    song_ids,
)
from sounds import encoded, music

from hitcore.audio import load_audio
from hitcore.catalogue.workspace import Workspace
from hitcore.cli import main
from hitcore.errors import AudioError, DataError, EngineError, ParameterError
from hitcore.features import PAPER_MEL, fit_frames, log_mel
from hitcore.featurestore import (
    FeatureConfig,
    FeatureStore,
    Progress,
    build_features,
    read_source,
    shards,
)
from hitcore.featurestore import (
    store as store_module,
)
from hitcore.featurestore.compute import features_of
from hitcore.featurestore.sounds import Sound, sound_of
from hitcore.highlights import find_highlight
from hitcore.taggers import load_tagger


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = noise(tmp_path_factory.mktemp("undisturbed") / "w", 40)
    report = build_features(workspace, [CONFIG], read_song=read_noise, n_workers=2)
    assert (report.n_built, report.n_kept, len(report.failures)) == (40, 0, 0)
    return workspace


@pytest.fixture
def built(undisturbed: Workspace, tmp_path: Path) -> Workspace:
    """A copy of a finished store, to be damaged."""
    shutil.copytree(undisturbed.path, tmp_path / "w")
    return Workspace.open(tmp_path / "w")


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs of 50 seconds as files of several kinds, and one that is shorter than a clip."""
    folder = tmp_path_factory.mktemp("files")
    samples = music(50)
    for kind in ("ogg", "mp3", "flac"):
        (folder / f"song.{kind}").write_bytes(encoded(kind, samples))
    (folder / "short.wav").write_bytes(encoded("wav", music(4, 22_050), 22_050))
    return folder


# --- what is in it -------------------------------------------------------------------------------


def test_features_are_those_of_the_public_functions(undisturbed: Workspace) -> None:
    waveform = read_noise(undisturbed.path, "noise 7")
    mel = fit_frames(log_mel(waveform.samples, PAPER_MEL)).numpy().astype(np.float16)
    features = FeatureStore(undisturbed, CONFIG).load(["s007"])
    np.testing.assert_array_equal(features.mel[0], mel)
    assert features.tags is None


def test_songs_come_in_the_order_asked_for(undisturbed: Workspace) -> None:
    store = FeatureStore(undisturbed, CONFIG)
    ids = song_ids(undisturbed)
    random.Random(0).shuffle(ids)
    shuffled, ordered = store.load(ids), store.load(sorted(ids))
    assert shuffled.song_ids == tuple(ids)
    np.testing.assert_array_equal(shuffled.mel[np.argsort(ids)], ordered.mel)
    assert not np.array_equal(shuffled.mel, ordered.mel)


def test_a_song_asked_for_twice_comes_twice(undisturbed: Workspace) -> None:
    mel = FeatureStore(undisturbed, CONFIG).load(["s003", "s000", "s003"]).mel
    np.testing.assert_array_equal(mel[0], mel[2])


def test_the_whole_store_is_well(undisturbed: Workspace) -> None:
    store = FeatureStore(undisturbed, CONFIG)
    assert store.verify() == []
    assert not list(store.folder.glob("parts"))
    assert len(list(store.folder.glob("shard-*.json"))) > 1


@pytest.mark.parametrize("kind", ["ogg", "mp3", "flac"])
def test_the_middle_alone_equals_the_middle_of_the_whole(sound_files: Path, kind: str) -> None:
    (workspace := sound_files / "audio").mkdir(exist_ok=True)
    name = f"song.{kind}"
    (workspace / name).write_bytes((sound_files / name).read_bytes())
    passage = sound_of(sound_files, name, [CONFIG], None)
    whole = load_audio(workspace / name)
    assert passage.waveform.duration_s == 30.0
    assert whole.duration_s > 49
    (one,) = features_of(passage, [CONFIG])
    (other,) = features_of(Sound(whole, ""), [CONFIG])
    np.testing.assert_allclose(one["clip"], other["clip"], atol=1e-4)
    difference = np.abs(one["mel"].astype(float) - other["mel"].astype(float))
    # The clip may start a sample apart (45 microseconds): the file's length is not that at 22 kHz.
    assert difference.mean() < 5e-3


def test_a_song_shorter_than_the_clip_is_taken_whole(sound_files: Path) -> None:
    (sound_files / "audio").mkdir(exist_ok=True)
    (sound_files / "audio" / "short.wav").write_bytes((sound_files / "short.wav").read_bytes())
    (found,) = features_of(sound_of(sound_files, "short.wav", [CONFIG], None), [CONFIG])
    np.testing.assert_allclose(found["clip"], [0, 4])
    assert found["mel"].shape == (128, 323)
    assert not found["mel"][:, 50:].any()


def test_two_stores_from_one_decoding_with_tags(tmp_path: Path, sound_files: Path) -> None:
    place = catalogue(tmp_path / "w", ["a.ogg"])
    place.audio.mkdir()
    (place.audio / "a.ogg").write_bytes((sound_files / "song.ogg").read_bytes())
    configs = [FeatureConfig(segment="middle"), FeatureConfig(segment="repetition")]
    report = build_features(place, configs, n_workers=1)
    assert report.n_built == 1
    waveform = load_audio(place.audio / "a.ogg")
    for config in configs:
        highlight = find_highlight(waveform, config.segment)
        clip = waveform.crop(highlight.start, highlight.end)
        tags = load_tagger("musicnn-mtt").tag(clip).mean()
        features = FeatureStore(place, config).load(["s000"])
        assert features.tags is not None
        np.testing.assert_allclose(features.tags[0], tags, atol=1e-6)
        mel = fit_frames(log_mel(clip.samples, PAPER_MEL)).numpy()
        np.testing.assert_allclose(features.mel[0], mel, atol=1e-2)
        assert features.tag_names[0] == "guitar"


def test_an_absent_device_is_said_before_anything_is_built(tmp_path: Path) -> None:
    place = catalogue(tmp_path / "w", ["a.ogg"])
    with pytest.raises(ParameterError, match="device 'tpu': cpu, cuda or cuda:N"):
        build_features(place, [CONFIG], device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="no CUDA device is here"):
            build_features(place, [CONFIG], device="cuda")
    assert not FeatureStore(place, CONFIG).folder.exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_features_of_the_cpu(sound_files: Path) -> None:
    (sound_files / "audio").mkdir(exist_ok=True)
    (sound_files / "audio" / "song.ogg").write_bytes((sound_files / "song.ogg").read_bytes())
    configs = [FeatureConfig(segment="middle"), FeatureConfig(segment="attention")]
    sound = sound_of(sound_files, "song.ogg", configs, None)
    for one, other in zip(
        features_of(sound, configs), features_of(sound, configs, "cuda"), strict=True
    ):
        np.testing.assert_array_equal(one["clip"], other["clip"])
        np.testing.assert_allclose(one["mel"], other["mel"], atol=2e-2)
        np.testing.assert_allclose(one["tags"], other["tags"], atol=1e-2)


# --- not twice -----------------------------------------------------------------------------------


def test_what_is_there_is_not_computed_again(built: Workspace) -> None:
    folder = FeatureStore(built, CONFIG).folder
    before = {path: path.stat().st_mtime_ns for path in folder.glob("shard-*")}
    report = build_features(built, [CONFIG], read_song=read_trouble, n_workers=1)
    assert (report.n_built, report.n_kept) == (0, 40)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("shard-*")} == before


def test_new_songs_are_added(built: Workspace, undisturbed: Workspace) -> None:
    songs = pd.read_parquet(built.songs)
    more = pd.DataFrame({"song_id": ["t0"], "source": ["noise 7"]})
    pd.concat([more, songs], ignore_index=True).to_parquet(built.songs)
    report = build_features(built, [CONFIG], read_song=read_noise, n_workers=1)
    assert (report.n_built, report.n_kept) == (1, 40)
    mel = FeatureStore(built, CONFIG).load(["t0", "s007"]).mel
    np.testing.assert_array_equal(mel[0], mel[1])


@pytest.mark.parametrize(
    "change",
    [{"segment": "repetition"}, {"length_s": 20.0}, {"mel": "release"}, {"tagger": "musicnn-mtt"}],
)
def test_a_changed_setting_is_another_store(
    undisturbed: Workspace, change: dict[str, object]
) -> None:
    other = FeatureStore(undisturbed, replace(CONFIG, **change))
    assert other.folder != FeatureStore(undisturbed, CONFIG).folder
    assert other.missing(["s000"]) == ["s000"]


def test_a_version_is_part_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CONFIG.fingerprint
    monkeypatch.setattr("hitcore.featurestore.recipe.VERSION", 99)
    assert CONFIG.fingerprint != before


def test_senseless_settings_are_refused() -> None:
    for change in ({"segment": "best"}, {"mel": "any"}, {"length_s": 0.0}, {"n_frames": 0}):
        with pytest.raises(ParameterError):
            replace(CONFIG, **change)


# --- interrupted ---------------------------------------------------------------------------------

BUILD = """
import sys
from hitcore.featurestore import FeatureConfig, build_features
from hitcore.catalogue.workspace import Workspace
from slowsongs import read_slowly
if __name__ == "__main__":
    config = FeatureConfig(segment="middle", tagger=None)
    build_features(Workspace.open(sys.argv[1]), [config], read_song=read_slowly, n_workers=2)
"""


def test_kill_9_loses_no_song_and_two_builds_at_once_are_refused(
    tmp_path: Path, undisturbed: Workspace
) -> None:
    place = noise(tmp_path / "w", 40)
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parts = FeatureStore(place, CONFIG).folder / "parts"
    chance = random.Random(1)
    seen: dict[Path, int] = {}
    for n_more in (2, 9):
        process = subprocess.Popen([sys.executable, str(script), str(place.path)], env=environment)
        before = n_finished(place, parts)
        deadline = time.monotonic() + 240
        while n_finished(place, parts) < before + n_more and time.monotonic() < deadline:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        with pytest.raises(DataError, match="another process is at work on 'features'"):
            build_features(place, [CONFIG], read_song=read_noise, n_workers=1)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        wait_for_quiet(parts)
        now = {path: path.stat().st_mtime_ns for path in parts.glob("*.npz")}
        assert all(now[path] == seen[path] for path in set(seen) & set(now)), "made twice"
        seen = now
    kept = n_finished(place, parts)
    assert 11 <= kept < 40
    made: list[Progress] = []
    build_features(place, [CONFIG], read_song=read_slowly, on_progress=made.append)
    assert made[-1].n_done == made[-1].n_total <= 40
    assert same(place, undisturbed)


def n_finished(place: Workspace, parts: Path) -> int:
    """Songs that are kept, in parts or in shards."""
    in_shards = 0
    for path in parts.parent.glob("shard-*.json"):
        in_shards += len(json.loads(path.read_text())["songs"])
    return in_shards + len(list(parts.glob("*.npz")))


def wait_for_quiet(parts: Path) -> None:
    """Until the workers of a killed build are gone and nothing changes any more."""
    before = None
    while (now := sorted(path.name for path in parts.iterdir())) != before:
        before = now
        time.sleep(0.3)


def test_the_command_goes_on_after_kill_9(tmp_path: Path) -> None:
    place = catalogue(tmp_path / "w", [f"{i}.wav" for i in range(12)])
    place.audio.mkdir()
    for i in range(12):
        data = encoded("wav", music(2 + i / 4, 22_050), 22_050)
        (place.audio / f"{i}.wav").write_bytes(data)
    command = [sys.executable, "-m", "hitcore", "features", "build", str(place.path)]
    command += ["--highlight", "middle", "--tagger", "none", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    parts = FeatureStore(place, CONFIG).folder / "parts"
    while not list(parts.glob("*.npz")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == []
    store = FeatureStore(place, CONFIG)
    assert store.verify() == []
    mel = fit_frames(log_mel(read_source(place.path, "5.wav").samples, PAPER_MEL)).numpy()
    np.testing.assert_array_equal(store.load(["s005"]).mel[0], mel.astype(np.float16))


def test_a_damaged_part_is_made_again(tmp_path: Path, undisturbed: Workspace) -> None:
    place = noise(tmp_path / "w", 40)
    (task,) = _tasks_of(place, 40)
    for song, source in task.songs[:3]:
        path = shards._part(task, CONFIG, song, source)
        path.parent.mkdir(parents=True, exist_ok=True)
        (arrays,) = features_of(Sound(read_noise(place.path, source), "hash"), [CONFIG])
        shards._write_part(path, arrays)
    for damage, (song, source) in zip((_cut, _flip, _empty), task.songs[:3], strict=True):
        damage(shards._part(task, CONFIG, song, source))
    build_features(place, [CONFIG], read_song=read_noise, n_workers=1)
    assert same(place, undisturbed)


def _tasks_of(place: Workspace, size: int) -> list[shards.ShardTask]:
    songs = pd.read_parquet(place.songs)
    pairs = tuple(zip(songs["song_id"], songs["source"], strict=True))
    return [
        shards.ShardTask(place.path, (CONFIG,), 0, pairs[first : first + size], read_noise)
        for first in range(0, len(pairs), size)
    ]


# --- damaged -------------------------------------------------------------------------------------


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _remove])
@pytest.mark.parametrize("suffix", ["-mel.npy", ".json"])
def test_a_damaged_shard_is_refused(
    built: Workspace, damage: Callable[[Path], None], suffix: str
) -> None:
    store = FeatureStore(built, CONFIG)
    damage(sorted(store.folder.glob(f"shard-*{suffix}"))[1])
    with pytest.raises(DataError, match=r"hitcore features build|build the features again"):
        store.load(song_ids(built))
    assert len(store.verify()) == 1


@pytest.mark.parametrize(
    ("damage", "suffix"), [(_cut, "-mel.npy"), (_flip, "-mel.npy"), (_flip, ".json")]
)
def test_a_damaged_shard_is_mended_by_a_build(
    built: Workspace, undisturbed: Workspace, damage: Callable[[Path], None], suffix: str
) -> None:
    store = FeatureStore(built, CONFIG)
    path = sorted(store.folder.glob(f"shard-*{suffix}"))[1]
    songs = json.loads(next(iter(path.parent.glob(f"{path.stem[:11]}.json"))).read_text())["songs"]
    damage(path)
    report = build_features(built, [CONFIG], read_song=read_noise, n_workers=1)
    assert (report.n_built, report.n_kept) == (len(songs), 40 - len(songs))
    assert store.verify() == []
    assert same(built, undisturbed)


def test_songs_of_whole_shards_load_while_another_is_damaged(built: Workspace) -> None:
    store = FeatureStore(built, CONFIG)
    _cut(store.folder / "shard-00001-mel.npy")
    index = store.index()
    assert len(store.load(index.loc[index["shard"] == 0, "song_id"].tolist()).mel) > 0


def test_a_damaged_index_is_refused_and_mended(built: Workspace, undisturbed: Workspace) -> None:
    store = FeatureStore(built, CONFIG)
    _cut(store.folder / "index.parquet")
    with pytest.raises(DataError, match="hitcore features build"):
        store.load(["s000"])
    assert len(store.verify()) == 1
    build_features(built, [CONFIG], read_song=read_noise, n_workers=1)
    assert same(built, undisturbed)


def test_an_index_that_names_another_row_is_refused(built: Workspace) -> None:
    store = FeatureStore(built, CONFIG)
    index = store.index()
    index.loc[[0, 1], "row"] = index.loc[[1, 0], "row"].to_numpy()
    index.to_parquet(store.folder / "index.parquet")
    with pytest.raises(DataError, match="differ on 's000'"):
        store.load(["s000"])
    assert len(store.verify()) == 1


def test_an_index_of_many_pieces_is_the_same(
    built: Workspace, undisturbed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_ROWS_AT_ONCE", 1)
    FeatureStore(built, CONFIG).write_index()
    assert same(built, undisturbed)


def test_the_command_verifies(
    built: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hitcore", "features", "verify", str(built.path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None)
    _flip(FeatureStore(built, CONFIG).folder / "shard-00000-mel.npy")
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "shard-00000-mel.npy" in capsys.readouterr().err


# --- other trouble -------------------------------------------------------------------------------


def _full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "where", ["np.savez", "np.save", "_Notes._write", "write_atomic", "replacing"]
)
def test_a_full_disk_is_said_and_leaves_nothing_half_done(
    tmp_path: Path, undisturbed: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    place = noise(tmp_path / "w", 40)
    (task,) = _tasks_of(place, 40)
    with monkeypatch.context() as patched:
        patched.setattr(f"hitcore.featurestore.shards.{where}", _full)
        with pytest.raises(DataError, match=r"No space left on device.*free some space"):
            shards.build_shard(task)
    store = FeatureStore(place, CONFIG)
    assert not list(store.folder.glob("shard-*.json"))
    assert store.missing(["s000"]) == ["s000"]
    shards.build_shard(task)  # there is room again
    store.write_index()
    assert same(place, undisturbed)


def test_a_disk_that_is_full_for_the_driver_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = noise(tmp_path / "w", 2)
    monkeypatch.setattr("hitcore.featurestore.store.replacing", _full)
    with pytest.raises(DataError, match="free some space"):
        build_features(place, [CONFIG], read_song=read_noise, n_workers=1)


def test_songs_that_fail_are_named_and_the_others_kept(tmp_path: Path) -> None:
    sources = [f"noise {i}" for i in range(100)]
    sources[13] = "corrupt"
    place = catalogue(tmp_path / "w", sources)
    seen: list[Progress] = []
    report = build_features(
        place, [CONFIG], read_song=read_trouble, n_workers=2, on_progress=seen.append
    )
    assert (report.n_songs, report.n_built) == (100, 99)
    assert report.failures.to_dict("records") == [
        {"song_id": "s013", "error": "the file is no sound file"}
    ]
    assert seen[-1].failures == {"AudioError": 1}
    store = FeatureStore(place, CONFIG)
    line = store.index().set_index("song_id").loc["s013"]
    assert (line["status"], line["row"]) == ("failed", -1)
    with pytest.raises(DataError, match=r"1 of 2 songs .*'s013' \(the file is no sound file\)"):
        store.load(["s000", "s013"])
    # Mended at the source, the next build makes it alone.
    songs = pd.read_parquet(place.songs)
    songs.loc[13, "source"] = "noise 13"
    songs.to_parquet(place.songs)
    again = build_features(place, [CONFIG], read_song=read_trouble, n_workers=1)
    assert (again.n_built, again.n_kept, len(again.failures)) == (1, 99, 0)
    assert len(store.load(song_ids(place)).mel) == 100


def test_songs_that_go_on_failing_do_not_pile_up(tmp_path: Path) -> None:
    place = catalogue(tmp_path / "w", ["corrupt"])
    for _ in range(2):
        build_features(place, [CONFIG], read_song=read_trouble, n_workers=1)
    assert len(list(FeatureStore(place, CONFIG).folder.glob("shard-*.json"))) == 1


def test_songs_that_hang_or_crash_are_given_up(tmp_path: Path) -> None:
    place = catalogue(tmp_path / "w", ["noise 0", "crash", "hang", "noise 1", "bug", "noise 2"])
    report = build_features(place, [CONFIG], read_song=read_trouble, n_workers=1, song_limit_s=2.0)
    errors = dict(report.failures.to_numpy().tolist())
    assert sorted(errors) == ["s001", "s002", "s004"]
    assert "crashed its worker" in errors["s001"]
    assert errors["s002"] == "gave up after its limit of 2 s"
    assert errors["s004"] == "unexpected ZeroDivisionError: division by zero"
    assert len(FeatureStore(place, CONFIG).load(["s000", "s003", "s005"]).mel) == 3


def test_a_song_that_cannot_be_interrupted_ends_with_its_worker(tmp_path: Path) -> None:
    place = catalogue(tmp_path / "w", ["noise 0", "stuck", "noise 1"])
    report = build_features(place, [CONFIG], read_song=read_trouble, n_workers=1, song_limit_s=2.0)
    assert report.failures["song_id"].tolist() == ["s001"]
    assert "hung in it beyond its limit" in report.failures["error"].iloc[0]
    assert len(FeatureStore(place, CONFIG).load(["s000", "s002"]).mel) == 2


def test_corrupt_files_are_named(tmp_path: Path, sound_files: Path) -> None:
    place = catalogue(tmp_path / "w", ["good.wav", "text.mp3", "absent.wav"])
    place.audio.mkdir()
    (place.audio / "good.wav").write_bytes((sound_files / "short.wav").read_bytes())
    (place.audio / "text.mp3").write_text("no sound at all " * 99)
    report = build_features(place, [CONFIG], n_workers=1)
    errors = dict(report.failures.to_numpy().tolist())
    assert report.n_built == 1
    assert "absent.wav' does not exist" in errors["s002"]
    with pytest.raises(AudioError) as refused:
        load_audio(place.audio / "text.mp3")
    assert errors["s001"] == str(refused.value)


@pytest.mark.parametrize("source", ["/etc/passwd", "../songs.parquet", "a/../../b.wav"])
def test_a_source_outside_the_audio_folder_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="inside the workspace's audio/ is expected"):
        read_source(tmp_path, source)
    with pytest.raises(DataError, match="inside the workspace's audio/ is expected"):
        sound_of(tmp_path, source, [CONFIG], None)


def test_songs_of_an_object_store_are_those_of_the_folder(
    tmp_path: Path, sound_files: Path
) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/songs/a/song.mp3", (sound_files / "song.mp3").read_bytes())
    (tmp_path / "a").mkdir()
    shutil.copy(sound_files / "song.mp3", tmp_path / "a")
    for configs in ([CONFIG], [FeatureConfig(segment="repetition", tagger=None)]):
        near = sound_of(tmp_path, "a/song.mp3", configs, audio_root=str(tmp_path))
        far = sound_of(tmp_path, "a/song.mp3", configs, audio_root="memory://bucket/songs/")
        np.testing.assert_array_equal(near.waveform.samples, far.waveform.samples)
        assert (near.start_s, near.content_hash) == (far.start_s, far.content_hash)
    with pytest.raises(AudioError, match=r"b\.mp3 is not in memory://bucket/songs"):
        sound_of(tmp_path, "b.mp3", [CONFIG], audio_root="memory://bucket/songs")
    with pytest.raises(DataError, match="inside"):
        sound_of(tmp_path, "../songs/a/song.mp3", [CONFIG], audio_root="memory://bucket/songs")


def test_a_build_reads_from_another_root_and_refuses_what_nobody_can_read(
    tmp_path: Path, sound_files: Path
) -> None:
    place = catalogue(tmp_path / "w", ["song.ogg", "absent.ogg"])
    report = build_features(place, [CONFIG], audio_root=f"file://{sound_files}", n_workers=1)
    assert (report.n_built, list(report.failures["song_id"])) == (1, ["s001"])
    for root, said in ((str(tmp_path / "absent"), "no folder"), ("warp://bucket", "warp")):
        with pytest.raises(DataError, match=said):
            build_features(place, [CONFIG], audio_root=root)


def test_a_workspace_without_songs_is_refused(tmp_path: Path) -> None:
    place = Workspace.create(tmp_path / "w")
    with pytest.raises(DataError, match="cannot be read"):
        build_features(place, [CONFIG])
    pd.DataFrame({"song_id": ["a", "a"], "source": ["x", "y"]}).to_parquet(place.songs)
    with pytest.raises(DataError, match="'a' more than once"):
        build_features(place, [CONFIG])
    pd.DataFrame({"song_id": ["a"]}).to_parquet(place.songs)
    with pytest.raises(DataError, match="column `source`"):
        build_features(place, [CONFIG])

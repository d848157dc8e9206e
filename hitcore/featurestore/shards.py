"""Making one shard: decode each of its songs once, feed every store that is asked for.

A worker keeps each finished song as a small part file, so that whatever ends the work, the next
try goes on at the song; when all songs are there, they become the shard. The description of a
shard is written last: a shard without it does not exist.

Each song has a limit of time. One that outlasts it is given up; one that cannot even be
interrupted, or that crashes its worker, is told by the notes of the shard, which say at which
song an earlier try of this build ended.

Of a workspace at an address, the notes and the finished shard go there; parts stay on the machine
that makes them, so that another one, after it was lost, begins the shard anew.
"""

import contextlib
import errno
import faulthandler
import hashlib
import json
import os
import secrets
import shutil
import signal
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hitcore.errors import DataError, EngineError, HitcoreError, StoreError, WeightsError
from hitcore.featurestore.compute import Arrays, Computes, Device, features_of, tagger_of
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.featurestore.serving import served
from hitcore.featurestore.sounds import ReadSong, sound_of
from hitcore.featurestore.store import digest_of, read_sidecar
from hitcore.files import replacing, sha256_of, write_atomic
from hitcore.remote import Mirror

N_TRIES = 2
"""A song that ends its worker this many times is given up."""

PATIENCE = 1.25
"""A song that cannot be interrupted is ended, with its worker, at so many times its limit."""


@dataclass(frozen=True)
class ShardTask:
    """What one worker does in one go."""

    workspace: Path
    """The workspace's folder."""
    configs: tuple[FeatureConfig, ...]
    """The stores that get this shard."""
    number: int
    """The shard's number in each of them."""
    songs: tuple[tuple[str, str], ...]
    """Songs as (song_id, source)."""
    read_song: ReadSong | None = None
    """Brings a song's sound; None for files and demo songs."""
    song_limit_s: float = 120.0
    """Longest time for one song, seconds."""
    build: str = ""
    """Which build this is of; what ended another one is no song's fault."""
    device: str = "cpu"
    """Where the mel and the networks are computed; decoding is always the processor's."""
    served: bool = False
    """Whether one process computes on the device for all workers, or each worker for itself."""
    audio_root: str | None = None
    """Folder or address below which files lie; None: the workspace's `audio`."""
    address: str | None = None
    """Where the workspace lies, if not in its folder; then that folder is each machine's own."""

    @property
    def mirror(self) -> Mirror | None:
        """What takes files to the address, on this machine; None where there is none."""
        return None if self.address is None else Mirror.of(self.address)

    def push(self, *paths: Path) -> None:
        """Take files to the address, if there is one."""
        if self.mirror is not None:
            self.mirror.push(*paths)


@dataclass(frozen=True)
class Failure:
    """Why a song has no features."""

    cause: str
    """A class name, "timeout" or "worker died"."""
    error: str
    """In one line."""


def build_shard(task: ShardTask) -> dict[str, int]:
    """Make one shard of every store of the task; the number of failed songs by cause.

    Raises:
        DataError: the disk is full or cannot be written.
        EngineError: the device's process cannot be started, or ends again and again.
        StoreError: the address does not answer.
        WeightsError: the weights of a tagger or a highlight method are not installed.
    """
    if task.mirror is not None:
        task = replace(task, workspace=task.mirror.folder)
    try:
        for config in task.configs:
            _parts_folder(task, config).mkdir(parents=True, exist_ok=True)
        notes = _Notes.of(task)
        computes = served(task.device, task.build) if task.served else Device(task.device)
        made = {
            song_id: _make(task, notes, computes, song_id, source) for song_id, source in task.songs
        }
        for i, config in enumerate(task.configs):
            arrays = {song: found[i] for song, found in made.items() if found is not None}
            _assemble(task, config, arrays, notes.failed)
        _remove_parts(task)
    except OSError as error:
        raise disk_error(error) from error
    return dict(Counter(failure.cause for failure in notes.failed.values()))


def disk_error(error: OSError) -> DataError:
    """What a failed write means to the user."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "check the workspace's folder"
    return DataError(
        f"{error.strerror or error} while writing features: {remedy}, then run the same command "
        "again; what is done is kept"
    )


# --- one song ------------------------------------------------------------------------------------


def _make(
    task: ShardTask, notes: "_Notes", computes: Computes, song_id: str, source: str
) -> list[Arrays] | None:
    """The features of one song for each store, found or made now; None where it fails."""
    paths = [_part(task, config, song_id, source) for config in task.configs]
    found = [_read_part(path) for path in paths]
    lacking = [c for c, arrays in zip(task.configs, found, strict=True) if arrays is None]
    made = _try(task, notes, computes, song_id, source, lacking) if lacking else []
    if made is None:
        return None
    missing = iter(made)
    features = []
    for path, arrays in zip(paths, found, strict=True):
        if arrays is None:
            arrays = next(missing)
            _write_part(path, arrays)
        features.append(arrays)
    return features


def _try(
    task: ShardTask,
    notes: "_Notes",
    computes: Computes,
    song_id: str,
    source: str,
    configs: list[FeatureConfig],
) -> list[Arrays] | None:
    """The features of one song within its limit; None, and why in the notes, where it fails."""
    if not notes.may_try(song_id):
        return None
    try:
        with _limit(task.song_limit_s):
            sound = sound_of(task.workspace, source, configs, task.read_song, task.audio_root)
            features = features_of(sound, configs, computes)
        notes.note_success(song_id)
        return features
    except (WeightsError, StoreError, EngineError):
        raise  # no song's fault
    except _OutlastedError:
        why = Failure("timeout", f"gave up after its limit of {task.song_limit_s:g} s")
    except HitcoreError as error:
        why = Failure(type(error).__name__, str(error))
    except Exception as error:
        # An error of a library on one song must not cost the others theirs.
        name = type(error).__name__
        why = Failure(name, f"unexpected {name}: {error}")
    notes.note_failure(song_id, why)
    return None


class _OutlastedError(BaseException):
    """A song took too long; no library can mistake it for an error of its own."""


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Break off what takes longer; what cannot be broken off ends this process soon after."""
    in_main = threading.current_thread() is threading.main_thread()
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(PATIENCE * seconds, exit=True, file=nowhere)
        before = signal.signal(signal.SIGALRM, _break_off) if in_main else None
        if in_main:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            if in_main:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            faulthandler.cancel_dump_traceback_later()


def _break_off(number: int, frame: object) -> None:
    raise _OutlastedError


# --- what is known of earlier tries --------------------------------------------------------------


@dataclass
class _Notes:
    """How often songs of a shard were tried without an end, and which ones failed."""

    task: ShardTask
    path: Path
    tries: dict[str, int] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)

    @classmethod
    def of(cls, task: ShardTask) -> "_Notes":
        """What an earlier try of this build left; nothing where there was none."""
        folder = _parts_folder(task, task.configs[0])
        notes = cls(task, folder / f"shard-{task.number:05d}.notes")
        if task.mirror is not None:
            task.mirror.fetch(notes.path)
        try:
            written = json.loads(notes.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return notes
        if written["build"] == task.build:
            notes.tries = written["tries"]
            notes.failed = {song: Failure(**why) for song, why in written["failed"].items()}
        return notes

    def may_try(self, song_id: str) -> bool:
        """Whether the song is to be tried now, which is noted; no, where it has failed before."""
        if song_id in self.failed:
            return False
        n_tries = self.tries.get(song_id, 0)
        if n_tries >= N_TRIES:
            why = f"it crashed its worker, or hung in it beyond its limit, {n_tries} times"
            self.note_failure(song_id, Failure("worker died", why))
            return False
        self.tries[song_id] = n_tries + 1
        self._write()
        return True

    def note_success(self, song_id: str) -> None:
        """The song ends no worker: another machine, which has no part of it, may try it again."""
        del self.tries[song_id]  # written down with the next song

    def note_failure(self, song_id: str, why: Failure) -> None:
        """The song has failed for good."""
        self.failed[song_id] = replace(why, error=" ".join(why.error.split()))
        self._write()

    def _write(self) -> None:
        # Not flushed to the disk: it matters only while the build goes on.
        failed = {song: asdict(failure) for song, failure in self.failed.items()}
        unfinished = _beside(self.path)
        unfinished.write_text(
            json.dumps({"build": self.task.build, "tries": self.tries, "failed": failed})
        )
        os.replace(unfinished, self.path)
        self.task.push(self.path)


# --- parts ---------------------------------------------------------------------------------------


def _parts_folder(task: ShardTask, config: FeatureConfig) -> Path:
    folder = task.workspace / "features" / config.fingerprint / "parts"
    # What an earlier build left on one of many machines, nobody would ever tidy away or check.
    return folder if task.address is None else folder / task.build


def _part(task: ShardTask, config: FeatureConfig, song_id: str, source: str) -> Path:
    key = hashlib.sha256(f"{song_id}\n{source}".encode()).hexdigest()[:32]
    return _parts_folder(task, config) / f"{key}.npz"


def _write_part(path: Path, arrays: Arrays) -> None:
    # Not flushed to the disk: a part that a power failure damages is found out and made again.
    unfinished = _beside(path)
    try:
        with open(unfinished, "wb") as file:
            np.savez(file, **arrays)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_part(path: Path) -> Arrays | None:
    """A part whose checksums hold; None where there is none."""
    try:
        with np.load(path, allow_pickle=False) as part:
            return {name: part[name] for name in part.files}
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError):
        return None


def _beside(path: Path) -> Path:
    """A name of our own beside a file; two workers may be at it when a machine is lost."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _remove_parts(task: ShardTask) -> None:
    for config in task.configs:
        # On a machine of its own nobody else is at work on what earlier builds have left there.
        for left in _parts_folder(task, config).parent.iterdir() if task.address else ():
            if left.name != task.build:
                shutil.rmtree(left, ignore_errors=True)
        for song_id, source in task.songs:
            _part(task, config, song_id, source).unlink(missing_ok=True)


# --- the shard -----------------------------------------------------------------------------------


def _assemble(
    task: ShardTask, config: FeatureConfig, made: dict[str, Arrays], failed: dict[str, Failure]
) -> None:
    """Write a shard's arrays, then its description."""
    folder = task.workspace / "features" / config.fingerprint
    if task.address is None and read_sidecar(folder, task.number) is not None:
        return
    parts: list[Arrays] = []
    songs: list[dict[str, Any]] = []
    for song_id, _ in task.songs:
        entry: dict[str, Any] = {"song_id": song_id, "shard": task.number}
        if song_id in made:
            arrays = made[song_id]
            start_s, end_s = (float(value) for value in arrays["clip"])
            entry |= {"row": len(parts), "content_hash": str(arrays["content_hash"])}
            entry |= {"start_s": start_s, "end_s": end_s, "status": "ok", "error": None}
            parts.append(arrays)
        else:
            entry |= {"row": -1, "content_hash": None, "start_s": None, "end_s": None}
            entry |= {"status": "failed", "error": failed[song_id].error}
        songs.append(entry)
    about: dict[str, Any] = {"songs": songs, "mel": None, "tags": None, "tag_names": []}
    if parts:
        about |= _write_array(folder, task.number, "mel", parts)
        if config.tagger is not None:
            about |= _write_array(folder, task.number, "tags", parts)
            about["tag_names"] = list(tagger_of(config.tagger).tag_names)
    about["sha256"] = digest_of(about)
    sidecar = folder / f"shard-{task.number:05d}.json"
    write_atomic(sidecar, json.dumps(about))
    task.push(*(folder / about[name] for name in ("mel", "tags") if about[name]), sidecar)


def _write_array(folder: Path, number: int, name: str, parts: list[Arrays]) -> dict[str, Any]:
    path = folder / f"shard-{number:05d}-{name}.npy"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.stack([part[name] for part in parts]), allow_pickle=False)
    about = path.stat()
    stamp = [about.st_size, about.st_mtime_ns]
    return {name: path.name, f"{name}_sha256": sha256_of(path), f"{name}_stamp": stamp}

"""Weights by name: obtain them once, verify them, read them.

The problem: a published network comes as a TensorFlow checkpoint inside a wheel, as an archive in
a repository, or not at all where its licence forbids it. Here each has a name, a pinned checksum
and one form: a safetensors file in the user's cache, written once, checked at every reading. What
this project trains itself lies in `assets/models` in the same form and goes by its file's name.

Conventions:
    The cache is the folder named by HITCORE_CACHE, or the user's cache folder of the system.
    Tensors keep the names and the layout that their authors gave them.
    A file appears whole or not at all; a lock keeps two processes from obtaining the same thing.

References:
    safetensors: https://huggingface.co/docs/safetensors
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hitcore import files
from hitcore.errors import ParameterError, WeightsError
from hitcore.weights.obtain import Files, from_local, from_network
from hitcore.weights.registry import REGISTRY, NamedWeights, SourceFile, registered
from hitcore.weights.store import DESCRIPTION, Weights, check_shapes, digest, read, save

__all__ = [
    "DESCRIPTION",
    "REGISTRY",
    "NamedWeights",
    "SourceFile",
    "Weights",
    "WeightsStatus",
    "cache_folder",
    "check_shapes",
    "convert",
    "digest",
    "failed_lately",
    "fetch",
    "import_local",
    "is_installed",
    "load",
    "packaged",
    "read",
    "registered",
    "save",
    "status",
    "verify",
]

ASSETS = files.ASSETS / "models"


def cache_folder() -> Path:
    """The folder of installed weights (HITCORE_CACHE, or the user's cache of the system)."""
    chosen = os.environ.get("HITCORE_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "weights"
    from platformdirs import user_cache_path

    return user_cache_path("hitcore") / "weights"


def load(name: str | os.PathLike[str]) -> Weights:
    """The tensors and metadata of weights, by name or by the path of a `.safetensors` file.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: They are not installed, or damaged; the message says how to mend it.
    """
    path = _path_of(name)
    key = str(name)
    if key not in REGISTRY:
        return read(path)
    if not path.is_file():
        raise WeightsError(f"the weights {key} are not installed: {how_to_obtain(REGISTRY[key])}")
    try:
        weights = read(path)
        return Weights(check_shapes(weights.tensors, REGISTRY[key].shapes, key), weights.metadata)
    except WeightsError as error:
        raise WeightsError(f"{error}; mend it: {how_to_obtain(REGISTRY[key])}") from error


def fetch(name: str, timeout: float | None = None) -> Path:
    """The path of installed weights, downloaded first if they are absent or damaged.

    Args:
        name: One of `REGISTRY`.
        timeout: Seconds after which to give up; None: a quarter of an hour.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: They cannot be had; the message says how to import them.
    """
    entry = registered(name)
    if is_installed(name):
        return _installed_path(name)
    if not entry.fetchable:
        raise WeightsError(f"{name} is not downloaded ({entry.licence}): {how_to_obtain(entry)}")
    with _lock(entry, timeout):
        if not is_installed(name):  # another process may have been first
            try:
                with from_network(entry, timeout or 900.0) as files:
                    for other in _siblings(entry):
                        _install(other, files)
            except WeightsError as error:
                _failure_mark(name).touch()
                raise WeightsError(f"{error}; or by hand: {_import_command(entry)}") from error
            _failure_mark(name).unlink(missing_ok=True)
    return _installed_path(name)


def failed_lately(name: str, within_s: float = 86_400.0) -> bool:
    """Whether a download failed within the last day, so that no start need wait for it again."""
    mark = _failure_mark(name)
    return mark.exists() and time.time() - mark.stat().st_mtime < within_s


def import_local(name: str, path: str | os.PathLike[str]) -> Path:
    """Install weights from a local copy, its checksums compared; the path of the result.

    Args:
        name: One of `REGISTRY`.
        path: The published repository's folder, the folder of the checkpoint, one of its files,
            or the wheel.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: A file is missing or is not the published one; the message names it.
    """
    entry = registered(name)
    with _lock(entry, None), from_local(entry, Path(path)) as files:
        return _install(entry, files)


def convert(entry: NamedWeights, contents: dict[str, bytes]) -> Weights:
    """The tensors and metadata that the contents of an entry's files hold.

    Raises:
        WeightsError: A tensor is missing, damaged, of another shape or type, or not finite.
    """
    tensors, extra = entry.read(entry.name, contents)
    description = {key: getattr(entry, key) for key in ("name", *DESCRIPTION)}
    files = {file.path: file.sha256 for file in entry.files}
    kept = check_shapes(tensors, entry.shapes, entry.name)
    return Weights(kept, {**description, **extra, "files": files})


def is_installed(name: str) -> bool:
    """Whether weights of this name can be loaded, undamaged, now."""
    try:
        load(name)
    except (WeightsError, ParameterError):
        return False
    return True


def packaged() -> dict[str, Path]:
    """The weights that this project trained and ships, by name."""
    return {path.stem: path for path in sorted(ASSETS.glob("*.safetensors"))}


@dataclass(frozen=True)
class WeightsStatus:
    """What a page or a list says about one set of weights."""

    name: str
    """What `load` calls it."""
    state: str
    """`installed`, `absent` or `damaged`."""
    title: str
    """The network."""
    kind: str
    """What it does: tagger, hit model, highlighter."""
    trained_on: str
    """The data that it learnt from."""
    source: str
    """Where it is published; this project, for packaged weights."""
    licence: str
    """Under which terms."""
    limits: str
    """What it should not be trusted with."""
    fetchable: bool
    """Whether `fetch` can obtain it."""
    n_bytes: int | None
    """Size on disk; None where absent."""
    checksum: str | None
    """Checksum of the tensors; None where absent or damaged."""
    message: str
    """How to obtain or mend it; empty where installed."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def status() -> list[WeightsStatus]:
    """One row for every named and every packaged set of weights."""
    return [_status(name) for name in [*REGISTRY, *(n for n in packaged() if n not in REGISTRY)]]


def verify() -> list[WeightsStatus]:
    """`status`, if no installed weights are damaged.

    Raises:
        WeightsError: Some are; the message names the first and says how to mend it.
    """
    rows = status()
    for row in rows:
        if row.state == "damaged":
            raise WeightsError(row.message)
    return rows


def how_to_obtain(entry: NamedWeights) -> str:
    """The commands that install an entry, in words."""
    if entry.fetchable:
        return f"`hitcore weights fetch {entry.name}`, or from a copy: {_import_command(entry)}"
    return f"get it from {entry.source}, then `hitcore weights import {entry.name} FOLDER`"


# --- inside --------------------------------------------------------------------------------------


def _import_command(entry: NamedWeights) -> str:
    files = entry.wheel.file_name if entry.wheel else ", ".join(f.path for f in entry.files)
    return f"`hitcore weights import {entry.name} PATH` (PATH holds {files} of {entry.source})"


def _installed_path(name: str) -> Path:
    return cache_folder() / f"{name}.safetensors"


def _failure_mark(name: str) -> Path:
    return cache_folder() / f".{name}.unreachable"


def _path_of(name: str | os.PathLike[str]) -> Path:
    """Where weights lie: an entry of the registry, a packaged file, or a path."""
    if isinstance(name, str) and name in REGISTRY:
        return _installed_path(name)
    ours = packaged()
    if isinstance(name, str) and name in ours:
        return ours[name]
    if os.fspath(name).endswith(".safetensors"):
        return Path(name)
    raise ParameterError(
        f"no weights are named {os.fspath(name)!r}; known are {', '.join([*REGISTRY, *ours])}, "
        "and paths of .safetensors files"
    )


def _siblings(entry: NamedWeights) -> list[NamedWeights]:
    """The entry, and those others that come in the same wheel and are not installed."""
    if entry.wheel is None:
        return [entry]
    same = [other for other in REGISTRY.values() if other.wheel == entry.wheel]
    return [other for other in same if other is entry or not is_installed(other.name)]


def _install(entry: NamedWeights, files: Files) -> Path:
    weights = convert(entry, files(entry))
    path = _installed_path(entry.name)
    save(path, weights.tensors, weights.metadata)
    return path


@contextmanager
def _lock(entry: NamedWeights, timeout: float | None) -> Iterator[None]:
    """Only one process at a time obtains what comes from one place."""
    from filelock import FileLock, Timeout

    folder = cache_folder()
    key = entry.wheel.package if entry.wheel else entry.name
    lock = FileLock(folder / f".{key}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout or 900.0)
    except Timeout as error:
        raise WeightsError(f"another process is obtaining {entry.name}: wait for it") from error
    except OSError as error:
        raise WeightsError(
            f"the cache {folder} cannot be written ({error}): set HITCORE_CACHE to another folder"
        ) from error
    try:
        _remove_leftovers(folder, entry)
        yield
    finally:
        lock.release()


def _remove_leftovers(folder: Path, entry: NamedWeights) -> None:
    """What a killed process left half written; the lock is held, so nobody is writing it."""
    for part in folder.glob(f".{entry.name}.*.part.safetensors"):
        part.unlink(missing_ok=True)


def _status(name: str) -> WeightsStatus:
    entry = REGISTRY.get(name)
    path = _path_of(name)
    described: dict[str, str] = {}
    if entry is not None:
        described = {key: getattr(entry, key) for key in DESCRIPTION}
    checksum, message, state = None, "", "installed"
    if not path.is_file():
        state, message = "absent", how_to_obtain(entry) if entry else ""
    else:
        try:
            metadata = load(name).metadata
            checksum = str(metadata["digest"])
            described = {key: str(metadata.get(key, "")) for key in DESCRIPTION} | described
        except WeightsError as error:
            state, message = "damaged", str(error)
    return WeightsStatus(
        name=name,
        state=state,
        **{key: described.get(key, "") for key in DESCRIPTION},
        fetchable=entry is not None and entry.fetchable,
        n_bytes=path.stat().st_size if path.is_file() else None,
        checksum=checksum,
        message=message,
    )

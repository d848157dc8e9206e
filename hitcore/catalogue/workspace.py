"""The folder of one catalogue: where everything lies, and who may write it.

    songs.parquet  daily_shares/  hit_scores.parquet  scores.json  attributes.parquet  audio/
    features/<fingerprint>/  runs/<run_id>/  ledger.sqlite  workspace.json

`workspace.json` names the format and its version; a folder without it is no workspace, and one of
another version is refused rather than guessed at. Files are written whole or not at all
(`hitcore.files`); a lock keeps two processes from building the same thing at the same time.

A workspace may lie at an address (`s3://bucket/w`, whatever fsspec has a driver for). Then its path
is a folder of copies on this machine (`hitcore.remote`): `refresh` and `fetch` bring what is asked
for, `push` takes to the address what was made here. The ledger and the locks stay on the machine
that drives, and there must be one such machine at a time.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hitcore.errors import DataError, ParameterError
from hitcore.files import write_atomic
from hitcore.remote import Mirror, is_address

FORMAT = "hitcore-workspace"
VERSION = 1
_MARKER = "workspace.json"
_MARK = json.dumps({"format": FORMAT, "version": VERSION}) + "\n"
_HOLDS_OTHERS = "{} holds other things: give a new or an empty folder for the workspace"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Workspace:
    """An existing workspace. Make one with `create`, return to it with `open`.

    Example:
        >>> import tempfile
        >>> workspace = Workspace.create(Path(tempfile.mkdtemp()) / "mine")
        >>> workspace.songs.name, workspace.run_folder("3f2a").parent.name
        ('songs.parquet', 'runs')
        >>> Workspace.open(workspace.path) == workspace
        True
    """

    path: Path
    """The absolute path of the folder; of the copies on this machine, where it has an address."""
    address: str | None = None
    """Where it lies, if that is no folder of this machine."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _absolute(self.path))
        _check_marker(self.path, self.place)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> "Workspace":
        """The workspace at `path`, made if nothing is there yet; an existing one is kept.

        Raises:
            DataError: `path` is a file, a folder that holds other things, a workspace of another
                version, or cannot be made.
        """
        if is_address(path):
            return cls._create_at(Mirror.of(str(path)))
        folder = _absolute(path)
        marker = folder / _MARKER
        if not marker.exists():
            try:
                if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                    raise DataError(_HOLDS_OTHERS.format(folder))
                write_atomic(marker, _MARK)
            except OSError as error:
                raise DataError(
                    f"no workspace can be made at {folder}: {error.strerror}"
                ) from error
        return cls(folder)

    @classmethod
    def _create_at(cls, mirror: Mirror) -> "Workspace":
        there = mirror.sizes(mirror.folder, deep=True)
        if _MARKER not in there:
            if there:
                raise DataError(_HOLDS_OTHERS.format(mirror.address))
            write_atomic(mirror.folder / _MARKER, _MARK)
            mirror.push(mirror.folder / _MARKER)
        return cls.open(mirror.address)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Workspace":
        """The workspace at `path`, a folder or an address; of an address, its tables are fetched.

        Raises:
            DataError: there is none, or it is of another version.
            StoreError: the store at the address does not answer or refuses.
        """
        if not is_address(path):
            return cls(Path(path))
        mirror = Mirror.of(str(path))
        mirror.refresh(mirror.folder)
        marker = mirror.folder / _MARKER
        if not marker.exists():
            raise DataError(
                f"{mirror.address} is no workspace ({_MARKER} is absent: {mirror.absence(marker)})"
                f": take one there with `hitcore workspace copy W {mirror.address}`"
            )
        return cls(mirror.folder, mirror.address)

    @property
    def place(self) -> str:
        """What opens it again, on any machine that reaches it: its address or its path."""
        return self.address or str(self.path)

    @property
    def mirror(self) -> Mirror | None:
        """What brings copies from its address; None where it is a folder of this machine."""
        return None if self.address is None else Mirror(self.address, self.path)

    def refresh(self, folder: Path, pattern: str = "*", *, deep: bool = False) -> None:
        """See that the copies in one of its folders are what its address has there."""
        if self.mirror is not None:
            self.mirror.refresh(folder, pattern, deep=deep)

    def fetch(self, *paths: Path) -> None:
        """Bring these files of its address here."""
        if self.mirror is not None:
            self.mirror.fetch(*paths)

    def push(self, *paths: Path) -> None:
        """Take these files to its address, one after another."""
        if self.mirror is not None:
            self.mirror.push(*paths)

    def remove(self, *paths: Path) -> None:
        """Remove these files here and at its address."""
        for path in paths:
            path.unlink(missing_ok=True)
        if self.mirror is not None:
            self.mirror.remove(*paths)

    def has(self, path: Path) -> bool:
        """Whether it has this file, at its address if it has one."""
        return path.exists() if self.mirror is None else self.mirror.exists(path)

    @property
    def songs(self) -> Path:
        """The table of songs."""
        return self.path / "songs.parquet"

    @property
    def hit_scores(self) -> Path:
        """The table `song_id, hit_score`."""
        return self.path / "hit_scores.parquet"

    @property
    def attributes(self) -> Path:
        """The table `song_id` and named numbers, where the catalogue brings some."""
        return self.path / "attributes.parquet"

    @property
    def daily_shares(self) -> Path:
        """The folder of Parquet files `song_id, date, share`."""
        return self.path / "daily_shares"

    @property
    def audio(self) -> Path:
        """The folder of sound files, where the catalogue brings its own."""
        return self.path / "audio"

    @property
    def ledger(self) -> Path:
        """The SQLite file that says which runs are planned, running, done or failed."""
        return self.path / "ledger.sqlite"

    @property
    def features(self) -> Path:
        """The folder of all feature stores."""
        return self.path / "features"

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.path / "runs"

    def features_folder(self, fingerprint: str) -> Path:
        """The folder of the features that one configuration gives.

        Raises:
            ParameterError: the fingerprint is not a plain name.
        """
        return self.features / _plain(fingerprint, "fingerprint")

    def run_folder(self, run_id: str) -> Path:
        """The folder of one run.

        Raises:
            ParameterError: the id is not a plain name.
        """
        return self.runs / _plain(run_id, "run_id")

    @contextmanager
    def lock(self, name: str, timeout_s: float = 0.0) -> Iterator[None]:
        """Be the only process on this machine that does `name` in this workspace.

        The system gives the lock back when the process ends, however it ends.

        Raises:
            DataError: another process holds it for longer than `timeout_s` seconds.
            ParameterError: the name is not a plain one.

        Example:
            >>> import tempfile
            >>> workspace = Workspace.create(Path(tempfile.mkdtemp()) / "mine")
            >>> with workspace.lock("features"):
            ...     pass
        """
        folder = self.path / ".locks"
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / f"{_plain(name, 'lock')}.lock", timeout=timeout_s)
        try:
            lock.acquire()
        except Timeout as error:
            raise DataError(
                f"another process is at work on {name!r} in {self.place}: wait for it or end it, "
                "then try again"
            ) from error
        try:
            yield
        finally:
            lock.release()


@contextmanager
def new_workspace(path: str | os.PathLike[str]) -> Iterator[Workspace]:
    """A workspace to be filled, which appears at `path` when the block ends well, or not at all.

    Raises:
        DataError: something is at `path`, or it cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine"
        >>> with new_workspace(path) as unfinished:
        ...     path.exists()
        False
        >>> Workspace.open(path).path.name
        'mine'
    """
    target = _absolute(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{target} exists and is not empty: give a new folder, or remove it first if it holds "
            "a catalogue that is no longer wanted"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield Workspace.create(unfinished / "workspace")
            os.replace(unfinished / "workspace", target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"the catalogue cannot be written to {target}: {error.strerror or error}; nothing was "
            "left there"
        ) from error


def _plain(name: str, noun: str) -> str:
    """The name itself, if it can only be a name and never a path."""
    if not _PLAIN_NAME.fullmatch(name):
        raise ParameterError(
            f"{noun} {name!r}: letters, digits, '.', '_' and '-' are allowed, at most 128, and a "
            "letter or digit comes first"
        )
    return name


def _absolute(path: str | os.PathLike[str]) -> Path:
    """The path from the root on.

    Raises:
        DataError: no file system can hold it.
    """
    try:
        return Path(path).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{os.fspath(path)!r:.100} is no path of a folder: {error}") from error


def _check_marker(folder: Path, place: str) -> None:
    """Refuse what is no workspace of this version; `place` is what the user calls it."""
    hint = f"make one with `hitcore demo create {place}`, or with `hitcore workspace create`"
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{place} is no workspace ({_MARKER} is absent): {hint}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{_MARKER} of {place} cannot be read: {error}") from error
    if not isinstance(marker, dict) or marker.get("format") != FORMAT:
        raise DataError(f"{place} is no workspace ({_MARKER} names another format): {hint}")
    if marker.get("version") != VERSION:
        raise DataError(
            f"{place} is a workspace of version {marker.get('version')}; this hitcore reads "
            f"version {VERSION}: use the hitcore that made it, or build the workspace again"
        )

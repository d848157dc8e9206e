"""Files at an address that fsspec can reach (`s3://bucket/w`), and their copies in a folder here.

Everything else in hitcore works on local files; a `Mirror` brings them from the address and takes
them there. What is small and may change is compared with what the store lists (`refresh`); what is
large and never changes is fetched when it is asked for. A store that does not answer is asked
again for as long as `patience` says, then named.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec

from hitcore.errors import DataError, StoreError
from hitcore.files import write_atomic

T = TypeVar("T")

AT_ONCE = 32
"""Files that are fetched side by side, and held in memory until they are written."""

NOTES = ".copies.json"
"""In each folder of copies: what the store said of each file when it was fetched."""

_REFUSALS = ("PermissionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
_TELLING = ("ETag", "LastModified", "mtime", "created", "size")


def is_address(place: object) -> bool:
    """Whether a place is an address rather than a path.

    Example:
        >>> is_address("s3://bucket/w"), is_address("/data/w")
        (True, False)
    """
    return isinstance(place, str) and "://" in place


def patience() -> float:
    """For how long a silent store is asked again, seconds (HITCORE_STORE_PATIENCE, or 60)."""
    given = os.environ.get("HITCORE_STORE_PATIENCE", "")
    try:
        return max(0.0, float(given or 60))
    except ValueError as error:
        raise StoreError(f"HITCORE_STORE_PATIENCE is {given!r}: seconds are expected") from error


def store_of(address: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """What reaches an address, and the path within it.

    Raises:
        StoreError: nothing installed can reach such an address.
    """
    try:
        store, path = fsspec.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        extra = ": pip install 'hitcore[s3]'" if address.startswith("s3://") else ""
        raise StoreError(f"{address} cannot be reached: {error}{extra}") from error
    except (ValueError, OSError) as error:
        raise StoreError(f"{address} cannot be reached: {error}") from error
    return store, str(path).rstrip("/")


def patiently(address: str, call: Callable[..., T], *args: Any, **options: Any) -> T:
    """What a call to a store gives, tried again while the store does not answer.

    Raises:
        StoreError: it refuses, or is silent for longer than `patience` says.
        FileNotFoundError: there is no such file or bucket.
    """
    limit, start, pause = patience(), time.monotonic(), 0.2
    while True:
        try:
            return call(*args, **options)
        except FileNotFoundError:
            raise
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            if type(error).__name__ in _REFUSALS:
                raise StoreError(
                    f"{address} refuses ({line}): check the credentials and who may use it"
                ) from error
            if time.monotonic() - start + pause > limit:
                raise StoreError(
                    f"{address} does not answer ({line}): once it does, run the same command "
                    "again; what is done is kept"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


@dataclass(frozen=True)
class Mirror:
    """What lies at an address, and the folder of its copies on this machine.

    Example:
        >>> import tempfile
        >>> fsspec.filesystem("memory").pipe_file("/doc/w/songs.txt", b"two songs")
        >>> mirror = Mirror("memory://doc/w", Path(tempfile.mkdtemp()))
        >>> mirror.refresh(mirror.folder)
        >>> (mirror.folder / "songs.txt").read_text()
        'two songs'
        >>> _ = (mirror.folder / "new.txt").write_text("new")
        >>> mirror.push(mirror.folder / "new.txt")
        >>> sorted(mirror.sizes(mirror.folder))
        ['new.txt', 'songs.txt']
    """

    address: str
    """Without a slash at its end."""
    folder: Path
    """Of the copies."""

    @classmethod
    def of(cls, address: str) -> "Mirror":
        """The mirror of an address in HITCORE_COPIES, or in the user's cache of the system."""
        address = address.rstrip("/")
        chosen = os.environ.get("HITCORE_COPIES")
        if chosen:
            cache = Path(chosen).expanduser().resolve()
        else:
            from platformdirs import user_cache_path

            cache = user_cache_path("hitcore") / "copies"
        key = hashlib.sha256(address.encode()).hexdigest()[:16]
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in address.rsplit("/", 1)[-1])
        return cls(address, cache / key / (name or "workspace"))

    def exists(self, path: Path) -> bool:
        """Whether the store has the file that this path is the copy of."""
        return bool(self._ask(self._store.exists, self._remote(path)))

    def absence(self, path: Path) -> str:
        """Why the store does not have a file, in its own words."""
        try:
            patiently(self.address, self._store.cat_file, self._remote(path))
        except FileNotFoundError as error:
            return " ".join(str(error).split())
        return "it has come just now"

    def sizes(self, folder: Path, pattern: str = "*", *, deep: bool = False) -> dict[str, int]:
        """Files of the store below a folder, by their path within it, and their bytes."""
        return {name: int(about["size"]) for name, about in self._list(folder, pattern, deep)}

    def refresh(self, folder: Path, pattern: str = "*", *, deep: bool = False) -> None:
        """Make the copies in a folder what the store has there: fetched, or removed.

        Args:
            folder: Whose files.
            pattern: Of their names.
            deep: Those of the folders within it too.
        """
        there = {name: _key(about) for name, about in self._list(folder, pattern, deep)}
        known = _noted(folder)
        gone = [name for name in known if fnmatch(_last(name), pattern) and name not in there]
        for name in gone:
            (folder / name).unlink(missing_ok=True)
        stale = [
            name
            for name, key in there.items()
            if known.get(name) != key or not (folder / name).exists()
        ]
        self.fetch(*(folder / name for name in stale))
        if gone or stale:
            kept = {name: key for name, key in _noted(folder).items() if name not in gone}
            write_atomic(folder / NOTES, json.dumps(kept | {name: there[name] for name in stale}))

    def fetch(self, *paths: Path) -> None:
        """Bring these files here, whole or not at all; those that the store lacks are left out."""
        for first in range(0, len(paths), AT_ONCE):
            group = paths[first : first + AT_ONCE]
            by_remote = {self._remote(path): path for path in group}
            for remote, content in self._ask(self._contents, list(by_remote)).items():
                write_atomic(by_remote[remote], content)

    def push(self, *paths: Path) -> None:
        """Take these files to the store, one after another; each is there whole or not at all."""
        for path in paths:
            self._ask(self._store.put_file, str(path), self._remote(path))

    def remove(self, *paths: Path) -> None:
        """Remove files from the store, and their copies."""
        for path in paths:
            path.unlink(missing_ok=True)
            if self.exists(path):
                self._ask(self._store.rm_file, self._remote(path))

    def remove_below(self, folder: Path) -> None:
        """Remove all that the store has below a folder."""
        if self.sizes(folder, deep=True):
            self._ask(self._store.rm, self._remote(folder), recursive=True)

    # --- inside -----------------------------------------------------------------------------------

    @cached_property
    def _reached(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return store_of(self.address)

    @property
    def _store(self) -> fsspec.AbstractFileSystem:
        return self._reached[0]

    def _remote(self, path: Path) -> str:
        inside = path.relative_to(self.folder).as_posix()
        return self._reached[1] if inside == "." else f"{self._reached[1]}/{inside}"

    def _ask(self, call: Callable[..., T], *args: Any, **options: Any) -> T:
        try:
            return patiently(self.address, call, *args, **options)
        except FileNotFoundError as error:
            raise DataError(f"{self.address} is not there ({error})") from error

    def _contents(self, remotes: list[str]) -> dict[str, bytes]:
        """The content of each file that is there, brought side by side."""
        found = self._store.cat(remotes, on_error="return")
        for content in found.values():
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return {name: found[name] for name in remotes if isinstance(found.get(name), bytes)}

    def _list(self, folder: Path, pattern: str, deep: bool) -> Iterable[tuple[str, dict[str, Any]]]:
        root = self._remote(folder)
        depth = None if deep else 1
        found = self._ask(self._store.find, root, maxdepth=depth, detail=True)
        for remote, about in found.items():
            name = str(remote)[len(root) :].lstrip("/")
            # A name from elsewhere never leads out of the folder of copies.
            if not name or ".." in PurePosixPath(name).parts or "\\" in name or "\0" in name:
                continue
            if fnmatch(_last(name), pattern) and about.get("type") == "file":
                yield name, about


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _key(about: dict[str, Any]) -> str:
    """What changes whenever a file of a store does."""
    return hashlib.sha256(repr([about.get(name) for name in _TELLING]).encode()).hexdigest()[:32]


def _noted(folder: Path) -> dict[str, str]:
    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}

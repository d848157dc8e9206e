"""Where uploaded songs stay for a while: under the hash of their content, apart for each owner.

The name that a visitor's file had is never used as a path. An upload is reachable only by its
owner (see `ui.server.visitors`) and deleted, with all that was derived from it, `keep_hours` after
its last use.
"""

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path

from hitcore.errors import HitcoreError, ParameterError
from hitcore.files import write_atomic

KEEP_HOURS = 24.0
"""Uploads are deleted this many hours after they were last used, unless the operator says."""

HASH = re.compile(r"[0-9a-f]{64}")
REPORT = ".report"
"""Ending of the file beside an upload that holds its report."""


class UploadStore:
    """A folder of uploads, apart for each owner, forgotten after a while.

    Example:
        >>> import tempfile
        >>> store = UploadStore(Path(tempfile.mkdtemp()))
        >>> song = store.put("me", b"sound")
        >>> store.get("me", song).read_bytes(), store.get("you", song)
        (b'sound', None)
        >>> store.remove("me", song)
        >>> store.get("me", song) is None
        True
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self.root = root
        self.keep_s = keep_hours * 3600

    def put(self, owner: str, content: bytes) -> str:
        """Keep `content` for `owner`; the SHA-256 under which it can be had again.

        Raises:
            HitcoreError: the server's disk is full or cannot be written.
        """
        self.sweep()
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(owner, digest)
        if _used_now(path):
            return digest
        self._write(path, content)
        return digest

    def get(self, owner: str, digest: str, *, used: bool = True) -> Path | None:
        """The file of an upload of this owner, or None where there is no such upload.

        Args:
            owner: As `put` was told.
            digest: As `put` gave it; anything else finds nothing.
            used: Whether its time begins anew.
        """
        if not HASH.fullmatch(digest):
            return None
        path = self._path(owner, digest)
        # Its own time alone: looking at everybody's files for each of a hundred songs takes long.
        try:
            if path.stat().st_mtime < time.time() - self.keep_s:
                self.remove(owner, digest)
                return None
        except FileNotFoundError:
            return None
        there = _used_now(path) if used else True
        return path if there else None

    def has(self, owner: str, content: bytes) -> bool:
        """Whether this owner has brought this content already."""
        return self.get(owner, hashlib.sha256(content).hexdigest(), used=False) is not None

    def taken(self, owner: str) -> tuple[int, float]:
        """How many uploads an owner has, and the megabytes of these and their reports.

        Example:
            >>> import tempfile
            >>> store = UploadStore(Path(tempfile.mkdtemp()))
            >>> _ = store.put("me", bytes(500_000))
            >>> store.taken("me"), store.taken("you")
            ((1, 0.5), (0, 0.0))
        """
        n_uploads, n_bytes = 0, 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / folder_of(owner)) as f:
            for file in f:
                with contextlib.suppress(FileNotFoundError):  # removed in the meantime
                    n_bytes += file.stat().st_size
                    n_uploads += bool(HASH.fullmatch(file.name))
        return n_uploads, n_bytes / 1e6

    def kept_until(self, owner: str, digest: str) -> float | None:
        """When the time of an upload is over, in seconds since 1970; None where there is none."""
        path = self.get(owner, digest, used=False)
        try:
            return None if path is None else path.stat().st_mtime + self.keep_s
        except FileNotFoundError:
            return None

    def put_report(self, owner: str, digest: str, document: str) -> None:
        """Keep a report beside its upload; it goes when the upload goes.

        Raises:
            HitcoreError: the server's disk is full or cannot be written.
        """
        if self.get(owner, digest, used=False) is not None:
            self._write(self._path(owner, digest).with_suffix(REPORT), document.encode())

    def get_report(self, owner: str, digest: str) -> str | None:
        """The report that was kept beside an upload, or None."""
        if self.get(owner, digest, used=False) is None:
            return None
        try:
            return self._path(owner, digest).with_suffix(REPORT).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def remove(self, owner: str, digest: str) -> None:
        """Delete an upload and its report."""
        if HASH.fullmatch(digest):
            path = self._path(owner, digest)
            path.unlink(missing_ok=True)
            path.with_suffix(REPORT).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Delete what was not used for `keep_hours`; the number of uploads deleted.

        A file of the future, left by a clock that was set back, starts its time anew: it must not
        stay for as long as the clock was wrong.
        """
        now, deleted = time.time(), 0
        for path in list(self.root.glob("*/*")):
            if path.suffix == REPORT and not path.name.startswith("."):  # one that is whole
                if not path.with_suffix("").exists():
                    path.unlink(missing_ok=True)
                continue
            try:
                used = path.stat().st_mtime
                if used > now + 60:
                    os.utime(path, (now, now))
                elif used < now - self.keep_s:
                    path.unlink()
                    path.with_suffix(REPORT).unlink(missing_ok=True)
                    deleted += 1
            except FileNotFoundError:  # another visitor's sweep was first
                continue
        return deleted

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(path, content)
        except OSError as error:
            raise HitcoreError(
                f"the song cannot be kept on the server ({error.strerror}): its operator has to "
                "free space in the cache folder, or name another in HITCORE_CACHE"
            ) from error

    def _path(self, owner: str, digest: str) -> Path:
        return self.root / folder_of(owner) / digest


def folder_of(owner: str) -> str:
    """What stands for an owner on disk: nobody reads from it who it is.

    Example:
        >>> len(folder_of("person:x:1")), folder_of("a") == folder_of("b")
        (32, False)
    """
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def keep_hours() -> float:
    """For how many hours songs are kept: HITCORE_KEEP_HOURS, or 24.

    Raises:
        ParameterError: the variable holds no positive number.
    """
    given = os.environ.get("HITCORE_KEEP_HOURS", "")
    try:
        hours = float(given) if given else KEEP_HOURS
    except ValueError:
        hours = 0.0
    if not 0 < hours < float("inf"):
        raise ParameterError(
            f"HITCORE_KEEP_HOURS is {given!r}: a number of hours above 0 is allowed, such as 24"
        )
    return hours


def _used_now(path: Path) -> bool:
    """Note that an upload is used; whether it is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True

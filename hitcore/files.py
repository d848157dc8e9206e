"""Whole files or none: atomic writes and checksums.

Whatever hitcore writes appears under its name only when it is complete: the bytes go to a
temporary name in the same folder, are flushed to the disk, and are then renamed.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CARRIED = Path(__file__).resolve().parent / "_app"
APP = _CARRIED if _CARRIED.is_dir() else Path(__file__).resolve().parents[1]
"""Where the app lies: carried inside an installed package, beside the library in a clone."""

ASSETS = APP / "assets"
"""What ships with hitcore: demo songs, models and results."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [p.name for p in folder.iterdir()]
        ['a.txt']
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose their format by it.
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(6)}.part{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Delete what killed writers left half written in a folder; the number of files.

    Only for a folder in which nobody else writes now, as a lock makes sure. The temporary files of
    the safetensors library (`.tmp` and six letters) count too.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".a.0123456789ab.part.npy").touch()
        >>> remove_leftovers(folder), list(folder.iterdir())
        (1, [])
    """
    patterns = (".*.part*", ".tmp??????")
    found = [path for pattern in patterns for path in Path(folder).glob(pattern)]
    leftovers = [path for path in found if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def shown(name: str) -> str:
    r"""A file's name as text that can be written anywhere; what is not UTF-8 in it becomes U+FFFD.

    The system gives such bytes as lone surrogates, which no encoding takes.

    Example:
        >>> shown("Chanson \udce9") == "Chanson \ufffd", shown("Été")
        (True, 'Été')
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "empty"
        >>> file.touch()
        >>> sha256_of(file)[:16]
        'e3b0c44298fc1c14'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be flushed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Compressed bytes, unfolded within limits.

The problem: a few kilobytes may unfold to gigabytes, and a file may be cut off in the middle. What
comes out of a decompressor is counted here against what went in, and every fault of the data is a
`DataError` that names the file.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import zstandard

from hitcore.errors import DataError, ParameterError
from hitcore.plays.parsing.cells import one_line

FREE_BYTES = 2**20
"""So little may unfold from anything: the ratio of tiny files says nothing."""

DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, zstandard.ZstdError, lzma.LZMAError),
)
"""What the libraries raise on archives that are not what they say."""

Packing = Literal["gzip", "zstd", "bzip2", "xz"]
PACKINGS: Mapping[bytes, Packing] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
"""How packed files begin."""

_XZ_MEMORY = 2**27
Progress = Callable[[int, int], None]


def packing_of(head: bytes) -> Packing | None:
    """How a file is packed that begins so; None where it is not.

    Example:
        >>> packing_of(b"BZh91AY"), packing_of(b"song_id")
        ('bzip2', None)
    """
    return next((name for magic, name in PACKINGS.items() if head.startswith(magic)), None)


@dataclass(frozen=True)
class ReadLimits:
    """How much a log may unfold to while it is read.

    Example:
        >>> ReadLimits(max_bytes=2**30).max_ratio
        200.0
    """

    max_bytes: int = 2 * 2**40
    """Bytes that one path may unfold to."""

    max_ratio: float = 200.0
    """Unfolded bytes per packed byte. Play logs pack 5 to 50 times; bombs 1000 times and more."""

    max_members: int = 10_000
    """Files that one archive may hold."""

    max_record_bytes: int = 16 * 2**20
    """Bytes of one line, of one quoted record, or of one object of a JSON list."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be above 0")


class Readable(Protocol):
    """Whatever bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


class Meter:
    """Counts what unfolds from one path against what was read of it."""

    def __init__(
        self, path: Path, raw: BinaryIO, limits: ReadLimits, progress: Progress | None
    ) -> None:
        self._path, self._raw, self._limits, self._progress = path, raw, limits, progress
        self._size = path.stat().st_size
        self._unfolded = 0

    def add(self, n_bytes: int) -> None:
        """So many bytes came out.

        Raises:
            DataError: They are too many, or too many for what went in.
        """
        self._unfolded += n_bytes
        packed = self._raw.tell()
        if self._progress:
            self._progress(packed, self._size)
        if self._unfolded > self._limits.max_bytes:
            raise DataError(
                f"{self._path.name} unfolds to more than {self._limits.max_bytes:,} bytes, "
                "the limit; split the log, or raise ReadLimits.max_bytes"
            )
        allowed = max(FREE_BYTES, self._limits.max_ratio * packed)
        if self._unfolded > allowed:
            raise DataError(
                f"{self._path.name} unfolds to more than {self._limits.max_ratio:g} times its "
                "size, as archive bombs do; if it is a log of yours, unpack it first"
            )


class Unfolding:
    """A decompressor that tells a file that was cut off from one that ends.

    The stream readers of the libraries at hand either do not, or leak memory on such files, or
    take a byte of a hostile header at a time. Input goes in by the kilobyte, since one kilobyte
    of zstd may become 32 megabytes.
    """

    def __init__(self, raw: Readable, method: Packing) -> None:
        self._raw, self._method = raw, method
        self._frame = self._new_frame()
        self._open = False
        self._ready = b""

    def read(self, size: int) -> bytes:
        """Up to `size` unfolded bytes; none at the end.

        Raises:
            EOFError: The data ends within a frame.
        """
        while not self._ready:
            data = self._raw.read(1024)
            if not data:
                if self._open:
                    raise EOFError(f"the last part of the {self._method} data has no end")
                return b""
            self._ready = b"".join(self._unfolded(data))
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _unfolded(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield self._frame.decompress(data)
            self._open = not self._frame.eof
            data = b"" if self._open else self._frame.unused_data
            if not self._open:
                self._frame = self._new_frame()
                if self._method == "xz":
                    data = data.lstrip(b"\0")  # streams may be padded

    def _new_frame(self) -> Any:
        if self._method == "gzip":
            return zlib.decompressobj(wbits=31)
        if self._method == "bzip2":
            return bz2.BZ2Decompressor()
        if self._method == "xz":
            return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        return zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()


class Unpacking(io.RawIOBase):
    """A decompressor whose faults are DataErrors and whose output is metered."""

    def __init__(self, name: str, source: Readable, meter: Meter) -> None:
        self._name, self._source, self._meter = name, source, meter

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next unfolded bytes, metered."""
        try:
            data = self._source.read(min(len(buffer), 2**17))
        except DataError:
            raise
        except DAMAGE as error:
            reason = "it ends too early (truncated)" if _is_cut(error) else str(error)
            raise DataError(
                f"{self._name}: the compressed data is damaged: {one_line(reason)}; "
                "download or export the file again"
            ) from error
        self._meter.add(len(data))
        buffer[: len(data)] = data
        return len(data)


def _is_cut(error: Exception) -> bool:
    words = str(error).lower()
    return isinstance(error, EOFError) or "truncated" in words or "end-of-stream" in words

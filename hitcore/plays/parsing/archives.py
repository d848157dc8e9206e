"""The text files inside a path: plain, gzip, zstd, zip or tar, read within limits.

The problem: logs arrive packed, and what is packed may be hostile: a few kilobytes that unfold to
gigabytes, names that climb out of the archive, files cut off in the middle, text in another
encoding. Nothing here is unpacked to disk or held in memory: a member is a stream of bytes that
is UTF-8 without a byte-order mark, or a `DataError` that says what is wrong and where.

References:
    D. Fifield: "A better zip bomb", WOOT 2019.
"""

from __future__ import annotations

import codecs
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from hitcore.errors import DataError
from hitcore.plays.parsing.cells import one_line, shown
from hitcore.plays.parsing.unpacking import (
    DAMAGE,
    FREE_BYTES,
    Meter,
    Readable,
    Unfolding,
    Unpacking,
)
from hitcore.plays.parsing.unpacking import Progress as Progress
from hitcore.plays.parsing.unpacking import ReadLimits as ReadLimits

_MAX_TAR_HEADER_BYTES = 2**20
_PACKED: Final[dict[bytes, Literal["gzip", "zstd"]]] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


@dataclass(frozen=True)
class Wanted:
    """Which files of an archive are read."""

    pattern: re.Pattern[str]
    """What the base name has to match."""

    words: str
    """The same for a message."""

    def fits(self, name: str) -> bool:
        """Whether a member is one of them; what a Mac adds for itself is not."""
        base = base_name(name)
        hidden = base.startswith(".") or name.startswith("__MACOSX/")
        return not hidden and self.pattern.fullmatch(base) is not None


ANYTHING = Wanted(re.compile(r".*", re.DOTALL), "any name")


class Text:
    """One text file: its name for messages, its bytes, and how far into it one is."""

    def __init__(self, name: str, stream: io.BufferedReader[Any], path: Path) -> None:
        self.name = name
        self.path = path
        self.stream = stream

    def line(self, limit: int = 2**20) -> bytes:
        """The next physical line without its end; empty bytes at the end of the file."""
        line = self.stream.readline(limit)
        if len(line) >= limit:
            raise DataError(f"{self.name}: a line of the header is longer than {limit:,} bytes")
        return line.rstrip(b"\r\n")

    def peek(self, size: int = 65536) -> bytes:
        """Up to `size` bytes from here on, which stay to be read."""
        return self.stream.peek(size)[:size]


def texts(
    path: Path,
    limits: ReadLimits,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Iterator[Text]:
    """The text files at `path`, one after the other; each is valid until the next is asked for.

    A file that is no archive is taken under whatever name it has.

    Raises:
        DataError: The file is absent, damaged, over the limits, not UTF-8, or an archive without
            any file of the wanted name.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(_opened(path))
        magic = raw.read(4)
        raw.seek(0)
        meter = Meter(path, raw, limits, progress)
        if magic == b"PK\x03\x04" or magic == b"PK\x05\x06":
            yield from _zip_members(path, raw, limits, wanted, meter)
            return
        packed = next((name for head, name in _PACKED.items() if magic.startswith(head)), None)
        stream: io.BufferedReader[Any] = raw
        if packed:
            unfolding = Unfolding(raw, packed)
            stream = io.BufferedReader(Unpacking(path.name, unfolding, meter), 2**17)
        if _is_tar(stream):
            yield from _tar_members(path, stream, limits, wanted, meter)
        else:
            yield _text(path.name, stream, path, None if packed else meter)


def member_names(path: Path, limits: ReadLimits) -> list[str]:
    """Names of the files in an archive, at most the first 1000; empty where it is none."""
    with _opened(path) as raw:
        if raw.read(2) == b"PK":
            with _zip(path, raw) as archive:
                return [info.filename for info in _checked_members(path, archive, limits)][:1000]
    return []


def base_name(member: str) -> str:
    """The last part of a member's name.

    Example:
        >>> base_name("MyData/endsong_0.json")
        'endsong_0.json'
    """
    return member.replace("\\", "/").rsplit("/", 1)[-1]


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the files in it")
    try:
        raw = open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}") from error
    with raw:
        yield raw


class _Utf8(io.RawIOBase):
    """Bytes that are checked to be UTF-8 text on their way, without the byte-order mark."""

    def __init__(self, name: str, source: Readable, meter: Meter | None) -> None:
        self._name, self._source, self._meter = name, source, meter
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines = 0
        self._started = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        if not self._started:
            self._started = True
            data = self._begin(data, len(buffer))
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            before = bytes(error.object[: error.start]).count(b"\n")
            raise DataError(
                f"{self._name}, line {self._lines + before + 1}: byte "
                f"0x{error.object[error.start]:02x} is not UTF-8; convert the file, for example "
                "with: iconv -f WINDOWS-1252 -t UTF-8"
            ) from error
        if b"\0" in data:
            line = self._lines + data[: data.index(b"\0")].count(b"\n") + 1
            raise DataError(f"{self._name}, line {line}: a zero byte; this is not a text file")
        self._lines += data.count(b"\n")
        if self._meter:
            self._meter.add(0)
        buffer[: len(data)] = data
        return len(data)

    def _begin(self, data: bytes, size: int) -> bytes:
        while 0 < len(data) < 4 and (more := self._source.read(size - len(data))):
            data += more
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(
                f"{self._name}, line 1: the file is UTF-16; convert it to UTF-8, for example "
                "with: iconv -f UTF-16 -t UTF-8"
            )
        if data.startswith(codecs.BOM_UTF8):
            data = data[3:] or self._source.read(size)
        return data


def _text(name: str, source: Readable, path: Path, meter: Meter | None) -> Text:
    return Text(name, io.BufferedReader(_Utf8(name, source, meter), 2**17), path)


def _zip(path: Path, raw: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except DAMAGE as error:
        raise DataError(
            f"{path.name} is not a whole zip archive: {one_line(str(error))}; "
            "download or export it again"
        ) from error


def _zip_members(
    path: Path, raw: BinaryIO, limits: ReadLimits, wanted: Wanted, meter: Meter
) -> Iterator[Text]:
    with _zip(path, raw) as archive:
        members = _checked_members(path, archive, limits)
        chosen = [info for info in members if wanted.fits(info.filename)]
        for info in sorted(chosen, key=lambda info: info.filename):
            name = _member(path, info.filename)
            try:
                member = archive.open(info)
            except DAMAGE as error:
                raise DataError(f"{name} cannot be read: {one_line(str(error))}") from error
            with member:
                yield _text(name, io.BufferedReader(Unpacking(name, member, meter)), path, None)
        if not chosen:
            raise _nothing_wanted(path, [info.filename for info in members], wanted)


def _checked_members(
    path: Path, archive: zipfile.ZipFile, limits: ReadLimits
) -> list[zipfile.ZipInfo]:
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(members) > limits.max_members:
        raise DataError(
            f"{path.name} holds {len(members):,} files; at most {limits.max_members:,} are read"
        )
    for info in members:
        _check_name(path, info.filename)
        name = _member(path, info.filename)
        if info.flag_bits & 0x1:
            raise DataError(f"{name} is encrypted; unpack the archive with its password first")
        if info.compress_type not in _ZIP_METHODS:
            raise DataError(f"{name} is packed in an unusual way; unpack the archive first")
        if info.file_size > max(FREE_BYTES, limits.max_ratio * info.compress_size):
            raise DataError(
                f"{name} unfolds to {info.file_size:,} bytes from {info.compress_size:,}, more "
                f"than {limits.max_ratio:g} times, as archive bombs do; "
                "if it is a log of yours, unpack it first"
            )
    total = sum(info.file_size for info in members)
    if total > limits.max_bytes:
        raise DataError(
            f"{path.name} unfolds to {total:,} bytes; the limit is {limits.max_bytes:,}"
        )
    return members


class _TarInfo(tarfile.TarInfo):
    """A tar header whose extensions (long names and the like) are of a sane size."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = self.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE)
        if extended and self.size > _MAX_TAR_HEADER_BYTES:
            raise tarfile.HeaderError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]


def _is_tar(stream: io.BufferedReader[Any]) -> bool:
    head = stream.peek(512)[:512]
    if len(head) < 512 or head[257:262] != b"ustar":
        return False
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _tar_members(
    path: Path,
    stream: io.BufferedReader[Any],
    limits: ReadLimits,
    wanted: Wanted,
    meter: Meter,
) -> Iterator[Text]:
    names: list[str] = []
    found = False
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_TarInfo) as archive:
            for info in archive:
                vars(archive)["members"] = []  # tarfile keeps all it has seen; a stream needs none
                if info.isdir():
                    continue
                names.append(info.name)
                if len(names) > limits.max_members:
                    raise DataError(f"{path.name} holds more than {limits.max_members:,} files")
                _check_name(path, info.name)
                if not info.isreg():
                    raise DataError(f"{_member(path, info.name)} is a link or a device, not a file")
                if not wanted.fits(info.name):
                    continue
                member = archive.extractfile(info)
                if member is not None:
                    found = True
                    yield _text(_member(path, info.name), member, path, meter)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path.name}: the tar archive is damaged: {one_line(str(error))}; download it again"
        ) from error
    if not found:
        raise _nothing_wanted(path, names, wanted)


def _check_name(path: Path, name: str) -> None:
    if not name:
        raise DataError(f"{path.name} holds a file without a name; download or export it again")
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise DataError(
            f"{path.name} holds the name {shown(name)}, which leads out of the archive; "
            "such an archive is not read at all"
        )


def _nothing_wanted(path: Path, names: list[str], wanted: Wanted) -> DataError:
    held = ", ".join(shown(name) for name in names[:3])
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    inside = f"it holds {held}{more}" if names else "it is empty"
    return DataError(f"{path.name} holds no file named like {wanted.words}: {inside}")


def _member(path: Path, name: str) -> str:
    """A member's name for messages: without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in f"{path.name}:{name}")

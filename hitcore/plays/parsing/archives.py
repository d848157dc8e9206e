"""The text files inside a path: plain, packed, in an archive or in a folder, read within limits.

The problem: logs arrive packed, and what is packed may be hostile: a few kilobytes that unfold to
gigabytes, names that climb out of the archive, files cut off in the middle, text in another
encoding. Nothing here is unpacked to disk or held in memory: a member is a stream of bytes that
is UTF-8 without a byte-order mark, or a `DataError` that says what is wrong and where. A folder is
read as the zip of it would be.

References:
    D. Fifield: "A better zip bomb", WOOT 2019.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hitcore.errors import DataError
from hitcore.plays.parsing.cells import one_line, shown
from hitcore.plays.parsing.textfiles import Text as Text
from hitcore.plays.parsing.textfiles import text_file
from hitcore.plays.parsing.unpacking import (
    DAMAGE,
    FREE_BYTES,
    Meter,
    Unfolding,
    Unpacking,
    packing_of,
)
from hitcore.plays.parsing.unpacking import Progress as Progress
from hitcore.plays.parsing.unpacking import ReadLimits as ReadLimits

_MAX_TAR_HEADER_BYTES = 2**20
_MAX_DEPTH = 3
"""Archives within archives."""
_PACKED_NAME = re.compile(r"\.(gz|zst|bz2|xz)$", re.IGNORECASE)
ARCHIVE_NAME = re.compile(r".+\.(zip|tar(\.(gz|zst|bz2|xz))?|tgz)", re.IGNORECASE)
"""Names of files that may be archives."""
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


@dataclass(frozen=True)
class Wanted:
    """Which files of an archive are read."""

    pattern: re.Pattern[str]
    """What the base name has to match."""

    words: str
    """The same for a message."""

    nested: bool = False
    """Whether zip archives inside an archive are opened too, as some services pack."""

    def fits(self, name: str) -> bool:
        """Whether a member is one of them; what a Mac adds for itself is not.

        Example:
            >>> Wanted(re.compile(r".+\\.csv"), "log.csv").fits("in/log.csv.bz2")
            True
        """
        base = _PACKED_NAME.sub("", base_name(name))
        hidden = base.startswith(".") or name.startswith("__MACOSX/")
        return not hidden and self.pattern.fullmatch(base) is not None


ANYTHING = Wanted(re.compile(r".*", re.DOTALL), "any name")


class Same(Wanted):
    """The one file of that name, as it stands in `Text.name`."""

    def __init__(self, name: str) -> None:
        super().__init__(ANYTHING.pattern, base_name(name.rsplit(":", 1)[-1]), nested=True)

    def fits(self, name: str) -> bool:
        """Whether a member has the name, as messages show it."""
        return base_name(_member(name)) == self.words


def texts(
    path: Path,
    limits: ReadLimits,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Iterator[Text]:
    """The text files at `path`, one after the other; each is valid until the next is asked for.

    A file that is no archive is taken under whatever name it has.

    Raises:
        DataError: The file is absent, damaged, over the limits, not UTF-8, or an archive or a
            folder without any file of the wanted name.
    """
    if path.is_dir():
        yield from _folder_texts(path, limits, wanted, progress)
        return
    with _opened(path) as raw:
        yield from _texts_of(path.name, path, raw, limits, wanted, progress)


def _texts_of(
    name: str,
    path: Path,
    raw: io.BufferedReader,
    limits: ReadLimits,
    wanted: Wanted,
    progress: Progress | None,
) -> Iterator[Text]:
    magic = raw.read(6)
    raw.seek(0)
    meter = Meter(path, raw, limits, progress)
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip_members(name, path, raw, limits, wanted, meter)
        return
    packing = packing_of(magic)
    stream: io.BufferedReader[Any] = raw
    if packing:
        stream = io.BufferedReader(Unpacking(name, Unfolding(raw, packing), meter), 2**17)
    if _is_tar(stream):
        yield from _tar_members(path, stream, limits, wanted, meter)
    else:
        yield text_file(name, stream, path, None if packing else meter)


def _folder_texts(
    folder: Path, limits: ReadLimits, wanted: Wanted, progress: Progress | None
) -> Iterator[Text]:
    inside = files_within(folder, limits)
    chosen = [file for file in inside if wanted.fits(file.name)]
    archives = [file for file in inside if not chosen and ARCHIVE_NAME.fullmatch(file.name)]
    for file in chosen or archives:
        name = _member(file.relative_to(folder).as_posix())
        with _opened(file) as raw:
            yield from _texts_of(name, folder, raw, limits, wanted, progress)
    if not chosen and not archives:
        raise _nothing_wanted(folder, [file.name for file in inside], wanted)


def files_within(folder: Path, limits: ReadLimits) -> list[Path]:
    """The files of a folder and the folders in it, sorted; what is hidden is left out.

    Raises:
        DataError: There are more than the limit.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith((".", "__MACOSX"))]
        found += [Path(place) / n for n in names if not n.startswith(".")]
        if len(found) > limits.max_members:
            raise DataError(
                f"{folder.name} holds more than {limits.max_members:,} files; give the files of "
                "the log, or a folder of nothing else"
            )
    return sorted(file for file in found if file.is_file())


def names_at(path: Path, limits: ReadLimits) -> list[str]:
    """Names of the files in a folder or a zip archive; the file's own where it is neither.

    Raises:
        DataError: The archive is damaged or not within the limits.
    """
    if path.is_dir():
        return [file.name for file in files_within(path, limits)]
    if not _is_zip(path):
        return [path.name]
    with _opened(path) as raw, _zip(path.name, raw) as archive:
        members = checked_members(path.name, archive, limits)
        return [base_name(info.filename) for info in members]


def heads(path: Path, limits: ReadLimits, wanted: Wanted, n_files: int = 2000) -> Iterator[Text]:
    """The text files at a path as `texts` gives them, to look at their beginnings.

    Of a tar archive only the first one, since to reach the next is to read all before it.
    """
    before: list[str] = []
    for text in texts(path, limits, wanted):
        yield text
        before.append(text.name)
        if len(before) >= n_files or (path.is_file() and not _is_zip(path)):
            return


def _is_zip(path: Path) -> bool:
    with _opened(path) as raw:
        return raw.read(2) == b"PK"


def base_name(member: str) -> str:
    """The last part of a member's name.

    Example:
        >>> base_name("MyData/endsong_0.json")
        'endsong_0.json'
    """
    return member.replace("\\", "/").rsplit("/", 1)[-1]


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    try:
        raw = open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}") from error
    with raw:
        yield raw


def _zip(name: str, raw: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except DAMAGE as error:
        raise DataError(
            f"{name} is not a whole zip archive: {one_line(str(error))}; "
            "download or export it again"
        ) from error


def _zip_members(
    archive_name: str,
    path: Path,
    raw: BinaryIO,
    limits: ReadLimits,
    wanted: Wanted,
    meter: Meter,
    depth: int = 1,
) -> Iterator[Text]:
    n_found = 0
    with _zip(archive_name, raw) as archive:
        members = checked_members(archive_name, archive, limits)
        chosen = [info for info in members if wanted.fits(info.filename)]
        inner = [i for i in members if wanted.nested and i.filename.lower().endswith(".zip")]
        for info in sorted(chosen, key=lambda info: info.filename):
            name = _member(f"{archive_name}:{info.filename}")
            with _unzipped(name, archive, info) as member:
                stream = io.BufferedReader(Unpacking(name, member, meter))
                n_found += 1
                yield text_file(name, _unpacked(name, stream, meter), path, None)
        for info in inner if depth < _MAX_DEPTH else []:
            name = _member(f"{archive_name}:{info.filename}")
            with tempfile.TemporaryFile() as whole:
                with _unzipped(name, archive, info) as member:
                    shutil.copyfileobj(io.BufferedReader(Unpacking(name, member, meter)), whole)
                whole.seek(0)
                deeper = depth + 1
                for text in _zip_members(name, path, whole, limits, wanted, meter, deeper):
                    n_found += 1
                    yield text
        if not n_found and depth == 1:
            raise _nothing_wanted(Path(archive_name), [info.filename for info in members], wanted)


@contextmanager
def _unzipped(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[Any]:
    try:
        member = archive.open(info)
    except DAMAGE as error:
        raise DataError(f"{name} cannot be read: {one_line(str(error))}") from error
    with member:
        yield member


def _unpacked(name: str, stream: io.BufferedReader[Any], meter: Meter) -> io.BufferedReader[Any]:
    """A member, unfolded where it is packed itself."""
    packing = packing_of(stream.peek(6)[:6])
    if packing is None:
        return stream
    return io.BufferedReader(Unpacking(name, Unfolding(stream, packing), meter), 2**17)


def checked_members(
    archive_name: str, archive: zipfile.ZipFile, limits: ReadLimits
) -> list[zipfile.ZipInfo]:
    """The files of a zip archive, if all of it can be read within the limits.

    Raises:
        DataError: There are too many, or one leads out of the archive, is encrypted, is packed in
            an unusual way, or unfolds to more than is allowed.
    """
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(members) > limits.max_members:
        raise DataError(
            f"{archive_name} holds {len(members):,} files; at most {limits.max_members:,} are read"
        )
    for info in members:
        _check_name(archive_name, info.filename)
        name = _member(f"{archive_name}:{info.filename}")
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
            f"{archive_name} unfolds to {total:,} bytes; the limit is {limits.max_bytes:,}"
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
                _check_name(path.name, info.name)
                name = _member(f"{path.name}:{info.name}")
                if not info.isreg():
                    raise DataError(f"{name} is a link or a device, not a file")
                if not wanted.fits(info.name):
                    continue
                member = archive.extractfile(info)
                if member is not None:
                    found = True
                    stream = _unpacked(name, io.BufferedReader(member), meter)
                    yield text_file(name, stream, path, meter)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path.name}: the tar archive is damaged: {one_line(str(error))}; download it again"
        ) from error
    if not found:
        raise _nothing_wanted(path, names, wanted)


def _check_name(archive_name: str, name: str) -> None:
    if not name:
        raise DataError(f"{archive_name} holds a file without a name; download or export it again")
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise DataError(
            f"{archive_name} holds the name {shown(name)}, which leads out of the archive; "
            "such an archive is not read at all"
        )


def _nothing_wanted(path: Path, names: list[str], wanted: Wanted) -> DataError:
    held = ", ".join(shown(name) for name in names[:3])
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    inside = f"it holds {held}{more}" if names else "it is empty"
    return DataError(f"{path.name} holds no file named like {wanted.words}: {inside}")


def _member(name: str) -> str:
    """A member's name for messages: without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in name)

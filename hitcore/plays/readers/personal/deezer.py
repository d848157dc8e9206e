"""Deezer: the workbook of one's personal data (`deezer-data_1234567890.xlsx`).

The sheet `10_listeningHistory` has a row per play: `Song Title`, `Artist`, `ISRC`, `Album Title`,
`Listening Time` in seconds (-1 where it is not known), `Date` as text. A song is its ISRC, else
artist and title. A play counts from 30 seconds, as elsewhere; of unknown length it counts too,
and is counted. The zone of `Date` is not told; it is taken for UTC. Address and device are not
read. A workbook is a zip of XML, so it is held to the limits of other archives, and one that
declares entities of its own is refused.

References:
    Deezer's personal data request; openpyxl reads the workbook row by row.
"""

import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Wanted, base_name, checked_members, files_within
from hitcore.plays.parsing.cells import Id, Instant, one_line, or_null, shown, trimmed
from hitcore.plays.parsing.jsonlists import plain_text
from hitcore.plays.parsing.reader import Reader
from hitcore.plays.parsing.reading import Batch, Converter, Reading, Rows, identified
from hitcore.plays.parsing.unpacking import DAMAGE, ReadLimits
from hitcore.plays.readers.personal.spotify_history import SHORT_PLAY

WORKBOOK = Wanted(re.compile(r".+\.xlsx", re.IGNORECASE), "deezer-data_1234567890.xlsx")
_SHEET = re.compile(r"[0-9]*_?listeningHistory", re.IGNORECASE)
_COLUMNS = {
    "title": ("Song Title", "Titre"),
    "artist": ("Artist", "Artiste"),
    "isrc": ("ISRC",),
    "played": ("Listening Time",),
    "listened_at": ("Date",),
}
_BATCH_ROWS = 50_000
_MAX_BYTES = 2**30
_MAX_PART_BYTES = 2**27
"""Of a part other than a sheet; openpyxl holds those in memory as a whole."""
_MAX_COLUMNS = 200
_MIN_PLAYED_S = 30


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The plays, in batches."""
    for path in paths:
        for name, workbook in _workbooks(path, reading.limits):
            reading.begin(name)
            converter = Converter(reading, "events", {"song_id": Id(), "listened_at": Instant()})
            for rows in _rows(name, workbook, reading):
                yield _plays(rows, converter)
    reading.note("Deezer does not tell the zone of its dates: they are taken for UTC.")


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook, by what it holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except DAMAGE:
        return False


def _workbooks(path: Path, limits: ReadLimits) -> Iterator[tuple[str, BinaryIO]]:
    """The workbooks at a path: itself, those of a folder, or those of a zip archive."""
    if path.is_dir():
        for file in files_within(path, limits):
            if WORKBOOK.fits(file.name):
                yield from _workbooks(file, limits)
        return
    if is_workbook(path):
        with open(path, "rb") as workbook:
            yield path.name, workbook
        return
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise DataError(
            f"{path.name} is not a whole workbook: {one_line(str(error))}; export it again"
        ) from error
    with archive:
        inside = checked_members(path.name, archive, limits)
        for info in (info for info in inside if WORKBOOK.fits(info.filename)):
            with _whole(path, archive, info) as copy:
                yield f"{path.name}:{base_name(info.filename)}", copy


@contextmanager
def _whole(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        try:
            with archive.open(info) as member:
                shutil.copyfileobj(member, copy)
        except DAMAGE as error:
            raise DataError(f"{path.name} is damaged: {one_line(str(error))}") from error
        copy.seek(0)
        yield copy


def _check(name: str, workbook: BinaryIO, limits: ReadLimits) -> None:
    """Refuse a workbook that unfolds to too much, or declares entities.

    Raises:
        DataError: It does.
    """
    try:
        with zipfile.ZipFile(workbook) as archive:
            total = 0
            for info in checked_members(name, archive, limits):
                total += info.file_size
                if total > min(_MAX_BYTES, limits.max_bytes):
                    raise DataError(
                        f"{name} unfolds to more than {min(_MAX_BYTES, limits.max_bytes):,} "
                        "bytes; a listening history is far smaller"
                    )
                if info.file_size > _MAX_PART_BYTES and "worksheets/" not in info.filename:
                    raise DataError(
                        f"{name}: its part {shown(info.filename)} unfolds to "
                        f"{info.file_size:,} bytes; at most {_MAX_PART_BYTES:,} are read"
                    )
                with archive.open(info) as member:
                    before = b""
                    while block := member.read(2**20):
                        if b"<!DOCTYPE" in before + block or b"<!ENTITY" in before + block:
                            raise DataError(
                                f"{name} declares entities, as XML bombs do; such a workbook is "
                                "not read"
                            )
                        before = block[-16:]
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{name} is not a whole workbook: {one_line(str(error))}; export it again"
        ) from error
    workbook.seek(0)


def _rows(name: str, workbook: BinaryIO, reading: Reading) -> Iterator[Rows]:
    import openpyxl

    _check(name, workbook, reading.limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and the like, which are not read
        try:
            book = openpyxl.load_workbook(workbook, read_only=True, data_only=True)
            sheet = next((s for s in book.worksheets if _SHEET.fullmatch(s.title)), None)
            if sheet is None:
                titles = ", ".join(shown(s.title) for s in book.worksheets[:5])
                raise DataError(
                    f"{name}: there is no sheet 10_listeningHistory; there are {titles or 'none'}"
                )
            sheet.reset_dimensions()
            cells = sheet.iter_rows(values_only=True, max_col=_MAX_COLUMNS)
            yield from _batched(name, cells, reading)
        except DataError:
            raise
        except Exception as error:  # whatever a library raises on a hostile file
            raise DataError(
                f"{name} is not a whole workbook: {one_line(f'{type(error).__name__}: {error}')}; "
                "export it again"
            ) from error


def _batched(name: str, rows: Iterator[tuple[Any, ...]], reading: Reading) -> Iterator[Rows]:
    header = [str(cell or "").strip() for cell in next(rows, ())]
    places: dict[str, int] = {}
    for key, names in _COLUMNS.items():
        found = next((header.index(n) for n in names if n in header), None)
        if found is None and key != "isrc":
            have = ", ".join(shown(cell) for cell in header[:20])
            raise DataError(f"{name}, row 1: there is no column {shown(names[0])}; it has {have}")
        if found is not None:
            places[key] = found
    first = 0
    while batch := list(islice(rows, _BATCH_ROWS)):
        numbers = [i for i, row in enumerate(batch) if any(cell is not None for cell in row)]
        reading.n_read += len(numbers)
        columns = {
            key: pa.array([_cell(batch[i], place) for i in numbers], pa.string())
            for key, place in places.items()
        }
        if numbers:
            yield Rows(name, columns, 0, _Place(first, numbers))
        first += len(batch)


class _Place:
    """Words for the place of a row."""

    def __init__(self, first: int, numbers: list[int]) -> None:
        self._first, self._numbers = first, numbers

    def __call__(self, number: int) -> str:
        return f"row {self._first + self._numbers[number] + 2:,}"


def _cell(row: tuple[Any, ...], place: int) -> str | None:
    value = row[place] if place < len(row) else None
    return value.isoformat(" ") if isinstance(value, datetime) else plain_text(value)


def _plays(rows: Rows, converter: Converter) -> Batch:
    reading, given = converter.reading, rows.columns
    text = trimmed(given["played"])
    number = pc.match_substring_regex(text, r"^-?[0-9]{1,9}(\.[0-9]*)?$")
    seconds = pc.if_else(number, text, "-1").cast(pa.float64()).to_numpy(zero_copy_only=False)
    unknown = seconds < 0
    if n := int(unknown.sum()):
        reading.odd["of unknown length; counted as a play"] += n
    short = ~unknown & (seconds < _MIN_PLAYED_S)
    reading.drop(SHORT_PLAY, short)
    none = pa.nulls(len(rows), pa.string())
    columns = {
        "song_id": identified(reading, given.get("isrc", none), given["artist"], given["title"]),
        "listened_at": given["listened_at"],
        "title": given["title"],
        "artist_ids": or_null(given["artist"]),
    }
    return converter.batch(rows.holding(columns), np.asarray(~short))


READER = Reader(
    "deezer",
    batches,
    WORKBOOK,
    lambda head: False,  # a workbook is found by what its zip holds
    source="Deezer's personal data request, sheet 10_listeningHistory",
    as_of="2025",
    one_listener=True,
)

"""Delimited text (CSV, TSV) as batches of strings with known line numbers.

Arrow's streaming CSV reader does the splitting, so a file of any size passes through in blocks.
Line numbers cost nothing until something is wrong: then the file is read once more up to there.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Same, Text, Wanted, texts
from hitcore.plays.parsing.cells import one_line, shown
from hitcore.plays.parsing.reading import Reading, Rows

BLOCK_BYTES = 8 * 2**20
DELIMITED = Wanted(
    re.compile(r".+\.(csv|tsv|txt|tab)", re.IGNORECASE), "log.csv, log.tsv, log.txt or log.tab"
)

_QUOTING: Final[dict[bool, Literal[0, 3]]] = {True: csv.QUOTE_MINIMAL, False: csv.QUOTE_NONE}


@dataclass(frozen=True)
class Header:
    """The head of a delimited file: its column names, and how to read what follows."""

    names: tuple[str, ...]
    delimiter: str = ","
    n_lines: int = 1
    """Physical lines before the first row."""
    quoted: bool = True
    """Whether quotes enclose cells; in some files they are plain characters."""


def split_line(line: bytes, delimiter: str = ",", quoted: bool = True) -> tuple[str, ...]:
    """The cells of one line.

    Example:
        >>> split_line(b'1,"a,b"')
        ('1', 'a,b')
    """
    cells = [line.decode(errors="replace")]
    try:
        rows = list(csv.reader(cells, delimiter=delimiter, quoting=_QUOTING[quoted]))
    except csv.Error:
        return ()
    return tuple(rows[0]) if rows else ()


def best_delimiter(line: bytes) -> str:
    """Which of comma, semicolon, tab and bar splits the line into most cells.

    Example:
        >>> best_delimiter(b"song_id;date;plays")
        ';'
    """
    return max(",;\t|", key=lambda delimiter: len(split_line(line, delimiter)))


def delimited(
    path: Path,
    reading: Reading,
    header_of: Callable[[Text], Header],
    wanted: Wanted = DELIMITED,
) -> Iterator[tuple[Text, Header]]:
    """The delimited files at `path`, each with its head, standing before its first row."""
    for text in texts(path, reading.limits, wanted, reading.progress):
        reading.begin(text.name)
        yield text, header_of(text)


def rows_of(
    text: Text, header: Header, columns: Mapping[str, str], reading: Reading
) -> Iterator[Rows]:
    """The rows of a file, the wanted columns only, under their canonical names.

    Args:
        text: Stands before the first row.
        header: What was read of the file already.
        columns: Canonical name to column name.
        reading: Rows with too many or too few cells are refused or counted there.

    Raises:
        DataError: A column is absent or there twice, or the text is no table.
    """
    _require(text.name, header, columns)
    skipped: list[int] = []
    fault: list[pa_csv.InvalidRow] = []
    place = _Place(text, header, skipped, reading)

    def on_invalid(row: pa_csv.InvalidRow) -> str:
        if reading.on_error == "skip":
            skipped.append(row.number - 1)
            return "skip"
        fault.append(row)
        return "error"

    def again(name: str) -> Iterator[pa.Array]:
        return _column(text, header, columns[name], reading)

    first = 0
    try:
        for block in _blocks(text, header, on_invalid):
            cells = {
                name: block.column(header.names.index(column)) for name, column in columns.items()
            }
            reading.n_read += block.num_rows
            yield Rows(text.name, cells, first, place, again)
            first += block.num_rows
    except pa.ArrowInvalid as error:
        if fault:
            raise _wrong_width(text, place, fault[0]) from error
        raise DataError(_reason(text, error)) from error
    if skipped:
        reading.n_read += len(skipped)
        reading.dropped["more or fewer cells than the header has columns"] += len(skipped)


def _column(text: Text, header: Header, column: str, reading: Reading) -> Iterator[pa.Array]:
    """One column of the whole file, read anew; rows of another width are passed over."""
    for same in texts(text.path, reading.limits, Same(text.name)):
        if same.name != text.name:
            continue
        for _ in range(header.n_lines):
            same.line()
        try:
            for block in _blocks(same, header, lambda row: "skip"):
                yield block.column(header.names.index(column))
        except pa.ArrowInvalid as error:
            raise DataError(_reason(text, error)) from error
        return


def _blocks(
    text: Text, header: Header, on_invalid: Callable[[pa_csv.InvalidRow], str]
) -> Iterator[pa.RecordBatch]:
    names = [f"c{i}" for i in range(len(header.names))]
    if not text.peek(1):
        return
    reader = pa_csv.open_csv(
        text.stream,
        pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names),
        pa_csv.ParseOptions(
            delimiter=header.delimiter,
            quote_char='"' if header.quoted else False,
            newlines_in_values=header.quoted,
            invalid_row_handler=on_invalid,
        ),
        pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    yield from reader


class _Place:
    """Words for the place of a row: its line, found by reading the file again up to there."""

    def __init__(self, text: Text, header: Header, skipped: list[int], reading: Reading) -> None:
        self._name, self._path = text.name, text.path
        self._header, self._skipped, self._reading = header, skipped, reading

    def __call__(self, number: int) -> str:
        for skipped in self._skipped:
            number += skipped <= number
        return self.of_logical(number)

    def of_logical(self, number: int) -> str:
        """The place of a row when skipped rows are counted too."""
        for text in texts(self._path, self._reading.limits, Same(self._name)):
            if text.name == self._name:
                return self._line(text, number)
        return f"row {number + 1:,}"

    def _line(self, text: Text, number: int) -> str:
        for _ in range(self._header.n_lines):
            text.line()
        lines = io.TextIOWrapper(text.stream, "utf-8", newline="")
        quoting = _QUOTING[self._header.quoted]
        reader = csv.reader(lines, delimiter=self._header.delimiter, quoting=quoting)
        try:
            next(islice(filter(None, reader), number, None), None)
        except csv.Error:
            return f"row {number + 1:,}"
        return f"line {reader.line_num + self._header.n_lines:,}"


def _require(name: str, header: Header, columns: Mapping[str, str]) -> None:
    for column in columns.values():
        n = header.names.count(column)
        if n == 0:
            have = ", ".join(shown(name) for name in header.names[:20])
            raise DataError(f"{name}, line 1: there is no column {shown(column)}; it has {have}")
        if n > 1:
            raise DataError(f"{name}, line 1: the column {shown(column)} is there {n} times")


def _wrong_width(text: Text, place: _Place, row: pa_csv.InvalidRow) -> DataError:
    where = place.of_logical(row.number - 1)
    return DataError(
        f"{text.name}, {where}: cells in the row: {row.actual_columns}, in the header: "
        f"{row.expected_columns}: {shown(row.text)}; a quote or a delimiter may be missing or "
        "too many (or leave such rows out with on_error='skip')"
    )


def _reason(text: Text, error: pa.ArrowInvalid) -> str:
    words = str(error)
    if "straddl" in words:
        return (
            f"{text.name}: a record is longer than {BLOCK_BYTES:,} bytes; "
            "a closing quote may be missing"
        )
    return f"{text.name} is not a delimited table: {one_line(words, 200)}"

"""Parquet tables as batches of strings, and the test whether a file is canonical already.

A Parquet file has types, but not always the right ones: counts as floats, days as text. Columns
of the right type pass unchanged; others become strings and go through the same strict converters
as the cells of a CSV file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hitcore.errors import DataError
from hitcore.plays.parsing.cells import one_line, shown
from hitcore.plays.parsing.playlog import PLAYS_SCHEMAS, Kind
from hitcore.plays.parsing.reading import ARTIST_SEPARATOR, Reading, Rows

_BATCH_ROWS = 2**18
_MAX_ROWS_PER_BYTE = 2000  # what run-length coding reaches on real tables is far below
_FREE_ROWS = 10**6


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet files do."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file, with its footer checked.

    Raises:
        DataError: It is damaged, encrypted, or claims more rows than its size can hold.
    """
    try:
        file = pq.ParquetFile(path, thrift_string_size_limit=2**26)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _damaged(path.name, error) from error
    with file:
        n_rows, size = file.metadata.num_rows, path.stat().st_size
        if not 0 <= n_rows <= max(_FREE_ROWS, _MAX_ROWS_PER_BYTE * size):
            raise DataError(f"{path.name} claims {n_rows:,} rows in {size:,} bytes")
        yield file


def is_canonical(path: Path, file: pq.ParquetFile, kind: Kind) -> bool:
    """Whether the file can be scanned as it is: the columns of `PLAYS_SCHEMAS[kind]`, just so."""
    if set(str(path)) & set("*?[]{}"):
        return False  # engines take such paths for patterns
    given = [(field.name, _plain(field.type)) for field in file.schema_arrow]
    return given == [(field.name, field.type) for field in PLAYS_SCHEMAS[kind]]


def rows_of(
    path: Path, file: pq.ParquetFile, columns: Mapping[str, str], reading: Reading
) -> Iterator[Rows]:
    """The rows of the file, the wanted columns only, under their canonical names."""
    name = path.name
    _require(name, file, columns)
    starts = np.cumsum(
        [0] + [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    )

    def place(number: int) -> str:
        group = int(np.searchsorted(starts, number, side="right")) - 1
        return f"row group {group + 1}, row {number - int(starts[group]) + 1:,}"

    def again(key: str) -> Iterator[pa.Array]:
        with opened(path) as same:
            for block in same.iter_batches(_BATCH_ROWS, columns=[columns[key]]):
                yield _cells(name, columns[key], block.column(0))

    first = 0
    try:
        for block in file.iter_batches(_BATCH_ROWS, columns=list(columns.values())):
            block.validate(full=True)
            cells = {
                key: _cells(name, column, block.column(column)) for key, column in columns.items()
            }
            reading.n_read += block.num_rows
            yield Rows(name, cells, first, place, again)
            first += block.num_rows
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(f"{name}, {place(first)}", error) from error


def _cells(name: str, column: str, values: pa.Array) -> pa.Array:
    """Values of a type that the converters take: themselves, or strings."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _cells(name, column, values.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_date32(kind):
        return values
    as_string = (
        pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
    )
    if as_string:
        return values.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return values
    if pa.types.is_date64(kind):
        return values.cast(pa.date32())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _number_words(values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        strings = values.cast(pa.list_(pa.string()))
        return pc.binary_join(strings, ARTIST_SEPARATOR)
    raise DataError(
        f"{name}: the column {shown(column)} has the type {kind}; accepted are strings, numbers, "
        "dates, timestamps and lists of strings"
    )


def _number_words(values: pa.Array) -> pa.Array:
    whole = pc.equal(pc.floor(values), values)
    small = pc.less(pc.abs(values), 10**15)
    fits = pc.fill_null(pc.and_(whole, small), False)
    integers = pc.if_else(fits, values, pa.scalar(0, values.type)).cast(pa.int64())
    return pc.if_else(fits, integers.cast(pa.string()), values.cast(pa.string()))


def _require(name: str, file: pq.ParquetFile, columns: Mapping[str, str]) -> None:
    for column in columns.values():
        if (n := file.schema_arrow.names.count(column)) != 1:
            raise DataError(f"{name}: the column {shown(column)} is there {n} times")


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) else kind


def _damaged(where: str, error: Exception) -> DataError:
    words = one_line(str(error), 200)
    return DataError(f"{where}: not a whole Parquet file: {words}; write or download it again")

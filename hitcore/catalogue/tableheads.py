"""The head of a table of songs: what a person sees before saying which column is what."""

import io
import os
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from hitcore.catalogue.scores import numeric, score_columns
from hitcore.errors import DataError
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import ANYTHING, texts
from hitcore.plays.readers import ReadLimits, tabular

N_ROWS = 200
"""Rows that are looked at."""
MAX_BYTES = 2**20
"""Bytes of text that are looked at."""


@dataclass(frozen=True, eq=False)
class TableHead:
    """The first rows of a table, and what its columns seem to be."""

    columns: tuple[str, ...]
    """In the order of the file."""
    rows: pd.DataFrame = field(repr=False)
    """The first rows, as text."""
    song_id: str | None
    """The column that names songs, by its usual names; None where there is none."""
    scores: tuple[str, ...]
    """Columns that are known as scores by their names."""
    numbers: tuple[str, ...]
    """Columns that hold a number in each of these rows, and not always the same one."""


def read_head(path: str | os.PathLike[str]) -> TableHead:
    """The head of a CSV, TSV or Parquet file, compressed or not.

    Raises:
        DataError: it is no such file, is damaged, or has no rows.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "songs.csv"
        >>> _ = file.write_text("track_id,popularity,tempo\\na,90,120\\nb,15,98\\n")
        >>> head = read_head(file)
        >>> head.song_id, head.scores, head.numbers
        ('track_id', ('popularity',), ('popularity', 'tempo'))
    """
    file = Path(path)
    rows = _parquet_rows(file) if parquet.is_parquet(file) else _text_rows(file)
    if rows.empty:
        raise DataError(f"{file.name} holds no rows: one row per song is expected")
    columns = tuple(rows.columns)
    numbers = [
        name
        for name in columns
        if (values := pd.Series(numeric(rows[name]))).notna().all() and values.nunique() > 1
    ]
    song_id = tabular.chosen(columns, None, file.name).get("song_id")
    return TableHead(columns, rows, song_id, score_columns(columns), tuple(numbers))


def _parquet_rows(file: Path) -> pd.DataFrame:
    with parquet.opened(file) as found:
        return _first_rows(found)


def _first_rows(found: pq.ParquetFile) -> pd.DataFrame:
    batch = next(found.iter_batches(N_ROWS), None)
    if batch is None:
        return pd.DataFrame()
    rows: pd.DataFrame = batch.to_pandas()
    return rows.map(lambda cell: None if cell is None else str(cell))


def _text_rows(file: Path) -> pd.DataFrame:
    lines: list[bytes] = []
    size = 0
    with closing(texts(file, ReadLimits(), ANYTHING)) as found:  # type: ignore[type-var]
        text = next(found)
        header = tabular.header_of(text)
        while len(lines) < N_ROWS and size < MAX_BYTES and (line := text.line()):
            lines.append(line)
            size += len(line)
    if len(set(header.names)) < len(header.names):
        raise DataError(f"{file.name}, line 1: two columns have one name: rename one of them")
    try:
        return pd.read_csv(
            io.BytesIO(b"\n".join(lines)), sep=header.delimiter, names=list(header.names),
            dtype=str, index_col=False, keep_default_na=False, on_bad_lines="skip",
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{file.name} holds no rows of a table: {error}") from error

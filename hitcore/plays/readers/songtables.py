"""Tables of songs of one's own: one row per song, CSV, TSV or Parquet."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from hitcore.errors import DataError
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.cells import Day, Id, or_null, shown, trimmed
from hitcore.plays.parsing.collecting import songs_table
from hitcore.plays.parsing.delimited import delimited, rows_of
from hitcore.plays.parsing.reading import Reading, Rows
from hitcore.plays.readers import tabular

_KNOWN = ("song_id", "title", "artist_ids", "release_date", "language", "gender", "genre")


def read_song_table(path: Path, reading: Reading) -> pa.Table:
    """The songs of a table, sorted by `song_id`; columns that are not known are kept as text.

    Raises:
        DataError: There is no column `song_id`, no row, a song twice, or a date that is none.
    """
    parts, places = [], []
    for rows in _rows(path, reading):
        parts.append(_songs(rows, reading))
        places.append(rows)
    if not parts:
        raise DataError(f"{path.name}: no songs in it (0 rows)")
    whole = pa.concat_tables(parts, promote_options="default")
    _refuse_twice(whole["song_id"], places)
    columns = {name: whole[name] for name in whole.schema.names}
    return songs_table(columns).sort_by("song_id")


def _rows(path: Path, reading: Reading) -> Iterator[Rows]:
    if parquet.is_parquet(path):
        with parquet.opened(path) as file:
            columns = _columns(file.schema_arrow.names, reading, path.name)
            yield from parquet.rows_of(path, file, columns, reading)
        return
    for text, header in delimited(
        path, reading, lambda text: tabular.header_of(text, reading.mapping)
    ):
        columns = _columns(header.names, reading, text.name)
        yield from rows_of(text, header, columns, reading)


def _columns(header: list[str] | tuple[str, ...], reading: Reading, name: str) -> dict[str, str]:
    found = tabular.chosen(header, reading.mapping, name)
    columns = {key: column for key, column in found.items() if key in _KNOWN}
    if not tabular.identifies(columns):
        have = ", ".join(shown(column) for column in header[:20])
        raise DataError(
            f"{name}, line 1: no column for song_id among {have}; name it with "
            "mapping={'song_id': …}"
        )
    taken = {*columns.values(), ""}
    return columns | {column: column for column in header if column not in taken}


def _songs(rows: Rows, reading: Reading) -> pa.Table:
    rows = tabular.with_ids(rows, reading)
    ids, refused = Id().parse(rows.columns["song_id"])
    reading.refuse(rows, "song_id", Id(), refused)
    columns: dict[str, pa.Array] = {"song_id": ids}
    for name, cells in rows.columns.items():
        if name == "release_date":
            day = Day(may_be_unknown=True)
            columns[name], refused = day.parse(cells)
            reading.refuse(rows, name, day, refused)
        elif name == "artist_ids":
            columns[name] = or_null(tabular.separated(trimmed(cells)))
        elif name != "song_id":
            columns[name] = or_null(cells)
    return pa.table(columns)


def _refuse_twice(ids: pa.ChunkedArray, parts: list[Rows]) -> None:
    """One row per song, or an error that names two places."""
    coded = ids.combine_chunks().dictionary_encode()
    codes = coded.indices.to_numpy()
    _, firsts = np.unique(codes, return_index=True)
    if len(firsts) == len(codes):
        return
    again = int(np.setdiff1d(np.arange(len(codes)), firsts)[0])
    first = int(firsts[np.searchsorted(np.unique(codes), codes[again])])
    song = shown(ids[again].as_py())
    raise DataError(
        f"{_place(parts, again)}: song {song} stands at {_place(parts, first)} already; a table "
        "of songs has one row per song"
    )


def _place(parts: list[Rows], index: int) -> str:
    for rows in parts:
        if index < len(rows):
            return f"{rows.file}, {rows.place(rows.first + index)}"
        index -= len(rows)
    raise IndexError(index)

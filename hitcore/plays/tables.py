"""Tables of plays and songs that come from Python: brought to canonical types, or refused.

What `hitcore.plays.readers` reads from files is checked there, row by row. A table that a caller
made is checked here: its columns, their types, missing values, negative counts, repeated songs.
"""

from collections.abc import Mapping
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.definitions import PLAYS_COLUMNS, kind_of

_TYPES = {
    "song_id": pa.string(),
    "user_id": pa.string(),
    "date": pa.date32(),
    "release_date": pa.date32(),
    "listened_at": pa.timestamp("us"),
    "plays": pa.int64(),
    "share": pa.float64(),
}


class SongHolder(Protocol):
    """Whatever holds a table of songs, as a catalogue does."""

    @property
    def songs(self) -> pd.DataFrame:
        """One row per song, with `song_id` and `release_date`."""
        ...


def checked_plays(plays: pd.DataFrame | pa.Table) -> pa.Table:
    """A log in canonical types, without nulls or negative counts.

    Raises:
        DataError: it cannot be brought to that.
    """
    table = _arrow(plays)
    kind = kind_of(table.column_names)
    wanted = {name: _TYPES[name] for name in PLAYS_COLUMNS[kind]}
    if kind == "events" and "user_id" in table.column_names:
        wanted["user_id"] = _TYPES["user_id"]
    table = _cast(table, wanted, "plays")
    if not table.num_rows:
        raise DataError("the table of plays has no rows: nothing can be scored")
    for name in PLAYS_COLUMNS[kind]:
        if table[name].null_count:
            raise DataError(f"{table[name].null_count:,} rows of plays have no {name}")
    if kind == "shares":
        if not pc.all(
            pc.and_(pc.less_equal(0, table["share"]), pc.less_equal(table["share"], 1))
        ).as_py():
            raise DataError("a daily share is outside 0 to 1")
    elif kind != "events" and pc.min(table["plays"]).as_py() < 0:
        raise DataError("a count of plays is negative: counts are whole numbers from 0")
    return table


def checked_songs(songs: SongHolder | pd.DataFrame | pa.Table | None) -> pa.Table:
    """The songs to score in canonical types, each once.

    Raises:
        DataError: they cannot be brought to that.
    """
    if songs is None:
        raise DataError(
            "this log names no songs: give a table of songs with song_id and release_date"
        )
    table = _arrow(songs if isinstance(songs, pd.DataFrame | pa.Table) else songs.songs)
    if "song_id" not in table.column_names or "release_date" not in table.column_names:
        raise DataError(
            "a table of songs needs the columns song_id and release_date; this one has "
            + ", ".join(table.column_names)
        )
    table = _cast(table, {name: _TYPES[name] for name in ("song_id", "release_date")}, "songs")
    counts = pc.value_counts(table["song_id"])
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise DataError(
            f"{len(repeated):,} songs stand more than once in the table of songs (one is "
            f"{repeated[0]['values'].as_py()!r}): each song may stand there once"
        )
    if table["song_id"].null_count:
        raise DataError("a song has no song_id: every song needs one")
    return table


def _arrow(table: pd.DataFrame | pa.Table) -> pa.Table:
    if isinstance(table, pa.Table):
        return table
    plain = table.drop(columns=[c for c in table if c not in _TYPES])
    try:
        return pa.Table.from_pandas(plain, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"a column mixes kinds of values: {error}") from error


def _cast(table: pa.Table, types: Mapping[str, pa.DataType], noun: str) -> pa.Table:
    columns = {}
    for name, wanted in types.items():
        try:
            column = table[name]
            columns[name] = _as_days(column) if wanted == pa.date32() else column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"the column {name} of the table of {noun} holds {table[name].type}, which cannot "
                f"be read as {wanted}: {error}"
            ) from error
    return pa.table(columns)


def _as_days(column: pa.ChunkedArray) -> pa.ChunkedArray:
    days = column.cast(pa.date32())
    if (
        pa.types.is_timestamp(column.type)
        and pc.any(pc.not_equal(days.cast(column.type), column)).as_py()
    ):
        raise pa.ArrowInvalid("times of day; single plays go by the column listened_at")
    return days

"""Tables of one's own: CSV, TSV or Parquet with daily counts or single plays.

The columns are found by their names, or given: `mapping={"song_id": "Track", "plays": "Streams"}`.
Counts need `song_id`, `date` and `plays`; single plays need `song_id` and `listened_at`, and may
have `user_id`. What a row says about its song (`title`, `artist_ids`, `release_date`, `language`,
`gender`, `genre`) is read too; several artists in one cell stand between semicolons or bars. Where
there is no column of ids, a song is its artist and title, or its title where no artist is named.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError, ParameterError
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import Text
from hitcore.plays.parsing.cells import Cell, Count, Day, Id, Instant, shown, trimmed
from hitcore.plays.parsing.delimited import Header, best_delimiter, delimited, rows_of, split_line
from hitcore.plays.parsing.playlog import Kind
from hitcore.plays.parsing.reading import (
    ARTIST_SEPARATOR,
    Batch,
    Converter,
    Reading,
    Rows,
    identified,
)

NAMES: Mapping[str, tuple[str, ...]] = {
    "song_id": (
        *("song_id", "track_id", "recording_id", "recording_mbid", "songid", "trackid", "isrc"),
        *("track_uri", "item_id", "uri", "id"),
    ),
    "date": ("date", "day", "ds", "play_date", "stream_date", "log_date"),
    "plays": (
        *("plays", "play_count", "playcount", "streams", "stream_count", "listens", "n_plays"),
        *("num_plays", "count"),
    ),
    "listened_at": (
        *("listened_at", "played_at", "timestamp", "utc_time", "unix_time", "datetime"),
        *("date_time", "ts", "uts", "time"),
    ),
    "user_id": ("user_id", "userid", "user", "listener_id", "listener"),
    "title": (
        *("title", "track_name", "song_name", "track_title", "song_title", "song", "track"),
        "name",
    ),
    "artist_ids": (
        *("artist_ids", "artist_id", "artistid", "artists", "artist", "artist_name"),
        "artist_names",
    ),
    "release_date": (
        *("release_date", "released", "released_on", "publish_time", "publish_date"),
        *("published", "releasedate"),
    ),
    "language": ("language", "language_code"),
    "gender": ("gender",),
    "genre": ("genre", "genre_top"),
}
"""Canonical names, and the column names taken for them, best first."""

_NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "daily": ("song_id", "date", "plays"),
    "events": ("song_id", "listened_at"),
}


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The rows of the tables, in batches."""
    for path in paths:
        if parquet.is_parquet(path):
            yield from _parquet_batches(path, reading)
        else:
            yield from _delimited_batches(path, reading)


def chosen(header: Sequence[str], mapping: Mapping[str, str] | None, name: str) -> dict[str, str]:
    """Canonical name to column name, as given by `mapping`, else guessed.

    Raises:
        ParameterError: The mapping names what is no canonical column.
        DataError: A column of the mapping is absent.

    Example:
        >>> chosen(["Track ID", "Day", "Streams", "junk"], None, "a.csv")
        {'song_id': 'Track ID', 'date': 'Day', 'plays': 'Streams'}
    """
    for key, column in (mapping or {}).items():
        if key not in NAMES:
            raise ParameterError(
                f"mapping names {shown(key)}; the names it may give are {', '.join(NAMES)}"
            )
        if column not in header:
            have = ", ".join(shown(column) for column in list(header)[:20])
            raise DataError(
                f"{name}, line 1: there is no column {shown(column)}, which the mapping takes "
                f"for {key}; there are {have}"
            )
    found = dict(mapping or {})
    known = {_plain(column): column for column in reversed(header)}
    for key, synonyms in NAMES.items():
        match = next((known[s] for s in synonyms if s in known), None)
        if key not in found and match is not None and match not in found.values():
            found[key] = match
    if "song_id" not in found and "title" in found and "artist_ids" not in found:
        found["song_id"] = found.pop("title")
    return {key: found[key] for key in NAMES if key in found}


def kind_of(columns: Mapping[str, str], header: Sequence[str], name: str) -> Kind:
    """Whether the columns hold daily counts or single plays.

    Raises:
        DataError: They hold neither.
    """
    for kind in ("daily", "events"):
        mixed = kind == "events" and "plays" in columns
        if not mixed and not _lacking(columns, kind):
            return kind
    have = ", ".join(shown(column) for column in list(header)[:20]) or "nothing"
    lacking = _lacking(columns, "daily")
    raise DataError(
        f"{name}, line 1: no column for {' and '.join(lacking)} among {have}; counts need "
        "song_id, date and plays, single plays need song_id and listened_at: name them with "
        "--column song_id=…, or mapping={'song_id': …, …}"
    )


def with_ids(rows: Rows, reading: Reading) -> Rows:
    """The rows with ids, made of artist and title where the table has none."""
    if "song_id" in rows.columns:
        return rows
    artist, title = trimmed(rows.columns["artist_ids"]), rows.columns["title"]
    made = identified(reading, pa.nulls(len(rows), pa.string()), artist, title)
    return Rows(rows.file, {"song_id": made, **rows.columns}, rows.first, rows.place)


def identifies(columns: Mapping[str, str]) -> bool:
    """Whether the columns tell songs apart."""
    return "song_id" in columns or ("title" in columns and "artist_ids" in columns)


def converter_of(kind: Kind, columns: Mapping[str, str], reading: Reading) -> Converter:
    """What turns the rows of one table into batches."""
    if kind == "daily":
        return Converter(reading, kind, {"song_id": Id(), "date": Day(), "plays": Count()})
    cells: dict[str, Cell] = {"song_id": Id(), "listened_at": Instant()}
    if "user_id" in columns:
        cells["user_id"] = Id(may_be_empty=True)
    return Converter(reading, kind, cells)


def header_of(text: Text) -> Header:
    """The head of a table: one line, in whichever delimiter splits it best."""
    line = text.line()
    delimiter = best_delimiter(line)
    return Header(tuple(c.strip() for c in split_line(line, delimiter)), delimiter)


def separated(artists: pa.Array) -> pa.Array:
    """Artists of one cell, between semicolons or bars, with the separator used inside."""
    return pc.replace_substring_regex(artists, r"\s*[;|]\s*", ARTIST_SEPARATOR)


def _delimited_batches(path: Path, reading: Reading) -> Iterator[Batch]:
    for text, header in delimited(path, reading, header_of):
        columns = chosen(header.names, reading.mapping, text.name)
        kind = kind_of(columns, header.names, text.name)
        converter = converter_of(kind, columns, reading)
        for rows in rows_of(text, header, _used(columns, kind), reading):
            yield converter.batch(_described(rows, reading))
        _note_bare(converter, reading)


def _parquet_batches(path: Path, reading: Reading) -> Iterator[Batch]:
    reading.begin(path.name)
    with parquet.opened(path) as file:
        header = file.schema_arrow.names
        columns = chosen(header, reading.mapping, path.name)
        kind = kind_of(columns, header, path.name)
        stored = parquet.is_canonical(path, file, kind) and reading.on_error == "raise"
        converter = converter_of(kind, columns, reading)
        for rows in parquet.rows_of(path.name, file, _used(columns, kind), reading):
            batch = converter.batch(_described(rows, reading))
            batch.stored = path if stored else None
            yield batch
        _note_bare(converter, reading)


def _used(columns: Mapping[str, str], kind: Kind) -> dict[str, str]:
    other = {"date", "plays"} if kind == "events" else {"listened_at", "user_id"}
    return {key: column for key, column in columns.items() if key not in other}


def _lacking(columns: Mapping[str, str], kind: Kind) -> list[str]:
    made = {"song_id"} if identifies(columns) else set()
    return [key for key in _NEEDED[kind] if key not in {*columns, *made}]


def _described(rows: Rows, reading: Reading) -> Rows:
    rows = with_ids(rows, reading)
    if "artist_ids" not in rows.columns:
        return rows
    columns = {**rows.columns, "artist_ids": separated(trimmed(rows.columns["artist_ids"]))}
    return Rows(rows.file, columns, rows.first, rows.place)


def _note_bare(converter: Converter, reading: Reading) -> None:
    cell = converter.cells.get("listened_at")
    if isinstance(cell, Instant) and cell.n_bare:
        reading.odd["times without an offset, taken as UTC"] += cell.n_bare


def _plain(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip().lower())

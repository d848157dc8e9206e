"""Tables of one's own: CSV, TSV or Parquet with daily counts or single plays.

The columns are found by their names, or given: `mapping={"song_id": "Track", "plays": "Streams"}`.
Counts need `song_id`, `date` and `plays`; single plays need `song_id` and `listened_at`, and may
have `user_id`. What a row says about its song (`title`, `artist_ids`, `release_date`, `language`,
`gender`, `genre`) is read too; several artists in one cell stand between semicolons or bars. Where
there is no column of ids, a song is its artist and title, or its title where no artist is named.
A mapping to numbers, `{"artist": 0, "title": 1, "listened_at": 2}`, is for tables without a head:
columns are counted from 0. A first line `sep=;`, as spreadsheets write it, names the delimiter.
Rows of the same listener, song and time are one play; where no listener is named they all count.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError, ParameterError
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import Text, Wanted, files_within
from hitcore.plays.parsing.cells import Cell, Day, Id, Instant, shown, trimmed
from hitcore.plays.parsing.counts import Count
from hitcore.plays.parsing.delimited import (
    DELIMITED,
    Header,
    best_delimiter,
    delimited,
    rows_of,
    split_line,
)
from hitcore.plays.parsing.playlog import Kind
from hitcore.plays.parsing.reader import Reader, first_lines
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

TABLES = Wanted(
    re.compile(r".+\.(csv|tsv|txt|tab|parquet|zip|tar)", re.IGNORECASE),
    "log.csv, log.tsv or log.parquet",
)

_NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "daily": ("song_id", "date", "plays"),
    "events": ("song_id", "listened_at"),
}


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The rows of the tables, in batches."""
    for path in _tables(paths, reading):
        if parquet.is_parquet(path):
            yield from _parquet_batches(path, reading)
        else:
            yield from _delimited_batches(path, reading)


def _tables(paths: Sequence[Path], reading: Reading) -> Iterator[Path]:
    """The paths, with the tables in them for folders."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = files_within(path, reading.limits)
        tables = [file for file in inside if TABLES.fits(file.name)]
        if not tables:
            raise DataError(f"{path} holds no table: no file named like {TABLES.words}")
        yield from tables


def canonical(mapping: Mapping[str, str | int] | None) -> dict[str, str | int]:
    """A mapping under canonical names; to numbers, what is a synonym of one stands for it.

    Raises:
        ParameterError: The mapping names what is no canonical column, or names one twice.

    Example:
        >>> canonical({"artist": 0, "track": 1})
        {'artist_ids': 0, 'title': 1}
    """
    found: dict[str, str | int] = {}
    for key, column in (mapping or {}).items():
        name = key if key in NAMES else None
        if name is None and isinstance(column, int):
            name = next((n for n, synonyms in NAMES.items() if key in synonyms), None)
        if name is None:
            raise ParameterError(
                f"mapping names {shown(key)}; the names it may give are {', '.join(NAMES)}"
            )
        if name in found:
            raise ParameterError(f"mapping gives {name} twice")
        found[name] = column
    numbered = [isinstance(column, int) for column in found.values()]
    if any(numbered) and not all(numbered):
        raise ParameterError(
            "mapping gives some columns by number and some by name: by number all of them, for a "
            "table without a head; by name for one that has one"
        )
    return found


def chosen(
    header: Sequence[str], given: Mapping[str, str | int] | None, name: str
) -> dict[str, str]:
    """Canonical name to column name, as given by `given`, else guessed.

    Raises:
        ParameterError: The mapping names what is no canonical column.
        DataError: A column of the mapping is absent.

    Example:
        >>> chosen(["Track ID", "Day", "Streams", "junk"], None, "a.csv")
        {'song_id': 'Track ID', 'date': 'Day', 'plays': 'Streams'}
    """
    mapping = {key: str(column) for key, column in canonical(given).items()}
    for key, column in mapping.items():
        if column not in header:
            have = ", ".join(shown(column) for column in list(header)[:20])
            raise DataError(
                f"{name}, line 1: there is no column {shown(column)}, which the mapping takes "
                f"for {key}; there are {have}"
            )
    found = dict(mapping)
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
    return rows.holding({"song_id": made, **rows.columns})


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


def header_of(text: Text, mapping: Mapping[str, str | int] | None = None) -> Header:
    """The head of a table: one line, in the delimiter that it names or that splits it best.

    Where the mapping gives columns by number, the table has no head; columns are then called by
    their numbers.
    """
    if any(isinstance(column, int) for column in (mapping or {}).values()):
        delimiter = best_delimiter(first_lines(text.peek())[0])
        width = len(split_line(first_lines(text.peek())[0], delimiter))
        return Header(tuple(str(i) for i in range(width)), delimiter, n_lines=0)
    line, n_lines = text.line(), 1
    named = separator_of(line)
    if named is not None:
        line, n_lines = text.line(), 2
    delimiter = named or best_delimiter(line)
    names = tuple(cell.strip() for cell in split_line(line, delimiter))
    return Header(names, delimiter, n_lines)


def separator_of(line: bytes) -> str | None:
    """The delimiter that a spreadsheet names in a line of its own, `sep=;`.

    Example:
        >>> separator_of(b"sep=;"), separator_of(b"song_id;date")
        (';', None)
    """
    found = re.fullmatch(rb'"?sep=(.)"?', line.strip(b" "), re.IGNORECASE)
    return found[1].decode() if found and found[1] in b",;\t|" else None


def is_table(head: bytes) -> bool:
    """Whether a file begins like a table: a line of several cells."""
    first, second = first_lines(head)
    line = second if separator_of(first) else first
    if line.lstrip().startswith((b"{", b"[", b"<")):
        return False
    return len(split_line(line, separator_of(first) or best_delimiter(line))) > 1


def separated(artists: pa.Array) -> pa.Array:
    """Artists of one cell, between semicolons or bars, with the separator used inside."""
    return pc.replace_substring_regex(artists, r"\s*[;|]\s*", ARTIST_SEPARATOR)


def _delimited_batches(path: Path, reading: Reading) -> Iterator[Batch]:
    for text, header in delimited(path, reading, lambda text: header_of(text, reading.mapping)):
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
        for rows in parquet.rows_of(path, file, _used(columns, kind), reading):
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
    return rows.holding(columns)


def _note_bare(converter: Converter, reading: Reading) -> None:
    cell = converter.cells.get("listened_at")
    if isinstance(cell, Instant) and cell.n_bare:
        reading.odd["times without an offset, taken as UTC"] += cell.n_bare


def _plain(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip().lower())


READER = Reader(
    "tabular",
    batches,
    DELIMITED,
    is_table,
    source="tables of one's own",
    as_of="2026",
)

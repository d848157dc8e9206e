"""ListenBrainz: dumps (`.tar.zst`), `.listens`, `.jsonl`, a person's export as zip or folder, JSON.

A line is `{"listened_at": 1430000000, "user_id": 1, "recording_msid": …, "track_metadata":
{"artist_name": …, "track_name": …, "additional_info": {"recording_mbid": …, "artist_mbids": […]},
"mbid_mapping": {"recording_mbid": …, "artist_mbids": […]}}}`; old dumps say `timestamp`. A
person's export has `listens/2024/1.jsonl` and so on, with times as fractions, no user, and
feedback and pins in other files, which are left out; older exports and the interface give the
same objects as one JSON list.

A song is the recording that ListenBrainz mapped the listen to, else the one submitted, else the
lower-cased artist and title. `additional_info` holds whatever a client sent, so a block of lines
that is not of the common types is parsed again line by line. User names are not read; when a
listen was inserted is not looked at, so that one sent twice is one.

References:
    https://listenbrainz.readthedocs.io/en/latest/users/listenbrainz-dumps.html
    listenbrainz-server, background task of the user data export.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text, Wanted, texts
from hitcore.plays.parsing.cells import Cell, Id, Instant, one_line, or_null, shown
from hitcore.plays.parsing.jsonlists import objects
from hitcore.plays.parsing.reader import Reader
from hitcore.plays.parsing.reading import (
    ARTIST_SEPARATOR,
    EARLIEST_SCROBBLE,
    Batch,
    Converter,
    Reading,
    Rows,
    identified,
)

LISTENS = Wanted(
    re.compile(r"(?!(feedback|pinned_recordings?|user)\.).+\.(listens|jsonl|ndjson|json)", re.I),
    "1.listens, listens.jsonl or listens.json",
)

_BLOCK_BYTES = 8 * 2**20
_LISTED_ROWS = 50_000
_IDS = pa.struct(
    [("recording_mbid", pa.string()), ("artist_mbids", pa.list_(pa.string()))],
)
_TRACK = pa.struct(
    [
        ("artist_name", pa.string()),
        ("track_name", pa.string()),
        ("additional_info", _IDS),
        ("mbid_mapping", _IDS),
    ]
)
_LISTEN = pa.schema(
    [
        ("listened_at", pa.float64()),
        ("timestamp", pa.float64()),
        ("user_id", pa.int64()),
        ("track_metadata", _TRACK),
    ]
)


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The listens, in batches."""
    n_files, others = 0, 0
    for path in paths:
        for text in texts(path, reading.limits, LISTENS, reading.progress):
            head = text.peek()
            if text.name != path.name and head.strip() and not is_listen(head):
                others += 1
                continue
            n_files += 1
            reading.begin(text.name)
            cells: dict[str, Cell] = {"song_id": Id(), "listened_at": Instant(first=0)}
            cells["user_id"] = Id(may_be_empty=True)
            converter = Converter(reading, "events", cells, earliest=EARLIEST_SCROBBLE)
            listed = head.lstrip().startswith(b"[")
            for rows in (_listed if listed else _rows)(text, reading):
                yield converter.batch(rows)
    if others and not n_files:
        raise DataError(f"{paths[0].name} holds no listens; they have the field track_metadata")


def is_listen(head: bytes) -> bool:
    """Whether a file begins like listens, a line each or as a list."""
    start = head.lstrip()
    listed = start.startswith(b"[") and start[1:].lstrip().startswith(b"{")
    return (listed or start.startswith(b"{")) and b'"track_metadata"' in head


def _listed(text: Text, reading: Reading) -> Iterator[Rows]:
    """The rows of a JSON list."""
    pending: list[dict[str, Any]] = []
    first = 0
    for listen in objects(text, reading.limits.max_record_bytes, "listen"):
        pending.append(_typed(listen, _LISTEN))
        if len(pending) == _LISTED_ROWS:
            yield _records(text.name, pending, first, reading)
            first += len(pending)
            pending = []
    if pending:
        yield _records(text.name, pending, first, reading)


def _records(file: str, listens: list[dict[str, Any]], first: int, reading: Reading) -> Rows:
    reading.n_read += len(listens)
    table = pa.Table.from_pylist(listens, _LISTEN)
    return Rows(file, _columns(table, reading), first, lambda row: f"record {row + 1:,}")


def _rows(text: Text, reading: Reading) -> Iterator[Rows]:
    line = 0
    for lines in _blocks(text, reading.limits.max_record_bytes):
        numbers = [line + i for i, content in enumerate(lines) if content.strip()]
        line += len(lines)
        if not numbers:
            continue
        table = _quick(lines)
        if table is None:
            table, numbers = _slow(text.name, lines, line - len(lines), reading)
        reading.n_read += len(table)
        if len(table):
            yield Rows(text.name, _columns(table, reading), 0, _Lines(numbers))


class _Lines:
    """Words for the place of a row within one block."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers

    def __call__(self, number: int) -> str:
        return f"line {self._numbers[number] + 1:,}"


def _blocks(text: Text, max_line: int) -> Iterator[list[bytes]]:
    """Whole lines, some megabytes at a time."""
    before = 0
    while block := text.stream.read(_BLOCK_BYTES):
        rest = text.stream.readline(max_line)
        if len(rest) >= max_line:
            number = before + block.count(b"\n") + 1
            raise DataError(f"{text.name}, line {number:,} is longer than {max_line:,} bytes")
        lines = (block + rest).split(b"\n")
        before += len(lines) - 1
        if not lines[-1]:
            lines.pop()
        yield lines


def _quick(lines: list[bytes]) -> pa.Table | None:
    """All lines at once; None where one of them is not of the common types."""
    block = b"\n".join(lines) + b"\n"
    try:
        table = pa_json.read_json(
            io.BytesIO(block),
            pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pa_json.ParseOptions(explicit_schema=_LISTEN, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    n_full = sum(1 for line in lines if line.strip())
    return table if len(table) == n_full else None


def _slow(
    name: str, lines: list[bytes], first: int, reading: Reading
) -> tuple[pa.Table, list[int]]:
    listens, numbers = [], []
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            listen = json.loads(line)
            if not isinstance(listen, dict):
                raise ValueError(f"it is a {type(listen).__name__}")
            listens.append(_typed(listen, _LISTEN))
            numbers.append(first + index)
        except (ValueError, RecursionError) as error:
            if reading.on_error == "skip":
                reading.n_read += 1
                reading.dropped["not a JSON object"] += 1
                continue
            raise DataError(
                f"{name}, line {first + index + 1:,}: {shown(line.decode(errors='replace'))} is "
                f"not a JSON object: {one_line(str(error), 100)}; the file may be cut "
                "off (or leave such lines out with on_error='skip')"
            ) from error
    return pa.Table.from_pylist(listens, _LISTEN), numbers


def _typed(given: Any, schema: pa.Schema | pa.StructType) -> dict[str, Any]:
    """The fields of the schema, null where the value is of another type."""
    found: dict[str, Any] = {}
    for name in schema.names:
        kind, value = schema.field(name).type, given.get(name)
        if pa.types.is_struct(kind):
            found[name] = _typed(value, kind) if isinstance(value, dict) else None
        elif pa.types.is_float64(kind):
            found[name] = _seconds(value)
        elif pa.types.is_int64(kind):
            number = _integer(value)
            found[name] = number if number is not None and abs(number) < 2**62 else None
        elif pa.types.is_list(kind):
            listed = value if isinstance(value, list) else [value]
            found[name] = [_clean(item) for item in listed if isinstance(item, str)]
        else:
            found[name] = _clean(value) if isinstance(value, str) else None
    return found


def _seconds(value: object) -> float | None:
    if isinstance(value, float):
        return value if abs(value) < 2**53 else None
    number = _integer(value)
    return float(number) if number is not None and abs(number) < 2**53 else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
        return int(value)
    return None


def _clean(text: str) -> str:
    """Text that can be encoded: a lone half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _columns(table: pa.Table, reading: Reading) -> dict[str, pa.Array]:
    track = table["track_metadata"].combine_chunks()
    artist, title = _field(track, "artist_name"), _field(track, "track_name")
    mapped, sent = _field(track, "mbid_mapping"), _field(track, "additional_info")
    recording = pc.coalesce(
        or_null(_field(mapped, "recording_mbid")), or_null(_field(sent, "recording_mbid"))
    )
    artists = pc.coalesce(_joined(mapped), _joined(sent), or_null(artist))
    moment = pc.coalesce(table["listened_at"], table["timestamp"]).combine_chunks()
    sensible = pc.and_(pc.greater(moment, -(2.0**53)), pc.less(moment, 2.0**53))
    moment = pc.if_else(pc.fill_null(sensible, False), pc.floor(moment), None)
    return {
        "song_id": identified(reading, recording, artist, title),
        "listened_at": moment.cast(pa.int64()).cast(pa.string()),
        "user_id": table["user_id"].combine_chunks().cast(pa.string()),
        "title": title,
        "artist_ids": artists,
    }


def _field(values: pa.StructArray, name: str) -> pa.Array:
    return pc.struct_field(values, name)


def _joined(ids: pa.StructArray) -> pa.Array:
    return or_null(pc.binary_join(_field(ids, "artist_mbids"), ARTIST_SEPARATOR))


READER = Reader(
    "listenbrainz",
    batches,
    LISTENS,
    is_listen,
    source="the documentation of ListenBrainz's dumps and the server's export of one's data",
    as_of="2026",
    one_listener=True,
)

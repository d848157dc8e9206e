"""ListenBrainz: dumps (`.tar.zst`), single `.listens` and exported `.jsonl`, one listen a line.

A line is `{"listened_at": 1430000000, "user_id": 1, "recording_msid": …, "track_metadata":
{"artist_name": …, "track_name": …, "additional_info": {"recording_mbid": …, "artist_mbids": […]},
"mbid_mapping": {"recording_mbid": …, "artist_mbids": […]}}}`; old dumps say `timestamp`.

A song is the recording that ListenBrainz mapped the listen to, else the one submitted, else the
lower-cased artist and title. `additional_info` holds whatever a client sent, so a block of lines
that is not of the common types is parsed again line by line. User names are not read.

References:
    https://listenbrainz.readthedocs.io/en/latest/users/listenbrainz-dumps.html
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
    re.compile(r".+\.(listens|jsonl|ndjson)", re.IGNORECASE), "1.listens or listens.jsonl"
)

_BLOCK_BYTES = 8 * 2**20
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
        ("listened_at", pa.int64()),
        ("timestamp", pa.int64()),
        ("user_id", pa.int64()),
        ("track_metadata", _TRACK),
    ]
)


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The listens, in batches."""
    for path in paths:
        for text in texts(path, reading.limits, LISTENS, reading.progress):
            reading.begin(text.name)
            cells: dict[str, Cell] = {"song_id": Id(), "listened_at": Instant()}
            cells["user_id"] = Id(may_be_empty=True)
            converter = Converter(reading, "events", cells, earliest=EARLIEST_SCROBBLE)
            for rows in _rows(text, reading):
                yield converter.batch(rows)


def is_listen(line: bytes) -> bool:
    """Whether this looks like a line of a dump."""
    return line.lstrip().startswith(b"{") and b'"track_metadata"' in line


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
        elif pa.types.is_int64(kind):
            number = _integer(value)
            found[name] = number if number is not None and abs(number) < 2**62 else None
        elif pa.types.is_list(kind):
            listed = value if isinstance(value, list) else [value]
            found[name] = [_clean(item) for item in listed if isinstance(item, str)]
        else:
            found[name] = _clean(value) if isinstance(value, str) else None
    return found


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
    return {
        "song_id": identified(reading, recording, artist, title),
        "listened_at": moment.cast(pa.string()),
        "user_id": table["user_id"].combine_chunks().cast(pa.string()),
        "title": title,
        "artist_ids": artists,
    }


def _field(values: pa.StructArray, name: str) -> pa.Array:
    return pc.struct_field(values, name)


def _joined(ids: pa.StructArray) -> pa.Array:
    return or_null(pc.binary_join(_field(ids, "artist_mbids"), ARTIST_SEPARATOR))

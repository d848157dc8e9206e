"""Logs that are broken or hostile: each gives one error with one message, and leaves nothing."""
# ruff: noqa: E501 (messages stand on one line here, as they do on the screen)

import gc
import gzip
import io
import json
import resource
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from hitcore.errors import DataError, ParameterError
from hitcore.plays.readers import FORMATS, ReadLimits, read_plays, read_songs, sniff_format

HEAD = "song_id,date,plays\n"
ROW = "a,2024-01-01,1\n"


@dataclass(frozen=True)
class Case:
    """One hostile log."""

    name: str
    file: str
    """Name of the file to write."""
    content: bytes | str | Callable[[Path], None]
    message: str
    """What the error says, in full."""
    format: str | None = None
    options: dict[str, object] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        path = folder / self.file
        if callable(self.content):
            self.content(path)
        else:
            data = self.content
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path


def csv(*rows: str) -> str:
    return HEAD + "".join(row + "\n" for row in rows)


def zipped(*members: tuple[str, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                info = zipfile.ZipInfo("given below, where it is not checked")
                info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
                archive.writestr(info, content)

    return write


def encrypted(path: Path) -> None:
    zipped(("a.csv", csv("a,2024-01-01,1").encode()))(path)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)


def tarred(*members: tuple[str, bytes, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, kind, content in members:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        path.write_bytes(zstandard.compress(buffer.getvalue()))

    return write


def table(columns: dict[str, object]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(
        pa.table(columns),
        path,
        row_group_size=2 if len(next(iter(columns.values()))) < 10 else None,
    )


def streams(**changes: object) -> str:
    good = {
        "ts": "2023-01-15T18:22:33Z",
        "ms_played": 40000,
        "spotify_track_uri": "spotify:track:1",
    }
    return json.dumps([good, good | changes], indent=1)


FORMATS_LISTED = ", ".join(FORMATS)
COUNT = "; accepted is a whole number from 0 to 1000000000000 (or leave such rows out with on_error='skip')"
DAY = "; accepted is a day such as 2015-03-01 or 20150301, from 1900 to 2099 (or leave such rows out with on_error='skip')"
TIME = "; accepted is a time such as 2015-03-01T12:00:00Z, or seconds since 1970 (or leave such rows out with on_error='skip')"
ID = "; accepted is a name of 1 to 1000 characters (or leave such rows out with on_error='skip')"
WIDTH = "; a quote or a delimiter may be missing or too many (or leave such rows out with on_error='skip')"
BOMB = " as archive bombs do; if it is a log of yours, unpack it first"
AGAIN = "; download or export the file again"
OUT = ", which leads out of the archive; such an archive is not read at all"
LINES = "; the file may be cut off (or leave such lines out with on_error='skip')"
LONG_ZEROS = b"\0" * 20_000_000
LISTEN = '{"listened_at": 1430000000, "track_metadata": {"artist_name": "A", "track_name": "B"}}\n'
CHART = "rank,uri,artist_names,track_name,source,peak_rank,previous_rank,days_on_chart,streams\n"
DAILY = "regional-global-daily-2023-01-05.csv"
XIAMI = (
    "song_id,downloads,collects,date,publish_time,song_init_plays,language,gender,plays,artist_id\n"
    "02377ee3,0,0,20150301,20030201,6517,11,1,1,ca6db6d4\n"
)
CUT_GZIP = gzip.compress(csv(*[f"s{i},2024-01-01,{i}" for i in range(5000)]).encode())[:-2000]
CUT_ZSTD = zstandard.compress(csv(*[f"s{i},2024-01-01,{i}" for i in range(5000)]).encode())[:-2000]

CASES = [
    # counts
    Case(
        "negative count",
        "a.csv",
        csv("a,2024-01-01,1", "b,2024-01-01,-3"),
        f"a.csv, line 3: plays '-3' is negative{COUNT}",
    ),
    Case("empty count", "a.csv", csv("a,2024-01-01,"), f"a.csv, line 2: plays '' is empty{COUNT}"),
    Case(
        "exponent",
        "a.csv",
        csv("a,2024-01-01,1e30"),
        f"a.csv, line 2: plays '1e30' is larger than any real count{COUNT}",
    ),
    Case(
        "twelve or twelve thousand",
        "a.csv",
        csv("a,2024-01-01,12.000", "b,2024-01-01,7"),
        "a.csv, column plays: '12.000' may be 12 (a point before decimals) or 12000 (a point between thousands), and no other number in it tells; say which with --decimal . or --decimal , (decimal= in Python)",
    ),
    Case(
        "two conventions in one column",
        "a.csv",
        csv('a,2024-01-01,"1,234"', "b,2024-01-01,1.234"),
        "a.csv, column plays: '1,234' and '1.234' are not written by one convention for thousands and decimals; write all numbers alike, best in plain digits",
    ),
    Case(
        "two conventions, rows skipped",
        "a.csv",
        csv('a,2024-01-01,"1,234,567"', "b,2024-01-01,1 234"),
        "a.csv, column plays: '1 234' and '1,234,567' are not written by one convention for thousands and decimals; write all numbers alike, best in plain digits",
        options={"on_error": "skip"},
    ),
    Case(
        "half a play",
        "a.csv",
        csv('a,2024-01-01,"1.234,5"'),
        f"a.csv, line 2: plays '1.234,5' is not a whole number{COUNT}",
    ),
    Case(
        "row numbers for times",
        "a.csv",
        "song_id,listened_at\na,1\nb,2\n",
        f"a.csv, line 2: listened_at '1' is in 1970, when nothing was streamed: the column may hold row numbers or seconds of playing, not times{TIME}",
    ),
    Case(
        "days for times",
        "a.csv",
        "song_id,listened_at\na,20240101\n",
        f"a.csv, line 2: listened_at '20240101' is in 1970 as seconds; it looks like a day: name its column date, with one for plays{TIME}",
    ),
    Case(
        "a clock that was not set",
        "a.csv",
        "song_id,listened_at\na,1970-01-01T00:00:05Z\n",
        f"a.csv, line 2: listened_at '1970-01-01T00:00:05Z' is in 1970, when nothing was streamed: a clock that was not set{TIME}",
    ),
    Case(
        "fraction",
        "a.csv",
        csv("a,2024-01-01,1.5"),
        f"a.csv, line 2: plays '1.5' is not a whole number{COUNT}",
    ),
    Case(
        "nan",
        "a.csv",
        csv("a,2024-01-01,NaN"),
        f"a.csv, line 2: plays 'NaN' is not a number{COUNT}",
    ),
    Case(
        "word",
        "a.csv",
        csv("a,2024-01-01,many"),
        f"a.csv, line 2: plays 'many' is not a number{COUNT}",
    ),
    Case(
        "huge digits",
        "a.csv",
        csv("a,2024-01-01," + "9" * 5000),
        f"a.csv, line 2: plays '9999999999999999999999999999999999999999…' is larger than any real count{COUNT}",
    ),
    Case(
        "hexadecimal",
        "a.csv",
        csv("a,2024-01-01,0x10"),
        f"a.csv, line 2: plays '0x10' is not a number{COUNT}",
    ),
    Case(
        "other digits",
        "a.csv",
        csv("a,2024-01-01,٣"),
        f"a.csv, line 2: plays '٣' is not a whole number{COUNT}",
    ),
    # ids, days, times
    Case(
        "empty id",
        "a.csv",
        csv("a,2024-01-01,1", " ,2024-01-01,1"),
        f"a.csv, line 3: song_id ' ' is empty{ID}",
    ),
    Case(
        "long id",
        "a.csv",
        csv("x" * 2000 + ",2024-01-01,1"),
        f"a.csv, line 2: song_id 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' is longer than 1000 characters{ID}",
    ),
    Case(
        "30 February",
        "a.csv",
        csv("a,2024-02-30,1"),
        f"a.csv, line 2: date '2024-02-30' is not in the calendar{DAY}",
    ),
    Case(
        "year 0001",
        "a.csv",
        csv("a,0001-01-01,1"),
        f"a.csv, line 2: date '0001-01-01' is in the year 1{DAY}",
    ),
    Case(
        "American day",
        "a.csv",
        csv("a,01/31/2024,1"),
        f"a.csv, line 2: date '01/31/2024' is not a day{DAY}",
    ),
    Case(
        "day with a time",
        "a.csv",
        csv("a,2024-01-01 13:00:00,1"),
        f"a.csv, line 2: date '2024-01-01 13:00:00' is not a day{DAY}",
    ),
    Case(
        "mixed zones",
        "a.csv",
        "song_id,listened_at\na,2024-01-01T00:00:00Z\na,2024-01-01T00:00:00\n",
        f"a.csv, line 3: listened_at '2024-01-01T00:00:00' is with no offset from UTC where other rows of the file have one{TIME}",
    ),
    Case(
        "time before 1970",
        "a.csv",
        "song_id,listened_at\na,1969-01-01T00:00:00Z\n",
        f"a.csv, line 2: listened_at '1969-01-01T00:00:00Z' is before 1970 or after 2099{TIME}",
    ),
    Case(
        "no time",
        "a.csv",
        "song_id,listened_at\na,yesterday\n",
        f"a.csv, line 2: listened_at 'yesterday' is not a time{TIME}",
    ),
    Case(
        "line after quoted line ends",
        "a.csv",
        'song_id,title,date,plays\na,"x\ny\n",2024-01-01,1\n\nb,z,2024-01-01,x\n',
        f"a.csv, line 6: plays 'x' is not a number{COUNT}",
    ),
    # shape
    Case(
        "twice",
        "a.csv",
        csv("a,2024-01-01,1", "b,2024-01-01,1", "a,20240101,2"),
        "a.csv, line 4: song 'a' on 2024-01-01 was counted already at a.csv, line 2; a song may have one row per day: add them up, or leave one out",
    ),
    Case(
        "missing column",
        "a.csv",
        "song_id,date\na,2024-01-01\n",
        "a.csv, line 1: no column for plays among 'song_id', 'date'; counts need song_id, date and plays, single plays need song_id and listened_at: name them with --column song_id=…, or mapping={'song_id': …, …}",
    ),
    Case(
        "mapped to nothing",
        "a.csv",
        csv("a,2024-01-01,1"),
        "a.csv, line 1: there is no column 'streams', which the mapping takes for plays; there are 'song_id', 'date', 'plays'",
        options={"mapping": {"plays": "streams"}},
    ),
    Case(
        "column twice",
        "a.csv",
        "song_id,date,plays,plays\na,2024-01-01,1,1\n",
        "a.csv, line 1: the column 'plays' is there 2 times",
    ),
    Case(
        "short row",
        "a.csv",
        csv("a,2024-01-01,1", "b,2024-01-01"),
        f"a.csv, line 3: cells in the row: 2, in the header: 3: 'b,2024-01-01'{WIDTH}",
    ),
    Case(
        "long row",
        "a.csv",
        csv("a,2024-01-01,1,234"),
        f"a.csv, line 2: cells in the row: 4, in the header: 3: 'a,2024-01-01,1,234'{WIDTH}",
    ),
    Case("no rows", "a.csv", HEAD, "a.csv: no plays in it (0 rows)"),
    Case("empty file", "a.csv", "", "a.csv is empty"),
    Case(
        "all rows skipped",
        "a.csv",
        csv("a,2024-01-01,x"),
        "a.csv: no plays in it (1 dropped: plays is not a whole number from 0 to 1000000000000)",
        options={"on_error": "skip"},
    ),
    Case(
        "open quote",
        "a.csv",
        csv('"a,2024-01-01,1', "b,2024-01-01,1"),
        f"a.csv, line 3: cells in the row: 1, in the header: 3: '\"a,2024-01-01,1\\nb,2024-01-01,1'{WIDTH}",
    ),
    Case(
        "prose",
        "a.csv",
        "Dear Sir,\nI have no log.\n",
        "a.csv, line 1: no column for song_id and date and plays among 'Dear Sir', ''; counts need song_id, date and plays, single plays need song_id and listened_at: name them with --column song_id=…, or mapping={'song_id': …, …}",
    ),
    Case(
        "web page",
        "a.csv",
        "<!doctype html><html><body>Sign in, please</body></html>",
        f"a.csv, line 1: '<!doctype html><html><body>Sign in, plea…' begins no known format; name it with format=, one of {FORMATS_LISTED}",
    ),
    Case(
        "one word",
        "a.csv",
        "hello\n",
        f"a.csv, line 1: 'hello\\n' begins no known format; name it with format=, one of {FORMATS_LISTED}",
    ),
    # text
    Case(
        "Latin-1",
        "a.csv",
        HEAD.encode() + "café,2024-01-01,1\n".encode("latin-1"),
        "a.csv, line 2: byte 0xe9 is not UTF-8; convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8",
    ),
    Case(
        "UTF-16",
        "a.csv",
        csv("a,2024-01-01,1").encode("utf-16"),
        "a.csv, line 1: the file is UTF-16; convert it to UTF-8, for example with: iconv -f UTF-16 -t UTF-8",
    ),
    Case(
        "zero byte",
        "a.csv",
        csv("a,2024-01-01,1", "b\0,2024-01-01,1"),
        "a.csv, line 3: a zero byte; this is not a text file",
    ),
    Case(
        "cut character",
        "a.csv",
        csv("a,2024-01-01,1").encode() + b"\xe2\x82",
        "a.csv, line 3: byte 0xe2 is not UTF-8; convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8",
    ),
    Case(
        "endless header",
        "a.csv",
        "song_id," * 200_000,
        "a.csv: a line of the header is longer than 1,048,576 bytes",
    ),
    Case(
        "wide row in a zip",
        "a.zip",
        zipped(("x\x1b[31m.csv", csv("a,2024-01-01,1,2").encode())),
        f"a.zip:x?[31m.csv, line 2: cells in the row: 4, in the header: 3: 'a,2024-01-01,1,2'{WIDTH}",
    ),
    # packed
    Case(
        "cut gzip",
        "a.csv.gz",
        CUT_GZIP,
        f"a.csv.gz: the compressed data is damaged: it ends too early (truncated){AGAIN}",
    ),
    Case(
        "cut zstd",
        "a.csv.zst",
        CUT_ZSTD,
        f"a.csv.zst: the compressed data is damaged: it ends too early (truncated){AGAIN}",
    ),
    Case(
        "damaged gzip",
        "a.csv.gz",
        CUT_GZIP[:300] + b"\x55" * 300 + CUT_GZIP[600:],
        f"a.csv.gz: the compressed data is damaged: Error -3 while decompressing data: invalid distance too far back{AGAIN}",
    ),
    Case(
        "gzip bomb",
        "a.csv.gz",
        gzip.compress(LONG_ZEROS),
        "a.csv.gz, line 1: a zero byte; this is not a text file",
        format="tabular",
    ),
    Case(
        "gzip bomb of rows",
        "a.csv.gz",
        gzip.compress((HEAD + ROW * 500_000).encode()),
        f"a.csv.gz unfolds to more than 200 times its size,{BOMB}",
    ),
    Case(
        "zstd bomb",
        "a.csv.zst",
        zstandard.compress(LONG_ZEROS),
        "a.csv.zst, line 1: a zero byte; this is not a text file",
        format="tabular",
    ),
    Case(
        "zip bomb",
        "a.zip",
        zipped(("a.csv", LONG_ZEROS)),
        f"a.zip:a.csv unfolds to 20,000,000 bytes from 19,447, more than 200 times,{BOMB}",
    ),
    Case(
        "climbing zip",
        "a.zip",
        zipped(("../a.csv", csv("a,2024-01-01,1").encode())),
        f"a.zip holds the name '../a.csv'{OUT}",
    ),
    Case(
        "climbing zip, other slashes",
        "a.zip",
        zipped(("..\\a.csv", b"x")),
        f"a.zip holds the name '..\\\\a.csv'{OUT}",
    ),
    Case(
        "absolute zip",
        "a.zip",
        zipped(("/etc/a.csv", b"x")),
        f"a.zip holds the name '/etc/a.csv'{OUT}",
    ),
    Case(
        "encrypted zip",
        "a.zip",
        encrypted,
        "a.zip:a.csv is encrypted; unpack the archive with its password first",
    ),
    Case(
        "cut zip",
        "a.zip",
        b"PK\x03\x04" + b"\0" * 100,
        "a.zip is not a whole zip archive: File is not a zip file; download or export it again",
    ),
    Case(
        "nameless zip",
        "a.zip",
        zipped(("", csv("a,2024-01-01,1").encode())),
        "a.zip holds a file without a name; download or export it again",
    ),
    Case(
        "empty zip",
        "a.zip",
        zipped(),
        "a.zip holds no file named like log.csv, log.tsv, log.json, log.jsonl or 1.listens: it is empty",
    ),
    Case(
        "zip of pictures",
        "a.zip",
        zipped(("a.png", b"x"), ("b.png", b"x")),
        "a.zip holds no file named like log.csv, log.tsv, log.json, log.jsonl or 1.listens: it holds 'a.png', 'b.png'",
    ),
    Case(
        "climbing tar",
        "a.tar.zst",
        tarred(("../1.listens", tarfile.REGTYPE, LISTEN.encode())),
        f"a.tar.zst holds the name '../1.listens'{OUT}",
    ),
    Case(
        "link in a tar",
        "a.tar.zst",
        tarred(("1.listens", tarfile.SYMTYPE, b"")),
        "a.tar.zst:1.listens is a link or a device, not a file",
    ),
    Case(
        "giant tar header",
        "a.tar.zst",
        tarred(("x", b"x", b"1" * 2_000_000)),
        "a.tar.zst: the tar archive is damaged: a header of 2,000,000 bytes; download it again",
    ),
    # Parquet
    Case(
        "Parquet negative",
        "a.parquet",
        table(
            {
                "song_id": ["a"] * 3,
                "date": ["2024-01-01", "2024-01-02", "2024-01-03"],
                "plays": [1, 2, -1],
            }
        ),
        f"a.parquet, row group 2, row 1: plays '-1' is negative{COUNT}",
    ),
    Case(
        "Parquet fraction",
        "a.parquet",
        table({"song_id": ["a"], "date": ["2024-01-01"], "plays": [1.5]}),
        f"a.parquet, row group 1, row 1: plays '1.5' is not a whole number{COUNT}",
    ),
    Case(
        "Parquet null",
        "a.parquet",
        table({"song_id": ["a"], "date": ["2024-01-01"], "plays": pa.nulls(1, pa.int64())}),
        f"a.parquet, row group 1, row 1: plays '' is empty{COUNT}",
    ),
    Case(
        "Parquet of a day beyond all calendars",
        "a.parquet",
        table({"song_id": ["a"], "date": pa.array([1970162252], pa.date32()), "plays": [1]}),
        f"a.parquet, row group 1, row 1: date '<value out of range: 1970162252>' is not a day{DAY}",
    ),
    Case(
        "Parquet of a time beyond all calendars",
        "a.parquet",
        table({"song_id": ["a"], "listened_at": pa.array([2**62], pa.timestamp("us"))}),
        f"a.parquet, row group 1, row 1: listened_at '<value out of range: 4611686018427387904…' is not a time{TIME}",
    ),
    Case(
        "Parquet of structs",
        "a.parquet",
        table({"song_id": [{"x": 1}], "date": ["2024-01-01"], "plays": [1]}),
        "a.parquet: the column 'song_id' has the type struct<x: int64>; accepted are strings, numbers, dates, timestamps and lists of strings",
    ),
    Case(
        "cut Parquet",
        "a.parquet",
        b"PAR1" + b"\0" * 100,
        "a.parquet: not a whole Parquet file: Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.; write or download it again",
    ),
    Case(
        "Parquet of too many rows",
        "a.parquet",
        table(
            {
                "song_id": pa.nulls(3_000_000, pa.string()),
                "date": pa.nulls(3_000_000, pa.date32()),
                "plays": pa.nulls(3_000_000, pa.int64()),
            }
        ),
        f"a.parquet, row group 1, row 1: song_id '' is empty{ID}",
    ),
    # services
    Case(
        "Xiami twice",
        "x.csv",
        XIAMI + XIAMI.splitlines()[1] + "\n",
        "x.csv, line 3: song '02377ee3' on 2015-03-01 was counted already at x.csv, line 2; a song may have one row per day: add them up, or leave one out",
    ),
    Case(
        "Xiami by name alone",
        "x.csv",
        HEAD + ROW,
        "x.csv, line 1: there is no column 'artist_id'; it has 'song_id', 'date', 'plays'",
        format="xiami",
    ),
    Case(
        "listen without a time",
        "1.listens",
        LISTEN + LISTEN.replace('"listened_at": 1430000000, ', ""),
        f"1.listens, line 2: listened_at '' is empty{TIME}",
    ),
    Case(
        "listen without a song",
        "1.listens",
        LISTEN + '{"listened_at": 1430000000, "track_metadata": {}}\n',
        f"1.listens, line 2: song_id '' is empty{ID}",
    ),
    Case(
        "cut listen",
        "1.listens",
        LISTEN + LISTEN[:50],
        f'1.listens, line 2: \'{{"listened_at": 1430000000, "track_metad…\' is not a JSON object: Unterminated string starting at: line 1 column 48 (char 47){LINES}',
    ),
    Case(
        "deep listen",
        "1.listens",
        LISTEN + '{"a":' * 100_000 + "\n",
        f'1.listens, line 2: \'{{"a":{{"a":{{"a":{{"a":{{"a":{{"a":{{"a":{{"a":…\' is not a JSON object: maximum recursion depth exceeded while decoding a JSON object from a unicode string{LINES}',
    ),
    Case(
        "list of listens",
        "1.listens",
        LISTEN + "[]\n",
        f"1.listens, line 2: '[]' is not a JSON object: it is a list{LINES}",
    ),
    Case(
        "cut history",
        "endsong_0.json",
        streams()[:-30],
        "endsong_0.json, line 10: not a whole JSON list of streams: Unterminated string starting at; the file may be cut off",
    ),
    Case(
        "deep history",
        "endsong_0.json",
        '[{"ms_played": 1, "ts": ' + "[" * 100_000,
        "endsong_0.json, line 1: not a whole JSON list of streams: maximum recursion depth exceeded while decoding a JSON array from a unicode string; the file may be cut off",
    ),
    Case(
        "negative milliseconds",
        "endsong_0.json",
        streams(ms_played=-1),
        f"endsong_0.json, record 2: ms_played '-1' is negative{COUNT}",
    ),
    Case(
        "history without a time",
        "endsong_0.json",
        streams(ts=None),
        f"endsong_0.json, record 2: ts '' is empty{TIME}",
    ),
    Case(
        "history of numbers",
        "endsong_0.json",
        '[1, "ms_played", "ts"]',
        "endsong_0.json, record 1: not a stream but '1'",
    ),
    Case(
        "short history",
        "endsong_0.json",
        '[{"endTime": "2022-12-05 16:52", "ms_played": 1, "ts": 1}]',
        "endsong_0.json, record 1: no field 'spotify_track_uri'; the extended streaming history has it (the short one is the format spotify_short)",
    ),
    Case(
        "chart without a day",
        "chart.csv",
        CHART + "1,spotify:track:1,A,B,C,1,1,1,5\n",
        "chart.csv: no day in the file's name; a chart is named like regional-global-daily-2023-01-05.csv",
    ),
    Case(
        "weekly chart",
        "regional-global-weekly-2023-01-05.csv",
        CHART,
        "regional-global-weekly-2023-01-05.csv: a weekly chart; daily ones are read, such as regional-global-daily-2023-01-05.csv",
    ),
    Case(
        "impossible chart day",
        "regional-global-daily-2023-02-30.csv",
        CHART,
        "regional-global-daily-2023-02-30.csv: no day in the file's name; a chart is named like regional-global-daily-2023-01-05.csv",
    ),
    Case(
        "chart of no track",
        DAILY,
        CHART + "1,spotify:album:1,A,B,C,1,1,1,5\n",
        "regional-global-daily-2023-01-05.csv, line 2: song_id 'spotify:album:1' is no track of Spotify; accepted is a track such as spotify:track:0000000000000000000000 (or leave such rows out with on_error='skip')",
    ),
    Case(
        "charts of regions that a terminal would obey",
        "charts.csv",
        "title,rank,date,artist,url,region,streams\n"
        + "".join(
            f"T,1,2024-01-01,A,https://open.spotify.com/track/1,{region},9\n"
            for region in ("Per\tu", "\x1b[31mPeru")
        ),
        "charts.csv: charts of ?[31mPeru and Per u; read one region at a time",
    ),
    Case(
        "half an FMA table",
        "tracks.csv",
        ",album,artist,set,track\n,x,id,subset,listens\n1,2\n",
        "tracks.csv, line 3: tracks.csv begins with two lines of column names and a line that begins with track_id",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_log(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case.write(tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(DataError) as caught:
        read_plays(path, case.format, **case.options)  # type: ignore[arg-type]
    assert type(caught.value) is DataError
    assert str(caught.value) == case.message
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    del caught
    assert list(temporary.iterdir()) == []
    with pytest.raises(DataError):
        read_plays(path, case.format, folder=tmp_path / "out", **case.options)  # type: ignore[arg-type]
    assert list((tmp_path / "out").glob("*")) == []


def test_cases_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


def test_song_days_of_two_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(csv("a,2024-01-01,1", "b,2024-01-01,1"))
    (tmp_path / "b.csv").write_text(csv("c,2024-01-01,1", "a,2024-01-01,1"))
    with pytest.raises(DataError) as caught:
        read_plays(tmp_path)
    assert str(caught.value) == (
        "b.csv, line 3: song 'a' on 2024-01-01 was counted already at a.csv, line 2; a song may "
        "have one row per day: add them up, or leave one out"
    )


def test_many_song_days_are_compared_by_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitcore.plays.parsing.collecting._FEW_ROWS", 1)
    (tmp_path / "a.csv").write_text(csv("a,2024-01-01,1", "b,2024-01-01,1"))
    assert read_plays(tmp_path / "a.csv").report.n_kept == 2
    (tmp_path / "a.csv").write_text(csv("b,2024-01-01,1", "a,2024-01-01,1", "a,2024-01-01,1"))
    with pytest.raises(DataError, match=r"^a\.csv, line 4: song 'a' on 2024-01-01 was counted"):
        read_plays(tmp_path / "a.csv")


def test_counts_and_events_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(csv("a,2024-01-01,1"))
    (tmp_path / "b.csv").write_text("song_id,listened_at\na,2024-01-01T00:00:00Z\n")
    with pytest.raises(DataError) as caught:
        read_plays(tmp_path)
    message = "b.csv holds events rows, the files before it daily; read them one at a time"
    assert str(caught.value) == message


def test_charts_of_two_regions(tmp_path: Path) -> None:
    for region in ("us", "gb"):
        name = f"regional-{region}-daily-2023-01-05.csv"
        (tmp_path / name).write_text(CHART + "1,spotify:track:1,A,B,C,1,1,1,5\n")
    with pytest.raises(DataError) as caught:
        read_plays(tmp_path)
    assert str(caught.value) == (
        "regional-us-daily-2023-01-05.csv: charts of gb and us; read one region at a time"
    )


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/gone\.csv does not exist$"):
        read_plays(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"holds no file of a known kind \(\.csv, \.json, "):
        read_plays(tmp_path)
    with pytest.raises(ParameterError, match=r"^no path was given$"):
        read_plays([])


def test_the_limits_are_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((HEAD + ROW * 500_000).encode()))
    with pytest.raises(DataError, match="unfolds to more than 1,000,000 bytes, the limit"):
        read_plays(path, limits=ReadLimits(max_bytes=10**6))
    with pytest.raises(DataError, match="was counted already"):  # it is read, for what it is
        read_plays(path, limits=ReadLimits(max_ratio=2000))
    with pytest.raises(ParameterError, match="max_ratio is 0; it must be above 0"):
        ReadLimits(max_ratio=0)
    members = zipped(*((f"{i}.csv", b"x") for i in range(11)))
    members(tmp_path / "a.zip")
    with pytest.raises(DataError, match=r"^a\.zip holds 11 files; at most 10 are read$"):
        read_plays(tmp_path / "a.zip", limits=ReadLimits(max_members=10))
    history = tmp_path / "endsong_0.json"
    history.write_text(streams())
    long_title = {"ts": "2023-01-15T18:22:33Z", "ms_played": 1, "x": "y" * 4 * 2**20}
    history.write_text(json.dumps([long_title]))
    with pytest.raises(
        DataError, match=r"^endsong_0\.json, line 1: a stream is longer than 1,000 b"
    ):
        read_plays(history, "spotify_history", limits=ReadLimits(max_record_bytes=1000))
    listens = tmp_path / "1.listens"
    listens.write_text(LISTEN + LISTEN.replace("A", "A" * 10**7))
    with pytest.raises(DataError, match=r"^1\.listens, line 2 is longer than 1,000 bytes$"):
        read_plays(listens, limits=ReadLimits(max_record_bytes=1000))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "label\nA\n",
            "songs.csv, line 1: no column for song_id among 'label'; name it with mapping={'song_id': …}",
        ),
        (
            "song_id,title\na,A\nb,B\na,C\n",
            "songs.csv, line 4: song 'a' stands at songs.csv, line 2 already; a table of songs has one row per song",
        ),
        (
            "song_id,release_date\na,2024-02-30\n",
            f"songs.csv, line 2: release_date '2024-02-30' is not in the calendar{DAY}",
        ),
        ("song_id,title\n", "songs.csv: no songs in it (0 rows)"),
    ],
)
def test_hostile_song_tables(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "songs.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_songs(path, "tabular")
    assert str(caught.value) == message


def test_a_log_without_songs_is_no_song_table(tmp_path: Path) -> None:
    path = tmp_path / "1.listens"
    path.write_text(LISTEN)
    assert sniff_format(path) == "listenbrainz"
    assert read_songs(path)["title"].to_pylist() == ["B"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is not shown")
@pytest.mark.parametrize(("name", "content"), [("a.csv.gz", CUT_GZIP), ("a.csv.zst", CUT_ZSTD)])
def test_refusals_leave_no_memory_behind(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    def refuse(n: int) -> int:
        for _ in range(n):
            with pytest.raises(DataError, match="truncated"):
                read_plays(path)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    before = refuse(50)
    assert refuse(400) - before < 8 * 2**20  # a leak of a file's 68 kB would be 27 MB


def test_mutated_logs_are_read_or_refused() -> None:
    """A small part of `benchmarks/fuzz_logs.py`, whose parent process watches for the rest."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_logs.py"
    command = [sys.executable, str(script), "--cases", "204", "--seed", "7", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    result = json.loads(done.stdout)
    assert result["failures"] == []
    assert done.returncode == 0
    assert result["read"] + result["refused"] == result["cases"] == 204
    assert result["read"] > 20
    assert result["refused"] > 20
    assert result["rss_growth_mib"] < 100

"""A text file as a stream of bytes that is checked to be UTF-8 on its way."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import Any

from hitcore.errors import DataError
from hitcore.plays.parsing.unpacking import Meter, Readable


class Text:
    """One text file: its name for messages, its bytes, and how far into it one is."""

    def __init__(self, name: str, stream: io.BufferedReader[Any], path: Path) -> None:
        self.name = name
        self.path = path
        self.stream = stream

    def line(self, limit: int = 2**20) -> bytes:
        """The next physical line without its end; empty bytes at the end of the file."""
        line = self.stream.readline(limit)
        if len(line) >= limit:
            raise DataError(f"{self.name}: a line of the header is longer than {limit:,} bytes")
        return line.rstrip(b"\r\n")

    def peek(self, size: int = 65536) -> bytes:
        """Up to `size` bytes from here on, which stay to be read."""
        return self.stream.peek(size)[:size]


class _Utf8(io.RawIOBase):
    """Bytes that are checked to be UTF-8 text on their way, without the byte-order mark."""

    def __init__(self, name: str, source: Readable, meter: Meter | None) -> None:
        self._name, self._source, self._meter = name, source, meter
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines = 0
        self._started = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        if not self._started:
            self._started = True
            data = self._begin(data, len(buffer))
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            before = bytes(error.object[: error.start]).count(b"\n")
            raise DataError(
                f"{self._name}, line {self._lines + before + 1}: byte "
                f"0x{error.object[error.start]:02x} is not UTF-8; convert the file, for example "
                "with: iconv -f WINDOWS-1252 -t UTF-8"
            ) from error
        if b"\0" in data:
            line = self._lines + data[: data.index(b"\0")].count(b"\n") + 1
            raise DataError(f"{self._name}, line {line}: a zero byte; this is not a text file")
        self._lines += data.count(b"\n")
        if self._meter:
            self._meter.add(0)
        buffer[: len(data)] = data
        return len(data)

    def _begin(self, data: bytes, size: int) -> bytes:
        while 0 < len(data) < 4 and (more := self._source.read(size - len(data))):
            data += more
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(
                f"{self._name}, line 1: the file is UTF-16; convert it to UTF-8, for example "
                "with: iconv -f UTF-16 -t UTF-8"
            )
        if data.startswith(codecs.BOM_UTF8):
            data = data[3:] or self._source.read(size)
        return data


def text_file(name: str, source: Readable, path: Path, meter: Meter | None) -> Text:
    """The text that some bytes are; what is no UTF-8 is refused when it is reached."""
    return Text(name, io.BufferedReader(_Utf8(name, source, meter), 2**17), path)

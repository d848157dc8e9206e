"""JSON files that are one long list of objects, read one object at a time.

Exports of a person's data are such lists, of up to some hundred megabytes. Only some of the text
and one object are held at once; a list that breaks off is an error that names the line.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text
from hitcore.plays.parsing.cells import one_line, shown
from hitcore.plays.parsing.reading import Reading, Rows

_CHUNK_BYTES = 2**20
_BATCH_ROWS = 100_000
_SPACE = re.compile(r"[ \t\r\n]*")


def objects(text: Text, max_bytes: int, noun: str) -> Iterator[dict[str, Any]]:
    """The objects of the list, one after the other.

    Args:
        text: The file.
        max_bytes: Of one object.
        noun: What an object stands for, for messages.

    Raises:
        DataError: The file is no list, breaks off, or holds something else than objects.
    """
    document = _Document(text, max_bytes, noun)
    document.skip("[", "a list begins with [")
    if document.at("]"):
        return
    for number in _count():
        found = document.value()
        if not isinstance(found, dict):
            raise DataError(f"{text.name}, record {number + 1:,}: not a {noun} but {shown(found)}")
        yield found
        if document.at("]"):
            return
        document.skip(",", "expecting , or ]")


def rows_of(
    text: Text,
    names: Sequence[str],
    cells_of: Callable[[dict[str, Any], int], Sequence[object] | None],
    reading: Reading,
    noun: str,
) -> Iterator[Rows]:
    """The objects of the list as rows of strings.

    Args:
        text: The file.
        names: Of the columns.
        cells_of: The cells of an object, given also its number from 0; None leaves it out, and
            has counted it.
        reading: Where rows are counted.
        noun: What an object stands for, for messages.

    Raises:
        DataError: As `objects`.
    """
    pending: list[Sequence[object]] = []
    numbers: list[int] = []
    for number, found in enumerate(objects(text, reading.limits.max_record_bytes, noun)):
        reading.n_read += 1
        cells = cells_of(found, number)
        if cells is None:
            continue
        pending.append(cells)
        numbers.append(number)
        if len(pending) == _BATCH_ROWS:
            yield _rows(text.name, names, pending, numbers)
            pending, numbers = [], []
    if pending:
        yield _rows(text.name, names, pending, numbers)


def plain_text(value: object) -> str | None:
    """A value as text that can be encoded; None stays None.

    Example:
        >>> plain_text(3), plain_text(None)
        ('3', None)
    """
    if value is None:
        return None
    return str(value).encode("utf-8", "replace").decode().replace("\0", " ")


def _rows(
    file: str, names: Sequence[str], pending: list[Sequence[object]], numbers: list[int]
) -> Rows:
    columns = {
        name: pa.array([plain_text(cells[i]) for cells in pending], pa.string())
        for i, name in enumerate(names)
    }
    return Rows(file, columns, 0, lambda row: f"record {numbers[row] + 1:,}")


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


class _Document:
    """The part of the text around the object at hand."""

    def __init__(self, text: Text, max_bytes: int, noun: str) -> None:
        self._text, self._max_bytes, self._noun = text, max_bytes, noun
        self._bytes = codecs.getincrementaldecoder("utf-8")()
        self._decoder = json.JSONDecoder()
        self._buffer, self._position, self._line, self._ended = "", 0, 1, False

    def at(self, mark: str) -> bool:
        """Whether a mark comes next, white space apart; it is passed over."""
        self._after_space()
        if self._buffer.startswith(mark, self._position):
            self._position += 1
            return True
        return False

    def skip(self, mark: str, words: str) -> None:
        """Pass over a mark that has to come next."""
        if not self.at(mark):
            raise self._broken(self._position, words)

    def value(self) -> Any:
        """The next value."""
        self._after_space()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                cut = error.pos > len(self._buffer) - 16 or error.msg.startswith("Unterminated")
                if cut and self._more():
                    continue
                raise self._broken(error.pos, error.msg) from error
            except (ValueError, RecursionError) as error:
                raise self._broken(self._position, str(error)) from error
            if end == len(self._buffer) and self._more():
                continue  # a number may go on
            self._position = end
            return found

    def _after_space(self) -> None:
        while True:
            found = _SPACE.match(self._buffer, self._position)
            self._position = found.end() if found else self._position
            if self._position < len(self._buffer) or not self._more():
                return

    def _more(self) -> bool:
        """Read on; whether there was more."""
        if self._ended:
            return False
        held = len(self._buffer) - self._position
        if held > self._max_bytes:
            raise DataError(
                f"{self._text.name}, line {self._line:,}: a {self._noun} is longer than "
                f"{self._max_bytes:,} bytes"
            )
        data = self._text.stream.read(max(_CHUNK_BYTES, held))
        self._ended = not data
        self._line += self._buffer.count("\n", 0, self._position)
        self._buffer = self._buffer[self._position :] + self._bytes.decode(data, final=not data)
        self._position = 0
        return not self._ended

    def _broken(self, position: int, reason: str) -> DataError:
        line = self._line + self._buffer.count("\n", 0, position)
        words = one_line(reason, 100)
        return DataError(
            f"{self._text.name}, line {line:,}: not a whole JSON list of {self._noun}s: {words}; "
            "the file may be cut off"
        )

"""Cells of a log as values: days, instants and ids, strictly; counts are in `counts`.

The problem: a log that is read generously gives wrong hit scores without a word: a row number
becomes a time in 1970, 30 February becomes 2 March. Each converter here turns a column of strings
into values and a mask of cells it refuses, and can say about any refused cell why.

Conventions:
    A column is an Arrow array: of strings, where empty and null are the same and white space
    around a cell does not count, or (from Parquet) of integers, dates or timestamps, which are
    checked for their range only. Instants are UTC.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_ID_CHARS = 1000
FIRST_YEAR, LAST_YEAR = 1900, 2100
FIRST_INSTANT = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp())
"""Times in 1970 are row numbers, durations or days that were taken for seconds since then."""
LAST_INSTANT = int(datetime(LAST_YEAR, 1, 1, tzinfo=UTC).timestamp())
_FIRST_DAY = (date(FIRST_YEAR, 1, 1) - date(1970, 1, 1)).days
_LAST_DAY = (date(LAST_YEAR, 1, 1) - date(1970, 1, 1)).days

_DAY = re.compile(
    r"([0-9]{4})([-/.]?)([0-9]{2})\2([0-9]{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:?00)?)?"
)
_COARSE_DAY = re.compile(r"[0-9]{4}(?:-[0-9]{2})?")
_EPOCH = r"^[0-9]{1,13}$"
_NAMED_MONTH = re.compile(
    r"([0-9]{1,2}) ([A-Za-z]{3}) ([0-9]{4}),? ([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_OFFSET = re.compile(r"(?<=[0-9])(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$")


class Cell(Protocol):
    """A converter of one column."""

    accepted: str

    def parse(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """The values, and which cells are refused."""

    def explain(self, cell: str | None) -> str:
        """Why a cell is refused."""


@dataclass
class Id:
    """Song ids: any text that is not empty.

    Example:
        >>> values, refused = Id().parse(pa.array([" a1", ""]))
        >>> values.to_pylist(), refused.tolist()
        (['a1', ''], [False, True])
    """

    accepted: str = "a name of 1 to 1000 characters"
    may_be_empty: bool = False
    """Empty cells are null instead of refused."""

    def parse(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """The ids without surrounding white space, and which are empty or too long."""
        values = trimmed(cells)
        length = pc.utf8_length(values)
        refused = _mask(pc.greater(length, MAX_ID_CHARS))
        if self.may_be_empty:
            return or_null(values), refused
        return values, refused | _mask(pc.equal(length, 0))

    def explain(self, cell: str | None) -> str:
        """Why an id is refused."""
        return "longer than 1000 characters" if (cell or "").strip() else "empty"


@dataclass
class Day:
    """Calendar days: `2015-03-01`, `20150301`, `2015/03/01`, with or without midnight behind.

    Example:
        >>> values, refused = Day().parse(pa.array(["20150301", "2015-02-30"]))
        >>> values.to_pylist(), refused.tolist()
        ([datetime.date(2015, 3, 1), None], [False, True])
    """

    accepted: str = "a day such as 2015-03-01 or 20150301, from 1900 to 2099"
    may_be_unknown: bool = False
    """Empty cells, and years or months without a day, are null instead of refused."""

    def parse(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """The days as date32, and which cells are no days."""
        if pa.types.is_timestamp(cells.type):
            cells = cells.cast(pa.string())  # midnight is a day; other times are refused below
        if pa.types.is_date32(cells.type):
            number = pc.fill_null(
                cells.cast(pa.int32()), _LAST_DAY if not self.may_be_unknown else 0
            )
            outside = pc.or_(pc.less(number, _FIRST_DAY), pc.greater_equal(number, _LAST_DAY))
            return cells, _mask(outside)
        coded = trimmed(cells).dictionary_encode()
        distinct = coded.dictionary.to_pylist()
        days = [_day(text) for text in distinct]
        refused = np.array(
            [day is None and not self._unknown(t) for day, t in zip(days, distinct, strict=True)],
            dtype=bool,
        )
        values = pa.array(days, pa.date32()).take(coded.indices)
        return values, refused[_numpy(coded.indices)]

    def explain(self, cell: str | None) -> str:
        """Why a day is refused."""
        text = (cell or "").strip()
        if not text:
            return "empty"
        if match := _DAY.fullmatch(text):
            year = int(match[1])
            inside = FIRST_YEAR <= year < LAST_YEAR
            return "not in the calendar" if inside else f"in the year {year}"
        return "not a day"

    def _unknown(self, text: str) -> bool:
        return self.may_be_unknown and (not text or _COARSE_DAY.fullmatch(text) is not None)


@dataclass
class Instant:
    """Moments: ISO 8601 with or without an offset, `14 Nov 2023 22:13`, or seconds since 1970.

    Numbers may also be milliseconds since 1970.

    Offsets are converted to UTC. A time without an offset is taken as UTC, but a file that has
    both kinds is refused: which zone the bare ones are in would be a guess. So one converter
    serves one file.

    Example:
        >>> cells = pa.array(["2015-03-01T01:30:00+02:00", "2015-02-28T23:30:00Z"])
        >>> [str(value) for value in Instant().parse(cells)[0]]
        ['2015-02-28 23:30:00', '2015-02-28 23:30:00']
    """

    accepted: str = "a time such as 2015-03-01T12:00:00Z, or seconds since 1970"
    first: int = FIRST_INSTANT
    """Times before this second since 1970 are refused."""
    zoned: bool | None = field(default=None, init=False)
    """Whether the times of this file carry offsets; None until one was seen."""

    n_bare: int = field(default=0, init=False)
    """Times without an offset so far."""

    offsets: set[str] = field(default_factory=set, init=False)
    """The zones or offsets from UTC that times were given in so far; "" stands for several."""

    def parse(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """The instants as timestamps in microseconds, and which cells are none."""
        if pa.types.is_timestamp(cells.type):
            self.offsets.add(_utc_or(cells.type.tz or "UTC"))
            micros = pc.fill_null(cells.cast(pa.timestamp("us"), safe=False).cast(pa.int64()), -1)
            return self._checked(_numpy(micros), np.full(len(cells), -1))
        text = trimmed(cells)
        if pc.any(pc.ends_with(text, "UTC")).as_py():
            text = pc.replace_substring_regex(text, r" ?UTC$", "Z")
        micros, zoned = self._quick(text) or self._slow(text)
        if len(text):
            self.offsets.add(_offset_of(text) if (zoned > 0).any() else "UTC")
        return self._checked(micros, zoned)

    def _checked(self, micros: np.ndarray, zoned: np.ndarray) -> tuple[pa.Array, np.ndarray]:
        dated = zoned[zoned >= 0]
        if self.zoned is None and len(dated):
            self.zoned = bool(dated[0])
        refused = np.isnan(micros) if micros.dtype.kind == "f" else np.zeros(len(micros), bool)
        whole = np.where(refused, 0, micros).astype(np.int64)
        refused |= (whole < self.first * 10**6) | (whole >= LAST_INSTANT * 10**6)
        refused |= (zoned >= 0) & (zoned != (self.zoned is True))
        self.n_bare += int(np.count_nonzero((zoned == 0) & ~refused))
        return pa.array(whole, pa.timestamp("us")), refused

    def explain(self, cell: str | None) -> str:
        """Why a time is refused."""
        text = re.sub(r" ?UTC$", "Z", (cell or "").strip())
        if not text:
            return "empty"
        micros, zoned = _instant(text)
        if micros is None:
            return "not a time"
        if 0 <= micros < self.first * 10**6:
            return _in_1970(text)
        if not 0 <= micros < LAST_INSTANT * 10**6:
            return "before 1970 or after 2099"
        have, others = ("an", "none") if zoned else ("no", "one")
        return f"with {have} offset from UTC where other rows of the file have {others}"

    def _quick(self, text: pa.Array) -> tuple[np.ndarray, np.ndarray] | None:
        """All cells at once if they are of the first one's kind; None where they are not."""
        n = len(text)
        example = text[0].as_py() if n else ""
        if re.fullmatch(_EPOCH, example, re.ASCII):
            if not pc.all(pc.match_substring_regex(text, _EPOCH)).as_py():
                return None
            numbers = _numpy(text.cast(pa.int64()))
            return numbers * np.where(numbers < 10**11, 10**6, 10**3), np.full(n, -1)
        zoned = _instant(example)[1] is True
        try:
            values = text.cast(pa.timestamp("us", "UTC" if zoned else None))
        except pa.ArrowInvalid:
            return None
        return _numpy(values.cast(pa.int64())), np.full(n, int(zoned))

    def _slow(self, text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        pairs = [_instant(cell) for cell in text.to_pylist()]
        micros = np.array([np.nan if m is None else m for m, _ in pairs], dtype=float)
        zoned = np.array([-1 if m is None or z is None else int(z) for m, z in pairs], dtype=int)
        return micros, zoned


def trimmed(cells: pa.Array) -> pa.Array:
    """The cells as strings without surrounding white space; null becomes empty.

    Accents are composed (NFC): some systems write them apart, and a name is one name.

    Example:
        >>> trimmed(pa.array([" cafe\u0301", None])).to_pylist() == ["caf\u00e9", ""]
        True
    """
    text = pc.utf8_trim_whitespace(pc.fill_null(cells.cast(pa.string()), ""))
    accented = pc.invert(pc.string_is_ascii(text))
    if not pc.any(accented).as_py():  # Composing takes its time, and most columns have none.
        return text
    if isinstance(text, pa.ChunkedArray):
        return pc.if_else(accented, pc.utf8_normalize(text, "NFC"), text)
    return pc.replace_with_mask(text, accented, pc.utf8_normalize(text.filter(accented), "NFC"))


def or_null(cells: pa.Array) -> pa.Array:
    """The cells without surrounding white space; empty becomes null."""
    text = trimmed(cells)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def filtered(mask: np.ndarray, table: pa.Table) -> pa.Table:
    """The rows where the mask is true; the table itself where all are."""
    return table if mask.all() else table.filter(pa.array(mask))


def shown(value: object) -> str:
    """A value for a message: quoted, on one line, not too long.

    Example:
        >>> shown("a" * 100)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'"
    """
    text = "" if value is None else str(value)
    return repr(text if len(text) <= 40 else text[:40] + "…")


def one_line(text: str, n_chars: int = 200) -> str:
    """A library's words for a message: on one line, printable, not too long.

    Example:
        >>> one_line("broken\\n at \\x0f")
        'broken at ?'
    """
    words = " ".join(text.split())[:n_chars]
    return "".join(c if c.isprintable() else "?" for c in words)


def _day(text: str) -> date | None:
    match = _DAY.fullmatch(text)
    if not match:
        return None
    try:
        day = date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year < LAST_YEAR else None


def _instant(text: str) -> tuple[int | None, bool | None]:
    """Microseconds since 1970 and whether there is an offset (None: a number needs none)."""
    if re.fullmatch(_EPOCH, text, re.ASCII):
        number = int(text)
        return number * (10**6 if number < 10**11 else 10**3), None
    try:
        moment = _named_month(text) or datetime.fromisoformat(text)
        zoned = moment.tzinfo is not None
        if not zoned:
            moment = moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None, None
    return (since.days * 86400 + since.seconds) * 10**6 + since.microseconds, zoned


def _named_month(text: str) -> datetime | None:
    """A time as Last.fm writes it, `14 Nov 2023, 22:13`; None where it is written otherwise."""
    found = _NAMED_MONTH.fullmatch(text)
    if found is None or found[2].lower() not in _MONTHS:
        return None
    month = _MONTHS.index(found[2].lower()) + 1
    seconds = int(found[6] or 0)
    return datetime(int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), seconds)


def _in_1970(text: str) -> str:
    """Why a time in 1970 is none, and what it likely is."""
    if not text.isascii() or not text.isdigit():
        return "in 1970, when nothing was streamed: a clock that was not set"
    if _day(text) is not None:
        return "in 1970 as seconds; it looks like a day: name its column date, with one for plays"
    return (
        "in 1970, when nothing was streamed: the column may hold row numbers or seconds of "
        "playing, not times"
    )


def _offset_of(text: pa.Array) -> str:
    """The offset that all times end with; "" where they differ."""
    found = _OFFSET.search(text[0].as_py())
    if found is None:
        return ""
    alike = pc.all(pc.ends_with(text, found[0])).as_py()
    return _utc_or(found[0]) if alike else ""


def _utc_or(offset: str) -> str:
    return "UTC" if offset in ("Z", "z", "+00:00", "+0000", "+00", "GMT") else offset


def _mask(array: pa.Array) -> np.ndarray:
    return _numpy(pc.fill_null(array, False))


def _numpy(array: pa.Array) -> np.ndarray:
    return np.asarray(array.to_numpy(zero_copy_only=False))

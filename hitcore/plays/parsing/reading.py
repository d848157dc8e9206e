"""One reading of one log: its settings, its counts, and rows turned into canonical batches.

The problem: every reader has to refuse or count the same things in the same words. A reader says
which cells of a row are what; here they are converted, and a cell that cannot be is either an
error that names the file and the line, or (with `on_error="skip"`) a dropped row that is counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.cells import Cell, Day, Instant, filtered, or_null, shown
from hitcore.plays.parsing.counts import PLAIN, Count
from hitcore.plays.parsing.playlog import PLAYS_SCHEMAS, Kind
from hitcore.plays.parsing.unpacking import Progress, ReadLimits

OnError = Literal["raise", "skip"]
Duplicates = Literal["keep", "listener", "all"]
"""Which events with the same song and time are one: none; those of one known listener; all, as
in a log of one person, whom it need not name."""

ARTIST_SEPARATOR = "\x1f"
"""Between the artists of one song while they are still one string."""

EARLIEST_SCROBBLE = 1033430400
"""2002-10-01, when scrobbling began; times before it come from clocks that were not set."""


@dataclass
class Batch:
    """Some canonical rows of one file, with what they say about their songs."""

    kind: Kind
    file: str
    plays: pa.Table
    """Columns of `PLAYS_SCHEMAS[kind]`."""
    songs: pa.Table | None
    """For each row `song_id` and what the log says about the song, artists as one string."""
    numbers: np.ndarray
    """Number of each row in its file, from 0."""
    place: Callable[[int], str]
    """Turns such a number into words: "line 12"."""
    stored: Path | None = None
    """The canonical Parquet file in which just these rows stand already."""


@dataclass
class Rows:
    """Some rows of one file as strings, before conversion."""

    file: str
    columns: Mapping[str, pa.Array]
    """Canonical name to cells; the names of `PLAYS_SCHEMAS` and of songs."""
    first: int
    """Number of the first row in its file, from 0."""
    place: Callable[[int], str]
    again: Callable[[str], Iterator[pa.Array]] | None = None
    """All cells of a column of the file, read anew; None where the numbers are a program's."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def holding(self, columns: Mapping[str, pa.Array]) -> "Rows":
        """The same rows with other columns."""
        return replace(self, columns=columns)


@dataclass
class Reading:
    """Settings and running counts of one call of `read_plays`."""

    format: str
    mapping: Mapping[str, str | int] | None = None
    on_error: OnError = "raise"
    limits: ReadLimits = field(default_factory=ReadLimits)
    progress: Progress | None = None
    decimal: str | None = None
    """What stands before decimals in the log's tables; None to find it out."""
    duplicates: Duplicates = "listener"
    """Which events are one event with another."""
    files: list[str] = field(default_factory=list)
    n_read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    offsets: set[str] = field(default_factory=set)
    """The offsets from UTC in which times were given; "" stands for several."""

    def again(self) -> "Reading":
        """The same reading from its start, to look up where something stood."""
        return replace(
            self,
            progress=None,
            files=[],
            n_read=0,
            dropped=Counter(),
            odd=Counter(),
            notes=[],
            offsets=set(),
        )

    def begin(self, file: str) -> None:
        """A file (or a member of an archive) is opened."""
        self.files.append(file)

    def note(self, sentence: str) -> None:
        """Something the user should know, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def drop(self, reason: str, mask: np.ndarray) -> None:
        """Rows are left out for a reason that is no fault of the file."""
        if n := int(np.count_nonzero(mask)):
            self.dropped[reason] += n

    def refuse(self, rows: Rows, column: str, cell: Cell, refused: np.ndarray) -> None:
        """Cells could not be converted: an error that names the first, or a count.

        Raises:
            DataError: Unless the user asked to skip such rows.
        """
        if not refused.any():
            return
        if self.on_error == "skip":
            self.dropped[f"{column} is not {cell.accepted}"] += int(np.count_nonzero(refused))
            return
        index = int(np.argmax(refused))
        # By way of Arrow: a damaged Parquet file may hold days that Python has no object for.
        given = rows.columns[column].slice(index, 1).cast(pa.string())[0].as_py()
        where = f"{rows.file}, {rows.place(rows.first + index)}"
        raise DataError(
            f"{where}: {column} {shown(given)} is {cell.explain(given)}; accepted is "
            f"{cell.accepted} (or leave such rows out with on_error='skip')"
        )


@dataclass
class Converter:
    """Turns the rows of one file into batches of one kind."""

    reading: Reading
    kind: Kind
    cells: Mapping[str, Cell]
    """For each column of the plays its converter; columns left out are null."""
    earliest: int = 0
    """Plays before this second since 1970 are dropped as the mark of a clock that was not set."""
    _settled: dict[str, str] = field(default_factory=dict, init=False)
    """Columns of counts whose convention was found, and in which file."""

    def batch(self, rows: Rows, keep: np.ndarray | None = None) -> Batch:
        """The canonical rows among `rows` (among those where `keep` is true)."""
        good = np.ones(len(rows), bool) if keep is None else keep.copy()
        plays: dict[str, pa.Array] = {}
        for name, cell in self.cells.items():
            if isinstance(cell, Count):
                self._settle(name, cell, rows)
            plays[name], refused = self._parse(name, cell, rows, good)
            self.reading.refuse(rows, name, cell, refused)
            good &= ~refused
        if self.earliest and "listened_at" in plays:
            early = good & _before(plays["listened_at"], self.earliest)
            self.reading.drop("dated before 2002-10, as by a clock that was not set", early)
            good &= ~early
        schema = PLAYS_SCHEMAS[self.kind]
        table = pa.table(
            {f.name: plays.get(f.name, pa.nulls(len(rows), f.type)) for f in schema}, schema
        )
        songs = self._songs(rows, table)
        numbers = rows.first + np.flatnonzero(good)
        return Batch(
            self.kind,
            rows.file,
            filtered(good, table),
            filtered(good, songs) if songs else None,
            numbers,
            rows.place,
        )

    def _settle(self, name: str, cell: Count, rows: Rows) -> None:
        """Find out how the numbers of a column are written, over all of its file."""
        if name in self._settled and self._settled[name] != rows.file:
            del self._settled[name]
            cell.convention = None
        if cell.convention is None and rows.again is None:
            cell.convention = PLAIN
        elif rows.again is not None and cell.undecided(rows.columns[name]):
            cell.decimal = self.reading.decimal
            cell.convention = cell.found(rows.again(name), f"{rows.file}, column {name}")
            self._settled[name] = rows.file
            if cell.convention.thousands and cell.thousands_seen:
                self.reading.note(f"{name}: written with {cell.convention.words}.")

    def _parse(
        self, name: str, cell: Cell, rows: Rows, good: np.ndarray
    ) -> tuple[pa.Array, np.ndarray]:
        column = rows.columns[name]
        if isinstance(cell, Instant) and not good.all():
            # Rows that are out already must not decide whether the file's times have offsets.
            inside, refused_inside = cell.parse(column.filter(pa.array(good)))
            self.reading.offsets |= cell.offsets
            index = np.maximum(np.cumsum(good) - 1, 0)
            if not len(inside):
                return pa.nulls(len(rows), inside.type), np.zeros(len(rows), bool)
            return inside.take(pa.array(index)), good & refused_inside[index]
        values, refused = cell.parse(column)
        if isinstance(cell, Instant):
            self.reading.offsets |= cell.offsets
        return values, refused & good

    def _songs(self, rows: Rows, plays: pa.Table) -> pa.Table | None:
        names = [name for name in rows.columns if name not in plays.schema.names]
        if not names:
            return None
        columns = {"song_id": plays["song_id"]}
        for name in names:
            columns[name] = or_null(rows.columns[name])
        if "release_date" in columns:
            columns["release_date"] = self._release_dates(rows)
        return pa.table(columns)

    def _release_dates(self, rows: Rows) -> pa.Array:
        cell = Day(may_be_unknown=True)
        values, refused = cell.parse(rows.columns["release_date"])
        if refused.any():
            self.reading.odd["release_date is not a day; taken as unknown"] += int(refused.sum())
        return values


def text_key(artist: pa.Array, title: pa.Array) -> pa.Array:
    """An id for songs that have none: artist and title in lower case; null where one is missing.

    Example:
        >>> text_key(pa.array(["ABBA"]), pa.array(["Waterloo "])).to_pylist()
        ['abba – waterloo']
    """
    artist, title = or_null(artist), or_null(title)
    return pc.utf8_lower(pc.binary_join_element_wise(artist, title, " – "))


def identified(reading: Reading, known: pa.Array, artist: pa.Array, title: pa.Array) -> pa.Array:
    """Song ids: the known one, else one made of artist and title, which is counted."""
    known = or_null(known)
    made = pc.fill_null(text_key(artist, title), "")
    without = pc.and_(pc.is_null(known), pc.not_equal(made, ""))
    if n := pc.sum(without).as_py():
        reading.odd["no recording id; identified by artist and title"] += n
    return pc.coalesce(known, made)


def _before(instants: pa.Array, second: int) -> np.ndarray:
    micros = instants.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return np.asarray(micros < second * 10**6)

"""Numbers of plays as people's tables write them: one convention per column, or a refusal.

The problem: `12.000` is twelve to one spreadsheet and twelve thousand to the next. Which one it is
cannot be told from the cell, and to tell it cell by cell makes a column of both. So a convention
(what stands between thousands, what before decimals) is taken for the whole column, found over the
whole column: each convention under which every cell is a whole number is possible, and if two are
left that give different numbers, nothing is guessed.

Conventions:
    Between thousands stands nothing, a comma, a point, an apostrophe or a space (also the narrow
    and the non-breaking one); before decimals a point or a comma. Decimals of a count are zeros.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.cells import shown, trimmed

MAX_COUNT = 10**12
_SPACES = "[ \u00a0\u2009\u202f]"
_CLASSES = {",": ",", ".": r"\.", " ": _SPACES, "'": "['\u2019]"}
_NAMES = {",": "a comma", ".": "a point", " ": "a space", "'": "an apostrophe"}
_PLAIN = r"^[0-9]+$"
_SHAPED = "^[0-9][0-9.,'\u2019 \u00a0\u2009\u202f]*$"
_EITHER = r"^[1-9][0-9]{0,2}[.,]0{3}$"
"""What is a number of thousands and also one with three decimals."""


@dataclass(frozen=True)
class Convention:
    """How numbers of one column are written."""

    thousands: str
    """Between thousands: a comma, a point, a space, an apostrophe, or nothing."""
    decimal: str
    """Before decimals."""

    @property
    def words(self) -> str:
        """The convention for a message."""
        between = _NAMES.get(self.thousands, "nothing")
        return f"{between} between thousands, {_NAMES[self.decimal]} before decimals"

    def well_formed(self, decimals: str) -> str:
        """A pattern of the numbers of this convention, with such decimals."""
        between = _CLASSES.get(self.thousands)
        grouped = f"|[0-9]{{1,3}}(?:{between}[0-9]{{3}})+" if between else ""
        return f"^(?:[0-9]{{1,15}}{grouped})(?:{_CLASSES[self.decimal]}{decimals})?$"

    def digits(self, text: pa.Array) -> pa.Array:
        """The digits before the decimals, of cells that are whole numbers."""
        if between := _CLASSES.get(self.thousands):
            text = pc.replace_substring_regex(text, between, "")
        return pc.replace_substring_regex(text, _CLASSES[self.decimal] + ".*$", "")


PLAIN = Convention("", ".")
"""Numbers as programs write them."""
POSSIBLE = tuple(
    Convention(thousands, decimal)
    for decimal in ".,"
    for thousands in (",", ".", " ", "'")
    if thousands != decimal
)


@dataclass
class Count:
    """Numbers of plays: whole numbers from 0 to 10^12.

    Example:
        >>> values, refused = Count().parse(pa.array(["7", "7.0", "1,234", "-1", "1e30"]))
        >>> values.to_pylist()[:3], refused.tolist()
        ([7, 7, 1234], [False, False, False, True, True])
    """

    accepted: str = "a whole number from 0 to 1000000000000"
    convention: Convention | None = None
    """How the numbers are written; None to find it out from the column."""
    decimal: str | None = None
    """What the user says stands before decimals."""
    thousands_seen: bool = field(default=False, init=False)
    """Whether a number of the column has a mark between thousands."""

    def parse(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """The counts as int64, and which cells are no counts."""
        if pa.types.is_integer(cells.type):
            known = pc.fill_null(cells, 0)
            outside = pc.or_(pc.less(known, 0), pc.greater(known, MAX_COUNT))
            values = pc.if_else(outside, pa.scalar(0, known.type), known).cast(pa.int64())
            return values, _mask(cells.is_null()) | _mask(outside)
        text = trimmed(cells)
        plain = pc.match_substring_regex(text, "^[0-9]{1,15}$")
        if pc.all(plain).as_py():
            values = text.cast(pa.int64())
            return values, _mask(pc.greater(values, MAX_COUNT))
        convention = self.convention
        if convention is None:
            convention = self.found([cells]) if self.undecided(cells) else PLAIN
        whole = pc.match_substring_regex(text, convention.well_formed("0*"))
        digits = convention.digits(pc.if_else(whole, text, "0"))
        whole = pc.and_(whole, pc.less_equal(pc.utf8_length(digits), 18))
        values = pc.if_else(whole, digits, "0").cast(pa.int64())
        return values, ~_mask(whole) | _mask(pc.greater(values, MAX_COUNT))

    def explain(self, cell: str | None) -> str:
        """Why a count is refused."""
        text = (cell or "").strip()
        if not text:
            return "empty"
        if any(re.search(c.well_formed("[0-9]*"), text) for c in POSSIBLE):
            number = float(re.sub("[^0-9]", "", text) if text.isdigit() else 0)
            return "larger than any real count" if number > MAX_COUNT else "not a whole number"
        try:
            number = float(text)
        except ValueError:
            return "not a number"
        if number != number:
            return "not a number"
        if number < 0:
            return "negative"
        if number > MAX_COUNT:
            return "larger than any real count"
        return "not a whole number"

    def undecided(self, cells: pa.Array) -> bool:
        """Whether the cells hold numbers that more than one convention could read."""
        if self.convention is not None or pa.types.is_integer(cells.type):
            return False
        return bool(len(_telling(cells)))

    def found(self, columns: Iterable[pa.Array], where: str = "the column") -> Convention:
        """The one convention of a column.

        Raises:
            DataError: There are several with different numbers, or none.

        Example:
            >>> Count().found([pa.array(["1.234", "12.000"]), pa.array(["7"])]).thousands
            '.'
            >>> Count().found([pa.array(["12.000"])], "a.csv, column plays")
            Traceback (most recent call last):
            hitcore.errors.DataError: a.csv, column plays: '12.000' may be 12 (a point before
            decimals) or 12000 (a point between thousands), and no other number in it tells; say
            which with --decimal . or --decimal , (decimal= in Python)
        """
        seen = _Evidence([c for c in POSSIBLE if self.decimal in (None, c.decimal)])
        for cells in columns:
            seen.add(_telling(cells))
        convention = seen.verdict(where)
        self.thousands_seen = seen.grouped.get(convention, False)
        return convention


@dataclass
class _Evidence:
    """What the cells of a column say about each possible convention."""

    possible: list[Convention]
    malformed: dict[Convention, str] = field(default_factory=dict)
    """The first cell that a convention cannot have written."""
    fractions: dict[Convention, str] = field(default_factory=dict)
    """The first cell that is no whole number under a convention."""
    n_broken: dict[Convention, int] = field(default_factory=dict)
    """Cells that are no whole numbers under a convention."""
    grouped: dict[Convention, bool] = field(default_factory=dict)
    """Whether a cell has a mark between thousands under a convention."""
    either: str | None = None
    """A cell that is a whole number with either mark before decimals, and another one."""

    def add(self, cells: pa.Array) -> None:
        if not len(cells):
            return
        for convention in self.possible:
            well = pc.match_substring_regex(cells, convention.well_formed("[0-9]*"))
            whole = pc.match_substring_regex(cells, convention.well_formed("0*"))
            for found, fine in ((self.malformed, well), (self.fractions, whole)):
                if convention not in found and not pc.all(fine).as_py():
                    found[convention] = cells.filter(pc.invert(fine))[0].as_py()
            mark = _CLASSES[convention.thousands]
            grouped = pc.any(pc.match_substring_regex(cells, mark)).as_py()
            self.grouped[convention] = self.grouped.get(convention, False) or grouped
            broken = len(cells) - pc.sum(whole).as_py()
            self.n_broken[convention] = self.n_broken.get(convention, 0) + broken
        if self.either is None:
            either = cells.filter(pc.match_substring_regex(cells, _EITHER))
            self.either = either[0].as_py() if len(either) else None

    def verdict(self, where: str) -> Convention:
        fitting = [c for c in self.possible if c not in self.malformed]
        fewest = min((self.n_broken.get(c, 0) for c in fitting), default=0)
        best = [c for c in fitting if self.n_broken.get(c, 0) == fewest]
        torn = fewest > 0 and len({c.decimal for c in best}) > 1
        if not best or torn:
            reasons = [self.fractions[c] for c in best] if torn else self.malformed.values()
            cells = sorted(set(reasons))[:2]
            raise DataError(
                f"{where}: {' and '.join(shown(cell) for cell in cells)} are not written by one "
                "convention for thousands and decimals; write all numbers alike, best in plain "
                "digits"
            )
        if self.either is not None and len({c.decimal for c in best}) > 1:
            number = re.split("[.,]", self.either)[0]
            mark = _NAMES["." if "." in self.either else ","]
            raise DataError(
                f"{where}: {shown(self.either)} may be {number} ({mark} before decimals) or "
                f"{number}000 ({mark} between thousands), and no other number in it tells; say "
                "which with --decimal . or --decimal , (decimal= in Python)"
            )
        return best[0]


def _telling(cells: pa.Array) -> pa.Array:
    """The distinct cells that are numbers, but not in plain digits."""
    text = trimmed(cells)
    plain = pc.match_substring_regex(text, _PLAIN)
    if pc.all(plain).as_py():
        return text.slice(0, 0)
    shaped = pc.and_(pc.invert(plain), pc.match_substring_regex(text, _SHAPED))
    return pc.unique(text.filter(shaped))


def _mask(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False))

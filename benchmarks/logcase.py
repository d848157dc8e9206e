"""One case of a listening history: a log, its right plays, and what is read of it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.logexports import (
    Make,
)

Play = tuple[str, str]
"""A song and when it began (UTC), or the day and the number of plays."""
AGAIN = "the same song, listener and time as another row"
"""Why a row is left out."""
SHORT = "played for less than 30 seconds"
"""Why a row is left out, or noted."""


@dataclass(frozen=True)
class Case:
    """One log, and what reading it must give."""

    name: str
    make: Make
    plays: tuple[Play, ...] = ()
    """The right plays, in any order."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    odd: Mapping[str, int] = field(default_factory=dict)
    refused: str = ""
    """Part of the message, where the log must be refused."""
    format: str = ""
    """The format that must be found; empty: not looked at."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def expected(self) -> str:
        """In words."""
        if self.refused:
            return f"refused: {self.refused}"
        return outcome(len(self.plays), self.dropped, self.odd)


def outcome(n_plays: int, dropped: Mapping[str, int], odd: Mapping[str, int]) -> str:
    """What was read, in words."""
    left = [f"{n} left out: {reason}" for reason, n in sorted(dropped.items())]
    kept = [f"{n} noted: {reason}" for reason, n in sorted(odd.items())]
    return "; ".join([f"{n_plays} play" + "s" * (n_plays != 1), *left, *kept])


def read(case: Case, folder: Path) -> tuple[Any, list[Play]]:
    """The log of a case, and its plays."""
    import pyarrow.parquet as pq

    from hitcore.plays import read_plays

    log = read_plays(case.make(folder), **case.options)
    found: list[Play] = []
    for path in log.plays:
        for row in pq.read_table(path).to_pylist():
            if "plays" in row:
                day: date = row["date"]
                found.append((row["song_id"], f"{day} {row['plays']}"))
            else:
                found.append((row["song_id"], f"{row['listened_at']:%Y-%m-%d %H:%M:%S}"))
    return log, sorted(found)


def got(case: Case, folder: Path) -> tuple[str, bool]:
    """What reading a case gives, in words, and whether it is right."""
    from hitcore.errors import DataError

    try:
        log, found = read(case, folder)
    except DataError as error:
        right = bool(case.refused) and case.refused in str(error)
        return (f"refused: {case.refused}" if right else f"refused: {error}"), right
    words = outcome(len(found), log.report.dropped, log.report.odd)
    right = found == sorted(case.plays) and words == case.expected()
    if case.format:
        right &= log.report.format == case.format
    return words if right else f"{words}, of {log.report.format}: {found}", right

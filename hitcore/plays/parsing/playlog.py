"""What a play log becomes: canonical Parquet for the plays, one table for the songs, a report.

The problem: logs come as counts per day, as single plays or as totals, in a dozen shapes, and may
be larger than memory. All of them become the same few columns, on disk, so that DuckDB and Spark
can scan them lazily and nothing of size passes through Python.

Conventions:
    daily: `song_id` string, `date` date, `plays` int64 ≥ 0; at most one row per song and day.
        A day without a row is a day without plays.
    events: `song_id` string, `user_id` string or null, `listened_at` timestamp in UTC,
        microseconds, stored without a zone (so that an engine's session zone cannot shift it);
        one row is one play.
    totals: `song_id` string, `plays` int64 ≥ 0: plays since release, without dates. Only the
        hit score `cumulative` is defined on them.
    songs: `song_id` string, `title` string or null, `artist_ids` list of strings,
        `release_date` date or null, then what else the source knows (`language`, `gender`, …).
"""

import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

import pyarrow as pa

Kind = Literal["daily", "events", "totals"]

PLAYS_SCHEMAS: Mapping[Kind, pa.Schema] = {
    "daily": pa.schema(
        [("song_id", pa.string()), ("date", pa.date32()), ("plays", pa.int64())],
    ),
    "events": pa.schema(
        [("song_id", pa.string()), ("user_id", pa.string()), ("listened_at", pa.timestamp("us"))],
    ),
    "totals": pa.schema([("song_id", pa.string()), ("plays", pa.int64())]),
}
SONGS_SCHEMA = pa.schema(
    [
        ("song_id", pa.string()),
        ("title", pa.string()),
        ("artist_ids", pa.list_(pa.string())),
        ("release_date", pa.date32()),
    ]
)


class Scratch:
    """A folder that lives as long as something refers to this object, then is deleted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def delete(self) -> None:
        """Delete the folder now."""
        self._finalizer()


@dataclass(frozen=True)
class ReadReport:
    """What was read, what was left out, and what is odd but was kept: for showing to the user."""

    format: str
    """The reader that was used, one of `FORMATS`."""

    files: tuple[str, ...]
    """Names of the files (`archive.zip:member.csv` inside archives), in reading order."""

    n_read: int
    """Rows found in the files."""

    n_kept: int
    """Rows in `PlayLog.plays`."""

    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason. `n_read - n_kept` is their sum."""

    odd: Mapping[str, int] = field(default_factory=dict)
    """Rows or songs that were kept although something is odd about them, by reason."""

    notes: tuple[str, ...] = ()
    """What the reader had to decide or cannot know, in sentences."""

    def lines(self) -> list[str]:
        """The report as plain lines of text.

        Example:
            >>> ReadReport("xiami", ("a.csv",), 3, 2, {"skipped on an error": 1}).lines()
            ['read 3 rows of 1 file as xiami, kept 2', 'dropped 1: skipped on an error']
        """
        files = "1 file" if len(self.files) == 1 else f"{len(self.files):,} files"
        head = f"read {self.n_read:,} rows of {files} as {self.format}, kept {self.n_kept:,}"
        dropped = [f"dropped {n:,}: {reason}" for reason, n in self.dropped.items()]
        odd = [f"kept {n:,}: {reason}" for reason, n in self.odd.items()]
        return [head, *dropped, *odd, *self.notes]


@dataclass(frozen=True)
class PlayLog:
    """A play log in canonical form.

    Scan the plays with Ibis: `backend.read_parquet([str(p) for p in log.plays])`; the same paths
    serve DuckDB and Spark. The files belong to this object: unless `read_plays` was given a
    folder, or the input was canonical Parquet already, they lie in a temporary folder that is
    deleted when the last reference to this log (or to a `dataclasses.replace` of it) goes.
    """

    plays: tuple[Path, ...]
    """Parquet files of one schema, `PLAYS_SCHEMAS[kind]` (see the module's conventions)."""

    kind: Kind
    """What one row of `plays` is: a song's day, one play, or a song's total."""

    songs: pa.Table | None = field(repr=False)
    """One row per song, sorted by `song_id`, or None where the log names nothing but ids."""

    report: ReadReport
    """What was read, dropped and found odd."""

    span: tuple[date, date] | None
    """First and last day (UTC) that stand in the log; None for totals."""

    time_zone: str | None = None
    """The service's time zone, where the log says it: its times carry one and the same offset."""

    scratch: Scratch | None = field(default=None, repr=False, compare=False)
    """Keeps the temporary folder alive."""

"""Batches of canonical rows as a `PlayLog`: written to Parquet, songs gathered, checks made.

Nothing is visible until everything was read: the file gets its name when it is whole, and a
temporary folder is deleted if anything goes wrong.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hitcore.errors import DataError
from hitcore.files import replacing
from hitcore.plays.parsing.cells import shown
from hitcore.plays.parsing.duplicates import without_repeats
from hitcore.plays.parsing.playlog import PLAYS_SCHEMAS, Kind, PlayLog, ReadReport, Scratch
from hitcore.plays.parsing.reading import ARTIST_SEPARATOR, Batch, Reading

_COMPACT_ROWS = 500_000
_FEW_ROWS = 2_000_000  # counted here; starting an engine would take longer
_DAY_COLUMN = {"daily": "date", "events": "listened_at"}

Batches = Callable[[Reading], Iterator[Batch]]


def collect(batches: Batches, reading: Reading, folder: Path | None) -> PlayLog:
    """The play log that the batches make up.

    Args:
        batches: Gives the batches of a reading; called again to look up lines for a message.
        reading: Settings, and where the counts are kept.
        folder: Where `plays.parquet` goes; None for a temporary folder.

    Raises:
        DataError: There are no rows, or a song has two rows for one day.
    """
    if folder is not None:
        return _collect(batches, reading, folder, None)
    scratch = Scratch(Path(tempfile.mkdtemp(prefix="hitcore-plays-")))
    try:
        return _collect(batches, reading, scratch.folder, scratch)
    except BaseException:
        scratch.delete()
        raise


def _collect(batches: Batches, reading: Reading, folder: Path, scratch: Scratch | None) -> PlayLog:
    target = folder / "plays.parquet"
    songs, gathered = _Songs(), _Gathered()
    with ExitStack() as stack:
        temporary: Path | None = None
        for batch in batches(reading):
            gathered.add(batch, reading)
            songs.add(batch.songs)
            if batch.stored is None:
                if temporary is None:
                    temporary = stack.enter_context(replacing(target))
                    schema = PLAYS_SCHEMAS[batch.kind]
                    writer = stack.enter_context(_writer(temporary, schema))
                writer.write_table(batch.plays)
        if gathered.kind is None or gathered.n_rows == 0:
            raise _empty(reading)
        if temporary is not None:
            writer.close()
        written = [temporary] if temporary is not None else []
        _refuse_twice(batches, reading, gathered.kind, [*gathered.stored, *written])
        if gathered.kind == "events":
            files = [*gathered.stored, *written]
            with tempfile.TemporaryDirectory(prefix=".once-", dir=folder) as aside:
                once, n_again = without_repeats(files, Path(aside), reading)
                if once is not None:
                    if temporary is None:
                        temporary = stack.enter_context(replacing(target))
                    once.replace(temporary)
                    written, gathered.stored = [temporary], []
                    gathered.n_rows -= n_again
    table = songs.table(reading)
    if table is not None and gathered.last_day is not None:
        gathered.report_late_releases(table, reading)
    return PlayLog(
        plays=(*gathered.stored, target) if written else tuple(gathered.stored),
        kind=gathered.kind,
        songs=table,
        report=_report(reading, gathered.n_rows),
        span=gathered.span,
        time_zone=_zone(reading),
        scratch=scratch if written else None,
    )


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Counts and instants seldom repeat; a dictionary of them would cost more than it saves."""
    repeated = [name for name in schema.names if name not in ("plays", "listened_at")]
    return pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=repeated)


class _Gathered:
    """What is summed up over all batches."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.n_rows = 0
        self.first_day: date | None = None
        self.last_day: date | None = None
        self.stored: list[Path] = []

    @property
    def span(self) -> tuple[date, date] | None:
        if self.first_day is None or self.last_day is None:
            return None
        return self.first_day, self.last_day

    def add(self, batch: Batch, reading: Reading) -> None:
        if self.kind not in (None, batch.kind):
            raise DataError(
                f"{batch.file} holds {batch.kind} rows, the files before it {self.kind}; "
                "read them one at a time"
            )
        self.kind = batch.kind
        self.n_rows += batch.plays.num_rows
        if batch.stored is not None and batch.stored not in self.stored:
            self.stored.append(batch.stored)
        column = _DAY_COLUMN.get(batch.kind)
        if column is None or not batch.plays.num_rows:
            return
        days = batch.plays[column].cast(pa.date32(), safe=False)
        ends = pc.min_max(days).as_py()
        self.first_day = min(ends["min"], self.first_day or ends["min"])
        self.last_day = max(ends["max"], self.last_day or ends["max"])
        if batch.songs is not None and "release_date" in batch.songs.schema.names:
            early = pc.sum(pc.less(days, batch.songs["release_date"])).as_py()
            if early:
                reading.odd["plays dated before the song's release"] += early

    def report_late_releases(self, songs: pa.Table, reading: Reading) -> None:
        late = pc.sum(pc.greater(songs["release_date"], pa.scalar(self.last_day))).as_py()
        if late:
            reading.odd["songs released after the last day of the log"] += late


class _Songs:
    """The distinct things that were said about songs."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._pending = 0

    def add(self, songs: pa.Table | None) -> None:
        if songs is None or not songs.num_rows:
            return
        self._parts.append(_distinct(songs))
        self._pending += self._parts[-1].num_rows
        if self._pending > _COMPACT_ROWS:
            self._compact()

    def table(self, reading: Reading) -> pa.Table | None:
        """One row per song: of each column the first value that is not null."""
        if not self._parts:
            return None
        self._compact()
        rows = self._parts[0]
        names = [name for name in rows.schema.names if name != "song_id"]
        grouped = rows.group_by("song_id", use_threads=False)
        wanted = [(name, "first") for name in names] + [(name, "count_distinct") for name in names]
        merged = grouped.aggregate(wanted).sort_by("song_id")
        several = np.zeros(merged.num_rows, bool)
        for name in names:
            several |= merged[f"{name}_count_distinct"].to_numpy() > 1
        if several.any():
            reading.odd["songs described in more than one way; the first is used"] += int(
                several.sum()
            )
        return songs_table(
            {"song_id": merged["song_id"]} | {n: merged[f"{n}_first"] for n in names}
        )

    def _compact(self) -> None:
        whole = pa.concat_tables(self._parts, promote_options="default")
        self._parts = [_distinct(whole)]
        self._pending = 0


def songs_table(columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    """A table of `SONGS_SCHEMA` and further columns; artists come as one separated string."""
    n = len(columns["song_id"])
    artists = columns.pop("artist_ids", None)
    if artists is None:
        listed = pa.array([[]] * n, pa.list_(pa.string()))
    else:
        listed = pc.split_pattern(artists.combine_chunks(), ARTIST_SEPARATOR)
        listed = pc.coalesce(listed, pa.scalar([], pa.list_(pa.string())))
    title = columns.pop("title", None)
    release = columns.pop("release_date", None)
    return pa.table(
        {
            "song_id": columns.pop("song_id"),
            "title": pa.nulls(n, pa.string()) if title is None else title,
            "artist_ids": listed,
            "release_date": pa.nulls(n, pa.date32()) if release is None else release,
            **columns,
        }
    )


def _distinct(songs: pa.Table) -> pa.Table:
    return songs.group_by(songs.schema.names, use_threads=False).aggregate([])


def _refuse_twice(batches: Batches, reading: Reading, kind: Kind, paths: Sequence[Path]) -> None:
    """One row per song and day (or per song, for totals), or an error that names two places."""
    keys = {"daily": ["song_id", "date"], "totals": ["song_id"]}.get(kind)
    if keys is None:
        return
    found = _repeated(paths, keys)
    if found is None:
        return
    song_id, day = found["song_id"], found.get("date")
    first, second = _places(batches, reading.again(), song_id, day)
    what = f"song {shown(song_id)}" + (f" on {day}" if day else "")
    raise DataError(
        f"{second}: {what} was counted already at {first}; a song may have one row per "
        f"{'day' if day else 'file'}: add them up, or leave one out"
    )


def _repeated(paths: Sequence[Path], keys: list[str]) -> dict[str, Any] | None:
    """The first key that stands in more than one row, if any."""
    if sum(pq.read_metadata(path).num_rows for path in paths) <= _FEW_ROWS:
        table = pa.concat_tables(
            [pq.read_table(path, columns=keys) for path in paths], promote_options="permissive"
        )
        counted = table.group_by(keys).aggregate([([], "count_all")])
        twice = counted.filter(pc.greater(counted["count_all"], 1))
        order = [(key, "ascending") for key in keys]
        found = twice.sort_by(order).slice(0, 1).select(keys).to_pylist()
    else:
        import ibis  # as slow to import as all the rest together, and rarely needed

        engine = ibis.duckdb.connect(memory_limit="2GB")
        try:
            grouped = engine.read_parquet([str(path) for path in paths]).group_by(keys)
            repeated = grouped.agg(n=ibis._.count()).filter(ibis._.n > 1).order_by(keys)
            found = repeated[keys].limit(1).to_pyarrow().to_pylist()
        finally:
            engine.disconnect()
    return found[0] if found else None


def _places(batches: Batches, again: Reading, song_id: str, day: date | None) -> list[str]:
    places: list[str] = []
    for batch in batches(again):
        same = pc.equal(batch.plays["song_id"], song_id)
        if day is not None:
            same = pc.and_(same, pc.equal(batch.plays["date"], pa.scalar(day, pa.date32())))
        hits = np.flatnonzero(same.to_numpy())
        places += [f"{batch.file}, {batch.place(int(batch.numbers[i]))}" for i in hits[:2]]
        if len(places) >= 2:
            break
    return places[:2]


def _empty(reading: Reading) -> DataError:
    names = ", ".join(reading.files[:3]) or "the path"
    dropped = "; ".join(f"{n:,} dropped: {reason}" for reason, n in reading.dropped.items())
    return DataError(f"{names}: no plays in it" + (f" ({dropped})" if dropped else " (0 rows)"))


def _zone(reading: Reading) -> str | None:
    """The one zone in which all times were given, unless that is UTC, which says nothing."""
    zone = next(iter(reading.offsets)) if len(reading.offsets) == 1 else ""
    return zone if zone not in ("", "UTC") else None


def _report(reading: Reading, n_kept: int) -> ReadReport:
    return ReadReport(
        format=reading.format,
        files=tuple(reading.files),
        n_read=reading.n_read,
        n_kept=n_kept,
        dropped=dict(reading.dropped),
        odd=dict(reading.odd),
        notes=tuple(reading.notes),
    )

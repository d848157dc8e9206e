"""Identical events are one event: the same listener, song and time, wherever they stand.

The problem: exports overlap. Two downloads of a listening history share all but the last weeks, a
file is appended to twice, a service repeats a listen with another time of insertion; read as they
are, such plays count twice. One person does not begin one song twice at one moment, so the second
row says nothing new. Where a log names no listeners, two rows alike may well be two people, and
nothing is left out.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hitcore.plays.parsing.reading import Reading

FEW_ROWS = 2_000_000  # compared here; starting an engine would take longer
REASON = "the same song, listener and time as another row"
_KEYS = ["song_id", "user_id", "listened_at"]


def without_repeats(
    files: Sequence[Path], folder: Path, reading: Reading
) -> tuple[Path | None, int]:
    """The events of some files with each repeated one left out once it was seen.

    Args:
        files: Parquet files of events.
        folder: Where the result goes.
        reading: Says which events are one, and is told how many were left out.

    Returns:
        The file of the events that stay and how many were left out; None and 0 where there are
        none to leave out.
    """
    if reading.duplicates == "keep":
        return None, 0
    small = sum(pq.read_metadata(file).num_rows for file in files) <= FEW_ROWS
    target = folder / "plays.parquet"
    n_again = (_here if small else _on_the_engine)(files, target, reading)
    if not n_again:
        return None, 0
    reading.dropped[REASON] += n_again
    return target, n_again


def _here(files: Sequence[Path], target: Path, reading: Reading) -> int:
    shared = _at_shared_moments(files)
    if not shared.any():
        return 0
    table = pa.concat_tables([pq.read_table(file) for file in files], promote_options="permissive")
    candidates = table.filter(pa.array(shared))
    named = np.asarray(pc.is_valid(candidates["user_id"]).to_numpy())
    rows = np.ones(len(named), bool) if reading.duplicates == "all" else named
    places = np.flatnonzero(shared)[rows]
    keyed = candidates.filter(pa.array(rows)).append_column("row", pa.array(places))
    kept = keyed.group_by(_KEYS).aggregate([("row", "min")])["row_min"].to_numpy()
    n_again = len(places) - len(kept)
    if n_again:
        stay = np.ones(len(table), bool)
        stay[places] = False
        stay[kept] = True
        pq.write_table(table.filter(pa.array(stay)), target, compression="snappy")
    if not rows.all():
        _note_alike(candidates.filter(pa.array(~rows)), reading)
    return n_again


def _at_shared_moments(files: Sequence[Path]) -> np.ndarray:
    """Which rows have the time of another row: only these can be repeats."""
    columns = [pq.read_table(file, columns=["listened_at"])["listened_at"] for file in files]
    moments = np.concatenate([column.cast(pa.int64()).to_numpy() for column in columns])
    ordered = np.sort(moments)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(moments, np.unique(shared))


def _note_alike(table: pa.Table, reading: Reading) -> None:
    """Say how many rows of unknown listeners are alike."""
    n_alike = len(table) - len(table.group_by(["song_id", "listened_at"]).aggregate([]))
    if n_alike:
        reading.odd["the same song and time as another row, of listeners that are not named"] += (
            n_alike
        )


def _on_the_engine(files: Sequence[Path], target: Path, reading: Reading) -> int:
    # As slow to import as all the rest together, and rarely needed.
    from hitcore.plays.queryengines import fetched, opened

    with opened() as engine:
        table = engine.read_parquet([str(file) for file in files])
        every = reading.duplicates == "all"
        keyed = table if every else table.filter(table.user_id.notnull())
        once = keyed.distinct()
        n_rows, n_once = (
            fetched(rows.agg(n=rows.count())).to_pylist()[0]["n"] for rows in (keyed, once)
        )
        n_again = int(n_rows - n_once)
        if n_again:
            stay = once if every else once.union(table.filter(table.user_id.isnull()))
            engine.to_parquet(stay, target, compression="snappy")
    return n_again

"""From play logs to hit scores: what share of all plays each song had, a fixed time after release.

`hitcore.plays.definitions` says what a hit score is, as Ibis expressions. Here they run over logs:
on DuckDB in this process, bounded in memory and spilling to disk, or unchanged on Spark.

Only shares leave: no function here returns play counts, as the paper's data agreement asks.

References:
    Section 3 of the paper.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hitcore.errors import DataError, ParameterError
from hitcore.files import replacing
from hitcore.plays.definitions import (
    DEFAULT_DEFINITION,
    Definition,
    daily_totals,
    dated_rows,
    kind_of,
    once,
    score_expression,
    share_expression,
)
from hitcore.plays.parsing.archives import Progress
from hitcore.plays.parsing.reading import OnError
from hitcore.plays.queryengines import Backend, fetched, memory_table, opened, parquet_table
from hitcore.plays.readers import PlayLog, read_plays, read_songs
from hitcore.plays.tables import SongHolder, checked_plays, checked_songs
from hitcore.plays.timezones import in_zone, zone_of

Plays: TypeAlias = "PlayLog | Sequence[Path] | pd.DataFrame | pa.Table | ir.Table"
"""A log: from `hitcore.plays.readers`, Parquet files, or a table; the columns are said in
`hitcore.plays.definitions`."""
Songs: TypeAlias = "SongHolder | pd.DataFrame | pa.Table | ir.Table | None"
"""The songs to score, `song_id, release_date`; None where the log brings its own."""


def read_log(
    plays: Sequence[str | os.PathLike[str]],
    songs: str | os.PathLike[str] | None = None,
    format: str | None = None,
    *,
    mapping: Mapping[str, str | int] | None = None,
    on_error: OnError = "raise",
    keep_duplicates: bool | None = None,
    decimal: str | None = None,
    progress: Progress | None = None,
) -> tuple[PlayLog, pa.Table | None]:
    """A play log and the songs to score with it, from files.

    Args:
        plays: Files of one log.
        songs: A table of songs; None, or a file of `plays`, for the songs that the log brings.
        format: Of the log; None to find out from its content.
        mapping: As in `hitcore.plays.readers.read_plays`, as the following ones.
        on_error: "raise" or "skip".
        keep_duplicates: Whether repeated events all count.
        decimal: "." or ",", where a column of counts cannot tell.
        progress: Called with the bytes read and the bytes there are.

    Raises:
        DataError: as `read_plays` and `read_songs`.
    """
    log = read_plays(
        list(plays),
        format,
        mapping=mapping,
        on_error=on_error,
        keep_duplicates=keep_duplicates,
        decimal=decimal,
        progress=progress,
    )
    if songs is None or any(_same_file(songs, path) for path in plays):
        return log, log.songs
    return log, read_songs(songs)


def _same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def hit_scores(
    plays: Plays,
    songs: Songs = None,
    definition: str = DEFAULT_DEFINITION,
    time_zone: str = "UTC",
    backend: Backend = None,
    *,
    keep_duplicates: bool = False,
) -> pd.DataFrame:
    """The table `song_id, hit_score`, sorted by song; NaN where the score is undefined.

    Args:
        plays: The log.
        songs: The songs to score, each once; None for the songs that the log brings.
        definition: day:N, window:A-B, retention30 or cumulative.
        time_zone: Of the service, in which the days of single plays are cut; `PlayLog.time_zone`
            where the log says its own. Daily counts have their days already.
        backend: "duckdb" (or None), "spark", or an open Ibis backend.
        keep_duplicates: Whether all events count in a table that names listeners (`user_id`)
            where some have the same listener, song and time; without it they are one. What
            `read_plays` read was looked through there.

    Raises:
        ParameterError: an unknown definition, time zone or backend.
        DataError: a table lacks a column, names a song twice, or has nothing in it.

    Example:
        >>> plays = pd.DataFrame({"song_id": ["a", "b", "b"], "plays": [1, 3, 2],
        ...     "date": pd.to_datetime(["2024-03-01", "2024-03-01", "2024-03-03"])})
        >>> songs = pd.DataFrame({"song_id": ["a", "b"],
        ...     "release_date": pd.to_datetime(["2024-02-29", "2024-03-03"])})
        >>> hit_scores(plays, songs, "day:1")
          song_id  hit_score
        0       a       0.25
        1       b        NaN

    References:
        Section 3 of the paper.
    """
    wanted = Definition.parse(definition)
    with _tables(plays, songs, time_zone, backend, keep_duplicates) as (log, catalogue):
        table = fetched(score_expression(log, catalogue, wanted))
    frame: pd.DataFrame = table.to_pandas().astype({"song_id": "str", "hit_score": "float64"})
    return frame


def daily_shares(
    plays: Plays,
    song_ids: Sequence[str] | None = None,
    time_zone: str = "UTC",
    backend: Backend = None,
    *,
    keep_duplicates: bool = False,
) -> pd.DataFrame:
    """The table `song_id, date, share`, sorted; days on which a song was not played are absent.

    Args:
        plays: The log.
        song_ids: The songs wanted; None for all. The shares are of all plays in any case.
        time_zone: As in `hit_scores`.
        backend: As in `hit_scores`.
        keep_duplicates: As in `hit_scores`.

    Raises:
        DataError: the log has no dates, lacks a column, or has nothing in it.

    Example:
        >>> plays = pd.DataFrame({"song_id": ["a", "b"], "plays": [1, 3],
        ...     "date": pd.to_datetime(["2024-03-01", "2024-03-01"])})
        >>> daily_shares(plays).share.tolist()
        [0.25, 0.75]
    """
    with _tables(plays, None, time_zone, backend, keep_duplicates, songs_needed=False) as (log, _):
        shares = share_expression(log)
        if song_ids is not None:
            shares = shares.filter(shares.song_id.isin(list(song_ids)))
        table = fetched(shares.order_by(["song_id", "date"]))
    frame: pd.DataFrame = table.to_pandas().astype({"song_id": "str", "share": "float64"})
    return frame.assign(date=pd.to_datetime(frame["date"]).astype("datetime64[us]"))


def write_scores(scores: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table of scores or shares as CSV or Parquet, by the suffix; whole or not at all.

    An undefined score is an empty cell (CSV) or null (Parquet). Ids stand in the file as they are,
    those that begin with = or - too, so that they are found again by what reads it; a spreadsheet
    may take such a cell for a formula.

    Raises:
        ParameterError: the suffix is neither .csv nor .parquet.
        DataError: the file cannot be written there.

    Example:
        >>> import tempfile
        >>> table = pd.DataFrame({"song_id": ["=cmd()"], "hit_score": [float("nan")]})
        >>> write_scores(table, Path(tempfile.mkdtemp()) / "a.csv").read_text().split()
        ['song_id,hit_score', '=cmd(),']
    """
    target = check_scores_path(path)
    try:
        with replacing(target) as temporary:
            if target.suffix.lower() == ".csv":
                scores.to_csv(temporary, index=False)
            else:
                pq.write_table(pa.Table.from_pandas(scores, preserve_index=False), temporary)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def check_scores_path(path: str | os.PathLike[str]) -> Path:
    """The path, if `write_scores` knows its suffix.

    Raises:
        ParameterError: the suffix is neither .csv nor .parquet.
    """
    target = Path(path)
    if target.suffix.lower() not in (".csv", ".parquet"):
        raise ParameterError(f"{target.name}: scores are written as .csv or .parquet")
    return target


# --- tables --------------------------------------------------------------------------------------


@contextmanager
def _tables(
    plays: Plays,
    songs: Songs,
    time_zone: str,
    backend: Backend,
    keep_duplicates: bool,
    songs_needed: bool = True,
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """The log, by the service's clock, and the songs, as tables of one engine, for a block."""
    zone = zone_of(time_zone)
    with ExitStack() as stack:
        given = next((t for t in (plays, songs) if isinstance(t, ir.Table)), None)
        engine = stack.enter_context(
            opened(given.get_backend() if given is not None and backend is None else backend)
        )
        if isinstance(plays, PlayLog):
            log = stack.enter_context(parquet_table(engine, plays.plays))
            songs = plays.songs if songs is None else songs
        elif isinstance(plays, Sequence):
            log = stack.enter_context(parquet_table(engine, plays))
        elif isinstance(plays, ir.Table):
            log = plays
        else:
            log = stack.enter_context(memory_table(engine, checked_plays(plays)))
        if kind_of(log.columns) == "events":
            told_apart = "user_id" in log.columns and not isinstance(plays, PlayLog)
            if told_apart and not keep_duplicates:
                log = once(log)
            log = in_zone(log, zone)
        if not songs_needed:
            yield log, log
        elif isinstance(songs, ir.Table):
            yield log, songs
        else:
            yield log, stack.enter_context(memory_table(engine, checked_songs(songs)))


@dataclass(frozen=True)
class ScoreReport:
    """How many songs have a score, why the others have none, and what in the log is odd."""

    definition: str
    first_day: date | None
    """First day of the log; None for totals."""
    last_day: date | None
    """Last day of the log; None for totals."""
    n_songs: int
    """Songs asked for."""
    n_defined: int
    """Songs with a score."""
    n_zero: int
    """Songs whose score is 0: nobody played them on the days in question."""
    n_released_in_log: int
    """Songs released inside the log."""
    n_defined_released_in_log: int
    """Songs released inside the log with a score; the other defined ones were released before."""
    n_released_after_log: int
    """Songs dated after the log's end."""
    n_without_release_date: int
    n_too_early: int
    """Undefined because the days asked for begin before the log does."""
    n_too_late: int
    """Undefined because the days asked for end after the log does (songs dated after it too)."""
    n_rows_before_release: int
    """Rows dated before their song's release: in the totals and in no day's or window's score."""
    n_songs_before_release: int
    """Songs with such rows."""
    n_songs_unknown: int
    """Songs of the log that are not among the songs asked for: in the totals, not scored."""
    n_days_without_plays: int
    """Days inside the log on which nobody played anything; every share is 0 there."""
    time_zone: str = "UTC"
    """In which the days of single plays were cut."""

    def lines(self) -> list[str]:
        """The report as plain lines of text; what does not occur is left out."""
        span = f"; the log runs from {self.first_day} to {self.last_day}" if self.first_day else ""
        early = _counted(self.n_rows_before_release, "row")
        whose = _counted(self.n_songs_before_release, "song")
        before = "like all others" if self.definition == "cumulative" else "in the totals only"
        counted = {
            f"undefined: {self.definition} begins before the log does": self.n_too_early,
            f"undefined: {self.definition} ends after the log does": self.n_too_late,
            "undefined: no release date": self.n_without_release_date,
            "dated after the end of the log": self.n_released_after_log,
            "with a score of 0 (not played then)": self.n_zero,
            "of the log not in the table of songs: plays count in the totals": self.n_songs_unknown,
        }
        lines = [f"{_counted(n, 'song')} {text}" for text, n in counted.items() if n]
        if self.n_rows_before_release:
            lines.append(f"{early} ({whose}) dated before the song's release: count {before}")
        if self.n_days_without_plays:
            lines.append(
                f"{_counted(self.n_days_without_plays, 'day')} inside the log without plays"
            )
        if self.time_zone != "UTC":
            lines.append(f"days of single plays are those of the time zone {self.time_zone}")
        head = f"{self.definition} is defined for {self.n_defined:,} of {self.n_songs:,} songs"
        return [head + span, *lines]


def _counted(n: int, noun: str) -> str:
    """A number with its noun, in the singular where it is one."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def score_report(
    plays: Plays,
    songs: Songs = None,
    definition: str = DEFAULT_DEFINITION,
    time_zone: str = "UTC",
    backend: Backend = None,
    *,
    keep_duplicates: bool = False,
) -> ScoreReport:
    """What `hit_scores` of the same arguments leaves undefined, and what in the log is odd.

    Raises:
        ParameterError, DataError: as `hit_scores`.

    Example:
        >>> plays = pd.DataFrame({"song_id": ["a", "b"], "plays": [1, 3],
        ...     "date": pd.to_datetime(["2024-03-01", "2024-03-01"])})
        >>> songs = pd.DataFrame({"song_id": ["a"], "release_date": pd.to_datetime(["2024-03-02"])})
        >>> print(*score_report(plays, songs, "day:0").lines(), sep=chr(10))
        day:0 is defined for 0 of 1 songs; the log runs from 2024-03-01 to 2024-03-01
        1 song undefined: day:0 ends after the log does
        1 song dated after the end of the log
        1 song of the log not in the table of songs: plays count in the totals
        1 row (1 song) dated before the song's release: count in the totals only
    """
    wanted = Definition.parse(definition)
    with _tables(plays, songs, time_zone, backend, keep_duplicates) as (log, catalogue):
        scores = fetched(score_expression(log, catalogue, wanted))
        releases = fetched(catalogue.select("song_id", "release_date")).to_pandas()
        dated = kind_of(log.columns) != "totals"
        in_log = fetched(_oddities(log, catalogue) if dated else _unknown(log, catalogue))
        days = fetched(daily_totals(log)).to_pandas() if dated else None
    scored = releases.merge(scores.to_pandas(), on="song_id")
    report = _report(wanted, scored, in_log.to_pylist()[0], days)
    return replace(report, time_zone=time_zone)


def _oddities(plays: ir.Table, songs: ir.Table) -> ir.Table:
    """One row: counts of early rows, of songs that have them, and of unknown songs."""
    rows = dated_rows(plays, "a report").select("song_id", "date")
    known = songs.select(known_id=songs.song_id, released=songs.release_date.cast("date"))
    joined = rows.left_join(known, rows.song_id == known.known_id)
    per_song = joined.group_by("song_id").agg(
        early=joined.date.count(where=joined.date < joined.released),
        known=joined.known_id.max(),
    )
    return per_song.agg(
        rows=per_song.early.sum(),
        songs=per_song.count(where=per_song.early > 0),
        unknown=per_song.count(where=per_song.known.isnull()),
    )


def _unknown(plays: ir.Table, songs: ir.Table) -> ir.Table:
    """The same for totals, which have no dates to be early by."""
    strangers = plays.select("song_id").distinct().anti_join(songs, "song_id")
    return strangers.agg(rows=ibis.literal(0), songs=ibis.literal(0), unknown=strangers.count())


def _report(
    wanted: Definition, scored: pd.DataFrame, in_log: Mapping[str, int], days: pd.DataFrame | None
) -> ScoreReport:
    score, released = scored["hit_score"], pd.to_datetime(scored["release_date"])
    defined = score.notna()
    log_days = pd.to_datetime(days["date"]) if days is not None else pd.Series([pd.NaT])
    start, end = log_days.min(), log_days.max()
    early = late = inside = pd.Series(False, index=scored.index)
    if days is not None:
        inside = released.between(start, end)
        if wanted.first_day is not None and wanted.last_day is not None:
            late = released + pd.Timedelta(days=wanted.last_day) > end
            early = (released + pd.Timedelta(days=wanted.first_day) < start) & ~late
    played = days is not None and int((days["total"] > 0).sum())
    return ScoreReport(
        definition=wanted.name,
        first_day=start.date() if days is not None else None,
        last_day=end.date() if days is not None else None,
        n_songs=len(scored),
        n_defined=int(defined.sum()),
        n_zero=int((score == 0).sum()),
        n_released_in_log=int(inside.sum()),
        n_defined_released_in_log=int((inside & defined).sum()),
        n_released_after_log=int((released > end).sum()),
        n_without_release_date=int(released.isna().sum()),
        n_too_early=int(early.sum()),
        n_too_late=int(late.sum()),
        n_rows_before_release=int(in_log["rows"] or 0),
        n_songs_before_release=int(in_log["songs"] or 0),
        n_songs_unknown=int(in_log["unknown"] or 0),
        n_days_without_plays=(end - start).days + 1 - played if days is not None else 0,
    )

"""What a hit score is: each definition as one Ibis expression over any engine's tables.

Raw counts favour old songs (they had longer to collect) and busy days (everything is played more).
A share of the day's plays at a fixed age does not.

Conventions:
    share: plays of a song on a day / plays of all songs on that day. A day without a row for the
        song is a share of 0, also a day inside the log on which nobody played anything.
    the log: every day from its first to its last. A definition that asks for a day outside it has
        no value (null), which is not a value of 0.
    day:N: the share on the Nth day after the release (day 0 is the release day).
    window:A-B: the mean of the daily shares from day A to day B, both included, all of which lie
        inside the log. `retention30` is `window:30-59`.
    cumulative: plays of a song in the whole log / all plays in the log, whatever the release
        dates say; they sum to 1 over all songs of the log.

Plays dated before their song's release count towards the day's total, for they were played, but
never towards a `day` or `window` score of that song. Plays of songs that are not in the table of
songs count towards the totals too.

A table of plays has the columns `song_id, date, plays` (daily counts), `song_id, listened_at`
(events, one play each), `song_id, date, share` (daily shares: what leaves a service that keeps its
counts, as the paper's did) or `song_id, plays` (totals); several rows of one song and day add up.
Events may have `user_id`: those of one listener, song and time are one play then. Where nobody is
named, each row is one.
From shares, `cumulative` is the mean share of all days of the log: how busy each day was is lost.

References:
    Section 3 of the paper: daily market share, the 60th day. Its reference [4]: cumulative counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import ibis
import ibis.expr.types as ir

from hitcore.errors import DataError, ParameterError

Kind = Literal["daily", "events", "shares", "totals"]

DEFAULT_DEFINITION = "day:60"
MAX_DAYS = 36_500
PLAYS_COLUMNS: dict[Kind, tuple[str, ...]] = {
    "daily": ("song_id", "date", "plays"),
    "events": ("song_id", "listened_at"),
    "shares": ("song_id", "date", "share"),
    "totals": ("song_id", "plays"),
}
"""The columns that each kind of log needs."""
_ALIASES = {"retention30": "window:30-59"}


@dataclass(frozen=True)
class Definition:
    """What a hit score is: the mean share over days after release, or the share of all plays.

    Example:
        >>> Definition.parse("retention30")
        Definition(name='retention30', first_day=30, last_day=59)
    """

    name: str
    """As the user writes it."""
    first_day: int | None
    """First day of the window after the release; None for `cumulative`."""
    last_day: int | None
    """Last day of the window, included; None for `cumulative`."""

    @classmethod
    def parse(cls, text: str) -> "Definition":
        """The definition that a text stands for: day:N, window:A-B, retention30 or cumulative.

        Raises:
            ParameterError: the text is none of these, or a day is beyond 100 years.

        Example:
            >>> Definition.parse("day:60").last_day
            60
        """
        if text == "cumulative":
            return cls(text, None, None)
        found = re.fullmatch(r"day:(\d{1,6})|window:(\d{1,6})-(\d{1,6})", _ALIASES.get(text, text))
        if not found:
            raise ParameterError(
                f"hit score definition {text!r} is unknown: day:N (as day:60), window:A-B (as "
                "window:30-59), retention30 and cumulative are allowed"
            )
        first, last = int(found[1] or found[2] or 0), int(found[1] or found[3] or 0)
        if first > last or last > MAX_DAYS:
            raise ParameterError(
                f"hit score definition {text!r}: its days must rise and lie within 0 to {MAX_DAYS}"
            )
        return cls(text, first, last)

    @property
    def n_days(self) -> int:
        """How many days the window has; 0 for `cumulative`."""
        if self.first_day is None or self.last_day is None:
            return 0
        return self.last_day - self.first_day + 1


# --- the expressions -----------------------------------------------------------------------------


def score_expression(plays: ir.Table, songs: ir.Table, definition: Definition) -> ir.Table:
    """The table `song_id, hit_score` as an expression over any backend's tables.

    Args:
        plays: Daily counts, events or totals.
        songs: One row per song, `song_id, release_date`.
        definition: What the hit score is.

    Raises:
        DataError: the log has no dates and the definition needs them.

    Example:
        >>> plays = ibis.table({"song_id": "string", "date": "date", "plays": "int64"}, "plays")
        >>> songs = ibis.table({"song_id": "string", "release_date": "date"}, "songs")
        >>> score_expression(plays, songs, Definition.parse("day:60")).schema().names
        ('song_id', 'hit_score')
    """
    kind_of(plays.columns)
    if definition.first_day is None or definition.last_day is None:
        return _cumulative_expression(plays, songs)
    rows = dated_rows(plays, definition.name)
    totals = daily_totals(plays)
    windows = _windows(songs, definition.first_day, definition.last_day)
    # A window of one day joins on equality, which engines hash, not on a range.
    days = (
        [rows.date == windows.first]
        if definition.n_days == 1
        else [rows.date >= windows.first, rows.date <= windows.last]
    )
    own = rows.join(windows, [rows.song_id == windows.song_id, *days])
    if "share" not in own.columns:
        own = own.group_by([own.song_id, own.date]).agg(plays=_n_plays(own)).join(totals, "date")
        own = own.mutate(share=own.plays.cast("float64") / own.total.nullif(0).cast("float64"))
    sums = own.group_by("song_id").agg(share=own.share.sum())
    scored = windows.cross_join(_span(totals)).left_join(sums, "song_id")
    inside = (scored.first >= scored.log_start) & (scored.last <= scored.log_end)
    mean = scored.share.fill_null(0.0) / float(definition.n_days)
    hit_score = ibis.ifelse(inside, mean, ibis.null("float64"))
    return scored.select("song_id", hit_score=hit_score).order_by("song_id")


def share_expression(plays: ir.Table) -> ir.Table:
    """The table `song_id, date, share`, one row per song and day on which it was played.

    Raises:
        DataError: the log has no dates.
    """
    rows = dated_rows(plays, "a daily share")
    if "share" in rows.columns:
        daily = rows.group_by(["song_id", "date"]).agg(share=rows.share.sum())
        return daily.filter(daily.share > 0)
    daily = rows.group_by(["song_id", "date"]).agg(plays=_n_plays(rows))
    daily = daily.filter(daily.plays > 0).join(daily_totals(plays), "date")
    share = daily.plays.cast("float64") / daily.total.cast("float64")
    return daily.select("song_id", "date", share=share)


def _cumulative_expression(plays: ir.Table, songs: ir.Table) -> ir.Table:
    if kind_of(plays.columns) == "shares":
        span = _span(daily_totals(plays))
        n_days = span.log_end.delta(span.log_start, unit="day") + 1
        own, total = (
            plays.group_by("song_id").agg(plays=plays.share.sum()),
            span.select(total=n_days),
        )
    else:
        own = plays.group_by("song_id").agg(plays=_n_plays(plays))
        total = plays.agg(total=_n_plays(plays))
    scored = songs.select("song_id").left_join(own, "song_id").cross_join(total)
    share = scored.plays.fill_null(0).cast("float64") / scored.total.nullif(0).cast("float64")
    return scored.select("song_id", hit_score=share).order_by("song_id")


def kind_of(columns: Sequence[str]) -> Kind:
    """Which kind of log has these columns.

    Raises:
        DataError: none has.

    Example:
        >>> kind_of(["song_id", "user_id", "listened_at"])
        'events'
    """
    for kind, needed in PLAYS_COLUMNS.items():
        if set(needed) <= set(columns):
            return kind
    raise DataError(
        "a table of plays needs the columns song_id, date, plays (daily counts), or song_id, "
        "listened_at (events), or song_id, date, share (daily shares), or song_id, plays "
        f"(totals); this one has {', '.join(columns)}"
    )


def dated_rows(plays: ir.Table, purpose: str) -> ir.Table:
    """The rows of a log with their day: `song_id, date` and `plays` or `share` unless events.

    Raises:
        DataError: the log has no dates, which `purpose` needs.
    """
    kind = kind_of(plays.columns)
    if kind == "totals":
        raise DataError(
            f"this log holds totals without dates, and {purpose} needs daily plays: use the "
            "definition cumulative, or give a log with dates"
        )
    if kind == "events":
        return plays.select("song_id", date=plays.listened_at.date())
    measure = "share" if kind == "shares" else "plays"
    return plays.select("song_id", measure, date=plays.date.cast("date"))


def once(events: ir.Table) -> ir.Table:
    """Single plays with those of one known listener, song and time taken for one.

    Args:
        events: Has `song_id, user_id, listened_at`; other columns are left out.
    """
    rows = events.select("song_id", "user_id", "listened_at")
    named = rows.filter(rows.user_id.notnull()).distinct()
    return named.union(rows.filter(rows.user_id.isnull()), distinct=False)


def _n_plays(rows: ir.Table) -> ir.NumericScalar:
    """How many plays the rows of a group stand for: each event is one."""
    if "share" in rows.columns:
        return rows.share.sum()
    return rows.plays.sum().cast("int64") if "plays" in rows.columns else rows.count()


def daily_totals(plays: ir.Table) -> ir.Table:
    """The table `date, total`: all plays (or shares) of each day that stands in the log.

    Raises:
        DataError: the log has no dates.
    """
    # Its own projection of the log: were it shared with the songs' rows, engines would keep a
    # copy of the whole log instead of scanning it twice.
    rows = dated_rows(plays, "a daily total").drop("song_id")
    return rows.group_by("date").agg(total=_n_plays(rows))


def _span(totals: ir.Table) -> ir.Table:
    return totals.agg(log_start=totals.date.min(), log_end=totals.date.max())


def _windows(songs: ir.Table, first_day: int, last_day: int) -> ir.Table:
    """For each song the first and last calendar day that its score looks at."""
    released = songs.release_date.cast("date")
    return songs.select(
        "song_id",
        first=(released + ibis.interval(days=first_day)).cast("date"),
        last=(released + ibis.interval(days=last_day)).cast("date"),
    )

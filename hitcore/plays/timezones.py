"""The day on which something was played, as the service counts days.

A service dates its releases by its own calendar, and a log of single plays is in UTC. Where the
service is east of Greenwich, a play of its early morning is a play of the day before in UTC: in
UTC+8, everything before 08:00. Then the 60th day after the release is cut eight hours too early.
So the moments of a log become the service's wall clock before days are cut.

Conventions:
    A zone is an IANA name (`Asia/Taipei`) or a fixed offset from UTC (`+08:00`, `UTC+8`).
    Logs of daily counts have days already; a zone changes nothing about them.

The same expression runs on every engine: offsets come from the zone database of Python, not from
the engine, whose functions for zones differ.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import ibis.expr.types as ir

from hitcore.errors import ParameterError
from hitcore.plays.queryengines import fetched

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-5][0-9]))?")
_DAY = timedelta(days=1)


def zone_of(name: str) -> tzinfo:
    """The time zone of that name.

    Raises:
        ParameterError: there is none.

    Example:
        >>> zone_of("Asia/Taipei"), zone_of("UTC+8")
        (zoneinfo.ZoneInfo(key='Asia/Taipei'), datetime.timezone(datetime.timedelta(seconds=28800)))
    """
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if found := _OFFSET.fullmatch(name.upper()):
        hours, minutes = int(found[2]), int(found[3] or 0)
        if hours <= 14:
            offset = timedelta(hours=hours, minutes=minutes)
            return timezone(offset if found[1] == "+" else -offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ParameterError(
            f"time zone {name[:40]!r} is unknown: give an IANA name (as Asia/Taipei), an offset "
            "(as +08:00) or UTC"
        ) from error


def offsets_within(
    zone: tzinfo, first: datetime, last: datetime
) -> list[tuple[datetime | None, timedelta]]:
    """The offsets of a zone from UTC, each with the moment (UTC) at which it ends.

    The end of the last one is None. Moments carry no zone, as those of a canonical log.

    Example:
        >>> year = datetime(2024, 1, 1), datetime(2024, 7, 1)
        >>> for until, offset in offsets_within(ZoneInfo("Europe/Berlin"), *year):
        ...     print(until, offset)
        2024-03-31 01:00:00 1:00:00
        None 2:00:00
    """
    found: list[tuple[datetime | None, timedelta]] = []
    moment, offset = first, _offset(zone, first)
    while moment < last:
        later = min(moment + _DAY, last)
        if _offset(zone, later) != offset:
            change = _change(zone, moment, later)
            found.append((change, offset))
            offset, later = _offset(zone, change), change
        moment = later
    return [*found, (None, offset)]


def in_zone(events: ir.Table, zone: tzinfo) -> ir.Table:
    """A log of single plays with `listened_at` as the wall clock of the zone shows it.

    Args:
        events: Has the column `listened_at`, in UTC.
        zone: Of the service.
    """
    if zone is UTC:
        return events
    moment = events.listened_at
    if isinstance(zone, timezone):
        return events.mutate(listened_at=_shifted(moment, zone.utcoffset(None)))
    span = fetched(events.agg(first=moment.min(), last=moment.max())).to_pylist()[0]
    if span["first"] is None:
        return events
    first, last = (span[name].replace(tzinfo=None) for name in ("first", "last"))
    offsets = offsets_within(zone, first, last)
    local = _shifted(moment, offsets[-1][1])
    earlier = [
        (moment < ibis.literal(until, type="timestamp"), _shifted(moment, offset))
        for until, offset in offsets[:-1]
        if until is not None
    ]
    if earlier:
        local = ibis.cases(*earlier, else_=local)
    return events.mutate(listened_at=local)


def _shifted(moment: ir.TimestampValue, offset: timedelta) -> ir.TimestampValue:
    return moment + ibis.interval(seconds=round(offset.total_seconds()))


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.replace(tzinfo=UTC).astimezone(zone).utcoffset() or timedelta()


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The second at which the offset changes between two moments with different ones."""
    old = _offset(zone, before)
    before = before.replace(microsecond=0)
    seconds = range(int((after - before).total_seconds()) + 2)
    low, high = seconds[0], seconds[-1]
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + timedelta(seconds=middle)) == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)

"""Days of single plays, as the service counts them."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitcore.errors import ParameterError
from hitcore.plays.hitscores import daily_shares, hit_scores, score_report
from hitcore.plays.queryengines import opened
from hitcore.plays.timezones import offsets_within, zone_of


def events(*rows: tuple[str, str]) -> pd.DataFrame:
    """Single plays of rows (song, moment in UTC)."""
    table = pd.DataFrame(list(rows), columns=["song_id", "listened_at"])
    return table.assign(listened_at=pd.to_datetime(table["listened_at"], format="ISO8601"))


# A service in UTC+8 that dates releases by its own calendar. Day 60 after 1 January 2017 is
# 2 March: there from 1 March 16:00 to 2 March 16:00 in UTC.
TAIPEI = events(
    ("other", "2016-12-31 17:00"),
    ("hit", "2017-03-01 15:59:59"),  # 1 March 23:59:59 in Taipei: too early by a second
    ("hit", "2017-03-01 16:00:00"),  # 2 March 00:00
    ("hit", "2017-03-01 23:30:00"),  # 2 March 07:30, a commuter's play
    ("other", "2017-03-02 15:59:59"),  # 2 March 23:59:59
    ("other", "2017-03-02 16:00:00"),  # 3 March: too late
    ("other", "2017-03-02 20:00:00"),
    ("other", "2017-03-03 20:00:00"),
)
SONGS = pd.DataFrame({"song_id": ["hit"], "release_date": pd.to_datetime(["2017-01-01"])})


@pytest.mark.parametrize("zone", ["Asia/Taipei", "+08:00", "UTC+8"])
def test_day_60_of_a_service_in_utc_plus_8(zone: str) -> None:
    local = hit_scores(TAIPEI, SONGS, "day:60", zone)["hit_score"].tolist()
    utc = hit_scores(TAIPEI, SONGS, "day:60")["hit_score"].tolist()
    assert local == [2 / 3]
    assert utc == [0.0]  # of the three plays of 2 March in UTC none is of the song


def test_the_log_runs_by_the_services_days_too() -> None:
    report = score_report(TAIPEI, SONGS, "day:60", "Asia/Taipei")
    assert (report.first_day, report.last_day) == (date(2017, 1, 1), date(2017, 3, 4))
    assert "time zone Asia/Taipei" in report.lines()[-1]
    assert score_report(TAIPEI, SONGS).first_day == date(2016, 12, 31)


def test_daily_counts_have_their_days_already() -> None:
    daily = pd.DataFrame({"song_id": ["a"], "date": [pd.Timestamp("2024-01-01")], "plays": [1]})
    assert daily_shares(daily, time_zone="Asia/Taipei").equals(daily_shares(daily))


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kolkata", "-09:30"]
)
def test_days_are_those_of_pandas(zone: str) -> None:
    """Summer time, half hours, and the day that Samoa left out (30 December 2011)."""
    rng = np.random.default_rng(3)
    start, n = pd.Timestamp("2011-01-01"), 20_000
    moments = start + pd.to_timedelta(rng.integers(0, 2 * 365 * 86_400, n), unit="s")
    table = pd.DataFrame({"song_id": "a", "listened_at": moments})
    found = daily_shares(table, time_zone=zone)["date"]
    known = "Etc/GMT+9" if zone[0] == "-" else zone
    shifted = moments if zone[0] != "-" else moments - pd.Timedelta(minutes=30)
    local = shifted.tz_localize("UTC").tz_convert(known).tz_localize(None).normalize()
    assert found.tolist() == sorted(set(local))


@pytest.mark.spark
@pytest.mark.parametrize("zone", ["Asia/Taipei", "Europe/Berlin"])
def test_spark_cuts_the_same_days(zone: str, spark: ibis.BaseBackend) -> None:
    moments = pd.date_range("2024-03-29 20:30", "2024-04-02", freq="37min")
    table = pd.DataFrame({"song_id": "a", "listened_at": moments})
    ours = daily_shares(table, time_zone=zone)
    pd.testing.assert_frame_equal(daily_shares(table, time_zone=zone, backend=spark), ours)


@cache
def offsets_of(zone: str) -> list[tuple[datetime | None, timedelta]]:
    return offsets_within(ZoneInfo(zone), datetime(1995, 1, 1), datetime(2035, 1, 1))


@given(
    moment=st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Dili"]),
)
def test_offsets_are_those_of_the_zone_at_every_moment(moment: datetime, zone: str) -> None:
    found = next(offset for until, offset in offsets_of(zone) if until is None or moment < until)
    assert found == moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()


def test_changes_are_found_to_the_second() -> None:
    offsets = offsets_within(ZoneInfo("Europe/Berlin"), datetime(2024, 1, 1), datetime(2025, 1, 1))
    hour = timedelta(hours=1)
    assert offsets == [
        (datetime(2024, 3, 31, 1), hour),
        (datetime(2024, 10, 27, 1), 2 * hour),
        (None, hour),
    ]


@pytest.mark.parametrize("name", ["", "Mars", "+15:00", "+8:75", "../etc/passwd", "UTC+", "a" * 99])
def test_unknown_zones(name: str) -> None:
    with pytest.raises(ParameterError, match=r"time zone .* is unknown: give an IANA name"):
        zone_of(name)


def test_tables_can_be_made_on_the_engine() -> None:
    """What the pinned ibis, sqlglot and DuckDB do together, which newer sqlglot breaks."""
    with opened() as engine:
        for name, temporary in (("kept", False), ("passing", True)):
            given = pa.table({"x": [1, 2]})
            table = engine.create_table(name, given, temp=temporary, overwrite=True)
            assert table.x.sum().to_pyarrow().as_py() == 3

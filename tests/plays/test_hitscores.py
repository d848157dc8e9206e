"""Hit scores against pandas, against closed forms, against each other's engines, and their laws."""

from datetime import date, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitcore.catalogue.songs import Catalogue, Song
from hitcore.errors import DataError, ParameterError
from hitcore.plays.definitions import Definition, score_expression
from hitcore.plays.hitscores import daily_shares, hit_scores, score_report
from hitcore.plays.readers import PlayLog, read_plays

DEFINITIONS = ["day:60", "day:0", "window:10-40", "retention30", "cumulative"]
START = pd.Timestamp("2016-01-01")


def log_of(*rows: tuple[str, int, int]) -> pd.DataFrame:
    """A log of rows (song, day, plays)."""
    table = pd.DataFrame(list(rows), columns=["song_id", "day", "plays"])
    return table.assign(date=START + pd.to_timedelta(table["day"], unit="D"))


def songs_of(**days: int | None) -> pd.DataFrame:
    """Songs with the day of their release."""
    dates = [pd.NaT if day is None else START + pd.Timedelta(days=day) for day in days.values()]
    return pd.DataFrame({"song_id": list(days), "release_date": pd.to_datetime(dates)})


def scores_of(plays: object, songs: object, definition: str, backend: object = None) -> dict:
    table = hit_scores(plays, songs, definition, backend=backend)
    return dict(zip(table["song_id"], table["hit_score"], strict=True))


def generated_log(n_songs: int = 60, n_days: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    appeal = rng.lognormal(0, 2, n_songs)
    plays = rng.poisson(appeal[:, None] * rng.uniform(0.5, 2, n_days))
    song, day = np.nonzero(plays)
    names = np.array([f"s{i:03}" for i in range(n_songs)])
    return log_of(*zip(names[song], day.tolist(), plays[song, day].tolist(), strict=True))


def generated_songs(n_songs: int = 60, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return songs_of(**{f"s{i:03}": int(rng.integers(-80, 130)) for i in range(n_songs)})


def pandas_scores(plays: pd.DataFrame, songs: pd.DataFrame, definition: str) -> pd.Series:
    """The same figures the slow way: a full table of days by songs, looked up song by song."""
    table = plays.pivot_table(
        index="date", columns="song_id", values="plays", aggfunc="sum", fill_value=0
    )
    if definition == "cumulative":
        shares = table.sum() / table.to_numpy().sum()
        return shares.reindex(songs["song_id"]).fillna(0.0)
    days = pd.date_range(plays["date"].min(), plays["date"].max())
    shares = table.div(table.sum(axis=1), axis=0).reindex(days).fillna(0.0)
    parsed = Definition.parse(definition)
    scores = {}
    for song, release in songs[["song_id", "release_date"]].itertuples(index=False):
        wanted = [release + timedelta(days=d) for d in range(parsed.first_day, parsed.last_day + 1)]
        if not all(day in shares.index for day in wanted):
            scores[song] = np.nan
        else:
            scores[song] = shares.loc[wanted, song].mean() if song in shares else 0.0
    return pd.Series(scores)


@pytest.fixture(scope="session")
def xiami_frame(shared: Path) -> pd.DataFrame:
    """The log as pandas reads it, without our readers."""
    frame = pd.read_csv(
        shared / "data" / "plays" / "ali_music_song_daily.csv.gz", dtype={"song_id": str}
    )
    frame["date"] = pd.to_datetime(frame["date"].astype(str), format="%Y%m%d")
    frame["release_date"] = pd.to_datetime(frame["publish_time"].astype(str), format="%Y%m%d")
    return frame


@pytest.fixture(scope="session")
def xiami(shared: Path) -> PlayLog:
    return read_plays(shared / "data" / "plays" / "ali_music_song_daily.csv.gz")


class TestXiami:
    """The real log: the independent computation agrees, and the dirt is counted."""

    def test_day_60(self, xiami: PlayLog, xiami_frame: pd.DataFrame) -> None:
        songs = xiami_frame.drop_duplicates("song_id").set_index("song_id")
        target = songs["release_date"] + pd.Timedelta(days=60)
        totals = xiami_frame.groupby("date")["plays"].sum()
        keyed = xiami_frame.set_index(["song_id", "date"])["plays"]
        found = hit_scores(xiami, definition="day:60").set_index("song_id")["hit_score"]
        assert len(found) == 8460
        assert int(found.notna().sum()) == 307
        inside = target.between(totals.index.min(), totals.index.max())
        assert set(found.index[found.notna()]) == set(target.index[inside])
        for song, day in target[inside].items():
            expected = keyed.get((song, day), 0) / totals[day]
            assert found[song] == pytest.approx(expected, rel=1e-12, abs=0)

    def test_retention_and_cumulative(self, xiami: PlayLog, xiami_frame: pd.DataFrame) -> None:
        daily = xiami_frame.rename(columns={})[["song_id", "date", "plays"]]
        songs = xiami_frame.drop_duplicates("song_id")[["song_id", "release_date"]]
        for definition in ("retention30", "cumulative"):
            expected = pandas_scores(daily, songs, definition).sort_index()
            found = hit_scores(xiami, definition=definition).set_index("song_id")["hit_score"]
            np.testing.assert_array_equal(found.index, expected.index)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)

    def test_report(self, xiami: PlayLog, xiami_frame: pd.DataFrame) -> None:
        report = score_report(xiami)
        assert (report.first_day, report.last_day) == (date(2015, 3, 1), date(2015, 8, 30))
        assert (report.n_songs, report.n_defined) == (8460, 307)
        assert (report.n_released_in_log, report.n_defined_released_in_log) == (235, 218)
        assert report.n_released_after_log == 22
        assert report.n_too_early + report.n_too_late + report.n_defined == 8460
        early = xiami_frame[xiami_frame["date"] < xiami_frame["release_date"]]
        assert report.n_rows_before_release == len(early) == 3351
        assert report.n_songs_before_release == early["song_id"].nunique()
        assert report.n_songs_unknown == report.n_days_without_plays == 0
        assert "3,351" in "\n".join(report.lines())

    def test_daily_shares(self, xiami: PlayLog, xiami_frame: pd.DataFrame) -> None:
        found = daily_shares(xiami)
        per_day = found.groupby("date")["share"].sum()
        assert len(per_day) == 183
        np.testing.assert_allclose(per_day, 1.0, rtol=1e-12)
        song = xiami_frame["song_id"].mode()[0]
        own = xiami_frame[xiami_frame["song_id"] == song].set_index("date")["plays"]
        expected = (own / xiami_frame.groupby("date")["plays"].sum()).dropna()
        one = daily_shares(xiami, [song]).set_index("date")["share"]
        np.testing.assert_allclose(one, expected[expected > 0].sort_index(), rtol=1e-12)

    @pytest.mark.spark
    def test_spark_gives_the_same(self, xiami: PlayLog, spark: ibis.BaseBackend) -> None:
        ours, theirs = hit_scores(xiami), hit_scores(xiami, backend=spark)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


class TestSemantics:
    def test_no_row_is_zero_and_outside_is_undefined(self) -> None:
        plays = log_of(("a", 0, 1), ("b", 0, 3), ("b", 5, 2), ("a", 10, 4))
        songs = songs_of(a=0, b=0, never=0, early=-1, late=6, after=50, unknown=None)
        scores = scores_of(plays, songs, "day:5")
        assert scores == pytest.approx(
            {
                "a": 0.0,
                "after": np.nan,
                "b": 1.0,
                "early": 0.0,
                "late": np.nan,
                "never": 0.0,
                "unknown": np.nan,
            },
            nan_ok=True,
        )
        assert scores_of(plays, songs_of(a=-6), "day:5") == pytest.approx(
            {"a": np.nan}, nan_ok=True
        )

    def test_the_log_reaches_from_its_first_to_its_last_day(self) -> None:
        plays = log_of(("x", 3, 0), ("x", 5, 1), ("x", 9, 0))
        days = {day: scores_of(plays, songs_of(s=day), "day:0")["s"] for day in (2, 3, 7, 9, 10)}
        assert [day for day, score in days.items() if not np.isnan(score)] == [3, 7, 9]

    def test_a_window_must_lie_inside_the_log(self) -> None:
        plays = log_of(("a", 0, 1), ("a", 1, 1), ("b", 1, 1), ("b", 3, 9))
        scores = scores_of(plays, songs_of(a=0, b=1), "window:0-2")
        assert scores == {"a": pytest.approx((1 + 0.5 + 0) / 3), "b": pytest.approx(1.5 / 3)}
        assert np.isnan(scores_of(plays, songs_of(a=2), "window:0-2")["a"])
        assert np.isnan(scores_of(plays, songs_of(a=-1), "window:0-2")["a"])

    def test_plays_before_the_release_count_in_the_total_alone(self) -> None:
        plays = log_of(("a", 0, 30), ("b", 0, 10), ("a", 2, 1))
        songs = songs_of(a=1, b=0)
        assert scores_of(plays, songs, "day:0") == {"a": 0.0, "b": 0.25}
        report = score_report(plays, songs, "day:0")
        assert (report.n_rows_before_release, report.n_songs_before_release) == (1, 1)

    def test_songs_without_a_row_in_songs_count_in_the_total_alone(self) -> None:
        plays = log_of(("a", 0, 1), ("stranger", 0, 3))
        assert scores_of(plays, songs_of(a=0), "day:0") == {"a": 0.25}
        assert score_report(plays, songs_of(a=0), "day:0").n_songs_unknown == 1

    def test_cumulative_shares_of_all_songs_sum_to_1(self) -> None:
        plays = generated_log()
        scores = hit_scores(plays, songs_of(**dict.fromkeys(plays["song_id"])), "cumulative")
        assert scores["hit_score"].sum() == pytest.approx(1.0, abs=1e-12)

    def test_one_play_in_all_is_the_whole_share(self) -> None:
        assert scores_of(log_of(("a", 0, 1)), songs_of(a=0), "cumulative") == {"a": 1.0}

    def test_of_a_log_of_shares_the_shares_of_a_day_are_those_said(self) -> None:
        table = log_of(("a", 0, 1), ("a", 0, 1), ("b", 0, 1), ("b", 1, 1), ("c", 0, 1))
        table = table.drop(columns="plays").assign(share=[0.25, 0.125, 0.5, 0.75, 0.0])
        days = daily_shares(table)
        assert days.song_id.tolist() == ["a", "b", "b"], "a day without a play is absent"
        assert days.share.tolist() == [0.375, 0.5, 0.75]

    def test_totals_have_no_shares_of_a_day(self) -> None:
        totals = pd.DataFrame({"song_id": ["a", "b"], "plays": [1, 3]})
        with pytest.raises(DataError, match="a daily share"):
            daily_shares(totals)

    def test_totals_serve_cumulative_only(self) -> None:
        totals = pd.DataFrame({"song_id": ["a", "b"], "plays": [1, 3]})
        songs = songs_of(a=0, b=None, c=None)
        assert scores_of(totals, songs, "cumulative") == {"a": 0.25, "b": 0.75, "c": 0.0}
        report = score_report(totals, songs, "cumulative")
        assert (report.n_defined, report.first_day, report.n_songs_unknown) == (3, None, 0)
        for attempt in (hit_scores, score_report):
            with pytest.raises(DataError, match="totals without dates"):
                attempt(totals, songs, "day:60")
        with pytest.raises(DataError, match="totals without dates"):
            daily_shares(totals)

    def test_events_are_plays(self) -> None:
        plays = generated_log(10, 20)
        repeated = plays.loc[plays.index.repeat(plays["plays"])]
        seconds = np.random.default_rng(0).integers(0, 86_400, len(repeated))
        events = pd.DataFrame(
            {
                "song_id": repeated["song_id"],
                "listened_at": repeated["date"] + pd.to_timedelta(seconds, unit="s"),
            }
        )
        songs = generated_songs(10)
        for definition in ("day:3", "window:1-5", "cumulative"):
            pd.testing.assert_frame_equal(
                hit_scores(events, songs, definition), hit_scores(plays, songs, definition)
            )

    def test_a_day_belongs_to_utc_whatever_the_session_zone(self) -> None:
        at = datetime(2024, 1, 1, 23, 59, 59)
        events = pa.table({"song_id": ["a"], "listened_at": pa.array([at], pa.timestamp("us"))})
        assert daily_shares(events)["date"].tolist() == [pd.Timestamp("2024-01-01")]

    def test_days_without_any_plays_are_counted(self) -> None:
        plays = log_of(("a", 0, 1), ("a", 2, 0), ("a", 4, 1))
        report = score_report(plays, songs_of(a=1), "day:0")
        assert report.n_days_without_plays == 3
        assert (report.n_defined, report.n_zero) == (1, 1)

    def test_a_catalogue_serves_as_songs(self) -> None:
        catalogue = Catalogue.from_songs([Song("a", release_date=START.date())])
        scores = hit_scores(log_of(("a", 0, 1)), catalogue, "day:0")
        assert catalogue.scored(scores).hit_scores.tolist() == [1.0]

    def test_a_log_that_ends_before_any_60th_day(self) -> None:
        report = score_report(log_of(("a", 0, 1), ("a", 30, 1)), songs_of(a=0), "day:60")
        assert (report.n_defined, report.n_too_late) == (0, 1)


class TestAgainstPandas:
    @pytest.mark.parametrize("definition", DEFINITIONS)
    def test_generated_log(self, definition: str) -> None:
        plays, songs = generated_log(), generated_songs()
        expected = pandas_scores(plays, songs, definition)
        found = hit_scores(plays, songs, definition).set_index("song_id")["hit_score"]
        np.testing.assert_allclose(found[expected.index], expected, rtol=1e-12, atol=0)
        if definition != "cumulative":
            assert 0 < found.isna().sum() < len(found)


small_logs = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 9), st.integers(0, 1000)),
    min_size=1,
    max_size=40,
)


class TestLaws:
    songs = songs_of(a=0, b=1, c=2, d=-3, e=8)

    @settings(max_examples=15, deadline=None)
    @given(small_logs)
    def test_shares_of_a_day_sum_to_1(self, rows: list[tuple[str, int, int]]) -> None:
        shares = daily_shares(log_of(*rows))
        np.testing.assert_allclose(shares.groupby("date")["share"].sum(), 1.0, rtol=1e-12)
        assert shares["share"].between(0, 1).all()

    @settings(max_examples=10, deadline=None)
    @given(small_logs, st.integers(1, 10**6), st.integers(0, 99))
    @pytest.mark.parametrize("definition", ["day:1", "window:0-3", "cumulative"])
    def test_scale_and_order_do_not_matter(
        self, definition: str, rows: list[tuple[str, int, int]], factor: int, seed: int
    ) -> None:
        plays = log_of(*rows)
        other = plays.assign(plays=plays["plays"] * factor).sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(
            hit_scores(other, self.songs, definition),
            hit_scores(plays, self.songs, definition),
            rtol=1e-12,
            atol=0,
        )

    @settings(max_examples=10, deadline=None)
    @given(small_logs)
    def test_renaming_an_unrelated_song(self, rows: list[tuple[str, int, int]]) -> None:
        renamed = [("z=cmd()" if song == "e" else song, day, n) for song, day, n in rows]
        songs = self.songs[self.songs["song_id"] != "e"]
        pd.testing.assert_frame_equal(
            hit_scores(log_of(*rows), songs, "day:1"),
            hit_scores(log_of(*renamed), songs, "day:1"),
        )

    def test_splitting_over_files(self, tmp_path: Path) -> None:
        plays = generated_log(20, 90)
        columns = ["song_id", "date", "plays"]
        plays[columns].to_csv(tmp_path / "whole.csv", index=False)
        (tmp_path / "parts").mkdir()
        for month, part in plays.groupby(plays["date"].dt.month):
            part[columns].to_csv(tmp_path / "parts" / f"{month}.csv", index=False)
        whole, parts = read_plays(tmp_path / "whole.csv"), read_plays(tmp_path / "parts")
        assert len(parts.report.files) == 3
        songs = generated_songs(20)
        pd.testing.assert_frame_equal(hit_scores(whole, songs), hit_scores(parts, songs))


@pytest.mark.spark
class TestSpark:
    def test_same_table_and_report_on_the_same_input(self, spark: ibis.BaseBackend) -> None:
        plays = generated_log(200, 120)
        songs = pd.concat([generated_songs(200), songs_of(nameless=None, stranger=10)])
        for definition in ("window:10-40", "cumulative"):
            ours, theirs = (
                hit_scores(plays, songs, definition, backend=engine) for engine in ("duckdb", spark)
            )
            pd.testing.assert_frame_equal(ours, theirs, rtol=1e-12, atol=0)
        assert score_report(plays, songs) == score_report(plays, songs, backend=spark)

    def test_several_files_of_events(self, tmp_path: Path, spark: ibis.BaseBackend) -> None:
        rows = [f"s{i % 7},2024-01-{1 + i % 28:02}T23:30:00Z" for i in range(300)]
        for part in range(2):
            text = "\n".join(["song_id,listened_at", *rows[part::2], ""])
            (tmp_path / f"{part}.csv").write_text(text)
        log = read_plays(tmp_path)
        assert log.kind == "events"
        pd.testing.assert_frame_equal(daily_shares(log), daily_shares(log, backend=spark))


class TestRefusals:
    @pytest.mark.parametrize(
        "text",
        ["", "day", "day:", "day:-1", "day:1.5", "day:36501", "window:5-3", "window:1", "Day:60"],
    )
    def test_unknown_definitions(self, text: str) -> None:
        with pytest.raises(ParameterError, match="hit score definition"):
            Definition.parse(text)

    @pytest.mark.parametrize(
        ("plays", "message"),
        [
            (pd.DataFrame({"song": ["a"]}), "needs the columns"),
            (log_of().astype({"plays": "int64"}), "no rows"),
            (log_of(("a", 0, -1)), "negative"),
            (log_of(("a", 0, 1)).assign(plays=1.5), "plays"),
            (log_of(("a", 0, 1)).assign(plays=1e30), "plays"),
            (log_of(("a", 0, 1)).assign(plays="1,234"), "plays"),
            (log_of(("a", 0, 1)).assign(song_id=None), "song_id"),
            (log_of(("a", 0, 1)).assign(date="30 Feb"), "date"),
            (log_of(("a", 0, 1)).assign(date=START + pd.Timedelta(hours=1)), "date"),
        ],
    )
    def test_tables_that_are_no_log(self, plays: pd.DataFrame, message: str) -> None:
        with pytest.raises(DataError, match=message):
            hit_scores(plays, songs_of(a=0), "day:0")

    @pytest.mark.parametrize(
        ("songs", "message"),
        [
            (None, "names no songs"),
            (pd.DataFrame({"song_id": ["a"]}), "release_date"),
            (pd.concat([songs_of(a=0), songs_of(a=1)]), "'a'"),
            (songs_of(a=0).assign(song_id=None), "no song_id"),
            (songs_of(a=0).assign(release_date="soon"), "release_date"),
        ],
    )
    def test_tables_that_are_no_songs(self, songs: pd.DataFrame | None, message: str) -> None:
        with pytest.raises(DataError, match=message):
            hit_scores(log_of(("a", 0, 1)), songs, "day:0")

    def test_unknown_engines(self) -> None:
        with pytest.raises(ParameterError, match="duckdb, spark"):
            hit_scores(log_of(("a", 0, 1)), songs_of(a=0), "day:0", backend="oracle")


def test_only_shares_leave() -> None:
    """No public result carries a number of plays."""
    plays, songs = log_of(("a", 0, 12_345), ("b", 0, 54_321)), songs_of(a=0, b=0)
    tables = [hit_scores(plays, songs, "day:0"), daily_shares(plays)]
    assert [list(t.columns) for t in tables] == [
        ["song_id", "hit_score"],
        ["song_id", "date", "share"],
    ]
    numbers = [v for v in vars(score_report(plays, songs, "day:0")).values() if isinstance(v, int)]
    assert max(numbers) == 2


def test_one_expression_for_all_engines() -> None:
    """The expression is bound to no engine: the tables decide."""
    plays = ibis.table({"song_id": "string", "listened_at": "timestamp"}, "plays")
    songs = ibis.table({"song_id": "string", "release_date": "date"}, "songs")
    expression = score_expression(plays, songs, Definition.parse("day:60"))
    for dialect in ("duckdb", "postgres", "snowflake"):
        assert "hit_score" in ibis.to_sql(expression, dialect=dialect)


class TestShares:
    """Daily shares instead of counts: all that a service lets out."""

    def test_same_scores_as_from_the_counts(self) -> None:
        plays, songs = generated_log(), generated_songs()
        shares = daily_shares(plays)
        for definition in ("day:60", "window:10-40"):
            pd.testing.assert_frame_equal(
                hit_scores(shares, songs, definition),
                hit_scores(plays, songs, definition),
                rtol=1e-12,
                atol=0,
            )
        pd.testing.assert_frame_equal(daily_shares(shares), shares)

    def test_cumulative_is_the_mean_share_of_all_days(self, tmp_path: Path) -> None:
        shares = daily_shares(log_of(("a", 0, 1), ("b", 0, 3), ("b", 3, 5)))
        shares.to_parquet(tmp_path / "shares.parquet")
        scores = scores_of([tmp_path / "shares.parquet"], songs_of(a=0, b=0), "cumulative")
        assert scores == {"a": 0.25 / 4, "b": 1.75 / 4}

    def test_refuses_what_is_no_share(self) -> None:
        shares = log_of(("a", 0, 1)).assign(share=1.5).drop(columns="plays")
        with pytest.raises(DataError, match="outside 0 to 1"):
            daily_shares(shares)

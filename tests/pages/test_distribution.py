"""The Distribution page: what its pictures and figures say, and the page itself."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from benchmarks.logexports import stream
from hitcore.catalogue.songs import Catalogue, transform_target
from hitcore.catalogue.workspace import Workspace
from hitcore.plays.hitscores import ScoreReport
from hitcore.plays.longtail import long_tail
from hitcore.plays.tailfits import fit_log_normal, fit_power_law
from ui.distribution import charts as distributioncharts
from ui.distribution import choices, ownlog, songdays, studies
from ui.frame import loaders

PAGE = Path(__file__).resolve().parents[2] / "pages" / "distribution.py"
START = pd.Timestamp("2016-01-01")
N_SONGS = 80


def long_tailed(n: int = N_SONGS) -> pd.DataFrame:
    """Plays of songs of which exactly 87.5 % are below the mean on their 60th day."""
    hits, tail = 400 + 40 * np.arange(n // 8), 2 + np.arange(n - n // 8)
    plays = np.concatenate([tail, hits])
    rows = [
        (f"s{song:03}", START + pd.Timedelta(days=day), count if day == 60 else 1 + song % 5)
        for song, count in enumerate(plays)
        for day in (0, 30, 60, 90)
    ]
    return pd.DataFrame(rows, columns=["song_id", "date", "plays"])


def songs_table(n: int = N_SONGS) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "song_id": [f"s{song:03}" for song in range(n)],
            "title": [f"Song {song}" if song % 7 else "=cmd() <b>*x*</b>" for song in range(n)],
            "artist": [f"Artist {song % 20}" for song in range(n)],
            "artist_ids": [[f"a{song % 20}"] for song in range(n)],
            "genre": ["pop" if song % 2 else "folk" for song in range(n)],
            "release_date": START,
        }
    )


def make_workspace(folder: Path, *, shares_only: bool = False) -> Path:
    workspace = Workspace.create(folder)
    plays = long_tailed()
    Catalogue(songs_table()).write(workspace.songs)
    if shares_only:
        workspace.daily_shares.mkdir()
        shares = plays.assign(
            share=plays["plays"] / plays.groupby("date")["plays"].transform("sum")
        )
        shares[["song_id", "date", "share"]].to_parquet(workspace.daily_shares / "part-0.parquet")
        # What a killed writer left.
        (workspace.daily_shares / ".part-0.0123456789ab.part.parquet").write_bytes(b"half")
    else:
        plays.to_parquet(folder / "plays.parquet")
    return folder


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loaders, "DEMO", tmp_path / "absent")
    for cached in (loaders.demo_workspace, loaders.catalogue, studies.demo_study, studies.scored):
        cached.clear()


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = make_workspace(tmp_path / "demo")
    monkeypatch.setattr(loaders, "DEMO", folder)
    return folder


def run(**query: str) -> AppTest:
    app = AppTest.from_file(str(PAGE), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def figures_of(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def expected_scores() -> pd.Series:
    plays = long_tailed()
    day = plays[plays["date"] == START + pd.Timedelta(days=60)].set_index("song_id")["plays"]
    return day / day.sum()


def test_empty_asks_for_a_log() -> None:
    app = run()
    assert not app.exception
    assert not app.error
    assert "Bring a play log" in app.info[-1].value
    assert not app.metric


def test_the_papers_figures_on_screen(demo: Path) -> None:
    app = run()
    assert not app.exception
    assert not app.error
    expected = expected_scores()
    assert (expected < expected.mean()).mean() == 0.875
    figures = figures_of(app)
    assert figures["Songs below the mean"] == "87.5 %"
    assert figures["Rank of the mean"] == "10"
    assert figures["Gini coefficient"] == f"{long_tail(expected).gini:.3f}"
    table = app.dataframe(key="songs-table").value
    assert list(table["rank"]) == list(range(1, N_SONGS + 1))
    ranked = expected.sort_values(ascending=False)
    np.testing.assert_allclose(table["share (ppm)"] / 1e6, ranked, rtol=1e-12)
    assert list(table["song_id"]) == list(ranked.index)
    assert len(app.get("vega_lite_chart")) == 5


def test_daily_shares_serve_as_well_as_plays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loaders, "DEMO", make_workspace(tmp_path / "demo", shares_only=True))
    app = run(song="s000")
    assert not app.exception
    assert figures_of(app)["Songs below the mean"] == "87.5 %"


def test_definition_filter_and_fold_change_the_page(demo: Path) -> None:
    app = run()
    app.slider(key="day").set_value(30).run()
    assert app.query_params["hit"] == "day:30"
    assert figures_of(app)["Songs below the mean"] != "87.5 %"
    app.button_group(key="kind").set_value("cumulative").run()
    assert not app.exception
    assert app.query_params["hit"] == "cumulative"
    app.button_group(key="kind").set_value("window").run()
    assert any("days 30-59" in caption.value.replace("\\", "") for caption in app.caption)
    app.button_group(key="kind").set_value("day").run()
    app.slider(key="day").set_value(60).run()
    app.button_group(key="only-genre").set_value(["pop"]).run()
    assert len(app.dataframe(key="songs-table").value) == N_SONGS // 2
    app.slider(key="fold").set_value(3).run()
    assert any("Test fold 3" in text.value for text in app.markdown)
    assert not app.exception


def test_artists_are_looked_up_and_switched_off_again() -> None:
    def page() -> None:
        import streamlit as st

        from tests.pages.test_distribution import songs_table
        from ui.distribution import choices

        chosen = choices.choose_songs(songs_table())["artist"].unique()
        st.session_state["artists"] = sorted(chosen)

    app = AppTest.from_function(page).run()
    everybody = app.session_state["artists"]
    assert len(everybody) > choices.MOST_PILLS
    for name in ("Artist 3", "Artist 11"):
        app.selectbox(key="only-artist-new").set_value(name).run()
        assert app.selectbox(key="only-artist-new").value is None
    assert app.session_state["artists"] == ["Artist 11", "Artist 3"]
    app.button_group(key="only-artist").set_value(["Artist 11"]).run()
    assert app.session_state["artists"] == ["Artist 11"]
    app.button_group(key="only-artist").set_value([]).run()
    assert app.session_state["artists"] == everybody
    assert not app.exception


def test_undefined_everywhere_is_said_in_words(demo: Path) -> None:
    app = run(hit="day:300")
    assert not app.exception
    assert "choose other days" in app.error[0].value
    assert any("80 songs undefined" in text.value.replace("\\", "") for text in app.info)


def test_a_song_and_its_days(demo: Path) -> None:
    app = run(song="s079")
    assert not app.exception
    figures = figures_of(app)
    assert figures["Rank by day:60"] == "1"
    plays = long_tailed().groupby("song_id")["plays"].sum()
    assert figures["Rank by cumulative counting"] == str(int((plays > plays["s079"]).sum()) + 1)
    assert len(app.get("vega_lite_chart")) == 6
    hostile = run(song="s077")
    assert "\\=cmd" in hostile.subheader[-1].value
    assert "<b>" not in hostile.subheader[-1].value.replace("\\<b", "")
    stranger = run(song="no such song")
    assert not stranger.exception
    assert "song" not in stranger.query_params


def test_what_is_clicked_is_rung_as_the_chart_is_drawn(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str | None] = []
    draw = distributioncharts.tail_chart

    def note(*arguments: object) -> object:
        rung.append(arguments[4])
        return draw(*arguments)

    monkeypatch.setattr(distributioncharts, "tail_chart", note)
    clicked: dict[str, dict] = {"tail-chart": {"song": [{"song_id": "s007"}]}, "songs-table": {}}
    monkeypatch.setattr(songdays, "_selection", lambda key: clicked[key])
    app = run()
    clicked["songs-table"] = {"rows": [0]}
    app.run()
    assert not app.exception
    assert rung == ["s007", "s079"], "in the same run, whichever was clicked last"


class TestOwnLog:
    def upload(self, content: bytes, name: str, songs: bytes | None = None) -> AppTest:
        app = run()
        app.file_uploader(key="log").set_value([(name, content, "text/csv")])
        if songs is not None:
            app.file_uploader(key="songs").set_value([("songs.csv", songs, "text/csv")])
        return app.run()

    def test_with_its_table_of_songs(self) -> None:
        log = long_tailed().to_csv(index=False).encode()
        songs = songs_table()[["song_id", "title", "release_date"]].to_csv(index=False).encode()
        app = self.upload(log, "my log.csv", songs)
        assert not app.exception
        assert not app.error
        assert figures_of(app)["Songs below the mean"] == "87.5 %"
        strip = next(caption.value for caption in app.caption if "your log" in caption.value)
        assert "my log" in strip.replace("\\", "")
        assert any("read 320 rows" in text.value.replace("\\", "") for text in app.markdown)

    def test_without_release_dates_counts_all_plays(self) -> None:
        app = self.upload(long_tailed().to_csv(index=False).encode(), "log.csv")
        assert not app.exception
        captions = [caption.value.replace("\\", "") for caption in app.caption]
        assert any("hit score: cumulative" in caption for caption in captions)
        assert app.metric

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"song_id,date,plays\na,2024-01-01,-3\n", "mine.csv, line 2"),
            (b"song_id,date\na,2024-01-01\n", "mine.csv"),
            (b"", "mine.csv"),
        ],
    )
    def test_bad_input_is_one_line_in_the_owners_names(self, content: bytes, message: str) -> None:
        app = self.upload(content, "mine.csv")
        assert not app.exception
        assert len(app.error) == 1
        assert message in app.error[0].value.replace("\\", "")
        assert "hitcore-upload" not in app.error[0].value

    def upload_all(self, *files: tuple[str, bytes], **boxes: object) -> AppTest:
        app = run()
        app.file_uploader(key="log").set_value([(n, content, "text/csv") for n, content in files])
        for key, value in boxes.items():
            app.selectbox(key=key).set_value(value)
        return app.run()

    def words(self, app: AppTest) -> str:
        return " ".join(text.value.replace("\\", "") for text in (*app.markdown, *app.info))

    def test_exports_as_they_come(self) -> None:
        """Two overlapping exports and a file of videos: each play once, and it is said."""
        rows = [stream(10 * n, f"s{n:02}", 60_000 + n) for n in range(20)]
        app = self.upload_all(
            ("Streaming_History_Audio_2023_0.json", json.dumps(rows[:15]).encode()),
            ("Streaming_History_Audio_2023_1.json", json.dumps(rows[10:]).encode()),
            ("Streaming_History_Video_2023.json", json.dumps([stream(0, "video")]).encode()),
        )
        assert not app.exception
        assert not app.error
        words = self.words(app)
        assert "read 25 rows of 2 files as spotify_history, kept 20" in words
        assert "dropped 5: the same song, listener and time as another row" in words
        assert "Files of videos are left out: 1." in words

    def test_a_chart_says_its_day_in_its_name(self) -> None:
        head = "rank,uri,artist_names,track_name,streams\n"
        rows = "".join(f"{n},spotify:track:{n:022},A{n},T{n},{100 - n}\n" for n in range(1, 30))
        app = self.upload_all(
            ("regional-global-daily-2023-01-05.csv", (head + rows).encode()),
            ("regional-global-daily-2023-01-06.csv", (head + rows).encode()),
        )
        assert not app.exception
        assert not app.error
        assert "read 58 rows of 2 files as spotify_charts" in self.words(app)

    def test_what_the_visitor_says(self) -> None:
        """The service's time zone, decimals, and that identical events all count."""
        moments = pd.date_range("2024-01-01 20:00", periods=20, freq="3h")
        log = pd.DataFrame({"user": "u", "song_id": [f"s{n % 12}" for n in range(20)]})
        log = log.assign(listened_at=moments.strftime("%Y-%m-%dT%H:%M:%SZ"))
        content = ("log.csv", pd.concat([log, log[:3]]).to_csv(index=False).encode())
        app = self.upload_all(content, zone="Asia/Taipei", duplicates=True)
        assert not app.exception
        assert "read 23 rows of 1 file as tabular, kept 23" in self.words(app)
        captions = " ".join(caption.value.replace("\\", "") for caption in app.caption)
        assert "days of Asia/Taipei" in captions
        counts = b"song_id,date,plays\n" + b"".join(
            b"s%d,2024-01-01,%d.000\n" % (n, n) for n in range(1, 20)
        )
        refused = self.upload_all(("counts.csv", counts))
        assert "may be 1 (a point before decimals)" in refused.error[0].value.replace("\\", "")
        assert not self.upload_all(("counts.csv", counts), decimal=",").error

    def test_xiami(self, shared: Path) -> None:
        log = shared / "data" / "plays" / "ali_music_song_daily.csv.gz"
        app = self.upload(log.read_bytes(), log.name)
        assert not app.exception
        frame = pd.read_csv(log, dtype={"song_id": str})
        frame["date"] = pd.to_datetime(frame["date"].astype(str))
        songs = frame.drop_duplicates("song_id").set_index("song_id")
        day = pd.to_datetime(songs["publish_time"].astype(str)) + pd.Timedelta(days=60)
        totals = frame.groupby("date")["plays"].sum()
        day = day[day.between(totals.index.min(), totals.index.max())]
        plays = frame.set_index(["song_id", "date"])["plays"]
        wanted = pd.MultiIndex.from_arrays([day.index, day])
        score = plays.reindex(wanted, fill_value=0).to_numpy() / totals[day].to_numpy()
        figures = figures_of(app)
        assert len(score) == 307
        assert figures["Songs below the mean"] == f"{100 * (score < score.mean()).mean():.1f} %"
        assert figures["Rank of the mean"] == str((score > score.mean()).sum())
        shown = app.dataframe(key="songs-table").value
        np.testing.assert_allclose(
            shown["share (ppm)"] / 1e6, np.sort(score)[::-1], rtol=1e-12, atol=0
        )
        words = " ".join(text.value.replace("\\", "") for text in (*app.markdown, *app.info))
        assert "3,351 rows" in words
        assert "22 songs dated after the end of the log" in words


class TestPictures:
    @pytest.mark.parametrize("n", [0, 1, 2, 700, 701, 15_000, 200_000])
    def test_few_points_stand_for_many_songs(self, n: int) -> None:
        ranks = distributioncharts.drawn_ranks(n)
        assert len(ranks) <= distributioncharts.N_DRAWN
        assert np.all(np.diff(ranks) > 0)
        if n:
            assert (ranks[0], ranks[-1]) == (1, n)
            assert np.max(np.diff(ranks), initial=0) <= max(1, 2 * n / 300)

    def test_fig_3_is_the_ranking_with_its_mean(self) -> None:
        scores = np.sort(np.random.default_rng(0).lognormal(-11, 1.8, 15_000))[::-1]
        songs = pd.DataFrame(
            {"song_id": [str(n) for n in range(15_000)], "title": "", "artist": ""}
        ).assign(hit_score=scores)
        figures = long_tail(scores)
        spec = json.loads(distributioncharts.ranking_chart(songs, figures).to_json())
        drawn = max(spec["datasets"].values(), key=len)
        assert len(drawn) <= distributioncharts.N_DRAWN
        for point in drawn:
            assert point["ppm"] == pytest.approx(scores[point["rank"] - 1] * 1e6, rel=1e-12)
        dot = min(spec["datasets"].values(), key=len)[0]
        above = int((scores > scores.mean()).sum())
        assert above <= dot["rank"] <= above + 1  # between the last above it and the next
        assert dot["ppm"] == pytest.approx(scores.mean() * 1e6)
        assert scores[above - 1] > scores.mean() >= scores[above]

    def test_laws_lie_on_the_data_they_fit(self) -> None:
        rng = np.random.default_rng(1)
        scores = np.sort(rng.lognormal(-10, 1.5, 4000))[::-1]
        songs = pd.DataFrame({"song_id": map(str, range(4000)), "title": "", "artist": ""})
        songs = songs.assign(hit_score=scores, rank=np.arange(1, 4001))
        fits = fit_log_normal(scores, 10), fit_power_law(scores, 5)
        chart = distributioncharts.tail_chart(songs, songs.head(400), *fits, "7")
        lines = next(
            table
            for table in json.loads(chart.to_json())["datasets"].values()
            if table and "law" in table[0]
        )
        for point in lines:
            if point["law"] == "log-normal" and 0.01 < point["part"] < 0.9:
                observed = np.mean(scores > point["ppm"] / 1e6)
                assert point["part"] == pytest.approx(observed, abs=0.03)

    def test_target_bins_hold_every_song(self) -> None:
        scores = np.r_[0.0, np.random.default_rng(2).lognormal(-10, 1, 999)]
        table = distributioncharts.target_table(scores)
        assert table["songs"].sum() == 1000
        assert table["songs"].iloc[0] == 1
        assert table["y_end"].iloc[-1] == transform_target(scores).max()

    def test_days_are_filled_and_marked(self) -> None:
        fields = dict.fromkeys(ScoreReport.__dataclass_fields__, 0)
        report = ScoreReport(
            **{**fields, "first_day": START.date(), "last_day": START.date() + pd.Timedelta(days=9)}
        )
        curve = pd.DataFrame({"date": [START + pd.Timedelta(days=3)], "share": [0.5]})
        filled = songdays.every_day(curve, report)
        assert filled["share"].tolist() == [0, 0, 0, 0.5, 0, 0, 0, 0, 0, 0]
        marks = songdays.day_marks(START, "window:2-4", report)
        assert marks["text"].tolist() == ["release", "window 2-4"]
        assert (marks["end"] - marks["date"]).dt.days.tolist() == [0, 2]
        assert songdays.day_marks(START, "day:60", report)["text"].tolist() == ["release"]
        assert songdays.day_marks(pd.NaT, "day:60", report).empty

    def test_files_are_pictures(self) -> None:
        songs = songs_table(20).assign(hit_score=np.linspace(0.1, 0.01, 20))
        chart = distributioncharts.ranking_chart(songs, long_tail(songs["hit_score"]))
        printed = distributioncharts.for_print(("(a)", chart), ("(b)", chart))
        assert distributioncharts.as_file(printed, "png")().startswith(b"\x89PNG")
        assert b"<svg" in distributioncharts.as_file(printed, "svg")()[:200]


def test_a_few_songs_that_show_no_difference_are_not_called_alike() -> None:
    ranked = songs_table().assign(hit_score=np.linspace(1, 2, N_SONGS) ** 4 * 1e-6)
    for fold in range(1, 4):
        words = choices.compared(choices.view_of(ranked, "day:60", "song", fold))
        assert "alike" not in words
        assert "show no difference that 8 songs could tell from chance" in words
        assert "p = 0." in words


def test_options_are_offered_by_frequency_and_years_by_age() -> None:
    songs = pd.DataFrame(
        {"artist": ["b", "a", "b", ""], "year": pd.array([2015, 2017, None, 2016])}
    )
    assert choices.options_of(songs, "artist") == ["b", "a"]
    assert choices.options_of(songs, "year") == [2017, 2016, 2015]
    assert choices.options_of(songs, "genre") == []


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/pass wd.tar.gz", "_.._etc_pass_wd.tar.gz"),
        ("..", "log"),
        ("", "log"),
        (".hidden", "hidden"),
        ("C:\\\\x\\0.csv", "C_x_0.csv"),
        ("a" * 300 + ".csv", "a" * 96 + ".csv"),
        ("Апрель.csv", "_.csv"),
    ],
)
def test_stored_names_never_carry_a_path(tmp_path: Path, name: str, plain: str) -> None:
    stored = ownlog._store(tmp_path, name, b"x")
    assert stored.name == plain
    assert stored.parent.parent == tmp_path
    assert len(stored.parent.name) == 32
    assert stored.read_bytes() == b"x"


def test_the_dot_of_the_mean_lies_on_the_line_of_few_songs() -> None:
    for scores in ([9.0, 5.0, 1.0], [8.0, 1.0, 1.0, 1.0], list(np.geomspace(1000, 1, 31))):
        values, mean = np.array(scores), float(np.mean(scores))
        rank = distributioncharts.crossing(values, mean)
        assert np.interp(rank, np.arange(1, len(values) + 1), values) == pytest.approx(mean)


def test_titles_of_printed_panels_begin_at_their_axes() -> None:
    small = pd.DataFrame(
        {"title": "", "song_id": ["a", "b"], "artist": "", "hit_score": [0.9, 0.1]}
    )
    panels = [
        distributioncharts.ranking_chart(table, long_tail(table["hit_score"]))
        for table in (small, small.assign(hit_score=[9e-6, 1e-6]))
    ]
    svg = distributioncharts.as_file(
        distributioncharts.for_print(("(a) one", panels[0]), ("(b) two", panels[1])), "svg"
    )().decode()
    titles = re.findall(r'transform="translate\(([^,]*),[^>]*>\((?:a|b)\)', svg)
    # Measured from the axes, not from their labels, which are not equally wide.
    assert [float(left) for left in titles] == [0, 0]


def test_missing_scores_are_said_in_view() -> None:
    def page() -> None:
        from hitcore.plays.hitscores import ScoreReport
        from ui.distribution.choices import show_report

        fields = dict.fromkeys(ScoreReport.__dataclass_fields__, 0)
        fields |= {"definition": "day:60", "first_day": None, "last_day": None, "time_zone": "UTC"}
        show_report(ScoreReport(**fields | {"n_songs": 9, "n_defined": 7, "n_too_late": 2}))

    app = AppTest.from_function(page).run()
    assert not app.exception
    assert "7 of 9 songs have a score" in app.info[0].value
    assert "2 songs undefined" in app.info[0].value.replace("\\", "")

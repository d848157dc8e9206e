"""One song on the Distribution page: its days in the log, and its place by each way of counting."""

from typing import Any

import pandas as pd
import streamlit as st

from hitcore.errors import DataError
from hitcore.plays.definitions import Definition
from hitcore.plays.hitscores import ScoreReport
from ui.distribution import charts as distributioncharts
from ui.distribution.choices import View, studies
from ui.distribution.studies import Study
from ui.frame import charts, page

TABLE, CHART = "songs-table", "tail-chart"
"""Keys of what a song can be clicked in."""
SHOWN = ["rank", "title", "artist", "share (ppm)", "release_date", "song_id"]


def chosen_song(view: View) -> str | None:
    """The song in view: clicked in a chart or in the table, else that of the address.

    What was clicked is read from the session, so that a chart can mark it as it is drawn.
    """
    table = song_table(view)
    rows = _selection(TABLE).get("rows") or []
    in_table = str(table["song_id"].iloc[rows[0]]) if rows and rows[0] < len(table) else None
    points = _selection(CHART).get("song") or []
    in_chart = str(points[0]["song_id"]) if points and "song_id" in points[0] else None
    song = _latest(in_table, in_chart) or st.query_params.get("song")
    if song not in set(view.songs["song_id"]):
        st.query_params.pop("song", None)
        return None
    st.query_params["song"] = str(song)
    return str(song)


def show_table(view: View) -> None:
    """All songs in view, to choose one of."""
    st.markdown("**All songs in view**")
    st.dataframe(
        song_table(view),
        hide_index=True,
        height=320,
        key=TABLE,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "share (ppm)": st.column_config.NumberColumn(format="localized"),
            "release_date": st.column_config.DateColumn("released"),
        },
    )


def _selection(key: str) -> dict[str, Any]:
    """What is selected in a table or chart of that key; nothing before it is drawn first."""
    state = st.session_state.get(key)
    return dict(state["selection"]) if state else {}


def _latest(in_table: str | None, in_chart: str | None) -> str | None:
    """Of two selections that both last, the one that changed with this run."""
    before = st.session_state.get("song-picks", (None, None))
    st.session_state["song-picks"] = (in_table, in_chart)
    if in_chart != before[1]:
        st.session_state["song-shown"] = in_chart
    elif in_table != before[0]:
        st.session_state["song-shown"] = in_table
    return st.session_state.get("song-shown")


def song_table(view: View) -> pd.DataFrame:
    """Every song in view, exactly; nothing is thinned here."""
    table = view.songs.assign(**{"share (ppm)": view.songs["hit_score"] * 1e6})
    named = [name for name in SHOWN if name not in ("title", "artist") or (table[name] != "").any()]
    return table[named]


def show_song(study: Study, view: View, report: ScoreReport, song_id: str) -> None:
    """The daily share of a song, with the days that count, and what other counting says."""
    song = view.songs.set_index("song_id").loc[song_id]
    title = " — ".join(text for text in (song["title"], song["artist"]) if text) or song_id
    st.subheader(page.plain(title), anchor="song")
    cumulative, _ = studies.scored(study, study.key, "cumulative")
    others = cumulative[cumulative["song_id"].isin(view.songs["song_id"])]
    place = int((others["hit_score"] > _score(others, song_id)).sum()) + 1
    _compare(view, song, place, len(others))
    if report.first_day is None or report.last_day is None:
        page.empty_state("This log holds totals without dates: there is no daily curve.")
        return
    curve = every_day(studies.daily_curve(study, study.key, song_id), report)
    marks = day_marks(song["release_date"], view.definition, report)
    levels = pd.DataFrame(
        {
            "share": [song["hit_score"], _score(others, song_id)],
            "text": [f"{view.definition}: {page.ppm(song['hit_score'])}", "cumulative"],
            "accent": [True, False],
        }
    )
    if view.definition == "cumulative":
        levels = levels.head(1)
    charts.figure(
        "Its share of each day's plays",
        distributioncharts.song_chart(curve, marks, levels),
        "The line is the song's share of all plays on each day; the marked days are those that "
        "its hit score looks at, the dashed lines are the resulting scores.",
        curve,
        key="song-days",
    )


def every_day(curve: pd.DataFrame, report: ScoreReport) -> pd.DataFrame:
    """The curve on all days of the log: a day without a row is a share of 0."""
    days = pd.date_range(report.first_day, report.last_day, name="date")
    filled = curve.set_index("date")["share"].reindex(days, fill_value=0.0)
    return filled.reset_index()


def day_marks(release: pd.Timestamp, definition: str, report: ScoreReport) -> pd.DataFrame:
    """Release and the days that the score looks at, as far as they lie inside the log."""
    wanted = Definition.parse(definition)
    rows = []
    if pd.notna(release):
        rows.append((release, release, "release", False))
        if wanted.first_day is not None and wanted.last_day is not None:
            first, last = (
                release + pd.Timedelta(days=d) for d in (wanted.first_day, wanted.last_day)
            )
            rows.append((first, last, definition.replace(":", " "), True))
    marks = pd.DataFrame(rows, columns=["date", "end", "text", "accent"])
    start, end = pd.Timestamp(report.first_day), pd.Timestamp(report.last_day)
    inside = pd.to_datetime(marks["date"]).between(start, end)
    return marks[inside]


def _score(table: pd.DataFrame, song_id: str) -> float:
    found = table.loc[table["song_id"] == song_id, "hit_score"]
    if found.empty:
        raise DataError(f"song {song_id!r} is not in view")
    return float(found.iloc[0])


def _compare(view: View, song: pd.Series, cumulative_rank: int, n_songs: int) -> None:
    rank = int(song["rank"])
    boxes = st.columns(3)
    boxes[0].metric(
        f"Rank by {view.definition}",
        f"{rank:,}",
        f"of {n_songs:,}",
        delta_color="off",
        delta_arrow="off",
    )
    boxes[1].metric("Share", page.ppm(float(song["hit_score"])))
    if view.definition == "cumulative":
        return
    moved = cumulative_rank - rank
    words = (
        "the same place"
        if moved == 0
        else (
            f"{abs(moved):,} {'place' if abs(moved) == 1 else 'places'} "
            f"{'lower' if moved > 0 else 'higher'}"
        )
    )
    boxes[2].metric(
        "Rank by cumulative counting",
        f"{cumulative_rank:,}",
        words,
        delta_color="off",
        delta_arrow="off",
        help="All plays of the log: songs released early had longer to collect them.",
    )

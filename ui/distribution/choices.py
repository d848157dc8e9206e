"""The Distribution page's choices and findings: what counts as a hit, which songs, which fold."""

from dataclasses import asdict, dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from hitcore.catalogue.songs import Catalogue
from hitcore.errors import DataError, HitcoreError
from hitcore.evaluation.intervals import bootstrap_interval
from hitcore.plays.hitscores import ScoreReport
from hitcore.plays.longtail import LongTail, SplitComparison, compare_split, gini, long_tail
from hitcore.plays.longtail import share_below_mean as below_mean
from hitcore.plays.tailfits import LogNormalFit, PowerLawFit, fit_log_normal, fit_power_law
from ui.distribution import charts as distributioncharts
from ui.distribution import ownlog, studies
from ui.distribution.studies import Study
from ui.frame import charts, page

KINDS = {
    "day": "On one day",
    "window": "Over some days",
    "retention30": "Retention 30",
    "cumulative": "Cumulative",
}
GROUPS = {"artist": "Artist", "genre": "Genre", "language": "Language", "year": "Release year"}
MOST_PILLS = 16
N_FOLDS = 10
N_RESAMPLES = 100


@dataclass(frozen=True)
class View:
    """The songs in view, ranked, and the test fold among them."""

    songs: pd.DataFrame
    """Songs with a defined score, best first, with `rank` and `in_test`."""
    figures: LongTail
    test_figures: LongTail
    definition: str
    fold_name: str

    @property
    def scores(self) -> np.ndarray:
        """Hit scores, best first."""
        return self.songs["hit_score"].to_numpy(float)

    @property
    def test_scores(self) -> np.ndarray:
        """Hit scores of the test fold, best first."""
        return self.songs.loc[self.songs["in_test"], "hit_score"].to_numpy(float)


def choose_study() -> Study | None:
    """The demo catalogue or the visitor's own log."""
    demo = studies.demo_study()
    choices = (["demo"] if demo is not None else []) + ["own"]
    names = {"demo": "Demo catalogue", "own": "Your own log"}
    picked = choices[0]
    if len(choices) > 1:
        picked = st.segmented_control(
            "Plays of", choices, default="demo", format_func=names.get, required=True, key="plays"
        )
    else:
        page.empty_state("There is no demo catalogue yet: bring a play log of your own.")
    return demo if picked == "demo" else ownlog.own_study()


def choose_definition(default: str) -> str:
    """What counts as a hit, from controls that start at `default`; kept in the address."""
    start = st.query_params.get("hit", default)
    kind, _, days = start.partition(":")
    if kind not in KINDS:
        kind, days = "day", "60"
    left, right = st.columns([3, 2])
    kind = left.segmented_control(
        "Hit score: share of all plays",
        list(KINDS),
        default=kind,
        format_func=KINDS.get,
        required=True,
        key="kind",
        wrap=True,
        help="The paper counts the plays of the 60th day after the release; its predecessor "
        "counted all plays of the log, which favours old songs.",
    )
    definition = kind
    if kind == "day":
        first = int(days) if days.isdecimal() and len(days) < 4 else 60
        first = min(first, 365)
        day = right.slider("Day after the release", 0, 365, first, key="day")
        definition = f"day:{day}"
    elif kind == "window":
        low, high = right.slider("Days after the release", 0, 365, (30, 59), key="window")
        definition = f"window:{low}-{high}"
    if definition == default:
        st.query_params.pop("hit", None)
    else:
        st.query_params["hit"] = definition
    return definition


def words_of(definition: str) -> str:
    """A definition of the hit score in plain words.

    Example:
        >>> words_of("day:60"), words_of("window:30-59"), words_of("cumulative")
        ('day 60', 'days 30-59', 'cumulative')
    """
    return definition.replace("day:", "day ").replace("window:", "days ")


def choose_songs(songs: pd.DataFrame) -> pd.DataFrame:
    """The songs of the chosen artists, genres, languages and years; all where none is chosen."""
    songs = songs.assign(year=songs["release_date"].dt.year.astype("Int64"))
    with st.popover("Filter songs", icon=":material/filter_alt:"):
        for column, title in GROUPS.items():
            values = options_of(songs, column)
            if len(values) < 2:
                continue
            chosen = _chosen_of(title, values, f"only-{column}")
            if chosen:
                songs = songs[songs[column].isin(chosen)]
    return songs


def _chosen_of(title: str, values: list[object], key: str) -> list[object]:
    """Those that are switched on: all to choose from where they are few, else those looked up.

    Not by `st.multiselect`, whose white text on the accent cannot be read on a dark page.
    """
    if len(values) <= MOST_PILLS:
        return st.pills(title, values, selection_mode="multi", key=key, format_func=str)
    looked_up = st.session_state.setdefault(f"{key}-known", [])

    def add() -> None:
        value = st.session_state.pop(f"{key}-new", None)
        if value is not None and value not in looked_up:
            looked_up.append(value)
        if value is not None and value not in st.session_state.get(key, []):
            st.session_state[key] = [*st.session_state.get(key, []), value]

    st.selectbox(
        title,
        values,
        index=None,
        key=f"{key}-new",
        format_func=str,
        placeholder=f"Any of {len(values)}: choose one or more",
        on_change=add,
    )
    known = [value for value in looked_up if value in values]  # of the study in view
    if not known:
        return []
    return st.pills(
        f"{title}: chosen",
        known,
        selection_mode="multi",
        key=key,
        format_func=str,
        label_visibility="collapsed",
    )


def options_of(songs: pd.DataFrame, column: str) -> list[object]:
    """The values by which songs can be told apart, most frequent first, at most 500."""
    if column not in songs:
        return []
    counts = songs[column].replace("", pd.NA).dropna().value_counts()
    values = counts.index[:500]
    return sorted(values, reverse=True) if column == "year" else list(values)


def choose_fold() -> tuple[str, int]:
    """Which test fold stands beside the whole set."""
    with st.popover("Test fold", icon=":material/call_split:"):
        kind = st.segmented_control(
            "Folds share no",
            ["song", "artist"],
            default="song",
            required=True,
            key="fold-kind",
        )
        number = st.slider("Fold", 1, N_FOLDS, 1, key="fold")
    return kind, number


def view_of(songs: pd.DataFrame, definition: str, fold_kind: str, fold: int) -> View:
    """Rank the songs and mark the test fold.

    Raises:
        DataError: fewer scored songs (or groups of linked artists) than folds.
    """
    catalogue = Catalogue(songs).defined()
    if len(catalogue) < N_FOLDS:
        raise DataError(
            f"{len(catalogue)} of the songs chosen have a score under {definition}, and "
            f"{N_FOLDS} are needed: choose other days, cumulative counting, or more songs"
        )
    catalogue = catalogue.top(len(catalogue))
    test = catalogue.folds(N_FOLDS, "artist" if fold_kind == "artist" else "song")[fold - 1].test
    ranked = catalogue.songs.assign(
        rank=np.arange(1, len(catalogue) + 1), in_test=np.isin(np.arange(len(catalogue)), test)
    )
    return View(
        songs=ranked,
        figures=long_tail(ranked["hit_score"]),
        test_figures=long_tail(ranked.loc[ranked["in_test"], "hit_score"]),
        definition=definition,
        fold_name=f"test fold {fold}",
    )


def finding(view: View) -> str:
    """The headline: how unequal, in one sentence of Markdown."""
    figures = view.figures
    return (
        f"**{page.percent(figures.share_below_mean, 1)} of {figures.n_songs:,} songs are below "
        f"the mean;** the top 10 % have {page.percent(figures.top_10_share)} of the plays."
    )


@st.cache_data(max_entries=64, show_spinner=False)
def intervals(scores: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of the share below the mean and of the Gini coefficient."""
    found = {
        "below": bootstrap_interval(below_mean, scores, n_resamples=N_RESAMPLES),
        "gini": bootstrap_interval(gini, scores, n_resamples=N_RESAMPLES),
    }
    return {name: (each.low, each.high) for name, each in found.items()}


@st.cache_data(max_entries=64, show_spinner="Fitting the tail …")
def fits(scores: np.ndarray) -> tuple[LogNormalFit | None, PowerLawFit | None]:
    """Both laws fitted to the scores; None where there are too few songs for one."""
    found: list[LogNormalFit | PowerLawFit | None] = []
    for fit in (fit_log_normal, fit_power_law):
        try:
            found.append(fit(scores, n_bootstrap=60))
        except HitcoreError:
            found.append(None)
    return found[0], found[1]  # type: ignore[return-value]


@st.cache_data(max_entries=64, show_spinner=False)
def alike(scores: np.ndarray, test_rows: np.ndarray) -> SplitComparison:
    """Whether the test fold is spread like the other songs."""
    return compare_split(scores, test_rows, n_permutations=199)


def show_figures(view: View) -> None:
    """The four numbers that describe the tail, each with how sure it is."""
    sure = intervals(view.scores)
    low, high = sure["below"]
    gini_low, gini_high = sure["gini"]
    f = view.figures
    boxes = st.columns(4)
    boxes[0].metric(
        "Songs below the mean",
        page.percent(f.share_below_mean, 1),
        f"{page.percent(low, 1)} to {page.percent(high, 1)}",
        delta_color="off",
        delta_arrow="off",
        help="The paper reports about 87.5 % on its data. Small type: 95 % bootstrap interval.",
    )
    boxes[1].metric(
        "Rank of the mean",
        f"{f.rank_of_mean:,}",
        f"of {f.n_songs:,} songs",
        delta_color="off",
        delta_arrow="off",
        help="So many songs are above the mean: the big dot of Fig. 3.",
    )
    boxes[2].metric(
        "Gini coefficient",
        f"{f.gini:.3f}",
        f"{gini_low:.3f} to {gini_high:.3f}",
        delta_color="off",
        delta_arrow="off",
        help="0: all songs are played alike; towards 1: one song has all plays.",
    )
    boxes[3].metric(
        "As diverse as",
        f"{f.effective_songs:,.0f} songs",
        "played equally often",
        delta_color="off",
        delta_arrow="off",
        help="The effective number of songs: the exponential of the entropy of the shares.",
    )


def show_report(report: ScoreReport) -> None:
    """Which songs have no score and why: in view where songs are missing."""
    missing = report.n_songs - report.n_defined
    title = f"{report.n_defined:,} of {report.n_songs:,} songs have a score"
    if missing or report.n_rows_before_release or report.n_songs_unknown:
        lines = [page.plain(line) for line in report.lines()[1:]]
        st.info(f"{title}.\n\n" + "  \n".join(lines), icon=":material/info:")
    else:
        st.caption(title)


def compared(view: View) -> str:
    """Whether whole set and test fold are spread alike, in a sentence."""
    rows = np.flatnonzero(view.songs["in_test"].to_numpy())
    result = alike(view.scores, rows)
    if result.p_value < 0.05:
        verdict = "differ more than chance would have it"
    else:  # not seeing a difference is not seeing that there is none
        verdict = f"show no difference that {len(rows):,} songs could tell from chance"
    return (
        f"Whole set and {view.fold_name} {verdict} (Kolmogorov-Smirnov distance "
        f"{result.ks:.3f}, p = {result.p_value:.2g}; Gini {result.gini_whole:.3f} and "
        f"{result.gini_split:.3f})"
    )


def top_finding(view: View) -> str:
    """What part of the plays the most played songs have."""
    return f"The top 10 % of the songs have {page.percent(view.figures.top_10_share)} of the plays"


def panel_findings(view: View) -> tuple[str, str]:
    """What the two panels of Fig. 3 say."""
    whole, test = view.figures, view.test_figures
    return (
        f"(a) All {whole.n_songs:,} songs: {page.percent(whole.share_below_mean, 1)} are below "
        "the mean",
        f"(b) {view.fold_name.capitalize()}, {test.n_songs:,} songs: "
        f"{page.percent(test.share_below_mean, 1)} are below their mean",
    )


def law_finding(log_normal: LogNormalFit | None, power_law: PowerLawFit | None) -> str:
    """Which law the tail follows, as far as the tests can tell."""
    fitting = [
        name
        for name, fit in (("a log-normal", log_normal), ("a power law in its top", power_law))
        if fit is not None and fit.p_value >= 0.05
    ]
    if log_normal is None and power_law is None:
        return "Too few songs with plays to fit a law"
    if not fitting:
        return "Neither a log-normal nor a power law describes these songs"
    return f"These songs are compatible with {' and with '.join(fitting)}"


def law_table(log_normal: LogNormalFit | None, power_law: PowerLawFit | None) -> pd.DataFrame:
    """Parameters of the fitted laws with their intervals and how far off they are."""
    rows = []
    if log_normal is not None:
        f = log_normal
        rows += [
            ("log-normal", "mu", f.mu, *f.mu_interval, f.ks, f.p_value, f.n),
            ("log-normal", "sigma", f.sigma, *f.sigma_interval, f.ks, f.p_value, f.n),
        ]
    if power_law is not None:
        g = power_law
        rows.append(
            ("power law", "alpha", g.alpha, *g.alpha_interval, g.ks, g.p_value, g.n_tail),
        )
    names = ["law", "parameter", "value", "low", "high", "KS distance", "p", "songs"]
    return pd.DataFrame(rows, columns=names)


def inequality_table(view: View) -> pd.DataFrame:
    """Every long-tail figure, of the whole set and of the test fold."""
    return pd.DataFrame(
        {
            "figure": list(asdict(view.figures)),
            "all songs": list(asdict(view.figures).values()),
            view.fold_name: list(asdict(view.test_figures).values()),
        }
    )


def export(view: View, whole: alt.LayerChart, split: alt.LayerChart) -> None:
    """Downloads of the scores and of Fig. 3; files are drawn when they are asked for."""
    figure = distributioncharts.for_print(
        ("(a) all songs", whole), (f"(b) {view.fold_name}", split)
    )
    with st.popover("Export", icon=":material/download:"):
        st.download_button(
            "Scores (CSV)",
            lambda: charts.csv_bytes(
                view.songs[["rank", "song_id", "title", "artist", "hit_score"]]
            ),
            file_name="hit_scores.csv",
            mime="text/csv",
            key="export-csv",
            on_click="ignore",
        )
        for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(
                f"Fig. 3 ({kind.upper()})",
                distributioncharts.as_file(figure, kind),
                file_name=f"distribution.{kind}",
                mime=mime,
                key=f"export-{kind}",
                on_click="ignore",
            )

"""The Compare page: Table 1 with intervals, folds as dots, two rows against each other."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from hitcore.evaluation.intervals import mean_interval
from hitcore.experiments import METRICS, VARIANTS, Results, Variant
from ui.frame.page import plain
from ui.frame.theme import palette

METRIC_NAMES = {
    "ndcg": "nDCG@10 %",
    "kendall": "Kendall's τ@10 %",
    "spearman": "Spearman's ρ@10 %",
}
ALL_SONGS_NAMES = {"pairwise_accuracy": "Pairwise accuracy", "auc": "AUC of the top 10 %"}
TEST_NAMES = METRIC_NAMES | {"auc": "AUC of the top 10 %", "pairwise_accuracy": "Pairwise accuracy"}
"""What two rows are compared in: also over all test songs, which is steadier than a short top."""
TOP, ALL_SONGS = "The top 10 %, as the paper", "All test songs"
FIGURES = {TOP: tuple(METRIC_NAMES), ALL_SONGS: tuple(ALL_SONGS_NAMES)}
"""Metrics that stand in one table."""
METRIC_SIGNS = {"ndcg": "nDCG", "kendall": "τ", "spearman": "ρ"}
METRIC_WORDS = {
    "ndcg": "hit score gathered by the predicted top list (nDCG@10 %)",
    "kendall": "ranking agreement in the top 10 % (Kendall's τ)",
    "spearman": "ranking agreement in the top 10 % (Spearman's ρ)",
    "auc": "telling the top 10 % from the rest (AUC; 0.5 is chance)",
    "pairwise_accuracy": "the share of pairs of songs in the right order (0.5 is chance)",
}
SAMPLER_NAMES = {None: "none", "naive": "naive", "artist": "artist", "ab": "A/B"}
FILTERS = ("All rows", "The paper's rows", "Baselines", "Audio only", "With tags", "Siamese")
ORDER = "The paper's order"


def figures_of(metrics: pd.DataFrame) -> list[str]:
    """Which tables these results can fill."""
    return [TOP, *([ALL_SONGS] if set(FIGURES[ALL_SONGS]) <= set(metrics) else [])]


def names_of(figures: str) -> list[str]:
    """How an address names the metrics of a table: as keys, and as people choose them."""
    return [name for metric in FIGURES[figures] for name in (metric, TEST_NAMES[metric])]


def table_caption(rows: list[str], figures: str) -> str:
    """How the table of these rows is read."""
    ours = (
        "Mean over the folds ± half of its 95 % interval; the best two of what is shown are bold."
    )
    if figures == ALL_SONGS:
        return (
            f"{ours} Pairwise accuracy: the share of all pairs of test songs that are in the right "
            "order. AUC: how often a song of the top 10 % stands above one of the rest. Chance is "
            "0.5 in both; they are exploratory, beside the three figures of the paper."
        )
    paper = (
        " The columns on the right are the paper's figures on KKBOX's songs, which are other songs."
    )
    return ours + (paper if _in_the_paper(rows) else "")


def folds_caption(rows: list[str], metric: str) -> str:
    """How the folds of these rows are read."""
    ours = "Grey dots: folds. Coloured tick and line: mean and 95 % interval."
    paper = " Blue diamond: the paper's figure on its own songs."
    return ours + (paper if metric in METRICS and _in_the_paper(rows) else "")


def _in_the_paper(rows: list[str]) -> bool:
    return any(VARIANTS[row].paper for row in rows)


@dataclass(frozen=True)
class Cell:
    """One metric of one row."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval."""
        return (self.high - self.low) / 2


@st.cache_data(show_spinner=False)
def cells(metrics: pd.DataFrame) -> dict[tuple[str, str], Cell]:
    """Mean and 95 % interval over the folds of each row and metric.

    It is widened for the training songs that folds share.
    """
    found = {}
    known = {"n", "n_train"} <= set(metrics)
    ratio = float((metrics["n"] / metrics["n_train"]).mean()) if known else 1 / 8
    for row in metrics["row"].unique():
        folds = metrics[metrics["row"] == row].groupby("fold")
        for metric in (name for name in TEST_NAMES if name in metrics):
            values = folds[metric].mean().dropna().to_numpy(float)  # over the seeds of a fold
            if len(values) > 1:
                interval = mean_interval(values, ratio)
                found[row, metric] = Cell(interval.estimate, interval.low, interval.high)
    return found


def chosen_rows(
    results: Results, which: str, order: str, table: dict[tuple[str, str], Cell]
) -> list[str]:
    """The rows of a filter, in the order asked for."""
    keep = {
        "All rows": lambda v: True,
        "The paper's rows": lambda v: v.paper is not None,
        "Baselines": lambda v: v.paper is None,
        "Audio only": lambda v: v.segment is not None and not v.tags,
        "With tags": lambda v: v.tags,
        "Siamese": lambda v: v.objective == "multi" or v.network == "fusion",
    }[which]
    rows = [row for row in results.rows if keep(VARIANTS[row])]
    metric = next((m for m, name in TEST_NAMES.items() if name == order), None)
    if metric is None:
        return rows
    return sorted(rows, key=lambda row: -_estimate(table, row, metric))


def table1(rows: list[str], table: dict[tuple[str, str], Cell], figures: str = TOP) -> pd.DataFrame:
    """Table 1 for reading: ours with half of its interval, best two bold; the paper in columns."""
    best = {
        metric: sorted(rows, key=lambda row: -_estimate(table, row, metric))[:2]
        for metric in FIGURES[figures]
    }
    lines = []
    for row in rows:
        v = VARIANTS[row]
        line = {
            "Row": f"({row})" if v.paper else "",
            "Network": _network(v),
            "Sampling": "A/B + artist" if v.fuses else SAMPLER_NAMES[v.sampler],
            "Feature": v.features,
        }
        for metric in FIGURES[figures]:
            line[TEST_NAMES[metric]] = _cell(table, row, metric, bold=row in best[metric])
        for metric in METRICS:
            paper = getattr(v.paper, metric, None)
            line[f"Paper: {METRIC_SIGNS[metric]}"] = "" if paper is None else signed(paper, 3)
        lines.append(line)
    shown = pd.DataFrame(lines)
    papers = [f"Paper: {sign}" for sign in METRIC_SIGNS.values()]
    keep = figures == TOP and _in_the_paper(rows)
    return shown if keep else shown.drop(columns=papers, errors="ignore")


def numbers(rows: list[str], table: dict[tuple[str, str], Cell]) -> pd.DataFrame:
    """Table 1 as numbers, for export."""
    lines = []
    for row in rows:
        v = VARIANTS[row]
        line: dict[str, object] = {"row": row, "title": v.title, "features": v.features}
        for metric in METRICS:
            cell = table.get((row, metric), Cell(np.nan, np.nan, np.nan))
            line |= {metric: cell.estimate, f"{metric}_low": cell.low, f"{metric}_high": cell.high}
            line[f"{metric}_paper"] = getattr(v.paper, metric) if v.paper else np.nan
        for metric in ALL_SONGS_NAMES:
            if cell := table.get((row, metric)):
                line |= {metric: cell.estimate}
                line |= {f"{metric}_low": cell.low, f"{metric}_high": cell.high}
        lines.append(line)
    return pd.DataFrame(lines)


def fold_dots(
    results: Results, rows: list[str], metric: str, table: dict[tuple[str, str], Cell]
) -> alt.LayerChart:
    """Each fold as a dot, the mean with its interval, the paper's value as a diamond."""
    colours = palette()
    folds = results.metrics[results.metrics["row"].isin(rows)][["row", "fold", metric]].dropna()
    folds = folds.assign(name=folds["row"].map(label))
    means = pd.DataFrame(
        [
            {"name": label(row), "mean": c.estimate, "low": c.low, "high": c.high,
             "paper": getattr(VARIANTS[row].paper, metric, None)}
            for row in rows if (c := table.get((row, metric)))
        ]
    )  # fmt: skip
    y = alt.Y(
        "name:N",
        sort=[label(row) for row in rows],
        title=None,
        axis=alt.Axis(labelLimit=260, labelOverlap=False, ticks=False, grid=True),
    )
    title = METRIC_WORDS[metric][0].upper() + METRIC_WORDS[metric][1:]
    dots = (
        alt.Chart(folds)
        .mark_circle(color=colours.grey, size=28, opacity=0.6)
        .encode(
            x=alt.X(f"{metric}:Q", title=title, axis=alt.Axis(grid=False)),
            y=y,
            tooltip=["name", "fold", alt.Tooltip(f"{metric}:Q", format=".3f")],
        )
    )
    bars = (
        alt.Chart(means)
        .mark_rule(color=colours.ink, strokeWidth=2)
        .encode(x="low:Q", x2="high:Q", y=y)
    )
    ticks = (
        alt.Chart(means)
        .mark_tick(color=colours.accent, thickness=3, size=16)
        .encode(x="mean:Q", y=y, tooltip=["name", alt.Tooltip("mean:Q", format=".3f")])
    )
    paper = (
        alt.Chart(means.dropna(subset=["paper"]))
        .mark_point(shape="diamond", color=colours.blue, size=50, filled=False)
        .encode(x="paper:Q", y=y, tooltip=["name", alt.Tooltip("paper:Q", format=".4f")])
    )
    return (bars + dots + ticks + paper).properties(height=26 * len(rows) + 50)


def disagreements(
    results: Results, songs: pd.DataFrame, first: str, second: str, n: int = 10
) -> pd.DataFrame:
    """The songs that two rows place most differently, each among its own test fold."""
    a, b = (_places(results, row) for row in (first, second))
    both = a.add_suffix("_a").join(b.add_suffix("_b"), how="inner")
    both["gap"] = (both["place_a"] - both["place_b"]).abs()
    top = both.sort_values("gap", ascending=False).head(n)
    named = top.join(songs.set_index("song_id")[["title", "artist"]], how="left")
    return pd.DataFrame(
        {
            "Song": named["title"].to_numpy(),
            "Artist": named["artist"].to_numpy(),
            "True percentile": (100 * named["truth_a"]).round().to_numpy(),
            f"Row ({first})": (100 * named["place_a"]).round().to_numpy(),
            f"Row ({second})": (100 * named["place_b"]).round().to_numpy(),
        }
    )


def slopes(table: pd.DataFrame) -> alt.LayerChart:
    """Each song's percentile under each model: a line per song."""
    colours = palette()
    order = list(dict.fromkeys(table["Model"]))
    x = alt.X("Model:N", sort=order, title=None, axis=alt.Axis(labelAngle=-30, labelLimit=170))
    y = alt.Y("Percentile:Q", scale=alt.Scale(domain=[0, 100]), title="Percentile of its songs")
    base = alt.Chart(table)
    lines = base.mark_line(color=colours.grey, point=True).encode(
        x=x,
        y=y,
        detail="Song:N",
        tooltip=["Song", "Model", alt.Tooltip("Percentile:Q", format=".0f")],
    )
    # Each line is named at its last point; not every song is known to the last model.
    last = base.transform_calculate(_place=f"indexof({order!r}, datum.Model)")
    last = last.transform_joinaggregate(_last="max(_place)", groupby=["Song"])
    last = last.transform_filter("datum._place == datum._last")
    names = last.mark_text(align="left", dx=8, color=colours.ink, limit=200).encode(
        x=x, y=y, text="Song:N"
    )
    return (lines + names).properties(height=320)


# --- inside --------------------------------------------------------------------------------------


def _estimate(table: dict[tuple[str, str], Cell], row: str, metric: str) -> float:
    cell = table.get((row, metric))
    return cell.estimate if cell else -np.inf


def _cell(table: dict[tuple[str, str], Cell], row: str, metric: str, *, bold: bool) -> str:
    cell = table.get((row, metric))
    ours = "undefined" if cell is None else signed(cell.estimate, 3)
    ours = f"**{ours}**" if bold and cell is not None else ours
    spread = "" if cell is None else f" ± {cell.half_width:.3f}"
    return f"{ours}{spread}"


def signed(value: float, digits: int) -> str:
    """A number with a true minus sign, which no line breaks at; never "-0", nor "nan".

    Example:
        >>> signed(-0.0421, 3), signed(-0.0001, 3)
        ('\u22120.042', '0.000')
    """
    if value != value:
        return "undefined"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\u2212")


def _network(v: Variant) -> str:
    if v.network == "fusion" or v.objective == "multi":
        return "Siamese DNN" if v.attributes else "Siamese CNN"
    names = {
        "cnn": "Simple CNN",
        "inception": "Inception CNN",
        "linear": "Linear",
        "tags": "DNN" if v.attributes else "Tag DNN",
    }
    if v.ranks_lists:
        return v.title.removesuffix(", HL-30")
    return names.get(v.network, v.title)


def label(row: str) -> str:
    """A row in words."""
    v = VARIANTS[row]
    return f"({row}) {v.title}" if v.paper else plain(v.title).replace("\\", "")


def short_label(row: str) -> str:
    """A row within a sentence: by its letter, where the paper gives one."""
    return f"row ({row})" if VARIANTS[row].paper else label(row)


def _places(results: Results, row: str) -> pd.DataFrame:
    """The percentile of each test song among its fold, by prediction and by truth."""
    table = results.test_predictions(row)
    groups = table.groupby("fold")
    return pd.DataFrame(
        {
            "place": groups["y_score"].rank(pct=True).to_numpy(),
            "truth": groups["y_true"].rank(pct=True).to_numpy(),
        },
        index=pd.Index(table["song_id"], name="song_id"),
    )

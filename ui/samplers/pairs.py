"""What the Samplers page shows: the pairs that each method forms, and how its rows learn."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from hitcore.errors import DataError
from hitcore.experiments import Results
from hitcore.experiments.figures import Figures
from hitcore.experiments.variants import TABLE1
from hitcore.experiments.verdicts import judge, too_small
from hitcore.learning.paircounts import Composition, composition, count_between
from hitcore.learning.pairs import AB, Artist, Naive, PairRule, mean_hit_score
from ui.frame.learningcurves import apart, chosen_so_far
from ui.frame.page import percent, ppm
from ui.frame.theme import ORDERED_SCALE, palette

TITLES = {"naive": "Naive", "ab": "A/B", "artist": "Artist", "ab+artist": "A/B + artist"}
RULES = {
    "naive": "Any two songs.",
    "ab": "At least one song above the threshold.",
    "artist": "Two songs of the same artist.",
}
KINDS = {
    "head_head": "two popular",
    "head_tail": "one of each",
    "tail_tail": "two unpopular",
}
FEATURES = ("audio (HL-30) + tag", "audio (HL-30)")
"""Features that rows of every sampler share, as in Table 1."""
FUSION = (
    "A/B + artist, the paper's last pair of rows, forms no pairs of its own: it averages the "
    "scores of the A/B and the artist row, with a weight chosen on the validation songs."
)
N_BINS = 26


@dataclass(frozen=True)
class SamplerView:
    """One method on one catalogue: its pairs counted, and where they lie."""

    name: str
    made_of: Composition
    cells: pd.DataFrame
    """One line per cell of score × score that holds pairs."""

    @property
    def share_of_possible(self) -> float:
        """Pairs that the method permits among all pairs of songs."""
        return self.made_of.n_pairs / self.made_of.n_possible

    def share_of(self, kind: str) -> float:
        """Share of the method's pairs of one of KINDS."""
        return int(getattr(self.made_of, kind)) / self.made_of.n_pairs


def scored(songs: pd.DataFrame) -> pd.DataFrame:
    """The songs that have a hit score: only they can be paired.

    Raises:
        DataError: fewer than two have one.
    """
    known = songs[songs["hit_score"].notna()]
    if len(known) < 2:
        raise DataError(
            f"{len(known)} of {len(songs)} songs have a hit score: pairs need two at least; count "
            "plays first (`hitcore plays score`)"
        )
    return known.reset_index(drop=True)


def choose_threshold(scores: np.ndarray) -> float:
    """The slider that says where group A begins; it starts at the mean hit score.

    The choice stands in the address as `below`, the percentage of songs below the threshold.
    """
    mean = mean_hit_score(scores)
    at_mean = percent_below(scores, mean)
    asked = st.query_params.get("below", "")
    start = int(asked) if asked.isdecimal() and len(asked) < 3 else at_mean
    below = st.slider(
        "Songs below the A/B threshold",
        min_value=1,
        max_value=99,
        value=min(max(start, 1), 99),
        format="%d %%",
        key="below",
        help="The paper puts the threshold at the mean hit score of the training songs.",
    )
    if below == at_mean:
        st.query_params.pop("below", None)
        return mean
    st.query_params["below"] = str(below)
    return float(np.quantile(scores, below / 100, method="lower"))


def percent_below(scores: np.ndarray, threshold: float) -> int:
    """Whole percentage of the songs that are not above the threshold, 1 to 99."""
    return min(max(round(100 * float(np.mean(scores <= threshold))), 1), 99)


def threshold_words(scores: np.ndarray, threshold: float) -> str:
    """Where the threshold stands and how many songs are above it."""
    n_above = int((scores > threshold).sum())
    where = "the mean hit score" if threshold == mean_hit_score(scores) else "chosen here"
    return (
        f"Threshold {ppm(threshold)} ({where}): {n_above:,} of {scores.size:,} songs are popular "
        "(group A)."
    )


def view(name: str, songs: pd.DataFrame, threshold: float) -> SamplerView:
    """Count the pairs of one method.

    Args:
        name: "naive", "ab" or "artist".
        songs: With the columns hit_score (all known) and artist_ids.
        threshold: The raw hit score that parts group A from group B.

    Raises:
        DataError: the method has no pair to form among these songs.
        ParameterError: no song is above the threshold.
    """
    scores = songs["hit_score"].to_numpy(float)
    rule = _rule(name, songs, threshold)
    edges = score_edges(scores)
    return SamplerView(name, composition(rule, scores, threshold), _cells(rule, scores, edges))


def finding(views: list[SamplerView]) -> str:
    """What the pictures say, in one or two sentences of Markdown."""
    naive = next((each for each in views if each.name == "naive"), None)
    if naive is None:
        return ""
    text = (
        f"**Naive sampling spends {percent(naive.share_of('tail_tail'))} of its pairs on two "
        f"unpopular songs.**"
    )
    ab = next((each for each in views if each.name == "ab"), None)
    if ab is not None:
        text += (
            f" A/B sampling forms none of those; {percent(ab.share_of('head_head'))} of its pairs "
            f"compare two popular songs, against {percent(naive.share_of('head_head'), 1)}."
        )
    return text


def count_words(each: SamplerView) -> str:
    """How many pairs the method permits, and what part that is of all."""
    made = each.made_of
    share = percent(each.share_of_possible, 0 if each.share_of_possible >= 0.1 else 2)
    return f"{made.n_pairs:,} pairs, {share} of all possible"


def score_edges(scores: np.ndarray) -> np.ndarray:
    """Edges of bins that are equally wide on a log scale; the lowest band is for shares of 0."""
    positive = scores[scores > 0]
    low, high = float(positive.min()), float(positive.max())
    if high < low * 1.01:
        high = low * 10
    edges = np.geomspace(low, high, N_BINS + 1)
    if (scores == 0).any():
        edges = np.concatenate([[edges[0] ** 2 / edges[1]], edges])
    return edges


def density_chart(each: SamplerView, threshold: float, brightest: float) -> alt.LayerChart:
    """Pairs over score × score: brighter cells hold more of the method's pairs.

    Args:
        each: The method.
        threshold: Drawn as a line on both axes.
        brightest: Density with the last colour of the scale, the same for all methods.
    """
    colours = palette()
    brightness = alt.Scale(type="sqrt", scheme=ORDERED_SCALE, domain=[0, brightest], clamp=True)
    cells = (
        alt.Chart(each.cells)
        .mark_rect()
        .encode(
            x=_ppm_axis(alt.X, "x", "hit score of one song (ppm)"),
            x2="x_end:Q",
            y=_ppm_axis(alt.Y, "y", "hit score of the other (ppm)"),
            y2="y_end:Q",
            color=alt.Color("density:Q", scale=brightness, legend=None),
            # The same colour around each cell closes the seams between neighbours.
            stroke=alt.Stroke("density:Q", scale=brightness, legend=None),
            tooltip=[
                alt.Tooltip("x:Q", format=".3~g", title="one song from (ppm)"),
                alt.Tooltip("y:Q", format=".3~g", title="the other from (ppm)"),
                alt.Tooltip("pairs:Q", format=",", title="pairs"),
                alt.Tooltip("share:Q", format=".2%", title="of this method's pairs"),
            ],
        )
    )
    at = alt.Chart(pd.DataFrame({"at": [threshold * 1e6]}))
    lines = at.mark_rule(color=colours.accent, strokeDash=[4, 3], strokeWidth=1.5)
    label = at.mark_text(text="A/B threshold", baseline="bottom", color=colours.accent)
    return alt.layer(
        cells,
        lines.encode(x="at:Q"),
        lines.encode(y="at:Q"),
        label.encode(x="at:Q", y=alt.value(-3)),
    ).properties(height=300, padding={"top": 16})


def _ppm_axis(channel: type[alt.X] | type[alt.Y], column: str, title: str) -> alt.X | alt.Y:
    """A hit score on a log scale."""
    return channel(
        f"{column}:Q",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format=",~g", tickCount=4, grid=False, title=title),
    )


def composition_chart(each: SamplerView) -> alt.LayerChart:
    """What share of the method's pairs joins two popular songs, one of each, two unpopular."""
    colours = palette()
    base = alt.Chart(composition_table([each])).encode(
        y=alt.Y(
            "kind:N",
            sort=None,
            title=None,
            axis=alt.Axis(domain=False, ticks=False, labelOverlap=False),
        ),
        x=alt.X(
            "share:Q",
            title="share of its pairs",
            scale=alt.Scale(domain=[0, 1.18]),
            axis=alt.Axis(format="%", values=[0, 0.5, 1], grid=False),
        ),
    )
    bars = base.mark_bar(color=colours.sampler(each.name), height=16)
    text = base.mark_text(align="left", dx=4, color=colours.ink).encode(
        text=alt.Text("share:Q", format=".1%")
    )
    return (bars + text).properties(height=150)


def composition_table(views: list[SamplerView]) -> pd.DataFrame:
    """The numbers behind the bars, one line per method and kind of pair."""
    return pd.DataFrame(
        [
            {
                "sampler": TITLES[each.name],
                "kind": words,
                "pairs": int(getattr(each.made_of, kind)),
                "share": each.share_of(kind),
            }
            for each in views
            for kind, words in KINDS.items()
        ]
    )


def brightest_of(views: list[SamplerView]) -> float:
    """Upper end of the common colour scale: the 99th percentile of all cells that hold pairs."""
    return float(np.quantile(np.concatenate([each.cells["density"] for each in views]), 0.99))


def _rule(name: str, songs: pd.DataFrame, threshold: float) -> PairRule:
    if name == "naive":
        return Naive(len(songs))
    if name == "ab":
        return AB(songs["hit_score"].to_numpy(float), threshold)
    lineups = tuple(tuple(artists) for artists in songs["artist_ids"])
    return _artist_rule(lineups, hash(lineups))


@st.cache_resource(max_entries=4)
def _artist_rule(_lineups: tuple[tuple[str, ...], ...], fingerprint: int) -> Artist:
    """Of a whole catalogue this takes a moment, and the threshold does not change it."""
    return Artist(_lineups)


def _cells(rule: PairRule, scores: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """The pairs of each two bins on both sides of the diagonal; scores in ppm.

    A pair within one bin is two points of the symmetric picture, like every other pair.
    """
    label = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, edges.size - 2)
    counts = count_between(rule, label, edges.size - 1)
    row, column = np.nonzero(counts)
    edges_ppm = edges * 1e6
    points = counts + np.diag(np.diag(counts))
    return pd.DataFrame(
        {
            "x": edges_ppm[column],
            "x_end": edges_ppm[column + 1],
            "y": edges_ppm[row],
            "y_end": edges_ppm[row + 1],
            "pairs": counts[row, column],
            "share": counts[row, column] / rule.n_permitted(),
            "density": points[row, column] / (2 * rule.n_permitted()),
        }
    )


def rows_with(features: str, rows: list[str]) -> dict[str, str]:
    """The Siamese rows among `rows` that hear the same features, by sampler.

    Args:
        features: As in Table 1: "audio (HL-30)" or "audio (HL-30) + tag".
        rows: Letters of the rows that have results.

    Example:
        >>> rows_with("audio (HL-30) + tag", ["d", "f", "i", "j"])
        {'naive': 'f', 'ab': 'j'}
    """
    return {
        each.sampler: each.row
        for each in TABLE1
        if each.sampler and each.features == features and each.row in rows
    }


def learning_table(history: pd.DataFrame, rows: dict[str, str]) -> pd.DataFrame:
    """Validation nDCG@10 % of what is chosen by then, one line per sampler and epoch."""
    table = chosen_so_far(history, list(rows.values()))
    sampler_of = {row: sampler for sampler, row in rows.items()}
    samplers = table["row"].map(sampler_of)
    return table.assign(sampler=samplers, method=samplers.map(TITLES))


def learning_finding(table: pd.DataFrame) -> str:
    """Where the lines end, on the validation songs that choose."""
    ends = table.loc[table.groupby("method")["epoch"].idxmax()].sort_values("mean", ascending=False)
    told = [
        f"{line.method} at {line.mean:.3f} ({line.low:.3f} to {line.high:.3f})"
        for line in ends.itertuples()
    ]
    return "On validation songs: " + ", ".join(told)


def test_finding(results: Results) -> str:
    """What the test songs say of the samplers: the verdicts that Compare shows, in words."""
    figures = Figures.of(results)
    if small := too_small(figures):
        return small
    lines = []
    for verdict in judge(figures):
        if not verdict.claim.words.startswith("A/B sampling"):
            continue
        low, high = verdict.interval()
        why = f" ({verdict.why})" if verdict.why else ""
        lines.append(
            f"“{verdict.claim.words}” is {verdict.word}{why}: τ@10 % differs by "
            f"{verdict.decides.difference:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")
        )
    if not lines:
        return ""
    return "On the test songs, as on Compare: " + "; ".join(lines) + "."


def learning_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Learning curves of all samplers on one axis, each named at its end."""
    colours = palette()
    names = list(dict.fromkeys(table["sampler"]))
    colour = alt.Color(
        "sampler:N",
        scale=alt.Scale(domain=names, range=[colours.sampler(name) for name in names]),
        legend=None,
    )
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(tickMinStep=1, grid=False, tickCount=8),
    )
    title, scale = "nDCG@10 % on validation songs", alt.Scale(zero=False)
    y = alt.Y("mean:Q", title=title, scale=scale)
    ends = table.loc[table.groupby("sampler")["epoch"].idxmax()]
    span = float(table["high"].max() - table["low"].min())
    ends = ends.assign(mean=apart(list(ends["mean"]), span))
    base = alt.Chart(table).encode(x=x, color=colour)
    band = base.mark_area(opacity=0.12).encode(
        y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2).encode(
        y=y,
        tooltip=[
            alt.Tooltip("method:N"),
            alt.Tooltip("row:N"),
            alt.Tooltip("epoch:Q"),
            alt.Tooltip("mean:Q", format=".3f", title="mean of folds"),
            alt.Tooltip("count:Q", title="folds"),
        ],
    )
    label = (
        alt.Chart(ends)
        .mark_text(align="left", dx=6, fontWeight="bold")
        .encode(x=x, y=y, text="method:N", color=colour)
    )
    return alt.layer(band, line, label).properties(height=320, padding={"right": 90})

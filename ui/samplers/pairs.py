"""The pairs that each sampler forms: counted, over the truth of both songs, and what they join."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from hitcore.errors import DataError
from hitcore.learning.paircounts import Composition, composition, count_between
from hitcore.learning.pairs import AB, Artist, Naive, PairRule, mean_hit_score
from ui.frame.page import percent
from ui.frame.theme import ORDERED_SCALE, palette
from ui.samplers.scales import SHARES, Scale

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
FUSION = (
    "A/B + artist, the paper's last pair of rows, forms no pairs of its own: it averages the "
    "scores of the A/B and the artist row, with a weight chosen on the validation songs."
)


@dataclass(frozen=True)
class SamplerView:
    """One method on one catalogue: its pairs counted, and where they lie."""

    name: str
    made_of: Composition
    cells: pd.DataFrame
    """One line per cell of truth × truth that holds pairs."""
    scale: Scale
    """Of the cells."""
    at: float
    """Where the threshold stands on it."""

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


def mean_threshold(scores: np.ndarray, n_above: int | None = None) -> float:
    """The threshold of the paper: the mean hit score of the songs.

    Args:
        scores: Of all songs; ranks where only they are here.
        n_above: Songs above the mean of the figures that the ranks stand for.

    Example:
        >>> mean_threshold(np.array([0.0, 0.1, 0.8])), mean_threshold(np.array([0.0, 0.5, 1.0]), 1)
        (0.3, 0.5)
    """
    if n_above is None:
        return mean_hit_score(scores)
    return float(np.sort(scores)[-n_above - 1])


def choose_threshold(scores: np.ndarray, mean: float) -> float:
    """The slider that says where group A begins; it starts at the mean hit score.

    The choice stands in the address as `below`, the percentage of songs below the threshold.

    Args:
        scores: Of all songs.
        mean: Of `mean_threshold`.
    """
    at_mean = percent_below(scores, mean)
    asked = st.query_params.get("below", "")
    start = int(asked) if asked.isdecimal() and len(asked) < 3 else at_mean
    below = st.slider(
        "Songs below the A/B threshold",
        min_value=1,
        max_value=99,
        value=min(max(start, 1), 99),
        format="%d %%",
        # Another catalogue has another mean, and its own slider.
        key=f"below-{at_mean}",
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


def threshold_words(
    scores: np.ndarray, threshold: float, mean: float, scale: Scale = SHARES
) -> str:
    """Where the threshold stands and how many songs are above it."""
    n_above = int((scores > threshold).sum())
    where = "the mean hit score" if threshold == mean else "chosen here"
    return (
        f"Threshold {scale.words(scores, threshold)} ({where}): {n_above:,} of {scores.size:,} "
        "songs are popular (group A)."
    )


def view(name: str, songs: pd.DataFrame, threshold: float, scale: Scale = SHARES) -> SamplerView:
    """Count the pairs of one method.

    Args:
        name: "naive", "ab" or "artist".
        songs: With the columns hit_score (all known) and artist_ids.
        threshold: The raw hit score that parts group A from group B.
        scale: On which their pairs are shown.

    Raises:
        DataError: the method has no pair to form among these songs.
        ParameterError: no song is above the threshold.
    """
    scores = songs["hit_score"].to_numpy(float)
    rule = _rule(name, songs, threshold)
    cells = _cells(rule, *scale.bins(scores))
    if not scale.is_share:  # cells of unequal area: how often, beside pairs drawn evenly
        cells["density"] *= 1e4 / ((cells["x_end"] - cells["x"]) * (cells["y_end"] - cells["y"]))
    made_of = composition(rule, scores, threshold)
    return SamplerView(name, made_of, cells, scale, scale.place(scores, threshold))


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


def density_caption(each: SamplerView) -> str:
    """How to read the picture of a method's pairs."""
    if each.scale.is_share:
        return "Each cell counts pairs of songs by their two hit scores; brighter holds more."
    return (
        "Each cell counts pairs of songs by their two percentiles; brighter is more often than if "
        "any two songs were as likely. Songs that tie share one wide cell."
    )


def density_chart(each: SamplerView, brightest: float) -> alt.LayerChart:
    """Pairs over truth × truth: brighter cells hold more of the method's pairs.

    Args:
        each: The method; its threshold is drawn as a line on both axes.
        brightest: Density with the last colour of the scale, the same for all methods.
    """
    colours, scale = palette(), each.scale
    brightness = alt.Scale(type="sqrt", scheme=ORDERED_SCALE, domain=[0, brightest], clamp=True)
    cells = (
        alt.Chart(each.cells)
        .mark_rect()
        .encode(
            x=alt.X("x:Q", scale=scale.stretch, axis=scale.axis, title=scale.one),
            x2="x_end:Q",
            y=alt.Y("y:Q", scale=scale.stretch, axis=scale.axis, title=scale.other),
            y2="y_end:Q",
            color=alt.Color("density:Q", scale=brightness, legend=None),
            # The same colour around each cell closes the seams between neighbours.
            stroke=alt.Stroke("density:Q", scale=brightness, legend=None),
            tooltip=[
                alt.Tooltip("x:Q", format=scale.format, title=f"{scale.one}, from"),
                alt.Tooltip("y:Q", format=scale.format, title=f"{scale.other}, from"),
                alt.Tooltip("pairs:Q", format=",", title="pairs"),
                alt.Tooltip("share:Q", format=".2%", title="of this method's pairs"),
            ],
        )
    )
    at = alt.Chart(pd.DataFrame({"at": [each.at]}))
    lines = at.mark_rule(color=colours.accent, strokeDash=[4, 3], strokeWidth=1.5)
    label = at.mark_text(text="A/B threshold", baseline="bottom", color=colours.accent)
    return alt.layer(
        cells,
        lines.encode(x="at:Q"),
        lines.encode(y="at:Q"),
        label.encode(x="at:Q", y=alt.value(-3)),
    ).properties(height=300, padding={"top": 16})


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


def _cells(rule: PairRule, label: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """The pairs of each two bins on both sides of the diagonal.

    A pair within one bin is two points of the symmetric picture, like every other pair.
    """
    counts = count_between(rule, label, edges.size - 1)
    row, column = np.nonzero(counts)
    points = counts + np.diag(np.diag(counts))
    return pd.DataFrame(
        {
            "x": edges[column],
            "x_end": edges[column + 1],
            "y": edges[row],
            "y_end": edges[row + 1],
            "pairs": counts[row, column],
            "share": counts[row, column] / rule.n_permitted(),
            "density": points[row, column] / (2 * rule.n_permitted()),
        }
    )

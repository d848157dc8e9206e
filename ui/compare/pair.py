"""Two rows against each other, and the paper's claims: differences, intervals, verdicts in words.

Every sentence follows from `hitcore.experiments.verdicts`, as in the report and on Samplers.
"""

from dataclasses import dataclass, replace

import altair as alt
import pandas as pd
import streamlit as st

from hitcore.experiments import METRICS, Results
from hitcore.experiments.claims import DECIDES, NO_GAIN
from hitcore.experiments.figures import Figures
from hitcore.experiments.verdicts import Comparison, Verdict, every_pair, judge, too_small
from ui.compare.rows import TEST_NAMES, cells, label, short_label, signed
from ui.frame.theme import palette

Pairs = dict[tuple[str, str, str], tuple[Comparison, float, float]]


@dataclass(frozen=True)
class Tested:
    """One figure of two rows."""

    test: Comparison
    """First minus second."""
    low: float
    high: float
    """The interval: corrected for primary figures, of 95 % for exploratory ones."""
    p_holm: float | None
    """p corrected over all pairs of rows and the primary figures; None for exploratory figures."""

    @property
    def sign(self) -> int:
        """1 or −1 where the difference is beyond chance, else 0."""
        if self.p_holm is None or not self.p_holm < 0.05:
            return 0
        return 1 if self.test.difference > 0 else -1


@st.cache_resource(max_entries=16, show_spinner=False)
def _tested(runs: tuple[str, ...], _results: Results) -> tuple[Figures, Pairs, tuple[Verdict, ...]]:
    figures = Figures.of(_results)
    return figures, every_pair(figures), judge(figures)


def tested(results: Results) -> tuple[Figures, Pairs, tuple[Verdict, ...]]:
    """The figures of results, all pairs of rows, and the verdicts on the paper's claims."""
    return _tested(tuple(results.metrics["run_id"]), results)


def headline(results: Results) -> str:
    """Which row is best, how sure that is, and how many claims stand, in Markdown.

    By the paper's nDCG@10 %; where a test fold has too few songs for it, by the order of all songs.
    """
    figures, _, verdicts = tested(results)
    small = too_small(figures)
    if small and "pairwise_accuracy" in figures.values:
        return " ".join(part for part in (_best_over_all(results), small) if part)
    means = {row: results.folds_of(row)["ndcg"].mean() for row in results.rows}
    order = sorted((row for row in means if means[row] == means[row]), key=lambda r: -means[r])
    if len(order) < 2:
        return ""
    first, second = order[:2]
    ahead = [row for row in order[1:] if against(results, first, row)["ndcg"].sign > 0]
    sure = (
        f"the first is ahead of {len(ahead)} of the {len(order) - 1} other rows beyond chance"
        if ahead
        else "the first is ahead of no other row beyond chance"
    )
    text = (
        f"**{label(first)} has the best top 10 % (nDCG {means[first]:.3f}), "
        f"{label(second)} comes second ({means[second]:.3f});** {sure}."
    )
    return " ".join(part for part in (text, small or claims_words(verdicts)) if part)


def _best_over_all(results: Results) -> str:
    """Which row puts most pairs of all test songs in the right order, with its interval."""
    found = {
        row: cell
        for (row, metric), cell in cells(results.metrics).items()
        if metric == "pairwise_accuracy"
    }
    order = sorted(found, key=lambda row: -found[row].estimate)
    if len(order) < 2:
        return ""
    first, second = order[:2]
    best = found[first]
    return (
        f"**{label(first)} orders most pairs of test songs rightly "
        f"({100 * best.estimate:.1f} %, 95 % interval {100 * best.low:.1f} to "
        f"{100 * best.high:.1f} %; chance is 50 %), {label(second)} comes second "
        f"({100 * found[second].estimate:.1f} %).** That is exploratory."
    )


def top_is_short(results: Results) -> bool:
    """Whether the top 10 % of a test fold has too few songs for figures of it."""
    return bool(too_small(tested(results)[0]))


def claims_words(verdicts: tuple[Verdict, ...]) -> str:
    """How many of the paper's claims came to which verdict."""
    if not verdicts:
        return ""
    counts = pd.Series([verdict.word for verdict in verdicts]).value_counts()
    told = ", ".join(f"{n} {'are' if n > 1 else 'is'} {word}" for word, n in counts.items())
    return f"Of the paper's claims that these rows can test, {told}."


def claims_table(verdicts: tuple[Verdict, ...]) -> pd.DataFrame:
    """The paper's claims with their verdicts; a reason of their own each, where they have one."""
    lines = []
    for verdict in verdicts:
        low, high = verdict.interval()
        lines.append(
            {
                "Claim": verdict.claim.words,
                "Verdict": verdict.word,
                "Difference": signed(verdict.decides.difference, 3),
                "Corrected interval": f"{signed(low, 3)} to {signed(high, 3)}",
                "p (Holm)": signed(verdict.p_holm, 3),
                "Power": "" if verdict.power != verdict.power else f"{verdict.power:.0%}",
                "Why not judged": verdict.why,
            }
        )
    table = pd.DataFrame(lines)
    reasons = {verdict.why for verdict in verdicts}
    return table if len(reasons) > 1 else table.drop(columns="Why not judged", errors="ignore")


def common_reason(verdicts: tuple[Verdict, ...]) -> str:
    """Why no claim is judged, where that is the same for all; empty where any is."""
    reasons = {verdict.why for verdict in verdicts}
    if len(reasons) != 1 or "" in reasons:
        return ""
    reason = reasons.pop().removesuffix(".")
    return f"**None is judged.** {reason[0].upper()}{reason[1:]}."


CLAIMS_CAPTION = (
    f"One comparison decides each claim: the mean difference of its pairs of rows in "
    f"{TEST_NAMES[DECIDES]}. p is corrected over all claims (Holm) and the interval with it; "
    f"“adds little” must be shown to lie within ±{NO_GAIN:g}. Power: how often a difference of the "
    "paper's size would be found with these folds, seeds and songs; empty where the paper has none."
)


PAIR_CAPTION = (
    "First minus second: grey dots are folds, the coloured tick and the line the mean and its "
    "interval, which takes into account that folds share training songs. nDCG, τ and ρ: p and "
    "interval are corrected for all pairs of rows that could be picked here and the three figures "
    "(Holm). The last two look at all test songs; they are exploratory and have plain intervals of "
    "95 % and no p."
)


def against(results: Results, first: str, second: str) -> dict[str, Tested]:
    """First minus second in every figure that is there."""
    figures, pairs, _ = tested(results)
    found = {}
    for metric in TEST_NAMES:
        if metric not in figures.values:
            continue
        p_holm: float | None = None
        level = 0.05
        if (key := (first, second, metric)) in pairs:
            test, p_holm, level = pairs[key]
        elif (key := (second, first, metric)) in pairs:
            other, p_holm, level = pairs[key]
            test = replace(other, difference=-other.difference)
        else:
            gaps = figures.difference(metric, ((first, second),))
            test = Comparison.of(gaps, figures.test_train_ratio)
        low, high = test.interval(level)
        found[metric] = Tested(test, low, high, p_holm)
    return found


def finding(results: Results, first: str, second: str, found: dict[str, Tested]) -> str:
    """The comparison of two rows in a sentence."""
    figures, pairs, _ = tested(results)
    if small := too_small(figures):
        return small
    better = [TEST_NAMES[m] for m, t in found.items() if t.sign > 0]
    worse = [TEST_NAMES[m] for m, t in found.items() if t.sign < 0]
    n_pairs = len(pairs) // len(METRICS)
    one, other = short_label(first), short_label(second)
    begun = one[0].upper() + one[1:]
    counted = f"counted among all {n_pairs} pairs of rows that could be picked"
    if better and not worse:
        return f"{begun} is ahead of {other} in {', '.join(better)} beyond chance, {counted}."
    if worse and not better:
        return f"{begun} is behind {other} in {', '.join(worse)} beyond chance, {counted}."
    if better:
        return f"{begun} is ahead in {', '.join(better)}, behind in {', '.join(worse)}."
    test = found["ndcg"]
    return (
        f"{begun} and {other}: inconclusive on these folds, {counted}. Their "
        f"difference in nDCG@10 % may lie anywhere from {signed(test.low, 3)} to "
        f"{signed(test.high, 3)}."
    )


def test_table(found: dict[str, Tested]) -> pd.DataFrame:
    """The comparison as a table; exploratory figures have no p."""
    return pd.DataFrame(
        [
            {
                "Figure": TEST_NAMES[metric],
                "Role": "primary" if metric in METRICS else "exploratory",
                "Difference": signed(each.test.difference, 3),
                "Interval": f"{signed(each.low, 3)} to {signed(each.high, 3)}",
                "p (Holm)": "" if each.p_holm is None else signed(each.p_holm, 3),
                "Folds": each.test.n_folds,
                "Without a value": each.test.n_undefined,
                "Seeds": each.test.n_seeds,
            }
            for metric, each in found.items()
        ]
    )


def difference_chart(
    results: Results, first: str, second: str, found: dict[str, Tested]
) -> alt.LayerChart:
    """Each fold's difference as a dot, the mean with its interval, and where no difference is."""
    colours = palette()
    figures = tested(results)[0]
    folds = []
    for metric in found:
        gaps = figures.difference(metric, ((first, second),))
        folds += [
            {"name": TEST_NAMES[metric], "fold": fold, "gap": float(pd.Series(seeds).mean())}
            for fold, seeds in enumerate(gaps)
        ]
    means = pd.DataFrame(
        [
            {"name": TEST_NAMES[m], "mean": t.test.difference, "low": t.low, "high": t.high}
            for m, t in found.items()
        ]
    )
    y = alt.Y(
        "name:N",
        sort=[TEST_NAMES[metric] for metric in found],
        title=None,
        axis=alt.Axis(labelLimit=200, ticks=False),
    )
    title = f"{short_label(first)} minus {short_label(second)}"
    x = alt.X("gap:Q", title=title, axis=alt.Axis(grid=False, format="+.2f"))
    zero = alt.Chart(pd.DataFrame({"at": [0.0]}))
    return alt.layer(
        zero.mark_rule(color=colours.grey, strokeDash=[4, 3]).encode(x="at:Q"),
        alt.Chart(means)
        .mark_rule(color=colours.ink, strokeWidth=2)
        .encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y),
        alt.Chart(pd.DataFrame(folds).dropna())
        .mark_circle(color=colours.grey, size=28, opacity=0.6)
        .encode(x=x, y=y, tooltip=["name", "fold", alt.Tooltip("gap:Q", format="+.3f")]),
        alt.Chart(means)
        .mark_tick(color=colours.accent, thickness=3, size=16)
        .encode(x="mean:Q", y=y, tooltip=["name", alt.Tooltip("mean:Q", format="+.3f")]),
    ).properties(height=40 * len(found) + 50)

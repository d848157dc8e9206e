"""How the rows of each sampler learn, and what the test songs say of them: as Compare does."""

import altair as alt
import pandas as pd
import streamlit as st

from hitcore.experiments import VARIANTS, Results
from hitcore.experiments.variants import ATTRIBUTES, TABLE1
from hitcore.experiments.verdicts import too_small
from ui.compare import pair
from ui.compare import rows as compare
from ui.compare.rows import signed
from ui.frame.learningcurves import apart, chosen_so_far, records_what_was_kept
from ui.frame.theme import palette
from ui.samplers.pairs import TITLES

FEATURES = ("audio (HL-30) + tag", "audio (HL-30)")
"""Features that rows of every sampler share, as in Table 1."""
SIAMESE = tuple(each for each in (*TABLE1, *ATTRIBUTES) if each.sampler)
"""Rows that learn from pairs."""


def rows_with(features: str, rows: list[str]) -> dict[str, str]:
    """The Siamese rows among `rows` that hear the same features, by sampler.

    Args:
        features: As in Table 1: "audio (HL-30)" or "audio (HL-30) + tag"; or "attributes".
        rows: Letters of the rows that have results.

    Example:
        >>> rows_with("audio (HL-30) + tag", ["d", "f", "i", "j"])
        {'naive': 'f', 'ab': 'j'}
    """
    return {
        each.sampler: each.row
        for each in SIAMESE
        if each.sampler and each.features == features and each.row in rows
    }


def features_of(rows: list[str]) -> list[str]:
    """The features that Siamese rows among `rows` take; those of Table 1 where there is none."""
    found = dict.fromkeys(each.features for each in SIAMESE if each.row in rows)
    return sorted(found, key=lambda name: "tag" not in name) or list(FEATURES)


def choose_features(options: list[str]) -> str:
    """Ask which features the rows hear; where all hear the same there is nothing to ask."""
    if len(options) == 1:
        return options[0]
    chosen = st.segmented_control("Features", options, default=options[0], required=True)
    return str(chosen)


def no_rows_words(study: bool) -> str:
    """What to say where no row learned from pairs on the features that were chosen."""
    if study:
        return "No Siamese row of this study has results on these features."
    return "No Siamese row has results on these features yet: run it on Experiments."


def learning_table(results: Results, rows: dict[str, str]) -> pd.DataFrame:
    """Validation nDCG@10 % of what was kept by then, one line per sampler and epoch."""
    metrics = results.metrics
    chosen = metrics.set_index("run_id")["best_epoch"] if "best_epoch" in metrics else None
    table = chosen_so_far(results.history, list(rows.values()), chosen)
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


def learning_caption(results: Results, rows: dict[str, str]) -> str:
    """How to read the curves, and by what they know what training kept."""
    words = (
        "Each line is what would be kept if training stopped there, chosen on the validation "
        "songs: the mean over all folds, which are the same for every line, and its 95 % interval."
    )
    if records_what_was_kept(results.history, list(rows.values())):
        return words
    return (
        f"{words} These runs recorded the epoch that was chosen in the end, where the lines end; "
        "what would have been chosen before is told from the validation loss."
    )


def test_figures(results: Results, rows: dict[str, str]) -> pd.DataFrame:
    """Each sampler's figures on the test songs with 95 % intervals, as Compare has them."""
    cells = compare.cells(results.metrics)
    fused = [v.row for v in VARIANTS.values() if v.fuses and v.fuses[0] == rows.get("ab")]
    both = [("ab+artist", row) for row in fused if row in results.rows]
    lines = []
    for sampler, row in (*rows.items(), *both):
        line = {"Sampler": TITLES[sampler], "Row": compare.label(row)}
        for metric, title in compare.METRIC_NAMES.items():
            cell = cells.get((row, metric))
            line[title] = (
                "undefined"
                if cell is None
                else f"{signed(cell.estimate, 3)} [{signed(cell.low, 3)}, {signed(cell.high, 3)}]"
            )
        lines.append(line)
    return pd.DataFrame(lines)


def test_finding(results: Results) -> str:
    """What the test songs say of the samplers: the verdicts that Compare shows, in words."""
    figures, _, verdicts = pair.tested(results)
    if small := too_small(figures):
        return small
    lines = []
    for verdict in verdicts:
        if not verdict.claim.words.startswith("A/B sampling"):
            continue
        low, high = verdict.interval()
        why = f" ({verdict.why})" if verdict.why else ""
        lines.append(
            f"“{verdict.claim.words}” is {verdict.word}{why}: τ@10 % differs by "
            f"{verdict.decides.difference:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "\u2212")
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

"""Learning curves of any rows: means over the folds with the middle half of them, and losses."""

from collections.abc import Callable
from dataclasses import astuple

import altair as alt
import numpy as np
import pandas as pd

from hitcore.evaluation.intervals import mean_interval
from ui.frame.theme import palette

COLUMNS = ["row", "epoch", "mean", "low", "high", "count"]
MIN_GAP = 0.06
"""Names at line ends stand at least this part of the axis apart."""


def curves(history: pd.DataFrame, rows: list[str], column: str = "valid_ndcg") -> pd.DataFrame:
    """Mean and middle half over folds of a figure, one line per row and epoch.

    Folds end when they stop improving; an epoch is shown while at least half of them still learn.

    Args:
        history: As `Results.history`; other rows are left out.
        rows: In the order wanted.
        column: A column of the history.
    """
    parts = []
    for row in rows:
        of_row = history[history["row"] == row]
        if of_row.empty or column not in of_row:
            continue
        groups = of_row.groupby("epoch")[column]
        table = pd.DataFrame(
            {
                "mean": groups.mean(),
                "low": groups.quantile(0.25),
                "high": groups.quantile(0.75),
                "count": groups.count(),
            }
        )
        shown = table[table["count"] >= max(1, of_row["fold"].nunique() / 2)]
        parts.append(shown.reset_index().assign(row=row))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def chosen_so_far(
    history: pd.DataFrame, rows: list[str], best_epoch: pd.Series | None = None
) -> pd.DataFrame:
    """What would be kept if training stopped at an epoch: one line per row and epoch.

    Of each fold (and seed) the validation nDCG@10 % at the epoch that training had kept by then, so
    that the end of a line is what the row's test figures come from. Every line is of the same
    folds throughout: a fold that has ended stands at what it chose.

    Args:
        history: As `Results.history`.
        rows: In the order wanted.
        best_epoch: What each run recorded as chosen in the end, by its run_id. It holds for runs
            that did not record at each epoch whether it was kept; for epochs before it, theirs is
            told from the validation loss.
    """
    parts = []
    wanted = history[history["row"].isin(rows)]
    if wanted.empty or not {"valid_ndcg", "valid_loss"} <= set(wanted):
        return pd.DataFrame(columns=COLUMNS)
    epochs = range(int(wanted["epoch"].min()), int(wanted["epoch"].max()) + 1)
    for row in rows:
        of_row = wanted[wanted["row"] == row].sort_values("epoch")
        if of_row.empty:
            continue
        repeat = of_row.get("repeat", 0)
        kept = {}
        for key, run in of_row.assign(repeat=repeat).groupby(["fold", "repeat"]):
            value = run["valid_ndcg"].where(_kept(run, best_epoch)).ffill()
            kept[key] = pd.Series(value.to_numpy(), run["epoch"].to_numpy()).reindex(epochs).ffill()
        folds = pd.DataFrame(kept).T.groupby(level=0).mean()
        for epoch in epochs:
            values = folds[epoch].dropna().to_numpy(float)
            one = float(values.mean()) if len(values) else np.nan
            found = astuple(mean_interval(values)) if len(values) > 1 else (one, one, one)
            parts.append((row, epoch, *found, len(values)))
    return pd.DataFrame(parts, columns=COLUMNS)


def records_what_was_kept(history: pd.DataFrame, rows: list[str]) -> bool:
    """Whether every run of these rows recorded at each epoch whether its weights were kept."""
    of_rows = history[history["row"].isin(rows)]
    return "kept" in of_rows and bool(of_rows["kept"].notna().all())


def _kept(run: pd.DataFrame, best_epoch: pd.Series | None) -> pd.Series:
    """At which epochs of a run, in order, training kept the weights."""
    if "kept" in run and run["kept"].notna().all():
        return run["kept"].astype(bool)
    loss = run["valid_loss"].astype(float)
    better = loss < loss.cummin().shift(fill_value=np.inf)
    last = np.nan if best_epoch is None else best_epoch.get(run["run_id"].iloc[0], np.nan)
    if not last > 0:
        return better
    return (better & (run["epoch"] < last)) | (run["epoch"] == last)


def apart(values: list[float], span: float) -> list[float]:
    """Heights for names at line ends: in the order of the lines, at least MIN_GAP of `span` apart.

    Example:
        >>> apart([1.0, 1.0, 5.0], span=10.0)
        [0.7, 1.3, 5.0]
    """
    order = sorted(range(len(values)), key=lambda n: values[n])
    placed = [values[n] for n in order]
    gap = MIN_GAP * span
    for _ in range(len(placed) * 4):
        for n in range(1, len(placed)):
            short = gap - (placed[n] - placed[n - 1])
            if short > 1e-9:
                placed[n - 1] -= short / 2
                placed[n] += short / 2
    result = [0.0] * len(values)
    for n, height in zip(order, placed, strict=True):
        result[n] = round(height, 9)
    return result


def many(table: pd.DataFrame, row: str, name: Callable[[str], str]) -> alt.LayerChart:
    """Validation nDCG of all rows in grey, one of them in colour with the middle half of its folds.

    Args:
        table: Of `curves`.
        row: The one in colour.
        name: What a row is called in the tooltip.
    """
    colours = palette()
    x = _epochs()
    title, scale = "nDCG@10 % on validation songs", alt.Scale(zero=False)
    y = alt.Y("mean:Q", title=title, scale=scale, axis=alt.Axis(gridColor=colours.faint))
    named = table.assign(name=table["row"].map(name))
    one = named[named["row"] == row]
    tips = [
        alt.Tooltip("name:N", title="row"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("mean:Q", format=".3f", title="mean of folds"),
        alt.Tooltip("count:Q", title="folds still learning"),
    ]
    return alt.layer(
        alt.Chart(named[named["row"] != row])
        .mark_line(color=colours.grey, strokeWidth=1, opacity=0.55)
        .encode(x=x, y=y, detail="row:N", tooltip=tips),
        alt.Chart(one)
        .mark_area(color=colours.accent, opacity=0.14)
        .encode(x=x, y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q"),
        alt.Chart(one)
        .mark_line(color=colours.accent, strokeWidth=2.5)
        .encode(x=x, y=y, tooltip=tips),
    ).properties(height=300)


def losses(history: pd.DataFrame, row: str) -> pd.DataFrame:
    """The mean loss of a row on training and on validation songs, by epoch."""
    parts = []
    for column, words in (("train_loss", "training songs"), ("valid_loss", "validation songs")):
        table = curves(history, [row], column)
        parts.append(table.assign(songs=words)[["songs", "epoch", "mean", "count"]])
    return pd.concat(parts, ignore_index=True)


def loss_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Both losses on one axis, each named at its end: "training" and "validation"."""
    colours = palette()
    colour = alt.Color(
        "songs:N",
        legend=None,
        scale=alt.Scale(
            domain=["training songs", "validation songs"], range=[colours.grey, colours.accent]
        ),
    )
    y = alt.Y(
        "mean:Q",
        title="loss (eq. 1, or eq. 3 with pairs)",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(gridColor=colours.faint),
    )
    lines = (
        alt.Chart(table)
        .mark_line(strokeWidth=2)
        .encode(
            x=_epochs(),
            y=y,
            color=colour,
            tooltip=["songs", "epoch", alt.Tooltip("mean:Q", format=".3f")],
        )
    )
    ends = table.loc[table.groupby("songs")["epoch"].idxmax()]
    span = float(table["mean"].max() - table["mean"].min())
    ends = ends.assign(mean=apart(list(ends["mean"]), span), songs_short=ends["songs"].str[:-6])
    names = (
        alt.Chart(ends)
        .mark_text(align="left", dx=6, fontWeight="bold")
        .encode(x=_epochs(), y=y, text="songs_short:N", color=colour)
    )
    return alt.layer(lines, names).properties(height=300, padding={"right": 70})


def _epochs() -> alt.X:
    return alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(tickMinStep=1, grid=False, tickCount=8, format="d"),
    )

"""What an experiment that has run shows: its facts, its rows, how they learned, and every run."""

import pandas as pd
import streamlit as st

from hitcore.experiments import VARIANTS, Results
from ui.frame import charts, loaders, page
from ui.frame import learningcurves as learning
from ui.frame.resultsets import ResultSet

CHOSEN = {"margin": "m", "rank_weight": "w", "tag_weight": "μ", "fusion_weight": "fusion weight"}


def shipped() -> None:
    """The demo results that come with the app, as an experiment that has run."""
    kinds = loaders.fold_kinds_of_demo()
    if not kinds:
        page.empty_state(
            "No demo results are installed here: an experiment of your own will stand here."
        )
        return
    st.subheader("Finished: Table 1 on the demo catalogue", anchor="demo")
    words, link = st.columns([4, 1], vertical_alignment="center")
    words.markdown(
        ":material/check_circle: done :gray-badge[demo: synthetic songs] These runs came with the "
        "app; nothing was computed here."
    )
    compare_link(link, ResultSet(None, kinds[0]).key)
    results = loaders.results(kinds[0])
    show(results, loaders.about(), key="demo")
    for kind in kinds[1:]:
        with st.expander(f"The same on folds that share no {kind}"):
            st.dataframe(
                by_row(loaders.results(kind)), hide_index=True, placeholder="", key=f"demo-{kind}"
            )


def compare_link(place: object, key: str) -> None:
    """A link to Compare with these results; nothing where a page stands alone."""
    try:
        place.page_link(  # type: ignore[attr-defined]
            "pages/compare.py",
            label="Open in Compare",
            icon=":material/table_chart:",
            query_params={"results": key},
        )
    except (st.errors.StreamlitAPIException, KeyError):
        return


def show(results: Results, about: dict[str, object], *, key: str) -> None:
    """Facts, rows, learning curves and runs of one experiment.

    Args:
        results: What was found.
        about: How it was made, as it ships; empty where nobody wrote that down.
        key: Unique on the page.
    """
    facts(results, about)
    st.dataframe(
        by_row(results),
        hide_index=True,
        height="content",
        placeholder="",
        key=f"{key}-rows",
        column_config={
            name: st.column_config.NumberColumn(name, format="%.3f")
            for name in ("nDCG@10 %", "Pairwise accuracy")
        },
    )
    st.caption(
        "Means over the folds, on songs that no model of the fold had seen. Pairwise accuracy: the "
        "share of all pairs of test songs that are ranked rightly; 0.5 is chance. Chosen: what won "
        "on the validation songs, and in how many folds."
    )
    how_they_learned(results, key=key)
    with st.expander(f"Every run: {len(results.metrics)} of them, keyed by their configuration"):
        st.dataframe(runs(results), hide_index=True, key=f"{key}-runs")


def facts(results: Results, about: dict[str, object]) -> None:
    """What ran, how long, on what: four figures and a line."""
    metrics = results.metrics
    n_rows, n_folds = len(results.rows), metrics["fold"].nunique()
    seconds = float(metrics["duration_s"].sum())
    n_songs = results.test_predictions(results.rows[0])["song_id"].nunique()
    boxes = st.columns(4)
    boxes[0].metric("Runs", f"{len(metrics):,}", f"{n_rows} rows × {n_folds} folds", **_plain())
    boxes[1].metric("Songs", f"{n_songs:,}", f"{_median(metrics['n'])} in a test fold", **_plain())
    boxes[2].metric(
        "Training time",
        duration(seconds),
        f"{duration(seconds / len(metrics))} for one run",
        **_plain(),
        help="Summed over all runs; several workers finish sooner.",
    )
    versions = ", ".join(sorted(set(metrics["code_version"])))
    boxes[3].metric("Finished", _day(metrics["ended_at"].max()), f"hitcore {versions}", **_plain())
    st.caption(page.plain(" · ".join(_settings(results, about))))


def _plain() -> dict[str, str]:
    return {"delta_color": "off", "delta_arrow": "off"}


def _settings(results: Results, about: dict[str, object]) -> list[str]:
    """Folds, training, grid, machine and version, as far as they are known."""
    metrics = results.metrics
    parts = [f"{metrics['fold_kind'].iloc[0]}-disjoint folds, seed {metrics['seed'].iloc[0]}"]
    training, tried = about.get("training"), about.get("tried")
    if isinstance(training, dict):
        parts.append(
            f"at most {training['max_epochs']} epochs, batches of {training['batch_size']}"
        )
    if isinstance(tried, dict):
        grid = [
            f"{sign} {', '.join(f'{value:g}' for value in tried[name])}"
            for name, sign in CHOSEN.items()
            if tried.get(name)
        ]
        parts.append(f"tried {'; '.join(grid)}")
    device = ", ".join(sorted(set(metrics["device"])))
    return [*parts, f"{device} ({about['machine']})" if "machine" in about else device]


def by_row(results: Results) -> pd.DataFrame:
    """One line per row: how many folds, how long, what was chosen, what came out."""
    lines = []
    for row in results.rows:
        folds = results.folds_of(row)
        lines.append(
            {
                "Row": name_of(row),
                "Folds": len(folds),
                "Time per fold": duration(float(folds["duration_s"].mean())),
                "Best epoch (median)": folds["best_epoch"].median(),
                "Chosen": chosen(folds),
                "nDCG@10 %": folds["ndcg"].mean(),
                "Pairwise accuracy": folds["pairwise_accuracy"].mean(),
            }
        )
    return pd.DataFrame(lines)


def chosen(folds: pd.DataFrame) -> str:
    """Which parameters won on validation: the most frequent value with its folds, or the median.

    Example:
        >>> chosen(pd.DataFrame({"margin": [0.3, 0.3], "rank_weight": [0.5, 0.9]}))
        'm 0.3 (2), w 0.5 (1)'
        >>> chosen(pd.DataFrame({"fusion_weight": [0.0, 0.2, 0.9]}))
        'fusion weight 0.2 (median)'
    """
    told = []
    for name, sign in CHOSEN.items():
        values = folds[name].dropna() if name in folds else pd.Series(dtype=float)
        if name == "fusion_weight" and len(values):
            told.append(f"{sign} {values.median():g} (median)")
            continue
        values = values[values != 0]
        if len(values):
            counts = values.value_counts().sort_index()
            told.append(f"{sign} {counts.idxmax():g} ({counts.max()})")
    return ", ".join(told)


def how_they_learned(results: Results, *, key: str) -> None:
    """The learning curves, where their history is there: all rows, and one of them by its loss."""
    history = results.history
    rows = [row for row in results.rows if row in set(history["row"])]
    if not rows or "valid_ndcg" not in history:
        return
    best = max(rows, key=lambda row: results.folds_of(row)["ndcg"].mean())
    st.markdown("**How they learned**")
    row = st.selectbox(
        "Row in colour", rows, rows.index(best), key=f"{key}-row", format_func=name_of
    )
    left, right = st.columns(2, gap="medium")
    table = learning.curves(history, rows)
    own = table[table["row"] == row]
    with left:
        charts.figure(
            f"{name_of(row)} reaches {own['mean'].max():.3f} on validation songs, at epoch "
            f"{int(own.loc[own['mean'].idxmax(), 'epoch'])}",
            learning.many(table, row, name_of),
            "Each line is a row, the mean over its folds; the band holds the middle half of the "
            "folds of the row in colour.",
            table,
            key=f"{key}-curves",
        )
    with right:
        lost = learning.losses(history, row)
        charts.figure(
            loss_finding(lost),
            learning.loss_chart(lost),
            "Where the two part, the row learns its training songs by heart; training stops soon "
            "after, and the epoch with the lowest loss on validation songs is kept.",
            lost,
            key=f"{key}-losses",
        )


def loss_finding(table: pd.DataFrame) -> str:
    """Until when the loss on validation songs falls."""
    valid = table[table["songs"] == "validation songs"]
    epoch, last = int(valid.loc[valid["mean"].idxmin(), "epoch"]), int(valid["epoch"].max())
    if epoch >= last:
        return "Its loss on validation songs falls to the end: more epochs might help"
    return f"Its loss on validation songs is lowest at epoch {epoch} of {last}"


def name_of(row: str) -> str:
    """A row in words, such as "(j) Siamese, A/B, HL-30 + tags"."""
    return f"({row}) {VARIANTS[row].title}" if VARIANTS[row].paper else VARIANTS[row].title


def runs(results: Results) -> pd.DataFrame:
    """One line per run, as the ledger of a workspace shows them."""
    metrics = results.metrics
    return pd.DataFrame(
        {
            "Row": metrics["row"],
            "Fold": metrics["fold"],
            "State": "done",
            "nDCG@10 %": metrics["ndcg"].round(3),
            "Seconds": metrics["duration_s"].round(1),
            "Device": metrics["device"],
            "Version": metrics["code_version"],
            "Ended": metrics["ended_at"],
            "Run": metrics["run_id"],
        }
    )


def duration(seconds: float) -> str:
    """A span of time for people.

    Example:
        >>> duration(0.2), duration(40), duration(600), duration(7200)
        ('under 1 s', '40 s', '10 min', '2.0 h')
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{round(seconds)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _median(values: pd.Series) -> int:
    return int(values.median())


def _day(moment: object) -> str:
    return f"{pd.Timestamp(str(moment)):%-d %b %Y}"

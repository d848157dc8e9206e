"""Why the paper's claims hold or do not on the demo catalogue: figures, and words by the figures.

Four questions, each answered from the runs' own predictions and the planted truth: which pairs of
songs a row puts in order (two popular, one of each, two unpopular), how far it spreads the scores
of the unpopular ones, which weights won on the validation songs, and what a second row adds.
"""

import numpy as np
import pandas as pd

from hitcore.catalogue.workspace import Workspace
from hitcore.experiments import VARIANTS, Results
from hitcore.learning.pairs import mean_hit_score

KINDS = {"head_head": "two popular", "head_tail": "one of each", "tail_tail": "two unpopular"}
AB_NAIVE, AB_ARTIST = "A/B sampling is better than naive", "A/B sampling is better than artist"
SIAMESE = ("c", "e", "g", "i", "d", "f", "h", "j")


def explanations(
    workspace: Workspace, results: Results, truth: pd.DataFrame, verdicts: dict[str, str]
) -> list[str]:
    """Paragraphs and tables, for every claim whatever its verdict; words follow the figures."""
    return [
        *samplers(results, truth, verdicts),
        *highlights(results, truth, verdicts),
        *tags(results, verdicts),
        *fusion(results, verdicts),
    ]


# --- the samplers --------------------------------------------------------------------------------


def samplers(results: Results, truth: pd.DataFrame, verdicts: dict[str, str]) -> list[str]:
    """Which pairs each row orders, and how far the popular songs' share of the catalogue counts."""
    rows = [row for row in SIAMESE if row in results.rows]
    if AB_NAIVE not in verdicts:
        return []
    ceiling = ordered_of(results.test_predictions(rows[0]), truth["appeal"])
    by_row = {row: ordered(results.test_predictions(row)) for row in rows}
    lines = ["| score | " + " | ".join(f"{w}, in order" for w in KINDS.values()) +
             " | spread within the unpopular |", "|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        cells = " | ".join(f"{by_row[row][kind]:.1%}" for kind in KINDS)
        lines.append(
            f"| ({row}) {VARIANTS[row].title} | {cells} | "
            f"{tail_spread(results.test_predictions(row)):.2f} |"
        )
    cells = " | ".join(f"{ceiling[kind]:.1%}" for kind in KINDS)
    appeal = results.test_predictions(rows[0])
    appeal["y_score"] = truth.loc[appeal["song_id"], "appeal"].to_numpy(float)
    lines.append(f"| the planted appeal itself | {cells} | {tail_spread(appeal):.2f} |")
    return [
        "**The samplers.** Popular is above the mean hit score, as in the paper. Spread is the "
        "deviation of the score within the unpopular songs over that of all songs of a fold: 0 "
        "would put them all in one place.",
        "\n".join(lines),
        sampler_words(results, ceiling, by_row, verdicts),
    ]


def sampler_words(
    results: Results,
    ceiling: dict[str, float],
    by_row: dict[str, dict[str, float]],
    verdicts: dict[str, str],
) -> str:
    """What the figures say about A/B."""
    head, tail = ceiling["head_head"], ceiling["tail_tail"]
    first = results.test_predictions(results.rows[0])
    popular = share_popular(first)
    told = (
        f"A/B against naive: {verdicts[AB_NAIVE]}; against artist: "
        f"{verdicts.get(AB_ARTIST, 'not run')}. Here {popular:.1%} of the songs are popular, about "
        f"{popular * results.metrics['n_train'].median():.0f} in a training set. The planted "
        f"appeal puts {tail:.1%} of the pairs of two unpopular songs in order and {head:.1%} of "
        "those of two popular ones: "
    )
    if tail >= head - 0.01:
        told += (
            "the order of the tail teaches as much as that of the head, which is the condition "
            "under which `docs/ab-sampling.md` finds naive pairs ahead, since A/B throws the "
            "tail's order away. "
        )
    else:
        told += (
            "the order of the head tells more than that of the tail, which is the condition under "
            "which `docs/ab-sampling.md` finds A/B ahead. "
        )
    for naive, ab in (("e", "i"), ("f", "j")):
        if naive in by_row and ab in by_row:
            gaps = {kind: by_row[ab][kind] - by_row[naive][kind] for kind in KINDS}
            most = max(gaps, key=lambda kind: abs(gaps[kind]))
            told += (
                f"From ({naive}) to ({ab}) the share in order changes by "
                + ", ".join(f"{gaps[kind]:+.1%} ({KINDS[kind]})" for kind in KINDS)
                + f": most for {KINDS[most]}. "
            )
    n_train = results.metrics["n_train"].median()
    n_tail = n_train * (1 - popular)
    told += (
        f"In A/B pairs a popular song stands {n_train - 1:.0f} times and an unpopular one "
        f"{n_train - n_tail:.0f} times, so {popular:.1%} of the songs make "
        f"{(n_train - 1) / (n_train - 1 + n_tail):.0%} of what an A/B row rates and compares. "
    )
    weights = {row: chosen(results, row, "rank_weight") for row in by_row if ranks(row)}
    epochs = {row: results.folds_of(row)["best_epoch"].median() for row in by_row}
    told += (
        "Weights of the ranking loss chosen on the validation songs (folds): "
        + "; ".join(f"({row}) {counts}" for row, counts in weights.items())
        + ". Median best epoch: "
        + ", ".join(f"({row}) {epoch:.0f}" for row, epoch in epochs.items())
        + (
            ". The A/B rows are at their best earlier than the naive ones: few songs, seen often, "
            "are learnt by heart soon."
            if early(epochs)
            else "."
        )
    )
    return told


def early(epochs: dict[str, float]) -> bool:
    """Whether every A/B row stops improving in half of the epochs of its naive counterpart."""
    pairs = [(ab, naive) for ab, naive in (("i", "e"), ("j", "f")) if {ab, naive} <= set(epochs)]
    return bool(pairs) and all(epochs[ab] <= epochs[naive] / 2 for ab, naive in pairs)


def ranks(row: str) -> bool:
    return VARIANTS[row].objective == "multi"


def ordered(table: pd.DataFrame) -> dict[str, float]:
    """The share of pairs in the right order by kind of pair, ties counting half; folds pooled."""
    right = dict.fromkeys(KINDS, 0.0)
    total = dict.fromkeys(KINDS, 0)
    threshold = mean_hit_score(table["y_true"].to_numpy(float))
    for _, fold in table.groupby("fold"):
        truth, score = (fold[name].to_numpy(float) for name in ("y_true", "y_score"))
        one, other = np.triu_indices(len(truth), 1)
        gap = truth[one] - truth[other]
        agree = (np.sign(gap) * np.sign(score[one] - score[other]) + 1) / 2
        n_popular = (truth[one] > threshold).astype(int) + (truth[other] > threshold)
        for kind, n in zip(KINDS, (2, 1, 0), strict=True):
            these = (n_popular == n) & (gap != 0)
            right[kind] += float(agree[these].sum())
            total[kind] += int(these.sum())
    return {kind: right[kind] / total[kind] if total[kind] else np.nan for kind in KINDS}


def ordered_of(table: pd.DataFrame, by: pd.Series) -> dict[str, float]:
    """The same for something else than the predictions, by song."""
    return ordered(table.assign(y_score=by.loc[table["song_id"]].to_numpy(float)))


def tail_spread(table: pd.DataFrame) -> float:
    """Deviation of the score within the unpopular songs over that of all, mean over folds."""
    threshold = mean_hit_score(table["y_true"].to_numpy(float))
    shares = []
    for _, fold in table.groupby("fold"):
        score = fold["y_score"].to_numpy(float)
        tail = score[fold["y_true"].to_numpy(float) <= threshold]
        if score.std() > 0:
            shares.append(tail.std() / score.std())
    return float(np.mean(shares)) if shares else np.nan


def share_popular(table: pd.DataFrame) -> float:
    scores = table["y_true"].to_numpy(float)
    return float(np.mean(scores > mean_hit_score(scores)))


# --- the others ----------------------------------------------------------------------------------


def highlights(results: Results, truth: pd.DataFrame, verdicts: dict[str, str]) -> list[str]:
    there = [row for row in ("a", "c", "c-attention") if row in results.rows]
    claim = "HL-30 is better than Mid-30"
    if claim not in verdicts or len(there) < 2:
        return []
    heard = ", ".join(f"({row}) {follows(results, row, truth['appeal']):.3f}" for row in there)
    return [
        f"**The highlights** ({verdicts[claim]}). How closely the score follows the planted appeal "
        f"within a fold (Spearman): {heard}. Which part of each method's clip is chorus, where "
        "the appeal shows, stands in the last table below."
    ]


def tags(results: Results, verdicts: dict[str, str]) -> list[str]:
    pairs = [
        (with_tags, without)
        for with_tags, without in (("b", "a"), ("d", "c"), ("f", "e"), ("h", "g"), ("j", "i"))
        if {with_tags, without} <= set(results.rows)
    ]
    if "Tags help" not in verdicts or not pairs:
        return []
    told = f"**The tags** ({verdicts['Tags help']}). Tag weights μ chosen on validation (folds): "
    told += "; ".join(f"({row}) {chosen(results, row, 'tag_weight')}" for row, _ in pairs)
    if {"tags", "c"} <= set(results.rows):
        alone, audio = (results.folds_of(row)["pairwise_accuracy"].mean() for row in ("tags", "c"))
        told += (
            f". Tags alone put {alone:.1%} of all pairs in order, sound alone {audio:.1%}; their "
            f"scores agree by {agreement(results, 'tags', 'c'):.2f} (Spearman within a fold), so "
            "what tags know is "
            + ("largely" if agreement(results, "tags", "c") > 0.5 else "only partly")
            + " what the sound tells anyway"
        )
    return [
        told + ". The generator gives each genre its own sound and its own popularity; appeal "
        "moves no tag on purpose."
    ]


def fusion(results: Results, verdicts: dict[str, str]) -> list[str]:
    claim = "Fusing A/B and artist adds little to A/B"
    rows = [row for row in ("k", "l") if row in results.rows]
    if claim not in verdicts or not rows:
        return []
    weights = "; ".join(f"({row}) {chosen(results, row, 'fusion_weight')}" for row in rows)
    agree = []
    for row in rows:
        parts = VARIANTS[row].fuses or ()
        if parts and set(parts) <= set(results.rows):
            agree.append(f"({parts[0]}) and ({parts[1]}) {agreement(results, *parts):.2f}")
    return [
        f"**The fusion** ({verdicts[claim]}). Weight of the artist row chosen on validation "
        f"(folds): {weights}. The two parts' scores agree by {', '.join(agree)} (Spearman within "
        "a fold): the less they agree, the more there is to gain from a mean."
    ]


def chosen(results: Results, row: str, name: str) -> str:
    """Which values of a parameter won, and in how many folds.

    For example "0.5 × 3, 0.9 × 7".
    """
    counts = results.folds_of(row)[name].value_counts().sort_index()
    return ", ".join(f"{value:g} × {n}" for value, n in counts.items())


def follows(results: Results, row: str, cause: pd.Series) -> float:
    """Spearman's correlation of a row's score with a planted cause, mean over folds."""
    table = results.test_predictions(row)
    table["cause"] = cause.loc[table["song_id"]].to_numpy(float)
    return float(
        np.mean([f["y_score"].corr(f["cause"], "spearman") for _, f in table.groupby("fold")])
    )


def agreement(results: Results, first: str, second: str) -> float:
    """Spearman's correlation of two rows' scores on the same songs, mean over folds."""
    a, b = (results.test_predictions(row) for row in (first, second))
    both = a.merge(b, on=["song_id", "fold"])
    folds = both.groupby("fold")
    return float(np.mean([f["y_score_x"].corr(f["y_score_y"], "spearman") for _, f in folds]))

"""The model card of an exported row: written from its runs, into the model's file."""

import json
import math
import warnings
from collections.abc import Mapping

import numpy as np

from hitcore import __version__
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import UndefinedMetricWarning
from hitcore.evaluation.intervals import Interval, mean_interval
from hitcore.evaluation.percentiles import Reference
from hitcore.experiments.results import METRICS, Results
from hitcore.experiments.variants import variant
from hitcore.networks.cards import Figure, ModelCard

CITATION = (
    'L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen, "Hit Song Prediction for Pop Music by Siamese '
    'CNN with Ranking Loss", 2017.'
)
WORDS = {
    "ndcg": "nDCG at the top 10 %",
    "kendall": "Kendall's τ at the top 10 %",
    "spearman": "Spearman's ρ at the top 10 %",
    "pairwise_accuracy": "share of pairs of test songs in the right order",
}


def card_of(
    workspace: Workspace,
    results: Results,
    row: str,
    described: Mapping[str, object],
    spearman: Interval,
    reference: Reference,
) -> ModelCard:
    """The card of an ensemble of a row's folds.

    Args:
        workspace: Whose runs.
        results: Of one kind of folds.
        row: A row that trains networks.
        described: The fields of its specification: `name`, `title`, `trained_on`, `label`.
        spearman: Over all songs, out of fold.
        reference: Its songs with their out-of-fold scores.
    """
    folds, catalogue = results.folds_of(row), workspace.path.name
    kind, n_folds = str(folds["fold_kind"].iloc[0]), len(folds)
    demo = bool(described.get("demo"))
    songs = "the demo catalogue: synthetic songs" if demo else f"the catalogue {catalogue}"
    return ModelCard(
        name=str(described["name"]),
        description=f"{described['title']}: {n_folds} networks, one for each fold of {songs}. "
        "Its score is their mean.",
        uses=f"To rate songs like those of {catalogue} and to place them among its songs. Not for "
        "songs of another kind, nor for sounds that are no songs.",
        limits=str(described["limits"])
        + (" It learned from synthetic songs and says nothing about real ones." if demo else ""),
        training_data=f"{described['trained_on']}.{_heard(results, row)}",
        label=f"For each song {described['label']}.",
        training_procedure=_procedure(workspace, results, row),
        evaluation_data=f"The same songs, each scored by the network that had not learned from it "
        f"({n_folds} folds that share no {kind}). Intervals: 95 %; over all songs by bootstrap, "
        "over folds widened for the training songs that they share.",
        evaluation=(
            Figure("Spearman's ρ, all songs", *_rounded(spearman), n=len(reference.score)),
            *_over_folds(results, row),
            *_coverage(reference),
        ),
        licence="That of the catalogue.",
        citation=CITATION,
    )


def _heard(results: Results, row: str) -> str:
    """Which clips and whose tags the networks took."""
    if variant(row).attributes:
        return " They are known by attributes, not by sound."
    first = results.folds_of(row).iloc[0]
    clips, tagger = first.get("highlight"), first.get("tagger")
    told = [f"clips: {clips}"] if isinstance(clips, str) else []
    told += [f"tags: {tagger}"] if isinstance(tagger, str) else []
    return f" {'; '.join(told).capitalize()}." if told else ""


def _procedure(workspace: Workspace, results: Results, row: str) -> str:
    """How its networks were trained, as their runs' folders tell."""
    folds = results.folds_of(row)
    words = f"`hitcore experiment run`, row {row}, hitcore {__version__}."
    file = workspace.run_folder(str(folds["run_id"].iloc[0])) / "config.json"
    if not file.exists():
        return words
    config = json.loads(file.read_text(encoding="utf-8"))
    training, points = config["training"], len(config["points"])
    best = folds["best_epoch"]
    return (
        f"{words} Optimiser {training['optimiser']}, step size {training['learning_rate']:g}, "
        f"batches of {training['batch_size']}, at most {training['max_epochs']} epochs (kept: "
        f"{best.min():g} to {best.max():g}); {points} grid "
        f"{'point' if points == 1 else 'points'}, chosen on validation songs."
    )


def _over_folds(results: Results, row: str) -> list[Figure]:
    """The mean over folds of each figure, where it is defined."""
    folds = results.folds_of(row)
    ratio = float((folds["n"] / folds["n_train"]).mean())
    found = []
    for metric in (*METRICS, "pairwise_accuracy"):
        values = folds[metric].dropna().to_numpy(np.float64) if metric in folds else np.empty(0)
        if len(values) > 1:
            words = f"{WORDS[metric]}, mean of {len(values)} folds"
            at = mean_interval(values, ratio)
            least = 0.0 if metric in ("ndcg", "pairwise_accuracy") else -1.0
            # With few folds the interval is wider than the figure's scale, which ends it.
            ends = Interval(at.estimate, max(at.low, least), min(at.high, 1.0))
            found.append(Figure(words, *_rounded(ends)))
    return found


def _coverage(reference: Reference) -> list[Figure]:
    """How often intervals hold the truth on folds that took no part in making them."""
    found = []
    for nominal in (0.8, 0.9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            held = reference.coverage(nominal)
        if math.isfinite(held):
            words = f"coverage of {nominal:.0%} intervals on folds that took no part"
            found.append(Figure(words, round(held, 4), n=len(reference.score)))
    return found


def _rounded(interval: Interval) -> tuple[float, float, float]:
    low, high = float(interval.low), float(interval.high)
    return round(float(interval.estimate), 4), round(low, 4), round(high, 4)

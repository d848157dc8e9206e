"""How well a tagger tells clips with a tag from clips without it.

References:
    T. Fawcett, "An introduction to ROC analysis", 2006; average precision as in scikit-learn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from hitcore.errors import ParameterError


@dataclass(frozen=True)
class TagScores:
    """ROC-AUC and PR-AUC of each tag, and their means."""

    tag_names: tuple[str, ...]
    """The tags."""
    roc_auc: NDArray[np.float64]
    """`(n_tags,)`; NaN where all clips have the tag, or none."""
    pr_auc: NDArray[np.float64]
    """Average precision `(n_tags,)`; NaN as above."""
    prevalence: NDArray[np.float64]
    """Share of the clips that have the tag: the PR-AUC of a guess."""

    @property
    def macro_roc_auc(self) -> float:
        """The mean over the tags that have a value; NaN where none has."""
        return _mean(self.roc_auc)

    @property
    def macro_pr_auc(self) -> float:
        """The mean over the tags that have a value; NaN where none has."""
        return _mean(self.pr_auc)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; undefined figures are None."""
        columns = zip(self.tag_names, self.roc_auc, self.pr_auc, self.prevalence, strict=True)
        return {
            "macro_roc_auc": _or_none(self.macro_roc_auc),
            "macro_pr_auc": _or_none(self.macro_pr_auc),
            "tags": [
                {
                    "tag": tag,
                    "roc_auc": _or_none(roc),
                    "pr_auc": _or_none(precision),
                    "prevalence": float(share),
                }
                for tag, roc, precision, share in columns
            ],
        }


def score_tags(tag_names: tuple[str, ...], labels: ArrayLike, activations: ArrayLike) -> TagScores:
    """The scores of each tag.

    Shape:
        labels and activations `(n_clips, n_tags)`.

    Raises:
        ParameterError: The shapes differ.

    Example:
        >>> scores = score_tags(("loud",), [[0], [1], [1]], [[0.2], [0.9], [0.1]])
        >>> float(scores.roc_auc[0]), round(float(scores.pr_auc[0]), 4)
        (0.5, 0.8333)
    """
    truth, values = np.asarray(labels) > 0, np.asarray(activations, np.float64)
    if truth.shape != values.shape or truth.ndim != 2 or truth.shape[1] != len(tag_names):
        raise ParameterError(
            f"labels {truth.shape} and activations {values.shape} should both be (n_clips, "
            f"{len(tag_names)})"
        )
    return TagScores(
        tag_names,
        np.array([_roc_auc(t, v) for t, v in zip(truth.T, values.T, strict=True)]),
        np.array([_average_precision(t, v) for t, v in zip(truth.T, values.T, strict=True)]),
        truth.mean(axis=0),
    )


def _roc_auc(truth: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """The chance that a clip with the tag has the higher value; ties count half."""
    n_with, n_without = int(truth.sum()), int((~truth).sum())
    if not n_with or not n_without:
        return float("nan")
    ranks = float(rankdata(values)[truth].sum())
    return (ranks - n_with * (n_with + 1) / 2) / (n_with * n_without)


def _average_precision(truth: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """The mean precision over the steps of recall; ties are one step."""
    if not truth.any() or truth.all():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    found = np.cumsum(truth[order])[ends]
    precision = found / (ends + 1)
    steps = np.diff(np.concatenate([[0], found])) / truth.sum()
    return float((precision * steps).sum())


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

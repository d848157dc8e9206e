"""How well scores rank songs: metrics at the top 10 %, intervals and tests, percentile ranks.

In: what songs achieved (`y_true`) and what a model says of them (`y_score`). Out: ranking metrics,
intervals around them, and where one song's score lies among those of a catalogue.

`metrics` holds nDCG, Kendall's tau and Spearman's rho at the top 10 %; `intervals` the bootstrap,
paired tests and Holm's correction; `percentiles` the percentile rank of a song; `calibration` the
interval around it; `domain` whether a song is like those that a model learned from.
"""

from hitcore.evaluation.domain import Domain
from hitcore.evaluation.intervals import (
    Interval,
    PairedTest,
    bootstrap_interval,
    holm,
    mean_interval,
    paired_test,
)
from hitcore.evaluation.metrics import (
    Evaluation,
    auc_at,
    evaluate,
    kendall_at,
    ndcg_at,
    pairwise_accuracy,
    recall_at,
    spearman_at,
)
from hitcore.evaluation.percentiles import PercentileRank, Reference

__all__ = [
    "Domain",
    "Evaluation",
    "Interval",
    "PairedTest",
    "PercentileRank",
    "Reference",
    "auc_at",
    "bootstrap_interval",
    "evaluate",
    "holm",
    "kendall_at",
    "mean_interval",
    "ndcg_at",
    "paired_test",
    "pairwise_accuracy",
    "recall_at",
    "spearman_at",
]

"""Experiments: the rows of Table 1 and their baselines, run on a workspace.

Conventions:
    row: a letter of Table 1 or the name of a baseline; run: one row on one fold.
    The ledger knows every run by the hash of its configuration; what is done is not done again.

References:
    Section 4 and Table 1 of the paper.
"""

from hitcore.experiments.ledger import Ledger
from hitcore.experiments.plan import ExperimentConfig
from hitcore.experiments.results import (
    METRICS,
    Results,
    export_results,
    finished_rows,
    fold_kinds,
    load_results,
)
from hitcore.experiments.runner import ExperimentProgress, run_experiment, run_table1
from hitcore.experiments.variants import (
    ATTRIBUTES,
    BASELINES,
    SIMPLE,
    TABLE1,
    VARIANTS,
    Grid,
    Variant,
    variant,
)

__all__ = [
    "ATTRIBUTES",
    "BASELINES",
    "METRICS",
    "SIMPLE",
    "TABLE1",
    "VARIANTS",
    "ExperimentConfig",
    "ExperimentProgress",
    "Grid",
    "Ledger",
    "Results",
    "Variant",
    "export_results",
    "finished_rows",
    "fold_kinds",
    "load_results",
    "run_experiment",
    "run_table1",
    "variant",
]

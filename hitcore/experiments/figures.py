"""The figures of a set of results as arrays: row by row, fold by fold, seed by seed.

What compares rows needs the same folds and seeds of both side by side; here a table of metrics
becomes that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import DataError
from hitcore.experiments.results import METRICS, Results

Floats = NDArray[np.float64]

EXPLORATORY = ("auc", "pairwise_accuracy")
"""Figures over all test songs: steadier than a short top, and never a reason for a verdict."""


@dataclass(frozen=True, eq=False)
class Figures:
    """Every row's figures by fold and seed, and what their tests need to know of the folds."""

    values: Mapping[str, Mapping[str, Floats]] = field(repr=False)
    """By metric and row: `(n_folds, n_seeds)`; NaN where undefined, absent or not run."""
    test_train_ratio: float = 1 / 8
    """Size of a test fold over that of its training set."""
    n_top: int = 150
    """Songs in the top of a test fold, the smallest of all folds."""
    repetition: NDArray[np.int64] | None = None
    """Of repeated cross-validation: to which repetition each fold belongs, `(n_folds,)`. Each has
    a division and seeds of training of its own (Bouckaert and Frank 2004)."""

    @classmethod
    def of(cls, results: Results) -> "Figures":
        """Those of results.

        Raises:
            DataError: there are none.
        """
        table = results.metrics
        if table.empty:
            raise DataError("there are no results to compare")
        if "repeat" not in table:
            table = table.assign(repeat=0)
        folds, repeats = np.unique(table["fold"]), np.unique(table["repeat"])
        place = np.searchsorted(folds, table["fold"]), np.searchsorted(repeats, table["repeat"])
        rows = table["row"].to_numpy()
        values: dict[str, dict[str, Floats]] = {}
        for metric in (*METRICS, *EXPLORATORY):
            if metric not in table:
                continue
            column = table[metric].to_numpy(float)
            values[metric] = {}
            for row in dict.fromkeys(rows):
                grid = np.full((folds.size, repeats.size), np.nan)
                of_row = rows == row
                grid[place[0][of_row], place[1][of_row]] = column[of_row]
                values[metric][row] = grid
        known = {"n", "n_train"} <= set(table)
        ratio = float((table["n"] / table["n_train"]).mean()) if known else 1 / 8
        n_top = int(table["k"].min()) if "k" in table else 150
        # Folds of repetitions are numbered on (`fold + n_folds * repetition`).
        per_division = int(table["n_folds"].iloc[0]) if "n_folds" in table else 0
        repetition = np.asarray(folds // per_division, np.int64) if per_division else None
        return cls(values, ratio, n_top, repetition)

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows that have figures."""
        return tuple(next(iter(self.values.values()), {}))

    def n_seeds(self, row: str) -> int:
        """Seeds with which a row was trained: the fewest of its folds, in every repetition.

        A row that lacks folds of a repetition has not been repeated there.
        """
        known = np.any([~np.isnan(of_rows[row]) for of_rows in self.values.values()], axis=0)
        seeds = known.sum(axis=1)
        if self.repetition is None:
            return int(seeds.min())
        fewest = [int(seeds[self.repetition == each].min()) for each in np.unique(self.repetition)]
        return sum(fewest)

    def difference(self, metric: str, pairs: tuple[tuple[str, str], ...]) -> Floats:
        """First minus second, the mean over pairs of rows, by fold and seed.

        A row without seeds (an artist prior) stands beside every seed of the other.

        Shape:
            Returns `(n_folds, n_seeds)`; NaN where a row of a pair has no value.
        """
        of_rows = self.values[metric]
        gaps = [_every_seed(of_rows[one]) - _every_seed(of_rows[other]) for one, other in pairs]
        total: Floats = np.mean(gaps, axis=0)
        return total


def _every_seed(values: Floats) -> Floats:
    """A row that has one seed alone, said for every seed."""
    only = ~np.isnan(values)
    if only[:, :1].all() and not only[:, 1:].any():
        return np.repeat(values[:, :1], values.shape[1], axis=1)
    return values

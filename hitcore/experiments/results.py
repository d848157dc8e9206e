"""Results as tidy tables: every row, every fold, every metric, and every prediction.

A run's folder holds its own small tables; `load_results` joins those of a workspace, and
`export_results` writes them as three files, as they ship with the app. Both are read the same way.

Conventions:
    metrics: one line per row, fold and seed of training (`repeat`, from 0); the figures of
        `hitcore.evaluation.metrics` on the test songs, the parameters chosen on the validation
        songs, and how and where the run was made.
    predictions: one line per row, fold and song of that fold's validation and test parts;
        `y_true` is the raw hit score, `y_score` the model's output (of any scale).
    history: one line per row, fold and epoch of the chosen member.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hitcore.catalogue.songs import FOLD_KINDS
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.experiments.variants import VARIANTS
from hitcore.files import replacing, write_atomic

METRICS = ("ndcg", "kendall", "spearman")
"""The paper's three figures, each @10 %."""

TABLES = ("metrics", "predictions", "history")
RESULTS_FOLDER = "results"

DIVISION = ("catalogue", "n_folds", "fold_kind", "seed")
"""What two runs must share for their folds to be the same."""


@dataclass(frozen=True, eq=False)
class Results:
    """What a set of runs found."""

    metrics: pd.DataFrame = field(repr=False)
    predictions: pd.DataFrame = field(repr=False)
    history: pd.DataFrame = field(repr=False)

    @property
    def rows(self) -> list[str]:
        """The rows that have results, in the order of Table 1, then the baselines."""
        return [row for row in VARIANTS if row in set(self.metrics["row"])]

    def folds_of(self, row: str) -> pd.DataFrame:
        """The metrics of one row, by fold; where it was trained with several seeds, their means.

        What is no number (the run's id, the device) is that of the first seed.

        Raises:
            DataError: the row has no results.
        """
        table = self.metrics[self.metrics["row"] == row].sort_values("fold")
        if table.empty:
            raise DataError(f"row {row!r} has no results yet; there are {', '.join(self.rows)}")
        return _means_over_seeds(table).reset_index(drop=True)

    def test_predictions(self, row: str) -> pd.DataFrame:
        """The test predictions of one row: each song once, by the model that had not seen it.

        Where a row was trained with several seeds, those of the first.
        """
        table = self.predictions
        chosen = (table["row"] == row) & (table["split"] == "test")
        if "repeat" in table:
            chosen &= table["repeat"] == 0
        return table[chosen].reset_index(drop=True)


def load_results(workspace: Workspace, division: Mapping[str, object] | None = None) -> Results:
    """All results of a workspace: those that came with it and those of its finished runs.

    Args:
        workspace: Whose results.
        division: What their division into folds must be, some of `DIVISION`, such as
            `{"fold_kind": "artist"}`. Where several are left, those of the latest run count.

    Raises:
        DataError: there are none yet, none of that division, or a table is damaged.
    """
    return Results(**_newest(_all_tables(workspace), division or {}, workspace))


def fold_kinds(workspace: Workspace) -> list[str]:
    """The kinds of folds that a workspace has results of: "song" first, then "artist".

    Raises:
        DataError: there are no results yet, or a table is damaged.
    """
    found = set(_all_tables(workspace)["metrics"]["fold_kind"])
    return [kind for kind in FOLD_KINDS if kind in found]


def finished_rows(workspace: Workspace) -> list[Results]:
    """What is whole: for each kind of folds and row, the latest runs of one setting on all folds.

    Runs of other settings stand beside them without harm, also those of an experiment that was
    cancelled half way and began later. `load_results` would take the latest division into folds
    alone, and the latest run of each fold whatever its settings.

    Returns:
        One for each row, of that row and kind of folds alone; rows in the order of Table 1.

    Raises:
        DataError: there are no results yet, or a table is damaged.
    """
    tables = _all_tables(workspace)
    metrics = tables["metrics"].sort_values("ended_at", kind="stable")
    settings = metrics["run_id"].map(lambda run: _settings_of(workspace, str(run)))
    latest: dict[tuple[str, str], set[str]] = {}
    for _, runs in metrics.groupby([*DIVISION, "row", settings], sort=False):
        one = runs.iloc[-1]
        if set(runs["fold"]) != set(range(int(one["n_folds"]))):
            continue
        known = latest.get((one["fold_kind"], one["row"]))
        ended = metrics.loc[metrics["run_id"].isin(known or ()), "ended_at"].max()
        if known is None or one["ended_at"] >= ended:
            latest[one["fold_kind"], one["row"]] = set(runs["run_id"])
    return [
        Results(**{name: _of_runs(table, latest[kind, row]) for name, table in tables.items()})
        for kind in FOLD_KINDS
        for row in VARIANTS
        if (kind, row) in latest
    ]


def _settings_of(workspace: Workspace, run_id: str) -> str:
    """What two runs of a row share that differ in fold and seed alone; the same where unknown."""
    file = workspace.run_folder(run_id) / "config.json"
    if not file.is_file():
        return ""
    config = json.loads(file.read_text(encoding="utf-8"))
    return json.dumps(config | {"fold": None, "repeat": None}, sort_keys=True)


def _of_runs(table: pd.DataFrame, run_ids: set[str]) -> pd.DataFrame:
    """The lines of these runs, by fold and seed."""
    if not len(table):
        return table
    lines = table[table["run_id"].isin(run_ids)]
    return lines.sort_values(["fold", "repeat"], kind="stable", ignore_index=True)


def export_results(
    results: Results,
    workspace: Workspace,
    about: dict[str, object] | None = None,
    *others: Results,
) -> Path:
    """Write results as three tables into `results/` of a workspace, as they are shipped.

    Args:
        results: Of one division into folds.
        workspace: Which gets the tables.
        about: How the results were made, for people.
        others: Results of other divisions, to stand in the same tables.
    """
    folder = workspace.path / RESULTS_FOLDER
    folder.mkdir(exist_ok=True)
    for name in TABLES:
        parts = [getattr(each, name) for each in (results, *others)]
        full = [part for part in parts if len(part)]
        table = pd.concat(full, ignore_index=True) if full else parts[0]
        write_table(table, folder / f"{name}.parquet")
    if about is not None:
        write_atomic(folder / "about.json", json.dumps(about, indent=2) + "\n")
    workspace.push(*folder.glob("[!.]*"))
    return folder


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A table as Parquet, whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def _all_tables(workspace: Workspace) -> dict[str, pd.DataFrame]:
    shipped = workspace.path / RESULTS_FOLDER
    workspace.refresh(shipped)
    workspace.refresh(workspace.runs, deep=True)
    folders = [shipped] if (shipped / "metrics.parquet").exists() else []
    # A name that begins with a dot is a run that is still being written.
    folders += sorted(path.parent for path in workspace.runs.glob("[!.]*/metrics.parquet"))
    if not folders:
        raise DataError(
            f"{workspace.place} has no results yet: run "
            f"`hitcore experiment run {workspace.place} --preset table1`"
        )
    return {name: _joined([folder / f"{name}.parquet" for folder in folders]) for name in TABLES}


def _joined(paths: list[Path]) -> pd.DataFrame:
    tables = []
    for path in paths:
        try:
            tables.append(pd.read_parquet(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read ({error}): delete the folder {path.parent.name} and run "
                "the experiment again; only that run is repeated"
            ) from error
    full = [table for table in tables if len(table)]
    joined = pd.concat(full, ignore_index=True) if full else tables[0]
    # Tables of versions before there were several seeds hold one.
    repeat = joined["repeat"].fillna(0).astype(int) if "repeat" in joined else 0
    return joined.assign(repeat=repeat)


def _means_over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """One line per fold of one row's metrics."""
    if not table["fold"].duplicated().any():
        return table
    groups = table.sort_values("repeat", kind="stable").groupby("fold", sort=True)
    numbers = table.select_dtypes("number").columns.difference(["fold", "repeat"])
    first = groups.first().assign(**{name: groups[name].mean() for name in numbers})
    return first.reset_index()[table.columns.tolist()]


def _newest(
    tables: dict[str, pd.DataFrame], division: Mapping[str, object], workspace: Workspace
) -> dict[str, pd.DataFrame]:
    """The latest run of each row and fold, among runs on the same songs and folds.

    Folds of one division mean nothing in another, so where a workspace holds several (another
    number of folds, seed or set of songs), those of the latest run count.
    """
    metrics = tables["metrics"].sort_values("ended_at", kind="stable")
    for name, value in division.items():
        metrics = metrics[metrics[name] == value]
    if metrics.empty:
        asked = ", ".join(f"{name} {value}" for name, value in division.items())
        raise DataError(f"{workspace.place} has no results with {asked}")
    latest = metrics.iloc[-1]
    order = {row: place for place, row in enumerate(VARIANTS)}
    same = (metrics[list(DIVISION)] == latest[list(DIVISION)]).all(axis=1)
    keys = metrics[same].drop_duplicates(["row", "fold", "repeat"], keep="last")["run_id"]
    return {
        name: table[table["run_id"].isin(keys)].sort_values(
            ["row", "fold", "repeat"],
            key=lambda c: c.map(order) if c.name == "row" else c,
            kind="stable",
            ignore_index=True,
        )
        if len(table)
        else table
        for name, table in tables.items()
    }

"""From the runs of a workspace to what ships with the app: tables, and ensembles of the folds."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hitcore import __version__
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.evaluation.percentiles import Reference
from hitcore.experiments.results import Results
from hitcore.experiments.variants import variant
from hitcore.networks.models import load_model, save_model

NAME = "demo-{row}"
"""Under which the ensemble of a row is loaded."""


def about_results(workspace: Workspace, results: Results) -> dict[str, object]:
    """How the results were made, for people."""
    metrics = results.metrics
    return {
        "catalogue": workspace.path.name,
        "songs": int(results.test_predictions(results.rows[0])["song_id"].nunique()),
        "folds": int(metrics["fold"].nunique()),
        "fold_kind": str(metrics["fold_kind"].iloc[0]),
        "rows": results.rows,
        "hours": round(float(metrics["duration_s"].sum()) / 3600, 2),
        "device": ", ".join(sorted(metrics["device"].unique())),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "version": __version__,
        "made": str(metrics["ended_at"].max()),
        **_settings(workspace, results),
    }


def _settings(workspace: Workspace, results: Results) -> dict[str, object]:
    """How the networks were trained and what was tried, as far as the runs' folders tell."""
    configs = []
    for run_id in results.metrics["run_id"]:
        file = workspace.run_folder(str(run_id)) / "config.json"
        if file.exists():
            configs.append(json.loads(file.read_text(encoding="utf-8")))
    trained = [config for config in configs if "training" in config]
    if not trained:
        return {}
    points = [point for config in trained for point in config["points"]]
    tried = {
        name: sorted({point[name] for point in points} - {0.0})
        for name in ("margin", "rank_weight", "tag_weight")
    }
    names = ("max_epochs", "patience", "batch_size", "learning_rate", "precision")
    # The newest, where runs of several settings stand together.
    return {"training": {name: trained[-1]["training"][name] for name in names}, "tried": tried}


def export_ensembles(
    workspace: Workspace,
    results: Results,
    rows: list[str],
    folder: str | os.PathLike[str],
    *,
    demo: bool = False,
) -> list[Path]:
    """Write the fold models of each row as one ensemble with its out-of-fold predictions.

    Raises:
        DataError: a row has no models, or not of every fold.
    """
    return [
        _export(workspace, results, row, Path(folder) / f"{NAME.format(row=row)}.safetensors", demo)
        for row in rows
    ]


def export_ensemble(
    workspace: Workspace,
    results: Results,
    row: str,
    path: str | os.PathLike[str],
    described: Mapping[str, object],
) -> Path:
    """Write the fold models of one row as one ensemble with its out-of-fold predictions.

    Args:
        workspace: Whose runs.
        results: Of one kind of folds.
        row: A row that trains networks.
        path: The `.safetensors` file; it appears whole or not at all.
        described: Fields of the specification to set, such as `name`, `title` and `trained_on`.

    Raises:
        DataError: the row has no models, or not of every fold.
    """
    if not variant(row).trains:
        raise DataError(f"row {row!r} trains no network, so there is none to export")
    members = []
    for run_id in results.folds_of(row)["run_id"]:
        file = workspace.run_folder(str(run_id)) / "model.safetensors"
        if not file.exists():
            raise DataError(f"row {row!r} has no model of run {run_id}: run the experiment again")
        members.append(load_model(file))
    weights = tuple(member.spec.tag_weights[0] for member in members)
    document = members[0].spec.to_dict() | {**described, "tag_weights": weights}
    spec = type(members[0].spec).from_dict(document)
    networks = [member.networks[0] for member in members]
    save_model(path, networks, spec, _reference(results, row), half_precision=True)  # type: ignore[arg-type]
    return Path(path)


def _export(workspace: Workspace, results: Results, row: str, path: Path, demo: bool) -> Path:
    described: dict[str, object] = {"name": NAME.format(row=row), "demo": demo, "limits": ""}
    if demo:
        n_songs = results.test_predictions(row)["song_id"].nunique()
        described |= {
            "limits": "Learned from synthetic songs: it says nothing about real ones.",
            "licence": "MIT",
            "trained_on": f"{n_songs} synthetic songs of the demo catalogue",
        }
    return export_ensemble(workspace, results, row, path, described)


def _reference(results: Results, row: str) -> Reference:
    table: pd.DataFrame = results.test_predictions(row)
    return Reference(
        table["fold"].to_numpy(np.int64),
        table["y_score"].to_numpy(np.float64),
        table["y_true"].to_numpy(np.float64),
    )

"""From the runs of a workspace to what ships with the app: tables, and ensembles of the folds."""

import json
import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from hitcore import __version__
from hitcore.catalogue.scores import scale_of
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError, UndefinedMetricWarning
from hitcore.evaluation.domain import Domain
from hitcore.evaluation.intervals import Interval, bootstrap_interval
from hitcore.evaluation.percentiles import Reference
from hitcore.experiments.exportcards import card_of
from hitcore.experiments.results import Results
from hitcore.experiments.variants import variant
from hitcore.featurestore import FeatureConfig, FeatureStore
from hitcore.networks.cards import ModelCard
from hitcore.networks.models import HitModel, load_model, save_model

MIN_SONGS = 30
"""Songs that a domain is made of at least."""

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


@dataclass(frozen=True)
class ExportedModel:
    """A model file made of all folds of a row."""

    path: Path
    """The file."""
    row: str
    """Which row."""
    n_folds: int
    """Networks in it, one per fold."""
    n_songs: int
    """Songs of its reference, each scored by the one network that had not learned from it."""
    spearman: Interval
    """Spearman's ρ of these scores with the truth, with a 95 % interval over songs."""
    fold_kind: str
    """How the folds were made."""

    def lines(self) -> list[str]:
        """What it is, for people."""
        rho = self.spearman
        return [
            f"{self.path}: row ({self.row}), {self.n_folds} networks, "
            f"{self.path.stat().st_size / 1e6:.1f} MB",
            f"reference: {self.n_songs:,} songs scored out of fold ({self.fold_kind}-disjoint), "
            f"Spearman {rho.estimate:.2f} [{rho.low:.2f}, {rho.high:.2f}]",
        ]


def export_model(
    workspace: Workspace,
    results: Results,
    row: str,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    title: str | None = None,
) -> ExportedModel:
    """One model file of all folds of a row, with its out-of-fold scores, their worth and its card.

    Args:
        workspace: Whose runs.
        results: Of one kind of folds.
        row: A row that trains networks on sound, tags or attributes.
        path: The `.safetensors` file; it appears whole or not at all.
        name: What the model is called; None: what its file is called.
        title: What people call it; None: its name and the row's title.

    Raises:
        DataError: the row trains nothing, some of its folds have no results or no model, or the
            file cannot be written.
        ParameterError: the file is not named `.safetensors`.
    """
    target = Path(path).expanduser()
    if target.suffix != ".safetensors":
        raise ParameterError(f"{target.name}: a model's file ends in .safetensors")
    _check_that_it_trains(row)
    folds = results.folds_of(row)
    n_folds = int(folds["n_folds"].iloc[0])
    if len(folds) < n_folds:
        raise DataError(
            f"row {row!r} has {len(folds)} of its {n_folds} folds: run the experiment to its end, "
            "so that every song has a score by a network that had not learned from it"
        )
    found = results.test_predictions(row)
    scale, kind = scale_of(workspace), str(folds["fold_kind"].iloc[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        rho = bootstrap_interval(_spearman, found["y_true"], found["y_score"])
    label = "its share of plays" if scale.is_share else f"its {scale.column}"
    measured = (
        f"Spearman {rho.estimate:.2f} [{rho.low:.2f}, {rho.high:.2f}] with {label}, over "
        f"{len(found):,} songs that its networks had not learned from ({kind}-disjoint folds)"
    )
    catalogue = workspace.path.name
    described: dict[str, object] = {
        "name": name or target.stem,
        "title": title or f"{target.stem}: {variant(row).title}",
        "trained_on": f"{len(found):,} songs of the catalogue {catalogue}; label: {label}",
        "limits": f"{measured}. It knows songs like those of {catalogue} alone.",
        "label": label,
        "reference": f"the {len(found):,} songs of the catalogue {catalogue}",
        "measured": measured,
        "demo": (workspace.path / "demo.json").exists(),
    }
    card = card_of(workspace, results, row, described, rho, _reference(results, row))
    export_ensemble(workspace, results, row, target, described, card=card)
    return ExportedModel(target, row, n_folds, len(found), rho, kind)


def _spearman(truth: Any, score: Any) -> float:
    return float(spearmanr(truth, score).statistic)


def export_ensemble(
    workspace: Workspace,
    results: Results,
    row: str,
    path: str | os.PathLike[str],
    described: Mapping[str, object],
    *,
    card: ModelCard | None = None,
) -> Path:
    """Write the fold models of one row as one ensemble with its out-of-fold predictions.

    Args:
        workspace: Whose runs.
        results: Of one kind of folds.
        row: A row that trains networks.
        path: The `.safetensors` file; it appears whole or not at all.
        described: Fields of the specification to set, such as `name`, `title` and `trained_on`.
        card: Its model card, which travels in the file.

    Raises:
        DataError: the row has no models, or not of every fold.
    """
    _check_that_it_trains(row)
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
    reference, domain = _reference(results, row), _domain(workspace, results, row, members[0])
    save_model(
        path,
        networks,  # type: ignore[arg-type]
        spec,
        reference,
        domain=domain,
        card=None if card is None else card.to_dict(),
        half_precision=True,
    )
    return Path(path)


def _check_that_it_trains(row: str) -> None:
    if not variant(row).trains:
        raise DataError(f"row {row!r} trains no network, so there is none to export")


def _domain(workspace: Workspace, results: Results, row: str, model: HitModel) -> Domain | None:
    """What the songs of a row sound like; None for attributes, few songs, and demo catalogues."""
    songs = list(results.test_predictions(row)["song_id"].unique())
    run = workspace.run_folder(str(results.folds_of(row)["run_id"].iloc[0])) / "config.json"
    fingerprint = json.loads(run.read_text(encoding="utf-8")).get("features")
    recipe = workspace.features / str(fingerprint) / "config.json"
    demo = (workspace.path / "demo.json").exists()
    if demo or variant(row).attributes or len(songs) < MIN_SONGS or not recipe.is_file():
        return None
    config = FeatureConfig(**json.loads(recipe.read_text(encoding="utf-8")))
    features = FeatureStore(workspace, config).load(songs)
    spec = model.spec
    parts = []
    for start in range(0, len(songs), 256):
        rows = slice(start, start + 256)
        mel = None if spec.mel is None else torch.from_numpy(features.mel[rows]).float()
        tags = None if not spec.tag_names else torch.from_numpy(np.array(features.tags)[rows])
        parts.append(model.statistics(mel, tags))
    return Domain.fit(np.concatenate(parts))


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

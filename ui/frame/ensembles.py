"""Every hit model that can be asked about a song: installed ones, and ensembles trained here.

An ensemble is what a row of an experiment left behind: one network per fold, with what each said of
the songs that it had not seen. It is written as one model file, once, when it is first asked for;
its own catalogue is then what a song's place is among.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from hitcore import weights
from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import HitcoreError, ParameterError
from hitcore.experiments import VARIANTS, Results, finished_rows
from hitcore.experiments.export import export_model
from hitcore.weights import cache_folder
from ui.frame import resultsets
from ui.server import workspaces

PREFIX = "trained:"
"""Begins the name of an ensemble that was trained here, apart from those that are installed."""


FORMAT = "with its card"
"""Changes when files of ensembles are written otherwise, so that they are written anew."""


@dataclass(frozen=True)
class Trained:
    """The ensemble of one row of one workspace, on one kind of folds."""

    workspace: str
    """Name of the workspace."""
    kind: str
    """"song" or "artist": what the folds do not share."""
    row: str
    """Row of the experiment."""

    @property
    def name(self) -> str:
        """What stands for it in an address and in a song's choice."""
        return f"{PREFIX}{self.workspace}:{self.kind}:{self.row}"

    @property
    def title(self) -> str:
        """What people call it."""
        variant = VARIANTS[self.row]
        row = f"({self.row}) {variant.title}" if variant.paper else variant.title
        folds = "" if self.kind == "song" else f", folds that share no {self.kind}"
        return f"{row} of {self.workspace}{folds}"


def trained() -> list[Trained]:
    """The ensembles of the workspaces of this server whose networks are there, of every fold."""
    return [each for workspace in workspaces.names() for each in _results_of(workspace)]


def titles() -> dict[str, str]:
    """All hit models by name: those that are installed, then those that were trained here."""
    installed = {
        row.name: f"{row.title} (demo)" if row.name.startswith("demo-") else row.title
        for row in weights.status()
        if row.kind == "hit model" and row.state == "installed"
    }
    return installed | {each.name: each.title for each in trained()}


def model_of(name: str) -> str:
    """What `load_model` takes for a model of `titles`: a name, or the file of an ensemble.

    Raises:
        ParameterError: an ensemble that is not there (any more).
    """
    if not name.startswith(PREFIX):
        return name
    ensemble = next((each for each in trained() if each.name == name), None)
    if ensemble is None:
        raise ParameterError(
            f"the ensemble {name.removeprefix(PREFIX)} is not on this server (any more): choose "
            "another model, or run its experiment again"
        )
    return str(_file_of(ensemble))


def hit_scores_of(name: str) -> pd.Series | None:
    """The hit scores of the songs that a model's percentile is among; None where nobody knows."""
    if not name.startswith(PREFIX):
        return None
    workspace = workspaces.opened(name.removeprefix(PREFIX).split(":")[0])
    return Catalogue.read(workspace.songs, workspace.hit_scores).defined().songs["hit_score"]


def mark_of(ensemble: Trained) -> str:
    """What changes when an ensemble does: a hash of its runs."""
    results = _results_of(ensemble.workspace)[ensemble]
    runs = sorted(results.folds_of(ensemble.row)["run_id"].astype(str))
    return hashlib.sha256("".join((FORMAT, ensemble.name, *runs)).encode()).hexdigest()[:16]


def _file_of(ensemble: Trained) -> Path:
    """The file of an ensemble, written where its runs are not in a file yet."""
    workspace = workspaces.opened(ensemble.workspace)
    path = cache_folder() / "ensembles" / f"{mark_of(ensemble)}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        results = _results_of(ensemble.workspace)[ensemble]
        name = f"{ensemble.workspace}-{ensemble.row}"
        export_model(workspace, results, ensemble.row, path, name=name, title=ensemble.title)
    return path


def _results_of(name: str) -> dict[Trained, Results]:
    """The ensembles of a workspace, each with the results of its runs."""
    try:
        state = resultsets.state_of(workspaces.opened(name))
        found = _finished(*state)
    except HitcoreError:
        return {}  # nothing was trained there yet; Experiments says what is wrong with it
    return {
        Trained(name, str(each.metrics["fold_kind"].iloc[0]), each.rows[0]): each for each in found
    }


@st.cache_resource(max_entries=16, show_spinner=False)
def _finished(path: str, changed: float, n_runs: int) -> list[Results]:
    """The finished rows of a workspace whose networks are all on disk."""
    workspace = Workspace.open(path)
    return [
        results
        for results in finished_rows(workspace)
        if VARIANTS[results.rows[0]].trains
        and all(
            (workspace.run_folder(str(run)) / "model.safetensors").exists()
            for run in results.folds_of(results.rows[0])["run_id"]
        )
    ]

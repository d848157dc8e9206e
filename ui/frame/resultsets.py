"""Whose results a page shows: those that ship, by kind of folds, or a workspace of this server.

Studies of real songs ship (`assets/results`), which say what they are, and the demo catalogue.

The choice stands in the address as `results`, so that a link from Experiments opens it.
"""

import json
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, HitcoreError
from hitcore.experiments import Results, fold_kinds, load_results
from ui.frame import loaders
from ui.server import workspaces

KIND_WORDS = {
    "song": "folds that share no song",
    "artist": "folds that share no artist",
}

STUDIES = loaders.ASSETS / "results"
"""Studies of real songs that ship with the app, a workspace each."""

FIRST = "real-clips"
"""The one that pages open with: sound, and songs that people know."""

STUDY = "study/"
"""What their names begin with; no workspace of the server has a name with a slash."""


@dataclass(frozen=True)
class ResultSet:
    """Results of one catalogue on one kind of folds."""

    workspace: str | None
    """Name of the workspace; None for the demo that ships."""
    kind: str
    """"song" or "artist"."""

    @property
    def is_study(self) -> bool:
        """Whether it is a study of real songs that ships with the app."""
        return self.workspace is not None and self.workspace.startswith(STUDY)

    def opened(self) -> Workspace:
        """Its workspace.

        Raises:
            DataError: it has gone.
        """
        if self.workspace is None:
            return loaders.demo_workspace()
        if self.is_study:
            return Workspace.open(STUDIES / self.workspace.removeprefix(STUDY))
        return workspaces.opened(self.workspace)

    @property
    def key(self) -> str:
        """As it stands in an address."""
        return f"{self.workspace or ''}:{self.kind}"

    @property
    def title(self) -> str:
        """As people choose it."""
        if self.is_study:
            return f"{self.about()['title']}, {KIND_WORDS[self.kind]}"
        return f"{self.workspace or 'Demo catalogue'}, {KIND_WORDS[self.kind]}"

    def about(self) -> dict[str, object]:
        """What a study that ships says of itself; empty for other results."""
        return _study(str(self.workspace)) if self.is_study else {}

    def load(self) -> Results:
        """The results.

        Raises:
            DataError: they have gone or are damaged.
        """
        if self.workspace is None:
            return loaders.results(self.kind)
        if self.is_study:
            return _results(str(self.opened().path), 0.0, 0, self.kind)
        return results_of(self.opened(), self.kind)

    def songs(self) -> pd.DataFrame:
        """The songs with a hit score."""
        if self.workspace is None:
            return loaders.catalogue()
        workspace = self.opened()
        return _songs(str(workspace.path), workspace.hit_scores.stat().st_mtime)

    def strip(self) -> list[str]:
        """The parts of the slim line under the title that name what is in view."""
        demo = self.workspace is None
        found = self.load()
        if demo and not found.rows:
            return loaders.strip()
        name = "demo catalogue (synthetic songs)" if demo else f"workspace {self.workspace}"
        if self.is_study:
            name = str(self.about()["title"])
        n_folds = found.metrics["fold"].nunique() if found.rows else 0
        return [
            name,
            f"{len(self.songs()):,} songs",
            f"{len(found.rows)} rows, {n_folds} {KIND_WORDS[self.kind]}",
        ]


def offered() -> list[ResultSet]:
    """Every set of results that there is, real songs first."""
    found = []
    studies = [path.parents[1] for path in STUDIES.glob("*/results/metrics.parquet")]
    for path in sorted(studies, key=lambda path: (path.name != FIRST, path.name)):
        found += [ResultSet(STUDY + path.name, kind) for kind in _kinds(str(path), 0.0, 0)]
    found += [ResultSet(None, kind) for kind in loaders.fold_kinds_of_demo()]
    for name in workspaces.names():
        try:
            kinds = _kinds(*state_of(workspaces.opened(name)))
        except HitcoreError:
            continue  # nothing to compare there yet; Experiments says what is wrong with it
        found += [ResultSet(name, kind) for kind in kinds]
    return found


def choose() -> ResultSet | None:
    """The set of results that the visitor wants to see; None where there is none."""
    return _choose(offered())


def choose_catalogue() -> ResultSet:
    """The same on a page that draws songs by their hit scores, where the demo's come first.

    Of the studies of real songs the ranks alone ship. The demo is there without results, too.
    """
    found = sorted(offered(), key=lambda each: each.workspace is not None)
    if not found or found[0].workspace is not None:
        found.insert(0, ResultSet(None, "song"))
    chosen = _choose(found)
    assert chosen is not None, "the demo catalogue is always among them"
    return chosen


def _choose(found: list[ResultSet]) -> ResultSet | None:
    sets = {each.key: each for each in found}
    if not sets:
        return None
    keys = list(sets)
    asked = st.query_params.get("results", keys[0])
    if len(keys) == 1:
        return sets[keys[0]]
    start = keys.index(asked) if asked in sets else 0
    key = st.selectbox(
        "Results of", keys, start, key="results", format_func=lambda key: sets[key].title
    )
    if key == keys[0]:
        st.query_params.pop("results", None)
    else:
        st.query_params["results"] = key
    return sets[key]


def results_of(workspace: Workspace, kind: str | None = None) -> Results:
    """The results of a workspace, read again when a run has been added; None: the latest kind.

    Raises:
        DataError: there are none.
    """
    return _results(*state_of(workspace), kind)


def state_of(workspace: Workspace) -> tuple[str, float, int]:
    """Path, and what changes when a run has ended."""
    if not workspace.runs.exists():
        raise DataError(f"{workspace.path.name} has no runs yet")
    runs = list(workspace.runs.glob("[!.]*"))
    return str(workspace.path), workspace.runs.stat().st_mtime, len(runs)


@st.cache_data(show_spinner=False)
def _study(name: str) -> dict[str, object]:
    """What a study that ships says of itself."""
    path = STUDIES / name.removeprefix(STUDY) / "results" / "about.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


@st.cache_data(max_entries=32, show_spinner=False)
def _kinds(path: str, changed: float, n_runs: int) -> list[str]:
    return fold_kinds(Workspace.open(path))


@st.cache_resource(max_entries=8, show_spinner=False)
def _results(path: str, changed: float, n_runs: int, kind: str | None) -> Results:
    division = {"fold_kind": kind} if kind is not None else None
    return load_results(Workspace.open(path), division)


@st.cache_data(max_entries=8, show_spinner=False)
def _songs(path: str, changed: float) -> pd.DataFrame:
    workspace = Workspace.open(path)
    return Catalogue.read(workspace.songs, workspace.hit_scores).defined().songs

"""What pages show by default: the demo catalogue and its results, read once."""

import json

import pandas as pd
import streamlit as st

from hitcore.catalogue.songs import FOLD_KINDS, Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.experiments import Results, load_results
from hitcore.files import ASSETS

DEMO = ASSETS / "demo"
"""The workspace that ships with the app."""


@st.cache_resource(show_spinner=False)
def demo_workspace() -> Workspace:
    """The demo workspace.

    Raises:
        DataError: it is not there.
    """
    return Workspace.open(DEMO)


@st.cache_data(show_spinner=False)
def catalogue() -> pd.DataFrame:
    """The songs of the demo catalogue with a defined hit score; no rows where there is none."""
    try:
        workspace = demo_workspace()
        return Catalogue.read(workspace.songs, workspace.hit_scores).defined().songs
    except DataError:
        return pd.DataFrame(columns=["song_id", "title", "artist_ids", "artist", "hit_score"])


@st.cache_resource(show_spinner=False)
def results(kind: str = "song") -> Results:
    """The shipped results of the demo catalogue; empty tables where there are none."""
    try:
        return load_results(demo_workspace(), {"fold_kind": kind})
    except DataError:
        return Results(
            pd.DataFrame(columns=["row", "fold", "ndcg", "kendall", "spearman"]),
            pd.DataFrame(columns=["row", "fold", "split", "song_id", "y_true", "y_score"]),
            pd.DataFrame(columns=["row", "fold", "epoch", "train_loss", "valid_ndcg"]),
        )


def fold_kinds_of_demo() -> list[str]:
    """The kinds of folds that shipped results are of; none where nothing ships."""
    return [kind for kind in FOLD_KINDS if results(kind).rows]


@st.cache_data(show_spinner=False)
def about() -> dict[str, object]:
    """How the shipped results were made; empty where there are none."""
    path = DEMO / "results" / "about.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def strip() -> list[str]:
    """The parts of the slim line under a page's title that name the data in view."""
    table = catalogue()
    if table.empty:
        return ["no catalogue yet"]
    parts = ["demo catalogue (synthetic songs)", f"{len(table):,} songs"]
    found = results()
    if found.rows:
        n_folds = found.metrics["fold"].nunique()
        parts.append(f"{len(found.rows)} rows, {n_folds} folds")
    return parts

"""What the Distribution page studies: the plays of the demo catalogue or of a visitor's own log."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import streamlit as st

from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.plays.definitions import DEFAULT_DEFINITION
from hitcore.plays.hitscores import ScoreReport, daily_shares, hit_scores, score_report
from hitcore.plays.parsing.playlog import PlayLog, Scratch
from ui.frame import loaders


@dataclass(frozen=True)
class Study:
    """A log and its songs, ready to be scored under any definition."""

    key: str
    """Names the content, for caches."""
    name: str
    """As the strip shows it."""
    plays: PlayLog | tuple[Path, ...]
    songs: Catalogue
    log: PlayLog | None = None
    """The log as it was read, where a visitor brought it."""
    columns: pd.DataFrame | None = field(default=None, repr=False)
    """Which column of a table was taken for what."""
    scratch: Scratch | None = field(default=None, repr=False)
    """Keeps a visitor's files as long as the study lives."""
    time_zone: str = "UTC"
    """In which the days of single plays are cut."""


@st.cache_resource(show_spinner=False)
def demo_study() -> Study | None:
    """The demo catalogue with its daily plays; None where the app has none."""
    try:
        workspace = loaders.demo_workspace()
    except DataError:
        return None
    return study_of(workspace, "demo catalogue (synthetic songs)")


def study_of(workspace: Workspace, name: str) -> Study | None:
    """The songs of a workspace with its plays, or its daily shares; None where it has neither."""
    counts = workspace.path / "plays.parquet"
    files = [counts] if counts.exists() else sorted(workspace.daily_shares.glob("[!.]*.parquet"))
    if not files or not workspace.songs.exists():
        return None
    return Study(str(workspace.path), name, tuple(files), Catalogue.read(workspace.songs))


@st.cache_data(max_entries=64, show_spinner="Counting plays …")
def scored(_study: Study, key: str, definition: str) -> tuple[pd.DataFrame, ScoreReport]:
    """The songs with their hit score under a definition, and what is undefined or odd."""
    zone = _study.time_zone
    scores = hit_scores(_study.plays, _study.songs, definition, zone)
    report = score_report(_study.plays, _study.songs, definition, zone)
    return _study.songs.scored(scores).songs, report


@st.cache_data(max_entries=256, show_spinner=False)
def daily_curve(_study: Study, key: str, song_id: str) -> pd.DataFrame:
    """The daily share of a song on each of its days in the log, `date, share`."""
    return daily_shares(_study.plays, [song_id], _study.time_zone)[["date", "share"]]


def default_definition(study: Study) -> str:
    """`day:60`, unless the log or its songs cannot serve it."""
    has_dates = study.log is None or study.log.kind != "totals"
    has_releases = study.songs.songs["release_date"].notna().any()
    return DEFAULT_DEFINITION if has_dates and has_releases else "cumulative"

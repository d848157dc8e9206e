"""The workspaces that pages may work on: the folders of one place, and the demo that ships."""

import os
from pathlib import Path

import pandas as pd
from platformdirs import user_data_path

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError


def root() -> Path:
    """Where workspaces lie: HITCORE_WORKSPACES, or the user's data folder of the system."""
    chosen = os.environ.get("HITCORE_WORKSPACES")
    return Path(chosen).expanduser() if chosen else user_data_path("hitcore") / "workspaces"


def names() -> list[str]:
    """The workspaces that are there, by name."""
    return sorted(path.parent.name for path in root().glob("*/workspace.json"))


def strip() -> list[str]:
    """The parts of the slim line under the title of Experiments."""
    found = names()
    if not found:
        return ["demo results, and no workspace of your own yet"]
    return [f"demo results, and {len(found)} workspace{'s' if len(found) > 1 else ''} here"]


def opened(name: str) -> Workspace:
    """The workspace of that name.

    Raises:
        DataError: there is none; a name is never taken for a path.
    """
    if name not in names():
        raise DataError(f"there is no workspace {name!r} in {root()}")
    return Workspace.open(root() / name)


def n_songs(workspace: Workspace) -> int:
    """How many songs it has."""
    return len(pd.read_parquet(workspace.songs, columns=["song_id"]))

"""A workspace of songs with one number each, and with sound, features, attributes, or neither.

In: a table of songs (`hitcore.catalogue.scores`), and a folder of sound files, or features made
elsewhere (`hitcore.featurestore.given`), or columns of the table as attributes. Out: a workspace,
whole or not at all.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hitcore.catalogue.attributes import attributes_of
from hitcore.catalogue.importing import folder_of, with_sources, write_table
from hitcore.catalogue.scores import read_scores
from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace, new_workspace
from hitcore.errors import DataError, ParameterError
from hitcore.featurestore.given import GivenFeatures, read_given


@dataclass(frozen=True)
class ScoredWorkspace:
    """A finished workspace, and what became of the songs."""

    workspace: Workspace
    n_songs: int
    """Songs of the workspace; all have a score."""
    n_with_sound: int
    """Those that have a sound file or features."""
    n_left_out: int
    """Songs of the table that were left out for want of sound."""
    notes: tuple[str, ...]
    """What was read and taken for granted, in sentences."""


def create_scored(
    path: str | os.PathLike[str],
    scores: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    features: str | os.PathLike[str] | None = None,
    attributes: Sequence[str] = (),
    column: str | None = None,
    mapping: Mapping[str, str] | None = None,
    skip_bad_rows: bool = False,
) -> ScoredWorkspace:
    """A new workspace of a table of songs with scores; it appears when it is complete.

    Args:
        path: A new or empty folder.
        scores: The table; see `hitcore.catalogue.scores.read_scores`.
        audio: The folder of sound files, named by `song_id` or by a column `source`.
        features: An NPZ file in place of sound; see `hitcore.featurestore.given`.
        attributes: Columns of the table that are the songs' attributes.
        column: Of the score; None to find it.
        mapping: Canonical name to column, for the other columns.
        skip_bad_rows: Leave out rows whose score cannot be right, and songs without sound.

    Raises:
        DataError: the table, the features or the sounds cannot be right (the message says where),
            songs lack sound and there are no attributes, or the folder is not empty.
        ParameterError: both audio and features are given, or a name makes no sense.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = "song_id,popularity,tempo\\na,90,120\\nb,15,90\\n"
        >>> _ = (folder / "songs.csv").write_text(rows)
        >>> made = create_scored(folder / "w", folder / "songs.csv", attributes=["tempo"])
        >>> made.n_songs, made.n_with_sound
        (2, 0)
    """
    if audio is not None and features is not None:
        raise ParameterError("give --audio or --features, not both: one sound for each song")
    found = read_scores(scores, column=column, mapping=mapping, skip_bad_rows=skip_bad_rows)
    file, songs, notes = Path(scores).name, found.songs, list(found.notes)
    folder = None if audio is None else folder_of(audio)
    given = None if features is None else read_given(features)
    songs = _with_sound(songs, folder, given)
    silent = songs["source"] == ""
    n_left_out = 0
    if (folder or given) and silent.any() and not attributes:
        if not skip_bad_rows or silent.all():
            first = str(songs.loc[silent, "song_id"].iloc[0])[:40]
            where = f"below {folder}" if folder else f"in {Path(str(features)).name}"
            raise DataError(
                f"{int(silent.sum()):,} of {len(songs):,} songs of {file} have no sound {where} "
                f"(first: {first!r}): sounds are found by song_id; leave such songs out with "
                "--skip-bad-rows, or give --attributes for the rows that need no sound"
            )
        n_left_out = int(silent.sum())
        songs = songs[~silent].reset_index(drop=True)
    numbers = attributes_of(songs, attributes, file) if attributes else None
    if given is not None:
        notes += given.notes
    heard = songs.loc[songs["source"] != "", "song_id"].tolist()
    with new_workspace(path) as workspace:
        kept = songs.drop(columns=["hit_score", *attributes, found.scale.column], errors="ignore")
        if folder is None:
            kept = kept.drop(columns=["source"])
        Catalogue(kept.assign(hit_score=songs["hit_score"]))  # refuses what no catalogue can be
        write_table(kept, workspace.songs)
        write_table(songs[["song_id", "hit_score"]], workspace.hit_scores)
        found.scale.write(workspace)
        if numbers is not None:
            numbers.write(workspace)
        if folder is not None:
            workspace.audio.symlink_to(folder, target_is_directory=True)
        if given is not None:
            given.of(heard).write(workspace)
    return ScoredWorkspace(Workspace.open(path), len(songs), len(heard), n_left_out, tuple(notes))


def _with_sound(
    songs: pd.DataFrame, folder: Path | None, given: GivenFeatures | None
) -> pd.DataFrame:
    """The songs with `source`: the file of each, or "given"; empty where there is no sound."""
    if folder is not None:
        return with_sources(songs, folder)
    known = set() if given is None else set(given.song_ids)
    return songs.assign(source=["given" if song in known else "" for song in songs["song_id"]])

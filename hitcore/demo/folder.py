"""The demo catalogue as a workspace: tables, truth, and the sound of a few songs."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hitcore.audio import Waveform, encode
from hitcore.catalogue.workspace import Workspace, new_workspace
from hitcore.demo.arrangement import render
from hitcore.demo.config import SAMPLE_RATE, DemoConfig
from hitcore.demo.songs import SongPlan, plan_song
from hitcore.demo.truth import PlantedFacts, Progress, demo_tables, planted_facts
from hitcore.errors import DataError, ParameterError
from hitcore.files import replacing, write_atomic

TRUTH = "truth.parquet"
"""Name of the table of planted causes in a demo workspace."""
PLAYS = "plays.parquet"
"""Name of the play log in a demo workspace."""
FACTS = "demo.json"
"""Name of the file that holds the configuration and what was achieved."""


def create(
    path: str | os.PathLike[str],
    n_songs: int = 1500,
    seed: int = 0,
    *,
    n_audio: int = 0,
    progress: Progress | None = None,
) -> Workspace:
    """A new workspace with a demo catalogue; its plays go through `hitcore.plays.hitscores`.

    It appears under its name when it is complete. Beside the tables of every workspace stand
    `truth.parquet`, `plays.parquet` and `demo.json`. The sound of song i is
    `hitcore.demo.waveform_of(source)` with its `source` in the table of songs.

    Args:
        path: A new or empty folder.
        n_songs: 20 to 200,000.
        seed: The same seed gives the same catalogue, to the byte.
        n_audio: How many songs, from the first on, to keep as FLAC in `audio/`, some five
            megabytes each.
        progress: Called with the number of songs done and in all.

    Raises:
        ParameterError: the number of songs or the seed is outside what is allowed.
        DataError: the folder is not empty, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "demo"
        >>> sorted(p.name for p in create(folder, n_songs=20).path.iterdir())
        ['daily_shares', 'demo.json', 'hit_scores.parquet', 'plays.parquet', 'songs.parquet',
         'truth.parquet', 'workspace.json']
    """
    config = DemoConfig(n_songs=n_songs, seed=seed)
    if not 0 <= n_audio <= n_songs:
        raise ParameterError(f"n_audio is {n_audio}; allowed are 0 to n_songs, {n_songs}")
    with new_workspace(path) as workspace:
        _write(workspace, config, progress)
        for index in range(n_audio):
            _keep_sound(workspace, plan_song(seed, index))
    return Workspace.open(path)


def facts_of(workspace: Workspace) -> PlantedFacts:
    """What a demo workspace achieves, from its tables.

    Raises:
        DataError: the workspace holds no demo catalogue.
    """
    truth = workspace.path / TRUTH
    if not truth.exists():
        raise DataError(
            f"{workspace.path} holds no demo catalogue ({TRUTH} is absent): make one with "
            "`hitcore demo create FOLDER`"
        )
    return planted_facts(pq.read_table(truth), pd.read_parquet(workspace.hit_scores))


def _write(workspace: Workspace, config: DemoConfig, progress: Progress | None) -> None:
    # Ibis takes a second to load; whoever only wants the sound of a song need not wait for it.
    from hitcore.plays.hitscores import daily_shares, hit_scores

    tables = demo_tables(config, progress)
    ids = list(tables.songs["song_id"])
    scores = hit_scores(tables.plays, tables.songs)
    _parquet(pa.Table.from_pandas(tables.songs, preserve_index=False), workspace.songs)
    _parquet(pa.Table.from_pandas(scores, preserve_index=False), workspace.hit_scores)
    shares = daily_shares(tables.plays, ids)
    part = workspace.daily_shares / "part-0.parquet"
    _parquet(pa.Table.from_pandas(shares, preserve_index=False), part)
    _parquet(tables.plays, workspace.path / PLAYS)
    _parquet(tables.truth, workspace.path / TRUTH)
    facts = planted_facts(tables.truth, scores)
    document = {"config": asdict(config), "facts": asdict(facts)}
    write_atomic(workspace.path / FACTS, json.dumps(document, indent=2, default=str) + "\n")


def _keep_sound(workspace: Workspace, plan: SongPlan) -> None:
    sound = encode(Waveform(render(plan), SAMPLE_RATE), "FLAC")
    write_atomic(workspace.audio / f"{plan.song_id}.flac", sound)


def _parquet(table: pa.Table, path: Path) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")

"""What both studies of real songs share: workspaces, repetitions, and what ships of their results.

Songs' ids, titles, artists and figures are other people's, so none of them ships: songs become
`s00001` and so on in a random order, artists `a00001`, and the truth is a song's rank among the
songs of the study, from 0 to 1 (ties share the mean of their ranks; the lowest stay at 0).
The metrics that ship were measured on the true figures before that.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.engines import usable_cores
from hitcore.errors import DataError
from hitcore.experiments import ExperimentConfig, ExperimentProgress, Results, run_experiment
from hitcore.experiments.export import about_results
from hitcore.experiments.results import export_results
from hitcore.files import replacing
from hitcore.learning.pairs import mean_hit_score

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets" / "results"
SHARED = Path(os.environ.get("HITCORE_SHARED", ROOT.parent / "shared"))
SEEDS = tuple(range(5))
"""Repetitions: each has folds and networks of its own."""


@dataclass(frozen=True)
class Part:
    """One kind of folds on one workspace."""

    workspace: Workspace
    fold_kind: str
    rows: tuple[str, ...]


def run(parts: Sequence[Part], config: ExperimentConfig, device: str | None, workers: int) -> None:
    """Every part with every seed; what is done is not done again."""
    for seed in SEEDS:
        for part in parts:
            name = f"{part.workspace.path.name}-{part.fold_kind}-{seed}"
            print(f"{name}: begins", flush=True)
            run_experiment(
                part.workspace,
                list(part.rows),
                replace(config, fold_kind=part.fold_kind, seed=seed),
                name=name,
                device=device,
                n_workers=workers or usable_cores(),
                on_progress=_shown(name),
            )
            print(f"{name}: done", flush=True)


def _shown(name: str) -> Callable[[ExperimentProgress], None]:
    """Prints each time another run has ended."""
    last = [-1]

    def show(at: ExperimentProgress) -> None:
        if at.n_done > last[0]:
            last[0] = at.n_done
            print(f"{name}: {at.n_done} of {at.n_total} runs, {at.message}", flush=True)

    return show


def found(workspace: Workspace, fold_kind: str) -> list[Results]:
    """The results of every seed of which some row has all folds; of those rows alone."""
    try:
        everything = read_all(workspace)
    except DataError:
        return []  # not begun yet
    metrics = everything.metrics[everything.metrics["fold_kind"] == fold_kind]
    whole = []
    for seed in SEEDS:
        mine = metrics[metrics["seed"] == seed]
        folds = mine.groupby("row")["fold"].nunique()
        rows = set(folds.index[folds == mine["n_folds"].max()])
        ids = set(mine.loc[mine["row"].isin(rows), "run_id"])
        if ids:
            tables = (mine, everything.predictions, everything.history)
            whole.append(Results(*(each[each["run_id"].isin(ids)] for each in tables)))
    return whole


@lru_cache(maxsize=4)
def read_all(workspace: Workspace) -> Results:
    """The tables of every run, read once."""
    parts: dict[str, list[pd.DataFrame]] = {"metrics": [], "predictions": [], "history": []}
    for folder in sorted(path.parent for path in workspace.runs.glob("[!.]*/metrics.parquet")):
        for name, tables in parts.items():
            table = pd.read_parquet(folder / f"{name}.parquet")
            if name == "predictions":
                table = table[table["split"] == "test"]
            if len(table):
                tables.append(table)
    if not parts["metrics"]:
        raise DataError(f"{workspace.path} has no results yet")
    return Results(**{name: pd.concat(tables) for name, tables in parts.items()})


def ship(
    workspace: Workspace,
    name: str,
    title: str,
    about: str,
    kinds: Sequence[str],
    *,
    predictions_of: Sequence[int] = SEEDS,
    attributes: bool = False,
) -> Workspace:
    """Write the tables of a study into `assets/results/NAME`, without a row of its source.

    Args:
        workspace: Where the runs are.
        name: Of the folder.
        title: As Compare and Samplers offer it.
        about: What the songs are and what the label is, for people.
        kinds: Kinds of folds that were run.
        predictions_of: Seeds whose predictions ship; all seeds' metrics do.
        attributes: Whether the rows took attributes.
    """
    shutil.rmtree(ASSETS / name, ignore_errors=True)
    target = Workspace.create(ASSETS / name)
    catalogue = Catalogue.read(workspace.songs, workspace.hit_scores).defined()
    new_id = anonymous(list(catalogue.song_ids), "s")
    artists = sorted({artist for artists in catalogue.artist_ids for artist in artists})
    new_artist = anonymous(artists, "a")
    truth = ranks(catalogue.hit_scores)
    rank_of = {new_id[song]: value for song, value in zip(catalogue.song_ids, truth, strict=True)}
    songs = pd.DataFrame(
        {
            "song_id": [new_id[song] for song in catalogue.song_ids],
            "artist_ids": [[new_artist[a] for a in artists] for artists in catalogue.artist_ids],
            "hit_score": truth,
        }
    ).sort_values("song_id", ignore_index=True)
    Catalogue(songs).write(target.songs)
    songs[["song_id", "hit_score"]].to_parquet(target.hit_scores, index=False, compression="zstd")
    by_kind = {kind: found(workspace, kind) for kind in kinds}
    repetitions = {kind: len(results) for kind, results in by_kind.items()}
    tables = [result for results in by_kind.values() for result in results]
    clean = [_clean(result, new_id, rank_of, predictions_of) for result in tables]
    first, *others = clean
    document = about_results(workspace, tables[0]) | {
        "title": title,
        "about": about,
        "catalogue": name,
        "repetitions": repetitions,
        "attributes": attributes,
        "above_mean": int((catalogue.hit_scores > mean_hit_score(catalogue.hit_scores)).sum()),
        "truth": "rank among the study's songs, 0 to 1; the metrics were measured on the figures "
        "themselves, which do not ship",
    }
    export_results(first, target, document, *others)
    return target


def anonymous(ids: Sequence[str], letter: str) -> dict[str, str]:
    """New names in a random order that does not follow the old ones."""
    order = np.random.default_rng(20_261_126).permutation(len(ids))
    return {name: f"{letter}{place + 1:05d}" for name, place in zip(ids, order, strict=True)}


def ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1, ties in the middle, the lowest score at 0."""
    places = pd.Series(scores).rank(method="average").to_numpy() - 1
    places[scores == scores.min()] = 0
    return np.round(places / max(places.max(), 1), 5)


def _clean(
    result: Results, new_id: dict[str, str], rank_of: dict[str, float], seeds: Sequence[int]
) -> Results:
    """Anonymous test predictions in single precision, and metrics without traces of the machine."""
    # Each repetition has folds of its own: folds of one table, numbered on, as in repeated
    # cross-validation (Bouckaert and Frank 2004).
    seed, n_folds = int(result.metrics["seed"].iloc[0]), int(result.metrics["n_folds"].iloc[0])
    result = Results(
        *(
            each.assign(fold=each["fold"] + seed * n_folds)
            for each in (result.metrics, result.predictions, result.history)
        )
    )
    metrics = result.metrics.assign(seed=0, catalogue="one")
    table = result.predictions[result.predictions["split"] == "test"]
    if seed not in seeds:
        table = table.iloc[:0]
    song_ids = table["song_id"].map(new_id)
    scores = table["y_score"].astype(np.float32)
    table = table.assign(song_id=song_ids, y_true=song_ids.map(rank_of), y_score=scores)
    history = result.history
    kept = [name for name in ("row", "fold", "run_id", "epoch", "train_loss", "valid_loss",
                              "valid_ndcg", "kept") if name in history]  # fmt: skip
    losses = ("train_loss", "valid_loss", "valid_ndcg")
    history = history[kept].astype({name: np.float32 for name in kept if name in losses})
    return Results(metrics, table, history)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)

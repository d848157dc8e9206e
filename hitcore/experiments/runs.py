"""Runs that are done together: train all their grid points at once, choose, measure, write.

A run is one row on one fold. Its grid points are members of one stack; the best on the validation
songs (nDCG@10 %, ties by Kendall) is kept, and its test songs are looked at once, by it alone.
"""

import errno
import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hitcore import __version__
from hitcore.catalogue.attributes import read_attributes
from hitcore.catalogue.scores import scale_of
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, HitcoreError, StoreError, UndefinedMetricWarning
from hitcore.evaluation.metrics import evaluate
from hitcore.experiments.baselines import RULES, BaselineInputs
from hitcore.experiments.bench import Bench, Run, Stopper
from hitcore.experiments.data import (
    features_of_songs,
    tag_names,
    training_data,
)
from hitcore.experiments.results import write_table
from hitcore.experiments.variants import GridPoint, Variant
from hitcore.featurestore import FeatureConfig
from hitcore.featurestore.recipe import GIVEN
from hitcore.files import write_atomic
from hitcore.learning import (
    Member,
    MemberResult,
    Progress,
    TrainingData,
    choose_weight,
    fit_stack,
    fuse,
)
from hitcore.learning.choosing import Validation, choose
from hitcore.networks.models import ModelSpec, save_model
from hitcore.networks.registry import AUDIO_NETWORKS

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Finding:
    """What a run found."""

    scores: Floats
    """The chosen model's output for all songs."""
    chosen: dict[str, float]
    """The parameters chosen on the validation songs."""
    history: pd.DataFrame
    """Losses by epoch of the chosen member."""
    result: MemberResult | None = None
    """The chosen member, where one was trained."""
    data: TrainingData | None = None
    """What it was trained on."""


def do_runs(bench: Bench, runs: Sequence[Run]) -> None:
    """Make runs of one `stack_key` that are taken in the ledger, and say there how they ended.

    Where several rows fail together, each is tried by itself, so that the fault of one costs the
    others nothing.

    Raises:
        DataError: the disk is full or cannot be written; the runs are given back.
        StoreError: the workspace's address does not answer; the runs are given back.
    """
    start = time.monotonic()
    try:
        findings = _findings(bench, runs)
        for run, finding in findings.items():
            if isinstance(finding, HitcoreError):
                bench.ledger.fail(run.run_id, " ".join(str(finding).split()))
                continue
            elapsed = (time.monotonic() - start) / len(findings)
            _write(bench, run, finding, elapsed)
            bench.ledger.finish(
                run.run_id, duration_s=elapsed, device=bench.device, code_version=__version__
            )
        for run in runs:
            if run not in findings:
                bench.ledger.give_back(run.run_id, cancelled=bench.ledger.cancelling(run.run_id))
    except StoreError:
        for run in runs:
            if bench.ledger.state(run.run_id) != "done":
                bench.ledger.give_back(run.run_id)
        raise
    except HitcoreError as error:
        open_runs = [run for run in runs if bench.ledger.state(run.run_id) != "done"]
        rows = dict.fromkeys(run.row.row for run in open_runs)
        if len(rows) > 1:
            for row in rows:
                do_runs(bench, [run for run in open_runs if run.row.row == row])
            return
        for run in runs:
            bench.ledger.fail(run.run_id, " ".join(str(error).split()))
    except OSError as error:
        for run in runs:
            bench.ledger.give_back(run.run_id)
        raise _disk_error(error, bench.workspace) from error
    except BaseException:
        for run in runs:
            bench.ledger.give_back(run.run_id)
        raise


def _findings(bench: Bench, runs: Sequence[Run]) -> dict[Run, Finding | HitcoreError]:
    """What each run found, or why it alone failed."""
    if runs[0].row.trains:
        return _trained(bench, runs)
    found: dict[Run, Finding | HitcoreError] = {}
    for run in runs:
        make = _fused if run.row.network == "fusion" else _simple
        found[run] = make(bench, run)
    return found


# --- rows that train -----------------------------------------------------------------------------


def _trained(bench: Bench, runs: Sequence[Run]) -> dict[Run, Finding | HitcoreError]:
    """All grid points of all these runs as one stack; empty where it was asked to stop."""
    data = _data(bench, runs[0].row)
    points = {run: bench.config.grid.points(run.row) for run in runs}
    members = [_member(bench, run, point) for run in runs for point in points[run]]
    stopper = Stopper(bench, runs)

    def show(progress: Progress) -> None:
        text = progress.message or f"epoch {progress.epoch}"
        bench.on_progress(runs, progress.fraction, text)

    result = fit_stack(
        data,
        members,
        bench.config.training_of(runs[0].row),
        device=bench.device,
        checkpoint_dir=_work_folder(bench.workspace, runs),
        progress=show,
        should_stop=stopper,
    )
    if not result.finished:
        return {}
    found: dict[Run, Finding | HitcoreError] = {}
    results = iter(result.members)
    for run in runs:
        candidates = list(islice(results, len(points[run])))
        valid = _validation(bench, run)
        scored = [valid.scores(candidate.scores) for candidate in candidates]
        n_diverged = sum(one.diverged for one in scored)
        if n_diverged:
            log.warning(
                "row %s, fold %d: %d of %d grid points diverged and are left out",
                *(run.row.row, run.fold, n_diverged, len(candidates)),
            )
        try:
            best = choose(scored)
        except DataError as error:
            found[run] = DataError(f"row {run.row.row}, fold {run.fold}: {error}")
            continue
        found[run] = Finding(
            candidates[best].scores.astype(np.float64),
            asdict(points[run][best])
            | {"best_epoch": candidates[best].best_epoch, "n_diverged": n_diverged},
            pd.DataFrame([asdict(record) for record in candidates[best].history]),
            candidates[best],
            data,
        )
    return found


def _validation(bench: Bench, run: Run) -> Validation:
    """All that choosing may see of a run's fold."""
    split = bench.songs.folds[run.fold]
    return Validation.of(split, bench.songs.catalogue.hit_scores, bench.config.training.top)


def _member(bench: Bench, run: Run, point: GridPoint) -> Member:
    row, fold = run.row, run.fold
    split = bench.songs.folds[fold]
    settings: dict[str, Any] = {}
    if row.objective == "multi":
        settings = {"margin": point.margin, "rank_weight": point.rank_weight}
    if row.ranks_lists:
        settings = {"rank_weight": 1.0, "sampler": "naive"}
    return Member(
        **{
            "train": split.train,
            "valid": split.valid,
            "test": split.test,
            "audio": None if row.network == "tags" else row.network,
            "use_tags": row.tags,
            "sampler": row.sampler,
            "tag_weight": point.tag_weight,
            "seed": seed_of(bench.config.seed, fold, run.repeat),
            "name": f"row {row.row}, fold {fold}, seed {run.repeat}",
            **settings,
        }
    )


def seed_of(seed: int, fold: int, repeat: int) -> int:
    """The seed of all that is random in training one run; no two runs of a row share one.

    Example:
        >>> seed_of(2, fold=3, repeat=0), seed_of(2, fold=3, repeat=1)
        (2003, 1002003)
    """
    return repeat * 1_000_000 + seed * 1000 + fold


# --- rows that do not ----------------------------------------------------------------------------


def _data(bench: Bench, row: Variant) -> TrainingData:
    """Features and truth of all songs as a row takes them."""
    return training_data(
        bench.workspace,
        bench.songs,
        bench.config.features_of(row),
        bench.config.target,
        attributes=row.attributes,
    )


def _simple(bench: Bench, run: Run) -> Finding:
    """A row without a network: one rule, fitted on the training songs."""
    features = bench.config.features_of(run.row)
    inputs = BaselineInputs(
        bench.songs.catalogue,
        np.asarray(training_data(bench.workspace, bench.songs, None, bench.config.target).y),
        bench.songs.folds[run.fold],
        None if features is None else features_of_songs(bench.workspace, bench.songs, features),
        read_attributes(bench.workspace).of(list(bench.songs.catalogue.song_ids))
        if run.row.attributes
        else None,
        bench.config.seed,
    )
    return Finding(RULES[run.row.network](inputs), {}, pd.DataFrame())


def _fused(bench: Bench, run: Run) -> Finding:
    """The weighted mean of two finished rows on this fold, the weight from validation."""
    assert run.row.fuses is not None, "a fusion names its rows"
    ab, artist = (_scores_of(bench, run.config["parts"][part]) for part in run.row.fuses)
    valid = _validation(bench, run)
    weight = choose_weight(
        valid.scores(ab), valid.scores(artist), weights=bench.config.grid.fusion_weights
    )
    return Finding(fuse(ab, artist, weight), {"fusion_weight": weight}, pd.DataFrame())


def _scores_of(bench: Bench, run_id: str) -> Floats:
    """A finished run's scores for its validation and test songs; NaN for the others."""
    path = bench.workspace.run_folder(run_id) / "predictions.parquet"
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"a fused row needs run {run_id}, which has no predictions") from error
    scores = table.set_index("song_id")["y_score"].reindex(bench.songs.catalogue.song_ids)
    return np.asarray(scores, dtype=np.float64)


# --- writing -------------------------------------------------------------------------------------


def _write(bench: Bench, run: Run, finding: Finding, duration_s: float) -> None:
    """Write a run's folder under a temporary name, then give it its own; last, drop its work."""
    import json

    folder = bench.workspace.run_folder(run.run_id)
    unfinished = folder.with_name(f".{run.run_id}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_table(_metrics(bench, run, finding, duration_s), unfinished / "metrics.parquet")
    write_table(_predictions(bench, run, finding), unfinished / "predictions.parquet")
    write_table(_history(run, finding), unfinished / "history.parquet")
    if finding.result is not None and finding.data is not None:
        _write_model(bench, run, finding.result, finding.data, unfinished / "model.safetensors")
    write_atomic(unfinished / "config.json", json.dumps(run.config, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)
    # The table by which a finished run is known goes last.
    files = sorted(folder.iterdir(), key=lambda path: path.name == "metrics.parquet")
    bench.workspace.push(*files)
    shutil.rmtree(_work_folder(bench.workspace, [run]), ignore_errors=True)


def _metrics(bench: Bench, run: Run, finding: Finding, duration_s: float) -> pd.DataFrame:
    split = bench.songs.folds[run.fold]
    truth = bench.songs.catalogue.hit_scores
    with warnings.catch_warnings():
        # A row that gives all songs one score has no τ and ρ: NaN in the table says so.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        top = bench.config.training.top
        test = evaluate(truth[split.test], finding.scores[split.test], top)
        valid = evaluate(truth[split.valid], finding.scores[split.valid], top)
    line: dict[str, Any] = {
        "row": run.row.row,
        "fold": run.fold,
        "repeat": run.repeat,
        **asdict(test),
    }
    line |= {f"valid_{name}": getattr(valid, name) for name in ("ndcg", "kendall", "spearman")}
    chosen = ("margin", "rank_weight", "tag_weight", "fusion_weight", "best_epoch", "n_diverged")
    for name in chosen:
        line[name] = finding.chosen.get(name, math.nan)
    features = bench.config.features_of(run.row)
    line |= {
        "highlight": None if features is None else features.segment,
        "tagger": features.tagger if features is not None and run.row.tags else None,
        "pairing": bench.config.training_of(run.row).pairing if run.row.sampler else None,
        "top": float(top),
    }
    line |= {
        "n_train": len(split.train),
        "catalogue": bench.songs.fingerprint,
        "n_folds": bench.config.n_folds,
        "fold_kind": bench.config.fold_kind,
        "seed": bench.config.seed,
        "run_id": run.run_id,
        "duration_s": duration_s,
        "device": bench.device,
        "code_version": __version__,
        "ended_at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    return pd.DataFrame([line])


def _predictions(bench: Bench, run: Run, finding: Finding) -> pd.DataFrame:
    split = bench.songs.folds[run.fold]
    parts = []
    for name, rows in (("valid", split.valid), ("test", split.test)):
        part = {
            "song_id": bench.songs.catalogue.song_ids[rows],
            "split": name,
            "y_true": bench.songs.catalogue.hit_scores[rows],
            "y_score": finding.scores[rows],
        }
        parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(row=run.row.row, fold=run.fold, repeat=run.repeat, run_id=run.run_id)


def _history(run: Run, finding: Finding) -> pd.DataFrame:
    return finding.history.assign(
        row=run.row.row, fold=run.fold, repeat=run.repeat, run_id=run.run_id
    )


def _write_model(
    bench: Bench, run: Run, result: MemberResult, data: TrainingData, path: Path
) -> None:
    network = result.network(data, bench.config.training_of(run.row))
    save_model(path, [network], spec_of(bench, run.row, run.run_id, (network.tag_weight,)))


def spec_of(
    bench: Bench, row: Variant, name: str, tag_weights: tuple[float, ...], demo: bool = False
) -> ModelSpec:
    """The specification of a model of this row."""
    features = bench.config.features_of(row) or FeatureConfig()
    audio = AUDIO_NETWORKS.get(row.network)
    # Points of popularity and the like are no shares of plays, so only their order is offered.
    rates = row.objective in ("rating", "multi") and scale_of(bench.workspace).is_share
    if row.attributes:
        names = read_attributes(bench.workspace).names
    else:
        names = tag_names(bench.workspace, bench.songs, features) if row.tags else ()
    return ModelSpec(
        name=name,
        audio=None if audio is None else audio.__name__,
        mel=features.mel if row.network != "tags" else None,
        n_mels=features.mel_config.n_mels,
        n_frames=features.n_frames,
        tagger=features.tagger if row.tags and not row.attributes else None,
        tag_names=names,
        tag_weights=tag_weights,
        # Which passage the given clips are is not known; the middle is as good a guess as any.
        highlight="middle" if features.segment == GIVEN else features.segment,
        target_transform=bench.config.target if rates else None,
        title=row.title,
        trained_on=f"{len(bench.songs.catalogue):,} songs of {bench.workspace.path.name}",
        source="trained with hitcore",
        licence="that of the catalogue",
        demo=demo,
        standardised=audio is not None and not audio.stacked,
    )


def _work_folder(workspace: Workspace, runs: Sequence[Run]) -> Path:
    """Where the unfinished training of these runs lies."""
    return workspace.runs / f".{runs[0].run_id}.work"


def _disk_error(error: OSError, workspace: Workspace) -> DataError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "check the folder's permissions"
    return DataError(
        f"results cannot be written to {workspace.path} ({error.strerror}): {remedy}, then run "
        "the same command again; what is done is not done again"
    )

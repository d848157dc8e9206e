"""Running an experiment: plan the runs, take what is not done, in order, to the end.

Runs of one row and fold share their features, so that is the unit of work on a CPU, where several
processes take units side by side; on a GPU all folds of all rows that share an input are one stack.
Fused rows come last, when their parts are there. What is done is not done again.

Workers of a workspace at an address share its ledger with nobody: this process takes the runs that
it hands to them and writes down how they ended; each machine's own ledger keeps its workers apart.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product

import pandas as pd

from hitcore import __version__
from hitcore.catalogue.workspace import Workspace
from hitcore.devices import torch_device
from hitcore.engines import map_songs
from hitcore.errors import DataError
from hitcore.experiments.bench import Bench, Run, stack_key
from hitcore.experiments.data import ExperimentSongs, songs_of
from hitcore.experiments.ledger import Ledger
from hitcore.experiments.plan import ExperimentConfig, run_config, run_id_of
from hitcore.experiments.results import DIVISION, load_results
from hitcore.experiments.runs import do_runs
from hitcore.experiments.variants import Variant, with_parts

N_TRIES = 3
"""A run whose worker has died this many times is not handed out again."""

WAIT_S = 0.5
"""How often a worker looks whether a run that another one holds is free, seconds."""


@dataclass(frozen=True)
class ExperimentProgress:
    """How far an experiment is."""

    n_done: int
    """Runs finished."""
    n_total: int
    """Runs in all, those found done included."""
    elapsed_s: float
    """Seconds since this call began."""
    eta_s: float
    """Seconds that remain at this rate; infinite before the first run is done."""
    message: str
    """What is at work now."""


@dataclass(frozen=True)
class _Task:
    """What a worker process is given."""

    place: str
    rows: tuple[str, ...]
    config: ExperimentConfig
    device: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class _Ended:
    """How a run ended on a machine that does not share the driver's ledger."""

    run_id: str
    state: str
    message: str | None
    duration_s: float


def plan_runs(
    workspace: Workspace, songs: ExperimentSongs, rows: Sequence[Variant], config: ExperimentConfig
) -> list[Run]:
    """Every run of these rows, parts of a fusion before it; each seed of training is a run."""
    runs: list[Run] = []
    ids: dict[tuple[str, int, int], str] = {}
    for row in sorted(rows, key=lambda row: row.network == "fusion"):
        n_seeds = config.n_seeds if row.is_random else 1
        for fold, repeat in product(range(config.n_folds), range(n_seeds)):
            document = run_config(row, fold, config, songs.fingerprint, repeat)
            if row.fuses:
                document["parts"] = {part: ids[part, fold, repeat] for part in row.fuses}
            run_id = run_id_of(document)
            ids[row.row, fold, repeat] = run_id
            runs.append(Run(run_id, row, fold, repeat, document))
    return runs


def run_experiment(
    workspace: Workspace,
    rows: Sequence[str] | None = None,
    config: ExperimentConfig | None = None,
    *,
    name: str = "table1",
    device: str | None = None,
    engine: str = "local",
    n_workers: int = 1,
    on_progress: Callable[[ExperimentProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Run rows of Table 1 (and baselines) on a workspace; the table of their metrics.

    Args:
        workspace: With songs, hit scores and features.
        rows: Letters of Table 1 and names of baselines; None for all of Table 1.
        config: Folds, grid, training.
        name: Under which the ledger shows these runs together.
        device: "cpu", "cuda" or None for a GPU where there is one.
        engine: As in `hitcore.engines`; with "local" and one worker everything happens here.
        n_workers: Processes of the local engine.
        on_progress: Called now and then.
        should_stop: Asked often; where it says yes, the state is kept and the call returns.

    Returns:
        One line per row and fold; see `hitcore.experiments.results`.

    Raises:
        ParameterError: an unknown row, or settings that make no sense.
        DataError: the workspace lacks something, or runs failed (the ledger says why).
        EngineError: the device or the engine is absent.
    """
    config = (config or ExperimentConfig()).for_workspace(workspace)
    variants = with_parts(list(rows) if rows is not None else None)
    chosen = str(torch_device(device))
    songs = songs_of(workspace, config, variants)
    runs = plan_runs(workspace, songs, variants, config)
    ledger = Ledger(workspace.ledger)
    _note_finished(workspace, ledger, runs, name)
    report = _Reporter(ledger, runs, on_progress)
    bench = Bench(
        workspace, songs, config, ledger, chosen, should_stop or (lambda: False), report.at
    )
    rows_here = tuple(row.row for row in variants)
    trained = [run for run in runs if run.row.network != "fusion"]
    fused = [run for run in runs if run.row.network == "fusion"]
    units = list(_units(trained, stacked=chosen.startswith("cuda")))
    if engine == "local" and n_workers == 1:
        for unit in units:
            if not bench.should_stop():
                _do(bench, unit)
    else:
        tasks = [
            _Task(workspace.place, rows_here, config, chosen, tuple(run.run_id for run in unit))
            for unit in units
        ]
        _do_elsewhere(bench, tasks, engine, n_workers, report)
    workspace.refresh(workspace.runs, deep=True)
    for unit in _units(fused, stacked=False):
        if not bench.should_stop():
            _do(bench, unit)
    report.at((), 1.0, "done")
    return _outcome(workspace, ledger, runs)


def run_table1(
    workspace: Workspace | str,
    rows: Sequence[str] | None = None,
    folds: int = 10,
    device: str | None = None,
) -> pd.DataFrame:
    """The paper's Table 1 on a workspace: one line per row and fold, with its metrics.

    Raises:
        ParameterError, DataError, EngineError: as `run_experiment`.
    """
    place = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
    return run_experiment(place, rows, ExperimentConfig(n_folds=folds), device=device)


# --- the driver ----------------------------------------------------------------------------------


def _units(runs: Sequence[Run], *, stacked: bool) -> Iterator[list[Run]]:
    """Runs that are done together: one by one, or all of one input, network and loss."""
    if not stacked:
        yield from ([run] for run in runs)
        return
    alike: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        alike.setdefault(stack_key(run), []).append(run)
    yield from alike.values()


def _do(bench: Bench, unit: Sequence[Run]) -> None:
    """Do those runs of a unit that nobody has done or is doing."""
    taken = set(bench.ledger.take([run.run_id for run in unit]))
    mine = [run for run in unit if run.run_id in taken]
    if mine:
        do_runs(bench, mine)


def _do_elsewhere(
    bench: Bench, tasks: list[_Task], engine: str, n_workers: int, report: "_Reporter"
) -> None:
    """Hand tasks out until all their runs have ended; again where a worker died.

    Raises:
        DataError: a worker cannot work, or some die whenever they are tried.
    """
    n_gpus = 1.0 if bench.device.startswith("cuda") else 0.0
    for _ in range(N_TRIES):
        taken: set[str] = set()
        outcomes = map_songs(
            do_task,
            _handed(bench, tasks, taken),
            engine,
            n_workers=n_workers,
            n_gpus_per_task=n_gpus,
        )
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    if not outcome.ok and outcome.cause != "worker died":
                        raise DataError(f"a worker could not go on: {outcome.error}")
                    _note_ended(bench, outcome.value or [], taken)
                    report.at((), 0.0, "")
                    if bench.should_stop():
                        return
        finally:
            for run_id in taken:
                bench.ledger.give_back(run_id)
        tasks = [task for task in tasks if _open_runs(bench.ledger, task.run_ids)]
        if not tasks:
            return
    raise DataError(
        f"workers died {N_TRIES} times at {len(tasks)} tasks, first run {tasks[0].run_ids[0]}: "
        "memory is probably short; try fewer workers, what is done is kept"
    )


def _handed(bench: Bench, tasks: list[_Task], taken: set[str]) -> Iterator[_Task]:
    """The tasks as they are handed out; taken here, where workers cannot see the ledger."""
    for task in tasks:
        if bench.workspace.address is None:
            yield task
        elif mine := bench.ledger.take(task.run_ids):
            taken.update(mine)
            yield replace(task, run_ids=tuple(mine))


def _note_ended(bench: Bench, ended: Sequence[_Ended], taken: set[str]) -> None:
    """Write down how runs ended that were taken here for a worker elsewhere."""
    for run in ended:
        if run.state == "done":
            bench.ledger.finish(
                run.run_id,
                duration_s=run.duration_s,
                device=bench.device,
                code_version=__version__,
            )
        elif run.state == "failed":
            bench.ledger.fail(run.run_id, run.message or "")
        else:
            bench.ledger.give_back(run.run_id)
        taken.discard(run.run_id)


def _open_runs(ledger: Ledger, run_ids: Sequence[str]) -> list[str]:
    """Those of these runs that have not ended."""
    return [run_id for run_id in run_ids if ledger.state(run_id) in ("planned", "running")]


def do_task(task: _Task) -> list[_Ended]:
    """What a worker process does: one unit of runs, to their end.

    A run that another worker holds is waited for: that one may be the last gasp of a lost machine,
    after which the run is free.

    Returns:
        How they ended, where the driver cannot see it in the ledger.
    """
    workspace = Workspace.open(task.place)
    variants = with_parts(list(task.rows))
    songs = songs_of(workspace, task.config, variants)
    runs = {run.run_id: run for run in plan_runs(workspace, songs, variants, task.config)}
    apart = workspace.address is not None
    # The driver may be on this machine, and holds in its own ledger what it has handed out.
    place = workspace.path / ".node" / "ledger.sqlite" if apart else workspace.ledger
    bench = Bench(workspace, songs, task.config, Ledger(place), task.device)
    bench = replace(bench, on_progress=_ledger_notes(bench.ledger))
    if apart:
        mine = [runs[run_id] for run_id in task.run_ids]
        _note_finished(workspace, bench.ledger, mine, "handed")
    while left := _open_runs(bench.ledger, task.run_ids):
        _do(bench, [runs[run_id] for run_id in left])
        if _open_runs(bench.ledger, left):
            time.sleep(WAIT_S)
    return _ended(bench.ledger, task.run_ids) if apart else []


def _ended(ledger: Ledger, run_ids: Sequence[str]) -> list[_Ended]:
    table = ledger.table().set_index("run_id").loc[list(run_ids)]
    table = table.astype(object).where(table.notna(), None)
    return [
        _Ended(str(run_id), line["state"], line["message"], line["duration_s"] or 0.0)
        for run_id, line in table.iterrows()
    ]


def _ledger_notes(ledger: Ledger) -> Callable[[Sequence[Run], float, str], None]:
    def note(runs: Sequence[Run], fraction: float, text: str) -> None:
        for run in runs:
            ledger.note_progress(run.run_id, fraction)

    return note


class _Reporter:
    """Tells the caller and the ledger how far things are, now and then."""

    INTERVAL_S = 0.5

    def __init__(
        self,
        ledger: Ledger,
        runs: Sequence[Run],
        on_progress: Callable[[ExperimentProgress], None] | None,
    ) -> None:
        self._ledger = ledger
        self._ids = [run.run_id for run in runs]
        self._tell = on_progress
        self._start = self._last = time.monotonic()
        self._done_before = ledger.count(self._ids, "done")

    def at(self, runs: Sequence[Run], fraction: float, message: str) -> None:
        now = time.monotonic()
        if now - self._last < self.INTERVAL_S and message != "done":
            return
        self._last = now
        for run in runs:
            self._ledger.note_progress(run.run_id, fraction)
        if self._tell is None:
            return
        n_done = self._ledger.count(self._ids, "done")
        elapsed = now - self._start
        work = n_done - self._done_before + fraction * len(runs)
        left = len(self._ids) - n_done - fraction * len(runs)
        eta = elapsed / work * left if work > 0 else float("inf")
        names = f"row {runs[0].row.row}, fold {runs[0].fold}: " if runs else ""
        self._tell(ExperimentProgress(n_done, len(self._ids), elapsed, eta, names + message))


def _note_finished(workspace: Workspace, ledger: Ledger, runs: Sequence[Run], name: str) -> None:
    """Enter the runs; those whose folder is there are done, whatever the ledger thinks."""
    ledger.plan(name, {run.run_id: run.config for run in runs})
    for run in runs:
        written = workspace.has(workspace.run_folder(run.run_id) / "metrics.parquet")
        state = ledger.state(run.run_id)
        if written and state != "done":
            ledger.set_state(run.run_id, "done")
        if not written and state == "done":
            ledger.set_state(run.run_id, "planned")


def _outcome(workspace: Workspace, ledger: Ledger, runs: Sequence[Run]) -> pd.DataFrame:
    """The metrics of these runs.

    Raises:
        DataError: some failed.
    """
    table = ledger.table().set_index("run_id").loc[[run.run_id for run in runs]]
    failed = table[table["state"] == "failed"]
    if len(failed):
        first = failed.iloc[0]
        raise DataError(
            f"{len(failed)} of {len(runs)} runs failed, first row {first['row']}, fold "
            f"{first['fold']}: {first['message']}; what is done is kept"
        )
    if not (table["state"] == "done").any():
        return pd.DataFrame(columns=["row", "fold", "ndcg", "kendall", "spearman"])
    division = {name: runs[0].config[name] for name in DIVISION}
    metrics = load_results(workspace, division).metrics
    return metrics[metrics["run_id"].isin(table.index)].reset_index(drop=True)

"""The ledger: which runs are planned, running, done, failed or cancelled; one row per run.

A run is keyed by the hash of its configuration, so what is done is not done again, by whomever it
is asked for. Several workers may take runs from one ledger: taking is one transaction, and whether
a worker still lives is told by a lock that the system releases when its process ends, however it
ends. No clock decides anything; times in the ledger are for people.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from hitcore.errors import DataError

STATES = ("planned", "running", "done", "failed", "cancelled")

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    experiment TEXT NOT NULL,
    "row" TEXT NOT NULL,
    fold INTEGER NOT NULL,
    config TEXT NOT NULL,
    state TEXT NOT NULL,
    position INTEGER NOT NULL,
    progress REAL NOT NULL DEFAULT 0,
    worker INTEGER,
    message TEXT,
    device TEXT,
    code_version TEXT,
    planned_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    duration_s REAL
)""",
    "CREATE INDEX IF NOT EXISTS runs_by_position ON runs (position)",
)


class Ledger:
    """The ledger of one workspace, an SQLite file.

    Example:
        >>> import tempfile
        >>> ledger = Ledger(Path(tempfile.mkdtemp()) / "ledger.sqlite")
        >>> ledger.plan("demo", {"r1": {"row": "a", "fold": 0}})
        1
        >>> ledger.take(["r1"]), ledger.take(["r1"])
        (['r1'], [])
        >>> ledger.finish("r1", duration_s=1.0, device="cpu", code_version="0")
        >>> ledger.table()["state"].tolist()
        ['done']
    """

    def __init__(self, path: Path, timeout_s: float = 10.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._held: dict[str, FileLock] = {}
        with self._reading() as connection:
            query = "SELECT count(*) FROM sqlite_master WHERE name IN ('runs', 'runs_by_position')"
            complete = connection.execute(query).fetchone()[0] == len(_SCHEMA)
        if not complete:
            with self._connection() as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)

    # --- planning ---------------------------------------------------------------------------------

    def plan(self, experiment: str, configs: Mapping[str, Mapping[str, Any]]) -> int:
        """Enter runs that are not there yet; failed and cancelled ones are planned again.

        Args:
            experiment: The name under which they are shown together.
            configs: Run id to configuration; each names its `row` and `fold`.

        Returns:
            How many runs are to be done now.
        """
        with self._connection() as connection:
            first = connection.execute("SELECT coalesce(max(position), -1) + 1 FROM runs")
            position = int(first.fetchone()[0])
            for offset, (run_id, config) in enumerate(configs.items()):
                connection.execute(
                    "INSERT INTO runs (run_id, experiment, row, fold, config, state, position,"
                    " planned_at) VALUES (?, ?, ?, ?, ?, 'planned', ?, ?)"
                    " ON CONFLICT (run_id) DO UPDATE SET state = 'planned', message = NULL,"
                    " progress = 0, experiment = excluded.experiment"
                    " WHERE state IN ('failed', 'cancelled')",
                    (
                        run_id,
                        experiment,
                        str(config["row"]),
                        int(config["fold"]),
                        json.dumps(config, sort_keys=True),
                        position + offset,
                        _now(),
                    ),
                )
            ids = list(configs)
            open_runs = connection.execute(
                "SELECT count(*) FROM runs, json_each(?) AS asked"
                " WHERE runs.run_id = asked.value AND state IN ('planned', 'running')",
                (json.dumps(ids),),
            )
            return int(open_runs.fetchone()[0])

    # --- working ----------------------------------------------------------------------------------

    def take(self, run_ids: Iterable[str]) -> list[str]:
        """Take those of `run_ids` that are planned, or whose worker has died; now they are ours."""
        taken = []
        for run_id in run_ids:
            lock = FileLock(self._lock_path(run_id), timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            if self._mark_running(run_id):
                self._held[run_id] = lock
                taken.append(run_id)
            else:
                lock.release()
        return taken

    def note_progress(self, run_id: str, fraction: float) -> None:
        """Say how far a run is, from 0 to 1."""
        self._update(run_id, "progress = ?", (fraction,))

    def finish(self, run_id: str, *, duration_s: float, device: str, code_version: str) -> None:
        """Mark a run done; its results are in place already."""
        self._end(
            run_id,
            "done",
            "progress = 1, message = NULL, duration_s = ?, device = ?, code_version = ?",
            (duration_s, device, code_version),
        )

    def fail(self, run_id: str, message: str) -> None:
        """Mark a run failed, and why."""
        self._end(run_id, "failed", "message = ?", (message,))

    def give_back(self, run_id: str, *, cancelled: bool = False) -> None:
        """Put a run that was taken back, to be done later, or mark it cancelled."""
        self._end(run_id, "cancelled" if cancelled else "planned", "message = NULL", ())

    # --- stopping ---------------------------------------------------------------------------------

    def cancel(self, experiment: str) -> int:
        """Cancel what is planned, and ask what is running to stop; the number of runs concerned."""
        with self._connection() as connection:
            cursor = connection.execute(
                "UPDATE runs SET state = CASE state WHEN 'planned' THEN 'cancelled' ELSE state END,"
                " message = 'cancelling' WHERE experiment = ? AND state IN ('planned', 'running')",
                (experiment,),
            )
            return cursor.rowcount

    def cancelling(self, run_id: str) -> bool:
        """Whether this run was asked to stop."""
        with self._reading() as connection:
            query = "SELECT message FROM runs WHERE run_id = ?"
            found = connection.execute(query, (run_id,)).fetchone()
            return bool(found) and found[0] == "cancelling"

    # --- looking ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """All runs in the order in which they were planned.

        A run that says "running" while no living process holds it shows as "interrupted".
        """
        with self._reading() as connection:
            rows = connection.execute("SELECT * FROM runs ORDER BY position")
            columns = [column for column, *_ in rows.description]
            table = pd.DataFrame.from_records(rows.fetchall(), columns=columns, coerce_float=True)
        running = table["state"] == "running"
        dead = [not self._alive(run_id) for run_id in table.loc[running, "run_id"]]
        table.loc[table.index[running][dead], "state"] = "interrupted"
        return table

    def count(self, run_ids: Iterable[str], state: str) -> int:
        """How many of these runs are in a state."""
        with self._reading() as connection:
            query = (
                "SELECT count(*) FROM runs, json_each(?) AS asked"
                " WHERE runs.run_id = asked.value AND state = ?"
            )
            return int(connection.execute(query, (json.dumps(list(run_ids)), state)).fetchone()[0])

    def set_state(self, run_id: str, state: str) -> None:
        """Correct the state of a run by what its folder shows."""
        self._update(run_id, "state = ?, message = NULL", (state,))

    def state(self, run_id: str) -> str | None:
        """The state of one run as written, None where it is unknown."""
        with self._reading() as connection:
            query = "SELECT state FROM runs WHERE run_id = ?"
            found = connection.execute(query, (run_id,)).fetchone()
            return str(found[0]) if found else None

    # --- inside -----------------------------------------------------------------------------------

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction that only looks: it waits for no other reader, and holds up no writer."""
        return self._connection("BEGIN")

    @contextmanager
    def _connection(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """One transaction; the database's own troubles become a `DataError`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connect = sqlite3.connect(self._path, timeout=self._timeout_s, isolation_level=None)
            with closing(connect) as connection:
                connection.execute(begin)
                try:
                    yield connection
                    connection.commit()
                except BaseException:
                    if connection.in_transaction:
                        connection.rollback()
                    raise
        except sqlite3.OperationalError as error:
            raise DataError(_explain(error, self._path)) from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self._path} is no ledger ({error}): move it away and run the experiment again; "
                "finished runs are found by their folders"
            ) from error

    def _mark_running(self, run_id: str) -> bool:
        with self._connection() as connection:
            cursor = connection.execute(
                "UPDATE runs SET state = 'running', worker = ?, started_at = ?, progress = 0,"
                " message = NULL WHERE run_id = ? AND state IN ('planned', 'running')",
                (os.getpid(), _now(), run_id),
            )
            return cursor.rowcount == 1

    def _end(self, run_id: str, state: str, assignments: str, values: tuple[Any, ...]) -> None:
        self._update(run_id, f"state = ?, ended_at = ?, {assignments}", (state, _now(), *values))
        lock = self._held.pop(run_id, None)
        if lock is not None:
            lock.release()

    def _update(self, run_id: str, assignments: str, values: tuple[Any, ...]) -> None:
        with self._connection() as connection:
            # `assignments` are this module's own words; the values are bound.
            query = f"UPDATE runs SET {assignments} WHERE run_id = ?"  # noqa: S608
            connection.execute(query, (*values, run_id))

    def _alive(self, run_id: str) -> bool:
        if run_id in self._held:
            return True
        lock = FileLock(self._lock_path(run_id), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    def _lock_path(self, run_id: str) -> Path:
        folder = self._path.parent / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"run-{run_id}.lock"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _explain(error: sqlite3.OperationalError, path: Path) -> str:
    text = str(error)
    if "locked" in text:
        return f"the ledger {path} is locked by another process: wait for it or end it, try again"
    if "full" in text or "disk I/O" in text:
        return f"the ledger {path} cannot be written ({text}): free some space, then run again"
    if "readonly" in text or "unable to open" in text:
        return f"the ledger {path} cannot be opened for writing ({text}): check the permissions"
    return f"the ledger {path} cannot be used: {text}"

"""Where a query over a play log runs: DuckDB in this process, or Spark.

DuckDB is bounded: what does not fit its memory limit spills to a folder that is deleted
afterwards. Spark serves logs that outgrow one machine; the session is the one that is active (as
under `spark-submit`), else a local one. Both get the same tables, read from the same Parquet
files, so one Ibis expression runs on either.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from hitcore.errors import EngineError, ParameterError

Backend: TypeAlias = "str | ibis.BaseBackend | None"
"""The name of an engine, an open Ibis backend, or None for DuckDB."""

ENGINES = ("duckdb", "spark")
DUCKDB_MEMORY = "2GB"
"""What DuckDB may hold in memory before it spills to disk."""


@contextmanager
def opened(backend: Backend = None) -> Iterator[ibis.BaseBackend]:
    """The Ibis backend of that name for the length of a block; an open one is passed through.

    Raises:
        ParameterError: there is no engine of that name.
        EngineError: Spark is wanted and cannot be started.

    Example:
        >>> with opened("duckdb") as engine:
        ...     engine.name
        'duckdb'
    """
    if isinstance(backend, ibis.BaseBackend):
        yield backend
    elif backend in (None, "duckdb"):
        with _duckdb() as engine:
            yield engine
    elif backend == "spark":
        yield _spark()
    else:
        raise ParameterError(
            f"engine {backend!r} is unknown: {', '.join(ENGINES)} or an open Ibis backend"
        )


@contextmanager
def parquet_table(engine: ibis.BaseBackend, paths: Sequence[Path]) -> Iterator[ir.Table]:
    """The rows of Parquet files of one schema as a table of the engine, scanned lazily."""
    # Only DuckDB's reader takes several files at once.
    at_once = [list(paths)] if engine.name == "duckdb" else [[path] for path in paths]
    views: list[ir.Table] = []
    try:
        for group in at_once:
            source = [str(path) for path in group]
            views.append(engine.read_parquet(source if engine.name == "duckdb" else source[0]))
        yield views[0] if len(views) == 1 else ibis.union(*views)
    finally:
        for view in views:
            engine.raw_sql(f"DROP VIEW IF EXISTS {view.get_name()}")


@contextmanager
def memory_table(engine: ibis.BaseBackend, table: pa.Table) -> Iterator[ir.Table]:
    """An Arrow table as a table of the engine, handed over as Parquet, which all engines read.

    Example:
        >>> with opened() as engine, memory_table(engine, pa.table({"x": [1, 2]})) as table:
        ...     table.x.sum().to_pyarrow().as_py()
        3
    """
    with tempfile.TemporaryDirectory(prefix="hitcore-table-") as folder:
        path = Path(folder) / "table.parquet"
        pq.write_table(table, path)
        with parquet_table(engine, [path]) as handed:
            yield handed


def fetched(expression: ir.Table) -> pa.Table:
    """Run an expression on the engine that holds its tables; the rows as an Arrow table."""
    engine = expression.get_backend()
    if engine.name == "pyspark":
        # Straight to Arrow; Ibis would go through pandas and turn nulls into NaN on the way.
        return engine.raw_sql(engine.compile(expression)).toArrow()
    return expression.to_pyarrow()


@contextmanager
def _duckdb() -> Iterator[ibis.BaseBackend]:
    with tempfile.TemporaryDirectory(prefix="hitcore-spill-") as spill:
        engine = ibis.duckdb.connect(
            memory_limit=DUCKDB_MEMORY,
            temp_directory=spill,
            # Row order means nothing here, and keeping it costs memory.
            preserve_insertion_order=False,
        )
        try:
            yield engine
        finally:
            engine.disconnect()


def _spark() -> ibis.BaseBackend:
    """Ibis over the active Spark session, or over a local one that lasts as long as we do."""
    # pyspark 4.3 warns of pandas 3 at every import and fetch; what we use of it is tested.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise EngineError(
            "the engine spark needs pyspark: install it with `pip install 'hitcore[spark]'`"
        ) from error
    try:
        session = SparkSession.getActiveSession() or _local_session(SparkSession.builder)
        return ibis.pyspark.connect(session)
    except (PySparkException, OSError) as error:
        raise EngineError(
            f"Spark does not start ({error}): it needs Java 17 or newer (`java -version`); "
            "or use the engine duckdb"
        ) from error


def _local_session(builder: Any) -> Any:
    logging.getLogger("py4j").setLevel(logging.ERROR)
    spill = Path(tempfile.gettempdir()) / "hitcore-spark"
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(spill / "warehouse"),
        "spark.log.level": "ERROR",
    }
    builder = builder.master("local[*]").appName("hitcore")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()

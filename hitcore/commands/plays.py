"""`hitcore plays …`: hit scores of a play log, and how unequally its plays are spread."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitcore.commands.terminal import print_json
from hitcore.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from hitcore.plays.hitscores import ScoreReport

app = typer.Typer(help="Play logs: hit scores and the long tail.", no_args_is_help=True)

Logs = Annotated[list[str], typer.Argument(help="Files of one log, or a folder of them.")]
SongsOption = Annotated[
    str | None,
    typer.Option("--songs", help="Table of songs and release dates; left out: the log's own."),
]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="Format of the log; left out: found by its content.")
]
DefinitionOption = Annotated[
    str, typer.Option(help="day:N, window:A-B, retention30 or cumulative.")
]
ZoneOption = Annotated[
    str | None,
    typer.Option(
        help="Time zone of the service, in which the days of single plays are cut, as Asia/Taipei "
        "or +08:00; left out: the log's own, else UTC."
    ),
]
EngineOption = Annotated[str, typer.Option(help="duckdb or spark.")]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="NAME=COLUMN for a table of one's own, as song_id=track; the score alone: NAME.",
    ),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave out and count rows that cannot be right.")
]
DuplicatesOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-duplicates/--drop-duplicates",
        help="Count events of the same listener, song and time each, or once; left out: once, "
        "unless a log names no listeners.",
    ),
]
DecimalOption = Annotated[
    str | None,
    typer.Option(help="What stands before decimals of counts, . or , where a column cannot tell."),
]


@dataclass(frozen=True)
class Asked:
    """What one command asks of a log: how to read it, and what to make of it."""

    plays: list[str]
    songs: str | None
    format: str | None
    definition: str
    time_zone: str | None
    engine: str
    columns: list[str] | None
    skip_bad_rows: bool
    keep_duplicates: bool | None
    decimal: str | None


@app.command("score")
def score(
    plays: Logs,
    out: Annotated[str, typer.Option(help="Where the scores go, .csv or .parquet.")],
    songs: SongsOption = None,
    format: FormatOption = None,
    definition: DefinitionOption = "day:60",
    time_zone: ZoneOption = None,
    engine: EngineOption = "duckdb",
    column: ColumnsOption = None,
    skip_bad_rows: SkipOption = False,
    keep_duplicates: DuplicatesOption = None,
    decimal: DecimalOption = None,
) -> None:
    """Write the hit score of every song of a play log."""
    from hitcore.plays import hitscores

    target = hitscores.check_scores_path(out)
    asked = Asked(
        *(plays, songs, format, definition, time_zone, engine, column),
        *(skip_bad_rows, keep_duplicates, decimal),
    )
    scores, _ = _scored(asked)
    print(hitscores.write_scores(scores, target))


@app.command("stats")
def stats(
    plays: Logs,
    songs: SongsOption = None,
    format: FormatOption = None,
    definition: DefinitionOption = "day:60",
    time_zone: ZoneOption = None,
    engine: EngineOption = "duckdb",
    column: ColumnsOption = None,
    skip_bad_rows: SkipOption = False,
    keep_duplicates: DuplicatesOption = None,
    decimal: DecimalOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Print how unequally plays are spread over the songs of a log."""
    from dataclasses import asdict

    from hitcore.plays.tailfits import summarise

    asked = Asked(
        *(plays, songs, format, definition, time_zone, engine, column),
        *(skip_bad_rows, keep_duplicates, decimal),
    )
    scores, report = _scored(asked)
    summary = summarise(scores["hit_score"].dropna())
    if as_json:
        print_json(_plain_json({"scores": asdict(report), **asdict(summary)}))
    else:
        print(*summary.lines(), sep="\n")


def _scored(asked: Asked) -> "tuple[pd.DataFrame, ScoreReport]":
    """Scores and their report; what was read and left out is said on standard error."""
    from hitcore.plays import hitscores
    from hitcore.plays.definitions import Definition
    from hitcore.plays.timezones import zone_of

    Definition.parse(asked.definition)
    if asked.time_zone is not None:
        zone_of(asked.time_zone)
    mapping = mapping_of(asked.columns)
    with reading_bar() as progress:
        log, table = hitscores.read_log(
            asked.plays,
            asked.songs,
            asked.format,
            mapping=mapping,
            on_error="skip" if asked.skip_bad_rows else "raise",
            keep_duplicates=asked.keep_duplicates,
            decimal=asked.decimal,
            progress=progress,
        )
    print(*log.report.lines(), sep="\n", file=sys.stderr)
    how = (asked.definition, asked.time_zone or log.time_zone or "UTC", asked.engine)
    scores = hitscores.hit_scores(log, table, *how)
    report = hitscores.score_report(log, table, *how)
    print(*report.lines(), sep="\n", file=sys.stderr)
    return scores, report


def mapping_of(columns: list[str] | None) -> dict[str, str | int] | None:
    """Canonical names to columns, from `NAME=COLUMN` or `NUMBER=NAME`; None where none is given.

    Raises:
        ParameterError: one has another form.

    Example:
        >>> mapping_of(["song_id=track"]), mapping_of(["0=artist", "1=title"])
        ({'song_id': 'track'}, {'artist': 0, 'title': 1})
    """
    pairs = [column.partition("=") for column in columns or []]
    if any(not (name and sign and source) for name, sign, source in pairs):
        raise ParameterError(
            "--column takes NAME=COLUMN, as in --column song_id=track, or NUMBER=NAME for a table "
            "without a head, as in --column 0=artist"
        )
    found: dict[str, str | int] = {}
    for name, _, source in pairs:
        if name.isascii() and name.isdigit() and len(name) < 5:
            found[source] = int(name)
        else:
            found[name] = source
    return found or None


@contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error for reading a file; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        task = p.add_task("reading", total=None)
        yield lambda done, total: p.update(task, completed=done, total=total)


def _plain_json(document: Any) -> Any:
    """The document with dates as text and NaN as null."""
    if isinstance(document, dict):
        return {key: _plain_json(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_plain_json(value) for value in document]
    if isinstance(document, float) and document != document:
        return None
    return document.isoformat() if isinstance(document, date) else document

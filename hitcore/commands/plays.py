"""`hitcore plays …`: hit scores of a play log, and how unequally its plays are spread."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
) -> None:
    """Write the hit score of every song of a play log."""
    from hitcore.plays import hitscores as playcounts

    target = playcounts.check_scores_path(out)
    scores, _ = _scored(plays, songs, format, definition, time_zone, engine, column, skip_bad_rows)
    print(playcounts.write_scores(scores, target))


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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Print how unequally plays are spread over the songs of a log."""
    from dataclasses import asdict

    from hitcore.plays.tailfits import summarise

    scores, report = _scored(
        plays, songs, format, definition, time_zone, engine, column, skip_bad_rows
    )
    summary = summarise(scores["hit_score"].dropna())
    if as_json:
        print_json(_plain_json({"scores": asdict(report), **asdict(summary)}))
    else:
        print(*summary.lines(), sep="\n")


def _scored(
    plays: list[str],
    songs: str | None,
    format: str | None,
    definition: str,
    time_zone: str | None,
    engine: str,
    columns: list[str] | None,
    skip_bad_rows: bool,
) -> "tuple[pd.DataFrame, ScoreReport]":
    """Scores and their report; what was read and left out is said on standard error."""
    from hitcore.plays import hitscores as playcounts
    from hitcore.plays.definitions import Definition
    from hitcore.plays.timezones import zone_of

    Definition.parse(definition)
    if time_zone is not None:
        zone_of(time_zone)
    mapping = mapping_of(columns)
    with reading_bar() as progress:
        log, table = playcounts.read_log(
            plays,
            songs,
            format,
            mapping=mapping,
            on_error="skip" if skip_bad_rows else "raise",
            progress=progress,
        )
    print(*log.report.lines(), sep="\n", file=sys.stderr)
    zone = time_zone or log.time_zone or "UTC"
    scores = playcounts.hit_scores(log, table, definition, zone, engine)
    report = playcounts.score_report(log, table, definition, zone, engine)
    print(*report.lines(), sep="\n", file=sys.stderr)
    return scores, report


def mapping_of(columns: list[str] | None) -> dict[str, str] | None:
    """Canonical names to columns, from `NAME=COLUMN`; None where none is given.

    Raises:
        ParameterError: one has another form.
    """
    pairs = [column.partition("=") for column in columns or []]
    if any(not (name and sign and source) for name, sign, source in pairs):
        raise ParameterError("--column takes NAME=COLUMN, as in --column song_id=track")
    return {name: source for name, _, source in pairs} or None


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

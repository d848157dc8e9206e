"""`hitcore workspace …`: a workspace of one's own songs."""

from typing import Annotated

import typer

from hitcore.commands.plays import (
    ColumnsOption,
    DecimalOption,
    DefinitionOption,
    DuplicatesOption,
    FormatOption,
    SkipOption,
    SongsOption,
    ZoneOption,
    mapping_of,
    reading_bar,
)
from hitcore.errors import ParameterError

app = typer.Typer(help="Workspaces: catalogues of one's own songs.", no_args_is_help=True)

ONE_SOUND = "give --audio or --features, not both: one sound for each song"


@app.command("create")
def create(
    workspace: Annotated[str, typer.Argument(help="A new folder.")],
    plays: Annotated[
        list[str] | None, typer.Option(help="A file of the play log; may be repeated.")
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(help="In place of a log: a table of songs with one number each."),
    ] = None,
    audio: Annotated[
        str | None, typer.Option(help="Folder of sound files, named by song_id.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="In place of sound: an NPZ of log-mel and tags.")
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(help="Columns of --scores that rows without sound use: a,b,c.")
    ] = None,
    songs: SongsOption = None,
    format: FormatOption = None,
    definition: DefinitionOption = "day:60",
    time_zone: ZoneOption = None,
    column: ColumnsOption = None,
    skip_bad_rows: SkipOption = False,
    keep_duplicates: DuplicatesOption = None,
    decimal: DecimalOption = None,
) -> None:
    """Make a workspace of songs and their plays, or of one number per song; nothing is copied."""
    if (not plays) == (scores is None):
        raise ParameterError(
            "give either --plays LOG, a play log, or --scores TABLE, one number per song"
        )
    if scores is not None:
        if songs or format:
            raise ParameterError("--songs and --format go with --plays; --scores is one table")
        _of_scores(workspace, scores, audio, features, attributes, column, skip_bad_rows)
        return
    if attributes is not None:
        raise ParameterError("--attributes are columns of --scores")
    _of_plays(
        *(workspace, plays or [], audio, features, songs, format, definition, time_zone),
        *(column, skip_bad_rows, keep_duplicates, decimal),
    )


@app.command("copy")
def copy(
    source: Annotated[str, typer.Argument(help="A workspace: its folder or its address.")],
    target: Annotated[str, typer.Argument(help="Where to: an address (s3://…) or a new folder.")],
) -> None:
    """Take a workspace to an address that machines without a shared folder reach, or back."""
    from hitcore.catalogue.copying import copy_workspace

    print(f"next: hitcore features build {copy_workspace(source, target).place}")


def _of_plays(
    workspace: str,
    plays: list[str],
    audio: str | None,
    features: str | None,
    songs: str | None,
    format: str | None,
    definition: str,
    time_zone: str | None,
    column: list[str] | None,
    skip_bad_rows: bool,
    keep_duplicates: bool | None,
    decimal: str | None,
) -> None:
    from hitcore.catalogue import importing
    from hitcore.featurestore import read_given

    if audio is not None and features is not None:
        raise ParameterError(ONE_SOUND)
    mapping = mapping_of(column)
    given = None if features is None else read_given(features)
    with reading_bar() as progress:
        made = importing.create(
            workspace,
            plays,
            audio,
            songs,
            given=None if given is None else given.song_ids,
            fill=None if given is None else lambda place, ids: given.of(ids).write(place),
            format=format,
            definition=definition,
            time_zone=time_zone,
            mapping=mapping,
            on_error="skip" if skip_bad_rows else "raise",
            keep_duplicates=keep_duplicates,
            decimal=decimal,
            progress=progress,
        )
    print(*made.notes, sep="\n")
    print(
        f"{made.n_songs:,} songs with sound, {made.n_silent:,} left out without; "
        f"{made.n_scored:,} have a hit score"
    )
    if audio is not None:
        print(f"next: hitcore features build {made.workspace.path}")


def _of_scores(
    workspace: str,
    scores: str,
    audio: str | None,
    features: str | None,
    attributes: str | None,
    column: list[str] | None,
    skip_bad_rows: bool,
) -> None:
    from hitcore.featurestore import create_scored

    score, mapping = score_column(column)
    made = create_scored(
        workspace,
        scores,
        audio=audio,
        features=features,
        attributes=[name.strip() for name in (attributes or "").split(",") if name.strip()],
        column=score,
        mapping=mapping,
        skip_bad_rows=skip_bad_rows,
    )
    print(*made.notes, sep="\n")
    print(
        f"{made.n_songs:,} songs with a score, {made.n_with_sound:,} of them with sound, "
        f"{made.n_left_out:,} left out"
    )
    place = made.workspace.path
    if audio is not None:
        print(f"next: hitcore features build {place}")
    else:
        preset = "real" if features is not None else "attributes"
        print(f"next: hitcore experiment run {place} --preset {preset} --fold-kind artist")


def score_column(columns: list[str] | None) -> tuple[str | None, dict[str, str] | None]:
    """The column of the score, given alone or as `score=…`, and the mapping of the others.

    Raises:
        ParameterError: two columns are given for the score.

    Example:
        >>> score_column(["pop", "song_id=track"])
        ('pop', {'song_id': 'track'})
    """
    alone = [name for name in columns or [] if "=" not in name]
    given = mapping_of([name for name in columns or [] if "=" in name]) or {}
    mapping = {name: str(column) for name, column in given.items()}
    named = [*alone, *([mapping.pop("score")] if "score" in mapping else [])]
    if len(named) > 1:
        raise ParameterError(f"the score has one column; given are {', '.join(named)}")
    return (named[0] if named else None), mapping or None

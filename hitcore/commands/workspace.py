"""`hitcore workspace …`: a workspace of one's own songs."""

from typing import Annotated

import typer

from hitcore.commands.plays import (
    ColumnsOption,
    DefinitionOption,
    FormatOption,
    SkipOption,
    SongsOption,
    mapping_of,
    reading_bar,
)

app = typer.Typer(help="Workspaces: catalogues of one's own songs.", no_args_is_help=True)


@app.command("create")
def create(
    workspace: Annotated[str, typer.Argument(help="A new folder.")],
    plays: Annotated[list[str], typer.Option(help="A file of the play log; may be repeated.")],
    audio: Annotated[str, typer.Option(help="Folder of sound files, named by song_id.")],
    songs: SongsOption = None,
    format: FormatOption = None,
    definition: DefinitionOption = "day:60",
    column: ColumnsOption = None,
    skip_bad_rows: SkipOption = False,
) -> None:
    """Make a workspace of a play log and a folder of songs; nothing is copied."""
    from hitcore.catalogue import importing

    mapping = mapping_of(column)
    with reading_bar() as progress:
        made = importing.create(
            workspace,
            plays,
            audio,
            songs,
            format=format,
            definition=definition,
            mapping=mapping,
            on_error="skip" if skip_bad_rows else "raise",
            progress=progress,
        )
    print(*made.notes, sep="\n")
    print(
        f"{made.n_songs:,} songs with sound, {made.n_silent:,} left out without; "
        f"{made.n_scored:,} have a hit score"
    )
    print(f"next: hitcore features build {made.workspace.path}")

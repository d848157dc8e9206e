"""`hitcore demo …`: make a catalogue of songs that never were, or a few of its songs as files."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from hitcore.commands.terminal import ProgressLine, print_json

app = typer.Typer(
    help="The demo catalogue: synthetic songs with planted causes of success.",
    no_args_is_help=True,
)

Seed = Annotated[int, typer.Option(help="The same seed gives the same catalogue.")]


@app.command("create")
def create(
    workspace: Annotated[str, typer.Argument(help="A new or empty folder.")],
    songs: Annotated[int, typer.Option(help="How many songs, 20 to 200000.")] = 1500,
    seed: Seed = 0,
    audio: Annotated[int, typer.Option(help="How many songs to keep as sound files.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Make a workspace with a demo catalogue: songs, plays, hit scores and the planted truth."""
    from hitcore import demo

    line = ProgressLine()
    began = time.monotonic()

    def show(done: int, total: int) -> None:
        left = (time.monotonic() - began) * (total - done) / done
        line.show("Songs", done / total, left, f"{done} of {total}")

    try:
        made = demo.create(workspace, songs, seed, n_audio=audio, progress=show)
    finally:
        line.end()
    facts = demo.facts_of(made)
    if as_json:
        print_json({"workspace": str(made.path), **asdict(facts)})
        return
    print(f"{made.path}: {facts.n_songs} songs, {facts.n_scored} with a hit score")
    print(f"below the mean hit score              {facts.share_below_mean:8.1%}")
    print("rank correlation (Spearman) with the hit score:")
    print(f"  planted appeal, the ceiling         {facts.appeal_spearman:8.3f}")
    print(f"  what the chorus shows of it         {facts.audible_spearman:8.3f}")
    print(f"  what the rest of the song shows     {facts.other_spearman:8.3f}")
    print(f"  the artists' following, inaudible   {facts.following_spearman:8.3f}")


@app.command("songs")
def songs(
    out: Annotated[str, typer.Argument(help="Folder for the sound files and songs.json.")],
    seed: Seed = 0,
) -> None:
    """Write four demo songs as Ogg Vorbis, one of each of four genres."""
    from hitcore.demo import write_songs

    for path in write_songs(out, seed):
        print(path)

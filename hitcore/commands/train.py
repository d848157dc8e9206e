"""`hitcore train …`: networks that one trains on one's own music."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hitcore.commands.terminal import ProgressLine, print_json
from hitcore.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hitcore.audio import Waveform
    from hitcore.highlights.labels import SourceSong

app = typer.Typer(help="Train networks on your own music.", no_args_is_help=True)


@app.command("highlighter")
def highlighter(
    songs: Annotated[list[str], typer.Argument(help="Sound files, or folders of them.")],
    out: Annotated[str, typer.Option(help="The .safetensors file to write.")],
    labels: Annotated[
        str | None,
        typer.Option(help="CSV file with columns song, label; without it, a tagger gives moods."),
    ] = None,
    tagger: Annotated[str, typer.Option(help="Gives the moods.")] = "musicnn-msd",
    epochs: Annotated[int, typer.Option(help="Passes over the songs.")] = 30,
    batch: Annotated[int, typer.Option(help="Songs per step.")] = 8,
    seed: Annotated[int, typer.Option(help="Of weights, order and split.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    licence: Annotated[str, typer.Option(help="Terms of the result.")] = "unknown",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Train the attention highlighter; use it as `--highlight attention:FILE`.

    A broken run goes on where it stood, from the folder OUT.work.
    """
    from hitcore.highlights.labels import label_songs, mood_songs
    from hitcore.highlights.training import (
        HighlighterConfig,
        HighlighterEpoch,
        train_highlighter,
    )
    from hitcore.taggers import load_tagger

    config = HighlighterConfig(n_epochs=epochs, batch_size=batch, seed=seed)
    found = _songs(songs)
    line = ProgressLine(None)

    def counted(title: str) -> "Callable[[int, int], None]":
        return lambda done, total: line.show(
            title, done / total, math.inf, f"{done} of {total} songs"
        )

    def epoch_done(epoch: HighlighterEpoch) -> None:
        text = f"loss {epoch.train_loss:.4f}, held out {epoch.valid_loss:.4f}"
        line.show("Training", epoch.epoch / config.n_epochs, math.inf, text)

    try:
        if labels is None:
            data = mood_songs(found, load_tagger(tagger, device), on_progress=counted("Moods"))
        else:
            data = label_songs(found, labels)
        result = train_highlighter(
            data,
            out,
            config,
            description={"licence": licence},
            device=device,
            on_progress=counted("Chunks"),
            on_epoch=epoch_done,
        )
    finally:
        line.end()
    best = min(result.history, key=lambda epoch: epoch.valid_loss)
    report = {
        "weights": str(result.path),
        "songs": result.n_songs,
        "labels": list(data.label_names),
        "skipped": result.skipped,
        "best_epoch": best.epoch,
        "valid_loss": best.valid_loss,
        "position_share": result.position_share,
    }
    if as_json:
        print_json(report)
        return
    for key, value in report.items():
        print(f"{key:<15} {value}")


def _songs(paths: list[str]) -> "list[SourceSong]":
    """Every sound file that is named or lies in a named folder."""
    from hitcore.audio import is_sound_file, load_audio
    from hitcore.highlights.labels import SourceSong

    files: list[Path] = []
    for name in paths:
        path = Path(name)
        if not path.exists():
            raise DataError(f"{name} does not exist: name sound files or folders of them")
        inside = (p for p in sorted(path.rglob("*")) if not p.name.startswith(".") and p.is_file())
        files += [p for p in inside if is_sound_file(p)] if path.is_dir() else [path]
    if not files:
        raise DataError(f"no sound files in {', '.join(paths)}: docs/formats.md says what is")
    return [
        SourceSong(
            name=file.stem,
            load=cast("Callable[[], Waveform]", partial(load_audio, file)),
            key=f"{file.resolve()}:{file.stat().st_size}:{file.stat().st_mtime_ns}",
        )
        for file in files
    ]


@app.command("tagger")
def tagger(
    data: Annotated[str, typer.Option(help="Folder of MagnaTagATune, or one in its format.")],
    out: Annotated[str, typer.Option(help="The .safetensors file to write.")],
    architecture: Annotated[str, typer.Option(help="jynet or musicnn.")] = "jynet",
    tags: Annotated[int, typer.Option(help="Keep this many tags, most frequent first.")] = 50,
    merge_synonyms: Annotated[
        bool, typer.Option("--merge-synonyms", help="Make one tag of those that mean the same.")
    ] = False,
    split: Annotated[str, typer.Option(help="folders (as usual) or artists.")] = "folders",
    epochs: Annotated[int, typer.Option(help="Passes over the clips, at most.")] = 100,
    batch: Annotated[int, typer.Option(help="Clips per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at the start.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of weights, order and split.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    licence: Annotated[str, typer.Option(help="Terms of the result.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Train a tagger; a broken run goes on where it stood, from the folder OUT.work."""
    from dataclasses import asdict

    from hitcore.taggers.training import Epoch, TaggerConfig, train_tagger
    from hitcore.taggers.training.magnatagatune import Split, read_magnatagatune

    config = TaggerConfig(architecture, epochs, batch, learning_rate, seed=seed)
    clips = read_magnatagatune(
        data, n_tags=tags, merge_synonyms=merge_synonyms, split=cast(Split, split), seed=seed
    )
    line = ProgressLine(None)

    def inputs_done(done: int, total: int) -> None:
        line.show("inputs", done / total, math.inf, f"{done} of {total} clips")

    def epoch_done(epoch: Epoch) -> None:
        figures = f"loss {epoch.train_loss:.4f}, validation PR-AUC {epoch.valid_pr_auc:.3f}"
        line.show("training", epoch.epoch / epochs, math.inf, f"epoch {epoch.epoch}: {figures}")

    try:
        result = train_tagger(
            clips,
            out,
            config,
            licence=licence,
            device=device,
            on_progress=inputs_done,
            on_epoch=epoch_done,
        )
    finally:
        line.end()
    if as_json:
        history = [
            {key: None if value != value else value for key, value in asdict(epoch).items()}
            for epoch in result.history
        ]
        document = {"path": str(result.path), "test": result.test.to_dict(), "history": history}
        print_json({**document, "skipped": result.skipped})
        return
    print(f"{result.path}: macro ROC-AUC {result.test.macro_roc_auc:.3f} on the test clips")
    for reason, n_clips in result.skipped.items():
        print(f"left out, {reason}: {n_clips}")

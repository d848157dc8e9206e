"""`hitcore features …`: build, show and verify the feature stores of a workspace."""

from typing import Annotated, Any

import typer

from hitcore.commands.terminal import ProgressLine, print_json
from hitcore.errors import DataError

app = typer.Typer(
    help="Features of a catalogue: log-mel spectrograms and tags of its highlights.",
    no_args_is_help=True,
)

WorkspacePath = Annotated[
    str, typer.Argument(help="Folder of the workspace, or its address (s3://…).")
]
Highlights = Annotated[
    list[str] | None,
    typer.Option("--highlight", help="How clips are chosen; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command("build")
def build(
    workspace: WorkspacePath,
    highlight: Highlights = None,
    tagger: Annotated[str, typer.Option(help="Whose tags; none for no tags.")] = "musicnn-mtt",
    engine: Annotated[str, typer.Option(help="local, ray or ray:ADDRESS.")] = "local",
    workers: Annotated[int | None, typer.Option(help="Processes of the local engine.")] = None,
    device: Annotated[
        str, typer.Option(help="cpu, or cuda for the mel and the networks; decoding stays here.")
    ] = "cpu",
    audio: Annotated[
        str | None,
        typer.Option(help="Folder or object store (s3://…) of the songs; the workspace's audio/."),
    ] = None,
    progress_file: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Make the features that are missing; songs that fail are named, the others are kept."""
    from hitcore.catalogue.workspace import Workspace

    report = build_missing(
        Workspace.open(workspace), highlight, tagger, engine, workers, progress_file, device, audio
    )
    failures = report.failures.to_dict("records")
    if as_json:
        print_json(
            {
                "songs": report.n_songs,
                "built": report.n_built,
                "kept": report.n_kept,
                "failed": failures,
                "elapsed_s": round(report.elapsed_s, 3),
            }
        )
        return
    print(f"{report.n_built} songs built, {report.n_kept} kept, {len(failures)} failed")
    for failure in failures:
        print(f"  {failure['song_id']}: {failure['error']}")


def build_missing(
    workspace: Any,
    highlights: list[str] | None,
    tagger: str,
    engine: str,
    workers: int | None,
    progress_file: str | None = None,
    device: str = "cpu",
    audio_root: str | None = None,
) -> Any:
    """Build the stores of these highlight methods, telling how far it is."""
    from hitcore.featurestore import FeatureConfig, Progress, build_features
    from hitcore.highlights import DEFAULT_METHOD

    configs = [
        FeatureConfig(segment=method, tagger=None if tagger == "none" else tagger)
        for method in dict.fromkeys(highlights or ["middle", DEFAULT_METHOD])
    ]
    line = ProgressLine(progress_file)

    def show(progress: Progress) -> None:
        failed = sum(progress.failures.values())
        causes = ", ".join(f"{cause} {n}" for cause, n in progress.failures.items())
        text = f"{progress.n_done} of {progress.n_total} songs, {progress.songs_per_s:.1f} songs/s"
        text += f", {failed} failed ({causes})" if failed else ""
        fraction = progress.n_done / progress.n_total if progress.n_total else 1.0
        line.show("Features", fraction, progress.eta_s, text)

    try:
        return build_features(
            workspace,
            configs,
            engine=engine,
            n_workers=workers,
            device=device,
            audio_root=audio_root,
            on_progress=show,
        )
    finally:
        line.end()


@app.command("verify")
def verify(workspace: WorkspacePath) -> None:
    """Compare every shard with its checksum; exit status 2 where one is damaged."""
    problems = [problem for store in _stores(workspace) for problem in store.verify()]
    if problems:
        raise DataError("; ".join(problems))
    print("every shard is as it was written")


@app.command("show")
def show(workspace: WorkspacePath, as_json: Json = False) -> None:
    """List the feature stores of a workspace: what they hold and which songs failed."""
    rows = []
    for store in _stores(workspace):
        index = store.index()
        failed = index[index["status"] == "failed"]
        rows.append(
            {
                "fingerprint": store.config.fingerprint,
                "highlight": store.config.segment,
                "tagger": store.config.tagger,
                "songs": int((index["status"] == "ok").sum()),
                "failed": failed[["song_id", "error"]].to_dict("records"),
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(
            f"{row['fingerprint']}  {row['highlight']:<12} {row['tagger'] or 'no tags':<12} "
            f"{row['songs']} songs, {len(row['failed'])} failed"
        )


def _stores(workspace: str) -> list[Any]:
    """The stores of a workspace that this version of hitcore would read."""
    import json

    from hitcore.catalogue.workspace import Workspace
    from hitcore.featurestore import FeatureConfig, FeatureStore

    place = Workspace.open(workspace)
    place.refresh(place.features, "config.json", deep=True)
    stores = []
    for path in sorted(place.features.glob("*/config.json")):
        try:
            config = FeatureConfig(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path} cannot be read ({error}): build the features again, or delete the folder "
                f"{path.parent.name}"
            ) from error
        store = FeatureStore(place, config)
        if store.folder == path.parent:
            store.refresh()
            stores.append(store)
    return stores

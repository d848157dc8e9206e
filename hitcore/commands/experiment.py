"""`hitcore experiment …`: run Table 1 on a workspace, look at its results, cancel, export."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hitcore.commands.features import Json, WorkspacePath, build_missing
from hitcore.commands.terminal import ProgressLine, print_json
from hitcore.errors import ParameterError

if TYPE_CHECKING:
    from hitcore.catalogue.songs import FoldKind
    from hitcore.learning import Precision

app = typer.Typer(
    help="Experiments: the rows of Table 1 and their baselines on a workspace.",
    no_args_is_help=True,
)

PRESETS = ("table1", "paper", "baselines", "all", "real", "attributes")
PAIRS = {"in-batch": "in_batch", "explicit": "explicit"}


@app.command("run")
def run(
    workspace: WorkspacePath,
    preset: Annotated[
        str,
        typer.Option(
            help="table1, paper (its own tagger, pairs and highlighter), baselines, all, real or "
            "attributes."
        ),
    ] = "table1",
    rows: Annotated[str | None, typer.Option(help="Some rows only, such as a,e,j.")] = None,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 10,
    fold_kind: Annotated[str, typer.Option(help="song or artist (disjoint).")] = "song",
    device: Annotated[str | None, typer.Option(help="cpu, cuda; a GPU if there is one.")] = None,
    engine: Annotated[str, typer.Option(help="local, ray or ray:ADDRESS.")] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Processes of the local engine; one for each core.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many epochs.")] = None,
    grid: Annotated[str, typer.Option(help="full, small, tags or one.")] = "full",
    highlight: Annotated[
        str | None,
        typer.Option(help="Method of the HL-30 rows; attention:FILE for weights of one's own."),
    ] = None,
    tagger: Annotated[str | None, typer.Option(help="Whose tags, such as jynet.")] = None,
    pairs: Annotated[
        str | None, typer.Option(help="explicit (drawn, as in the paper) or in-batch.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Seeds of training per row and fold; a verdict needs 3."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float32 or bfloat16; auto is bfloat16 on a GPU alone.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of folds and training.")] = 0,
    name: Annotated[str, typer.Option(help="Under which the ledger shows the runs.")] = "table1",
    build_features: Annotated[bool, typer.Option(help="First build what is missing.")] = False,
    progress_file: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Run what is not done yet; break it off and run it again to go on."""
    from hitcore.catalogue.workspace import Workspace
    from hitcore.engines import usable_cores
    from hitcore.experiments import ExperimentProgress, run_experiment

    place = Workspace.open(workspace)
    config = config_of(
        folds,
        fold_kind,
        epochs,
        grid,
        highlight,
        seed,
        precision,
        paper=preset == "paper",
        tagger=tagger,
        pairs=pairs,
        seeds=seeds,
    )
    config = config.for_workspace(place)
    require_tagger(place, config, rows_of(preset, rows))
    chosen = rows_of(preset, rows)
    if build_features:
        methods = segments_of(chosen, config)
    if build_features and methods:
        build_missing(place, methods, config.tagger, engine, None, progress_file, device or "cpu")
    line = ProgressLine(progress_file)

    def show(progress: ExperimentProgress) -> None:
        fraction = progress.n_done / progress.n_total
        text = f"{progress.n_done} of {progress.n_total} runs, {progress.message}"
        line.show("Experiment", fraction, progress.eta_s, text)

    try:
        table = run_experiment(
            place,
            chosen,
            config,
            name=name,
            device=device,
            engine=engine,
            n_workers=workers or usable_cores(),
            on_progress=show,
        )
    finally:
        line.end()
    _print_results(table, as_json)


@app.command("show")
def show(
    workspace: WorkspacePath,
    fold_kind: Annotated[
        str | None, typer.Option(help="song or artist (disjoint); the latest if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The results of a workspace, one line per row and fold."""
    from hitcore.catalogue.workspace import Workspace
    from hitcore.experiments import load_results

    division = {"fold_kind": fold_kind} if fold_kind is not None else None
    _print_results(load_results(Workspace.open(workspace), division).metrics, as_json)


@app.command("cancel")
def cancel(
    workspace: WorkspacePath,
    name: Annotated[str, typer.Option(help="Which experiment.")] = "table1",
) -> None:
    """Cancel what is planned, and ask what is running to stop after its epoch."""
    from hitcore.catalogue.workspace import Workspace
    from hitcore.experiments import Ledger

    n_runs = Ledger(Workspace.open(workspace).ledger).cancel(name)
    print(f"{n_runs} runs cancelled")


@app.command("export")
def export(
    workspace: WorkspacePath,
    to: Annotated[
        str | None, typer.Argument(help="Workspace that gets the tables of results.")
    ] = None,
    row: Annotated[str | None, typer.Option(help="A row to export as one model: d.")] = None,
    out: Annotated[str | None, typer.Option(help="The model's file, .safetensors.")] = None,
    fold_kind: Annotated[
        str | None, typer.Option(help="song or artist (disjoint); the latest if not given.")
    ] = None,
    ensembles: Annotated[str | None, typer.Option(help="Rows to export as models: d,f,j.")] = None,
    models: Annotated[str | None, typer.Option(help="Folder for the models.")] = None,
    demo: Annotated[bool, typer.Option(help="The catalogue is synthetic.")] = False,
) -> None:
    """Join a row's folds to one model (--row, --out), or copy results to another workspace."""
    from hitcore.catalogue.workspace import Workspace
    from hitcore.experiments import export_results, load_results
    from hitcore.experiments.export import about_results, export_ensembles, export_model

    if (row is None) != (out is None) or (row is None) == (to is None):
        raise ParameterError(
            "give --row ROW --out FILE.safetensors for a model, or the workspace that gets tables"
        )
    source = Workspace.open(workspace)
    results = load_results(source, {"fold_kind": fold_kind} if fold_kind else None)
    if row is not None and out is not None:
        made = export_model(source, results, row, out)
        print(*made.lines(), sep="\n")
        print(f"next: hitcore analyse SONG --model {made.path}")
        return
    export_results(results, Workspace.open(str(to)), about_results(source, results))
    if ensembles is not None:
        if models is None:
            raise ParameterError("--ensembles needs --models FOLDER, where the models go")
        export_ensembles(source, results, ensembles.split(","), models, demo=demo)
    print(f"{len(results.rows)} rows exported")


# --- from options to settings --------------------------------------------------------------------


def config_of(
    folds: int,
    fold_kind: str,
    epochs: int | None,
    grid: str,
    highlight: str | None,
    seed: int,
    precision: str = "auto",
    *,
    paper: bool = False,
    tagger: str | None = None,
    pairs: str | None = None,
    seeds: int | None = None,
) -> Any:
    """The settings that the options ask for; `paper` starts from the paper's own.

    Raises:
        ParameterError: one of them makes no sense.
    """
    from dataclasses import replace

    from hitcore.experiments import ExperimentConfig, Grid

    grids = {
        "full": Grid(),
        "small": Grid(margins=(0.3,), rank_weights=(0.5, 0.9), tag_weights=(0.3, 0.6)),
        "tags": Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.3, 0.6)),
        "one": Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.5,)),
    }
    if grid not in grids:
        raise ParameterError(f"grid {grid!r}: one of {', '.join(grids)} is expected")
    if pairs is not None and pairs not in PAIRS:
        raise ParameterError(f"pairs {pairs!r}: one of {', '.join(PAIRS)} is expected")
    make = ExperimentConfig.of_the_paper if paper else ExperimentConfig
    config = make(
        n_folds=folds,
        fold_kind=cast("FoldKind", fold_kind),
        seed=seed,
        grid=grids[grid],
    )
    config = replace(
        config,
        segment=config.segment if highlight is None else highlight,
        tagger=config.tagger if tagger is None else tagger,
        n_seeds=config.n_seeds if seeds is None else seeds,
    )
    training = replace(config.training, precision=cast("Precision", precision))
    if pairs is not None:
        training = replace(training, pairing=cast("Any", PAIRS[pairs]))
    if epochs is not None:
        training = replace(training, max_epochs=epochs)
    return replace(config, training=training)


def rows_of(preset: str, rows: str | None) -> list[str]:
    """The rows that a preset or a list names.

    Raises:
        ParameterError: an unknown preset or row.
    """
    from hitcore.experiments import ATTRIBUTES, BASELINES, SIMPLE, TABLE1, variant

    if rows is not None:
        return [variant(row.strip()).row for row in rows.split(",") if row.strip()]
    if preset not in PRESETS:
        raise ParameterError(f"preset {preset!r}: one of {', '.join(PRESETS)} is expected")
    table1, baselines = [v.row for v in TABLE1], [v.row for v in BASELINES]
    simple = [v.row for v in SIMPLE]
    # Clips of 30 s have no middle and no highlight: rows a and b would be c and d once more. Nor
    # is an artist among the training songs where folds share none, or a decade always known.
    real = [*(row for row in table1 if row not in "ab"), "linear", "tags", *simple[:-1]]
    attributes = [*(v.row for v in ATTRIBUTES if v.network != "lambdamart"), "decade"]
    return {
        "table1": table1,
        "paper": table1,
        "baselines": baselines,
        "all": table1 + baselines,
        "real": real,
        "attributes": attributes,
    }[preset]


def require_tagger(workspace: Any, config: Any, rows: list[str]) -> None:
    """Say what is missing before anything is built or trained.

    Raises:
        WeightsError: rows with tags need a tagger whose weights are not installed, and the
            workspace has no features with its tags either.
    """
    from hitcore import weights
    from hitcore.experiments.variants import with_parts
    from hitcore.featurestore import FeatureStore

    needed = {config.features_of(row) for row in with_parts(rows) if row.tags} - {None}
    lacking = [one for one in needed if FeatureStore(workspace, one).index().empty]
    if lacking and config.tagger in weights.REGISTRY:
        weights.load(config.tagger)


def segments_of(rows: list[str], config: Any) -> list[str]:
    """The highlight methods whose features these rows need."""
    from hitcore.experiments.variants import with_parts

    stores = [config.features_of(row) for row in with_parts(rows)]
    stores = [store for store in stores if store is None or store.segment != "given"]
    return list(dict.fromkeys(store.segment for store in stores if store is not None))


def _print_results(table: Any, as_json: bool) -> None:
    if as_json:
        clean = table.astype(object).where(table.notna(), None)
        print_json(clean.to_dict("records"))
        return
    means = table.groupby("row", sort=False)[["ndcg", "kendall", "spearman"]].mean()
    counts = table.groupby("row", sort=False)["fold"].nunique()
    print(*made_with(table), sep="\n")
    print(f"{'row':<14}{'folds':>6}{'ndcg':>9}{'kendall':>9}{'spearman':>9}")
    for row, line in means.iterrows():
        figures = "".join(f"{value:9.4f}" for value in line)
        print(f"{row!s:<14}{counts[row]:>6}{figures}")
    diverged = table[table["n_diverged"] > 0] if "n_diverged" in table else table[:0]
    for run in diverged.itertuples():
        print(f"row {run.row}, fold {run.fold}: {run.n_diverged:g} grid points diverged, left out")


def made_with(table: Any) -> list[str]:
    """Tagger, pairs and highlighter of a table of metrics, one line each; none where unknown.

    Example:
        >>> import pandas as pd
        >>> made_with(pd.DataFrame({"tagger": ["jynet", None], "pairing": ["explicit", None]}))
        ['tagger: jynet', 'pairs: explicit']
    """
    words = {"tagger": "tagger", "pairing": "pairs", "highlight": "clips"}
    return [
        f"{word}: {', '.join(sorted(set(table[name].dropna())))}"
        for name, word in words.items()
        if name in table and table[name].notna().any()
    ]

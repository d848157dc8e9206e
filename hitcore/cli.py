"""The command line: `hitcore …`, a thin skin over the library.

Results go to standard output, progress and logs to standard error. Exit 0: done; 2: the input or
the arguments are at fault, one line says what, where, and what would be accepted; 1: a bug of ours.
"""

import io
import sys
import time
from typing import Annotated, Any

import typer

from hitcore.commands import demo, doctor, experiment, features, plays, train, workspace
from hitcore.commands.terminal import print_json
from hitcore.errors import HitcoreError, UndefinedMetricWarning, WeightsError

app = typer.Typer(
    name="hitcore",
    help="Audio-based hit song prediction: highlights, tags, hit scores and how far to trust them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; turn the user's errors into one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Names of songs fit in no encoding but UTF-8.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except HitcoreError as error:
        print(f"hitcore: {one_line(error)}", file=sys.stderr)
        sys.exit(2)


def one_line(error: BaseException) -> str:
    """The message of an error on a single line."""
    return " ".join(str(error).split())


app.add_typer(demo.app, name="demo")
app.add_typer(workspace.app, name="workspace")
app.add_typer(features.app, name="features")
app.add_typer(experiment.app, name="experiment")
app.add_typer(train.app, name="train")
app.add_typer(plays.app, name="plays")
app.command("doctor")(doctor.doctor)


# --- the app -------------------------------------------------------------------------------------


@app.command("app")
def serve(port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501) -> None:
    """Serve the analyst web app on this machine."""
    import os
    from importlib.util import find_spec

    from hitcore.files import APP

    if find_spec("streamlit") is None or not (APP / "app.py").is_file():
        raise HitcoreError(
            "the app's packages are not installed: run pip install 'hitcore[app]', or `make app` "
            "in a clone of the project"
        )
    os.chdir(APP)
    # In place of this process: whoever ends it ends the server, and nothing of it stays behind.
    command = [sys.executable, "-m", "ui.server.serve", f"--server.port={port}"]
    os.execv(sys.executable, command)


# --- analyse -------------------------------------------------------------------------------------


@app.command("analyse")
def analyse_songs(
    songs: Annotated[list[str], typer.Argument(help="Sound files.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model by name; may be repeated. Without it: those installed."),
    ] = None,
    highlight: Annotated[str | None, typer.Option(help="How to find the highlight.")] = None,
    tagger: Annotated[str, typer.Option(help="Which tags to show.")] = "musicnn-mtt",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    out: Annotated[str | None, typer.Option(help="Folder for reports and highlights.")] = None,
) -> None:
    """Report on songs: highlight, tags, and what each model says.

    A song that cannot be read is named and the others go on; the exit status is then 2. With
    --json, one song gives its report, several give a list.
    """
    from hitcore.analysis import batches

    reports, failures = batches.analyse_all(
        songs, model, highlight, tagger, on_stage=_stage_printer(len(songs))
    )
    if out is not None:
        batches.write_reports(reports, out)
    if as_json:
        documents = [report.to_dict() for report in reports]
        documents += [{"name": name, "error": one_line(error)} for name, error in failures]
        print_json(documents[0] if len(songs) == 1 else documents)
    else:
        print(batches.as_text(reports))
    for name, error in failures:
        text = one_line(error)
        print(f"hitcore: {text if name in text else f'{name}: {text}'}", file=sys.stderr)
    if failures:
        raise typer.Exit(2)


def _stage_printer(n_songs: int) -> Any:
    """Progress on standard error, where somebody watches it."""
    if not sys.stderr.isatty():
        return None

    def show(number: int, name: str, stage: str) -> None:
        print(f"\r\033[K[{number}/{n_songs}] {name}: {stage}", end="", file=sys.stderr)
        if number == n_songs and stage == "Done":
            print(file=sys.stderr)

    return show


# --- weights -------------------------------------------------------------------------------------

weights_app = typer.Typer(
    help="Published weights: list, fetch, import, verify.", no_args_is_help=True
)
app.add_typer(weights_app, name="weights")


@weights_app.command("list")
def weights_list(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the named weights: what they are, their licence, whether they are installed."""
    from hitcore import weights

    _print_weights(weights.status(), as_json)


@weights_app.command("card")
def weights_card(
    model: Annotated[str, typer.Argument(help="A model by name, or its .safetensors file.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """The model card: what a model learned from, how well it does, what not to trust it with."""
    from hitcore.errors import WeightsError
    from hitcore.networks.cards import load_card

    card = load_card(model)
    if card is None:
        raise WeightsError(f"{model} has no model card: nobody wrote down how far to trust it")
    print_json(card.to_dict()) if as_json else print(card.as_markdown(), end="")


@weights_app.command("verify")
def weights_verify(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check every installed weight file; exit status 2 names the first damaged one."""
    from hitcore import weights

    _print_weights(weights.verify(), as_json)


@weights_app.command("import")
def weights_import(name: str, path: str) -> None:
    """Install weights from a copy: a repository's folder, a checkpoint, an archive, a wheel."""
    from hitcore import weights

    print(f"{name}: {weights.import_local(name, path)}")


@weights_app.command("fetch")
def weights_fetch(
    names: list[str],
    timeout: Annotated[float | None, typer.Option(help="Seconds for all together.")] = None,
    quiet: Annotated[bool, typer.Option(help="Say nothing when it works.")] = False,
    optional: Annotated[bool, typer.Option(help="Where it fails, say so and exit with 0.")] = False,
) -> None:
    """Download weights and convert them, unless they are installed."""
    from hitcore import weights

    deadline = None if timeout is None else time.monotonic() + timeout
    failed: dict[str, str] = {}
    for name in names:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.1)
        try:
            if optional and weights.failed_lately(name) and not weights.is_installed(name):
                raise WeightsError(f"{name} could not be downloaded within the last day")
            path = weights.fetch(name, timeout=left)
        except WeightsError as error:
            if not optional:
                raise
            failed[name] = one_line(error).split("; or by hand")[0]
        else:
            if not quiet:
                print(f"{name}: {path}")
    if failed:
        imports = ", ".join(f"`hitcore weights import {name} FOLDER`" for name in failed)
        print(
            f"hitcore: {'; '.join(failed.values())}. The rest works without; with a copy of "
            f"{weights.registered(next(iter(failed))).source}: {imports}",
            file=sys.stderr,
        )


def _print_weights(rows: list[Any], as_json: bool) -> None:
    """The state of all weights as a table for people, or as JSON."""
    if as_json:
        print_json([row.to_dict() for row in rows])
        return
    for row in rows:
        size = f"{row.n_bytes / 1e6:.1f} MB" if row.n_bytes else "-"
        print(f"{row.name:<14} {row.state:<10} {size:>8}  {row.title}; {row.licence}")
        if row.message:
            print(f"{'':<14} {row.message}")


# --- evaluate ------------------------------------------------------------------------------------


@app.command("evaluate")
def evaluate_predictions(
    predictions: Annotated[str, typer.Argument(help="CSV file with columns y_true, y_score.")],
    top: Annotated[str, typer.Option(help='"10%", "0.1" or a number of songs, "150".')] = "10%",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Measure how well predicted scores rank songs in the top 10 % (y_true: the raw share)."""
    import warnings

    from hitcore.evaluation import metrics

    chosen = metrics.parse_top(top)
    y_true, y_score = metrics.read_predictions(predictions)
    with warnings.catch_warnings(record=True) as undefined:
        warnings.simplefilter("always", UndefinedMetricWarning)
        figures = metrics.evaluate(y_true, y_score, chosen)
    for warning in undefined:
        print(f"hitcore: {one_line(Exception(warning.message))}", file=sys.stderr)
    if as_json:
        print_json(figures.to_dict())
        return
    print(f"top {figures.k} of {figures.n} songs")
    for name, value in figures.to_dict().items():
        if name not in ("n", "k"):
            print(f"{name:<18} {'undefined' if value is None else f'{value:8.4f}'}")

"""The Experiments page: start runs on a workspace, watch them, cancel, resume, see the ledger."""

import shlex
import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from hitcore.catalogue.workspace import Workspace
from hitcore.demo import create
from hitcore.errors import HitcoreError
from hitcore.experiments import VARIANTS, Ledger, Results
from hitcore.experiments.data import usable_rows
from hitcore.experiments.export import export_model
from hitcore.experiments.verdicts import too_small_before
from ui.compare import rows as compare
from ui.experiments import catalogue as own
from ui.experiments import results as finished
from ui.experiments.results import duration
from ui.frame import charts, page, resultsets
from ui.server import jobs, workspaces
from ui.server.jobs import Job
from ui.server.quotas import experiments_at_once

SECONDS_PER_SONG = 1.0
"""Features of one song on one core, roughly: both highlights and their tags."""
SECONDS_PER_NEW_SONG = 0.02
"""One song on paper, with its plays, roughly; it is heard later."""
SECONDS_PER_STEP = 0.002
"""One song through one model, forward and back, on one core, roughly."""
GRIDS = {"one": "one point", "small": "small", "full": "full, as in the paper"}
GRID_POINTS = {
    "one": {"tags": 1, "pairs": 1},
    "small": {"tags": 2, "pairs": 2},
    "full": {"tags": 3, "pairs": 9},
}
STATES = ["planned", "running", "done", "failed", "cancelled", "interrupted"]
OWN = "Bring a catalogue of your own"
POLL_S = 2.0
USUAL_START_S = 15.0


def choose_workspace() -> Workspace | None:
    """A workspace of this server, or a new demo catalogue; None where there is none yet."""
    known = workspaces.names()
    if not known:
        _first_workspace()
        return None
    made = own.made_before()
    if made in known:
        st.session_state["workspace"] = made
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = left.selectbox("Workspace", known, key="workspace")
    with right.popover("New demo catalogue", icon=":material/add:"):
        _catalogue_form(60)
    with st.expander(OWN, icon=":material/upload_file:"):
        own.own_catalogue()
    return workspaces.opened(name)


def _first_workspace() -> None:
    """What a visitor without any workspace can do: make songs to run on, knowing what it costs."""
    with st.expander("New experiment", icon=":material/add:", expanded=True):
        st.markdown(
            "An experiment needs songs, and there is no workspace yet. Make a small demo "
            "catalogue: synthetic songs of which the causes of their success are known. The form "
            "of the experiment comes next."
        )
        _catalogue_form(100)
    with st.expander(OWN, icon=":material/upload_file:"):
        own.own_catalogue()


def _catalogue_form(n_songs: int) -> None:
    """Name and size of a new demo catalogue, with what they will cost."""
    left, right = st.columns(2)
    name = left.text_input("Name", "demo-small", key="new-workspace", max_chars=40)
    n_songs = int(right.number_input("Songs", 40, 2000, n_songs, step=20, key="new-songs"))
    usual = cost_s(["c", "e", "i"], n_songs, 3, 10, "one")
    st.caption(
        f"Made in {duration(n_songs * SECONDS_PER_NEW_SONG)}. The first experiment listens to "
        f"every song, about {duration(n_songs * SECONDS_PER_SONG)} on one core; training three "
        f"rows on three folds then takes about {duration(usual)}. Cancel whenever you like."
    )
    if st.button("Make the catalogue", key="create-workspace"):
        with page.error_boundary():
            _create(name, n_songs)
    st.caption("A catalogue with a log of plays is made with this command; then load this page:")
    mine = shlex.quote(str(workspaces.root() / "mine"))
    st.code(
        f"hitcore workspace create {mine} --plays log.csv --songs songs.csv --audio FOLDER",
        language=None,
        wrap_lines=True,
    )


def _create(name: str, n_songs: int) -> None:
    if not jobs.NAME.fullmatch(name):
        page.show_error(HitcoreError(f"name {name!r}: letters, digits, - and _ are allowed"))
        return
    bar = st.progress(0.0, text="Writing songs and plays")
    create(
        workspaces.root() / name,
        n_songs=n_songs,
        progress=lambda done, total: bar.progress(done / total, text=f"{done} of {total} songs"),
    )
    st.rerun()


def new_experiment(workspace: Workspace) -> None:
    """The form of a new experiment, its cost estimated before the start."""
    n_songs = workspaces.n_songs(workspace)
    with st.expander("New experiment", icon=":material/add:", expanded=not jobs.jobs(workspace)):
        usable = list(usable_rows(workspace))
        # Pills, not chips: white on the dark theme's accent would be hard to read.
        rows = st.pills(
            "Rows", usable, selection_mode="multi", default=usual_rows(usable),
            key=f"new-rows-{workspace.path.name}", format_func=finished.name_of,
        )  # fmt: skip
        if left := len(VARIANTS) - len(usable):
            st.caption(f"{left} rows are not offered: {why_not(workspace, usable)}.")
        one, two, three, four = st.columns(4)
        folds = one.number_input("Folds", 3, 20, 3, key="new-folds")
        epochs = two.number_input("Epochs at most", 1, 200, 10, key="new-epochs")
        grid = three.selectbox("Grid", list(GRIDS), key="new-grid", format_func=GRIDS.get)
        name = four.text_input("Name", "table1", key="new-name", max_chars=40)
        seconds = cost_s(rows, n_songs, int(folds), int(epochs), grid)
        st.caption(
            f"About {duration(seconds)} on one core at the most, features not counted; models "
            "that stop improving stop early."
        )
        if small := too_small_before(n_songs, int(folds)):
            st.warning(small, icon=":material/straighten:")
        if n := jobs.n_at_work():
            st.caption(f"At work on this server: {n} of {experiments_at_once()} experiments.")
        if st.button("Start", icon=":material/play_arrow:", key="start"):
            with page.error_boundary():
                jobs.start(workspace, Job(name, tuple(rows), int(folds), int(epochs), grid))
                st.rerun()


def usual_rows(usable: list[str]) -> list[str]:
    """What is chosen at first: rating, naive and A/B pairs, on sound or on attributes."""
    found = [
        row for row in ("c", "e", "i", "attr-rating", "attr-naive", "attr-ab") if row in usable
    ]
    return found[:3] or usable[:1]


def why_not(workspace: Workspace, usable: list[str]) -> str:
    """What a catalogue lacks, for the rows that it cannot take part in."""
    lacking = {
        "no sound": "c" not in usable,
        "no tags": "c" in usable and "d" not in usable,
        "no attributes": not workspace.attributes.exists(),
        "no genres": "genre" not in usable,
        "no dates of release": "decade" not in usable,
        "no artists": "artist-prior" not in usable,
        "LightGBM is not installed": workspace.attributes.exists()
        and "attr-lambdamart" not in usable,
    }
    return ", ".join(words for words, holds in lacking.items() if holds)


def cost_s(rows: list[str], n_songs: int, folds: int, epochs: int, grid: str) -> float:
    """Seconds that training these rows takes at most, roughly."""
    points = 0
    for row in rows:
        v = VARIANTS[row]
        if v.trains:
            tags = GRID_POINTS[grid]["tags"] if v.tags and v.network != "tags" else 1
            points += tags * (GRID_POINTS[grid]["pairs"] if v.objective == "multi" else 1)
    return points * folds * epochs * 0.9 * n_songs * SECONDS_PER_STEP


def watch(workspace: Workspace) -> None:
    """The jobs of a workspace with their runs and results; live while one is at work."""
    found = jobs.jobs(workspace)
    at_work = any(jobs.is_running(workspace, job.name) for job in found)
    st.fragment(_watch, run_every=POLL_S if at_work else None)(str(workspace.path))


def _watch(path: str) -> None:
    workspace = Workspace.open(path)
    found = jobs.jobs(workspace)
    if not found:
        page.empty_state("No experiment yet. Start one above.", ":material/science:")
    table = Ledger(workspace.ledger).table()
    for job in found:
        with st.container(border=True):
            _job(workspace, job, table[table["experiment"] == job.name])
    _runs(table)
    _outcome(workspace)


def _job(workspace: Workspace, job: Job, runs: pd.DataFrame) -> None:
    running = jobs.is_running(workspace, job.name)
    title, button = st.columns([4, 1], vertical_alignment="center")
    rows = ", ".join(job.rows)
    title.markdown(f"**{page.plain(job.name)}** · rows {page.plain(rows)} · {job.folds} folds")
    counts = runs["state"].value_counts()
    words = ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts)
    n_done, n_all = int(counts.get("done", 0)), len(runs)
    if running:
        if button.button("Cancel", key=f"cancel-{job.name}", icon=":material/stop:"):
            with page.error_boundary():
                jobs.cancel(workspace, job.name)
        state = jobs.progress(workspace, job.name)
        fraction = min(1.0, float(str(state.get("fraction", 0.0))))
        eta = state.get("eta_s")
        left = f", {duration(float(str(eta)))} left" if eta is not None else ""
        if state:
            st.progress(fraction, text=f"{state['stage']}{left}: {words or 'planning'}")
        else:  # the libraries of a new process take seconds, in which it can say nothing itself
            seconds = jobs.started_s(workspace, job.name)
            text = (
                f"Starting, {seconds:.0f} s so far: the libraries are read, then the runs planned"
            )
            st.progress(min(0.99, seconds / USUAL_START_S) / 10, text=text)
        st.caption(page.plain(str(state.get("message", ""))))
        return
    if n_all and n_done == n_all:
        st.markdown(f"Done: {n_done} runs.")
        return
    if button.button("Resume", key=f"resume-{job.name}", icon=":material/play_arrow:"):
        with page.error_boundary():
            jobs.start(workspace, job)
            st.rerun()  # the whole page: from now on it looks again and again
    st.markdown(f"Stopped: {words or before_the_runs(jobs.progress(workspace, job.name))}.")
    with st.expander("Why"):
        failed = runs[runs["state"] == "failed"]
        for message in failed["message"].dropna().unique():
            st.markdown(page.plain(str(message)))
        st.code(jobs.last_words(workspace, job.name) or "No words were left.", language=None)


def before_the_runs(state: dict[str, object]) -> str:
    """What a job had done that stopped before it had runs.

    Example:
        >>> before_the_runs({"stage": "Features", "fraction": 0.4})
        'at 40 % of its stage “features”; what was finished is kept, and Resume goes on from there'
        >>> before_the_runs({})
        'before its first step'
    """
    if not state:
        return "before its first step"
    stage, done = str(state.get("stage", "")).lower(), float(str(state.get("fraction", 0.0)))
    return (
        f"at {100 * done:.0f} % of its stage “{stage}”; what was finished is kept, and Resume goes "
        "on from there"
    )


def _runs(table: pd.DataFrame) -> None:
    if table.empty:
        return
    st.markdown("**The ledger: every run, keyed by its configuration**")
    shown = pd.DataFrame(
        {
            "Row": table["row"],
            "Fold": table["fold"],
            "State": table["state"],
            "Progress": table["progress"],
            "Seconds": table["duration_s"],
            "Device": table["device"],
            "Message": table["message"],
            "Run": table["run_id"],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        key="ledger",
        column_config={
            "Progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=1),
            "Seconds": st.column_config.NumberColumn("Seconds", format="%.1f"),
        },
    )


def _outcome(workspace: Workspace) -> None:
    """The results so far: the table, what was learned how, and a way to have them."""
    try:
        found = resultsets.results_of(workspace)
    except HitcoreError:
        return
    st.subheader("Results so far", anchor="results")
    kind = str(found.metrics["fold_kind"].iloc[0])
    finished.compare_link(st, resultsets.ResultSet(workspace.path.name, kind).key)
    cells = compare.cells(found.metrics)
    st.table(compare.table1(found.rows, cells).set_index("Row"), border="horizontal")
    st.caption("Mean over the folds ± half of its 95 % interval; the best two are bold.")
    charts.numbers(found.metrics, key="metrics")
    finished.how_they_learned(found, key="own")
    _take_a_model(workspace, found)


def _take_a_model(workspace: Workspace, found: Results) -> None:
    """Join the folds of a row to one model file, with what it is worth, and offer it."""
    rows = [row for row in found.rows if VARIANTS[row].trains]
    if not rows:
        return
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    row = left.selectbox("A row as a model of its own", rows, key="export-row",
                         format_func=finished.name_of)  # fmt: skip
    if not right.button("Join its folds to one file", key="export", icon=":material/merge:"):
        return
    with page.error_boundary(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{workspace.path.name}-{row}.safetensors"
        made = export_model(workspace, found, row, path)
        st.caption(page.plain(made.lines()[1]))
        st.download_button("Download the model", path.read_bytes(), path.name, key="export-file")

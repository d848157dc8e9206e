"""The Experiments page: start runs on a workspace, watch them, cancel, resume, see the ledger."""

import pandas as pd
import streamlit as st

from hitcore.demo import create
from hitcore.errors import HitcoreError
from hitcore.experiments import VARIANTS, Ledger, load_results
from hitcore.workspace import Workspace
from ui import charts, compare, jobs, page, workspaces
from ui.jobs import Job

SECONDS_PER_SONG = 2.0
"""Features of one song on one core, roughly: both highlights and their tags."""
SECONDS_PER_STEP = 0.004
"""One song through one model, forward and back, on one core, roughly."""
GRIDS = {"one": "one point", "small": "small", "full": "full, as in the paper"}
GRID_POINTS = {
    "one": {"tags": 1, "pairs": 1},
    "small": {"tags": 2, "pairs": 2},
    "full": {"tags": 3, "pairs": 9},
}
STATES = ["planned", "running", "done", "failed", "cancelled", "interrupted"]
POLL_S = 2.0


def choose_workspace() -> Workspace | None:
    """A workspace of this server, or a new demo catalogue."""
    known = workspaces.names()
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = left.selectbox("Workspace", known, key="workspace") if known else None
    if not known:
        left.markdown("There is no workspace yet. Make a demo catalogue to begin with.")
    with right.popover("New demo catalogue", icon=":material/add:"):
        new = st.text_input("Name", "demo-small", key="new-workspace", max_chars=40)
        n_songs = st.number_input("Songs", 40, 2000, 60, step=20, key="new-songs")
        st.caption(f"Its features take about {_duration(n_songs * SECONDS_PER_SONG)} later on.")
        if st.button("Create", type="primary", key="create-workspace"):
            with page.error_boundary():
                _create(new, int(n_songs))
    return workspaces.opened(name) if name else None


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
        rows = st.multiselect(
            "Rows", list(VARIANTS), ["c", "e", "i"], key="new-rows",
            format_func=lambda row: f"({row}) {VARIANTS[row].title}",
        )  # fmt: skip
        one, two, three, four = st.columns(4)
        folds = one.number_input("Folds", 3, 20, 3, key="new-folds")
        epochs = two.number_input("Epochs at most", 1, 200, 10, key="new-epochs")
        grid = three.selectbox("Grid", list(GRIDS), key="new-grid", format_func=GRIDS.get)
        name = four.text_input("Name", "table1", key="new-name", max_chars=40)
        seconds = cost_s(rows, n_songs, int(folds), int(epochs), grid)
        st.caption(
            f"About {_duration(seconds)} on one core at the most, features not counted; models "
            "that stop improving stop early."
        )
        if st.button("Start", type="primary", icon=":material/play_arrow:", key="start"):
            with page.error_boundary():
                jobs.start(workspace, Job(name, tuple(rows), int(folds), int(epochs), grid))
                st.rerun()


def cost_s(rows: list[str], n_songs: int, folds: int, epochs: int, grid: str) -> float:
    """Seconds that training these rows takes at most, roughly."""
    points = 0
    for row in rows:
        v = VARIANTS[row]
        if v.trains:
            tags = GRID_POINTS[grid]["tags"] if v.tags and v.network != "tags" else 1
            points += tags * (GRID_POINTS[grid]["pairs"] if v.objective == "multi" else 1)
    return points * folds * epochs * 0.9 * n_songs * SECONDS_PER_STEP


@st.fragment(run_every=POLL_S)
def watch(path: str) -> None:
    """The jobs of a workspace, live: progress, cancel, resume, and their runs."""
    workspace = Workspace.open(path)
    found = jobs.jobs(workspace)
    if not found:
        page.empty_state("No experiment yet. Start one above.", ":material/science:")
        return
    table = Ledger(workspace.ledger).table()
    for job in found:
        with st.container(border=True):
            _job(workspace, job, table[table["experiment"] == job.name])
    _runs(table)


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
        left = f", {_duration(float(str(eta)))} left" if eta is not None else ""
        st.progress(fraction, text=f"{state.get('stage', 'Starting')}{left}: {words or 'planning'}")
        st.caption(page.plain(str(state.get("message", ""))))
        return
    if n_all and n_done == n_all:
        st.markdown(f"Done: {n_done} runs.")
        return
    if button.button("Resume", key=f"resume-{job.name}", icon=":material/play_arrow:"):
        with page.error_boundary():
            jobs.start(workspace, job)
            st.rerun(scope="fragment")
    st.markdown(f"Stopped: {words or 'nothing done yet'}.")
    with st.expander("Why"):
        failed = runs[runs["state"] == "failed"]
        for message in failed["message"].dropna().unique():
            st.markdown(page.plain(str(message)))
        st.code(jobs.last_words(workspace, job.name) or "No words were left.", language=None)


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


def outcome(workspace: Workspace) -> None:
    """The results so far as a table, and a way to have them."""
    try:
        found = load_results(workspace)
    except HitcoreError:
        return
    cells = compare.cells(found.metrics)
    st.subheader("Results so far", anchor="results")
    st.table(compare.table1(found.rows, cells).set_index("Row"), border="horizontal")
    st.caption("Mean over the folds ± half of its 95 % interval; the best two are bold.")
    charts.numbers(found.metrics, key="metrics")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"

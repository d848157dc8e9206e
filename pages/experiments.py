"""Experiments: run rows of Table 1 on a workspace, watch, cancel, resume."""

from ui.experiments import form, results
from ui.frame import page
from ui.server import workspaces

page.header(
    "Experiments",
    "Run the paper's comparison yourself: on a demo catalogue made here, or on your own. "
    "Runs go on when you close this page; what is done is not done again.",
    *workspaces.strip(),
)

with page.error_boundary():
    workspace = form.choose_workspace()
    if workspace is not None:
        form.new_experiment(workspace)
        form.watch(workspace)

with page.error_boundary():
    results.shipped()

"""Experiments: run rows of Table 1 on a workspace, watch, cancel, resume."""

from ui import experiments, finished, page, workspaces

page.header(
    "Experiments",
    "Run the paper's comparison yourself: on a demo catalogue made here, or on your own. "
    "Runs go on when you close this page; what is done is not done again.",
    *workspaces.strip(),
)

with page.error_boundary():
    workspace = experiments.choose_workspace()
    if workspace is not None:
        experiments.new_experiment(workspace)
        experiments.watch(workspace)

with page.error_boundary():
    finished.shipped()

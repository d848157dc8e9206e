"""Table 1 on 522 real clips, with the baselines that keep it honest: one command, resumable.

    python benchmarks/real_table1.py WORKSPACE                   # make, run, ship, write
    python benchmarks/real_table1.py WORKSPACE --report          # ship and write what is there

The clips' features and their artists' popularity are in `../shared/data/real`; nothing of them
ships but figures and predictions by anonymous song. About an hour on two cores.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from studies import SHARED, Part, run, ship

from hitcore.catalogue.workspace import Workspace
from hitcore.commands.experiment import rows_of
from hitcore.experiments import ExperimentConfig, Grid

DATA = SHARED / "data" / "real"
ROWS = tuple(rows_of("real", None))
NAME, TITLE = "real-clips", "Real clips, 522 (popularity of the artist)"
ABOUT = (
    "522 clips of 30 s of commercial songs; the label is the mean popularity of the artist's songs "
    "(0 to 100), so of the artist and not of the song. Clips of 30 s have no middle and no "
    "highlight: Mid-30 and HL-30 are the same clip, so rows (a) and (b) would be (c) and (d) again."
)


def config() -> ExperimentConfig:
    """One grid point, since five songs are the top 10 % of a validation fold: too few to choose."""
    usual = ExperimentConfig()
    return replace(
        usual,
        n_folds=10,
        grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.5,)),
        training=replace(
            usual.training,
            optimiser="adam",
            learning_rate=1e-3,
            batch_size=32,
            max_epochs=25,
            patience=6,
        ),
    )


def workspace_of(path: Path) -> Workspace:
    """The workspace, made of the clips' files where it is not there yet."""
    if not (path / "workspace.json").exists():
        from hitcore.featurestore import create_scored

        create_scored(path, DATA / "clips.parquet", features=DATA / "clips_features.npz")
    return Workspace.open(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--device", default=None, help="cpu, cuda; a GPU if there is one")
    parser.add_argument("--workers", type=int, default=0, help="processes; one for each core")
    parser.add_argument("--rows", help="some rows only, such as c,d,tags")
    parser.add_argument("--report", action="store_true", help="only ship and write what is there")
    parser.add_argument("--only-run", action="store_true", help="neither ship nor write")
    options = parser.parse_args()
    workspace = workspace_of(options.workspace)
    if not options.report:
        wanted = tuple(options.rows.split(",")) if options.rows else ROWS
        parts = [Part(workspace, "artist", wanted)]
        run(parts, config(), options.device, options.workers)
    if not options.only_run:
        ship(workspace, NAME, TITLE, ABOUT, ["artist"])
        from real_songs_report import write

        write()


if __name__ == "__main__":
    main()

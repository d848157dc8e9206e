"""Samplers on 28,466 songs of 1960 to 2019, half of them on the Hot 100: one command, resumable.

    python benchmarks/chart_study.py FOLDER                      # make, run, ship, write
    python benchmarks/chart_study.py FOLDER --report             # ship and write what is there

FOLDER gets two workspaces: `hot100` with all songs and `hot100-charted` with those that charted.
The label is a song's share of its decade's chart weeks (0 where it never charted); the tag network
takes twelve audio attributes. Rows of LightGBM need the extra `benchmark` and are left out without
it. The songs are in `../shared/data/charts`; nothing of them ships but figures and predictions by
anonymous song. About an hour on two cores.
"""

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from studies import SEEDS, SHARED, Part, run, ship

from hitcore.catalogue.workspace import Workspace
from hitcore.commands.experiment import rows_of
from hitcore.experiments import ExperimentConfig, Grid

DATA = SHARED / "data" / "charts" / "hot100_1960_2019.parquet"
ATTRIBUTES = (
    *("danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness"),
    *("instrumentalness", "liveness", "valence", "tempo", "log_duration"),
)
KINDS = ("artist", "song")
TITLES = {
    "hot100": "Hot 100 1960–2019, all 28,466 songs",
    "hot100-charted": "Hot 100 1960–2019, the 14,216 songs that charted",
}
ABOUT = (
    "Songs of 1960 to 2019 with twelve audio attributes of an interface, no sound; the label is "
    "the share of its decade's chart weeks. Songs that never charted come from less popular genres "
    "by the source's own rule, so telling them from hits is easier than it is among songs at large."
)


def rows() -> tuple[str, ...]:
    """The preset's rows, and LambdaMART where LightGBM is installed."""
    outside = ["attr-lambdamart"] if importlib.util.find_spec("lightgbm") else []
    return (*rows_of("attributes", None), *outside)


def config() -> ExperimentConfig:
    usual = ExperimentConfig()
    return replace(
        usual,
        n_folds=5,
        grid=Grid(margins=(0.3,), rank_weights=(0.8,), tag_weights=(0.5,)),
        training=replace(
            usual.training,
            optimiser="adam",
            learning_rate=3e-3,
            batch_size=256,
            pairing="explicit",
            max_epochs=5,
            patience=3,
        ),
    )


def workspaces_of(folder: Path) -> dict[str, Workspace]:
    """Both workspaces, made of the table where they are not there yet."""
    for name in TITLES:
        if not (folder / name / "workspace.json").exists():
            _make(folder / name, charted_only=name == "hot100-charted")
    return {name: Workspace.open(folder / name) for name in TITLES}


def _make(path: Path, *, charted_only: bool) -> None:
    from hitcore.featurestore import create_scored

    table = pd.read_parquet(DATA)
    weeks = table["weeks_on_chart"]
    table = table.assign(
        weeks_share=weeks / weeks.groupby(table["decade"]).transform("sum"),
        log_duration=np.log(table["duration_ms"] / 1000),
    )
    if charted_only:
        table = table[weeks > 0]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".parquet")
    table[["song_id", "artist_id", "decade", "weeks_share", *ATTRIBUTES]].to_parquet(file)
    create_scored(path, file, attributes=ATTRIBUTES, column="weeks_share")
    file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default=None, help="cpu, cuda; a GPU if there is one")
    parser.add_argument("--workers", type=int, default=0, help="processes; one for each core")
    parser.add_argument("--songs", choices=tuple(TITLES), help="one of the two workspaces alone")
    parser.add_argument("--rows", help="some rows only, such as attr-ab,attr-naive")
    parser.add_argument("--report", action="store_true", help="only ship and write what is there")
    parser.add_argument("--only-run", action="store_true", help="neither ship nor write")
    options = parser.parse_args()
    places = workspaces_of(options.folder)
    if not options.report:
        chosen = [options.songs] if options.songs else list(places)
        wanted = tuple(options.rows.split(",")) if options.rows else rows()
        parts = [Part(places[name], kind, wanted) for name in chosen for kind in KINDS]
        run(parts, config(), options.device, options.workers)
    if not options.only_run:
        for name, place in places.items():
            ship(
                place, name, TITLES[name], ABOUT, KINDS,
                predictions_of=SEEDS[:1], attributes=True,
            )  # fmt: skip
        from real_songs_report import write

        write()


if __name__ == "__main__":
    main()

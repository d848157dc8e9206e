"""Table 1 on the demo catalogue, from nothing to `docs/table1-demo.md` and the shipped assets.

    python benchmarks/table1.py WORKSPACE --songs 1000           # make, run, write
    python benchmarks/table1.py WORKSPACE --skip inception       # without the slowest row
    python benchmarks/table1.py WORKSPACE --report               # write again from what is there
    python benchmarks/table1.py WORKSPACE --songs 15000 --device cuda            # the paper's size
    python benchmarks/table1.py WORKSPACE --songs 15000 --device cuda --planted  # its time alone

What is done is not done again: break it off and start it again whenever you like. A few rows are
run a second time on folds that share no artist. What the report says stands in table1_report.py.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from planted import planted
from table1_report import report

from hitcore.catalogue.workspace import Workspace
from hitcore.experiments import (
    BASELINES,
    TABLE1,
    VARIANTS,
    Results,
    export_results,
    fold_kinds,
    load_results,
)
from hitcore.experiments.export import about_results, export_ensembles
from hitcore.featurestore import FeatureConfig

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "assets" / "demo"
MODELS = ROOT / "assets" / "models"
REPORT = ROOT / "docs" / "table1-demo.md"
OFFERED = ["c", "d", "e", "i", "j"]
"""Rows whose fold ensembles the app offers."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3, help="of training; a verdict needs 3")
    parser.add_argument("--grid", default="small")
    parser.add_argument("--precision", default="auto", help="float32 or bfloat16, of the products")
    parser.add_argument("--device", help="cpu or cuda; left out: a GPU where there is one")
    parser.add_argument(
        "--planted",
        action="store_true",
        help="made-up features in place of songs: for the time alone, nothing of it ships",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", default=",".join(VARIANTS), help="all, unless some are named")
    parser.add_argument("--skip", default="", help="rows to leave out, such as inception")
    parser.add_argument(
        "--artist-rows",
        default="c,i,artist-prior",
        help="rows that are also run on artist-disjoint folds; '' for none",
    )
    parser.add_argument("--report", action="store_true", help="only write what is there")
    parser.add_argument("--to", type=Path, default=REPORT, help="file of the report")
    parser.add_argument("--no-ship", action="store_true", help="leave assets/ as they are")
    options = parser.parse_args()
    if options.planted:
        configs = [FeatureConfig(segment="middle"), FeatureConfig()]
        planted(options.workspace, options.songs, configs, options.seed)
        options.skip = ",".join(row.row for row in BASELINES)
        options.artist_rows = ""
    if not options.report:
        start = time.perf_counter()
        make(options)
        print(f"all rows, features that were missing included: {time.perf_counter() - start:.0f} s")
    if options.planted:
        return
    workspace = Workspace.open(options.workspace)
    results = {kind: load_results(workspace, {"fold_kind": kind}) for kind in fold_kinds(workspace)}
    if not options.no_ship:
        ship(workspace, results)
    options.to.write_text(report(workspace, results))
    print(options.to.read_text())


def make(options: argparse.Namespace) -> None:
    """Catalogue, features, runs: each by the command that a user would give."""
    place = str(options.workspace)
    if not (options.workspace / "workspace.json").exists():
        hitcore("demo", "create", place, "--songs", options.songs, "--seed", options.seed)
    wanted = set(options.rows.split(",")) - set(options.skip.split(","))
    for name, kind, rows in (
        ("table1", "song", [v.row for v in TABLE1 if v.row in wanted]),
        ("baselines", "song", [v.row for v in BASELINES if v.row in wanted]),
        ("artist-disjoint", "artist", [row for row in options.artist_rows.split(",") if row]),
    ):
        if rows:
            hitcore(
                *("experiment", "run", place, "--rows", ",".join(rows), "--build-features"),
                *("--folds", options.folds, "--fold-kind", kind, "--epochs", options.epochs),
                *("--grid", options.grid, "--precision", options.precision),
                *("--workers", options.workers, "--name", name, "--seeds", options.seeds),
                *(("--device", options.device) if options.device else ()),
            )


def hitcore(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "hitcore", *map(str, words)], check=True)


def ship(workspace: Workspace, results: dict[str, Results]) -> None:
    """The tables of the catalogue, the results and some ensembles, as they ship with the app."""
    target = Workspace.create(DEMO)
    for name in ("songs.parquet", "hit_scores.parquet", "truth.parquet", "demo.json"):
        shutil.copy2(workspace.path / name, target.path / name)
    shutil.rmtree(target.daily_shares, ignore_errors=True)
    shutil.copytree(workspace.daily_shares, target.daily_shares)
    first, *others = results.values()
    export_results(first, target, about_results(workspace, first), *others)
    offered = [row for row in OFFERED if row in first.rows]
    export_ensembles(workspace, first, offered, MODELS, demo=True)


if __name__ == "__main__":
    main()

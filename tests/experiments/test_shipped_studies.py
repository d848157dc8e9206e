"""The studies of real songs that ship: whole, named, and without a row of their sources."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.evaluation.metrics import pairwise_accuracy
from hitcore.experiments import VARIANTS, fold_kinds, load_results

STUDIES = Path(__file__).resolve().parents[2] / "assets" / "results"
NAMES = sorted(path.name for path in STUDIES.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_anonymous_named_and_consistent(name: str) -> None:
    workspace = Workspace.open(STUDIES / name)
    songs = Catalogue.read(workspace.songs, workspace.hit_scores)
    table = pd.read_parquet(workspace.songs)
    assert all(re.fullmatch(r"s\d{5}", song) for song in songs.song_ids)
    assert all(re.fullmatch(r"a\d{5}", name) for names in songs.artist_ids for name in names)
    # Nothing that is known of a song but its rank among the others.
    assert (table["title"] + table["artist"] + table["genre"] == "").all()
    assert table["release_date"].isna().all()
    about = json.loads((workspace.path / "results" / "about.json").read_text())
    assert about["title"] and about["about"]  # noqa: PT018
    for kind in fold_kinds(workspace):
        results = load_results(workspace, {"fold_kind": kind})
        assert set(results.rows) <= set(VARIANTS)
        predictions = results.predictions
        assert set(predictions["split"]) == {"test"}
        assert predictions["y_true"].between(0, 1).all()
        truth = dict(zip(songs.song_ids, songs.hit_scores, strict=True))
        assert (predictions["song_id"].map(truth) == predictions["y_true"]).all()
        # Ranks keep the order, so the share of pairs in order is found again from what ships.
        fold = results.test_predictions(results.rows[0]).query("fold == fold.min()")
        measured = results.folds_of(results.rows[0]).set_index("fold")["pairwise_accuracy"]
        again = pairwise_accuracy(fold["y_true"], fold["y_score"])
        assert again == pytest.approx(measured[fold["fold"].iloc[0]], abs=1e-3)

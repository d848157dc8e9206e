"""The Samplers page: what its pictures count, and the page itself."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError
from hitcore.experiments import METRICS, Results, export_results
from ui.compare import pair
from ui.compare import rows as compare
from ui.frame import loaders, resultsets
from ui.samplers import learning, scales
from ui.samplers import pairs as samplers

PAGE = Path(__file__).resolve().parents[2] / "pages" / "samplers.py"


@pytest.fixture
def songs() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    scores = rng.lognormal(-12, 2.3, 60)
    scores[:5] = 0.0
    scores[5] = np.nan
    artists = [["a", "b"] if n % 7 == 0 else [f"artist {n % 9}"] for n in range(60)]
    return pd.DataFrame({"hit_score": scores, "artist_ids": artists})


@pytest.mark.parametrize("name", list(samplers.RULES))
def test_cells_hold_every_pair_of_the_method(songs: pd.DataFrame, name: str) -> None:
    known = samplers.scored(songs)
    threshold = float(known["hit_score"].mean())
    each = samplers.view(name, known, threshold)
    cells, scores = each.cells, known["hit_score"].to_numpy()
    assert len(known) == 59
    low = np.maximum(scores, cells["x"].min() * 1e-6)  # a share of 0 stands in the lowest band

    def cell_of(score: float) -> float:
        edges = np.unique(cells["x"])
        return float(edges[edges <= score * 1e6 * (1 + 1e-9)].max())

    def permitted(i: int, j: int) -> bool:
        if name == "ab":
            return max(scores[i], scores[j]) > threshold
        both = set(known["artist_ids"][i]) & set(known["artist_ids"][j])
        return name == "naive" or bool(both)

    counted: dict[tuple[float, float], int] = {}
    for i, j in itertools.combinations(range(59), 2):
        if permitted(i, j):
            key = tuple(sorted((cell_of(low[i]), cell_of(low[j]))))
            counted[key] = counted.get(key, 0) + 1
    shown = {(row.x, row.y): row.pairs for row in cells.itertuples() if row.x <= row.y}
    assert sum(shown.values()) == each.made_of.n_pairs == sum(counted.values())
    if name == "naive":  # every column of cells holds a song, so the edges above are all of them
        assert shown == counted
    assert cells["density"].sum() == pytest.approx(1)


def test_the_finding_states_what_was_counted() -> None:
    songs = pd.DataFrame({"hit_score": [0.9] + [0.01] * 7, "artist_ids": [["a"]] * 8})
    views = [samplers.view(name, songs, 0.1) for name in samplers.RULES]
    text = samplers.finding(views)
    assert "Naive sampling spends 75 % of its pairs on two unpopular songs." in text
    assert samplers.count_words(views[1]) == "7 pairs, 25 % of all possible"
    assert views[0].share_of("tail_tail") == 0.75
    assert views[1].share_of("tail_tail") == 0
    table = samplers.composition_table(views)
    assert table.groupby("sampler")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    assert samplers.finding([]) == ""


def test_edges_hold_all_scores_and_a_band_for_zero() -> None:
    for scores in ([0.0, 1e-7, 1e-3], [1e-7, 1e-3], [0.0, 0.1], [1e-5, 1.001e-5]):
        edges = scales.score_edges(np.array(scores))
        positive = [score for score in scores if score > 0]
        assert (np.diff(edges) > 0).all()
        assert edges[-1] >= max(positive) * (1 - 1e-12)
        assert edges[0] < min(positive) if 0.0 in scores else edges[0] == pytest.approx(scores[0])


def test_learning_curves_show_what_is_chosen_on_the_same_folds_throughout() -> None:
    lines = [
        # Fold 0 chooses epoch 2 and ends after 3; fold 1 ends after the first.
        ("f", 0, 1, 0.9, 0.10), ("f", 0, 2, 0.5, 0.30), ("f", 0, 3, 0.7, 0.80),
        ("f", 1, 1, 0.4, 0.20),
        ("j", 0, 1, 0.5, 0.50), ("d", 0, 1, 0.1, 0.90),
    ]  # fmt: skip
    history = pd.DataFrame(lines, columns=["row", "fold", "epoch", "valid_loss", "valid_ndcg"])
    history["run_id"] = history["row"] + history["fold"].astype(str)
    rows = learning.rows_with("audio (HL-30) + tag", ["d", "f", "j"])
    assert rows == {"naive": "f", "ab": "j"}
    metrics = pd.DataFrame({"run_id": ["f0", "f1", "j0"], "best_epoch": [2, 1, 1]})
    results = Results(metrics, pd.DataFrame(), history)
    table = learning.learning_table(results, rows)
    naive = table[table["sampler"] == "naive"]
    assert naive["epoch"].tolist() == [1, 2, 3]
    assert naive["mean"].tolist() == pytest.approx([0.15, 0.25, 0.25]), "0.80 is never chosen"
    assert naive["count"].tolist() == [2, 2, 2]
    assert (naive["low"] < naive["mean"]).all()
    assert "A/B at 0.500" in learning.learning_finding(table)
    assert learning.learning_table(results, {}).empty
    learning.learning_chart(table).to_dict()
    assert "told from the validation loss" in learning.learning_caption(results, rows)


def test_learning_curves_end_at_what_the_run_recorded_as_chosen() -> None:
    history = pd.DataFrame(
        [("f", 0, "f0", 1, 0.9, 0.10), ("f", 0, "f0", 2, 0.7, 0.30), ("f", 0, "f0", 3, 0.8, 0.20)],
        columns=["row", "fold", "run_id", "epoch", "valid_loss", "valid_ndcg"],
    )
    rows = {"naive": "f"}
    # Chosen by something else than the loss, which would have kept epoch 2.
    metrics = pd.DataFrame({"run_id": ["f0"], "best_epoch": [3]})
    table = learning.learning_table(Results(metrics, pd.DataFrame(), history), rows)
    assert table["mean"].tolist() == pytest.approx([0.10, 0.30, 0.20])
    noted = Results(metrics, pd.DataFrame(), history.assign(kept=[True, False, True]))
    table = learning.learning_table(noted, rows)
    assert table["mean"].tolist() == pytest.approx([0.10, 0.10, 0.20])
    assert "told from" not in learning.learning_caption(noted, rows)


def test_the_sentence_about_the_samplers_is_that_of_compare() -> None:
    rng = np.random.default_rng(0)
    for gain, n_seeds, word in ((0.3, 3, "supported"), (0.0, 3, "inconclusive"),
                                (-0.3, 3, "contradicted"), (0.3, 1, "not judged")):  # fmt: skip
        metrics = pd.DataFrame(
            {"row": row, "fold": fold, "repeat": seed, "run_id": f"{row}{fold}{seed}{word}",
             "k": 20, "n": 200, "n_train": 1600}
            | dict.fromkeys(METRICS, gain * (row in "ij") + rng.normal(0, 0.01))
            for row in "efgij" for fold in range(10) for seed in range(n_seeds)
        )  # fmt: skip
        results = Results(metrics, pd.DataFrame(), pd.DataFrame())
        said = learning.test_finding(results)
        assert f"“A/B sampling is better than naive” is {word}" in said
        claims = pair.claims_table(pair.tested(results)[2]).set_index("Claim")
        assert claims.loc["A/B sampling is better than naive", "Verdict"] == word
        # One reason for all stands above the table, once.
        verdicts, unjudged = pair.tested(results)[2], word == "not judged"
        assert ("Trained with one seed" in pair.common_reason(verdicts)) == unjudged
        assert "Why not judged" not in claims
        mixed = (replace(verdicts[0], why="a reason"), *verdicts[1:])
        assert pair.claims_table(mixed)["Why not judged"][0] == "a reason"
        assert pair.common_reason(mixed) == ""
    small = Results(
        metrics.assign(k=5, run_id=metrics["run_id"] + "k"), pd.DataFrame(), pd.DataFrame()
    )
    assert "has 5 songs, and a verdict needs 10" in learning.test_finding(small)


def test_charts_are_valid_and_mark_the_threshold(songs: pd.DataFrame) -> None:
    known = samplers.scored(songs)
    views = [samplers.view(name, known, 1e-5) for name in samplers.RULES]
    spec = samplers.density_chart(views[1], samplers.brightest_of(views)).to_dict()
    data = next(rows for rows in spec["datasets"].values() if rows[0].keys() == {"at"})
    assert data == [{"at": pytest.approx(10)}]
    assert samplers.composition_chart(views[1]).to_dict()["layer"]


def test_what_cannot_be_paired_says_so(songs: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="0 of 60 songs have a hit score"):
        samplers.scored(songs.assign(hit_score=np.nan))
    known = samplers.scored(songs)
    with pytest.raises(ParameterError, match="group A is empty"):
        samplers.view("ab", known, 1.0)
    alone = known.assign(artist_ids=[[str(n)] for n in range(59)])
    with pytest.raises(DataError, match="share an artist"):
        samplers.view("artist", alone, 1e-5)


def test_percentiles_make_naive_sampling_even_and_keep_ties_together() -> None:
    scores = np.concatenate([np.zeros(50), np.linspace(0.51, 1, 50)])
    label, edges = scales.percentile_bins(scores)
    assert (label[:50] == 0).all()
    assert edges[:2].tolist() == [0, 50]
    assert (np.diff(edges) > 0).all()
    assert edges[-1] == pytest.approx(100)
    songs = pd.DataFrame({"hit_score": scores, "artist_ids": [[str(n % 9)] for n in range(100)]})
    views = {
        name: samplers.view(name, songs, scores[79], scales.PERCENTILES) for name in samplers.RULES
    }
    assert views["naive"].cells["density"].between(0.4, 1.05).all()
    # Cells on the diagonal hold fewer pairs: no song is compared with itself.
    apart = views["naive"].cells.query("x != y")
    assert apart["density"].to_numpy() == pytest.approx(apart["density"].iloc[0])
    assert views["ab"].at == 80
    assert (views["ab"].cells.query("x < 75 and y < 75")["pairs"] == 0).all()
    assert "more often than" in samplers.density_caption(views["ab"])


def test_the_threshold_of_ranks_is_where_the_mean_of_the_figures_lies() -> None:
    ranks = np.array([0.0, 0.0, 0.5, 0.75, 1.0])
    assert (ranks > samplers.mean_threshold(ranks, 2)).sum() == 2
    words = samplers.threshold_words(ranks, 0.5, 0.5, scales.PERCENTILES)
    assert words == (
        "Threshold at percentile 60 (the mean hit score): 2 of 5 songs are popular (group A)."
    )


# --- the page ------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace in the place of the demo."""
    workspace = Workspace.create(tmp_path / "demo")
    monkeypatch.setattr(loaders, "DEMO", workspace.path)
    monkeypatch.setattr(resultsets, "STUDIES", tmp_path / "no-studies")
    cached = (loaders.demo_workspace, loaders.catalogue, loaders.results, loaders.about)
    for loader in cached:
        loader.clear()
    yield workspace
    for loader in cached:
        loader.clear()


def write_catalogue(workspace: Workspace, songs: pd.DataFrame) -> None:
    table = songs.assign(song_id=[f"s{n}" for n in range(len(songs))])
    Catalogue(table.drop(columns="hit_score")).write(workspace.songs)
    table[["song_id", "hit_score"]].to_parquet(workspace.hit_scores)


def write_results(workspace: Workspace) -> None:
    lines = [(row, fold) for row in "fhj" for fold in range(2)]
    metrics = pd.DataFrame(lines, columns=["row", "fold"]).assign(
        ndcg=0.1,
        kendall=0.2,
        spearman=0.3,
        run_id=[f"{row}{fold}" for row, fold in lines],
        ended_at=1.0,
        catalogue="x",
        n_folds=2,
        fold_kind="song",
        seed=0,
    )
    history = pd.DataFrame(
        [
            (row, fold, f"{row}{fold}", epoch, 0.1 * epoch + (row == "h"), -epoch)
            for row, fold in lines
            for epoch in (1, 2, 3)
        ],
        columns=["row", "fold", "run_id", "epoch", "valid_ndcg", "valid_loss"],
    )
    predictions = pd.DataFrame(columns=["row", "fold", "run_id", "split", "song_id"])
    export_results(Results(metrics, predictions, history), workspace)


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(str(PAGE), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def words_of(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption, *app.subheader))


def test_page_shows_methods_and_curves(workspace: Workspace, songs: pd.DataFrame) -> None:
    write_catalogue(workspace, songs)
    write_results(workspace)
    app = open_page()
    words = words_of(app)
    assert "Naive sampling spends" in words
    assert "1,711 pairs, 100 % of all possible" in words.replace("\\", "")
    assert [element.value for element in app.subheader][:3] == ["Naive", "A/B", "Artist"]
    assert "On validation songs: Artist at 1.300" in words.replace("\\", "")
    assert not app.error
    assert not app.info


def test_page_follows_the_threshold(workspace: Workspace, songs: pd.DataFrame) -> None:
    write_catalogue(workspace, songs)
    app = open_page()
    at_mean = words_of(app)
    assert "(the mean hit score)" in at_mean
    app.slider[0].set_value(50).run()
    assert not app.exception
    assert "(chosen here): 29 of 59 songs" in words_of(app)
    assert app.query_params["below"] in ("50", ["50"])
    assert "(chosen here): 29 of 59 songs" in words_of(open_page(below="50"))
    assert words_of(open_page(below="<b>")) == at_mean


def test_page_without_a_catalogue_says_what_to_do(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "DEMO", workspace.path / "nothing here")
    assert "No catalogue yet" in open_page().info[0].value


def test_page_without_results_says_what_to_do(workspace: Workspace, songs: pd.DataFrame) -> None:
    write_catalogue(workspace, songs)
    assert "No Siamese row has results" in open_page().info[0].value


def test_page_shows_a_method_without_pairs_as_an_error_beside_the_others(
    workspace: Workspace, songs: pd.DataFrame
) -> None:
    write_catalogue(workspace, songs.assign(artist_ids=[[str(n)] for n in range(60)]))
    app = open_page()
    assert "share an artist" in app.error[0].value
    assert [element.value for element in app.subheader][:2] == ["Naive", "A/B"]


def test_page_with_equal_scores_says_so(workspace: Workspace, songs: pd.DataFrame) -> None:
    write_catalogue(workspace, songs.assign(hit_score=0.01))
    assert "group A is empty" in open_page().error[0].value


@pytest.mark.parametrize("name", ["real-clips", "hot100", "hot100-charted"])
def test_page_shows_a_study_of_real_songs_by_ranks_and_as_compare_does(name: str) -> None:
    chosen = resultsets.ResultSet(f"study/{name}", "artist")
    app = open_page(results=chosen.key)
    assert not app.error
    words = words_of(app).replace("\\", "")
    assert str(chosen.about()["title"]) in words
    assert str(chosen.about()["about"]) in words
    assert f"{chosen.about()['above_mean']:,} of {len(chosen.songs()):,} songs" in words
    assert "do not ship, their ranks do" in words
    assert "ppm" not in words
    results = chosen.load()
    found = learning.rows_with(learning.features_of(results.rows)[0], results.rows)
    if not found:
        assert "No Siamese row of this study" in app.info[0].value
        return
    shown = learning.test_figures(results, found).set_index("Sampler")
    cell = compare.cells(results.metrics)[found["ab"], "ndcg"]
    assert shown.loc["A/B", "nDCG@10 %"].startswith(f"{cell.estimate:.3f} [{cell.low:.3f}")
    for verdict in pair.tested(results)[2]:
        if verdict.claim.words.startswith("A/B sampling"):
            said = f"“{verdict.claim.words}” is {verdict.word}"
            assert said in words or "a verdict needs" in words

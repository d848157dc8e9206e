"""The Samplers page: what its pictures count, and the page itself."""

import itertools
from collections.abc import Iterator
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
from ui.frame import loaders
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
        edges = samplers.score_edges(np.array(scores))
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
    rows = samplers.rows_with("audio (HL-30) + tag", ["d", "f", "j"])
    assert rows == {"naive": "f", "ab": "j"}
    table = samplers.learning_table(history, rows)
    naive = table[table["sampler"] == "naive"]
    assert naive["epoch"].tolist() == [1, 2, 3]
    assert naive["mean"].tolist() == pytest.approx([0.15, 0.25, 0.25]), "0.80 is never chosen"
    assert naive["count"].tolist() == [2, 2, 2]
    assert (naive["low"] < naive["mean"]).all()
    assert "A/B at 0.500" in samplers.learning_finding(table)
    assert samplers.learning_table(history, {}).empty
    samplers.learning_chart(table).to_dict()


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
        said = samplers.test_finding(results)
        assert f"“A/B sampling is better than naive” is {word}" in said
        claims = pair.claims_table(pair.tested(results)[2]).set_index("Claim")
        assert claims.loc["A/B sampling is better than naive", "Verdict"] == word
    small = Results(metrics.assign(k=5), pd.DataFrame(), pd.DataFrame())
    assert "has 5 songs, and a verdict needs 10" in samplers.test_finding(small)


def test_charts_are_valid_and_mark_the_threshold(songs: pd.DataFrame) -> None:
    known = samplers.scored(songs)
    views = [samplers.view(name, known, 1e-5) for name in samplers.RULES]
    spec = samplers.density_chart(views[1], 1e-5, samplers.brightest_of(views)).to_dict()
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


# --- the page ------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace in the place of the demo."""
    workspace = Workspace.create(tmp_path / "demo")
    monkeypatch.setattr(loaders, "DEMO", workspace.path)
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
    app.slider(key="below").set_value(50).run()
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

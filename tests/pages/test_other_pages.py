"""Analyse, Compare, Experiments, Models and Method: empty, happy, and with an error."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_workspace
from streamlit.testing.v1 import AppTest

from hitcore.catalogue.workspace import Workspace
from hitcore.experiments import (
    METRICS,
    ExperimentConfig,
    Results,
    export_results,
    load_results,
    run_experiment,
)
from hitcore.learning import TrainConfig
from ui.analyse import reports, songs
from ui.compare import pair, variants
from ui.compare import rows as compare
from ui.frame import loaders, page, resultsets
from ui.server import jobs
from ui.server.jobs import Job

PAGES = Path(__file__).resolve().parent.parent.parent / "pages"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small workspace with the results of rows that cost nothing."""
    workspace = planted_workspace(tmp_path_factory.mktemp("demo") / "demo", n_songs=60)
    run_experiment(workspace, ["artist-prior", "release-year"], ExperimentConfig(n_folds=4))
    return workspace


@pytest.fixture
def demo(finished: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    yield from instead_of_demo(finished.path, monkeypatch, finished)


@pytest.fixture
def no_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from instead_of_demo(tmp_path / "nothing", monkeypatch, None)


def instead_of_demo(path: Path, monkeypatch: pytest.MonkeyPatch, value: object) -> Iterator:
    monkeypatch.setattr(loaders, "DEMO", path)
    monkeypatch.setattr(resultsets, "STUDIES", path / "no-studies")
    cached = (loaders.demo_workspace, loaders.catalogue, loaders.results, loaders.about)
    for loader in cached:
        loader.clear()
    yield value
    for loader in cached:
        loader.clear()


def opened(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def table_with(app: AppTest, *columns: str) -> pd.DataFrame:
    """The first table of a page that has these columns."""
    return next(f.value for f in app.dataframe if set(columns) <= set(f.value.columns))


def words_of(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption, *app.info))


# --- Analyse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("song", ["", "0" * 64, "../../etc/passwd", "<script>", "x" * 5000])
def test_analyse_with_nothing_or_an_unknown_song_invites(no_demo: None, song: str) -> None:
    app = opened("analyse", **({"song": song} if song else {}))
    assert app.title[0].value == "Analyse"
    assert "Nothing here yet" in words_of(app)
    assert "<script>" not in words_of(app)


def test_analyse_says_in_one_line_what_is_no_song(
    no_demo: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    caches = (songs.library, reports.background)
    for cache in caches:
        cache.clear()
    name = "*Broken* <b>song</b>.mp3"
    songs.library().add("session:me", name, b"no music at all\n" * 20)
    app = AppTest.from_file(str(PAGES / "analyse.py"), default_timeout=120)
    app.session_state["owner"] = "me"
    app.run()
    assert reports.background().wait("session:me")
    app.run()
    for cache in caches:
        cache.clear()
    assert not app.exception
    assert len(app.error) == 1
    assert "\\*Broken\\*" in app.error[0].value
    assert "\n" not in app.error[0].value


@pytest.mark.parametrize("name", ["<img onerror=x>", "[a](b)", "**a**", ":material/home:", "$x$"])
def test_names_of_strangers_are_shown_letter_by_letter(name: str) -> None:
    shown = page.plain(name)
    for sign in "<>[]()*:$":
        assert shown.count(sign) == shown.count(f"\\{sign}")
    assert shown.replace("\\", "") == name


# --- Compare -------------------------------------------------------------------------------------


def test_compare_without_results_says_what_to_do(no_demo: None) -> None:
    assert "run an experiment" in words_of(opened("compare"))


def test_compare_shows_rows_and_their_difference(demo: Workspace) -> None:
    app = opened("compare")
    table = app.table[0].value
    assert table["Network"].tolist() == ["Artist prior", "Release year only"]
    assert "±" in table["Pairwise accuracy"].iloc[0]
    assert "±" in opened("compare", figures=compare.TOP).table[0].value["nDCG@10 %"].iloc[0]
    assert "The top of a test fold has" in words_of(app), "six songs give no verdict"


def test_compare_finds_what_the_folds_say(demo: Workspace) -> None:
    results = load_results(demo)
    tests = pair.against(results, "artist-prior", "release-year")
    first, second = (results.folds_of(row)["ndcg"] for row in ("artist-prior", "release-year"))
    assert tests["ndcg"].test.difference == pytest.approx((first - second).mean())
    back = pair.against(results, "release-year", "artist-prior")
    assert back["ndcg"].test.difference == -tests["ndcg"].test.difference
    assert (back["ndcg"].low, back["ndcg"].high) == pytest.approx(
        (-tests["ndcg"].high, -tests["ndcg"].low)
    )
    assert back["ndcg"].p_holm == tests["ndcg"].p_holm
    assert tests["auc"].p_holm is None
    told = pair.test_table(tests)
    assert told["Role"].tolist() == ["primary"] * 3 + ["exploratory"] * 2
    pair.difference_chart(results, "artist-prior", "release-year", tests).to_dict()


def results_of(**levels: float) -> Results:
    """Rows at some levels with a little noise, three seeds."""
    rng = np.random.default_rng(0)
    lines = [
        {"row": row, "fold": fold, "repeat": seed, "run_id": f"{levels}{row}{fold}{seed}",
         "k": 20, "n": 200, "n_train": 1600}
        | dict.fromkeys((*METRICS, "auc", "pairwise_accuracy"), level + rng.normal(0, 0.01))
        for row, level in levels.items() for fold in range(10) for seed in range(3)
    ]  # fmt: skip
    return Results(pd.DataFrame(lines), pd.DataFrame(), pd.DataFrame())


def test_compare_speaks_of_the_paper_only_where_a_row_is_in_it() -> None:
    found = results_of(**{"attr-naive": 0.5, "attr-rating": 0.1})
    rows = found.rows
    captions = compare.table_caption(rows, compare.TOP), compare.folds_caption(rows, "ndcg")
    assert "paper" not in "".join(captions)
    assert "Paper: τ" not in compare.table1(rows, compare.cells(found.metrics))
    told = pair.finding(found, *rows, pair.against(found, *rows))
    assert told.startswith("Tag network, rating is behind Tag network, naive in")
    power = pair.claims_table(pair.tested(found)[2])["Power"]
    assert power.tolist() == [""]
    assert "the paper's figure" in compare.table_caption(["a", rows[0]], compare.TOP)
    assert "the paper's figure" in compare.folds_caption(["a"], "ndcg")
    assert "the paper's figure" not in compare.folds_caption(["a"], "auc")


def test_compare_says_what_the_figures_say() -> None:
    found = results_of(a=0.1, c=0.5, e=0.5)
    told = {
        pairing: pair.finding(found, *pairing, pair.against(found, *pairing))
        for pairing in (("c", "a"), ("a", "c"), ("e", "c"))
    }
    assert told["c", "a"].startswith("Row (c) is ahead of row (a) in nDCG@10 %")
    assert told["a", "c"].startswith("Row (a) is behind row (c) in nDCG@10 %")
    assert "inconclusive on these folds" in told["e", "c"]
    assert "all 3 pairs of rows" in told["e", "c"]
    headline = pair.headline(found)
    assert "is ahead of 1 of the 2 other rows beyond chance" in headline
    assert "1 is supported, 1 is inconclusive" in headline
    table = compare.table1(["a", "c"], compare.cells(found.metrics))
    assert table["Paper: nDCG"].tolist() == ["0.072", "0.100"]
    assert not any("paper" in cell for cell in table["nDCG@10 %"])


def test_every_choice_of_compare_is_in_its_address(demo: Workspace) -> None:
    app = opened("compare", rows="Baselines", first="release-year", second="artist-prior",
                 view="Folds", metric="kendall", sort="nonsense")  # fmt: skip
    assert app.selectbox(key="rows").value == "Baselines"
    assert app.selectbox(key="first").value == "release-year"
    assert app.selectbox(key="second").value == "artist-prior"
    assert app.selectbox(key="sort").value == compare.ORDER
    assert not app.table, "folds are shown"
    app.selectbox(key="sort").set_value("nDCG@10 %").run()
    assert app.query_params["sort"] in ("nDCG@10 %", ["nDCG@10 %"])
    app.selectbox(key="sort").set_value(compare.ORDER).run()
    assert "sort" not in app.query_params


def test_which_variants_ship_is_said() -> None:
    told = variants.which_words(["demo-c", "demo-j"])
    assert "rows c, j." in told
    assert "Not packaged, to keep the app small: a, b, d" in told


def test_compare_bolds_the_best_two(demo: Workspace) -> None:
    results = load_results(demo)
    cells = compare.cells(results.metrics)
    table = compare.table1(["artist-prior", "release-year"], cells)
    assert all(cell.startswith("**") for cell in table["nDCG@10 %"])


def test_compare_takes_the_results_of_a_workspace_and_of_other_folds(
    demo: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = planted_workspace(tmp_path / "other", n_songs=50)
    config = ExperimentConfig(n_folds=3, fold_kind="artist")
    run_experiment(other, ["artist-prior", "release-year"], config)
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    app = opened("compare", results="other:artist")
    assert "workspace other · 50 songs · 2 rows, 3 folds that share no artist" in words_of(app)
    app.selectbox(key="results").set_value(":song").run()
    assert "60 songs" in words_of(app)
    assert "results" not in app.query_params
    stranger = opened("compare", results="../other:song")
    assert "60 songs" in words_of(stranger)


# --- Experiments ---------------------------------------------------------------------------------


def test_experiments_without_a_workspace_offers_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    assert "no workspace yet" in words_of(opened("experiments"))


def test_experiments_shows_what_ships_as_finished(
    demo: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    app = opened("experiments")
    words = words_of(app)
    assert "demo: synthetic songs" in words
    assert "on one core" in words, "a new catalogue says what it costs"
    assert [box.value for box in app.metric][:2] == ["8", "60"], "runs and songs"
    rows = table_with(app, "Row", "Chosen")
    assert rows["Row"].tolist() == ["Artist prior", "Release year only"]
    assert rows["Folds"].tolist() == [4, 4]
    assert table_with(app, "State")["State"].tolist() == ["done"] * 8


def test_experiments_draws_how_shipped_rows_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = planted_workspace(tmp_path / "demo", n_songs=60)
    training = TrainConfig(batch_size=16, max_epochs=3, learning_rate=0.02)
    run_experiment(place, ["tags"], ExperimentConfig(n_folds=3, training=training))
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path / "none"))
    for _ in instead_of_demo(place.path, monkeypatch, place):
        app = opened("experiments")
        assert table_with(app, "epoch", "mean")["epoch"].tolist() == [1, 2, 3]
        songs_seen = table_with(app, "songs", "mean")["songs"].unique()
        assert songs_seen.tolist() == ["training songs", "validation songs"]
        results = load_results(place)
        shutil.rmtree(place.runs)
        export_results(replace(results, history=results.history.head(0)), place)
        loaders.results.clear()
        app = opened("experiments")  # results that were shipped without their history
        assert table_with(app, "Row", "Chosen")["Folds"].tolist() == [3]
        assert "How they learned" not in words_of(app)


def test_experiments_without_anything_still_invites(
    no_demo: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    words = words_of(opened("experiments"))
    assert "No demo results" in words
    assert "no workspace yet" in words


def test_a_catalogue_is_made_on_the_page_and_the_form_follows(
    no_demo: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path))
    app = opened("experiments")
    app.number_input(key="new-songs").set_value(40).run()
    app.button(key="create-workspace").click().run()
    assert not app.exception
    assert (tmp_path / "demo-small" / "songs.parquet").exists()
    assert app.button(key="start")


def test_experiments_shows_the_ledger(finished: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITCORE_WORKSPACES", str(finished.path.parent))
    (finished.path / jobs.FOLDER).mkdir(exist_ok=True)
    job = Job("table1", ("artist-prior", "release-year"), 4, 3, "one")
    file = finished.path / jobs.FOLDER / "table1.job.json"
    file.write_text(json.dumps(vars(job)))
    app = opened("experiments")
    assert "Done: 8 runs." in words_of(app)
    ledger = next(frame.value for frame in app.dataframe if "State" in frame.value.columns)
    assert ledger["State"].tolist() == ["done"] * 8


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 41, "<b>"])
def test_a_job_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Job(name, ("a",), 3, 3, "one")


# --- Models and Method ---------------------------------------------------------------------------


def test_models_lists_every_named_network() -> None:
    app = opened("models")
    names = app.dataframe[0].value["Name"].tolist()
    assert {"musicnn-mtt", "musicnn-msd", "jynet", "kkbox-ret30", "nam-lf"} <= set(names)


def test_models_says_how_to_get_what_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ui.models import table

    whole = table.choose

    def choose_jynet() -> table.Card:
        whole()  # a row cannot be clicked here
        return next(card for card in table.cards(lambda known: None) if card.name == "jynet")

    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(table, "choose", choose_jynet)
    app = opened("models")
    assert set(app.dataframe[0].value["State"]) >= {"absent"}
    assert "hitcore weights import" in words_of(app).replace("\\", "")


def test_method_shows_the_four_equations() -> None:
    app = opened("method")
    assert len(app.latex) == 4
    assert "Sound explains only a part" in words_of(app)


def test_compare_opens_with_real_songs_in_figures_that_their_folds_can_carry() -> None:
    titles = [each.title for each in resultsets.offered()]
    assert titles[0].startswith("Real clips")
    app = opened("compare")
    assert app.selectbox(key="results").value == "study/real-clips:artist"
    headline = app.markdown[1].value
    assert "the figures @10 % are chance here" in headline
    table = app.table[0].value
    assert list(table.columns)[-2:] == ["Pairwise accuracy", "AUC of the top 10 %"]
    best = max(float(re.search(r"0\.\d+", cell)[0]) for cell in table["Pairwise accuracy"])
    assert f"({100 * best:.1f} %, " in headline
    assert "so of the artist and not of the song" in words_of(app)
    top = opened("compare", figures=compare.TOP).table[0].value
    assert {"nDCG@10 %", "Paper: nDCG"} <= set(top.columns)
    assert opened("compare", results=":song").table[0].value.columns[-1] == "Paper: ρ"


def test_samplers_opens_with_scores_that_can_be_drawn() -> None:
    assert opened("samplers").selectbox(key="results").value == ":song"

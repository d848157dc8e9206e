"""`--preset paper`, and the options of every experiment: tagger, pairs, highlighter, seeds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import planted_workspace, write_store

from hitcore import cli, weights
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import ParameterError, WeightsError
from hitcore.experiments import ExperimentConfig, Grid, load_results, run_experiment, variant
from hitcore.experiments.plan import run_config
from hitcore.featurestore import FeatureConfig, FeatureStore
from hitcore.highlights import attention
from hitcore.networks.models import load_model
from hitcore.weights import ASSETS


def main(arguments: list[str]) -> int:
    """The command line in this process; its exit status."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", ["hitcore", *arguments])
        try:
            cli.main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
    return 0


def test_the_papers_settings() -> None:
    paper = ExperimentConfig.of_the_paper()
    assert (paper.tagger, paper.training.pairing, paper.n_seeds) == ("jynet", "explicit", 3)
    assert (paper.training.optimiser, paper.training.batch_size) == ("adagrad", 10)
    assert (paper.training.learning_rate, paper.training.max_epochs) == (5e-3, 150)
    stores = {row: paper.features_of(variant(row)) for row in "acj"}
    assert stores["a"].segment == "middle"
    theirs = weights.is_installed("nam-lf")
    assert stores["c"].segment == stores["j"].segment
    assert stores["c"].segment == ("attention:nam-lf" if theirs else "attention")
    assert all(store.mel == "paper" and store.tagger == "jynet" for store in stores.values())
    assert paper.grid == Grid()
    assert len(paper.grid.points(variant("j"))) == 27


def test_explicit_pairs_by_the_papers_tags_run_and_are_named(tmp_path: Path) -> None:
    place = planted_workspace(tmp_path / "w", segments=())
    rng = np.random.default_rng(0)
    ids = [f"s{i:04d}" for i in range(60)]
    paper = ExperimentConfig.of_the_paper(n_folds=3, n_seeds=1, grid=Grid((0.3,), (0.8,), (0.5,)))
    paper = replace(paper, training=replace(paper.training, max_epochs=1))
    store = paper.features_of(variant("j"))
    mel = rng.normal(2, 1, (60, 128, 323)).astype(np.float16)
    write_store(place, store, ids, mel, rng.random((60, 50)).astype(np.float32))
    table = run_experiment(place, ["j"], paper)
    assert set(table["pairing"]) == {"explicit"}
    assert set(table["tagger"]) == {"jynet"}
    assert set(table["highlight"]) == {store.segment}
    assert load_results(place).rows == ["j"]
    # Pairs that are drawn are another experiment than pairs within a batch.
    other = replace(paper, training=replace(paper.training, pairing="in_batch"))
    documents = [run_config(variant("j"), 0, one, "x") for one in (paper, other)]
    assert documents[0] != documents[1]


def test_without_the_papers_tagger_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path / "cache"))
    place = planted_workspace(tmp_path / "w", segments=())
    status = main(["experiment", "run", str(place.path), "--preset", "paper", "--build-features"])
    said = capsys.readouterr().err.strip()
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "the weights jynet are not installed" in said
    assert "hitcore weights" in said
    assert not list(place.features.glob("*"))


def test_the_papers_preset_goes_from_a_demo_to_results_with_imported_weights(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path / "cache"))
    assert main(["demo", "create", str(tmp_path / "w"), "--songs", "20"]) == 0
    source = str(shared / "reference" / "hsp_cnn")
    assert main(["weights", "import", "jynet", source]) == 0
    arguments = ["--preset", "paper", "--rows", "j", "--folds", "3", "--epochs", "1",
                 "--grid", "one", "--seeds", "1", "--workers", "1", "--build-features"]  # fmt: skip
    capsys.readouterr()
    assert main(["experiment", "run", str(tmp_path / "w"), *arguments]) == 0
    told = capsys.readouterr().out
    for words in ("tagger: jynet", "pairs: explicit", "clips: attention"):
        assert words in told
    results = load_results(Workspace.open(tmp_path / "w"))
    assert results.rows == ["j"]
    assert results.folds_of("j")["fold"].tolist() == [0, 1, 2]
    assert set(results.history["kept"]) == {True}, "of one epoch each, the first is kept"
    names = load_model(next((tmp_path / "w" / "runs").glob("[!.]*/model.safetensors"))).spec
    assert names.tagger == "jynet"
    assert len(names.tag_names) == 50


def test_a_store_takes_the_weights_of_an_attention_and_knows_them_again(tmp_path: Path) -> None:
    shipped = ASSETS / f"{attention.DEFAULT_WEIGHTS}.safetensors"
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(shipped.read_bytes())
    mine, named = (
        FeatureConfig(segment=f"attention:{name}") for name in (copy, attention.DEFAULT_WEIGHTS)
    )
    assert mine.fingerprint != named.fingerprint != FeatureConfig(segment="attention").fingerprint
    found = weights.load(str(copy))
    tensors = {key: np.array(value) for key, value in found.tensors.items()}
    first = sorted(tensors)[0]
    tensors[first] = tensors[first] * 2
    before = mine.fingerprint
    weights.save(copy, tensors, {**found.metadata})
    assert mine.fingerprint != before
    config = ExperimentConfig(segment=mine.segment)
    assert config.features_of(variant("c")) == config.features_of(variant("c-attention"))
    assert config.features_of(variant("a")).segment == "middle"
    with pytest.raises(ParameterError, match="attention:WEIGHTS"):
        FeatureConfig(segment="loudest")
    with pytest.raises((WeightsError, ParameterError)):
        _ = FeatureConfig(segment="attention:nothing-of-this-name").fingerprint


def test_options_reach_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = planted_workspace(tmp_path / "w", segments=("repetition",))
    arguments = ["--rows", "tags", "--folds", "3", "--epochs", "1", "--grid", "one"]
    main(["experiment", "run", str(place.path), *arguments, "--seeds", "2", "--workers", "1",
          "--pairs", "explicit", "--tagger", "musicnn-mtt", "--json"])  # fmt: skip
    lines = json.loads(capsys.readouterr().out)
    assert [(line["fold"], line["repeat"]) for line in lines] == [
        (fold, seed) for fold in range(3) for seed in range(2)
    ]
    configs = [json.loads(p.read_text()) for p in place.runs.glob("[!.]*/config.json")]
    assert {one["training"]["pairing"] for one in configs} == {"explicit"}
    main(["experiment", "show", str(place.path)])
    told = capsys.readouterr().out
    assert "tagger: musicnn-mtt" in told
    assert "clips: repetition" in told
    assert main(["experiment", "run", str(place.path), *arguments, "--pairs", "all"]) == 2
    assert "explicit" in capsys.readouterr().err
    assert FeatureStore(place, FeatureConfig()).index()["status"].eq("ok").all()

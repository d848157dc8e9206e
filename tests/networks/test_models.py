"""The published model from its checkpoint, number by number, and models of ours from files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from hitcore import weights
from hitcore.errors import ParameterError, WeightsError
from hitcore.evaluation.percentiles import Reference
from hitcore.networks.hitnet import HitCNN, HitNet, TagDNN, initialise, leaky
from hitcore.networks.models import HitModel, ModelSpec, load_model, save_model

TAGS = ("loud", "quiet", "fast")


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference folder, its checkpoint imported into a cache of this module."""
    folder = shared / "reference" / "hsp_cnn"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HITCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        weights.import_local("kkbox-ret30", folder)
        weights.import_local("jynet", folder)
        yield folder


@pytest.fixture
def sample(published: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The published sample: the mel spectrogram of one song, and its tags."""
    mel = torch.tensor(np.load(published / "test_data/xte.npy"), dtype=torch.float32)
    tags = torch.tensor(np.load(published / "test_data/tgte.jynet.npy"), dtype=torch.float32)
    return mel, tags


def near(value: torch.Tensor | np.ndarray | float, expected: float) -> None:
    assert float(np.asarray(value).item()) == pytest.approx(expected, rel=1e-5)


def test_published_sample(sample: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = load_model("kkbox-ret30")
    assert isinstance(model, HitNet)
    with torch.inference_mode():
        output = model(*sample)
    near(output.audio_score, -0.11945194)
    near(output.tag_score, 0.95536727)
    near(model.share(output.score), 0.0016162578)
    near(output.frame_scores.mean(), -0.11945194)


def test_trained_mix(sample: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = load_model("kkbox-ret30", mix="trained")
    with torch.inference_mode():
        output = model(*sample)
    near(output.score, 0.6329215)
    near(output.score, 0.3 * float(output.audio_score) + 0.7 * float(output.tag_score))
    near(model.share(output.score), 0.0263042)


def test_activations_of_every_layer(
    published: Path, sample: tuple[torch.Tensor, torch.Tensor]
) -> None:
    expected = np.load(published / "sample_activations.npz")
    model = load_model("kkbox-ret30")
    mel, tags = sample
    audio, tag = model.audio, model.tag
    found = {}
    with torch.inference_mode():
        x = found["conv2d"] = leaky(audio.conv1(mel))
        x = found["max_pooling2d"] = functional.max_pool1d(x, 2)
        x = found["conv2d_1"] = leaky(audio.conv2(x))
        x = found["max_pooling2d_1"] = functional.max_pool1d(x, 2)
        x = found["conv2d_2"] = leaky(audio.conv3(x))
        x = found["conv2d_3"] = leaky(audio.conv4(x))
        found["conv2d_4"] = leaky(audio.conv5(x))
        y = found["dense1"] = leaky(tag.dense1(tags))
        y = found["dense2"] = leaky(tag.dense2(y))
        y = found["dense3"] = leaky(tag.dense3(y))
        found["logits_tag"] = leaky(tag.dense4(y))
        frame_scores = audio.frame_scores(mel)
    names = {key.removeprefix("act.") for key in expected.files if key.startswith("act.")}
    assert names == found.keys()
    for name, activation in found.items():
        theirs = expected[f"act.{name}"]
        ours = activation.numpy()
        if ours.ndim == 3:
            ours = ours.transpose(0, 2, 1)[:, None]
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(frame_scores, expected["emb"][0, :, :, 0], rtol=1e-4, atol=1e-6)


def test_spec_of_the_published_model(published: Path) -> None:
    spec = load_model("kkbox-ret30").spec
    assert (spec.mel, spec.n_frames, spec.tagger) == ("release", 323, "jynet")
    assert list(spec.tag_names) == weights.load("jynet").metadata["tag_names"]
    assert "KKBOX" in spec.provenance
    assert not spec.demo


def test_no_dropout_in_a_loaded_model(sample: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = load_model("kkbox-ret30")
    assert not any(module.training for module in model.modules())
    with torch.inference_mode():
        assert torch.equal(model(*sample).score, model(*sample).score)


def test_arguments_are_checked(published: Path) -> None:
    with pytest.raises(ParameterError, match="allowed are published, trained"):
        load_model("kkbox-ret30", mix="average")
    with pytest.raises(ParameterError, match="no weights are named 'nix'; known are musicnn"):
        load_model("nix")
    with pytest.raises(WeightsError, match="jynet is no hit model"):
        load_model("jynet")


def test_absent_checkpoint_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"hitcore weights fetch kkbox-ret30.*import"):
        load_model("kkbox-ret30")


# --- models of ours ------------------------------------------------------------------------------


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(
        "ours",
        audio="HitCNN",
        mel="paper",
        n_mels=8,
        n_frames=32,
        tagger="musicnn-mtt",
        tag_names=TAGS,
        tag_weights=(0.2, 0.7),
        title="Two folds",
        trained_on="synthetic songs",
        licence="MIT",
        demo=True,
    )


@pytest.fixture
def folds(spec: ModelSpec) -> list[HitNet]:
    return [
        HitNet(
            initialise(HitCNN(n_mels=8, n_frames=32), seed),
            initialise(TagDNN(n_tags=3), seed),
            tag_weight=weight,
        ).eval()
        for seed, weight in enumerate(spec.tag_weights)
    ]


def test_models_of_several_folds_come_back(
    tmp_path: Path, spec: ModelSpec, folds: list[HitNet]
) -> None:
    run = tmp_path / "run"
    reference = Reference(np.array([0, 1]), np.array([0.3, 0.1]), np.array([1e-3, 1e-4]))
    save_model(run / "model.safetensors", folds, spec, reference)
    model = load_model(run)
    assert isinstance(model, HitModel)
    assert model.spec == spec
    assert model.reference is not None
    np.testing.assert_allclose(model.reference.score, [0.3, 0.1], rtol=1e-7)
    np.testing.assert_array_equal(model.reference.hit_score, [1e-3, 1e-4])
    mel, tags = torch.randn(5, 8, 32), torch.rand(5, 3)
    with torch.inference_mode():
        alone = torch.stack([net(mel, tags).score for net in folds])
        torch.testing.assert_close(model.fold_scores(mel, tags), alone)
        output = model(mel, tags)
        torch.testing.assert_close(output.score, alone.mean(dim=0))
        assert output.frame_scores.shape == folds[0](mel, tags).frame_scores.shape
    with pytest.raises(ParameterError, match="mix is for kkbox-ret30 only"):
        load_model(run, mix="trained")


def test_a_file_in_assets_is_loaded_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, folds: list[HitNet]
) -> None:
    monkeypatch.setattr(weights, "ASSETS", tmp_path)
    save_model(tmp_path / "demo-x.safetensors", folds, spec)
    assert load_model("demo-x").spec.demo
    row = weights.status()[-1]
    assert (row.name, row.kind, row.title) == ("demo-x", "hit model", "Two folds")


def test_tags_or_audio_alone(tmp_path: Path) -> None:
    alone = {
        "tags": ModelSpec("t", audio=None, mel=None, tag_names=TAGS),
        "audio": ModelSpec("a", audio="LinearRater", mel="paper", n_mels=4, n_frames=6),
    }
    inputs = {"tags": (None, torch.rand(2, 3)), "audio": (torch.rand(2, 4, 6), None)}
    for kind, model_spec in alone.items():
        file = tmp_path / f"{kind}.safetensors"
        save_model(file, [model_spec.build()], model_spec)
        output = load_model(file)(*inputs[kind])
        assert (output.audio_score is None) == (kind == "tags")
        assert (output.tag_score is None) == (kind == "audio")


def test_bad_model_files_are_told(tmp_path: Path, spec: ModelSpec, folds: list[HitNet]) -> None:
    file = tmp_path / "m.safetensors"
    with pytest.raises(ParameterError, match="1 networks are given, the specification has 2"):
        save_model(file, folds[:1], spec)
    broken = initialise(TagDNN(3), 0)
    broken.dense2.weight.data[3, 4] = float("nan")
    with pytest.raises(WeightsError, match=r"tensor tag\.dense2\.weight holds NaN"):
        save_model(file, [HitNet(folds[0].audio, broken), folds[1]], spec)
    assert not file.exists()
    save_model(file, folds, spec)
    found = weights.read(file)
    changes = {
        "tensor audio.conv1.weight is missing": (("audio.conv1.weight", None), {}),
        "tensor tag.dense1.bias is float32": (("tag.dense1.bias", np.zeros(3, np.float32)), {}),
        "specification cannot be used .*HitTransformer": ((), {"audio": "HitTransformer"}),
        "specification cannot be used .*another-mel": ((), {"mel": "another-mel"}),
        "specification cannot be used .*tag_weight": ((), {"tag_weights": [0.1, 1.5]}),
    }
    for message, (tensor, entries) in changes.items():
        tensors = dict(found.tensors)
        if tensor and tensor[1] is None:
            del tensors[tensor[0]]
        elif tensor:
            tensors[tensor[0]] = tensor[1]
        metadata = json.loads(json.dumps(found.metadata))
        metadata["spec"].update(entries)
        weights.save(file, tensors, metadata)
        with pytest.raises(WeightsError, match=message):
            load_model(file)

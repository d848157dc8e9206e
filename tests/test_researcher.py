"""Ten things that a researcher does with hitcore, each in at most ten lines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hitcore
from hitcore.audio import encode
from hitcore.errors import ParameterError, WeightsError
from hitcore.featurestore.compute import features_of
from hitcore.featurestore.sounds import Sound
from hitcore.learning import Member, fit_member
from hitcore.learning.listwise import LIST_LOSSES
from hitcore.networks.hitnet import AudioNetwork
from hitcore.networks.registry import AUDIO_NETWORKS
from hitcore.objects import name_of_object
from tests.learning.test_stack import N_FRAMES, N_MELS, planted

FEW = hitcore.TrainConfig(max_epochs=3, patience=9)


def song(seconds: float = 40.0, seed: int = 0) -> hitcore.Waveform:
    rng = np.random.default_rng(seed)
    return hitcore.Waveform(rng.normal(0, 0.1, int(22_050 * seconds)).astype(np.float32), 22_050)


class TwoTags:
    """A tagger that hears how loud a sound is."""

    name = "two-tags"
    tag_names = ("loud", "quiet")

    def tag(self, waveform: hitcore.Waveform) -> hitcore.Taggram:
        loud = np.float32(np.abs(waveform.samples).mean())
        return hitcore.Taggram(np.array([[loud, 1 - loud]]), self.tag_names, np.zeros(1))


def first_ten_seconds(waveform: hitcore.Waveform) -> hitcore.Highlight:
    """A highlight method: what a listener hears before pressing skip."""
    return hitcore.Highlight(0.0, min(10.0, waveform.duration_s), "first ten seconds")


class Mean(nn.Module):
    """A network: a line over the mean spectrum and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(N_MELS + 5, 1)

    def forward(self, mel: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
        return self.line(torch.cat([mel.mean(-1), tags], dim=1)).squeeze(1)


def test_1_load_and_score_a_batch() -> None:
    model = hitcore.load_model("demo-c")
    clips = torch.stack([hitcore.features.log_mel(song(30, s), PAPER) for s in range(3)])
    scores = model(hitcore.features.fit_frames(clips)).score
    assert scores.shape == (3,)
    assert len(set(scores.tolist())) == 3


def test_2_train_a_siamese_on_own_arrays() -> None:
    data = planted(200)
    model = hitcore.fit(data, sampler="ab", network="cnn+tags", config=replace(FEW, max_epochs=12))
    scores = model(data.mel, data.tags).score.detach()
    assert hitcore.evaluate(data.hit_scores, scores).spearman > 0.3
    assert model.reference is not None
    assert len(model.reference.score) == 20


def test_3_own_sampler() -> None:
    data = planted()
    decade = np.arange(data.n_songs) // 20
    rule = hitcore.GivenPairs(decade[:, None] == decade, "same decade")
    one = hitcore.fit(data, sampler=rule, config=FEW)
    same = hitcore.fit(data, sampler=lambda songs: rule, config=FEW)
    torch.testing.assert_close(one(data.mel).score, same(data.mel).score)
    everyone = hitcore.GivenPairs(np.ones((data.n_songs, data.n_songs)), "any")
    naive = hitcore.fit(data, sampler="naive", config=replace(FEW, dropout=0.0))
    as_naive = hitcore.fit(data, sampler=everyone, config=replace(FEW, dropout=0.0))
    torch.testing.assert_close(as_naive(data.mel).score, naive(data.mel).score, atol=1e-4, rtol=0)


def test_4_own_loss() -> None:
    def softmax_loss(score: torch.Tensor, y: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        return -(y.softmax(0) * score.log_softmax(0)).sum()

    data = planted()
    model = hitcore.fit(data, loss=softmax_loss, network="tags", config=FEW)
    assert model(None, data.tags).score.std() > 0


def test_5_own_network() -> None:
    data = planted()
    model = hitcore.fit(data, network=Mean(), sampler="ab", config=FEW)
    assert model(data.mel, data.tags).score.shape == (data.n_songs,)
    with pytest.raises(ParameterError, match="network of your own"):
        hitcore.save_model("mine.safetensors", model.networks, model.spec)


def test_6_own_highlight_in_analyse_and_in_features(tmp_path: Path) -> None:
    report = hitcore.analyse(song(), models=[], highlight=first_ten_seconds, tagger=TwoTags())
    assert (report.highlight.start, report.highlight.end) == (0.0, 10.0)
    config = hitcore.featurestore.FeatureConfig(
        segment=name_of_object(first_ten_seconds), tagger=OWN_TAGGER
    )
    (features,) = features_of(Sound(song(), "hash"), [config])
    assert features["clip"].tolist() == [0.0, 10.0]
    assert features["tags"].shape == (2,)
    assert config.fingerprint != replace(config, segment="middle").fingerprint


def test_7_own_tagger() -> None:
    report = hitcore.analyse(song(), models=[], highlight="middle", tagger=TwoTags())
    assert report.to_dict()["tagger"] == "two-tags"
    assert [name for name, _ in report.tags] == ["quiet", "loud"]
    by_name = hitcore.load_tagger(OWN_TAGGER)
    assert by_name.tag(song()).tag_names == TwoTags.tag_names


def test_8_metrics_with_ties() -> None:
    truth, score = [3.0, 1.0, 1.0, 0.0], [0.5, 0.5, 0.1, 0.0]
    assert hitcore.evaluation.ndcg_at(truth, score, top=1) == pytest.approx(2 / 3)
    assert 0 < hitcore.evaluate([3, 2, 1, 1, 0], [5, 5, 4, 1, 0], top=0.6).spearman < 1


def test_9_compare_two_sets_of_predictions_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((10, 200))
    near, far = truth + rng.normal(0, 0.3, truth.shape), truth + rng.normal(0, 1, truth.shape)
    one = [hitcore.evaluate(t, s).ndcg for t, s in zip(truth, near, strict=True)]
    other = [hitcore.evaluate(t, s).ndcg for t, s in zip(truth, far, strict=True)]
    found = hitcore.evaluation.paired_test(one, other)
    assert found.p_value < 0.05
    assert found.low > 0


def test_10_a_model_trained_here_used_in_analyse(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = rng.random((60, 2))
    data = hitcore.TrainingData(None, tags, y=tags[:, 0], hit_scores=tags[:, 0])
    model = hitcore.fit(data, network="tags", tag_names=TwoTags.tag_names, tagger="two-tags")
    (score,) = hitcore.analyse(song(), models=[model], tagger=TwoTags()).scores
    hitcore.save_model(tmp_path / "mine.safetensors", model.networks, model.spec, model.reference)
    again = hitcore.load_model(tmp_path / "mine.safetensors")
    assert hitcore.analyse(song(), models=[again], tagger=TwoTags()).scores[0].score == score.score


PAPER = hitcore.features.PAPER_MEL
OWN_TAGGER = "tests.test_researcher:TwoTags"


class LoudestBin(AudioNetwork):
    """A network in one file, which one line makes known."""

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.25) -> None:
        super().__init__(n_mels, n_frames, dropout)
        self.line = nn.Linear(n_mels, 1)

    def _frame_scores(self, mel: torch.Tensor) -> torch.Tensor:
        return self.line(mel.mT).squeeze(-1)


def test_a_network_is_added_by_its_class_and_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(AUDIO_NETWORKS, "loudest", LoudestBin)
    data = planted()
    assert tuple(data.mel.shape[1:]) == (N_MELS, N_FRAMES)
    model = hitcore.fit(data, network="loudest+tags", config=FEW)
    hitcore.save_model(tmp_path / "it.safetensors", model.networks, model.spec)
    again = hitcore.load_model(tmp_path / "it.safetensors")
    torch.testing.assert_close(again(data.mel, data.tags).score, model(data.mel, data.tags).score)


def test_what_is_no_part_is_refused_in_one_line() -> None:
    data = planted()
    for wrong in ({"network": "cnn+cnn"}, {"loss": "hinge"}, {"sampler": "best"}):
        with pytest.raises(ParameterError, match="allowed"):
            hitcore.fit(data, **wrong)
    with pytest.raises(ParameterError, match="no tagger"):
        hitcore.analyse(song(), models=[], tagger=object())
    with pytest.raises(ParameterError, match="outside the song"):
        hitcore.find_highlight(song(), lambda w: hitcore.Highlight(0.0, 99.0, "too long"))
    with pytest.raises(ParameterError, match="cannot be found"):
        hitcore.find_highlight(song(), "nowhere:method")
    with pytest.raises(ParameterError, match="carry gradients"):
        hitcore.Waveform(torch.zeros(9, requires_grad=True), 8000)
    with pytest.raises(ParameterError, match="carries gradients"):
        hitcore.evaluate([0.0, 1.0], torch.zeros(2, requires_grad=True))
    with pytest.raises((ParameterError, WeightsError)):
        hitcore.load_tagger("nothing-of-the-kind")
    assert encode(song(1.0))


def test_a_loss_is_added_by_its_function_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(score, y, gain, weight, top, temperature):
        present = torch.ones_like(score) if weight is None else weight
        return ((score - 20.0).square() * present).sum(-1) / present.sum(-1)

    monkeypatch.setitem(LIST_LOSSES, "spread", spread)
    data = planted()
    member = Member(range(40), range(40, 60), sampler="naive", rank_weight=1.0, seed=1)
    config = replace(FEW, objective="spread", max_epochs=8, dropout=0.0)
    history = fit_member(data, member, config).history
    assert history[-1].train_loss < history[0].train_loss
    assert history[0].train_loss > 1, "scores start at the mean of y, far from 20"

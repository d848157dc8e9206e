"""Why: contributions sum to what they explain, and are what closed forms and all orders say."""

import itertools
import math

import numpy as np
import pytest
import torch

from hitcore.analysis.why import (
    band_of_bins,
    explain_bands,
    explain_moments,
    explain_tags,
    points_between,
    tag_changes,
)
from hitcore.errors import ParameterError
from hitcore.evaluation.percentiles import Reference
from hitcore.features import MEL_PRESETS
from hitcore.networks.hitnet import initialise
from hitcore.networks.models import HitModel, ModelSpec, load_model


def model_of(
    audio: str | None, tags: tuple[str, ...], folds: int = 2, mix: str = "convex"
) -> HitModel:
    """Two networks with weights that make a difference."""
    spec = ModelSpec(
        "m", audio=audio, mel="paper" if audio else None, tagger="t" if tags else None,
        tag_names=tags, tag_weights=(0.3, 0.6)[:folds], mix=mix,
    )  # fmt: skip
    networks = [initialise(spec.build(fold), fold) for fold in range(folds)]
    for number, network in enumerate(networks):
        noise = torch.Generator().manual_seed(number)
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=noise)
    return HitModel(
        networks,
        spec,
        Reference(
            np.repeat(np.arange(folds), 50),
            np.tile(np.linspace(-1, 1, 50), folds),
            np.ones(50 * folds),
        ),
    )


def spectrogram(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (
        3
        * torch.rand(1, 128, 323, generator=generator)
        * torch.rand(1, 1, 323, generator=generator)
    )


def exact_shapley(rate, here: np.ndarray, base: np.ndarray) -> np.ndarray:
    """By the definition: every set of the other features."""
    n = len(here)
    worth = {}
    for chosen in itertools.product([False, True], repeat=n):
        worth[chosen] = rate(np.where(chosen, here, base))
    values = np.zeros(n)
    for i in range(n):
        for chosen, before in worth.items():
            if not chosen[i]:
                size = sum(chosen)
                weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
                values[i] += weight * (worth[(*chosen[:i], True, *chosen[i + 1 :])] - before)
    return values


def test_tags_sum_to_the_difference_for_a_shipped_model() -> None:
    model = load_model("demo-j")
    generator = np.random.default_rng(1)
    here, typical = generator.uniform(0, 0.8, 50), generator.uniform(0, 0.2, 50)
    why = explain_tags(model, here, typical, n_orders=10)
    assert abs(why.difference) > 1e-3
    assert why.values.sum() == pytest.approx(why.difference, abs=1e-4)
    assert why.values.sum() == pytest.approx(tag_changes(model, here, typical).mean(), abs=1e-4)
    assert sum(p.value for p in why.largest(8)) + why.rest(8) == pytest.approx(
        why.difference, abs=1e-4
    )


def test_sampled_orders_come_near_all_orders() -> None:
    model = model_of(None, tuple("abcdef"))
    generator = np.random.default_rng(0)
    here, typical = 8 * generator.uniform(0, 1, 6), np.zeros(6)

    def rate(tags: np.ndarray) -> float:
        with torch.inference_mode():
            return float(model(None, torch.tensor(tags[None], dtype=torch.float32)).score)

    exact = exact_shapley(rate, here, typical)
    why = explain_tags(model, here, typical, n_orders=1500)
    assert np.abs(exact).max() > 0.1
    np.testing.assert_allclose(why.values, exact, atol=0.05 * np.abs(exact).max())


def test_a_tag_that_does_not_differ_adds_nothing_and_the_seed_decides() -> None:
    model = model_of(None, tuple("abcd"))
    here, typical = np.array([0.9, 0.3, 0.7, 0.1]), np.array([0.2, 0.3, 0.1, 0.6])
    one, two = (explain_tags(model, here, typical, n_orders=5, seed=7) for _ in range(2))
    assert abs(one.values[1]) < 1e-7 < abs(one.values[0])
    assert one.values.tolist() == two.values.tolist()
    with pytest.raises(ParameterError, match="4 tags"):
        explain_tags(model, here[:3], typical[:3])


def test_tags_of_a_mixed_model_weigh_as_they_are_mixed() -> None:
    model = model_of("HitCNN", ("a", "b"))
    here, typical = np.array([0.9, 0.3]), np.array([0.1, 0.2])
    with torch.inference_mode():
        mel = spectrogram(0)
        scores = [
            float(model(mel, torch.tensor(tags[None], dtype=torch.float32)).score)
            for tags in (here, typical)
        ]
    why = explain_tags(model, here, typical)
    assert why.difference == pytest.approx(scores[0] - scores[1], abs=1e-6)


@pytest.mark.parametrize("audio", ["HitCNN", "InceptionCNN", "LinearRater"])
def test_moments_sum_to_the_audio_score(audio: str) -> None:
    model, mel = model_of(audio, ()), spectrogram(1)
    with torch.inference_mode():
        expected = float(model(mel).score)
    why = explain_moments(model, mel, baseline=0.0)
    assert why.score == pytest.approx(expected, abs=1e-6)
    assert why.values.sum() == pytest.approx(expected, abs=1e-5)
    assert explain_moments(model, mel).values.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("audio", ["HitCNN", "InceptionCNN", "LinearRater"])
def test_bands_sum_to_the_difference(audio: str) -> None:
    model, mel = model_of(audio, ()), spectrogram(2)
    typical = torch.full((128,), 0.7)
    why = explain_bands(model, mel, typical)
    with torch.inference_mode():
        ends = [
            float(model(x).score) for x in (mel, typical[None, :, None].expand_as(mel).contiguous())
        ]
    assert abs(why.difference) > 1e-3
    assert why.difference == pytest.approx(ends[0] - ends[1], abs=1e-6)
    assert why.values.sum() == pytest.approx(why.difference, abs=1e-4)


def test_bands_of_a_linear_rater_are_weight_times_difference() -> None:
    model, mel = model_of("LinearRater", (), folds=1), spectrogram(3)
    typical = torch.linspace(0, 1, 128)
    weight = model.networks[0].audio.conv1.weight.detach()[0, :, 0]
    per_bin = (weight * (mel[0].mean(dim=1) - typical)).double().numpy()
    _, bands = band_of_bins(MEL_PRESETS["paper"])
    expected = np.bincount(bands, per_bin)
    np.testing.assert_allclose(explain_bands(model, mel, typical).values, expected, atol=1e-5)


def test_points_share_out_the_percentile() -> None:
    model = model_of(None, ("a", "b"))
    scores = np.array([0.5, 0.5])
    assert points_between(model, scores, np.array([0.2, 0.2])) == pytest.approx(10, abs=1.5)
    assert points_between(model, scores, np.zeros(2)) == 0


def test_what_a_model_lacks_cannot_be_explained() -> None:
    with pytest.raises(ParameterError, match="audio"):
        explain_bands(model_of(None, ("a",)), spectrogram(0), torch.zeros(128))
    with pytest.raises(ParameterError, match="moments"):
        explain_moments(model_of(None, ("a",)), spectrogram(0))

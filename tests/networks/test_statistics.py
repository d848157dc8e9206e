"""Statistics of the sound, the raters that read them, and model cards."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hitcore import weights
from hitcore.errors import ParameterError, WeightsError
from hitcore.networks.cards import Figure, ModelCard, load_card, write_card
from hitcore.networks.models import load_model
from hitcore.networks.statistics import StatisticsLinear, mel_statistics, sound_statistics


def mel(n: int = 3) -> torch.Tensor:
    return 4 * torch.rand(n, 128, 60, generator=torch.Generator().manual_seed(0))


def test_level_is_taken_out_and_nothing_else() -> None:
    quiet = mel()
    loud = torch.log1p(4 * torch.expm1(quiet))  # 6 dB more power
    assert torch.allclose(mel_statistics(quiet), mel_statistics(loud), atol=1e-4)
    tags = torch.full((3, 2), 0.5)
    both = sound_statistics(quiet, tags), sound_statistics(loud, tags)
    assert torch.allclose(both[1][:, 0] - both[0][:, 0], torch.tensor(4.0).log(), atol=1e-4)


def test_they_are_the_mean_deviation_and_step_of_each_band() -> None:
    given = mel(1)
    power = np.expm1(given[0].double().numpy())
    at_level = np.log1p(power * 2000 / (power / 1e4).sum(axis=0).mean())
    bands = at_level.reshape(32, 4, 60).mean(axis=1)
    expected = np.concatenate(
        [bands.mean(axis=1), bands.std(axis=1, ddof=1), np.abs(np.diff(bands)).mean(axis=1)]
    )
    assert mel_statistics(given)[0].numpy() == pytest.approx(expected, abs=1e-4)


def test_silence_has_statistics_and_wrong_shapes_have_none() -> None:
    assert bool(torch.isfinite(sound_statistics(torch.zeros(1, 128, 9), torch.zeros(1, 4))).all())
    for shape in ((1, 127, 9), (1, 128, 1), (128, 9)):
        with pytest.raises(ParameterError, match="statistics need"):
            mel_statistics(torch.zeros(shape))
    with pytest.raises(ParameterError, match="no frame scores"):
        StatisticsLinear(128, 60).frame_scores(mel())


@pytest.mark.parametrize("name", ["real-clips", "hot100-attributes"])
def test_what_ships_about_real_music(name: str) -> None:
    model, card = load_model(name), load_card(name)
    assert card is not None
    assert weights.packaged()[name].stat().st_size <= 4e6
    assert not model.spec.demo
    assert "research use" in model.spec.licence
    assert model.spec.target_transform is None  # it has no share to give
    assert model.reference is not None
    assert len(model.reference.score) == 522
    assert model.domain is not None
    first = card.evaluation[0]
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value < first.high
    assert f"{first.value:.2f}" in model.spec.measured
    given = torch.rand(4, 128, 323), torch.rand(4, 50)
    output = model(*given)
    assert output.frame_scores is None
    assert torch.allclose(output.score, output.audio_score + output.tag_score, atol=1e-5)
    for nominal in (0.8, 0.9):
        assert model.reference.coverage(nominal) == pytest.approx(nominal, abs=0.03)


def test_cards_are_kept_and_told(tmp_path: Path) -> None:
    card = ModelCard("m", "rates", limits="few songs", evaluation=(Figure("ρ", 0.5, 0.4, 0.6, 9),))
    write_card(card, tmp_path / "m.safetensors")
    assert load_card(tmp_path / "m.safetensors") == card
    text = card.as_markdown()
    assert "## Bias, risks and limitations\n\nfew songs" in text
    assert "- ρ: 0.50 [0.40, 0.60] (n = 9)" in text
    assert "Training data" not in text
    (tmp_path / "m.card.json").write_text("[1]")
    with pytest.raises(WeightsError):
        load_card(tmp_path / "m.safetensors")

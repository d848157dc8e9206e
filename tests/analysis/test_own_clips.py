"""A model's score is that of the kind of clip that it learned from, unless a passage was chosen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hitcore.analysis import analyse
from hitcore.analysis.hearing import model_of
from hitcore.audio import Waveform, encode
from hitcore.features import MEL_PRESETS
from hitcore.networks.models import HitModel, ModelSpec, save_model


@pytest.fixture(scope="module")
def song() -> bytes:
    """A minute whose last third is loud."""
    rng = np.random.default_rng(0)
    samples = (0.01 * rng.normal(size=60 * 22_050)).astype(np.float32)
    samples[40 * 22_050 :] *= 30
    return encode(Waveform(samples, 22_050))


def made(path: Path, highlight: str, seed: int = 0) -> str:
    torch.manual_seed(seed)
    spec = ModelSpec("loud", audio="LinearRater", mel="paper", highlight=highlight)
    save_model(path, [spec.build()], spec)
    return str(path)


def test_each_model_gets_its_own_kind_of_clip(song: bytes, tmp_path: Path) -> None:
    middle = made(tmp_path / "a.safetensors", "middle")
    unknown = made(tmp_path / "b.safetensors", "given")
    report = analyse(song, models=[middle, unknown], highlight=None)
    asked = analyse(song, models=[middle, unknown], highlight="middle")
    by_hand = analyse(song, models=[middle], highlight=(25.0, 55.0))
    assert report.highlight.start > 20, "the loud part is the highlight"
    own, at_highlight = (score.score for score in report.scores)
    assert own != pytest.approx(at_highlight)
    assert own == pytest.approx(asked.scores[0].score, abs=1e-5)
    assert not any("learned from clips" in note for note in (*report.notes, *asked.notes))
    assert by_hand.scores[0].score != pytest.approx(own)
    assert any("learned from clips chosen by middle" in note for note in by_hand.notes)


def test_a_model_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    n_frames = 323
    mel = torch.ones(1, MEL_PRESETS["paper"].n_mels, n_frames)

    def score(model: HitModel) -> float:
        return float(model(mel).score[0].detach())

    before = score(model_of(made(file, "middle", seed=1)))
    assert model_of(str(file)) is model_of(str(file))
    made(file, "middle", seed=2)
    assert score(model_of(str(file))) != before

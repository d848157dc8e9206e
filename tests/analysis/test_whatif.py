"""What if: nothing moved is the headline, and what is moved counts as the network counts it."""

import numpy as np
import pytest
import torch

from hitcore.analysis.curve import HitCurve, SongMels, hit_curve
from hitcore.analysis.tagstretches import TagStretches
from hitcore.analysis.whatif import changed_curve, song_tags, what_if
from hitcore.audio import Waveform
from hitcore.errors import ParameterError
from hitcore.networks.models import HitModel, load_model


@pytest.fixture(scope="module")
def known() -> tuple[HitModel, HitCurve]:
    model = load_model("demo-j")
    generator = np.random.default_rng(5)
    noise = generator.normal(0, 0.1, 50 * 22_050) * np.linspace(0.2, 1.5, 50 * 22_050)
    tags = generator.uniform(0.02, 0.6, (6, 50))
    heard = TagStretches(model.spec.tag_names, np.linspace(0, 46, 6), tags, 3.0, 50.0)
    song = SongMels(Waveform(noise.astype(np.float32), 22_050))
    return model, hit_curve(model, song, heard)


def test_nothing_moved_gives_the_headline(known: tuple[HitModel, HitCurve]) -> None:
    model, curve = known
    now = song_tags(curve)
    for tags in (None, {}, dict(list(now.items())[:8])):
        found = what_if(model, curve, tags)
        assert found.score == curve.song_score
        assert list(found.fold_scores) == curve.song_fold_scores.tolist()
        rank = model.reference.percentile_rank(curve.song_fold_scores)
        assert (found.percentile, found.low, found.high) == (rank.percentile, rank.low, rank.high)


def test_a_passage_is_its_window_of_the_curve(known: tuple[HitModel, HitCurve]) -> None:
    model, curve = known
    found = what_if(model, curve, start=float(curve.starts[7]))
    assert found.score == curve.scores[7]
    assert list(found.fold_scores) == curve.fold_scores[:, 7].tolist()


def test_a_moved_tag_is_rated_anew_in_every_window(known: tuple[HitModel, HitCurve]) -> None:
    model, curve = known
    name = curve.tags.tag_names[3]
    value = min(1.0, song_tags(curve)[name] + 0.3)
    changed = changed_curve(model, curve, {name: value})
    assert song_tags(changed)[name] == pytest.approx(value, abs=1e-6)
    tags = curve.tags.over(curve.starts[4:5])
    tags[0, 3] += value - song_tags(curve)[name]
    network = model.networks[2]
    with torch.inference_mode():
        tag = float(network.tag(torch.tensor(tags, dtype=torch.float32)))
    expected = (1 - network.tag_weight) * curve.fold_audio[2, 4] + network.tag_weight * tag
    assert changed.fold_scores[2, 4] == pytest.approx(expected, abs=1e-5)
    assert what_if(model, curve, {name: value}).score != curve.song_score


@pytest.mark.parametrize(
    ("tags", "words"), [({"no such tag": 0.5}, "no such tag"), ({"guitar": 1.5}, "0 to 1")]
)
def test_what_cannot_be(known: tuple[HitModel, HitCurve], tags: dict, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        what_if(*known, tags)


def test_a_model_of_audio_alone_has_no_tags_to_move() -> None:
    model = load_model("demo-c")
    curve = hit_curve(model, SongMels(Waveform(np.zeros(22_050 * 31, np.float32), 22_050)))
    with pytest.raises(ParameterError, match="no tags"):
        what_if(model, curve, {"guitar": 0.5})

"""Songs that cannot be scored as they are: silent ones, and those whose file is odd."""

import numpy as np
import pytest

from hitcore import weights
from hitcore.analysis import analyse
from hitcore.analysis.batches import as_text
from tests.audio.making import lying, mp3
from tests.sounds import encoded, music


@pytest.fixture(autouse=True)
def _tagger() -> None:
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("needs musicnn: hitcore weights fetch musicnn-mtt")


def test_a_silent_song_is_not_placed() -> None:
    silent = encoded("wav", music(4, 22_050) * np.float32(1e-6), 22_050)
    report = analyse(silent, models=["demo-j"], highlight="middle", demo_song=True)
    assert "silent" in report.flags
    (score,) = report.scores
    assert (score.percentile, score.share, score.in_domain) == (None, None, False)
    assert score.note == "There is no percentile: the song is silent."
    loud = encoded("wav", music(4, 22_050), 22_050)
    (score,) = analyse(loud, models=["demo-j"], highlight="middle", demo_song=True).scores
    assert score.percentile is not None


def test_what_was_odd_about_the_file_stands_in_the_report() -> None:
    report = analyse(lying(mp3(music(4)), 7), models=[], highlight="middle", name="x\udce9")
    assert any("the header speaks of 7 frames" in note for note in report.notes)
    assert report.name == "x\ufffd"
    as_text([report]).encode("utf-8")

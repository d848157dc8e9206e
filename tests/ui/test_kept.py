"""A report that was kept is the report that was made, to the last bit, or is made again."""

import json

import numpy as np
import pytest

from hitcore.analysis import song as analysis
from hitcore.analysis.song import SongReport
from hitcore.audio import Waveform, encode
from hitcore.taggers import Taggram
from ui.analyse import kept


class SteadyTagger:
    def __init__(self, name: str) -> None:
        self.name = name

    def tag(self, waveform: Waveform) -> Taggram:
        values = np.random.default_rng(0).random((4, 3), dtype=np.float32)
        return Taggram(values, ("a", "b", "c"), np.arange(4.0), 3.0)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> SongReport:
    monkeypatch.setattr(analysis, "load_tagger", SteadyTagger)
    noise = np.random.default_rng(1).normal(0, 0.1, 8000 * 40).astype(np.float32)
    return analysis.analyse(encode(Waveform(noise, 8000)), ["demo-i"], "middle", name="song")


def test_nothing_is_lost(report: SongReport) -> None:
    again = kept.report_from(kept.document_of(report, "key"), "key", None)
    assert again is not None
    assert json.dumps(again.to_dict()) == json.dumps(report.to_dict())
    for mine, theirs in (
        (again.envelope, report.envelope),
        (again.taggram.activations, report.taggram.activations),
        (again.scores[0].frame_scores, report.scores[0].frame_scores),
    ):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype


def test_what_something_else_decides_is_made_again(report: SongReport) -> None:
    assert kept.report_from(kept.document_of(report, "key"), "other", None) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"flags"', '"flogs"'),
        lambda text: text.replace('"<f4"', '"|O"'),
        lambda text: text.replace('"data": "', '"data": "AAAA'),
    ],
)
def test_what_is_damaged_is_made_again(report: SongReport, damage: object) -> None:
    text = kept.document_of(report, "key")
    broken = damage(text)  # type: ignore[operator]
    assert broken != text
    assert kept.report_from(broken, "key", None) is None

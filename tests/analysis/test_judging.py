"""What a score has earned: real songs first, and no percentile for what is no song."""

import json

import numpy as np
import pytest

from hitcore import weights
from hitcore.analysis import SongReport, analyse
from hitcore.analysis.judging import CHARTED, DEMO, REAL, is_demo_song, judge
from hitcore.analysis.song import default_models
from hitcore.audio import Waveform, encode
from hitcore.files import ASSETS
from hitcore.networks.models import load_model

RATE = 22_050
TIME = np.arange(31 * RATE) / RATE
CLICK = np.sin(2 * np.pi * 1000 * TIME[:1100]) * np.exp(-TIME[:1100] * 100)
ENTRY = {"model", "score", "song_score", "share", "percentile", "low", "high", "in_domain"}
ENTRY |= {"reference", "chance", "measured", "note"}


@pytest.fixture(scope="module", autouse=True)
def _tagger() -> None:
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("needs musicnn: hitcore weights fetch musicnn-mtt")


def metronome() -> np.ndarray:
    track = np.zeros(len(TIME))
    for beat in range(60):
        start = round(beat * RATE / 2)
        track[start : start + len(CLICK)] += 0.8 * CLICK
    return track


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(len(TIME)),
        0.5 * np.sin(2 * np.pi * 440 * TIME),
        0.2 * np.random.default_rng(0).standard_normal(len(TIME)),
        metronome(),
    ],
    ids=["silence", "440 Hz tone", "white noise", "metronome"],
)
def test_what_is_no_song_has_no_percentile(samples: np.ndarray) -> None:
    sound = encode(Waveform(samples.astype(np.float32), RATE))
    for entry in analyse(sound, [REAL, CHARTED], "middle").to_dict()["scores"]:
        assert entry["in_domain"] is False
        unearned = ("percentile", "low", "high", "share", "chance", "percentile_rank")
        assert [entry[key] for key in unearned] == [None] * len(unearned)
        assert entry["note"].startswith("There is no percentile")
        assert entry["reference"].startswith("522 real clips")


@pytest.fixture(scope="module")
def demo_report() -> SongReport:
    songs = json.loads((ASSETS / "demo_songs" / "songs.json").read_text(encoding="utf-8"))
    return analyse(ASSETS / "demo_songs" / songs[0]["file"])


def test_real_models_come_first_and_the_demo_speaks_of_demo_songs_alone(
    demo_report: SongReport,
) -> None:
    names = [score.model for score in demo_report.scores]
    assert names == [*default_models()[0], DEMO]
    assert names[:2] == [REAL, CHARTED]
    assert is_demo_song(demo_report.content_hash)
    assert DEMO not in default_models()[0]
    model = load_model(DEMO)
    folds = np.zeros(10)
    unasked = judge(model, folds, None, demo_song=False)
    assert (unasked.rank, unasked.in_domain) == (None, False)
    assert "synthetic" in unasked.note
    assert judge(model, folds, None, demo_song=True).rank is not None


def test_numbers_of_one_song_agree_with_each_other(demo_report: SongReport) -> None:
    for score in demo_report.scores:
        entry = score.to_dict()
        assert set(entry) >= ENTRY
        assert entry["percentile"] is not None
        assert 0 <= entry["low"] <= entry["percentile"] <= entry["high"] <= 1
        assert entry["percentile"] == entry["percentile_rank"]["percentile"]
        assert entry["low"] == entry["percentile_rank"]["low"]
        assert entry["note"] == ""
        assert score.curve is not None
        model = load_model(score.model)
        assert model.reference is not None
        again = model.reference.percentile_rank(score.curve.song_fold_scores)
        assert entry["percentile"] == again.percentile
        assert entry["chance"] is None  # no model that ships has earned a probability
        assert (entry["share"] is None) == (score.model in (REAL, CHARTED))


def test_a_higher_score_never_has_a_lower_percentile() -> None:
    reference = load_model(REAL).reference
    assert reference is not None
    found = [reference.percentile_rank(np.full(10, at)) for at in np.linspace(-0.2, 1, 40)]
    for name in ("percentile", "low", "high"):
        values = [getattr(rank, name) for rank in found]
        assert values == sorted(values)
    assert found[0].percentile == 0
    assert found[-1].percentile == 1


def test_the_published_network_is_placed_among_the_clips() -> None:
    if not weights.is_installed("kkbox-ret30"):
        pytest.skip("the published network is not installed: hitcore weights fetch kkbox-ret30")
    reference = load_model("kkbox-ret30").reference
    assert reference is not None
    middle = float(np.median(reference.score))
    assert reference.percentile_rank([middle]).percentile == pytest.approx(0.5, abs=0.01)
    assert load_model("kkbox-ret30", mix="trained").reference is None

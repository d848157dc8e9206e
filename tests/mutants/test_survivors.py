"""One sharp test for each mutation that once survived all others (`benchmarks/mutants.py`)."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from hitcore.analysis.hearing import mel_of, tags_of
from hitcore.audio import Waveform
from hitcore.evaluation.percentiles import Reference
from hitcore.experiments import ExperimentConfig, variant
from hitcore.experiments.runs import Run, _member
from hitcore.experiments.variants import GridPoint
from hitcore.features import MEL_PRESETS, PAPER_MEL, RELEASE_MEL
from hitcore.highlights.repetition import RepetitionConfig, loudness_weight
from hitcore.highlights.windows import Evidence, best_windows
from hitcore.learning import Member, TrainingData
from hitcore.learning.batches import Rules
from hitcore.plays import hit_scores
from hitcore.taggers import Taggram

# --- what reaches a network ----------------------------------------------------------------------


def members(point: GridPoint, fold: int = 0, repeat: int = 0, row: str = "j") -> Member:
    """The member that a run trains at a grid point."""
    songs = np.arange(30)
    split = SimpleNamespace(train=songs[:20], valid=songs[20:25], test=songs[25:])
    bench = SimpleNamespace(config=ExperimentConfig(), songs=SimpleNamespace(folds=[split] * 4))
    return _member(bench, Run("x", variant(row), fold, repeat, {}), point)  # type: ignore[arg-type]


def test_margin_and_weights_of_a_grid_point_reach_its_member() -> None:
    member = members(GridPoint(margin=0.7, rank_weight=0.9, tag_weight=0.2))
    assert (member.margin, member.rank_weight, member.tag_weight) == (0.7, 0.9, 0.2)
    assert (member.sampler, member.audio, member.use_tags) == ("ab", "cnn", True)


def test_each_fold_and_each_seed_trains_from_other_weights() -> None:
    point = GridPoint(0.3, 0.5, 0.5)
    seeds = {members(point, fold, repeat).seed for fold in range(4) for repeat in range(3)}
    assert len(seeds) == 12


@pytest.mark.parametrize("sampler", ["ab", "artist"])
def test_explicit_pairs_are_those_of_the_sampler(sampler: str) -> None:
    shares = np.r_[np.full(4, 0.9), np.full(36, 0.01)] + np.arange(40) * 1e-6
    artists = [[f"a{n % 8}"] for n in range(40)]
    data = TrainingData(None, np.zeros((40, 2)), y=shares, hit_scores=shares, artist_ids=artists)
    member = Member(range(30), range(30, 35), audio=None, use_tags=True, sampler=sampler)  # type: ignore[arg-type]
    pairs = Rules(data).over_training(member).explicit(20, np.random.default_rng(0))
    one, other = pairs.T
    permitted = (one < 4) | (other < 4) if sampler == "ab" else one % 8 == other % 8
    assert permitted.all()


# --- what a song is given in analysis ------------------------------------------------------------


def test_a_model_gets_its_tags_by_name() -> None:
    heard = Taggram(np.array([[0.1, 0.2, 0.3]], np.float32), ("rock", "slow", "pop"), np.zeros(1))
    assert tags_of(heard, ("pop", "rock")).tolist() == [pytest.approx([0.3, 0.1])]


def test_a_model_gets_the_spectrogram_of_its_own_preset() -> None:
    rng = np.random.default_rng(0)
    clip = Waveform(rng.normal(0, 0.5, 30 * 22_050).astype(np.float32), 22_050)
    paper, release = (mel_of(clip, preset, 323) for preset in ("paper", "release"))
    assert not torch.allclose(paper, release)
    assert float(release.max()) > 20, "raw power, no logarithm"
    assert float(paper.max()) < 20


def test_the_papers_window_is_hamming_and_the_releases_is_hann() -> None:
    assert (PAPER_MEL.window, RELEASE_MEL.window) == ("hamming", "hann")
    assert MEL_PRESETS["paper"] is PAPER_MEL


# --- percentiles ---------------------------------------------------------------------------------


def reference() -> Reference:
    """Two folds whose members have scales of their own."""
    scores = np.r_[np.arange(100.0), 1000 + np.arange(100.0)]
    return Reference(np.repeat([0, 1], 100), scores, np.arange(200.0) / 1e6)


def test_each_members_percentile_is_among_its_own_fold() -> None:
    assert reference().percentiles([49.5, 1049.5]).tolist() == pytest.approx([0.5, 0.5])
    assert reference().percentiles([1049.5, 49.5]).tolist() == pytest.approx([1.0, 0.0])


def test_a_percentile_is_the_mean_over_the_members() -> None:
    assert reference().percentile_rank([29.5, 1089.5]).percentile == pytest.approx(0.6)


# --- highlights ----------------------------------------------------------------------------------


def evidence(**settings: object) -> Evidence:
    times = np.arange(0.0, 100.0)
    curve = np.ones(100)
    curve[-10:] = 9.0
    return replace(
        Evidence("example", curve, times, duration_s=100.0, confident=True),
        **settings,  # type: ignore[arg-type]
    )


def test_a_highlight_ends_within_the_song() -> None:
    for found in (evidence(), evidence(active=(0.0, 100.0)), evidence(start_grid_s=7.0)):
        for window in best_windows(found, 3, length_s=30.0):
            assert 0 <= window.start < window.end <= 100.0
            assert window.end - window.start == pytest.approx(30.0)


def test_an_onset_is_taken_if_it_costs_three_percent_and_not_if_it_costs_ten() -> None:
    flat = np.ones(100)
    flat[40:70] = 2.0  # the best window is worth 60
    cheap = evidence(curve=flat, onsets=np.array([39.0]))  # 59: 1.7 % less
    dear = evidence(curve=flat, onsets=np.array([34.0]))  # 54: 10 % less
    assert best_windows(cheap)[0].start == 39.0
    assert best_windows(dear)[0].start == 40.0


def test_what_is_louder_weighs_more() -> None:
    frames = SimpleNamespace(loudness=np.r_[np.full(50, 0.5), np.full(50, 1.0)], hop_s=0.2)
    weight = loudness_weight(frames, RepetitionConfig())  # type: ignore[arg-type]
    assert weight[-1] > 10 * weight[0]


# --- plays ---------------------------------------------------------------------------------------


def test_a_days_total_counts_songs_that_are_not_scored(tmp_path: Path) -> None:
    plays = pd.DataFrame(
        {"song_id": ["a", "stranger"], "plays": [1, 3], "date": pd.to_datetime(["2024-03-02"] * 2)}
    )
    songs = pd.DataFrame({"song_id": ["a"], "release_date": pd.to_datetime(["2024-03-01"])})
    assert hit_scores(plays, songs, "day:1")["hit_score"].tolist() == [0.25]

"""Songs that are equal in truth teach nothing: not the order of their rows, in neither pairing."""

import numpy as np
import pytest
import torch
from scipy import stats

from hitcore.learning import Member, TrainConfig, TrainingData, fit_stack
from hitcore.learning.losses import in_batch_loss, ranking_loss
from hitcore.learning.pairs import AB, Artist, Naive, PairRule

N_SONGS, N_TRAIN = 240, 160


def data_with_row_numbers(seed: int) -> TrainingData:
    """Seven of ten songs have a share of 0, as in real logs, and one tag is the row's number."""
    rng = np.random.default_rng(seed)
    tags = rng.random((N_SONGS, 4)).astype(np.float32)
    tags[:, 0] = np.arange(N_SONGS) / N_SONGS
    shares = np.where(rng.random(N_SONGS) < 0.7, 0.0, rng.random(N_SONGS) * 1e-3)
    return TrainingData(None, tags, y=shares * 1e3, hit_scores=shares)


def order_of_ties(pairing: str) -> float:
    """Mean correlation of the score of tied test songs with the number of their row."""
    found = []
    for seed in range(6):
        data = data_with_row_numbers(seed)
        songs = np.arange(N_SONGS)
        in_turns = songs % 6  # rows of all splits lie everywhere
        member = Member(
            train=songs[in_turns < 4],
            valid=songs[in_turns == 4],
            test=songs[in_turns == 5],
            audio=None,
            use_tags=True,
            sampler="naive",
            rank_weight=1.0,
            margin=1.0,
            seed=seed,
        )
        config = TrainConfig(
            pairing=pairing,  # type: ignore[arg-type]
            batch_size=16,
            max_epochs=12,
            learning_rate=0.02,
            dropout=0.0,
        )
        scores = fit_stack(data, [member], config).members[0].scores
        tied = member.songs["test"][np.asarray(data.hit_scores)[member.songs["test"]] == 0]
        found.append(stats.spearmanr(tied, scores[tied]).statistic)
    return float(np.mean(found))


@pytest.mark.parametrize("pairing", ["explicit", "in_batch"])
def test_tied_songs_do_not_learn_their_row_number(pairing: str) -> None:
    """With sorted pairs the mean was −0.9."""
    assert abs(order_of_ties(pairing)) < 0.45


@pytest.mark.parametrize(
    "rule",
    [Naive(40), AB(np.r_[np.ones(5), np.zeros(35)]), Artist([str(i % 4) for i in range(40)])],
)
def test_either_song_of_a_pair_comes_first_half_the_time(rule: PairRule) -> None:
    rng = np.random.default_rng(0)
    pairs = np.concatenate([rule.explicit(60, rng) for _ in range(60)])
    assert np.mean(pairs[:, 0] < pairs[:, 1]) == pytest.approx(0.5, abs=0.04)


def test_the_loss_of_the_validation_songs_does_not_know_their_order() -> None:
    torch.manual_seed(0)
    score, y = torch.randn(9), torch.randint(0, 2, (9,)).float()
    everyone = torch.ones(9, 9, dtype=torch.bool)
    turned = torch.randperm(9)
    loss = in_batch_loss(score, y, everyone, 0.5, 1.0, ties="both")
    again = in_batch_loss(score[turned], y[turned], everyone, 0.5, 1.0, ties="both")
    torch.testing.assert_close(again, loss)
    pairs = torch.combinations(torch.arange(9))
    both_ways = torch.cat([pairs, pairs.flip(1)])
    i, j = both_ways.T
    torch.testing.assert_close(ranking_loss(score[i], score[j], y[i], y[j], 0.5), loss)

"""Losses against hand-worked numbers, their gradients, and the laws they must keep."""

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hitcore.errors import ParameterError
from hitcore.evaluation.metrics import ndcg_at
from hitcore.learning.losses import (
    in_batch_loss,
    listwise_loss,
    multi_objective_loss,
    ranking_loss,
    rating_loss,
)
from hitcore.networks.mixing import mixed_score

SCORE = torch.tensor([0.9, 0.2, 0.5, 0.4], dtype=torch.float64)
Y = torch.tensor([0.8, 0.1, 0.3, 0.6], dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rating_by_hand() -> None:
    assert rating_loss(SCORE, Y).item() == pytest.approx((0.01 + 0.01 + 0.04 + 0.04) / 4)
    weight = torch.tensor([3.0, 0.0, 1.0, 0.0])
    assert rating_loss(SCORE, Y, weight).item() == pytest.approx((3 * 0.01 + 0.04) / 4)


def test_ranking_by_hand() -> None:
    """Three pairs: a lead past the margin, a lead within it, a wrong order."""
    i, j = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 3])
    by_hand = [0.0, 0.5 - 0.4, 0.5 + 0.1]
    got = ranking_loss(SCORE[i], SCORE[j], Y[i], Y[j], margin=0.5)
    assert got.item() == pytest.approx(sum(by_hand) / 3)
    squared = [(0.01 + 0.01) / 2, (0.01 + 0.04) / 2, (0.04 + 0.04) / 2]
    both = multi_objective_loss(SCORE[i], SCORE[j], Y[i], Y[j], margin=0.5, rank_weight=0.25)
    assert both.item() == pytest.approx(0.75 * sum(squared) / 3 + 0.25 * sum(by_hand) / 3)


def test_ranking_gradient_by_hand() -> None:
    """−δ/P for the first song of an active pair, +δ/P for the second, 0 for inactive pairs."""
    score = SCORE.clone().requires_grad_()
    i, j = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 3])
    ranking_loss(score[i], score[j], Y[i], Y[j], margin=0.5).backward()
    expected = torch.tensor([-1 / 3, 0, 1 / 3 + 1 / 3, -1 / 3], dtype=torch.float64)
    torch.testing.assert_close(score.grad, expected)


def test_equal_truth_prefers_the_first_song() -> None:
    one, two, same = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([0.5])
    assert ranking_loss(two, one, same, same, margin=0.5).item() == 0
    assert ranking_loss(one, two, same, same, margin=0.5).item() == 1.5


def test_mix_of_equation_4() -> None:
    mu = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    audio, tag = random(3, 4, seed=1), random(3, 4, seed=2)
    mixed = mixed_score(audio, tag, mu)
    torch.testing.assert_close(mixed[0], audio[0])
    torch.testing.assert_close(mixed[1], 0.75 * audio[1] + 0.25 * tag[1])
    torch.testing.assert_close(mixed[2], tag[2])
    with pytest.raises(ValueError):
        mixed_score(audio, tag, 0.5, mix="sum")


@pytest.mark.parametrize("margin", [0.05, 0.3])
def test_swapping_pairs_and_shifting_scores_leave_the_ranking_loss(margin: float) -> None:
    s_i, s_j, y_i, y_j = (random(50, seed=k) for k in range(4))
    loss = ranking_loss(s_i, s_j, y_i, y_j, margin)
    assert loss > 0
    torch.testing.assert_close(ranking_loss(s_j, s_i, y_j, y_i, margin), loss)
    torch.testing.assert_close(ranking_loss(s_i + 7, s_j + 7, y_i, y_j, margin), loss)
    torch.testing.assert_close(ranking_loss(s_i * 3, s_j * 3, y_i, y_j, margin * 3), loss * 3)


def test_ends_of_rank_weight() -> None:
    s_i, s_j, y_i, y_j = (random(20, seed=k) for k in range(4))
    rated = rating_loss(torch.cat([s_i, s_j]), torch.cat([y_i, y_j]))
    ranked = ranking_loss(s_i, s_j, y_i, y_j, 0.2)
    torch.testing.assert_close(multi_objective_loss(s_i, s_j, y_i, y_j, 0.2, 0.0), rated)
    torch.testing.assert_close(multi_objective_loss(s_i, s_j, y_i, y_j, 0.2, 1.0), ranked)


@pytest.mark.parametrize("rank_weight", [0.0, 0.3, 1.0])
def test_in_batch_and_explicit_pairs_agree(rank_weight: float) -> None:
    """Same pairs, same loss, same gradient; with ties in the truth and lone songs."""
    score, y = random(9, seed=1), (random(9, seed=2) * 4).round() / 4
    permitted = random(9, 9, seed=3) < 0.3
    permitted = permitted | permitted.T
    permitted[4], permitted[:, 4] = False, False
    pairs = [(i, j) for i, j in itertools.combinations(range(9), 2) if permitted[i, j]]
    assert 5 < len(pairs) < 30
    i, j = torch.tensor(pairs).T
    explicit_score, batch_score = score.clone().requires_grad_(), score.clone().requires_grad_()
    explicit = multi_objective_loss(
        explicit_score[i], explicit_score[j], y[i], y[j], 0.2, rank_weight
    )
    batch = in_batch_loss(batch_score, y, permitted, 0.2, rank_weight)
    explicit.backward()
    batch.backward()
    torch.testing.assert_close(batch, explicit)
    torch.testing.assert_close(batch_score.grad, explicit_score.grad)


def test_no_permitted_pair_gives_zero_and_no_gradient() -> None:
    score = SCORE.clone().requires_grad_()
    loss = in_batch_loss(score, Y, torch.zeros(4, 4, dtype=torch.bool), 0.1, 0.5)
    loss.backward()
    assert loss.item() == 0
    assert not score.grad.any()


def test_each_member_of_a_stack_has_its_own_loss() -> None:
    score, y, gain = random(3, 8, seed=1), random(3, 8, seed=2), random(3, 8, seed=3)
    permitted = random(3, 8, 8, seed=4) < 0.5
    margin, w = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.0, 0.5, 1.0])
    stacked = in_batch_loss(score, y, permitted, margin, w)
    pairs = multi_objective_loss(score, gain, y, score, margin, w)
    listed = listwise_loss(score, gain, temperature=margin)
    for k in range(3):
        m, share = margin[k].item(), w[k].item()
        alone = in_batch_loss(score[k], y[k], permitted[k], m, share)
        torch.testing.assert_close(stacked[k], alone, rtol=1e-6, atol=1e-7)
        alone = multi_objective_loss(score[k], gain[k], y[k], score[k], m, share)
        torch.testing.assert_close(pairs[k], alone, rtol=1e-6, atol=1e-7)
        alone = listwise_loss(score[k], gain[k], temperature=m)
        torch.testing.assert_close(listed[k], alone, rtol=1e-6, atol=1e-7)


def test_gradients_are_those_of_finite_differences() -> None:
    score, y = random(2, 6, seed=5).requires_grad_(), random(2, 6, seed=6)
    permitted = torch.ones(6, 6, dtype=torch.bool)
    assert gradcheck(lambda s: rating_loss(s, y), score)
    assert gradcheck(lambda s: in_batch_loss(s, y, permitted, 0.173, 0.4), score)
    assert gradcheck(lambda s: listwise_loss(s, y, top=0.5, temperature=0.3), score)
    other = random(2, 6, seed=7).requires_grad_()
    assert gradcheck(
        lambda a, b: multi_objective_loss(a, b, y, y.flip(1), 0.173, 0.4), (score, other)
    )


def test_a_pair_counts_as_often_as_its_weight_says() -> None:
    score_i, score_j, y_i, y_j = (random(6, seed=seed) for seed in range(4))
    times = torch.tensor([0, 1, 2, 0, 3, 1])
    again = [values.repeat_interleave(times) for values in (score_i, score_j, y_i, y_j)]
    torch.testing.assert_close(
        ranking_loss(score_i, score_j, y_i, y_j, 0.2, times), ranking_loss(*again, 0.2)
    )
    torch.testing.assert_close(
        multi_objective_loss(score_i, score_j, y_i, y_j, 0.2, 0.3, times),
        multi_objective_loss(*again, 0.2, 0.3),
    )


def test_lists_side_by_side_have_the_losses_that_they_have_alone() -> None:
    score, gain = random(3, 7, seed=5), random(3, 7, seed=6)
    kept = torch.tensor([[1.0] * 7, [1.0] * 4 + [0.0] * 3, [0.0] + [1.0] * 6])
    together = listwise_loss(score, gain, top=0.4, weight=kept)
    alone = [
        listwise_loss(s[k > 0], g[k > 0], top=0.4)
        for s, g, k in zip(score, gain, kept, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(alone))


def test_the_first_place_counts_in_the_shortest_list() -> None:
    score, gain = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    # One place counts: the swap costs 1, the lead is −1 at a temperature of 1.
    expected = torch.nn.functional.softplus(torch.tensor(1.0))
    torch.testing.assert_close(listwise_loss(score, gain, top=0.1, temperature=1.0), expected)


def test_half_a_song_of_the_top_is_rounded_up() -> None:
    score, gain = random(5, seed=8), random(5, seed=9)
    torch.testing.assert_close(
        listwise_loss(score, gain, top=0.5), listwise_loss(score, gain, top=0.6)
    )


def test_listwise_by_hand() -> None:
    """Four songs, two count: swapping ranks r and s costs |gain difference|·|D(r) − D(s)|."""
    gain = torch.tensor([0.1, 0.6, 0.3, 0.0], dtype=torch.float64)
    score = torch.tensor([0.8, 0.7, 0.1, 0.4], dtype=torch.float64)
    discount = {0: 1.0, 1: 1 / np.log2(3), 2: 0.0, 3: 0.0}
    best = 0.6 + 0.3 / np.log2(3)
    paid = sum(
        (gain[i] - gain[j]).item()
        * abs(discount[i] - discount[j])
        * np.log1p(np.exp(-(score[i] - score[j]).item() / 0.5))
        for i, j in itertools.permutations(range(4), 2)
        if gain[i] > gain[j]
    )
    got = listwise_loss(score, gain, top=0.5, temperature=0.5)
    assert got.item() == pytest.approx(paid / best)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("top", [0.10, 0.34, 1.0])
def test_listwise_bounds_what_ndcg_lacks(seed: int, top: float) -> None:
    """Wrongly ordered pairs cost at least log 2 each; in the right order the cold loss is 0."""
    gain, score = random(25, seed=seed) ** 4, random(25, seed=seed + 10)
    lacking = 1 - ndcg_at(gain.numpy(), score.numpy(), top=top)
    assert listwise_loss(score, gain, top=top, temperature=0.1).item() / np.log(2) >= lacking
    assert listwise_loss(gain, gain, top=top, temperature=1e-7).item() < 1e-6


def test_listwise_degenerate_lists() -> None:
    gain = torch.zeros(5, dtype=torch.float64)
    score = random(5).requires_grad_()
    loss = listwise_loss(score, gain)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(score.grad).all()
    kept = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    full, gains = random(5, seed=1), random(5, seed=2)
    torch.testing.assert_close(
        listwise_loss(full, gains, weight=kept), listwise_loss(full[:3], gains[:3])
    )


def test_descending_the_listwise_loss_sorts_the_top() -> None:
    gain = torch.from_numpy(np.geomspace(1, 1e-3, 40))
    score = random(40, seed=3).requires_grad_()
    before = ndcg_at(gain.numpy(), score.detach().numpy())
    optimiser = torch.optim.Adam([score], lr=0.02)
    for _ in range(300):
        optimiser.zero_grad()
        listwise_loss(score, gain).backward()
        optimiser.step()
    assert before < 0.8
    assert ndcg_at(gain.numpy(), score.detach().numpy()) > 0.99


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ranking_loss(SCORE, SCORE, Y, Y, margin=0.0), "margin is 0.0"),
        (lambda: multi_objective_loss(SCORE, SCORE, Y, Y, 0.1, 1.5), "rank_weight is 1.5"),
        (lambda: listwise_loss(SCORE, Y, top=0.0), "top is 0.0"),
        (lambda: listwise_loss(SCORE, Y, top=1.5), "top is 1.5"),
        (lambda: listwise_loss(SCORE, Y, temperature=-1.0), "temperature is -1.0"),
    ],
)
def test_settings_out_of_range(make, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        make()

"""ListNet, LambdaRank and NeuralNDCG against their authors' formulas written out song by song."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hitcore.errors import ParameterError
from hitcore.evaluation.metrics import ndcg_at
from hitcore.learning import Member, TrainConfig, TrainingData
from hitcore.learning import fit_member as fit
from hitcore.learning.batches import lists_of
from hitcore.learning.listwise import (
    LIST_LOSSES,
    lambda_rank_loss,
    list_net_loss,
    neural_ndcg_loss,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SCORE, GAIN = random(6, seed=1) * 3, random(6, seed=2)


def test_list_net_is_the_cross_entropy_of_who_stands_first() -> None:
    first = [math.exp(y) / sum(map(math.exp, GAIN.tolist())) for y in GAIN.tolist()]
    said = [math.exp(s) / sum(map(math.exp, SCORE.tolist())) for s in SCORE.tolist()]
    by_hand = -sum(p * math.log(q) for p, q in zip(first, said, strict=True))
    assert list_net_loss(SCORE, GAIN).item() == pytest.approx(by_hand)
    best = list_net_loss(GAIN + 5, GAIN).item()
    assert best == pytest.approx(-sum(p * math.log(p) for p in first))
    assert best < by_hand


def test_lambda_rank_is_all_ranks_sum_over_pairs() -> None:
    """allRank's lambdaLoss with lambdaRank_scheme, in nats and with linear gains."""
    order = SCORE.argsort(descending=True)
    score, gain = SCORE[order].tolist(), GAIN[order].tolist()
    best = sum(g / math.log2(2 + r) for r, g in enumerate(sorted(gain, reverse=True)))
    total = 0.0
    for i, j in itertools.permutations(range(6), 2):
        if gain[i] > gain[j]:
            moved = abs(1 / math.log2(2 + i) - 1 / math.log2(2 + j))
            weight = moved * abs(gain[i] - gain[j]) / best
            total -= weight * math.log(1 / (1 + math.exp(-(score[i] - score[j]))))
    assert lambda_rank_loss(SCORE, GAIN).item() == pytest.approx(total)


def test_neural_ndcg_is_the_gain_of_a_soft_sorting() -> None:
    """NeuralSort's rows as its authors write them, then fifty rounds of Sinkhorn."""
    n = 6
    rows = []
    for rank in range(1, n + 1):
        logit = [
            (n + 1 - 2 * rank) * s - sum(abs(s - other) for other in SCORE.tolist())
            for s in SCORE.tolist()
        ]
        rows.append(np.exp(logit - np.max(logit)) / np.exp(logit - np.max(logit)).sum())
    soft = np.array(rows)
    for _ in range(50):
        soft = soft / soft.sum(axis=0, keepdims=True)
        soft = soft / soft.sum(axis=1, keepdims=True)
    discount = 1 / np.log2(np.arange(2, n + 2))
    found = discount @ (soft @ GAIN.numpy()) / (discount @ np.sort(GAIN.numpy())[::-1])
    assert neural_ndcg_loss(SCORE, GAIN).item() == pytest.approx(1 - found)


def test_a_cold_neural_ndcg_is_ndcg() -> None:
    cold = 1 - neural_ndcg_loss(SCORE, GAIN, temperature=1e-3).item()
    assert cold == pytest.approx(ndcg_at(GAIN.numpy(), SCORE.numpy(), top=1.0), abs=1e-6)


@pytest.mark.parametrize("name", LIST_LOSSES)
def test_laws_of_every_list_loss(name: str) -> None:
    """Songs left out, shifts of all scores, members side by side, and the gradient."""
    loss = LIST_LOSSES[name]
    score, gain = random(3, 7, seed=3), random(3, 7, seed=4)
    kept = torch.tensor([1.0, 1, 1, 1, 1, 0, 0])
    short = loss(score[:, :5], gain[:, :5], gain[:, :5], None, 0.5, 0.3)
    torch.testing.assert_close(loss(score, gain, gain, kept, 0.5, 0.3), short)
    torch.testing.assert_close(loss(score + 4, gain, gain, kept, 0.5, 0.3), short)
    alone = torch.stack([loss(s, g, g, kept, 0.5, 0.3) for s, g in zip(score, gain, strict=True)])
    torch.testing.assert_close(alone, short)
    turned = torch.tensor([2, 0, 4, 1, 3])
    moved = loss(score[:, turned], gain[:, turned], gain[:, turned], None, 0.5, 0.3)
    torch.testing.assert_close(moved, short)
    assert gradcheck(lambda s: loss(s, gain, gain, kept, 0.5, 0.3), score.clone().requires_grad_())


@pytest.mark.parametrize("name", LIST_LOSSES)
def test_lists_without_anything_to_rank_cost_nothing(name: str) -> None:
    score = random(2, 4, seed=5).requires_grad_()
    loss = LIST_LOSSES[name](score, torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(4), 0.5, 0.3)
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert not score.grad.any()


@pytest.mark.parametrize("name", LIST_LOSSES)
def test_descent_raises_ndcg(name: str) -> None:
    gain = random(20, seed=6)
    score = random(20, seed=7).requires_grad_()
    before = ndcg_at(gain.numpy(), score.detach().numpy(), top=1.0)
    optimiser = torch.optim.Adam([score], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        LIST_LOSSES[name](score, gain * 5, gain, None, 1.0, 0.1).backward()
        optimiser.step()
    assert ndcg_at(gain.numpy(), score.detach().numpy(), top=1.0) > before + 0.1


@pytest.mark.parametrize("objective", LIST_LOSSES)
def test_a_network_learns_by_every_objective(objective: str) -> None:
    rng = np.random.default_rng(0)
    tags = rng.random((90, 3)).astype(np.float32)
    data = TrainingData(None, tags, y=tags[:, 0], hit_scores=tags[:, 0] * 1e-3)
    member = Member(range(60), range(60, 75), range(75, 90), audio=None, use_tags=True,
                    sampler="naive", rank_weight=1.0)  # fmt: skip
    config = TrainConfig(objective=objective, batch_size=16, max_epochs=25, learning_rate=0.05,
                         dropout=0.0, patience=25)  # type: ignore[arg-type]  # fmt: skip
    result = fit(data, member, config)
    assert np.corrcoef(result.scores[75:], tags[75:, 0])[0, 1] > 0.8


def test_validation_lists_are_as_long_as_those_of_training() -> None:
    lists = lists_of(103, 16, seed=4)
    assert lists.shape == (7, 15)
    assert sorted(lists[lists >= 0].tolist()) == list(range(103))
    assert not torch.equal(lists, lists_of(103, 16, seed=5))


def test_whole_lists_need_whole_batches() -> None:
    with pytest.raises(ParameterError, match="objective listnet needs whole batches"):
        TrainConfig(objective="listnet", pairing="explicit")

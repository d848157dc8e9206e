"""Today's listwise losses by the names that allRank gives them: ListNet, LambdaRank, NeuralNDCG.

A pairwise loss counts mistakes; these look at a whole list at once. They stand beside the paper's
losses so that a reader sees what nine years of ranking research change.

Conventions:
    The last dimension is that of songs, and every loss has one value per list; what stands before
    it (the members of a stack) is kept. A weight of 0 leaves a song out of its list, 1 keeps it.
    A list in which nothing can be ranked (one song, no gain) has the loss 0 with gradient 0.
    gain: the raw hit score, not negative, of any scale; it is linear, since 2^x means nothing for
        shares.

References:
    Z. Cao, T. Qin, T.-Y. Liu, M.-F. Tsai, H. Li, "Learning to rank: from pairwise approach to
    listwise approach", ICML 2007 (ListNet). C. Burges, R. Ragno, Q. Le, "Learning to rank with
    nonsmooth cost functions", NIPS 2006 (LambdaRank). P. Pobrotyn, R. Białobrzeski, "NeuralNDCG:
    direct optimisation of a ranking metric via differentiable relaxation of sorting", SIGIR
    eCommerce 2021. A. Grover, E. Wang, A. Zweig, S. Ermon, "Stochastic optimization of sorting
    networks via continuous relaxations", ICLR 2019 (NeuralSort). R. Sinkhorn, "A relationship
    between arbitrary positive matrices and doubly stochastic matrices", 1964.
    P. Pobrotyn, T. Bartczak, M. Synowiec, R. Białobrzeski, J. Bojar, "Context-aware learning to
    rank with self-attention", SIGIR eCommerce 2020 (the library allRank).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hitcore.learning.losses import listwise_loss

N_SINKHORN = 50
"""Rounds of scaling rows and columns to sums of 1, as in allRank."""


def list_net_loss(score: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross entropy between the songs' chances to stand first by their truth and by their scores.

    Both chances are softmaxes, so a constant added to all scores changes nothing.

    Args:
        score: Predicted scores.
        y: True scores; their differences set how sharp the target is, so give them in deviations.
        weight: 0 leaves a song out of the list, 1 keeps it.

    Shape:
        score, y, weight `(…, n_songs)`, result `(…)`.

    References:
        Cao et al. 2007, section 4 (top one probability); allRank's `listNet`.

    Example:
        >>> y = torch.tensor([0.0, 1.0])
        >>> round(list_net_loss(torch.zeros(2), y).item(), 4)  # −log ½, whatever the target
        0.6931
    """
    left_out = _left_out(score, weight)
    # Finite, so that a list without any song has no NaN on its way.
    target = torch.softmax(y.to(score.dtype).masked_fill(left_out, _LOW), dim=-1)
    chance = torch.log_softmax(score.masked_fill(left_out, _LOW), dim=-1)
    return -(target * chance).masked_fill(left_out, 0.0).sum(dim=-1)


def lambda_rank_loss(
    score: Tensor,
    gain: Tensor,
    temperature: float | Tensor = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """The logistic loss of all pairs, each weighted by the nDCG that swapping it would cost.

    Args:
        score: Predicted scores.
        gain: Raw hit scores, not negative.
        temperature: Above 0; 1/σ of the reference.
        weight: 0 leaves a song out of the list, 1 keeps it.

    Shape:
        score, gain, weight `(…, n_songs)`, result `(…)`.

    Raises:
        ParameterError: the temperature is not above 0.

    References:
        Burges, Ragno and Le 2006; allRank's `lambdaLoss` with `lambdaRank_scheme`, which counts
        in bits.

    Example:
        >>> gain = torch.tensor([0.0, 1.0])
        >>> round(lambda_rank_loss(torch.zeros(2), gain).item(), 4)  # (1 − 1/log2 3) · log 2
        0.2558
    """
    return listwise_loss(score, gain, top=1.0, temperature=temperature, weight=weight)


def neural_ndcg_loss(
    score: Tensor,
    gain: Tensor,
    temperature: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """1 − nDCG of a softened sorting of the scores; at a perfect order it falls to 0 with T.

    NeuralSort gives each rank a distribution over the songs, Sinkhorn's scaling makes each song
    count once in all, and the gains at the ranks are what that matrix makes of the true ones.

    Args:
        score: Predicted scores.
        gain: Raw hit scores, not negative.
        temperature: Above 0; near 0 the sorting is exact and its gradient vanishes.
        weight: 0 leaves a song out of the list, 1 keeps it.

    Shape:
        score, gain, weight `(…, n_songs)`, result `(…)`, 0 to 1.

    References:
        Pobrotyn and Białobrzeski 2021, eqs. 4 to 8; allRank's `neuralNDCG` (its value less 1).

    Example:
        >>> gain = torch.tensor([0.0, 1.0, 0.5])
        >>> loss = neural_ndcg_loss(torch.tensor([1.0, 3.0, 2.0]), gain, temperature=0.01)
        >>> round(abs(loss.item()), 4)
        0.0
    """
    left_out = _left_out(score, weight)
    gain = gain.to(score.dtype).masked_fill(left_out, 0.0)
    order = _soft_order(score, left_out, temperature)
    n_songs = score.shape[-1]
    discount = 1 / torch.log2(torch.arange(2, n_songs + 2, device=score.device, dtype=score.dtype))
    found = ((order @ gain.unsqueeze(-1)).squeeze(-1) * discount).sum(dim=-1)
    best = (gain.sort(dim=-1, descending=True).values * discount).sum(dim=-1)
    lacking = 1 - found / torch.where(best > 0, best, 1.0)
    return torch.where(best > 0, lacking, 0.0)


ListLoss = Callable[[Tensor, Tensor, Tensor, Tensor | None, float, float], Tensor]
"""`(score, y, gain, weight, top, temperature)` to one value per list; y is in deviations."""

LIST_LOSSES: dict[str, ListLoss] = {
    "listwise": lambda score, y, gain, weight, top, temperature: listwise_loss(
        score, gain, top, temperature, weight
    ),
    "listnet": lambda score, y, gain, weight, top, temperature: list_net_loss(score, y, weight),
    "lambdarank": lambda score, y, gain, weight, top, temperature: lambda_rank_loss(
        score, gain, weight=weight
    ),
    "neuralndcg": lambda score, y, gain, weight, top, temperature: neural_ndcg_loss(
        score, gain, weight=weight
    ),
}
"""Objectives that look at a whole list, by the names that `TrainConfig.objective` takes."""

_LOW = -1e9
"""A score that no softmax sees."""


def _left_out(score: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return torch.zeros_like(score, dtype=torch.bool)
    return (weight == 0).expand_as(score)


def _soft_order(score: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """Row r: which songs stand at rank r, `(…, n_ranks, n_songs)`; rows and columns sum to 1.

    Ranks beyond the songs of the list, and songs that are left out, have only zeros.
    """
    n_songs = score.shape[-1]
    n_here = (~left_out).sum(dim=-1, keepdim=True)
    place = torch.arange(1, n_songs + 1, device=score.device)
    absent = place > n_here
    score = score.masked_fill(left_out, 0.0)
    apart = (score.unsqueeze(-1) - score.unsqueeze(-2)).abs()
    apart = apart.masked_fill(left_out.unsqueeze(-1) | left_out.unsqueeze(-2), 0.0)
    scale = (n_here + 1 - 2 * place).to(score.dtype)
    logits = scale.unsqueeze(-1) * score.unsqueeze(-2) - apart.sum(dim=-1).unsqueeze(-2)
    nothing = absent.unsqueeze(-1) | left_out.unsqueeze(-2)
    order = torch.softmax(logits.masked_fill(nothing, _LOW) / temperature, dim=-1)
    order = order.masked_fill(nothing, 0.0)
    for _ in range(N_SINKHORN):
        order = _scaled(_scaled(order, dim=-2), dim=-1)
    return order


def _scaled(order: Tensor, dim: int) -> Tensor:
    """Sums of 1 along a dimension, where there is anything; the gradient of nothing stays 0."""
    total = order.sum(dim=dim, keepdim=True)
    return order / torch.where(total > 0, total, 1.0)

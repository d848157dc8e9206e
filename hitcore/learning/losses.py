"""The losses of the paper's four equations, and a listwise one that aims at nDCG@10 %.

Conventions:
    The last dimension is that of songs or pairs, and every loss is a mean over it; what stands
    before it (the members of a stack) is kept, so scores of `(n_members, n_songs)` give
    `(n_members,)` losses. A setting (margin, rank_weight, tag_weight) is one number, or a tensor
    with one per member.
    A weight counts a song or pair as often as it says: 0 leaves it out. Where nothing is left the
    loss is 0 with gradient 0.
    Pairs are oriented: where y_i = y_j, eq. 2 asks for the first song of the pair to score higher.
    For y_i ≠ y_j swapping the songs of a pair changes nothing. So that ties teach nothing, which
    song comes first is drawn at random in training, and both orders count half where a loss is
    measured.

References:
    The paper, eqs. 1 to 4. R. Herbrich, T. Graepel, K. Obermayer, "Support vector learning for
    ordinal regression", ICANN 1999 (the margin loss). C. Burges, R. Ragno, Q. Le, "Learning to
    rank with nonsmooth cost functions", NIPS 2006 (LambdaRank). X. Wang, C. Li, N. Golbandi,
    M. Bendersky, M. Najork, "The LambdaLoss framework for ranking metric optimization",
    CIKM 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from hitcore.errors import ParameterError
from hitcore.networks.mixing import per_member


def rating_loss(score: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean squared error of the scores.

    Args:
        score: Predicted scores.
        y: True scores, on the scale that the network predicts.
        weight: How often each song counts; all once where left out.

    Shape:
        score, y, weight `(…, n_songs)`, result `(…)`.

    References:
        Eq. 1 of the paper.

    Example:
        >>> rating_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
        tensor(2.5000)
    """
    return _mean((score - y).square(), weight)


def ranking_loss(
    score_i: Tensor,
    score_j: Tensor,
    y_i: Tensor,
    y_j: Tensor,
    margin: float | Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """The mean hinge loss of pairs: 0 where the better song leads by the margin.

    Args:
        score_i: Scores of the first songs.
        score_j: Scores of the second songs.
        y_i: True scores of the first songs; only their order matters.
        y_j: True scores of the second songs.
        margin: m, the lead that is asked for, above 0.
        weight: How often each pair counts.

    Shape:
        scores, y and weight `(…, n_pairs)`, result `(…)`.

    Raises:
        ParameterError: The margin is not above 0.

    References:
        Eq. 2 of the paper.

    Example:
        >>> one, two = torch.tensor([1.0]), torch.tensor([2.0])
        >>> ranking_loss(one, two, y_i=two, y_j=one, margin=0.5)
        tensor(1.5000)
    """
    return _mean(_hinge(score_i - score_j, y_i >= y_j, margin), weight)


def multi_objective_loss(
    score_i: Tensor,
    score_j: Tensor,
    y_i: Tensor,
    y_j: Tensor,
    margin: float | Tensor,
    rank_weight: float | Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """Rating and ranking loss of explicit pairs: `(1 − w)·rating + w·ranking`.

    Both songs of each pair are rated, as the Siamese network does.

    Args:
        score_i: Scores of the first songs.
        score_j: Scores of the second songs.
        y_i: True scores of the first songs.
        y_j: True scores of the second songs.
        margin: m of eq. 2.
        rank_weight: w, 0 (rating alone) to 1 (ranking alone).
        weight: How often each pair counts.

    Shape:
        scores, y and weight `(…, n_pairs)`, result `(…)`.

    References:
        Eq. 3 of the paper.

    Example:
        >>> one, two = torch.tensor([1.0]), torch.tensor([2.0])
        >>> multi_objective_loss(one, two, two, one, margin=0.5, rank_weight=0.5)
        tensor(1.2500)
    """
    squared = ((score_i - y_i).square() + (score_j - y_j).square()) / 2
    ranked = ranking_loss(score_i, score_j, y_i, y_j, margin, weight)
    return _mixed(_mean(squared, weight), ranked, rank_weight)


def in_batch_loss(
    score: Tensor,
    y: Tensor,
    permitted: Tensor,
    margin: float | Tensor,
    rank_weight: float | Tensor,
    *,
    ties: Literal["first", "both"] = "first",
) -> Tensor:
    """What `multi_objective_loss` gives for all permitted pairs among the songs of a batch.

    Each song is rated as often as it stands in a pair, so loss and gradient are those of the
    explicit pairs; but each song passes the network once.

    Args:
        score: Predicted scores.
        y: True scores.
        permitted: Which songs may form a pair; what stands above the diagonal counts, with the
            row as the first song.
        margin: m of eq. 2.
        rank_weight: w of eq. 3.
        ties: Where two songs are equal in truth: "first" asks for the earlier of the batch to
            score higher (the order of a batch is random in training); "both" counts both orders
            half, so that the loss does not depend on the order in which the songs stand.

    Shape:
        score, y `(…, n_songs)`, permitted `(…, n_songs, n_songs)`, result `(…)`.

    Example:
        >>> score, y = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])
        >>> in_batch_loss(score, y, torch.ones(2, 2, dtype=torch.bool), 0.5, 0.5)
        tensor(1.2500)
    """
    pairs = permitted.triu(diagonal=1).to(score.dtype)
    lead = score.unsqueeze(-1) - score.unsqueeze(-2)
    ahead = (y.unsqueeze(-1) >= y.unsqueeze(-2)).flatten(-2)
    hinge = _hinge(lead.flatten(-2), ahead, margin)
    if ties == "both":
        other = _hinge(lead.flatten(-2), ~ahead, margin)
        tied = (y.unsqueeze(-1) == y.unsqueeze(-2)).flatten(-2)
        hinge = torch.where(tied, (hinge + other) / 2, hinge)
    n_partners = pairs.sum(dim=-1) + pairs.sum(dim=-2)
    rated = rating_loss(score, y, n_partners)
    return _mixed(rated, _mean(hinge, pairs.flatten(-2)), rank_weight)


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores `(n_songs,)`, truth `(n_songs,)` and a mask of pairs `(n_songs, n_songs)`, of which what
stands above the diagonal counts; gives one number to be minimised."""


@dataclass(frozen=True)
class MultiObjective:
    """The paper's loss: `(1 − w)·rating + w·ranking` over the pairs of a batch (eqs. 1 to 3).

    Example:
        >>> score, y = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])
        >>> MultiObjective(margin=0.5, rank_weight=0.5)(score, y, torch.ones(2, 2))
        tensor(1.2500)
    """

    margin: float = 0.1
    """m of eq. 2."""
    rank_weight: float = 0.5
    """w of eq. 3."""

    def __call__(self, score: Tensor, y: Tensor, pairs: Tensor) -> Tensor:
        """The loss of a batch; each song is rated as often as it stands in a pair."""
        return in_batch_loss(score, y, pairs, self.margin, self.rank_weight)

    def whole(self, score: Tensor, y: Tensor, pairs: Tensor) -> Tensor:
        """The loss of a whole split: all of its songs are rated once."""
        ranked = in_batch_loss(score, y, pairs, self.margin, 1.0)
        return (1 - self.rank_weight) * rating_loss(score, y) + self.rank_weight * ranked


def listwise_loss(
    score: Tensor,
    gain: Tensor,
    top: float = 0.10,
    temperature: float | Tensor = 0.1,
    weight: Tensor | None = None,
) -> Tensor:
    """The logistic loss of all pairs, each weighted by the nDCG@top that swapping it would cost.

    Ranks are those of the scores at hand, and a rank below the cut has the discount 0, so the
    effort goes to what is, or ought to be, at the top (LambdaRank, as LambdaLoss justifies it).
    The gain is linear, since 2^x means nothing for shares.

    Args:
        score: Predicted scores.
        gain: Raw hit scores, not negative.
        top: Share of the songs that counts.
        temperature: Above 0; the lead at which a pair counts as settled.
        weight: 0 leaves a song out of the list, 1 keeps it.

    Shape:
        score, gain, weight `(…, n_songs)`, result `(…)`; a list without any gain has the loss 0.

    Raises:
        ParameterError: `top` or the temperature is outside what is allowed.

    References:
        Burges, Ragno and Le 2006; Wang et al. 2018, section 5.

    Example:
        >>> gain = torch.tensor([0.0, 0.0, 1.0, 0.0])
        >>> round(listwise_loss(gain, gain, temperature=0.01).item(), 3)
        0.0
    """
    if not 0 < top <= 1:
        raise ParameterError(f"top is {top}; allowed is a share above 0 and up to 1, such as 0.10")
    warmth = per_member(_positive("temperature", temperature))
    present = torch.ones_like(score) if weight is None else weight.to(score.dtype)
    gain = gain.to(score.dtype) * present
    cut = (top * present.sum(dim=-1, keepdim=True) + 0.5 + 1e-6).floor().clamp(min=1)
    best = (gain * _discount(_ranks(gain), cut)).sum(dim=-1)
    # Songs that are left out rank last.
    discount = _discount(_ranks(score.detach().masked_fill(present == 0, -torch.inf)), cut)
    ahead = (gain.unsqueeze(-1) - gain.unsqueeze(-2)).clamp(min=0)
    cost = ahead * (discount.unsqueeze(-1) - discount.unsqueeze(-2)).abs()
    cost = cost * present.unsqueeze(-1) * present.unsqueeze(-2)
    lead = (score.unsqueeze(-1) - score.unsqueeze(-2)) / per_member(warmth)
    paid = (cost * functional.softplus(-lead)).sum(dim=(-2, -1))
    return torch.where(best > 0, paid / torch.where(best > 0, best, 1.0), 0.0)


def _ranks(values: Tensor) -> Tensor:
    """1 for the largest value, 2 for the next; ties in the order of the list."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    places = torch.arange(1, values.shape[-1] + 1, device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def _discount(rank: Tensor, cut: Tensor) -> Tensor:
    """What a gain at this rank counts: 1/log2(1 + rank) down to the cut, 0 below."""
    return (rank <= cut) / torch.log2(1 + rank.to(cut.dtype))


def _hinge(lead: Tensor, first_is_better: Tensor, margin: float | Tensor) -> Tensor:
    """`max(0, m − δ·lead)` with δ = +1 where the first song is at least as good, else −1."""
    signed = torch.where(first_is_better, lead, -lead)
    return (per_member(_positive("margin", margin)) - signed).clamp(min=0)


def _mixed(rated: Tensor, ranked: Tensor, rank_weight: float | Tensor) -> Tensor:
    """Eq. 3, w checked where it is a plain number."""
    if not isinstance(rank_weight, Tensor) and not 0 <= rank_weight <= 1:
        raise ParameterError(f"rank_weight is {rank_weight}; allowed is 0 to 1 (eq. 3)")
    return (1 - rank_weight) * rated + rank_weight * ranked


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted mean over the last dimension; 0 where the weights are all 0."""
    if weight is None:
        return values.mean(dim=-1)
    weight = weight.to(values.dtype)
    total = weight.sum(dim=-1)
    return (values * weight).sum(dim=-1) / torch.where(total > 0, total, 1.0)


def _positive(name: str, value: float | Tensor) -> float | Tensor:
    """The value, checked where it is a plain number (tensors are checked where they are made)."""
    if not isinstance(value, Tensor) and not (math.isfinite(value) and value > 0):
        raise ParameterError(f"{name} is {value}; allowed is a number above 0")
    return value

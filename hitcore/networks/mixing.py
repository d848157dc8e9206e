"""The mix of the two branches: the score of the sound and the score of the tags as one.

References:
    Equation (4) of the paper, section 2.4; the published checkpoint adds the weighted tag score
    in place of the convex mix.
"""

from enum import StrEnum

from torch import Tensor


class MixKind(StrEnum):
    """How the audio score and the tag score become one."""

    CONVEX = "convex"
    """`(1 − μ)·audio + μ·tag`: eq. 4, and what the published model was trained with (μ = 0.7)."""
    ADDITIVE = "additive"
    """`audio + μ·tag`: the published prediction script (μ = 0.5)."""


def mixed_score(
    audio: Tensor, tag: Tensor, tag_weight: float | Tensor, mix: MixKind | str = MixKind.CONVEX
) -> Tensor:
    """The score that audio and tags give together.

    Args:
        audio: Scores from the audio.
        tag: Scores from the tags.
        tag_weight: μ.
        mix: `convex` (eq. 4) or `additive` (the published prediction script).

    Shape:
        audio, tag and the result `(…, n_songs)`.

    References:
        Eq. 4 of the paper.

    Example:
        >>> import torch
        >>> mixed_score(torch.tensor([1.0]), torch.tensor([3.0]), 0.25)
        tensor([1.5000])
        >>> mixed_score(torch.tensor([1.0]), torch.tensor([3.0]), 0.5, mix="additive")
        tensor([2.5000])
    """
    weight = per_member(tag_weight)
    if MixKind(mix) is MixKind.ADDITIVE:
        return audio + weight * tag
    return (1 - weight) * audio + weight * tag


def per_member(setting: float | Tensor) -> float | Tensor:
    """A setting that broadcasts against `(…, n_songs)`: one number, or one per member."""
    return setting.unsqueeze(-1) if isinstance(setting, Tensor) and setting.ndim else setting

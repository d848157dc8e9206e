"""A rater of hundreds of songs, learned at once: ridge regression on random cosines.

Gradient descent on a convolutional network wants thousands of songs. With hundreds, a smooth
function of a few statistics of the sound and of the tags does better, and there is nothing to
stop early: its weights are the solution of a linear system. What it learns is a weighted sum of
cosines, so the songs themselves are not kept.

Conventions:
    score = audio score + tag score, on the scale of y.
    tag_share: part of the kernel that falls to the tags, 0 to 1.

References:
    A. Rahimi, B. Recht, "Random features for large-scale kernel machines", 2007.
    C. Saunders, A. Gammerman, V. Vovk, "Ridge regression learning algorithm in dual variables",
    1998.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hitcore.errors import DataError, ParameterError
from hitcore.networks.hitnet import HitNet
from hitcore.networks.mixing import MixKind
from hitcore.networks.statistics import (
    LogTagLinear,
    LogTagRater,
    StatisticsLinear,
    StatisticsRater,
    log_tags,
    mel_statistics,
)


@dataclass(frozen=True)
class KernelSettings:
    """What decides how smooth the function is.

    Example:
        >>> KernelSettings(bandwidth=0.2).penalty
        0.3
    """

    bandwidth: float = 0.2
    """How fast likeness falls with the distance of two songs; larger bends more. 0: a straight
    line in place of cosines, that is plain ridge regression."""
    penalty: float = 0.3
    """Weight of the ridge penalty; larger is nearer to the mean of y."""
    tag_share: float = 0.3
    """Part of the kernel that falls to the tags; the rest falls to the mel statistics."""

    def __post_init__(self) -> None:
        for name, high in (("bandwidth", 1e3), ("penalty", 1e9), ("tag_share", 1.0)):
            if not 0 <= getattr(self, name) <= high:
                raise ParameterError(f"{name} is {getattr(self, name)}; allowed is 0 to {high:g}")
        if self.penalty == 0:
            raise ParameterError(
                "penalty is 0; it must be above 0, or the songs are learnt by rote"
            )


def fit_kernel(
    mel: Tensor | None,
    tags: Tensor | None,
    y: Tensor,
    settings: KernelSettings | None = None,
    *,
    seed: int = 0,
    statistics: Tensor | None = None,
) -> HitNet:
    """A rater of the audio and of the tags that fits y.

    Args:
        mel: Log-mel spectrograms of the training songs; may be None where `statistics` are given.
        tags: Their tags; None leaves the tags out.
        y: What to predict.
        settings: How smooth the function is.
        seed: Of the cosines.
        statistics: `mel_statistics(mel)`, where they are known already; without `mel` the rater
            takes spectrograms of 128 bins and 323 frames.

    Shape:
        mel `(n_songs, n_mels, n_frames)`, tags `(n_songs, n_tags)`, y `(n_songs,)`, statistics
        `(n_songs, 3 * N_BANDS)`.

    Raises:
        DataError: Fewer than two songs, not one row of each per song, or a value that is not
            finite.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> mel, tags = torch.rand(40, 128, 20, generator=generator), torch.rand(40, 5)
        >>> net = fit_kernel(mel, tags, mel[:, :64].mean(dim=(1, 2)), KernelSettings(penalty=1e-3))
        >>> net(mel, tags).score.shape
        torch.Size([40])
    """
    settings = settings or KernelSettings()
    if statistics is None:
        if mel is None:
            raise DataError("neither spectrograms nor their statistics are given; one is needed")
        statistics = mel_statistics(mel)
    parts = [statistics] if tags is None else [statistics, log_tags(tags)]
    _check(parts, y)
    shares = [1.0] if tags is None else [1 - settings.tag_share, settings.tag_share]
    n_tags = 0 if tags is None else tags.shape[1]
    audio, tag = _networks(settings, n_tags, mel)
    raters = [audio] if tag is None else [audio, tag]
    drawn = [
        _features(rater, part, settings, 2 * seed + place)
        for place, (rater, part) in enumerate(zip(raters, parts, strict=True))
    ]
    scaled = [math.sqrt(share) * part for share, (part, _, _) in zip(shares, drawn, strict=True)]
    weights, offset = _ridge(torch.cat(scaled, dim=1), y.double(), settings.penalty)
    blocks = torch.split(weights, [part.shape[1] for part in scaled])
    with torch.no_grad():
        for place, (rater, share, (_, mean, scale), block) in enumerate(
            zip(raters, shares, drawn, blocks, strict=True)
        ):
            weight = math.sqrt(share) * block / scale
            out = rater.get_submodule("out")
            assert isinstance(out, nn.Linear)
            out.weight.copy_(weight[None].float())
            out.bias.fill_(float((offset if place == 0 else 0.0) - weight @ mean))
    return HitNet(audio, tag, tag_weight=1.0, mix=MixKind.ADDITIVE).eval()


def _networks(
    settings: KernelSettings, n_tags: int, mel: Tensor | None
) -> tuple[StatisticsRater | StatisticsLinear, LogTagRater | LogTagLinear | None]:
    shape = (128, 323) if mel is None else (mel.shape[1], mel.shape[2])
    if settings.bandwidth == 0:
        return StatisticsLinear(*shape), LogTagLinear(n_tags) if n_tags else None
    return StatisticsRater(*shape), LogTagRater(n_tags) if n_tags else None


def _features(
    rater: nn.Module, statistics: Tensor, settings: KernelSettings, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What the last layer is a weighted sum of, with what it is centred and divided by.

    Cosines are divided by a fixed number, so that their products are the kernel; the features of a
    straight line are standardised, then divided by the root of their number.
    """
    if isinstance(rater, StatisticsRater | LogTagRater):
        cosines = draw_cosines(rater, statistics, settings.bandwidth, seed).double()
        scale = torch.full((cosines.shape[1],), math.sqrt(cosines.shape[1] / 2)).double()
        return cosines / scale, torch.zeros_like(scale), scale
    exact = statistics.double()
    mean = exact.mean(dim=0)
    scale = exact.std(dim=0).clamp_min(1e-6) * math.sqrt(exact.shape[1])
    return (exact - mean) / scale, mean, scale


def draw_cosines(
    rater: StatisticsRater | LogTagRater, statistics: Tensor, bandwidth: float, seed: int
) -> Tensor:
    """Fix a rater's cosines so that they stand for a Gaussian kernel; the cosines of the songs.

    The kernel is `exp(−bandwidth · ‖a − b‖² / d)` of statistics standardised over these songs.

    Args:
        rater: Changed in place; its last layer stays as it is.
        statistics: Of the training songs, `(n_songs, d)`.
        bandwidth: How fast the kernel falls.
        seed: Two draws of one seed are equal.
    """
    d, n_features = statistics.shape[1], rater.project.out_features
    generator = torch.Generator().manual_seed(seed)
    mean, scale = statistics.mean(dim=0), statistics.std(dim=0).clamp_min(1e-6)
    weight = torch.randn(n_features, d, generator=generator) * math.sqrt(2 * bandwidth / d) / scale
    phase = torch.rand(n_features, generator=generator) * 2 * math.pi
    with torch.no_grad():
        rater.project.weight.copy_(weight)
        rater.project.bias.copy_(phase - weight @ mean)
        return torch.cos(rater.project(statistics))


def _ridge(features: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, float]:
    """Weights and offset that minimise the squared error plus the penalty, by the dual system."""
    offset = float(y.mean())
    kernel = features @ features.T
    kernel.diagonal().add_(penalty)
    return features.T @ torch.linalg.solve(kernel, y - offset), offset


def _check(parts: list[Tensor], y: Tensor) -> None:
    if y.ndim != 1 or len(y) < 2 or any(len(part) != len(y) for part in parts):
        raise DataError(
            f"y has shape {tuple(y.shape)}, the features {[len(part) for part in parts]} rows: one "
            "of each per song is needed, for two songs or more"
        )
    for name, values in (("y", y), *(("features", part) for part in parts)):
        if not bool(torch.isfinite(values).all()):
            raise DataError(f"{name} has a value that is NaN or infinite: leave such songs out")

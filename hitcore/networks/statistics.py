"""A song's sound in a few numbers, and raters that read them: for catalogues of hundreds of songs.

A convolutional network needs thousands of songs. With hundreds, a smooth function of a few
statistics does better: the mean, the spread and the restlessness of 32 mel bands, and the
logarithm of the tags. The function is a sum of random cosines, which stands for a Gaussian kernel
without keeping the songs it learned from, so that a model's file holds no song's features.

Conventions:
    The level of a song is taken out of its spectrogram before anything is measured, so that a
    louder master is the same song; a silent one has a level of 0 and statistics of 0.

References:
    A. Rahimi, B. Recht, "Random features for large-scale kernel machines", 2007.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hitcore.errors import ParameterError
from hitcore.networks.hitnet import AudioNetwork, TagNetwork

N_BANDS = 32
"""Bands that the mel bins are joined to."""
REFERENCE_LEVEL = 2000.0
"""Mean power per frame, summed over the mel bins, that every song is brought to."""
TAG_FLOOR = 1e-4
"""Added to a tag's activation before its logarithm."""
COMPRESSION = 10_000.0
"""Factor of power inside the logarithm of the log-mel, as `hitcore.features` has it."""


def level(log_mel: Tensor) -> Tensor:
    """The mean power of each song per frame, summed over the mel bins.

    Shape:
        log_mel `(n_songs, n_mels, n_frames)` of `ln(1+10000·S)`, result `(n_songs,)`.

    Example:
        >>> level(torch.zeros(1, 128, 323))
        tensor([0.])
    """
    return torch.expm1(log_mel).div(COMPRESSION).sum(dim=1).mean(dim=-1)


def mel_statistics(log_mel: Tensor, n_bands: int = N_BANDS) -> Tensor:
    """Mean, deviation and mean step over time of each band, at a common level.

    Shape:
        log_mel `(n_songs, n_mels, n_frames)`, result `(n_songs, 3 * n_bands)`.

    Raises:
        ParameterError: the mel bins cannot be joined to this many bands, or there are fewer than
            two frames.

    Example:
        >>> mel = torch.rand(2, 128, 20)
        >>> louder = torch.log1p(2 * torch.expm1(mel))
        >>> bool(torch.allclose(mel_statistics(mel), mel_statistics(louder), atol=1e-4))
        True
    """
    if log_mel.ndim != 3 or log_mel.shape[1] % n_bands or log_mel.shape[2] < 2:
        raise ParameterError(
            f"the log-mel has shape {tuple(log_mel.shape)}; its statistics need (n_songs, a "
            f"multiple of {n_bands} bins, at least 2 frames)"
        )
    gain = REFERENCE_LEVEL / level(log_mel).clamp_min(torch.finfo(torch.float32).tiny)
    at_level = torch.log1p(torch.expm1(log_mel) * gain.clamp_max(1e12)[:, None, None])
    bands = at_level.reshape(len(log_mel), n_bands, -1, log_mel.shape[2]).mean(dim=2)
    return torch.cat(
        [bands.mean(dim=-1), bands.std(dim=-1), bands.diff(dim=-1).abs().mean(dim=-1)], dim=1
    )


def window_statistics(log_mel: Tensor, n_frames: int, step: int) -> Tensor:
    """The statistics of every window of a long spectrogram, each as `mel_statistics` gives them.

    Args:
        log_mel: Of a whole song, at least one window long.
        n_frames: Frames of a window.
        step: Frames from the start of one window to the next.

    Shape:
        log_mel `(n_mels, n_song_frames)`, result `(n_windows, 3 * N_BANDS)`.

    Example:
        >>> song = torch.rand(128, 30)
        >>> found = window_statistics(song, n_frames=20, step=5)
        >>> alone = mel_statistics(song[None, :, 5:25])
        >>> found.shape[0], bool(torch.allclose(found[1:2], alone, atol=1e-4))
        (3, True)
    """
    # In numpy, on one core: hundreds of small operations of torch would each wait for its threads.
    power = np.expm1(log_mel.numpy())  # once for all windows: the gain alone differs between them
    sums = np.concatenate([[0.0], np.cumsum(power.sum(axis=0), dtype=np.float64)])
    starts = np.arange(0, power.shape[1] - n_frames + 1, step)
    levels = (sums[starts + n_frames] - sums[starts]) / (COMPRESSION * n_frames)
    gains = np.minimum(REFERENCE_LEVEL / np.maximum(levels, np.finfo(np.float32).tiny), 1e12)
    found = np.empty((len(starts), 3, N_BANDS), np.float32)
    by_band = power.reshape(N_BANDS, -1, power.shape[1])
    mean = np.full(n_frames, 1 / n_frames, np.float32)
    mean_step = np.full(n_frames - 1, 1 / (n_frames - 1), np.float32)
    for row, start, gain in zip(found, starts, gains.astype(np.float32), strict=True):
        at_level = by_band[:, :, start : start + n_frames] * gain
        at_level += 1
        bands = _mean_logarithm(at_level)
        row[0] = bands @ mean
        bands -= row[0][:, None]
        row[1] = np.sqrt(np.einsum("bt,bt->b", bands, bands) / (n_frames - 1))
        row[2] = np.abs(bands[:, 1:] - bands[:, :-1]) @ mean_step
    return torch.from_numpy(found.reshape(len(starts), -1))


def _mean_logarithm(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the logarithms over the bins of each band, from one logarithm for two bins.

    A window's values sum to `REFERENCE_LEVEL * COMPRESSION * n_frames`, so no product of two
    overflows.

    Shape:
        (n_bands, n_bins, n_frames) of at least 1 -> (n_bands, n_frames)
    """
    n_bins = values.shape[1]
    if n_bins % 2 == 0:
        values = values[:, 0::2] * values[:, 1::2]
    found: NDArray[np.float32] = np.log(values).sum(axis=1) / np.float32(n_bins)
    return found


def log_tags(tags: Tensor) -> Tensor:
    """The natural logarithm of tag activations, 0 set a little above 0.

    Example:
        >>> log_tags(torch.zeros(1)).exp()
        tensor([1.0000e-04])
    """
    return torch.log(tags + TAG_FLOOR)


def sound_statistics(log_mel: Tensor | None, tags: Tensor | None) -> Tensor:
    """All that tells songs apart without a network: level and mel statistics, log tags.

    Shape:
        log_mel `(n_songs, n_mels, n_frames)`, tags `(n_songs, n_tags)`; either may be None. The
        result is `(n_songs, 1 + 3 * N_BANDS + n_tags)`, less what is None.

    Raises:
        ParameterError: Neither is given.

    Example:
        >>> sound_statistics(torch.rand(2, 128, 20), torch.rand(2, 50)).shape
        torch.Size([2, 147])
    """
    parts = []
    if log_mel is not None:
        parts += [torch.log(level(log_mel) + 1e-6)[:, None], mel_statistics(log_mel)]
    if tags is not None:
        parts.append(log_tags(tags))
    if not parts:
        raise ParameterError("neither a log-mel nor tags are given; one is needed")
    return torch.cat(parts, dim=1)


class StatisticsNetwork(AudioNetwork):
    """What the networks of the mel statistics share; they have no frame scores.

    Args:
        n_mels: Bins per frame, a multiple of 32.
        n_frames: Frames per song.
        dropout: Unused.
    """

    min_frames = 2
    has_frames = False

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.0) -> None:
        super().__init__(n_mels, n_frames, dropout)

    def forward(self, mel: Tensor) -> Tensor:
        """One score per song."""
        return self.rate(mel_statistics(self.checked(mel)))

    def _frame_scores(self, mel: Tensor) -> Tensor:
        raise ParameterError(
            f"{type(self).__name__} looks at a whole passage at once and has no frame scores: take "
            "the score of each window of the song instead (hitcore.analysis.curve)"
        )

    def rate(self, statistics: Tensor) -> Tensor:
        """One score per row of statistics, `(n_songs, 3 * N_BANDS)` to `(n_songs,)`."""
        raise NotImplementedError


class StatisticsRater(StatisticsNetwork):
    """A smooth function of the mel statistics: random cosines, then a weighted sum.

    Args:
        n_mels: Bins per frame, a multiple of 32.
        n_frames: Frames per song.
        dropout: Unused.
        n_features: Number of cosines.

    Example:
        >>> StatisticsRater().eval()(torch.rand(2, 128, 323)).shape
        torch.Size([2])
    """

    def __init__(
        self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.0, n_features: int = 512
    ) -> None:
        super().__init__(n_mels, n_frames, dropout)
        self.project = nn.Linear(3 * N_BANDS, n_features)
        self.out = nn.Linear(n_features, 1)

    def rate(self, statistics: Tensor) -> Tensor:
        """One score per row of statistics."""
        score: Tensor = self.out(torch.cos(self.project(statistics))).squeeze(1)
        return score


class StatisticsLinear(StatisticsNetwork):
    """A weighted sum of the mel statistics.

    Example:
        >>> StatisticsLinear().eval()(torch.rand(2, 128, 323)).shape
        torch.Size([2])
    """

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.0) -> None:
        super().__init__(n_mels, n_frames, dropout)
        self.out = nn.Linear(3 * N_BANDS, 1)

    def rate(self, statistics: Tensor) -> Tensor:
        """One score per row of statistics."""
        score: Tensor = self.out(statistics).squeeze(1)
        return score


class LogTagRater(TagNetwork):
    """A smooth function of the logarithms of the tags, built as `StatisticsRater`.

    Args:
        n_tags: Length of the tag vector.
        dropout: Unused.
        n_features: Number of cosines.

    Shape:
        tags `(n_songs, n_tags)`, result `(n_songs,)`.
    """

    def __init__(self, n_tags: int = 50, dropout: float = 0.0, n_features: int = 512) -> None:
        super().__init__(n_tags)
        self.project = nn.Linear(n_tags, n_features)
        self.out = nn.Linear(n_features, 1)

    def forward(self, tags: Tensor) -> Tensor:
        """One score per song."""
        score: Tensor = self.out(torch.cos(self.project(log_tags(self.checked(tags))))).squeeze(1)
        return score


class LogTagLinear(TagNetwork):
    """A weighted sum of the logarithms of the tags.

    Args:
        n_tags: Length of the tag vector.

    Shape:
        tags `(n_songs, n_tags)`, result `(n_songs,)`.
    """

    def __init__(self, n_tags: int = 50) -> None:
        super().__init__(n_tags)
        self.out = nn.Linear(n_tags, 1)

    def forward(self, tags: Tensor) -> Tensor:
        """One score per song."""
        score: Tensor = self.out(log_tags(self.checked(tags))).squeeze(1)
        return score

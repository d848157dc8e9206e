"""JYnet: six resolutions of the spectrogram, half a minute of music at a time.

The tagger of the paper. Each resolution is standardised with the statistics of its own half
minute; two convolutions over time per resolution, three dense layers per frame, then each tag is
smoothed over time by a Gaussian of learnt width.

References:
    J.-Y. Liu, Y.-H. Yang, "Event localization in music auto-tagging", ACM Multimedia 2016.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hitcore.features import JYNET_MELS, log_mel

N_MELS, N_FRAMES = 128, 911
SAMPLE_RATE, HOP = JYNET_MELS[0].sample_rate, JYNET_MELS[0].hop_length
CLIP_SAMPLES = 30 * SAMPLE_RATE
POOL = 16
N_ROWS = -(-N_FRAMES // POOL)
ROW_S = POOL * HOP / SAMPLE_RATE


class JYNet(nn.Module):
    """The JYnet network: tags and an embedding for each half second of half a minute.

    Args:
        n_tags: Number of tags.

    Shape:
        log-mel `(n_clips, 6, 128, 911)` -> logits and embeddings `(n_clips, 57, n_tags or 512)`.
        The logits are those of the smoothed activations.

    Example:
        >>> logits, embeddings = JYNet().eval()(torch.zeros(1, 6, 128, 911))
        >>> logits.shape, embeddings.shape
        (torch.Size([1, 57, 188]), torch.Size([1, 57, 512]))
    """

    sample_rate = SAMPLE_RATE
    patch_s = N_FRAMES * HOP / SAMPLE_RATE
    row_s = ROW_S
    shortest = (N_FRAMES - 1) * HOP
    """Samples that fill one clip."""

    def __init__(self, n_tags: int = 188) -> None:
        super().__init__()
        self.scales = nn.ModuleList([_Scale() for _ in JYNET_MELS])
        self.dense1 = nn.Conv1d(6 * 32, 512, 1)
        self.dense2 = nn.Conv1d(512, 512, 1)
        self.output = nn.Conv1d(512, n_tags, 1)
        self.log_width = nn.Parameter(torch.zeros(n_tags))
        self.dropout = nn.Dropout(0.5)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embeddings of each row."""
        x = standardise(mel)
        x = torch.cat([scale(x[:, i]) for i, scale in enumerate(self.scales)], dim=1)
        x = functional.relu(self.dense1(self.dropout(x)))
        embedding = functional.relu(self.dense2(self.dropout(x)))
        activation = torch.sigmoid(self.output(self.dropout(embedding)))
        smooth = torch.einsum("nct,cts->nsc", activation, self._smoothing(activation.shape[2]))
        return torch.logit(smooth, eps=1e-7), embedding.transpose(1, 2)

    def _smoothing(self, n_rows: int) -> Tensor:
        """What each row takes from each other one, `(n_tags, from, to)`.

        The Gaussian's centre lies one row late and its sum is not made 1, as published.
        """
        rows = torch.arange(n_rows, device=self.log_width.device)
        distance = (rows[None, :] - rows[:, None] - 1).float()
        width = self.log_width.exp()[:, None, None]
        return torch.exp(-(distance.square()) / (2 * width**2)) / (width * math.sqrt(2 * math.pi))

    @staticmethod
    def inputs(samples: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
        """The clips of a sound at `sample_rate` and where each starts, in seconds.

        Each clip is treated as half a minute of its own. The last one ends with the sound, so that
        none but a sound shorter than a clip is filled up; its frames are filled with zeros.

        Shape:
            samples `(n_samples,)` -> clips `(n_clips, 6, 128, 911)`, starts `(n_clips,)`.
        """
        starts = clip_starts(len(samples))
        clips = [clip_features(samples[start : start + CLIP_SAMPLES]) for start in starts]
        return torch.stack(clips), np.array(starts) / SAMPLE_RATE

    @staticmethod
    def rows_kept(starts: NDArray[np.float64]) -> list[slice]:
        """Which rows of each clip are its own: the last clip may overlap the one before it."""
        kept, heard = [], 0.0
        for start in starts:
            first = max(0, math.ceil((heard - start) / ROW_S - 1e-6))
            kept.append(slice(first, N_ROWS))
            heard = start + N_FRAMES * HOP / SAMPLE_RATE
        return kept

    def load_published(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the weights of the published archive; its convolutions flip their kernels."""
        given = [torch.tensor(tensors[f"arr_{i}"]) for i in range(len(tensors))]
        for i, scale in enumerate(self.scales):
            first, bias1, second, bias2 = given[4 * i : 4 * i + 4]
            _set(scale.get_submodule("conv1"), first[:, 0].flip(1, 2).transpose(1, 2), bias1)
            _set(scale.get_submodule("conv2"), second[..., 0].flip(2), bias2)
        for layer, i in ((self.dense1, 24), (self.dense2, 26), (self.output, 28)):
            _set(layer, given[i][..., 0], given[i + 1])
        self.log_width.data = given[30]


class _Scale(nn.Module):
    """One resolution: two convolutions over time, each pooled by 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, 32, 8)
        self.conv2 = nn.Conv1d(32, 32, 8)

    def forward(self, x: Tensor) -> Tensor:
        """`(n_clips, 128, n_frames)` -> `(n_clips, 32, n_frames / 16, rounded up)`."""
        for conv in (self.conv1, self.conv2):
            x = functional.relu(conv(functional.pad(x, (4, 3))))
            x = functional.max_pool1d(x, 4, ceil_mode=True)
        return x


def _set(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    layer.load_state_dict({"weight": weight, "bias": bias})


def standardise(mel: Tensor) -> Tensor:
    """Each bin with mean 0 and standard deviation 1 over its own clip's frames; constant bins 0.

    Shape:
        `(..., n_mels, n_frames)`, as it was.

    Example:
        >>> standardise(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
        tensor([[-1.,  1.],
                [ 0.,  0.]])
    """
    deviation, mean = torch.std_mean(mel, dim=-1, keepdim=True, correction=0)
    # Rounding gives a constant bin a deviation that is tiny but not 0.
    flat = deviation <= 1e-6 * mean.abs()
    return (mel - mean) / torch.where(flat, 1.0, deviation)


def clip_starts(n_samples: int) -> list[int]:
    """The first sample of each half minute; the last one ends where the sound ends.

    Example:
        >>> [start / SAMPLE_RATE for start in clip_starts(70 * SAMPLE_RATE)]
        [0.0, 29.152, 40.0]
    """
    step = N_FRAMES * HOP
    starts = list(range(0, max(n_samples - CLIP_SAMPLES, 0) + 1, step))
    if starts[-1] + CLIP_SAMPLES < n_samples:
        starts.append(n_samples - CLIP_SAMPLES)
    return starts


def clip_features(samples: Tensor) -> Tensor:
    """The six log-mels of half a minute, not yet standardised; short ones end in zeros.

    Shape:
        `(n_samples,)` -> `(6, 128, 911)`.
    """
    mels = [log_mel(samples, config)[:, :N_FRAMES] for config in JYNET_MELS]
    return torch.stack([functional.pad(mel, (0, N_FRAMES - mel.shape[-1])) for mel in mels])

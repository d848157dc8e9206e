"""musicnn: filters shaped like timbres and rhythms, 3 seconds of music at a time.

References:
    J. Pons, X. Serra, "musicnn: pre-trained convolutional neural networks for music audio
    tagging", ISMIR late-breaking 2019; J. Pons et al., "End-to-end learning for music audio
    tagging at scale", ISMIR 2018.
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

from hitcore.features import MUSICNN_MEL, log_mel
from hitcore.taggers.maxpool import strongest_over_bins
from hitcore.taggers.threads import map_parts

N_MELS, N_FRAMES = 96, 187
PATCH_S = N_FRAMES * MUSICNN_MEL.hop_length / MUSICNN_MEL.sample_rate
_PATCHES_AT_ONCE = 8


class MusicNN(nn.Module):
    """The musicnn network: tags and an embedding for each patch of 3 seconds.

    Every layer is a convolution or dense layer, ReLU, then batch norm. The timbral filters span
    0.4 and 0.7 of the bins and 7 frames, the temporal ones one bin and 32 to 128 frames; both keep
    the strongest response over all bins. Three residual layers over time follow, then maximum and
    mean over time.

    Args:
        n_tags: Number of tags.

    Shape:
        log-mel `(n_patches, 96, 187)` -> logits `(n_patches, 1, n_tags)` and embeddings
        `(n_patches, 1, 200)`: one row for each patch.

    Example:
        >>> logits, embeddings = MusicNN().eval()(torch.zeros(2, 96, 187))
        >>> logits.shape, embeddings.shape
        (torch.Size([2, 1, 50]), torch.Size([2, 1, 200]))
    """

    sample_rate = MUSICNN_MEL.sample_rate
    patch_s = PATCH_S
    row_s = PATCH_S
    shortest = (N_FRAMES - 1) * MUSICNN_MEL.hop_length
    """Samples that give one patch."""

    def __init__(self, n_tags: int = 50) -> None:
        super().__init__()
        self.norm_input = _norm(1)
        self.timbral = nn.ModuleList([_BandFilter(204, bins, 7) for bins in (38, 67)])
        self.temporal = nn.ModuleList([_BandFilter(51, 1, frames) for frames in (128, 64, 32)])
        self.middle = nn.ModuleList(
            [_TimeLayer(n_in) for n_in in (2 * 204 + 3 * 51, _TimeLayer.n_out, _TimeLayer.n_out)]
        )
        self.norm_pooled = _norm(2 * (561 + 3 * 64))
        self.dense = nn.Linear(2 * (561 + 3 * 64), 200)
        self.norm_dense = _norm(200)
        self.output = nn.Linear(200, n_tags)
        self.dropout = nn.Dropout(0.5)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embeddings of each patch; in evaluation on a CPU a few patches at a time."""
        if self.training or mel.is_cuda:
            return self._forward(mel)
        n_patches = min(_PATCHES_AT_ONCE, math.ceil(len(mel) / torch.get_num_threads()))
        parts = map_parts(self._forward, torch.split(mel, max(1, n_patches)))
        return torch.cat([logits for logits, _ in parts]), torch.cat([rows for _, rows in parts])

    def _forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm_input(mel.unsqueeze(1)).squeeze(1)
        front = torch.cat([block(x) for block in (*self.timbral, *self.temporal)], dim=1)
        layers = [front, self.middle[0](front)]
        for layer in list(self.middle)[1:]:
            layers.append(layer(layers[-1]) + layers[-1])
        x = torch.cat(layers, dim=1)
        # Interleaved: the maximum and the mean of each channel stand side by side.
        pooled = torch.stack([x.amax(dim=2), x.mean(dim=2)], dim=2).flatten(1)
        x = functional.relu(self.dense(self.dropout(self.norm_pooled(pooled))))
        embedding = self.norm_dense(x)
        return self.output(self.dropout(embedding)).unsqueeze(1), embedding.unsqueeze(1)

    @staticmethod
    def inputs(samples: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
        """The patches of a sound at `sample_rate` and where each starts, in seconds.

        The rest that does not fill a patch is left out.

        Shape:
            samples `(n_samples,)` -> patches `(n_patches, 96, 187)`, starts `(n_patches,)`.
        """
        mel = log_mel(samples, MUSICNN_MEL)
        n_patches = mel.shape[-1] // N_FRAMES
        whole = mel[:, : n_patches * N_FRAMES].reshape(N_MELS, n_patches, N_FRAMES)
        return whole.transpose(0, 1), np.arange(n_patches, dtype=np.float64) * PATCH_S

    @staticmethod
    def rows_kept(starts: NDArray[np.float64]) -> list[slice]:
        """Which rows of each patch are its own."""
        return [slice(0, 1) for _ in starts]

    def load_published(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the weights of the published checkpoint, by its names."""
        blocks = [*self.timbral, *self.temporal, *self.middle]
        for i, block in enumerate(blocks):
            kernel = torch.tensor(tensors[_nth("conv2d", i, "kernel")])
            time_last = kernel.permute(3, 2, 1, 0)  # (time, bins, in, out) to (out, in, bins, time)
            block.conv.weight.data = time_last.reshape(block.conv.weight.shape).contiguous()
            block.conv.bias.data = torch.tensor(tensors[_nth("conv2d", i, "bias")])
        norms = [self.norm_input, *(block.norm for block in blocks), self.norm_pooled]
        for i, norm in enumerate([*norms, self.norm_dense]):
            for ours, theirs in _STATISTICS.items():
                values = tensors[_nth("batch_normalization", i, theirs)]
                getattr(norm, ours).data = torch.tensor(values)
        for i, dense in enumerate((self.dense, self.output)):
            dense.weight.data = torch.tensor(tensors[_nth("dense", i, "kernel")].T.copy())
            dense.bias.data = torch.tensor(tensors[_nth("dense", i, "bias")])


_STATISTICS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


class _BandFilter(nn.Module):
    """Filters that slide over bins and frames; the strongest response over the bins is kept."""

    def __init__(self, n_out: int, n_bins: int, n_frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, n_out, (n_bins, n_frames))
        self.norm = _norm(n_out)
        self.padding = ((n_frames - 1) // 2, n_frames // 2)

    def forward(self, x: Tensor) -> Tensor:
        """`(n_patches, n_bins, n_frames)` -> `(n_patches, n_out, n_frames)`."""
        x = functional.pad(x, self.padding)
        bias = self.conv.bias
        assert bias is not None
        if self.training:
            activation = functional.relu(_response(x, self.conv.weight, bias))
            normalised: Tensor = self.norm(activation)
            return _by_patch(normalised.amax(dim=2), len(x))
        # ReLU and batch norm are monotone for each filter, so the maximum may be taken first, on
        # filters whose sign makes batch norm rise: far less is left to do after the convolution.
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        weight = self.conv.weight * sign[:, None, None, None]
        if x.is_cuda:
            strongest = _by_patch(_response(x, weight).amax(dim=2), len(x))
        else:
            strongest = strongest_over_bins(x, weight)
        rectified: Tensor = self.norm(functional.relu(strongest * sign[:, None] + bias[:, None]))
        return rectified


def _response(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution of padded patches: channels in dimension 1, bins in dimension 2."""
    n_bins, n_frames = weight.shape[2:]
    if n_bins == 1:
        return functional.conv2d(x.unsqueeze(1), weight, bias)
    # As a convolution over the bins whose channels are the frames: a wider matrix product.
    windows = x.unfold(2, n_frames, 1).permute(0, 2, 3, 1).flatten(0, 1)
    return functional.conv1d(windows, weight[:, 0].transpose(1, 2), bias)


def _by_patch(strongest: Tensor, n_patches: int) -> Tensor:
    """`(n_patches, n_out, n_frames)`, from that or from `(n_patches · n_frames, n_out)`."""
    if strongest.ndim == 3:
        return strongest
    return strongest.view(n_patches, -1, strongest.shape[1]).transpose(1, 2)


class _TimeLayer(nn.Module):
    """A convolution of 7 frames over all channels."""

    n_out = 64

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, self.n_out, 7, padding=3)
        self.norm = _norm(self.n_out)

    def forward(self, x: Tensor) -> Tensor:
        """`(n_patches, n_in, n_frames)` -> `(n_patches, 64, n_frames)`."""
        normalised: Tensor = self.norm(functional.relu(self.conv(x)))
        return normalised


class _Norm(nn.BatchNorm1d):
    """Batch norm over the channels, whatever dimensions follow."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape, normalised."""
        shape = input.shape
        return super().forward(input.reshape(*shape[:2], -1)).view(shape)


def _norm(n_channels: int) -> _Norm:
    return _Norm(n_channels, eps=1e-3, momentum=0.01)


def _nth(layer: str, i: int, what: str) -> str:
    """The name of the i-th layer of a kind: the first has no number."""
    return f"{layer}_{i}/{what}" if i else f"{layer}/{what}"

"""The songs of a training where they are needed: on the device, frames before bins."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore.learning.settings import TrainingData


class DeviceData:
    """The data on the device, frames before bins."""

    def __init__(self, data: TrainingData, device: torch.device) -> None:
        self.device = device
        self.source = data
        self.y = torch.from_numpy(np.asarray(data.y)).float().to(device)
        hit_scores = np.asarray(data.hit_scores)
        self.gain = torch.from_numpy(hit_scores / max(hit_scores.max(), 1e-300)).float().to(device)
        self.mel = None if data.mel is None else _frames_first(torch.as_tensor(data.mel), device)
        self.tags = None if data.tags is None else torch.as_tensor(data.tags).float().to(device)
        self._statistics: dict[tuple[str, bytes], tuple[Tensor, Tensor]] = {}

    def mel_of(self, songs: Tensor) -> Tensor | None:
        """The spectrograms of these songs, `(…, n_frames, n_mels)`; None where there are none."""
        return None if self.mel is None else self.mel[songs]

    def statistics(self, name: str, songs: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Mean and 1/deviation of each feature over some songs; 1 where it does not vary."""
        key = (name, songs.tobytes())
        if key not in self._statistics:
            features = self.mel if name == "mel" else self.tags
            assert features is not None
            self._statistics[key] = _moments(features, torch.from_numpy(songs).to(self.device))
        return self._statistics[key]


def _frames_first(mel: Tensor, device: torch.device) -> Tensor:
    """`(n_songs, n_frames, n_mels)` on the device, in the precision it came in."""
    dtype = torch.float16 if mel.dtype == torch.float16 else torch.float32
    n_songs, n_mels, n_frames = mel.shape
    turned = torch.empty(n_songs, n_frames, n_mels, dtype=dtype, device=device)
    for start in range(0, n_songs, 256):
        turned[start : start + 256] = mel[start : start + 256].to(device).mT
    return turned


def _moments(features: Tensor, songs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1/deviation of the last dimension over some songs, in double precision."""
    n_features = features.shape[-1]
    total = torch.zeros(2, n_features, dtype=torch.float64, device=features.device)
    n_rows = 0
    for part in torch.split(songs, 256):
        rows = features[part].float().view(-1, n_features)
        offset = features[songs[0]].float().view(-1, n_features)[0]
        rows = rows - offset
        total += torch.stack([rows.sum(0), rows.square().sum(0)])
        n_rows += len(rows)
    mean = total[0] / n_rows
    deviation = (total[1] / n_rows - mean.square()).clamp(min=0).sqrt()
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 1.0)
    return (mean + offset).float(), scale.float()

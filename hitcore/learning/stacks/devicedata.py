"""The songs of a training where they are needed: on the device, frames before bins.

Where the spectrograms are more than the memory holds they stay on disk, and `bring` puts a part of
them into a buffer of fixed size; while one part is trained on, a thread reads the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore.errors import DataError
from hitcore.learning.ondisk import MelSource
from hitcore.learning.settings import TrainingData

PART_SONGS = 2048
"""Songs in a part, about: 170 MB in half precision, three times that with the part to come."""

Songs = NDArray[np.int64]


class DeviceData:
    """The data on the device, frames before bins."""

    def __init__(self, data: TrainingData, device: torch.device) -> None:
        self.device = device
        self.source = data
        self.y = torch.from_numpy(np.asarray(data.y)).float().to(device)
        hit_scores = np.asarray(data.hit_scores)
        self.gain = torch.from_numpy(hit_scores / max(hit_scores.max(), 1e-300)).float().to(device)
        self.tags = None if data.tags is None else torch.as_tensor(data.tags).float().to(device)
        self.on_disk = data.on_disk
        self.mel: Tensor | None = None
        if self.on_disk is not None:
            n_songs, n_mels, n_frames = self.on_disk.shape
            counts = np.bincount(self.on_disk.part_of)
            self.capacity = min(n_songs, PART_SONGS + int(counts.max()))
            self.mel = torch.empty(
                self.capacity, n_frames, n_mels, dtype=torch.float16, device=device
            )
            self._place = torch.zeros(n_songs, dtype=torch.int64, device=device)
            self._sums: tuple[Tensor, Tensor, Tensor] | None = None
        elif data.mel is not None:
            self.mel = _frames_first(torch.as_tensor(data.mel), device)
        self._statistics: dict[tuple[str, bytes], tuple[Tensor, Tensor]] = {}

    def places(self, songs: Tensor) -> Tensor:
        """Where in `mel` these songs are; below 0 as they were."""
        if self.on_disk is None:
            return songs
        return torch.where(songs >= 0, self._place[songs.clamp(min=0)], songs)

    def mel_of(self, songs: Tensor) -> Tensor | None:
        """The spectrograms of these songs, `(…, n_frames, n_mels)`; None where there are none."""
        return None if self.mel is None else self.mel[self.places(songs)]

    def parts(self, epoch: int) -> list[Songs]:
        """All songs, part by part, in an order that follows from the number of the epoch."""
        assert self.on_disk is not None, "songs in memory have no parts"
        part_of = self.on_disk.part_of
        order = np.argsort(part_of, kind="stable")
        counts = np.bincount(part_of)
        ends = np.cumsum(counts)
        found: list[Songs] = []
        together: list[Songs] = []
        for part in np.random.default_rng([epoch, 3]).permutation(len(counts)):
            together.append(order[ends[part] - counts[part] : ends[part]])
            if sum(map(len, together)) >= PART_SONGS:
                found.append(np.concatenate(together))
                together = []
        return [*found, np.concatenate(together)] if together else found

    def brought(self, parts: Sequence[Songs]) -> Iterator[Songs]:
        """Each of these parts in turn, in `mel` until the next is asked for.

        Raises:
            DataError: A song is NaN or infinite, or the store changed while it was read.
        """
        assert self.on_disk is not None, "songs in memory need not be brought"
        with ThreadPoolExecutor(1, "next-part") as reader:
            coming = reader.submit(_read, self.on_disk, parts[0]) if parts else None
            for number, songs in enumerate(parts):
                assert coming is not None, "asked for one part ahead"
                rows = coming.result()
                if number + 1 < len(parts):
                    coming = reader.submit(_read, self.on_disk, parts[number + 1])
                assert self.mel is not None, "made with the data"
                self.mel[: len(songs)].copy_(rows.to(self.device))
                here = torch.arange(len(songs), device=self.device)
                self._place[torch.from_numpy(songs).to(self.device)] = here
                yield songs

    def statistics(self, name: str, songs: Songs) -> tuple[Tensor, Tensor]:
        """Mean and 1/deviation of each feature over some songs; 1 where it does not vary."""
        key = (name, songs.tobytes())
        if key not in self._statistics:
            where = torch.from_numpy(songs).to(self.device)
            if name == "mel" and self.on_disk is not None:
                self._statistics[key] = self._moments_on_disk(where)
            else:
                features = self.mel if name == "mel" else self.tags
                assert features is not None
                self._statistics[key] = _moments(features, where)
        return self._statistics[key]

    def _moments_on_disk(self, songs: Tensor) -> tuple[Tensor, Tensor]:
        """As `_moments`, from sums of each song that are made in one pass over the disk."""
        assert self.on_disk is not None
        n_songs, n_mels, n_frames = self.on_disk.shape
        if self._sums is None:
            sums = torch.empty(2, n_songs, n_mels, device=self.device)
            offset: Tensor | None = None
            for part in self.brought(self.parts(0)):
                assert self.mel is not None
                where = torch.from_numpy(part).to(self.device)
                for start in range(0, len(part), 256):
                    stop = min(start + 256, len(part))
                    rows = self.mel[start:stop].float()
                    if offset is None:
                        offset = rows.mean(dim=(0, 1))
                    rows = rows - offset
                    sums[0, where[start:stop]] = rows.sum(dim=1)
                    sums[1, where[start:stop]] = rows.square().sum(dim=1)
            assert offset is not None
            self._sums = (sums[0], sums[1], offset)
        once, squared, offset = self._sums
        n_rows = len(songs) * n_frames
        mean = once[songs].double().sum(dim=0) / n_rows
        square = squared[songs].double().sum(dim=0) / n_rows
        return _standard(mean, square, offset.double())


def _read(source: MelSource, songs: Songs) -> Tensor:
    """The spectrograms of these songs, frames first."""
    rows = torch.from_numpy(source.rows(songs)).mT.contiguous()
    finite = torch.isfinite(rows).reshape(len(rows), -1).all(dim=1)
    if not bool(finite.all()):
        song = int(songs[int(finite.int().argmin())])
        raise DataError(
            f"mel of song {song} is NaN or infinite: leave out songs without a defined hit score "
            "or with unreadable audio"
        )
    return rows


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
    return _standard(total[0] / n_rows, total[1] / n_rows, offset.double())


def _standard(mean: Tensor, square: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1/deviation from the means of values and squares about an offset."""
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 1.0)
    return (mean + offset).float(), scale.float()

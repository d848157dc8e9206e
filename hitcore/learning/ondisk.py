"""What a training asks of spectrograms that stay on disk."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@runtime_checkable
class MelSource(Protocol):
    """Spectrograms that stay on disk and are read a part at a time.

    A member is shown the songs part by part: the parts in random order, the songs of each part in
    random order, batches within a part.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n_songs, n_mels, n_frames)`."""

    @property
    def part_of(self) -> Indices:
        """The part of the store in which each song lies, `(n_songs,)`."""

    @property
    def fingerprint(self) -> str:
        """Changes with any number of the spectrograms."""

    def rows(self, songs: Indices) -> NDArray[np.float16]:
        """The spectrograms of these songs, `(n, n_mels, n_frames)`."""

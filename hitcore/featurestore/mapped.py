"""Spectrograms that stay in their shards: more songs than the memory holds.

Shards are mapped into memory one at a time and let go again, so that what is resident is what was
asked for, not what was ever looked at.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import DataError


@dataclass(frozen=True, eq=False)
class MappedMel:
    """The log-mel spectrograms of songs in a given order, read when asked for.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "shard.npy"
        >>> np.save(file, np.arange(12, dtype=np.float16).reshape(2, 2, 3))
        >>> mel = MappedMel.of([file], [0, 0], [1, 0], (2, 3), "any")
        >>> mel.shape, mel.rows(np.array([0]))[0, 0].tolist()
        ((2, 2, 3), [6.0, 7.0, 8.0])
    """

    files: tuple[Path, ...]
    """The shards."""
    part_of: NDArray[np.int64] = field(repr=False)
    """The place of each song's shard in `files`, (n_songs,)."""
    row: NDArray[np.int64] = field(repr=False)
    """Each song's row in its shard, (n_songs,)."""
    size: tuple[int, int]
    """n_mels and n_frames of a song."""
    fingerprint: str
    """Changes with any number of the spectrograms."""
    seen: tuple[tuple[int, int], ...] = field(repr=False)
    """Size and time of change of each shard when it was opened."""

    @classmethod
    def of(
        cls,
        files: list[Path],
        part_of: "list[int] | NDArray[np.int64]",
        row: "list[int] | NDArray[np.int64]",
        size: tuple[int, int],
        fingerprint: str,
    ) -> "MappedMel":
        """These rows of these files, which must not change from now on."""
        return cls(
            tuple(files),
            np.asarray(part_of, np.int64),
            np.asarray(row, np.int64),
            size,
            fingerprint,
            tuple(_stamp(file) for file in files),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n_songs, n_mels, n_frames)`."""
        return len(self.part_of), *self.size

    def rows(self, songs: NDArray[np.int64]) -> NDArray[np.float16]:
        """The spectrograms of these songs, `(n, n_mels, n_frames)`.

        Raises:
            DataError: a shard has changed since the store was opened.
        """
        found = np.empty((len(songs), *self.size), np.float16)
        parts = self.part_of[songs]
        for part in np.unique(parts):
            file = self.files[part]
            if _stamp(file) != self.seen[part]:
                raise DataError(
                    f"{file.name} has changed while it was read (another build in the same "
                    "workspace?): start again, what was done before is kept"
                )
            where = np.flatnonzero(parts == part)
            shard = np.load(file, mmap_mode="r", allow_pickle=False)
            found[where] = shard[self.row[songs[where]]]
            shard._mmap.close()
        return found


def _stamp(file: Path) -> tuple[int, int]:
    """Size and time of change of a file.

    Raises:
        DataError: it is gone.
    """
    try:
        about = os.stat(file)
    except OSError as error:
        raise DataError(
            f"{file} is gone ({error.strerror}): build the features again, which mends it"
        ) from error
    return about.st_size, about.st_mtime_ns

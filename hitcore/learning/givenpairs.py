"""Pairs as a matrix: a sampler of one's own, without a class of its own."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hitcore.errors import DataError
from hitcore.learning.pairs import PairRule, different

Ints = NDArray[np.int64]


class GivenPairs(PairRule):
    """The pairs of songs that a matrix permits.

    The matrix takes `n_songs²` bytes; statistics in closed form (`paircounts`) are for the
    built-in rules alone.

    Args:
        permitted: Where it is True in either triangle, the two songs may be compared.
        name: What messages call the rule.

    Shape:
        permitted: `(n_songs, n_songs)`, the diagonal does not count.

    Raises:
        DataError: the matrix is not square, or permits no pair.

    Example:
        >>> years = np.array([1999, 2004, 2004, 1999])
        >>> rule = GivenPairs(years[:, None] == years, "same year")
        >>> pairs = rule.explicit(None, np.random.default_rng(0))
        >>> rule.n_permitted(), sorted(map(sorted, pairs.tolist()))
        (2, [[0, 3], [1, 2]])
    """

    def __init__(self, permitted: Tensor | ArrayLike, name: str = "given") -> None:
        matrix = torch.as_tensor(np.asarray(permitted), dtype=torch.bool)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise DataError(f"pairs of shape {tuple(matrix.shape)}: (n_songs, n_songs) is needed")
        songs = np.arange(len(matrix))
        super().__init__(len(songs), songs, np.zeros_like(songs), np.ones(1, np.int64))
        self.name = name
        self._matrix = matrix | matrix.mT
        self._n_later = self._matrix.triu(1).sum(1).numpy()
        if not self._n_later.any():
            raise DataError(f"the rule {name!r} permits no pair of {len(songs)} songs")

    def in_batch(self, songs: Tensor) -> Tensor:
        """Mask of the permitted pairs within a batch, as `PairRule.in_batch`."""
        if self._matrix.device != songs.device:
            self._matrix = self._matrix.to(songs.device)
        known = songs.clamp(min=0)
        return different(songs) & self._matrix[known.unsqueeze(-1), known.unsqueeze(-2)]

    def _later(self, place: Ints, nth: Ints) -> Ints:
        partners = np.split(
            self._matrix.cpu().triu(1).nonzero()[:, 1].numpy(), self._n_later.cumsum()
        )
        return np.array([partners[i][n] for i, n in zip(place, nth, strict=True)], np.int64)

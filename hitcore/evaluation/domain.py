"""Whether a song is like those that a model learned from, as far as its statistics tell.

A network gives a number for anything, a metronome included. The songs that it learned from fill a
cloud in the space of their statistics; a song far outside of it is one that the model knows nothing
about. Distance is measured in the directions in which the songs differ most, each in units of
their own spread there. How far is too far, the songs say themselves: each is measured with the
cloud of the others, and the limit is the distance that 5 % of them exceed.

Conventions:
    features: `(n_songs, d)`, one row of statistics per song.
    distance: 1 at the limit. Root mean square over the directions, so its unit has no dimension.

A distance says that a sound is unlike the songs, never that it is a good song, and nothing about
which of them it is like: a catalogue that holds film music takes an orchestra for its own.

References:
    P. Mahalanobis, "On the generalised distance in statistics", 1936; its use for what is out of
    distribution: K. Lee, K. Lee, H. Lee, J. Shin, NeurIPS 2018.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import DataError

Floats = NDArray[np.float64]

N_DIRECTIONS = 20
"""Directions that distance is measured in, where the songs are enough for so many."""
INSIDE = 0.95
"""Share of the songs that are within the limit when each is left out."""
MAX_GROUPS = 600
"""Up to this many groups are left out one by one; more are joined to `FEW_GROUPS`."""
FEW_GROUPS = 20
_NAMES = ("mean", "scale", "directions", "limit")


@dataclass(frozen=True, eq=False)
class Domain:
    """The cloud of a catalogue's songs, without the songs.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> songs = rng.normal(size=(300, 5))
        >>> domain = Domain.fit(songs)
        >>> domain.contains(np.zeros(5)), domain.contains(np.full(5, 9.0))
        (True, False)
    """

    mean: Floats = field(repr=False)
    """Of each feature, (d,)."""
    scale: Floats = field(repr=False)
    """Deviation of each feature, (d,)."""
    directions: Floats = field(repr=False)
    """Principal directions of the standardised features, divided by the deviation along them,
    (k, d)."""
    limit: float
    """Root mean square distance that 5 % of the songs exceed when left out."""

    @classmethod
    def fit(cls, features: ArrayLike, groups: ArrayLike | None = None) -> "Domain":
        """The domain of these songs.

        Args:
            features: Statistics of the songs.
            groups: Songs that are left out together, such as those of an artist; None leaves out
                each alone.

        Shape:
            features `(n_songs, d)`, groups `(n_songs,)`.

        Raises:
            DataError: Fewer than ten songs, a feature that is not finite, or not one group per
                song.
        """
        rows = np.asarray(features, np.float64)
        _check(rows)
        limit = float(np.quantile(left_out_distances(rows, groups), INSIDE))
        # A small catalogue's directions fit its own songs most: these are inside all the same.
        own = float(np.quantile(cls._cloud(rows, 1.0).distance(rows), INSIDE))
        return cls._cloud(rows, max(limit, own))

    @classmethod
    def _cloud(cls, rows: Floats, limit: float) -> "Domain":
        mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        _, values, vectors = np.linalg.svd((rows - mean) / scale, full_matrices=False)
        deviations = values / np.sqrt(len(rows) - 1)
        n_usable = int((deviations > 1e-6 * max(deviations[0], 1e-12)).sum())
        # Each direction rests on 25 songs or more, or it would fit them and no others.
        n_kept = max(1, min(N_DIRECTIONS, n_usable, len(rows) // 25))
        directions = vectors[:n_kept] / np.maximum(deviations[:n_kept], 1e-12)[:, None]
        return cls(mean, scale, directions, limit)

    def distance(self, features: ArrayLike) -> Floats:
        """How far from the songs; up to 1 is inside. Infinite where a feature is not finite.

        Shape:
            features `(n_songs, d)` or `(d,)`, result `(n_songs,)` or one number.

        Raises:
            DataError: Not as many features as the songs had.
        """
        rows = np.asarray(features, np.float64)
        if rows.shape[-1:] != self.mean.shape:
            raise DataError(
                f"the features have shape {rows.shape}, this domain was made of {len(self.mean)} "
                "features per song: make them in the same way"
            )
        known = np.isfinite(rows).all(axis=-1)
        clean = np.where(np.isfinite(rows), rows, 0.0)
        along = ((clean - self.mean) / self.scale) @ self.directions.T
        far = np.sqrt((along**2).mean(axis=-1)) / self.limit
        return np.asarray(np.where(known, far, np.inf))

    def contains(self, features: ArrayLike) -> bool:
        """Whether one song, `(d,)`, is within the limit."""
        return bool(self.distance(features) <= 1)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which a model's file holds them."""
        return {
            f"domain/{name}": np.asarray(getattr(self, name), np.float32).reshape(-1, *shape)
            for name, shape in zip(_NAMES, [(), (), (len(self.mean),), ()], strict=True)
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> "Domain | None":
        """What `to_tensors` gave, found among the tensors of a file; None where it is not there.

        Example:
            >>> Domain.from_tensors({}) is None
            True
        """
        if any(f"domain/{name}" not in tensors for name in _NAMES):
            return None
        mean, scale, directions, limit = (
            tensors[f"domain/{name}"].astype(np.float64) for name in _NAMES
        )
        return cls(mean, scale, directions, float(limit[0]))


def left_out_distances(features: ArrayLike, groups: ArrayLike | None = None) -> Floats:
    """How far each song is from the cloud of all others, root mean square.

    Args:
        features: Statistics of the songs.
        groups: Songs that are left out together; None leaves out each alone.

    Shape:
        features `(n_songs, d)`, groups and result `(n_songs,)`.
    """
    rows = np.asarray(features, np.float64)
    _check(rows)
    labels = np.arange(len(rows)) if groups is None else np.asarray(groups)
    if labels.shape != (len(rows),):
        raise DataError(f"{labels.size} groups for {len(rows)} songs: one each is needed")
    numbers = np.unique(labels, return_inverse=True)[1]
    if numbers.max() >= MAX_GROUPS:  # many songs: leaving some out together changes little
        labels = numbers % FEW_GROUPS
    found = np.empty(len(rows))
    for label in np.unique(labels):
        out = labels == label
        if int((~out).sum()) < 2:
            raise DataError("all songs are of one group: there is none left to measure from")
        found[out] = Domain._cloud(rows[~out], 1.0).distance(rows[out])
    return found


def _check(rows: Floats) -> None:
    if rows.ndim != 2 or len(rows) < 10:
        raise DataError(
            f"the features have shape {rows.shape}; a domain needs (n_songs, d) of ten songs or "
            "more"
        )
    if not np.isfinite(rows).all():
        raise DataError(
            f"the features of song {int((~np.isfinite(rows)).any(axis=1).argmax())} are not finite"
        )

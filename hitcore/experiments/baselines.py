"""Baselines without sound: what a model must beat to be worth listening.

*Artist prior*: a song does as well as the artist's other songs did, shrunk toward the mean of all.
*Release year only*: a straight line from the date of release to the target.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from hitcore.catalogue.songs import Catalogue, Split
from hitcore.experiments.data import release_years

Floats = NDArray[np.float64]

SHRINKAGE = 2.0
"""The mean of all songs counts as this many songs of the artist."""


def artist_prior(catalogue: Catalogue, y: Floats, split: Split) -> Floats:
    """Each song's target as its artists' training songs suggest it.

    Shape:
        y (n_songs,) -> (n_songs,)

    Example:
        >>> from hitcore.catalogue.songs import Song
        >>> songs = Catalogue.from_songs(Song(i, artist_ids=(i[0],)) for i in ("a1", "a2", "b1"))
        >>> split = Split(np.array([0, 2]), np.array([1]), np.array([1]))
        >>> artist_prior(songs, np.array([1.0, 9.0, 0.0]), split).round(2).tolist()
        [0.67, 0.67, 0.33]
    """
    mean = float(y[split.train].mean())
    by_artist: dict[str, list[float]] = defaultdict(list)
    for song in split.train:
        for artist in catalogue.artist_ids[song]:
            by_artist[artist].append(float(y[song]))
    known = {
        artist: (sum(values) + SHRINKAGE * mean) / (len(values) + SHRINKAGE)
        for artist, values in by_artist.items()
    }
    return np.array(
        [
            float(np.mean([known.get(artist, mean) for artist in artists])) if artists else mean
            for artists in catalogue.artist_ids
        ]
    )


def release_year(catalogue: Catalogue, y: Floats, split: Split) -> Floats:
    """Each song's target as a straight line over the date of release suggests it.

    Shape:
        y (n_songs,) -> (n_songs,)
    """
    years = release_years(catalogue)
    known = split.train[np.isfinite(years[split.train])]
    mean = float(y[split.train].mean())
    if len(known) < 2 or np.ptp(years[known]) == 0:
        return np.full(len(y), mean)
    slope, offset = np.polyfit(years[known], y[known], 1)
    return np.where(np.isfinite(years), slope * years + offset, mean)

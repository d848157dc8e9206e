"""Rows without a network: what a model must beat to be worth its training.

*Artist prior*: a song does as well as the artist's other songs did, shrunk toward the mean of all.
*Genre alone*, *decade alone*: the same for the songs of its genres, or of its decade of release.
*Release year only*: a straight line from the date of release to the target.
*Loudness alone*: the mean level of the log-mel spectrogram, louder is better.
*Ridge on tags*, *ridge on tags and mel statistics*, *ridge on attributes*: linear least squares
with a penalty that the validation songs choose. *LambdaMART*: LightGBM's trees, where it is
installed.

Conventions:
    A rule is fitted on the training songs and gives a score to every song; louder, more popular
    and higher all mean better. What is chosen is chosen on the validation songs.

References:
    A. Hoerl, R. Kennard, "Ridge regression", Technometrics 1970. C. Burges, "From RankNet to
    LambdaRank to LambdaMART: an overview", MSR-TR-2010-82. G. Ke et al., "LightGBM", NIPS 2017.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hitcore.catalogue.attributes import Attributes
from hitcore.catalogue.songs import Catalogue, Split
from hitcore.errors import DataError
from hitcore.experiments.data import release_years
from hitcore.experiments.lambdamart import lambda_mart
from hitcore.featurestore import Features

Floats = NDArray[np.float64]

SHRINKAGE = 2.0
"""The mean of all songs counts as this many songs of the artist."""

PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Penalties of the ridge, in multiples of the number of training songs; inputs have deviation 1."""

TAG_FLOOR = 1e-3
"""Added to a tag's activation before its logarithm, about that of a tag that is not there."""


@dataclass(frozen=True, eq=False)
class BaselineInputs:
    """What a rule may look at."""

    catalogue: Catalogue
    """The songs."""
    y: Floats = field(repr=False)
    """Their targets, (n_songs,)."""
    split: Split = field(repr=False)
    """Who trains, who chooses."""
    features: Features | None = field(default=None, repr=False)
    """Log-mel and tags, where the row needs sound."""
    attributes: Attributes | None = field(default=None, repr=False)
    """The attributes, where the row needs them."""
    seed: int = 0
    """Of anything random."""


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
    return group_prior(catalogue.artist_ids, y, split)


def group_prior(groups: Sequence[Sequence[object]], y: Floats, split: Split) -> Floats:
    """Each song's target as the training songs of its groups suggest it, shrunk toward the mean.

    Args:
        groups: Of each song: its artists, its genres, its decade; none is the mean of all.
        y: Targets of all songs; those of the training songs count.
        split: Who trains.

    Shape:
        y (n_songs,) -> (n_songs,)

    Example:
        >>> split = Split(np.array([0, 1]), np.array([2]), np.array([3]))
        >>> rows = [["pop"], ["jazz"], ["pop", "jazz"], []]
        >>> group_prior(rows, np.array([1.0, 0.0, 9.0, 9.0]), split).round(2).tolist()
        [0.67, 0.33, 0.5, 0.5]
    """
    mean = float(y[split.train].mean())
    by_group: dict[object, list[float]] = defaultdict(list)
    for song in split.train:
        for group in groups[song]:
            by_group[group].append(float(y[song]))
    known = {
        group: (sum(values) + SHRINKAGE * mean) / (len(values) + SHRINKAGE)
        for group, values in by_group.items()
    }
    return np.array(
        [
            float(np.mean([known.get(group, mean) for group in mine])) if len(mine) else mean
            for mine in groups
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


def genres_of(catalogue: Catalogue) -> list[tuple[str, ...]]:
    """The genres of each song: what stands between semicolons, bars or commas.

    Example:
        >>> from hitcore.catalogue.songs import Song
        >>> genres_of(Catalogue.from_songs([Song("a", genre="Pop/Rock; Blues"), Song("b")]))
        [('Blues', 'Pop/Rock'), ()]
    """
    split = (
        text.replace("|", ";").replace(",", ";").split(";") for text in catalogue.songs["genre"]
    )
    return [tuple(sorted({name.strip() for name in names} - {""})) for names in split]


def ridge(x: Floats, y: Floats, split: Split) -> Floats:
    """Targets of all songs by linear least squares with a penalty on the squared weights.

    Inputs have mean 0 and deviation 1 over the training songs (those that do not vary there are
    left at 0); the penalty with the least squared error on the validation songs counts.

    Shape:
        x (n_songs, n_features), y (n_songs,) -> (n_songs,)

    Raises:
        DataError: an input is not finite.

    References:
        Hoerl and Kennard 1970.

    Example:
        >>> x = np.arange(12.0)[:, None]
        >>> split = Split(np.arange(8), np.arange(8, 10), np.arange(10, 12))
        >>> ridge(x, 3 * x.ravel() + 1, split)[10:].round(0).tolist()
        [31.0, 34.0]
    """
    if not np.isfinite(x).all():
        raise DataError("an input of the ridge is NaN or infinite: build the features again")
    train, valid = split.train, split.valid
    deviation = x[train].std(axis=0)
    varies = deviation > 1e-12
    z = np.where(varies, x - x[train].mean(axis=0), 0.0) / np.where(varies, deviation, 1.0)
    mean = y[train].mean()
    # One decomposition serves all penalties.
    u, s, vt = np.linalg.svd(z[train], full_matrices=False)
    projected = u.T @ (y[train] - mean)
    best, least = np.zeros(x.shape[1]), np.inf
    for penalty in PENALTIES:
        weights = vt.T @ (s / (s**2 + penalty * len(train)) * projected)
        error = float(np.mean((z[valid] @ weights + mean - y[valid]) ** 2))
        if error < least:
            best, least = weights, error
    return np.asarray(z @ best + mean, dtype=np.float64)


def mel_statistics(features: Features) -> Floats:
    """Mean and deviation over time of each bin of the log-mel, (n_songs, 2·n_mels)."""
    parts = []
    for first in range(0, len(features.mel), 64):
        mel = features.mel[first : first + 64].astype(np.float64)
        parts.append(np.concatenate([mel.mean(axis=2), mel.std(axis=2)], axis=1))
    return np.concatenate(parts)


def log_tags(features: Features) -> Floats:
    """Logarithms of the tags, (n_songs, n_tags): activations span powers of ten.

    Raises:
        DataError: the features have no tags.
    """
    if features.tags is None:
        raise DataError("these features have no tags, which this row needs")
    return np.log(features.tags.astype(np.float64) + TAG_FLOOR)


# --- the rows ------------------------------------------------------------------------------------


def _features(inputs: BaselineInputs) -> Features:
    assert inputs.features is not None, "rows that need sound are given features"
    return inputs.features


def _attributes(inputs: BaselineInputs) -> Floats:
    assert inputs.attributes is not None, "rows that need attributes are given them"
    return inputs.attributes.values


def _loudness(inputs: BaselineInputs) -> Floats:
    n_mels = inputs.features.mel.shape[1] if inputs.features is not None else 0
    levels: Floats = mel_statistics(_features(inputs))[:, :n_mels].mean(axis=1)
    return levels


def _ridge_on_sound(inputs: BaselineInputs) -> Floats:
    x = np.concatenate([log_tags(_features(inputs)), mel_statistics(_features(inputs))], axis=1)
    return ridge(x, inputs.y, inputs.split)


def _decade(inputs: BaselineInputs) -> Floats:
    years = release_years(inputs.catalogue)
    decades = [(int(year // 10),) if np.isfinite(year) else () for year in years]
    return group_prior(decades, inputs.y, inputs.split)


RULES: Mapping[str, Callable[[BaselineInputs], Floats]] = {
    "artist-prior": lambda i: artist_prior(i.catalogue, i.y, i.split),
    "release-year": lambda i: release_year(i.catalogue, i.y, i.split),
    "genre": lambda i: group_prior(genres_of(i.catalogue), i.y, i.split),
    "decade": _decade,
    "loudness": _loudness,
    "ridge-tags": lambda i: ridge(log_tags(_features(i)), i.y, i.split),
    "ridge-sound": _ridge_on_sound,
    "ridge-attributes": lambda i: ridge(_attributes(i), i.y, i.split),
    "lambdamart": lambda i: lambda_mart(
        _attributes(i), i.catalogue.hit_scores, i.split, seed=i.seed
    ),
}
"""The rule of each row without a network, by the network's name in `Variant`."""

"""What a score has earned to say of a song: a percentile with its interval, or the reason why not.

A network gives a number for anything. Before the number becomes a percentile, two questions are
asked: are there songs to compare with, that the model had not learned from; and is this song like
them? A model of synthetic songs is asked about demo songs alone.

Conventions:
    percentile, low, high: 0 to 1; None rather than a number that has not been earned.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore import weights
from hitcore.evaluation.domain import Domain
from hitcore.evaluation.percentiles import PercentileRank
from hitcore.files import ASSETS
from hitcore.networks.models import HitModel

REAL = "real-clips"
"""The ensemble that learned from real clips; its domain is that of all references of clips."""
CHARTED = "hot100-attributes"
"""How much a song sounds like those that charted."""
PUBLISHED = "kkbox-ret30"
"""The authors' published network."""
DEMO = "demo-j"
"""The ensemble of the demo catalogue."""


@dataclass(frozen=True)
class Verdict:
    """What a model's score of a song has earned."""

    rank: PercentileRank | None
    """The place among the reference songs; None where it is not earned."""
    in_domain: bool | None
    """Whether the song is like those songs; None where nobody knows."""
    reference: str | None
    """What the place is, or would be, among; None where there is nothing to compare with."""
    note: str
    """Why there is no place; empty where there is one."""


def judge(
    model: HitModel,
    fold_scores: ArrayLike,
    distance: float | None,
    *,
    demo_song: bool,
    silent: bool = False,
) -> Verdict:
    """What a model's scores of a song have earned.

    Args:
        model: The model.
        fold_scores: Its score of the song by each of its networks.
        distance: How far the song is from those of the reference, 1 at the limit; None where that
            is not known.
        demo_song: Whether the song is one of the demo catalogue.
        silent: Whether there is nothing to hear.

    Shape:
        fold_scores `(n_folds,)`.
    """
    reference = model.reference
    among = _among(model) if reference is not None else None
    if silent:
        return Verdict(None, False, among, "There is no percentile: the song is silent.")
    if model.spec.demo:
        inside: bool | None = demo_song
        note = (
            "There is no percentile: this model learned from synthetic songs, and says nothing "
            "about real ones."
        )
    else:
        inside = None if distance is None else distance <= 1
        note = (
            "There is no percentile: this does not sound like the songs that the model knows. It "
            f"is {distance or 0:.1f} times the distance within which 19 of 20 of them lie."
        )
    if inside is False:
        return Verdict(None, False, among, note)
    if reference is None:
        return Verdict(
            None, inside, None, "There is no percentile: no songs are known to compare with."
        )
    return Verdict(reference.percentile_rank(fold_scores), inside, among, "")


def _among(model: HitModel) -> str:
    spec = model.spec
    if spec.reference:
        return spec.reference
    assert model.reference is not None, "asked for models with a reference"
    return f"{len(model.reference.score)} songs: {spec.trained_on}"


def domain_model(model: HitModel) -> str | None:
    """The name of the packaged model whose domain decides for a model that has none of its own."""
    names = (CHARTED, PUBLISHED)
    return REAL if model.spec.name in names and REAL in weights.packaged() else None


def distance_from(domain: Domain, features: NDArray[np.float64]) -> float:
    """How far a song with these statistics, (d,), is from the songs of a domain."""
    return float(domain.distance(features))


def is_demo_song(content_hash: str) -> bool:
    """Whether a file's content is that of a demo song that ships with hitcore.

    Args:
        content_hash: SHA-256 of the content, in hexadecimal digits.

    Example:
        >>> is_demo_song("0" * 64)
        False
    """
    return content_hash in _demo_hashes()


@lru_cache(maxsize=1)
def _demo_hashes() -> frozenset[str]:
    folder = ASSETS / "demo_songs"
    try:
        described = json.loads((folder / "songs.json").read_text(encoding="utf-8"))
        files = [folder / str(song["file"]) for song in described]
        return frozenset(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    except OSError:  # an installation without the demo songs
        return frozenset()

"""The typical song of a catalogue: what a song is compared with when a score is explained.

Averages over the songs' highlights: the tags, and the spectrum in each front end. They are made by
`benchmarks/typical_songs.py`; no song can be had back from them.

Conventions:
    tags: activations from 0 to 1 by musicnn-mtt; the same 50 words as JYnet's, which gives other
        heights: the typical song is a point of comparison, the same for all songs.
    spectrum: one number per mel bin, in the units of the front end.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import DataError, ParameterError
from hitcore.files import ASSETS
from hitcore.networks.models import HitModel

Floats = NDArray[np.float64]

TYPICAL_FILE: Path = ASSETS / "typical.json"


@dataclass(frozen=True, eq=False)
class TypicalSong:
    """The mean of a catalogue's songs."""

    title: str
    """What it is the mean of, for people."""
    tags: dict[str, float]
    """Mean activation of each tag."""
    spectra: dict[str, Floats] = field(repr=False)
    """Mean spectrum by front end, (n_mels,) each."""

    def tags_for(self, names: Sequence[str]) -> Floats:
        """The tags that a model takes, in its order.

        Shape:
            (n_tags,)

        Raises:
            ParameterError: a tag is not among those of the catalogue.
        """
        missing = [name for name in names if name not in self.tags]
        if missing:
            raise ParameterError(f"the mean of {self.title} has no tags {', '.join(missing)}")
        return np.array([self.tags[name] for name in names])

    def spectrum(self, preset: str) -> Floats:
        """The mean spectrum in a front end, (n_mels,).

        Raises:
            ParameterError: the mean was not taken in this front end.
        """
        if preset not in self.spectra:
            raise ParameterError(
                f"the mean of {self.title} has no {preset} spectrum, only {', '.join(self.spectra)}"
            )
        return self.spectra[preset]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, to five digits."""
        return {
            "title": self.title,
            "tags": {name: float(f"{value:.5g}") for name, value in self.tags.items()},
            "spectra": {
                name: [float(f"{value:.5g}") for value in spectrum]
                for name, spectrum in self.spectra.items()
            },
        }


def typical_song(catalogue: str) -> TypicalSong:
    """The typical song of a catalogue that ships: `clips` or `demo`.

    Raises:
        ParameterError: nothing goes by this name.
        DataError: the file of averages is absent.

    Example:
        >>> typical_song("clips").tags["guitar"] > typical_song("clips").tags["sitar"]
        True
    """
    known = _known(TYPICAL_FILE)
    if catalogue not in known:
        raise ParameterError(f"catalogue is {catalogue!r}; known are {', '.join(known)}")
    return known[catalogue]


def typical_for(model: HitModel) -> TypicalSong:
    """What a model's scores are compared with: demo songs for demo models, else the real clips."""
    return typical_song("demo" if model.spec.demo else "clips")


@lru_cache(maxsize=4)
def _known(path: Path) -> dict[str, TypicalSong]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): install hitcore anew"
        ) from error
    return {
        name: TypicalSong(
            entry["title"],
            entry["tags"],
            {preset: np.array(values) for preset, values in entry["spectra"].items()},
        )
        for name, entry in document.items()
    }

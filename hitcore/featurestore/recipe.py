"""What features are made of, and the name that follows from it."""

import hashlib
import json
from dataclasses import asdict, dataclass

from hitcore import weights
from hitcore.errors import ParameterError
from hitcore.features import MEL_PRESETS, MelConfig
from hitcore.highlights import DEFAULT_METHOD, check_method

GIVEN = "given"
"""In place of a highlight method: clips chosen elsewhere (`hitcore.featurestore.given`)."""

VERSION = 1
"""Of the layout and of how features are computed; raised when either changes."""

SEGMENT_VERSIONS = {"middle": 1}
"""Versions of the highlight methods that are not 2; raised when a method's choices change."""


@dataclass(frozen=True)
class FeatureConfig:
    """The settings of one feature store.

    Example:
        >>> FeatureConfig(segment="middle") == FeatureConfig(segment="middle")
        True
        >>> a, b = FeatureConfig(segment="middle"), FeatureConfig(segment="middle", tagger=None)
        >>> a.fingerprint == b.fingerprint
        False
    """

    segment: str = DEFAULT_METHOD
    """The highlight method that chooses the clip: one of `METHODS`, `attention:WEIGHTS` (the name
    or file of other weights), `module:function` (`hitcore.objects.name_of_object`) for one of
    one's own; or "given" for clips chosen elsewhere."""
    length_s: float = 30.0
    """Length of the clip in seconds."""
    mel: str = "paper"
    """Name of the log-mel preset."""
    n_frames: int = 323
    """Frames per song."""
    tagger: str | None = "musicnn-mtt"
    """Named weights of the tagger; None for no tags."""

    def __post_init__(self) -> None:
        if self.segment != GIVEN:
            check_method(self.segment)
        if self.mel not in MEL_PRESETS:
            raise ParameterError(
                f"mel preset {self.mel!r}: one of {', '.join(MEL_PRESETS)} is expected"
            )
        if self.length_s <= 0 or self.n_frames < 1:
            raise ParameterError("length_s and n_frames of features must be positive")

    @property
    def mel_config(self) -> MelConfig:
        """The preset itself."""
        return MEL_PRESETS[self.mel]

    @property
    def fingerprint(self) -> str:
        """A short name that changes whenever the features would; 16 hexadecimal digits."""
        settings = {
            "version": VERSION,
            "segment_version": SEGMENT_VERSIONS.get(self.segment, 2),
            "config": asdict(self),
            "mel": asdict(self.mel_config),
        }
        base, _, chosen = self.segment.partition(":")
        if base == "attention" and chosen:  # other weights under the same name choose other clips
            settings["segment_weights"] = _content_of(chosen)
        text = json.dumps(settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content_of(name: str) -> str:
    """A hash of the numbers of named weights, or of those in a file.

    Raises:
        WeightsError: they are not installed, or damaged.
    """
    digest = hashlib.sha256()
    tensors = weights.load(name).tensors
    for key in sorted(tensors):
        digest.update(f"{key}{tensors[key].shape}".encode())
        digest.update(tensors[key].tobytes())
    return digest.hexdigest()[:16]

"""What is computed of a song's sound: its clip, the clip's mel spectrogram and its mean tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hitcore.audio import Waveform
from hitcore.features import fit_frames, log_mel
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.featurestore.sounds import Sound
from hitcore.highlights import find_highlight
from hitcore.taggers import AnyTagger, Tagger, load_tagger

Arrays = dict[str, Any]
"""The features of one song by name."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip at the rates that its networks want."""

    config: FeatureConfig
    """The store that wants it."""
    for_mel: Waveform
    """At the rate of the store's mel."""
    for_tags: Waveform | None
    """At the rate of the store's tagger; None where there is none."""

    @classmethod
    def of(cls, waveform: Waveform, config: FeatureConfig) -> "Clip":
        """The clip at those rates."""
        for_tags = None
        if config.tagger is not None:
            tagger = tagger_of(config.tagger)  # one's own takes any rate
            rate = tagger.sample_rate if isinstance(tagger, Tagger) else waveform.sample_rate
            for_tags = waveform.resample(rate)
        return cls(config, waveform.resample(config.mel_config.sample_rate), for_tags)


class Computes(Protocol):
    """Whoever computes: a device of this process, or a process of its own (`serving`)."""

    def highlight(self, song: Waveform, config: FeatureConfig) -> tuple[float, float]:
        """Start and end of the clip that a store wants, seconds of the waveform."""
        ...

    def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
        """Mel and, where asked for, mean tags of each clip."""
        ...


class Device:
    """Computes in this process, on one device.

    Args:
        name: As in `hitcore.devices`.
    """

    def __init__(self, name: str = "cpu") -> None:
        self.name = name

    def highlight(self, song: Waveform, config: FeatureConfig) -> tuple[float, float]:
        """Start and end of the clip that a store wants, seconds of the waveform."""
        found = find_highlight(song, config.segment, length_s=config.length_s, device=self.name)
        return found.start, found.end

    def arrays(self, clips: Sequence[Clip]) -> list[Arrays]:
        """Mel and, where asked for, mean tags of each clip.

        Shape:
            mel `(n_mels, n_frames)` float16; tags `(n_tags,)` float32.
        """
        return [
            {"mel": self._mel(clip)} | ({} if row is None else {"tags": row})
            for clip, row in zip(clips, self._tags(clips), strict=True)
        ]

    def _mel(self, clip: Clip) -> NDArray[np.float16]:
        mel = log_mel(clip.for_mel, clip.config.mel_config, self.name)
        return fit_frames(mel, clip.config.n_frames).cpu().numpy().astype(np.float16)

    def _tags(self, clips: Sequence[Clip]) -> list[NDArray[np.float32] | None]:
        """Clips of one tagger go through it together, which is faster."""
        rows: list[NDArray[np.float32] | None] = [None] * len(clips)
        for name in {clip.config.tagger for clip in clips} - {None}:
            places = [i for i, clip in enumerate(clips) if clip.config.tagger == name]
            tagger = tagger_of(str(name), self.name)
            sounds = [sound for i in places if (sound := clips[i].for_tags) is not None]
            if isinstance(tagger, Tagger):
                taggrams = tagger.tag_batch(sounds)
            else:
                taggrams = [tagger.tag(sound) for sound in sounds]
            for i, taggram in zip(places, taggrams, strict=True):
                rows[i] = taggram.mean().astype(np.float32)
        return rows


def features_of(
    sound: Sound, configs: Sequence[FeatureConfig], device: str | Computes = "cpu"
) -> list[Arrays]:
    """The features of one song for each configuration.

    Args:
        sound: The song.
        configs: The stores that want it.
        device: Where the mel and the networks are computed, or who computes them.

    Shape:
        mel `(n_mels, n_frames)` float16; tags `(n_tags,)` float32; clip `(2,)` seconds.
    """
    computes = Device(device) if isinstance(device, str) else device
    spans = [computes.highlight(sound.waveform, config) for config in configs]
    clips = [
        Clip.of(sound.waveform.crop(*span), config)
        for span, config in zip(spans, configs, strict=True)
    ]
    # The middle of a middle passage is the middle of the song.
    about = [
        {"clip": sound.start_s + np.array(span), "content_hash": np.array(sound.content_hash)}
        for span in spans
    ]
    return [one | arrays for one, arrays in zip(about, computes.arrays(clips), strict=True)]


@lru_cache(maxsize=4)
def tagger_of(name: str, device: str = "cpu") -> AnyTagger:
    """A tagger, loaded once for each process."""
    return load_tagger(name, device)

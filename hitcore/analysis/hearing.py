"""What models take of a song, made once for all of them: spectrograms, tags, and their statistics.

Every model gets the clip, the mel preset and the tags (by name, in its order) that it was trained
on; models that share them share the work.
"""

from functools import lru_cache

import torch

from hitcore.analysis.curve import SongMels
from hitcore.analysis.judging import distance_from, domain_model
from hitcore.analysis.tagstretches import TagStretches, hear_stretches
from hitcore.audio import Waveform
from hitcore.features import MEL_PRESETS, fit_frames, log_mel
from hitcore.networks.models import HitModel, load_model
from hitcore.taggers import AnyTagger, Taggram, load_tagger


class Hearing:
    """What models take of a song, made once for all of them: spectrograms and tags.

    Args:
        song: The whole song.
        clip: Its highlight.
        start: Where the highlight starts, seconds.
        tagger: Who has heard the highlight; others are loaded as models ask for them.
        taggram: The highlight's tags by that tagger.
    """

    def __init__(
        self, song: Waveform, clip: Waveform, start: float, tagger: AnyTagger, taggram: Taggram
    ) -> None:
        self.song, self.clip, self.start = song, clip, start
        self.mels = SongMels(song)
        self.taggrams = {tagger.name: taggram}
        self._taggers = {tagger.name: tagger}
        self.is_demo = self.is_silent = False
        self._stretches: dict[str, TagStretches] = {}

    def stretches(self, tagger: str) -> TagStretches:
        """The tags over the song by one tagger."""
        if tagger not in self._stretches:
            by = self._taggers.get(tagger) or load_tagger(tagger)
            if tagger not in self.taggrams:
                self.taggrams[tagger] = by.tag(self.clip)
            known = self.taggrams[tagger]
            self._stretches[tagger] = hear_stretches(by, self.song, known, self.start)
        return self._stretches[tagger]

    def inputs(self, model: HitModel) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """What a model takes of the highlight: spectrogram and tags, None where it takes none."""
        spec, mel, tags = model.spec, None, None
        if spec.mel is not None:
            mel = mel_of(self.clip, spec.mel, spec.n_frames)
        if spec.tag_names:
            assert spec.tagger is not None, "a model with tags names its tagger"
            if spec.tagger not in self.taggrams:
                self.taggrams[spec.tagger] = load_tagger(spec.tagger).tag(self.clip)
            tags = tags_of(self.taggrams[spec.tagger], spec.tag_names)
        return mel, tags

    def distance(self, model: HitModel) -> float | None:
        """How far the highlight is from what a model knows, 1 at the limit; None: unknown."""
        if model.domain is None:
            name = domain_model(model)
            return None if name is None else self.distance(model_of(name))
        return distance_from(model.domain, model.statistics(*self.inputs(model))[0])


def mel_of(clip: Waveform, preset: str, n_frames: int) -> torch.Tensor:
    """A clip's spectrogram by a preset, cut or filled to so many frames, (1, n_mels, n_frames)."""
    config = MEL_PRESETS[preset]
    at_rate = clip.resample(config.sample_rate)
    return fit_frames(log_mel(at_rate.samples, config), n_frames)[None]


def tags_of(taggram: Taggram, names: tuple[str, ...]) -> torch.Tensor:
    """The tags that a model takes, in its order."""
    by_name = dict(zip(taggram.tag_names, taggram.mean(), strict=True))
    return torch.tensor([[float(by_name[name]) for name in names]], dtype=torch.float32)


@lru_cache(maxsize=32)
def model_of(name: str) -> HitModel:
    """A model, read once."""
    return load_model(name)

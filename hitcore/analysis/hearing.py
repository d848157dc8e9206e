"""What models take of a song, made once for all of them: spectrograms, tags, and their statistics.

Every model gets the clip, the mel preset and the tags (by name, in its order) that it was trained
on; models that share them share the work.
"""

from functools import lru_cache
from pathlib import Path

import torch

from hitcore.analysis.curve import SongMels
from hitcore.analysis.judging import distance_from, domain_model
from hitcore.analysis.tagstretches import TagStretches, hear_stretches
from hitcore.audio import Waveform
from hitcore.features import MEL_PRESETS, fit_frames, log_mel
from hitcore.highlights import METHODS, find_highlight
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
        method: The highlight method that chose the clip.
        chosen: Whether a person asked for this clip; then every model gets it.
    """

    def __init__(
        self,
        song: Waveform,
        clip: Waveform,
        start: float,
        tagger: AnyTagger,
        taggram: Taggram,
        method: str = "",
        chosen: bool = False,
    ) -> None:
        self.song, self.clip, self.start = song, clip, start
        self.method, self.chosen = method, chosen
        self._others: dict[str, Hearing] = {}
        self.mels = SongMels(song)
        self.taggrams = {tagger.name: taggram}
        self._taggers = {tagger.name: tagger}
        self.is_demo = self.is_silent = False
        self._stretches: dict[str, TagStretches] = {}
        self._clip_mels: dict[tuple[str, int], torch.Tensor] = {}
        self._distances: dict[str, float] = {}

    def stretches(self, tagger: str) -> TagStretches:
        """The tags over the song by one tagger."""
        if tagger not in self._stretches:
            by = self._taggers.get(tagger) or load_tagger(tagger)
            if tagger not in self.taggrams:
                self.taggrams[tagger] = by.tag(self.clip)
            known = self.taggrams[tagger]
            self._stretches[tagger] = hear_stretches(by, self.song, known, self.start)
        return self._stretches[tagger]

    def for_model(self, model: HitModel) -> "Hearing":
        """The same song by the kind of clip that a model learned from, unless a clip was chosen."""
        if self.chosen or not self.is_foreign(model):
            return self
        method = model.spec.highlight
        if method not in self._others:
            own = find_highlight(self.song, method, length_s=self.clip.duration_s)
            clip = self.song.crop(own.start, own.end)
            by = next(iter(self._taggers.values()))
            other = Hearing(self.song, clip, own.start, by, by.tag(clip), method)
            other.mels = self.mels  # of the same song
            self._others[method] = other
        return self._others[method]

    def is_foreign(self, model: HitModel) -> bool:
        """Whether a model learned from clips by another method than this clip's, as far as told."""
        method = model.spec.highlight
        known = method in METHODS or method.startswith("attention:")
        return known and method != self.method

    def inputs(self, model: HitModel) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """What a model takes of the highlight: spectrogram and tags, None where it takes none."""
        spec, mel, tags = model.spec, None, None
        if spec.mel is not None:
            key = (spec.mel, spec.n_frames)
            if key not in self._clip_mels:
                self._clip_mels[key] = mel_of(self.clip, *key)
            mel = self._clip_mels[key]
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
        name = model.spec.name
        if name not in self._distances:
            found = model.statistics(*self.inputs(model))[0]
            self._distances[name] = distance_from(model.domain, found)
        return self._distances[name]


def mel_of(clip: Waveform, preset: str, n_frames: int) -> torch.Tensor:
    """A clip's spectrogram by a preset, cut or filled to so many frames, (1, n_mels, n_frames)."""
    config = MEL_PRESETS[preset]
    at_rate = clip.resample(config.sample_rate)
    return fit_frames(log_mel(at_rate.samples, config), n_frames)[None]


def tags_of(taggram: Taggram, names: tuple[str, ...]) -> torch.Tensor:
    """The tags that a model takes, in its order."""
    by_name = dict(zip(taggram.tag_names, taggram.mean(), strict=True))
    return torch.tensor([[float(by_name[name]) for name in names]], dtype=torch.float32)


def model_of(name: str) -> HitModel:
    """A model, read once, and again where its file has been written anew."""
    path = Path(name)
    file = path / "model.safetensors" if path.is_dir() else path
    stat = file.stat() if file.is_file() else None
    return _model_of(name, None if stat is None else (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=32)
def _model_of(name: str, written: tuple[int, int] | None) -> HitModel:
    return load_model(name)

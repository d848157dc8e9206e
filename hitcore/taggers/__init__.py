"""Taggers: what a piece of music sounds like, in 50 words over time.

A tagger takes a waveform of any length and rate and gives a `Taggram`. Two architectures, each
with its front end: musicnn listens to 3 seconds at a time, JYnet to half a minute in half-second
rows. Both know the same 50 tags of MagnaTagATune (musicnn-msd knows 50 of Last.fm), in orders that
differ: take tags by name (`Taggram.select`).

Conventions:
    taggram: `(n_patches, n_tags)`, activations from 0 to 1; `times` are the starts in seconds.
    Sound shorter than a tagger's window is filled up with silence and flagged `padded`.

References:
    J. Pons, X. Serra, "musicnn", ISMIR late-breaking 2019; J.-Y. Liu, Y.-H. Yang, "Event
    localization in music auto-tagging", ACM Multimedia 2016; E. Law et al., "Evaluation of
    algorithms using games: the case of music tagging", ISMIR 2009 (MagnaTagATune).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hitcore import weights
from hitcore.audio import Waveform
from hitcore.errors import ParameterError, WeightsError
from hitcore.objects import is_object_name, object_named
from hitcore.taggers.jynet import JYNet
from hitcore.taggers.musicnn import MusicNN
from hitcore.taggers.taggram import Taggram

__all__ = [
    "ARCHITECTURES",
    "TAGGERS",
    "AnyTagger",
    "JYNet",
    "MusicNN",
    "Tagger",
    "Taggram",
    "load_tagger",
    "own_tagger",
    "save_tagger",
]

Network = MusicNN | JYNet
ARCHITECTURES: dict[str, type[MusicNN] | type[JYNet]] = {"musicnn": MusicNN, "jynet": JYNet}
TAGGERS = tuple(name for name, entry in weights.REGISTRY.items() if entry.kind == "tagger")
"""The published taggers by name."""

_BATCH = {MusicNN: 64, JYNet: 8}
"""Windows that go through a network at once, so that a long song takes no more memory."""


@runtime_checkable
class AnyTagger(Protocol):
    """What serves as a tagger wherever one is asked for."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def tag_names(self) -> tuple[str, ...]:
        """What the columns of its taggrams stand for."""
        ...

    def tag(self, waveform: Waveform) -> Taggram:
        """The tags of a sound over time."""
        ...


class Tagger:
    """A tagging network with its front end and the names of its tags.

    Args:
        name: What it is called.
        network: The network, with its weights.
        tag_names: What its outputs stand for.
        used: Those tags that are given out, in order; all of them where left out.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        tag_names: Sequence[str],
        used: Sequence[str] | None = None,
        provenance: str = "",
    ) -> None:
        self.name = name
        self.network = network.eval()
        self.tag_names = tuple(tag_names if used is None else used)
        self.provenance = provenance
        positions = {tag: i for i, tag in enumerate(tag_names)}
        self._columns = [positions[tag] for tag in self.tag_names]

    @property
    def sample_rate(self) -> int:
        """The rate that its front end works at, Hz; other rates are converted."""
        return self.network.sample_rate

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    def tag(self, waveform: Waveform) -> Taggram:
        """The tags of a sound over time.

        Raises:
            ParameterError: The waveform holds no samples.
        """
        return self.tag_batch([waveform])[0]

    @torch.inference_mode()
    def tag_batch(self, waveforms: Sequence[Waveform]) -> list[Taggram]:
        """The tags of several sounds, which go through the network together.

        Raises:
            ParameterError: A waveform holds no samples.
        """
        sounds = [self._prepare(waveform) for waveform in waveforms]
        if not sounds:
            return []
        inputs = [self.network.inputs(samples) for samples, _ in sounds]
        windows = torch.cat([window for window, _ in inputs])
        logits, embeddings = self._run(windows)
        taggrams, first = [], 0
        for (_, flags), (_, starts) in zip(sounds, inputs, strict=True):
            parts = slice(first, first + len(starts))
            taggrams.append(self._taggram(logits[parts], embeddings[parts], starts, flags))
            first += len(starts)
        return taggrams

    def _prepare(self, waveform: Waveform) -> tuple[torch.Tensor, tuple[str, ...]]:
        """The samples at the network's rate, long enough for one window, and what was done."""
        if not len(waveform.samples):
            raise ParameterError("the waveform holds no samples; give at least one")
        samples = torch.from_numpy(waveform.resample(self.sample_rate).samples).to(self.device)
        flags = () if samples.any() else ("silent",)
        missing = self.network.shortest - len(samples)
        if missing > 0:
            flags = ("padded", *flags)
            if isinstance(self.network, MusicNN):
                samples = functional.pad(samples, (0, missing))
        return samples, flags

    def _run(self, windows: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        parts = [self.network(part) for part in torch.split(windows, _BATCH[type(self.network)])]
        activations = torch.cat([torch.sigmoid(logits) for logits, _ in parts])
        embeddings = torch.cat([rows for _, rows in parts])
        return activations[..., self._columns].cpu().numpy(), embeddings.cpu().numpy()

    def _taggram(
        self,
        activations: NDArray[np.float32],
        embeddings: NDArray[np.float32],
        starts: NDArray[np.float64],
        flags: tuple[str, ...],
    ) -> Taggram:
        """The rows of all windows of one sound, one after the other."""
        kept = self.network.rows_kept(starts)
        rows = np.arange(activations.shape[1]) * self.network.row_s
        return Taggram(
            activations=np.concatenate([a[k] for a, k in zip(activations, kept, strict=True)]),
            tag_names=self.tag_names,
            times=np.concatenate([s + rows[k] for s, k in zip(starts, kept, strict=True)]),
            patch_s=self.network.row_s,
            embeddings=np.concatenate([e[k] for e, k in zip(embeddings, kept, strict=True)]),
            flags=flags,
        )


def load_tagger(
    name: str | os.PathLike[str], device: torch.device | str | None = None
) -> AnyTagger:
    """A tagger by name (`musicnn-mtt`, `musicnn-msd`, `jynet`), or from a file that was trained.

    Args:
        name: One of `TAGGERS`, a tagger of `assets/models`, the path of a `.safetensors` file, or
            `module:object` for a tagger of one's own (or a function that makes it).
        device: Where to compute; None: the CPU.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: The weights are not installed (the message says how), damaged, or no tagger.

    Example:
        >>> tagger = load_tagger("musicnn-mtt")                     # doctest: +SKIP
        >>> tagger.tag(hitcore.load_audio("song.mp3")).top(3)       # doctest: +SKIP
    """
    if is_object_name(str(name)):
        return own_tagger(object_named(str(name)))
    found = weights.load(name)
    metadata = found.metadata
    if metadata.get("kind") != "tagger":
        raise WeightsError(f"{name} is no tagger (its kind is {metadata.get('kind', 'unknown')})")
    tag_names = metadata["tag_names"]
    outputs = metadata.get("all_tag_names", tag_names)
    published = str(name) in TAGGERS
    architecture = str(name).split("-")[0] if published else metadata.get("architecture")
    if architecture not in ARCHITECTURES:
        raise WeightsError(f"{name}: architecture {architecture!r} is not known to this version")
    network = ARCHITECTURES[architecture](n_tags=len(outputs))
    if published:
        network.load_published(found.tensors)
    else:
        shapes = {key: tuple(value.shape) for key, value in _floats(network).items()}
        tensors = weights.check_shapes(found.tensors, shapes, str(name))
        network.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=False)
    provenance = f"{metadata['title']}: trained on {metadata['trained_on']}; {metadata['licence']}"
    network = network if device is None else network.to(device)
    return Tagger(str(metadata["name"]), network, outputs, tag_names, provenance)


def own_tagger(thing: object) -> AnyTagger:
    """A tagger of one's own, or what a function without arguments makes, if it can serve as one.

    Raises:
        ParameterError: It has no `name`, `tag_names` and `tag(waveform)`.
    """
    to_make = callable(thing) and (isinstance(thing, type) or not isinstance(thing, AnyTagger))
    made = thing() if to_make else thing  # type: ignore[operator]
    if not isinstance(made, AnyTagger):
        raise ParameterError(f"{made!r:.80} is no tagger: it needs name, tag_names, tag(waveform)")
    return made


def save_tagger(
    path: str | os.PathLike[str],
    network: Network,
    tag_names: Sequence[str],
    description: dict[str, str],
) -> None:
    """Write a trained tagger that `load_tagger` reads back by its path.

    Args:
        path: The `.safetensors` file.
        network: The network.
        tag_names: What its outputs stand for.
        description: `name`, `title`, `trained_on`, `source`, `licence`, `limits`.

    Raises:
        WeightsError: A weight is not finite, or the file cannot be written.
    """
    architecture = next(key for key, kind in ARCHITECTURES.items() if isinstance(network, kind))
    tensors = {key: value.detach().cpu().numpy() for key, value in _floats(network).items()}
    more = {"kind": "tagger", "architecture": architecture, "tag_names": list(tag_names)}
    weights.save(path, tensors, {**description, **more})


def _floats(network: Network) -> dict[str, torch.Tensor]:
    """The state without the counters of batch norm, which evaluation does not use."""
    state = network.state_dict()
    return {key: value for key, value in state.items() if value.is_floating_point()}

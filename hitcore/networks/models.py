"""Hit models as files: networks, what they expect, and what they were trained on.

A network alone cannot be used: fed another kind of spectrogram, or tags in another order, it gives
plausible numbers that are wrong. So a model is its networks and a `ModelSpec` that names them all,
written into the same file. A model may hold one network per fold; then its score is their mean,
and `fold_scores` shows how far they agree.

Conventions:
    A model's file holds one leading fold dimension on every tensor: `audio.conv1.weight` is
    `(n_folds, 32, 128, 4)`. `reference/…`, if there, are out-of-fold predictions over its
    catalogue by networks that had not learnt from them, for a song's place among them.

References:
    The authors' published model: kernels `(mel, time, in, out)`, all mel bins in the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hitcore import weights
from hitcore.errors import ParameterError, WeightsError
from hitcore.evaluation.domain import Domain
from hitcore.evaluation.percentiles import Reference
from hitcore.features import MEL_PRESETS
from hitcore.networks.hitnet import AudioNetwork, HitNet, HitNetOutput, TagNetwork
from hitcore.networks.published import (
    PUBLISHED_MIXES,
    PUBLISHED_TAGS,
    Mix,
    as_state,
    published_reference,
)
from hitcore.networks.registry import AUDIO_NETWORKS, TAG_NETWORKS
from hitcore.networks.standardised import new_network
from hitcore.networks.statistics import (
    COMPRESSION,
    sound_statistics,
)
from hitcore.networks.targets import TARGET_TRANSFORMS, inverse_target


@dataclass(frozen=True)
class ModelSpec:
    """What a hit model is made of, what it expects, and where it comes from."""

    name: str
    """What `load_model` calls it."""
    audio: str | None
    """Class of the audio network; None without one."""
    mel: str | None
    """Name of the mel preset that it takes; None without an audio network."""
    n_mels: int = 128
    """Mel bins."""
    n_frames: int = 323
    """Frames that are rated: the middle ones of the highlight."""
    tagger: str | None = None
    """Name of the tagger whose tags it takes; None without a tag network."""
    tag_names: tuple[str, ...] = ()
    """The tags in the order that it takes them."""
    tag: str = "TagDNN"
    """Class of the tag network; counts only with tags."""
    tag_weights: tuple[float, ...] = (0.5,)
    """μ of each fold."""
    mix: str = "convex"
    """How audio and tag scores are mixed: `convex` or `additive`."""
    highlight: str = "middle"
    """The highlight method of the songs that it learnt from; "given" or empty where not known."""
    target_transform: str | None = "neg_inv_log10"
    """The scale that it rates on; None: only the order of its scores means something."""
    gives_chance: bool = False
    """Whether its score is the log-odds of something: a probability is `1/(1 + exp(−score))`."""
    label: str = ""
    """What it was taught to tell, in words, such as a share of plays or an artist's popularity."""
    reference: str = ""
    """What its percentile is among, in words; empty: its training data."""
    measured: str = ""
    """How well it told songs apart that it had not learned from, in words with an interval."""
    title: str = ""
    """What people call it."""
    trained_on: str = ""
    """The data that it learnt from."""
    source: str = ""
    """Where it comes from."""
    licence: str = ""
    """Under which terms."""
    limits: str = ""
    """What it should not be trusted with."""
    demo: bool = False
    """Whether it learnt from synthetic songs; what it says is then shown as a demo."""
    standardised: bool = False
    """Whether its networks carry the units of their inputs beside them (`StandardisedNet`)."""
    own: str = ""
    """Class of a network of one's own, which no file can rebuild; empty for built-in ones."""

    def __post_init__(self) -> None:
        if self.audio is None and not self.tag_names and not self.own:
            raise ParameterError(f"model {self.name}: neither an audio network nor tags are named")
        if self.audio is not None:
            _class_named(self.name, "audio", self.audio, AUDIO_NETWORKS)
        _class_named(self.name, "tag", self.tag, TAG_NETWORKS)
        if self.audio is not None and self.mel not in MEL_PRESETS:
            raise ParameterError(
                f"model {self.name}: mel is {self.mel!r}; known are {', '.join(MEL_PRESETS)}"
            )
        if self.target_transform not in (None, *TARGET_TRANSFORMS):
            raise ParameterError(
                f"model {self.name}: target_transform is {self.target_transform!r}; known are "
                f"{', '.join(TARGET_TRANSFORMS)}"
            )
        if not self.tag_weights:
            raise ParameterError(f"model {self.name}: tag_weights is empty; one per fold is needed")

    @property
    def n_folds(self) -> int:
        """The number of networks."""
        return len(self.tag_weights)

    @property
    def provenance(self) -> str:
        """Title, training data and licence, in a sentence."""
        return f"{self.title or self.name}: trained on {self.trained_on}; {self.licence}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> ModelSpec:
        """The specification that `to_dict` gave; entries of later versions are ignored."""
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in document.items() if key in known}
        for key in ("tag_names", "tag_weights"):
            given[key] = tuple(given.get(key, ()))
        return cls(**given)

    def build(self, fold: int = 0) -> HitNet:
        """A network of this shape, with fresh weights, in evaluation mode.

        Raises:
            ParameterError: It is of a class of one's own.
        """
        if self.own:
            raise ParameterError(
                f"model {self.name} is a network of your own ({self.own}), which hitcore cannot "
                "rebuild: keep its class, and its state_dict in a safetensors file of your own"
            )
        audio = self.audio and _class_named(self.name, "audio", self.audio, AUDIO_NETWORKS)
        network = new_network(
            audio or None,
            self.n_mels,
            self.n_frames,
            len(self.tag_names),
            tag=_class_named(self.name, "tag", self.tag, TAG_NETWORKS),
            tag_weight=self.tag_weights[fold],
            mix=self.mix,
            standardised=self.standardised,
        )
        return network.eval()


Class = TypeVar("Class")


def _class_named(
    model: str, part: str, name: str, networks: Mapping[str, type[Class]]
) -> type[Class]:
    """A network by the name of its class, as files hold it."""
    by_class = {network.__name__: network for network in networks.values()}
    if name not in by_class:
        raise ParameterError(f"model {model}: {part} is {name!r}; known are {', '.join(by_class)}")
    return by_class[name]


class HitModel(HitNet):
    """One or several networks of one shape, with their specification; scores are their means.

    Args:
        networks: One per fold.
        spec: What they are.
        reference: Out-of-fold predictions over its catalogue, if there is one.
        domain: What its songs are like, by `hitcore.networks.statistics.sound_statistics`; None
            where nobody knows.
    """

    def __init__(
        self,
        networks: Sequence[HitNet],
        spec: ModelSpec,
        reference: Reference | None = None,
        domain: Domain | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.networks = nn.ModuleList(networks)
        self.tag_weight, self.mix = networks[0].tag_weight, networks[0].mix
        self.spec = spec
        self.reference = reference
        self.domain = domain
        self.eval()

    @property
    def audio(self) -> AudioNetwork | None:  # type: ignore[override]
        """The audio network of a model of one network.

        Raises:
            ParameterError: It is an ensemble, so there is no single one: see `networks`.
        """
        return self._only_network().audio

    @property
    def tag(self) -> TagNetwork | None:  # type: ignore[override]
        """The tag network of a model of one network; otherwise as `audio`."""
        return self._only_network().tag

    def _only_network(self) -> HitNet:
        if len(self.networks) != 1:
            raise ParameterError(
                f"{self.spec.name} is an ensemble of {len(self.networks)} networks and has no "
                "single audio or tag network: take one of model.networks"
            )
        network: HitNet = self.networks[0]  # type: ignore[assignment]
        return network

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    def fold_outputs(self, mel: Tensor | None, tags: Tensor | None = None) -> list[HitNetOutput]:
        """What each network says, fold by fold; shapes as in `HitNet`."""
        return [network(mel, tags) for network in self.networks]

    def fold_scores(self, mel: Tensor | None, tags: Tensor | None = None) -> Tensor:
        """The score by each network, `(n_folds, n_songs)`."""
        return torch.stack([output.score for output in self.fold_outputs(mel, tags)])

    def forward(self, mel: Tensor | None, tags: Tensor | None = None) -> HitNetOutput:
        """The mean over the folds of every part of the output; shapes as in `HitNet`."""
        return mean_output(self.fold_outputs(mel, tags))

    def statistics(self, mel: Tensor | None, tags: Tensor | None = None) -> NDArray[np.float64]:
        """What its domain is measured in: the statistics of what it hears.

        Shape:
            mel and tags as in `HitNet`, result `(n_songs, d)`.
        """
        if mel is not None and self.spec.mel is not None:
            raw = MEL_PRESETS[self.spec.mel].compression == "none"
            mel = torch.log1p(mel * COMPRESSION) if raw else mel
        tags = tags if self.spec.tag_names else None
        return sound_statistics(mel, tags).double().numpy()

    def share(self, score: Tensor | float) -> NDArray[np.float64] | None:
        """The share of plays that a score stands for; None where only the order means something."""
        if self.spec.target_transform is None:
            return None
        values = score.detach().cpu().double().numpy() if isinstance(score, Tensor) else score
        return inverse_target(values, self.spec.target_transform)  # type: ignore[arg-type]


def mean_output(outputs: Sequence[HitNetOutput]) -> HitNetOutput:
    """The mean of every part over several networks.

    Example:
        >>> one = HitNetOutput(torch.ones(2), torch.ones(2), None, None)
        >>> two = HitNetOutput(torch.zeros(2), torch.zeros(2), None, None)
        >>> mean_output([one, two]).score
        tensor([0.5000, 0.5000])
    """
    if len(outputs) == 1:
        return outputs[0]
    parts = [
        None if any(part is None for part in column) else torch.stack(column).mean(dim=0)
        for column in zip(*outputs, strict=True)
    ]
    score = parts[0]
    assert score is not None, "every network gives a score"
    return HitNetOutput(score, *parts[1:])


def load_model(
    name: str | os.PathLike[str],
    mix: Mix | None = None,
    device: torch.device | str | None = None,
) -> HitModel:
    """A hit model by name, or from a run's folder or a `.safetensors` file.

    Args:
        name: `kkbox-ret30`, a model of `assets/models`, or a path.
        mix: For `kkbox-ret30` alone: `published` (audio + 0.5·tag, its prediction script) or
            `trained` (0.3·audio + 0.7·tag); None is `published`.
        device: Where to put it; None: the CPU.

    Raises:
        ParameterError: Nothing goes by this name; an unknown mix, or one for another model.
        WeightsError: The file is absent, damaged, or not a hit model.

    Example:
        >>> model = load_model("kkbox-ret30", mix="trained")        # doctest: +SKIP
        >>> model(mel, tags).score                                  # doctest: +SKIP
    """
    if mix is not None and mix not in PUBLISHED_MIXES:
        raise ParameterError(f"mix is {mix!r}; allowed are {', '.join(PUBLISHED_MIXES)}")
    found = weights.load(_file_of(name))
    if name == "kkbox-ret30":
        model = _published(found, mix or "published")
    elif mix is not None:
        raise ParameterError(f"mix is for kkbox-ret30 only; {name} was trained with its own")
    else:
        model = _ours(found, str(name))
    return model.to(device) if device is not None else model


def save_model(
    path: str | os.PathLike[str],
    networks: Sequence[HitNet],
    spec: ModelSpec,
    reference: Reference | None = None,
    *,
    domain: Domain | None = None,
    card: dict[str, Any] | None = None,
    half_precision: bool = False,
) -> None:
    """Write a model that `load_model` reads back.

    Args:
        path: The `.safetensors` file; it appears whole or not at all.
        networks: One per fold, as `spec.build()` makes them.
        spec: What they are.
        reference: Out-of-fold predictions over the catalogue, for a song's place among its songs.
        domain: What the songs that it learned from are like.
        card: Its model card as `hitcore.networks.cards.ModelCard.to_dict` gives it.
        half_precision: Store the weights in 16 bits, for half the size.

    Raises:
        ParameterError: The networks are not as many as the specification says.
        WeightsError: A weight is not finite, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "tiny.safetensors"
        >>> spec = ModelSpec("tiny", audio=None, mel=None, tag_names=("loud", "quiet"))
        >>> save_model(file, [spec.build()], spec)
        >>> load_model(file)(None, torch.zeros(1, 2)).score.shape
        torch.Size([1])
    """
    if spec.own:
        spec.build()
    if len(networks) != spec.n_folds:
        raise ParameterError(
            f"{len(networks)} networks are given, the specification has {spec.n_folds} tag_weights"
        )
    states = [network.state_dict() for network in networks]
    tensors: dict[str, NDArray[Any]] = {
        key: torch.stack([state[key] for state in states]).cpu().numpy() for key in states[0]
    }
    if half_precision:
        tensors = {key: value.astype(np.float16) for key, value in tensors.items()}
    if reference is not None:
        tensors |= reference.to_tensors()
    if domain is not None:
        tensors |= domain.to_tensors()
    described = {key: getattr(spec, key) for key in ("name", *weights.DESCRIPTION) if key != "kind"}
    document = {**described, "kind": "hit model", "spec": spec.to_dict()}
    if card is not None:
        document["card"] = card
    weights.save(path, tensors, document)


# --- reading -------------------------------------------------------------------------------------


def _published(found: weights.Weights, mix: Mix) -> HitModel:
    """The authors' model: its kernels transposed, its two networks mixed as asked."""
    kind, tag_weight = PUBLISHED_MIXES[mix]
    described = {key: found.metadata[key] for key in weights.DESCRIPTION if key != "kind"}
    spec = ModelSpec(
        name="kkbox-ret30",
        audio="HitCNN",
        mel="release",
        tagger="jynet",
        highlight="",  # its authors do not say
        tag_names=PUBLISHED_TAGS,
        tag_weights=(tag_weight,),
        mix=str(kind),
        label="share of a service's plays, days 30 to 59 after release",
        reference="522 real clips of commercial songs, by this model's own scores of them",
        **described,
    )
    network = spec.build()
    network.load_state_dict(as_state(found.tensors))
    reference = published_reference() if mix == "published" else None
    return HitModel([network], spec, reference)


def _file_of(name: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """A run's folder stands for the model in it."""
    path = Path(name)
    known = str(name) in weights.REGISTRY or str(name) in weights.packaged()
    return path / "model.safetensors" if path.is_dir() and not known else name


def _ours(found: weights.Weights, name: str) -> HitModel:
    """A model that `save_model` wrote."""
    if found.metadata.get("kind") != "hit model" or "spec" not in found.metadata:
        kind = found.metadata.get("kind", "unknown")
        raise WeightsError(f"{name} is no hit model (its kind is {kind})")
    try:
        spec = ModelSpec.from_dict(found.metadata["spec"])
        networks = [spec.build(fold) for fold in range(spec.n_folds)]
    except (ParameterError, TypeError) as error:
        raise WeightsError(f"{name}: its specification cannot be used ({error})") from error
    shapes = {key: (spec.n_folds, *value.shape) for key, value in networks[0].state_dict().items()}
    full = {
        key: value.astype(np.float32) if value.dtype == np.float16 else value
        for key, value in found.tensors.items()
    }
    tensors = weights.check_shapes(full, shapes, name)
    for fold, network in enumerate(networks):
        network.load_state_dict({key: torch.tensor(tensors[key][fold]) for key in tensors})
    reference = Reference.from_tensors(found.tensors)
    return HitModel(networks, spec, reference, Domain.from_tensors(found.tensors))

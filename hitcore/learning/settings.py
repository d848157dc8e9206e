"""What is trained, on what, and how: members, data and settings, checked before training starts.

A member is one model to be trained: its songs, its network, its sampler and its hyper-parameters.
Everything random about it (first weights, order of songs or pairs, dropout) follows from its own
seed, so its course does not depend on which other members are trained beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hitcore.errors import DataError, ParameterError, SplitLeakageError
from hitcore.learning.listwise import LIST_LOSSES
from hitcore.learning.ondisk import MelSource
from hitcore.learning.pairs import SAMPLERS
from hitcore.networks.hitnet import HitNet, initialise, start_from
from hitcore.networks.mixing import MixKind
from hitcore.networks.registry import AUDIO_NETWORKS
from hitcore.networks.standardised import StandardisedNet, new_network

Indices = NDArray[np.int64]

Precision = Literal["auto", "float32", "bfloat16"]
"""Types of the matrix products in training; see `TrainConfig.precision`."""


@dataclass(frozen=True)
class TrainConfig:
    """How a stack is trained; the same for all its members. Defaults are those published.

    Example:
        >>> TrainConfig(batch_size=32, max_epochs=20).optimiser
        'adagrad'
    """

    optimiser: Literal["adagrad", "adam"] = "adagrad"
    """`adagrad` as published (sums of squares start at 0.1), or `adam`."""
    learning_rate: float = 5e-3
    """Step size of members that name none of their own."""
    lr_decay: float = 0.9
    """Factor on a member's learning rate after an epoch without a lower validation loss."""
    batch_size: int = 10
    """Songs per step (pairs per step where `pairing` is explicit), at least 2. An epoch is cut into
    batches of equal size, so some may be smaller by one or a few."""
    max_epochs: int = 150
    """Epochs after which every member ends."""
    patience: int = 20
    """Epochs without an improvement after which a member ends."""
    best_by: Literal["loss", "ndcg"] = "loss"
    """What decides a member's best epoch on its validation songs."""
    pairing: Literal["in_batch", "explicit"] = "in_batch"
    """`in_batch`: each song of a batch once, every permitted pair among them. `explicit`: drawn
    pairs, both songs through the network (the paper's Siamese)."""
    pairs_per_epoch: int | None = None
    """Pairs drawn per epoch where `pairing` is explicit; None draws as many as there are training
    songs. Never more than the sampler permits."""
    objective: str = "pairwise"
    """The ranking part of the loss: eq. 2 over a sampler's pairs, or one of the losses that look
    at whole lists (`hitcore.learning.listwise`), for which any sampler's name stands for all songs
    of a batch."""
    temperature: float = 0.1
    """Lead at which the listwise loss counts a pair as settled."""
    top: float = 0.10
    """Share of songs at the top that nDCG and the listwise loss look at."""
    dropout: float = 0.25
    """Share of activations dropped in training."""
    mix: MixKind = MixKind.CONVEX
    """How audio and tag scores are mixed."""
    standardise: bool = True
    """Bring each mel bin and tag to mean 0 and deviation 1 over a member's training songs, and
    learn y in units of its deviation there: margin, temperature and losses are in these units.
    Exported weights take raw inputs and predict y all the same. False: all as given."""
    centre_output: bool = True
    """Start from the mean of y, instead of from 0."""
    precision: Precision = "auto"
    """Type of the matrix products in training; auto is bfloat16 on CUDA, float32 elsewhere. A CPU
    that multiplies bfloat16 itself (avx512_bf16, amx_bf16) trains twice as fast in it. Parameters,
    losses, the optimiser and the scores in the end stay float32."""
    stack_size: int | None = None
    """Members trained at once at most; None: all that fit into memory on CUDA, on a CPU as many as
    its caches hold (128 songs a step)."""
    memory_limit_bytes: int | None = None
    """Memory that training may take; None: 80 % of what is free on CUDA, half on a CPU."""
    checkpoint_interval_s: float = 30.0
    """Least time between two checkpoints; they are written at the end of an epoch."""
    preset: str | None = None
    """Name of the mel preset that the models are meant for; must be that of the data if given."""

    def __post_init__(self) -> None:
        _one_of("optimiser", self.optimiser, ("adagrad", "adam"))
        _one_of("best_by", self.best_by, ("loss", "ndcg"))
        _one_of("pairing", self.pairing, ("in_batch", "explicit"))
        _one_of("objective", self.objective, ("pairwise", *LIST_LOSSES))
        _one_of("precision", self.precision, get_args(Precision))
        _one_of("mix", self.mix, tuple(MixKind))
        _within("learning_rate", self.learning_rate, 1e-12, 10)
        _within("lr_decay", self.lr_decay, 1e-6, 1)
        _within("batch_size", self.batch_size, 2, 1e6)
        _within("max_epochs", self.max_epochs, 1, 1e6)
        _within("patience", self.patience, 1, 1e6)
        _within("temperature", self.temperature, 1e-9, 1e9)
        _within("top", self.top, 1e-9, 1)
        _within("dropout", self.dropout, 0, 0.99)
        _within("checkpoint_interval_s", self.checkpoint_interval_s, 0, float("inf"))
        for name in ("pairs_per_epoch", "stack_size", "memory_limit_bytes"):
            if getattr(self, name) is not None:
                _within(name, getattr(self, name), 1, float("inf"))
        if self.pairing == "explicit" and self.objective != "pairwise":
            raise ParameterError(
                f"objective {self.objective} needs whole batches; use pairing='in_batch' with it"
            )


@dataclass(frozen=True, eq=False)
class Member:
    """One model to be trained: its songs, its network, its sampler and its hyper-parameters.

    Example:
        >>> member = Member(train=range(8), valid=[8, 9], test=[10, 11], sampler="ab", margin=0.1)
        >>> member.rank_weight, Member(range(8), [8, 9]).effective_rank_weight
        (0.5, 0.0)
    """

    train: ArrayLike
    """Positions of the training songs in the data."""
    valid: ArrayLike
    """Positions of the validation songs."""
    test: ArrayLike = ()
    """Positions of the test songs; training never looks at them."""
    audio: str | None = "cnn"
    """Network of the spectrogram, one of `AUDIO_NETWORKS`; None for tags alone."""
    use_tags: bool = False
    """Whether the tag network is trained beside it."""
    sampler: Literal["naive", "ab", "artist"] | None = None
    """Which pairs are compared; None for rating alone."""
    margin: float = 0.1
    """m of eq. 2, in deviations of y (on the scale of y without `TrainConfig.standardise`)."""
    rank_weight: float = 0.5
    """w of eq. 3; counts only with a sampler."""
    tag_weight: float = 0.5
    """μ of eq. 4; counts only where audio and tags are both used."""
    learning_rate: float | None = None
    """Step size; None takes that of the settings."""
    seed: int = 0
    """Seed of everything random about this member."""
    name: str = ""
    """What messages call it."""

    def __post_init__(self) -> None:
        for split in ("train", "valid", "test"):
            songs = np.asarray(getattr(self, split))
            if songs.ndim != 1 or (songs.size and songs.dtype.kind not in "iu"):
                raise ParameterError(f"{split} is not a list of song positions: {songs!r:.80}")
            object.__setattr__(self, split, np.ascontiguousarray(songs, np.int64))
        if self.audio is not None:
            _one_of("audio", self.audio, tuple(AUDIO_NETWORKS))
        if self.sampler is not None:
            _one_of("sampler", self.sampler, SAMPLERS)
        if self.audio is None and not self.use_tags:
            raise ParameterError("a member needs audio, tags or both; this one has neither")
        _within("margin", self.margin, 1e-12, 1e12)
        _within("rank_weight", self.rank_weight, 0, 1)
        _within("tag_weight", self.tag_weight, 0, 1)
        _within("seed", self.seed, 0, 2**63 - 1)
        if self.learning_rate is not None:
            _within("learning_rate", self.learning_rate, 1e-12, 10)

    @property
    def effective_rank_weight(self) -> float:
        """w, or 0 without a sampler."""
        return 0.0 if self.sampler is None else self.rank_weight

    @property
    def songs(self) -> dict[str, Indices]:
        """Song positions by split."""
        return {name: np.asarray(getattr(self, name)) for name in ("train", "valid", "test")}

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or f"{self.audio or 'tags'}/{self.sampler or 'rating'}/seed {self.seed}"


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What all members share: features and truth of all songs, row by row the same songs.

    Example:
        >>> data = TrainingData(None, np.zeros((3, 50)), y=[0.1, 0.2, 0.3], hit_scores=[1, 2, 3])
        >>> data.n_songs
        3
    """

    mel: Tensor | NDArray[Any] | MelSource | None
    """Log-mel spectrograms `(n_songs, n_mels, n_frames)`, half or single precision; what reads them
    from disk, where they are more than the memory holds; None where no member listens."""
    tags: Tensor | NDArray[Any] | None
    """Mean tag activations `(n_songs, n_tags)`; None where no member uses them."""
    y: ArrayLike
    """What the network is to predict: the transformed hit score, `(n_songs,)`."""
    hit_scores: ArrayLike
    """Raw hit scores, `(n_songs,)`: groups A and B, and the gains of nDCG."""
    artist_ids: Sequence[str | Sequence[str] | None] | None = None
    """Artists of each song; needed by artist sampling alone."""
    preset: str | None = None
    """Name of the mel preset that `mel` was made with."""

    def __post_init__(self) -> None:
        for name in ("y", "hit_scores"):
            values = np.ascontiguousarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, values)
            if values.ndim != 1 or len(values) != self.n_songs:
                raise DataError(f"{name} has shape {values.shape}; one number per song is needed")
            _require_finite(name, torch.from_numpy(values))
        for name, n_dims in (("mel", 3), ("tags", 2)):
            values = getattr(self, name)
            if values is None:
                continue
            if isinstance(values, MelSource) and not isinstance(values, Tensor | np.ndarray):
                if values.shape[0] != self.n_songs:
                    raise DataError(f"{name} has {values.shape[0]} songs, y has {self.n_songs}")
                continue
            features = torch.as_tensor(values)
            object.__setattr__(self, name, features)
            if features.ndim != n_dims or len(features) != self.n_songs:
                shape = "(n_songs, n_mels, n_frames)" if name == "mel" else "(n_songs, n_tags)"
                raise DataError(
                    f"{name} has shape {tuple(features.shape)} for {self.n_songs} songs; "
                    f"allowed is {shape}"
                )
            _require_finite(name, features)
        if self.artist_ids is not None and len(self.artist_ids) != self.n_songs:
            raise DataError(f"{len(self.artist_ids)} artist_ids for {self.n_songs} songs")

    @property
    def n_songs(self) -> int:
        """Number of songs."""
        return len(np.asarray(self.y))

    @property
    def on_disk(self) -> MelSource | None:
        """The spectrograms, where they are read from disk in parts."""
        held = isinstance(self.mel, Tensor | np.ndarray) or self.mel is None
        return None if held else cast(MelSource, self.mel)

    @property
    def mel_shape(self) -> tuple[int, int, int]:
        """`(n_songs, n_mels, n_frames)`; only where there are spectrograms."""
        assert self.mel is not None, "only members that listen ask for it"
        n_songs, n_mels, n_frames = self.mel.shape
        return n_songs, n_mels, n_frames

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes with any number of the truth or of the features."""
        digest = hashlib.sha256()
        for values in (self.y, self.hit_scores):
            digest.update(np.asarray(values).tobytes())
        for features in (self.mel, self.tags):
            if features is not None and features is self.on_disk:
                digest.update(self.on_disk.fingerprint.encode())
            elif features is not None:
                values = torch.as_tensor(features)
                digest.update(str((tuple(values.shape), values.dtype)).encode())
                for block in torch.split(values, 256):
                    digest.update(block.contiguous().cpu().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def check(data: TrainingData, members: Sequence[Member], config: TrainConfig) -> None:
    """Say what is wrong with members and data before anything is trained.

    Raises:
        ParameterError: No member; the preset is another one than the settings ask for.
        SplitLeakageError: A song is in two splits of one member.
        DataError: Splits too small or out of range, features that a member needs are missing,
            constant scores, no artists for artist sampling.
    """
    if not members:
        raise ParameterError("no member is given; training needs at least one")
    if config.preset is not None and data.preset is not None and config.preset != data.preset:
        raise ParameterError(
            f"the features were made with the preset {data.preset!r}, but the models are for "
            f"{config.preset!r}: build the features again with that preset"
        )
    for member in members:
        _check_songs(data, member)
        if member.audio is not None and data.mel is None:
            raise DataError(f"{member.label} listens to the audio, but the data has no mel")
        if member.use_tags and data.tags is None:
            raise DataError(
                f"{member.label} uses tags, but the data has none: run a tagger over the songs "
                "first (hitcore features build)"
            )
        if member.sampler == "artist" and data.artist_ids is None:
            raise DataError(f"{member.label} samples by artist, but the data has no artist_ids")
    alone = [member.label for member in members if not stacks(member)]
    if data.on_disk is not None and (alone or config.pairing == "explicit"):
        raise ParameterError(
            f"{alone[0] if alone else 'pairing explicit'} needs all songs at hand, but they lie on "
            "disk in parts: use pairing='in_batch' and a network that stacks, or more memory"
        )


def network_of(member: Member, data: TrainingData, config: TrainConfig) -> HitNet:
    """A member's network, sized for the data; its weights are not yet those of its seed."""
    n_mels = n_frames = n_tags = 0
    if member.audio is not None:
        _, n_mels, n_frames = data.mel_shape
    if member.use_tags:
        n_tags = torch.as_tensor(data.tags).shape[1]
    return new_network(
        None if member.audio is None else AUDIO_NETWORKS[member.audio],
        n_mels,
        n_frames,
        n_tags,
        tag_weight=member.tag_weight,
        mix=config.mix,
        dropout=config.dropout,
        standardised=not stacks(member),
    )


def stacks(member: Member) -> bool:
    """Whether a member's network trains as one of many; else alone, by the plain loop."""
    return member.audio is None or AUDIO_NETWORKS[member.audio].stacked


def standardised_model(
    data: TrainingData, member: Member, config: TrainConfig, network: nn.Module | None
) -> StandardisedNet:
    """A network inside its units, which are those of the training songs.

    Args:
        data: Features and truth.
        member: Whose songs, and whose network where none is given.
        config: Settings.
        network: Any module of `(mel, tags)`; None: the member's, with the weights of its seed.
    """
    songs = member.songs["train"]
    truth = np.asarray(data.y)[songs]
    unit = float(truth.std()) if config.standardise else 1.0
    listens, uses_tags = data.mel is not None, data.tags is not None
    if network is None:
        listens, uses_tags = member.audio is not None, member.use_tags
        made = network_of(member, data, config)
        network = made.network if isinstance(made, StandardisedNet) else made
        initialise(network, member.seed)
        if config.centre_output and isinstance(network, HitNet):
            start_from(network, float(truth.mean()) / unit)
    model = StandardisedNet(
        network,
        torch.as_tensor(data.mel).shape[1] if listens else 0,
        torch.as_tensor(data.tags).shape[1] if uses_tags else 0,
    )
    model.unit.fill_(unit)
    if config.standardise:
        for name, values, others in (
            ("mel", data.mel if listens else None, (0, 2)),
            ("tags", data.tags if uses_tags else None, (0,)),
        ):
            if values is not None:
                known = torch.as_tensor(values)[songs].double()
                deviation = known.std(others, correction=0)
                getattr(model, f"{name}_mean").copy_(known.mean(others))
                scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 1.0)
                getattr(model, f"{name}_scale").copy_(scale)
    return model


def fingerprint_of(data: TrainingData, members: Sequence[Member], config: TrainConfig) -> str:
    """A hash of everything that decides the outcome of a training, but not of its speed."""
    digest = hashlib.sha256(data.fingerprint.encode())
    fixed = {"stack_size", "memory_limit_bytes", "checkpoint_interval_s"}
    settings = {name: value for name, value in vars(config).items() if name not in fixed}
    digest.update(repr(sorted(settings.items())).encode())
    for member in members:
        for songs in member.songs.values():
            digest.update(songs.tobytes() + b"|")
        rest = {k: v for k, v in vars(member).items() if k not in member.songs}
        digest.update(repr(sorted(rest.items())).encode())
    return digest.hexdigest()


def _check_songs(data: TrainingData, member: Member) -> None:
    for name, songs in member.songs.items():
        least = {"train": 2, "valid": 2, "test": 0}[name]
        if len(songs) < least:
            raise DataError(
                f"{member.label} has {len(songs)} {name} songs, at least {least} are needed: "
                "fewer songs than folds? take fewer folds or more songs"
            )
        if len(songs) and not 0 <= songs.min() <= songs.max() < data.n_songs:
            raise DataError(
                f"{member.label} names {name} songs {songs.min()} to {songs.max()}, but the data "
                f"has songs 0 to {data.n_songs - 1}"
            )
    everyone = np.concatenate(list(member.songs.values()))
    if len(np.unique(everyone)) < len(everyone):
        raise SplitLeakageError(
            f"{member.label} has a song twice among train, valid and test: make disjoint splits "
            "with Catalogue.folds"
        )
    for name in ("y", "hit_scores"):
        values = np.asarray(getattr(data, name))[member.songs["train"]]
        if values.min() == values.max():
            raise DataError(
                f"{name} is {values[0]:.6g} for all {len(values)} training songs of "
                f"{member.label}: there is nothing to learn; check the hit scores"
            )


def _require_finite(name: str, values: Tensor) -> None:
    for start in range(0, len(values), 1024):
        block = values[start : start + 1024]
        finite = torch.isfinite(block).reshape(len(block), -1).all(dim=1)
        if not bool(finite.all()):
            raise DataError(
                f"{name} of song {start + int(finite.int().argmin())} is NaN or infinite: leave "
                "out songs without a defined hit score or with unreadable audio"
            )


def _one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise ParameterError(f"{name} is {value!r}; allowed is {', '.join(map(str, allowed))}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ParameterError(f"{name} is {value}; allowed is {low:g} to {high:g}")

"""A network that brings its inputs to mean 0 and deviation 1 by itself.

Training is easier in such units. The built-in networks fold them into their first and last layers
(`hitcore.learning.stacks.stack`); a network whose layers are unknown carries them beside it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hitcore.networks.hitnet import AudioNetwork, HitNet, HitNetOutput, TagDNN, TagNetwork
from hitcore.networks.mixing import MixKind


class StandardisedNet(HitNet):
    """Any network of `(mel, tags)` that takes raw inputs and predicts the target itself.

    Args:
        network: Takes standardised inputs; gives scores `(n_songs,)` or a `HitNetOutput`, in
            units of the target's deviation.
        n_mels: Bins of the log-mel; 0 where it does not listen.
        n_tags: Length of the tag vector; 0 where it takes none.

    Example:
        >>> net = StandardisedNet(HitNet(None, TagDNN(3)), n_tags=3)
        >>> net(None, torch.zeros(2, 3)).score.shape
        torch.Size([2])
    """

    mel_mean: Tensor
    mel_scale: Tensor
    tags_mean: Tensor
    tags_scale: Tensor
    unit: Tensor

    def __init__(self, network: nn.Module, n_mels: int = 0, n_tags: int = 0) -> None:
        nn.Module.__init__(self)
        self.network = network
        # What a HitNet shows of itself; these are views of the network inside, not parts of it.
        self.audio = self.tag = None
        self.tag_weight = float(getattr(network, "tag_weight", 0.0))
        self.mix = getattr(network, "mix", MixKind.CONVEX)
        for name, n in (("mel", n_mels), ("tags", n_tags)):
            self.register_buffer(f"{name}_mean", torch.zeros(n))
            self.register_buffer(f"{name}_scale", torch.ones(n))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, mel: Tensor | None, tags: Tensor | None = None) -> HitNetOutput:
        """The scores of a batch of songs, from raw inputs; shapes as in `HitNet`."""
        if mel is not None and len(self.mel_mean):
            mel = (mel.float() - self.mel_mean[:, None]) * self.mel_scale[:, None]
        if tags is not None and len(self.tags_mean):
            tags = (tags.float() - self.tags_mean) * self.tags_scale
        output = as_output(self.network(mel, tags))
        score, *parts = (None if part is None else part * self.unit for part in output)
        assert score is not None, "every network gives a score"
        return HitNetOutput(score, *parts)


def as_output(scores: Any) -> HitNetOutput:
    """What a network said, as a `HitNetOutput`: it may give scores alone."""
    return HitNetOutput(scores, None, None, None) if isinstance(scores, Tensor) else scores


def new_network(
    audio: type[AudioNetwork] | None,
    n_mels: int,
    n_frames: int,
    n_tags: int,
    *,
    tag: type[TagNetwork] = TagDNN,
    tag_weight: float = 0.5,
    mix: MixKind | str = MixKind.CONVEX,
    dropout: float = 0.25,
    standardised: bool = False,
) -> HitNet:
    """A fresh model of an audio network, of the tag network, or of both.

    Args:
        audio: Class of the audio network; None for tags alone.
        n_mels: Bins of the log-mel.
        n_frames: Frames of the log-mel.
        n_tags: Length of the tag vector; 0 for no tag network.
        tag: Class of the tag network.
        tag_weight: μ of eq. 4.
        mix: How the two scores become one.
        dropout: Share of activations dropped in training mode.
        standardised: Whether it carries the units of its inputs beside it.

    Returns:
        A `HitNet`, inside a `StandardisedNet` where that is asked for.
    """
    network = HitNet(
        None if audio is None else audio(n_mels, n_frames, dropout=dropout),
        _tag_network(tag, n_tags, dropout) if n_tags else None,
        tag_weight,
        mix,
    )
    if standardised:
        return StandardisedNet(network, 0 if audio is None else n_mels, n_tags)
    return network


def _tag_network(tag: type[TagNetwork], n_tags: int, dropout: float) -> TagNetwork:
    return tag(n_tags, dropout=dropout) if issubclass(tag, TagDNN) else tag(n_tags)

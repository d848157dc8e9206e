"""The networks that rate a song: from its log-mel spectrogram, from its tags, or from both.

Every network of the audio maps `(n_songs, n_mels, n_frames)` to frame scores, and a song's score
is their mean; the tag network maps `(n_songs, n_tags)` to a score; `HitNet` mixes the two. A
convolution that spans all mel bins is one over time alone, so the bins are its input channels
(`Conv1d`), and it costs one matrix product.

The leaky ReLU (slope 0.1) follows every layer, the last one too, as in the authors' published
model. Dropout stands before the last three convolutions and after each hidden dense layer, and is
active in training mode. Weights start as in the published training: Glorot uniform, zero biases.

References:
    L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen, "Hit Song Prediction for Pop Music by Siamese CNN
    with Ranking Loss" (Fig. 1, sections 2.1 and 2.4); L.-C. Yang, S.-Y. Chou, J.-Y. Liu,
    Y.-H. Yang, Y.-A. Chen, "Revisiting the problem of audio-based hit song prediction using
    convolutional neural networks" (the linear and the Inception baseline).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hitcore.errors import ParameterError
from hitcore.networks.mixing import MixKind, mixed_score

LEAK = 0.1
"""Slope of the leaky ReLU below zero."""

MIN_FRAMES = 13
"""The shortest input that leaves one frame after two convolutions of 4 and two poolings of 2."""


class HitNetOutput(NamedTuple):
    """The scores of a batch of songs and what they are made of; None where a part is absent."""

    score: Tensor
    """The mixed score, `(n_songs,)`; higher means more of a hit."""
    audio_score: Tensor | None
    """The mean of the frame scores, `(n_songs,)`."""
    tag_score: Tensor | None
    """The score of the tag network, `(n_songs,)`."""
    frame_scores: Tensor | None
    """What each stretch of the highlight contributes, `(n_songs, n_score_frames)`."""


def leaky(x: Tensor) -> Tensor:
    """`max(x, 0) + 0.1·min(x, 0)`."""
    return functional.leaky_relu(x, LEAK)


class AudioNetwork(nn.Module):
    """What the audio networks share: checked input, frame scores and their mean.

    Args:
        n_mels: Bins per frame (mel bands; chroma or timbre rows work as well).
        n_frames: Frames per song.
        dropout: Share of activations dropped in training mode.
    """

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.25) -> None:
        super().__init__()
        if n_mels < 1:
            raise ParameterError(f"n_mels is {n_mels}; a frame needs at least 1 bin")
        if n_frames < self.min_frames:
            raise ParameterError(
                f"n_frames is {n_frames}; {type(self).__name__} needs at least {self.min_frames}: "
                "give it more frames per song"
            )
        if not 0 <= dropout < 1:
            raise ParameterError(f"dropout is {dropout}; allowed is 0 up to, not including, 1")
        self.n_mels = n_mels
        self.n_frames = n_frames
        self.dropout = nn.Dropout(dropout)

    min_frames = MIN_FRAMES
    frame_stride = 1
    """Frames of the spectrogram from one frame score to the next."""
    time_padding = 0
    """Frames of zeros that the first layers put before and after a clip, at most."""
    has_frames = True
    """Whether the score is a mean of frame scores."""
    stacked: ClassVar[bool] = False
    """Whether many of them train as one batched model; else one at a time, by the plain loop."""
    last: ClassVar[str] = ""
    """Its last layer, whose bias starts from the mean of the target; empty: none."""
    leaks: ClassVar[bool] = True
    """Whether the leaky ReLU follows the last layer."""

    def forward(self, mel: Tensor) -> Tensor:
        """One score per song: the mean of its frame scores.

        Shape:
            mel `(n_songs, n_mels, n_frames)`, result `(n_songs,)`.
        """
        return self.frame_scores(mel).mean(dim=-1)

    def frame_scores(self, mel: Tensor) -> Tensor:
        """The score of each stretch of each song.

        Shape:
            mel `(n_songs, n_mels, n_frames)`, result `(n_songs, n_score_frames)`.

        Raises:
            ParameterError: The spectrogram has other bins or frames than the network.
        """
        return self._frame_scores(self.checked(mel))

    def checked(self, mel: Tensor) -> Tensor:
        """The same spectrograms.

        Raises:
            ParameterError: They have other bins or frames than the network.
        """
        if mel.ndim != 3 or tuple(mel.shape[1:]) != (self.n_mels, self.n_frames):
            raise ParameterError(
                f"the log-mel has shape {tuple(mel.shape)}; this {type(self).__name__} takes "
                f"(n_songs, {self.n_mels}, {self.n_frames}): use the mel preset it was made for, "
                "and fit_frames"
            )
        return mel

    def frame_scores_throughout(self, mel: Tensor) -> Tensor:
        """The frame scores of a spectrogram of any length, such as a whole song.

        Without time padding, frame score `k` is that of a clip that starts `k · frame_stride`
        frames into the song; `hitcore.analysis.curve` makes clips' scores of them.

        Shape:
            mel `(n_songs, n_mels, n_frames)` with any `n_frames`, result
            `(n_songs, n_score_frames)`.

        Raises:
            ParameterError: The spectrogram has other bins, or too few frames for one score.
        """
        if mel.ndim != 3 or mel.shape[1] != self.n_mels or mel.shape[2] < self.min_frames:
            raise ParameterError(
                f"the log-mel has shape {tuple(mel.shape)}; this {type(self).__name__} takes "
                f"(n_songs, {self.n_mels}, {self.min_frames} or more): use the mel preset it was "
                "made for"
            )
        return self._frame_scores(mel)

    def _frame_scores(self, mel: Tensor) -> Tensor:
        raise NotImplementedError


class HitCNN(AudioNetwork):
    """The simple CNN of Fig. 1: 107,361 parameters for 128 bins, and 78 frame scores.

    Args:
        n_mels: Bins per frame.
        n_frames: Frames per song.
        dropout: Share of activations dropped in training mode.

    References:
        Fig. 1 and section 2.1 of the paper; layer sizes of the authors' published checkpoint.

    Example:
        >>> net = HitCNN().eval()
        >>> net(torch.zeros(2, 128, 323)).shape, net.frame_scores(torch.zeros(2, 128, 323)).shape
        (torch.Size([2]), torch.Size([2, 78]))
        >>> sum(p.numel() for p in net.parameters())
        107361
    """

    frame_stride, stacked, last = 4, True, "conv5"

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.25) -> None:
        super().__init__(n_mels, n_frames, dropout)
        self.conv1 = nn.Conv1d(n_mels, 32, 4)
        self.conv2 = nn.Conv1d(32, 64, 4)
        self.conv3 = nn.Conv1d(64, 256, 1)
        self.conv4 = nn.Conv1d(256, 256, 1)
        self.conv5 = nn.Conv1d(256, 1, 1)

    def _front(self, mel: Tensor) -> Tensor:
        return leaky(self.conv1(mel))

    def _frame_scores(self, mel: Tensor) -> Tensor:
        x = functional.max_pool1d(self._front(mel), 2)
        x = functional.max_pool1d(leaky(self.conv2(x)), 2)
        x = leaky(self.conv3(self.dropout(x)))
        x = leaky(self.conv4(self.dropout(x)))
        return leaky(self.conv5(self.dropout(x))).squeeze(1)


class InceptionCNN(HitCNN):
    """The simple CNN behind three parallel first convolutions of 4, 8 and 16 frames.

    The published kernels of 132 and 140 bins stand on zero-padded bins, so they equal kernels of
    all bins with the time padding alone.

    Args:
        n_mels: Bins per frame.
        n_frames: Frames per song.
        dropout: Share of activations dropped in training mode.

    References:
        The Inception variant of the earlier work [4], sizes as in the authors' published source.

    Example:
        >>> InceptionCNN().eval()(torch.zeros(2, 128, 323)).shape
        torch.Size([2])
    """

    time_padding = 6

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.25) -> None:
        super().__init__(n_mels, n_frames, dropout)
        self.conv1_8 = nn.Conv1d(n_mels, 16, 8, padding=2)
        self.conv1_16 = nn.Conv1d(n_mels, 16, 16, padding=6)
        self.join = nn.Conv1d(64, 32, 1)

    def _front(self, mel: Tensor) -> Tensor:
        branches = [self.conv1(mel), self.conv1_8(mel), self.conv1_16(mel)]
        return leaky(self.join(leaky(torch.cat(branches, dim=1))))


class LinearRater(AudioNetwork):
    """A linear function of the mean spectrum: the shallow baseline of the earlier work [4].

    The mean over time of a linear function of each frame, so it has frame scores as well. No
    activation and no dropout.

    Args:
        n_mels: Bins per frame.
        n_frames: Frames per song.

    Example:
        >>> net = LinearRater(n_mels=12, n_frames=20)
        >>> net(torch.zeros(3, 12, 20)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([3]), 13)
    """

    stacked, last, leaks = True, "conv1", False

    min_frames = 1

    def __init__(self, n_mels: int = 128, n_frames: int = 323, dropout: float = 0.0) -> None:
        super().__init__(n_mels, n_frames, dropout)
        self.conv1 = nn.Conv1d(n_mels, 1, 1)

    def _frame_scores(self, mel: Tensor) -> Tensor:
        scores: Tensor = self.conv1(mel).squeeze(1)
        return scores


class TagNetwork(nn.Module):
    """What the tag networks share: checked input.

    Args:
        n_tags: Length of the tag vector.
    """

    def __init__(self, n_tags: int = 50) -> None:
        super().__init__()
        if n_tags < 1:
            raise ParameterError(f"n_tags is {n_tags}; the tag network needs at least 1 tag")
        self.n_tags = n_tags

    def checked(self, tags: Tensor) -> Tensor:
        """The same tags.

        Raises:
            ParameterError: They are not as many as the network takes.
        """
        if tags.ndim != 2 or tags.shape[1] != self.n_tags:
            raise ParameterError(
                f"the tags have shape {tuple(tags.shape)}; this network takes "
                f"(n_songs, {self.n_tags}): use the tagger it was made for, averaged over time"
            )
        return tags


class TagDNN(TagNetwork):
    """The tag network: dense layers of 100, 100 and 30, then one score.

    Args:
        n_tags: Length of the tag vector.
        dropout: Share of activations dropped in training mode.

    Shape:
        tags `(n_songs, n_tags)`, result `(n_songs,)`.

    References:
        Section 2.4 and Fig. 2 (b) of the paper.

    Example:
        >>> net = TagDNN().eval()
        >>> net(torch.zeros(4, 50)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([4]), 18261)
    """

    def __init__(self, n_tags: int = 50, dropout: float = 0.25) -> None:
        super().__init__(n_tags)
        if not 0 <= dropout < 1:
            raise ParameterError(f"dropout is {dropout}; allowed is 0 up to, not including, 1")
        self.dropout = nn.Dropout(dropout)
        self.dense1 = nn.Linear(n_tags, 100)
        self.dense2 = nn.Linear(100, 100)
        self.dense3 = nn.Linear(100, 30)
        self.dense4 = nn.Linear(30, 1)

    def forward(self, tags: Tensor) -> Tensor:
        """One score per song."""
        x = self.dropout(leaky(self.dense1(self.checked(tags))))
        x = self.dropout(leaky(self.dense2(x)))
        x = self.dropout(leaky(self.dense3(x)))
        return leaky(self.dense4(x)).squeeze(1)


class HitNet(nn.Module):
    """The whole model: an audio network, a tag network, or both mixed with weight μ.

    Args:
        audio: Network of the log-mel spectrogram; None for tags alone.
        tag: Network of the tags; None for audio alone.
        tag_weight: μ, the share of the tag score; unused where one network stands alone.
        mix: `convex` (eq. 4) or `additive`.

    References:
        Eq. 4 and Figs. 1 and 2 of the paper.

    Example:
        >>> net = HitNet(HitCNN(), TagDNN(), tag_weight=0.5).eval()
        >>> output = net(torch.zeros(2, 128, 323), torch.zeros(2, 50))
        >>> bool((output.score == 0.5 * output.audio_score + 0.5 * output.tag_score).all())
        True
    """

    def __init__(
        self,
        audio: AudioNetwork | None,
        tag: TagNetwork | None = None,
        tag_weight: float = 0.5,
        mix: MixKind | str = MixKind.CONVEX,
    ) -> None:
        super().__init__()
        if audio is None and tag is None:
            raise ParameterError("neither audio nor tag network is given; HitNet needs one or both")
        if not 0 <= tag_weight <= 1:
            raise ParameterError(f"tag_weight is {tag_weight}; allowed is 0 to 1 (eq. 4)")
        try:
            self.mix = MixKind(mix)
        except ValueError as error:
            allowed = ", ".join(MixKind)
            raise ParameterError(f"mix is {mix!r}; allowed is one of {allowed}") from error
        self.audio = audio
        self.tag = tag
        self.tag_weight = float(tag_weight)

    def forward(self, mel: Tensor | None, tags: Tensor | None = None) -> HitNetOutput:
        """The scores of a batch of songs.

        Shape:
            mel `(n_songs, n_mels, n_frames)`, tags `(n_songs, n_tags)`; either may be None where
            the model has no network for it.

        Raises:
            ParameterError: An input that the model needs is missing or of another shape.
        """
        frame_scores = audio_score = tag_score = None
        if self.audio is not None:
            if mel is None:
                raise ParameterError("no log-mel is given, but this model listens to the audio")
            if self.audio.has_frames:
                frame_scores = self.audio.frame_scores(mel)
                audio_score = frame_scores.mean(dim=-1)
            else:
                audio_score = self.audio(mel)
        if self.tag is not None:
            if tags is None:
                raise ParameterError(
                    "no tags are given, but this model uses them: run a tagger on the song first"
                )
            tag_score = self.tag(tags)
        return HitNetOutput(
            self._mixed(audio_score, tag_score), audio_score, tag_score, frame_scores
        )

    def _mixed(self, audio: Tensor | None, tag: Tensor | None) -> Tensor:
        if audio is not None and tag is not None:
            return mixed_score(audio, tag, self.tag_weight, self.mix)
        score = audio if audio is not None else tag
        assert score is not None, "HitNet has at least one network"
        return score


Network = TypeVar("Network", bound=nn.Module)


def initialise(network: Network, seed: int) -> Network:
    """The same network with fresh weights that depend on `seed` alone, on any device.

    Glorot uniform with the fans of the published two-dimensional kernels (for a first convolution
    over all bins the outgoing fan counts the bins as well), zero biases. The linear rater starts
    from 0 altogether.

    Args:
        network: Any network of this module; changed in place.
        seed: Two networks of one shape and one seed are equal.

    Example:
        >>> a, b = initialise(TagDNN(), seed=1), initialise(TagDNN(), seed=1)
        >>> bool((a.dense1.weight == b.dense1.weight).all())
        True
    """
    generator = torch.Generator().manual_seed(seed)
    linear = {
        f"{name}.{own}".lstrip(".")
        for name, part in network.named_modules()
        if isinstance(part, LinearRater)
        for own, _ in part.named_parameters()
    }
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 or name in linear:
            nn.init.zeros_(parameter)
            continue
        n_out, n_in = parameter.shape[:2]
        kernel = math.prod(parameter.shape[2:])
        over_bins = name.split(".")[-2].startswith("conv1")
        fan_in, fan_out = n_in * kernel, n_out * kernel * (n_in if over_bins else 1)
        limit = math.sqrt(6 / (fan_in + fan_out))
        fresh = torch.empty(parameter.shape).uniform_(-limit, limit, generator=generator)
        with torch.no_grad():
            parameter.copy_(fresh)
    return network


def start_from(network: HitNet, mean: float) -> None:
    """Set the last biases so that the mixed score of nothing is `mean`.

    Example:
        >>> start_from(net := HitNet(None, TagDNN(2)), 0.5)
        >>> net.tag.dense4.bias.item()
        0.5
    """
    before_leak = mean if mean > 0 else mean / LEAK
    with torch.no_grad():
        if network.audio is not None and network.audio.last:
            last: Any = network.audio.get_submodule(network.audio.last)
            last.bias.fill_(before_leak if network.audio.leaks else mean)
        alone = network.audio is None or network.mix is MixKind.CONVEX
        if isinstance(network.tag, TagDNN) and alone:
            network.tag.dense4.bias.fill_(before_leak)

"""Many networks of one shape as one batched model.

The network has 0.1 million parameters, so a device is busy only with many of them at once. A
`Stack` holds K networks with a leading member dimension on every parameter; a layer is then one
batched matrix product. Members that see the same songs in the same order (the grid points of a
fold) form a group, and the first convolution reads the spectrograms once per group.

Conventions:
    Frames come before bins: spectrograms are `(n_songs, n_frames, n_mels)`, so that a convolution
    over time is a sum of matrix products of shifted views, without copying windows.
    Inputs are standardised with the statistics of each member's training songs, and scores are in
    units of the deviation of y there; `state_dict` folds both into the first and last layers, so
    the exported network takes the raw log-mel and the raw tags and predicts y.
    Pooling comes before the leaky ReLU: the order does not matter, as it is increasing, and there
    is half as much to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from hitcore.networks.hitnet import LEAK, HitNet, InceptionCNN, LinearRater, leaky
from hitcore.networks.mixing import mixed_score

if TYPE_CHECKING:
    from hitcore.learning.stacks.devicedata import DeviceData

BRANCHES = {"conv1": 0, "conv1_8": 2, "conv1_16": 6}
"""First convolutions and the frames of zero padding that each has at either end."""


@dataclass(frozen=True)
class Normalisation:
    """What each member subtracts from its inputs and what it multiplies them by."""

    mean: Tensor
    """`(K, n_features)`."""
    scale: Tensor
    """`(K, n_features)`."""

    def take(self, members: Tensor) -> Normalisation:
        """That of some of the members."""
        return Normalisation(self.mean[members], self.scale[members])


class Stack:
    """K networks of one shape, trained and run as one.

    Args:
        networks: The members, alike but for their weights and tag_weight.
        groups: For each member the number of its group, 0 up; members of one group are given the
            same songs. They must stand together.
        mel: Normalisation of the spectrograms; None without an audio network.
        tags: Normalisation of the tags; None without a tag network.
        unit: For each member what a score of 1 means on the scale of y.
        device: Where the parameters live.
        precision: Type of the matrix products; parameters stay float32.
    """

    def __init__(
        self,
        networks: Sequence[HitNet],
        groups: Sequence[int],
        mel: Normalisation | None,
        tags: Normalisation | None,
        unit: Tensor,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        first = networks[0]
        self.audio = first.audio
        self.tag = first.tag
        self.mix = first.mix
        self._regroup(torch.tensor(groups, device=device))
        self.mel, self.tags, self.unit = mel, tags, unit
        self.tag_weight = torch.tensor([net.tag_weight for net in networks], device=device)
        self.precision = precision
        states = [net.state_dict() for net in networks]
        self.shapes = {name: value.shape for name, value in states[0].items()}
        self.parameters = {
            name: _to_stack(torch.stack([state[name] for state in states])).to(device)
            for name in states[0]
        }
        self.refresh()

    def __len__(self) -> int:
        return len(self.groups)

    def keep(self, members: Tensor) -> None:
        """Drop all other members; groups are numbered anew."""
        self.parameters = {
            name: value.detach()[members].clone() for name, value in self.parameters.items()
        }
        self._regroup(torch.unique(self.groups[members], return_inverse=True)[1])
        self.tag_weight = self.tag_weight[members]
        self.mel = self.mel and self.mel.take(members)
        self.tags = self.tags and self.tags.take(members)
        self.unit = self.unit[members]
        self.refresh()

    def refresh(self) -> None:
        """Make anew what is kept beside the parameters, after those were replaced."""

    def leaves(self) -> dict[str, Tensor]:
        """What gradients are taken of: here the parameters themselves."""
        return self.parameters

    def _regroup(self, groups: Tensor) -> None:
        self.groups = groups
        sizes = torch.bincount(groups)
        self._n_each = int(sizes[0]) if len(sizes) and bool((sizes == sizes[0]).all()) else 0
        self._first_of = sizes.cumsum(0) - sizes

    def state_dict(self, member: int) -> dict[str, Tensor]:
        """The weights of one member, ready for `HitNet.load_state_dict`, with raw inputs.

        Args:
            member: Which one.
        """
        state = {
            name: _from_stack(value.detach()[member].double().cpu(), self.shapes[name])
            for name, value in self.parameters.items()
        }
        if self.mel is not None:
            for branch in BRANCHES:
                _fold(state, f"audio.{branch}", self.mel, member)
        if self.tags is not None:
            _fold(state, "tag.dense1", self.tags, member)
        # The leaky ReLU of the last layers lets a positive factor through.
        last = "audio.conv1" if isinstance(self.audio, LinearRater) else "audio.conv5"
        for name in state:
            if name.startswith((last, "tag.dense4")):
                state[name] = state[name] * self.unit[member].double().cpu()
        return {name: value.float().contiguous() for name, value in state.items()}

    def scores(
        self, mel: Tensor | None, tags: Tensor | None, dropped: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The mixed score of every song for every member, in the member's own unit.

        Args:
            mel: Raw spectrograms of each group's songs, `(n_groups, n_songs, n_frames, n_mels)`.
            tags: Raw tags of each group's songs, `(n_groups, n_songs, n_tags)`.
            dropped: Applies dropout to activations `(K, n_rows, n_channels)`, or nothing.

        Shape:
            Result `(K, n_songs)`, float32.
        """
        audio = None if self.audio is None or mel is None else self._audio_scores(mel, dropped)
        tag = None if self.tag is None or tags is None else self._tag_scores(tags, dropped)
        return self._together(audio, tag)

    def scores_of(self, data: DeviceData, songs: Tensor, dropped: Any) -> Tensor:
        """As `scores`, of songs by their positions in the data, below 0 where there is none.

        Shape:
            songs `(n_groups, n_songs)`; result `(K, n_songs)`.
        """
        known = songs.clamp(min=0)
        mel = None if self.audio is None else data.mel_of(known)
        tags = None if self.tag is None or data.tags is None else data.tags[known]
        return self.scores(mel, tags, dropped)

    def _together(self, audio: Tensor | None, tag: Tensor | None) -> Tensor:
        if audio is None or tag is None:
            score = audio if audio is not None else tag
            assert score is not None
            return score
        return mixed_score(audio, tag, self.tag_weight, self.mix)

    def _audio_scores(self, mel: Tensor, dropped: Callable[[Tensor], Tensor]) -> Tensor:
        if isinstance(self.audio, LinearRater):
            x = self._each(self._normalised(mel.float().mean(dim=2), self.mel))
            return self._product(x, "audio.conv1").squeeze(-1).float()
        x = self._inception(mel) if isinstance(self.audio, InceptionCNN) else self._front(mel)
        n_members, n_songs, n_frames, _ = x.shape
        x = _time_convolution(x.flatten(1, 2), *self._kernel("audio.conv2", 4))
        x = _pool_leaky(x.view(n_members, n_songs, n_frames, -1), n_frames - 3)
        n_frames = x.shape[2]
        x = leaky(self._product(dropped(x.flatten(1, 2)), "audio.conv3"))
        x = leaky(self._product(dropped(x), "audio.conv4"))
        x = leaky(self._product(dropped(x), "audio.conv5").float())
        return x.view(n_members, n_songs, n_frames).mean(dim=-1)

    def _tag_scores(self, tags: Tensor, dropped: Callable[[Tensor], Tensor]) -> Tensor:
        x = self._each(self._normalised(tags, self.tags))
        for layer in ("tag.dense1", "tag.dense2", "tag.dense3"):
            x = dropped(leaky(self._product(x, layer)))
        return leaky(self._product(x, "tag.dense4").float()).squeeze(-1)

    def _front(self, mel: Tensor) -> Tensor:
        """Convolution over all bins, pooling and leaky ReLU: `(K, n_songs, n_frames, 32)`."""
        x = self._normalised(mel, self.mel)
        return _pool_leaky(self._branch(x, "conv1"), x.shape[2] - 3).flatten(0, 1)

    def _inception(self, mel: Tensor) -> Tensor:
        """Three parallel convolutions, joined to 32 channels, then as `_front`."""
        most = max(BRANCHES.values())
        x = self._normalised(functional.pad(mel, (0, 0, most, most)), self.mel)
        n_frames = mel.shape[2] - 3
        branches = [
            self._branch(x, name)[..., most - padding : most - padding + n_frames, :]
            for name, padding in BRANCHES.items()
        ]
        joined = leaky(torch.cat(branches, dim=-1)).flatten(0, 1)
        y = self._product(joined.flatten(1, 2), "audio.join").view(*joined.shape[:3], -1)
        return _pool_leaky(y, n_frames)

    def _branch(self, x: Tensor, name: str) -> Tensor:
        """A first convolution: one wide product for all members of a group.

        Shape:
            x `(n_groups, n_songs, n_frames, n_mels)`; result `(n_groups, n_members_each, n_songs,
            n_frames, n_out)`, of which the last `kernel - 1` frames of a song mean nothing.
        """
        n_each = self._n_each
        if not n_each:
            x, n_each = x[self.groups], 1
        kernel = self.shapes[f"audio.{name}.weight"][-1]
        weight, bias = self._kernel(f"audio.{name}", kernel)
        n_groups, n_in, n_out = x.shape[0], x.shape[-1], bias.shape[-1]
        wide = weight.view(n_groups, n_each, kernel, n_in, n_out).permute(0, 2, 3, 1, 4).flatten(3)
        y = _time_convolution(x.flatten(1, 2), wide, bias.reshape(n_groups, -1))
        return y.view(*x.shape[:3], n_each, n_out).permute(0, 3, 1, 2, 4)

    def _each(self, x: Tensor) -> Tensor:
        """What each member is given, from what each group is given."""
        return x if self._n_each == 1 else x[self.groups]

    def _normalised(self, x: Tensor, by: Normalisation | None) -> Tensor:
        """Standardised inputs of each group, whose members share the training songs."""
        assert by is not None, "every input of a stack has its normalisation"
        scale = by.scale[self._first_of]
        shift = -(by.mean[self._first_of] * scale)
        shape = (-1, *[1] * (x.ndim - 2), x.shape[-1])
        return torch.addcmul(shift.view(shape), x.float(), scale.view(shape)).to(self.precision)

    def _kernel(self, layer: str, n_frames: int) -> tuple[Tensor, Tensor]:
        """Kernel `(K, n_frames, n_in, n_out)` and bias `(K, n_out)` of a convolution."""
        weight = self.parameters[f"{layer}.weight"].to(self.precision)
        bias = self.parameters[f"{layer}.bias"].to(self.precision)
        return weight.view(len(weight), n_frames, -1, weight.shape[-1]), bias

    def _product(self, x: Tensor, layer: str) -> Tensor:
        """A dense layer, or a convolution of one frame: `(K, n_rows, n_in)` to `n_out`."""
        weight = self.parameters[f"{layer}.weight"].to(self.precision)
        bias = self.parameters[f"{layer}.bias"].to(self.precision)
        return torch.baddbmm(bias.unsqueeze(1), x.to(self.precision), weight)


class Dropout:
    """Dropout whose draws depend on each member's own seed, or on one seed for the whole stack.

    A draw is one byte, so the rate is a multiple of 1/256 (0.25 is exact), and what stays is
    divided by the true share that stays. On a CPU each member draws from its own stream, so its
    course does not depend on the stack it is in; on a GPU, where K small draws would cost more than
    the network, the stack draws as one.

    Args:
        rate: Share of activations dropped.
        seeds: One per member.
        device: Where the activations are.
    """

    def __init__(self, rate: float, seeds: Sequence[int], device: torch.device) -> None:
        self.n_dropped = round(rate * 256)
        seeds = seeds if device.type == "cpu" else [hash(tuple(seeds)) % 2**63]
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, x: Tensor) -> Tensor:
        """The activations `(K, n_rows, n_channels)` with some of them 0 and the others enlarged."""
        if self.n_dropped == 0:
            return x
        rows = x.numel() // len(self.generators)
        words = torch.empty(len(self.generators), -(-rows // 8), dtype=torch.int64, device=x.device)
        for row, generator in zip(words, self.generators, strict=True):
            row.random_(-(2**63), None, generator=generator)
        draws = words.view(torch.uint8)[:, :rows].reshape(x.shape)
        return x * (draws >= self.n_dropped).to(x.dtype).mul_(256 / (256 - self.n_dropped))


def _time_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y: Tensor = _TimeConvolution.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return y


def _pool_leaky(x: Tensor, n_frames: int) -> Tensor:
    y: Tensor = _PoolLeaky.apply(x, n_frames)  # type: ignore[no-untyped-call]
    return y


class _TimeConvolution(torch.autograd.Function):
    """A convolution over the rows of `(K, n_rows, n_in)`, as a sum of products of shifted views.

    Songs stand one after another in the rows, so the last `kernel - 1` rows of each song mix two
    songs; they mean nothing and their gradient must be 0.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        kernel, n_rows = weight.shape[1], x.shape[1] - weight.shape[1] + 1
        y = x.new_empty(x.shape[0], x.shape[1], weight.shape[-1])
        inner = y[:, :n_rows]
        inner.copy_(bias.unsqueeze(1).expand_as(inner))
        y[:, n_rows:] = 0
        for k in range(kernel):
            inner.baddbmm_(x[:, k : k + n_rows], weight[:, k])
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        kernel, n_rows = weight.shape[1], x.shape[1] - weight.shape[1] + 1
        inner = gradients[0][:, :n_rows]
        by_weight = torch.stack(
            [x[:, k : k + n_rows].transpose(1, 2) @ inner for k in range(kernel)], dim=1
        )
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = torch.zeros_like(x)
            for k in range(kernel):
                by_x[:, k : k + n_rows].baddbmm_(inner, weight[:, k].transpose(1, 2))
        return by_x, by_weight, inner.sum(dim=1)


class _PoolLeaky(torch.autograd.Function):
    """The larger of each two of the first `n_frames` frames of `(…, frames, n_out)`, then LReLU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n_frames: int) -> Tensor:
        even, odd = x[..., 0 : n_frames - 1 : 2, :], x[..., 1:n_frames:2, :]
        y = leaky(torch.maximum(even, odd).contiguous())
        ctx.save_for_backward(x, y)
        ctx.n_frames = n_frames
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        slices = [slice(0, ctx.n_frames - 1, 2), slice(1, ctx.n_frames, 2)]
        even, odd = (x[..., each, :] for each in slices)
        gradient = torch.ops.aten.leaky_relu_backward(gradients[0], y, LEAK, True)
        by_x = torch.zeros_like(x)
        torch.mul(gradient, even >= odd, out=by_x[..., slices[0], :])
        torch.mul(gradient, even < odd, out=by_x[..., slices[1], :])
        return by_x, None


def _to_stack(value: Tensor) -> Tensor:
    """Weights `(K, n_out, n_in[, kernel])` as `(K, kernel·n_in, n_out)`; biases as they are."""
    if value.ndim == 4:
        value = value.permute(0, 3, 2, 1).flatten(1, 2)
    elif value.ndim == 3:
        value = value.mT
    # A copy: strides of dimensions of size 1 decide which product is chosen, and so its last bits;
    # they must be those that the tensor has when it comes back from a checkpoint.
    return value.clone(memory_format=torch.contiguous_format)


def _from_stack(value: Tensor, shape: torch.Size) -> Tensor:
    """One member's parameter in the layout of its network."""
    if len(shape) == 3:
        n_out, n_in, kernel = shape
        return value.view(kernel, n_in, n_out).permute(2, 1, 0)
    return value.mT if len(shape) == 2 else value


def _fold(state: dict[str, Tensor], layer: str, by: Normalisation, member: int) -> None:
    """Let a first layer take raw inputs: the same function of them, with other weights."""
    if f"{layer}.weight" not in state:
        return
    weight = state[f"{layer}.weight"]
    shape = (-1, 1) if weight.ndim == 3 else (-1,)
    mean, scale = (value[member].double().cpu().view(shape) for value in (by.mean, by.scale))
    state[f"{layer}.weight"] = weight * scale
    state[f"{layer}.bias"] = state[f"{layer}.bias"] - (weight * scale * mean).flatten(1).sum(1)

# mypy: disable-error-code="no-untyped-call"
"""A stack whose small steps are fused kernels: the same networks, several times as fast on a GPU.

Between two products of the plain stack stand up to eight passes over its activations; here they
are one (`kernels`). Products take operands in the precision of training, which the optimiser's
kernel writes as it moves the parameters, so that nothing is converted in a step.

What the plain path computes, this one computes as well, but for the order of sums and for
dropout, whose draws follow from each member's own seed whatever stack it is in.

Conventions:
    Windows of frames stand side by side in memory before a convolution, which is then one product.
    Outputs of the first convolution lie as the products leave them: the members of a group inner
    to its songs; `offsets` and `strides` say where each member's rows are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from hitcore.learning.stacks.gpu import kernels
from hitcore.learning.stacks.gpu.launches import (
    Draws,
    Layout,
    activated,
    activated_back,
    plain_layout,
    pooled,
    pooled_back,
    power_of_two,
    scored,
    scored_back,
    song_windows,
    windows_back,
    windows_of,
)
from hitcore.learning.stacks.stack import Stack
from hitcore.networks.hitnet import InceptionCNN, LinearRater

LARGEST_BATCH = 64
"""Songs of a batch whose loss is one kernel; more of them take the plain path."""


def try_out(device: torch.device) -> None:
    """Run one kernel; raises whatever stands in the way: no compiler, too old a card."""
    x, keys = torch.ones(2, 16, 8, device=device), torch.zeros(2, dtype=torch.int64, device=device)
    activated(x, torch.zeros(2, 8, device=device), Draws(keys, device, 0.25), 0)
    torch.cuda.synchronize(device)


class FusedStack(Stack):
    """A `Stack` on a GPU, whose operands are kept in the precision of its products."""

    def refresh(self) -> None:
        """Make the operands anew from the parameters, after those were replaced."""
        same = self.precision == torch.float32
        self.operands = {
            name: value if same else value.detach().to(self.precision)
            for name, value in self.parameters.items()
        }
        self._layouts: dict[tuple[int, int, bool], Layout] = {}

    def leaves(self) -> dict[str, Tensor]:
        """The operands: what gradients are taken of."""
        return self.operands

    def scores_of(self, data: Any, songs: Tensor, dropped: Any) -> Tensor:
        """Scores of each group's songs `(n_groups, n_songs)`: `(K, n_songs)`."""
        draws: Draws = dropped if isinstance(dropped, Draws) else self._no_draws()
        audio = tag = None
        if isinstance(self.audio, LinearRater):
            audio = self._plain_audio(data, songs)
        elif self.audio is not None:
            audio = self._fused_audio(data, songs, draws)
        if self.tag is not None:
            x = self._each(self._normalised(data.tags[songs.clamp(min=0)], self.tags))
            for salt, layer in ((3, "tag.dense1"), (4, "tag.dense2")):
                x = _Dense.apply(x, *self._layer(layer), draws, salt)
            x = torch.bmm(x, self.operands["tag.dense3.weight"])
            last = self._layer("tag.dense4")
            tag = _Head.apply(x, self.operands["tag.dense3.bias"], *last, draws, 5)
        return self._together(audio, tag)

    def _no_draws(self) -> Draws:
        device = self.groups.device
        return Draws(torch.zeros(len(self), dtype=torch.int64, device=device), device, 0.0)

    def _plain_audio(self, data: Any, songs: Tensor) -> Tensor:
        x = self._normalised(data.mel_of(songs.clamp(min=0)).float().mean(dim=2), self.mel)
        weight, bias = self._layer("audio.conv1")
        return torch.baddbmm(bias.unsqueeze(1), self._each(x), weight).squeeze(-1).float()

    def _fused_audio(self, data: Any, songs: Tensor, draws: Draws) -> Tensor:
        n_songs = songs.shape[1]
        if isinstance(self.audio, InceptionCNN):
            y = self._inception(data.mel_of(songs.clamp(min=0)))
            n_frames = y.shape[2]
            y = y.reshape(len(self), n_songs * n_frames, -1)
        else:
            y, n_frames = self._first(data, songs, draws)
        weight, bias = self._layer("audio.conv2")
        layout = self._layout(n_songs * (n_frames - 3), bias.shape[-1], grouped=False)
        y = _Convolution.apply(y, weight, bias, layout, n_songs, n_frames, draws, 0)
        y = _Dense.apply(y, *self._layer("audio.conv3"), draws, 1)
        y = torch.bmm(y, self.operands["audio.conv4.weight"])
        last = self._layer("audio.conv5")
        frames = _Head.apply(y, self.operands["audio.conv4.bias"], *last, draws, 2)
        score: Tensor = frames.view(len(self), n_songs, -1).mean(dim=-1)
        return score

    def _first(self, data: Any, songs: Tensor, draws: Draws) -> tuple[Tensor, int]:
        """The first convolution, pooled: `(K, n_songs · n_frames, 32)`, and n_frames."""
        assert self.mel is not None, "a stack that listens has its normalisation"
        weight, bias = self._layer("audio.conv1")
        kernel = self.shapes["audio.conv1.weight"][-1]
        windows = song_windows(
            data.mel, data.places(songs), self.mel, self._first_of, kernel, weight.dtype
        )
        n_frames = data.mel.shape[1] - kernel + 1
        layout = self._layout(songs.shape[1] * n_frames, bias.shape[-1])
        y: Tensor = _FirstConvolution.apply(windows, weight, bias, layout, n_frames, draws.none())
        return y, n_frames // 2

    def _layer(self, name: str) -> tuple[Tensor, Tensor]:
        return self.operands[f"{name}.weight"], self.operands[f"{name}.bias"]

    def _product(self, x: Tensor, layer: str) -> Tensor:
        weight, bias = self._layer(layer)
        return torch.baddbmm(bias.unsqueeze(1), x.to(self.precision), weight)

    def _kernel(self, layer: str, n_frames: int) -> tuple[Tensor, Tensor]:
        weight, bias = self._layer(layer)
        return weight.view(len(weight), n_frames, -1, weight.shape[-1]), bias

    def _layout(self, n_rows: int, n_out: int, *, grouped: bool = True) -> Layout:
        key = (n_rows, n_out, grouped)
        if key not in self._layouts and not grouped:
            self._layouts[key] = plain_layout(len(self), n_rows, n_out, self.groups.device)
        if key not in self._layouts:
            sizes = torch.bincount(self.groups).tolist()
            runs: list[tuple[int, int, int]] = []
            offsets, strides, start = [], [], 0
            for group, size in enumerate(sizes):
                if runs and runs[-1][2] == size:
                    runs[-1] = (runs[-1][0], runs[-1][1] + 1, size)
                else:
                    runs.append((group, 1, size))
                offsets += [start + place * n_out for place in range(size)]
                strides += [size * n_out] * size
                start += n_rows * size * n_out
            device = self.groups.device
            self._layouts[key] = Layout(
                torch.tensor(offsets, device=device),
                torch.tensor(strides, device=device),
                tuple(runs),
            )
        return self._layouts[key]


# --- layers --------------------------------------------------------------------------------------


class _FirstConvolution(Function):
    """Windows of each group's songs to its members' pooled activations."""

    @staticmethod
    def forward(
        ctx: Any,
        windows: Tensor,
        weight: Tensor,
        bias: Tensor,
        layout: Layout,
        n_frames: int,
        draws: Draws,
    ) -> Tensor:
        n_rows, n_out = windows.shape[1], weight.shape[-1]
        z = windows.new_empty(len(weight) * n_rows * n_out)
        member = 0
        for x, out in _inputs_and_outputs(windows, weight, z, layout):
            n_members = out.shape[0] * out.shape[2] // n_out
            wide = weight[member : member + n_members].view(len(x), -1, weight.shape[1], n_out)
            torch.bmm(x, wide.transpose(1, 2).reshape(len(x), -1, out.shape[2]), out=out)
            member += n_members
        n_songs = n_rows // n_frames
        y = pooled(z, bias, layout, n_songs, n_frames, draws, 7)
        ctx.save_for_backward(windows, weight, bias, z, y)
        ctx.rest = (layout, n_songs, n_frames, draws)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        windows, weight, bias, z, y = ctx.saved_tensors
        layout, n_songs, n_frames, draws = ctx.rest
        by_z, by_bias = pooled_back(gradients[0], z, y, bias, layout, n_songs, n_frames, draws)
        parts = [
            _narrow(x.mT @ by_out, weight)
            for x, by_out in _inputs_and_outputs(windows, weight, by_z, layout)
        ]
        return None, parts[0] if len(parts) == 1 else torch.cat(parts), by_bias, None, None, None


def _inputs_and_outputs(
    windows: Tensor, weight: Tensor, z: Tensor, layout: Layout
) -> list[tuple[Tensor, Tensor]]:
    """For each run of groups of one size: its windows, and where its outputs are."""
    n_rows, n_out = windows.shape[1], weight.shape[-1]
    found, place = [], 0
    for group, n_groups, size in layout.runs:
        n_values = n_groups * size * n_rows * n_out
        out = z[place : place + n_values].view(n_groups, n_rows, size * n_out)
        found.append((windows[group : group + n_groups], out))
        place += n_values
    return found


def _narrow(wide: Tensor, weight: Tensor) -> Tensor:
    """Gradients of wide kernels as those of the members."""
    n_out = weight.shape[-1]
    n_groups, n_in, width = wide.shape
    by_member = wide.view(n_groups, n_in, width // n_out, n_out).transpose(1, 2)
    return by_member.reshape(-1, n_in, n_out)


class _Convolution(Function):
    """A convolution over time, pooling, leaky ReLU and dropout."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        layout: Layout,
        n_songs: int,
        n_frames: int,
        draws: Draws,
        salt: int,
    ) -> Tensor:
        kernel = weight.shape[1] // x.shape[2]
        windows = windows_of(x.contiguous(), n_songs, n_frames, kernel)
        z = torch.bmm(windows, weight)
        n_after = n_frames - kernel + 1
        y = pooled(z, bias, layout, n_songs, n_after, draws, salt)
        ctx.save_for_backward(windows, weight, bias, z, y)
        ctx.rest = (layout, n_songs, n_frames, n_after, kernel, draws)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        windows, weight, bias, z, y = ctx.saved_tensors
        layout, n_songs, n_frames, n_after, kernel, draws = ctx.rest
        by_z, by_bias = pooled_back(gradients[0], z, y, bias, layout, n_songs, n_after, draws)
        by_z = by_z.view(z.shape)
        by_windows = torch.bmm(by_z, weight.mT)
        by_x = windows_back(by_windows, n_songs, n_frames, kernel)
        return by_x, torch.bmm(windows.mT, by_z), by_bias, None, None, None, None, None


class _Dense(Function):
    """A dense layer, leaky ReLU and dropout."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, draws: Draws, salt: int
    ) -> Tensor:
        x = x.to(weight.dtype)
        y = activated(torch.bmm(x, weight), bias, draws, salt)
        ctx.save_for_backward(x, weight, bias, y)
        ctx.draws = draws
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, y = ctx.saved_tensors
        by_y, by_bias = activated_back(gradients[0], y, bias, ctx.draws)
        by_x = torch.bmm(by_y, weight.mT) if ctx.needs_input_grad[0] else None
        return by_x, torch.bmm(x.mT, by_y), by_bias, None, None


class _Head(Function):
    """Bias, leaky ReLU and dropout of a layer's product, and the one unit behind it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor,
        weight: Tensor,
        last_bias: Tensor,
        draws: Draws,
        salt: int,
    ) -> Tensor:
        score = scored(x, bias, weight, last_bias, draws, salt)
        ctx.save_for_backward(x, bias, weight, last_bias, score)
        ctx.rest = (draws, salt)
        return score

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = scored_back(gradients[0].contiguous(), *ctx.saved_tensors, *ctx.rest)
        return *found, None, None


class _BatchLoss(Function):
    """Eq. 3 over all permitted pairs of a batch, with its gradient found on the way."""

    @staticmethod
    def forward(
        ctx: Any, score: Tensor, y: Tensor, permitted: Tensor, margin: Tensor, rank_weight: Tensor
    ) -> Tensor:
        n_members, n_songs = score.shape
        loss, by_score = score.new_empty(n_members), torch.empty_like(score)
        kernels._batch_loss[(n_members,)](
            score.contiguous(), y, permitted, margin, rank_weight, loss, by_score, n_songs,
            SIZE=max(power_of_two(n_songs), 2),
        )  # fmt: skip
        ctx.save_for_backward(by_score)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (by_score,) = ctx.saved_tensors
        return by_score * gradients[0].unsqueeze(1), None, None, None, None


def batch_loss(
    score: Tensor, y: Tensor, permitted: Tensor, margin: Tensor, rank_weight: Tensor
) -> Tensor:
    """What `losses.in_batch_loss` gives for a stack, in one kernel."""
    loss: Tensor = _BatchLoss.apply(score, y.contiguous(), permitted, margin, rank_weight)
    return loss

"""The kernels of a stack, launched: sizes of programs, outputs and sums of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hitcore.learning.stacks.gpu import kernels
from hitcore.learning.stacks.stack import Normalisation


class Draws:
    """What dropout draws: each member's key for the epoch, and the number of the step.

    Args:
        keys: One 64-bit key per member.
        device: Where the stack is.
        rate: Share of activations dropped, taken to the next 1/256.
        step: Holds the number of the step, which a replayed step moves on.
    """

    def __init__(
        self, keys: Tensor, device: torch.device, rate: float, step: Tensor | None = None
    ) -> None:
        self.keys = keys
        self.step = torch.zeros(1, dtype=torch.int64, device=device) if step is None else step
        self.n_dropped = round(rate * 256)
        self.factor = 256 / (256 - self.n_dropped)

    def none(self) -> Draws:
        """The same without dropout."""
        return Draws(self.keys, self.keys.device, 0.0, self.step)


@dataclass(frozen=True)
class Layout:
    """Where the rows of each member lie in what the first convolution gives."""

    offsets: Tensor
    strides: Tensor
    runs: tuple[tuple[int, int, int], ...]
    """Runs of groups of one size: first group, number of groups, members in each."""


def power_of_two(n: int) -> int:
    """The next power of 2."""
    return 1 << (n - 1).bit_length()


SIZES = {
    "windows": (8192, 4),
    "pool": (2048, 4),
    "pool_back": (2048, 4),
    "activate": (4096, 4),
    "activate_back": (2048, 4),
    "head": (8192, 4),
    "head_back": (2048, 4),
}
"""Activations that one program of a kernel holds at once, and its warps (measured on Hopper)."""

ENOUGH_PROGRAMS = 2048
"""So many fill a GPU; where there are more, each does several tiles, so that few sums are left."""


def _tiles(kernel: str, n_out: int) -> dict[str, int]:
    """Columns, rows and warps of a program that handles whole rows of so many outputs."""
    size, n_warps = SIZES[kernel]
    width = max(power_of_two(n_out), 8)
    return {"WIDTH": width, "ROWS": max(size // width, 1), "num_warps": n_warps}


def _summed_tiles(
    kernel: str, n_members: int, n_rows: int, n_out: int
) -> tuple[int, dict[str, int]]:
    """As `_tiles` for a kernel that sums over rows: programs for each member, and their sizes."""
    tiles = _tiles(kernel, n_out)
    n_tiles = -(-n_rows // tiles["ROWS"])
    loops = 16
    while loops > 1 and (loops > n_tiles or n_members * n_tiles < loops * ENOUGH_PROGRAMS):
        loops //= 2
    return -(-n_tiles // loops), tiles | {"LOOPS": loops}


def _drop(draws: Draws, salt: int | None = None) -> dict[str, Any]:
    told: dict[str, Any] = {"N_DROPPED": draws.n_dropped, "FACTOR": draws.factor}
    return told if salt is None else told | {"SALT": 0x9E37 * (salt + 1)}


def song_windows(
    mel: Tensor, songs: Tensor, by: Normalisation, first_of: Tensor, kernel: int, kind: torch.dtype
) -> Tensor:
    """Windows of each group's songs, standardised: `(n_groups, n_songs · n, kernel · n_mels)`."""
    n_groups, n_songs = songs.shape
    _, n_frames, n_mels = mel.shape
    n_windows, span = n_frames - kernel + 1, kernel * n_mels
    scale = by.scale[first_of].contiguous()
    shift = -(by.mean[first_of] * scale)
    out = torch.empty(n_groups, n_songs * n_windows, span, dtype=kind, device=mel.device)
    tiles = _tiles("windows", span)
    grid = (-(-n_songs * n_windows // tiles["ROWS"]), n_groups)
    kernels._song_windows[grid](
        mel, songs.contiguous(), shift, scale, out, n_songs, n_frames * n_mels, n_windows,
        N_MELS=n_mels, SPAN=span, **tiles,
    )  # fmt: skip
    return out


def windows_of(x: Tensor, n_songs: int, n_frames: int, kernel: int) -> Tensor:
    """Windows of each song's frames: `(K, n_songs · n, kernel · n_in)`."""
    n_members, n_rows, n_in = x.shape
    n_windows = n_frames - kernel + 1
    out = x.new_empty(n_members, n_songs * n_windows, kernel * n_in)
    n_each = out.shape[1] * out.shape[2]
    kernels._windows[(-(-n_each // 2048), n_members)](
        x, out, n_each, n_rows * n_in, n_frames, n_windows,
        N_IN=n_in, SPAN=kernel * n_in, BLOCK=2048,
    )  # fmt: skip
    return out


def windows_back(by_out: Tensor, n_songs: int, n_frames: int, kernel: int) -> Tensor:
    """The gradient of `windows_of`: `(K, n_songs · n_frames, n_in)`."""
    n_members, n_rows, span = by_out.shape
    n_in = span // kernel
    by_x = by_out.new_empty(n_members, n_songs * n_frames, n_in)
    n_each = by_x.shape[1] * n_in
    kernels._windows_back[(-(-n_each // 1024), n_members)](
        by_out, by_x, n_each, n_rows * span, n_frames, n_frames - kernel + 1,
        N_IN=n_in, KERNEL=kernel, BLOCK=1024,
    )  # fmt: skip
    return by_x


def plain_layout(n_members: int, n_rows: int, n_out: int, device: torch.device) -> Layout:
    """Each member's rows one after another."""
    members = torch.arange(n_members, device=device)
    return Layout(members * (n_rows * n_out), torch.full_like(members, n_out), ())


def pooled(
    z: Tensor, bias: Tensor, at: Layout, n_songs: int, n_frames: int, draws: Draws, salt: int
) -> Tensor:
    """The larger of each two frames, bias, leaky ReLU and dropout: `(K, n_songs · n, n_out)`."""
    n_members, n_out = bias.shape
    n_pooled = n_frames // 2
    n_rows = n_songs * n_pooled
    y = z.new_empty(n_members, n_rows, n_out)
    tiles = _tiles("pool", n_out)
    kernels._pool[(-(-n_rows // tiles["ROWS"]), n_members)](
        z, bias, y, at.offsets, at.strides, draws.keys, draws.step, n_rows, n_frames, n_pooled,
        N_OUT=n_out, **tiles, **_drop(draws, salt),
    )  # fmt: skip
    return y


def pooled_back(
    gradient: Tensor, z: Tensor, y: Tensor, bias: Tensor, at: Layout,
    n_songs: int, n_frames: int, draws: Draws,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of what `pooled` was given: of z and of the bias."""
    n_members, n_out = bias.shape
    n_pooled = n_frames // 2
    n_rows = n_songs * n_pooled
    n_blocks, tiles = _summed_tiles("pool_back", n_members, n_rows, n_out)
    by_z = torch.empty_like(z)
    by_bias = torch.empty(n_members, n_blocks, n_out, device=z.device)
    kernels._pool_back[(n_blocks, n_members)](
        gradient.contiguous(), z, y, by_z, by_bias, at.offsets, at.strides, n_rows, n_frames,
        n_pooled, N_OUT=n_out, ODD=n_frames % 2 == 1, **tiles, **_drop(draws),
    )  # fmt: skip
    return by_z, by_bias.sum(dim=1).to(bias.dtype)


def activated(x: Tensor, bias: Tensor, draws: Draws, salt: int) -> Tensor:
    """Bias, leaky ReLU and dropout of `(K, n_rows, n_out)`, in place."""
    n_each, n_out = x.shape[1] * x.shape[2], x.shape[2]
    size, n_warps = SIZES["activate"]
    kernels._activate[(-(-n_each // size), len(x))](
        x, bias, draws.keys, draws.step, n_each,
        N_OUT=n_out, BLOCK=size, num_warps=n_warps, **_drop(draws, salt),
    )  # fmt: skip
    return x


def activated_back(
    gradient: Tensor, y: Tensor, bias: Tensor, draws: Draws
) -> tuple[Tensor, Tensor]:
    """Gradients of what `activated` was given: of x and of the bias."""
    n_members, n_rows, n_out = y.shape
    n_blocks, tiles = _summed_tiles("activate_back", n_members, n_rows, n_out)
    by_x = torch.empty_like(y)
    by_bias = torch.empty(n_members, n_blocks, n_out, device=y.device)
    kernels._activate_back[(n_blocks, n_members)](
        gradient.contiguous(), y, by_x, by_bias, n_rows, N_OUT=n_out, **tiles, **_drop(draws)
    )
    return by_x, by_bias.sum(dim=1).to(bias.dtype)


def scored(
    x: Tensor, bias: Tensor, weight: Tensor, last_bias: Tensor, draws: Draws, salt: int
) -> Tensor:
    """Bias, leaky ReLU, dropout and one last unit with its leaky ReLU: `(K, n_rows)`."""
    n_members, n_rows, n_out = x.shape
    score = torch.empty(n_members, n_rows, device=x.device)
    tiles = _tiles("head", n_out)
    kernels._head[(-(-n_rows // tiles["ROWS"]), n_members)](
        x, bias, weight, last_bias, score, draws.keys, draws.step, n_rows,
        N_OUT=n_out, **tiles, **_drop(draws, salt),
    )  # fmt: skip
    return score


def scored_back(
    gradient: Tensor, x: Tensor, bias: Tensor, weight: Tensor, last_bias: Tensor, score: Tensor,
    draws: Draws, salt: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of what `scored` was given: of x, bias, weight and last bias."""
    n_members, n_rows, n_out = x.shape
    n_blocks, tiles = _summed_tiles("head_back", n_members, n_rows, n_out)
    by_x = torch.empty_like(x)
    by_bias, by_weight = torch.empty(2, n_members, n_blocks, n_out, device=x.device)
    by_last = torch.empty(n_members, n_blocks, device=x.device)
    kernels._head_back[(n_blocks, n_members)](
        gradient, x, bias, weight, score, by_x, by_bias, by_weight, by_last,
        draws.keys, draws.step, n_rows, N_OUT=n_out, **tiles, **_drop(draws, salt),
    )  # fmt: skip
    return (
        by_x,
        by_bias.sum(dim=1).to(bias.dtype),
        by_weight.sum(dim=1).to(weight.dtype).view(weight.shape),
        by_last.sum(dim=1, keepdim=True).to(last_bias.dtype),
    )


# --- the optimiser's step ------------------------------------------------------------------------


def adagrad_step(value: Tensor, total: Tensor, operand: Tensor, rate: Tensor) -> None:
    """Move a parameter against its operand's gradient, in place, and renew the operand."""
    assert operand.grad is not None
    n_each = value[0].numel()
    kernels._adagrad[(-(-n_each // 1024), len(value))](
        value, total, operand.grad.contiguous(), operand, rate, n_each,
        COPIES=operand is not value, BLOCK=1024,
    )  # fmt: skip


def adam_step(
    value: Tensor, moments: Sequence[Tensor], operand: Tensor, size: Tensor, unbiased: Tensor,
    active: Tensor, constants: tuple[float, float, float],
) -> None:  # fmt: skip
    """As `adagrad_step`, with the averages of Adam."""
    assert operand.grad is not None
    n_each = value[0].numel()
    beta1, beta2, epsilon = constants
    kernels._adam[(-(-n_each // 1024), len(value))](
        value, *moments, operand.grad.contiguous(), operand, size, unbiased, active, n_each,
        BETA1=beta1, BETA2=beta2, EPSILON=epsilon, COPIES=operand is not value, BLOCK=1024,
    )  # fmt: skip

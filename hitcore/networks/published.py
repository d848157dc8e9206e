"""The authors' published model: its layers by our names, its tags in its order, its two mixes.

References:
    The authors' published checkpoint and prediction script; `docs/decisions.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore import weights
from hitcore.evaluation.percentiles import Reference
from hitcore.files import ASSETS
from hitcore.networks.mixing import MixKind

Mix = Literal["published", "trained"]
PUBLISHED_MIXES: dict[str, tuple[MixKind, float]] = {
    "published": (MixKind.ADDITIVE, 0.5),
    "trained": (MixKind.CONVEX, 0.7),
}
"""How the published model's two scores become one: as its prediction script does, or as its
training did."""

PUBLISHED_TAGS = (
    "guitar",
    "classical",
    "slow",
    "techno",
    "strings",
    "drums",
    "electronic",
    "rock",
    "fast",
    "piano",
    "ambient",
    "beat",
    "violin",
    "vocal",
    "synth",
    "female",
    "indian",
    "opera",
    "male",
    "singing",
    "vocals",
    "no vocals",
    "harpsichord",
    "loud",
    "quiet",
    "flute",
    "woman",
    "male vocal",
    "no vocal",
    "pop",
    "soft",
    "sitar",
    "solo",
    "man",
    "classic",
    "choir",
    "voice",
    "new age",
    "dance",
    "male voice",
    "female vocal",
    "beats",
    "harp",
    "cello",
    "no voice",
    "weird",
    "country",
    "female voice",
    "metal",
    "choral",
)
"""The tags in the order that the tag network takes them."""

_LAYERS = {
    "audio.conv1": "conv2d",
    "audio.conv2": "conv2d_1",
    "audio.conv3": "conv2d_2",
    "audio.conv4": "conv2d_3",
    "audio.conv5": "conv2d_4",
    "tag.dense1": "dense1",
    "tag.dense2": "dense2",
    "tag.dense3": "dense3",
    "tag.dense4": "logits_tag",
}


def published_reference() -> Reference | None:
    """Where the published prediction script's scores of 522 real clips lie; None if not shipped."""
    file = ASSETS / "references" / "kkbox-ret30.safetensors"
    return Reference.from_tensors(weights.read(file).tensors) if file.is_file() else None


def as_state(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """The checkpoint's tensors by our names: kernels `(mel, time, in, out)` turned as ours are."""
    state: dict[str, Tensor] = {}
    for ours, theirs in _LAYERS.items():
        kernel = torch.tensor(tensors[f"{theirs}/kernel"])
        state[f"{ours}.weight"] = _as_conv1d(kernel) if kernel.ndim == 4 else kernel.T
        state[f"{ours}.bias"] = torch.tensor(tensors[f"{theirs}/bias"])
    return state


def _as_conv1d(kernel: Tensor) -> Tensor:
    """From `(mel, time, in, out)` to `(out, mel · in, time)`: one of mel and in is 1."""
    return kernel.permute(3, 0, 2, 1).flatten(1, 2)

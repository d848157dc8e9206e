"""Why a model scores a song as it does: what its tags, its moments and its bands add.

Three questions with exact answers, as far as the model goes. They say what moves the *model*, not
what makes people listen.

- Tags: Shapley values. A model rates all tags together, so what one tag adds depends on the
  others; the Shapley value is the mean of what it adds over all orders in which the tags could
  change from those of the typical song to those of this one. Sampled orders share the difference
  out without remainder, whatever their number.
- Moments: an audio score is the mean of its frame scores, so each frame adds its score divided by
  their number.
- Bands: integrated gradients from the typical spectrum to the song's, summed over time and over
  the bins of each band.

Conventions:
    Contributions are in units of the model's mixed score; they sum to `score - baseline`.
    `points`: the same in percentage points of the reference's songs, where there is a reference:
    the whole difference is exact, and is shared out in proportion to the contributions.

References:
    L. Shapley, "A value for n-person games", 1953; J. Castro, D. Gómez, J. Tejada, "Polynomial
    calculation of the Shapley value based on sampling", 2009; M. Sundararajan, A. Taly, Q. Yan,
    "Axiomatic attribution for deep networks", ICML 2017. Computed by captum.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hitcore.errors import ParameterError
from hitcore.features import MEL_PRESETS, MelConfig
from hitcore.networks.hitnet import HitNet
from hitcore.networks.mixing import MixKind
from hitcore.networks.models import HitModel

Floats = NDArray[np.float64]

N_ORDERS = 100
"""Orders of the tags that are sampled."""

STEPS = (32, 128, 512)
"""Steps of the integral over the bands: more where fewer leave more than the tolerance."""

_STEPS_AT_ONCE = 32

TOLERANCE = 1e-4
"""What the integral over the bands may leave over, of the score, before more steps are taken."""

BAND_EDGES = (0.0, 120.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 11_025.0)
"""Edges of the bands, Hz: octaves, as equalisers have them."""

METHODS = {
    "tags": "Shapley values: the mean of what each tag adds over {n} orders in which the tags "
    "change from the typical song's to this song's. They sum to the difference.",
    "moments": "Exact: the audio score is the mean of its frame scores, so each moment adds its "
    "own score divided by their number.",
    "bands": "Integrated gradients from the typical spectrum to the song's, summed over the bins "
    "of each band. They sum to the difference.",
}
"""How each kind of explanation is computed, for the line under its chart."""


@dataclass(frozen=True)
class Contribution:
    """What one tag, moment or band adds to a score."""

    name: str
    """The tag, or the band's range, or the moment's start."""
    value: float
    """What it adds, in units of the score."""
    here: float | None = None
    """How strong it is in this song; None where that is no single number."""
    typical: float | None = None
    """How strong it is in the typical song."""


@dataclass(frozen=True)
class Explanation:
    """A score as a sum of contributions.

    Example:
        >>> parts = (Contribution("loud", 0.3), Contribution("slow", -0.1))
        >>> why = Explanation("tags", 0.6, 0.4, parts, "by hand")
        >>> [part.name for part in why.largest(1)], round(why.rest(1), 3)
        (['loud'], -0.1)
    """

    kind: str
    """`tags`, `moments` or `bands`."""
    score: float
    """What the model says of this song (of its tags, or of its sound)."""
    baseline: float
    """What it says of the typical song."""
    parts: tuple[Contribution, ...]
    """In the order of the tags, the bands or time; they sum to `score - baseline`."""
    method: str
    """How it was computed, in a sentence."""
    points: float | None = None
    """The whole difference in percentage points of the reference's songs; None without one."""

    @property
    def difference(self) -> float:
        """What is explained."""
        return self.score - self.baseline

    @property
    def values(self) -> Floats:
        """The contributions, (n_parts,)."""
        return np.array([part.value for part in self.parts])

    def largest(self, n_parts: int = 8) -> list[Contribution]:
        """The contributions that matter most, largest first, whichever way they point."""
        return sorted(self.parts, key=lambda part: -abs(part.value))[:n_parts]

    def rest(self, n_parts: int = 8) -> float:
        """What all but the `n_parts` largest add together."""
        return float(self.values.sum() - sum(part.value for part in self.largest(n_parts)))

    def in_points(self, value: float) -> float | None:
        """A contribution in percentage points; None where there is no reference.

        In proportion to the whole: where the whole difference is nothing, so is each part of it.
        """
        if self.points is None:
            return None
        if abs(self.difference) < 1e-12:
            return 0.0
        return self.points * value / self.difference

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": self.kind,
            "score": self.score,
            "baseline": self.baseline,
            "points": self.points,
            "method": self.method,
            "parts": [
                {"name": part.name, "value": part.value, "here": part.here, "typical": part.typical}
                for part in self.parts
            ],
        }


def explain_tags(
    model: HitModel, tags: ArrayLike, typical: ArrayLike, *, n_orders: int = N_ORDERS, seed: int = 0
) -> Explanation:
    """What each tag adds to the score, compared with the typical song's tags.

    Args:
        model: A model that takes tags.
        tags: The song's tags in the model's order.
        typical: The typical song's tags in the same order.
        n_orders: Orders that are sampled.
        seed: Two explanations of one seed are equal.

    Shape:
        tags, typical `(n_tags,)`.

    Raises:
        ParameterError: the model takes no tags, or not as many as are given.
    """
    names = model.spec.tag_names
    here, base = np.asarray(tags, np.float32), np.asarray(typical, np.float32)
    if not names or here.shape != (len(names),) or base.shape != here.shape:
        raise ParameterError(
            f"{model.spec.name} takes {len(names)} tags; {here.shape} and {base.shape} are given"
        )
    values = _shapley(_tag_part(model), here, base, n_orders, seed)
    ends = _by_fold(model, torch.from_numpy(np.stack([base, here])))
    parts = tuple(
        Contribution(name, float(value), float(h), float(b))
        for name, value, h, b in zip(names, values, here, base, strict=True)
    )
    baseline, score = ends.mean(axis=0)
    return Explanation(
        "tags",
        float(score),
        float(baseline),
        parts,
        METHODS["tags"].format(n=n_orders),
    )


def explain_moments(model: HitModel, mel: Tensor, baseline: float | None = None) -> Explanation:
    """What each moment of a passage adds to the score.

    Args:
        model: A model whose audio network has frame scores.
        mel: The passage's spectrogram.
        baseline: The score that each moment is compared with, such as the song's median audio
            score; None for the passage's own mean, so that the contributions sum to 0.

    Shape:
        mel `(1, n_mels, n_frames)`; there is one part per frame score.

    Raises:
        ParameterError: the model has no audio network, or one without frame scores.
    """
    with torch.inference_mode():
        frames = [
            _audio_weight(network) * network.audio.frame_scores(mel)[0].double().numpy()
            for network in _members(model)
            if network.audio is not None and getattr(network.audio, "has_frames", True)
        ]
    if not frames:
        raise ParameterError(f"{model.spec.name} has no scores of moments: it hears all at once")
    mean = np.mean(frames, axis=0)
    base = float(mean.mean()) if baseline is None else baseline
    step = model.spec.n_frames * _hop_s(model) / len(mean)
    parts = tuple(
        Contribution(f"{number * step:.2f} s", float((score - base) / len(mean)), float(score))
        for number, score in enumerate(mean)
    )
    return Explanation("moments", float(mean.mean()), base, parts, METHODS["moments"])


def explain_bands(
    model: HitModel,
    mel: Tensor,
    typical: Tensor,
    edges_hz: Sequence[float] = BAND_EDGES,
) -> Explanation:
    """What each band of the spectrum adds to the score, compared with the typical spectrum.

    Args:
        model: A model with an audio network.
        mel: The passage's spectrogram.
        typical: The typical spectrum, the same for every frame, or one per frame.
        edges_hz: Edges of the bands.

    Shape:
        mel `(1, n_mels, n_frames)`, typical `(n_mels,)` or `(1, n_mels, n_frames)`.

    Raises:
        ParameterError: the model has no audio network.
    """
    if model.spec.mel is None:
        raise ParameterError(f"{model.spec.name} does not listen to the audio")
    config = MEL_PRESETS[model.spec.mel]
    base = (typical[None, :, None] if typical.ndim == 1 else typical).expand_as(mel).contiguous()
    part = _AudioPart(model)
    with torch.inference_mode():
        baseline, score = (float(part(x)) for x in (base, mel))
    per_bin = _integrated(part, mel, base, score - baseline)
    names, bands = band_of_bins(config, edges_hz)
    values = np.bincount(bands, per_bin, minlength=len(names))
    parts = tuple(Contribution(n, float(v)) for n, v in zip(names, values, strict=True))
    return Explanation("bands", score, baseline, parts, METHODS["bands"])


def band_of_bins(
    config: MelConfig, edges_hz: Sequence[float] = BAND_EDGES
) -> tuple[list[str], NDArray[np.intp]]:
    """The names of bands, and to which of them each mel bin belongs by its centre.

    Example:
        >>> from hitcore.features import PAPER_MEL
        >>> names, bands = band_of_bins(PAPER_MEL, (0, 1000, 11025))
        >>> names, int((bands == 0).sum())
        (['below 1,000 Hz', 'above 1,000 Hz'], 38)
    """
    from hitcore.features import mel_filters

    bank = mel_filters(config)
    hertz = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)
    centres = (bank * hertz).sum(axis=1) / bank.sum(axis=1)
    inner = list(edges_hz[1:-1])
    words = [f"{round(edge):,} Hz" for edge in inner]
    names = [f"below {words[0]}"] if words else ["all"]
    names += [f"{low[:-3]} to {high}" for low, high in itertools.pairwise(words)]
    names += [f"above {words[-1]}"] if words else []
    return names, np.searchsorted(np.array(inner), centres, side="right")


def points_between(
    model: HitModel, fold_scores: ArrayLike, fold_changes: ArrayLike
) -> float | None:
    """How many percentage points a change of the score is worth among the reference's songs.

    Args:
        model: The model.
        fold_scores: What each network says of the song.
        fold_changes: By how much that is more than without the change.

    Shape:
        fold_scores, fold_changes `(n_folds,)`.
    """
    if model.reference is None:
        return None
    scores = np.asarray(fold_scores, np.float64)
    before = scores - np.asarray(fold_changes, np.float64)
    places = [float(model.reference.percentiles(at).mean()) for at in (scores, before)]
    return 100 * (places[0] - places[1])


def tag_changes(model: HitModel, tags: ArrayLike, typical: ArrayLike) -> Floats:
    """By how much more each network scores these tags than the typical ones, (n_folds,)."""
    rows = np.stack([np.asarray(typical, np.float32), np.asarray(tags, np.float32)])
    ends = _by_fold(model, torch.from_numpy(rows))
    return np.asarray(ends[:, 1] - ends[:, 0])


# --- inside --------------------------------------------------------------------------------------


class _AudioPart(nn.Module):
    """What the audio networks add to the mixed score, the mean over the folds, `(n_songs,)`."""

    def __init__(self, model: HitModel) -> None:
        super().__init__()
        self.members = _members(model)

    def forward(self, mel: Tensor) -> Tensor:
        parts = [
            _audio_weight(network) * network.audio(mel)
            for network in self.members
            if network.audio is not None
        ]
        return torch.stack(parts).mean(dim=0)


def _members(model: HitModel) -> list[HitNet]:
    return [network for network in model.networks if isinstance(network, HitNet)]


def _audio_weight(network: HitNet) -> float:
    both = network.audio is not None and network.tag is not None
    return 1 - network.tag_weight if both and network.mix is MixKind.CONVEX else 1.0


def _tag_weight(network: HitNet) -> float:
    return network.tag_weight if network.audio is not None else 1.0


def _hop_s(model: HitModel) -> float:
    if model.spec.mel is None:
        raise ParameterError(f"{model.spec.name} does not listen to the audio")
    config = MEL_PRESETS[model.spec.mel]
    return config.hop_length / config.sample_rate


def _tag_part(model: HitModel) -> Callable[[Tensor], Tensor]:
    """What the tag networks add to the mixed score, the mean over the folds."""

    def rate(tags: Tensor) -> Tensor:
        with torch.inference_mode():
            parts = [
                _tag_weight(network) * network.tag(tags)
                for network in _members(model)
                if network.tag is not None
            ]
            return torch.stack(parts).mean(dim=0)

    return rate


@torch.inference_mode()
def _by_fold(model: HitModel, tags: Tensor) -> Floats:
    """What each tag network adds, (n_folds, n_songs)."""
    rated = [
        _tag_weight(network) * network.tag(tags).double().numpy()
        for network in _members(model)
        if network.tag is not None
    ]
    return np.stack(rated)


def _shapley(
    rate: Callable[[Tensor], Tensor],
    here: NDArray[Any],
    base: NDArray[Any],
    n_orders: int,
    seed: int,
) -> Floats:
    """The Shapley value of each feature, (n_features,)."""
    from captum.attr import ShapleyValueSampling  # takes a second, and few ask for it

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # captum draws its orders from the global generator
        found = ShapleyValueSampling(rate).attribute(
            torch.from_numpy(here)[None],
            torch.from_numpy(base)[None],
            n_samples=n_orders,
            perturbations_per_eval=len(here),
        )
    return np.asarray(found[0].double().numpy())


def _integrated(part: nn.Module, mel: Tensor, base: Tensor, difference: float) -> Floats:
    """Integrated gradients of each bin, summed over time, (n_mels,)."""
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(part, multiply_by_inputs=True)
    for n_steps in STEPS:
        found = method.attribute(
            mel.clone().requires_grad_(),
            base,
            n_steps=n_steps,
            method="riemann_middle",
            internal_batch_size=_STEPS_AT_ONCE,
        )
        per_bin = np.asarray(found[0].detach().double().sum(dim=1).numpy())
        missing = difference - float(per_bin.sum())
        if abs(missing) < TOLERANCE / 2:
            break
    # What the steps left over is shared out by size, so that the bands explain the difference.
    size = np.abs(per_bin)
    return per_bin + missing * size / size.sum() if size.any() else per_bin

"""What if: the score of a song with some tags stronger or weaker, or of another passage of it.

It is the model's opinion of a song that does not exist: nobody can make a song "30 % more piano"
and keep the rest as it is. It answers what the *model* listens for.

Conventions:
    A change of a tag is added throughout the song, to every window, and each window is rated anew;
    the score is again the median over the windows. With nothing changed it is the headline.
    Another passage is rated as it is: its window of the hit curve.

References:
    `hitcore.analysis.curve`; section 2.4 of the paper (the tag network).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hitcore.analysis.curve import HitCurve, mixed_scores
from hitcore.errors import ParameterError
from hitcore.networks.hitnet import HitNet
from hitcore.networks.models import HitModel

Floats = NDArray[np.float64]


def song_tags(curve: HitCurve) -> dict[str, float]:
    """The tags of a song as a model took them: the mean over its windows.

    Raises:
        ParameterError: the model takes no tags.
    """
    if curve.tags is None:
        raise ParameterError("this model takes no tags, so there are none to change")
    mean = curve.tags.over(curve.starts, curve.window_s).mean(axis=0)
    return dict(zip(curve.tags.tag_names, mean.tolist(), strict=True))


def changed_curve(
    model: HitModel, curve: HitCurve, tags: Mapping[str, float] | None = None
) -> HitCurve:
    """The hit curve of the song with some tags changed; the same curve where none is.

    Args:
        model: The model whose curve it is.
        curve: The song's curve.
        tags: The new value of each tag that changes, 0 to 1, as `song_tags` counts them.

    Raises:
        ParameterError: a tag that the model does not take, or a value outside 0 to 1.

    Example:
        >>> from hitcore.analysis.curve import SongMels, hit_curve
        >>> from hitcore.audio import Waveform
        >>> from hitcore.networks.models import load_model
        >>> model = load_model("demo-c")
        >>> curve = hit_curve(model, SongMels(Waveform(np.zeros(22_050 * 31, "float32"), 22_050)))
        >>> changed_curve(model, curve) is curve
        True
    """
    if not tags:
        return curve
    now = song_tags(curve)
    unknown = [name for name in tags if name not in now]
    if unknown:
        raise ParameterError(f"{model.spec.name} does not take the tags {', '.join(unknown)}")
    outside = [f"{name} = {value}" for name, value in tags.items() if not 0 <= value <= 1]
    if outside:
        raise ParameterError(f"tags run from 0 to 1; given are {', '.join(outside)}")
    changes = {name: value - now[name] for name, value in tags.items() if value != now[name]}
    if not changes:
        return curve
    assert curve.tags is not None, "song_tags has seen to it"
    moved = curve.tags.moved(changes)
    heard = torch.from_numpy(moved.over(curve.starts, curve.window_s).astype(np.float32))
    folds, rated = [], []
    for number, network in enumerate(_members(model)):
        with torch.inference_mode():
            assert network.tag is not None, "a model with tags has a tag network"
            tag = network.tag(heard).double().numpy()
        audio = None if curve.fold_audio is None else curve.fold_audio[number]
        rated.append(tag)
        folds.append(mixed_scores(audio, tag, network.tag_weight, network.mix))
    return replace(curve, fold_scores=np.stack(folds), fold_tag=np.stack(rated), tags=moved)


@dataclass(frozen=True)
class WhatIf:
    """What the model would say."""

    score: float
    """Its score."""
    fold_scores: tuple[float, ...]
    """By each of its networks, for the place among the reference's songs."""
    percentile: float | None
    """Place among the reference's songs, 0 to 1; None where the model has none."""
    low: float | None
    """Lower end of the interval around it."""
    high: float | None
    """Upper end."""
    start: float | None
    """Where the passage starts, seconds; None: the whole song."""


def what_if(
    model: HitModel,
    curve: HitCurve,
    tags: Mapping[str, float] | None = None,
    start: float | None = None,
) -> WhatIf:
    """What the model would say of the song with other tags, or of another passage of it.

    Args:
        model: The model whose curve it is.
        curve: The song's curve.
        tags: The new value of each tag that changes, as `song_tags` counts them.
        start: Where the passage starts, seconds; None: the median over the song.

    Raises:
        ParameterError: as in `changed_curve`.
    """
    changed = changed_curve(model, curve, tags)
    if start is None:
        score, folds = changed.song_score, changed.song_fold_scores
    else:
        number = changed.nearest(start)
        score, folds = float(changed.scores[number]), changed.fold_scores[:, number]
    rank = None if model.reference is None else model.reference.percentile_rank(folds)
    return WhatIf(
        score=score,
        fold_scores=tuple(float(value) for value in folds),
        percentile=None if rank is None else rank.percentile,
        low=None if rank is None else rank.low,
        high=None if rank is None else rank.high,
        start=start,
    )


def _members(model: HitModel) -> list[HitNet]:
    return [network for network in model.networks if isinstance(network, HitNet)]

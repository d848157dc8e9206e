"""The hit curve: what a model says of every 30-second window of a song.

A report's score is that of one passage, and it jumps when the passage moves. But the networks are
convolutions over time with a mean at the end, so one pass over the whole song's spectrogram holds
the score of every window: the mean of the frame scores that lie in it. What a network's zero
padding does to the ends of a clip is worked out apart, for each window, and put in their place.

Windows start on the network's own grid of 4 frames (0.37 s). Networks that read the statistics of
a window (its mean, spread and restlessness at a common level) are no convolutions: their windows
are rated one by one, every 8 frames. On raw power (the published
network's input) single beats weigh so much that the score depends on where the grid falls between
them: where the grid locks on to the beat, half a frame moves the median by half of all songs. So
there every half frame is a start, by eight grids of two spectrograms; the logarithm needs none of
this (docs/decisions.md).

Conventions:
    start: of a window, seconds of the song. A song shorter than a window is filled up with zeros.
    A window's score is that of its frames of the *song's* spectrogram. The same stretch cut out as
    sound has a mirrored edge, which changes its first and its last frame alone.
    The headline `song_score` is the median over all windows.

References:
    Fig. 1 and section 2.1 of the paper.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from hitcore.analysis.tagstretches import TagStretches
from hitcore.audio import Waveform
from hitcore.errors import ParameterError
from hitcore.features import MEL_PRESETS, log_mel
from hitcore.networks.hitnet import AudioNetwork, HitNet
from hitcore.networks.mixing import MixKind, mixed_score
from hitcore.networks.models import HitModel
from hitcore.networks.standardised import StandardisedNet
from hitcore.networks.statistics import StatisticsNetwork, window_statistics

Floats = NDArray[np.float64]
Parts = tuple[Floats | None, Floats | None]
"""What the audio and the tag network of one fold say."""

GRID_FRAMES = 4
"""Frames from the start of one window to the next."""

STATISTICS_STEP = 8
"""The same for networks that read a window's statistics: no pass over the song gives them."""

PARTS_OF_A_FRAME = 2
"""Spectrograms of raw power that are taken, each a part of a frame later."""

RANGE = (0.1, 0.9)
"""Quantiles over the windows that count as a song's range."""

_WINDOWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class HitCurve:
    """The score of every window of a song by one model.

    Example:
        >>> curve = HitCurve(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 5.0, 2.0]]), 30.0)
        >>> curve.song_score, curve.at(1.2)
        (2.0, 5.0)
    """

    starts: Floats
    """Where the windows start, seconds, ascending and evenly spaced, (n_windows,)."""
    fold_scores: Floats
    """The mixed score by each of the model's networks, (n_folds, n_windows)."""
    window_s: float
    """Length of a window, seconds."""
    fold_audio: Floats | None = field(default=None, repr=False)
    """What the audio networks say, (n_folds, n_windows); None without them."""
    fold_tag: Floats | None = field(default=None, repr=False)
    """What the tag networks say, (n_folds, n_windows); None without them."""
    tags: TagStretches | None = field(default=None, repr=False)
    """The tags over the song that the model took; None where it takes none."""

    @property
    def scores(self) -> Floats:
        """The model's score of each window, the mean of its networks, (n_windows,)."""
        return np.asarray(self.fold_scores.mean(axis=0))

    @property
    def song_score(self) -> float:
        """The headline: the median over all windows."""
        return float(np.median(self.scores))

    @property
    def song_fold_scores(self) -> Floats:
        """Each network's own median over the windows, (n_folds,)."""
        return np.asarray(np.median(self.fold_scores, axis=1))

    @property
    def range(self) -> tuple[float, float]:
        """The scores between which four fifths of the windows lie."""
        low, high = np.quantile(self.scores, RANGE)
        return float(low), float(high)

    @property
    def best_start(self) -> float:
        """Where the window with the highest score starts, seconds."""
        return float(self.starts[int(self.scores.argmax())])

    def at(self, start: float) -> float:
        """The score of the window that starts nearest to `start` seconds."""
        return float(self.scores[self.nearest(start)])

    def nearest(self, start: float) -> int:
        """The number of the window that starts nearest to `start` seconds."""
        return int(np.abs(self.starts - start).argmin())

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: the starts as first and step, the scores to six digits."""
        step = float(self.starts[1] - self.starts[0]) if len(self.starts) > 1 else None
        low, high = self.range
        return {
            "window_s": self.window_s,
            "first_start_s": float(self.starts[0]),
            "step_s": step,
            "scores": [float(f"{score:.6g}") for score in self.scores],
            "median": self.song_score,
            "low": low,
            "high": high,
        }


class SongMels:
    """The spectrograms of one song, each made once whoever asks for it.

    Args:
        song: The whole song.
    """

    def __init__(self, song: Waveform) -> None:
        self.song = song
        self._made: dict[tuple[str, int], Tensor] = {}
        self._statistics: dict[tuple[str, int], Tensor] = {}

    def of(self, preset: str, part: int = 0) -> Tensor:
        """The spectrogram by a preset, `part` halves of a frame later, (n_mels, n_frames)."""
        if (preset, part) not in self._made:
            config = MEL_PRESETS[preset]
            samples = self.song.resample(config.sample_rate).samples
            late = part * config.hop_length // PARTS_OF_A_FRAME
            # A song that is over by then is one sample of its end: silence, nearly.
            later = samples[min(late, len(samples) - 1) :]
            self._made[preset, part] = log_mel(later, config)
        return self._made[preset, part]

    def statistics(self, preset: str, n_frames: int) -> Tensor:
        """The statistics of every window, the same for all networks that read them.

        Shape:
            (n_windows, n_statistics), a window every `STATISTICS_STEP` frames.
        """
        if (preset, n_frames) not in self._statistics:
            mel = self.of(preset)
            mel = functional.pad(mel, (0, max(0, n_frames - mel.shape[-1])))
            with torch.inference_mode():
                found = window_statistics(mel, n_frames, STATISTICS_STEP)
            self._statistics[preset, n_frames] = found
        return self._statistics[preset, n_frames]


def hit_curve(
    model: HitModel, mels: SongMels, tags: TagStretches | None = None, *, grid_only: bool = False
) -> HitCurve:
    """What a model says of every window of a song.

    Args:
        model: The model.
        mels: The song's spectrograms.
        tags: The song's tags by the model's tagger, in the model's order; None where it takes none.
        grid_only: Only the grid of 4 frames, for raw power too.

    Raises:
        ParameterError: the model takes tags and none are given.

    Example:
        >>> from hitcore.networks.models import load_model
        >>> noise = np.random.default_rng(0).normal(0, 0.1, 40 * 22_050).astype("float32")
        >>> song = Waveform(noise, 22_050)
        >>> curve = hit_curve(load_model("demo-c"), SongMels(song))
        >>> curve.fold_scores.shape, curve.starts[:2].round(3)
        ((10, 28), array([0.   , 0.372]))
    """
    spec = model.spec
    if spec.tag_names and tags is None:
        raise ParameterError(
            f"{spec.name} takes tags and none are given: hear the song's tags first"
        )
    if spec.mel is None:
        starts, window_s = _starts_of_tags(mels.song), WINDOW_S
        over = _tags_over(tags, starts, window_s)
        heard = [_tag_scores(network, over) for network in _members(model)]
        return _curve(model, [(None, tag) for tag in heard], starts, window_s, tags)
    config = MEL_PRESETS[spec.mel]
    hop_s = config.hop_length / config.sample_rate
    whole = any(
        isinstance(getattr(network, "audio", None), StatisticsNetwork)
        for network in _members(model)
    )
    step = STATISTICS_STEP if whole else GRID_FRAMES
    raw = config.compression == "none" and not grid_only and not whole
    parts = PARTS_OF_A_FRAME if raw else 1
    pieces = [mels.of(spec.mel, part)[None] for part in range(parts)]
    shifts = GRID_FRAMES if raw else 1
    order, starts = _grid(pieces, spec.n_frames, shifts, step, hop_s)
    window_s = spec.n_frames * hop_s
    over = _tags_over(tags, starts, window_s)
    folds: list[Parts] = []
    for network in _members(model):
        if isinstance(network, StandardisedNet):
            every = [
                _crop_by_crop(network, _shifted(piece, shift), tags, spec.n_frames, hop_s)
                for piece in pieces
                for shift in range(shifts)
            ]
            folds.append((np.asarray(np.concatenate(every)[order]), None))
            continue
        audio = None
        if isinstance(network.audio, StatisticsNetwork):
            with torch.inference_mode():
                rated = network.audio.rate(mels.statistics(spec.mel, spec.n_frames))
            audio = np.asarray(rated.double().numpy())
        elif network.audio is not None:
            every = [
                window_scores(network.audio, _shifted(piece, shift))
                for piece in pieces
                for shift in range(shifts)
            ]
            audio = np.asarray(np.concatenate(every)[order])
        folds.append((audio, _tag_scores(network, over)))
    return _curve(model, folds, starts, window_s, tags)


@torch.inference_mode()
def window_scores(network: AudioNetwork, mel: Tensor, step: int = GRID_FRAMES) -> Floats:
    """The score of every window of `network.n_frames` frames, from one pass over all of them.

    Equal to scoring each window alone, with its zero padding. A spectrogram shorter than a window
    is filled up with zeros and gives one score.

    Args:
        network: An audio network.
        mel: The spectrogram of a whole song.
        step: Frames from one window to the next, a multiple of the network's `frame_stride`.

    Shape:
        mel `(1, n_mels, n_song_frames)` -> `(1 + (n_song_frames - n_frames) // step,)`.

    Raises:
        ParameterError: the step is no multiple of the network's stride.

    Example:
        >>> from hitcore.networks.hitnet import HitCNN
        >>> network, mel = HitCNN(n_mels=8, n_frames=40).eval(), torch.rand(1, 8, 61)
        >>> together = window_scores(network, mel)
        >>> alone = [float(network(mel[..., s : s + 40]).detach()) for s in range(0, 22, 4)]
        >>> bool(np.allclose(together, alone, atol=1e-6))
        True
    """
    stride = network.frame_stride
    if step < 1 or step % stride:
        raise ParameterError(f"step is {step}; it must be a multiple of {stride} frames")
    n_frames = network.n_frames
    if mel.shape[-1] < n_frames:
        mel = functional.pad(mel, (0, n_frames - mel.shape[-1]))
    n_windows = 1 + (mel.shape[-1] - n_frames) // step
    edge = -(-network.time_padding // stride)
    piece = 8 * stride + n_frames % stride
    if edge and n_frames < 2 * piece:
        return np.concatenate(
            [network(part).double().numpy() for part in _crops(mel, n_frames, step)]
        )
    frames = network.frame_scores_throughout(mel)[0].double().numpy()
    n_scores = network.frame_scores(mel[..., :n_frames]).shape[-1]
    sums = np.concatenate([[0.0], np.cumsum(frames)])
    first = np.arange(n_windows) * (step // stride)
    total = sums[first + n_scores - edge] - sums[first + edge]
    if edge:
        total = total + _edges(network, mel, step, piece, edge)
    return np.asarray(total / n_scores)


WINDOW_S = 30.0
"""Length of a window where no spectrogram settles it, seconds."""


# --- inside --------------------------------------------------------------------------------------


def _members(model: HitModel) -> list[HitNet]:
    return [network for network in model.networks if isinstance(network, HitNet)]


def _crops(mel: Tensor, n_frames: int, step: int) -> Iterator[Tensor]:
    """Windows cut out, some hundreds at a time, `(n_windows, n_mels, n_frames)`."""
    windows = mel[0].unfold(-1, n_frames, step).transpose(0, 1)
    yield from torch.split(windows, _WINDOWS_AT_ONCE)


@torch.inference_mode()
def _crop_by_crop(
    network: StandardisedNet, mel: Tensor, tags: TagStretches | None, n_frames: int, hop_s: float
) -> Floats:
    """The score of every window by a network whose layers are unknown: each window alone."""
    if mel.shape[-1] < n_frames:
        mel = functional.pad(mel, (0, n_frames - mel.shape[-1]))
    scores: list[Floats] = []
    for part in _crops(mel, n_frames, GRID_FRAMES):
        heard = None
        if tags is not None:
            first = sum(map(len, scores)) + np.arange(len(part), dtype=np.float64)
            starts = first * GRID_FRAMES * hop_s
            heard = torch.from_numpy(tags.over(starts, WINDOW_S).astype(np.float32))
        scores.append(network(part, heard).score.double().numpy())
    return np.concatenate(scores)


def _edges(network: AudioNetwork, mel: Tensor, step: int, piece: int, edge: int) -> Floats:
    """The sum of the first and last `edge` frame scores of each window, with its own padding.

    Pieces from both ends of a window are enough: padding does not reach further than `edge` scores.
    """
    sums = []
    late = network.n_frames - piece
    heads = _crops(mel[..., : mel.shape[-1] - late], piece, step)
    for head, tail in zip(heads, _crops(mel[..., late:], piece, step), strict=True):
        first = network.frame_scores_throughout(head)[:, :edge].double().sum(dim=1)
        last = network.frame_scores_throughout(tail)[:, -edge:].double().sum(dim=1)
        sums.append((first + last).numpy())
    return np.concatenate(sums)


def _shifted(mel: Tensor, shift: int) -> Tensor:
    """A spectrogram from its frame `shift` on; a short one keeps room for one window."""
    return mel[..., min(shift, mel.shape[-1] - 1) :] if shift else mel


def _grid(
    pieces: list[Tensor], n_frames: int, shifts: int, step: int, hop_s: float
) -> tuple[NDArray[np.intp], Floats]:
    """The order in time of the windows of all pieces and shifts, and their starts in seconds."""
    starts = []
    for part, piece in enumerate(pieces):
        for shift in range(shifts):
            length = _shifted(piece, shift).shape[-1]
            n_windows = 1 + max(0, length - n_frames) // step
            frames = shift + step * np.arange(n_windows) + part / PARTS_OF_A_FRAME
            starts.append(frames * hop_s)
    together = np.concatenate(starts)
    order = np.argsort(together, kind="stable")
    return order, together[order]


def _starts_of_tags(song: Waveform) -> Floats:
    """Starts for a model that hears tags alone: every 0.37 s, as with a spectrogram."""
    config = MEL_PRESETS["paper"]
    step = GRID_FRAMES * config.hop_length / config.sample_rate
    return np.arange(0.0, max(song.duration_s - WINDOW_S, 0.0) + 1e-9, step)


def _tags_over(tags: TagStretches | None, starts: Floats, window_s: float) -> Tensor | None:
    """The tags of each window, the same for all networks of a model."""
    if tags is None:
        return None
    return torch.from_numpy(tags.over(starts, window_s).astype(np.float32))


@torch.inference_mode()
def _tag_scores(network: HitNet, heard: Tensor | None) -> Floats | None:
    if heard is None or (network.tag is None and not isinstance(network, StandardisedNet)):
        return None
    score = network(None, heard).score if network.tag is None else network.tag(heard)
    return np.asarray(score.double().numpy())


def _curve(
    model: HitModel,
    folds: Sequence[Parts],
    starts: Floats,
    window_s: float,
    tags: TagStretches | None,
) -> HitCurve:
    mixed = [
        mixed_scores(audio, tag, network.tag_weight, network.mix)
        for network, (audio, tag) in zip(_members(model), folds, strict=True)
    ]
    return HitCurve(
        starts=starts,
        fold_scores=np.stack(mixed),
        window_s=window_s,
        fold_audio=_stacked([audio for audio, _ in folds]),
        fold_tag=_stacked([tag for _, tag in folds]),
        tags=tags,
    )


def mixed_scores(
    audio: ArrayLike | None, tag: ArrayLike | None, tag_weight: float, mix: MixKind | str
) -> Floats:
    """Audio and tag scores as one, as `HitNet` mixes them; the only one where one is None."""
    if audio is not None and tag is not None:
        first, second = (torch.as_tensor(np.asarray(part, np.float64)) for part in (audio, tag))
        return np.asarray(mixed_score(first, second, tag_weight, mix).numpy())
    one = audio if audio is not None else tag
    if one is None:
        raise ParameterError("neither audio nor tag scores are given; one is needed")
    return np.asarray(one, np.float64)


def _stacked(parts: list[Floats | None]) -> Floats | None:
    known = [part for part in parts if part is not None]
    return np.stack(known) if len(known) == len(parts) else None

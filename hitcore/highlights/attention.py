"""What a network that was trained on moods attends to: NAM-LF with positional encoding.

The song is cut into chunks of three seconds. Three convolutions over time describe each chunk; to
the description a positional encoding is added; four dense layers turn it into one attention per
chunk, a softmax over the song. In training the attention weighs the chunks' predictions of the
song's labels, so that it comes to rest on the chunks that tell them. The curve repeats each chunk's
attention for its three seconds, and the window starts on a whole second.

The published network normalises every layer with the statistics of the song at hand; its attention
looks peaked even over noise, so its height says nothing about confidence. Networks that are trained
here use the statistics of their training, so that one chunk tells nothing of another. In both,
batched songs of any lengths do not touch each other's results. Confidence comes from asking the
network what it would attend to if all chunks sounded alike: where that explains most of the
attention, position speaks and not the music.

References:
    Y.-S. Huang, S.-Y. Chou, Y.-H. Yang: "Pop Music Highlighter: Marking the Emotion Keypoints",
    TISMIR 2018.
"""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hitcore import weights
from hitcore.audio import Waveform
from hitcore.errors import ParameterError, WeightsError
from hitcore.features import HIGHLIGHT_MEL, log_mel
from hitcore.highlights.selfsimilarity import sounding_span
from hitcore.highlights.windows import NO_CLEAR_HIGHLIGHT, Evidence, contrast, silent_evidence

CHUNK_S = 3.0
CHUNK_FRAMES = 129
"""Frames of a chunk: three seconds at a hop of 512 samples, rounded down."""
N_MELS = 128
LEVEL = 0.16
"""Root mean square that every song is brought to: that of mastered pop music."""
KERNELS = (3, 4, 4)
"""Lengths of the convolutions, in frames of their input."""
DEFAULT_WEIGHTS = "attention-small"
"""The weights of `assets/models` that the method uses."""

MAX_POSITION_SHARE = 0.5
"""Where position alone explains more of the attention's variance, it is not confident."""
MIN_CONTRAST = 0.05
"""Share by which the best window must surpass the mean one to be confident."""


@dataclass(frozen=True)
class AttentionOutput:
    """What the network says of a batch of songs."""

    attention: Tensor
    """`(n_songs, n_chunks)`, sums to 1 over a song's chunks; 0 where it has none."""
    scores: Tensor
    """`(n_songs, n_chunks)` before the softmax; 0 where a song has no chunk."""
    prediction: Tensor | None
    """`(n_songs, n_classes)` distribution over the labels; None without a training head."""


class SongNorm(nn.Module):
    """Batch normalisation with the statistics of each song alone, in use as in training.

    Shape:
        rows `(n_rows, n_features)` or `(n_rows, n_features, n_frames)`; song `(n_rows,)`, the
        number of the song that a row belongs to; returns as rows.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_features))
        self.bias = nn.Parameter(torch.zeros(n_features))

    def forward(self, rows: Tensor, song: Tensor, n_songs: int) -> Tensor:
        """Each feature with mean 0 and variance 1 over its song, then scaled and shifted."""
        frames = rows if rows.ndim == 3 else rows[:, :, None]
        mean = _song_mean(frames.mean(dim=2), song, n_songs)[song][:, :, None]
        variance = _song_mean(((frames - mean) ** 2).mean(dim=2), song, n_songs)[song][:, :, None]
        normed = (frames - mean) * torch.rsqrt(variance + 1e-3)
        scaled = normed * self.weight[:, None] + self.bias[:, None]
        return scaled if rows.ndim == 3 else scaled[:, :, 0]


class LearntNorm(nn.BatchNorm1d):
    """Batch normalisation over all chunks of a batch in training, with what was learnt in use."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, eps=1e-3)

    def forward(self, rows: Tensor, song: Tensor, n_songs: int) -> Tensor:  # type: ignore[override]
        """As `SongNorm`; which song a row belongs to does not matter."""
        return super().forward(rows)


class HighlightNet(nn.Module):
    """NAM-LF with positional encoding.

    Args:
        n_classes: Labels that are predicted in training; 0 for a network that is only used.
        statistics: What the layers are normalised with: those of the "song" at hand, as in the
            published network, or the "learnt" ones.
    """

    def __init__(
        self, n_classes: int = 0, statistics: Literal["song", "learnt"] = "learnt"
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv1d(n_in, n_out, kernel, stride=2, bias=False)
                for n_in, n_out, kernel in zip(
                    (N_MELS, 64, 128), (64, 128, 256), KERNELS, strict=True
                )
            ]
        )
        self.dense = nn.ModuleList([nn.Linear(256, n, bias=False) for n in (256, 256, 256, 1)])
        sizes = (64, 128, 256, 256, 256, 256, 1)
        norm = SongNorm if statistics == "song" else LearntNorm
        self.norms = nn.ModuleList([norm(n) for n in sizes])
        head_sizes = (256, 1024, n_classes) if n_classes else ()
        self.head = nn.ModuleList(
            [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(head_sizes)]
        )
        self.head_norms = nn.ModuleList([norm(n) for n in head_sizes[1:]])

    def forward(
        self, chunks: Tensor, mask: Tensor, position_weight: float = 1.0
    ) -> AttentionOutput:
        """The attention over each song's chunks, and the song's labels where there is a head.

        Args:
            chunks: Log-mel of every chunk; what stands where the mask is false is not looked at.
            mask: Which chunks a song has.
            position_weight: Factor of the positional encoding; 0 leaves it out.

        Shape:
            chunks `(n_songs, n_chunks, 128, n_frames)`; mask `(n_songs, n_chunks)`.
        """
        n_songs = len(mask)
        song, place = torch.nonzero(mask, as_tuple=True)
        described = self.describe(chunks[mask], song, n_songs)
        positions = position_weight * positional_encoding(mask.shape[1]).to(described)[place]
        scores = self.score(described + positions, song, n_songs)
        padded = scores.new_full(mask.shape, -torch.inf).masked_scatter(mask, scores)
        attention = torch.softmax(padded, dim=1)
        return AttentionOutput(
            attention=attention,
            scores=padded.masked_fill(~mask, 0.0),
            prediction=self._predict(described, attention[mask], song, n_songs),
        )

    def describe(self, chunks: Tensor, song: Tensor, n_songs: int) -> Tensor:
        """What each chunk sounds like: `(n_rows, 128, n_frames)` to `(n_rows, 256)`."""
        rows = chunks
        for convolution, kernel, norm in zip(self.convolutions, KERNELS, self.norms, strict=False):
            rows = convolution(_pad_same(rows, kernel, 2))
            rows = functional.relu(norm(rows, song, n_songs))
        return rows.amax(dim=2)

    def score(self, placed: Tensor, song: Tensor, n_songs: int) -> Tensor:
        """The attention of each chunk before the softmax: `(n_rows, 256)` to `(n_rows,)`."""
        rows = placed
        for i, (layer, norm) in enumerate(zip(self.dense, list(self.norms)[3:], strict=True)):
            rows = norm(layer(rows), song, n_songs)
            if i < 2:
                rows = functional.relu(rows)
            elif i == 2:
                rows = torch.tanh(rows)
        return rows[:, 0]

    @classmethod
    def published(cls, tensors: Mapping[str, NDArray[Any]]) -> "HighlightNet":
        """The authors' network, from the tensors of their checkpoint by name.

        Raises:
            WeightsError: A tensor is missing or has another shape.
        """
        network = cls(statistics="song")
        network._load_published(tensors)
        return network.eval()

    def _load_published(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        shapes = {key: value.shape for key, value in self.state_dict().items()}
        names = ["Conv", "Conv_1", "Conv_2"]
        names += ["fully_connected", *(f"fully_connected_{i}" for i in range(1, 4))]
        state = {}
        for i, name in enumerate(names):
            kernel = torch.tensor(_tensor(tensors, f"{name}/weights"))
            # [time, bins or 1, inputs or 1, outputs] to (outputs, inputs, time); dense: transposed.
            if kernel.ndim == 4:
                kernel = kernel.flatten(1, 2).permute(2, 1, 0)
            else:
                kernel = kernel.T
            key = f"convolutions.{i}.weight" if i < 3 else f"dense.{i - 3}.weight"
            if kernel.shape != shapes[key]:
                raise WeightsError(f"the tensor {name}/weights has shape {tuple(kernel.shape)}")
            state[key] = kernel
            for theirs, ours in (("gamma", "weight"), ("beta", "bias")):
                value = torch.tensor(_tensor(tensors, f"{name}/BatchNorm/{theirs}"))
                state[f"norms.{i}.{ours}"] = value
        self.load_state_dict(state)

    def _predict(
        self, described: Tensor, share: Tensor, song: Tensor, n_songs: int
    ) -> Tensor | None:
        if len(self.head) == 0:
            return None
        rows = functional.relu(self.head_norms[0](self.head[0](described), song, n_songs))
        rows = torch.softmax(self.head_norms[1](self.head[1](rows), song, n_songs), dim=1)
        empty = rows.new_zeros(n_songs, rows.shape[1])
        return empty.index_add(0, song, rows * share[:, None])


def load_highlighter(
    name: str | os.PathLike[str] | None = None, device: torch.device | str | None = None
) -> HighlightNet:
    """The network of the attention method with its weights.

    Args:
        name: `attention-small` (made by this project), `nam-lf` (the authors', for those who have
            imported it), or the path of a file that `hitcore train highlighter` wrote; None for
            the first.
        device: Where to compute; None: the CPU.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: The weights are not installed, damaged, or no highlighter's.
    """
    chosen = DEFAULT_WEIGHTS if name is None else name
    found = weights.load(chosen)
    if found.metadata.get("kind") != "highlighter":
        kind = found.metadata.get("kind", "unknown")
        raise WeightsError(f"{chosen} is no highlighter: its kind is {kind}")
    if "Conv/weights" in found.tensors:
        return HighlightNet.published(found.tensors).to(device)
    network = HighlightNet()
    shapes = {key: tuple(value.shape) for key, value in trained_state(network).items()}
    tensors = weights.check_shapes(found.tensors, shapes, str(chosen))
    state = {key: torch.tensor(value) for key, value in tensors.items()}
    network.load_state_dict(state, strict=False)
    return network.eval().to(device)


def trained_state(network: HighlightNet) -> dict[str, Tensor]:
    """What is kept of a trained network: no training head, no counters of batch norm."""
    state: dict[str, Tensor] = network.state_dict()
    return {
        key: value
        for key, value in state.items()
        if value.is_floating_point() and not key.startswith("head")
    }


@torch.inference_mode()
def attention_evidence(
    waveform: Waveform,
    name: str | os.PathLike[str] | None = None,
    network: HighlightNet | None = None,
    device: torch.device | str | None = None,
) -> Evidence:
    """What the network attends to, relative to the most attended chunk.

    Args:
        waveform: The whole song.
        name: Weights, as in `load_highlighter`.
        network: A network that is loaded already, instead of `name` and `device`.
        device: Where to compute; None: the CPU.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: The weights are not installed, damaged, or no highlighter's.
    """
    span = sounding_span(waveform)
    if span is None:
        return silent_evidence("attention", waveform.duration_s)
    network = load_highlighter(name, device) if network is None else network
    # Silent chunks at the ends would take part in the normalisation: they are left out.
    start = CHUNK_S * (span[0] // CHUNK_S)
    sounding = waveform.crop(start, span[1])
    chunks = song_chunks(sounding, next(network.parameters()).device)
    mask = torch.ones(1, len(chunks), dtype=torch.bool, device=chunks.device)
    attention = network(chunks[None], mask).attention[0].cpu().numpy().astype(np.float64)
    share = position_share(network, chunks)
    n_seconds = max(1, int(np.ceil(waveform.duration_s)))
    curve = np.zeros(n_seconds)
    first = round(start)
    repeated = np.repeat(attention / attention.max(), round(CHUNK_S))[: n_seconds - first]
    curve[first : first + len(repeated)] = repeated
    times = np.arange(n_seconds, dtype=np.float64)
    reason = ""
    if share > MAX_POSITION_SHARE:
        reason = f"{NO_CLEAR_HIGHLIGHT}: the attention follows the position, not the music"
    elif contrast(curve, times, waveform.duration_s) < MIN_CONTRAST:
        reason = f"{NO_CLEAR_HIGHLIGHT}: all parts are much alike"
    return Evidence(
        method="attention",
        curve=curve,
        curve_times=times,
        duration_s=waveform.duration_s,
        confident=not reason,
        note=reason,
        active=span,
        start_grid_s=1.0,
    )


def song_chunks(waveform: Waveform, device: torch.device | str | None = None) -> Tensor:
    """The log-mel of a song in chunks that start every three seconds exactly.

    The song is brought to one level first, since the logarithm would not forgive a gain. What is
    left after the last whole chunk is dropped; a song shorter than a chunk is one chunk, filled up
    with silence.

    Args:
        waveform: The song.
        device: Where to compute, and where the result stays; None: the CPU.

    Shape:
        Returns `(n_chunks, 128, 129)`.

    Example:
        >>> song_chunks(Waveform(np.zeros(22050 * 10, np.float32), 22050)).shape
        torch.Size([3, 128, 129])
    """
    config = HIGHLIGHT_MEL
    samples = waveform.resample(config.sample_rate).samples
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    samples = samples * np.float32(LEVEL / level) if level > 0 else samples
    mel = log_mel(samples, config, device)
    n_chunks = max(1, int(waveform.duration_s // CHUNK_S))
    starts = [round(i * CHUNK_S * config.sample_rate / config.hop_length) for i in range(n_chunks)]
    mel = functional.pad(mel, (0, max(0, starts[-1] + CHUNK_FRAMES - mel.shape[1])))
    return torch.stack([mel[:, start : start + CHUNK_FRAMES] for start in starts])


def batch_chunks(songs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Songs of different lengths in one batch, and which of its chunks are theirs.

    Shape:
        songs: each `(n_chunks, 128, n_frames)`; returns `(n_songs, most, 128, n_frames)` and the
        mask `(n_songs, most)`.
    """
    if not songs:
        raise ParameterError("no songs were given: a batch has at least one")
    counts = torch.tensor([len(song) for song in songs])
    mask = torch.arange(int(counts.max()))[None, :] < counts[:, None]
    return nn.utils.rnn.pad_sequence(songs, batch_first=True), mask


@torch.inference_mode()
def position_share(network: HighlightNet, chunks: Tensor) -> float:
    """Share of the attention's variance that the position explains on its own, from 0 to 1.

    The network is asked again with every chunk described as the song's mean chunk, so that only
    the positional encoding is left; the squared correlation of the two scores is returned. 1 for
    a song whose chunks all sound the same.

    Shape:
        chunks: `(n_chunks, 128, n_frames)`.
    """
    song = torch.zeros(len(chunks), dtype=torch.long, device=chunks.device)
    described = network.describe(chunks, song, 1)
    positions = positional_encoding(len(chunks)).to(described)
    heard = network.score(described + positions, song, 1)
    alone = network.score(described.mean(dim=0) + positions, song, 1)
    heard, alone = heard - heard.mean(), alone - alone.mean()
    norm = heard.norm() * alone.norm()
    if len(chunks) < 3 or float(norm) < 1e-9:
        return 1.0
    return float((heard @ alone / norm) ** 2)


def positional_encoding(n_positions: int, n_features: int = 256) -> Tensor:
    """Sines and cosines of wavelengths from 2π to 10,000·2π; position 0 is all zero, as theirs.

    Shape:
        Returns `(n_positions, n_features)`.

    Example:
        >>> positional_encoding(3, 4)[:, 0].tolist() == [0.0, *torch.sin(torch.tensor([1.0, 2.0]))]
        True
    """
    position = torch.arange(n_positions, dtype=torch.float64)[:, None]
    pair = torch.arange(n_features, dtype=torch.float64) // 2
    angle = position / 10_000 ** (2 * pair / n_features)
    encoding = torch.where(torch.arange(n_features) % 2 == 0, torch.sin(angle), torch.cos(angle))
    encoding[0] = 0
    return encoding.float()


def _song_mean(rows: Tensor, song: Tensor, n_songs: int) -> Tensor:
    """The mean over the rows of each song: `(n_rows, n_features)` to `(n_songs, n_features)`."""
    total = rows.new_zeros(n_songs, rows.shape[1]).index_add(0, song, rows)
    return total / torch.bincount(song, minlength=n_songs).clamp(min=1)[:, None]


def _pad_same(rows: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros at both ends as TensorFlow's SAME padding sets them: the odd one at the right."""
    n = rows.shape[-1]
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    return functional.pad(rows, (total // 2, total - total // 2))


def _tensor(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in tensors:
        raise WeightsError(f"the tensor {name} is missing: it is another network's file")
    return tensors[name]

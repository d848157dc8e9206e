"""Training of the attention highlighter on song-level labels: moods of the user's, or of a tagger.

The attention weighs the predictions of a song's chunks into one distribution over the labels,
which is compared with the song's own by cross-entropy. Nothing is said about times: the attention
comes to rest where a song tells its labels. Without labels, the mood tags that a tagger gives the
whole song serve as soft ones.

The known trap is a network that looks at the position alone. Therefore the positional encoding is
left out of half of the training steps, songs of a batch included, and what the position explains
is reported for the songs held out.

A step hears a random part of each song's chunks: a song is never the same twice, so that the
network cannot learn the songs by heart, and an epoch costs less.

The chunks of all songs are computed once, into a folder beside the result, and the state of the
training is kept there after every epoch: a broken run goes on where it stood, to the same weights.

References:
    Y.-S. Huang, S.-Y. Chou, Y.-H. Yang: "Pop Music Highlighter: Marking the Emotion Keypoints",
    TISMIR 2018, section 3.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitcore import weights
from hitcore.checkpoints import resume_epoch, save_epoch, state_of
from hitcore.errors import AudioError, DataError, ParameterError
from hitcore.files import replacing
from hitcore.highlights.attention import (
    HighlightNet,
    batch_chunks,
    position_share,
    song_chunks,
    trained_state,
)
from hitcore.highlights.labels import LabelledSongs, Progress, SourceSong

MIN_CHUNKS = 8
"""Fewer chunks of a song are never heard in a step, unless it has no more."""


@dataclass(frozen=True)
class HighlighterConfig:
    """Settings of a training."""

    n_epochs: int = 30
    """Passes over the training songs."""
    batch_size: int = 8
    """Songs per step."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    position_dropout: float = 0.5
    """Share of the steps without the positional encoding."""
    chunk_share: float = 0.4
    """Share of a song's chunks that a step hears, drawn anew each time; 8 chunks at least."""
    weight_decay: float = 0.05
    """Pull of the weights towards 0, as in AdamW."""
    valid_share: float = 0.15
    """Share of the songs held out to choose the best epoch."""
    seed: int = 0
    """Seed of weights, order and split."""

    def __post_init__(self) -> None:
        if self.n_epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ParameterError("n_epochs, batch_size and learning_rate must be positive")
        if not 0 < self.chunk_share <= 1 or not self.weight_decay >= 0:
            raise ParameterError(
                f"chunk_share is {self.chunk_share}, weight_decay {self.weight_decay}: a share is "
                "above 0 and at most 1, a decay is not negative"
            )
        if not 0 <= self.position_dropout <= 1 or not 0 < self.valid_share < 1:
            raise ParameterError(
                f"position_dropout is {self.position_dropout}, valid_share {self.valid_share}: "
                "shares are from 0 to 1, and some songs but not all are held out"
            )


@dataclass(frozen=True)
class HighlighterEpoch:
    """How one epoch went."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean cross-entropy of the training songs less the entropy of their labels, nats."""
    valid_loss: float
    """The same for the songs held out."""


@dataclass(frozen=True)
class HighlighterTraining:
    """A trained highlighter and how it did."""

    path: Path
    """The weight file, for `load_highlighter` and the method `attention:PATH`."""
    n_songs: int
    """Songs that were learnt from or held out."""
    history: tuple[HighlighterEpoch, ...]
    """Epoch by epoch; the best on the songs held out was kept."""
    position_share: float
    """Mean share of the attention's variance that position alone explains, songs held out."""
    skipped: dict[str, int]
    """What was left out, by reason."""


def train_highlighter(
    data: LabelledSongs,
    out: str | os.PathLike[str],
    config: HighlighterConfig | None = None,
    *,
    description: dict[str, str] | None = None,
    device: torch.device | str = "cpu",
    on_progress: Progress | None = None,
    on_epoch: Callable[[HighlighterEpoch], None] | None = None,
) -> HighlighterTraining:
    """A highlighter that learnt from labelled songs, written to a file.

    Args:
        data: What to learn from.
        out: The `.safetensors` file to write; the folder `<out>.work` keeps the songs' chunks and
            the state after the latest epoch, from which a broken run goes on.
        config: How.
        description: `title`, `trained_on`, `licence`, `limits` of the result.
        device: Where to compute.
        on_progress: Called while the chunks are made.
        on_epoch: Called after each epoch.

    Raises:
        ParameterError: `out` does not end in `.safetensors`.
        DataError: Fewer than two songs can be read, or the folder's state is damaged or of another
            run.
    """
    config = config or HighlighterConfig()
    path = Path(out)
    if path.suffix != ".safetensors":
        raise ParameterError(f"out is {path.name}: weight files end in .safetensors")
    work = path.with_name(path.name + ".work")
    found = _prepared(data.songs, work, on_progress)
    kept = [i for i, song in enumerate(found) if song is not None]
    if len(kept) < 2:
        raise DataError(
            f"{len(kept)} of {len(data.songs)} songs can be read; at least 2 are needed"
        )
    chunks = [song for song in found if song is not None]
    targets = torch.from_numpy(data.targets[kept])
    fit = HighlighterFit(
        chunks, targets, data.label_names, config, work / "state.safetensors", device
    )
    network = fit.run(on_epoch)
    shares = [position_share(network, chunks[i].load().to(device)) for i in fit.held_out]
    metadata = {
        "name": path.stem,
        "kind": "highlighter",
        "title": "NAM-LF with positional encoding",
        "trained_on": f"{len(kept)} songs, labels: {', '.join(data.label_names)}",
        "source": "hitcore train highlighter",
        "licence": "as the songs and labels allow",
        "limits": "Attends to what tells its labels apart, which need not be a chorus.",
        "settings": asdict(config),
        "position_share": float(np.mean(shares)),
        **(description or {}),
    }
    state = {key: value.cpu().numpy() for key, value in trained_state(network).items()}
    weights.save(path, state, metadata)
    unreadable = data.skipped.get("songs unreadable", 0) + len(found) - len(kept)
    skipped = {**data.skipped, "songs unreadable": unreadable}
    return HighlighterTraining(path, len(kept), tuple(fit.history), float(np.mean(shares)), skipped)


# --- the chunks on disk --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chunks:
    """The chunks of one song, in half precision on disk."""

    path: Path

    def load(self, share: float = 1.0, draw: np.random.Generator | None = None) -> Tensor:
        """All chunks, or a random share of them in their order."""
        chunks = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if draw is not None and share < 1:
            n_heard = min(len(chunks), max(MIN_CHUNKS, round(share * len(chunks))))
            chunks = chunks[np.sort(draw.permutation(len(chunks))[:n_heard])]
        return torch.from_numpy(chunks.astype(np.float32))


def _prepared(
    songs: Sequence[SourceSong], folder: Path, on_progress: Progress | None
) -> list[_Chunks | None]:
    """The chunks of every song, None where it cannot be read; what is there is not made again."""
    prepared: list[_Chunks | None] = []
    for i, song in enumerate(songs):
        name = hashlib.sha256(song.key.encode()).hexdigest()[:32]
        chunks = _Chunks(folder / f"{name}.npy")
        readable = True
        if not chunks.path.exists():
            try:
                made = song_chunks(song.load()).numpy().astype(np.float16)
            except AudioError:
                readable = False
            else:
                with replacing(chunks.path) as temporary:
                    np.save(temporary, made)
        prepared.append(chunks if readable else None)
        if on_progress:
            on_progress(i + 1, len(songs))
    return prepared


# --- fitting -------------------------------------------------------------------------------------


class HighlighterFit:
    """A highlighter on its way: network, optimiser, history and the best weights so far.

    Args:
        chunks: The songs.
        targets: Their distributions over the labels, `(n_songs, n_labels)`.
        label_names: The labels.
        config: How.
        checkpoint: File that keeps the state after every epoch; what is there is taken up.
        device: Where to compute.

    Raises:
        DataError: The checkpoint is of another run, or damaged.
    """

    def __init__(
        self,
        chunks: list[_Chunks],
        targets: Tensor,
        label_names: tuple[str, ...],
        config: HighlighterConfig,
        checkpoint: Path,
        device: torch.device | str = "cpu",
    ) -> None:
        self.chunks, self.targets, self.label_names = chunks, targets, label_names
        self.config, self.checkpoint, self.device = config, checkpoint, torch.device(device)
        order = np.random.default_rng(config.seed).permutation(len(chunks))
        n_valid = min(max(1, round(config.valid_share * len(chunks))), len(chunks) - 1)
        self.held_out: list[int] = order[:n_valid].tolist()
        self._learnt = order[n_valid:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = HighlightNet(targets.shape[1]).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.history: list[HighlighterEpoch] = []
        self.best = state_of(self.network)
        if checkpoint.exists():
            self._resume()

    def run(self, on_epoch: Callable[[HighlighterEpoch], None] | None = None) -> HighlightNet:
        """Train to the end; the network with the best epoch's weights."""
        while len(self.history) < self.config.n_epochs:
            record = self._epoch()
            self.history.append(record)
            if record.valid_loss == min(epoch.valid_loss for epoch in self.history):
                self.best = state_of(self.network)
            self._save()
            if on_epoch:
                on_epoch(record)
        self.network.load_state_dict(self.best)
        return self.network.eval()

    def _epoch(self) -> HighlighterEpoch:
        """One pass over the training songs; its draws follow from the seed and its number."""
        number = len(self.history) + 1
        draw = np.random.default_rng([self.config.seed, number])
        self.network.train()
        total = 0.0
        for songs in _batches(draw.permutation(self._learnt), self.config.batch_size):
            position_weight = float(draw.random() >= self.config.position_dropout)
            heard = [self.chunks[i].load(self.config.chunk_share, draw) for i in songs]
            loss = self._loss(heard, songs, position_weight)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            total += loss.item() * len(songs)
        return HighlighterEpoch(number, total / len(self._learnt), self._valid_loss())

    @torch.inference_mode()
    def _valid_loss(self) -> float:
        self.network.eval()
        total = 0.0
        for songs in _batches(np.asarray(self.held_out), self.config.batch_size):
            loss = self._loss([self.chunks[i].load() for i in songs], songs, 1.0)
            total += loss.item() * len(songs)
        return total / len(self.held_out)

    def _loss(self, heard: list[Tensor], songs: list[int], position_weight: float) -> Tensor:
        batch, mask = batch_chunks(heard)
        output = self.network(batch.to(self.device), mask.to(self.device), position_weight)
        return _divergence(output.prediction, self.targets[songs].to(self.device))

    # --- checkpoints -----------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What makes a run this run and not another; the number of epochs may grow."""
        settings = {key: value for key, value in asdict(self.config).items() if key != "n_epochs"}
        names = [song.path.name for song in self.chunks]
        data = hashlib.sha256(json.dumps([names, self.label_names]).encode())
        data.update(self.targets.numpy().tobytes())
        return {"settings": settings, "data": data.hexdigest()}

    def _save(self) -> None:
        history = [asdict(epoch) for epoch in self.history]
        save_epoch(
            self.checkpoint, self.network, self.optimiser, self.best, self._identity(), history
        )

    def _resume(self) -> None:
        """Take up where the checkpoint stands."""
        self.best, history = resume_epoch(
            self.checkpoint,
            self.network,
            self.optimiser,
            self._identity(),
        )
        self.history = [HighlighterEpoch(**epoch) for epoch in history]


def _divergence(prediction: Tensor | None, target: Tensor) -> Tensor:
    """Cross-entropy less the target's entropy: 0 for a perfect prediction; mean over songs."""
    assert prediction is not None
    gap = torch.log(target.clamp(min=1e-12)) - torch.log(prediction.clamp(min=1e-12))
    return (target * gap).sum(dim=1).mean()


def _batches(order: NDArray[np.int64], size: int) -> list[list[int]]:
    return [order[i : i + size].tolist() for i in range(0, len(order), size)]

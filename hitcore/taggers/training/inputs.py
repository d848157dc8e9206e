"""From clips to a network's inputs, computed once and kept on disk.

Each clip's windows lie in a file of their own, in half precision: a broken run goes on where it
stood, and nothing need fit into memory. A clip that cannot be read leaves its reason instead, and
is left out.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hitcore.audio import load_audio
from hitcore.engines import map_songs
from hitcore.errors import AudioError, DataError
from hitcore.files import replacing, write_atomic
from hitcore.taggers import ARCHITECTURES, MusicNN
from hitcore.taggers.training.magnatagatune import TaggedClips

Progress = Callable[[int, int], None]
MAX_HALF = 60_000.0


@dataclass(frozen=True)
class Inputs:
    """The inputs of the clips that could be read."""

    folder: Path
    """Where they lie."""
    clip_ids: tuple[str, ...]
    """Their clips."""
    labels: NDArray[np.uint8]
    """`(n_clips, n_tags)`."""
    splits: dict[str, NDArray[np.int64]]
    """Indices of the clips of each part."""
    skipped: dict[str, int]
    """How many clips could not be read, by reason."""

    def windows(self, clip: int) -> Tensor:
        """All windows of a clip, `(n_windows, …)`, as the network takes them."""
        return torch.from_numpy(np.load(self.folder / f"{self.clip_ids[clip]}.npy")).float()

    def batch(self, clips: NDArray[np.int64], draw: np.random.Generator) -> Tensor:
        """One window of each clip, drawn at random: `(len(clips), …)`."""
        drawn = []
        for clip in clips:
            stored = np.load(self.folder / f"{self.clip_ids[clip]}.npy", mmap_mode="r")
            drawn.append(torch.from_numpy(stored[draw.integers(len(stored))].astype(np.float32)))
        return torch.stack(drawn)


def prepare_inputs(
    clips: TaggedClips,
    architecture: str,
    folder: Path,
    n_workers: int | None = None,
    on_progress: Progress | None = None,
) -> Inputs:
    """The inputs of all clips for one architecture; what is there already is not done again.

    Args:
        clips: What to read.
        architecture: `musicnn` or `jynet`.
        folder: Where to keep them.
        n_workers: Processes; None for one for each core, 0 for none but this one.
        on_progress: Called with the number of clips done and the number of all.

    Raises:
        DataError: No clip of some part could be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = [folder / clip_id for clip_id in clips.clip_ids]
    todo = [
        (str(path), str(place))
        for path, place in zip(clips.paths, places, strict=True)
        if not place.with_suffix(".npy").exists() and not place.with_suffix(".skip").exists()
    ]
    n_done = len(places) - len(todo)
    compute = partial(_compute, architecture)
    # A clip whose worker died leaves nothing behind: it is left out now and tried again next time.
    here = n_workers == 0 or not todo
    done = map(compute, todo) if here else map_songs(compute, todo, n_workers=n_workers)
    for _ in done:
        n_done += 1
        if on_progress is not None:
            on_progress(n_done, len(places))
    return _readable(clips, folder)


def _readable(clips: TaggedClips, folder: Path) -> Inputs:
    """Those clips whose inputs are there."""
    there = np.array([(folder / f"{clip_id}.npy").exists() for clip_id in clips.clip_ids])
    skipped: Counter[str] = Counter()
    for clip_id in np.array(clips.clip_ids)[~there]:
        reason = folder / f"{clip_id}.skip"
        skipped[reason.read_text() if reason.exists() else "could not be computed"] += 1
    position = np.cumsum(there) - 1
    splits = {name: position[rows[there[rows]]] for name, rows in clips.splits.items()}
    empty = [name for name, rows in splits.items() if not len(rows)]
    if empty:
        reasons = ", ".join(f"{reason}: {n}" for reason, n in skipped.most_common(3))
        raise DataError(f"no clip of {', '.join(empty)} could be read ({reasons})")
    return Inputs(
        folder=folder,
        clip_ids=tuple(np.array(clips.clip_ids)[there].tolist()),
        labels=clips.labels[there],
        splits=splits,
        skipped=dict(skipped),
    )


def _compute(architecture: str, item: tuple[str, str]) -> None:
    """In a worker: write one clip's windows, or why there are none."""
    path, place = item
    network = ARCHITECTURES[architecture]
    try:
        samples = torch.from_numpy(load_audio(path, network.sample_rate).samples)
    except AudioError:
        write_atomic(Path(place).with_suffix(".skip"), "clip unreadable")
        return
    missing = network.shortest - len(samples)
    if missing > 0 and network is MusicNN:
        samples = functional.pad(samples, (0, missing))
    windows, _ = network.inputs(samples)
    with replacing(Path(place).with_suffix(".npy")) as temporary:
        np.save(temporary, windows.clamp(max=MAX_HALF).half().numpy())

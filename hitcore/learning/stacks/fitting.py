"""Train one model or hundreds of them at once: `fit_member` and `fit_stack`.

Members are sorted by network and by the songs that they are shown, cut into chunks that fit into
memory, and each chunk is trained as one batched model. Where a checkpoint folder is given, the
state is kept there after epochs; calling again with the same arguments goes on from it and ends
exactly where the unbroken run does.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hitcore.checkpoints import Checkpoint, drop_checkpoint, read_checkpoints, state_of
from hitcore.devices import torch_device
from hitcore.errors import EngineError
from hitcore.learning.batches import Rules, group_key
from hitcore.learning.loop import train
from hitcore.learning.settings import (
    Member,
    TrainConfig,
    TrainingData,
    check,
    fingerprint_of,
    stacks,
)
from hitcore.learning.stacks.chunk import Chunk
from hitcore.learning.stacks.devicedata import DeviceData
from hitcore.learning.stacks.keeping import Keeper
from hitcore.learning.stacks.results import MemberResult, Progress, StackResult

log = logging.getLogger(__name__)

CPU_SONGS = 128
"""Songs per step on a CPU, over all members: more of them no longer fit into its caches."""

FLOATS_PER_FRAME = 900
"""Activations and gradients that one song keeps per spectrogram frame and member (measured)."""

FLOATS_PER_MEMBER = 126_000 * 5
"""Weights, gradients, the optimiser's sums and the best weights of one member."""


def fit_member(
    data: TrainingData,
    member: Member,
    config: TrainConfig | None = None,
    *,
    device: str | torch.device = "cpu",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> MemberResult:
    """One trained model: `fit_stack` of a stack of one.

    Raises:
        ParameterError, DataError, SplitLeakageError, EngineError: As `fit_stack`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tags = rng.random((60, 5))
        >>> data = TrainingData(None, tags, y=tags[:, 0], hit_scores=tags[:, 0])
        >>> member = Member(range(40), range(40, 50), range(50, 60), audio=None, use_tags=True)
        >>> result = fit_member(data, member, TrainConfig(max_epochs=2))
        >>> len(result.history), result.scores.shape
        (2, (60,))
    """
    result = fit_stack(
        data,
        [member],
        config,
        device=device,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
        should_stop=should_stop,
    )
    return result.members[0]


def fit_stack(
    data: TrainingData,
    members: Sequence[Member],
    config: TrainConfig | None = None,
    *,
    device: str | torch.device = "cpu",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> StackResult:
    """Many trained models, all folds and grid points of all rows at once.

    Args:
        data: Features and truth of all songs.
        members: What to train; networks, samplers and settings may differ.
        config: Settings of all of them.
        device: `cpu`, `cuda` or `cuda:N`.
        checkpoint_dir: Folder for the state; an unfinished training found there is gone on with.
        progress: Called now and then with where it stands, in this thread.
        should_stop: Asked after every epoch and once a second; True ends the training, which can be
            gone on with from its last whole epoch on disk.

    Raises:
        ParameterError, DataError, SplitLeakageError: Members, data or settings are at fault, before
            anything is trained.
        EngineError: The device is absent, or too small for a single member.
    """
    config = config or TrainConfig()
    check(data, members, config)
    trainer = _Trainer(data, list(members), config, torch_device(device))
    if checkpoint_dir is not None:
        trainer.folder = Path(checkpoint_dir)
        trainer.folder.mkdir(parents=True, exist_ok=True)
    trainer.progress, trainer.should_stop = progress, should_stop
    return trainer.run()


class _StopMidEpoch(Exception):
    """The caller asked to stop in the middle of an epoch."""


class _Trainer:
    """One call of `fit_stack`: the chunks still to do and what is known of those done."""

    def __init__(
        self,
        data: TrainingData,
        members: list[Member],
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        self.source, self.members, self.config, self.device = data, members, config, device
        self.rules = Rules(data)
        for member in members:  # a sampler without any pair is found before anything is trained
            self.rules.over_training(member)
        self.folder: Path | None = None
        self.progress: Callable[[Progress], None] | None = None
        self.should_stop: Callable[[], bool] | None = None
        self.results: dict[int, MemberResult] = {}
        self.n_chunks = 0
        self.stopped = False
        self.message = ""
        self._songs_here, self._training_s = 0, 0.0
        self._looked = self._saved = self._clock = time.monotonic()

    def run(self) -> StackResult:
        self.fingerprint = ""
        saved: list[Checkpoint] = []
        if self.folder is not None:
            self.fingerprint = fingerprint_of(self.source, self.members, self.config)
            saved = _apart(read_checkpoints(self.folder, self.fingerprint))
        self.keeper = Keeper(self.folder, self.fingerprint)
        self.data = self._load()
        known = {number for one in saved for number in one.members}
        rest = [number for number in range(len(self.members)) if number not in known]
        for number in [n for n in rest if not stacks(self.members[n])]:
            rest.remove(number)
            self._run_alone(number)
        queue: list[tuple[list[int], Checkpoint | None]] = [(one.members, one) for one in saved]
        queue += [(numbers, None) for numbers in self._plan(rest)]
        while queue:
            numbers, state = queue.pop(0)
            try:
                self._run_chunk(numbers, state)
            except torch.OutOfMemoryError as error:
                queue = self._halves(numbers, error) + queue
        self.keeper.close()
        return StackResult(
            tuple(self.results[number] for number in range(len(self.members))),
            not self.stopped,
            self.n_chunks,
            self._speed(),
        )

    def _run_chunk(self, numbers: list[int], saved: Checkpoint | None) -> None:
        members = [self.members[number] for number in numbers]
        chunk = Chunk(numbers, members, self.data, self.rules, self.config)
        if saved is not None:
            chunk.restore(saved)
        while not chunk.ended and not self.stopped:
            self._clock = time.monotonic()
            try:
                chunk.run_epoch(lambda n_songs: self._after_step(chunk, n_songs))
            except _StopMidEpoch:
                self.stopped = True  # the last checkpoint stands; what is left of the epoch is lost
                break
            self._tick()
            self.stopped = self._asked_to_stop()
            due = time.monotonic() - self._saved >= self.config.checkpoint_interval_s
            if due or chunk.ended or self.stopped:
                self._save(chunk, wait=chunk.ended or self.stopped)
            self._show(chunk)
        scores, weights = chunk.outcome()
        for place, number in enumerate(numbers):
            self.results[number] = MemberResult(
                members[place],
                chunk.best_epoch[place],
                tuple(chunk.history[place]),
                weights[place],
                scores[place],
                chunk.diverged[place],
            )
        self.n_chunks += 1

    def _run_alone(self, number: int) -> None:
        """A member whose network has no stacked form, by the plain loop."""
        member = self.members[number]
        found = train(self.source, member, self.config, device=self.device)
        self.results[number] = MemberResult(
            member,
            found.best_epoch,
            found.history,
            state_of(found.network),
            found.scores,
            found.diverged,
        )
        self.n_chunks += 1

    def _load(self) -> DeviceData:
        listens = any(member.audio is not None for member in self.members)
        uses_tags = any(member.use_tags for member in self.members)
        source = replace(
            self.source,
            mel=self.source.mel if listens else None,
            tags=self.source.tags if uses_tags else None,
        )
        try:
            return DeviceData(source, self.device)
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"the data of {source.n_songs} songs does not fit on {self.device}: give the mel "
                "in half precision, or take device cpu"
            ) from error

    # --- cutting the stack ------------------------------------------------------------------------

    def _plan(self, numbers: list[int]) -> list[list[int]]:
        """Chunks of one network shape each, with members of one group side by side."""
        shapes: dict[object, list[int]] = {}
        for number in numbers:
            member = self.members[number]
            shapes.setdefault((member.audio, member.use_tags), []).append(number)
        chunks = []
        for same in shapes.values():
            keys = [group_key(self.members[number], self.config) for number in same]
            rank = {key: place for place, key in enumerate(dict.fromkeys(keys))}
            places = sorted(range(len(same)), key=lambda place: rank[keys[place]])
            ordered = [same[place] for place in places]
            size = self._chunk_size(self.members[ordered[0]], len(ordered))
            n_parts = -(-len(ordered) // size)
            chunks += [part.tolist() for part in np.array_split(ordered, n_parts)]
        return chunks

    def _chunk_size(self, member: Member, n_members: int) -> int:
        config = self.config
        in_cache = max(1, CPU_SONGS // self._songs_per_step())
        wanted = config.stack_size or (in_cache if self.device.type == "cpu" else n_members)
        limit = config.memory_limit_bytes or _free_memory(self.device)
        needed = self._member_bytes(member)
        if needed > limit:
            raise EngineError(
                f"one member needs about {needed / 1e6:.0f} MB and {limit / 1e6:.0f} MB may be "
                f"taken on {self.device}: lower batch_size or raise memory_limit_bytes"
            )
        fitting = int(limit // needed)
        if fitting < min(wanted, n_members):
            self.message = (
                f"{n_members} members of about {needed / 1e6:.0f} MB do not fit into "
                f"{limit / 1e6:.0f} MB at once: they are trained {fitting} at a time"
            )
            log.warning(self.message)
        return min(wanted, fitting)

    def _songs_per_step(self) -> int:
        return self.config.batch_size * (2 if self.config.pairing == "explicit" else 1)

    def _member_bytes(self, member: Member) -> int:
        rows = self._songs_per_step()
        n_frames = n_mels = 0
        if member.audio is not None:
            _, n_mels, n_frames = self.source.mel_shape
        per_row = n_frames * (FLOATS_PER_FRAME * (member.audio != "linear") + 3 * n_mels) + 1000
        return 4 * (rows * per_row + FLOATS_PER_MEMBER)

    def _halves(
        self, numbers: list[int], error: Exception
    ) -> list[tuple[list[int], Checkpoint | None]]:
        """Two chunks in place of one that does not fit, from where it stood when last saved."""
        if len(numbers) == 1:
            raise EngineError(
                f"one member does not fit on {self.device}: lower batch_size, or take device cpu"
            ) from error
        error.__traceback__ = None  # it holds the chunk, and with it the memory
        torch.cuda.empty_cache()
        self.message = f"{len(numbers)} members do not fit on {self.device}: trained in two halves"
        log.warning(self.message)
        halves = self.keeper.halves(numbers)
        if halves is not None:
            return [(half.members, half) for half in halves]
        if self.folder is not None:
            drop_checkpoint(self.folder, numbers)
        middle = len(numbers) // 2
        return [(numbers[:middle], None), (numbers[middle:], None)]

    # --- telling and keeping ----------------------------------------------------------------------

    def _save(self, chunk: Chunk, *, wait: bool) -> None:
        if self.folder is not None and self.keeper.offer(chunk.checkpoint(), wait=wait):
            self._saved = time.monotonic()

    def _after_step(self, chunk: Chunk, n_songs: int) -> None:
        self._songs_here += n_songs
        self._tick()
        if time.monotonic() - self._looked >= 1.0:
            self._show(chunk)
            if self._asked_to_stop():
                raise _StopMidEpoch

    def _asked_to_stop(self) -> bool:
        self._looked = time.monotonic()
        return self.should_stop is not None and self.should_stop()

    def _show(self, chunk: Chunk) -> None:
        if self.progress is None:
            return
        per_epoch = [self._songs_per_epoch(member) for member in self.members]
        all_epochs = sum(per_epoch) * self.config.max_epochs
        left = sum(
            per_epoch[number] * (self.config.max_epochs - chunk.epoch)
            for number in (chunk.numbers[place] for place in chunk.alive)
        )
        here = set(chunk.numbers)
        left += self.config.max_epochs * sum(
            songs
            for number, songs in enumerate(per_epoch)
            if number not in self.results and number not in here
        )
        speed = self._speed()
        done = len(self.results) + len(here) - len(chunk.alive)
        self.progress(
            Progress(
                done,
                len(self.members),
                chunk.epoch,
                1 - left / all_epochs,
                speed,
                left / speed if speed > 0 else float("inf"),
                self.message,
            )
        )

    def _songs_per_epoch(self, member: Member) -> int:
        n_train = len(member.songs["train"])
        if self.config.pairing == "in_batch":
            return n_train
        return 2 * min(
            self.config.pairs_per_epoch or n_train,
            self.rules.over_training(member).n_permitted(),
        )

    def _tick(self) -> None:
        """Count the time since the last tick as training."""
        now = time.monotonic()
        self._training_s += now - self._clock
        self._clock = now

    def _speed(self) -> float:
        return self._songs_here / max(self._training_s, 1e-9)


def _apart(saved: list[Checkpoint]) -> list[Checkpoint]:
    """Checkpoints without a member in common, the smaller first: a stack may have been halved."""
    kept: list[Checkpoint] = []
    known: set[int] = set()
    for one in sorted(saved, key=lambda one: len(one.members)):
        if not known & set(one.members):
            kept.append(one)
            known |= set(one.members)
    return sorted(kept, key=lambda one: one.members)


def _free_memory(device: torch.device) -> float:
    """Bytes that training may take by default."""
    if device.type == "cuda":
        return 0.8 * torch.cuda.mem_get_info(device)[0]
    try:
        return 0.5 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not told on every system
        return 2e9

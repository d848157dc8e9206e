"""Epochs by replay, on a stand-in for the GPU: the same control flow, every launch counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from songs_to_learn import planted, split
from torch.utils._python_dispatch import TorchDispatchMode

from hitcore.checkpoints import read_checkpoints
from hitcore.errors import DataError
from hitcore.learning import Member, TrainConfig, fit_stack
from hitcore.learning.batches import Rules
from hitcore.learning.settings import fingerprint_of
from hitcore.learning.stacks.chunk import Chunk
from hitcore.learning.stacks.devicedata import DeviceData
from hitcore.learning.stacks.gpu.replay import BY_HAND, N_LOOKS, Recorder, Step

CONFIG = TrainConfig(max_epochs=4, patience=2, batch_size=6, dropout=0.25)


class StandIn:
    """Records a step as a GPU does, but repeats it by running it; counts what Python did."""

    def __init__(self) -> None:
        self.n_recorded = self.n_replayed = self.n_outside = 0
        self._inside = False
        me = self

        class Count(TorchDispatchMode):
            def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kw: Any = None):
                me.n_outside += not me._inside
                return function(*args, **(kw or {}))

        self.count = Count()

    def __call__(self, step: Step) -> Step:
        self.n_recorded += 1

        def replay() -> None:
            self.n_replayed += 1
            self._inside = True
            step()
            self._inside = False

        return replay


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    recorder = StandIn()

    def recorder_for(device: torch.device) -> Recorder:
        return recorder

    monkeypatch.setattr("hitcore.learning.stacks.chunk.recorder_for", recorder_for)
    return recorder


def stack(n_songs: int) -> list[Member]:
    songs = split(n_songs, seed=1)
    return [
        Member(**songs, sampler=sampler, seed=3, learning_rate=rate)
        for sampler in ("ab", "artist", None)
        for rate in (5e-2, 1e-3)
    ]


def test_replayed_epochs_are_those_of_the_plain_loop(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = planted()
    replayed = fit_stack(data, stack(data.n_songs), CONFIG)
    assert stand_in.n_recorded >= 1
    monkeypatch.undo()
    plain = fit_stack(data, stack(data.n_songs), CONFIG)
    for one, other in zip(plain.members, replayed.members, strict=True):
        assert one.history == other.history
        assert np.array_equal(one.scores, other.scores)


def test_python_does_one_thing_a_step_and_that_is_the_replay(stand_in: StandIn) -> None:
    outside = []
    for n_songs in (60, 120, 240):
        data = planted(n_songs)
        chunk = Chunk(range(6), stack(n_songs), DeviceData(data, torch.device("cpu")), Rules(data),
                      replace(CONFIG, dropout=0.0))  # fmt: skip
        looks: list[int] = []
        chunk.epoch = 1
        chunk._train(looks.append)
        n_steps = -(-len(chunk.members[0].songs["train"]) // CONFIG.batch_size)
        assert stand_in.n_replayed == n_steps - BY_HAND
        stand_in.n_replayed = stand_in.n_outside = 0
        with stand_in.count:
            chunk.epoch = 2
            looks.clear()
            chunk._train(looks.append)
        assert stand_in.n_replayed == n_steps
        assert stand_in.n_recorded == len(outside) + 1, "a step is recorded once for all epochs"
        assert len(looks) <= N_LOOKS
        assert sum(looks) == n_steps * 6 * CONFIG.batch_size
        outside.append(stand_in.n_outside)
        stand_in.n_replayed = 0
    assert outside[0] == outside[1] == outside[2], "work outside the replays grows with the steps"


def test_a_recording_that_fails_falls_back_to_plain_steps(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = planted()
    whole = fit_stack(data, stack(data.n_songs), CONFIG)

    def refuse(step: Step) -> Step:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("hitcore.learning.stacks.chunk.recorder_for", lambda device: refuse)
    by_hand = fit_stack(data, stack(data.n_songs), CONFIG)
    assert "cannot be recorded" in caplog.text
    for one, other in zip(whole.members, by_hand.members, strict=True):
        assert np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("keeps", [True, False])
def test_memory_that_ends_in_the_middle_halves_the_stack_where_it_stood(
    keeps: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    data, config = planted(), replace(CONFIG, checkpoint_interval_s=0, max_epochs=6)
    members = stack(data.n_songs)
    whole = fit_stack(data, members, config)
    run_epoch, epochs = Chunk.run_epoch, []

    def short(self: Chunk, after_step: Any) -> None:
        if len(self.members) == len(members) and self.epoch == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        epochs.append(self.epoch + 1)
        run_epoch(self, after_step)

    monkeypatch.setattr(Chunk, "run_epoch", short)
    folder = tmp_path if keeps else None
    cut = fit_stack(data, members, replace(config, stack_size=6), checkpoint_dir=folder)
    assert "trained in two halves" in caplog.text
    assert cut.n_chunks == 2
    assert epochs.count(1) == (1 if keeps else 3), "with checkpoints the halves go on"
    for one, other in zip(whole.members, cut.members, strict=True):
        assert len(one.history) == len(other.history)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    if keeps:
        saved = read_checkpoints(tmp_path, fingerprint_of(data, members, config))
        assert sorted(len(one.members) for one in saved) == [3, 3]


def test_a_checkpoint_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*given: Any) -> None:
        raise DataError("the checkpoint cannot be written (no space left)")

    monkeypatch.setattr("hitcore.learning.stacks.keeping.write_checkpoint", full)
    data = planted()
    with pytest.raises(DataError, match="no space left"):
        fit_stack(data, stack(data.n_songs)[:1], CONFIG, checkpoint_dir=tmp_path)

"""Checkpoints written beside a training are of the moment at which they were offered."""

import threading
from pathlib import Path

import pytest
import torch

from hitcore.checkpoints import Checkpoint, read_checkpoints, write_checkpoint
from hitcore.learning.stacks import keeping
from hitcore.learning.stacks.keeping import Keeper


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written until this is set."""
    event = threading.Event()

    def late(folder: Path, fingerprint: str, checkpoint: Checkpoint) -> Path:
        assert event.wait(60)
        return write_checkpoint(folder, fingerprint, checkpoint)

    monkeypatch.setattr(keeping, "write_checkpoint", late)
    return event


def test_what_changes_while_it_is_written_is_not_in_it(
    tmp_path: Path, go_on: threading.Event
) -> None:
    members, weights = [0, 1], torch.ones(2)
    state = {"epoch": 1, "rate": [0.1, 0.1], "best_value": [[0.5], [0.6]], "history": [[1], [1]]}
    keeper = Keeper(tmp_path, "x")
    assert keeper.offer(Checkpoint(members, {"weights.a": weights}, state), wait=False)
    # The next epoch, before a byte is written.
    members.pop()
    weights.zero_()
    state["epoch"] = 2
    state["rate"][0] *= 0.5
    state["best_value"][1][0] = 0.9
    state["history"][0].append(2)
    go_on.set()
    keeper.close()
    (found,) = read_checkpoints(tmp_path, "x")
    assert found.members == [0, 1]
    assert found.tensors["weights.a"].tolist() == [1, 1]
    assert found.state == {
        "epoch": 1, "rate": [0.1, 0.1], "best_value": [[0.5], [0.6]], "history": [[1], [1]]
    }  # fmt: skip


def test_one_that_is_still_being_written_is_not_overtaken(
    tmp_path: Path, go_on: threading.Event
) -> None:
    keeper = Keeper(tmp_path, "x")
    first, second = (Checkpoint([0], {"a": torch.zeros(1)}, {"epoch": n}) for n in (1, 2))
    assert keeper.offer(first, wait=False)
    assert not keeper.offer(second, wait=False), "passed over"
    go_on.set()
    assert keeper.offer(second, wait=True)
    keeper.close()
    assert read_checkpoints(tmp_path, "x")[0].state == {"epoch": 2}

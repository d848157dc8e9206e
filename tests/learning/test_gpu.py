"""What a GPU does otherwise, against the plain path: kernels, recorded steps, split stacks."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from songs_to_learn import planted, split
from torch import Tensor

from hitcore.learning import Member, TrainConfig, fit_stack
from hitcore.learning.batches import Rules
from hitcore.learning.losses import in_batch_loss
from hitcore.learning.stacks.chunk import Chunk
from hitcore.learning.stacks.devicedata import DeviceData
from hitcore.learning.stacks.stack import Stack

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda")


def members(n_songs: int, *, use_tags: bool, audio: str | None = "cnn") -> list[Member]:
    """Groups of unequal sizes: two folds, samplers that are shown songs in other orders."""
    one, other = split(n_songs, seed=1), split(n_songs, seed=2)
    kinds = [(one, "ab", 0.3), (one, "naive", 0.6), (one, None, 0.5), (other, "ab", 0.3)]
    kinds += [(one, "artist", 0.4), (other, "artist", 0.2), (other, "artist", 0.9)]
    return [
        Member(
            **fold, audio=audio, use_tags=use_tags, sampler=sampler, rank_weight=weight,
            tag_weight=weight, margin=weight, seed=3,
        )
        for fold, sampler, weight in kinds
    ]  # fmt: skip


def one_step(chunk: Chunk, songs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Scores and the gradients of all parameters."""
    leaves = chunk.stack.leaves()
    for leaf in leaves.values():
        leaf.requires_grad_()
        leaf.grad = None
    scores = chunk.stack.scores_of(chunk.data, songs, lambda x: x)
    chunk._batch_loss(scores, songs[chunk.stack.groups]).sum().backward()
    return scores.detach(), {name: leaf.grad.float() for name, leaf in leaves.items()}


@pytest.mark.parametrize("audio", ["cnn", "inception", "linear", None])
@pytest.mark.parametrize("n_frames", [20, 23])
def test_fused_scores_and_gradients_are_those_of_the_plain_stack(
    audio: str | None, n_frames: int
) -> None:
    data = planted(n_frames=n_frames)
    stack = members(data.n_songs, use_tags=True, audio=audio)
    config = TrainConfig(precision="float32", dropout=0.0)
    fused = Chunk(range(len(stack)), stack, DeviceData(data, CUDA), Rules(data), config)
    plain = Chunk(range(len(stack)), stack, DeviceData(data, CUDA), Rules(data), config)
    assert fused._fused, "this machine cannot compile the kernels"
    plain.stack.__class__ = Stack
    plain._fused = False
    songs = torch.randint(data.n_songs, (int(fused.stack.groups.max()) + 1, 11), device=CUDA)
    songs[0, 9:] = -1
    (score, gradients), (expected, others) = one_step(fused, songs), one_step(plain, songs)
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-3, atol=1e-5, msg=name)


def test_fused_loss_is_that_of_the_plain_one() -> None:
    from hitcore.learning.stacks.gpu.fused import batch_loss

    generator = torch.Generator(CUDA).manual_seed(0)
    for n_songs in (2, 7, 10, 33):
        score, y = torch.randn(2, 5, n_songs, device=CUDA, generator=generator)
        permitted = torch.rand(5, n_songs, n_songs, device=CUDA, generator=generator) < 0.6
        permitted[3] = False
        margin, weight = torch.rand(2, 5, device=CUDA, generator=generator)
        found = []
        for loss_of in (in_batch_loss, batch_loss):
            leaf = score.clone().requires_grad_()
            loss = loss_of(leaf, y, permitted, margin, weight)
            (loss * torch.arange(1.0, 6.0, device=CUDA)).sum().backward()
            found += [loss.detach(), leaf.grad]
        torch.testing.assert_close(found[0], found[2])
        torch.testing.assert_close(found[1], found[3])


def test_fused_dropout_drops_its_share_by_each_member_s_own_key() -> None:
    from hitcore.learning.stacks.gpu.launches import Draws, activated

    def drawn(keys: list[int], step: int, salt: int) -> Tensor:
        at = torch.tensor([step], device=CUDA)
        draws = Draws(torch.tensor(keys, device=CUDA), CUDA, 0.25, at)
        x = torch.ones(len(keys), 4096, 64, device=CUDA)
        return activated(x, torch.zeros(len(keys), 64, device=CUDA), draws, salt)

    first = drawn([5, 6, 7], 0, 1)
    assert set(first.unique().tolist()) == {0.0, np.float32(256 / 192)}
    assert abs(float(first.mean()) - 1) < 0.005
    rows, columns = first.mean(dim=2), first.mean(dim=1)
    assert float(rows.std()) == pytest.approx((1 / 3 / 64) ** 0.5, rel=0.05)
    assert float(columns.std()) == pytest.approx((1 / 3 / 4096) ** 0.5, rel=0.2)
    assert torch.equal(drawn([6], 0, 1)[0], first[1]), "whatever stack a member is in"
    for other in (drawn([5, 6, 7], 1, 1), drawn([5, 6, 7], 0, 2), first.roll(1, 0)):
        together = torch.stack([first.flatten(), other.flatten()])
        assert abs(float(torch.corrcoef(together)[0, 1])) < 0.01


def test_replayed_steps_are_the_steps_taken_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planted()
    stack = members(data.n_songs, use_tags=True)
    for optimiser in ("adagrad", "adam"):
        config = TrainConfig(optimiser=optimiser, max_epochs=4, patience=2)
        found = []
        for record in ("hitcore.learning.stacks.gpu.replay._record_graph", None):
            if record is None:
                monkeypatch.setattr(
                    "hitcore.learning.stacks.gpu.replay._record_graph", lambda step: step
                )
            found.append(fit_stack(data, stack, config, device="cuda"))
        monkeypatch.undo()
        for one, other in zip(*(result.members for result in found), strict=True):
            assert np.array_equal(one.scores, other.scores)


def test_a_recording_that_fails_is_said_and_steps_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = planted()
    stack = members(data.n_songs, use_tags=False)[:2]
    config = TrainConfig(max_epochs=2)
    whole = fit_stack(data, stack, config, device="cuda")

    def refuse(step: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("hitcore.learning.stacks.gpu.replay._record_graph", refuse)
    with caplog.at_level(logging.WARNING):
        by_hand = fit_stack(data, stack, config, device="cuda")
    assert "cannot be recorded" in caplog.text
    for one, other in zip(whole.members, by_hand.members, strict=True):
        assert np.array_equal(one.scores, other.scores)


def test_memory_that_ends_in_the_middle_splits_the_stack_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    data = planted()
    stack = members(data.n_songs, use_tags=False)
    config = TrainConfig(max_epochs=5, checkpoint_interval_s=0, precision="float32")
    whole = fit_stack(data, stack, config, device="cuda")
    run_epoch = Chunk.run_epoch
    epochs: list[int] = []

    def short(self: Chunk, after_step: object) -> None:
        epochs.append(self.epoch + 1)
        if len(self.members) == len(stack) and self.epoch == 3:
            limit = torch.cuda.memory_allocated() + (1 << 20)
            torch.cuda.set_per_process_memory_fraction(
                limit / torch.cuda.get_device_properties(0).total_memory
            )
            torch.cuda.empty_cache()
            try:
                torch.empty(1 << 30, device="cuda")
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
        run_epoch(self, after_step)

    monkeypatch.setattr(Chunk, "run_epoch", short)
    with caplog.at_level(logging.WARNING):
        cut = fit_stack(data, stack, config, device="cuda", checkpoint_dir=tmp_path)
    assert "trained in two halves" in caplog.text
    assert epochs.count(1) == 1, "the halves go on where the whole stood"
    for one, other in zip(whole.members, cut.members, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_one_member_gives_the_same_alone_and_in_a_stack() -> None:
    data = planted()
    stack = members(data.n_songs, use_tags=True)
    config = replace(TrainConfig(max_epochs=3), precision="float32")
    together = fit_stack(data, stack, config, device="cuda")
    alone = fit_stack(data, stack[4:5], config, device="cuda")
    np.testing.assert_allclose(together.members[4].scores, alone.members[0].scores, atol=1e-4)

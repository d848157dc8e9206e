"""Which songs a step is shown: everyone's once an epoch, members of a group the same."""

import numpy as np
import pytest
import torch

from hitcore.learning import Member, TrainConfig
from hitcore.learning.batches import epoch_batches, group_key, stacked_batches
from hitcore.learning.pairs import AB, Naive

TRAIN, VALID = range(10, 30), range(30, 34)
IN_BATCH = TrainConfig(pairing="in_batch", batch_size=6)
EXPLICIT = TrainConfig(pairing="explicit", batch_size=6)


def member(sampler: str | None = None, **others: object) -> Member:
    return Member(**({"train": TRAIN, "valid": VALID, "sampler": sampler} | others))  # type: ignore[arg-type]


def test_in_batch_the_rule_of_pairs_does_not_change_the_songs_but_artists_do() -> None:
    keys = [group_key(member(sampler), IN_BATCH) for sampler in (None, "naive", "ab")]
    assert len(set(keys)) == 1
    assert group_key(member("artist"), IN_BATCH) not in keys


def test_explicit_pairs_are_those_of_a_rule() -> None:
    keys = [group_key(member(sampler), EXPLICIT) for sampler in ("naive", "ab", "artist")]
    assert len(set(keys)) == 3
    assert group_key(member(None), EXPLICIT) == keys[0], "rating alone is shown naive pairs"


@pytest.mark.parametrize("config", [IN_BATCH, EXPLICIT])
def test_a_group_shares_songs_and_seed(config: TrainConfig) -> None:
    others = (
        member("ab", train=range(9, 29)), member("ab", valid=range(35, 39)), member("ab", seed=1),
    )  # fmt: skip
    assert len({group_key(one, config) for one in (member("ab"), *others)}) == 4
    assert group_key(member("ab", margin=0.7), config) == group_key(member("ab"), config)


def test_in_batch_an_epoch_shows_every_training_song_once() -> None:
    steps = epoch_batches(member(), Naive(20), 3, IN_BATCH)
    assert sorted(np.concatenate(steps)) == list(TRAIN)
    assert [len(step) for step in steps] == [5, 5, 5, 5]


def test_explicit_steps_hold_first_songs_and_then_second() -> None:
    hits = np.arange(20.0)
    steps = epoch_batches(member("ab"), AB(hits), 0, EXPLICIT)
    pairs = np.concatenate([step.reshape(2, -1).T for step in steps]) - TRAIN.start
    assert len(pairs) == 20, "as many pairs as songs, unless said otherwise"
    assert (np.maximum(hits[pairs[:, 0]], hits[pairs[:, 1]]) > hits.mean()).all()


@pytest.mark.parametrize("config", [IN_BATCH, EXPLICIT])
def test_the_order_follows_from_seed_and_epoch_alone(config: TrainConfig) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(member(seed=seed), Naive(20), epoch, config)).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_shorter_batches_are_filled_up() -> None:
    steps = [[np.array([1, 2, 3]), np.array([4, 5])], [np.array([6])]]
    found = stacked_batches(steps, pairs=False, device=torch.device("cpu"))
    assert found.tolist() == [[[1, 2, 3], [6, -1, -1]], [[4, 5, -1], [-1, -1, -1]]]
    wider = stacked_batches(steps, pairs=False, device=torch.device("cpu"), least=4)
    assert wider.shape == (2, 2, 4)
    assert torch.equal(wider[..., :3], found)
    assert (wider[..., 3] == -1).all()


def test_first_and_second_songs_are_filled_up_apart() -> None:
    steps = [[np.array([1, 2, 3, 4, 5, 6])], [np.array([7, 8])]]
    found = stacked_batches(steps, pairs=True, device=torch.device("cpu"))
    assert found.tolist() == [[[1, 2, 3, 4, 5, 6], [7, -1, -1, 8, -1, -1]]]

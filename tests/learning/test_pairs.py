"""Pair rules against sets of pairs written out in full, and the laws between the two uses."""

import itertools
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hitcore.errors import DataError, ParameterError
from hitcore.learning.paircounts import composition, count_between, mean_gap
from hitcore.learning.pairs import (
    AB,
    Artist,
    Naive,
    PairRule,
    PairStack,
    mean_hit_score,
)

SCORES = [0.9, 0.1, 0.2, 0.8, 0.1, 0.05, 0.3, 0.1]
LINEUPS = [["a"], ["a", "b"], ["b"], ["a", "b"], "c", [], ["c", "a", "a"], None]


def pairs_of(rule: PairRule) -> set[tuple[int, int]]:
    pairs = rule.explicit(None, np.random.default_rng(0))
    found = {(int(min(pair)), int(max(pair))) for pair in pairs}
    assert len(found) == len(pairs) == rule.n_permitted()
    return found


def written_out(n_songs: int, may: Callable[[int, int], bool]) -> set[tuple[int, int]]:
    return {pair for pair in itertools.combinations(range(n_songs), 2) if may(*pair)}


def sets_of(lineups: list) -> list[set[str]]:
    return [{entry} if isinstance(entry, str) else set(entry or ()) for entry in lineups]


lineup_lists = st.lists(
    st.lists(st.sampled_from("abcde"), max_size=4), min_size=2, max_size=14
).filter(lambda lists: any(set(x) & set(y) for x, y in itertools.combinations(lists, 2)))


def test_naive_forms_every_pair() -> None:
    assert pairs_of(Naive(6)) == written_out(6, lambda i, j: True)


def test_ab_forms_the_pairs_with_a_song_above_the_mean() -> None:
    mean = sum(SCORES) / len(SCORES)
    expected = written_out(len(SCORES), lambda i, j: max(SCORES[i], SCORES[j]) > mean)
    assert pairs_of(AB(SCORES)) == expected


def test_a_score_equal_to_the_threshold_is_not_in_group_a() -> None:
    assert pairs_of(AB([3.0, 2.0, 1.0, 2.0], threshold=2.0)) == {(0, 1), (0, 2), (0, 3)}


@settings(max_examples=100, deadline=None)
@given(lineup_lists)
def test_artist_forms_the_pairs_that_share_one(lineups: list[list[str]]) -> None:
    artists = sets_of(lineups)
    expected = written_out(len(lineups), lambda i, j: bool(artists[i] & artists[j]))
    rule = Artist(lineups)
    assert rule.n_permitted() == len(expected)
    assert pairs_of(rule) == expected


@settings(max_examples=60, deadline=None)
@given(lineup_lists, st.integers(0, 2**32 - 1))
def test_statistics_equal_those_of_the_pairs_written_out(
    lineups: list[list[str]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, len(lineups)) + np.arange(len(lineups)) * 0.01
    labels = rng.integers(0, 3, len(lineups))
    for rule in (Naive(len(lineups)), AB(scores), Artist(lineups)):
        counts = np.zeros((3, 3), int)
        for i, j in pairs_of(rule):
            low, high = sorted((labels[i], labels[j]))
            counts[low, high] += 1
        counted = count_between(rule, labels, 3)
        assert (np.triu(counted) == counts).all()
        assert (counted == counted.T).all()
        gaps = [abs(scores[i] - scores[j]) for i, j in pairs_of(rule)]
        assert mean_gap(rule, scores) == pytest.approx(np.mean(gaps))


@pytest.mark.parametrize("rule", [Naive(8), AB(SCORES), Artist(LINEUPS)], ids=lambda r: r.name)
def test_explicit_and_in_batch_form_the_same_pairs(rule: PairRule) -> None:
    for seed in range(5):  # what leads stands first, last and between
        songs = torch.from_numpy(np.random.default_rng(seed).permutation(8))
        mask = rule.in_batch(songs)
        assert not mask.tril().any()
        found = {tuple(sorted((int(songs[i]), int(songs[j])))) for i, j in mask.nonzero()}
        assert len(found) == int(mask.sum())
        assert found == pairs_of(rule)


def test_batches_of_a_stack_equal_those_of_each_rule_alone() -> None:
    rules = [Naive(8), AB(SCORES), Artist(LINEUPS), AB(SCORES, threshold=0.15), Artist(LINEUPS)]
    rng = np.random.default_rng(0)
    songs = torch.from_numpy(np.stack([rng.permutation(8)[:5] for _ in rules]))
    stacked = PairStack(rules).in_batch(songs)
    for rule, batch, mask in zip(rules, songs, stacked, strict=True):
        assert torch.equal(rule.in_batch(batch), mask)
    assert torch.equal(rules[2].in_batch(songs)[1], rules[2].in_batch(songs[1]))


def test_padding_and_a_song_with_itself_form_no_pair() -> None:
    songs = torch.tensor([0, -1, 0, 3, -1])
    for rule in (Naive(8), AB(SCORES), Artist(LINEUPS)):
        expected = [[0, 3], [2, 3]]  # song 0 stands twice; it pairs with song 3, not with itself
        assert rule.in_batch(songs).nonzero().tolist() == expected
        stacked = PairStack([rule]).in_batch(songs[None])
        assert stacked[0].nonzero().tolist() == expected


@pytest.mark.parametrize("n_pairs", [1, 30, 190])
def test_an_epoch_repeats_no_pair(n_pairs: int) -> None:
    pairs = Naive(20).explicit(n_pairs, np.random.default_rng(1))
    assert pairs.shape == (n_pairs, 2)
    pairs = np.sort(pairs, axis=1)
    assert len(np.unique(pairs, axis=0)) == n_pairs


def test_a_seed_gives_the_same_pairs_and_another_seed_others() -> None:
    rule = AB(SCORES)
    first, again, other = (rule.explicit(9, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("n_pairs", [3, 8])
def test_every_permitted_pair_is_equally_likely(n_pairs: int) -> None:
    rule = Artist(LINEUPS)
    rng = np.random.default_rng(2)
    n_rounds, total = 4000, rule.n_permitted()
    drawn = np.concatenate([rule.explicit(n_pairs, rng) for _ in range(n_rounds)])
    counts = np.unique(np.sort(drawn, axis=1), axis=0, return_counts=True)[1]
    rate = n_pairs / total
    assert counts.size == total
    assert np.abs(counts / n_rounds - rate).max() < 5 * math.sqrt(rate * (1 - rate) / n_rounds)


def test_the_papers_training_size_needs_memory_of_the_pairs_drawn_only() -> None:
    rng = np.random.default_rng(0)
    scores = rng.lognormal(sigma=2, size=15_000)
    artists = [[f"artist {a}", f"artist {b}"] for a, b in rng.integers(0, 500, (15_000, 2))]
    assert Naive(15_000).n_permitted() == 112_492_500
    n_head = int((scores > scores.mean()).sum())
    n_tail = 15_000 - n_head
    assert AB(scores).n_permitted() == math.comb(n_head, 2) + n_head * n_tail
    artist = Artist(artists)
    tracemalloc.start()
    for rule in (Naive(15_000), AB(scores), artist):
        assert len(rule.explicit(100_000, rng)) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6, "about 300 bytes per pair; the full mask would need 225 MB"


def test_composition_in_closed_form() -> None:
    made = composition(Naive(8), [9.0] * 2 + [1.0] * 6)
    assert (made.head_head, made.head_tail, made.tail_tail) == (1, 12, 15)
    assert (made.n_pairs, made.n_possible, made.n_head, made.threshold) == (28, 28, 2, 3.0)
    assert made.mean_gap == pytest.approx(12 * 8 / 28)
    scores = [9.0] * 2 + [1.0] * 6
    ab = composition(AB(scores), scores)
    assert (ab.n_pairs, ab.n_possible) == (13, 28)
    assert (ab.head_head, ab.head_tail, ab.tail_tail) == (1, 12, 0)
    wider = composition(AB(scores, threshold=0.0), scores)
    assert wider.tail_tail == 15, "the head of a composition is not the rule's own group A"


def test_an_epoch_visits_every_song_once_and_artists_stand_together() -> None:
    rng = np.random.default_rng(0)
    lineups = [f"artist {song % 40}" for song in range(400)] + [""] * 20
    rule = Artist(lineups)
    order = rule.epoch_order(rng)
    assert sorted(order) == list(range(420))
    assert sorted(Naive(9).epoch_order(rng)) == list(range(9))
    songs = torch.from_numpy(order[:400].reshape(-1, 40))
    shuffled = torch.from_numpy(rng.permutation(420)[:400].reshape(-1, 40))
    assert rule.in_batch(songs).sum() > 3 * rule.in_batch(shuffled).sum()
    several = Artist(LINEUPS)
    assert sorted(several.epoch_order(rng)) == list(range(8))


def test_the_songs_of_one_artist_are_neighbours_and_songs_of_none_stand_between_artists() -> None:
    lineups = [""] * 6 + ["a"] * 4 + [""] * 6 + ["b"] * 4
    behind = set()
    for seed in range(20):
        order = Artist(lineups).epoch_order(np.random.default_rng(seed)).tolist()
        for artist in (range(6, 10), range(16, 20)):
            places = sorted(order.index(song) for song in artist)
            assert places == list(range(places[0], places[0] + 4))
        behind.add(order.index(0) > order.index(6))
    assert behind == {True, False}


def test_the_mean_is_not_moved_by_the_order_of_the_songs() -> None:
    scores = [0.1, 0.7, 1e-17, 0.3, 1e16]
    means = {mean_hit_score(order) for order in itertools.permutations(scores)}
    assert len(means) == 1


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.0, 1e-300])
@pytest.mark.parametrize("n_songs", [3, 7, 1000])
def test_equal_scores_have_no_group_a(value: float, n_songs: int) -> None:
    with pytest.raises(DataError, match="group A is empty"):
        AB([value] * n_songs)


def test_what_cannot_form_a_pair_says_so() -> None:
    with pytest.raises(DataError, match="1 songs form no pair"):
        Naive(1)
    with pytest.raises(DataError, match="no two of 3 songs share an artist"):
        Artist(["a", ["b"], None])
    with pytest.raises(DataError, match="no two of 3 songs share"):
        Artist(["", "", None])
    with pytest.raises(DataError, match="1 of 3 hit scores are NaN"):
        AB([1.0, math.nan, 2.0])
    with pytest.raises(DataError, match="2 or more"):
        AB([1.0])
    with pytest.raises(ParameterError, match=r"highest hit score is 0\.9"):
        AB(SCORES, threshold=0.9)
    with pytest.raises(ParameterError, match="permits 0 to 28"):
        Naive(8).explicit(29, np.random.default_rng(0))
    with pytest.raises(ParameterError, match="same songs"):
        PairStack([Naive(3), Naive(4)])
    with pytest.raises(ParameterError, match="same songs"):
        PairStack([])
    with pytest.raises(ParameterError, match="same artist_ids"):
        PairStack([Artist(["a", "a", "b"]), Artist(["a", "b", "b"])])
    with pytest.raises(ParameterError, match="the rule has 3 songs"):
        composition(Naive(3), [1.0, 2.0])
    with pytest.raises(ParameterError, match="allowed are 0 to 1"):
        count_between(Naive(3), [0, 1, 2], 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_on_the_gpu_equal_those_on_the_cpu() -> None:
    songs = torch.arange(8).expand(3, 8)
    stack = PairStack([Naive(8), AB(SCORES), Artist(LINEUPS)])
    on_cpu = stack.in_batch(songs)
    assert torch.equal(stack.in_batch(songs.cuda()).cpu(), on_cpu)

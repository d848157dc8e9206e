"""Where a song would stand among an ensemble's reference songs, counted by hand."""

import numpy as np
import pytest

from hitcore.errors import DataError
from hitcore.evaluation.percentiles import Reference


def two_folds() -> Reference:
    """Fold 0 scores 0 to 19, fold 1 the same in thousands; hit scores in an order of their own."""
    ramp = np.arange(20.0)
    achieved = np.concatenate([ramp * 2, ramp * 2 + 1])
    return Reference(np.repeat([0, 1], 20), np.concatenate([ramp, ramp * 1000]), achieved)


def test_each_member_speaks_of_the_songs_of_its_own_fold() -> None:
    assert two_folds().percentiles([9.5, 14_500]).tolist() == [0.5, 0.75]
    assert two_folds().percentiles([9, 0]).tolist() == [0.475, 0.025]  # a tie counts half


def test_a_reference_song_stands_where_its_own_fold_puts_it() -> None:
    placed = two_folds().predicted()
    assert placed[:20].tolist() == placed[20:].tolist()
    assert placed[:2].tolist() == [0.025, 0.075]


def test_what_the_nearest_tenth_of_the_songs_achieved() -> None:
    rank = two_folds().percentile_rank([18.5, 18_500])
    assert rank.percentile == pytest.approx(0.95)
    # Four of forty songs lie nearest: the 18th and 19th of each fold, with hit scores 36 to 39.
    assert rank.hit_score == pytest.approx(37.5)
    # The top tenth of forty hit scores begins between 35 and 36.
    assert rank.top10_chance == 1.0
    below = two_folds().percentile_rank([17.5, 17_500])
    assert (below.hit_score, below.top10_chance) == (pytest.approx(35.5), 0.5)


def test_a_song_at_the_edge_of_the_top_tenth_is_in_it() -> None:
    edge = Reference(np.zeros(11, int), np.arange(11.0), np.arange(11.0))
    assert edge.percentile_rank([9.0]).top10_chance == 1.0  # the quantile is that song's own


def test_the_nearest_song_speaks_where_a_tenth_is_less_than_one() -> None:
    few = Reference(np.zeros(3, int), np.arange(3.0), np.array([7.0, 8.0, 9.0]))
    assert few.percentile_rank([0.1]).hit_score == 7.0


def test_of_songs_at_equal_distance_the_first_speaks() -> None:
    few = Reference(np.zeros(2, int), np.array([0.0, 1.0]), np.array([7.0, 9.0]))
    assert few.percentile_rank([0.5]).hit_score == 7.0


@pytest.mark.parametrize("scores", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]])
def test_one_score_per_member(scores: list[float]) -> None:
    with pytest.raises(DataError, match=r"^\d scores for 2 members: one each is needed$"):
        two_folds().percentiles(scores)


def test_arrays_survive_a_file() -> None:
    before = two_folds()
    after = Reference.from_tensors(before.to_tensors())
    assert after is not None
    for name in ("fold", "score", "hit_score"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    for name in before.to_tensors():
        others = {key: value for key, value in before.to_tensors().items() if key != name}
        assert Reference.from_tensors(others) is None

"""The domain of a catalogue: Mahalanobis' distance, its limit, and what it refuses."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from hitcore.errors import DataError
from hitcore.evaluation.domain import Domain, left_out_distances


def songs(n: int = 400, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5


def test_in_all_directions_it_is_the_mahalanobis_distance() -> None:
    rows = songs()
    domain, inverse = Domain.fit(rows), np.linalg.inv(np.cov(rows.T))
    far = [mahalanobis(row, rows.mean(axis=0), inverse) / np.sqrt(6) for row in rows[:20]]
    assert domain.distance(rows[:20]) * domain.limit == pytest.approx(far, rel=1e-6)


def test_one_in_twenty_is_outside_when_left_out_and_groups_go_together() -> None:
    rows, groups = songs(), np.arange(400) // 4
    far = left_out_distances(rows, groups)
    assert (far > Domain.fit(rows, groups).limit).mean() == pytest.approx(0.05, abs=0.005)
    own = Domain._cloud(rows[4:], 1.0).distance(rows[:4])
    assert far[:4] == pytest.approx(own)


def test_units_of_the_features_do_not_matter_and_files_keep_it() -> None:
    rows, units = songs(), np.array([1e-3, 1, 10, 1e3, 0.5, 7])
    domain = Domain.fit(rows)
    assert Domain.fit(rows * units).distance(rows[:9] * units) == pytest.approx(
        domain.distance(rows[:9])
    )
    kept = Domain.from_tensors(domain.to_tensors())
    assert kept is not None
    assert kept.distance(rows[:9]) == pytest.approx(domain.distance(rows[:9]), rel=1e-4)


def test_what_cannot_be_judged() -> None:
    domain = Domain.fit(songs())
    assert not domain.contains(np.full(6, np.nan))
    with pytest.raises(DataError, match="6 features"):
        domain.distance(np.zeros(5))
    with pytest.raises(DataError, match="ten songs"):
        Domain.fit(songs(9))
    rows = songs()
    rows[3, 1] = np.inf
    with pytest.raises(DataError, match="song 3"):
        Domain.fit(rows)
    with pytest.raises(DataError, match="one group"):
        Domain.fit(songs(), np.zeros(400))
    constant = np.column_stack([songs(), np.ones(400)])  # a feature that never moves
    assert np.isfinite(Domain.fit(constant).distance(constant)).all()

"""Kernel raters against scikit-learn's kernel ridge and ridge, and by their laws."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from hitcore.errors import DataError, ParameterError
from hitcore.networks.kernels import KernelSettings, fit_kernel
from hitcore.networks.statistics import log_tags, mel_statistics


def songs(n: int = 150) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    mel = 3 * torch.rand(n, 128, 20, generator=draw) * torch.rand(n, 128, 1, generator=draw)
    tags = torch.rand(n, 6, generator=draw)
    return mel, tags, (tags[:, 0] - mel[:, :40].mean(dim=(1, 2))).float()


def standardised(values: torch.Tensor) -> np.ndarray:
    rows = values.double().numpy()
    return (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)


def score(net, mel, tags) -> np.ndarray:
    with torch.inference_mode():
        return net(mel, tags).score.double().numpy()


def test_a_straight_line_is_ridge_regression() -> None:
    mel, tags, y = songs()
    settings = KernelSettings(0.0, 0.7, 0.4)
    stats, words = standardised(mel_statistics(mel)), standardised(log_tags(tags))
    rows = np.hstack([np.sqrt(0.6 / 96) * stats, np.sqrt(0.4 / 6) * words])
    expected = Ridge(alpha=0.7).fit(rows, y.double().numpy()).predict(rows)
    assert score(fit_kernel(mel, tags, y, settings), mel, tags) == pytest.approx(expected, abs=1e-3)


def test_cosines_stand_for_the_gaussian_kernel() -> None:
    mel, tags, y = songs()
    stats, words = standardised(mel_statistics(mel)), standardised(log_tags(tags))

    def kernel(rows: np.ndarray) -> np.ndarray:
        gaps = ((rows[:, None] - rows[None]) ** 2).mean(axis=2)
        return np.exp(-0.2 * gaps)

    exact = KernelRidge(kernel="precomputed", alpha=1.0)
    both = 0.7 * kernel(stats) + 0.3 * kernel(words)
    centred = y.double().numpy() - float(y.mean())
    expected = exact.fit(both, centred).predict(both) + float(y.mean())
    found = np.mean(
        [
            score(fit_kernel(mel, tags, y, KernelSettings(0.2, 1.0, 0.3), seed=s), mel, tags)
            for s in range(8)
        ],
        axis=0,
    )
    assert np.corrcoef(found, expected)[0, 1] > 0.995
    assert np.abs(found - expected).max() < 0.15 * np.std(expected)


def test_same_seed_same_rater_and_loudness_is_not_heard() -> None:
    mel, tags, y = songs()
    one, other = fit_kernel(mel, tags, y, seed=3), fit_kernel(mel, tags, y, seed=3)
    assert (score(one, mel, tags) == score(other, mel, tags)).all()
    assert not (score(fit_kernel(mel, tags, y, seed=4), mel, tags) == score(one, mel, tags)).all()
    louder = torch.log1p(3 * torch.expm1(mel))
    assert score(one, louder, tags) == pytest.approx(score(one, mel, tags), abs=1e-3)


def test_what_cannot_be_learned_from() -> None:
    mel, tags, y = songs(20)
    with pytest.raises(DataError, match="one"):
        fit_kernel(mel, tags, y[:5])
    with pytest.raises(DataError, match="NaN"):
        fit_kernel(mel, tags, torch.full((20,), float("nan")))
    with pytest.raises(DataError, match="neither"):
        fit_kernel(None, tags, y)
    with pytest.raises(ParameterError, match="penalty"):
        KernelSettings(penalty=0.0)

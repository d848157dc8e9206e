"""Daily plays of the demo songs: release, rise, decay, weekends, promotions, chance.

The planted model of one song, d days after its release:

    ln launch   = a1·appeal + following + genre + luck
    ln left(d)  = -R·ln(1 + d/10)/ln 7,    R = fall - a2·appeal + luck     (so left(60) = e^-R)
    plays(d)    ~ Poisson(launch · left(d) · rise(d) · fading(d) · weekday · promotion(d) · noise)

The following draws people at once, the appeal keeps them: plays on day 60 tell more of the appeal
than plays since release do, which promotions and early releases inflate. That, the reason that
the paper gives for its hit score, is planted here by construction.

References:
    The paper, section 3.2.
    R. Crane, D. Sornette: "Robust dynamic classes revealed by measuring the response function of
    a social system", PNAS 2008 (power-law relaxation of attention).
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitcore.demo.config import DemoConfig, Purpose, stream
from hitcore.demo.genres import GENRES
from hitcore.demo.songs import SongPlan

OTHER_SONGS = "service-other-songs"
"""The id that stands for all plays of the service outside the catalogue; no song of its own."""

FALL = 1.4  # how far the plays of a song of average appeal fall by day 60, in e-folds
_WEEK = np.array([0.95, 0.93, 0.94, 0.98, 1.12, 1.1, 0.98])  # Monday first
_EARLY, _LATE = 0.03, 0.012  # fractions released before the log, and too late for a 60th day


@dataclass(frozen=True)
class PlayHistory:
    """The plays of one song and what caused them."""

    release_date: dt.date
    """Mostly a Friday."""
    plays: NDArray[np.int64]
    """Plays on each day of the log, shape (n_days,); 0 before the release."""
    following_effect: float
    """Effect of the artists' following on ln(plays)."""
    genre_effect: float
    """Effect of the genre on ln(plays)."""
    launch_luck: float
    """Unexplained part of the launch."""
    retention_luck: float
    """Unexplained part of what is left on day 60."""
    burst_days: tuple[int, ...]
    """Days after release on which promotions began."""
    burst_factors: tuple[float, ...]
    """By how much each promotion multiplied the plays on its first day."""


def play_history(config: DemoConfig, plan: SongPlan) -> PlayHistory:
    """The plays of one song on each day of the log; they depend on no other song.

    Example:
        >>> from hitcore.demo.songs import plan_song
        >>> config = DemoConfig(n_songs=100)
        >>> history = play_history(config, plan_song(config.seed, 4))
        >>> history.plays.shape
        (547,)
    """
    rng = stream(config.seed, Purpose.PLAYS, plan.index)
    released = _release_day(config, rng)
    following = plan.artists[0].following + 0.3 * sum(a.following for a in plan.artists[1:])
    following_effect = config.following * following
    genre_effect = config.genre * _genre_popularity(plan.genre.name)
    launch_luck = config.launch_noise * rng.standard_normal()
    retention_luck = config.retention_noise * rng.standard_normal()
    launch = config.appeal_launch * plan.appeal + following_effect + genre_effect + launch_luck
    fall = FALL - config.appeal_retention * plan.appeal - retention_luck
    bursts = _promotions(config, rng)
    day = np.arange(config.n_days) - released
    since = np.maximum(day, 0)
    log_rate = np.log(config.plays_at_release) + launch - fall * np.log1p(since / 10) / np.log(7)
    log_rate -= np.maximum(since - 60, 0) / 300  # even sleepers fade in the end
    log_rate += np.log1p(-0.6 * np.exp(-since / 2))  # the first days' rise
    log_rate += np.log(service_level(config)) + rng.normal(0, 0.2, config.n_days)
    rate = np.exp(log_rate) * _weekdays(config, plan.genre.name)
    for start, factor, lasts in bursts:
        rate *= 1 + np.where(since >= start, (factor - 1) * np.exp(-(since - start) / lasts), 0)
    plays = np.where(day >= 0, rng.poisson(np.minimum(rate, 0.02 * config.service_plays)), 0)
    return PlayHistory(
        release_date=config.first_day + dt.timedelta(days=released),
        plays=plays.astype(np.int64),
        following_effect=following_effect,
        genre_effect=genre_effect,
        launch_luck=float(launch_luck),
        retention_luck=float(retention_luck),
        burst_days=tuple(start for start, _, _ in bursts),
        burst_factors=tuple(factor for _, factor, _ in bursts),
    )


def other_plays(config: DemoConfig, catalogue_plays: NDArray[np.int64]) -> NDArray[np.int64]:
    """Plays of all songs outside the catalogue on each day, shape (n_days,).

    They make the total what a whole service has, so that a song's share does not depend on how
    many songs the catalogue has; never less than a tenth of it.
    """
    rng = stream(config.seed, Purpose.SERVICE, 0)
    weekday = (np.arange(config.n_days) + config.first_day.weekday()) % 7
    total = config.service_plays * service_level(config) * _WEEK[weekday]
    total *= np.exp(rng.normal(0, 0.01, config.n_days))
    return np.asarray(np.maximum(total - catalogue_plays, 0.1 * total), np.int64)


def service_level(config: DemoConfig) -> NDArray[np.float64]:
    """Growth of the service over the log, 1 on the first day, shape (n_days,)."""
    return 1 + 0.25 * np.arange(config.n_days) / 547


def _release_day(config: DemoConfig, rng: np.random.Generator) -> int:
    """Day of the log; mostly a Friday, and nearly always with a 60th day inside the log."""
    turn = rng.random()
    if turn < _EARLY:
        day = -int(rng.integers(1, 45))
    elif turn < _EARLY + _LATE:
        day = config.n_days - int(rng.integers(10, 60))
    else:
        day = int(rng.integers(0, config.n_days - 60))
    weekday = (config.first_day.weekday() + day) % 7
    return day - (weekday - 4) % 7 if rng.random() < 0.75 and day > 6 else day


def _promotions(config: DemoConfig, rng: np.random.Generator) -> list[tuple[int, float, float]]:
    """Start (days after release), factor and duration (days to 1/e) of each promotion."""
    if rng.random() >= config.promoted_share:
        return []
    found = []
    for _ in range(1 + int(rng.random() < 0.25)):
        start = int(rng.integers(2, 30) if rng.random() < 0.65 else rng.integers(65, 400))
        found.append((start, float(np.exp(rng.uniform(1.5, 3.5))), float(rng.uniform(4, 11))))
    return sorted(found)


def _genre_popularity(name: str) -> float:
    """The genre's popularity with mean 0 and variance 1 over the songs."""
    weight = np.array([genre.weight for genre in GENRES])
    value = np.array([genre.popularity for genre in GENRES])
    mean = np.average(value, weights=weight)
    deviation = np.sqrt(np.average((value - mean) ** 2, weights=weight))
    return float((next(g.popularity for g in GENRES if g.name == name) - mean) / deviation)


def _weekdays(config: DemoConfig, genre: str) -> NDArray[np.float64]:
    weekday = (np.arange(config.n_days) + config.first_day.weekday()) % 7
    weekend = 0.08 if genre == "dance" else 0.0
    return np.asarray(_WEEK[weekday] + weekend * np.isin(weekday, (4, 5)))

"""What a demo catalogue is: its size, its seed, and how strongly each planted cause acts.

Every random number comes from `stream(seed, purpose, index)`, so a song, an artist or a play curve
can be made alone and is the same in a catalogue of any size.
"""

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from hitcore.errors import ParameterError

SAMPLE_RATE = 22_050
"""Of every demo song, Hz."""
MIN_SONGS = 20
MAX_SONGS = 200_000


class Purpose(IntEnum):
    """What a stream of random numbers is for; each has its own, so that none disturbs another."""

    ARTIST = 1
    PLAN = 2
    MUSIC = 3
    PLAYS = 4
    SERVICE = 5


def stream(seed: int, purpose: Purpose, index: int) -> np.random.Generator:
    """The random numbers of one thing in the catalogue, independent of all other things.

    Example:
        >>> a, b = (stream(1, Purpose.PLAN, 5).integers(1000) for _ in range(2))
        >>> bool(a == b)
        True
    """
    return np.random.default_rng([seed, int(purpose), index])


@dataclass(frozen=True)
class DemoConfig:
    """The settings of a demo catalogue.

    The coefficients act on the natural logarithm of a song's daily plays per standard deviation
    of the cause. Together they give the logarithm of the day-60 share a standard deviation of
    about 2.3, which puts about 87.5 % of the songs below the mean, as in the paper: for a
    log-normal share that fraction is Φ(σ/2). None of them changes the sound of a song.

    References:
        The paper, section 3.2 and Fig. 3 (long tail); section 3.2 (why the 60th day).

    Example:
        >>> DemoConfig(n_songs=100).last_day
        datetime.date(2017, 6, 30)
        >>> DemoConfig(n_songs=3)
        Traceback (most recent call last):
            ...
        hitcore.errors.ParameterError: a demo catalogue of 3 songs was asked for; allowed are 20
        to 200000 (fewer leave a fold empty): give --songs 100 or more
    """

    n_songs: int = 1500
    """Number of songs in the catalogue."""
    seed: int = 0
    """Every song, artist and play count follows from it."""
    first_day: dt.date = dt.date(2016, 1, 1)
    """First day of the play log."""
    n_days: int = 547
    """Length of the play log in days: 18 months."""
    appeal_launch: float = 0.3
    """Effect of the appeal on the first days' plays."""
    appeal_retention: float = 1.0
    """Effect of the appeal on how much of them is left on day 60."""
    following: float = 1.1
    """Effect of the artist's following, on the first days' plays."""
    genre: float = 0.4
    """Effect of the genre's popularity."""
    launch_noise: float = 1.0
    """Luck at the launch: standard deviation of what nothing here explains."""
    retention_noise: float = 1.1
    """Luck in how long the song lasts."""
    promoted_share: float = 0.35
    """Fraction of the songs that get a promotional burst of plays."""
    plays_at_release: float = 450.0
    """Daily plays of the median song in its first days."""
    service_plays: float = 4e7
    """Plays per day of the whole service, this catalogue included."""

    def __post_init__(self) -> None:
        if not MIN_SONGS <= self.n_songs <= MAX_SONGS:
            raise ParameterError(
                f"a demo catalogue of {self.n_songs} songs was asked for; allowed are {MIN_SONGS} "
                f"to {MAX_SONGS} (fewer leave a fold empty): give --songs 100 or more"
            )
        if self.seed < 0:
            raise ParameterError(f"the seed is {self.seed}; allowed are whole numbers from 0 up")
        if self.n_days < 150:
            raise ParameterError(
                f"n_days is {self.n_days}; the play log needs at least 150 days, so that day 60 "
                "lies inside it for nearly all songs"
            )
        if not 0 <= self.promoted_share <= 1:
            raise ParameterError(f"promoted_share is {self.promoted_share}; allowed is 0 to 1")
        if self.plays_at_release <= 0 or self.service_plays <= 0:
            raise ParameterError("plays_at_release and service_plays must be positive")

    @property
    def last_day(self) -> dt.date:
        """Last day of the play log."""
        return self.first_day + dt.timedelta(days=self.n_days - 1)

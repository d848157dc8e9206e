"""The invented artists of the demo catalogue: a genre, a taste, a voice and a following each.

Songs come in blocks of `SONGS_PER_BLOCK` by their number, and each block has artists of its own,
so a song's artist is known without looking at any other song, and a catalogue of any size has
about five songs per artist, unequally divided.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hitcore.demo.config import Purpose, stream
from hitcore.demo.genres import BY_NAME, GENRES, Genre
from hitcore.demo.names import artist_name

SONGS_PER_BLOCK = 60
ARTISTS_PER_BLOCK = 12
GUEST_SHARE = 0.06


@dataclass(frozen=True)
class Artist:
    """An invented artist; what the style fields say can be heard in every song."""

    artist_id: str
    """Unique in the catalogue."""
    name: str
    """As it is shown."""
    genre: Genre
    """The genre of most of the songs."""
    following: float
    """How many people wait for the next song, in standard deviations; not audible."""
    skill: float
    """The artist's part in the appeal of the songs, in standard deviations."""
    formant: float
    """Size of the voice: 0.85 deep to 1.2 high."""
    vibrato: float
    """Depth of the vibrato in cents."""
    tilt: float
    """Darker (positive) or brighter lead than the genre's."""
    tempo: float
    """Faster or slower than the middle of the genre's range, -1 to 1."""
    loops: tuple[int, int, int]
    """Favourite chord progressions."""
    colour: int
    """Which of the genre's drum and key sounds."""


def artist_id_of(index: int) -> str:
    """The id of an artist by number.

    Example:
        >>> artist_id_of(7)
        'demo-artist-00007'
    """
    return f"demo-artist-{index:05d}"


@lru_cache(maxsize=4096)
def artist(seed: int, index: int) -> Artist:
    """The artist of that number in the catalogue of that seed.

    Example:
        >>> artist(0, 3) == artist(0, 3), artist(0, 3).artist_id
        (True, 'demo-artist-00003')
    """
    rng = stream(seed, Purpose.ARTIST, index)
    weights = np.array([genre.weight for genre in GENRES])
    genre = GENRES[int(rng.choice(len(GENRES), p=weights / weights.sum()))]
    loops = rng.choice(6, size=3, replace=False)
    return Artist(
        artist_id=artist_id_of(index),
        name=artist_name(rng),
        genre=genre,
        following=float(rng.standard_normal()),
        skill=float(rng.standard_normal()),
        formant=float(rng.choice([0.88, 1.12]) * rng.uniform(0.95, 1.06)),
        vibrato=float(rng.uniform(8, 45)),
        tilt=float(rng.normal(0, 0.18)),
        tempo=float(rng.uniform(-0.8, 0.8)),
        loops=(int(loops[0]), int(loops[1]), int(loops[2])),
        colour=int(rng.integers(1 << 30)),
    )


def cast(seed: int, index: int, rng: np.random.Generator) -> tuple[Artist, ...]:
    """The artists of a song: the main one, and in a few songs a guest of the same block."""
    first = index // SONGS_PER_BLOCK * ARTISTS_PER_BLOCK
    weights = 1 / np.arange(1, ARTISTS_PER_BLOCK + 1) ** 0.7
    main, guest = rng.choice(ARTISTS_PER_BLOCK, size=2, replace=False, p=weights / weights.sum())
    numbers = (main, guest) if rng.random() < GUEST_SHARE else (main,)
    return tuple(artist(seed, first + int(number)) for number in numbers)


def genre_of(main: Artist, rng: np.random.Generator) -> Genre:
    """The genre of one song of the artist: mostly the artist's own."""
    other = GENRES[int(rng.integers(len(GENRES)))]
    return BY_NAME[main.genre.name] if rng.random() > 0.12 else other

"""The genres of the demo catalogue: tempo, harmony, instruments and drums of each.

Drum patterns are written on the sixteenth notes of a bar: `x` a stroke, `o` a soft one. Chords are
scale degrees, 0 the tonic, of the major scale or, for minor songs, of the natural minor scale.
"""

from dataclasses import dataclass

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)

MAJOR_LOOPS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (0, 2, 3, 4), (3, 0, 4, 5))
MINOR_LOOPS = ((0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 5, 4), (5, 6, 0, 0), (0, 3, 6, 2), (0, 5, 3, 4))


@dataclass(frozen=True)
class Genre:
    """How the songs of one genre are made."""

    name: str
    """The genre's name."""
    weight: float
    """Its share of the artists."""
    popularity: float
    """Its effect on plays, in standard deviations of the genre effect."""
    bpm: tuple[float, float]
    """Range of the tempo, quarter notes per minute."""
    minor: float
    """Probability of a minor key."""
    chords: str
    """What plays the chords: `strum`, `power`, `stab`, `keys` or `pad`."""
    bass: str
    """How the bass moves: `root`, `eighths`, `offbeat`, `sub` or `walk`."""
    kit: str
    """The drum kit: `acoustic`, `rock`, `dance`, `trap` or `soft`."""
    kick: str
    """Where the kick falls."""
    snare: str
    """Where the snare or the clap falls."""
    hats: tuple[str, str]
    """The hi-hat where the groove is plain, and where it is rich."""
    swing: float
    """How late the off sixteenths come, in sixteenths."""
    pump: float
    """How deeply the kick ducks the other instruments, 0 to 1."""
    arp: float
    """Level of the arpeggio, 0 to 1."""
    pad: float
    """Level of the pad, 0 to 1."""
    drums: float
    """Level of the drums, 0 to 1."""
    tilt: float
    """How fast the lead's partials fall; higher is darker."""


GENRES = (
    Genre(
        "pop",
        0.26,
        1.2,
        (96, 124),
        0.35,
        "keys",
        "eighths",
        "dance",
        "x.....x.x.......",
        "....x.......x...",
        ("x...x...x...x...", "x.x.x.x.x.x.x.xx"),
        0.0,
        0.25,
        0.55,
        0.6,
        0.9,
        1.0,
    ),
    Genre(
        "dance",
        0.16,
        0.6,
        (120, 130),
        0.6,
        "stab",
        "offbeat",
        "dance",
        "x...x...x...x...",
        "....x.......x...",
        ("..x...x...x...x.", "o.x.o.x.o.xoo.xo"),
        0.0,
        0.75,
        0.9,
        0.7,
        1.0,
        0.9,
    ),
    Genre(
        "hip-hop",
        0.16,
        0.9,
        (72, 96),
        0.75,
        "keys",
        "sub",
        "trap",
        "x.....o...x.....",
        "....x.......x...",
        ("x.x.x.x.x.x.x.x.", "x.x.xxx.x.x.xoxx"),
        0.18,
        0.2,
        0.3,
        0.35,
        1.4,
        1.2,
    ),
    Genre(
        "rock",
        0.14,
        -0.5,
        (108, 152),
        0.4,
        "power",
        "eighths",
        "rock",
        "x.......x.x.....",
        "....x.......x...",
        ("x...x...x...x...", "x.x.x.x.x.x.x.x."),
        0.0,
        0.0,
        0.0,
        0.15,
        1.3,
        0.9,
    ),
    Genre(
        "r&b",
        0.11,
        0.3,
        (66, 98),
        0.55,
        "keys",
        "walk",
        "trap",
        "x......x..x.....",
        "....x.......x...",
        ("x...x...x...x...", "x.xxx.x.x.xxx.x."),
        0.24,
        0.15,
        0.25,
        0.7,
        0.75,
        1.3,
    ),
    Genre(
        "folk",
        0.10,
        -1.2,
        (84, 120),
        0.3,
        "strum",
        "root",
        "soft",
        "x.......x.......",
        "............o...",
        ("....x.......x...", "o.x.o.x.o.x.o.x."),
        0.08,
        0.0,
        0.1,
        0.15,
        0.4,
        1.2,
    ),
    Genre(
        "ballad",
        0.07,
        -0.3,
        (62, 78),
        0.4,
        "keys",
        "root",
        "acoustic",
        "x.......x.......",
        "....o.......o...",
        ("x.......x.......", "x...x...x...x.x."),
        0.0,
        0.0,
        0.15,
        1.0,
        0.5,
        1.2,
    ),
)
BY_NAME = {genre.name: genre for genre in GENRES}

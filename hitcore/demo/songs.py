"""What a demo song is before it sounds: artists, genre, key, sections, appeal and its craft.

The planted chain of causes, in one place:

    appeal            the artist's skill and the song's own worth
    chorus craft      six audible qualities, each a noisy image of the appeal
    craft elsewhere   the same qualities, tied to the appeal much less
    plays             `hitcore.demo.plays`

A model that hears the chorus hears more of the appeal than one that hears another part: that much
of the paper's claim for highlights is planted here by construction. No quality is a level: the
finished song is brought to one loudness, and the qualities shift the sound around what the genre
and the artist sound like anyway.

References:
    The paper, section 3.1 (30-second highlights).
"""

import re
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.special import ndtr

from hitcore.demo.artists import Artist, cast, genre_of
from hitcore.demo.config import SAMPLE_RATE, Purpose, stream
from hitcore.demo.genres import Genre
from hitcore.demo.names import song_title
from hitcore.errors import ParameterError

CRAFT = ("hook", "brightness", "richness", "groove", "lift", "clarity")
"""The audible qualities of a section, each from 0 to 1."""

SKILL_SHARE = 0.2
"""How much of the appeal's variance is the artist's."""
CHORUS_TIE = 0.7
"""Correlation of each quality of the chorus with the appeal, before it is mapped to 0 to 1."""
OTHER_TIE = 0.25
"""The same for the rest of the song."""

SHORTEST_S, LONGEST_S = 145.0, 215.0

_FORMS = (
    (0.20, "intro verse pre chorus verse pre chorus bridge chorus outro"),
    (0.26, "intro verse chorus verse chorus bridge chorus chorus outro"),
    (0.12, "chorus verse pre chorus verse pre chorus bridge chorus"),
    (0.12, "intro verse verse chorus solo verse chorus chorus outro"),
    (0.10, "intro verse pre chorus solo verse pre chorus outro"),
    (0.14, "intro verse verse pre chorus bridge verse pre chorus chorus"),
    (0.06, "intro chorus verse solo verse chorus bridge chorus outro"),
)
_BARS = {"intro": (2, 4, 8), "verse": (8, 16), "pre": (4,), "chorus": (8, 16), "bridge": (4, 8)}
_BARS |= {"solo": (8,), "outro": (2, 4)}
_KINDS = tuple(_BARS)


@dataclass(frozen=True)
class Section:
    """A part of a song, `[start, end)` in seconds."""

    name: str
    """`intro`, `verse`, `pre`, `chorus`, `bridge`, `solo` or `outro`."""
    start: float
    """Where it begins, seconds from the start of the song."""
    end: float
    """Where it ends."""
    n_bars: int
    """Its length in bars of four quarter notes."""
    energy: float
    """How full it sounds, 0 to 1."""


@dataclass(frozen=True)
class SongPlan:
    """A song on paper: everything that is decided before a sample is made."""

    song_id: str
    """Unique in the catalogue."""
    seed: int
    """The catalogue's seed."""
    index: int
    """The song's number in the catalogue."""
    title: str
    """As it is shown."""
    artists: tuple[Artist, ...]
    """The main artist, then the guest if there is one."""
    genre: Genre
    """Usually the main artist's."""
    key: int
    """The tonic: semitones above C."""
    minor: bool
    """Natural minor, else major."""
    step: int
    """Length of a sixteenth note in samples at 22,050 Hz."""
    lead_in: int
    """Samples of silence before the first bar."""
    sections: tuple[Section, ...]
    """In order, without gaps."""
    appeal: float
    """The latent worth, standard normal over the catalogue."""
    chorus_craft: dict[str, float]
    """The qualities of the chorus (`CRAFT`)."""
    other_craft: dict[str, float]
    """The qualities of all other sections."""

    @property
    def source(self) -> str:
        """Where the sound comes from (`hitcore.demo.waveform_of`)."""
        return source_of(self.seed, self.index)

    @property
    def artist(self) -> str:
        """The artists' names as they are shown."""
        return " feat. ".join(artist.name for artist in self.artists)

    @property
    def bpm(self) -> float:
        """The tempo in quarter notes per minute."""
        return 60 * SAMPLE_RATE / (4 * self.step)

    @property
    def choruses(self) -> list[tuple[float, float]]:
        """`[start, end)` of every chorus in seconds; choruses without a gap are one."""
        found: list[tuple[float, float]] = []
        for part in self.sections:
            if part.name == "chorus" and found and found[-1][1] == part.start:
                found[-1] = (found[-1][0], part.end)
            elif part.name == "chorus":
                found.append((part.start, part.end))
        return found

    @property
    def duration_s(self) -> float:
        """The end of the last section, seconds; a second of ringing out follows."""
        return self.sections[-1].end


def song_id_of(seed: int, index: int) -> str:
    """The id of a song.

    Example:
        >>> song_id_of(0, 12)
        'demo-0-000012'
    """
    return f"demo-{seed}-{index:06d}"


def source_of(seed: int, index: int) -> str:
    """Where a song's sound comes from, as a text that stands for a file: `demo:SEED:INDEX`.

    Example:
        >>> source_of(0, 12)
        'demo:0:12'
    """
    return f"demo:{seed}:{index}"


def parse_source(source: str) -> tuple[int, int]:
    """The seed and the number that a source names.

    Raises:
        ParameterError: it is none of a demo song.

    Example:
        >>> parse_source("demo:0:12")
        (0, 12)
    """
    match = re.fullmatch(r"demo:(\d{1,18}):(\d{1,9})", source)
    if match is None:
        raise ParameterError(
            f"{source!r} is no demo song: demo:SEED:NUMBER is expected, for instance demo:0:12"
        )
    return int(match[1]), int(match[2])


def plan_song(seed: int, index: int) -> SongPlan:
    """The song of that number on paper; it depends on nothing else and takes a millisecond.

    Example:
        >>> plan = plan_song(0, 12)
        >>> plan == plan_song(0, 12), SHORTEST_S - 40 < plan.duration_s < LONGEST_S + 40
        (True, True)
    """
    rng = stream(seed, Purpose.PLAN, index)
    artists = cast(seed, index, rng)
    main = artists[0]
    genre = genre_of(main, rng)
    appeal, chorus_craft, other_craft = _worth(main, rng)
    low, high = genre.bpm
    tempo = (low + high) / 2 + (high - low) / 2 * np.clip(main.tempo + rng.normal(0, 0.3), -1, 1)
    # A length with small prime factors makes every Fourier transform of a whole bar fast.
    step = int(next_fast_len(round(15 * SAMPLE_RATE / float(tempo)), real=True))
    lead_in = int(rng.uniform(0.05, 0.9) * SAMPLE_RATE)
    return SongPlan(
        song_id=song_id_of(seed, index),
        seed=seed,
        index=index,
        title=song_title(rng),
        artists=artists,
        genre=genre,
        key=int(rng.integers(12)),
        minor=bool(rng.random() < genre.minor),
        step=step,
        lead_in=lead_in,
        sections=_sections(step, lead_in, chorus_craft["lift"], rng),
        appeal=appeal,
        chorus_craft=chorus_craft,
        other_craft=other_craft,
    )


def _worth(
    main: Artist, rng: np.random.Generator
) -> tuple[float, dict[str, float], dict[str, float]]:
    """Appeal, and what can be heard of it in the chorus and elsewhere."""
    own = rng.standard_normal()
    appeal = float(np.sqrt(SKILL_SHARE) * main.skill + np.sqrt(1 - SKILL_SHARE) * own)
    crafts = []
    for tie in (CHORUS_TIE, OTHER_TIE):
        latent = tie * appeal + np.sqrt(1 - tie**2) * rng.standard_normal(len(CRAFT))
        crafts.append({name: float(v) for name, v in zip(CRAFT, ndtr(latent), strict=True)})
    return appeal, crafts[0], crafts[1]


def _sections(
    step: int, lead_in: int, lift: float, rng: np.random.Generator
) -> tuple[Section, ...]:
    """Names, times and energies; bars are chosen so that the song has a usual length."""
    form = _FORMS[int(rng.choice(len(_FORMS), p=[weight for weight, _ in _FORMS]))][1].split()
    bar_s = 16 * step / SAMPLE_RATE
    kinds = [kind for kind in _KINDS if kind in form]
    options = np.array(list(product(*(_BARS[kind] for kind in kinds))))
    counts = np.array([form.count(kind) for kind in kinds])
    durations: NDArray[np.float64] = options @ counts * bar_s
    usual = np.flatnonzero((durations >= SHORTEST_S) & (durations <= LONGEST_S))
    nearest = int(np.argmin(np.abs(durations - (SHORTEST_S + LONGEST_S) / 2)))
    chosen = options[int(rng.choice(usual)) if len(usual) else nearest]
    n_bars = {kind: int(n) for kind, n in zip(kinds, chosen, strict=True)}
    energies = _energies(form, lift, rng)
    edges = lead_in / SAMPLE_RATE + bar_s * np.cumsum([0] + [n_bars[kind] for kind in form])
    return tuple(
        Section(kind, float(edges[i]), float(edges[i + 1]), n_bars[kind], energies[i])
        for i, kind in enumerate(form)
    )


def _energies(form: list[str], lift: float, rng: np.random.Generator) -> list[float]:
    """The arc: verses build up, choruses are mostly full, and others can be as loud."""
    base = {
        "intro": rng.choice([0.25, 0.45, 0.85], p=[0.4, 0.35, 0.25]),
        "verse": rng.uniform(0.35, 0.65),
        "pre": rng.uniform(0.45, 0.75),
        "chorus": rng.uniform(0.66, 0.9) + 0.08 * lift,
        "bridge": rng.choice([0.3, 0.6, 0.95], p=[0.4, 0.3, 0.3]),
        "solo": rng.uniform(0.7, 1.0),
        "outro": rng.choice([0.25, 0.6, 0.8]),
    }
    seen: dict[str, int] = {}
    energies = []
    for kind in form:
        earlier = seen.get(kind, 0)
        seen[kind] = earlier + 1
        energies.append(float(np.clip(base[kind] + 0.06 * earlier + rng.normal(0, 0.03), 0.1, 1)))
    return energies

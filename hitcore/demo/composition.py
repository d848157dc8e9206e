"""The notes of a demo song: chords, bass, melodies, arpeggios and drum strokes of each section.

Conventions:
    Time counts in sixteenth notes from the start of a phrase; a bar has 16. Backing phrases last
    four bars, melodies eight. Pitch is a MIDI note number, 69 = 440 Hz.
    A section of one kind has one set of notes in a song: that choruses come back is what methods
    that look for repetition find. What changes between repeats is decided in `arrangement`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitcore.demo.genres import MAJOR, MAJOR_LOOPS, MINOR, MINOR_LOOPS
from hitcore.demo.songs import SongPlan

BAR = 16
BACKING_BARS = 4
MELODY_BARS = 8


@dataclass(frozen=True)
class Notes:
    """A line of notes in order of time; each array has one entry per note."""

    start: NDArray[np.float64]
    """Sixteenths from the phrase's start."""
    length: NDArray[np.float64]
    """Sixteenths."""
    pitch: NDArray[np.float64]
    """MIDI note numbers."""
    velocity: NDArray[np.float64]
    """Strength, 0 to 1."""
    vowel: NDArray[np.int64]
    """Sung vowel, 0 to 4; of no meaning for instruments."""

    def transposed(self, semitones: float) -> "Notes":
        """The same line, higher."""
        return Notes(self.start, self.length, self.pitch + semitones, self.velocity, self.vowel)


def scale(plan: SongPlan) -> NDArray[np.int64]:
    """Semitones above C of the seven degrees of the song's key."""
    return np.array(MINOR if plan.minor else MAJOR) + plan.key


def degree_pitch(plan: SongPlan, degree: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """MIDI pitch of scale degrees; 0 is the tonic in the octave from C2 (36) up.

    Example:
        >>> from hitcore.demo.songs import plan_song
        >>> plan = plan_song(0, 0)
        >>> float(degree_pitch(plan, 7) - degree_pitch(plan, 0))
        12.0
    """
    degree = np.asarray(degree)
    return np.asarray(36.0 + scale(plan)[degree % 7] + 12 * (degree // 7))


def progression(plan: SongPlan, kind: str) -> NDArray[np.int64]:
    """The four chords of a section's loop, one a bar, as scale degrees from 0 to 6."""
    loops = MINOR_LOOPS if plan.minor else MAJOR_LOOPS
    favourites = plan.artists[0].loops
    verse, chorus, bridge = (np.array(loops[i]) for i in favourites)
    if kind in ("chorus", "outro"):
        return chorus
    if kind == "bridge":
        return bridge
    if kind == "pre":
        return np.array([3, 3, 4, 4])
    # Half of the artists stay on one loop for the whole song, as much pop music does.
    return chorus if plan.artists[0].colour % 2 and kind == "verse" else verse


def voicing(plan: SongPlan, chord: int, richness: float) -> NDArray[np.float64]:
    """The pitches of a chord near middle C: a triad, and with more richness 7th, 9th and octave."""
    tones = [0, 2, 4] + ([6] if richness > 0.45 else []) + ([8] if richness > 0.75 else [])
    pitch = degree_pitch(plan, chord + np.array(tones)) + 12
    folded = np.sort(55 + (pitch - 55) % 12)
    extra = [folded[0] + 12] if richness > 0.6 else []
    return np.concatenate([folded, extra])


# --- melody --------------------------------------------------------------------------------------


def melody(plan: SongPlan, kind: str, craft: dict[str, float], rng: np.random.Generator) -> Notes:
    """The sung line of a section, eight bars.

    A catchy line (`hook`) repeats a two-bar motif over the changing chords, sits higher and has
    longer tones; a plain one wanders. `groove` moves strokes off the beat.
    """
    chorus = kind == "chorus"
    catchy = craft["hook"] if chorus else 0.4 * craft["hook"]
    density = {"chorus": 6.5, "verse": 8.5, "pre": 7.0, "bridge": 5.0}.get(kind, 6.0)
    density -= 2.0 * catchy - 1.0
    motif = _rhythm(density, craft["groove"], rng)
    contour = _contour(len(motif), catchy, rng)
    chords = progression(plan, kind)
    register = 21 + (1 if chorus else -1) + (1 if chorus and craft["lift"] > 0.5 else 0)
    starts, degrees = [], []
    for phrase in range(MELODY_BARS // 2):
        if phrase and rng.random() > 0.35 + 0.65 * catchy:
            motif = _rhythm(density, craft["groove"], rng)
            contour = _contour(len(motif), catchy, rng)
        line = contour.copy()
        if phrase == MELODY_BARS // 2 - 1:
            line[-2:] = np.round(line[-2:] / 2)  # the last phrase closes towards the chord
        for start, step in zip(motif, line, strict=True):
            chord = int(chords[(2 * phrase + int(start) // BAR) % 4])
            root = register + (chord + 3) % 7 - 3
            degree = root + int(step)
            if start % 4 == 0 or start == motif[-1]:
                degree = _nearest_chord_tone(degree, chord)
            starts.append(2 * BAR * phrase + start)
            degrees.append(degree)
    return _sung(plan, np.array(starts, float), np.array(degrees), catchy, rng)


def harmony(plan: SongPlan, tune: Notes) -> Notes:
    """The backing voice: a third below the tune, within the key."""
    ladder = degree_pitch(plan, np.arange(-14, 56))
    below = np.searchsorted(ladder, tune.pitch) - 2
    return Notes(tune.start, tune.length, ladder[below], tune.velocity, tune.vowel)


def respelled(tune: Notes, rng: np.random.Generator) -> Notes:
    """The tune with other words: new vowels and a few notes left out, as in a second verse."""
    keep = rng.random(len(tune.start)) > 0.1
    keep[0] = True
    vowel = rng.integers(5, size=len(tune.vowel))
    return Notes(
        tune.start[keep], tune.length[keep], tune.pitch[keep], tune.velocity[keep], vowel[keep]
    )


def _rhythm(density: float, syncopation: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Onsets in two bars: the metre decides how likely each sixteenth is."""
    weight = np.tile([1.0, 0.08, 0.35, 0.1, 0.8, 0.08, 0.4, 0.1] * 2, 2)
    weight[1::2] += 0.25 * syncopation
    weight[2::4] += 0.5 * syncopation
    weight[4::8] *= 1 - 0.6 * syncopation
    weight[26:] *= 0.15  # a breath
    n_notes = int(np.clip(round(density + rng.normal(0, 0.8)), 3, 14))
    p = weight / weight.sum()
    return np.asarray(np.sort(rng.choice(2 * BAR, size=n_notes, replace=False, p=p)), np.int64)


def _contour(n_notes: int, catchy: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Steps above the chord's root: an arch for catchy lines, a walk for plain ones."""
    walk = np.cumsum(rng.choice([-2, -1, 0, 1, 2], p=[0.12, 0.28, 0.2, 0.28, 0.12], size=n_notes))
    arch = (2 + 3 * catchy) * np.sin(np.linspace(0.3, np.pi, n_notes))
    mixed = np.round(catchy * arch + (1 - catchy) * np.clip(walk, -4, 4) + 0.4 * catchy * walk)
    return np.asarray(np.clip(mixed, -3, 4), np.int64)


def _nearest_chord_tone(degree: int, chord: int) -> int:
    candidates = [d for d in range(degree - 2, degree + 3) if (d - chord) % 7 in (0, 2, 4)]
    return min(candidates, key=lambda d: abs(d - degree))


def _sung(
    plan: SongPlan,
    start: NDArray[np.float64],
    degree: NDArray[np.int64],
    catchy: float,
    rng: np.random.Generator,
) -> Notes:
    gap = np.diff(start, append=MELODY_BARS * BAR)
    held = np.minimum(gap, 2.5 + 4 * catchy) * rng.uniform(0.8, 0.97, len(start))
    jitter = rng.normal(0, 0.04, len(start))
    velocity = 0.75 + 0.15 * (start % 4 == 0) + rng.normal(0, 0.05, len(start))
    # Keys above F# are sung below; small voices sing an octave above large ones.
    shift = -12 * (plan.key > 6) - (12 if plan.artists[0].formant > 1 else 24)
    return Notes(
        np.maximum(start + jitter, 0),
        held,
        degree_pitch(plan, degree) + shift,
        np.clip(velocity, 0.3, 1),
        rng.integers(5, size=len(start)),
    )


# --- backing -------------------------------------------------------------------------------------


def bass_line(plan: SongPlan, kind: str, groove: float, rng: np.random.Generator) -> Notes:
    """Four bars of bass under the section's chords, in the manner of the genre."""
    chords = progression(plan, kind)
    manner = plan.genre.bass
    cells = {
        "root": ((0, 7, 0), (8, 7, 0)),
        "eighths": tuple((s, 1.8, 0) for s in range(0, BAR, 2)),
        "offbeat": tuple((s, 1.7, 0) for s in range(2, BAR, 4)),
        "sub": ((0, 5, 0), (6, 2, 0), (8, 6, 0)),
        "walk": ((0, 3, 0), (4, 2, 2), (7, 3, 4), (10, 2, 0), (13, 2, 1)),
    }[manner]
    ghosts = [(s, 1.0, 0) for s in (3, 7, 11, 14) if rng.random() < 0.8 * groove - 0.2]
    cell = sorted({note[0]: note for note in [*ghosts, *cells]}.values())
    start = np.array([b * BAR + s for b in range(BACKING_BARS) for s, _, _ in cell], float)
    degree = np.array([c + d for c in chords for _, _, d in cell])
    length = np.array([n for _ in chords for _, n, _ in cell], float)
    gap = np.diff(start, append=BACKING_BARS * BAR)
    pitch = 28 + (degree_pitch(plan, degree) - 28) % 12
    velocity = np.where(start % 4 == 0, 1.0, 0.8)
    return Notes(start, np.minimum(length, gap), pitch, velocity, np.zeros(len(start), np.int64))


def chord_strokes(plan: SongPlan, groove: float) -> NDArray[np.float64]:
    """When the chord instrument strikes within a bar, in sixteenths."""
    plain, rich = {
        "strum": ((0, 4, 6, 10, 12), (0, 4, 6, 7, 10, 12, 14)),
        "power": ((0, 2, 4, 6, 8, 10, 12, 14), (0, 3, 4, 6, 7, 10, 11, 14)),
        "stab": ((0, 6, 12), (0, 3, 6, 8, 11, 14)),
        "keys": ((0, 8), (0, 6, 8, 14)),
        "pad": ((0,), (0, 8)),
    }[plan.genre.chords]
    return np.array(rich if groove > 0.5 else plain, float)


def chord_voices(plan: SongPlan, kind: str, craft: dict[str, float]) -> list[Notes]:
    """Four bars of the chord instrument: one line per voice, so that each note can ring."""
    strokes = chord_strokes(plan, craft["groove"])
    power = plan.genre.chords == "power"
    chords = []
    for chord in progression(plan, kind):
        if power:  # root, fifth and octave, low
            root = 40 + (degree_pitch(plan, int(chord)) - 40) % 12
            chords.append(np.array([root, root + 7, root + 12]))
        else:
            chords.append(voicing(plan, int(chord), craft["richness"]))
    start = np.concatenate([strokes + BAR * b for b in range(BACKING_BARS)])
    length = np.diff(start, append=BACKING_BARS * BAR)
    if plan.genre.chords == "stab":
        length = np.minimum(length, 2.0)
    velocity = np.where(start % BAR == 0, 1.0, 0.75)
    n = len(start)
    return [
        Notes(
            start + 0.08 * voice * (plan.genre.chords == "strum"),
            length,
            np.repeat([pitches[min(voice, len(pitches) - 1)] for pitches in chords], len(strokes)),
            velocity,
            np.zeros(n, np.int64),
        )
        for voice in range(min(len(pitches) for pitches in chords))
    ]


def arpeggio(plan: SongPlan, kind: str, richness: float) -> Notes:
    """Four bars of sixteenths (slow songs: eighths) up and down the chord."""
    every = 1 if plan.bpm > 100 else 2
    start = np.arange(0, BACKING_BARS * BAR, every, dtype=float)
    pitch = []
    for chord in progression(plan, kind):
        tones = voicing(plan, int(chord), richness) + 12
        ladder = np.concatenate([tones, tones[-2:0:-1]])
        pitch.append(ladder[np.arange(BAR // every) % len(ladder)])
    velocity = np.where(start % 4 == 0, 1.0, 0.7)
    n = len(start)
    return Notes(
        start, np.full(n, 0.9 * every), np.concatenate(pitch), velocity, np.zeros(n, np.int64)
    )


# --- drums ---------------------------------------------------------------------------------------


def drum_strokes(
    plan: SongPlan, kind: str, craft: dict[str, float], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Four bars of strokes per drum: rows (start in sixteenths, strength)."""
    genre = plan.genre
    groove = craft["groove"]
    hats = genre.hats[groove > 0.45]
    rows: dict[str, list[tuple[float, float]]] = {"kick": [], "snare": [], "hat": [], "shaker": []}
    extra = [s for s in (3, 6, 10, 11, 14) if rng.random() < 0.6 * groove - 0.15]
    for bar in range(BACKING_BARS):
        _write(rows["kick"], genre.kick, bar, 1.0)
        _write(rows["snare"], genre.snare, bar, 1.0)
        _write(rows["hat"], hats, bar, 0.8)
        rows["kick"] += [(bar * BAR + s, 0.6) for s in extra if genre.kit != "dance" or bar % 2]
        if groove > 0.3:
            soft = 0.25 + 0.5 * groove
            rows["shaker"] += [(bar * BAR + s, soft * (1 - 0.4 * (s % 2))) for s in range(BAR)]
        if groove > 0.65 and bar % 2:
            rows["snare"] += [(bar * BAR + s, 0.3) for s in (7, 9, 15)]
    if kind == "chorus":
        washing = genre.kit == "rock"
        rows["crash"] = [(bar * BAR, 0.9 if bar == 0 else 0.5) for bar in range(BACKING_BARS)]
        rows["crash"] = rows["crash"] if washing else rows["crash"][:1]
    swung = {name: np.array(sorted(strokes)) for name, strokes in rows.items() if strokes}
    for strokes in swung.values():
        strokes[:, 0] += genre.swing * (strokes[:, 0] % 2 == 1)
        strokes[:, 1] *= rng.uniform(0.88, 1.0, len(strokes))
    return swung


def fill_strokes(plan: SongPlan, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """One bar that leads into the next section."""
    n = int(rng.integers(3, 8))
    start = np.sort(rng.choice(np.arange(6, BAR), size=n, replace=False)).astype(float)
    strength = np.linspace(0.5, 1.0, n)
    name = "snare" if plan.genre.kit in ("dance", "trap") else "tom"
    return {name: np.stack([start, strength], axis=1), "kick": np.array([[0.0, 1.0], [8.0, 0.8]])}


def _write(rows: list[tuple[float, float]], pattern: str, bar: int, strength: float) -> None:
    level = {"x": strength, "o": 0.45 * strength}
    rows += [(bar * BAR + s, level[mark]) for s, mark in enumerate(pattern) if mark in level]

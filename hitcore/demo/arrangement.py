"""A planned song as sound: which instruments play where, how loud, how clear.

Every layer of a section is made once, four or eight bars long, at unit loudness; an occurrence of
the section then mixes the layers by its energy and its craft. So a song costs little more than its
different material, and choruses come back as choruses do: same tune, words and chords, a little
fuller each time.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hitcore.demo.composition import (
    BACKING_BARS,
    BAR,
    MELODY_BARS,
    Notes,
    arpeggio,
    bass_line,
    chord_voices,
    drum_strokes,
    fill_strokes,
    harmony,
    melody,
    progression,
    respelled,
    voicing,
)
from hitcore.demo.config import SAMPLE_RATE, Purpose, stream
from hitcore.demo.songs import Section, SongPlan
from hitcore.demo.synthesis import (
    Samples,
    Timbre,
    drum_kit,
    muddy_room,
    render_line,
    render_pad,
    strike,
)

RING_OUT_S = 1.0
LOUDNESS = 0.17
"""Root mean square of every finished song before the soft limiter."""
KEY_CHANGE_SHARE = 0.1
"""Fraction of the songs whose last chorus stands a tone higher."""


def render(plan: SongPlan) -> Samples:
    """The sound of a song, shape (n_samples,), float32 within ±1 at 22,050 Hz.

    Example:
        >>> from hitcore.demo.songs import plan_song
        >>> plan = plan_song(0, 1)
        >>> sound = render(plan)
        >>> bool(abs(len(sound) / SAMPLE_RATE - plan.duration_s - RING_OUT_S) < 0.1)
        True
    """
    end = round(plan.duration_s * SAMPLE_RATE)
    song = np.zeros(end + round(RING_OUT_S * SAMPLE_RATE), np.float32)
    rng = stream(plan.seed, Purpose.MUSIC, plan.index)
    material = _material(plan, rng)
    cursor = plan.lead_in
    for number, section in enumerate(plan.sections):
        sound = material[number].mixed(section, last=number + 1 == len(plan.sections))
        song[cursor : cursor + len(sound)] = sound
        cursor += len(sound)
    _ring_out(song, end)
    return _mastered(song, plan.lead_in, rng)


def _material(plan: SongPlan, rng: np.random.Generator) -> "list[_Take]":
    """What each section of the song plays; sections of one kind share their material."""
    key_change = rng.random() < KEY_CHANGE_SHARE
    band = _Band(plan, int(rng.integers(1 << 30)))
    higher = _Band(replace(plan, key=plan.key + 2), band.seed)
    n_choruses = sum(section.name == "chorus" for section in plan.sections)
    seen: dict[str, int] = {}
    loops: dict[tuple[str, bool], _Loops] = {}
    takes = []
    for section in plan.sections:
        kind = section.name
        turn = seen[kind] = seen.get(kind, 0) + 1
        raised = key_change and kind == "chorus" and turn == n_choruses > 1
        if (kind, raised) not in loops:
            loops[kind, raised] = _Loops(higher if raised else band, kind)
        takes.append(_Take(loops[kind, raised], turn))
    return takes


def _ring_out(song: Samples, end: int) -> None:
    """Let the last sound die away after the last bar, in place."""
    tail = len(song) - end
    song[end:] = song[end - tail : end][::-1]
    song[end:] *= np.linspace(0.7, 0, tail, dtype=np.float32) ** 2


def _mastered(song: Samples, lead_in: int, rng: np.random.Generator) -> Samples:
    """The song at the loudness of all songs, limited softly, with a tape's faint noise."""
    song *= np.float32(LOUDNESS / np.sqrt(np.dot(song, song) / len(song)))
    np.tanh(song, out=song)
    hiss = rng.standard_normal(1 << 15).astype(np.float32) * np.float32(2e-4)
    whole = len(song) // len(hiss) * len(hiss)
    song[:whole].reshape(-1, len(hiss))[:] += hiss
    song[whole:] += hiss[: len(song) - whole]
    return song


# --- the band ------------------------------------------------------------------------------------


class _Band:
    """The instruments of a song: timbres by craft, drum kits, the room."""

    def __init__(self, plan: SongPlan, seed: int) -> None:
        self.plan = plan
        self.seed = seed
        self._kits: dict[float, dict[str, Samples]] = {}
        # The taste of whoever mixed the song, which says nothing of its worth: a darker or
        # brighter sound, a singer or drums in front.
        mix = np.random.default_rng(seed).standard_normal(4)
        self.tone, (self.singer, self.drums, self.low) = mix[0], np.exp(0.22 * mix[1:])

    def craft(self, kind: str) -> dict[str, float]:
        return self.plan.chorus_craft if kind == "chorus" else self.plan.other_craft

    def random(self, kind: str) -> np.random.Generator:
        """Random numbers that belong to a section's kind, whatever else is made before it."""
        return np.random.default_rng([self.seed, *kind.encode()])

    def kit(self, clarity: float) -> dict[str, Samples]:
        if clarity not in self._kits:
            rng = np.random.default_rng(self.plan.artists[0].colour)
            self._kits[clarity] = drum_kit(self.plan.genre.kit, clarity, rng)
        return self._kits[clarity]

    def voice(self, craft: dict[str, float]) -> Timbre:
        singer = self.plan.artists[0]
        bright = craft["brightness"] - 0.5
        return Timbre(
            tilt=self.plan.genre.tilt + singer.tilt - 0.6 * bright - 0.15 * self.tone,
            voice=singer.formant,
            cutoff=(5500 + 4000 * bright) * 2 ** (0.3 * self.tone),
            attack_s=0.03,
            release_s=0.09,
            vibrato_cents=singer.vibrato,
            glide=0.35,
        )

    def soloist(self) -> Timbre:
        """The instrument of solos: as bright as any chorus, whatever the song is worth."""
        taste = self.plan.artists[0].colour % 3
        return (
            Timbre(tilt=0.7, cutoff=6000, vibrato_cents=20, attack_s=0.01),
            Timbre(tilt=0.5, even=0.15, cutoff=5000, attack_s=0.02, glide=0.4),
            Timbre(tilt=1.0, decay_s=0.8, damping=1.0, cutoff=8000),
        )[taste]

    def chords(self, craft: dict[str, float]) -> Timbre:
        bright = craft["brightness"] + 0.25 * self.tone
        if self.plan.genre.chords == "strum":
            return Timbre(tilt=0.9, decay_s=0.6, damping=2.2 - bright, attack_s=0.004)
        if self.plan.genre.chords == "power":
            return Timbre(tilt=0.9, cutoff=max(2800 + 3000 * bright, 1500), attack_s=0.004)
        if self.plan.genre.chords == "stab":
            cutoff = max(1800 + 4000 * bright, 1000)
            return Timbre(tilt=0.7, cutoff=cutoff, decay_s=0.3, damping=2.0, attack_s=0.004)
        electric = self.plan.artists[0].colour // 3 % 2
        tilt = (1.6 if electric else 1.15) - 0.4 * (bright - 0.5)
        return Timbre(
            tilt=tilt, even=0.4 if electric else 1.0, decay_s=1.1, damping=1.2, attack_s=0.005
        )

    def bass(self) -> Timbre:
        if self.plan.genre.bass == "sub":
            return Timbre(tilt=2.4, decay_s=0.9, attack_s=0.01)
        return Timbre(tilt=1.0, cutoff=700, decay_s=0.7, damping=2.0, attack_s=0.006)


@dataclass
class _Loops:
    """The layers of one kind of section, each made when first asked for, at unit loudness."""

    band: _Band
    kind: str

    @property
    def n(self) -> int:
        return BACKING_BARS * BAR * self.band.plan.step

    @property
    def craft(self) -> dict[str, float]:
        return self.band.craft(self.kind)

    def _line(self, notes: Notes, timbre: Timbre, n_samples: int) -> Samples:
        return render_line(notes, timbre, self.band.plan.step, n_samples)

    @cached_property
    def raw_drums(self) -> Samples:
        phrase = np.zeros(self.n, np.float32)
        kit = self.band.kit(self.craft["clarity"])
        level = {"hat": (0.6 + 0.5 * self.craft["brightness"]) * np.exp(0.35 * self.band.tone)}
        strokes = drum_strokes(
            self.band.plan, self.kind, self.craft, self.band.random(self.kind + "drums")
        )
        for name, rows in strokes.items():
            strike(phrase, kit[name] * np.float32(level.get(name, 1.0)), rows, self.band.plan.step)
        return phrase

    @cached_property
    def drums(self) -> Samples:
        return _unit(self.raw_drums)

    @cached_property
    def bass(self) -> Samples:
        rng = self.band.random(self.kind + "bass")
        notes = bass_line(self.band.plan, self.kind, self.craft["groove"], rng)
        return _unit(self._line(notes, self.band.bass(), self.n))

    @cached_property
    def chords(self) -> Samples:
        timbre = self.band.chords(self.craft)
        lines = chord_voices(self.band.plan, self.kind, self.craft)
        sound = np.sum([self._line(notes, timbre, self.n) for notes in lines], axis=0)
        if self.band.plan.genre.chords == "power":
            sound = np.tanh(7 * sound)  # the distorted guitar
        return _unit(sound)

    @cached_property
    def pad(self) -> Samples:
        plan = self.band.plan
        bright, richness = self.craft["brightness"], self.craft["richness"]
        timbre = Timbre(tilt=1.1, cutoff=(1400 + 3000 * bright) * 2 ** (0.4 * self.band.tone))
        n_bar = BAR * plan.step
        detune = 1 + round(2 * richness)
        bars = {
            int(chord): render_pad(
                voicing(plan, int(chord), richness), timbre, detune, n_bar, self.band.seed
            )
            for chord in set(progression(plan, self.kind))
        }
        return _unit(np.concatenate([bars[int(c)] for c in progression(plan, self.kind)]))

    @cached_property
    def arpeggio(self) -> Samples:
        timbre = Timbre(tilt=0.8, even=0.5, decay_s=0.14, damping=1.5, attack_s=0.003)
        notes = arpeggio(self.band.plan, self.kind, self.craft["richness"])
        return _unit(_echoed(self._line(notes, timbre, self.n), 3 * self.band.plan.step, 0.35))

    @cached_property
    def wet(self) -> Samples:
        """The chords and drums as a muddy room gives them back."""
        return _unit(muddy_room(0.7 * self.chords + 0.4 * self.drums, self.band.seed))

    @cached_property
    def tune(self) -> Notes:
        rng = self.band.random(self.kind + "tune")
        return melody(self.band.plan, self.kind, self.craft, rng)

    def lead(self, turn: int) -> Samples:
        """Eight bars of the singer or, in a solo, of an instrument."""
        if turn not in self._leads:
            self._leads[turn] = self._sung(turn)
        return self._leads[turn]

    @cached_property
    def _leads(self) -> dict[int, Samples]:
        return {}

    def _sung(self, turn: int) -> Samples:
        n = MELODY_BARS * BAR * self.band.plan.step
        if self.kind == "solo":
            return _unit(self._line(self.tune.transposed(12), self.band.soloist(), n))
        rng = self.band.random(f"{self.kind}words{turn}")
        notes = respelled(self.tune, rng) if turn > 1 and self.kind != "chorus" else self.tune
        sound = self._line(notes, self.band.voice(self.craft), n)
        consonants = notes.start[rng.random(len(notes.start)) < 0.5]
        hiss = self.band.kit(self.craft["clarity"])["shaker"] * np.float32(1.5)
        strength = np.full(len(consonants), 0.3 + 0.7 * self.craft["brightness"])
        strike(sound, hiss, np.stack([consonants, strength], axis=1), self.band.plan.step)
        return _unit(_echoed(sound, 3 * self.band.plan.step, 0.18))

    @cached_property
    def backing_voice(self) -> Samples:
        timbre = replace(self.band.voice(self.craft), vibrato_cents=6.0)
        n = MELODY_BARS * BAR * self.band.plan.step
        return _unit(self._line(harmony(self.band.plan, self.tune), timbre, n))


@dataclass(frozen=True)
class _Take:
    """One occurrence of a section: its layers mixed."""

    loops: _Loops
    turn: int

    def mixed(self, section: Section, last: bool) -> Samples:
        """The section's sound, shape (n_bars × bar,); how loud it is follows from its energy."""
        step = self.loops.band.plan.step
        sound = _tiled(self._backing(section.energy), section.n_bars * BAR * step)
        for level, voice in self._voices(section):
            sound += np.float32(level) * _tiled(voice, len(sound))
        if section.energy > 0.4 and not last:
            self._add_fill(sound[-BAR * step :], section.energy)
        sound *= np.float32((0.4 + 0.6 * section.energy) / max(_rms(sound), 1e-6))
        return sound

    def _add_fill(self, bar: Samples, energy: float) -> None:
        """Add a drum fill to the last bar of the section, in place."""
        loops = self.loops
        plan = loops.band.plan
        level = self._drum_level(energy) / max(_rms(loops.raw_drums), 1e-6)
        kit = loops.band.kit(loops.craft["clarity"])
        for name, rows in fill_strokes(plan, loops.band.random(f"{loops.kind}fill")).items():
            strike(bar, kit[name][: len(bar)] * np.float32(0.6 * level), rows, plan.step)

    def _drum_level(self, energy: float) -> float:
        band = self.loops.band
        return 1.1 * float(band.drums) * band.plan.genre.drums * _rise(energy, 0.3, 0.6)

    def _backing(self, energy: float) -> Samples:
        """Four bars without the voice."""
        loops = self.loops
        plan = loops.band.plan
        craft, genre = loops.craft, plan.genre
        full = _rise(energy, 0.4, 1.0)
        pumped: Samples = np.float32(1.3 if genre.chords == "power" else 0.8) * loops.chords
        if energy > 0.32:
            pumped += np.float32(0.75 * loops.band.low * _rise(energy, 0.3, 0.5)) * loops.bass
        if genre.pad:
            pumped += np.float32(genre.pad * (0.3 + 0.5 * craft["richness"] * full)) * loops.pad
        arp = genre.arp + (0.5 * craft["lift"] if loops.kind == "chorus" else 0.0)
        if arp and energy > 0.5:
            pumped += np.float32(0.6 * arp * full) * loops.arpeggio
        wet = 0.15 + 0.75 * (1 - craft["clarity"])
        pumped += np.float32(wet) * loops.wet
        if genre.pump and energy > 0.5:
            beat = np.arange(4 * plan.step, dtype=np.float32) / SAMPLE_RATE
            duck = 1 - np.float32(genre.pump) * np.exp(-beat / np.float32(0.09))
            pumped.reshape(-1, 4 * plan.step)[:] *= duck
        drums = self._drum_level(energy)
        if drums > 0:
            pumped += np.float32(drums) * loops.drums
        return pumped

    def _voices(self, section: Section) -> list[tuple[float, Samples]]:
        """Levels and sounds of what sings here."""
        loops = self.loops
        craft = loops.craft
        if section.name in ("intro", "outro"):
            return []
        if section.name != "chorus":
            return [(1.5 * loops.band.singer, loops.lead(self.turn))]
        doubled = min(0.15 + 0.65 * craft["richness"] + 0.1 * (self.turn - 1), 0.9)
        front = loops.band.singer * (1.4 + 0.5 * craft["hook"])
        return [(front, loops.lead(1)), (doubled * loops.band.singer, loops.backing_voice)]


# --- levels --------------------------------------------------------------------------------------


def _rms(sound: Samples) -> float:
    return float(np.sqrt(np.dot(sound, sound) / len(sound)))


def _unit(sound: Samples) -> Samples:
    """The sound at root mean square 1."""
    return np.asarray(sound * np.float32(1 / max(_rms(sound), 1e-6)), np.float32)


def _rise(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def _tiled(phrase: Samples, n_samples: int) -> Samples:
    return np.tile(phrase, -(-n_samples // len(phrase)))[:n_samples]


def _echoed(phrase: Samples, delay: int, level: float) -> Samples:
    """The looping phrase with one echo."""
    return phrase + np.float32(level) * np.roll(phrase, delay)

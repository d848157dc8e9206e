"""A catalogue of pop songs that never were, with known causes of their success.

The problem: the paper's data is confidential, so nobody can see its comparison run. Here are songs
as sound, with daily plays over 18 months, and beside them the truth: the appeal, what of it can be
heard and where, the artists' following, promotions, luck, and when the choruses are.

Everything follows from a seed: song 12 of seed 0 is the same in every catalogue, needs no other
song, and its sound is made when it is asked for, so that a catalogue of thousands takes megabytes.
What is planted by construction is said in `hitcore.demo.songs` (sound) and `hitcore.demo.plays`.

References:
    The paper, sections 3 and 4.
"""

from dataclasses import dataclass

from hitcore.audio import Waveform
from hitcore.demo.arrangement import render
from hitcore.demo.config import SAMPLE_RATE, DemoConfig
from hitcore.demo.folder import create, facts_of
from hitcore.demo.plays import PlayHistory, play_history
from hitcore.demo.shipped import write_songs
from hitcore.demo.songs import Section, SongPlan, parse_source, plan_song
from hitcore.demo.truth import DemoTables, PlantedFacts, demo_tables, planted_facts
from hitcore.errors import ParameterError

__all__ = [
    "DemoConfig",
    "DemoSong",
    "DemoTables",
    "PlantedFacts",
    "PlayHistory",
    "Section",
    "SongPlan",
    "create",
    "demo_tables",
    "facts_of",
    "make_song",
    "plan_song",
    "planted_facts",
    "play_history",
    "waveform_of",
    "write_songs",
]


@dataclass(frozen=True, eq=False)
class DemoSong:
    """A song of the demo catalogue: its sound and the plan it was made from."""

    waveform: Waveform
    """Mono, 22,050 Hz."""
    plan: SongPlan
    """Title, artists, genre, appeal, craft."""

    @property
    def song_id(self) -> str:
        """The song's id in the catalogue."""
        return self.plan.song_id

    @property
    def sections(self) -> tuple[Section, ...]:
        """Intro, verses, choruses and so on, with their times."""
        return self.plan.sections

    @property
    def choruses(self) -> list[tuple[float, float]]:
        """`[start, end)` of every chorus in seconds."""
        return self.plan.choruses


def make_song(config: DemoConfig, index: int) -> DemoSong:
    """Song `index` of the catalogue; it depends on the seed and the number alone.

    Raises:
        ParameterError: the catalogue has no such song.

    Example:
        >>> song = make_song(DemoConfig(n_songs=100), 5)
        >>> song.waveform.sample_rate, song.sections[0].name, len(song.choruses) > 1
        (22050, 'chorus', True)
    """
    if not 0 <= index < config.n_songs:
        raise ParameterError(
            f"song {index} was asked for; the catalogue has songs 0 to {config.n_songs - 1}"
        )
    plan = plan_song(config.seed, index)
    return DemoSong(waveform=_sound(plan), plan=plan)


def waveform_of(source: str) -> Waveform:
    """The sound of the song that a source `demo:SEED:INDEX` names, made now.

    Raises:
        ParameterError: the source is none of a demo song.

    Example:
        >>> waveform_of("demo:0:5").sample_rate
        22050
    """
    return _sound(plan_song(*parse_source(source)))


def _sound(plan: SongPlan) -> Waveform:
    return Waveform(render(plan), SAMPLE_RATE)

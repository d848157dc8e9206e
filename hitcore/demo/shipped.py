"""A few demo songs as sound files with a description, for whoever has no song at hand."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import soundfile

from hitcore.audio import Waveform
from hitcore.demo.arrangement import render
from hitcore.demo.config import SAMPLE_RATE
from hitcore.demo.genres import BY_NAME
from hitcore.demo.songs import SongPlan, plan_song
from hitcore.errors import DataError, ParameterError
from hitcore.files import replacing, write_atomic

GENRES = ("pop", "dance", "folk", "hip-hop")
"""One song of each is written."""
LONGEST_SHIPPED_S = 180.0
MAX_BYTES = 1_000_000
_BLOCK = 1 << 16  # the Vorbis encoder overflows its stack on whole songs


def write_songs(
    folder: str | os.PathLike[str], seed: int = 0, genres: Sequence[str] = GENRES
) -> list[Path]:
    """A song of each genre as Ogg Vorbis with its title and artist, and `songs.json` beside.

    Each is the first of its genre in the catalogue of that seed that lasts at most three
    minutes. The sound is the same for the same seed; the files' bytes are not, for every Ogg
    stream has a random serial number.

    Raises:
        ParameterError: there is no such genre.
        DataError: the folder cannot be written.
    """
    for genre in genres:
        if genre not in BY_NAME:
            raise ParameterError(f"no genre {genre!r}; there are {', '.join(BY_NAME)}")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        plans = [_first_of(genre, seed) for genre in genres]
        paths = [_write_ogg(target, plan) for plan in plans]
        described = [_described(plan, path) for plan, path in zip(plans, paths, strict=True)]
        write_atomic(target / "songs.json", json.dumps(described, indent=2) + "\n")
    except OSError as error:
        raise DataError(
            f"the demo songs cannot be written to {target}: {error.strerror or error}"
        ) from error
    return [*paths, target / "songs.json"]


def _first_of(genre: str, seed: int) -> SongPlan:
    index = 0
    while True:
        plan = plan_song(seed, index)
        if plan.genre.name == genre and plan.duration_s < LONGEST_SHIPPED_S:
            return plan
        index += 1


def _write_ogg(folder: Path, plan: SongPlan) -> Path:
    name = "-".join("".join(c if c.isalnum() else " " for c in plan.title.lower()).split())
    path = folder / f"{plan.genre.name}-{name}.ogg"
    waveform = Waveform(render(plan), SAMPLE_RATE)
    # From good quality downwards until the file is small enough to ship.
    for compression in (0.65, 0.75, 0.85, 0.95):
        with replacing(path) as temporary:
            _encode(waveform, temporary, plan, compression)
        if path.stat().st_size < MAX_BYTES:
            break
    return path


def _encode(waveform: Waveform, path: Path, plan: SongPlan, compression: float) -> None:
    with soundfile.SoundFile(
        path,
        "w",
        samplerate=waveform.sample_rate,
        channels=1,
        format="OGG",
        subtype="VORBIS",
        compression_level=compression,
    ) as file:
        file.title, file.artist, file.genre = plan.title, plan.artist, plan.genre.name
        file.comment = f"{plan.source}: a synthetic demo song of the hitcore project"
        for start in range(0, len(waveform.samples), _BLOCK):
            file.write(waveform.samples[start : start + _BLOCK])


def _described(plan: SongPlan, path: Path) -> dict[str, object]:
    return {
        "file": path.name,
        "song_id": plan.song_id,
        "source": plan.source,
        "title": plan.title,
        "artist": plan.artist,
        "genre": plan.genre.name,
        "bpm": round(plan.bpm, 2),
        "duration_s": plan.duration_s,
        "sections": [asdict(section) for section in plan.sections],
        "choruses": plan.choruses,
    }

"""Songs with labels of their own: what a network learns from that is told nothing about times.

The labels are the user's (a CSV file of songs and labels), or the moods that a tagger hears in the
whole of each song. Either way a song has a distribution over the labels, whose sum is 1.

References:
    Y.-S. Huang, S.-Y. Chou, Y.-H. Yang: "Pop Music Highlighter: Marking the Emotion Keypoints",
    TISMIR 2018, section 3.
"""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hitcore.audio import Waveform
from hitcore.errors import AudioError, DataError, ParameterError
from hitcore.taggers import Taggram

MOODS = (
    "beautiful",
    "catchy",
    "chill",
    "chillout",
    "easy listening",
    "happy",
    "Mellow",
    "party",
    "sad",
    "sexy",
)
"""Tags of `musicnn-msd` that say how music feels."""

Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""


class MoodTagger(Protocol):
    """What gives moods to songs without labels, such as `load_tagger("musicnn-msd")`."""

    def tag(self, waveform: Waveform) -> Taggram:
        """The tags of a song over time."""


@dataclass(frozen=True)
class SourceSong:
    """One song to learn from."""

    name: str
    """How labels refer to it: the file's name without its ending."""
    load: Callable[[], Waveform]
    """Its sound, made or decoded when it is needed."""
    key: str
    """What identifies the sound: changes when the sound does."""


@dataclass(frozen=True, eq=False)
class LabelledSongs:
    """Songs with a distribution over labels each."""

    songs: tuple[SourceSong, ...]
    """The songs."""
    targets: NDArray[np.float32]
    """`(n_songs, n_labels)`; rows sum to 1."""
    label_names: tuple[str, ...]
    """What the columns stand for."""
    skipped: dict[str, int]
    """What was left out, by reason."""


def label_songs(songs: Sequence[SourceSong], labels: str | os.PathLike[str]) -> LabelledSongs:
    """Songs with the labels of a CSV file: columns `song, label` and, if wanted, `weight`.

    One row per song and label; `song` is the file's name, with or without its ending. A song's
    weights (1 where the column is absent) are brought to a sum of 1. Rows of unknown songs and
    songs without a row are left out and counted.

    Raises:
        DataError: A column is missing, a weight is no positive number, or fewer than two songs or
            labels remain.
    """
    rows, unknown = _read_rows(Path(labels), {song.name for song in songs})
    names = tuple(sorted({label for _, label, _ in rows}))
    column = {name: i for i, name in enumerate(names)}
    position = {song.name: i for i, song in enumerate(songs)}
    totals = np.zeros((len(songs), len(names)), np.float32)
    for song, label, weight in rows:
        totals[position[song], column[label]] += weight
    kept = totals.sum(axis=1) > 0
    if kept.sum() < 2 or len(names) < 2:
        raise DataError(
            f"{labels}: {int(kept.sum())} of {len(songs)} songs have one of {len(names)} labels; "
            "at least 2 songs and 2 labels are needed: does the column song hold the files' names?"
        )
    targets = totals[kept] / totals[kept].sum(axis=1, keepdims=True)
    skipped = {"rows of unknown songs": unknown, "songs without a label": int((~kept).sum())}
    chosen = tuple(song for song, keep in zip(songs, kept, strict=True) if keep)
    return LabelledSongs(chosen, targets, names, skipped)


def mood_songs(
    songs: Sequence[SourceSong],
    tagger: MoodTagger,
    moods: Sequence[str] = MOODS,
    on_progress: Progress | None = None,
) -> LabelledSongs:
    """Songs with the moods that a tagger hears in the whole of each, brought to a sum of 1.

    Songs that cannot be read are left out and counted.

    Raises:
        ParameterError: The tagger does not know the moods.
        DataError: Fewer than two songs can be read.
    """
    rows, kept, unreadable = [], [], 0
    for i, song in enumerate(songs):
        try:
            taggram = tagger.tag(song.load())
        except AudioError:
            unreadable += 1
        else:
            rows.append(_moods_of(taggram, moods))
            kept.append(song)
        if on_progress:
            on_progress(i + 1, len(songs))
    if len(kept) < 2:
        raise DataError(f"{len(kept)} of {len(songs)} songs can be read; at least 2 are needed")
    targets = np.asarray(rows, np.float32)
    return LabelledSongs(tuple(kept), targets, tuple(moods), {"songs unreadable": unreadable})


def _read_rows(path: Path, known: set[str]) -> tuple[list[tuple[str, str, float]], int]:
    """Song, label and weight of every row of a known song, and how many are of unknown ones."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"song", "label"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(
                    f"{path}: the column {', '.join(sorted(missing))} is missing; a labels file "
                    "has the columns song, label and, if wanted, weight"
                )
            rows, unknown = [], 0
            for row in reader:
                song = row["song"] if row["song"] in known else Path(row["song"] or "").stem
                if song not in known or not row["label"]:
                    unknown += 1
                    continue
                rows.append((song, row["label"], _weight(row.get("weight"), path, reader.line_num)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    return rows, unknown


def _weight(text: str | None, path: Path, line: int) -> float:
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        weight = float("nan")
    if not (np.isfinite(weight) and weight > 0):
        raise DataError(f"{path}, line {line}: the weight {text!r} is no positive number")
    return weight


def _moods_of(taggram: Taggram, moods: Sequence[str]) -> NDArray[np.float32]:
    position = {name: i for i, name in enumerate(taggram.tag_names)}
    missing = [mood for mood in moods if mood not in position]
    if missing:
        raise ParameterError(
            f"the tagger does not know the moods {', '.join(missing)}: musicnn-msd knows them"
        )
    heard = np.asarray(taggram.mean(), np.float64)[[position[mood] for mood in moods]]
    return np.asarray(heard / max(heard.sum(), 1e-9), np.float32)

"""A workspace of one's own songs: a folder of sound files and a play log become a catalogue.

Which file is whose sound is said by a column `source` in the table of songs (a path below the
folder), or found by name: the file `<song_id>.<anything>` anywhere below it, leading zeros of a
number apart, so that `000/000002.mp3` is song 2 of the Free Music Archive. Names are the same
whether their accents are written apart (as macOS does) or not. Covers, lyrics, cue sheets and what
systems leave behind are no sound and never in the way. Songs without a file are left out and
counted; they still count in every day's total, for a share is a share of all plays.

Nothing is copied: `audio` in the workspace is a link to the folder.
"""

import mimetypes
import os
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hitcore.audio import is_sound_file
from hitcore.catalogue.workspace import Workspace, new_workspace
from hitcore.errors import DataError
from hitcore.files import replacing, shown
from hitcore.plays.hitscores import daily_shares, hit_scores, read_log, score_report
from hitcore.plays.readers import OnError, Progress


@dataclass(frozen=True)
class OwnCatalogue:
    """A finished workspace, and what became of the songs."""

    workspace: Workspace
    n_songs: int
    """Songs with a sound file: those of the workspace."""
    n_silent: int
    """Songs of the table or the log without one, which were left out."""
    n_scored: int
    """Songs of the workspace with a defined hit score: those that models learn from."""
    notes: tuple[str, ...]
    """What was read, and what about the scores is undefined or odd; in sentences."""


def create(
    path: str | os.PathLike[str],
    plays: Sequence[str | os.PathLike[str]],
    audio: str | os.PathLike[str] | None,
    songs: str | os.PathLike[str] | None = None,
    *,
    given: Collection[str] | None = None,
    fill: Callable[[Workspace, list[str]], object] | None = None,
    format: str | None = None,
    definition: str = "day:60",
    time_zone: str | None = None,
    mapping: Mapping[str, str | int] | None = None,
    on_error: OnError = "raise",
    keep_duplicates: bool | None = None,
    decimal: str | None = None,
    progress: Progress | None = None,
) -> OwnCatalogue:
    """A new workspace of one's own songs; it appears under its name when it is complete.

    Args:
        path: A new or empty folder.
        plays: Files of one play log.
        audio: The folder that the sound files are in, at any depth; None without sound files.
        songs: A table of songs, `song_id` and what is known of them; None for the log's own.
        given: Songs whose features were made elsewhere; the others are left out.
        fill: Called with the unfinished workspace and its songs, to add those features.
        format: Of the log; None to find out from its content.
        definition: Of the hit score.
        time_zone: Of the service, in which the days of single plays are cut; None for the log's
            own, else UTC.
        mapping: For tables of one's own, canonical name to column name.
        on_error: "raise", or "skip" to leave out and count rows that cannot be right.
        keep_duplicates: Whether repeated events all count, as in `read_plays`.
        decimal: "." or ",", where a column of counts cannot tell.
        progress: Called with the bytes of the log read and the bytes there are.

    Raises:
        DataError: the log or the table cannot be right, no song has a sound file, two files have
            one song's name, or the folder is not empty or cannot be written.
        ParameterError: an unknown definition or format.
    """
    folder = None if audio is None else folder_of(audio)
    log, table = read_log(
        plays,
        songs,
        format,
        mapping=mapping,
        on_error=on_error,
        keep_duplicates=keep_duplicates,
        decimal=decimal,
        progress=progress,
    )
    if table is None:
        raise DataError("the log names songs by their ids only: give a table of songs as well")
    zone = time_zone or log.time_zone or "UTC"
    report = score_report(log, table, definition, zone)
    scores = hit_scores(log, table, definition, zone)
    listed = table.to_pandas()
    heard = _heard(listed, folder, given)
    scores = scores[scores["song_id"].isin(heard["song_id"])].reset_index(drop=True)
    with new_workspace(path) as workspace:
        write_table(heard, workspace.songs)
        write_table(scores, workspace.hit_scores)
        if log.kind != "totals":
            shares = daily_shares(log, list(heard["song_id"]), zone)
            write_table(shares, workspace.daily_shares / "part-0.parquet")
        if folder is not None:
            workspace.audio.symlink_to(folder, target_is_directory=True)
        if fill is not None:
            fill(workspace, list(heard["song_id"]))
    return OwnCatalogue(
        Workspace.open(path),
        n_songs=len(heard),
        n_silent=len(listed) - len(heard),
        n_scored=int(scores["hit_score"].notna().sum()),
        notes=(*log.report.lines(), *report.lines()),
    )


def folder_of(audio: str | os.PathLike[str]) -> Path:
    """The folder of sound files, from the root on.

    Raises:
        DataError: it is none.
    """
    folder = Path(audio).expanduser().resolve()
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give the one with the sound files")
    return folder


def _heard(
    listed: pd.DataFrame, folder: Path | None, given: Collection[str] | None
) -> pd.DataFrame:
    """The songs that take part: those with sound, or all where there is none at all."""
    if given is not None:
        heard = listed[listed["song_id"].isin(set(given))]
        where, remedy = "in the file of features", "its song_id must be those of the log"
    elif folder is not None:
        listed = with_sources(listed, folder)
        heard = listed[listed["source"] != ""]
        where = f"below {folder}"
        remedy = (
            "name the files by song_id, or give each song's file in a column `source` of the "
            "table of songs"
        )
    else:
        return listed
    if heard.empty:
        noun = "features" if given is not None else "a file"
        raise DataError(f"none of {len(listed):,} songs has {noun} {where}: {remedy}")
    return heard.reset_index(drop=True)


def with_sources(songs: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The table with each song's file in `source`, empty where it has none.

    Raises:
        DataError: two sound files have one song's name, or a name that is no text, or a `source`
            leads out of the folder.
    """
    if "source" in songs.columns:
        given = songs["source"].fillna("").astype(str)
        for name in given:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(
                    f"source {shown(name)!r}: a path inside the folder of sound files is expected"
                )
        absent = any(name and not (folder / name).is_file() for name in given)
        others = _composed(folder) if absent else {}
        sources = [
            name if (folder / name).is_file() else others.get(_composed_name(name), "")
            for name in given
        ]
        return songs.assign(
            source=[source if name else "" for name, source in zip(given, sources, strict=True)]
        )
    files = _files_by_name(folder, {_name(str(song)) for song in songs["song_id"]})
    return songs.assign(source=[files.get(_name(str(song)), "") for song in songs["song_id"]])


def _files_by_name(folder: Path, wanted: set[str]) -> dict[str, str]:
    """Paths of sound files below the folder by the song that they are named as."""
    named: dict[str, list[str]] = {}
    for relative in _files(folder):
        name = _name(PurePosixPath(relative).stem)
        if name in wanted:
            named.setdefault(name, []).append(relative)
    found = {}
    for name, candidates in named.items():
        sounds = [path for path in candidates if is_sound_file(folder / path)]
        # A song that is damaged is a song, and its features will say what is wrong with it.
        sounds = sounds or [path for path in candidates if _called_sound(path)]
        if len(sounds) > 1:
            raise DataError(
                f"{shown(sounds[0])} and {shown(sounds[1])} are both named as one song: say which "
                "is its sound in a column `source` of the table of songs"
            )
        for path in sounds:
            if path != shown(path):
                raise DataError(
                    f"the name of {shown(path)!r} is not UTF-8, so no table can hold it: rename "
                    "the file or its folder, for example with convmv"
                )
            found[name] = path
    return found


def _called_sound(path: str) -> bool:
    return (mimetypes.guess_type(path)[0] or "").startswith("audio/")


def _files(folder: Path) -> list[str]:
    """Paths of all files below the folder, without what systems and players hide."""
    found = []
    for place in sorted(folder.rglob("*")):
        relative = place.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in relative.parts)
        if not hidden and place.is_file():
            found.append(relative.as_posix())
    return found


def _composed(folder: Path) -> dict[str, str]:
    """Paths below the folder by their composed form."""
    return {_composed_name(path): path for path in _files(folder) if path == shown(path)}


def _composed_name(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _name(text: str) -> str:
    """A name by which a song and its file are the same: of numbers, the number."""
    return str(int(text)) if text.isascii() and text.isdigit() else _composed_name(text)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, whole or not at all."""
    document: Any = pa.Table.from_pandas(table, preserve_index=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        pq.write_table(document, temporary, compression="zstd")

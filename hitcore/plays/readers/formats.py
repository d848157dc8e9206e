"""The two doors to other people's files, `read_plays` and `read_songs`, and the sniffing."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from hitcore.errors import DataError, ParameterError
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import ARCHIVE_NAME, Wanted, files_within, heads
from hitcore.plays.parsing.cells import shown
from hitcore.plays.parsing.collecting import collect
from hitcore.plays.parsing.playlog import PlayLog
from hitcore.plays.parsing.reader import Reader
from hitcore.plays.parsing.reading import Duplicates, OnError, Reading
from hitcore.plays.parsing.unpacking import Progress, ReadLimits
from hitcore.plays.readers import fma, lfm, mlhd, spotify_charts, tabular, xiami
from hitcore.plays.readers.personal import (
    apple_music,
    deezer,
    lastfm,
    listenbrainz,
    spotify_history,
    spotify_short,
    youtube_music,
)
from hitcore.plays.readers.songtables import read_song_table

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# In the order in which a file is asked about: what fits many files comes last.
_IN_ORDER = (
    spotify_history.READER,
    spotify_short.READER,
    listenbrainz.READER,
    youtube_music.READER,
    apple_music.READER,
    deezer.READER,
    xiami.READER,
    spotify_charts.READER,
    fma.READER,
    lfm.READER,
    mlhd.READER,
    lastfm.READER,
    tabular.READER,
)
READERS: Mapping[str, Reader] = {reader.name: reader for reader in _IN_ORDER}
"""The readers of play logs by their names."""
FORMATS = ("tabular", *(name for name in READERS if name != "tabular"))
"""Names of the readers of play logs."""

_PEEKABLE = Wanted(
    re.compile(r".+\.(csv|tsv|txt|tab|json|jsonl|ndjson|listens)", re.IGNORECASE),
    "log.csv, log.tsv, log.json, log.jsonl or 1.listens",
    nested=True,
)


def read_plays(
    paths: Paths,
    format: str | None = None,
    *,
    mapping: Mapping[str, str | int] | None = None,
    on_error: OnError = "raise",
    keep_duplicates: bool | None = None,
    decimal: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    limits: ReadLimits | None = None,
    progress: Progress | None = None,
) -> PlayLog:
    """The play log that stands in one or more files, in canonical form.

    Args:
        paths: A file, several files of one format, or a folder of such files, which is read
            like a zip of it. Files may be plain, gzip, zstd, bzip2, xz, zip or tar.
        format: One of `FORMATS`; None to find out from the content.
        mapping: For tables of one's own, canonical name to column name; what it does not name
            is guessed. To the number of a column, from 0, for a table without a head.
        on_error: "raise" refuses the log at the first row that cannot be right; "skip" leaves
            such rows out and counts them in the report. Damaged files, wrong encodings, missing
            columns and repeated song-days are errors either way.
        keep_duplicates: Whether events of the same song, listener and time all count. None leaves
            repeated ones out, except where a log names no listeners and is not of one person;
            False leaves them out there too.
        decimal: "." or ",", what stands before decimals of counts where a column cannot tell.
        folder: Where the canonical `plays.parquet` goes; None for a temporary folder that lives
            as long as the log. A Parquet file that is canonical already stays where it is.
        limits: What the files may unfold to.
        progress: Called with the bytes read and the bytes there are of the file at hand.

    Raises:
        DataError: A file is damaged, hostile, of no known format, or has a row that cannot be
            right; the message names the file, the line and what would be accepted.
        ParameterError: An argument is none of those allowed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "log.csv"
        >>> _ = file.write_text("track,day,streams\\na,2024-01-01,3\\nb,2024-01-01,1\\n")
        >>> log = read_plays(file)
        >>> log.kind, log.report.n_kept, log.span[0].isoformat()
        ('daily', 2, '2024-01-01')
    """
    files = _files(paths)
    if mapping and format is None:
        format = "tabular"
    name = format or sniff_format(files[0], limits=limits)
    if name not in READERS:
        raise ParameterError(f"format {shown(name)}; it may be {', '.join(FORMATS)}")
    if mapping and name != "tabular":
        raise ParameterError(f"a mapping goes with the format 'tabular', not with {name!r}")
    if on_error not in ("raise", "skip"):
        raise ParameterError(f"on_error {shown(on_error)}; it may be 'raise' or 'skip'")
    if decimal not in (None, ".", ","):
        raise ParameterError(f"decimal {shown(decimal)}; it may be '.' or ','")
    reader = READERS[name]
    reading = Reading(
        name,
        tabular.canonical(mapping) or None,
        on_error,
        limits or ReadLimits(),
        progress,
        decimal=decimal,
        duplicates=_duplicates(keep_duplicates, reader),
    )
    return collect(
        lambda again: reader.batches(files, again),
        reading,
        None if folder is None else Path(folder),
    )


def _duplicates(keep: bool | None, reader: Reader) -> Duplicates:
    """Which events are one."""
    if keep:
        return "keep"
    return "all" if keep is False or reader.one_listener else "listener"


def read_songs(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    mapping: Mapping[str, str | int] | None = None,
    limits: ReadLimits | None = None,
) -> pa.Table:
    """The table of songs that stands in a file: `PlayLog.songs`, from a table or out of a log.

    A table (CSV or Parquet) has one row per song and at least the column `song_id`; columns that
    are not known are kept as text. Any log whose rows describe their songs serves as well.

    Raises:
        DataError: As `read_plays`; or a song stands twice; or the log names nothing but ids.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "songs.csv"
        >>> _ = file.write_text("song_id,artist,released\\na,ABBA,2024-01-01\\n")
        >>> read_songs(file).to_pylist()
        [{'song_id': 'a', 'title': None, 'artist_ids': ['ABBA'],
          'release_date': datetime.date(2024, 1, 1)}]
    """
    file = Path(path)
    name = format or sniff_format(file, limits=limits)
    if name == "tabular":
        return read_song_table(file, Reading(name, mapping, limits=limits or ReadLimits()))
    songs = read_plays(file, name, limits=limits).songs
    if songs is None:
        raise DataError(f"{file.name} names songs by their ids only; give a table of songs")
    return songs


def sniff_format(path: str | os.PathLike[str], *, limits: ReadLimits | None = None) -> str:
    """Which of `FORMATS` a file has, by its content.

    Raises:
        DataError: It has none of them.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "log.csv"
        >>> _ = file.write_text("song_id,date,plays\\n")
        >>> sniff_format(file)
        'tabular'
    """
    file = _files(path)[0]
    if parquet.is_parquet(file):
        return "tabular"
    if file.is_file() and deezer.is_workbook(file):
        return deezer.READER.name
    bounds = limits or ReadLimits()
    if file.is_dir():
        return _format_of_folder(file, bounds)
    found = _formats_at(file, bounds)
    if found is None:
        raise DataError(f"{file.name} holds nothing to read")
    return found


def _format_of_folder(folder: Path, limits: ReadLimits) -> str:
    inside = files_within(folder, limits)
    if any(deezer.WORKBOOK.fits(file.name) and deezer.is_workbook(file) for file in inside):
        return deezer.READER.name
    found = None
    if any(_PEEKABLE.fits(file.name) or ARCHIVE_NAME.fullmatch(file.name) for file in inside):
        found = _formats_at(folder, limits)
    if found in (None, "tabular") and any(parquet.is_parquet(file) for file in inside):
        return "tabular"
    if found is None:
        raise DataError(f"{folder} holds no file of a known kind (.csv, .json, .parquet, …)")
    return found


def _formats_at(path: Path, limits: ReadLimits) -> str | None:
    """The format of the files at a path: of those that some have, the first to be asked about."""
    found: set[str] = set()
    first: tuple[str, bytes] | None = None
    for text in heads(path, limits, _PEEKABLE):
        head = text.peek()
        if text.name == path.name and not head:
            raise DataError(f"{text.name} is empty")
        first = first or (text.name, head)
        reader = next((r for r in _IN_ORDER if r.begins(head)), None)
        if reader is not None:
            found.add(reader.name)
    if found:
        return next(name for name in READERS if name in found)
    if first is None:
        return None
    name, head = first
    raise DataError(
        f"{name}, line 1: {shown(head[:80].decode(errors='replace'))} begins no known format; "
        f"name it with format=, one of {', '.join(FORMATS)}"
    )


def _files(paths: Paths) -> list[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise ParameterError("no path was given")
    found = [Path(item) for item in given]
    for path in found:
        if not path.exists():
            raise DataError(f"{path} does not exist")
    return found

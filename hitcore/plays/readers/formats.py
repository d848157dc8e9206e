"""The two doors to other people's files, `read_plays` and `read_songs`, and the sniffing."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from hitcore.errors import DataError, ParameterError
from hitcore.plays.parsing import parquet
from hitcore.plays.parsing.archives import Wanted, base_name, member_names, texts
from hitcore.plays.parsing.cells import shown
from hitcore.plays.parsing.collecting import collect
from hitcore.plays.parsing.delimited import best_delimiter, split_line
from hitcore.plays.parsing.playlog import PlayLog
from hitcore.plays.parsing.reading import Batch, OnError, Reading
from hitcore.plays.parsing.unpacking import Progress, ReadLimits
from hitcore.plays.readers import (
    fma,
    lastfm,
    listenbrainz,
    spotify_charts,
    spotify_history,
    tabular,
    xiami,
)
from hitcore.plays.readers.songtables import read_song_table

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_READERS: Mapping[str, Callable[[Sequence[Path], Reading], Iterator[Batch]]] = {
    "tabular": tabular.batches,
    "listenbrainz": listenbrainz.batches,
    "lastfm": lastfm.batches,
    "spotify_history": spotify_history.batches,
    "spotify_charts": spotify_charts.batches,
    "xiami": xiami.batches,
    "fma": fma.batches,
}
FORMATS = tuple(_READERS)
"""Names of the readers of play logs."""

_IN_FOLDERS = re.compile(
    r".+\.(csv|tsv|txt|tab|json|jsonl|ndjson|listens|parquet|zip)(\.(gz|zst))?|.+\.tar\.(gz|zst)",
    re.IGNORECASE,
)
_PEEKABLE = Wanted(
    re.compile(r".+\.(csv|tsv|txt|tab|json|jsonl|ndjson|listens)", re.IGNORECASE),
    "log.csv, log.tsv, log.json, log.jsonl or 1.listens",
)


def read_plays(
    paths: Paths,
    format: str | None = None,
    *,
    mapping: Mapping[str, str] | None = None,
    on_error: OnError = "raise",
    folder: str | os.PathLike[str] | None = None,
    limits: ReadLimits | None = None,
    progress: Progress | None = None,
) -> PlayLog:
    """The play log that stands in one or more files, in canonical form.

    Args:
        paths: A file, several files of one format, or a folder of such files. Files may be
            plain, gzip, zstd, zip or tar.
        format: One of `FORMATS`; None to find out from the content.
        mapping: For tables of one's own, canonical name to column name; what it does not name
            is guessed.
        on_error: "raise" refuses the log at the first row that cannot be right; "skip" leaves
            such rows out and counts them in the report. Damaged files, wrong encodings, missing
            columns and repeated song-days are errors either way.
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
    name = format or sniff_format(files[0], limits=limits)
    if name not in _READERS:
        raise ParameterError(f"format {shown(name)}; it may be {', '.join(FORMATS)}")
    if mapping and name != "tabular":
        raise ParameterError(f"a mapping goes with the format 'tabular', not with {name!r}")
    if on_error not in ("raise", "skip"):
        raise ParameterError(f"on_error {shown(on_error)}; it may be 'raise' or 'skip'")
    reader = _READERS[name]
    reading = Reading(name, mapping, on_error, limits or ReadLimits(), progress)
    return collect(
        lambda again: reader(files, again), reading, None if folder is None else Path(folder)
    )


def read_songs(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    mapping: Mapping[str, str] | None = None,
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
    bounds = limits or ReadLimits()
    names = [base_name(name) for name in member_names(file, bounds)]
    if any(spotify_history.HISTORY.fits(name) for name in names):
        return "spotify_history"
    if "tracks.csv" in names:
        return "fma"
    for text in texts(file, bounds, _PEEKABLE):
        if not text.peek(1):
            raise DataError(f"{text.name} is empty")
        found = _format_of(text.peek())
        if found is None:
            raise DataError(
                f"{text.name}, line 1: {shown(text.peek(80).decode(errors='replace'))} begins no "
                f"known format; name it with format=, one of {', '.join(FORMATS)}"
            )
        return found
    raise DataError(f"{file.name} holds nothing to read")


def _format_of(head: bytes) -> str | None:
    lines = [line.rstrip(b"\r") for line in head.split(b"\n")[:2]] + [b""]
    first, second = lines[0], lines[1]
    tests = {
        "spotify_history": spotify_history.is_history(head),
        "listenbrainz": listenbrainz.is_listen(head),
        "lastfm": lastfm.is_users(first) or lastfm.is_exporter(first),
        "xiami": xiami.is_xiami(first),
        "spotify_charts": spotify_charts.is_chart(first, second),
        "fma": fma.is_tracks(first, second),
    }
    found = next((name for name, fits in tests.items() if fits), None)
    if found or first.lstrip().startswith((b"{", b"[", b"<")):
        return found
    return "tabular" if len(split_line(first, best_delimiter(first))) > 1 else None


def _files(paths: Paths) -> list[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: list[Path] = []
    for item in given:
        path = Path(item)
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.is_file() and _IN_FOLDERS.fullmatch(p.name))
        if not inside:
            raise DataError(f"{path} holds no file of a known kind (.csv, .json, .parquet, …)")
        found += inside
    if not found:
        raise ParameterError("no path was given")
    for path in found:
        if not path.exists():
            raise DataError(f"{path} does not exist")
    return found

"""Spotify's daily charts: one CSV per day, the day in its name.

Since 2021: `rank,uri,artist_names,track_name,source,peak_rank,previous_rank,days_on_chart,streams`
in `regional-global-daily-2023-01-05.csv`, some with a byte-order mark. Until 2021: a line of
preamble, then `Position,"Track Name",Artist,Streams,URL`. Both name a song by its Spotify id.

A chart ends at its last rank: what stands below is unknown, not zero, and the shares are shares
of the chart's plays. Artist names are split at commas: a band with a comma in its name becomes
two artists who always go together, which keeps it on one side of an artist-disjoint split.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text, base_name
from hitcore.plays.parsing.cells import Count, Day, Id, shown, trimmed
from hitcore.plays.parsing.delimited import Header, delimited, rows_of, split_line
from hitcore.plays.parsing.reading import ARTIST_SEPARATOR, Batch, Converter, Reading, Rows

_NEW = {
    "song": "uri",
    "title": "track_name",
    "artist_ids": "artist_names",
    "plays": "streams",
}
_OLD = {"song": "URL", "title": "Track Name", "artist_ids": "Artist", "plays": "Streams"}
_DATE = re.compile(r"(?<![0-9])([0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])")
_REGION = re.compile(r"regional-([a-z]+)-", re.IGNORECASE)
_TRACK = r"^.*(?:spotify:track:|open\.spotify\.com/(?:intl-[a-z]+/)?track/)(?P<id>[0-9A-Za-z]+).*$"


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The rows of the charts, in batches."""
    converter = Converter(reading, "daily", {"song_id": _Track(), "date": Day(), "plays": Count()})
    regions: set[str] = set()
    for path in paths:
        for text, header in delimited(path, reading, _header):
            day = chart_day(text.name)
            regions |= set(_REGION.findall(base_name(text.name).lower()))
            if len(regions) > 1:
                raise DataError(
                    f"{text.name}: charts of {' and '.join(sorted(regions))}; read one region "
                    "at a time"
                )
            columns = _NEW if "uri" in header.names else _OLD
            for rows in rows_of(text, header, columns, reading):
                yield converter.batch(_with_day(rows, day))
    reading.note(
        "A chart ends at its last rank: shares are of the chart's plays, and a song that left it "
        "counts as unplayed."
    )


def is_chart(first: bytes, second: bytes) -> bool:
    """Whether these are the first two lines of a chart."""
    new = {"uri", "artist_names", "track_name"} <= set(split_line(first))
    old = {"Position", "Track Name", "URL"}
    return new or old <= set(split_line(first)) or old <= set(split_line(second))


def chart_day(name: str) -> date:
    """The day of a chart, from its file's name.

    Raises:
        DataError: The name holds no day, more than one, or says that the chart is weekly.

    Example:
        >>> chart_day("regional-global-daily-2023-01-05.csv")
        datetime.date(2023, 1, 5)
    """
    base = base_name(name.rsplit(":", 1)[-1])
    days = _DATE.findall(base)
    if len(days) > 1 or "weekly" in base.lower():
        raise DataError(f"{name}: a weekly chart; daily ones are read, such as {_SAMPLE}")
    try:
        return date.fromisoformat(days[0])
    except (IndexError, ValueError) as error:
        raise DataError(
            f"{name}: no day in the file's name; a chart is named like {_SAMPLE}"
        ) from error


_SAMPLE = "regional-global-daily-2023-01-05.csv"


@dataclass
class _Track(Id):
    """Song ids out of Spotify URIs and URLs."""

    accepted: str = "a track such as spotify:track:0000000000000000000000"

    def parse(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """The ids, and which cells name no track."""
        text = trimmed(cells)
        found = pc.struct_field(pc.extract_regex(text, _TRACK), "id")
        return super().parse(found)

    def explain(self, cell: str | None) -> str:
        """Why a cell is refused."""
        return "no track of Spotify" if (cell or "").strip() else "empty"


def _header(text: Text) -> Header:
    first = split_line(text.line())
    if "uri" in first or "URL" in first:
        return Header(first)
    second = split_line(text.line())
    if "URL" not in second:
        have = ", ".join(shown(name) for name in first[:20])
        raise DataError(
            f"{text.name}, line 1: not the head of a chart: {have}; it has uri and streams, or "
            "URL and Streams"
        )
    return Header(second, n_lines=2)


def _with_day(rows: Rows, day: date) -> Rows:
    given = rows.columns
    columns = {
        "song_id": given["song"],
        "date": pa.array([day] * len(rows), pa.date32()),
        "plays": given["plays"],
        "title": given["title"],
        "artist_ids": pc.replace_substring_regex(
            trimmed(given["artist_ids"]), r",\s+", ARTIST_SEPARATOR
        ),
    }
    return Rows(rows.file, columns, rows.first, rows.place)

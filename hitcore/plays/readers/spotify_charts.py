"""Spotify's daily charts: one CSV per day with the day in its name, or tables of many days.

Since 2021: `rank,uri,artist_names,track_name,source,peak_rank,previous_rank,days_on_chart,streams`
in `regional-global-daily-2023-01-05.csv`, some with a byte-order mark. Until 2021: a line of
preamble, then `Position,"Track Name",Artist,Streams,URL`. Collections of them add columns:
`title,rank,date,artist,url,region,chart,trend,streams`. All name a song by its Spotify id. A table
with a column of dates is read by it, whatever the file is called; of a table with several regions
nothing is read, since their shares are not of one whole. Viral charts count no streams and are
left out.

A chart ends at its last rank: what stands below is unknown, not zero, and the shares are shares
of the chart's plays. Artist names are split at commas: a band with a comma in its name becomes
two artists who always go together, which keeps it on one side of an artist-disjoint split.

References:
    Spotify Charts, daily top songs as CSV.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitcore.errors import DataError
from hitcore.plays.parsing.archives import Text, base_name
from hitcore.plays.parsing.cells import Day, Id, one_line, shown, trimmed
from hitcore.plays.parsing.counts import Count
from hitcore.plays.parsing.delimited import DELIMITED, Header, delimited, rows_of, split_line
from hitcore.plays.parsing.reader import Reader, first_lines
from hitcore.plays.parsing.reading import ARTIST_SEPARATOR, Batch, Converter, Reading, Rows

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "song": ("uri", "URL", "url"),
    "title": ("track_name", "Track Name", "title"),
    "artist_ids": ("artist_names", "Artist", "artist"),
    "plays": ("streams", "Streams"),
    "date": ("date", "Date"),
    "region": ("region", "Region", "country"),
    "chart": ("chart",),
}
"""What is read, and the column names it has had."""
_RANK = ("rank", "Position", "position")
_DATE = re.compile(r"(?<![0-9])([0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])")
_REGION = re.compile(r"regional-([a-z]+)-", re.IGNORECASE)
_TRACK = r"^.*(?:spotify:track:|open\.spotify\.com/(?:intl-[a-z]+/)?track/)(?P<id>[0-9A-Za-z]+).*$"


def batches(paths: Sequence[Path], reading: Reading) -> Iterator[Batch]:
    """The rows of the charts, in batches."""
    regions: set[str] = set()
    for path in paths:
        for text, header in delimited(path, reading, _header):
            converter = Converter(
                reading, "daily", {"song_id": _Track(), "date": Day(), "plays": Count()}
            )
            columns = _columns(header, text.name)
            day = None if "date" in columns else chart_day(text.name)
            if "region" not in columns:
                regions |= set(_REGION.findall(base_name(text.name).lower()))
            for rows in rows_of(text, header, columns, reading):
                if "region" in columns:
                    regions |= set(pc.unique(trimmed(rows.columns["region"])).to_pylist())
                if len(regions) > 1:
                    named = [one_line(region, 40) for region in sorted(regions)]
                    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
                    raise DataError(
                        f"{text.name}: charts of {' and '.join(named[:3])}{more}; read one region "
                        "at a time"
                    )
                viral = _viral(rows)
                reading.drop("of a viral chart, which counts no streams", viral)
                yield converter.batch(_with_day(rows, day), ~viral)
    reading.note(
        "A chart ends at its last rank: shares are of the chart's plays, and a song that left it "
        "counts as unplayed."
    )


def is_chart(head: bytes) -> bool:
    """Whether a file begins like a chart, perhaps behind a line of preamble."""
    return any(
        {"song", "title", "artist_ids", "plays"} <= set(_found(names)) and set(_RANK) & set(names)
        for names in (split_line(line) for line in first_lines(head))
    )


def _found(names: Sequence[str]) -> dict[str, str]:
    found = {key: next((n for n in known if n in names), "") for key, known in _COLUMNS.items()}
    return {key: column for key, column in found.items() if column}


def _columns(header: Header, name: str) -> dict[str, str]:
    found = _found(header.names)
    lacking = [key for key in ("song", "title", "artist_ids", "plays") if key not in found]
    if lacking:
        raise DataError(
            f"{name}, line {header.n_lines}: there is no column {shown(_COLUMNS[lacking[0]][0])}"
        )
    return found


def _viral(rows: Rows) -> np.ndarray:
    if "chart" not in rows.columns:
        return np.zeros(len(rows), bool)
    return np.array(
        pc.starts_with(pc.utf8_lower(trimmed(rows.columns["chart"])), "viral").to_numpy(
            zero_copy_only=False
        )
    )


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
    if "song" in _found(first):
        return Header(first)
    second = split_line(text.line())
    if "song" not in _found(second):
        have = ", ".join(shown(name) for name in first[:20])
        raise DataError(
            f"{text.name}, line 1: not the head of a chart: {have}; it has uri and streams, or "
            "URL and Streams"
        )
    return Header(second, n_lines=2)


def _with_day(rows: Rows, day: date | None) -> Rows:
    given = rows.columns
    columns = {
        "song_id": given["song"],
        "date": given["date"] if day is None else pa.array([day] * len(rows), pa.date32()),
        "plays": given["plays"],
        "title": given["title"],
        "artist_ids": pc.replace_substring_regex(
            trimmed(given["artist_ids"]), r",\s+", ARTIST_SEPARATOR
        ),
    }
    return rows.holding(columns)


READER = Reader(
    "spotify_charts",
    batches,
    DELIMITED,
    is_chart,
    source="files of Spotify Charts of 2017 to 2024, and collections of them",
    as_of="2024",
)

"""A table of songs with one number each: popularity, listens, chart weeks, shares.

Catalogues as most people have them: no play log, but a number per song. Networks and metrics work
on hit scores from 0 to 1, so the number is divided by a constant, which changes no ranking, no
A/B group (its threshold is the mean, which is divided too) and no nDCG (its gains are linear).
What it was, what it was divided by and what networks learn in its place stand in `scores.json`.

Conventions:
    unit: what the number counts.
        "share" (0 to 1): as it is. "points" (popularity, 0 to 100): divided by 100.
        "count" (listens, plays): divided by their sum, so a share of all plays of the table.
        "weeks" and any other "number": divided by the largest.
    target: shares and counts span powers of ten and are learned as −1/log10(share); points, weeks
        and other numbers as they are.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError
from hitcore.networks.targets import TargetTransform
from hitcore.plays import read_songs

Unit = Literal["share", "points", "count", "weeks", "number"]

SCORE_NAMES: Mapping[Unit, tuple[str, ...]] = {
    "share": ("hit_score", "share", "market_share"),
    "points": (
        *("popularity", "song_popularity", "track_popularity", "artist_popularity"),
        "spotify_popularity",
    ),
    "count": (
        *("listens", "plays", "play_count", "playcount", "streams", "stream_count", "n_plays"),
        *("listeners", "views"),
    ),
    "weeks": ("weeks_on_chart", "chart_weeks", "weeks"),
    "number": ("score", "rating", "success"),
}
"""Column names that are taken for the score, by what they count."""

HIGHEST: Mapping[Unit, float] = {"share": 1.0, "points": 100.0, "weeks": 10_000.0}
"""The largest value of each unit that is believed; others: see `MOST_PLAYS`."""

MOST_PLAYS = 1e11
"""More plays than any song has, by far: a larger number is a slip."""

FILE = "scores.json"


@dataclass(frozen=True)
class ScoreScale:
    """How the hit scores of a catalogue came from the numbers of its table.

    Example:
        >>> ScoreScale("popularity", "points", 100.0).target
        'identity'
    """

    column: str
    """The column that the numbers stood in."""
    unit: Unit
    """What they count."""
    divisor: float
    """Hit score = number ÷ divisor."""

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ParameterError(f"unit {self.unit!r}: one of {', '.join(get_args(Unit))}")
        if not (math.isfinite(self.divisor) and self.divisor > 0):
            raise ParameterError(f"divisor {self.divisor}: a number above 0 is expected")

    @property
    def is_share(self) -> bool:
        """Whether a hit score is a share of plays."""
        return self.unit in ("share", "count")

    @property
    def target(self) -> TargetTransform:
        """What networks learn in place of the hit score."""
        return "neg_inv_log10" if self.is_share else "identity"

    def write(self, workspace: Workspace) -> None:
        """Keep it beside the scores."""
        (workspace.path / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")


SHARES = ScoreScale("share of plays", "share", 1.0)
"""What hit scores are where they come from a play log."""


def scale_of(workspace: Workspace) -> ScoreScale:
    """What the hit scores of a workspace are; shares of plays unless its table said otherwise.

    Raises:
        DataError: the note beside the scores is damaged.

    Example:
        >>> import tempfile
        >>> workspace = Workspace.create(Path(tempfile.mkdtemp()) / "mine")
        >>> scale_of(workspace).unit
        'share'
    """
    path = workspace.path / FILE
    if not path.exists():
        return SHARES
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return ScoreScale(str(document["column"]), document["unit"], float(document["divisor"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}): make the workspace again") from error


@dataclass(frozen=True, eq=False)
class ScoredSongs:
    """A table of songs with scores, checked."""

    songs: pd.DataFrame = field(repr=False)
    """`song_id`, what else is known, and `hit_score` from 0 to 1."""
    scale: ScoreScale
    """What the scores are."""
    notes: tuple[str, ...]
    """What was read and left out, in sentences."""


def read_scores(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    mapping: Mapping[str, str] | None = None,
    skip_bad_rows: bool = False,
) -> ScoredSongs:
    """The songs of a CSV, TSV or Parquet file and the one number that each has.

    Args:
        path: One row per song; `song_id`, and where known `artist_id` or `artist`, `title`,
            `genre`, `release_date`, `year` or `decade`.
        column: Of the score; None to find it by its usual names (`SCORE_NAMES`).
        mapping: Canonical name to column, for songs' other columns.
        skip_bad_rows: Leave out and count rows whose score cannot be right.

    Raises:
        DataError: there is no such column or more than one, a score is no number or out of range,
            all are equal, or a song stands twice.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "songs.csv"
        >>> _ = file.write_text("song_id,artist,popularity\\na,Ann,90\\nb,Bob,15\\n")
        >>> read_scores(file).songs["hit_score"].tolist()
        [0.9, 0.15]
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no file {file}: give the table of songs with their scores")
    table = read_songs(file, "tabular", mapping=mapping).to_pandas()
    name, unit = _score_column(table, column, file.name)
    values, wrong = _numbers(table[name], unit)
    if wrong.any():
        if not skip_bad_rows:
            raise DataError(_complaint(file.name, table, name, unit, wrong))
        table, values = table[~wrong].reset_index(drop=True), values[~wrong]
    if len(table) < 2 or values.min() == values.max():
        raise DataError(
            f"{file.name}: {len(table):,} songs with a usable {name!r}, "
            + ("all equal" if len(table) > 1 else "and ranking needs two")
            + ": there is nothing to rank"
        )
    scale = ScoreScale(name, unit, _divisor(values, unit))
    songs = _described(table).assign(hit_score=values / scale.divisor)
    notes = [
        f"{file.name}: {len(songs):,} songs, score from the column {name!r} "
        f"({unit}, divided by {scale.divisor:g}; networks learn it as {scale.target})"
    ]
    if wrong.any():
        notes.append(f"{int(wrong.sum()):,} songs left out: no usable {name!r}")
    return ScoredSongs(songs, scale, tuple(notes))


def numeric(values: "pd.Series[str]") -> NDArray[np.float64]:
    """Text as numbers; NaN where it is none.

    Example:
        >>> numeric(pd.Series(["1.5", " 2 ", "many", None, "inf"])).tolist()
        [1.5, 2.0, nan, nan, nan]
    """
    found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def score_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that are known as scores by their names.

    Example:
        >>> score_columns(["song_id", "Popularity", "tempo"])
        ('Popularity',)
    """
    plain = {_plain(name): name for name in reversed(list(columns))}
    known = [name for names in SCORE_NAMES.values() for name in names]
    return tuple(plain[name] for name in known if name in plain)


# --- inside --------------------------------------------------------------------------------------


def _score_column(table: pd.DataFrame, column: str | None, file: str) -> tuple[str, Unit]:
    """The column of the scores and what it counts."""
    plain = {_plain(name): name for name in reversed(list(table.columns))}
    if column is not None:
        if column not in table.columns:
            have = ", ".join(map(str, table.columns[:20]))
            raise DataError(f"{file}: there is no column {column!r} for the score among {have}")
        return column, _unit_of(column)
    found = [
        (plain[name], unit)
        for unit, names in SCORE_NAMES.items()
        for name in names
        if name in plain
    ]
    if len(found) == 1:
        return found[0]
    have = ", ".join(name for name, _ in found) or ", ".join(map(str, table.columns[:20]))
    reason = "several columns could be the score" if found else "no column is known as a score"
    raise DataError(f"{file}: {reason} ({have}): name it with --column NAME")


def _unit_of(column: str) -> Unit:
    name = _plain(column)
    for unit, names in SCORE_NAMES.items():
        if name in names:
            return unit
    return "points" if "popularity" in name else "weeks" if "weeks" in name else "number"


def _plain(column: str) -> str:
    return "_".join(str(column).strip().lower().replace("-", " ").replace(".", " ").split())


def _numbers(column: "pd.Series[str]", unit: Unit) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers, and which of them cannot be right."""
    values = numeric(column)
    with np.errstate(invalid="ignore"):
        usable = (values >= 0) & (values <= HIGHEST.get(unit, MOST_PLAYS))
    return values, ~usable


def _complaint(
    file: str, table: pd.DataFrame, name: str, unit: Unit, wrong: NDArray[np.bool_]
) -> str:
    first = table[wrong].iloc[0]
    cell = first[name]
    shown = "empty" if cell is None or cell != cell else f"{str(cell)[:40]!r}"
    highest = HIGHEST.get(unit, MOST_PLAYS)
    return (
        f"{file}: {name} of song {str(first['song_id'])[:40]!r} is {shown} "
        f"({int(wrong.sum()):,} of {len(table):,} rows are like that): a number from 0 to "
        f"{highest:g} is expected; mend them, or leave them out with --skip-bad-rows"
    )


def _divisor(values: NDArray[np.float64], unit: Unit) -> float:
    if unit in ("share", "points"):
        return HIGHEST[unit]
    return math.fsum(values) if unit == "count" else float(values.max())


def _described(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a day of release made of a year or decade, and one column of genres."""
    plain = {_plain(name): name for name in reversed(list(table.columns))}
    if table["release_date"].isna().all():
        known: Sequence[str] = [plain[name] for name in ("year", "decade") if name in plain]
        if known:
            years = numeric(table[known[0]].astype("string").str.removesuffix("s"))
            good = (years >= 1000) & (years <= 2999)
            days = [
                f"{int(year):04d}-01-01" if ok else None
                for year, ok in zip(years, good, strict=True)
            ]
            table = table.assign(release_date=pd.to_datetime(pd.Series(days, index=table.index)))
    if "genre" not in table.columns and "genres" in plain:
        table = table.assign(genre=table[plain["genres"]])
    if "artist" not in table.columns:
        names = [", ".join(artists) for artists in table["artist_ids"]]
        table = table.assign(artist=names)
    return table.drop(columns=["hit_score"], errors="ignore")

"""The tables of the demo catalogue: songs, plays, and the truth that was planted beside them."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from hitcore.demo.config import DemoConfig
from hitcore.demo.plays import OTHER_SONGS, PlayHistory, other_plays, play_history
from hitcore.demo.songs import CRAFT, SongPlan, plan_song

Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""

_TIME = pa.float64()
TRUTH_SCHEMA = pa.schema(
    [
        ("song_id", pa.string()),
        ("appeal", pa.float64()),
        ("artist_skill", pa.float64()),
        *((f"chorus_{name}", pa.float64()) for name in CRAFT),
        *((f"other_{name}", pa.float64()) for name in CRAFT),
        ("appeal_effect", pa.float64()),
        ("following_effect", pa.float64()),
        ("genre_effect", pa.float64()),
        ("luck_effect", pa.float64()),
        ("burst_days", pa.list_(pa.int64())),
        ("burst_factors", pa.list_(pa.float64())),
        ("duration_s", pa.float64()),
        ("bpm", pa.float64()),
        ("choruses", pa.list_(pa.struct([("start", _TIME), ("end", _TIME)]))),
        (
            "sections",
            pa.list_(
                pa.struct(
                    [
                        ("name", pa.string()),
                        ("start", _TIME),
                        ("end", _TIME),
                        ("n_bars", pa.int64()),
                        ("energy", pa.float64()),
                    ]
                )
            ),
        ),
    ]
)
"""One row per song. The `*_effect` columns act on ln(plays on day 60) and, with the bursts and
day-to-day noise, explain it wholly."""


@dataclass(frozen=True)
class DemoTables:
    """The catalogue without its sound."""

    songs: pd.DataFrame
    """`song_id, title, artist_ids, artist, genre, release_date, source, duration_s`."""
    plays: pa.Table
    """`song_id, date, plays`: one row per song and day on which it was played."""
    truth: pa.Table
    """What was planted, `TRUTH_SCHEMA`."""


@dataclass(frozen=True)
class PlantedFacts:
    """What the catalogue achieves, measured on its finished tables."""

    n_songs: int
    """Songs in the catalogue."""
    n_scored: int
    """Songs whose 60th day lies inside the log."""
    share_below_mean: float
    """Fraction of the scored songs below the mean hit score; 0.875 in the paper."""
    appeal_spearman: float
    """Rank correlation of the planted appeal with the hit score: what a model that hears the
    appeal perfectly, and nothing else, would reach."""
    audible_spearman: float
    """The same of the appeal as the chorus shows it (mean of its six qualities)."""
    other_spearman: float
    """The same of the appeal as the rest of the song shows it."""
    following_spearman: float
    """The same of the artists' following, which cannot be heard except by knowing the artist."""


def demo_tables(config: DemoConfig, progress: Progress | None = None) -> DemoTables:
    """All tables of a demo catalogue; the same for the same configuration, to the bit.

    Example:
        >>> tables = demo_tables(DemoConfig(n_songs=20))
        >>> len(tables.songs), tables.truth.num_rows
        (20, 20)
    """
    songs, truth, plays = [], [], []
    total = np.zeros(config.n_days, np.int64)
    for index in range(config.n_songs):
        plan = plan_song(config.seed, index)
        history = play_history(config, plan)
        songs.append(_song_row(plan, history))
        truth.append(_truth_row(config, plan, history))
        plays.append(history.plays)
        total += history.plays
        if progress is not None:
            progress(index + 1, config.n_songs)
    ids = [row["song_id"] for row in songs]
    table = pd.DataFrame(songs)
    table["release_date"] = pd.to_datetime(table["release_date"]).astype("datetime64[us]")
    return DemoTables(
        songs=table,
        plays=_long(config, [*ids, OTHER_SONGS], [*plays, other_plays(config, total)]),
        truth=pa.Table.from_pylist(truth, schema=TRUTH_SCHEMA),
    )


def planted_facts(truth: pa.Table, hit_scores: pd.DataFrame) -> PlantedFacts:
    """What can be known of a catalogue from its truth and its hit scores.

    Example:
        >>> tables = demo_tables(DemoConfig(n_songs=20))
        >>> scores = pd.DataFrame({"song_id": tables.songs.song_id, "hit_score": 0.0})
        >>> scores["hit_score"] = tables.truth["appeal"].to_numpy()
        >>> round(planted_facts(tables.truth, scores).appeal_spearman, 6)
        1.0
    """
    names = [field.name for field in truth.schema if field.type in (pa.string(), pa.float64())]
    joined = truth.select(names).to_pandas().merge(hit_scores, on="song_id", how="left")
    score = joined["hit_score"].to_numpy(np.float64)
    known = np.isfinite(score)

    def spearman(columns: Iterable[str]) -> float:
        cause = joined[list(columns)].to_numpy(np.float64).mean(axis=1)
        ranks = [rankdata(values[known]) for values in (cause, score)]
        return float(np.corrcoef(ranks)[0, 1])

    return PlantedFacts(
        n_songs=len(joined),
        n_scored=int(known.sum()),
        share_below_mean=float(np.mean(score[known] < score[known].mean())),
        appeal_spearman=spearman(["appeal"]),
        audible_spearman=spearman(f"chorus_{name}" for name in CRAFT),
        other_spearman=spearman(f"other_{name}" for name in CRAFT),
        following_spearman=spearman(["following_effect"]),
    )


def _song_row(plan: SongPlan, history: PlayHistory) -> dict[str, Any]:
    return {
        "song_id": plan.song_id,
        "title": plan.title,
        "artist_ids": [artist.artist_id for artist in plan.artists],
        "artist": plan.artist,
        "genre": plan.genre.name,
        "release_date": history.release_date,
        "source": plan.source,
        "duration_s": plan.duration_s,
    }


def _truth_row(config: DemoConfig, plan: SongPlan, history: PlayHistory) -> dict[str, Any]:
    appeal_effect = (config.appeal_launch + config.appeal_retention) * plan.appeal
    return {
        "song_id": plan.song_id,
        "appeal": plan.appeal,
        "artist_skill": plan.artists[0].skill,
        **{f"chorus_{name}": value for name, value in plan.chorus_craft.items()},
        **{f"other_{name}": value for name, value in plan.other_craft.items()},
        "appeal_effect": appeal_effect,
        "following_effect": history.following_effect,
        "genre_effect": history.genre_effect,
        "luck_effect": history.launch_luck + history.retention_luck,
        "burst_days": list(history.burst_days),
        "burst_factors": list(history.burst_factors),
        "duration_s": plan.duration_s,
        "bpm": plan.bpm,
        "choruses": [{"start": start, "end": end} for start, end in plan.choruses],
        "sections": [asdict(section) for section in plan.sections],
    }


def _long(config: DemoConfig, song_ids: list[str], plays: list[NDArray[np.int64]]) -> pa.Table:
    """One row per song and day with plays, in order of songs and days."""
    matrix = np.stack(plays)
    row, day = np.nonzero(matrix)
    dates = np.datetime64(config.first_day, "D") + day
    return pa.table(
        {
            "song_id": pa.array(song_ids, pa.string()).take(pa.array(row)),
            "date": pa.array(dates, pa.date32()),
            "plays": pa.array(matrix[row, day], pa.int64()),
        }
    )

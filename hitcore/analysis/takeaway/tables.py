"""Reports as one table: all that a page shows of a song, one line for each.

Conventions:
    Columns that a song lacks are empty (NaN), so tables of different models can be joined.
    percentile, low, high: 0 to 100. Times in seconds. in_domain: true, false, or empty.
    Text that a spreadsheet would take for a formula gets an apostrophe before it.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hitcore.analysis.report import ModelScore, SongReport

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def table_of(reports: Sequence[SongReport], names: Sequence[str] | None = None) -> pd.DataFrame:
    """The table of several reports, in their order.

    Args:
        reports: What is to be told.
        names: What the songs are called; None for their tags, else their files' names.

    Shape:
        One row per report; columns `song`, the file's facts, the highlight, `flags` and `notes`,
        then those of each model (`MODEL percentile`, …), then one per tag.
    """
    called = [report.display_name for report in reports] if names is None else list(names)
    return pd.DataFrame([row_of(r, n) for r, n in zip(reports, called, strict=True)])


def row_of(report: SongReport, name: str) -> dict[str, Any]:
    """One report as a row."""
    info, chosen = report.info, report.highlight
    row: dict[str, Any] = {
        "song": name,
        "file": report.name,
        "title": report.title,
        "artist": report.artist,
        "sha256": report.content_hash,
        "duration_s": round(info.duration_s, 2),
        "container": info.container,
        "sample_rate": info.sample_rate,
        "n_channels": info.n_channels,
        "bit_rate": info.bit_rate,
        "highlight_start_s": round(chosen.start, 2),
        "highlight_end_s": round(chosen.end, 2),
        "highlight_method": chosen.method,
        "highlight_confident": chosen.confident,
        "flags": "; ".join(report.flags),
        "notes": " ".join(report.notes),
    }
    for score in report.scores:
        row |= _of_score(score)
    row["tagger"] = report.tagger
    return row | {f"tag {tag}": round(value, 6) for tag, value in report.tags}


def csv_of(reports: Sequence[SongReport], names: Sequence[str] | None = None) -> str:
    """The table as CSV that no spreadsheet takes for formulas.

    Example:
        >>> csv_safe("=HYPERLINK()"), csv_safe("Song"), csv_safe(-1.5)
        ("'=HYPERLINK()", 'Song', -1.5)
    """
    table = table_of(reports, names)
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            table[column] = table[column].map(csv_safe)
    return str(table.to_csv(index=False))


def csv_safe(cell: object) -> object:
    """A cell with an apostrophe before text that would start a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _of_score(score: ModelScore) -> dict[str, Any]:
    """The columns of one model."""
    found: dict[str, Any] = {
        "score": score.score,
        "song score": score.song_score,
        "share": score.share,
        "percentile": _percent(score.percentile),
        "low": _percent(score.low),
        "high": _percent(score.high),
        "in domain": score.in_domain,
        "reference": score.reference,
        "note": score.note,
        "audio score": score.audio_score,
        "tag score": score.tag_score,
        "demo": score.demo,
    }
    if score.curve is not None:
        low, high = score.curve.range
        found |= {
            "windows low": low,
            "windows high": high,
            "best window start s": round(score.curve.best_start, 2),
        }
    if score.percentile_rank is not None:
        found["chance of the top 10 %"] = score.percentile_rank.top10_chance
    found |= {f"share, {mix} mix": share for mix, share in score.mixes.items()}
    return {f"{score.model} {key}": value for key, value in found.items()}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)

"""Reports of many songs: made one after the other, written to a folder, or told as text."""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hitcore.analysis.digits import share_words
from hitcore.analysis.song import ModelScore, SongReport, analyse, highlight_clip
from hitcore.analysis.takeaway.htmlreport import html_batch, html_report, words_of
from hitcore.analysis.takeaway.tables import csv_of
from hitcore.audio import encode
from hitcore.errors import DataError, HitcoreError
from hitcore.files import shown, write_atomic

Failure = tuple[str, HitcoreError]

N_TAGS = 5
"""Tags named in a text report."""


def analyse_all(
    songs: Sequence[str],
    models: Sequence[str] | None = None,
    highlight: str | None = None,
    tagger: str = "musicnn-mtt",
    on_stage: Callable[[int, str, str], None] | None = None,
) -> tuple[list[SongReport], list[Failure]]:
    """The reports of those songs that can be read, and what is wrong with the others.

    Args:
        songs: Paths of sound files.
        models: As in `analyse`.
        highlight: As in `analyse`.
        tagger: As in `analyse`.
        on_stage: Called with the song's number from 1, its name and the stage.
    """
    reports: list[SongReport] = []
    failures: list[Failure] = []
    for number, song in enumerate(songs, start=1):
        name = shown(os.path.basename(song))

        def say(stage: str, fraction: float, number: int = number, name: str = name) -> None:
            if on_stage is not None:
                on_stage(number, name, stage)

        try:
            reports.append(analyse(song, models, highlight, tagger, on_stage=say))
        except HitcoreError as error:
            failures.append((name, error))
    return reports, failures


def write_reports(reports: Sequence[SongReport], folder: str | os.PathLike[str]) -> None:
    """Write each report as JSON and as HTML with the sound in it, and each highlight as a WAV file.

    Beside them `songs.csv`, with one line per song, and `songs.html`, with all songs on one page.
    Files are named by the song's place and a plain form of its name, never by the name itself.

    Raises:
        DataError: the folder cannot be written.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for number, report in enumerate(reports, start=1):
            stem = f"{number:03d}-{_plain(report.name)}"
            document = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
            write_atomic(target / f"{stem}.json", document + "\n")
            sound = None
            if report.source_path is not None:
                start, end = report.highlight.start, report.highlight.end
                clip = highlight_clip(report.source_path, start, end)
                write_atomic(target / f"{stem}-highlight.wav", encode(clip))
                sound = encode(clip, "FLAC")
            write_atomic(target / f"{stem}.html", html_report(report, sound))
        write_atomic(target / "songs.csv", csv_of(reports))
        write_atomic(target / "songs.html", html_batch(reports))
    except OSError as error:
        raise DataError(f"the reports cannot be written to {target}: {error.strerror}") from error


def as_text(reports: Sequence[SongReport]) -> str:
    """The reports for people to read: a short paragraph for each song."""
    return "\n\n".join(_paragraph(report) for report in reports)


def _paragraph(report: SongReport) -> str:
    chosen = report.highlight
    tags = ", ".join(f"{tag} {value:.2f}" for tag, value in report.tags[:N_TAGS])
    lines = [
        report.display_name,
        f"  highlight  {_clock(chosen.start)} to {_clock(chosen.end)} of "
        f"{_clock(report.info.duration_s)} ({chosen.method})",
        f"  tags       {tags} ({report.tagger})",
    ]
    lines += [f"  score      {_score_line(score)}" for score in report.scores]
    lines += [f"  flag       {flag}" for flag in report.flags]
    lines += [f"  note       {note}" for note in report.notes]
    return "\n".join(lines)


def _score_line(score: ModelScore) -> str:
    name = f"{score.model}{' (demo)' if score.demo else ''}"
    if score.percentile is None and score.mixes and score.in_domain is not False:
        shares = ", ".join(f"{mix} mix {share_words(share)}" for mix, share in score.mixes.items())
        return f"{name}: share of plays {shares}"
    among = f" of {score.reference}" if score.percentile is not None else ""
    chance = "" if score.chance is None else f", chance {score.chance:.2f}"
    return f"{name}: {words_of(score)}{among}{chance}"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def _plain(name: str) -> str:
    """Letters, digits, dots and dashes of a name, for a file of ours."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", Path(name).stem)[:60].strip("-.") or "song"

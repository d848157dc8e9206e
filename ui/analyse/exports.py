"""Taking songs away: one song's JSON, CSV and highlight, and the same of many at once.

What is large is made when it is asked for, by functions that know nothing of the page.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from hitcore.analysis.song import SongReport, highlight_clip
from hitcore.analysis.takeaway.htmlreport import html_batch, html_report
from hitcore.analysis.takeaway.tables import csv_of
from hitcore.audio import encode
from hitcore.errors import HitcoreError
from ui.analyse import kept
from ui.analyse.reports import views
from ui.analyse.songs import Brought, library, path_of, require
from ui.analyse.summary import name_of
from ui.server.library import Entry
from ui.server.visitors import current_owner


def clip_of(song: Brought, start: float, end: float) -> bytes:
    """A passage as a WAV file of its own, at the file's own rate.

    Raises:
        HitcoreError: the song was deleted in the meantime, or cannot be read.
    """
    path = require(song)
    known = views().get(song.digest, ("clip", start, end))
    if not isinstance(known, bytes):
        with st.spinner("Cutting the passage", show_time=False):
            known = encode(highlight_clip(path, start, end))
        views().put(song.digest, ("clip", start, end), known)
    return known


def one_buttons(song: Brought, report: SongReport) -> None:
    """The report of the song in view as a page, JSON and CSV, and its highlight."""
    stem = f"hitcore-{report.content_hash[:12]}"
    name = name_of(song.name, report)
    path = path_of(song)
    with st.container(horizontal=True):
        if path is not None:
            _button("Report", lambda: page_of(name, report, path), f"{stem}.html", "text/html",
                    ":material/description:")  # fmt: skip
        _button("JSON", json_of(song.name, report), f"{stem}.json", "application/json",
                ":material/data_object:")  # fmt: skip
        _button("CSV", csv_of([report], [name]), f"{stem}.csv", "text/csv", ":material/table:")
        try:
            clip = clip_of(song, report.highlight.start, report.highlight.end)
        except HitcoreError:
            return
        _button("highlight.wav", clip, f"{stem}-highlight.wav", "audio/wav",
                ":material/music_note:")  # fmt: skip
    st.caption(
        "The report is one page that opens anywhere: charts, numbers and the highlight's sound are "
        "inside. The CSV holds everything that is shown here."
    )


def batch_buttons(entries: list[Entry], which: str) -> None:
    """The reports of many songs: one page, one table, one archive of JSON files."""
    if len(entries) < 2:
        return
    load = _loader(entries)
    _button(f"Overview of {which}", lambda: batch_page(load()), "hitcore-songs.html", "text/html",
            ":material/description:")  # fmt: skip
    _button(f"Table of {which}", lambda: batch_csv(load()), "hitcore-songs.csv", "text/csv",
            ":material/table:")  # fmt: skip
    _button(f"Reports of {which}", lambda: batch_json(load()), "hitcore-songs.zip",
            "application/zip", ":material/folder_zip:")  # fmt: skip


def page_of(name: str, report: SongReport, path: Path) -> str:
    """A report as one HTML file with its highlight's sound."""
    start, end = report.highlight.start, report.highlight.end
    return html_report(report, encode(highlight_clip(path, start, end), "FLAC"), name=name)


def json_of(name: str, report: SongReport) -> str:
    """A report as the command line prints it, under the name that the page shows."""
    document = report.to_dict() | {"name": name}
    return json.dumps(document, indent=2, ensure_ascii=False)


def batch_csv(found: list[tuple[str, SongReport]]) -> str:
    """One line for each song, with everything that the page shows."""
    return csv_of([report for _, report in found], [name for name, _ in found])


def batch_page(found: list[tuple[str, SongReport]]) -> str:
    """All songs on one page of HTML."""
    return html_batch([report for _, report in found], [name for name, _ in found])


def batch_json(found: list[tuple[str, SongReport]]) -> bytes:
    """One JSON file for each song, named by its place and its hash, never by its name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number, (name, report) in enumerate(found, start=1):
            file.writestr(f"{number:03d}-{report.content_hash[:12]}.json", json_of(name, report))
    return archive.getvalue()


def _loader(entries: list[Entry]) -> Callable[[], list[tuple[str, SongReport]]]:
    """Reads the reports of these songs; runs where no page does."""
    owner, store = current_owner(), library().store

    def load() -> list[tuple[str, SongReport]]:
        found = []
        for entry in entries:
            document = store.get_report(owner, entry.digest)
            key = (entry.line or {}).get("decides", "")
            report = None if document is None else kept.report_from(document, key, None)
            if report is not None:
                found.append((name_of(entry.name, report), report))
        return found

    return load


def _button(label: str, data: object, file_name: str, mime: str, icon: str) -> None:
    st.download_button(label, data, file_name, mime, icon=icon, on_click="ignore")

"""The Models page: what is installed, and how to get what is not."""

import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from hitcore import weights
from hitcore.errors import HitcoreError
from hitcore.weights import WeightsStatus
from ui.frame.page import plain, show_error

FETCH_LIMIT_S = 60.0

KINDS = {
    "hit model": "Hit models",
    "tagger": "Taggers",
    "highlighter": "Highlight models",
}
USED_BY = {"hit model": "Analyse, Compare", "tagger": "Analyse", "highlighter": "Analyse"}
STATES = {"installed": "installed", "absent": "absent", "damaged": "damaged"}


def status() -> list[WeightsStatus]:
    """The state of every named weight, as it is on disk now."""
    return weights.status()


def table(rows: list[WeightsStatus]) -> pd.DataFrame:
    """All weights, one line each."""
    return pd.DataFrame(
        [
            {
                "Name": row.name,
                "What": row.title,
                "State": STATES.get(row.state, row.state),
                "Used by": USED_BY.get(row.kind, ""),
                "Licence": row.licence,
                "Size": f"{row.n_bytes / 1e6:.1f} MB" if row.n_bytes else "",
            }
            for row in rows
        ]
    )


def by_kind(rows: list[WeightsStatus]) -> dict[str, list[WeightsStatus]]:
    """The weights under the headings of the page."""
    groups: dict[str, list[WeightsStatus]] = {}
    for kind, title in KINDS.items():
        group = [row for row in rows if row.kind == kind]
        if group:
            groups[title] = group
    return groups


def card(row: WeightsStatus) -> None:
    """One weight: its terms, its limits, and the way to get it."""
    st.markdown(f"**{plain(row.title or row.name)}**")
    st.caption(f"{plain(row.name)} · {plain(STATES.get(row.state, row.state))}")
    facts = {
        "Learned from": row.trained_on,
        "Licence": row.licence,
        "Source": row.source,
        "Limits": row.limits,
    }
    for label, text in facts.items():
        if text:
            st.markdown(f"{label}: {plain(str(text))}")
    if row.checksum:
        st.code(f"sha256 {row.checksum}", language=None)
    if row.state != "installed":
        _get(row)


def _get(row: WeightsStatus) -> None:
    """Fetch it, or import it from a copy."""
    if row.message:
        st.caption(plain(row.message))
    entry = weights.REGISTRY.get(row.name)
    if entry is None:
        return
    if entry.fetchable and st.button("Fetch", key=f"fetch-{row.name}", icon=":material/download:"):
        with st.status(f"Fetching {row.name}, at most {FETCH_LIMIT_S:.0f} s"):
            _attempt(lambda: weights.fetch(row.name, FETCH_LIMIT_S))
    files = st.file_uploader(
        f"Or import {row.name} from your copy of its files",
        accept_multiple_files=True,
        key=f"import-{row.name}",
    )
    if files and st.button("Import", key=f"do-import-{row.name}", icon=":material/upload:"):
        with tempfile.TemporaryDirectory() as folder:
            for upload in files:
                # The base name alone, and only where it is one that this entry knows.
                known = {Path(file.path).name for file in entry.files}
                name = Path(upload.name).name
                if name in known:
                    (Path(folder) / name).write_bytes(upload.getvalue())
            _attempt(lambda: weights.import_local(row.name, folder))


def _attempt(action: object) -> None:
    try:
        action()  # type: ignore[operator]
    except HitcoreError as error:
        show_error(error)
    else:
        st.rerun()

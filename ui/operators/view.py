"""The operators' page: the state of the server in one view, nothing of people or songs."""

import time
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from ui.frame.page import plain
from ui.operators import status
from ui.operators.status import Status, age_words, uptime_words

POLL_S = 5.0


def show() -> None:
    """The state now, looked at again every few seconds."""
    st.fragment(_show, run_every=POLL_S)()


def _show() -> None:
    found = status.now()
    for line in found.to_mend():
        st.warning(plain(line), icon=":material/build:")
    _figures(found)
    st.subheader("What went wrong last", anchor=False)
    _faults(found)
    left, right = st.columns(2, gap="large")
    with left:
        _table(found.events, "Event", "Times since the start")
    with right:
        _table(found.versions, "Package", "Version")


def _figures(found: Status) -> None:
    line, room = found.line, found.room
    work, rest = st.columns(2, gap="large")
    with work:
        _table(
            {
                "At work": f"{line.n_busy} of {line.n_places} places",
                "Songs in the line": f"{line.n_songs:,}, of {line.n_owners:,} people",
                "Waiting for a turn": f"{line.n_waiting:,}",
                "Experiments": f"{line.n_experiments:,}",
                "Open windows": f"{found.n_sessions:,}",
                "Up for": uptime_words(time.time() - found.started),
            },
            "Work",
            "Now",
        )
    with rest:
        _table(
            {
                "Memory": f"{room.memory_gb:.2f} GB in {room.n_processes} processes",
                "Memory free": f"{room.memory_free_gb:.1f} GB",
                "Disk free": f"{room.disk_free_gb:.1f} GB",
                "Songs kept": f"{room.n_songs:,}, with reports {room.songs_gb:.2f} GB",
            },
            "Room",
            "Now",
        )


def _faults(found: Status) -> None:
    if not found.faults:
        st.caption("Nothing has, since the server was started.")
        return
    table = pd.DataFrame(
        [{"When": age_words(fault.when), "Line of the log": fault.line} for fault in found.faults]
    )
    st.dataframe(table, hide_index=True, alt="The last warnings and errors of the log.")


def _table(facts: Mapping[str, object], name: str, value: str) -> None:
    table = pd.DataFrame({name: list(facts), value: [str(fact) for fact in facts.values()]})
    st.dataframe(table, hide_index=True, height="content", alt=f"{name}: {value.lower()}.")

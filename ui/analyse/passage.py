"""The highlight of the song in view: to hear it, to hear others, and to have another one rated."""

from dataclasses import replace
from datetime import time, timedelta

import streamlit as st

from hitcore.analysis.song import BY_HAND, HIGHLIGHT_S, SongReport
from hitcore.highlights import DEFAULT_METHOD, METHODS
from ui.analyse.exports import clip_of
from ui.analyse.songs import Brought, Choice, choose, path_of
from ui.frame.page import clock, error_boundary, plain

HIGHLIGHTERS = sorted(METHODS, key=lambda method: method != DEFAULT_METHOD)
"""The methods, the default first."""


def player(song: Brought, report: SongReport) -> None:
    """The highlight, to hear."""
    chosen = report.highlight
    if path_of(song) is None:
        st.markdown("The upload was deleted in the meantime. Bring the song again to hear it.")
        return
    with error_boundary():
        st.audio(
            clip_of(song, chosen.start, chosen.end),
            format="audio/wav",
            alt=f"The highlight, {clock(chosen.start)} to {clock(chosen.end)}",
        )


def chooser(song: Brought, report: SongReport, choice: Choice) -> None:
    """Which passage is rated, by what it was chosen, and how to hear and rate another."""
    chosen = report.highlight
    with st.container(border=True):
        st.subheader(f"Highlight {clock(chosen.start)} – {clock(chosen.end)}", anchor=False)
        how = "by you" if chosen.method == BY_HAND else f"by the method *{plain(chosen.method)}*"
        st.caption(f"Exactly this passage was rated. Chosen {how}.")
        if path_of(song) is None:
            return
        if report.info.duration_s > HIGHLIGHT_S:
            _another(song, report, choice)
        _whole(song, report)


def listen_from(song: Brought, start: float) -> None:
    """Play the 30 s from `start`, and offer them for rating; called before the page runs again."""
    st.session_state[_key(song)] = start


def _another(song: Brought, report: SongReport, choice: Choice) -> None:
    """Another method's passage, one of the next best, or one set by hand."""
    key, chosen = song.digest[:12], report.highlight
    current = choice.highlight or DEFAULT_METHOD
    method = st.segmented_control(
        "Method",
        HIGHLIGHTERS,
        default=None if choice.window else current,
        key=f"method-{key}-{current}-{chosen.start:g}",
        help="repetition: what comes back, weighed by energy. attention: what a network attends "
        "to. middle: the middle of the song.",
    )
    if method and (method != current or choice.window):
        choose(song, replace(choice, highlight=method, window=None))
    if report.alternatives:
        st.caption("Hear the next best passages of the method")
        with st.container(horizontal=True):
            for begin, end in report.alternatives:
                st.button(
                    f"{clock(begin)} – {clock(end)}",
                    key=f"alt-{key}-{begin:g}",
                    icon=":material/play_arrow:",
                    on_click=listen_from,
                    args=(song, begin),
                )
    start = _slider(song, report, key)
    asked = st.session_state.get(_key(song))
    if asked is not None:
        with error_boundary():
            words = f"From {clock(start)}, not rated yet"
            st.caption(words)
            st.audio(clip_of(song, start, start + HIGHLIGHT_S), autoplay=True, alt=words)
    if st.button(
        "Rate this passage", key=f"use-start-{key}", disabled=start == chosen.start,
        icon=":material/speed:",
    ):  # fmt: skip
        st.session_state.pop(_key(song), None)
        choose(song, replace(choice, window=(start, start + HIGHLIGHT_S)))


def _slider(song: Brought, report: SongReport, key: str) -> float:
    """A start by hand on a scale of m:ss; the highlight's own start until it is moved."""
    chosen, latest = report.highlight.start, report.info.duration_s - HIGHLIGHT_S
    last = _time_of(int(latest))
    if last <= time(0):
        return chosen
    asked = st.session_state.get(_key(song))
    begin = min(_time_of(chosen if asked is None else asked), last)
    moved = st.slider(
        "Or move the start by hand",
        time(0),
        last,
        begin,
        step=timedelta(seconds=1),
        format="m:ss",
        key=f"start-{key}-{chosen:g}-{'' if asked is None else f'{asked:g}'}",
    )
    if moved == begin:
        return chosen if asked is None else min(asked, latest)
    return min(float(60 * (60 * moved.hour + moved.minute) + moved.second), latest)


def _whole(song: Brought, report: SongReport) -> None:
    path = path_of(song)
    if path is None:
        return
    whole = st.expander("Hear the whole song", on_change="rerun", key=f"hear-{song.digest}")
    if whole.open:  # a whole song is megabytes that few ask for
        whole.audio(path.read_bytes(), format=_mime(report))


def _key(song: Brought) -> str:
    return f"listen-{song.digest}"


def _time_of(seconds: float) -> time:
    """Seconds as a time of day, which sliders show as m:ss."""
    whole = round(seconds)
    return time(whole // 3600, whole // 60 % 60, whole % 60)


def _mime(report: SongReport) -> str:
    kinds = {"MP3": "audio/mpeg", "FLAC": "audio/flac", "OGG": "audio/ogg", "M4A": "audio/mp4"}
    return kinds.get(report.info.container, "audio/wav")

"""Analyse: drop songs, hear the highlight, see the tags, and where each would stand."""

import streamlit as st

from ui.analyse import intake, reports, sidebyside, songs, table, view
from ui.analyse.songs import choice_of
from ui.frame import page
from ui.server.uploads import keep_hours

page.header(
    "Analyse",
    "Drop songs here. Hear the 30 seconds that matter, see what a network hears in them, and where "
    "each would stand among real songs, with how sure that is.",
    f"uploads stay on this server, are yours alone and are deleted after {keep_hours():g} h",
)

with page.error_boundary():
    intake.show()
    song, problem = songs.in_view()
    if problem is not None:
        st.warning(problem, icon=":material/lock:")
    choice = choice_of(song) if song is not None else None
    ticked = table.show(song)
    if not songs.brought():
        page.empty_state(
            "Nothing here yet. Drop a song above, or try a demo song. A report takes seconds.",
            ":material/library_music:",
        )
    if len(ticked) == 2:
        sidebyside.show(*ticked)
    report = None if song is None else reports.in_view(song, choice)
    if report is not None:
        songs.note_opened(song, choice)
        st.divider()
        view.show(song, report, choice)

"""Analyse: drop songs, hear the highlight, see the tags, and where each would stand."""

import streamlit as st

from hitcore.errors import HitcoreError
from ui.analyse import songs
from ui.analyse import table as songtable
from ui.analyse import view as songview
from ui.frame import page
from ui.server.uploads import KEEP_HOURS

page.header(
    "Analyse",
    "Drop songs here. Hear the 30 seconds that matter, see what a network hears in them, and how "
    "likely each is to be a hit.",
    f"uploads stay on this server, are yours alone and are deleted after {KEEP_HOURS:.0f} h",
)

left, right = st.columns([4, 5], gap="medium", vertical_alignment="center")
with left:
    uploads = st.file_uploader(
        "Songs: MP3, M4A, FLAC, WAV, OGG, Opus or AIFF, up to 30 minutes each",
        accept_multiple_files=True,
        key="uploads",
    )
with right:
    demos = songs.demo_songs()
    tried = st.pills("Or try a demo song", list(demos), key="demo-song") if demos else None

songs.choices()  # the address of the first visit, before anything below changes it
for upload in uploads:
    if upload.file_id not in st.session_state.setdefault("seen", set()):
        st.session_state["seen"].add(upload.file_id)
        st.query_params["song"] = songs.bring(upload.name, upload.getvalue()).digest
if tried and st.session_state.get("tried") != tried:
    st.query_params["song"] = songs.bring(tried, demos[tried].read_bytes()).digest
st.session_state["tried"] = tried
if "song" in st.query_params:
    songs.reopen(st.query_params["song"])

found, failed = {}, []
for song in songs.brought():
    with st.container():
        report = songs.report_of(song, songs.choice_of(song))
    if isinstance(report, HitcoreError):
        failed.append((song, report))
    else:
        found[song] = report

for song, error in failed:
    page.show_error(error, song.name)
if not found and not failed:
    page.empty_state(
        "Nothing here yet. Drop a song above, or try a demo song. A report takes a few seconds.",
        ":material/library_music:",
    )
if found:
    opened = songtable.choose(found) if len(found) > 1 else next(iter(found))
    chosen = songs.choice_of(opened)
    songs.into_address({"song": opened.digest, **songs.address_of(chosen)})
    st.divider()
    with page.error_boundary():
        songview.show(opened, found[opened], chosen)

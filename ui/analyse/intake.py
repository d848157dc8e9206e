"""How songs come in: dropped on the page, or one of the demo songs."""

import streamlit as st

from ui.analyse import songs
from ui.frame.page import error_boundary


def show() -> None:
    """The place to drop songs; what was dropped is in the library once this returns."""
    left, right = st.columns([4, 5], gap="medium", vertical_alignment="center")
    with left:
        # A new key after each drop: the files are in the library then, and a second list of them
        # would grow here, whose crosses remove nothing.
        uploads = st.file_uploader(
            "Songs: MP3, M4A, FLAC, WAV, OGG, WebM, WMA and others, up to 30 minutes each",
            accept_multiple_files=True,
            key=f"uploads-{st.session_state.setdefault('n-drops', 0)}",
        )
    demos = songs.demo_songs()
    with right:
        tried = None
        if demos:
            tried = st.pills(
                "Or try a demo song", list(demos), key=f"demo-song-{st.session_state['n-drops']}"
            )
    if not uploads and not tried:
        return
    brought = []
    with error_boundary():
        for upload in uploads:
            brought.append(songs.bring(upload.name, upload.getvalue()))
        if tried:
            brought.append(songs.bring(tried, demos[tried].read_bytes()))
    if brought:
        songs.open_song(brought[0].digest)
        st.session_state["n-drops"] += 1
        st.rerun()

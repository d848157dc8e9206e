"""How songs come in: dropped on the page, or one of the demo songs."""

from collections.abc import Sequence

import streamlit as st

from hitcore.errors import HitcoreError
from ui.analyse import reports, songs
from ui.frame.page import show_error


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
                "Or try a demo song",
                list(demos),
                key=f"demo-song-{st.session_state['n-drops']}",
                wrap=True,  # on a phone they would be cut
            )
    _room()
    if not uploads and not tried:
        return
    brought, refused = [], list[HitcoreError]()
    given = [(upload.name, upload.getvalue) for upload in uploads]
    given += [(tried, demos[tried].read_bytes)] if tried else []
    for name, content in given:
        try:
            brought.append(songs.bring(name, content()))
        except HitcoreError as error:
            refused.append(error)
    st.session_state["not-kept"] = refused_words(refused, len(given))
    if brought:
        songs.open_song(brought[0].digest)
    st.session_state["n-drops"] += 1
    st.rerun()


def _room() -> None:
    """What was refused last, and a warning where little room is left for this visitor."""
    not_kept = st.session_state.get("not-kept")
    if not_kept:
        show_error(HitcoreError(not_kept))
        if st.button("Dismiss", key="not-kept-seen"):
            st.session_state["not-kept"] = None
            st.rerun()
    nearly = reports.usage().nearly()
    if nearly is not None:
        st.warning(
            f"You have {nearly}: beyond that this server takes no more. Songs that you remove make "
            "room at once.",
            icon=":material/inventory_2:",
        )


def refused_words(refused: Sequence[HitcoreError], n_given: int) -> str | None:
    """Why some of the songs were not kept, on one line; None where all were.

    Example:
        >>> refused_words([HitcoreError("there is no room")], 1)
        'The song was not kept: there is no room'
        >>> refused_words(2 * [HitcoreError("there is no room")], 3)
        '2 of 3 songs were not kept. The first: there is no room'
    """
    if not refused:
        return None
    n = len(refused)
    if n_given == 1:
        return f"The song was not kept: {refused[0]}"
    if n == 1:
        return f"1 of {n_given:,} songs was not kept: {refused[0]}"
    return f"{n:,} of {n_given:,} songs were not kept. The first: {refused[0]}"

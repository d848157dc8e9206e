"""What the owner of the song in view can do with it: call it otherwise, share it, remove it."""

from urllib.parse import urlencode, urlsplit

import streamlit as st

from ui.analyse import reports, songs
from ui.analyse.songs import Brought
from ui.server.visitors import current_owner


def buttons(song: Brought, name: str) -> None:
    """Rename, share and remove, each behind a button of its own."""
    with st.container(horizontal=True):
        with st.popover("Rename", icon=":material/edit:"), st.form("rename", border=False):
            new = st.text_input("Name", name, max_chars=200, key=f"name-{song.digest}")
            if st.form_submit_button("Rename"):
                songs.library().rename(current_owner(), song.digest, new)
                st.rerun()
        with st.popover("Share", icon=":material/link:"):
            _share(song)
        with st.popover("Remove", icon=":material/delete:"):
            st.markdown("Delete this song: sound, report and links. This cannot be undone.")
            if st.button("Delete", icon=":material/delete:", key="remove-one"):
                reports.remove([song.digest])
                songs.open_song(None)
                st.rerun()


def _share(song: Brought) -> None:
    owner = current_owner()
    word = songs.library().word_of(owner, song.digest)
    if word is None:
        st.markdown(
            "Nobody but you can open this song. With a link, anybody on this server can hear it "
            "and see its report, until you end that or the song's time is over."
        )
        if st.button("Make a link", icon=":material/add_link:", key="share"):
            songs.library().share(owner, song.digest)
            st.rerun()
        return
    st.markdown("Anybody on this server can open this link. Copy it:")
    st.code(address_of(word), language=None, wrap_lines=True)
    if st.button("End sharing", icon=":material/link_off:", key="unshare"):
        songs.library().unshare(owner, song.digest)
        st.rerun()


def address_of(word: str) -> str:
    """The address under which a shared song opens, as the visitor's browser reaches this server."""
    here = urlsplit(str(st.context.url or ""))
    base = f"{here.scheme}://{here.netloc}" if here.netloc else ""
    return f"{base}{here.path or '/'}?{urlencode({'shared': word})}"

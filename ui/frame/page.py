"""The frame of every page: title, one line of introduction, the strip, and the error boundary."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from hitcore.errors import HitcoreError
from ui.server import access


def header(title: str, lead: str, *strip: str) -> None:
    """Open a page: its title, what it is for, and the data and models in view.

    Args:
        title: Sentence case, a few words.
        lead: One sentence that a stranger understands.
        strip: Parts of the slim line that names the data and the model in view.
    """
    access.enter()  # app.py asks first; this holds where a page is run past it
    st.title(title, anchor=False)
    st.markdown(lead)
    if strip:
        st.caption(" · ".join(plain(part) for part in strip))


@contextmanager
def error_boundary() -> Iterator[None]:
    """Show the user's errors as one line in words; let our own bugs show as bugs."""
    try:
        yield
    except HitcoreError as error:
        show_error(error)


def show_error(error: HitcoreError, name: str | None = None) -> None:
    """One line that says what is wrong and what to do next; the chain of causes folded away."""
    line = " ".join(str(error).split())
    st.error(plain(f"{name}: {line}" if name else line), icon=":material/error:")
    causes = []
    cause = error.__cause__
    while cause is not None:
        causes.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    if causes:
        with st.expander("Details"):
            st.text("\n".join(causes))


def empty_state(message: str, icon: str = ":material/inbox:") -> None:
    """Say what is missing here and how to bring it, in place of an empty chart."""
    st.info(message, icon=icon)


def plain(text: str) -> str:
    """`text` so that Markdown shows it letter by letter: no links, images, HTML or directives.

    Names of files, songs and artists come from strangers; this is the only way they reach a page.

    Example:
        >>> plain("<img onerror=x> *a*")
        '\\\\<img onerror\\\\=x\\\\> \\\\*a\\\\*'
    """
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:=@&^])", r"\\\1", text.replace("\n", " "))


def clock(seconds: float) -> str:
    """Seconds as m:ss.

    Example:
        >>> clock(64.4)
        '1:04'
    """
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def percent(value: float, digits: int = 0) -> str:
    """A fraction as a percentage with a narrow space.

    Example:
        >>> percent(0.875, 1)
        '87.5 %'
    """
    return f"{100 * value:.{digits}f} %"


def ppm(share: float) -> str:
    """A market share in the unit that suits it: parts per million, or per cent from 0.1 % on.

    Example:
        >>> ppm(3.1e-6), ppm(0.0016)
        ('3.1 ppm', '0.16 %')
    """
    if share >= 1e-3:
        return f"{100 * share:.2g} %"
    return f"{share * 1e6:.3g} ppm"

"""How a chart stands on a page: title, picture, how to read it, and its numbers."""

import altair as alt
import pandas as pd
import streamlit as st

from ui.frame.page import plain

DEFANGED = ("=", "+", "-", "@", "\t", "\r")


def figure(
    title: str,
    chart: alt.TopLevelMixin,
    how_to_read: str,
    table: pd.DataFrame | None = None,
    *,
    key: str,
    on_select: str = "ignore",
) -> object:
    """Show an Altair chart under a title that states its finding, with a caption and its numbers.

    Args:
        title: The finding or the question, in sentence case.
        chart: The chart, without a title of its own.
        how_to_read: One sentence; also the chart's text alternative.
        table: The numbers behind the chart, offered behind an expander and as a download.
        key: Unique on the page.
        on_select: As in `st.altair_chart`.

    Returns:
        The selection state where `on_select` is "rerun".
    """
    st.markdown(f"**{plain(title)}**")
    state = st.altair_chart(
        chart,
        width="stretch",
        key=f"{key}-chart",
        on_select=on_select,
        alt=f"{title}. {how_to_read}",
    )
    st.caption(how_to_read)
    if table is not None:
        numbers(table, key=key)
    return state


def numbers(table: pd.DataFrame, *, key: str) -> None:
    """The numbers behind a chart: folded away, and as a CSV file."""
    with st.expander("Numbers"):
        st.dataframe(table, hide_index=True, key=f"{key}-table")
        st.download_button(
            "Download CSV",
            csv_bytes(table),
            file_name=f"{key}.csv",
            mime="text/csv",
            key=f"{key}-csv",
            icon=":material/download:",
            on_click="ignore",
        )


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV whose cells no spreadsheet takes for a formula.

    Example:
        >>> csv_bytes(pd.DataFrame({"title": ["=cmd()", "Song"]})).decode().split()
        ['title', "'=cmd()", 'Song']
    """
    safe = table.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = [defang(cell) for cell in safe[column]]
    return safe.to_csv(index=False).encode()


def defang(cell: object) -> object:
    """A text cell with an apostrophe before anything that would start a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(DEFANGED) else cell

"""A catalogue of one's own, made on the Experiments page: a table of songs, and a folder of sound.

The table is uploaded; a folder is named, and only what the server's owner permits is taken
(`ui.experiments.audioroots`). The catalogue appears whole or not at all.
"""

import tempfile
from pathlib import Path

import streamlit as st

from hitcore.catalogue.tableheads import TableHead, read_head
from hitcore.errors import HitcoreError, ParameterError
from hitcore.featurestore import ScoredWorkspace, create_scored
from ui.experiments import audioroots
from ui.frame import page
from ui.server import jobs, workspaces

ENDINGS = ("csv", "tsv", "txt", "parquet", "gz", "bz2", "xz", "zip")
"""Of the tables that are taken; what a table holds is told by its content."""
SHOWN = 5
"""Rows of the preview."""
LEAVE_OUT = "Leave out songs whose number cannot be right, and songs without sound"
REMEDIES = {
    "leave them out with --skip-bad-rows": f"choose “{LEAVE_OUT}”",
    "leave such songs out with --skip-bad-rows": f"choose “{LEAVE_OUT}”",
    "give --attributes": "choose attributes",
    "name it with --column NAME": "choose it above",
}
"""What messages for the command line say, and what a person does here."""


def own_catalogue() -> None:
    """Ask for a table, say what its columns are taken for, and make the catalogue."""
    st.markdown(
        "One row per song with one number: popularity, listens, chart weeks. Sound may come from a "
        "folder on this server; columns of numbers (tempo, energy) serve rows that need no sound."
    )
    table = st.file_uploader(
        "Table of songs: CSV, TSV or Parquet, compressed or not",
        type=list(ENDINGS),
        key="own-table",
    )
    if table is None:
        return
    with page.error_boundary():
        content = table.getvalue()
        head = _head(table.name, content)
        st.dataframe(head.rows.head(SHOWN), hide_index=True, key="own-preview")
        left, middle, right = st.columns(3)
        columns = list(head.columns)
        song_id = left.selectbox("Song id", columns, _place(columns, head.song_id), key="own-id")
        others = [name for name in columns if name != song_id]
        score = middle.selectbox(
            "Number to predict", others, _place(others, next(iter(head.scores), None)),
            key="own-score",
        )  # fmt: skip
        name = right.text_input("Name of the catalogue", "mine", max_chars=40, key="own-name")
        attributes = st.multiselect(
            "Attributes: columns of numbers for rows that need no sound",
            [column for column in head.numbers if column not in (song_id, score)],
            key="own-attributes",
        )
        folder = _folder()
        skip = st.toggle(LEAVE_OUT, key="own-skip")
        if st.button("Make the catalogue", key="own-create", icon=":material/add:"):
            made = make(
                name, table.name, content, song_id, str(score), attributes,
                folder=folder, skip_bad_rows=skip,
            )  # fmt: skip
            st.session_state["own-made"] = (name, told(made))
            st.rerun()


def made_before() -> str | None:
    """Say what became of the catalogue that was made a moment ago; its name, or None."""
    name, words = st.session_state.pop("own-made", (None, ""))
    if words:
        st.success(page.plain(words), icon=":material/check_circle:")
    return name


def make(
    name: str,
    file_name: str,
    content: bytes,
    song_id: str,
    score: str,
    attributes: list[str],
    *,
    folder: str = "",
    skip_bad_rows: bool = False,
) -> ScoredWorkspace:
    """Make the workspace; where anything cannot be right, nothing is left of it.

    Args:
        name: Of the workspace.
        file_name: What the visitor calls the table; shown, never used as a path.
        content: The table.
        song_id: The column that names songs.
        score: The column of the number to predict.
        attributes: Columns of numbers.
        folder: Of sound, as the visitor wrote it; empty for none.
        skip_bad_rows: As in `create_scored`.

    Raises:
        HitcoreError: the reason in one line, with what to do on the page.
    """
    if not jobs.NAME.fullmatch(name):
        raise ParameterError(f"name {name!r}: letters, digits, - and _ are allowed")
    if name in workspaces.names():
        raise ParameterError(f"there is a catalogue {name!r} already: choose another name")
    audio = audioroots.permitted(folder) if folder.strip() else None
    with tempfile.TemporaryDirectory(prefix="hitcore-table-") as place:
        path = _written(Path(place), file_name, content)
        try:
            return create_scored(
                workspaces.root() / name,
                path,
                audio=audio,
                attributes=attributes,
                column=score,
                mapping={"song_id": song_id},
                skip_bad_rows=skip_bad_rows,
            )
        except HitcoreError as error:
            raise type(error)(_in_words_of_the_page(str(error), path.name, file_name)) from error


def told(made: ScoredWorkspace) -> str:
    """What became of the songs, in a sentence."""
    counts = f"{made.n_songs:,} songs with a number, {made.n_with_sound:,} of them with sound"
    left = f", {made.n_left_out:,} left out for want of sound" if made.n_left_out else ""
    return f"{made.workspace.path.name} is made: {counts}{left}."


def _folder() -> str:
    """A folder of sound below what the owner permits; empty for none."""
    permitted = audioroots.roots()
    if not permitted:
        st.caption(
            "Sound: the owner of this server has permitted no folder. They permit what lies below "
            f"one by starting it with {audioroots.VARIABLE}=/path/to/music."
        )
        return ""
    names = page.plain(", ".join(str(path) for path in permitted))
    return st.text_input(
        "Folder of sound files on this server, named by song id (leave empty for none)",
        key="own-folder",
        help=f"Below {names}, at any depth. A column `source` may name each song's file instead.",
    )


@st.cache_data(max_entries=4, show_spinner=False)
def _head(file_name: str, content: bytes) -> TableHead:
    with tempfile.TemporaryDirectory(prefix="hitcore-table-") as place:
        path = _written(Path(place), file_name, content)
        try:
            return read_head(path)
        except HitcoreError as error:
            raise type(error)(_in_words_of_the_page(str(error), path.name, file_name)) from error


def _written(place: Path, file_name: str, content: bytes) -> Path:
    """The table as a file of our own name; only a known ending is kept of the visitor's."""
    ending = Path(file_name).suffix.lower()
    path = place / f"table{ending if ending[1:] in ENDINGS else '.csv'}"
    path.write_bytes(content)
    return path


def _in_words_of_the_page(message: str, stored: str, file_name: str) -> str:
    for theirs, ours in {stored: file_name[-80:], **REMEDIES}.items():
        message = message.replace(theirs, ours)
    return message


def _place(columns: list[str], wanted: str | None) -> int:
    return columns.index(wanted) if wanted in columns else 0

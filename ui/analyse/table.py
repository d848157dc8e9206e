"""The list of a visitor's songs: rows that fill as reports are made, and what to do with them.

A click on a song's name opens it below, a click on its time plays its highlight, ticks choose songs
for comparing, taking away and removing. While songs are at work this part of the page looks again
every second, and the page itself once the song in view is ready.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

from hitcore.errors import HitcoreError
from ui.analyse import exports, reports, songs
from ui.analyse.songs import Brought
from ui.analyse.summary import Place, called
from ui.frame import page
from ui.frame.page import clock, plain
from ui.server.background import Progress
from ui.server.library import Entry
from ui.server.queue import used_up_words
from ui.server.quotas import minutes
from ui.server.uploads import keep_hours
from ui.server.visitors import current_owner

POLL_S = 1.0
POLL_ONE_S = 0.4
N_ROWS_IN_VIEW = 8
N_FAULTS_IN_VIEW = 3
ROW_PX = 36


def show(in_view: Brought | None) -> list[Brought]:
    """The list, with the song in view marked; the songs that are ticked."""
    owner = current_owner()
    n_outside = reports.want_all(None if in_view is None else in_view.digest)
    if n_outside:
        st.info(outside_words(n_outside, songs.library().quota.waiting), icon=":material/pending:")
    at_work = reports.background().progress(owner)
    waits = in_view is not None and in_view.digest in reports.background().pending(owner)
    if at_work is None:
        _body(in_view, None, waits=False)
    else:
        every = POLL_ONE_S if at_work.n_total <= 2 else POLL_S
        st.fragment(_body, run_every=every)(in_view, at_work, waits=waits)
    ticked: list[Brought] = st.session_state.get("ticked", [])
    return ticked


def _body(in_view: Brought | None, was_at_work: Progress | None, *, waits: bool) -> None:
    """The list as it is now; the whole page runs again once there is more to show."""
    owner = current_owner()
    progress = reports.background().progress(owner)
    pending = reports.background().pending(owner)
    if was_at_work is not None:
        ready = waits and in_view is not None and in_view.digest not in pending
        if progress is None or ready or st.session_state.get("open-next"):
            st.rerun()
    entries = songs.library().songs(owner)
    if progress is not None:
        _at_work(progress)
    if not entries:
        st.session_state["ticked"] = []
        return
    left_out = [entry for entry in entries if entry.paused]
    if left_out and progress is None:
        _go_on(left_out)
    _faults([entry for entry in entries if entry.fault is not None])
    st.subheader(f"Your songs ({len(entries)})", anchor=False)
    ticked = _table(entries, in_view, pending)
    songs_ticked = [Brought(entry.digest, entry.name) for entry in ticked]
    if was_at_work is not None and songs_ticked != st.session_state.get("ticked", []):
        st.session_state["ticked"] = songs_ticked
        st.rerun()
    st.session_state["ticked"] = songs_ticked
    _player()
    _actions(entries, ticked)
    st.caption(reports.usage().words())
    st.caption(
        f"Click a name to open it, a time to hear its highlight; tick two to compare them. Kept on "
        f"this server for {keep_hours():g} h after you last opened them, for you alone."
    )


# --- work that goes on ---------------------------------------------------------------------------


def _at_work(progress: Progress) -> None:
    """What is at work, how long it will take, and the way to stop it."""
    left, right = st.columns([5, 1], vertical_alignment="center")
    n_done, n_total = progress.n_done, progress.n_total
    left.progress(
        min(1.0, (n_done + progress.fraction) / max(n_total, 1)), text=plain(work_words(progress))
    )
    if right.button("Cancel", icon=":material/close:", key="cancel-songs"):
        owner = current_owner()
        songs.library().pause(owner, reports.background().cancel(owner))
        st.rerun()


def work_words(progress: Progress) -> str:
    """Which song of how many, its title, its stage, and the time left.

    Example:
        >>> work_words(Progress(11, 100, "k", "Miedo", "Scoring", 0.8, 0, 0, 130.0))
        'Song 12 of 100, Miedo: scoring. 2 min left'
        >>> work_words(Progress(0, 1, "k", "Miedo", "", 0.0, 3, 1, None))
        'Song 1 of 1, Miedo: 2 before you in the queue'
    """
    if progress.free_in_s:
        stage = used_up_words(progress.free_in_s)
    elif progress.place:
        stage = reports.place_words(progress.place)
        stage = stage[0].lower() + stage[1:]
    else:
        stage = (progress.stage or "Starting").lower()
    words = f"Song {progress.n_done + 1} of {progress.n_total}, {progress.title}: {stage}"
    if progress.seconds_left is not None and progress.n_total > 1:
        words += f". {minutes(progress.seconds_left)} left"
    return words


def outside_words(n_outside: int, room: int) -> str:
    """What is said where an owner's line is full.

    Example:
        >>> outside_words(20, 100)[:62]
        'Your line is full with 100 songs. 20 more are kept and join it'
    """
    verb = "are kept and join" if n_outside > 1 else "is kept and joins"
    return (
        f"Your line is full with {room:,} songs. {n_outside:,} more {verb} it when these are done "
        "and this page is open."
    )


def _go_on(left_out: list[Entry]) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    n = len(left_out)
    left.info(
        f"{n} song{'s were' if n > 1 else ' was'} left out when you cancelled. What was done is "
        "kept.",
        icon=":material/pause:",
    )
    if right.button("Go on", icon=":material/play_arrow:", key="go-on"):
        songs.library().pause(current_owner(), [e.digest for e in left_out], paused=False)
        st.rerun(scope="app")


def _faults(faulty: list[Entry]) -> None:
    """What cannot be analysed and why: a few in view, the others folded away."""
    for entry in faulty[:N_FAULTS_IN_VIEW]:
        page.show_error(HitcoreError(entry.fault), entry.name)
    if len(faulty) > N_FAULTS_IN_VIEW:
        with st.expander(f"{len(faulty) - N_FAULTS_IN_VIEW} more that cannot be analysed"):
            for entry in faulty[N_FAULTS_IN_VIEW:]:
                page.show_error(HitcoreError(entry.fault), entry.name)
    if faulty and st.button(
        "Remove what cannot be analysed", icon=":material/delete_sweep:", key="remove-faulty"
    ):
        reports.remove([entry.digest for entry in faulty])
        st.rerun(scope="app")


# --- the rows ------------------------------------------------------------------------------------


def _table(entries: list[Entry], in_view: Brought | None, pending: set[str]) -> list[Entry]:
    """The rows, the last brought first and the one that the visit began with on top."""
    entries = _in_order(entries, in_view)
    table = pd.DataFrame(
        [_row(entry, is_open=_is_open(entry, in_view), waits=entry.digest in pending)
         for entry in entries]
    )  # fmt: skip
    if not table["To know"].any():
        del table["To know"]
    digests = [entry.digest for entry in entries]
    state = st.dataframe(
        table,
        hide_index=True,
        height=ROW_PX * (min(len(entries), N_ROWS_IN_VIEW) + 1) + 3,
        row_height=ROW_PX,
        on_select="rerun",
        selection_mode="multi-row",
        # Ticks belong to rows: where the rows are others, they would stand at other songs.
        key=f"songs-table-{hash(tuple(digests))}",
        column_config=_columns(digests),
        placeholder="",
        alt="One row for each song with its place, highlight, waveform and strongest tags.",
    )
    return [entries[i] for i in state["selection"]["rows"] if i < len(entries)]


def _in_order(entries: list[Entry], in_view: Brought | None) -> list[Entry]:
    """The last first; the song that was in view when the visit began stands on top."""
    top = st.session_state.setdefault("on-top", in_view.digest if in_view else None)
    return sorted(entries, key=lambda entry: (entry.digest != top, -entry.added))


def _is_open(entry: Entry, in_view: Brought | None) -> bool:
    return in_view is not None and in_view.is_own and entry.digest == in_view.digest


def _row(entry: Entry, *, is_open: bool, waits: bool) -> dict[str, object]:
    line = entry.line or {}
    name = called(entry.name, line.get("title"), line.get("artist"))
    places = [Place(**known) for known in line.get("places", [])]
    first = places[0] if places else None
    state = "" if entry.line else _state(entry, waits=waits)
    highlight = line.get("highlight")
    return {
        "Song": ("▸ " if is_open else "") + _label(name),
        "Percentile": _percent(first),
        "Place": state if first is None else first.words(),
        "Highlight": f":material/play_arrow: {clock(highlight[0])}" if highlight else None,
        "Waveform": line.get("wave"),
        "Strongest tags": ", ".join(line.get("tags", [])),
        "To know": ", ".join(line.get("flags", [])),
        "Brought": datetime.fromtimestamp(entry.added, _zone()).strftime("%-d %b, %H:%M"),
    }


def _percent(first: Place | None) -> int | None:
    """A percentile in whole hundredths, rounded as in the words beside it.

    Example:
        >>> _percent(Place("m", "M", False, 0.726, 0.4, 1.0, None, 1.0, True, ""))
        73
    """
    return None if first is None or first.percentile is None else round(100 * first.percentile)


def _state(entry: Entry, *, waits: bool) -> str:
    if entry.fault is not None:
        return "cannot be analysed"
    if waits:
        return "waits"
    return "left out" if entry.paused else "waits for room in the line"


def _label(name: str) -> str:
    """A stranger's name as the label of a button, which reads icons between colons."""
    return name.replace(":material/", ": material/").replace(":", "\N{RATIO}")


def _columns(digests: list[str]) -> dict[str, object]:
    config = st.column_config
    return {
        "Song": config.ButtonColumn(
            "Song", width=190, pinned=True, alignment="left", type="tertiary",
            on_click=_open_row, args=(digests,), key="open-row",
        ),
        "Percentile": config.ProgressColumn(
            "Percentile", min_value=0, max_value=100, format="%d", width=95,
            help="Share of the reference songs that the first model puts below this one.",
        ),
        "Place": config.TextColumn(
            "Place (interval)", width=190,
            help="The percentile with its 80 % interval, or why there is none.",
        ),
        "Highlight": config.ButtonColumn(
            "Highlight", width=95, type="tertiary", on_click=_play_row, args=(digests,),
            key="play-row",
        ),
        "Waveform": config.BarChartColumn("Waveform", y_min=0, y_max=1, width=120),
        "Strongest tags": config.TextColumn("Strongest tags", width="medium"),
        "To know": config.TextColumn("To know", width=140),
        "Brought": config.TextColumn("Brought", width=110),
    }  # fmt: skip


def _open_row(digests: list[str]) -> None:
    click = st.session_state["open-row"]
    if click is not None and click.row < len(digests):
        songs.open_song(digests[click.row])
        st.session_state["open-next"] = True


def _play_row(digests: list[str]) -> None:
    click = st.session_state["play-row"]
    if click is not None and click.row < len(digests):
        st.session_state["playing"] = digests[click.row]


def _player() -> None:
    """The highlight that was asked for in the table, playing."""
    digest = st.session_state.get("playing")
    entry = songs.library().entry(current_owner(), digest) if digest else None
    if entry is None or entry.line is None:
        return
    song = Brought(entry.digest, entry.name)
    start, end = entry.line["highlight"]
    words, player = st.columns([1, 2], vertical_alignment="center")
    name = called(entry.name, entry.line["title"], entry.line["artist"])
    words.markdown(f"Highlight of **{plain(name)}**, {clock(start)} – {clock(end)}")
    with page.error_boundary():
        player.audio(exports.clip_of(song, start, end), format="audio/wav", autoplay=True)


# --- what can be done ----------------------------------------------------------------------------


def _actions(entries: list[Entry], ticked: list[Entry]) -> None:
    """Take away or remove the ticked songs, or all of them."""
    chosen = ticked or entries
    which = f"{len(ticked)} ticked" if ticked else "all"
    with st.container(horizontal=True):
        exports.batch_buttons([entry for entry in chosen if entry.line is not None], which)
        with st.popover(f"Remove {which}", icon=":material/delete:"):
            n = len(chosen)
            st.markdown(
                f"Delete {n} song{'s' if n > 1 else ''} from this server: sound, report and links. "
                "This cannot be undone."
            )
            if st.button("Delete", icon=":material/delete:", key="remove-chosen"):
                reports.remove([entry.digest for entry in chosen])
                if st.query_params.get("song") in {entry.digest for entry in chosen}:
                    songs.open_song(None)
                st.rerun(scope="app")


def kept_until_words(moment: float) -> str:
    """When a song's time is over, in the visitor's time."""
    zone = _zone()
    until, now = datetime.fromtimestamp(moment, zone), datetime.now(zone)
    if until.date() == now.date():
        return f"{until:%H:%M} today"
    if until.date() == (now + timedelta(days=1)).date():
        return f"tomorrow {until:%H:%M}"
    return f"{until:%-d %B, %H:%M}"


def _zone() -> ZoneInfo:
    name = st.context.timezone
    try:
        return ZoneInfo(name if isinstance(name, str) else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")

"""The tags of one song on the Analyse page: one tagger's, or two taggers' side by side."""

from functools import partial

import pandas as pd
import streamlit as st

from hitcore import weights
from hitcore.analysis.song import SongReport, clip_taggram, whole_taggram
from hitcore.errors import HitcoreError
from hitcore.taggers import Taggram
from ui.analyse import charts as songcharts
from ui.analyse import tagpairs
from ui.analyse.reports import OnStage, view_of
from ui.analyse.songs import (
    TAGGERS,
    Brought,
    Choice,
    choose,
    into_address,
    path_of,
)
from ui.analyse.tagpairs import TagPairs
from ui.frame import charts
from ui.frame.page import error_boundary, plain

NOBODY = "nobody"
N_APART = 6


def show(song: Brought, report: SongReport, choice: Choice) -> None:
    """The tags of the highlight, beside those of a second tagger if wanted, and over time."""
    st.markdown("**What it sounds like**")
    second = _taggers(song, report, choice)
    pairs = _pairs(song, report, second) if second else None
    left, right = st.columns([2, 3], gap="medium")
    with left:
        _bars(song, report) if pairs is None else _paired(song, pairs)
    with right:
        _over_time(song, report)
    if pairs is not None and (pairs.only_first or pairs.only_second):
        _apart(song, pairs)


# --- who hears -----------------------------------------------------------------------------------


def _taggers(song: Brought, report: SongReport, choice: Choice) -> str | None:
    """Choose the tagger and the one to see beside it; the second, where one is chosen."""
    key = song.digest[:12]
    absent = {name for name in TAGGERS if not weights.is_installed(name)}

    def label(name: str) -> str:
        return f"{name} (not installed)" if name in absent else name

    first_place, second_place, _ = st.columns([1, 1, 2], gap="medium")
    first = first_place.selectbox(
        "Tags by", TAGGERS, TAGGERS.index(report.tagger), format_func=label, key=f"tagger-{key}"
    )
    others = [NOBODY, *(name for name in TAGGERS if name != report.tagger)]
    # A look at another page takes the address away: the visit remembers it.
    asked = st.query_params.get("beside", st.session_state.get("beside", NOBODY))
    second = second_place.selectbox(
        "Beside",
        others,
        others.index(asked) if asked in others else 0,
        format_func=label,
        key=f"beside-{key}-{report.tagger}",
        help="A second network hears the same passage. Where both agree, a tag is safer.",
    )
    st.session_state["beside"] = second
    into_address({"beside": None if second == NOBODY else second})
    if first != report.tagger and not _missing(first, absent):
        choose(song, Choice(choice.highlight, choice.window, first, choice.models))
    chosen = None if second == NOBODY else second
    return None if chosen is None or _missing(chosen, absent) else chosen


def _missing(name: str, absent: set[str]) -> bool:
    """Whether a tagger is not installed; if so, the line that gets it is shown."""
    if name not in absent:
        return False
    st.info(f"**{plain(name)}** is not installed yet. Get it on the Models page, or with:")
    st.code(f"hitcore weights fetch {name}", language=None)
    return True


def _pairs(song: Brought, report: SongReport, second: str) -> TagPairs | None:
    """Both taggers' tags of the highlight; None where the second cannot be heard."""
    path = path_of(song)
    window = (report.highlight.start, report.highlight.end)
    if path is None:
        st.caption("The upload was deleted in the meantime. Bring the song again to compare.")
        return None
    try:
        other = view_of(
            song, ("tags", window, second), partial(_clip_tags, str(path), window, second)
        )
    except HitcoreError as error:
        with error_boundary():
            raise error
        return None
    return tagpairs.pair(report.tagger, report.taggram, second, other)


def _clip_tags(path: str, window: tuple[float, float], tagger: str, on_stage: OnStage) -> Taggram:
    return clip_taggram(path, window, tagger, on_stage=on_stage)


def _whole_tags(path: str, tagger: str, on_stage: OnStage) -> Taggram:
    return whole_taggram(path, tagger, on_stage=on_stage)


# --- what it hears -------------------------------------------------------------------------------


def _bars(song: Brought, report: SongReport) -> None:
    strongest = report.tags[0][0] if report.tags else ""
    charts.figure(
        f"What {report.tagger} hears: above all “{strongest}”",
        songcharts.tag_bars(report.tags),
        "Longer bars: the tagger is surer that the tag fits the highlight.",
        pd.DataFrame(report.tags, columns=["tag", "activation"]),
        key=f"tags-{song.digest[:12]}",
    )


def _paired(song: Brought, pairs: TagPairs) -> None:
    words = (
        "One row per tag, the strongest first; the longer the line, the more the two disagree. "
        "Some taggers give higher values throughout: compare the order before the height."
    )
    if pairs.agreement is not None:
        words += (
            f" Over the {len(pairs.shared)} tags that both know, their orders agree with "
            f"{pairs.agreement:.2f} (Spearman's ρ; 1 is the same order, 0 is chance)."
        )
    charts.figure(
        pairs.finding(),
        tagpairs.paired_dots(pairs),
        words,
        pairs.table(),
        key=f"pairs-{song.digest[:12]}-{pairs.second}",
    )


def _apart(song: Brought, pairs: TagPairs) -> None:
    """The tags that only one of the two knows."""
    sides = ((pairs.first, pairs.only_first), (pairs.second, pairs.only_second))
    for column, (tagger, tags) in zip(st.columns(2, gap="medium"), sides, strict=True):
        with column:
            charts.figure(
                f"Only {tagger} knows these words",
                songcharts.tag_bars(tags, N_APART),
                f"The strongest of {len(tags)} tags that the other cannot give.",
                pd.DataFrame(tags, columns=["tag", "activation"]),
                key=f"apart-{song.digest[:12]}-{tagger}",
            )


def _over_time(song: Brought, report: SongReport) -> None:
    taggram, start = report.taggram, report.highlight.start
    st.markdown(f"**The tags over time**, by {plain(report.tagger)}")
    whole = st.toggle("Over the whole song", key=f"whole-{song.digest}")
    path = path_of(song)
    window = None
    with error_boundary():
        if whole and path is not None:
            key = ("whole", report.tagger)
            taggram = view_of(song, key, partial(_whole_tags, str(path), report.tagger))
            start, window = 0.0, (report.highlight.start, report.highlight.end)
    words = "Brighter: surer." + (" The lines mark the highlight." if window else "")
    st.plotly_chart(
        songcharts.taggram_map(taggram, start, window),
        key=f"taggram-{song.digest}",
        config={"displayModeBar": False},
        alt=f"The strongest tags over time. {words}",
    )
    st.caption(words)

"""One song on the Analyse page: what it is, where it would stand, and why."""

import json
from dataclasses import replace
from datetime import time, timedelta
from functools import partial

import pandas as pd
import streamlit as st

from hitcore.analysis.song import (
    BY_HAND,
    HIGHLIGHT_S,
    ModelScore,
    SongReport,
    evidence_of,
    highlight_clip,
)
from hitcore.audio import encode
from hitcore.highlights import DEFAULT_METHOD, METHODS, Evidence
from ui.analyse import charts as songcharts
from ui.analyse import tags as songtags
from ui.analyse.songs import (
    Brought,
    Choice,
    OnStage,
    brought,
    choice_of,
    choose,
    path_of,
    reports,
    view_of,
)
from ui.frame import charts, loaders
from ui.frame.page import clock, error_boundary, percent, plain, ppm

HIGHLIGHTERS = sorted(METHODS, key=lambda method: method != DEFAULT_METHOD)
"""The methods, the default first."""
MIX_WORDS = {
    "published": "as its prediction script mixes (audio + 0.5·tags)",
    "trained": "as it was trained (0.3·audio + 0.7·tags)",
}
FLAG_WORDS = {
    "truncated": "The end of this file is missing; what is there was analysed.",
    "silent": "This song is silent: its tags and scores mean nothing.",
    "shorter than 30 s": "The song is shorter than 30 s: all of it is the highlight, padded.",
    "no clear highlight": "Nothing in this song clearly comes back or stands out: listen, "
    "and move the window if you know better.",
}


def show(song: Brought, report: SongReport, choice: Choice) -> None:
    """Everything about one song."""
    _title(song, report)
    for flag in report.flags:
        st.warning(FLAG_WORDS.get(flag, flag), icon=":material/flag:")
    left, right = st.columns(2, gap="medium")
    with left:
        _scores(report)
    with right:
        _players(song, report, choice)
    _map(song, report)
    songtags.show(song, report, choice)
    _place(report)
    _exports(song, report)
    for note in report.notes:
        st.caption(plain(note))


def name_of(song: Brought, report: SongReport) -> str:
    """What a song is called: its tags, else the visitor's file name; untrusted."""
    if report.title and report.artist:
        return f"{report.title} — {report.artist}"
    return report.title or song.name


# --- the parts -----------------------------------------------------------------------------------


def _title(song: Brought, report: SongReport) -> None:
    info = report.info
    st.header(plain(name_of(song, report)), anchor=False)
    channels = {1: "mono", 2: "stereo"}.get(info.n_channels, f"{info.n_channels} channels")
    facts = (
        clock(info.duration_s),
        f"{info.sample_rate / 1000:g} kHz",
        channels,
        f"{info.container} {info.bit_rate / 1000:.0f} kb/s",
    )
    st.caption(" · ".join(facts))


def _scores(report: SongReport) -> None:
    with st.container(border=True):
        st.subheader("Where it would stand", anchor=False)
        if not report.scores:
            st.markdown("No hit model is installed yet. See the notes at the end of this page.")
        for score in report.scores:
            _percentile(score) if score.percentile_rank is not None else _published(score)


def _percentile(score: ModelScore) -> None:
    rank = score.percentile_rank
    assert rank is not None, "called for scores with a catalogue"
    place, share, chance = st.columns(3)
    place.metric("Percentile", f"{100 * rank.percentile:.0f}")
    share.metric("Share of plays", ppm(rank.share))
    chance.metric("Chance of the top 10 %", percent(rank.top10_chance))
    n = len(score.fold_scores)
    charts.figure(
        f"{n} models, trained on {n} different parts of the catalogue, agree within the grey bar",
        songcharts.percentile_strip(rank),
        "The mark is their mean; the bar runs from the lowest to the highest of them.",
        key=f"percentile-{score.model}",
    )
    demo = "**Demo:** this model learned from synthetic songs. " if score.demo else ""
    st.caption(f"{demo}{plain(score.provenance)}.")


def _published(score: ModelScore) -> None:
    st.markdown(f"**{plain(score.title)}**")
    if score.mixes:
        for column, (mix, share) in zip(
            st.columns(len(score.mixes)), score.mixes.items(), strict=True
        ):
            column.metric(f"Share, {mix} mix", ppm(share), help=MIX_WORDS.get(mix))
    elif score.share is not None:
        st.metric("Share of plays", ppm(score.share))
    else:
        st.metric("Score", f"{score.score:.3f}")
    rank, n = _rank_here(score)
    if n > 1:
        st.markdown(f"Rank **{rank} of {n}** among the songs analysed here.")
    st.caption(
        f"{plain(score.provenance)}. There is no catalogue behind this score, so it has no "
        "percentile: compare songs with each other."
    )


def _rank_here(score: ModelScore) -> tuple[int, int]:
    """The place of this score among those of the songs of this session, and their number."""
    others = []
    for song in brought():
        report = reports().get((song.digest, choice_of(song)))
        others += [s.score for s in report.scores if s.model == score.model] if report else []
    return 1 + sum(other > score.score for other in others), len(others)


def _players(song: Brought, report: SongReport, choice: Choice) -> None:
    chosen = report.highlight
    with st.container(border=True):
        st.subheader(f"Highlight {clock(chosen.start)} – {clock(chosen.end)}", anchor=False)
        path = path_of(song)
        if path is None:
            st.markdown("The upload was deleted in the meantime. Bring the song again to hear it.")
            return
        st.audio(clip_of(song, chosen.start, chosen.end), format="audio/wav")
        how = "by you" if chosen.method == BY_HAND else f"by the method *{plain(chosen.method)}*"
        st.caption(f"Exactly this passage was rated. Chosen {how}.")
        _choose_window(song, report, choice)
        whole = st.expander("Hear the whole song", on_change="rerun", key=f"hear-{song.digest}")
        if whole.open:  # a whole song is megabytes that few ask for
            whole.audio(path.read_bytes(), format=_mime(report))


def _choose_window(song: Brought, report: SongReport, choice: Choice) -> None:
    """Another window: another method's, one set by hand, or one of the next best."""
    if report.info.duration_s <= HIGHLIGHT_S:
        return
    key, chosen = song.digest[:12], report.highlight
    current = choice.highlight or DEFAULT_METHOD
    method = st.segmented_control(
        "Method",
        HIGHLIGHTERS,
        default=None if choice.window else current,
        key=f"method-{key}-{current}-{chosen.start:g}",
        help="repetition: what comes back, weighed by energy. attention: what a network attends "
        "to. middle: the middle of the song.",
    )
    if method and (method != current or choice.window):
        choose(song, replace(choice, highlight=method, window=None))
    start = _slider(report, key)
    if st.button("Rate this passage", key=f"use-start-{key}", disabled=start == chosen.start):
        choose(song, replace(choice, window=(start, start + HIGHLIGHT_S)))
    if report.alternatives:
        st.caption("Next best passages of the method")
        with st.container(horizontal=True):
            for begin, end in report.alternatives:
                label = f"{clock(begin)} – {clock(end)}"
                if st.button(label, key=f"alt-{key}-{begin:g}", icon=":material/play_arrow:"):
                    choose(song, replace(choice, window=(begin, end)))


def _slider(report: SongReport, key: str) -> float:
    """A start by hand on a scale of m:ss; the highlight's own start until it is moved."""
    chosen, latest = report.highlight.start, report.info.duration_s - HIGHLIGHT_S
    now, last = _time_of(chosen), _time_of(int(latest))
    if last <= time(0):
        return chosen
    start = st.slider(
        "Or move the start by hand",
        time(0),
        last,
        min(now, last),
        step=timedelta(seconds=1),
        format="m:ss",
        key=f"start-{key}-{chosen:g}",
    )
    seconds = float(60 * (60 * start.hour + start.minute) + start.second)
    return chosen if start == min(now, last) else min(seconds, latest)


def _time_of(seconds: float) -> time:
    """Seconds as a time of day, which sliders show as m:ss."""
    whole = round(seconds)
    return time(whole // 3600, whole // 60 % 60, whole % 60)


def _map(song: Brought, report: SongReport) -> None:
    st.markdown("**Where the highlight is, and why**")
    with_others = st.toggle("The evidence of every method", key=f"others-{song.digest}")
    others: list[Evidence] = []
    with error_boundary():
        path = path_of(song)
        if with_others and path is not None:
            others = view_of(("evidence", song.digest), partial(_evidence, str(path)))
    above = "how much speaks for each moment"
    if others:
        above = "what each method hears, on its own scale from 0 to 1; the strong line chose"
    words = f"Above: {above}. Middle: the waveform. The coloured band is the highlight."
    if any(score.frame_scores is not None for score in report.scores):
        words += " Below: which moments of the highlight raise the score."
    st.plotly_chart(
        songcharts.song_map(report, others),
        key=f"map-{song.digest}",
        config={"displayModeBar": False},
        alt=f"Evidence, waveform and highlight over time. {words}",
    )
    st.caption(words)
    charts.numbers(songcharts.evidence_table(report, others), key=f"evidence-{song.digest[:12]}")


def _evidence(path: str, on_stage: OnStage) -> list[Evidence]:
    return evidence_of(path, HIGHLIGHTERS, on_stage=on_stage)


def _place(report: SongReport) -> None:
    scored = next((score for score in report.scores if score.percentile_rank is not None), None)
    table = loaders.catalogue()
    if scored is None or scored.percentile_rank is None or table.empty:
        return
    charts.figure(
        "Where that is on the catalogue's long tail",
        songcharts.catalogue_place(table["hit_score"].to_numpy(float), scored.percentile_rank),
        "The curve is every song of the demo catalogue by rank; the line is this song's place, "
        "the band the spread of the models. Both axes are logarithmic.",
        key="catalogue-place",
    )


def _exports(song: Brought, report: SongReport) -> None:
    stem = f"hitcore-{report.content_hash[:12]}"
    document = report.to_dict() | {"name": song.name}
    with st.container(horizontal=True):
        st.download_button(
            "JSON",
            json.dumps(document, indent=2, ensure_ascii=False),
            f"{stem}.json",
            "application/json",
            icon=":material/data_object:",
            on_click="ignore",
        )
        st.download_button(
            "CSV",
            charts.csv_bytes(summary_row(song, report)),
            f"{stem}.csv",
            "text/csv",
            icon=":material/table:",
            on_click="ignore",
        )
        if path_of(song) is not None:
            st.download_button(
                "highlight.wav",
                clip_of(song, report.highlight.start, report.highlight.end),
                f"{stem}-highlight.wav",
                "audio/wav",
                icon=":material/music_note:",
                on_click="ignore",
            )


# --- what is shown in tables and kept ------------------------------------------------------------


def summary_row(song: Brought, report: SongReport) -> pd.DataFrame:
    """The report of a song on one line."""
    row: dict[str, object] = {
        "song": name_of(song, report),
        "duration_s": round(report.info.duration_s, 2),
        "highlight_start_s": round(report.highlight.start, 2),
        "highlight_end_s": round(report.highlight.end, 2),
        "highlight_method": report.highlight.method,
    }
    for score in report.scores:
        name = f"{score.model}{' (demo)' if score.demo else ''}"
        row[f"{name} score"] = score.score
        row[f"{name} share"] = score.share
        if score.percentile_rank is not None:
            row[f"{name} percentile"] = 100 * score.percentile_rank.percentile
    row |= dict(report.tags)
    return pd.DataFrame([row])


@st.cache_data(max_entries=16, show_spinner="Cutting the highlight")
def _clip(path: str, digest: str, start: float, end: float) -> bytes:
    return encode(highlight_clip(path, start, end))


def clip_of(song: Brought, start: float, end: float) -> bytes:
    """The highlight as a WAV file of its own; empty once the upload was deleted."""
    path = path_of(song)
    return b"" if path is None else _clip(str(path), song.digest, start, end)


def _mime(report: SongReport) -> str:
    kinds = {"MP3": "audio/mpeg", "FLAC": "audio/flac", "OGG": "audio/ogg", "M4A": "audio/mp4"}
    return kinds.get(report.info.container, "audio/wav")

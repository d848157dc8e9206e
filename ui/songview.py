"""One song on the Analyse page: what it is, where it would stand, and why."""

import json

import pandas as pd
import streamlit as st

from hitcore.analysis import (
    BY_HAND,
    HIGHLIGHT_S,
    ModelScore,
    SongReport,
    evidence_of,
    highlight_clip,
    whole_taggram,
)
from hitcore.audio import encode
from hitcore.highlights import DEFAULT_METHOD, METHODS
from ui import charts, loaders, songcharts
from ui.page import clock, error_boundary, percent, plain, ppm
from ui.songs import Brought, Choice, brought, path_of, reports
from ui.turns import machine_turns

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
        _scores(report, choice)
    with right:
        _players(song, report, choice)
    _map(song, report)
    _tags(song, report)
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


def _scores(report: SongReport, choice: Choice) -> None:
    with st.container(border=True):
        st.subheader("Where it would stand", anchor=False)
        if not report.scores:
            st.markdown("No hit model is installed yet. See the notes at the end of this page.")
        for score in report.scores:
            _standing(score) if score.standing is not None else _published(score, choice)


def _standing(score: ModelScore) -> None:
    standing = score.standing
    assert standing is not None, "called for scores with a catalogue"
    place, share, chance = st.columns(3)
    place.metric("Percentile", f"{100 * standing.percentile:.0f}")
    share.metric("Share of plays", ppm(standing.share))
    chance.metric("Chance of the top 10 %", percent(standing.top10_chance))
    n = len(score.fold_scores)
    charts.figure(
        f"{n} models, trained on {n} different parts of the catalogue, agree within the grey bar",
        songcharts.standing_strip(standing),
        "The mark is their mean; the bar runs from the lowest to the highest of them.",
        key=f"standing-{score.model}",
    )
    demo = "**Demo:** this model learned from synthetic songs. " if score.demo else ""
    st.caption(f"{demo}{plain(score.provenance)}.")


def _published(score: ModelScore, choice: Choice) -> None:
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
    rank, n = _rank_here(score, choice)
    if n > 1:
        st.markdown(f"Rank **{rank} of {n}** among the songs analysed here.")
    st.caption(
        f"{plain(score.provenance)}. There is no catalogue behind this score, so it has no "
        "percentile: compare songs with each other."
    )


def _rank_here(score: ModelScore, choice: Choice) -> tuple[int, int]:
    """The place of this score among those of the songs of this session, and their number."""
    others = []
    for song in brought():
        report = reports().get((song.digest, choice))
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
        _change(song, report, choice)
        with st.expander("Hear the whole song"):
            st.audio(path.read_bytes(), format=_mime(report))


def _change(song: Brought, report: SongReport, choice: Choice) -> None:
    """Another window: one of the next best, another method's, or one set by hand."""
    with st.popover("Change", icon=":material/tune:"):
        if report.info.duration_s <= HIGHLIGHT_S:
            st.markdown("The song is no longer than a highlight; there is nothing to move.")
            return
        methods = list(METHODS)
        current = choice.highlight or DEFAULT_METHOD
        method = st.selectbox(
            "Method", methods, index=methods.index(current), key=f"method-{song.digest}"
        )
        latest = report.info.duration_s - HIGHLIGHT_S
        start = st.slider(
            "Or start by hand, in seconds",
            0.0,
            latest,
            min(report.highlight.start, latest),
            step=0.5,
            key=f"start-{song.digest}-{report.highlight.start:g}",
        )
        by_method, by_hand = st.columns(2)
        if by_method.button("Use the method", key=f"use-method-{song.digest}"):
            _choose(song, Choice(method, None, choice.tagger, choice.models))
        if by_hand.button("Use this start", key=f"use-start-{song.digest}", type="primary"):
            window = (float(start), float(start) + HIGHLIGHT_S)
            _choose(song, Choice(choice.highlight, window, choice.tagger, choice.models))
        for begin, end in report.alternatives:
            label = f"Next best: {clock(begin)} – {clock(end)}"
            if st.button(label, key=f"alt-{song.digest}-{begin:g}", type="tertiary"):
                _choose(song, Choice(choice.highlight, (begin, end), choice.tagger, choice.models))


def _choose(song: Brought, choice: Choice) -> None:
    st.session_state.setdefault("choices", {})[song.digest] = choice
    st.rerun()


def _map(song: Brought, report: SongReport) -> None:
    with_others = st.toggle("Show the evidence of every method", key=f"others-{song.digest}")
    others = None
    with error_boundary():
        path = path_of(song)
        if with_others and path is not None:
            others = evidence_for(str(path), song.digest)
    st.markdown("**Where the highlight is, and why**")
    words = (
        "Above: how much speaks for each moment. Middle: the waveform. The coloured band is the "
        "highlight. Below, where a network with frame scores is installed: which moments of the "
        "highlight raise the score."
    )
    st.plotly_chart(
        songcharts.song_map(report, others),
        key=f"map-{song.digest}",
        config={"displayModeBar": False},
        alt=f"Evidence, waveform and highlight over time. {words}",
    )
    st.caption(words)
    curve = pd.DataFrame(
        {"time_s": report.highlight.curve_times, "evidence": report.highlight.curve}
    )
    charts.numbers(curve, key=f"evidence-{song.digest[:12]}")


def _tags(song: Brought, report: SongReport) -> None:
    bars, over_time = st.columns([2, 3], gap="medium")
    strongest = report.tags[0][0] if report.tags else ""
    with bars:
        charts.figure(
            f"What {report.tagger} hears: above all “{strongest}”",
            songcharts.tag_bars(report.tags),
            "Longer bars: the tagger is surer that the tag fits the highlight.",
            pd.DataFrame(report.tags, columns=["tag", "activation"]),
            key=f"tags-{song.digest[:12]}",
        )
    with over_time:
        whole = st.toggle("Over the whole song", key=f"whole-{song.digest}")
        taggram, start = report.taggram, report.highlight.start
        path = path_of(song)
        with error_boundary():
            if whole and path is not None:
                taggram, start = taggram_for(str(path), song.digest, report.tagger), 0.0
        window = (report.highlight.start, report.highlight.end) if whole else None
        st.markdown("**The tags over time**")
        words = "Brighter: surer." + (" The lines mark the highlight." if whole else "")
        st.plotly_chart(
            songcharts.taggram_map(taggram, start, window),
            key=f"taggram-{song.digest}",
            config={"displayModeBar": False},
            alt=f"The strongest tags over time. {words}",
        )
        st.caption(words)


def _place(report: SongReport) -> None:
    scored = next((score for score in report.scores if score.standing is not None), None)
    table = loaders.catalogue()
    if scored is None or scored.standing is None or table.empty:
        return
    charts.figure(
        "Where that is on the catalogue's long tail",
        songcharts.catalogue_place(table["hit_score"].to_numpy(float), scored.standing),
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
        if score.standing is not None:
            row[f"{name} percentile"] = 100 * score.standing.percentile
    row |= dict(report.tags)
    return pd.DataFrame([row])


@st.cache_data(max_entries=32, show_spinner="Cutting the highlight")
def _clip(path: str, digest: str, start: float, end: float) -> bytes:
    return encode(highlight_clip(path, start, end))


def clip_of(song: Brought, start: float, end: float) -> bytes:
    """The highlight as a WAV file of its own; empty once the upload was deleted."""
    path = path_of(song)
    return b"" if path is None else _clip(str(path), song.digest, start, end)


@st.cache_data(max_entries=32, show_spinner="Comparing the methods")
def evidence_for(path: str, digest: str) -> list:  # type: ignore[type-arg]
    """What every method sees in a song."""
    with machine_turns().wait():
        return evidence_of(path, METHODS)


@st.cache_data(max_entries=16, show_spinner="Hearing the whole song")
def taggram_for(path: str, digest: str, tagger: str):  # type: ignore[no-untyped-def]
    """The tags of the whole song."""
    with machine_turns().wait():
        return whole_taggram(path, tagger)


def _mime(report: SongReport) -> str:
    kinds = {"MP3": "audio/mpeg", "FLAC": "audio/flac", "OGG": "audio/ogg", "M4A": "audio/mp4"}
    return kinds.get(report.info.container, "audio/wav")

"""One song on the Analyse page: what it is, where it would stand, and why."""

import contextlib
from dataclasses import replace
from functools import partial

import streamlit as st

from hitcore.analysis.song import ModelScore, SongReport, evidence_of
from hitcore.highlights import Evidence
from ui.analyse import charts as songcharts
from ui.analyse import exports, passage, sharing, songs
from ui.analyse import tags as songtags
from ui.analyse.passage import HIGHLIGHTERS
from ui.analyse.reasons import sections as reasons
from ui.analyse.reports import OnStage, view_of
from ui.analyse.songs import Brought, Choice, choose, path_of
from ui.analyse.summary import name_of, place_of
from ui.analyse.table import kept_until_words
from ui.frame import charts, ensembles, loaders, modelcards
from ui.frame.page import clock, error_boundary, plain, ppm
from ui.server.visitors import current_owner

USUAL = "Those installed, the most trustworthy first"
WIDE = 50
"""Percentiles that an interval spans before it is called wide."""
FLAG_WORDS = {
    "truncated": "The end of this file is missing; what is there was analysed.",
    "silent": "This song is silent: its tags mean nothing, and no model can place it.",
    "one channel": "Its channels cancel each other out, so the first was heard alone.",
    "shorter than 30 s": "The song is shorter than 30 s: all of it is the highlight, padded.",
    "no clear highlight": "Nothing in this song clearly comes back or stands out: listen, "
    "and move the window if you know better.",
}


def show(song: Brought, report: SongReport, choice: Choice) -> None:
    """Everything about one song."""
    _title(song, report)
    passage.player(song, report)
    for flag in report.flags:
        st.warning(FLAG_WORDS.get(flag, flag), icon=":material/flag:")
    left, right = st.columns(2, gap="medium")
    with left:
        _scores(song, report, choice)
    with right:
        passage.chooser(song, report, choice)
    _map(song, report)
    reasons.curve(song, report)
    reasons.why_and_what_if(song, report, choice)
    reasons.similar(song, report)
    songtags.show(song, report, choice)
    _place(report, choice)
    st.subheader("Take it away", anchor=False)
    exports.one_buttons(song, report)
    for note in report.notes:
        st.caption(plain(note))


# --- the parts -----------------------------------------------------------------------------------


def _title(song: Brought, report: SongReport) -> None:
    info, name = report.info, name_of(song.name, report)
    st.header(plain(name), anchor=False)
    channels = {1: "mono", 2: "stereo"}.get(info.n_channels, f"{info.n_channels} channels")
    facts = [
        clock(info.duration_s),
        f"{info.sample_rate / 1000:g} kHz",
        channels,
        f"{info.container} {info.bit_rate / 1000:.0f} kb/s",
    ]
    until = songs.library().store.kept_until(current_owner(), song.digest)
    if not song.is_own:
        facts.append("shared with you by a link")
    elif until is not None:
        facts.append(f"kept until {kept_until_words(until)}")
    st.caption(plain(" · ".join(facts)))
    if song.is_own:
        sharing.buttons(song, name)


def _choose_model(song: Brought, choice: Choice) -> None:
    """Whose opinion it is: that of the installed models, or of one of them, or of one's own."""
    titles = ensembles.titles()
    options = [USUAL, *titles]
    now = USUAL if choice.models is None else choice.models[0]
    if now not in options:
        options.append(now)
    chosen = st.selectbox(
        "Model",
        options,
        options.index(now),
        format_func=lambda name: titles.get(name, name),
        key=f"model-{song.digest[:12]}-{now}",
        help="What a song's place is among is the catalogue of the model. Ensembles that were "
        "trained on Experiments or by the command line stand at the end.",
    )
    if chosen != now:
        choose(song, replace(choice, models=None if chosen == USUAL else (chosen,)))


def _scores(song: Brought, report: SongReport, choice: Choice) -> None:
    with st.container(border=True):
        st.subheader("Where it would stand", anchor=False)
        _choose_model(song, choice)
        if not report.scores and "silent" not in report.flags:
            st.markdown("No hit model is installed yet. See the notes at the end of this page.")
        asked = choice.models or ()
        for i, score in enumerate(report.scores):
            with contextlib.nullcontext() if i == 0 else st.expander(plain(one_line(score))):
                _score(score)
                modelcards.behind_a_button(asked[0] if len(asked) == 1 else score.model)


def _score(score: ModelScore) -> None:
    """What one model says, as far as it has earned it: one number per scale, with its interval."""
    st.markdown(f"**{plain(score.title)}**")
    numbers: list[tuple[str, str, str | None]] = []
    if score.percentile is not None:
        sure = None
        if score.low is not None and score.high is not None:
            sure = f"likely {100 * score.low:.0f} to {100 * score.high:.0f}"
        numbers.append(("Percentile", f"{100 * score.percentile:.0f}", sure))
    if score.chance is not None:
        numbers.append(("Sounds like charted songs", f"{score.chance:.2f}", None))
    if score.share is not None:
        numbers.append(("Share of plays", ppm(score.share), None))
    if numbers:
        for column, (label, value, sure) in zip(st.columns(len(numbers)), numbers, strict=True):
            column.metric(label, value, sure, delta_color="off", delta_arrow="off")
    elif not score.note:
        st.metric("Score", f"{score.score:.3f}")
    if score.percentile_rank is not None:
        charts.figure(
            place_words(score),
            songcharts.percentile_strip(score.percentile_rank),
            sureness_words(score),
            key=f"percentile-{score.model}",
        )
    elif score.note:
        st.info(plain(score.note), icon=":material/help:")
    demo = "**Demo:** this model learned from synthetic songs. " if score.demo else ""
    measured = f" Measured: {score.measured}." if score.measured else ""
    st.caption(f"{demo}{plain(score.provenance)}.{plain(measured)}")


def one_line(score: ModelScore) -> str:
    """A model and what it says, for those that stand below the first."""
    place = place_of(score)
    name = f"{score.title} (demo)" if score.demo else score.title
    if place.percentile is not None:
        return f"{name}: percentile {place.words()}"
    if place.in_domain is False:
        return f"{name}: {place.words()}"
    return f"{name}: {f'score {score.score:.3f}' if score.share is None else ppm(score.share)}"


def place_words(score: ModelScore) -> str:
    """What a percentile means, in a sentence."""
    place = round(100 * (score.percentile or 0.0))
    return f"By its sound it would stand above {place} of 100 among {score.reference}"


def sureness_words(score: ModelScore) -> str:
    """How sure a percentile is, in a sentence or two; a wide range is called wide."""
    if score.low is None or score.high is None:
        return "The mark is the song's place; how sure it is was not measured for this model."
    low, high = round(100 * score.low), round(100 * score.high)
    wide = " That is wide: sound alone tells little." if high - low >= WIDE else ""
    return (
        f"The mark is its place, the bar how sure that is: for 8 of 10 songs that the model had "
        f"not learned from, the truth lies in such a range, here from {low} to {high}.{wide}"
    )


def _map(song: Brought, report: SongReport) -> None:
    st.markdown("**Where the highlight is, and why**")
    with_others = st.toggle("The evidence of every method", key=f"others-{song.digest}")
    others: list[Evidence] = []
    with error_boundary():
        path = path_of(song)
        if with_others and path is not None:
            others = view_of(song, "evidence", partial(_evidence, str(path)))
    above = "how much speaks for each moment"
    if others:
        above = "what each method hears, on its own scale from 0 to 1; the strong line chose"
    scored = any(score.frame_scores is not None for score in report.scores)
    words = f"Above: {above}. {'Middle' if scored else 'Below'}: the waveform. "
    words += "The coloured band is the highlight."
    if scored:
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


def _place(report: SongReport, choice: Choice) -> None:
    """The long tail of the catalogue that the first percentile is among, with the song in it."""
    scored = next((score for score in report.scores if score.percentile_rank is not None), None)
    if scored is None or scored.percentile_rank is None:
        return
    hit_scores, of = None, "the demo catalogue"
    if choice.models is not None:
        with error_boundary():
            hit_scores = ensembles.hit_scores_of(choice.models[0])
            of = "the catalogue of this model" if hit_scores is not None else of
    if hit_scores is None and scored.demo:
        hit_scores = loaders.catalogue()["hit_score"]
    if hit_scores is None or hit_scores.empty:
        return
    charts.figure(
        "Where that is on the catalogue's long tail",
        songcharts.catalogue_place(hit_scores.to_numpy(float), scored.percentile_rank),
        f"The curve is every song of {of} by rank; the line is this song's place, the band its "
        "interval. Both axes are logarithmic.",
        key="catalogue-place",
    )

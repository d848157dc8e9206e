"""Why a song scores as it does, what if it were otherwise, and what it sounds like: on the page.

All of it is the opinion of one model, which is named. Explanations are made when they are asked
for, once per song and model.
"""

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st
import torch

from hitcore.analysis.digits import sure_digits, sure_interval
from hitcore.analysis.similar import (
    SongLibrary,
    description_of,
    nearest_to,
    song_map,
)
from hitcore.analysis.song import ModelScore, SongReport, default_models
from hitcore.analysis.typical import typical_for
from hitcore.analysis.whatif import song_tags, what_if
from hitcore.analysis.why import (
    Explanation,
    explain_bands,
    explain_tags,
    points_between,
    tag_changes,
)
from hitcore.audio import decode, encode
from hitcore.errors import HitcoreError
from hitcore.features import MEL_PRESETS, fit_frames, log_mel
from hitcore.featurestore.sounds import read_source
from hitcore.files import ASSETS
from hitcore.networks.models import HitModel, load_model
from ui.analyse.passage import listen_from
from ui.analyse.reasons import curvechart, similarsongs, whycharts
from ui.analyse.reports import OnStage, found_report, view_of
from ui.analyse.songs import Brought, Choice, brought, choice_of, path_of
from ui.analyse.summary import name_of
from ui.frame import charts, ensembles
from ui.frame.page import error_boundary, plain
from ui.server import workspaces

N_SLIDERS = 8
N_NEIGHBOURS = 5


def curve(song: Brought, report: SongReport) -> None:
    """The score of every 30 seconds along the song; a click plays from there."""
    known = [score for score in report.scores if score.curve is not None]
    if not known:
        return
    titles = {score.model: score.title for score in known}
    key = song.digest[:12]
    asked = known[0].model
    if len(known) > 1:
        chosen = st.segmented_control(
            "Hit curve of",
            list(titles),
            default=asked,
            format_func=titles.get,
            key=f"curve-of-{key}",
        )
        asked = chosen or asked
    score = next(score for score in known if score.model == asked)
    figure = curvechart.curve_figure(report, score.model)
    assert score.curve is not None, "only those with a curve are offered"
    assert figure is not None, "as above"
    words = curvechart.curve_words(report, score)
    st.markdown(f"**What {plain(score.title)} says of every 30 seconds**")
    state = st.plotly_chart(
        figure,
        key=f"curve-{key}-{score.model}",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
        alt=words,
    )
    clicked = curvechart.start_of_click(state, score.curve)
    last = st.session_state.get(f"clicked-{key}")
    if clicked is not None and clicked != last:
        st.session_state[f"clicked-{key}"] = clicked
        listen_from(song, clicked)
        st.rerun()
    st.caption(f"{words} Click a place to hear the 30 seconds around it and to have them rated.")
    charts.numbers(curvechart.curve_table(score.curve), key=f"curve-{key}")


def why_and_what_if(song: Brought, report: SongReport, choice: Choice) -> None:
    """What the model's score is made of, and sliders for what matters most."""
    score = next((s for s in report.scores if s.curve is not None and s.curve.tags), None)
    score = score or next((s for s in report.scores if s.curve is not None), None)
    if score is None:
        return
    opened = st.expander(
        "Why this score, and what if", on_change="rerun", key=f"why-{song.digest[:12]}"
    )
    if not opened.open:
        return
    with opened, error_boundary():
        model = _model_behind(score, choice)
        st.caption(f"The opinion of one model, {plain(score.title)}: what moves its score.")
        left, right = st.columns(2, gap="medium")
        tags = None
        if score.curve is not None and score.curve.tags is not None:
            tags = view_of(song, ("why tags", score.model, choice), partial(_tags, model, score))
            with left:
                charts.figure(
                    whycharts.sentence(tags),
                    whycharts.waterfall(tags),
                    f"Compared with the mean of {typical_for(model).title}. {tags.method}",
                    whycharts.waterfall_table(tags, len(tags.parts)),
                    key=f"why-tags-{song.digest[:12]}",
                )
        path = path_of(song)
        if model.spec.mel is not None and path is not None:
            make = partial(_bands, str(path), model, report)
            bands = view_of(song, ("why bands", score.model, choice), make)
            with right:
                charts.figure(
                    f"Which bands raise and lower it: most of all, {bands.largest(1)[0].name}",
                    whycharts.bands(bands),
                    f"The highlight, compared with the mean of {typical_for(model).title}. "
                    f"{bands.method}",
                    key=f"why-bands-{song.digest[:12]}",
                )
        if tags is not None:
            _what_if(song, score, model, tags)


def similar(song: Brought, report: SongReport) -> None:
    """The songs that sound most like this one, to hear, and a map with it in it."""
    opened = st.expander("Similar songs", on_change="rerun", key=f"similar-{song.digest[:12]}")
    if not opened.open:
        return
    with opened, error_boundary():
        own = [
            (other, found)
            for other in brought()
            if other.digest != song.digest
            and (found := found_report(other, choice_of(other))) is not None
            and found.tagger == report.tagger
        ]
        # The tags of one tagger alone can be compared, whatever they are called.
        libraries: dict[str, SongLibrary] = {}
        if report.tagger == "musicnn-mtt":
            libraries["demo catalogue"] = demo_library()
            for name in workspaces.names():
                with contextlib.suppress(HitcoreError):  # no features there yet
                    libraries[name] = _library_of(name)
        if own:
            mine = SongLibrary.of_reports(
                [found for _, found in own], [other.digest for other, _ in own]
            )
            libraries["your songs"] = mine
        if not libraries:
            st.markdown("There is nothing to compare with that the same tagger has heard.")
            return
        chosen = st.segmented_control(
            "Among", list(libraries), default=next(iter(libraries)), key=f"among-{song.digest[:12]}"
        )
        library = libraries[chosen or next(iter(libraries))]
        name = name_of(song.name, report)
        own_folder = chosen in workspaces.names()
        root = workspaces.opened(str(chosen)).path if own_folder else ASSETS / "demo"
        left, right = st.columns(2, gap="medium")
        with left:
            _neighbours(song, report, library, root)
        with right:
            _song_map(song, report, library, name)


@st.cache_resource(show_spinner=False)
def demo_library() -> SongLibrary:
    """The sample of the demo catalogue, read once."""
    return SongLibrary.load()


# --- the parts -----------------------------------------------------------------------------------


@st.fragment
def _what_if(song: Brought, score: ModelScore, model: HitModel, why: Explanation) -> None:
    """Sliders for the tags that matter most; the score follows."""
    st.markdown("**What if**")
    st.caption("The model's opinion of a song that does not exist, not advice.")
    assert score.curve is not None, "asked for a score with a curve"
    now = song_tags(score.curve)
    key = song.digest[:12]
    turn = st.session_state.setdefault(f"what-if-turn-{key}", 0)
    wanted, columns = {}, st.columns(2, gap="medium")
    for number, part in enumerate(why.largest(N_SLIDERS)):
        value = columns[number % 2].slider(
            part.name, 0.0, 1.0, round(now[part.name], 2), 0.01,
            key=f"what-if-{key}-{score.model}-{part.name}-{turn}",
        )  # fmt: skip
        if value != round(now[part.name], 2):
            wanted[part.name] = value
    start = None
    several = len(score.curve.starts) > 1
    part_key = f"what-if-part-{key}-{turn}"
    if several and st.toggle("This passage instead of the song", key=part_key):
        start = st.slider(
            "Start of the passage (s)", 0.0, float(score.curve.starts[-1]),
            float(score.curve.starts[0]), 0.5, key=f"what-if-start-{key}-{turn}",
        )  # fmt: skip
    found = what_if(model, score.curve, wanted, start)
    place = "Score"
    value = sure_digits(found.score, *score.curve.range)
    if score.percentile is not None and found.percentile is not None:
        place = "Percentile (interval)"
        value = sure_interval(
            100 * found.percentile, 100 * (found.low or 0.0), 100 * (found.high or 1.0)
        )
    st.metric(place, value)
    if st.button("Reset", key=f"what-if-reset-{key}", icon=":material/restart_alt:"):
        st.session_state[f"what-if-turn-{key}"] = turn + 1
        st.rerun(scope="fragment")


@st.cache_resource(show_spinner="Reading the catalogue", max_entries=4, ttl=3600)
def _library_of(workspace: str) -> SongLibrary:
    return SongLibrary.of_workspace(workspaces.opened(workspace))


def _neighbours(song: Brought, report: SongReport, library: SongLibrary, root: Path) -> None:
    found = nearest_to(library, report, N_NEIGHBOURS, without=(song.digest,))
    st.markdown("**What sounds most like it**")
    table = similarsongs.neighbours_table(found)
    st.dataframe(table, hide_index=True, key=f"alike-{song.digest[:12]}")
    st.caption(
        "0: the same description by tags and embedding; 1: as far apart as two songs on average."
    )
    for neighbour in found:
        label = f"▸ {plain(neighbour.title)}"
        if neighbour.source and st.button(label, key=f"hear-{song.digest[:8]}-{neighbour.song_id}"):
            start = float(report.highlight.start)
            st.audio(
                _sound_of(str(root), neighbour.source, float(start)),
                format="audio/wav",
                autoplay=True,
            )


def _song_map(song: Brought, report: SongReport, library: SongLibrary, name: str) -> None:
    tags, embedding = description_of(report, library)
    places = song_map(library, tags, None if embedding is None else embedding[None])
    charts.figure(
        "Where it lies among them",
        similarsongs.map_chart(places, library, [name]),
        "Near is alike. The two directions are those in which the songs differ most.",
        similarsongs.map_table(places, library, [name]),
        key=f"map-of-songs-{song.digest[:12]}",
    )


@st.cache_data(max_entries=16, show_spinner="Making the sound")
def _sound_of(root: str, source: str, start: float) -> bytes:
    """Half a minute of a catalogue's song as a WAV file."""
    sound = read_source(Path(root), source)
    start = min(start, max(0.0, sound.duration_s - 30.0))
    return encode(sound.crop(start, min(start + 30.0, sound.duration_s)))


def _model_behind(score: ModelScore, choice: Choice) -> HitModel:
    names = default_models()[0] if choice.models is None else list(choice.models)
    for name in [*names, score.model]:
        model = _read_model(str(ensembles.model_of(name)))
        if model.spec.name == score.model:
            return model
    return _read_model(score.model)


@st.cache_resource(show_spinner=False, max_entries=8)
def _read_model(name: str) -> HitModel:
    return load_model(name)


def _tags(model: HitModel, score: ModelScore, on_stage: OnStage) -> Explanation:
    on_stage("Asking what each tag adds", 0.2)
    assert score.curve is not None, "asked for a score with a curve"
    here = np.array([song_tags(score.curve)[name] for name in model.spec.tag_names])
    typical = typical_for(model).tags_for(model.spec.tag_names)
    found = explain_tags(model, here, typical)
    if score.percentile is None:
        return found
    changes = tag_changes(model, here, typical)
    return replace(found, points=points_between(model, score.curve.song_fold_scores, changes))


def _bands(path: str, model: HitModel, report: SongReport, on_stage: OnStage) -> Explanation:
    on_stage("Asking what each band adds", 0.2)
    assert model.spec.mel is not None, "asked for a model that listens"
    config = MEL_PRESETS[model.spec.mel]
    window = report.highlight.start, report.highlight.end
    clip = decode(path, config.sample_rate, segment=window).waveform
    mel = fit_frames(log_mel(clip.samples, config), model.spec.n_frames)[None]
    typical = torch.from_numpy(typical_for(model).spectrum(model.spec.mel)).float()
    return explain_bands(model, mel, typical)

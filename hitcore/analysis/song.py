"""The one door: a song in, its report out.

A report holds what a person wants to know of one song: where its highlight is and why, its tags,
and what each model says of it, with the model's own terms. Every model gets the clip, the mel
preset and the tags (by name, in its order) that it was trained on.

Conventions:
    times: seconds of the song; the highlight is half-open, `[start, end)`.
    share: of all plays of a day, 0 to 1.

References:
    Figure 2 of the paper; sections 2.4 and 2.5.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hitcore import weights
from hitcore.analysis.curve import HitCurve, hit_curve, mixed_scores
from hitcore.analysis.hearing import Hearing, model_of
from hitcore.analysis.judging import (
    CHARTED,
    DEMO,
    PUBLISHED,
    REAL,
    is_demo_song,
    judge,
)
from hitcore.analysis.report import ModelScore, SongReport, envelope_of
from hitcore.analysis.sources import Source, as_decoded, content_of, hash_of, name_of
from hitcore.audio import AudioInfo, Waveform, decode
from hitcore.errors import HitcoreError, ParameterError
from hitcore.files import shown
from hitcore.highlights import (
    Evidence,
    Highlight,
    HighlightMethod,
    find_evidence,
    find_highlights,
)
from hitcore.networks.models import HitModel, mean_output
from hitcore.networks.published import PUBLISHED_MIXES
from hitcore.taggers import AnyTagger, Taggram, load_tagger, own_tagger

__all__ = [
    "ModelScore",
    "SongReport",
    "analyse",
    "clip_taggram",
    "default_models",
    "evidence_of",
    "highlight_clip",
    "whole_taggram",
]

HIGHLIGHT_S = 30.0
"""Length of the highlight, seconds."""

SAMPLE_RATE = 22_050
"""Rate at which songs are analysed, Hz."""

N_WINDOWS = 3
"""Windows of one method that a report knows: the highlight and the next best."""

BY_HAND = "by hand"
"""The method's name where a person chose the window."""

DEFAULT_TAGGER = "musicnn-mtt"

TAGGER_RATE = 16_000
"""Rate at which taggers hear, Hz."""

OnStage = Callable[[str, float], None]


def analyse(
    source: Source | Waveform,
    models: Sequence[str | HitModel] | None = None,
    highlight: str | HighlightMethod | tuple[float, float] | None = None,
    tagger: str | AnyTagger = DEFAULT_TAGGER,
    *,
    name: str | None = None,
    demo_song: bool | None = None,
    on_stage: OnStage | None = None,
) -> SongReport:
    """The report of one song.

    Args:
        source: A path, the content of a sound file, an open binary file, or a waveform.
        models: Names of models, or models; None for `default_models`, and the demo ensemble where
            the song is a demo song.
        highlight: A method of `hitcore.highlights` or of one's own (a callable of a waveform), a
            window `(start, end)` in seconds chosen by hand, or None for the default method.
        tagger: The tagger whose tags the report shows, by name or as an object.
        name: What the song is called where its tags do not say; None for the file's name.
        demo_song: Whether it is a song of the demo catalogue, so that the demo models may speak;
            None: only if it is one of those that ship with hitcore.
        on_stage: Called with each stage's name and the fraction done before it.

    Raises:
        AudioError: the file cannot be read within the limits.
        ParameterError: an unknown model, tagger or method, or a window outside the song.
        WeightsError: a model that was asked for by name is not installed.

    Example:
        >>> from hitcore.audio import encode
        >>> tone = encode(Waveform(np.sin(np.arange(40 * 8000) / 9).astype("float32"), 8000))
        >>> report = analyse(tone, models=[], highlight="middle")    # doctest: +SKIP
        >>> report.highlight.start, report.highlight.end             # doctest: +SKIP
        (5.0, 35.0)
    """
    say = on_stage or _silence
    label = shown(name or name_of(source))
    content = content_of(source)
    with _named(label, "decoding"):
        say("Decoding", 0.0)
        if isinstance(source, Waveform):
            decoded = as_decoded(source, SAMPLE_RATE)
        else:
            decoded = decode(source if content is None else content, SAMPLE_RATE)
    song = decoded.waveform
    with _named(label, "finding the highlight"):
        say("Finding the highlight", 0.3)
        chosen, *others = _highlights(song, highlight)
        clip = song.crop(chosen.start, chosen.end)
    with _named(label, "hearing the tags"):
        say("Hearing the tags", 0.5)
        heard_by = load_tagger(tagger) if isinstance(tagger, str) else own_tagger(tagger)
        taggram = heard_by.tag(clip)
    with _named(label, "scoring"):
        say("Scoring", 0.8)
        content_hash = hash_of(source, content)
        asked_for = highlight is not None
        heard = Hearing(song, clip, chosen.start, heard_by, taggram, chosen.method, asked_for)
        heard.is_demo = is_demo_song(content_hash) if demo_song is None else demo_song
        heard.is_silent = "silent" in decoded.info.flags
        scores, notes = _scores(heard, models)
        notes = [*decoded.info.notes, *filter(None, [decoded.unprotected]), *notes]
    say("Done", 1.0)
    return SongReport(
        name=label,
        title=decoded.info.title,
        artist=decoded.info.artist,
        content_hash=content_hash,
        info=decoded.info,
        highlight=chosen,
        alternatives=tuple((other.start, other.end) for other in others),
        tagger=heard_by.name,
        taggram=taggram,
        scores=tuple(scores),
        flags=_flags(decoded.info, chosen),
        notes=tuple(notes),
        envelope=envelope_of(song.samples),
        source_path=Path(source) if isinstance(source, str | os.PathLike) else None,
    )


def highlight_clip(source: Source, start: float, end: float) -> Waveform:
    """The sound of `[start, end)` at the file's own rate, for listening.

    Raises:
        AudioError: the file cannot be read.
    """
    return decode(source, None, segment=(start, end)).waveform


def evidence_of(
    source: Source,
    methods: Sequence[str],
    *,
    on_stage: OnStage | None = None,
) -> list[Evidence]:
    """What several highlight methods see in a song, to be drawn together.

    Raises:
        AudioError: the file cannot be read.
        ParameterError: an unknown method.
    """
    say = on_stage or _silence
    say("Decoding", 0.0)
    song = decode(source, SAMPLE_RATE).waveform
    found = []
    for i, method in enumerate(methods):
        say(f"Comparing the methods: {method}", 0.4 + 0.6 * i / len(methods))
        found.append(find_evidence(song, method))
    return found


def clip_taggram(
    source: Source,
    window: tuple[float, float],
    tagger: str = DEFAULT_TAGGER,
    *,
    on_stage: OnStage | None = None,
) -> Taggram:
    """The tags of one passage, such as the highlight; the same as a report by this tagger has.

    Raises:
        AudioError: the file cannot be read.
        WeightsError: the tagger is not installed.
    """
    say = on_stage or _silence
    say("Decoding", 0.0)
    clip = decode(source, SAMPLE_RATE).waveform.crop(*window)
    say(f"Hearing the tags by {tagger}", 0.5)
    return load_tagger(tagger).tag(clip)


def whole_taggram(
    source: Source,
    tagger: str = DEFAULT_TAGGER,
    *,
    on_stage: OnStage | None = None,
) -> Taggram:
    """The tags of the whole song over time.

    Raises:
        AudioError: the file cannot be read.
        WeightsError: the tagger is not installed.
    """
    say = on_stage or _silence
    say("Decoding", 0.0)
    song = decode(source, TAGGER_RATE).waveform
    say("Hearing the whole song", 0.3)
    return load_tagger(tagger).tag(song)


def default_models() -> tuple[list[str], list[str]]:
    """The installed models that a report shows by default, and notes on those that are not.

    What learned from real songs comes first; demo models speak about demo songs alone.
    """
    names = [name for name in (REAL, CHARTED) if name in weights.packaged()]
    notes = []
    if weights.is_installed(PUBLISHED) and weights.is_installed("jynet"):
        names.append(PUBLISHED)
    else:
        notes.append(
            f"The published network ({PUBLISHED}) is not installed: {_how_to_get_published()}"
        )
    return names, notes


# --- the stages ----------------------------------------------------------------------------------


def _highlights(
    song: Waveform, choice: str | HighlightMethod | tuple[float, float] | None
) -> list[Highlight]:
    """The highlight that is rated, then the next best windows."""
    method = None if isinstance(choice, tuple | list) else choice
    found = find_highlights(song, N_WINDOWS, method, length_s=HIGHLIGHT_S)
    if not isinstance(choice, tuple | list):
        return found
    start, end = float(choice[0]), float(choice[1])
    if not 0 <= start < end <= song.duration_s + 1e-6:
        raise ParameterError(
            f"the window {start:g} to {end:g} s is outside the song (0 to {song.duration_s:.1f} s)"
        )
    by_hand = replace(found[0], start=start, end=end, method=BY_HAND, confident=True, note="")
    return [by_hand, *found]


def _scores(
    heard: Hearing, models: Sequence[str | HitModel] | None
) -> tuple[list[ModelScore], list[str]]:
    chosen: Sequence[str | HitModel]
    chosen, notes = (models, []) if models is not None else default_models()
    if models is None and heard.is_demo and DEMO in weights.packaged():
        chosen = [*chosen, DEMO]
    loaded = [one if isinstance(one, HitModel) else model_of(str(one)) for one in chosen]
    notes += [
        f"{model.spec.name} learned from clips chosen by {model.spec.highlight}; its score is of "
        "the passage that was asked for."
        for model in loaded
        if heard.chosen and heard.is_foreign(model)
    ]
    return [_score(model, heard) for model in loaded], notes


def _score(model: HitModel, heard: Hearing) -> ModelScore:
    spec = model.spec
    clip = heard.for_model(model)
    mel, tags = clip.inputs(model)
    stretches = None
    if spec.tagger is not None and spec.tag_names:
        stretches = heard.stretches(spec.tagger).select(spec.tag_names)
    curve = hit_curve(model, heard.mels, stretches)
    with torch.inference_mode():
        outputs = model.fold_outputs(mel, tags)
    output = mean_output(outputs)
    verdict = judge(
        model,
        curve.song_fold_scores,
        clip.distance(model),
        demo_song=heard.is_demo,
        silent=heard.is_silent,
    )
    rank = verdict.rank
    earned = verdict.in_domain is not False
    share = model.share(curve.song_score) if earned else None
    if share is not None and rank is not None and spec.n_folds > 1:
        share = np.asarray(rank.hit_score)  # each fold has a scale of its own; places are common
    chance = 1 / (1 + math.exp(-curve.song_score)) if spec.gives_chance and earned else None
    return ModelScore(
        model=spec.name,
        title=spec.title or spec.name,
        provenance=spec.provenance,
        demo=spec.demo,
        score=float(output.score[0]),
        song_score=curve.song_score,
        share=None if share is None else float(share),
        audio_score=_first(output.audio_score),
        tag_score=_first(output.tag_score),
        fold_scores=tuple(float(fold.score[0]) for fold in outputs),
        mixes=_mixes(model, curve) if earned else {},
        percentile=None if rank is None else rank.percentile,
        low=None if rank is None else rank.low,
        high=None if rank is None else rank.high,
        in_domain=verdict.in_domain,
        reference=verdict.reference,
        chance=chance,
        measured=spec.measured,
        note=verdict.note,
        percentile_rank=rank,
        frame_scores=_frames(output.frame_scores),
        curve=curve,
    )


def _mixes(model: HitModel, curve: HitCurve) -> dict[str, float]:
    """The published network's share of the song under both ways of mixing."""
    if model.spec.name != PUBLISHED or curve.fold_audio is None or curve.fold_tag is None:
        return {}
    found = {}
    for name, (mix, weight) in PUBLISHED_MIXES.items():
        mixed = mixed_scores(curve.fold_audio[0], curve.fold_tag[0], weight, mix)
        share = model.share(float(np.median(mixed)))
        assert share is not None, "the published network rates on a scale"
        found[name] = float(share)
    return found


# --- inside --------------------------------------------------------------------------------------


def _silence(stage: str, fraction: float) -> None:
    """Where nobody wants to know the stage."""


class _named:
    """Adds the song and the stage to an error that passes through."""

    def __init__(self, name: str, stage: str) -> None:
        self._name, self._stage = name, stage

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, HitcoreError):
            raise type(error)(f"{self._name}: {error}") from error


def _flags(info: AudioInfo, highlight: Highlight) -> tuple[str, ...]:
    flags = list(info.flags)
    if info.duration_s < HIGHLIGHT_S:
        flags.append("shorter than 30 s")
    if not highlight.confident and info.duration_s > HIGHLIGHT_S:
        flags.append("no clear highlight")
    return tuple(flags)


def _first(values: torch.Tensor | None) -> float | None:
    return None if values is None else float(values[0])


def _frames(values: torch.Tensor | None) -> NDArray[np.float64] | None:
    return None if values is None else values[0].double().numpy()


def _how_to_get_published() -> str:
    names = (PUBLISHED, "jynet")
    absent = [name for name in names if not weights.is_installed(name)]
    commands = " and ".join(f"`hitcore weights fetch {name}`" for name in absent)
    return f"run {commands}, or `hitcore weights import NAME PATH` with a local copy."

"""The figures and words of the model cards about real music; `train_real.py` writes them."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from clips import ATTRIBUTES, SHARED, Clips
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, spearmanr

from hitcore.analysis.hearing import mel_of, model_of, tags_of
from hitcore.audio import Waveform, decode
from hitcore.evaluation.intervals import bootstrap_interval
from hitcore.files import ASSETS
from hitcore.highlights import find_highlight
from hitcore.networks.cards import Figure, ModelCard
from hitcore.taggers import load_tagger

Floats = NDArray[np.float64]

LICENCE = (
    "Weights learned from commercial clips: for research use. The clips themselves are not "
    "redistributed, and no features of single songs are in the file."
)
CLIPS_DATA = (
    "522 clips of 30 s of commercial songs from AllMusic (R. Panda, R. Malheiro, R. P. Paiva, "
    '"Novel audio features for music emotion recognition", IEEE Transactions on Affective '
    "Computing 2018), by 365 artists whose popularity is known; a further quarter of the artists "
    "was kept back from this project."
)
CLIPS_LABEL = (
    "The mean Spotify popularity (0 to 100) of the artist's songs in a public table of 1921 to "
    "2020. It is a label of the artist, not of the song, and of how much is heard today, not of "
    "how much was heard when the song was new."
)
LIMITS = (
    "It hears sound alone, and sound says little: of two songs whose artists' popularity differs "
    "it orders about {pairs:.0f} of 100 pairs rightly. Much of that is genre: within a genre it "
    "knows less, see the figures. It learned from 30-second clips of mostly Western songs of 1950 "
    "to 2010; a song outside that is often flagged, but not always: synthetic songs and orchestras "
    "pass. It cannot tell how long a hit lasts, and nothing that it says is a reason to sign, pay "
    "or drop anybody."
)


def rho(first: ArrayLike, second: ArrayLike) -> float:
    return float(spearmanr(first, second)[0])


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """The share of pairs of a true and an untrue one that the score puts in the right order."""
    is_true = np.asarray(truth, bool)
    ranks = rankdata(score)
    n_true, n_untrue = int(is_true.sum()), int((~is_true).sum())
    if not n_true or not n_untrue:
        return float("nan")
    return float((ranks[is_true].sum() - n_true * (n_true + 1) / 2) / (n_true * n_untrue))


def figure(name: str, statistic: Callable[..., float], *samples: ArrayLike) -> Figure:
    found = bootstrap_interval(statistic, *samples)
    n = len(np.asarray(samples[0]))
    return Figure(name, *(round(v, 4) for v in (found.estimate, found.low, found.high)), n)


def main_genre(clips: Clips) -> NDArray[np.str_]:
    return clips.table["genres"].str.split("; ").str[0].to_numpy(str)


def within_genres(values: Floats, genre: NDArray[np.str_]) -> Floats:
    """Each value's rank among those of its genre, 0 to 1."""
    found = np.empty(len(values))
    for name in np.unique(genre):
        rows = genre == name
        found[rows] = (rankdata(values[rows]) - 0.5) / rows.sum()
    return found


def against_popularity(clips: Clips, score: Floats) -> tuple[Figure, ...]:
    """Spearman's rho of scores with the artists' popularity: of all, and with genre taken out."""
    y, genre = clips.popularity, main_genre(clips)
    names, sizes = np.unique(genre, return_counts=True)
    large = np.isin(genre, names[sizes >= 10])
    inside = [within_genres(values[large], genre[large]) for values in (score, y)]
    pop = (clips.table["genres"] == "Pop/Rock").to_numpy()
    with_pop = clips.table["genres"].str.contains("Pop/Rock").to_numpy()
    return (
        figure("ρ with artists' popularity, all clips", rho, score, y),
        figure("ρ within main genres of ten clips or more", rho, *inside),
        figure("ρ within Pop/Rock and no other genre", rho, score[pop], y[pop]),
        figure("ρ among all clips that are Pop/Rock too", rho, score[with_pop], y[with_pop]),
    )


def real_card(clips: Clips, divisions: list[dict], family: str, ahead: list[int]) -> ModelCard:
    first, y = divisions[0], clips.popularity
    oof = np.asarray(first[f"{family}_oof"])
    all_rho = [rho(one[f"{family}_oof"], y) for one in divisions]
    line_rho = [rho(one["line_oof"], y) for one in divisions]
    loudness = clips.mel.mean(dim=(1, 2)).numpy()
    hot = clips.table["on_hot_100"].to_numpy(bool)
    evaluation = (
        *against_popularity(clips, oof),
        Figure("ρ, mean of five divisions into folds", round(float(np.mean(all_rho)), 4)),
        Figure("ρ of ridge on tags and mel statistics, mean of five", round(np.mean(line_rho), 4)),
        figure("ρ of loudness alone", rho, loudness, y),
        figure("AUC for clips of songs that were on the Hot 100", auc, hot, oof),
    )
    pairs = 50 + 100 * np.arcsin(np.clip(evaluation[0].value, -1, 1)) / np.pi  # of normal values
    return ModelCard(
        name="real-clips",
        description="Ten raters of a song's sound: random cosines of its mel statistics, at a "
        "common level, and of its tags, weighted by ridge regression. It says how popular artists "
        "are whose songs sound like this one.",
        uses="To place a finished pop recording among 522 real clips, with an interval. Not for "
        "ranking takes of one song, not for sounds that are no songs, and not for decisions "
        "about people.",
        limits=LIMITS.format(pairs=pairs),
        training_data=CLIPS_DATA,
        label=CLIPS_LABEL,
        training_procedure="benchmarks/train_real.py. Each rater learned from nine tenths of the "
        "artists; its smoothness was chosen inside them by five folds. Cosines ranked better there "
        f"than a straight line in {sum(ahead)} of {10 * len(ahead)} training sets.",
        evaluation_data="The same clips, each scored by the rater that had not learned from its "
        "artist. Intervals: 95 %, bootstrap over clips.",
        evaluation=evaluation,
        licence=LICENCE,
        citation="Panda et al. 2018 (clips); A. Rahimi, B. Recht 2007 (random features); J. Pons, "
        "X. Serra 2019 (musicnn tags).",
    )


def charted_card(
    clips: Clips,
    charts: pd.DataFrame,
    inputs: Floats,
    charted: NDArray[np.bool_],
    oof: Floats,
    heard: Floats,
    wanted: Floats,
) -> ModelCard:
    hot = clips.table["on_hot_100"].to_numpy(bool)
    evaluation = (
        figure("AUC for clips of songs that were on the Hot 100", auc, hot, oof),
        *against_popularity(clips, oof),
        Figure(
            "AUC among songs of the table, artists apart, mean within decades",
            round(_table_auc(charts, inputs, charted), 4),
            n=len(charts),
        ),
        *(
            figure(f"ρ of {name}, from sound, with the published model's", rho, *pair)
            for name, *pair in zip(ATTRIBUTES, heard.T, wanted.T, strict=True)
        ),
    )
    return ModelCard(
        name="hot100-attributes",
        description="How much a song sounds like songs that charted: seven attributes from its "
        "sound, a straight line each, then the log-odds of having charted, one more straight line. "
        "All weights can be read in hot100-attributes.json.",
        uses="To say whether a song's energy, mood and so on are more like those of charted songs "
        "than other songs' are: as a percentile. Its log-odds are no probability: the attributes "
        "that it hears are on the scale of another model than the table's (clips are called far "
        "more instrumental), and half of the table's songs charted.",
        limits="Attributes are those of another model, not Spotify's own; songs that did not chart "
        "come from less popular genres by the table's own rule, so the figures among the table's "
        "songs flatter. Among charted songs it cannot tell which lasted. " + LIMITS.split(". ")[-1],
        training_data=f"{len(charts):,} songs of 1960 to 2019 (the Spotify Hit Predictor table of "
        "F. Ansari joined to the weekly Hot 100), none by an artist of the clips; and the clips "
        "for the way from sound to attributes. " + CLIPS_DATA,
        label="Whether the song was ever on the weekly Hot 100.",
        training_procedure="benchmarks/train_real.py. Ridge regression from sound to attributes on "
        "nine tenths of the clips' artists, ten times; logistic regression with a constant for "
        "each decade, whose mean is taken where a decade is not asked for.",
        evaluation_data="The clips, each heard by the ridge that had not learned from its artist.",
        evaluation=evaluation,
        licence=LICENCE,
        citation="F. Ansari, The Spotify Hit Predictor Dataset; VibeNet 0.1.0; Panda et al. 2018.",
    )


def published_card(clips: Clips, score: Floats) -> ModelCard:
    audio = clips.table["kkbox_audio_logit"].to_numpy()
    tag = clips.table["kkbox_tag_logit"].to_numpy()
    y = clips.popularity
    return ModelCard(
        name="kkbox-ret30",
        description="The authors' published network, trained on plays of a streaming service in "
        "Taiwan; hitcore ships none of its weights, but where its scores of real clips lie.",
        uses="To compare with the paper. Its place among real clips says next to nothing about "
        "their artists' popularity.",
        limits="Trained on one service's listeners; nearly at chance on Western clips.",
        training_data="KKBOX (proprietary), by its authors.",
        label="The share of a service's plays on days 30 to 59 after release.",
        evaluation_data=CLIPS_DATA,
        evaluation=(
            *against_popularity(clips, score),
            figure("ρ of its audio network alone", rho, audio, y),
            figure("ρ of its tag network alone", rho, tag, y),
        ),
        licence="Weights: Apache-2.0, by their authors. Figures: MIT.",
        citation="Yu, Yang, Hung, Chen 2017.",
    )


def _table_auc(charts: pd.DataFrame, inputs: Floats, charted: NDArray[np.bool_]) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    decade = charts["decade"].to_numpy()
    constants = (decade[:, None] == np.unique(decade)) * 10.0
    score = np.empty(len(charts))
    for train, test in GroupKFold(5).split(inputs, charted, charts["artist_id"]):
        both = np.hstack([inputs, constants])
        fit = LogisticRegression(max_iter=5000).fit(both[train], charted[train])
        score[test] = fit.decision_function(both[test])
    return float(
        np.mean([auc(charted[decade == d], score[decade == d]) for d in np.unique(decade)])
    )


# --- sound ---------------------------------------------------------------------------------------


def sounds() -> Iterator[tuple[str, Waveform]]:
    """The highlights of the recordings at hand: demo songs, and those of `../shared`."""
    files = sorted((ASSETS / "demo_songs").glob("*.ogg"))
    files += sorted((SHARED / "data" / "highlights").glob("*.mp3"))
    for file in files:
        yield file.name, highlight_of(file)


def highlight_of(file: Path) -> Waveform:
    song = decode(file, 22_050).waveform
    chosen = find_highlight(song)
    return song.crop(chosen.start, chosen.end)


def percentile_of(name: str, clip: Waveform) -> float:
    model = model_of(name)
    assert model.spec.mel is not None
    assert model.spec.tagger is not None
    assert model.reference is not None
    mel = mel_of(clip, model.spec.mel, model.spec.n_frames)
    tags = tags_of(load_tagger(model.spec.tagger).tag(clip), model.spec.tag_names)
    with torch.inference_mode():
        scores = model.fold_scores(mel, tags)[:, 0].double().numpy()
    return model.reference.percentile_rank(scores).percentile


def sensitivity(name: str) -> tuple[Figure, ...]:
    """By how many percentiles a recording moves when it is louder, softer or coded, on average."""
    changes: dict[str, Callable[[Waveform], Waveform]] = {
        "6 dB softer": lambda clip: _scaled(clip, -6),
        "6 dB louder": lambda clip: _scaled(clip, 6),
        "MP3 of 128 kb/s": lambda clip: _as_mp3(clip, 128),
        "MP3 of 64 kb/s": lambda clip: _as_mp3(clip, 64),
    }
    clips = [clip for _, clip in sounds()]
    plain = np.array([percentile_of(name, clip) for clip in clips])
    found = []
    for words, change in changes.items():
        moved = np.array([percentile_of(name, change(clip)) for clip in clips])
        mean = round(float(100 * np.abs(moved - plain).mean()), 2)
        found.append(Figure(f"mean move in percentiles, {words}", mean, n=len(clips)))
    return tuple(found)


def _scaled(clip: Waveform, decibels: float) -> Waveform:
    return Waveform((clip.samples * 10 ** (decibels / 20)).astype(np.float32), clip.sample_rate)


def _as_mp3(clip: Waveform, kilobits: int) -> Waveform:
    """The clip through MPEG-1 layer 3 at 44.1 kHz and a constant rate, mono."""
    full = clip.resample(44_100)
    samples = full.samples / max(1.0, float(np.abs(full.samples).max()))
    file = io.BytesIO()
    soundfile.write(
        file,
        samples,
        full.sample_rate,
        format="MP3",
        bitrate_mode="CONSTANT",
        compression_level=(320 - kilobits) / (320 - 32),
    )
    rate = 8 * len(file.getvalue()) / 1000 / full.duration_s
    assert abs(rate - kilobits) < 0.1 * kilobits, f"{rate:.0f} kb/s in place of {kilobits}"
    return decode(file.getvalue(), clip.sample_rate).waveform

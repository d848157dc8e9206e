"""How far the shipped models of real music can be trusted, printed from what ships.

Scores of the clips are made by the shipped networks: each clip by the one that had not learned
from its artist. Then ρ with its interval, against loudness alone and against ridge on tags and mel
statistics over the same folds (paired bootstrap over clips); coverage of the intervals on folds
that took no part; how many clips are outside the domain when left out; and what becomes of sounds
that are no songs, and of the 41 pieces of wesnoth where they are installed. Exit 1 where a figure
falls short of what is promised.

    python benchmarks/real.py [--no-sound]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from clips import Clips, read_clips
from numpy.typing import NDArray
from realcards import rho

from hitcore import weights
from hitcore.analysis import ModelScore, analyse
from hitcore.evaluation.calibration import places
from hitcore.evaluation.domain import INSIDE, left_out_distances
from hitcore.evaluation.intervals import bootstrap_interval
from hitcore.networks.kernels import KernelSettings, fit_kernel
from hitcore.networks.models import HitModel, load_model
from hitcore.networks.statistics import sound_statistics

WESNOTH = Path("/usr/share/games/wesnoth")
RATE = 22_050
RIDGES = [KernelSettings(0.0, penalty, 0.5) for penalty in (1.0, 3.0, 10.0)]
SPOKEN = (
    "The history of the harbour begins with a small group of families who settled on the northern "
    "bank of the river. They built houses of timber and stone, and for many years they lived by "
    "the sea alone. Then merchants came from the south and asked for permission to build a market. "
)

Floats = NDArray[np.float64]
failures: list[str] = []


def claim(words: str, holds: bool) -> None:
    print(f"  {'ok   ' if holds else 'SHORT'} {words}", flush=True)
    if not holds:
        failures.append(words)


def left_out_scores(model: HitModel, clips: Clips) -> Floats:
    """Each clip's score by the network that had not learned from its artist."""
    assert model.reference is not None
    fold = model.reference.fold
    with torch.inference_mode():
        every = model.fold_scores(clips.mel, clips.tags).double().numpy()
    return every[fold, np.arange(len(fold))]


def ridge_scores(clips: Clips, fold: NDArray[np.int64]) -> Floats:
    """Ridge on tags and mel statistics over the same folds; its best penalty is given to it."""
    y, found = torch.from_numpy(clips.popularity).float(), []
    for settings in RIDGES:
        score = np.empty(len(fold))
        for k in np.unique(fold):
            rest, here = fold != k, fold == k
            net = fit_kernel(
                None, clips.tags[rest], y[rest], settings, statistics=clips.statistics[rest]
            )
            with torch.inference_mode():
                score[here] = net(clips.mel[here], clips.tags[here]).score.double().numpy()
        found.append(score)
    return max(found, key=lambda score: rho(score, clips.popularity))


def ranking(clips: Clips) -> None:
    print("\nRanking, out of fold, Spearman's rho with artists' popularity (95 %)")
    y = clips.popularity
    model = load_model("real-clips")
    assert model.reference is not None
    score = left_out_scores(model, clips)
    stored = float(np.abs(score - model.reference.score).max())
    claim(f"the shipped networks give the scores that ship (off by {stored:.1e})", stored < 1e-3)
    ours = bootstrap_interval(rho, score, y)
    print(f"  real-clips           {ours.estimate:.3f} [{ours.low:.3f}, {ours.high:.3f}]")
    for name in ("hot100-attributes", "kkbox-ret30"):
        if name == "kkbox-ret30":
            table = clips.table
            other = (table["kkbox_audio_logit"] + 0.5 * table["kkbox_tag_logit"]).to_numpy()
        else:
            other = left_out_scores(load_model(name), clips)
        found = bootstrap_interval(rho, other, y)
        print(f"  {name:<20} {found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]")
    loud = clips.mel.mean(dim=(1, 2)).numpy()
    ridge = ridge_scores(clips, model.reference.fold)
    for name, other in (("loudness alone", loud), ("ridge", ridge)):
        found = bootstrap_interval(rho, other, y)
        gap = bootstrap_interval(lambda a, b, t: rho(a, t) - rho(b, t), score, other, y)
        print(
            f"  {name:<20} {found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]; "
            f"real-clips better by {gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        )
        if name == "ridge":
            claim("not below ridge by the paired bootstrap", gap.high > 0)
            claim("its estimate is above ridge", gap.estimate > 0)
        else:
            claim("above loudness alone", gap.low > 0)
    claim("rho is 0.52 or more", ours.estimate >= 0.52)
    claim("its interval is above 0.44", ours.low > 0.44)
    size = weights.packaged()["real-clips"].stat().st_size
    claim(f"the file is {size / 1e6:.2f} MB, at most 4", size <= 4e6)


def intervals(clips: Clips) -> None:
    print("\nCoverage of intervals, each made without the fold that it is judged by")
    for name in ("real-clips", "hot100-attributes"):
        reference = load_model(name).reference
        assert reference is not None
        for nominal in (0.8, 0.9):
            held = reference.coverage(nominal)
            claim(f"{name} at {nominal:.0%}: {held:.1%}", abs(held - nominal) <= 0.03)
        off = np.abs(reference.achieved() - places(clips.popularity, clips.popularity)).max()
        assert off < 1e-6, "the reference's truth is not that of the clips"


def domains(clips: Clips) -> None:
    print("\nClips outside the domain when their artist is left out")
    features = sound_statistics(clips.mel, clips.tags).double().numpy()
    far = left_out_distances(features, clips.artists)
    domain = load_model("real-clips").domain
    assert domain is not None
    share = float((far > domain.limit).mean())
    claim(f"{share:.1%}, by the limit that ships ({1 - INSIDE:.0%} meant)", 0.03 <= share <= 0.07)


# --- sounds --------------------------------------------------------------------------------------


def signals(folder: Path) -> dict[str, Path]:
    """Sounds that are no songs, a minute each."""
    time = np.arange(60 * RATE) / RATE
    rng = np.random.default_rng(0)
    click = np.sin(2 * np.pi * 1000 * time[:1100]) * np.exp(-time[:1100] * 100)
    made = {
        "silence": np.zeros(60 * RATE),
        "440 Hz tone": 0.5 * np.sin(2 * np.pi * 440 * time),
        "white noise": 0.2 * rng.standard_normal(60 * RATE).clip(-4, 4),
    }
    for beats in (60, 120, 180):
        track = np.zeros(60 * RATE)
        for beat in np.arange(0, 59.5, 60 / beats):
            start = round(beat * RATE)
            track[start : start + len(click)] += 0.8 * click
        made[f"metronome at {beats}"] = track
    files = {}
    for name, samples in made.items():
        files[name] = folder / f"{name}.wav"
        soundfile.write(files[name], samples.astype(np.float32), RATE)
    if shutil.which("espeak-ng"):
        for voice in ("en", "en+f3", "de"):
            file = folder / f"speech {voice}.wav"
            text = SPOKEN * 5
            subprocess.run(
                ["espeak-ng", "-v", voice, "-s", "160", "-w", str(file), text], check=True
            )
            files[file.stem] = file
    else:
        print("  no espeak-ng: speech is left out (apt-get install espeak-ng)")
    return files


def first_score(file: Path) -> ModelScore:
    return analyse(file, ["real-clips"]).scores[0]


def sounds() -> None:
    print("\nSounds that are no songs: no percentile, and the sentence why")
    with tempfile.TemporaryDirectory() as folder:
        for name, file in signals(Path(folder)).items():
            score = first_score(file)
            refused = score.in_domain is False and score.percentile is None and bool(score.note)
            claim(f"{name}: in_domain {score.in_domain}; {score.note}", refused)
    pieces = sorted(WESNOTH.glob("*/data/core/music/*.ogg"))
    if not pieces:
        print("  no wesnoth music (apt-get install wesnoth-1.16-music)")
        return
    print("\nOrchestral game music: the 41 pieces of wesnoth")
    found = [first_score(piece) for piece in pieces]
    known = [100 * score.percentile for score in found if score.percentile is not None]
    flagged = sum(score.in_domain is False for score in found)
    print(f"  {flagged} of {len(pieces)} are flagged as unlike the clips")
    claim(f"the others average percentile {np.mean(known):.0f}, at most 60", np.mean(known) <= 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-sound", action="store_true", help="only what needs no sound")
    given = parser.parse_args()
    clips = read_clips()
    ranking(clips)
    intervals(clips)
    domains(clips)
    if not given.no_sound:
        sounds()
    print(f"\n{len(failures)} short" if failures else "\nall as promised")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

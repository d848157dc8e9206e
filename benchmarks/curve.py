"""The hit curve: is it exact, does it hold still, and what does it cost?

    python benchmarks/curve.py [--shared ../shared] [--songs 13] [--cut 0.4] [--json]

1. Windows of the curve beside the same windows cut out of the spectrogram and scored alone, for
   every packaged network, the published one, and an Inception network with weights drawn at random.
2. Three recordings (shared/data/highlights) and ten pieces of Debian's wesnoth-1.16-music, whole
   and with 0.4 s cut off the start: how far the published network's place among the 522 clips
   moves, by the song's median and, beside it, by the highlight alone as it was before there was a
   curve; whether it stays within the interval shown; how many digits are printed.
3. Processor seconds of the curve beyond the highlight's own score, one thread.

The published network and JYnet are imported from shared/reference into a cache of their own.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hitcore import weights  # noqa: E402
from hitcore.analysis.curve import GRID_FRAMES, SongMels, hit_curve, window_scores  # noqa: E402
from hitcore.analysis.digits import sure_interval  # noqa: E402
from hitcore.analysis.song import analyse  # noqa: E402
from hitcore.analysis.tagstretches import hear_stretches  # noqa: E402
from hitcore.audio import Waveform, decode, encode  # noqa: E402
from hitcore.features import MEL_PRESETS, log_mel  # noqa: E402
from hitcore.networks.hitnet import InceptionCNN, initialise  # noqa: E402
from hitcore.networks.models import load_model  # noqa: E402
from hitcore.taggers import load_tagger  # noqa: E402

WESNOTH = Path("/usr/share/games/wesnoth/1.16/data/core/music")
RATE = 22_050
PUBLISHED = "kkbox-ret30"


def songs(shared: Path, n_songs: int) -> list[Path]:
    """The recordings, then wesnoth's pieces in the order of their names."""
    recordings = sorted((shared / "data" / "highlights").glob("*.mp3"))
    return [*recordings, *sorted(WESNOTH.glob("*.ogg"))][:n_songs]


def exactness(path: Path) -> list[dict[str, object]]:
    """The largest difference between a window and its crop alone, network by network."""
    song = decode(path, RATE).waveform.crop(0, 60)
    networks = {"Inception, random weights": ("paper", [initialise(InceptionCNN(), 1).eval()])}
    for name in [*weights.packaged(), PUBLISHED]:
        try:
            model = load_model(name)
        except weights.WeightsError:
            continue  # a tagger or a highlighter
        audios = [n.audio for n in model.networks if getattr(n.audio, "has_frames", n.audio)]
        if model.spec.mel is not None and audios:
            networks[name] = (model.spec.mel, audios)
    rows = []
    for name, (preset, audios) in networks.items():
        mel = log_mel(song.samples, MEL_PRESETS[preset])[None]
        worst, spread = 0.0, 0.0
        for audio in audios:
            together = window_scores(audio, mel)
            starts = range(0, mel.shape[-1] - audio.n_frames + 1, GRID_FRAMES)
            with torch.inference_mode():
                alone = [float(audio(mel[..., s : s + audio.n_frames])) for s in starts]
            worst = max(worst, float(np.abs(together - alone).max()))
            spread = max(spread, float(np.ptp(together)))
        rows.append({"network": name, "windows": len(alone), "difference": worst, "range": spread})
    return rows


def places(score: float, among: np.ndarray) -> float:
    return 100 * float((among < score).mean())


def stability(path: Path, cut_s: float, among: np.ndarray) -> dict[str, object]:
    """The published network's place of one song, whole and cut."""
    song = decode(path, RATE).waveform
    found = []
    for first in (0, round(cut_s * RATE)):
        report = analyse(encode(Waveform(song.samples[first:], RATE)), models=[PUBLISHED])
        score = report.scores[0]
        low, high = (places(value, among) for value in score.curve.range)
        if score.low is not None and score.high is not None:
            low, high = 100 * score.low, 100 * score.high
        shown = score.percentile is not None
        found.append(
            {
                "song": 100 * score.percentile if shown else places(score.song_score, among),
                "highlight": places(score.score, among),
                "low": low,
                "high": high,
                "shares": score.mixes,
            }
        )
    whole, cut = found
    ratio = cut["shares"].get("published", np.nan) / whole["shares"].get("published", np.nan)
    return {
        "name": path.name[:28],
        "whole": whole["song"],
        "cut": cut["song"],
        "moved": abs(whole["song"] - cut["song"]),
        "interval": sure_interval(whole["song"], whole["low"], whole["high"]),
        "inside": whole["low"] <= cut["song"] <= whole["high"],
        "highlight moved": abs(whole["highlight"] - cut["highlight"]),
        "share ratio": max(ratio, 1 / ratio) if ratio > 0 else float("nan"),
    }


def cost(path: Path) -> list[dict[str, object]]:
    """Processor seconds of the curve by its parts, the best of three."""
    song = decode(path, RATE).waveform
    clip = song.crop(30, 60)
    rows = []
    for name in (*(n for n in weights.packaged() if n.endswith(("-j", "-clips"))), PUBLISHED):
        model, heard, tags = load_model(name), None, 0.0
        if model.spec.tagger is not None:
            tagger = load_tagger(model.spec.tagger)
            known = tagger.tag(clip)
            tags, heard = best_of(lambda t=tagger, k=known: hear_stretches(t, song, k, 30.0))
            heard = heard.select(model.spec.tag_names)
        curve, _ = best_of(lambda m=model, h=heard: hit_curve(m, SongMels(song), h))
        rows.append({"model": name, "song_s": song.duration_s, "curve_s": curve, "tags_s": tags})
    return rows


def best_of(make, repeats: int = 3):
    seconds, made = [], None
    for _ in range(repeats):
        started = time.process_time()
        made = make()
        seconds.append(time.process_time() - started)
    return min(seconds), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--songs", type=int, default=13)
    parser.add_argument("--cut", type=float, default=0.4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = songs(options.shared, options.songs)
    with tempfile.TemporaryDirectory() as folder:
        installed = weights.cache_folder()
        os.environ["HITCORE_CACHE"] = folder
        weights.cache_folder().mkdir(parents=True)
        for file in installed.glob("musicnn*.safetensors"):
            (weights.cache_folder() / file.name).symlink_to(file)
        for name in (PUBLISHED, "jynet"):
            weights.import_local(name, options.shared / "reference" / "hsp_cnn")
        clips = pd.read_parquet(options.shared / "data" / "real" / "clips.parquet")
        among = (clips["kkbox_audio_logit"] + 0.5 * clips["kkbox_tag_logit"]).to_numpy()
        exact = pd.DataFrame(exactness(chosen[0]))
        still = pd.DataFrame([stability(path, options.cut, among) for path in chosen])
        costs = pd.DataFrame(cost(chosen[0]))
    figures = {
        "largest_difference": float(exact["difference"].max()),
        "median_move": float(still["moved"].median()),
        "largest_move": float(still["moved"].max()),
        "all_inside": bool(still["inside"].all()),
        "median_move_of_highlight": float(still["highlight moved"].median()),
        "median_share_ratio": float(still["share ratio"].median()),
    }
    if options.json:
        tables = {"exact": exact, "still": still, "cost": costs}
        rows = {key: table.to_dict("records") for key, table in tables.items()}
        print(json.dumps(figures | rows, indent=2))
        return
    print("Windows and their crops alone\n" + exact.to_string(index=False))
    print(f"\n{options.cut} s cut off the start: place of {PUBLISHED} among {len(among)} clips")
    print(still.round(1).to_string(index=False))
    print("\nProcessor seconds, one thread\n" + costs.round(3).to_string(index=False))
    print("\n" + "\n".join(f"{key}: {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()

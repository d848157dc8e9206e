"""What the typical song sounds like, and a sample of the demo catalogue to compare songs with.

    python benchmarks/typical_songs.py clips FEATURES.npz      -> assets/typical.json, entry "clips"
    python benchmarks/typical_songs.py demo [--songs 160]      -> the entry "demo", and
                                                                 assets/demo/similar.safetensors

The typical song is the mean over a catalogue's songs of the highlight's tags and of its spectrum:
averages alone, from which no song can be had back. `clips` are features of the 522 real clips
(PAPER_MEL in steps of `scale`, musicnn-mtt tags); for the published network's raw power the
logarithm is undone. `demo` makes the sound of every n-th song of the demo catalogue anew.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hitcore.analysis.typical import TYPICAL_FILE, TypicalSong  # noqa: E402
from hitcore.demo import waveform_of  # noqa: E402
from hitcore.features import PAPER_MEL, fit_frames, log_mel  # noqa: E402
from hitcore.files import ASSETS, write_atomic  # noqa: E402
from hitcore.highlights import find_highlight  # noqa: E402
from hitcore.taggers import load_tagger  # noqa: E402

TAGGER = "musicnn-mtt"


def of_clips(path: Path) -> TypicalSong:
    """The mean clip, mel by mel so that little is held at once."""
    with np.load(path) as file:
        names, tags, mels, scale = (
            file[key] for key in ("tag_names", "tags", "log_mel_u8", "scale")
        )
    scaled = (float(scale) * mel for mel in mels)
    return typical(f"{len(tags)} real clips", [str(name) for name in names], tags, scaled)


def typical(title, names, tags, mels) -> TypicalSong:
    logs, powers, n = 0.0, 0.0, 0
    for mel in mels:
        mel = np.asarray(mel, np.float64)
        logs, powers, n = logs + mel.mean(axis=1), powers + np.expm1(mel).mean(axis=1) / 1e4, n + 1
    average = dict(zip(names, np.asarray(tags, np.float64).mean(axis=0).tolist(), strict=True))
    return TypicalSong(title, average, {"paper": logs / n, "release": powers / n})


def of_demo(n_songs: int) -> TypicalSong:
    """The mean of every n-th song; the songs themselves are written for comparison."""
    from hitcore.analysis.similar import SongLibrary

    songs = pd.read_parquet(ASSETS / "demo" / "songs.parquet")
    chosen = songs.iloc[:: max(1, len(songs) // n_songs)].head(n_songs)
    truth = pd.read_parquet(ASSETS / "demo" / "hit_scores.parquet").set_index("song_id")[
        "hit_score"
    ]
    tagger, tags, embeddings, mels = load_tagger(TAGGER), [], [], []
    for number, source in enumerate(chosen["source"], start=1):
        song = waveform_of(source)
        found = find_highlight(song)
        clip = song.crop(found.start, found.end)
        heard = tagger.tag(clip)
        tags.append(heard.mean())
        embeddings.append(heard.embeddings.mean(axis=0))
        mels.append(fit_frames(log_mel(clip.samples, PAPER_MEL)).numpy())
        print(f"\r{number} of {len(chosen)}", end="", file=sys.stderr)
    SongLibrary(
        ids=tuple(chosen["song_id"]),
        titles=tuple(f"{t} — {a}" for t, a in zip(chosen["title"], chosen["artist"], strict=True)),
        tags=np.array(tags),
        tag_names=tagger.tag_names,
        embeddings=np.array(embeddings),
        popularity=truth.reindex(chosen["song_id"]).to_numpy(float),
        sources=tuple(chosen["source"]),
    ).save(ASSETS / "demo" / "similar.safetensors")
    return typical(f"{len(chosen)} songs of the demo catalogue", list(tagger.tag_names), tags, mels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("clips", "demo"))
    parser.add_argument("features", nargs="?", type=Path)
    parser.add_argument("--songs", type=int, default=160)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = of_clips(options.features) if options.which == "clips" else of_demo(options.songs)
    known = json.loads(TYPICAL_FILE.read_text()) if TYPICAL_FILE.exists() else {}
    known[options.which] = found.to_dict()
    write_atomic(TYPICAL_FILE, json.dumps(known, indent=1) + "\n")
    print(f"{TYPICAL_FILE}: {found.title}")


if __name__ == "__main__":
    main()

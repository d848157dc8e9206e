"""Train `attention-small`, the highlighter that the project ships, and write it anew.

It learns from generated songs alone, so that it is free of other people's rights. A song's labels
are the six qualities of its chorus, as a word and its opposite each and without any time: what the
network learns about where the chorus is, it learns because the chorus tells them. The songs are of
another seed than those of benchmarks/highlights.py.

With 120 songs, all of each in every step, and without the opposites (a song high in all qualities
then has the labels of one low in all), the network learnt the songs by heart, and its attention
said nothing about choruses. docs/highlights.md has the figures.

    python benchmarks/train_highlighter.py [--songs 600] [--epochs 20] [--out FILE]
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from hitcore.demo import DemoConfig, make_song, plan_song
from hitcore.highlights.labels import LabelledSongs, SourceSong
from hitcore.highlights.training import (
    HighlighterConfig,
    HighlighterEpoch,
    train_highlighter,
)

SEED = 1000
WORDS = {
    "hook": ("catchy", "plain"),
    "brightness": ("bright", "dark"),
    "richness": ("rich", "bare"),
    "groove": ("groovy", "stiff"),
    "lift": ("uplifting", "level"),
    "clarity": ("clear", "washed"),
}
STEEPNESS = 6.0
"""How sure a word is where its quality is beyond the middle."""


def training_songs(n_songs: int) -> LabelledSongs:
    config = DemoConfig(n_songs=max(n_songs, 100), seed=SEED)
    songs, crafts = [], []
    for i in range(n_songs):
        plan = plan_song(SEED, i)
        load = partial(lambda config, i: make_song(config, i).waveform, config, i)
        songs.append(SourceSong(plan.song_id, load, plan.source))
        crafts.append([plan.chorus_craft[quality] for quality in WORDS])
    sure = 1 / (1 + np.exp(-STEEPNESS * (np.asarray(crafts) - 0.5)))
    targets = np.concatenate([sure, 1 - sure], axis=1).astype(np.float32) / len(WORDS)
    names = (*(word for word, _ in WORDS.values()), *(word for _, word in WORDS.values()))
    return LabelledSongs(tuple(songs), targets, names, {})


def show(epoch: HighlighterEpoch) -> None:
    print(f"epoch {epoch.epoch:3d}  {epoch.train_loss:.4f}  {epoch.valid_loss:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    assets = Path(__file__).resolve().parent.parent / "assets" / "models"
    parser.add_argument("--songs", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=assets / "attention-small.safetensors")
    chosen = parser.parse_args()
    result = train_highlighter(
        training_songs(chosen.songs),
        chosen.out,
        HighlighterConfig(n_epochs=chosen.epochs),
        description={
            "trained_on": f"{chosen.songs} songs of hitcore.demo, labels: the qualities of the "
            "chorus as words, without times",
            "source": "hitcore, benchmarks/train_highlighter.py",
            "licence": "MIT",
            "limits": "Has heard synthetic songs only; on recordings it is a stand-in for weights "
            "trained on them (nam-lf, or your own with `hitcore train highlighter`).",
        },
        on_epoch=show,
    )
    print(f"position alone explains {result.position_share:.2f} of the attention's variance")
    print(f"{result.path.name}: {result.path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

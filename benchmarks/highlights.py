"""How well each method finds the chorus: coverage, onset, time; with bootstrap intervals.
Fewer than five songs get no interval: their values are printed one by one.

    python benchmarks/highlights.py [--quick] [--songs 200] [--rows FILE.csv] [--settings]

Songs: those of $HITCORE_SHARED/data/highlights (or ../shared) with marked choruses, and generated
ones (hitcore.demo, a seed that nothing was tuned or trained on). Methods: the middle, the loudest
30 s, each of hitcore's, and pychorus (clip length 15) where it is installed.

coverage      share of the 30 s that lies in a chorus
normalised    0 = mean of all windows of the song, 1 = its best window
onset         seconds from the start to the nearest chorus onset
seconds       of processor time per song, without decoding

With --rows every result is kept, and what is there is not measured again. --settings shows how
little the settings of the repetition method matter, --fused what mixing the attention into it
gives. --music FOLDER runs every method over all sound files of a folder and prints the times. Last
come a song of twenty minutes (seconds and peak memory of each method in a process of its own) and
how far the attention follows the position alone.
"""

import argparse
import contextlib
import csv
import io
import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import torch

from hitcore.audio import Waveform, load_audio
from hitcore.demo import DemoConfig, make_song, plan_song
from hitcore.highlights import METHODS, best_windows, find_evidence, find_highlight
from hitcore.highlights.attention import (
    HighlightNet,
    load_highlighter,
    position_share,
    song_chunks,
)
from hitcore.highlights.repetition import RepetitionConfig, repetition_evidence

SEED = 7
LENGTH_S = 30.0
LONG_S = 1200.0
FEWEST = 5
"""Songs that an interval needs."""
N_POSITION = 24
MUSIC = Path("/usr/share/games/wesnoth/1.16/data/core/music")
FIELDS = ("set", "song", "method", "coverage", "normalised", "onset", "seconds", "confident")
Interval = tuple[float, float]
Method = Callable[[Waveform], tuple[float, bool]]


@dataclass(frozen=True)
class MarkedSong:
    """A song whose choruses are known."""

    set: str
    name: str
    load: Callable[[], Waveform]
    choruses: tuple[Interval, ...]


# --- songs ---------------------------------------------------------------------------------------


def real_songs() -> list[MarkedSong]:
    default = Path(__file__).resolve().parent.parent.parent / "shared"
    folder = Path(os.environ.get("HITCORE_SHARED", default)) / "data" / "highlights"
    if not (folder / "chorus.json").exists():
        print(f"the marked songs are not at {folder} (set HITCORE_SHARED)")
        return []
    marked = json.loads((folder / "chorus.json").read_text())
    return [
        MarkedSong(
            "real",
            name,
            lambda name=name: load_audio(folder / f"{name}.mp3"),
            tuple((a, b) for a, b in song["chorus"]),
        )
        for name, song in marked.items()
    ]


def generated_songs(n_songs: int) -> list[MarkedSong]:
    config = DemoConfig(n_songs=max(n_songs, 100), seed=SEED)
    return [
        MarkedSong(
            "generated",
            f"{SEED}:{i}",
            lambda i=i: make_song(config, i).waveform,
            tuple(plan_song(SEED, i).choruses),
        )
        for i in range(n_songs)
    ]


# --- methods -------------------------------------------------------------------------------------


def ours(method: str) -> Method:
    def find(waveform: Waveform) -> tuple[float, bool]:
        found = find_highlight(waveform, method, length_s=LENGTH_S)
        return found.start, found.confident

    return find


def loudest(waveform: Waveform) -> tuple[float, bool]:
    power = np.concatenate([[0.0], np.cumsum(waveform.samples.astype(np.float64) ** 2)])
    n = min(round(LENGTH_S * waveform.sample_rate), len(waveform.samples))
    return int((power[n:] - power[:-n]).argmax()) / waveform.sample_rate, True


def pychorus_method() -> Method | None:
    """pychorus on its own chroma, but from the samples at hand instead of a file."""
    try:
        import librosa

        if not hasattr(scipy.ndimage, "filters"):  # pychorus asks for what newer scipy dropped
            scipy.ndimage.filters = scipy.ndimage
        from pychorus.helpers import find_chorus
    except ImportError as error:
        print(f"pychorus is left out: {error}")
        return None

    def find(waveform: Waveform) -> tuple[float, bool]:
        samples = waveform.samples
        power = np.abs(librosa.stft(samples, n_fft=2**14)) ** 2
        chroma = librosa.feature.chroma_stft(S=power, sr=waveform.sample_rate)
        with contextlib.redirect_stdout(io.StringIO()):
            start = find_chorus(chroma, waveform.sample_rate, waveform.duration_s, 15)
        # It finds nothing in some songs; the middle then, as its user would.
        found = start is not None
        latest = waveform.duration_s - LENGTH_S
        return (min(float(start), latest) if found else latest / 2), found

    return find


# --- measures ------------------------------------------------------------------------------------


def measures(start: float, choruses: tuple[Interval, ...], duration_s: float) -> dict[str, float]:
    edges = np.arange(0, duration_s - LENGTH_S, 0.05)
    inside = sum(
        np.clip(np.minimum(edges + LENGTH_S, b) - np.maximum(edges, a), 0, None)
        for a, b in choruses
    )
    at = sum(max(0.0, min(start + LENGTH_S, b) - max(start, a)) for a, b in choruses)
    mean, best = inside.mean(), inside.max()
    return {
        "coverage": at / LENGTH_S,
        "normalised": (at - mean) / (best - mean),
        "onset": min(abs(start - a) for a, _ in choruses),
    }


def measured(
    songs: list[MarkedSong], methods: dict[str, Method], kept: Path | None
) -> Iterator[dict[str, object]]:
    """One row per song and method; what stands in the file of rows is taken from there."""
    done = {(row["set"], row["song"], row["method"]): row for row in read_rows(kept)}
    for song in songs:
        waveform = None
        for name, method in methods.items():
            key = (song.set, song.name, name)
            if key in done:
                yield {k: _number(v) for k, v in done[key].items()}
                continue
            waveform = waveform or song.load()
            begun = time.process_time()
            start, confident = method(waveform)
            row = {
                **dict(zip(("set", "song", "method"), key, strict=True)),
                **measures(start, song.choruses, waveform.duration_s),
                "seconds": time.process_time() - begun,
                "confident": int(confident),
            }
            keep_row(kept, row)
            yield row


def read_rows(kept: Path | None) -> list[dict[str, str]]:
    if kept is None or not kept.exists():
        return []
    with open(kept, newline="") as file:
        return list(csv.DictReader(file))


def keep_row(kept: Path | None, row: dict[str, object]) -> None:
    if kept is None:
        return
    new = not kept.exists()
    with open(kept, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def interval(values: np.ndarray) -> Interval:
    """The 95 % bootstrap interval of the mean over songs."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def told(values: np.ndarray, digits: int, sign: str = "") -> str:
    """The mean and its interval; of fewer than `FEWEST` songs the mean and every value."""
    write = f"{{:{sign}.{digits}f}}".format
    if len(values) < FEWEST:
        return f"{write(values.mean())} ({', '.join(map(write, values))})"
    low, high = interval(values)
    return f"{write(values.mean())} [{write(low)}, {write(high)}]"


# --- tables --------------------------------------------------------------------------------------


def print_table(rows: list[dict[str, object]], methods: list[str], title: str) -> None:
    n_songs = len({row["song"] for row in rows})
    what = "95 % interval over songs" if n_songs >= FEWEST else "every song's value"
    print(f"\n{title}: {n_songs} songs, mean and {what}")
    heads = f"{'coverage':>26}{'normalised':>28}{'onset, s':>26}"
    print(f"{'method':<14}{heads}{'s/song':>8}{'sure':>6}")
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        line = f"{method:<14}"
        for name, width in (("coverage", 26), ("normalised", 28), ("onset", 26)):
            values = np.array([row[name] for row in own], float)
            line += f"{told(values, 1 if name == 'onset' else 2):>{width}}"
        line += f"{np.median([row['seconds'] for row in own]):>8.2f}"
        print(line + f"{np.mean([row['confident'] for row in own]):>6.2f}")


def print_each(rows: list[dict[str, object]]) -> None:
    for row in rows:
        print(
            f"{str(row['song'])[:24]:<26}{row['method']:<14}{row['coverage']:8.2f}"
            f"{row['normalised']:8.2f}{row['onset']:8.1f}{row['seconds']:8.2f}"
        )


def print_settings(songs: list[MarkedSong]) -> None:
    """The normalised coverage with one setting changed at a time."""
    sounds = [(song, song.load()) for song in songs]
    changes: dict[str, tuple[float, ...]] = {
        "min_lag_s": (8, 10, 15, 18),
        "passage_s": (6, 8, 14),
        "detail_s": (2, 3, 6),
        "neighbourhood_s": (2, 4.5, 6),
        "timbre_weight": (0.3, 0.4, 0.6, 0.7),
        "threshold": (1, 2, 4),
        "max_returns": (1, 3, 5),
        "max_transposition": (0, 1, 4),
        "loudness_power": (0, 2, 3, 6),
    }
    usual = RepetitionConfig()
    variants = [("as it is", usual)]
    for name, values in changes.items():
        variants += [(f"{name} = {value:g}", replace(usual, **{name: value})) for value in values]
    print(f"\nrepetition, one setting changed at a time, {len(sounds)} songs: normalised coverage")
    for label, config in variants:
        values: dict[str, list[float]] = {}
        for song, waveform in sounds:
            start = best_windows(repetition_evidence(waveform, config))[0].start
            found = measures(start, song.choruses, waveform.duration_s)["normalised"]
            values.setdefault(song.set, []).append(found)
        shown = "   ".join(f"{name} {np.mean(v):+.2f}" for name, v in values.items())
        print(f"{label:<24}{shown}", flush=True)


def print_fused(songs: list[MarkedSong]) -> None:
    """The normalised coverage where the attention's curve is mixed into that of repetition."""
    found: dict[str, dict[str, list[float]]] = {}
    for song in songs:
        waveform = song.load()
        base, other = (find_evidence(waveform, name) for name in ("repetition", "attention"))
        at = np.searchsorted(other.curve_times, base.curve_times, side="right") - 1
        attention = other.curve[np.clip(at, 0, len(other.curve) - 1)]
        curves = {f"weight {w:g}": (1 - w) * base.curve + w * attention for w in (0, 0.25, 0.5, 1)}
        for label, curve in (curves | {"product": base.curve * attention}).items():
            start = best_windows(replace(base, curve=curve))[0].start
            normalised = measures(start, song.choruses, waveform.duration_s)["normalised"]
            found.setdefault(label, {}).setdefault(song.set, []).append(normalised)
    print("\nattention mixed into repetition: normalised coverage")
    for label, sets in found.items():
        line = f"{label:<14}"
        for name, values in sets.items():
            line += f"{name} ({len(values)}) {told(np.array(values), 2, '+')}   "
        print(line)


def print_music(folder: Path, methods: dict[str, Method]) -> None:
    """Times of every method on every sound file of a folder; an error ends the run."""
    files = sorted(folder.glob("*.ogg"))
    print(f"\n{len(files)} tracks of {folder.name}: duration and seconds per method")
    print(f"{'track':<26}{'duration':>9}" + "".join(f"{name:>12}" for name in methods))
    totals = dict.fromkeys(methods, 0.0)
    for file in files:
        waveform = load_audio(file)
        line = f"{file.stem[:24]:<26}{waveform.duration_s:>9.1f}"
        for name, method in methods.items():
            begun = time.process_time()
            start, confident = method(waveform)
            spent = time.process_time() - begun
            totals[name] += spent
            assert 0 <= start <= max(0.0, waveform.duration_s - LENGTH_S) + 1e-6
            line += f"{spent:>11.2f}{' ' if confident else '?'}"
        print(line, flush=True)
    means = "".join(f"{total / max(1, len(files)):>11.2f} " for total in totals.values())
    print(f"{'mean':<35}{means}   (? = no clear highlight)")


def make_long(path: Path) -> None:
    """Twenty minutes of generated songs, one after the other."""
    config, parts, n_samples = DemoConfig(n_songs=100, seed=SEED), [], 0
    while n_samples < LONG_S * 22_050:
        parts.append(make_song(config, len(parts)).waveform.samples)
        n_samples += len(parts[-1])
    np.save(path, np.concatenate(parts)[: round(LONG_S * 22_050)])


def time_long(path: Path, method: str) -> tuple[float, float]:
    """Processor seconds of a method on a long song, and the peak memory of this process, MB."""
    song = Waveform(np.load(path), 22_050)
    find_highlight(song.crop(0, 40), method)  # what the first call alone loads
    begun = time.process_time()
    find_highlight(song, method)
    spent = time.process_time() - begun
    # Of this process alone: `ru_maxrss` begins at what its parent held.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return spent, int(peak[1]) / 1e3 if peak else float("nan")


def print_long() -> None:
    print("\ntwenty minutes: processor seconds, and peak memory of the process")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.npy"
        apart(make_long, path)
        for method in METHODS:
            seconds, megabytes = apart(time_long, path, method)
            print(f"{method:<14}{seconds:>8.2f} s{megabytes:>8.0f} MB", flush=True)


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """The result of a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def print_position(songs: list[MarkedSong]) -> None:
    """How much of the attention's variance position alone explains, and what a shuffle does."""
    network = load_highlighter()
    print("\nattention: variance that position alone explains; after a shuffle of the chunks, the")
    print(
        "correlation with the chunks' own attention before (follows) and with the place's (stays)"
    )
    for name in ("real", "generated"):
        shares, follows, stays = [], [], []
        for song in [song for song in songs if song.set == name][:N_POSITION]:
            chunks = song_chunks(song.load())
            order = torch.randperm(len(chunks), generator=torch.Generator().manual_seed(0))
            before, after = attention_of(network, chunks), attention_of(network, chunks[order])
            shares.append(position_share(network, chunks))
            follows.append(np.corrcoef(after, before[order.numpy()])[0, 1])
            stays.append(np.corrcoef(after, before)[0, 1])
        if shares:
            means = [float(np.mean(values)) for values in (shares, follows, stays)]
            print(
                f"{name:<12}{len(shares):>4} songs   position {means[0]:.2f}   "
                f"follows {means[1]:.2f}   stays {means[2]:.2f}"
            )


@torch.inference_mode()
def attention_of(network: HighlightNet, chunks: torch.Tensor) -> np.ndarray:
    return network(chunks[None], torch.ones(1, len(chunks), dtype=torch.bool)).attention[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few generated songs, no pychorus")
    parser.add_argument("--songs", type=int, default=200, help="number of generated songs")
    parser.add_argument("--rows", type=Path, help="CSV file that keeps every result")
    parser.add_argument("--settings", action="store_true", help="sensitivity of the settings")
    parser.add_argument("--fused", action="store_true", help="repetition mixed with attention")
    parser.add_argument("--music", type=Path, default=MUSIC, help="folder of tracks to time")
    parser.add_argument("--methods", help="some methods only, such as middle,repetition")
    chosen = parser.parse_args()
    n_songs = 8 if chosen.quick else chosen.songs
    methods: dict[str, Method] = {"middle": ours("middle"), "loudest": loudest}
    methods |= {name: ours(name) for name in METHODS if name != "middle"}
    outside = None if chosen.quick else pychorus_method()
    if outside:
        methods["pychorus"] = outside
    if chosen.methods:
        methods = {name: methods[name] for name in chosen.methods.split(",")}
    songs = [*real_songs(), *generated_songs(n_songs)]
    if chosen.settings:
        print_settings(songs)
        return
    if chosen.fused:
        print_fused(songs)
        return
    rows = list(measured(songs, methods, chosen.rows))
    print(f"{'song':<26}{'method':<14}{'cover':>8}{'norm':>8}{'onset':>8}{'sec':>8}")
    print_each([row for row in rows if row["set"] == "real"])
    for name, title in (("real", "Recordings"), ("generated", "Generated songs")):
        own = [row for row in rows if row["set"] == name]
        if own:
            print_table(own, list(methods), title)
    if chosen.music.is_dir() and not chosen.quick:
        print_music(chosen.music, {k: v for k, v in methods.items() if k in METHODS})
    if not chosen.quick:
        print_long()
        print_position(songs)


if __name__ == "__main__":
    main()

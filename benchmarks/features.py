"""Songs per second from sound file to features: decoding alone, ours, and the usual chain.

    python benchmarks/features.py [--quick] [--json] [--songs FOLDER] [--mp3] [--workers N]
                                  [--device cuda]

All in one run and on the same songs: Debian's wesnoth music where it is installed (Ogg Vorbis), the
MP3s of the reference material where they are, else songs of the demo catalogue; `--mp3` turns them
all into MP3 first, as most catalogues have it, which decodes in a fraction of the time.
*Decoding alone* is the same pool of processes with nothing else to do. *The chain* is one process,
song by song, with as many threads as its libraries like: `librosa.load`,
`librosa.feature.melspectrogram` and the same tagger on the same clip. Its tagger is the published
network in ordinary convolutions, as anybody would write it; what the chain gains from our way of
computing the same numbers, and what it costs where it looks for the highlight by our method too,
stands beside it. What counting an MP3's frames costs (`lengths.py`) is printed as well.
Rates are those of the running work: starting processes is reported by itself. Processor time per
song, of all processes, is what to compare on a machine that does other things too. Memory is the
proportional share (PSS) of this process and all below it.

*Served* is our whole path with one process that computes for all workers: on a GPU where there is
one (`--device`), else on a CPU, where it gains nothing and shows what the way there and back costs.
On a GPU, clips that are in memory go through the front end and the tagger in batches, too, as
multiples of real time.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import soundfile
from lengths import cost as frame_count

from hitcore.audio import decode, load_audio
from hitcore.catalogue.workspace import Workspace
from hitcore.demo import write_songs
from hitcore.devices import torch_device
from hitcore.engines import map_songs, usable_cores
from hitcore.featurestore import FeatureConfig, Progress, build, build_features

WESNOTH = Path("/usr/share/games/wesnoth")
SHARED = Path(os.environ.get("HITCORE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
MIDDLE = FeatureConfig(segment="middle", tagger=None)
WHOLE = FeatureConfig(segment="repetition", tagger="musicnn-mtt")


class PeakMemory:
    """The largest proportional memory of this process and all below it, in MB."""

    def __enter__(self) -> "PeakMemory":
        self.peak_mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._done.wait(1.0):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak_mb = max(self.peak_mb, total / 1e6)


def songs_at_hand(folder: str | None, scratch: Path) -> list[Path]:
    if folder:
        return sorted(path for path in Path(folder).iterdir() if path.is_file())
    found = sorted(WESNOTH.glob("*/data/core/music/*.ogg"))
    found += sorted((SHARED / "data" / "highlights").glob("*.mp3"))
    return found or [path for path in write_songs(scratch) if path.suffix == ".ogg"]


def as_mp3(paths: Sequence[Path], scratch: Path) -> list[Path]:
    """The same songs as MP3 files, at the bit rate that libsndfile chooses."""
    made = []
    for number, path in enumerate(paths):
        samples, rate = soundfile.read(path, dtype="float32")
        made.append(scratch / f"{number:02}.mp3")
        soundfile.write(made[-1], samples, rate, format="MP3")
    return made


# --- decoding alone, and ours --------------------------------------------------------------------


def decode_whole(path: str) -> float:
    return load_audio(path).duration_s


def decode_middle(path: str) -> float:
    return decode(path, 22_050, segment="middle").waveform.duration_s


def processor_time() -> float:
    """Seconds of processor time of this process and all below it, ended ones included."""
    me, total = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
        if process != me:  # earlier measurements are among our own ended children
            total += times.children_user + times.children_system
    return total


class Clock:
    """Songs per second of the running work; it starts when every worker has come back once."""

    def __init__(self, n_workers: int) -> None:
        self._left = n_workers
        self._begun = time.perf_counter()
        self._first = self._last = (0.0, 0, 0.0)

    def note(self, n_done: int) -> None:
        """So many songs are done now."""
        self._left -= 1
        self._last = (time.perf_counter() - self._begun, n_done, processor_time())
        if self._left == 0:
            self._first = self._last

    def figures(self) -> dict:
        """Rate and processor time since the clock started, and the time lost before."""
        seconds, n_songs, processor = np.subtract(self._last, self._first)
        rate = n_songs / seconds
        return {
            "songs_per_s": rate,
            "processor_s": processor / n_songs,
            "start_up_s": max(0.0, self._first[0] - self._first[1] / rate),
        }


def decoding(function: Callable[[str], float], paths: Sequence[Path], n_workers: int) -> dict:
    clock = Clock(2 * n_workers)
    with PeakMemory() as memory:
        outcomes = map_songs(function, map(str, paths), n_workers=n_workers)
        for n_done, outcome in enumerate(outcomes, 1):
            assert outcome.ok, outcome.error
            clock.note(n_done)
    return clock.figures() | {"peak_mb": memory.peak_mb}


def ours(
    config: FeatureConfig,
    paths: Sequence[Path],
    n_workers: int,
    scratch: Path,
    served_on: str | None = None,
) -> dict:
    place = Workspace.create(Path(tempfile.mkdtemp(dir=scratch)) / "w")
    place.audio.mkdir()
    for path in set(paths):
        shutil.copy(path, place.audio / path.name)
    ids = [f"s{i:04d}" for i in range(len(paths))]
    sources = [path.name for path in paths]
    pd.DataFrame({"song_id": ids, "source": sources}).to_parquet(place.songs)
    clock = Clock(n_workers)

    def note(progress: Progress) -> None:
        clock.note(progress.n_done)

    device = served_on or "cpu"
    build.SERVED = (device.partition(":")[0],) if served_on else ()
    with PeakMemory() as memory:
        report = build_features(
            place, [config], n_workers=n_workers, device=device, on_progress=note
        )
    assert report.n_built == len(paths), report.failures
    return clock.figures() | {"peak_mb": memory.peak_mb}


# --- the chain one would write -------------------------------------------------------------------

CHAIN = """
import json, sys, time
import librosa, numpy as np
from torch import nn
from torch.nn import functional
from hitcore.audio import Waveform
from hitcore.highlights import find_highlight
from hitcore.taggers import load_tagger
class Plain(nn.Module):  # a filter of musicnn's front end as it was published
    def __init__(self, block):
        super().__init__()
        self.conv, self.norm, self.padding = block.conv, block.norm, block.padding
    def forward(self, x):
        padded = functional.pad(x, self.padding).unsqueeze(1)
        return self.norm(functional.relu(self.conv(padded))).amax(dim=2)
ours, published = load_tagger("musicnn-mtt"), load_tagger("musicnn-mtt")
for blocks in (published.network.timbral, published.network.temporal):
    for i, block in enumerate(blocks):
        blocks[i] = Plain(block)
stages = "load", "highlight", "mel", "published", "tagger"
def now():
    return time.perf_counter(), time.process_time()
def one(path):
    marks = [now()]
    samples, rate = librosa.load(path, sr=22050, mono=True)
    marks.append(now())
    song = Waveform(samples, 22050)
    found = find_highlight(song, "repetition")
    clip = song.crop(found.start, found.end)
    marks.append(now())
    mel = librosa.feature.melspectrogram(
        y=clip.samples, sr=22050, n_fft=4096, hop_length=2048, window="hamming", n_mels=128)
    np.log1p(10000 * mel).astype(np.float16)
    marks.append(now())
    theirs = published.tag(clip).mean()
    marks.append(now())
    mine = ours.tag(clip).mean()
    marks.append(now())
    assert np.abs(mine - theirs).max() < 1e-5, np.abs(mine - theirs).max()
    return np.diff(marks, axis=0)
paths = json.loads(sys.stdin.read())
one(paths[0])
times = np.array([one(path) for path in paths])
means = times.mean(axis=0)
print(json.dumps([dict(zip(stages, means[:, i].tolist())) for i in (0, 1)]))
"""


CHAINS = {
    "chain": ("load", "mel", "published"),
    "chain_highlight": ("load", "highlight", "mel", "published"),
    "chain_our_tagger": ("load", "mel", "tagger"),
    "chain_ours": ("load", "highlight", "mel", "tagger"),
    "chain_middle": ("load", "mel"),
}
"""Which stages make up which chain."""


def chains(paths: Sequence[Path]) -> dict:
    """The chain, and what it would be with other stages, from one run of all of them."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    with PeakMemory() as memory:
        done = subprocess.run(
            [sys.executable, "-c", CHAIN],
            input=json.dumps([str(path) for path in paths]),
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
    stages, processor = json.loads(done.stdout)
    found = {
        name: {
            "songs_per_s": 1 / sum(stages[stage] for stage in parts),
            "processor_s": sum(processor[stage] for stage in parts),
            "peak_mb": memory.peak_mb,
        }
        for name, parts in CHAINS.items()
    }
    return found | {"stages_s": stages, "stages_processor_s": processor}


# --- on a GPU ------------------------------------------------------------------------------------


def on_gpu(paths: Iterable[Path]) -> dict:
    """Multiples of real time for clips of 30 seconds that are in memory."""
    import torch

    from hitcore.audio import Waveform
    from hitcore.features import PAPER_MEL, log_mel
    from hitcore.taggers import load_tagger

    clips = [decode(path, 22_050, segment="middle").waveform for path in paths]
    long = [clip.samples for clip in clips if clip.duration_s == 30.0]
    batch = np.stack((long * (512 // len(long) + 1))[:512])
    tagger = load_tagger("musicnn-mtt", "cuda")
    at_16k = [Waveform(row, 22_050).resample(16_000) for row in batch[:128]]

    def timed(work: Callable[[], object], n_clips: int) -> float:
        work()
        torch.cuda.synchronize()
        begun = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return 30 * n_clips / (time.perf_counter() - begun)

    on_device = torch.from_numpy(batch).cuda()
    return {
        "device": torch.cuda.get_device_name(),
        "copy_x": timed(lambda: torch.from_numpy(batch).cuda(), len(batch)),
        "mel_x": timed(lambda: log_mel(on_device, PAPER_MEL), len(batch)),
        "tagger_x": timed(lambda: tagger.tag_batch(at_16k), len(at_16k)),
    }


# --- together ------------------------------------------------------------------------------------


def measure(paths: list[Path], n_workers: int, quick: bool, device: str, scratch: Path) -> dict:
    # Every figure is of the same songs, each of them equally often.
    paths = paths[::4] if quick else paths
    some = paths * max(1, 88 // len(paths))  # Fewer would end with one worker waiting.
    many = paths * max(1, (40 if quick else 400) // len(paths))
    durations = [decode(path, 22_050, segment="middle").info.duration_s for path in paths]
    found = {
        "n_workers": n_workers,
        "n_files": len(paths),
        "mean_duration_s": float(np.mean(durations)),
        "decode_whole": decoding(decode_whole, some, n_workers),
        "decode_middle": decoding(decode_middle, many, n_workers),
        "middle": ours(MIDDLE, many, n_workers, scratch),
        "whole_path": ours(WHOLE, some, n_workers, scratch),
        "served": ours(WHOLE, some, n_workers, scratch, served_on=device),
        "served_on": device,
        "frame_count_ms": frame_count(),
    } | chains(paths)
    import torch

    if torch.cuda.is_available():
        found["gpu"] = on_gpu(paths)
    return found


def show(found: dict) -> None:
    print(f"{found['n_files']} files of {found['mean_duration_s']:.0f} s on average, ", end="")
    print(f"{found['n_workers']} workers, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':40}{'songs/s':>9}{'x real time':>13}{'processor s/song':>18}{'peak MB':>9}")
    titles = {
        "decode_whole": "decode alone, the whole song",
        "decode_middle": "decode alone, the middle 30 s (seek)",
        "middle": "ours: middle, no tagger",
        "whole_path": "ours: highlight, mel, tagger",
        "served": f"ours: the same, served on {found['served_on']}",
        "chain": "chain: load, mel, published tagger",
        "chain_highlight": "chain: with our highlight",
        "chain_our_tagger": "chain: load, mel, our tagger",
        "chain_ours": "chain: with our highlight and tagger",
        "chain_middle": "chain: load, mel",
    }
    for name, title in titles.items():
        part = found[name]
        real_time = part["songs_per_s"] * found["mean_duration_s"]
        print(f"{title:40}{part['songs_per_s']:9.2f}{real_time:13,.0f}", end="")
        print(f"{part['processor_s']:18.3f}{part['peak_mb']:9.0f}")
    middle, whole = found["middle"], found["whole_path"]
    ratios = {
        "middle / decoding its middle alone": (middle, found["decode_middle"]),
        "middle / decoding whole songs alone": (middle, found["decode_whole"]),
        "middle / the chain's load and mel": (middle, found["chain_middle"]),
        "whole path / decoding whole songs alone": (whole, found["decode_whole"]),
        "served / decoding whole songs alone": (found["served"], found["decode_whole"]),
        "served / whole path": (found["served"], whole),
        "whole path / the chain": (whole, found["chain"]),
        "whole path / with our highlight": (whole, found["chain_highlight"]),
        "whole path / with our tagger": (whole, found["chain_our_tagger"]),
        "whole path / with both": (whole, found["chain_ours"]),
    }
    print(f"\n{'ratio':40}{'of rates':>9}{'of processor time':>18}")
    for title, (one, other) in ratios.items():
        print(f"{title:40}{one['songs_per_s'] / other['songs_per_s']:9.2f}", end="")
        print(f"{other['processor_s'] / one['processor_s']:18.2f}")
    stages = [f"{k} {1000 * v:.0f} ms" for k, v in found["stages_processor_s"].items()]
    print(f"\nprocessor time of the chain: {', '.join(stages)}")
    print(f"starting up: {middle['start_up_s']:.1f} s, ", end="")
    print(f"with the tagger {whole['start_up_s']:.1f} s")
    spent = found["frame_count_ms"]
    print(
        f"counting the frames of an MP3 of 200 s: {spent['frames']:.1f} ms of processor time, ",
        end="",
    )
    print(f"decoding it {spent['whole']:.0f} ms, its middle 30 s {spent['middle']:.0f} ms")
    if "gpu" in found:
        gpu = found["gpu"]
        print(f"{gpu['device']}: copying {gpu['copy_x']:,.0f}, mel {gpu['mel_x']:,.0f}, ", end="")
        print(f"tagger {gpu['tagger_x']:,.0f} times real time")
    else:
        print("no GPU here: its figures were not taken")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer songs")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--songs", help="folder of sound files to use instead")
    parser.add_argument("--mp3", action="store_true", help="turn the songs into MP3 first")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--device", help="where one process serves; a GPU where there is one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = songs_at_hand(options.songs, Path(scratch))
        if options.mp3:
            paths = as_mp3(paths, Path(scratch))
        device = str(torch_device(options.device))
        found = measure(paths, options.workers, options.quick, device, Path(scratch))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()

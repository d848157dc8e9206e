"""What a song's report costs, stage by stage, and what of it is the hit curve's share.

    python benchmarks/analyse.py [SONG] [--repeats 7] [--threads N] [--json]

Without SONG a melody of four minutes is synthesised and encoded as an MP3. There are two
yardsticks. One is soundfile reading the same file at once in this process: no mono mix, no
resampling, no child process. The other is the report without the curve: the same decoding,
highlight, tags and models, each model rating the highlight alone. In each repeat both are timed
beside the report, and ratios are medians over the repeats. What the curve costs is counted in
seconds of the processor, of this process and of those that decode for it, so that it holds on a
busy machine too. The first report is a warm-up and is shown apart: it loads the models.

The highlight, the tagger and the models are those that `hitcore analyse` uses by default here.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
import soundfile
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hitcore.analysis.hearing import Hearing, model_of  # noqa: E402
from hitcore.analysis.judging import judge  # noqa: E402
from hitcore.analysis.report import SongReport, envelope_of  # noqa: E402
from hitcore.analysis.song import (  # noqa: E402
    DEFAULT_TAGGER,
    HIGHLIGHT_S,
    N_WINDOWS,
    SAMPLE_RATE,
    analyse,
    default_models,
)
from hitcore.analysis.sources import content_of, hash_of  # noqa: E402
from hitcore.audio import decode  # noqa: E402
from hitcore.highlights import find_highlights  # noqa: E402
from hitcore.networks.models import mean_output  # noqa: E402
from hitcore.taggers import load_tagger  # noqa: E402
from tests.sounds import encoded, music  # noqa: E402


def stages_of(path: Path) -> tuple[dict[str, float], SongReport]:
    """Seconds of each stage of one report, and the report."""
    marks: list[tuple[str, float]] = []
    report = analyse(path, on_stage=lambda stage, _: marks.append((stage, time.perf_counter())))
    end = time.perf_counter()
    # Behind the last stage only the checksum and the envelope are left.
    ends = [at for _, at in marks[1:]] + [end]
    seconds = {stage: after - at for (stage, at), after in zip(marks, ends, strict=True)}
    if "Done" in seconds:
        seconds["Checksum and envelope"] = seconds.pop("Done")
    return seconds, report


def without_curve(path: Path) -> list[float]:
    """A report whose models rate the highlight alone: their scores."""
    song = decode(path, SAMPLE_RATE).waveform
    highlight = find_highlights(song, N_WINDOWS, None, length_s=HIGHLIGHT_S)[0]
    clip, tagger = song.crop(highlight.start, highlight.end), load_tagger(DEFAULT_TAGGER)
    heard = Hearing(song, clip, highlight.start, tagger, tagger.tag(clip), highlight.method)
    scores = []
    for model in [model_of(name) for name in default_models()[0]]:
        own = heard.for_model(model)
        with torch.inference_mode():
            outputs = model.fold_outputs(*own.inputs(model))
        folds = [float(output.score[0]) for output in outputs]
        judge(model, folds, own.distance(model), demo_song=False)
        scores.append(float(mean_output(outputs).score[0]))
    hash_of(path, content_of(path))
    envelope_of(song.samples)
    return scores


def processor_s() -> float:
    """Seconds of the processor so far, of this process and of all that it started."""
    times = psutil.Process().cpu_times()
    total = times.user + times.system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            # A server waits for its forks, one for each file, and has their times afterwards.
            total += times.user + times.system + times.children_user + times.children_system
    return float(total)


def decode_alone(path: Path) -> float:
    """Seconds that soundfile takes for the whole file."""
    started = time.perf_counter()
    soundfile.read(path, dtype="float32")
    return time.perf_counter() - started


def measure(path: Path, repeats: int) -> dict[str, object]:
    """The medians over several reports of one song."""
    started = time.perf_counter()
    _, report = stages_of(path)
    first = time.perf_counter() - started
    alone, stages, totals, plain, full = [], [], [], [], []
    rated = without_curve(path)
    assert [score.score for score in report.scores] == rated, "the two reports differ"
    for _ in range(repeats):
        alone.append(decode_alone(path))
        spent = [processor_s()]
        without_curve(path)
        spent.append(processor_s())
        started = time.perf_counter()
        stages.append(stages_of(path)[0])
        totals.append(time.perf_counter() - started)
        spent.append(processor_s())
        plain.append(spent[1] - spent[0])
        full.append(spent[2] - spent[1])
    yardstick = statistics.median(alone)
    seconds = {name: statistics.median(s[name] for s in stages) for name in stages[0]}
    return {
        "song": path.name,
        "duration_s": report.info.duration_s,
        "container": report.info.container,
        "highlight": report.highlight.method,
        "tagger": report.tagger,
        "models": [score.model for score in report.scores],
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "decode_alone_s": yardstick,
        "first_report_s": first,
        "report_s": statistics.median(totals),
        "report_ratio": statistics.median(t / a for t, a in zip(totals, alone, strict=True)),
        "processor_s": statistics.median(full),
        "without_curve_processor_s": statistics.median(plain),
        "curve_ratio": statistics.median(f / p for f, p in zip(full, plain, strict=True)),
        "stages_s": seconds,
        "stages_ratio": {name: value / yardstick for name, value in seconds.items()},
    }


def table(found: dict) -> str:
    """The figures as text."""
    lines = [
        f"{found['song']}: {found['duration_s']:.0f} s of {found['container']}, highlight by "
        f"{found['highlight']}, tags by {found['tagger']}, models: "
        f"{', '.join(found['models']) or 'none installed'}",
        f"medians of {found['repeats']} repeats, {found['threads']} threads",
        "",
        f"{'stage':<34}{'seconds':>10}{'x decoding alone':>19}",
        f"{'soundfile alone (the yardstick)':<34}{found['decode_alone_s']:>10.3f}{1:>19.2f}",
    ]
    for name, seconds in found["stages_s"].items():
        lines.append(f"{name:<34}{seconds:>10.3f}{found['stages_ratio'][name]:>19.2f}")
    lines.append(
        f"{'the whole report':<34}{found['report_s']:>10.3f}{found['report_ratio']:>19.2f}"
    )
    lines.append(
        f"\nwith the hit curve a report costs {found['processor_s']:.3f} s of processor, without "
        f"it {found['without_curve_processor_s']:.3f} s: {found['curve_ratio']:.2f} times as much\n"
    )
    lines.append(
        f"one figure: a report costs {found['report_ratio']:.2f} times decoding alone, "
        f"{found['duration_s'] / found['report_s']:.0f} times faster than the song plays "
        f"(the first one, with loading the models, {found['first_report_s']:.1f} s)"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="for torch; as many as it likes by default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = options.song
        if path is None:
            path = Path(folder) / "synthesised.mp3"
            path.write_bytes(encoded("mp3", music(240)))
        found = measure(path, options.repeats)
    print(json.dumps(found, indent=2) if options.json else table(found))


if __name__ == "__main__":
    main()

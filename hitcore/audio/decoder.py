"""One file to mono samples, in blocks; this runs inside the bounded child process.

Memory stays flat for any length: a block is read, mixed to mono, checked, resampled by a
streaming resampler for each rate that is asked for, and written out. A passage is decoded by
seeking where the format allows; the resampler then starts on a sample that both rates share, far
enough ahead for its filter to settle, so that a passage equals the same crop of the whole song.
"""

import math
import mmap
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import soxr

from hitcore.audio.codecs import Mixer, Samples, Source
from hitcore.audio.containers import sniff
from hitcore.audio.opening import open_source
from hitcore.audio.refusals import Bytes, Refusal, damaged
from hitcore.audio.tagtext import plain, read_tags
from hitcore.audio.waveform import SAMPLE_RATES

# Full scale is 1. Integers stored as floats by mistake reach 32,768; nothing musical does.
LOUDEST = 1_000.0
SILENT_BELOW = 1e-4
_SETTLING_S = 0.1
_MOST_NOTES = 10


@dataclass(frozen=True)
class Request:
    """What is wanted of a file."""

    sample_rates: tuple[int, ...]
    """Rates of the results, Hz; 0 stands for the file's own."""
    start_s: float | None
    """Start of the passage; None: the middle one, if `length_s` is given."""
    length_s: float | None
    """Length of the passage; None: the whole song."""
    max_duration_s: float
    """A longer song is refused."""


@dataclass
class Findings:
    """What was found out about a file while it was decoded."""

    container: str
    codec: str
    sample_rate: int
    n_channels: int
    duration_s: float
    truncated: bool
    silent: bool
    one_channel: bool
    """The channels cancel each other out, so the first was taken alone."""
    notes: list[str]
    """What was odd about the file and what was done about it, in sentences."""
    title: str | None
    artist: str | None
    rates: list[int]
    """The rate of each result."""
    n_samples: list[int]
    """The number of samples of each result."""
    start_s: float
    """Where in the song the results start."""
    whole: bool
    """The results hold the whole song, even if a passage was asked for."""


def decode_file(source: int, results: list[int], request: Request) -> dict[str, Any]:
    """Decode the file behind a descriptor into the files behind others, as raw float32.

    Raises:
        Refusal: it is no sound file, damaged beyond use, or outside the limits.
    """
    return decode_mapped(mapped(source), source, results, request)


def mapped(source: int) -> Bytes:
    """The content of the file behind a descriptor, which is not read before it is looked at."""
    if not os.fstat(source).st_size:
        return b""
    return mmap.mmap(source, 0, access=mmap.ACCESS_READ)


def decode_mapped(data: Bytes, source: int, results: list[int], request: Request) -> dict[str, Any]:
    """As `decode_file`, for a file that is mapped already."""
    container = sniff(data)
    sound = open_source(container, data, source)
    notes = sound.notes
    _check(sound, request.max_duration_s)
    sinks = [
        Sink(file, sound.sample_rate, rate)
        for file, rate in zip(results, request.sample_rates, strict=True)
    ]
    span = None if sound.truncated else _span(sound, request)
    levels = None if span is None else _run_passage(sound, sinks, *span)
    if levels is None:
        if span is not None:  # The attempt left the decoder in the middle of its trouble.
            sound = open_source(container, data, source)
        span = None
        levels = _run_whole(sound, sinks, request.max_duration_s)
        if sound.mixer.cancels:
            sound = open_source(container, data, source)
            sound.mixer = Mixer(channel=0)
            levels = _run_whole(sound, sinks, request.max_duration_s)
            notes.append("the channels cancel each other out: the first was heard alone")
    cut = sound.truncated
    if span is None:
        cut = cut or sound.failed or levels.n_frames < 0.99 * sound.n_frames - 4_096
    total = levels.n_frames if span is None else sound.n_frames
    title, artist = read_tags(source)
    findings = Findings(
        container=container.name,
        codec=sound.codec,
        sample_rate=sound.sample_rate,
        n_channels=sound.n_channels,
        duration_s=total / sound.sample_rate,
        truncated=cut,
        silent=levels.peak < SILENT_BELOW,
        one_channel=sound.mixer.channel is not None,
        notes=notes[:_MOST_NOTES],
        title=title or plain(sound.tags[0]),
        artist=artist or plain(sound.tags[1]),
        rates=[sink.rate for sink in sinks],
        n_samples=[sink.written for sink in sinks],
        start_s=0.0 if span is None else span[0],
        whole=span is None,
    )
    return asdict(findings)


class Sink:
    """One result: a streaming resampler and the file that it fills."""

    def __init__(self, file: int, rate_in: int, rate: int) -> None:
        self.rate = rate or rate_in
        self._file = file
        self._rate_in = rate_in
        self.start(0, None)

    def start(self, skip: int, keep: int | None) -> None:
        """Begin anew: drop the first `skip` samples and keep `keep` of those that follow."""
        self.written = 0
        self._skip, self._keep = skip, keep
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._resampler = None
        if self.rate != self._rate_in:
            self._resampler = soxr.ResampleStream(
                self._rate_in, self.rate, 1, dtype="float32", quality="HQ"
            )

    def put(self, block: Samples, last: bool = False) -> None:
        """Take in a block; `last` flushes the resampler."""
        if self._resampler is not None:
            block = self._resampler.resample_chunk(block, last=last)
        dropped = min(self._skip, len(block))
        self._skip -= dropped
        block = block[dropped:]
        if self._keep is not None:
            block = block[: self._keep - self.written]
        rest = block.tobytes()
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self.written += len(block)


@dataclass
class Levels:
    """What passed through: its length and its largest magnitude."""

    n_frames: int = 0
    peak: float = 0.0

    def add(self, block: Samples, sample_rate: int) -> None:
        """Account for a block; refuse what is no sound."""
        peak = max(float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        if not math.isfinite(peak):
            at = self.n_frames + int(np.argmin(np.isfinite(block)))
            raise Refusal(
                f"sample {at} ({at / sample_rate:.3f} s) is not a finite number; every sample must "
                "be; the program that wrote the file is at fault: export it again"
            )
        if peak > LOUDEST:
            raise Refusal(
                f"samples reach {peak:.3g}, where full scale is 1 and at most {LOUDEST:g} is "
                "accepted; integers were probably stored as floats: divide by full scale"
            )
        self.n_frames += len(block)
        self.peak = max(self.peak, peak)


# --- inside --------------------------------------------------------------------------------------


def _check(sound: Source, max_duration_s: float) -> None:
    low, high = SAMPLE_RATES
    if not low <= sound.sample_rate <= high:
        raise Refusal(
            f"the header states a sample rate of {sound.sample_rate} Hz; accepted are {low} to "
            f"{high} Hz; the header is probably damaged"
        )
    if sound.n_frames > max_duration_s * sound.sample_rate:
        raise too_long(sound.n_frames / sound.sample_rate, max_duration_s)


def too_long(duration_s: float | None, max_duration_s: float) -> Refusal:
    """The refusal of a song beyond the limit; None: nobody knows by how much."""
    if duration_s is None:
        given = "the file goes on beyond"
    elif duration_s > 100 * 3600:
        given = f"the header promises {duration_s:.3g} s (damaged or hostile?), longer than"
    else:
        given = f"the file is {clock(duration_s)} long, longer than"
    return Refusal(
        f"{given} the {clock(max_duration_s)} that are accepted; if it is a mix or an album, cut "
        "the song out, or raise DecodeLimits(max_duration_s=...)"
    )


def clock(seconds: float) -> str:
    """A duration as people write it.

    Example:
        >>> clock(7265.4)
        '2:01:05'
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _span(sound: Source, request: Request) -> tuple[float, float] | None:
    """Start and end of the passage asked for, seconds; None: all, or the length is unknown."""
    if request.length_s is None or not sound.n_frames or not sound.seekable:
        return None
    duration = sound.n_frames / sound.sample_rate
    start = (duration - request.length_s) / 2 if request.start_s is None else request.start_s
    start = min(max(0.0, start), duration)
    return start, min(start + request.length_s, duration)


def _run_whole(sound: Source, sinks: list[Sink], max_duration_s: float) -> Levels:
    levels = Levels()
    for sink in sinks:
        sink.start(0, None)
    for block in sound.blocks(0):
        levels.add(block, sound.sample_rate)
        if levels.n_frames > max_duration_s * sound.sample_rate:
            raise too_long(None, max_duration_s)
        for sink in sinks:
            sink.put(block)
    if not levels.n_frames:
        raise damaged("it holds no samples")
    for sink in sinks:
        sink.put(np.empty(0, np.float32), last=True)
    return levels


def _run_passage(sound: Source, sinks: list[Sink], start_s: float, end_s: float) -> Levels | None:
    """Decode from `start_s` to `end_s` only; None where the file turns out not to allow it."""
    rate = sound.sample_rate
    # Frames at which the sample grids of the file and of all results coincide.
    unit = math.lcm(*(rate // math.gcd(rate, sink.rate) for sink in sinks))
    first = max(0, math.floor((start_s - _SETTLING_S) * rate / unit)) * unit
    n_frames = min(math.ceil((end_s + _SETTLING_S) * rate), sound.n_frames) - first
    for sink in sinks:
        start = round(start_s * sink.rate)
        sink.start(start - first * sink.rate // rate, round(end_s * sink.rate) - start)
    levels = Levels()
    for block in sound.blocks(first):
        block = block[: n_frames - levels.n_frames]
        levels.add(block, rate)
        for sink in sinks:
            sink.put(block)
        if levels.n_frames >= n_frames:
            break
    if sound.failed or levels.n_frames < n_frames or sound.mixer.cancels:
        return None
    for sink in sinks:
        sink.put(np.empty(0, np.float32), last=True)
    return levels

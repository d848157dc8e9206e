"""Sound files to mono samples: any usual format, within limits, in a process of its own.

The content is sniffed and the name is not believed. Decoding happens in a bounded child process
(`isolation`), so that a hostile file harms nothing; what it may cost is in `DecodeLimits`, and
`walls` says which sandbox the child has here.

Conventions:
    samples: mono float32, full scale is 1; several channels are averaged, unless they cancel each
        other out: then the first is taken.
    resampling: soxr at its high quality, one way for all; `n` samples become
    `round(n * new_rate / old_rate)`.
    times: seconds; intervals are half-open; sample k stands at `k / sample_rate`.

A length is that of the sound that is there, not what a header says of it; where the two differ, or
bytes before or amid the sound are none, the song is heard in full and a note says so. A file whose
end is missing is decoded as far as it goes and flagged; one that holds NaN or
infinite samples is refused, because a repaired one would get a score that means nothing.
"""

import contextlib
import math
import mmap
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from hitcore.audio import isolation
from hitcore.audio.containers import is_sound_file
from hitcore.audio.isolation import walls
from hitcore.audio.refusals import ACCEPTED
from hitcore.audio.waveform import Waveform, check_rate, encode
from hitcore.errors import AudioError, ParameterError

__all__ = [
    "AudioInfo",
    "DecodeLimits",
    "DecodedAudio",
    "Waveform",
    "decode",
    "encode",
    "is_sound_file",
    "load_audio",
    "walls",
]

AudioSource = str | os.PathLike[str] | bytes | BinaryIO


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file says of itself, and what was found wrong with it."""

    container: str
    """Such as WAV, FLAC, MP3, OGG, M4A, WEBM; docs/formats.md has them all."""
    codec: str
    """Such as PCM_16, VORBIS, OPUS, MPEG_LAYER_III, AAC, ALAC."""
    sample_rate: int
    """The file's own rate, Hz."""
    n_channels: int
    """The file's own number of channels."""
    duration_s: float
    """Length of the whole song as it was decoded, seconds."""
    bit_rate: int
    """Bytes of the file over its duration, bit/s."""
    title: str | None
    """From the tags of the file; untrusted text, one line, at most 300 characters."""
    artist: str | None
    """As `title`."""
    truncated: bool
    """The end is missing or a part could not be decoded; the rest was."""
    flags: tuple[str, ...] = ()
    """Any of "truncated", "silent" (no sample above 1e-4, that is -80 dB) and "one channel" (the
    channels cancel each other out, so the first was heard alone)."""
    notes: tuple[str, ...] = ()
    """What was odd about the file and what was done about it, in sentences."""


@dataclass(frozen=True)
class DecodeLimits:
    """What one file may cost before it is refused.

    Example:
        >>> DecodeLimits(max_duration_s=7200).max_wall_s
        120.0
    """

    max_duration_s: float = 1800.0
    """Longest song, seconds; a header that promises more is refused before decoding."""
    max_wall_s: float = 120.0
    """Longest time that decoding may take, seconds; also the limit of its processor time."""
    max_memory_bytes: int = 512 * 2**20
    """What the decoder may use beyond what it starts with; the samples are not part of it."""
    max_file_bytes: int = 2**30
    """Largest file."""

    def __post_init__(self) -> None:
        for name in ("max_duration_s", "max_wall_s", "max_memory_bytes", "max_file_bytes"):
            if not 0 < getattr(self, name) < math.inf:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True)
class DecodedAudio:
    """The samples of one file at one or several rates, and what is known of the file."""

    waveforms: Mapping[int, Waveform]
    """By sample rate, in the order asked for."""
    info: AudioInfo
    """About the whole file, even if only a passage was decoded."""
    start_s: float = 0.0
    """Where in the song the waveforms start, seconds."""
    unprotected: str = ""
    """What is to be said where the decoder ran without the filter of its sandbox."""

    @property
    def waveform(self) -> Waveform:
        """At the first of the rates."""
        return next(iter(self.waveforms.values()))


_DEFAULT_LIMITS = DecodeLimits()


def load_audio(
    source: AudioSource, sample_rate: int = 22_050, *, limits: DecodeLimits = _DEFAULT_LIMITS
) -> Waveform:
    """The sound of a file: mono, at `sample_rate`.

    Args:
        source: a path, the content of a file, or an open binary file (read from its beginning).
        sample_rate: rate of the result, Hz.
        limits: what the file may cost.

    Raises:
        AudioError: it is no sound file, damaged beyond use, or outside the limits.

    Example:
        >>> tone = Waveform(np.sin(np.arange(44_100) / 20), 44_100)
        >>> load_audio(encode(tone, "FLAC"), 22_050).duration_s
        1.0
    """
    return decode(source, sample_rate, limits=limits).waveform


def decode(
    source: AudioSource,
    sample_rate: int | Sequence[int] | None = None,
    *,
    segment: Literal["middle"] | tuple[float, float] | None = None,
    length_s: float = 30.0,
    limits: DecodeLimits = _DEFAULT_LIMITS,
) -> DecodedAudio:
    """The samples and the facts of a sound file, from decoding it once.

    Args:
        source: a path, the content of a file, or an open binary file (read from its beginning).
        sample_rate: one rate or several, Hz; None: the file's own.
        segment: decode this passage alone, `(start_s, end_s)` or the middle `length_s` seconds,
            by seeking where the format allows. It is cut to the song, and equals the same crop
            of the whole song.
        length_s: length of the middle passage, seconds.
        limits: what the file may cost.

    Raises:
        AudioError: it is no sound file, damaged beyond use, or outside the limits.
        ParameterError: a rate or a passage makes no sense.

    Example:
        >>> song = encode(Waveform(np.sin(np.arange(60 * 8000) / 9), 8000), "WAV")
        >>> part = decode(song, (22_050, 16_000), segment="middle")
        >>> part.start_s, {r: w.duration_s for r, w in part.waveforms.items()}
        (15.0, {22050: 30.0, 16000: 30.0})
        >>> part.info.container, part.info.codec, part.info.duration_s
        ('WAV', 'PCM_16', 60.0)
    """
    rates = _rates(sample_rate)
    start, length = _passage(segment, length_s)
    request = {
        "sample_rates": rates,
        "start_s": start,
        "length_s": length,
        "max_duration_s": limits.max_duration_s,
    }
    with contextlib.ExitStack() as files:
        opened = files.enter_context(_opened(source, limits.max_file_bytes))
        results = [files.enter_context(_descriptor(isolation.memory_file())) for _ in rates]
        found, stand = isolation.run(
            request, opened, results, limits.max_wall_s, limits.max_memory_bytes
        )
        n_bytes = os.fstat(opened).st_size
        samples = [_mapped(*pair) for pair in zip(results, found["n_samples"], strict=True)]
    waveforms = {
        rate: Waveform(row, rate) for rate, row in zip(found["rates"], samples, strict=True)
    }
    info = _info(found, n_bytes)
    unprotected = "" if stand.seccomp else stand.sentence
    if length is None:
        return DecodedAudio(waveforms, info, 0.0, unprotected)
    if not found["whole"]:
        return DecodedAudio(waveforms, info, float(found["start_s"]), unprotected)
    begin = max(0.0, (info.duration_s - length) / 2 if start is None else start)
    end = min(begin + length, info.duration_s)
    begin = min(begin, end)
    crops = {rate: wave.crop(begin, end) for rate, wave in waveforms.items()}
    return DecodedAudio(crops, info, begin, unprotected)


# --- inside --------------------------------------------------------------------------------------


def _rates(sample_rate: int | Sequence[int] | None) -> list[int]:
    if sample_rate is None:
        return [0]
    rates = list(sample_rate) if isinstance(sample_rate, Sequence) else [sample_rate]
    for rate in rates:
        check_rate(rate)
    if not 0 < len(rates) <= 8 or len(set(rates)) < len(rates):
        raise ParameterError(f"sample rates are {rates}; allowed are 1 to 8 different ones")
    return [int(rate) for rate in rates]


def _passage(
    segment: Literal["middle"] | tuple[float, float] | None, length_s: float
) -> tuple[float | None, float | None]:
    """Start (None: in the middle) and length (None: the whole song) of a passage."""
    if segment is None:
        return None, None
    if segment == "middle":
        start, length = None, float(length_s)
    elif isinstance(segment, str) or len(segment) != 2:
        raise ParameterError(f"segment is {segment!r}; allowed: 'middle', (start_s, end_s), None")
    else:
        start, length = float(segment[0]), float(segment[1]) - float(segment[0])
    if not 0 < length < math.inf or not 0 <= (start or 0.0) < math.inf:
        raise ParameterError(f"segment {segment!r} of {length} s: it must start at 0 or later")
    return start, length


@contextlib.contextmanager
def _descriptor(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def _opened(source: AudioSource, max_bytes: int) -> Iterator[int]:
    """A descriptor of a regular file with the content of `source`."""
    if isinstance(source, str | os.PathLike):
        file = _open_path(os.fspath(source))
    else:
        file = _spooled(source, max_bytes)
    with _descriptor(file):
        size = os.fstat(file).st_size
        if size > max_bytes:
            raise AudioError(
                f"the file has {size / 1e6:.0f} MB; at most {max_bytes / 1e6:.0f} MB are "
                "accepted: convert it to FLAC or MP3, or raise DecodeLimits(max_file_bytes=...)"
            )
        yield file


def _open_path(path: str) -> int:
    """Open a regular file without ever waiting for, or stirring, anything else."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if os.path.isdir(path) else "a pipe or device"
            raise AudioError(f"{path!r} is {kind}; expected is a sound file ({ACCEPTED})")
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError as error:
        raise AudioError(
            f"{path!r} does not exist; expected is the path of a sound file; check the spelling "
            f"and the current folder ({os.getcwd()})"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{path!r} cannot be opened: {reason}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise AudioError(f"{path!r} is not a regular file; expected is a sound file ({ACCEPTED})")
    return file


def _spooled(source: Any, max_bytes: int) -> int:
    """A memory file with the given bytes, or with what an open file holds."""
    if isinstance(source, bytes | bytearray | memoryview):
        content: Any = source
    elif hasattr(source, "read"):
        with contextlib.suppress(OSError, AttributeError):
            source.seek(0)
        content = source.read(max_bytes + 1)
    else:
        content = None
    if not isinstance(content, bytes | bytearray | memoryview):
        given = "a text file" if isinstance(content, str) else type(source).__name__
        raise ParameterError(
            f"the source is {given}; allowed are a path, the bytes of a sound file, or a file "
            "opened in binary mode: open(path, 'rb')"
        )
    file = isolation.memory_file()
    view = memoryview(content).cast("B")
    while view:
        view = view[os.write(file, view) :]
    return file


def _mapped(file: int, n_samples: int) -> NDArray[np.float32]:
    """The samples that the child left in a memory file, without copying them."""
    if not 0 <= 4 * n_samples <= os.fstat(file).st_size:
        raise AudioError("the decoder promised more samples than it left; the file is hostile")
    if n_samples == 0:
        return np.empty(0, np.float32)
    return np.frombuffer(mmap.mmap(file, 4 * n_samples), np.float32)


def _info(found: dict[str, Any], n_bytes: int) -> AudioInfo:
    duration = float(found["duration_s"])
    flags = {"truncated": "truncated", "silent": "silent", "one_channel": "one channel"}
    return AudioInfo(
        container=str(found["container"]),
        codec=str(found["codec"]),
        sample_rate=int(found["sample_rate"]),
        n_channels=int(found["n_channels"]),
        duration_s=duration,
        bit_rate=round(8 * n_bytes / duration),
        title=found["title"],
        artist=found["artist"],
        truncated=bool(found["truncated"]),
        flags=tuple(flag for name, flag in flags.items() if found[name]),
        notes=tuple(str(note) for note in found["notes"]),
    )

"""Open sound files: mono blocks of samples, from libsndfile or FFmpeg's libraries.

Both kinds answer the same few questions; errors in the middle of a file end or thin out the
blocks and are noted, errors at its beginning refuse it.
"""

import os
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from hitcore.audio.containers import Container, Refusal

Samples = NDArray[np.float32]

_BLOCK_VALUES = 1 << 16
# libsndfile's count where a FLAC stream states no length.
_UNKNOWN = 2**63 - 1
_MISLEADING = "File does not exist or is not a regular file (possibly a pipe?)"
# After a seek the decoders of MP3 and AAC need some frames to find their feet.
_RUN_UP = 20_480
# Frames of FFmpeg that are mixed at once, each of some thousand samples.
_BATCH = 32


class Source(Protocol):
    """An open sound file."""

    codec: str
    sample_rate: int
    n_channels: int
    n_frames: int
    """As promised by the file; 0 where it promises nothing."""
    failed: bool
    """Decoding stopped early, or left something out."""

    def blocks(self, first: int) -> Iterator[Samples]:
        """Mono blocks from frame `first` on."""


def open_source(container: Container, file: int, claimed: int) -> Source:
    """The decoder that belongs to a container."""
    if container.library == "soundfile":
        return SoundfileSource(file, claimed)
    return FfmpegSource(file, container.library)


class SoundfileSource:
    """WAV, FLAC, MP3, OGG and AIFF, through libsndfile."""

    def __init__(self, file: int, claimed: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        try:
            self._file = soundfile.SoundFile(file, closefd=False)
        except soundfile.LibsndfileError as error:
            # For a file without a single MPEG frame libsndfile speaks of pipes.
            reason = error.error_string.replace(_MISLEADING, "no frame can be found")
            raise Refusal(damaged(reason)) from error
        self.codec = str(self._file.subtype)
        self.sample_rate = int(self._file.samplerate)
        self.n_channels = int(self._file.channels)
        frames = int(self._file.frames)
        self.n_frames = max(0 if frames == _UNKNOWN else frames, claimed)
        self.failed = False

    def blocks(self, first: int) -> Iterator[Samples]:
        """Mono blocks from frame `first` on; an error in the file ends them and is noted."""
        n = max(256, _BLOCK_VALUES // self.n_channels)
        buffer = np.empty((n, self.n_channels), np.float32)
        # Seeking costs the MP3 decoder its memory of earlier frames, and soundfile's own `read`
        # seeks after every call: frames would drop out. So libsndfile is called directly, and a
        # passage of an MP3 begins some frames early.
        run_up = _RUN_UP if self.codec.startswith("MPEG") else 0
        skip = min(first, run_up)
        if first:
            try:
                self._file.seek(first - skip)
            except soundfile.LibsndfileError:
                self.failed = True
                return
        handle = self._file._file
        pointer = soundfile._ffi.from_buffer("float[]", buffer)
        while n_read := int(soundfile._snd.sf_readf_float(handle, pointer, n)):
            if n_read > skip:
                yield _mix(buffer[skip:n_read])
            skip = max(0, skip - n_read)
        self.failed = bool(soundfile._snd.sf_error(handle))


class FfmpegSource:
    """M4A and AAC, through PyAV."""

    def __init__(self, file: int, demuxer: str) -> None:
        import av

        self._av = av
        os.lseek(file, 0, os.SEEK_SET)
        try:
            self._container: Any = av.open(
                os.fdopen(file, "rb", closefd=False), format=demuxer, metadata_errors="ignore"
            )
        except (av.FFmpegError, ValueError) as error:
            raise Refusal(damaged(getattr(error, "strerror", None) or str(error))) from error
        if not self._container.streams.audio:
            raise Refusal("the file holds no audio stream (a video without sound?)")
        self._stream = self._container.streams.audio[0]
        self._stream.codec_context.thread_type = "NONE"
        self.failed = False
        opening = next(self._frames(), None)
        if opening is None:
            raise Refusal(damaged("no audio frame can be decoded"))
        self.codec = self._stream.codec_context.name.upper()
        self.sample_rate = int(opening.sample_rate)
        self.n_channels = len(opening.layout.channels)
        length = (self._stream.duration or 0) * (self._stream.time_base or 0)
        # A bare AAC stream has no index: FFmpeg guesses its length from the first frames.
        self.n_frames = round(length * self.sample_rate) if demuxer == "mp4" else 0

    def blocks(self, first: int) -> Iterator[Samples]:
        """Mono blocks from frame `first` on; packets that cannot be decoded are left out."""
        target = max(0, first - _RUN_UP) / self.sample_rate
        self._container.seek(int(target * self._av.time_base), any_frame=False)
        at: int | None = None if first else 0
        for frames in self._batches():
            if at is None:
                at = round(float((frames[0].pts or 0) * frames[0].time_base) * self.sample_rate)
            block = _mono(frames)
            start, at = at, at + len(block)
            if self.n_frames:  # What fills up the last frame is no part of the song.
                block = block[: max(0, self.n_frames - start)]
            if len(block) > (skip := max(0, first - start)):
                yield block[skip:]

    def _batches(self) -> Iterator[list[Any]]:
        """Frames, some at a time: one by one, most of the time would be Python's."""
        frames: list[Any] = []
        for frame in self._frames():
            if frame.sample_rate != self.sample_rate:
                raise Refusal("the sample rate changes within the file; convert it to WAV or FLAC")
            frames.append(frame)
            if len(frames) == _BATCH:
                yield frames
                frames = []
        if frames:
            yield frames

    def _frames(self) -> Iterator[Any]:
        errors = (self._av.FFmpegError, ValueError)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except errors:
                packet = None
                self.failed = True
            if packet is None:
                return
            try:
                yield from packet.decode()
            except errors:
                self.failed = True


# --- inside --------------------------------------------------------------------------------------


def _mix(block: Samples) -> Samples:
    """The mean of the channels of `(n_frames, n_channels)`."""
    n_channels = block.shape[1]
    if n_channels == 1:
        return block[:, 0].copy()
    if n_channels == 2:  # Several times as fast as a mean over so short an axis.
        return (block[:, 0] + block[:, 1]) * np.float32(0.5)
    return np.asarray(block.mean(axis=1), np.float32)


_FULL_SCALE = {"u8": 128.0, "s16": 32_768.0, "s32": 2_147_483_648.0, "dbl": 1.0}


def _mono(frames: list[Any]) -> Samples:
    """The mean of the channels of consecutive frames of FFmpeg."""
    tables = [_channels(frame) for frame in frames]
    if len({len(table) for table in tables}) == 1:
        return _mix(np.concatenate(tables, axis=1).T)
    return np.concatenate([_mix(table.T) for table in tables])


def _channels(frame: Any) -> Samples:
    """The samples of a frame of FFmpeg, `(n_channels, n_frames)`, full scale 1."""
    values = frame.to_ndarray()
    kind = frame.format.name
    if not kind.endswith("p"):
        values = values.reshape(-1, len(frame.layout.channels)).T
    kind = kind.removesuffix("p")
    if kind == "flt":
        return np.asarray(values, np.float32)
    return np.asarray((values - 128.0 if kind == "u8" else values) / _FULL_SCALE[kind], np.float32)


def damaged(reason: str) -> str:
    """The message about a file that its decoder cannot make sense of."""
    short = " ".join(reason.split()).rstrip(".")[:200]
    return (
        f"the file cannot be decoded ({short}); it is probably damaged or cut short: "
        "fetch or export it again"
    )

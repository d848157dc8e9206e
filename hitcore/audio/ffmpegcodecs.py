"""Open sound files through FFmpeg's libraries: what libsndfile does not read, or reads wrongly.

The demuxer is given, never guessed, and only codecs of a list are decoded: FFmpeg knows hundreds
that no song is kept in, and each is code that a hostile file could reach.
"""

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from hitcore.audio.codecs import Mixer, Samples
from hitcore.audio.containers import Container
from hitcore.audio.excerpts import Excerpt
from hitcore.audio.refusals import NotRead, Refusal, damaged

# After a seek the decoder of AAC needs some frames to find its feet.
_RUN_UP = 20_480
# Frames of FFmpeg that are mixed at once, each of some thousand samples.
_BATCH = 32
# By how many frames of the codec an index of MP4 may be off from the length that is stated.
_INDEX_SLACK = 4
_CODECS = (
    *("aac", "aac_latm", "ac3", "eac3", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"),
    *("opus", "vorbis", "flac", "alac", "wavpack"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "mace3", "mace6", "qdm2", "qdmc"),
)
# How MPEG-4 marks sound that is encrypted; decoding it would give noise.
_LOCKED = ("drms", "enca")
# Containers whose length is a guess from the first frames.
_GUESSES = ("aac", "ac3", "eac3", "mp3", "mpeg", "mpegts")
_FULL_SCALE = {"u8": 128.0, "s16": 32_768.0, "s32": 2_147_483_648.0, "dbl": 1.0}


class FfmpegSource:
    """The first audio stream of a file, through PyAV.

    Args:
        file: a descriptor, or an excerpt of a file.
        container: what the file is.
        skip: samples at the beginning that are none of the sound; below 0, so many samples of
            silence come before it.
        n_frames: the length that is known; None for what the file states.
    """

    def __init__(
        self,
        file: int | Excerpt,
        container: Container,
        *,
        skip: int = 0,
        n_frames: int | None = None,
    ) -> None:
        import av

        self._av = av
        self._skip = skip
        self.failed = self.truncated = False
        self.notes = list[str]()
        self.mixer = Mixer()
        if isinstance(file, int):
            os.lseek(file, 0, os.SEEK_SET)
        opened = os.fdopen(file, "rb", closefd=False) if isinstance(file, int) else file
        try:
            self._container: Any = av.open(
                opened, format=container.demuxer, metadata_errors="ignore"
            )
        except (av.FFmpegError, ValueError) as error:
            raise damaged(getattr(error, "strerror", None) or str(error)) from error
        if not self._container.streams.audio:
            raise Refusal("the file holds no audio stream (a video without sound?)")
        self._stream = self._container.streams.audio[0]
        if len(self._container.streams.audio) > 1:
            self.notes.append(
                f"the first of {len(self._container.streams.audio)} audio streams was heard"
            )
        name = _codec(self._stream, container.name)
        context = self._stream.codec_context
        context.thread_type = "NONE"
        if container.demuxer == "caf" and name == "alac":
            # The last frame is as short as it should be; FFmpeg would shorten it once more.
            context.flags2 |= int(av.codec.context.Flags2.skip_manual)
        # Seeking back would cost some formats the first frame, so it is kept for the blocks.
        self._coming: Iterator[Any] = self._frames()
        opening = next(self._coming, None)
        if opening is None:
            raise damaged("no audio frame can be decoded")
        self._coming = chain([opening], self._coming)
        self.codec = name.upper()
        self.sample_rate = int(opening.sample_rate)
        self.n_channels = len(opening.layout.channels)
        self.n_frames = self._stated(container.demuxer) if n_frames is None else n_frames
        # Seeking in the others is a guess: the whole is decoded and the passage cut out.
        self.seekable = container.demuxer == "mov" and self._is_indexed(opening.samples)
        self._ends = self.seekable or n_frames is not None
        self.tags = _tags(self._container, self._stream)

    def blocks(self, first: int) -> Iterator[Samples]:
        """Mono blocks from frame `first` on; packets that cannot be decoded are left out."""
        if self._skip < 0:
            yield np.zeros(-self._skip, np.float32)
        skip = max(0, self._skip)
        first += skip
        end = self.n_frames + skip
        target = max(0, first - _RUN_UP) / self.sample_rate if self.seekable else 0.0
        at: int | None = 0
        if target:
            self._container.seek(int(target * self._av.time_base), any_frame=False)
            self._coming, at = self._frames(), None
        for frames in self._batches():
            if at is None:
                at = round(float((frames[0].pts or 0) * frames[0].time_base) * self.sample_rate)
            block = self._mono(frames)
            start, at = at, at + len(block)
            if self._ends:  # What fills up the last frame is no part of the song.
                block = block[: max(0, end - start)]
            if len(block) > (skipped := max(0, first - start)):
                yield block[skipped:]

    def _batches(self) -> Iterator[list[Any]]:
        """Frames, some at a time: one by one, most of the time would be Python's."""
        frames: list[Any] = []
        for frame in self._coming:
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

    def _mono(self, frames: list[Any]) -> Samples:
        """The one channel of consecutive frames of FFmpeg."""
        tables = [_channels(frame) for frame in frames]
        if len({len(table) for table in tables}) == 1:
            return self.mixer.mix(np.concatenate(tables, axis=1).T)
        return np.concatenate([self.mixer.mix(table.T) for table in tables])

    def _stated(self, demuxer: str) -> int:
        """The length that the file states, in frames; 0 where it states none."""
        if demuxer in _GUESSES:
            return 0
        length = float((self._stream.duration or 0) * (self._stream.time_base or 0))
        if not length:
            length = (self._container.duration or 0) / self._av.time_base
        return max(0, round(length * self.sample_rate))

    def _is_indexed(self, per_packet: int) -> bool:
        """Whether the index of the file has as many samples as its header states."""
        if self.codec.startswith("ADPCM"):  # A packet goes on from the one before it.
            return False
        packed = not self.codec.startswith("PCM")
        n_entries = len(self._stream.index_entries)
        if not self.n_frames or not n_entries:
            return False
        return not packed or abs(n_entries * per_packet - self.n_frames) <= (
            _INDEX_SLACK * per_packet
        )


# --- inside --------------------------------------------------------------------------------------


def _codec(stream: Any, container: str) -> str:
    """The name of a codec that is decoded; the others are refused by theirs."""
    context = stream.codec_context
    if context is None:
        tag = getattr(stream, "codec_tag", None) or "unknown"
        raise NotRead(f"sound of the codec {tag!r} in {container}")
    if context.codec_tag in _LOCKED:
        raise NotRead("a song that its seller has locked (DRM)")
    name = str(context.name).removeprefix("lib")
    if name not in _CODECS and not name.startswith("pcm_"):
        raise NotRead(f"{name.capitalize()} in {container}")
    return name.removesuffix("float")


def _tags(container: Any, stream: Any) -> tuple[str | None, str | None]:
    found = {
        key.lower(): value
        for metadata in (stream.metadata, container.metadata)
        for key, value in metadata.items()
    }
    return found.get("title"), found.get("artist")


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

"""Open sound files: mono blocks of samples, through libsndfile.

All kinds of source answer the same few questions; errors in the middle of a file end or thin out
the blocks and are noted, errors at its beginning refuse it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from hitcore.audio.excerpts import Excerpt
from hitcore.audio.refusals import damaged

Samples = NDArray[np.float32]

_BLOCK_VALUES = 1 << 16
# libsndfile's count where a FLAC stream states no length.
_UNKNOWN = 2**63 - 1
_MISLEADING = "File does not exist or is not a regular file (possibly a pipe?)"
# After a seek the decoder of MP3 needs some frames to find its feet.
_RUN_UP = 20_480
# Channels whose mean has less than this part of the first one's power cancel each other out.
_CANCELLED = 1e-4
# The first so many frames of each block tell the powers well enough.
_SAMPLED = 4096


@dataclass
class Mixer:
    """The way from channels to one: their mean, unless they cancel each other out."""

    channel: int | None = None
    """This channel alone; None: the mean of all."""
    power: float = 0.0
    """Of the first channel so far: a sum of squares."""
    mixed_power: float = 0.0
    """Of the mean."""

    def mix(self, block: Samples) -> Samples:
        """Mono samples of `(n_frames, n_channels)`."""
        n_channels = block.shape[1]
        if n_channels == 1:
            return block[:, 0].copy()
        if self.channel is not None:
            return block[:, min(self.channel, n_channels - 1)].copy()
        if n_channels == 2:  # Several times as fast as a mean over so short an axis.
            mono = (block[:, 0] + block[:, 1]) * np.float32(0.5)
        else:
            mono = np.asarray(block.mean(axis=1), np.float32)
        one, mixed = block[:_SAMPLED, 0], mono[:_SAMPLED]
        self.power += float(np.dot(one, one))
        self.mixed_power += float(np.dot(mixed, mixed))
        return mono

    @property
    def cancels(self) -> bool:
        """The mean is next to nothing although the channels are not."""
        return self.mixed_power < _CANCELLED * self.power


class Source(Protocol):
    """An open sound file."""

    codec: str
    sample_rate: int
    n_channels: int
    n_frames: int
    """As promised by the file; 0 where it promises nothing."""
    seekable: bool
    """A passage may be had by seeking, and equals the same crop of the whole."""
    failed: bool
    """Decoding stopped early, or left something out."""
    truncated: bool
    """The file is not all there."""
    notes: list[str]
    """What was odd about the file, in sentences."""
    tags: tuple[str | None, str | None]
    """Title and artist, where the decoder knows them."""
    mixer: Mixer

    def blocks(self, first: int) -> Iterator[Samples]:
        """Mono blocks from frame `first` on."""


class SoundfileSource:
    """WAV, FLAC, MP3, OGG, AIFF, CAF, AU and W64, through libsndfile.

    Args:
        file: a descriptor, or an excerpt of a file.
    """

    def __init__(self, file: int | Excerpt) -> None:
        if isinstance(file, int):
            os.lseek(file, 0, os.SEEK_SET)
        try:
            self._file = soundfile.SoundFile(file, closefd=False)
        except soundfile.LibsndfileError as error:
            # For a file without a single MPEG frame libsndfile speaks of pipes.
            reason = error.error_string.replace(_MISLEADING, "no frame can be found")
            raise damaged(reason) from error
        self.codec = str(self._file.subtype)
        self.sample_rate = int(self._file.samplerate)
        self.n_channels = int(self._file.channels)
        frames = int(self._file.frames)
        self.n_frames = 0 if frames == _UNKNOWN else frames
        self.seekable = self.n_frames > 0
        self.failed = self.truncated = False
        self.notes = list[str]()
        self.tags: tuple[str | None, str | None] = (None, None)
        self.mixer = Mixer()

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
                yield self.mixer.mix(buffer[skip:n_read])
            skip = max(0, skip - n_read)
        self.failed = bool(soundfile._snd.sf_error(handle))

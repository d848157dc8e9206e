"""What a song may be given as: a path, bytes, an open file or a waveform."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hitcore.audio import AudioInfo, DecodedAudio, Waveform

Source = str | os.PathLike[str] | bytes | BinaryIO

SILENT_BELOW = 1e-4
"""Samples below this are silence, as when a file is decoded."""


def as_decoded(waveform: Waveform, sample_rate: int) -> DecodedAudio:
    """A waveform of one's own, as if it had been decoded."""
    silent = float(np.abs(waveform.samples).max(initial=0.0)) < SILENT_BELOW
    info = AudioInfo(
        container="samples",
        codec="float32",
        sample_rate=waveform.sample_rate,
        n_channels=1,
        duration_s=waveform.duration_s,
        bit_rate=32 * waveform.sample_rate,
        title=None,
        artist=None,
        truncated=False,
        flags=("silent",) if silent else (),
    )
    return DecodedAudio({sample_rate: waveform.resample(sample_rate)}, info)


def name_of(source: object) -> str:
    """What a song is called where nothing in it says so: the name of its file."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    return Path(str(getattr(source, "name", "song"))).name


def content_of(source: object) -> bytes | None:
    """The bytes of an open file, read once; None for what can be read again."""
    if isinstance(source, str | os.PathLike | bytes | Waveform):
        return None
    return bytes(source.read())  # type: ignore[attr-defined]


def hash_of(source: object, content: bytes | None) -> str:
    """The SHA-256 of a song's file, or of its samples."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    data = source.samples.tobytes() if isinstance(source, Waveform) else content or source
    assert isinstance(data, bytes)
    return hashlib.sha256(data).hexdigest()

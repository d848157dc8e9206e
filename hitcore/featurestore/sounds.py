"""A song's sound, as much of it as the feature stores need.

A song's `source` is a path below one root: the workspace's `audio` folder, another folder, or a
place in an object store (`s3://bucket/songs`, whatever fsspec has a driver for). The root is named
by who starts the build, never by the table of songs, so a table from elsewhere reaches nothing
beyond it. `demo:SEED:INDEX` is a song of the demo catalogue, made on the spot.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hitcore.audio import DecodeLimits, Waveform, decode, load_audio
from hitcore.demo import waveform_of
from hitcore.errors import AudioError, DataError
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.files import sha256_of
from hitcore.remote import patiently, store_of

SAMPLE_RATE = 22_050
"""Of all that is decoded here, Hz; highlights and the paper's front end work at it."""

DECODE_LIMITS = DecodeLimits(max_wall_s=90.0)
"""What one file may cost."""

ReadSong = Callable[[Path, str], Waveform]
"""From the workspace's folder and the song's `source` entry to its sound at 22,050 Hz."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A song, or the passage in its middle that was decoded."""

    waveform: Waveform
    """What was decoded."""
    content_hash: str
    """SHA-256 of the file, or of the samples where there is no file."""
    start_s: float = 0.0
    """Where in the song the waveform starts."""


def sound_of(
    workspace: Path,
    source: str,
    configs: Sequence[FeatureConfig],
    read_song: ReadSong | None = None,
    audio_root: str | None = None,
) -> Sound:
    """A song's sound; of a file the middle passage alone, where the stores need no more.

    Args:
        workspace: The workspace's folder.
        source: The song's `source` entry.
        configs: The stores that are fed from it.
        read_song: Brings the sound instead; None: see `read_source`.
        audio_root: Folder or address below which files lie; None: the workspace's `audio`.

    Raises:
        DataError: the entry points outside the root, or nothing can read the root.
        AudioError: the file cannot be read.
    """
    if read_song is not None:
        waveform = read_song(workspace, source)
        return Sound(waveform, hashlib.sha256(waveform.samples.tobytes()).hexdigest())
    if source.startswith("demo:"):
        waveform = waveform_of(source)
        return Sound(waveform, hashlib.sha256(waveform.samples.tobytes()).hexdigest())
    file = _file(workspace, source, audio_root)
    if any(config.segment != "middle" for config in configs):
        return Sound(load_audio(file, SAMPLE_RATE, limits=DECODE_LIMITS), _hash_of(file))
    length_s = max(config.length_s for config in configs)
    decoded = decode(file, SAMPLE_RATE, segment="middle", length_s=length_s, limits=DECODE_LIMITS)
    return Sound(decoded.waveform, _hash_of(file), decoded.start_s)


def read_source(workspace: Path, source: str, audio_root: str | None = None) -> Waveform:
    """A song's whole sound: a file below the root, or a demo song made now.

    Raises:
        DataError: the entry points outside the root, or nothing can read the root.
        AudioError: the file cannot be read.
    """
    if source.startswith("demo:"):
        return waveform_of(source)
    return load_audio(_file(workspace, source, audio_root), SAMPLE_RATE, limits=DECODE_LIMITS)


def check_root(audio_root: str) -> None:
    """Refuse a root that nothing here can read, before songs are tried one by one.

    Raises:
        DataError: there is no such folder, or no driver for such an address.
    """
    if "://" in audio_root:
        store_of(audio_root)
    elif not Path(audio_root).is_dir():
        raise DataError(f"{audio_root} is no folder: give the one that the songs' sources are in")


def _file(workspace: Path, source: str, audio_root: str | None) -> Path | bytes:
    """Where a file lies, or its content where it has to be fetched."""
    if PurePosixPath(source).is_absolute() or ".." in PurePosixPath(source).parts:
        raise DataError(f"source {source!r}: a path inside the workspace's audio/ is expected")
    if audio_root is None:
        return workspace / "audio" / source
    if "://" not in audio_root:
        return Path(audio_root) / source
    return _fetched(audio_root, source)


def _hash_of(file: Path | bytes) -> str:
    return hashlib.sha256(file).hexdigest() if isinstance(file, bytes) else sha256_of(file)


def _fetched(root: str, source: str) -> bytes:
    """The content of one file of an object store, if it is not too large to be a song.

    Raises:
        AudioError: it is not there, or too large.
        StoreError: the store does not answer or refuses.
    """
    store, folder = store_of(root)
    path = f"{folder}/{source}"
    try:
        size = patiently(root, store.size, path)
        if size is not None and size > DECODE_LIMITS.max_file_bytes:
            raise AudioError(
                f"{source} has {size:,} bytes; at most {DECODE_LIMITS.max_file_bytes:,} are read"
            )
        content: bytes = patiently(root, store.cat_file, path)
    except FileNotFoundError as error:
        raise AudioError(f"{source} is not in {root}") from error
    return content

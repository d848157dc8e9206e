"""A song's sound, as much of it as the feature stores need."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hitcore.audio import DecodeLimits, Waveform, decode, load_audio
from hitcore.demo import waveform_of
from hitcore.errors import DataError
from hitcore.featurestore.settings import FeatureConfig
from hitcore.files import sha256_of
from hitcore.highlights import find_highlight

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

    def clip(self, config: FeatureConfig, device: str = "cpu") -> tuple[Waveform, float, float]:
        """The clip that a store wants, its start and its end in seconds of the song."""
        # The middle of a middle passage is the middle of the song.
        highlight = find_highlight(
            self.waveform, config.segment, length_s=config.length_s, device=device
        )
        clip = self.waveform.crop(highlight.start, highlight.end)
        return clip, self.start_s + highlight.start, self.start_s + highlight.end


def sound_of(
    workspace: Path, source: str, configs: Sequence[FeatureConfig], read_song: ReadSong | None
) -> Sound:
    """A song's sound; of a file the middle passage alone, where the stores need no more.

    Args:
        workspace: The workspace's folder.
        source: The song's `source` entry.
        configs: The stores that are fed from it.
        read_song: Brings the sound instead; None: see `read_source`.

    Raises:
        DataError: the entry points outside the workspace's `audio` folder.
        AudioError: the file cannot be read.
    """
    if read_song is not None or source.startswith("demo:"):
        waveform = (read_song or read_source)(workspace, source)
        return Sound(waveform, hashlib.sha256(waveform.samples.tobytes()).hexdigest())
    path = _file(workspace, source)
    if any(config.segment != "middle" for config in configs):
        waveform = load_audio(path, SAMPLE_RATE, limits=DECODE_LIMITS)
        return Sound(waveform, sha256_of(path))
    length_s = max(config.length_s for config in configs)
    decoded = decode(path, SAMPLE_RATE, segment="middle", length_s=length_s, limits=DECODE_LIMITS)
    return Sound(decoded.waveform, sha256_of(path), decoded.start_s)


def read_source(workspace: Path, source: str) -> Waveform:
    """A song's sound: a file inside the workspace's `audio` folder, or a demo song made now.

    Raises:
        DataError: the entry points outside that folder.
        AudioError: the file cannot be read.
    """
    if source.startswith("demo:"):
        return waveform_of(source)
    return load_audio(_file(workspace, source), SAMPLE_RATE, limits=DECODE_LIMITS)


def _file(workspace: Path, source: str) -> Path:
    if Path(source).is_absolute() or ".." in Path(source).parts:
        raise DataError(f"source {source!r}: a path inside the workspace's audio/ is expected")
    return workspace / "audio" / source

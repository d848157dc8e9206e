"""What the child says of a file that it does not decode: one line for the person who gave it."""

import mmap

Bytes = bytes | mmap.mmap

ACCEPTED = (
    "WAV, FLAC, MP3, OGG (Vorbis, Opus, FLAC), AIFF, M4A/AAC, WMA, CAF, AU, WavPack, AC-3, and "
    "the sound of WebM, MP4 and other videos"
)
"""The accepted kinds, for messages; docs/formats.md has the table."""


class Refusal(Exception):
    """This file is not decoded; the message says why, on one line, for the person who gave it."""


class NotRead(Refusal):
    """A file of a kind that is known by name, and not read."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} is not read; accepted are {ACCEPTED}: convert it to FLAC or MP3")


def damaged(reason: str) -> Refusal:
    """The refusal of a file that its decoder cannot make sense of."""
    short = " ".join(reason.split()).rstrip(".")[:200]
    return Refusal(
        f"the file cannot be decoded ({short}); it is probably damaged or cut short: "
        "fetch or export it again"
    )

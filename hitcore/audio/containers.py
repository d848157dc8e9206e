"""What kind of file it is, told from its first bytes, and whether its end is missing.

A name is not believed: people rename files, and hostile files lie. Nothing here decodes sound;
every function looks at plain bytes and must survive any bytes whatever.

References:
    ISO/IEC 11172-3, section 2.4 (MPEG audio frames); RFC 3533 (Ogg pages); RFC 9639 (FLAC);
    EBU Tech 3285 and 3306 (WAVE, RF64); the "Xing"/"Info" header of LAME.
"""

import mmap
from dataclasses import dataclass

ACCEPTED = "WAV, FLAC, MP3, OGG (Vorbis or Opus), AIFF and M4A/AAC"

Bytes = bytes | mmap.mmap


class Refusal(Exception):
    """This file is not decoded; the message says why, on one line, for the person who gave it."""


@dataclass(frozen=True)
class Container:
    """A kind of file and the library that decodes it."""

    name: str
    """Such as "MP3"."""
    library: str
    """"soundfile", or the name of the FFmpeg demuxer: nothing is left for FFmpeg to guess."""


# What people give by mistake; the word is what they read.
_FOREIGN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"MThd", "a MIDI file, which holds notes and no sound"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"\x30\x26\xb2\x75", "a Windows Media file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"<!DO", "a web page"),
    (b"<htm", "a web page"),
    (b"<HTM", "a web page"),
)


def sniff(data: Bytes) -> Container:
    """The container of a file, from its content alone.

    Raises:
        Refusal: it is empty, or none of the accepted kinds.

    Example:
        >>> sniff(b"fLaC" + bytes(38)).name
        'FLAC'
    """
    if len(data) == 0:
        raise Refusal(
            f"the file is empty (0 bytes); accepted are {ACCEPTED}; "
            "the copy or download probably failed: fetch it again"
        )
    start = after_id3(data)
    if start >= len(data):
        raise Refusal(
            "the file holds an ID3 tag and no sound behind it; "
            "the copy or download probably stopped early: fetch it again"
        )
    head = bytes(data[start : start + 16])
    found = _container(head)
    if found is None and start and not any(head):
        found = Container("MP3", "mp3")  # Some taggers leave zeros behind; libsndfile gives up.
    if found is not None:
        return found
    looks_like = next((word for magic, word in _FOREIGN if head.startswith(magic)), None)
    if looks_like is None:
        text = _is_text(bytes(data[start : start + 512]))
        looks_like = "plain text" if text else "no known kind of sound file"
    raise Refusal(
        f"the content is {looks_like}; accepted are {ACCEPTED}, told from the content and not "
        "from the name: convert it to one of these"
    )


def after_id3(data: Bytes) -> int:
    """Where the sound starts: behind any ID3v2 tags at the beginning."""
    start = 0
    while bytes(data[start : start + 3]) == b"ID3" and len(data) >= start + 10:
        size = data[start + 6 : start + 10]
        footer = 10 if data[start + 5] & 0x10 else 0
        start += 10 + footer + sum((byte & 0x7F) << (21 - 7 * i) for i, byte in enumerate(size))
    return start


def is_cut(container: str, data: Bytes) -> bool:
    """Whether the file promises more bytes than it has, so that its end is missing.

    A file that was cut exactly between two frames of a format without a total looks whole.
    """
    match container:
        case "MP3":
            return _mp3_is_cut(data)
        case "OGG":
            return _ogg_is_cut(data)
        case "WAV" | "AIFF":
            return _chunks_are_cut(data)
    return False


def claimed_frames(container: str, data: Bytes) -> int:
    """The sample frames that a header promises, where the decoder's own count hides a lie.

    Zero where the header makes no promise of its own.
    """
    if container == "WAV" and bytes(data[12:16]) == b"ds64" and len(data) >= 44:
        frames = int.from_bytes(data[36:44], "little")
        return 0 if frames == 2**64 - 1 else frames
    return 0


# --- inside --------------------------------------------------------------------------------------


def _container(head: bytes) -> Container | None:
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return Container("WAV", "soundfile")
    if head[:4] == b"fLaC":
        return Container("FLAC", "soundfile")
    if head[:4] == b"OggS":
        return Container("OGG", "soundfile")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return Container("AIFF", "soundfile")
    if head[4:8] == b"ftyp":
        return Container("M4A", "mp4")
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Container("AAC", "aac")
    if _mp3_frame(head) is not None:
        return Container("MP3", "soundfile")
    return None


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut at the end of the probe.
        if error.start < max(1, len(head) - 3):
            return False
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


# kbit/s by bitrate index: MPEG-1 layers I, II, III; MPEG-2 and 2.5 layer I, layers II and III.
_V1_RATES = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_V2_RATES = (
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8000),
}


def _mp3_frame(head: bytes) -> int | None:
    """The length in bytes of the MPEG audio frame that starts here; None where none does.

    A free-format frame, whose length is not written down, counts as 0.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, frequency = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate_index == 15 or frequency == 3:
        return None
    if rate_index == 0:
        return 0
    rate = 1000 * (_V1_RATES if version == 3 else _V2_RATES)[layer - 1][rate_index]
    padding = head[2] >> 1 & 1
    sample_rate = _SAMPLE_RATES[version][frequency]
    if layer == 1:
        return 4 * (12 * rate // sample_rate + padding)
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * rate // sample_rate + padding


def _mp3_is_cut(data: Bytes) -> bool:
    start = after_id3(data)
    head = bytes(data[start : start + 200])
    for word in (b"Xing", b"Info"):
        at = head.find(word)
        if at >= 0 and len(head) >= at + 16 and head[at + 7] & 2:
            offset = at + 8 + (4 if head[at + 7] & 1 else 0)
            promised = int.from_bytes(head[offset : offset + 4], "big")
            # Up to one whole frame less is how some encoders count.
            return len(data) + 1500 < start + promised
    return _last_frame_is_cut(bytes(data[max(start, len(data) - 8192) :]))


def _last_frame_is_cut(tail: bytes) -> bool:
    """Whether a chain of frames runs over the end of the file."""
    for first in range(len(tail) - 4):
        at, chained = first, 0
        while length := _mp3_frame(tail[at : at + 4]):
            at, chained = at + length, chained + 1
        # Three frames in a row are no accident; a tag or padding may follow them.
        if chained >= 3:
            return at > len(tail) or (0 < len(tail) - at < 4 and tail[at] == 0xFF)
    return False


def _ogg_is_cut(data: Bytes) -> bool:
    """Whether the last page lacks the mark of the end, or is itself cut."""
    tail = bytes(data[max(0, len(data) - 131_072) :])
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return True
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    size = 27 + len(segments) + sum(segments)
    return not tail[at + 5] & 4 or len(segments) < tail[at + 26] or len(tail) < at + size


def _chunks_are_cut(data: Bytes) -> bool:
    """Whether the chunk that holds the samples reaches beyond the file."""
    little = bytes(data[:4]) in (b"RIFF", b"RF64", b"BW64")
    at = 12
    while at + 8 <= len(data):
        name = bytes(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little" if little else "big")
        if name in (b"data", b"SSND"):
            # Writers that cannot go back leave all ones, or zero: no promise.
            return size not in (0, 0xFFFFFFFF) and at + 8 + size > len(data)
        at += 8 + size + size % 2
    return True

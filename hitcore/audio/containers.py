"""What kind of file it is, told from its first bytes.

A name is not believed: people rename files, and hostile files lie. Nothing here decodes sound;
every function looks at plain bytes and must survive any bytes whatever. What is not read is called
by its true name, so that nobody looks for damage in a file that is whole.
"""

import mmap
import os
from dataclasses import dataclass
from typing import Literal

from hitcore.audio.mpegframes import find_frames, frame_format, frame_length
from hitcore.audio.refusals import ACCEPTED, Bytes, NotRead, Refusal

Reader = Literal["soundfile", "ffmpeg", "mpeg", "ogg", "wav"]

# Cover pictures reach this size; sound that begins later is not looked for.
_SEARCHED = 1 << 24


@dataclass(frozen=True)
class Container:
    """A kind of file and what reads it."""

    name: str
    """Such as "MP3"."""
    reader: Reader
    """Who decodes it, or whose layout has to be walked first."""
    demuxer: str = ""
    """Of FFmpeg: nothing is left for FFmpeg to guess. Empty where it has no part in it."""
    start: int = 0
    """Where the sound begins, bytes; for MP3."""


# At the beginning of the file, behind any ID3 tag.
_KINDS: tuple[tuple[bytes, Container], ...] = (
    (b"fLaC", Container("FLAC", "soundfile")),
    (b"OggS", Container("OGG", "ogg", "ogg")),
    (b"caff", Container("CAF", "soundfile", "caf")),
    (b".snd", Container("AU", "soundfile", "au")),
    (b"dns.", Container("AU", "soundfile", "au")),
    (bytes.fromhex("726966662e91cf11a5d628db04c10000"), Container("W64", "soundfile", "w64")),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), Container("WMA", "ffmpeg", "asf")),
    (b"wvpk", Container("WAVPACK", "ffmpeg", "wv")),
    (b"FLV\x01", Container("FLV", "ffmpeg", "flv")),
    (b"\x00\x00\x01\xba", Container("MPEG", "ffmpeg", "mpeg")),
)
# The first atom of a QuickTime file from before there was a type.
_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

_NO_SOUND = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or a list of thumbnails"),
    (b"\x00\x05\x16\x07", "an AppleDouble file, which holds what macOS knows of another file"),
    (b"\x00\x05\x16\x00", "an AppleSingle file"),
    (b"MThd", "a MIDI file, which holds notes and no sound"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"<!DO", "a web page"),
    (b"<htm", "a web page"),
    (b"<HTM", "a web page"),
)
_NOT_READ = (
    (b"MAC ", "Monkey's Audio (APE)"),
    (b"TTA1", "True Audio (TTA)"),
    (b"TTA2", "True Audio (TTA)"),
    (b"MPCK", "Musepack"),
    (b"MP+", "Musepack"),
    (b"OFR ", "OptimFROG"),
    (b"tBaK", "TAK"),
    (b"ajkg", "Shorten"),
    (b"DSD ", "DSD (DSF)"),
    (b"FRM8", "DSD (DSDIFF)"),
    (b"#!AMR", "AMR, which is telephone speech,"),
    (b"#!SILK", "SILK, which is telephone speech,"),
    (b"Creative Voice File", "Creative Voice (VOC)"),
    (b".RMF", "RealMedia"),
    (b".ra\xfd", "RealAudio"),
    (b"\x7f\xfe\x80\x01", "DTS"),
    (b"\xfe\x7f\x01\x80", "DTS"),
    (b"ADIF", "AAC in ADIF"),
    (b"NESM\x1a", "NES music, which is a program and no sound,"),
    (b"Extended Module: ", "a tracker's module (XM), which is notes and no sound,"),
    (b"IMPM", "a tracker's module (IT), which is notes and no sound,"),
    (b"\x56\xe0", "AAC in LATM"),
    (b"OTTO", "a font"),
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
    found = _container(data, start) if start < len(data) else None
    if found is not None:
        return found
    head = bytes(data[start : start + 32])
    if start == 0:
        _refuse_by_name(head)
    # A tag of a wrong size, zeros, half a frame: players look for the first frame.
    first = 10 if start else 0
    place = find_frames(data, first, first + _SEARCHED)
    if place is not None:
        return Container("MP3", "mpeg", "mp3", place)
    _refuse_by_name(head)
    if start >= len(data):
        raise Refusal(
            "the file holds an ID3 tag and no sound behind it; "
            "the copy or download probably stopped early: fetch it again"
        )
    text = _is_text(bytes(data[start : start + 512]))
    looks_like = "plain text" if text else "no known kind of sound file"
    raise _no_sound(looks_like)


def is_sound_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file looks like sound by its content, so not a cover, a cue sheet or lyrics."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            sniff(data)
    except (OSError, ValueError, Refusal):  # An empty file cannot be mapped.
        return False
    return True


def after_id3(data: Bytes) -> int:
    """Where the sound starts: behind any ID3v2 tags at the beginning."""
    start = 0
    while bytes(data[start : start + 3]) == b"ID3" and len(data) >= start + 10:
        size = data[start + 6 : start + 10]
        footer = 10 if data[start + 5] & 0x10 else 0
        start += 10 + footer + sum((byte & 0x7F) << (21 - 7 * i) for i, byte in enumerate(size))
    return start


# --- inside --------------------------------------------------------------------------------------


def _container(data: Bytes, start: int) -> Container | None:
    head = bytes(data[start : start + 64])
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return kind
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return Container("WAV", "wav", "wav")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Container("AVI", "ffmpeg", "avi")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return Container("AIFF", "soundfile", "aiff")
    if head[4:8] == b"ftyp":
        return Container(_brand(head[8:12]), "ffmpeg", "mov")
    if head[4:8] in _ATOMS:
        return Container("MOV", "ffmpeg", "mov")
    if head[:4] == b"\x1aE\xdf\xa3":
        return Container("WEBM" if b"webm" in head else "MKV", "ffmpeg", "matroska")
    if head[:2] == b"\x0bw" and len(head) > 5:
        # Above 10 the syntax is that of E-AC-3.
        return Container("AC3", "ffmpeg", "eac3" if head[5] >> 3 > 10 else "ac3")
    if head[:1] == b"G" and all(data[start + at : start + at + 1] == b"G" for at in (188, 376)):
        return Container("MPEG-TS", "ffmpeg", "mpegts")
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Container("AAC", "ffmpeg", "aac")
    return _mpeg(data, start)


def _brand(major: bytes) -> str:
    """What people call a file of the MPEG-4 family, by its main brand."""
    if major == b"qt  ":
        return "MOV"
    return "M4A" if major in (b"M4A ", b"M4B ", b"M4P ") else "MP4"


def _mpeg(data: Bytes, start: int) -> Container | None:
    """MPEG audio, if a frame stands here and another behind it, or nothing more."""
    head = bytes(data[start : start + 4])
    form = frame_format(head)
    if form is None:
        return None
    length = frame_length(head)
    following = start + (length or 0)
    if length and following + 4 <= len(data):
        after = bytes(data[following : following + 4])
        if frame_format(after) is None and after[:3] not in (b"TAG", b"ID3", b"APE"):
            return None
    return Container("MP3" if form.layer == 3 else f"MP{form.layer}", "mpeg", "mp3", start)


def _refuse_by_name(head: bytes) -> None:
    """Say what a file is that is none of ours, where that is known."""
    if word := next((word for magic, word in _NO_SOUND if head.startswith(magic)), None):
        raise _no_sound(word)
    if word := next((word for magic, word in _NOT_READ if head.startswith(magic)), None):
        raise NotRead(word)


def _no_sound(looks_like: str) -> Refusal:
    return Refusal(
        f"the content is {looks_like}; accepted are {ACCEPTED}, told from the content and not "
        "from the name: convert it to one of these"
    )


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut at the end of the probe.
        if error.start < max(1, len(head) - 3):
            return False
    return not any(byte < 9 or 13 < byte < 32 for byte in head)

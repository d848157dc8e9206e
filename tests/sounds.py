"""Sound files of every accepted kind, made on the spot; shared by the audio tests."""

import io
import struct

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

# Every accepted kind: how soundfile names it, or the FFmpeg format and codec.
SOUNDFILE_KINDS = {
    "wav": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "wav_float": ("WAV", "FLOAT"),
    "rf64": ("RF64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "aiff": ("AIFF", "PCM_16"),
}
FFMPEG_KINDS = {"m4a": ("ipod", "aac"), "alac": ("ipod", "alac"), "aac": ("adts", "aac")}
KINDS = [*SOUNDFILE_KINDS, *FFMPEG_KINDS]
LOSSLESS = ["wav", "wav24", "wav_float", "rf64", "flac", "aiff", "alac"]
SEEKABLE = [kind for kind in KINDS if kind != "aac"]


def music(seconds: float, sample_rate: int = 44_100, n_channels: int = 2) -> NDArray[np.float32]:
    """A melody with a beat, different in each channel; `(n_samples, n_channels)`."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    notes = 220 * 2 ** (np.floor(4 * t) * 7 % 12 / 12)
    phase = 2 * np.pi * np.cumsum(notes) / sample_rate
    tone = 0.4 * np.sin(phase) * np.exp(-4 * (t % 0.25))
    hum = [0.1 * np.sin(2 * np.pi * (110 + 30 * c) * t + c) for c in range(n_channels)]
    return (tone[:, None] + np.stack(hum, axis=1)).astype(np.float32)


def encoded(
    kind: str, samples: NDArray[np.float32], sample_rate: int = 44_100, **tags: str
) -> bytes:
    """The bytes of a file of this kind."""
    if kind in FFMPEG_KINDS:
        return _with_ffmpeg(kind, samples, sample_rate, tags)
    format_, subtype = SOUNDFILE_KINDS[kind]
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", sample_rate, samples.shape[1], subtype, format=format_
    ) as sound:
        for name, text in tags.items():
            setattr(sound, name, text)
        # In pieces: libsndfile's Vorbis encoder runs out of stack on a long song.
        for first in range(0, len(samples), 65_536):
            sound.write(samples[first : first + 65_536])
    return file.getvalue()


def _with_ffmpeg(
    kind: str, samples: NDArray[np.float32], sample_rate: int, tags: dict[str, str]
) -> bytes:
    format_, codec = FFMPEG_KINDS[kind]
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(file, "w", format=format_) as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec, rate=sample_rate, layout=layout)
        planar = samples.T
        if codec == "alac":
            planar = (planar * 32_767).round().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(planar), "s16p" if codec == "alac" else "fltp", layout
        )
        frame.sample_rate = sample_rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        at = 0
        while piece := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            piece.pts, at = at, at + piece.samples
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()


def id3(**frames: str) -> bytes:
    """An ID3v2.4 tag with text frames, such as TIT2 and TPE1."""
    body = b""
    for name, text in frames.items():
        content = b"\x03" + text.encode()
        body += name.encode() + _syncsafe(len(content)) + b"\0\0" + content
    return b"ID3\x04\0\0" + _syncsafe(len(body)) + body


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def rf64_claiming(n_frames: int, samples: NDArray[np.float32]) -> bytes:
    """An RF64 file whose 64-bit header promises `n_frames` frames."""
    data = bytearray(encoded("rf64", samples))
    at = data.index(b"ds64") + 8
    struct.pack_into("<QQQ", data, at, 2**63 - 1, 2**63 - 9, n_frames)
    return bytes(data)


def flac_claiming(n_frames: int, data: bytes) -> bytes:
    """A FLAC stream whose header promises `n_frames` frames (36 bits; 0: unknown)."""
    patched = bytearray(data)
    patched[21] = patched[21] & 0xF0 | n_frames >> 32
    patched[22:26] = (n_frames & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(patched)


def _crc_table() -> list[int]:
    """For the checksum of Ogg pages (polynomial 0x04C11DB7)."""
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc & 0x80000000 else 0)
        table.append(crc)
    return table


_CRC = _crc_table()


def resealed(data: bytes) -> bytes:
    """The same Ogg pages with checksums that fit, so that the damage reaches the decoder."""
    content = bytearray(data)
    at = content.find(b"OggS")
    while at >= 0 and at + 27 <= len(content):
        n_segments = content[at + 26]
        end = at + 27 + n_segments + sum(content[at + 27 : at + 27 + n_segments])
        content[at + 22 : at + 26] = bytes(4)
        crc = 0
        for byte in content[at:end]:
            crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
        content[at + 22 : at + 26] = crc.to_bytes(4, "little")
        at = content.find(b"OggS", at + 27)
    return bytes(content)

"""Sound files as people have them: other containers, and headers that are missing, empty or lying.

All are made on the spot, with the encoders that the audio libraries bring along.
"""

import io
import struct
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from hitcore.audio import mpegframes
from tests.sounds import resealed

# FFmpeg's format and codec, the rate, and what they are called.
MORE_KINDS: dict[str, tuple[str, str, int, tuple[str, str]]] = {
    "webm": ("webm", "libopus", 48_000, ("WEBM", "OPUS")),
    "mka aac": ("matroska", "aac", 44_100, ("MKV", "AAC")),
    "mka flac": ("matroska", "flac", 44_100, ("MKV", "FLAC")),
    "mkv mp3": ("matroska", "libmp3lame", 44_100, ("MKV", "MP3")),
    "caf pcm": ("caf", "pcm_s16le", 44_100, ("CAF", "PCM_16")),
    "caf alac": ("caf", "alac", 44_100, ("CAF", "ALAC")),
    "wma": ("asf", "wmav2", 44_100, ("WMA", "WMAV2")),
    "au": ("au", "pcm_s16be", 44_100, ("AU", "PCM_16")),
    "w64": ("w64", "pcm_s16le", 44_100, ("W64", "PCM_16")),
    "wavpack": ("wv", "wavpack", 44_100, ("WAVPACK", "WAVPACK")),
    "ac3": ("ac3", "ac3", 48_000, ("AC3", "AC3")),
    "eac3": ("eac3", "eac3", 48_000, ("AC3", "EAC3")),
    "mp2": ("mp2", "mp2", 44_100, ("MP2", "MPEG_LAYER_II")),
    "mov ima": ("mov", "adpcm_ima_qt", 44_100, ("MOV", "ADPCM_IMA_QT")),
    "mov pcm": ("mov", "pcm_s16be", 44_100, ("MOV", "PCM_S16BE")),
    "mp4": ("mp4", "aac", 44_100, ("MP4", "AAC")),
    "ogg flac": ("ogg", "flac", 44_100, ("OGG", "FLAC")),
    "avi": ("avi", "libmp3lame", 44_100, ("AVI", "MP3")),
    "flv": ("flv", "libmp3lame", 44_100, ("FLV", "MP3")),
    "mpeg": ("mpeg", "mp2", 44_100, ("MPEG", "MP2")),
    "mpegts": ("mpegts", "aac", 44_100, ("MPEG-TS", "AAC")),
    "wav mp3": ("wav", "libmp3lame", 44_100, ("WAV", "MPEG_LAYER_III")),
}
# Of samples; without it FFmpeg takes the first that the encoder knows.
_FORMATS = {"wavpack": "s16p", "alac": "s16p", "flac": "s16"}
LOSSLESS = ("mka flac", "caf pcm", "caf alac", "au", "w64", "wavpack", "mov pcm", "ogg flac")
EXACT = (*LOSSLESS, "webm", "mp4")
"""Their length is what went in; the others keep what their encoder put before and behind it."""


def muxed(
    format_: str,
    codec: str,
    samples: NDArray[np.float32],
    sample_rate: int,
    *,
    video: bool = False,
    bit_rate: int | None = None,
    muxing: dict[str, str] | None = None,
    encoding: dict[str, str] | None = None,
    **tags: str,
) -> bytes:
    """A file of this format with this codec, and a picture that moves beside it if wanted."""
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(file, "w", format=format_, options=muxing or {}) as container:
        container.metadata.update(tags)
        pictures = None
        if video:
            pictures = container.add_stream("mpeg4", rate=10, options={})
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
        stream = container.add_stream(codec, rate=sample_rate, layout=layout, options=encoding)
        if bit_rate:
            stream.bit_rate = bit_rate
        stream.codec_context.format = _FORMATS.get(codec, stream.codec_context.format)
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", layout)
        frame.sample_rate = sample_rate
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, sample_rate)
        fifo = av.AudioFifo()
        for piece in resampler.resample(frame):
            piece.pts = None
            fifo.write(piece)
        at = 0
        while piece := fifo.read(context.frame_size or 1024, partial=True):
            piece.pts, piece.time_base, at = at, Fraction(1, sample_rate), at + piece.samples
            container.mux(stream.encode(piece))
        if pictures is not None:
            for number in range(len(samples) * 10 // sample_rate):
                image = np.full((64, 64, 3), 20 * number % 256, np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(pictures.encode(None))
        container.mux(stream.encode(None))
    return file.getvalue()


def of_kind(kind: str, samples: NDArray[np.float32]) -> bytes:
    """A file of one of the kinds above; the samples are at its rate."""
    format_, codec, rate, _ = MORE_KINDS[kind]
    return muxed(format_, codec, samples, rate, bit_rate=192_000 if codec == "wmav2" else None)


def mp3(samples: NDArray[np.float32], sample_rate: int = 44_100, quality: int | None = 4) -> bytes:
    """An MP3 with its header of totals: of variable bit rate, or of 128 kbit/s for None."""
    encoding = {} if quality is None else {"global_quality": str(quality * 118), "flags": "+qscale"}
    bit_rate = 128_000 if quality is None else None
    muxing = {"id3v2_version": "0"}
    return muxed(
        "mp3",
        "libmp3lame",
        samples,
        sample_rate,
        bit_rate=bit_rate,
        muxing=muxing,
        encoding=encoding,
    )


def first_frame(data: bytes) -> tuple[int, int]:
    """Where the first frame of an MP3 begins and ends: the header of totals."""
    stream = mpegframes.walk(data, 0)
    assert stream is not None
    assert stream.totals is not None
    start = stream.runs[0].start
    length = mpegframes.frame_length(data[start : start + 4])
    assert length
    return start, start + length


def stripped(data: bytes) -> bytes:
    """Without the header of totals."""
    start, end = first_frame(data)
    return data[:start] + data[end:]


def emptied(data: bytes) -> bytes:
    """With a header of totals that says nothing, as it stands before an encoder comes back."""
    start, end = first_frame(data)
    frame = data[start:end]
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    return data[:start] + frame[: at + 4] + bytes(len(frame) - at - 4) + data[end:]


def lying(data: bytes, n_frames: int) -> bytes:
    """With a header of totals that speaks of so many frames."""
    start, end = first_frame(data)
    frame = bytearray(data[start:end])
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    frame[at + 8 : at + 12] = n_frames.to_bytes(4, "big")
    return data[:start] + bytes(frame) + data[end:]


def id3_of(
    n_bytes: int, stated: int | None = None, fill: bytes = b"\xff\xd8\xff\xe0 JFIF "
) -> bytes:
    """An ID3 tag with a picture of so many bytes; `stated` is the size that it claims."""
    body = b"APIC" + _syncsafe(n_bytes - 10) + b"\0\0" + (fill * n_bytes)[: n_bytes - 10]
    return b"ID3\x04\0\0" + _syncsafe(n_bytes if stated is None else stated) + body


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def with_data_size(data: bytes, size: int) -> bytes:
    """A WAV file whose chunk of samples states this size."""
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def ogg_pages(data: bytes) -> list[bytes]:
    """The pages of an Ogg file."""
    pages, at = [], 0
    while at < len(data):
        n_segments = data[at + 26]
        end = at + 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
        pages.append(data[at:end])
        at = end
    return pages


def without_end(data: bytes) -> bytes:
    """An Ogg file whose last page does not say that it is the last."""
    *pages, last = ogg_pages(data)
    return resealed(b"".join(pages) + last[:5] + bytes([last[5] & ~4]) + last[6:])


def without_pages(data: bytes, first: int, last: int) -> bytes:
    """An Ogg file that lacks some of its pages, as a stream that was joined late does."""
    pages = ogg_pages(data)
    return b"".join(pages[:first] + pages[last:])


def ogg_of(first_packet: bytes) -> bytes:
    """An Ogg file of one page with this packet."""
    page = b"OggS\0\2" + bytes(8) + b"\1\0\0\0" + bytes(8) + bytes([1, len(first_packet)])
    return resealed(page + first_packet)

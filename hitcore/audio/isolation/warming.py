"""What a decoder would load or set up at its first sound is loaded and set up before, once for all.

A child behind the walls of the sandbox can open nothing: no module, no table of characters, no
memory for new code. So its server, which it is a fork of, decodes sounds of our own making first.
"""

import codecs
import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Callable

import numpy as np
import soundfile

from hitcore.audio import decoder
from hitcore.audio.containers import Container
from hitcore.audio.excerpts import Excerpt
from hitcore.audio.ffmpegcodecs import FfmpegSource
from hitcore.audio.mpegframes import make_usual_patterns

# Tags are written in these.
_ENCODINGS = ("ascii", "utf-8", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "cp1251", "cp1252")
# FFmpeg reads the names of stations in a transport stream (EN 300 468) through the C library.
_BROADCAST = (
    *(f"ISO-8859-{number}" for number in range(1, 17)),
    *("ISO6937", "UCS-2BE", "KSC_5601", "GB2312", "BIG5"),
)
_KINDS = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"))
_RATE = 8_000

REQUEST = decoder.Request((16_000,), None, None, 10.0)
"""What is asked of the sounds."""


def sounds() -> list[bytes]:
    """Short sounds, one for each way into libsndfile that it was built with.

    The last two ask the most of the system: an MP3, and a WAV that is read as an excerpt.
    """
    made = []
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (_RATE // 10, 2))
    for container, codec in _KINDS:
        file = io.BytesIO()
        with contextlib.suppress(soundfile.LibsndfileError, ValueError):
            soundfile.write(file, noise, _RATE, codec, format=container)
            made.append(file.getvalue())
    without_size = made[0][:40] + bytes(4) + made[0][44:]
    return [*made, without_size]


def warm(made: list[bytes], memory_file: Callable[[], int]) -> None:
    """Load and set up what libsndfile, soxr and the readers of tags need, and keep them quiet.

    Args:
        made: what `sounds` made.
        memory_file: makes a file and gives its descriptor.
    """
    # A warning or a traceback would read the source code that it speaks of.
    sys.stdout = sys.stderr = None
    make_usual_patterns()
    for name in _ENCODINGS:
        codecs.lookup(name)
    # libsndfile calls Python to read an excerpt: five pieces of memory that can be run, for which
    # cffi takes a page at once, and keeps it.
    for content in made:
        source, result = memory_file(), memory_file()
        try:
            os.write(source, content)
            decoder.decode_file(source, [result], REQUEST)
        finally:
            os.close(source)
            os.close(result)


def warm_ffmpeg(made: list[bytes]) -> None:
    """Load FFmpeg's libraries, and set up what they need."""
    import av.subtitles.stream
    import av.video.stream  # noqa: F401

    _load_tables()
    source = FfmpegSource(Excerpt([made[0]]), Container("WAV", "wav", "wav"))
    list(source.blocks(0))


# --- inside --------------------------------------------------------------------------------------


def _load_tables() -> None:
    """Have the C library load its tables of characters: it keeps those that are in use."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "iconv_open"):
        return
    libc.iconv_open.restype = ctypes.c_void_p
    for name in _BROADCAST:
        libc.iconv_open(b"UTF-8", name.encode())

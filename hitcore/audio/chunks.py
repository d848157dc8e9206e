"""Chunks of WAV and AIFF files: whether the sound is all there, and sizes that are none.

Who records or writes to a pipe cannot go back to the header; a size of 0 or one near 2 or 4 GiB
stands there for "as much as there is". The bytes that are there are the sound.

References:
    EBU Tech 3285 and 3306 (WAVE, RF64); AIFF 1.3.
"""

from hitcore.audio.refusals import Bytes

# Nothing that is accepted is as large: such a size promises nothing.
_NO_SIZE = 0x7FFF_0000
_NO_SIZE_64 = 1 << 62
_ALL = b"\xff\xff\xff\xff"


def is_cut(data: Bytes) -> bool:
    """Whether the chunk with the samples reaches beyond the end of the file."""
    found = _sound_chunk(data)
    if found is None:
        return True
    at, size = found
    return 0 < size < _NO_SIZE and at + 8 + size > len(data)


def sound_start(data: Bytes) -> int:
    """Where the samples begin."""
    found = _sound_chunk(data)
    return 0 if found is None else found[0] + 8


def mended(data: Bytes) -> list[bytes | memoryview] | None:
    """The file with a size that decoders understand; None where that is so already."""
    found = _sound_chunk(data)
    if found is None or bytes(data[:4]) == b"FORM":
        return None
    at, size = found
    view = memoryview(data)
    if bytes(data[:4]) in (b"RF64", b"BW64"):
        stated = int.from_bytes(data[28:36], "little")
        if bytes(data[12:16]) == b"ds64" and (stated == 0 or stated > _NO_SIZE_64):
            # Without the 64-bit header, a size of all ones means "to the end".
            if _are_chunks(data, at + 8):
                return None
            return [b"RIFF", view[4:at], b"data", _ALL, view[at + 8 :]]
        return None
    if size == 0 and not _are_chunks(data, at + 8):
        return [view[: at + 4], _ALL, view[at + 8 :]]
    return None


def mended_au(data: Bytes) -> list[bytes | memoryview] | None:
    """An AU file of size 0 with a size that means "to the end"; None where it has one."""
    if bytes(data[:4]) != b".snd" or any(data[8:12]):
        return None
    view = memoryview(data)
    return [view[:8], _ALL, view[12:]]


def claimed_frames(data: Bytes) -> int:
    """The sample frames that the header of an RF64 file promises, which libsndfile bends.

    Zero where it makes no promise.
    """
    if bytes(data[12:16]) == b"ds64" and len(data) >= 44:
        frames = int.from_bytes(data[36:44], "little")
        return 0 if frames == 2**64 - 1 else frames
    return 0


# --- inside --------------------------------------------------------------------------------------


def _sound_chunk(data: Bytes) -> tuple[int, int] | None:
    """Where the chunk with the samples stands, and the size that it states."""
    order = "little" if bytes(data[:4]) in (b"RIFF", b"RF64", b"BW64") else "big"
    at = 12
    while at + 8 <= len(data):
        name = bytes(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        if name in (b"data", b"SSND"):
            return at, size
        at += 8 + size + size % 2
    return None


def _are_chunks(data: Bytes, at: int) -> bool:
    """Whether nothing but whole chunks follows, to the end: no samples, then."""
    while at + 8 <= len(data):
        name = bytes(data[at : at + 4])
        if not all(32 <= byte < 127 for byte in name):
            return False
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return len(data) - 1 <= at <= len(data) + 1

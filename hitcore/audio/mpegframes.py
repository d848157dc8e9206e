"""Frames of MPEG audio: where they lie, how many there are, and what the first one says of them.

An MP3 has no length but that of its frames. A header of totals (Xing, Info, LAME) is a courtesy:
streams and pipes leave it out or empty, cutting and joining leave it behind stale, and whoever
estimates the length from the size of the file counts the cover picture as sound. So the frames are
walked, header by header; that reads four bytes of each and takes about a tenth of a microsecond.

Conventions:
    A run is a row of frames without a gap, of one version, layer, rate and number of channels.
    Gaps hold tags of files that were joined, pictures, or damage.
    Where frames are searched for, three in a row are needed: fewer occur in pictures by accident.

References:
    ISO/IEC 11172-3, section 2.4, and 13818-3 (frames); the "Xing"/"Info" header with the extension
    of LAME (delay and padding of the encoder).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from hitcore.audio.refusals import Bytes, Refusal

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
DECODER_DELAY = 529
"""Samples by which a decoder of layer III lags behind."""

_IN_A_ROW = 3
_FRAMES_AT_ONCE = 64
_SEARCHED_AT_ONCE = 1 << 16
# More gaps than this has no song; a hostile file could have millions.
_MOST_RUNS = 10_000


@dataclass(frozen=True)
class FrameFormat:
    """What all frames of a run have in common."""

    version: int
    """As in the header: 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5."""
    layer: int
    sample_rate: int
    """Hz."""
    mono: bool

    @property
    def n_samples(self) -> int:
        """Samples of one frame."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152


@dataclass(frozen=True)
class Run:
    """Frames in a row."""

    start: int
    end: int
    """Bytes of the file, half-open."""
    n_frames: int
    format: FrameFormat

    @property
    def n_samples(self) -> int:
        """Samples of all its frames, before anything is cut off."""
        return self.n_frames * self.format.n_samples


@dataclass(frozen=True)
class Totals:
    """What a header of totals says; its frame holds no sound. None: it does not say."""

    n_frames: int | None
    """Frames behind the header."""
    n_bytes: int | None
    """Bytes from the header's frame to the end of the sound."""
    delay: int | None
    """Samples that the encoder put before the sound; None without LAME's extension."""
    padding: int | None
    """Samples that the encoder put behind it."""


@dataclass(frozen=True)
class MpegStream:
    """All frames of a file."""

    runs: tuple[Run, ...]
    totals: Totals | None
    last_is_cut: bool
    """The last frame reaches beyond the end of the file."""

    @property
    def n_frames(self) -> int:
        """Frames with sound; the header of totals is none."""
        return sum(run.n_frames for run in self.runs) - (self.totals is not None)

    @property
    def n_samples(self) -> int:
        """Samples of the frames with sound, each at its own rate."""
        header = self.runs[0].format.n_samples if self.totals is not None else 0
        return sum(run.n_samples for run in self.runs) - header

    @property
    def is_plain(self) -> bool:
        """One run, so nothing is among the frames and they are alike."""
        return len(self.runs) == 1


def frame_length(head: bytes) -> int | None:
    """The length in bytes of the frame that starts here; None where none does.

    A free-format frame, whose length is not written down, counts as 0.

    Example:
        >>> frame_length(bytes.fromhex("fffb9064")), frame_length(b"RIFF")
        (417, None)
    """
    form = frame_format(head)
    if form is None:
        return None
    rates = (_V1_RATES if form.version == 3 else _V2_RATES)[form.layer - 1]
    rate, padding = 1000 * rates[head[2] >> 4], head[2] >> 1 & 1
    if rate == 0:
        return 0
    if form.layer == 1:
        return 4 * (12 * rate // form.sample_rate + padding)
    return form.n_samples // 8 * rate // form.sample_rate + padding


def frame_format(head: bytes) -> FrameFormat | None:
    """The format of the frame that starts here; None where none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    frequency = head[2] >> 2 & 3
    if version == 1 or layer == 4 or head[2] >> 4 == 15 or frequency == 3:
        return None
    return FrameFormat(version, layer, _SAMPLE_RATES[version][frequency], head[3] >> 6 == 3)


def walk(data: Bytes, start: int) -> MpegStream | None:
    """All frames from `start` on; None where there are none, or of free format only.

    Raises:
        Refusal: there are more gaps among the frames than any song has.
    """
    runs: list[Run] = []
    last_is_cut = False
    for run, over in _runs(data, start):
        runs.append(run)
        last_is_cut = over
        if len(runs) > _MOST_RUNS:
            raise Refusal(
                f"the file has more than {_MOST_RUNS:,} gaps among its MPEG frames; it is damaged "
                "or hostile: fetch or export it again"
            )
    if not runs:
        return None
    # What an ID3 tag of a wrong size leads to may look like a frame or two.
    while len(runs) > 1 and runs[0].n_frames < _IN_A_ROW:
        del runs[0]
    return MpegStream(tuple(runs), totals_at(data, runs[0])[0], last_is_cut)


def totals_at(data: Bytes, run: Run) -> tuple[Totals | None, int]:
    """The header of totals that a run begins with, and where the frames with sound begin."""
    length = frame_length(bytes(data[run.start : run.start + 4])) or 0
    totals = _totals(bytes(data[run.start : run.start + length]), run.format)
    return totals, run.start if totals is None else run.start + length


def find_frames(data: Bytes, start: int, end: int | None = None) -> int | None:
    """Where the first frames in a row begin at or behind `start` (and before `end`)."""
    if _is_row(data, start):
        return start
    stop = len(data) if end is None else min(end, len(data))
    for base in range(start + 1, stop - 3, _SEARCHED_AT_ONCE):
        count = min(_SEARCHED_AT_ONCE + 1, len(data) - base)
        window = np.frombuffer(data, np.uint8, count, base)
        starts = np.flatnonzero((window[:-1] == 0xFF) & (window[1:] >= 0xE2))
        for place in (starts + base).tolist():
            if _is_row(data, place):
                return int(place)
    return None


# --- inside --------------------------------------------------------------------------------------


def _is_row(data: Bytes, at: int) -> bool:
    """Whether some frames of one format follow each other here."""
    form = frame_format(bytes(data[at : at + 4]))
    if form is None:
        return False
    for _ in range(_IN_A_ROW):
        head = bytes(data[at : at + 4])
        length = frame_length(head)
        if not length or frame_format(head) != form:
            return False
        at += length
    return True


def _runs(data: Bytes, start: int) -> Iterator[tuple[Run, bool]]:
    """Run after run, and whether a cut frame follows it."""
    at: int | None = start
    # A file of one or two frames is one as well, if they stand where they should.
    if not frame_length(bytes(data[start : start + 4])):
        at = find_frames(data, start)
    while at is not None:
        form = frame_format(bytes(data[at : at + 4]))
        assert form is not None, "a row of frames starts here"
        end, n_frames = _row(data, at, form)
        over = frame_format(bytes(data[end : end + 4])) == form
        if n_frames:
            yield Run(at, end, n_frames, form), over
        if over:  # The last frame is not all there.
            return
        at = find_frames(data, max(end, at + 1))


def _row(data: Bytes, at: int, form: FrameFormat) -> tuple[int, int]:
    """The end of the row of frames of this format that starts here, and their number.

    A last one that reaches beyond the file is none of them.
    """
    many, one = patterns(form)
    n_frames = 0
    while found := many.match(data, at):
        at, n_frames = found.end(), n_frames + _FRAMES_AT_ONCE
    while found := one.match(data, at):
        at, n_frames = found.end(), n_frames + 1
    return at, n_frames


@lru_cache(maxsize=32)
def patterns(form: FrameFormat) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """What matches some frames of this format in a row, and one of them.

    Walking by a regular expression takes a third of the time of a loop over headers, and reads as
    much. Making one takes a millisecond, so the decoding server makes the usual ones beforehand.
    """
    # Whether a checksum follows the header, and the private bit, make no difference to the length.
    second = 0xE0 | form.version << 3 | (4 - form.layer) << 1
    third = _SAMPLE_RATES[form.version].index(form.sample_rate) << 2
    last = 0xC0 if form.mono else 0x00
    lengths = []
    for rate, padding in product(range(1, 15), (0, 1)):
        bits = rate << 4 | third | padding << 1
        length = frame_length(bytes((0xFF, second | 1, bits, last)))
        assert length, "rate and padding are those of a frame"
        lengths.append(_one_of(bits, bits | 1) + b"[%b].{%d}" % (_MODES[form.mono], length - 4))
    frame = b"\xff" + _one_of(second, second | 1) + b"(?:" + b"|".join(lengths) + b")"
    many = b"(?:%b){%d}+" % (frame, _FRAMES_AT_ONCE)
    return re.compile(many, re.DOTALL), re.compile(frame, re.DOTALL)


_MODES = {True: rb"\xc0-\xff", False: rb"\x00-\xbf"}


def _one_of(*values: int) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % value for value in values) + b"]"


def make_usual_patterns() -> None:
    """Have the patterns of most MP3s ready, so that no file has to wait for them."""
    for rate, mono in product((44_100, 48_000), (False, True)):
        patterns(FrameFormat(3, 3, rate, mono))


def _totals(frame: bytes, form: FrameFormat) -> Totals | None:
    """What the header of totals in this frame says; None where it is a frame like any other."""
    if form.layer != 3:
        return None
    side = ((17 if form.mono else 32) if form.version == 3 else (9 if form.mono else 17)) + 4
    at = next((at for at in (side, side + 2) if frame[at : at + 4] in (b"Xing", b"Info")), None)
    if at is None or len(frame) < at + 8:
        return None
    flags = frame[at + 7]
    at += 8
    n_frames = n_bytes = None
    if flags & 1:
        n_frames, at = int.from_bytes(frame[at : at + 4], "big"), at + 4
    if flags & 2:
        n_bytes, at = int.from_bytes(frame[at : at + 4], "big"), at + 4
    at += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    delay = padding = None
    if frame[at : at + 4] in (b"LAME", b"Lavf", b"Lavc") and len(frame) >= at + 24:
        both = int.from_bytes(frame[at + 21 : at + 24], "big")
        delay, padding = both >> 12, both & 0xFFF
    return Totals(n_frames, n_bytes, delay, padding)

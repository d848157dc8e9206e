"""From a container to an open source: which decoder is to be trusted with which bytes.

libsndfile is fast and exact where a file is what it says. Where the layout shows that it would not
hear all of it (a length that the frames contradict, a second stream behind the first), it is given
an excerpt that it does understand, or FFmpeg takes over; what was odd is noted.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import soxr

from hitcore.audio import chunks, mpegframes, oggpages
from hitcore.audio.codecs import Mixer, Samples, SoundfileSource, Source
from hitcore.audio.containers import Container, after_id3
from hitcore.audio.excerpts import Excerpt
from hitcore.audio.ffmpegcodecs import FfmpegSource
from hitcore.audio.mpegframes import DECODER_DELAY, MpegStream, Run
from hitcore.audio.refusals import Bytes, NotRead, Refusal

Opener = Callable[[], Source]

_MP3 = Container("MP3", "mpeg", "mp3")
# Bytes behind the last frame: an ID3v1 tag, and the frame that is not all there.
_MOST_BEHIND = 2048


def open_source(container: Container, data: Bytes, file: int) -> Source:
    """The decoder that belongs to a file.

    Args:
        container: what `sniff` found.
        data: the content of the file.
        file: its descriptor.

    Raises:
        Refusal: nothing in it can be decoded.
    """
    match container.reader:
        case "mpeg":
            return _open_mpeg(container, data, file)
        case "ogg":
            return _open_ogg(container, data, file)
        case "wav":
            return _open_wav(container, data, file)
        case "ffmpeg":
            return FfmpegSource(file, container)
    mended = chunks.mended_au(data) if container.name == "AU" else None
    sound = _with_fallback(container, file if mended is None else Excerpt(mended))
    if container.name == "AIFF":
        sound.truncated = chunks.is_cut(data)
    return sound


class ChainedSource:
    """Sources one after the other, as one at the rate of the first.

    Args:
        openers: each opens one; a later one is opened when its turn comes.
        n_frames: their length together, at the rate of the first.
    """

    def __init__(self, openers: Sequence[Opener], n_frames: int) -> None:
        self._openers = openers
        self._first: Source | None = openers[0]()
        self.codec = self._first.codec
        self.sample_rate = self._first.sample_rate
        self.n_channels = self._first.n_channels
        self.n_frames = n_frames
        self.seekable = False
        self.failed = self.truncated = False
        self.notes = list(self._first.notes)
        self.tags = self._first.tags
        self.mixer = Mixer()

    def blocks(self, first: int) -> Iterator[Samples]:
        """Mono blocks from frame `first` on; what cannot be opened is left out and noted."""
        for number, opener in enumerate(self._openers):
            try:
                source = self._first if number == 0 and self._first else opener()
            except Refusal:
                self.failed = True
                self.notes.append(f"part {number + 1} of {len(self._openers)} cannot be decoded")
                continue
            self._first = None
            source.mixer = self.mixer
            for block in self._at_our_rate(source):
                if len(block) > first:
                    yield block[first:]
                first = max(0, first - len(block))
            self.failed |= source.failed

    def _at_our_rate(self, source: Source) -> Iterator[Samples]:
        if source.sample_rate == self.sample_rate:
            yield from source.blocks(0)
            return
        resampler = soxr.ResampleStream(
            source.sample_rate, self.sample_rate, 1, dtype="float32", quality="HQ"
        )
        for block in source.blocks(0):
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


# --- inside --------------------------------------------------------------------------------------


def _with_fallback(container: Container, file: int | Excerpt) -> Source:
    """Through libsndfile, or through FFmpeg where that does not know the codec."""
    try:
        return SoundfileSource(file)
    except Refusal as refusal:
        if not container.demuxer:
            raise
        try:
            return FfmpegSource(file, container)
        except NotRead:
            raise
        except Refusal:
            raise refusal from None


def _open_wav(container: Container, data: Bytes, file: int) -> Source:
    mended = chunks.mended(data)
    sound = _with_fallback(container, file if mended is None else Excerpt(mended))
    if sound.codec.startswith("MPEG"):  # MP3 in a WAV: libsndfile estimates its length as well.
        stream = mpegframes.walk(data, chunks.sound_start(data))
        sound = sound if stream is None else _by_frames(stream, _MP3, data)
        sound.truncated = chunks.is_cut(data)
        return sound
    sound.n_frames = max(sound.n_frames, chunks.claimed_frames(data))
    sound.truncated = chunks.is_cut(data)
    if mended is not None:
        sound.notes.append("the header states no size (a recorder was stopped?): all was heard")
    return sound


# --- MPEG ----------------------------------------------------------------------------------------


def _open_mpeg(container: Container, data: Bytes, file: int) -> Source:
    stream = mpegframes.walk(data, container.start)
    if stream is None:  # Frames of free format say nothing of their length.
        return SoundfileSource(file)
    notes = _mpeg_notes(stream, data)
    sound = None
    if stream.is_plain and stream.runs[0].start == after_id3(data):
        sound = _trusted(stream, data, file)
    if sound is None:
        sound = _by_frames(stream, container, data)
    sound.truncated = _mpeg_is_cut(stream, data)
    sound.notes += notes
    return sound


def _trusted(stream: MpegStream, data: Bytes, file: int) -> Source | None:
    """libsndfile, where its count is that of the frames; None where it would stop early."""
    run = stream.runs[0]
    # Over a picture behind the sound it stumbles, and loses what it was at.
    alone = stream.totals is None and len(data) - run.end > _MOST_BEHIND
    try:
        sound = SoundfileSource(Excerpt([memoryview(data)[: run.end]]) if alone else file)
    except Refusal:
        return None
    if stream.totals is None:
        # Then it estimates; at the end of the frames it stops, if it does not stop before.
        if sound.n_frames < stream.n_samples:
            return None
        sound.n_frames = stream.n_samples
        return sound
    if stream.totals.n_frames != stream.n_frames:
        return None
    cut_off = (stream.totals.delay or 0) + (stream.totals.padding or 0)
    off = sound.n_frames - (stream.n_samples - cut_off)
    return sound if abs(off) <= DECODER_DELAY else None


def _by_frames(stream: MpegStream, container: Container, data: Bytes) -> Source:
    """FFmpeg on the frames alone, each format of them for itself."""
    groups = [list(runs) for _, runs in groupby(stream.runs, lambda run: run.format)]
    parts = [_part(stream, index, group, data) for index, group in enumerate(groups)]

    def opener(pieces: list[memoryview], skip: int, n_frames: int) -> Source:
        return FfmpegSource(Excerpt(pieces), container, skip=skip, n_frames=n_frames)

    openers: list[Opener] = [partial(opener, *part) for part in parts]
    rates = [group[0].format.sample_rate for group in groups]
    whole = sum(
        round((n_frames - min(0, skip)) * rates[0] / rate)
        for (_, skip, n_frames), rate in zip(parts, rates, strict=True)
    )
    sound = openers[0]() if len(openers) == 1 else ChainedSource(openers, whole)
    sound.codec = "MPEG_LAYER_" + "I" * stream.runs[0].format.layer
    return sound


def _part(
    stream: MpegStream, index: int, group: list[Run], data: Bytes
) -> tuple[list[memoryview], int, int]:
    """Runs of one format: their bytes, the samples to skip, and the samples that are left."""
    totals, header_end = mpegframes.totals_at(data, group[0])
    starts = [header_end, *(run.start for run in group[1:])]
    view = memoryview(data)
    pieces = [view[start : run.end] for start, run in zip(starts, group, strict=True)]
    one = group[0].format.n_samples
    n_frames = sum(run.n_frames for run in group) - (totals is not None)
    skip = drop = 0
    if index:  # As players do: the header of a part that was joined on is a frame of silence.
        skip = -one if totals is not None else 0
    elif totals is not None and totals.delay is not None:
        skip = totals.delay + DECODER_DELAY
        # The padding stands where the header's frames end.
        if totals.n_frames == n_frames or len(group) == len(stream.runs):
            drop = min(max(0, (totals.padding or 0) - DECODER_DELAY), one)
    return pieces, skip, max(0, n_frames * one - max(0, skip) - drop)


def _mpeg_is_cut(stream: MpegStream, data: Bytes) -> bool:
    totals = stream.totals
    if totals is None or totals.n_frames is None:
        return stream.last_is_cut
    if totals.n_frames <= stream.n_frames:
        return False
    if totals.n_bytes is None:
        return True
    # Up to one whole frame less is how some encoders count.
    return len(data) + 1500 < stream.runs[0].start + totals.n_bytes


def _mpeg_notes(stream: MpegStream, data: Bytes) -> list[str]:
    notes = []
    start = stream.runs[0].start
    if start != (expected := after_id3(data)):
        n_bytes = start - expected if start > expected else start
        notes.append(f"{n_bytes:,} bytes before the first MPEG frame are no sound and were skipped")
    totals = stream.totals
    if totals is not None and totals.n_frames is not None and totals.n_frames != stream.n_frames:
        notes.append(
            f"the header speaks of {totals.n_frames:,} frames, the file has {stream.n_frames:,}: "
            "those were heard"
        )
    if len({run.format for run in stream.runs}) > 1:
        notes.append("parts of different formats are joined in the file: all were heard")
    elif len(stream.runs) > 1:
        gap = (
            stream.runs[-1].end
            - stream.runs[0].start
            - sum(run.end - run.start for run in stream.runs)
        )
        notes.append(f"{gap:,} bytes among the MPEG frames are no sound and were skipped")
    return notes


# --- Ogg -----------------------------------------------------------------------------------------


def _open_ogg(container: Container, data: Bytes, file: int) -> Source:
    found = oggpages.walk(data)
    first = found.links[0]
    if found.is_plain and first.codec != "FLAC" and not first.lacks_end:
        sound: Source = SoundfileSource(file)
        sound.seekable &= not first.starts_late
    else:
        openers: list[Opener] = [partial(_open_link, container, data, link) for link in found.links]
        if len(openers) == 1:
            sound = openers[0]()
        else:
            rate = first.sample_rate or 1
            lengths = [
                round(link.n_samples * rate / (link.sample_rate or rate)) for link in found.links
            ]
            sound = ChainedSource(openers, sum(lengths))
            sound.notes.append(f"{len(openers)} streams follow each other: all were heard")
    if found.left_out:
        sound.notes.append(f"not heard, because it is not read: {', '.join(found.left_out)}")
    sound.truncated = found.is_cut
    return sound


def _open_link(container: Container, data: Bytes, link: oggpages.Link) -> Source:
    """One stream of an Ogg file by itself."""
    view = memoryview(data)
    if link.codec == "FLAC":
        # Without its pages it is a FLAC file: behind the mapping's own header of nine bytes.
        bodies = [view[body:end] for _, end, body in link.pages]
        sound: Source = SoundfileSource(Excerpt([bodies[0][9:], *bodies[1:]]))
        sound.n_frames = sound.n_frames or link.n_samples
        sound.codec = "FLAC"
    else:
        pages = Excerpt([view[start:end] for start, end, _ in link.pages])
        # libsndfile loses the last page of Opus where the mark of the end is missing.
        broken = link.lacks_end
        sound = FfmpegSource(pages, container) if broken else _with_fallback(container, pages)
    sound.seekable &= not link.starts_late
    return sound

"""Lengths that are true: what is there is heard, whatever a header says, and nothing else."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitcore.audio import DecodedAudio, decode, mpegframes
from tests.audio.making import (
    emptied,
    first_frame,
    id3_of,
    lying,
    mp3,
    muxed,
    ogg_pages,
    stripped,
    with_data_size,
    without_end,
    without_pages,
)
from tests.sounds import encoded, id3, music

RATE = 44_100
FRAME = 1152
SECONDS = 6


def swelling(seconds: float = SECONDS, n_channels: int = 2, rate: int = RATE) -> np.ndarray:
    """Music that begins softly, so that the first frames of a variable bit rate are short."""
    tune = music(seconds, rate, n_channels)
    noise = np.random.default_rng(0).normal(0, 0.1, tune.shape).astype(np.float32)
    return tune + noise * np.linspace(0, 1, len(tune), dtype=np.float32)[:, None] ** 4


SONG = swelling()
VBR = mp3(SONG)
CBR = mp3(SONG, quality=None)
OTHER = mp3(swelling(4))
WAV = encoded("wav", music(3))
OGG = encoded("ogg", SONG)
OPUS = muxed("ogg", "libopus", swelling(rate=48_000), 48_000)
# What an encoder adds that leaves no word of it: its delay, and what fills up the last frame.
ADDED = (SECONDS * RATE + 576 + 936) / RATE - SECONDS

CASES: dict[str, tuple[Callable[[], bytes], float]] = {
    "VBR": (lambda: VBR, SECONDS),
    "VBR without a header": (lambda: stripped(VBR), SECONDS + ADDED),
    "VBR of a pipe": (lambda: emptied(VBR), SECONDS + ADDED),
    "VBR, the header of a shorter file": (lambda: lying(VBR, 50), SECONDS),
    "VBR, the header of a longer file": (lambda: lying(VBR, 5000), SECONDS),
    "VBR, a header beyond all bounds": (lambda: lying(VBR, 2**32 - 1), SECONDS),
    "CBR without a header": (lambda: stripped(CBR), SECONDS + ADDED),
    "CBR without a header, a cover of 1 MB": (
        lambda: id3_of(1_000_000) + stripped(CBR),
        SECONDS + ADDED,
    ),
    "CBR without a header, a cover behind it": (
        lambda: stripped(CBR) + b"APETAGEX" + b"\xff\xd8\xff\xe0 JFIF " * 50_000,
        SECONDS + ADDED,
    ),
    "two joined": (lambda: VBR + OTHER, SECONDS + 4 + ADDED + FRAME / RATE),
    "two joined, tags between": (
        lambda: id3(TIT2="a") + VBR + b"TAG" + bytes(125) + id3_of(200_000) + OTHER,
        SECONDS + 4 + ADDED + FRAME / RATE,
    ),
    "two joined, another rate": (
        lambda: VBR + mp3(swelling(4, rate=48_000), 48_000),
        SECONDS + 4 + ADDED + FRAME / RATE,
    ),
    "two joined, mono and stereo": (
        lambda: VBR + mp3(swelling(4, 1)),
        SECONDS + 4 + ADDED + FRAME / RATE,
    ),
    "zeros before it": (lambda: bytes(5000) + VBR, SECONDS),
    "a tag of a wrong size": (lambda: id3_of(30_000, 20_000) + VBR, SECONDS),
    "a tag that claims too much": (lambda: id3_of(30_000, 50_000) + VBR, SECONDS),
    "a tag that claims 200 MB": (lambda: id3_of(30_000, 200_000_000) + VBR, SECONDS),
    "from the middle of a frame": (lambda: stripped(CBR)[100:], SECONDS + ADDED - FRAME / RATE),
    "chained Vorbis": (lambda: OGG + encoded("ogg", swelling(4)), SECONDS + 4),
    "chained Vorbis, another rate": (
        lambda: OGG + encoded("ogg", swelling(4, rate=22_050), 22_050),
        SECONDS + 4,
    ),
    "chained Opus": (lambda: OPUS + OPUS, 2 * SECONDS),
    "Vorbis, then Opus": (lambda: OGG + OPUS, 2 * SECONDS),
    "chained FLAC": (
        lambda: 2 * muxed("ogg", "flac", SONG, RATE),
        2 * SECONDS,
    ),
    "Opus without an end": (lambda: without_end(OPUS), SECONDS),
    "Vorbis without an end": (lambda: without_end(OGG), SECONDS),
    "Opus that starts late": (lambda: without_pages(OPUS, 2, 4), SECONDS - 2),
    **{
        f"WAV of size {size:#x}": (lambda size=size: with_data_size(WAV, size), 3.0)
        for size in (0, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFFFDB, 0xFFFFFFFF)
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_length_is_that_of_the_sound(case: str) -> None:
    make, seconds = CASES[case]
    info = decode(make()).info
    assert info.duration_s == pytest.approx(seconds, abs=FRAME / RATE)
    assert info.flags == (), "nothing is called cut that is whole"


@pytest.mark.parametrize("case", CASES)
def test_a_passage_is_the_crop_of_the_whole(case: str) -> None:
    data = CASES[case][0]()
    whole = decode(data, 22_050)
    for passage in ("middle", (1.2, 2.9)):
        part = decode(data, 22_050, segment=passage, length_s=1.0)
        assert part.info == whole.info
        _is_crop(part, whole)


def _is_crop(part: DecodedAudio, whole: DecodedAudio, tolerance: float = 1e-6) -> None:
    end = part.start_s + part.waveform.duration_s
    expected = whole.waveform.crop(part.start_s, end).samples
    np.testing.assert_allclose(part.waveform.samples, expected, atol=tolerance)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="compares with the ffmpeg command")
@pytest.mark.parametrize("case", CASES)
def test_as_long_as_ffmpeg_decodes(case: str, tmp_path: Path) -> None:
    if case in ("a tag that claims too much", "a tag that claims 200 MB"):
        pytest.skip("ffmpeg believes the size of the tag")
    if case in ("zeros before it", "a tag of a wrong size"):
        pytest.skip("behind junk ffmpeg sees no header, and leaves delay and padding on")
    if case == "Vorbis, then Opus":
        pytest.skip("ffmpeg does not change the codec within a stream")
    (tmp_path / "song").write_bytes(CASES[case][0]())
    command = ["ffmpeg", "-v", "quiet", "-i", tmp_path / "song", "-map", "a:0", "-ac", "1"]
    raw = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True).stdout
    info = decode((tmp_path / "song").read_bytes()).info
    assert abs(info.duration_s * info.sample_rate - len(raw) / 4) <= FRAME


def test_the_sound_of_a_header_that_lies_is_that_of_one_that_does_not() -> None:
    """Delay and padding are cut off where they are said, whoever counts the frames."""
    honest = decode(VBR).waveform.samples
    for n_frames in (50, 5000):
        lied = decode(lying(VBR, n_frames)).waveform.samples
        np.testing.assert_allclose(lied, honest, atol=1e-4)
    late = decode(stripped(VBR)).waveform.samples
    np.testing.assert_allclose(late[576 + 529 :][: len(honest) - 2000], honest[:-2000], atol=1e-4)


NOTES = {
    "VBR, the header of a shorter file": "the header speaks of 50 frames, the file has",
    "zeros before it": "5,000 bytes before the first MPEG frame",
    "a tag that claims too much": "bytes before the first MPEG frame",
    "two joined, another rate": "parts of different formats are joined",
    "two joined, tags between": "bytes among the MPEG frames are no sound",
    "chained Opus": "2 streams follow each other: all were heard",
    "WAV of size 0x0": "the header states no size",
}


def test_what_was_odd_is_said() -> None:
    for case, fragment in NOTES.items():
        found = decode(CASES[case][0]()).info.notes
        assert any(fragment in note for note in found), (case, found)
    assert decode(VBR).info.notes == decode(OGG).info.notes == decode(WAV).info.notes == ()


def test_the_middle_of_a_song_with_a_large_cover_is_its_middle() -> None:
    song = mp3(swelling(20), quality=None)
    data = id3_of(1_000_000) + stripped(song)
    assert decode(data, segment="middle", length_s=10).start_s == pytest.approx(5.02, abs=0.02)


def part_damaged() -> bytes:
    """Three Ogg files in a row, of which the second cannot be decoded."""
    broken = ogg_pages(encoded("ogg", swelling(2)))
    chained = OGG + broken[0] + broken[1][:60] + bytes(len(broken[1]) - 60) + b"".join(broken[2:])
    return chained + encoded("ogg", swelling(4))


def test_a_part_that_cannot_be_decoded_is_said_and_the_rest_heard() -> None:
    info = decode(part_damaged()).info
    assert info.truncated
    assert any("part 2 of 3 cannot be decoded" in note for note in info.notes)
    assert info.duration_s == pytest.approx(SECONDS + 4)


def test_of_a_chain_whose_first_file_was_cut_both_are_heard() -> None:
    data = OPUS[: len(OPUS) // 2]
    alone = decode(data).info.duration_s
    info = decode(data + OPUS).info
    assert info.truncated
    assert info.duration_s == pytest.approx(alone + SECONDS, abs=0.02)


def test_an_au_file_of_size_zero_is_heard() -> None:
    song = muxed("au", "pcm_s16be", music(1), RATE)
    assert decode(song[:8] + bytes(4) + song[12:]).info.duration_s == 1.0


def test_an_empty_wav_is_empty_and_chunks_are_no_sound() -> None:
    empty = encoded("wav", music(1)[:0])
    with pytest.raises(Exception, match="holds no samples"):
        decode(empty + b"LIST" + (8).to_bytes(4, "little") + b"INFOICMT")
    assert decode(with_data_size(WAV, len(WAV) + 1000)).info.truncated


# --- channels ------------------------------------------------------------------------------------


def opposed(kind: str) -> bytes:
    """Stereo whose right channel is the left one turned over."""
    left = music(3)[:, :1]
    return encoded(kind, np.hstack([left, -left]))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_channels_that_cancel_each_other_out_are_not_silent(kind: str) -> None:
    left = music(3)[:, :1]
    decoded = decode(opposed(kind), 22_050)
    assert decoded.info.flags == ("one channel",)
    assert any("cancel each other out" in note for note in decoded.info.notes)
    alone = decode(encoded(kind, left), 22_050).waveform.samples
    got = decoded.waveform.samples
    n = min(len(got), len(alone))
    assert np.corrcoef(got[:n], alone[:n])[0, 1] > 0.98
    part = decode(opposed(kind), 22_050, segment=(1.0, 2.0))
    _is_crop(part, decoded)


def test_wide_stereo_is_mixed_as_ever() -> None:
    left, noise = music(2)[:, 0], np.random.default_rng(1).normal(0, 0.1, 2 * RATE)
    right = (0.1 * noise - left).astype(np.float32)
    samples = np.stack([left, right], axis=1)
    decoded = decode(encoded("wav_float", samples))
    assert decoded.info.flags == ()
    np.testing.assert_allclose(decoded.waveform.samples, samples.mean(axis=1), atol=1e-6)


# --- by chance -----------------------------------------------------------------------------------

DAMAGE = {
    "stripped": lambda data, n: stripped(data),
    "emptied": lambda data, n: emptied(data),
    "lying": lying,
    "joined": lambda data, n: data + stripped(OTHER),
    "zeros": lambda data, n: bytes(n % 9000) + stripped(data),
    "cover": lambda data, n: id3_of(20 + n % 90_000) + stripped(data),
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    damage=st.sampled_from(sorted(DAMAGE)),
    quality=st.sampled_from([0, 4, 9, None]),
    rate=st.sampled_from([44_100, 48_000, 22_050, 16_000]),
    n_channels=st.sampled_from([1, 2]),
    n_samples=st.integers(20_000, 90_000),
    number=st.integers(0, 2**32 - 1),
    place=st.floats(0, 1),
)
def test_whatever_the_header_the_length_is_that_of_the_frames(
    damage: str,
    quality: int | None,
    rate: int,
    n_channels: int,
    n_samples: int,
    number: int,
    place: float,
) -> None:
    honest = mp3(swelling(n_samples / rate, n_channels, rate), rate, quality)
    data = DAMAGE[damage](honest, number)
    whole = decode(data, 16_000)
    stream = mpegframes.walk(honest[first_frame(honest)[0] :], 0)
    one = stream.runs[0].format.n_samples
    expected = n_samples / rate
    if damage == "joined":
        expected += 4
    if damage != "lying":  # Nothing says what the encoder added.
        expected += (stream.totals.delay + stream.totals.padding) / rate
    # The second of two joined files has what its own encoder added.
    slack = one / rate + (2 * FRAME / RATE if damage == "joined" else 0)
    assert whole.info.duration_s == pytest.approx(expected, abs=slack + 1 / rate)
    start = place * whole.info.duration_s * 0.8
    part = decode(data, 16_000, segment=(start, start + 0.5))
    assert part.info == whole.info
    _is_crop(part, whole)


def test_what_looks_like_a_frame_before_the_first_is_none() -> None:
    """Such as two bytes of a picture that the wrong size of a tag leads to."""
    other = mp3(swelling(1, 1, 22_050), 22_050)
    start, end = first_frame(other)
    stream = mpegframes.walk(other[start:end] + VBR, 0)
    assert stream is not None
    assert [run.start for run in stream.runs] == [end - start]
    assert stream.totals == mpegframes.walk(VBR, 0).totals


@given(st.binary(max_size=3000), st.integers(0, 3000))
@settings(deadline=None, derandomize=True)
def test_any_bytes_can_be_walked(data: bytes, start: int) -> None:
    stream = mpegframes.walk(data, min(start, len(data)))
    if stream is not None:
        for one, other in zip(stream.runs, stream.runs[1:], strict=False):
            assert one.end <= other.start
        assert all(run.start < run.end <= len(data) and run.n_frames for run in stream.runs)

"""What people have beside the usual: every container gives its sound, or is called by its name."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hitcore.audio import decode, is_sound_file, load_audio
from hitcore.errors import AudioError
from tests.audio.making import EXACT, LOSSLESS, MORE_KINDS, muxed, of_kind, ogg_of
from tests.sounds import encoded, id3, music

SECONDS = 4


def mono(samples: np.ndarray) -> np.ndarray:
    return samples.mean(axis=1)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {
        kind: of_kind(kind, music(SECONDS, rate)) for kind, (_, _, rate, _) in MORE_KINDS.items()
    }


@pytest.mark.parametrize("kind", MORE_KINDS)
def test_every_kind_gives_back_what_went_in(kind: str, files: dict[str, bytes]) -> None:
    _, _, rate, named = MORE_KINDS[kind]
    decoded = decode(files[kind])
    info = decoded.info
    assert (info.container, info.codec) == named
    assert (info.sample_rate, info.n_channels, info.flags, info.notes) == (rate, 2, (), ())
    assert info.duration_s == pytest.approx(SECONDS, abs=1e-9 if kind in EXACT else 0.06)
    put_in, got = mono(music(SECONDS, rate)), decoded.waveform.samples
    if kind in LOSSLESS:
        np.testing.assert_allclose(got, put_in, atol=1.1 / 32_768)
        return
    # Encoders put some samples before the sound, or leave the first out.
    n = rate
    lags = range(-2600, 2600)
    best = max(np.corrcoef(got[n + lag : 2 * n + lag], put_in[n : 2 * n])[0, 1] for lag in lags)
    assert best > 0.98


def test_a_last_frame_that_is_short_is_not_shortened_twice() -> None:
    assert decode(of_kind("caf alac", music(6))).info.duration_s == pytest.approx(6, abs=1e-9)


@pytest.mark.parametrize("kind", MORE_KINDS)
def test_a_passage_is_the_crop_of_the_whole(kind: str, files: dict[str, bytes]) -> None:
    whole = decode(files[kind], 22_050)
    # AAC fills up with noise from a generator, which starts anew after a seek.
    tolerance = 0.05 if kind == "mp4" else 1e-6
    for passage in ("middle", (0.0, 1.0), (1.83, 3.01)):
        part = decode(files[kind], 22_050, segment=passage, length_s=1.5)
        assert part.info == whole.info
        end = part.start_s + part.waveform.duration_s
        expected = whole.waveform.crop(part.start_s, end).samples
        np.testing.assert_allclose(part.waveform.samples, expected, atol=tolerance)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="compares with the ffmpeg command")
@pytest.mark.parametrize("kind", MORE_KINDS)
def test_as_long_as_ffmpeg_decodes(kind: str, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "song").write_bytes(files[kind])
    command = ["ffmpeg", "-v", "quiet", "-i", tmp_path / "song", "-map", "a:0", "-ac", "1"]
    raw = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True).stdout
    info = decode(files[kind]).info
    frame = 2048 if info.codec == "WMAV2" else 1536
    assert abs(info.duration_s * info.sample_rate - len(raw) / 4) <= frame


@pytest.mark.parametrize(
    ("format_", "codec"),
    [("mp4", "aac"), ("matroska", "libopus"), ("avi", "libmp3lame"), ("mov", "pcm_s16le")],
)
def test_of_a_video_the_sound_is_heard(format_: str, codec: str) -> None:
    rate = 48_000
    film = muxed(format_, codec, music(SECONDS, rate), rate, video=True, bit_rate=128_000)
    info = decode(film).info
    assert info.duration_s == pytest.approx(SECONDS, abs=0.06)
    assert info.flags == ()


def test_of_an_ogg_video_the_sound_is_heard() -> None:
    """Pages of a picture stand between those of the sound."""
    song = encoded("ogg", music(SECONDS))
    picture = ogg_of(b"\x80theora" + bytes(40))
    decoded = decode(picture + song)
    np.testing.assert_array_equal(decoded.waveform.samples, decode(song).waveform.samples)
    with pytest.raises(AudioError, match="holds Theora video and no sound"):
        decode(picture)


@pytest.mark.parametrize("kind", ["webm", "wavpack", "mka flac", "wma", "caf alac"])
def test_title_and_artist(kind: str) -> None:
    format_, codec, rate, _ = MORE_KINDS[kind]
    tags = {"title": "Liebe auf Zeit", "artist": "Ärzte & Söhne"}
    if kind == "caf alac":
        tags = {"title": "Liebe auf Zeit", "artist": "Soehne"}
    bit_rate = 192_000 if kind == "wma" else None
    info = decode(muxed(format_, codec, music(1, rate), rate, bit_rate=bit_rate, **tags)).info
    assert (info.title, info.artist) == tuple(tags.values())


@pytest.mark.parametrize("kind", ["webm", "mka aac", "wavpack", "wma", "mp2", "ac3"])
def test_a_cut_file_is_decoded_as_far_as_it_goes(kind: str, files: dict[str, bytes]) -> None:
    data = files[kind]
    cut = decode(data[: len(data) // 2])
    assert 1.0 < cut.info.duration_s < 3.0
    if kind not in ("ac3", "mp2"):  # Those are frames and nothing else, and end at any.
        assert cut.info.truncated
    whole = decode(data).waveform.samples
    n = len(cut.waveform.samples) - 8192
    np.testing.assert_allclose(cut.waveform.samples[:n], whole[:n], atol=1e-3)


NOT_READ = {
    "Speex in Ogg": ogg_of(b"Speex   1.2rc1" + bytes(66)),
    "CELT in Ogg": ogg_of(b"CELT    0.11" + bytes(66)),
    r"Monkey's Audio \(APE\)": b"MAC \x96\x0f" + bytes(200),
    "Musepack": b"MPCKSH" + bytes(200),
    r"True Audio \(TTA\)": b"TTA1\1\0\2\0\x10\0" + bytes(200),
    r"DSD \(DSF\)": b"DSD " + bytes(200),
    "AMR, which is telephone speech,": b"#!AMR\n" + bytes(200),
    "RealMedia": b".RMF\0\0\0\x12" + bytes(200),
    "DTS": b"\x7f\xfe\x80\x01" + bytes(200),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_is_called_by_its_name(name: str) -> None:
    with pytest.raises(AudioError, match=f"^{name} is not read; accepted are WAV, ") as caught:
        load_audio(NOT_READ[name])
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("format_", "codec", "name"),
    [
        ("avi", "adpcm_yamaha", "Adpcm_yamaha in AVI"),
        ("wav", "adpcm_swf", "Adpcm_swf in WAV"),
    ],
)
def test_a_codec_that_is_not_read_is_called_by_its_name(format_, codec, name: str) -> None:
    data = muxed(format_, codec, music(1, 44_100), 44_100)
    with pytest.raises(AudioError, match=f"^{name} is not read"):
        load_audio(data)


LOCKED = encoded("m4a", music(1)).replace(b"mp4a", b"drms", 1)


def test_a_purchase_under_lock_is_called_so() -> None:
    with pytest.raises(AudioError, match="locked") as caught:
        load_audio(LOCKED)
    assert "damaged" not in str(caught.value)


NOT_SOUND = {
    "cover.jpg": b"\xff\xd8\xff\xe0 JFIF" + bytes(99),
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99),
    "._song.mp3": b"\0\x05\x16\x07\0\2\0\0Mac OS X" + bytes(99),
    "song.cue": b'FILE "song.wav" WAVE\n',
    "song.lrc": "[00:12.00]Été".encode(),
    "empty.mp3": b"",
}


def test_what_is_no_sound_is_called_by_its_name(tmp_path: Path) -> None:
    for name, content in NOT_SOUND.items():
        (tmp_path / name).write_bytes(content)
        assert not is_sound_file(tmp_path / name), name
    (tmp_path / "song").write_bytes(id3(TIT2="x") + encoded("mp3", music(1)))
    assert is_sound_file(tmp_path / "song")
    with pytest.raises(AudioError, match="an AppleDouble file, which holds what macOS knows"):
        load_audio(tmp_path / "._song.mp3")

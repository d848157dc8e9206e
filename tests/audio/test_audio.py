"""Sound files to samples: every kind, any source, passages, many callers at once."""

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from hitcore.audio import DecodeLimits, Waveform, decode, decoder, encode, isolation, load_audio
from hitcore.errors import AudioError, ParameterError
from tests.sounds import KINDS, LOSSLESS, SEEKABLE, SOUNDFILE_KINDS, encoded, id3, music

RATE = {"opus": 48_000}
SECONDS = 6


def mono(samples: np.ndarray) -> np.ndarray:
    return samples.mean(axis=1)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {
        kind: encoded(kind, music(SECONDS, RATE.get(kind, 44_100)), RATE.get(kind, 44_100))
        for kind in KINDS
    }


# --- decoding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_back_what_went_in(kind: str, files: dict[str, bytes]) -> None:
    rate = RATE.get(kind, 44_100)
    decoded = decode(files[kind])
    put_in = mono(music(SECONDS, rate))
    info = decoded.info
    assert (info.sample_rate, info.n_channels, info.truncated, info.flags) == (rate, 2, False, ())
    assert decoded.waveform.sample_rate == rate
    # Bare AAC carries the encoder's run-up of 1,024 samples; the containers cut it off.
    lead = 1024 if kind == "aac" else 0
    got = decoded.waveform.samples[lead:][: len(put_in)]
    if kind == "aac":
        assert abs(info.duration_s - SECONDS) < 0.1
        put_in = put_in[: len(got)]
    else:
        assert info.duration_s == pytest.approx(SECONDS, abs=1e-9)
    if kind in LOSSLESS:
        np.testing.assert_allclose(got, put_in, atol=1.1 / 32_768)
    else:
        assert np.corrcoef(got, put_in)[0, 1] > 0.98
    assert info.bit_rate == pytest.approx(8 * len(files[kind]) / info.duration_s, abs=1)


@pytest.mark.parametrize("kind", SOUNDFILE_KINDS)
def test_soundfile_itself_gives_the_same(kind: str, files: dict[str, bytes]) -> None:
    theirs, rate = soundfile.read(io.BytesIO(files[kind]), dtype="float32")
    ours = load_audio(files[kind], rate)
    np.testing.assert_allclose(ours.samples, mono(theirs), atol=1e-4)


def test_containers_and_codecs_are_named(files: dict[str, bytes]) -> None:
    named = {kind: (decode(d).info.container, decode(d).info.codec) for kind, d in files.items()}
    assert named == {
        "wav": ("WAV", "PCM_16"),
        "wav24": ("WAV", "PCM_24"),
        "wav_float": ("WAV", "FLOAT"),
        "rf64": ("WAV", "PCM_16"),
        "flac": ("FLAC", "PCM_16"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
        "ogg": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
        "aiff": ("AIFF", "PCM_16"),
        "m4a": ("M4A", "AAC"),
        "alac": ("M4A", "ALAC"),
        "aac": ("AAC", "AAC"),
    }


def test_the_name_is_not_believed(tmp_path: Path, files: dict[str, bytes]) -> None:
    for kind, name in (("flac", "a.mp3"), ("mp3", "b.wav"), ("m4a", "c.ogg"), ("ogg", "d.txt")):
        (tmp_path / name).write_bytes(files[kind])
        assert decode(tmp_path / name).info.container == kind.upper()


def test_every_source_gives_the_same(tmp_path: Path, files: dict[str, bytes]) -> None:
    content = files["ogg"]
    path = tmp_path / "song.ogg"
    path.write_bytes(content)
    expected = load_audio(path).samples
    read_to_the_end = io.BytesIO(content)
    read_to_the_end.read()
    for source in (str(path), content, bytearray(content), io.BytesIO(content), read_to_the_end):
        np.testing.assert_array_equal(load_audio(source).samples, expected)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(load_audio(file).samples, expected)


@pytest.mark.parametrize("kind", ["mp3", "m4a", "wav", "flac"])
def test_title_and_artist(kind: str) -> None:
    tags = {"title": "Liebe auf Zeit", "artist": "Ärzte & Söhne"}
    if kind == "mp3":
        data = id3(TIT2=tags["title"], TPE1=tags["artist"]) + encoded("mp3", music(1))
    else:
        data = encoded(kind, music(1), **tags)
    info = decode(data).info
    assert (info.title, info.artist) == tuple(tags.values())
    assert decode(encoded("wav", music(1))).info.title is None


def test_hostile_tags_become_one_plain_line() -> None:
    data = id3(TIT2="<img onerror=x>\n\x1b[31m\u202e", TPE1="A" * 5000) + encoded("mp3", music(1))
    info = decode(data).info
    assert info.title == "<img onerror=x> [31m"
    assert info.artist == "A" * 300


def test_many_channels_are_averaged() -> None:
    samples = music(1, 8000, 32)
    decoded = decode(encoded("wav_float", samples, 8000))
    assert decoded.info.n_channels == 32
    np.testing.assert_allclose(decoded.waveform.samples, mono(samples), atol=1e-6)


# --- resampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_streaming_equals_resampling_at_once(rate: int, files: dict[str, bytes]) -> None:
    native = decode(files["flac"]).waveform
    ours = load_audio(files["flac"], rate)
    np.testing.assert_array_equal(ours.samples, native.resample(rate).samples)
    assert len(ours.samples) == round(len(native.samples) * rate / native.sample_rate)
    if rate != native.sample_rate:
        theirs = soxr.resample(native.samples, native.sample_rate, rate)
        np.testing.assert_array_equal(ours.samples, theirs)


def test_several_rates_from_one_decoding(files: dict[str, bytes]) -> None:
    decoded = decode(files["mp3"], (22_050, 16_000, 44_100))
    assert list(decoded.waveforms) == [22_050, 16_000, 44_100]
    assert decoded.waveform is decoded.waveforms[22_050]
    for rate, wave in decoded.waveforms.items():
        np.testing.assert_array_equal(wave.samples, load_audio(files["mp3"], rate).samples)


def test_a_tone_keeps_its_pitch_and_level() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(96_000) / 48_000)
    resampled = Waveform(0.5 * tone, 48_000).resample(22_050).samples[2205:-2205]
    expected = 0.5 * np.sin(2 * np.pi * 1000 * (np.arange(len(resampled)) + 2205) / 22_050)
    np.testing.assert_allclose(resampled, expected, atol=1e-4)


# --- passages ------------------------------------------------------------------------------------

PASSAGES = ["middle", (0.0, 1.0), (1.83, 3.51), (5.0, 6.0), (4.5, 99.0), (40.0, 50.0)]


@pytest.mark.parametrize("passage", PASSAGES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_passage_is_the_crop_of_the_whole(kind: str, passage, files: dict[str, bytes]) -> None:
    rates = (22_050, 16_000)
    whole = decode(files[kind], rates)
    part = decode(files[kind], rates, segment=passage, length_s=2.0)
    duration = whole.info.duration_s
    assert part.info == whole.info
    if passage == "middle":
        assert part.start_s == pytest.approx((duration - 2) / 2)
        end = part.start_s + 2.0
    else:
        assert part.start_s == min(passage[0], duration)
        end = min(passage[1], duration)
    for rate in rates:
        expected = whole.waveforms[rate].crop(part.start_s, max(part.start_s, end)).samples
        got = part.waveforms[rate].samples
        assert abs(len(got) - len(expected)) <= 1
        n = min(len(got), len(expected))
        # Opus settles slowly after a seek, and AAC fills up with noise from a generator.
        tolerance = {"opus": 2e-3, "m4a": 0.05}.get(kind, 1e-6)
        np.testing.assert_allclose(got[:n], expected[:n], atol=tolerance)
        if n:
            assert np.corrcoef(got[:n], expected[:n])[0, 1] > 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_a_passage_is_had_by_seeking(kind: str, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "song").write_bytes(files[kind])
    with open(tmp_path / "song", "rb") as song, open(tmp_path / "out", "wb+") as out:
        request = decoder.Request((22_050,), start_s=None, length_s=1.0, max_duration_s=60)
        found = decoder.decode_file(song.fileno(), [out.fileno()], request)
        assert found["whole"] == (kind not in SEEKABLE)
        if kind in SEEKABLE:
            assert found["n_samples"] == [22_050]
        out.seek(0)
        passed = np.frombuffer(out.read(), np.float32)
    assert len(passed) == found["n_samples"][0]


def test_the_middle_of_a_short_song_is_the_song() -> None:
    part = decode(encoded("flac", music(5)), 22_050, segment="middle")
    assert part.start_s == 0.0
    assert part.waveform.duration_s == 5.0


# --- the waveform --------------------------------------------------------------------------------


@given(
    n=st.integers(0, 300),
    start=st.floats(-2, 5, allow_nan=False),
    length=st.floats(0, 5, allow_nan=False),
)
def test_crop_is_exact_and_padded(n: int, start: float, length: float) -> None:
    wave = Waveform(1 + np.arange(n, dtype=np.float32), 100)
    part = wave.crop(start, start + length)
    first = round(start * 100)
    assert len(part.samples) == round((start + length - start) * 100)
    for k, value in enumerate(part.samples):
        assert value == (first + k + 1 if 0 <= first + k < n else 0)


@pytest.mark.parametrize("format_", ["WAV", "FLAC"])
def test_encode_then_load_is_the_same_to_16_bits(format_) -> None:
    wave = Waveform(mono(music(2)), 44_100)
    back = load_audio(encode(wave, format_), 44_100)
    np.testing.assert_allclose(back.samples, wave.samples, atol=1 / 32_768)


def test_encode_clips_what_is_too_loud() -> None:
    back = load_audio(encode(Waveform(np.array([2.0, -2.0, 0.5]), 8000)), 8000).samples
    np.testing.assert_allclose(back, [1, -1, 0.5], atol=1e-4)


def test_samples_are_writable_and_safe_for_torch() -> None:
    import torch

    wave = load_audio(encoded("wav", music(1)))
    assert wave.samples.flags.writeable
    assert torch.from_numpy(wave.samples).shape == (22_050,)


@pytest.mark.parametrize(
    ("call", "error", "fragment"),
    [
        (lambda: Waveform(np.zeros((2, 5)), 100), ParameterError, "average the channels"),
        (lambda: Waveform(np.zeros(5, int), 100), ParameterError, "divide integers"),
        (lambda: Waveform(np.zeros(5), 0), ParameterError, "positive int"),
        (lambda: Waveform(np.array([0.0, np.nan]), 100), AudioError, "NaN or infinite"),
        (lambda: Waveform(np.zeros(5), 100).crop(2, 1), ParameterError, "start must not"),
        (lambda: Waveform(np.zeros(5), 8000).resample(10), ParameterError, "1000 to 768000"),
        (lambda: encode(Waveform(np.zeros(5), 8000), "MP3"), ParameterError, "WAV and FLAC"),
        (lambda: decode(b"x", (8000, 8000)), ParameterError, "different"),
        (lambda: decode(b"x", ()), ParameterError, "1 to 8"),
        (lambda: decode(b"x", 22_050.5), ParameterError, "22050.5"),
        (lambda: decode(b"x", segment="end"), ParameterError, "'end'"),
        (lambda: decode(b"x", segment=(3.0, 3.0)), ParameterError, "start at 0"),
        (lambda: decode(b"x", segment="middle", length_s=0), ParameterError, "start at 0"),
        (lambda: load_audio(io.StringIO("text")), ParameterError, "'rb'"),
        (lambda: load_audio(42), ParameterError, "a path, the bytes"),
        (lambda: DecodeLimits(max_wall_s=0), ParameterError, "max_wall_s is 0"),
    ],
)
def test_misuse_is_told_what_is_allowed(call, error, fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        call()


# --- many callers --------------------------------------------------------------------------------


def test_threads_get_their_own_song(files: dict[str, bytes]) -> None:
    songs = [encoded("flac", music(1 + k / 10)) for k in range(12)]
    with ThreadPoolExecutor(6) as threads:
        lengths = list(threads.map(lambda song: len(load_audio(song, 8000).samples), songs))
    assert lengths == [round(8000 * (1 + k / 10)) for k in range(12)]
    # No more servers than processors, however many threads ask.
    assert len(isolation._pool._idle) <= isolation._PARALLEL


def _servers(song: bytes) -> list[int]:
    _length(song)
    return [server.pid for server in isolation._pool._all]


def _length(song: bytes) -> int:
    return len(load_audio(song, 8000).samples)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            "fork",
            marks=pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
        ),
        "spawn",
    ],
)
def test_worker_processes_can_decode(method: str) -> None:
    song = encoded("flac", music(1))
    assert _length(song) == 8000  # A server is running when the fork happens.
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_length, [song] * 6) == [8000] * 6
        # A server answers one process; a forked one starts its own.
        ours = set(_servers(song))
        assert all(ours.isdisjoint(theirs) for theirs in pool.map(_servers, [song] * 4))
    assert _length(song) == 8000


SCRIPT = """
import json, os, sys
from hitcore.audio import isolation, load_audio
n = [len(load_audio(sys.argv[1], 8000).samples) for _ in range(3)]
(server,) = isolation._pool._all
status = open(f"/proc/{server.pid}/maps").read()
environment = open(f"/proc/{server.pid}/environ").read()
print(json.dumps({
    "n": n, "pid": server.pid, "torch": "torch" in status or "torch" in sys.modules,
    "secret": "SECRET" in environment, "files": len(os.listdir("/proc/self/fd")),
}))
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc, which Linux has")
def test_a_one_line_program_can_decode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(encoded("flac", music(1)))
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "a.flac")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "MY_SECRET": "x"},
    )
    told = json.loads(ran.stdout)
    assert told["n"] == [8000] * 3
    assert not told["torch"], "the decoding process stays light"
    assert not told["secret"], "the decoding process knows no secrets"
    assert told["files"] <= 6, "no descriptor stays open"
    assert ran.stderr == ""
    assert not Path(f"/proc/{told['pid']}").exists(), "the server ends with its process"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc, which Linux has")
def test_a_program_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(encoded("flac", music(1)))
    script = (
        "import os, signal, sys; from hitcore.audio import isolation, load_audio;"
        "load_audio(sys.argv[1]); print(*(s.pid for s in isolation._pool._all), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.flac")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == -signal.SIGKILL
    (server,) = map(int, ran.stdout.split())
    deadline = time.monotonic() + 20
    while is_running(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(server)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_no_descriptors_leak() -> None:
    song = encoded("mp3", music(1))
    load_audio(song)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(10):
        load_audio(song)
        with pytest.raises(AudioError):
            load_audio(song[:40])
    assert len(set(os.listdir("/proc/self/fd"))) <= len(before)

"""Files that are damaged, lying, endless or malicious: an exact word for each, and no harm."""

import io
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hitcore.audio import DecodeLimits, decode, isolation, load_audio
from hitcore.errors import AudioError
from tests.sounds import encoded, flac_claiming, id3, music, resealed, rf64_claiming

ROOT = Path(__file__).resolve().parents[2]
SOUND = music(3)


def patched(data: bytes, marker: bytes, offset: int, value: bytes) -> bytes:
    """The bytes with `value` written `offset` bytes behind the first `marker`."""
    at = data.index(marker) + offset
    return data[:at] + value + data[at + len(value) :]


def with_sample(value: float) -> bytes:
    samples = SOUND.copy()
    samples[4410, 0] = value
    return encoded("wav_float", samples)


def wav(**changes: bytes) -> bytes:
    """A WAV file with some fields of its header overwritten."""
    data = encoded("wav", SOUND)
    fields = {"channels": 10, "rate": 12, "size": 4}
    for name, value in changes.items():
        marker = b"data" if name == "size" else b"fmt "
        data = patched(data, marker, fields[name], value)
    return data


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", r"the file is empty \(0 bytes\); accepted are WAV, FLAC, MP3"),
    "one byte": (lambda: b"\xff", "no known kind of sound file"),
    "text": (lambda: b"La la la\n" * 99, "the content is plain text; accepted are WAV"),
    "utf-8 text": (lambda: "Текст песни, ".encode() * 99, "the content is plain text"),
    "web page": (lambda: b"<!DOCTYPE html><html>", "the content is a web page"),
    "zeros": (lambda: bytes(10_000), "no known kind of sound file"),
    "noise": (lambda: np.random.default_rng(0).bytes(10_000), "no known kind of sound file"),
    "image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
    "archive": (lambda: b"PK\x03\x04" + bytes(99), "a ZIP archive"),
    "program": (lambda: b"\x7fELF" + bytes(99), "a program"),
    "midi": (lambda: b"MThd" + bytes(99), "holds notes and no sound"),
    "video": (lambda: b"\x1aE\xdf\xa3" + bytes(99), "cannot be decoded"),
    "playlist for FFmpeg": (
        lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "the content is plain text",
    ),
    "ID3 tag only": (lambda: id3(TIT2="x"), "an ID3 tag and no sound behind it"),
    "ID3 tag of 256 MB": (lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "an ID3 tag and no sound"),
    "ID3 tag, then text": (lambda: id3(TIT2="x") + b"hello " * 99, "plain text"),
    "MP3 of 60 bytes": (lambda: encoded("mp3", SOUND)[:60], "cannot be decoded"),
    "FLAC of 60 bytes": (lambda: encoded("flac", SOUND)[:60], "cannot be decoded"),
    "OGG of 60 bytes": (lambda: encoded("ogg", SOUND)[:60], "cannot be decoded"),
    "M4A without its index": (lambda: encoded("m4a", SOUND)[:9000], "cannot be decoded"),
    "WAV without samples": (lambda: encoded("wav", SOUND[:0]), "it holds no samples"),
    "WAV of 0 channels": (lambda: wav(channels=b"\0\0"), "cannot be decoded"),
    "WAV at 3 Hz": (lambda: wav(rate=b"\3\0\0\0"), "sample rate of 3 Hz; accepted are 1000 to"),
    "WAV at 2 GHz": (lambda: wav(rate=b"\0\0\0\x7f"), "sample rate of 2130706432 Hz"),
    "NaN": (lambda: with_sample(np.nan), r"sample 4410 \(0.100 s\) is not a finite number"),
    "infinite": (lambda: with_sample(-np.inf), r"sample 4410 \(0.100 s\) is not a finite number"),
    "largest float": (lambda: with_sample(3.4e38), "integers were probably stored as floats"),
    "integers as floats": (lambda: encoded("wav_float", SOUND * 32_767), "stored as floats"),
    "RF64 of 2**63 frames": (
        lambda: rf64_claiming(2**63 - 1, SOUND),
        r"the header promises 2\.09e\+14 s \(damaged or hostile\?\), longer than the 30:00",
    ),
    "FLAC of 2**36 frames": (
        lambda: flac_claiming(2**36 - 1, encoded("flac", SOUND)),
        r"the header promises 1\.56e\+06 s",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_one_clear_line(case: str) -> None:
    make, fragment = REFUSED[case]
    with pytest.raises(AudioError, match=fragment) as caught:
        load_audio(make())
    assert type(caught.value) is AudioError
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "opus", "aiff", "aac"])
def test_a_cut_file_is_decoded_as_far_as_it_goes(kind: str) -> None:
    rate = 48_000 if kind == "opus" else 44_100
    data = encoded(kind, music(6, rate), rate)
    whole = decode(data).waveform.samples
    cut = decode(data[: len(data) // 2])
    assert cut.info.truncated
    assert cut.info.flags == ("truncated",)
    assert 1.5 < cut.info.duration_s < 4.0
    got = cut.waveform.samples[:-4096]
    np.testing.assert_allclose(got, whole[: len(got)], atol=1e-3)
    passage = decode(data[: len(data) // 2], segment="middle", length_s=1.0)
    assert passage.waveform.duration_s == pytest.approx(1.0, abs=1e-3)
    assert passage.start_s == pytest.approx((cut.info.duration_s - 1) / 2)


def test_an_mp3_without_a_header_of_totals_that_is_cut_is_noticed() -> None:
    data = encoded("mp3", music(6))
    frames = data[data.index(b"\xff\xfb", 4) :]  # Behind the first frame, which holds the totals.
    assert not decode(frames).info.truncated
    assert decode(frames[: len(frames) // 2 + 17]).info.truncated
    assert not decode(frames + b"TAG" + bytes(125)).info.truncated


def test_streams_of_unknown_length_are_whole() -> None:
    flac = encoded("flac", SOUND)
    decoded = decode(flac_claiming(0, flac))
    assert decoded.info == decode(flac).info
    endless = wav(size=b"\xff\xff\xff\xff")
    assert decode(endless).info.flags == ()
    assert decode(endless).info.duration_s == 3.0


def test_silence_is_decoded_and_flagged() -> None:
    for kind in ("wav", "flac", "mp3"):
        decoded = decode(encoded(kind, SOUND * 0))
        assert decoded.info.flags == ("silent",)
        assert np.isfinite(decoded.waveform.samples).all()


def test_a_single_sample_is_a_sound() -> None:
    assert decode(encoded("wav", SOUND[:1])).waveform.samples.shape == (1,)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "aiff", "m4a"])
def test_junk_behind_the_sound_does_no_harm(kind: str) -> None:
    data = encoded(kind, SOUND)
    decoded = decode(data + b"\0junk" * 100)
    assert decoded.info.duration_s == pytest.approx(3.0, abs=0.06)


# --- paths ---------------------------------------------------------------------------------------


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    cases = {
        str(tmp_path): "is a folder",
        str(tmp_path / "none.mp3"): "does not exist",
        str(tmp_path / "pipe.wav"): "a pipe or device",
        "/dev/zero": "a pipe or device",
        "a\0b.wav": "null",
        "x" * 5000: "too long",
        "https://example.org/song.mp3": "does not exist",
    }
    for path, fragment in cases.items():
        with pytest.raises(AudioError, match=fragment):
            load_audio(path)


def test_hostile_names_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    data = encoded("flac", SOUND)
    for name in ("../x.wav", "<img onerror=alert(1)>.mp3", "-rf", "a;b|c `d`.ogg", "\u202egpj.wav"):
        Path(name).write_bytes(data)
        assert load_audio(name).duration_s == 3.0
    assert sorted(os.listdir(tmp_path)) == ["inner", "x.wav"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded("wav", SOUND))
    path.chmod(0)
    with pytest.raises(AudioError, match="Permission denied"):
        load_audio(path)


# --- limits --------------------------------------------------------------------------------------


def memory_now() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def sparse_wav(path: Path, seconds: float, rate: int = 48_000) -> Path:
    """Hours of silence that take no room on the disk."""
    size = round(seconds * rate) * 2
    header = bytearray(encoded("wav", SOUND[:1, :1], rate))[:44]
    header[4:8] = (size + 36).to_bytes(4, "little")
    header[40:44] = size.to_bytes(4, "little")
    path.write_bytes(header)
    os.truncate(path, 44 + size)
    return path


@pytest.fixture(scope="module")
def long_silence() -> bytes:
    """Ten hours of silence in FLAC."""
    file = io.BytesIO()
    block = np.zeros(1000 * 600, np.int16)
    with soundfile.SoundFile(file, "w", 1000, 1, "PCM_16", format="FLAC") as sound:
        for _ in range(60):
            sound.write(block)
    return file.getvalue()


def test_ten_hours_of_silence_are_refused_before_they_cost(long_silence: bytes) -> None:
    load_audio(encoded("flac", SOUND))
    before = memory_now()
    with pytest.raises(AudioError, match=r"the file is 10:00:00 long, longer than the 30:00"):
        load_audio(long_silence)
    assert memory_now() - before < 20e6


def test_a_header_that_hides_ten_hours_is_found_out(long_silence: bytes) -> None:
    before = memory_now()
    with pytest.raises(AudioError, match="the file goes on beyond the 0:50 that are accepted"):
        load_audio(flac_claiming(0, long_silence), limits=DecodeLimits(max_duration_s=50))
    assert memory_now() - before < 20e6


def test_a_twenty_minute_song_is_fine_and_a_two_hour_mix_is_told_why(tmp_path: Path) -> None:
    song = sparse_wav(tmp_path / "song.wav", 1200, 8000)
    assert load_audio(song, 8000).duration_s == 1200
    mix = sparse_wav(tmp_path / "mix.wav", 7200, 8000)
    with pytest.raises(AudioError, match=r"2:00:00 long.*a mix or an album.*max_duration_s"):
        load_audio(mix)
    assert load_audio(mix, 1000, limits=DecodeLimits(max_duration_s=8000)).duration_s == 7200


def test_the_childs_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    song = sparse_wav(tmp_path / "song.wav", 1800)
    frugal = DecodeLimits(max_memory_bytes=16 * 2**20)
    assert decode(song, 1000, limits=frugal).info.duration_s == 1800


def test_more_memory_than_allowed_is_refused() -> None:
    data = encoded("flac", SOUND)
    with pytest.raises(AudioError, match="decoding needs more than the 0 MB that are allowed"):
        decode(data, limits=DecodeLimits(max_memory_bytes=1))
    assert decode(data).info.duration_s == 3.0


def test_a_file_too_large_is_refused() -> None:
    limits = DecodeLimits(max_file_bytes=100_000)
    data = encoded("wav", SOUND)
    for source in (data, io.BytesIO(data)):
        with pytest.raises(AudioError, match=re.escape("at most 0 MB are accepted")):
            load_audio(source, limits=limits)


def test_too_slow_is_stopped(tmp_path: Path) -> None:
    song = sparse_wav(tmp_path / "song.wav", 1800)
    with pytest.raises(AudioError, match=r"longer than the 0.2 s that are allowed"):
        decode(song, (44_100, 22_050, 16_000), limits=DecodeLimits(max_wall_s=0.2))
    assert load_audio(encoded("wav", SOUND)).duration_s == 3.0


# --- faults --------------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    """Children of a process."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def while_decoding(action: Callable[[int, int], None], path: Path, limits: DecodeLimits) -> object:
    """The outcome of a decoding during which `action` is done to its server and child."""
    outcome: list[object] = []

    def work() -> None:
        try:
            outcome.append(decode(path, (44_100, 22_050, 16_000), limits=limits).info.duration_s)
        except AudioError as error:
            outcome.append(error)

    # One server alone, so that it is known which one works.
    isolation._pool.close()
    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        # While a server starts, its children try the sandbox.
        ready = [s for s in list(isolation._pool._all) if s.known_walls is not None]
        busy = [(s.pid, child) for s in ready for child in descendants(s.pid)]
        if busy:
            action(*busy[0])
            break
        time.sleep(0.002)
    thread.join(60)
    assert not thread.is_alive()
    return outcome[0]


@pytest.mark.parametrize(
    ("signal_", "fragment"),
    [
        (signal.SIGSEGV, r"crashed on this file \(SIGSEGV\)"),
        (signal.SIGABRT, r"crashed on this file \(SIGABRT\)"),
        (signal.SIGKILL, r"crashed on this file \(SIGKILL\)"),
        (signal.SIGSTOP, "longer than the 3 s that are allowed"),
    ],
)
def test_a_decoder_that_crashes_or_hangs(signal_: int, fragment: str, tmp_path: Path) -> None:
    path = sparse_wav(tmp_path / "song.wav", 1800)
    outcome = while_decoding(
        lambda _, child: os.kill(child, signal_), path, DecodeLimits(max_wall_s=3)
    )
    if outcome == 1800.0:
        pytest.fail("the child was through before the signal came")
    assert re.search(fragment, str(outcome))
    assert load_audio(encoded("wav", SOUND)).duration_s == 3.0


def test_a_server_that_dies_is_replaced_and_the_song_still_decoded(tmp_path: Path) -> None:
    path = sparse_wav(tmp_path / "song.wav", 300)
    outcome = while_decoding(
        lambda server, _: os.kill(server, signal.SIGKILL), path, DecodeLimits()
    )
    assert outcome == 300.0


def test_a_file_that_really_crashes_its_decoder_is_only_an_error() -> None:
    """Found by fuzzing: libsndfile 1.2.2 dies of a seek in this Ogg file."""
    data = bytearray(encoded("ogg", music(1.5, 22_050), 22_050))
    data[277:285] = b"\xff" * 7 + b"\x7f"
    for _ in range(3):
        with pytest.raises(AudioError, match=r"crashed on this file \(SIGSEGV\)|cannot be decoded"):
            decode(resealed(bytes(data)), 22_050, segment="middle", length_s=0.5)
    assert load_audio(encoded("wav", SOUND)).duration_s == 3.0


def test_an_idle_server_that_died_is_replaced() -> None:
    load_audio(encoded("wav", SOUND))
    for server in list(isolation._pool._idle):
        os.kill(server.pid, signal.SIGKILL)
    assert load_audio(encoded("wav", SOUND)).duration_s == 3.0


def test_what_a_file_does_to_the_decoder_ends_with_it(tmp_path: Path) -> None:
    """Each file has a fork of its own; the server that makes them stays the same."""
    isolation._pool.close()
    seen = set()
    for _ in range(3):
        load_audio(encoded("wav", SOUND))
        (server,) = isolation._pool._idle
        seen.add(server.pid)
        assert descendants(server.pid) == []
    assert len(seen) == 1


# --- many at random ------------------------------------------------------------------------------


def test_mutated_files_of_every_kind_do_no_harm() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/fuzz_audio.py"), "--count", "200", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout

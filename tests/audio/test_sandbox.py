"""What a decoder that was taken over can do: spoil its own song, and nothing else."""

import ctypes
import json
import logging
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from hitcore.analysis import analyse, as_text
from hitcore.audio import decode, isolation, load_audio, walls
from hitcore.audio.isolation import landlock, policy, seccomp
from hitcore.audio.isolation.sandbox import Walls
from hitcore.commands import doctor
from hitcore.errors import AudioError, ParameterError
from tests.audio import takenover
from tests.audio.making import MORE_KINDS, muxed, of_kind, ogg_of
from tests.sounds import KINDS, encoded, music

ROOT = Path(__file__).resolve().parents[2]
STOPPED = (
    "the decoder tried what no decoder may (open a file, reach the network, start a program, …) "
    "and its sandbox stopped it; nothing was harmed; the file is probably hostile: convert it to "
    "WAV or FLAC with a program you trust"
)
TOLD_APART = ("ask by a descriptor", "open by a plain call", "abort", "list its descriptors")
TOLD_APART += ("warn", "load a module")
FORBIDDEN = [name for name in takenover.ACTS if name not in TOLD_APART]
NOT_BY_THE_FILTER = {
    *("connect", "connect a descriptor", "run a program", "read another descriptor"),
    *("trace the server", "read the server's memory"),
}
SONG = encoded("flac", music(1))
PRCTL = {"x86_64": 157, "aarch64": 167, "riscv64": 167}.get(platform.machine())


def _filter_can_be() -> bool:
    """Whether libseccomp is there and the kernel has filters, asked without our sandbox."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    return Path("/proc/sys/kernel/seccomp/actions_avail").exists()


def _landlock_can_be() -> bool:
    return sys.platform == "linux" and ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


filtered = pytest.mark.skipif(not _filter_can_be(), reason="no libseccomp, or no kernel of Linux")
landlocked = pytest.mark.skipif(not _landlock_can_be(), reason="this kernel has no Landlock")


@pytest.fixture
def fresh() -> Iterator[None]:
    """New servers for this test, and for those after it."""
    isolation._pool.close()
    isolation._told.clear()
    yield
    isolation._pool.close()
    isolation._told.clear()


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    """Servers whose decoders do what a file says."""
    start = isolation._START.replace(
        "hitcore.audio.isolation import server", "tests.audio import takenover as server"
    )
    assert start != isolation._START
    monkeypatch.setattr(isolation, "_START", start)


def act_of(name: str, folder: Path) -> bytes:
    """A file that takes its decoder over to do this, in this folder."""
    return takenover.MARK + f"{name}{takenover.AT}{folder}".encode()


def told(file: bytes) -> str:
    """What the person is told who brought a file that is refused."""
    with pytest.raises(AudioError) as caught:
        load_audio(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is stopped -----------------------------------------------------------------------------


@filtered
def test_every_forbidden_act_is_stopped_and_the_next_song_is_decoded(
    taken_over: None, tmp_path: Path
) -> None:
    (tmp_path / "old").touch()
    assert load_audio(SONG).duration_s == 1.0
    (server,) = isolation._pool._idle
    for name in FORBIDDEN:
        assert told(act_of(name, tmp_path)) == STOPPED, name
        assert load_audio(SONG).duration_s == 1.0, name
    assert isolation._pool._idle == [server], "the server lives on"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_each_of_them_goes_unstopped_without_the_sandbox(
    taken_over: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acts are real: nothing but the filter stops them."""
    monkeypatch.setenv("HITCORE_SANDBOX", "off")
    lines = {}
    for name in FORBIDDEN:
        (tmp_path / "old").touch()
        lines[name] = told(act_of(name, tmp_path))
    assert STOPPED not in lines.values()
    kept = {name for name, line in lines.items() if takenover.WENT_THROUGH not in line}
    # Nobody listens, no such descriptor is left, the act ends the decoder, or takes rights.
    assert kept <= NOT_BY_THE_FILTER
    assert (tmp_path / "new").exists()


@filtered
def test_a_plain_open_finds_nothing_and_abort_is_a_crash(taken_over: None, tmp_path: Path) -> None:
    """libsndfile looks for resource forks beside an MP3; a decoder that finds a bug aborts."""
    line = told(act_of("open by a plain call", tmp_path))
    assert "open by a plain call: FileNotFoundError" in line
    assert "the decoder crashed on this file (SIG" in told(act_of("abort", tmp_path))
    assert load_audio(SONG).duration_s == 1.0


@filtered
def test_what_python_does_by_itself_is_kept_from_opening_files(
    taken_over: None, tmp_path: Path
) -> None:
    """A warning would show its line of source, a module would be looked for: neither ends it."""
    assert takenover.WENT_THROUGH in told(act_of("warn", tmp_path))
    assert "ModuleNotFoundError: No module named 'xml" in told(act_of("load a module", tmp_path))


def test_a_decoder_keeps_its_own_descriptors_alone(
    taken_over: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_SANDBOX", "off")
    line = told(act_of("list its descriptors", tmp_path))
    numbers = set(json.loads(line[line.index("[") :]))
    first, second = policy.OUTPUTS[:2]
    # The mapping of the file keeps one of its own, and listing takes one.
    assert {0, 1, 2, policy.SOURCE, first, second} <= numbers <= {*range(6), first, second}


EVERY_CALL = """
import ctypes, json, os, platform, resource, sys
from hitcore.audio.isolation import policy, seccomp

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
library, libc = ctypes.CDLL(seccomp.LIBRARY), ctypes.CDLL(None)
name_of = library.seccomp_syscall_resolve_num_arch
name_of.restype = ctypes.c_char_p
filter_ = seccomp.Filter(policy.rules(platform.libc_ver()))
alive = []
foreign = [0x40000000 | number for number in (0, 39, 59)]  # Of x32, where that is known.
for number in [*range(470), *(foreign if platform.machine() == "x86_64" else [])]:
    name = name_of(0, number) or b"foreign"
    if number < 470 and name == b"foreign":
        continue
    child = os.fork()
    if child == 0:
        filter_.load()
        libc.syscall(*map(ctypes.c_long, (number, 0, 0, 0, 0, 0, 0)))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == 31):
        alive.append(name.decode())
print(json.dumps(alive))
"""


@filtered
def test_of_all_calls_that_the_kernel_has_only_these_do_not_end_it() -> None:
    """Each with zeros for arguments: those that name a descriptor or a flag are ended by that."""
    ran = subprocess.run(
        [sys.executable, "-c", EVERY_CALL], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert set(json.loads(ran.stdout)) <= {
        *("close", "munmap", "mprotect", "mremap", "brk", "madvise", "futex", "sched_yield"),
        *("clock_gettime", "clock_getres", "gettimeofday", "time"),
        *("getrandom", "getpid", "gettid", "sysinfo"),
        *("rt_sigprocmask", "rt_sigreturn", "restart_syscall", "exit", "exit_group"),
        *("open", "openat"),  # Answered: there is no such file.
    }


# --- what still works ----------------------------------------------------------------------------


@filtered
def test_all_real_formats_decode_behind_the_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITCORE_SANDBOX", "require")
    files = {kind: encoded(kind, music(0.5, 48_000), 48_000) for kind in KINDS}
    files |= {kind: of_kind(kind, music(0.5, rate)) for kind, (_, _, rate, _) in MORE_KINDS.items()}
    files["MP3 with nothing before its frames"] = files["mp3"][files["mp3"].index(b"\xff\xfb") :]
    files["WAV without a size"] = files["wav"][:40] + bytes(4) + files["wav"][44:]
    # Each link is read as an excerpt, for which libsndfile calls Python.
    files["a hundred links"] = 100 * of_kind("ogg flac", music(0.1))
    files["beside a picture"] = ogg_of(b"\x80theora" + bytes(40)) + files["ogg"]
    for station in ("\x01", "\x05", "\x0b", "\x11", "\x12", "\x13", "\x14", "\x15", ""):
        files[f"station {station!r}"] = muxed(
            "mpegts", "aac", music(0.5), 44_100, service_name=f"{station}abc"
        )
    for name, content in files.items():
        decoded = decode(content, 22_050)
        assert decoded.info.duration_s > 0.09, name
        assert not decoded.unprotected, name


@filtered
@pytest.mark.parametrize(
    "encoding", [(0, "latin-1"), (1, "utf-16"), (2, "utf-16-be"), (3, "utf-8")]
)
def test_tags_of_every_encoding_are_read_behind_the_walls(encoding: tuple[int, str]) -> None:
    number, name = encoding
    tag = bytes([number]) + "Ärzte".encode(name)
    frame = b"TPE1" + len(tag).to_bytes(4, "big") + b"\0\0" + tag
    head = b"ID3\x03\0\0\0\0\0" + bytes([len(frame)])
    assert decode(head + frame + encoded("mp3", music(0.5))).info.artist == "Ärzte"


# --- systems that lack a wall --------------------------------------------------------------------

# A program of the kernel's filter that answers Landlock's first call: there is no such call.
WITHOUT_LANDLOCK = """
import ctypes, struct
rows = (0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50000 | 38), (6, 0, 0, 0x7FFF0000)
code = b"".join(struct.pack("HBBI", *row) for row in rows)
class Program(ctypes.Structure):
    _fields_ = (("n", ctypes.c_ushort), ("rows", ctypes.c_char_p))
prctl = ctypes.CDLL(None).prctl
assert not prctl(38, 1, 0, 0, 0) and not prctl(22, 2, ctypes.byref(Program(len(rows), code)))
"""
# The same, that answers the call which loads a filter: not allowed.
WITHOUT_FILTERS = WITHOUT_LANDLOCK.replace(
    "(0x15, 0, 1, 444), (6, 0, 0, 0x50000 | 38)",
    f"(0x15, 0, 3, {PRCTL}), (0x20, 0, 0, 16), (0x15, 0, 1, 22), (6, 0, 0, 0x50000 | 1)",
)


@pytest.fixture
def without_libseccomp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fresh: None) -> None:
    """Decoders find a file in the library's place that is none."""
    (tmp_path / seccomp.LIBRARY).write_text("no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))


@pytest.fixture
def without_landlock(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    """Decoders run on a kernel that knows no Landlock."""
    monkeypatch.setattr(isolation, "_START", WITHOUT_LANDLOCK + isolation._START)


@filtered
def test_without_either_it_decodes_and_says_so_everywhere(
    without_libseccomp: None, without_landlock: None, caplog: pytest.LogCaptureFixture
) -> None:
    sentence = (
        "decoders run without a sandbox (libseccomp is not installed; this system has no Landlock)"
    )
    with caplog.at_level(logging.WARNING):
        report = analyse(SONG, models=[], highlight=(0.0, 1.0))
        load_audio(SONG)
    assert [record.message for record in caplog.records] == [sentence], "told once"
    assert sentence in report.notes
    assert f"note       {sentence}" in as_text([report])
    page = AppTest.from_file(str(ROOT / "pages/models.py"), default_timeout=120).run()
    (caption,) = [each.value for each in page.caption if "sandbox" in each.value]
    assert sentence.split(" (")[0] in caption
    assert "libseccomp2" in caption
    (found,) = (doctor._decoder(),)
    assert found.ok
    assert sentence in found.state
    assert "apt-get install libseccomp2" in found.advice


def test_require_refuses_where_there_is_no_filter(
    without_libseccomp: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITCORE_SANDBOX", "require")
    line = told(SONG)
    assert line.startswith("decoders run ")
    assert "libseccomp is not installed" in line
    assert "HITCORE_SANDBOX=require refuses that: install libseccomp" in line
    monkeypatch.delenv("HITCORE_SANDBOX")
    assert load_audio(SONG).duration_s == 1.0


@landlocked
def test_landlock_alone_is_half_a_sandbox(
    without_libseccomp: None, taken_over: None, tmp_path: Path
) -> None:
    assert walls() == Walls(False, landlock.version(), "libseccomp is not installed")
    assert decode(SONG).unprotected.startswith("decoders run in half a sandbox: Landlock (version ")
    for name in ("read a file", "write a file", "list a folder", "open by a plain call"):
        assert f"{name}: PermissionError" in told(act_of(name, tmp_path))
    assert takenover.WENT_THROUGH in told(act_of("fork", tmp_path))
    if landlock.version() >= 6:
        assert "signal the server: PermissionError" in told(act_of("signal the server", tmp_path))


@filtered
def test_the_filter_alone_is_a_sandbox(without_landlock: None, caplog) -> None:
    with caplog.at_level(logging.INFO, isolation.__name__):
        assert decode(SONG).unprotected == ""
    assert walls() == Walls(True, 0, "", "this system has no Landlock")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "without Landlock (this system has no Landlock)" in caplog.text


@filtered
@pytest.mark.skipif(PRCTL is None, reason="the number of prctl is not known here")
def test_a_kernel_that_takes_no_filter_is_found_out(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_START", WITHOUT_FILTERS + isolation._START)
    assert walls().why_no_seccomp == "the kernel does not take the filter, or does not keep to it"
    assert load_audio(SONG).duration_s == 1.0


@filtered
def test_a_filter_that_stops_sound_decoders_is_not_used(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system of which the list of calls lacks one: decoding goes on, and it is said."""
    lacks = "from hitcore.audio.isolation import policy; rules = policy.rules; policy.rules = "
    lacks += "lambda libc: [rule for rule in rules(libc) if rule.name != 'lseek']; "
    monkeypatch.setattr(
        isolation, "_START", isolation._START.replace("server.serve", lacks + "server.serve")
    )
    assert walls().why_no_seccomp == "the filter stops sound decoders on this system"
    assert load_audio(SONG).duration_s == 1.0


def test_off_and_words_that_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITCORE_SANDBOX", "off")
    assert decode(SONG).unprotected == "decoders run without a sandbox (HITCORE_SANDBOX=off)"
    monkeypatch.setenv("HITCORE_SANDBOX", "yes")
    with pytest.raises(ParameterError, match="HITCORE_SANDBOX is 'yes'; allowed are 'require'"):
        load_audio(SONG)
    assert not doctor._decoder().ok


@filtered
def test_a_path_can_be_asked_about_with_old_libraries_alone(
    taken_over: None, tmp_path: Path
) -> None:
    """From version 2.39 on the GNU library asks the size of an open file without naming one."""
    name, version = platform.libc_ver()
    old = name == "glibc" and tuple(map(int, version.split(".")[:2])) < (2, 39)
    line = told(act_of("ask by a descriptor", tmp_path))
    assert line.endswith(f"{takenover.WENT_THROUGH}: 0") if old else line == STOPPED
    named = {
        libc: "newfstatat" in {rule.name for rule in policy.rules(libc)}
        for libc in (("glibc", "2.36"), ("glibc", "2.39"), ("glibc", "3.0"), ("", ""))
    }
    assert list(named.values()) == [True, False, False, False]

"""Windows and methods: laws, closed forms, degenerate songs, and three real ones."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hitcore.audio import Waveform, load_audio
from hitcore.errors import ParameterError
from hitcore.highlights import (
    METHODS,
    Evidence,
    Highlight,
    best_windows,
    find_highlight,
    find_highlights,
    repeated_sections,
    snap_highlight,
)

RATE = 22050


def evidence(curve: np.ndarray, step: float = 1.0, **other: object) -> Evidence:
    times = np.arange(len(curve)) * step
    return Evidence("test", curve, times, len(curve) * step, confident=True, **other)


def coverage(highlight: Highlight, intervals: list[list[float]]) -> float:
    """Share of the highlight that lies inside the intervals."""
    inside = [min(b, highlight.end) - max(a, highlight.start) for a, b in intervals]
    return sum(max(0.0, each) for each in inside) / highlight.duration_s


def tones(midi: list[int], seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * 440 * 2 ** ((m - 69) / 12) * t) for m in midi) / len(midi)


def passage(seed: int, seconds: float, level: float) -> np.ndarray:
    """Random chords of two seconds, each with its own harmonics: unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    chords = [
        tones([*rng.integers(45, 80, 4), *rng.integers(80, 96, rng.integers(1, 4))], 2.0)
        for _ in range(round(seconds / 2))
    ]
    return level * np.concatenate(chords)


@pytest.fixture(scope="module")
def verse_chorus() -> tuple[Waveform, list[list[float]]]:
    """Intro, verse, chorus, verse, chorus, bridge: only the 20-second chorus comes back."""
    plan = [(1, 10, 0.1), (2, 26, 0.2), (3, 20, 0.4), (4, 26, 0.2), (3, 20, 0.4), (5, 14, 0.2)]
    samples = np.concatenate([passage(*part) for part in plan]).astype(np.float32)
    return Waveform(samples, RATE), [[36.0, 56.0], [82.0, 102.0]]


# --- windows -------------------------------------------------------------------------------------


def test_the_best_window_is_that_of_an_exhaustive_search() -> None:
    curve = np.random.default_rng(0).random(200)
    best = best_windows(evidence(curve), length_s=30.0)[0]
    sums = [curve[i : i + 30].sum() for i in range(171)]
    assert best.start == np.argmax(sums)
    assert best.end == best.start + 30


def test_windows_do_not_overlap_and_are_ordered_by_worth() -> None:
    curve = np.random.default_rng(1).random(200)
    found = best_windows(evidence(curve), 4, length_s=25.0)
    assert len(found) == 4
    worth = [curve[int(h.start) : int(h.end)].sum() for h in found]
    assert worth == sorted(worth, reverse=True)
    spans = sorted((h.start, h.end) for h in found)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


def test_asked_for_more_windows_than_fit() -> None:
    assert 1 <= len(best_windows(evidence(np.ones(70)), 10, length_s=30.0)) <= 2


def test_an_onset_is_preferred_only_where_it_costs_little() -> None:
    curve = np.where((np.arange(120) >= 50) & (np.arange(120) < 80), 1.0, 0.0)
    near = evidence(curve, onsets=np.array([49.5]))
    far = evidence(curve, onsets=np.array([40.0]))
    assert best_windows(near)[0].start == 49.5
    assert best_windows(far)[0].start == 50.0


def test_windows_keep_to_what_sounds() -> None:
    found = best_windows(evidence(np.zeros(200), active=(20.0, 70.0)))[0]
    assert (found.start, found.end) == (30.0, 60.0)


@pytest.mark.parametrize(
    ("n", "length"), [(0, 30.0), (1, 0.0), (1, -3.0), (1, np.nan), (1, np.inf)]
)
def test_windows_refuse_what_makes_no_sense(n: int, length: float) -> None:
    with pytest.raises(ParameterError):
        best_windows(evidence(np.ones(100)), n, length)


# --- every method --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_a_short_song_is_its_own_highlight(self, method: str) -> None:
        found = find_highlight(Waveform(passage(1, 12, 0.3).astype(np.float32), RATE), method)
        assert (found.start, found.end) == (0.0, 12.0)

    def test_exactly_the_length_starts_at_zero(self, method: str) -> None:
        found = find_highlight(Waveform(passage(1, 30, 0.3).astype(np.float32), RATE), method)
        assert (found.start, found.end) == (0.0, 30.0)

    def test_the_highlight_lies_inside_the_song(self, method: str, verse_chorus) -> None:
        song, _ = verse_chorus
        for length in (5.0, 30.0, 45.0):
            found = find_highlight(song, method, length_s=length)
            assert found.start >= 0
            assert found.end <= song.duration_s
            assert found.duration_s == pytest.approx(length)
            assert found.method == method

    def test_the_curve_spans_the_song(self, method: str, verse_chorus) -> None:
        song, _ = verse_chorus
        found = find_highlight(song, method)
        assert found.curve.shape == found.curve_times.shape
        assert np.isfinite(found.curve).all()
        assert found.curve.min() >= 0
        assert found.curve.max() <= 1 + 1e-9
        assert found.curve_times[0] == 0
        assert (np.diff(found.curve_times) > 0).all()
        assert found.curve_times[-1] < song.duration_s

    def test_silence_is_finite_and_not_confident(self, method: str) -> None:
        found = find_highlight(Waveform(np.zeros(RATE * 60, np.float32), RATE), method)
        assert np.isfinite(found.curve).all()
        assert not found.confident
        assert (found.start, found.end) == (15.0, 45.0)

    def test_next_to_nothing(self, method: str) -> None:
        for n in (1, 700, 3000):
            found = find_highlight(Waveform(np.full(n, 0.1, np.float32), RATE), method)
            assert (found.start, found.end) == (0.0, n / RATE)


def test_unknown_method() -> None:
    with pytest.raises(ParameterError, match="middle"):
        find_highlight(Waveform(np.zeros(100, np.float32), RATE), "chorus")


# --- repetition ----------------------------------------------------------------------------------


def test_repetition_finds_what_comes_back(verse_chorus) -> None:
    song, chorus = verse_chorus
    found = find_highlight(song, "repetition")
    assert found.confident
    assert coverage(found, chorus) > 0.6  # 20 s of 30 s at most
    first, second = find_highlights(song, 2, "repetition", length_s=20.0)
    starts = sorted([first.start, second.start])
    assert starts == pytest.approx([36.0, 82.0], abs=2.0)


def test_repetition_ignores_gain_and_a_silent_tail(verse_chorus) -> None:
    song, _ = verse_chorus
    start = find_highlight(song, "repetition").start
    quiet = Waveform(song.samples * np.float32(0.003), RATE)
    tail = Waveform(np.append(song.samples, np.zeros(RATE * 45, np.float32)), RATE)
    assert find_highlight(quiet, "repetition").start == pytest.approx(start, abs=1.0)
    assert find_highlight(tail, "repetition").start == pytest.approx(start, abs=1.0)


def test_leading_silence_moves_the_highlight_along(verse_chorus) -> None:
    song, _ = verse_chorus
    later = Waveform(np.append(np.zeros(RATE * 20, np.float32), song.samples), RATE)
    starts, moved = (
        sorted(h.start for h in find_highlights(each, 2, "repetition", length_s=20.0))
        for each in (song, later)
    )
    assert moved == pytest.approx([start + 20 for start in starts], abs=1.0)


def test_a_loop_has_no_clear_highlight() -> None:
    loop = np.tile(passage(7, 8, 0.3), 15).astype(np.float32)
    found = find_highlight(Waveform(loop, RATE), "repetition")
    assert not found.confident
    assert "no clear highlight" in found.note
    inner = found.curve[(found.curve_times > 15) & (found.curve_times < 105)]
    assert inner.max() - inner.min() < 0.25


def test_noise_has_no_clear_highlight() -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, RATE * 90).astype(np.float32)
    found = find_highlight(Waveform(noise, RATE), "repetition")
    assert not found.confident
    assert "nothing comes back" in found.note


def test_repeated_sections_are_the_choruses(verse_chorus) -> None:
    song, chorus = verse_chorus
    found = [section for section in repeated_sections(song) if section.group == 0]
    assert len(found) == 2
    for section, (start, end) in zip(found, chorus, strict=True):
        assert section.start == pytest.approx(start, abs=3.0)
        assert section.end == pytest.approx(end, abs=3.0)


def test_a_chorus_in_a_higher_key_is_the_same_chorus() -> None:
    chords = [[int(m) for m in row] for row in np.random.default_rng(5).integers(55, 80, (10, 4))]
    low = np.concatenate([tones(row, 2.0) for row in chords])
    high = np.concatenate([tones([m + 2 for m in row], 2.0) for row in chords])
    parts = [passage(1, 20, 0.3), low * 0.3, passage(2, 20, 0.3), high * 0.3, passage(3, 12, 0.3)]
    song = Waveform(np.concatenate(parts).astype(np.float32), RATE)
    found = [section for section in repeated_sections(song) if section.group == 0]
    assert [section.start for section in found] == pytest.approx([20.0, 60.0], abs=1.0)
    assert [section.end for section in found] == pytest.approx([40.0, 80.0], abs=1.0)


LONG_SONG = r"""
import re, sys
import numpy as np
from hitcore.audio import Waveform
from hitcore.highlights import find_highlight
rng = np.random.default_rng(0)
n = {rate} * 20
part = rng.normal(0, 0.1, n).astype(np.float32)
song = np.empty(60 * n, np.float32)
for i in range(60):
    song[i * n : (i + 1) * n] = part if i % 7 == 3 else rng.normal(0, 0.1, n)
found = find_highlight(Waveform(song, {rate}), sys.argv[1])
times = found.curve_times
assert len(found.curve) == len(times) and np.isfinite(found.curve).all(), "the curve"
assert (np.diff(times) > 0).all() and times[0] >= 0 and 1150 < times[-1] <= 1200, "its times"
peak = re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())
print(found.start, found.end, peak[1])
"""
"""Twenty minutes of noise in which 20 seconds come back every 140; peak memory in kilobytes.

Of this process alone: `ru_maxrss` begins at what its parent held.
"""


@pytest.mark.parametrize("method", ["repetition", "attention"])
def test_twenty_minutes_stay_under_a_gigabyte(method: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LONG_SONG.format(rate=RATE), method],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    start, end, peak = (float(text) for text in child.stdout.split())
    assert 0 <= start < end <= 1200
    assert end - start == pytest.approx(30)
    assert peak < 1_000_000
    if method == "repetition":
        assert min(abs(start + shift - 60 - 140 * k) for k in range(9) for shift in (0, 10)) < 11


# --- snapping ------------------------------------------------------------------------------------


def test_snapping_to_a_section_and_to_a_beat() -> None:
    clicks = np.zeros(RATE * 60, np.float32)
    grid = np.arange(0.25, 60, 0.5)
    for t in grid:
        i = round(t * RATE)
        burst = np.exp(-np.arange(1000) / 100) * np.sin(np.arange(1000) * 0.3)
        clicks[i : i + 1000] += burst[: len(clicks) - i].astype(np.float32)
    song = Waveform(clicks, RATE)
    start = find_highlight(song, "middle", length_s=20.0, snap="beat").start
    assert np.abs(grid - start).min() < 0.06
    assert abs(start - 20.0) <= 0.5
    with pytest.raises(ParameterError, match="snap"):
        snap_highlight(find_highlight(song, "middle"), song, "bar")


def test_snapping_moves_to_the_onset_of_what_comes_back(verse_chorus) -> None:
    song, _ = verse_chorus
    onsets = [section.start for section in repeated_sections(song)]
    plain = find_highlight(song, "middle", length_s=28.0)  # starts at 44 s
    found = snap_highlight(plain, song, "section")
    assert found.duration_s == plain.duration_s
    near = min(onsets, key=lambda onset: abs(onset - plain.start))
    assert found.start == (near if abs(near - plain.start) <= 5 else plain.start)


def test_repetition_covers_real_choruses_better_than_the_middle(shared: Path) -> None:
    truth = json.loads((shared / "data" / "highlights" / "chorus.json").read_text())
    means = dict.fromkeys(("middle", "repetition"), 0.0)
    for name, song in truth.items():
        waveform = load_audio(shared / "data" / "highlights" / f"{name}.mp3")
        for method in means:
            found = find_highlight(waveform, method)
            means[method] += coverage(found, song["chorus"]) / len(truth)
    print("mean coverage of the choruses:", {k: round(v, 3) for k, v in means.items()})
    assert means["repetition"] > means["middle"] + 0.2

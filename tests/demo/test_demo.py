"""The demo catalogue: reproducible, musical as it claims, and true to its planted causes."""

import hashlib
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from hitcore import cli, demo
from hitcore.audio import decode, load_audio
from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.demo.arrangement import LOUDNESS
from hitcore.demo.artists import ARTISTS_PER_BLOCK, SONGS_PER_BLOCK, artist
from hitcore.demo.composition import Notes, melody, progression, voicing
from hitcore.demo.config import SAMPLE_RATE
from hitcore.demo.genres import GENRES
from hitcore.demo.plays import OTHER_SONGS
from hitcore.demo.songs import CRAFT, LONGEST_S, SHORTEST_S, parse_source
from hitcore.demo.synthesis import Timbre, render_line, render_pad, strike
from hitcore.errors import DataError, ParameterError
from hitcore.plays.hitscores import hit_scores

N_SONGS = 400


@pytest.fixture(scope="module")
def tables() -> demo.DemoTables:
    return demo.demo_tables(demo.DemoConfig(n_songs=N_SONGS, seed=3))


@pytest.fixture(scope="module")
def scores(tables: demo.DemoTables) -> pd.DataFrame:
    return hit_scores(tables.plays, tables.songs)


@pytest.fixture(scope="module")
def songs() -> list[demo.DemoSong]:
    config = demo.DemoConfig(n_songs=100, seed=3)
    return [demo.make_song(config, index) for index in range(6)]


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- songs ---------------------------------------------------------------------------------------


def test_a_song_depends_on_seed_and_number_alone(songs: list[demo.DemoSong]) -> None:
    again = demo.make_song(demo.DemoConfig(n_songs=5000, seed=3), 2)
    assert again.plan == songs[2].plan
    assert again.waveform.samples.tobytes() == songs[2].waveform.samples.tobytes()
    by_source = demo.waveform_of(songs[2].plan.source)
    assert by_source.samples.tobytes() == again.waveform.samples.tobytes()
    assert demo.plan_song(4, 2) != again.plan


def test_sound_is_finite_bounded_and_of_one_loudness(songs: list[demo.DemoSong]) -> None:
    for song in songs:
        samples = song.waveform.samples
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() < 1
        # The limiter takes a little of the loudness that all songs have before it.
        assert 0.85 * LOUDNESS < np.sqrt(np.mean(samples**2)) <= LOUDNESS * 1.001
        assert abs(samples.mean()) < 0.01


def test_sections_tile_the_song(songs: list[demo.DemoSong]) -> None:
    for song in songs:
        sections = song.sections
        assert all(a.end == b.start for a, b in itertools.pairwise(sections))
        assert song.waveform.duration_s == pytest.approx(sections[-1].end + 1, abs=0.01)
        bar_s = 16 * song.plan.step / SAMPLE_RATE
        for section in sections:
            assert section.end - section.start == pytest.approx(section.n_bars * bar_s)


def test_durations_tempi_and_forms_are_those_of_pop_songs() -> None:
    plans = [demo.plan_song(0, index) for index in range(300)]
    durations = np.array([plan.duration_s for plan in plans])
    assert np.mean((durations >= SHORTEST_S) & (durations <= LONGEST_S)) > 0.95
    for plan in plans:
        low, high = plan.genre.bpm
        assert 0.94 * low < plan.bpm < 1.06 * high
        assert 2 <= sum(section.name == "chorus" for section in plan.sections) <= 4
    assert {plan.genre.name for plan in plans} == {genre.name for genre in GENRES}
    first = np.array([plan.choruses[0][0] / plan.duration_s for plan in plans])
    assert np.ptp(first) > 0.3, "choruses do not begin at one place"


def test_choruses_come_back(songs: list[demo.DemoSong]) -> None:
    """Two choruses are nearly the same sound; two verses have other words, two kinds differ."""

    def likeness(song: demo.DemoSong, kinds: tuple[str, str]) -> float:
        parts = [[s for s in song.sections if s.name == kind] for kind in kinds]
        first, second = parts[0][0], parts[1][-1]
        seconds = min(first.end - first.start, second.end - second.start, 8.0)
        spectra = []
        for part in (first, second):
            wave = song.waveform.crop(part.start, part.start + seconds).samples
            frames = wave[: len(wave) // 1024 * 1024].reshape(-1, 1024)
            log = np.log1p(100 * np.abs(np.fft.rfft(frames * np.hanning(1024), axis=1)))
            spectra.append((log - log.mean(axis=0)).ravel())
        return float(np.corrcoef(spectra)[0, 1])

    same = [likeness(song, ("chorus", "chorus")) for song in songs]
    other = [likeness(song, ("verse", "chorus")) for song in songs]
    assert np.median(same) > 0.8
    assert np.median(other) < np.median(same) - 0.15


def test_louder_sections_are_those_of_more_energy(songs: list[demo.DemoSong]) -> None:
    for song in songs:
        energy, level = [], []
        for section in song.sections:
            wave = song.waveform.crop(section.start, section.end).samples
            energy.append(section.energy)
            level.append(np.sqrt(np.mean(wave**2)))
        assert spearmanr(energy, level)[0] > 0.9
    plans = [demo.plan_song(0, index) for index in range(200)]
    loudest = [max(plan.sections, key=lambda s: s.energy).name for plan in plans]
    assert 0.1 < np.mean([name != "chorus" for name in loudest]) < 0.6, "not always the chorus"


@pytest.mark.parametrize("quality", CRAFT)
def test_each_quality_can_be_heard(quality: str) -> None:
    """Between the least and the most of a quality, the chorus's spectrum changes clearly."""
    from hitcore.demo.arrangement import render

    plan = demo.plan_song(3, 1)
    start, _ = plan.choruses[0]
    sounds = []
    for value in (0.05, 0.95):
        wave = render(replace(plan, chorus_craft=dict.fromkeys(CRAFT, 0.5) | {quality: value}))
        part = wave[round(start * SAMPLE_RATE) :][: 8 * SAMPLE_RATE]
        frames = part[: len(part) // 2048 * 2048].reshape(-1, 2048)
        sounds.append(np.log1p(1e3 * np.abs(np.fft.rfft(frames, axis=1))))
    change = np.abs(sounds[1].mean(axis=0) - sounds[0].mean(axis=0)).mean()
    assert change > 0.03


# --- composition and synthesis -------------------------------------------------------------------


def test_tunes_stay_in_key_and_in_range() -> None:
    for index in range(30):
        plan = demo.plan_song(1, index)
        tune = melody(plan, "chorus", plan.chorus_craft, np.random.default_rng(0))
        allowed = {
            (plan.key + s) % 12
            for s in ((0, 2, 3, 5, 7, 8, 10) if plan.minor else (0, 2, 4, 5, 7, 9, 11))
        }
        assert {int(p) % 12 for p in tune.pitch} <= allowed
        low, high = (48, 84) if plan.artists[0].formant > 1 else (36, 72)
        assert (tune.pitch >= low).all()
        assert (tune.pitch <= high).all()
        assert (tune.length > 0).all()


def test_richer_chords_have_more_tones() -> None:
    plan = demo.plan_song(1, 0)
    sizes = [len(voicing(plan, 0, richness)) for richness in (0.1, 0.5, 0.7, 0.9)]
    assert sizes == [3, 4, 5, 6]
    assert len(progression(plan, "chorus")) == 4


def test_a_line_sounds_at_its_pitch() -> None:
    notes = Notes(
        np.array([0.0]), np.array([16.0]), np.array([69.0]), np.array([1.0]), np.array([0])
    )
    sound = render_line(notes, Timbre(tilt=3.0), 2700, 16 * 2700)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    peak = np.argmax(spectrum) * SAMPLE_RATE / len(sound)
    assert peak == pytest.approx(440, rel=0.003)


def test_a_line_of_no_notes_is_silent() -> None:
    none = np.zeros(0)
    empty = Notes(none, none, none, none, none.astype(np.int64))
    assert not render_line(empty, Timbre(), 2700, 5000).any()


def test_notes_above_half_the_sample_rate_do_not_fold_back() -> None:
    pitch = 69 + 12 * np.log2(4000 / 440)
    notes = Notes(
        np.array([0.0]), np.array([16.0]), np.array([pitch]), np.array([1.0]), np.array([0])
    )
    sound = render_line(notes, Timbre(tilt=0.3, cutoff=2e4, attack_s=0.001), 2700, 43200)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    partials = (np.abs(hz - 4000) < 30) | (np.abs(hz - 8000) < 30)
    assert spectrum[partials].sum() > 0.98 * spectrum.sum()


def test_a_pad_holds_its_pitches_and_only_them() -> None:
    n = 44100
    sound = render_pad(np.array([69.0, 76.0]), Timbre(tilt=8.0), 0, n, 0)
    spectrum = np.abs(np.fft.rfft(sound))
    strongest = sorted(np.argsort(spectrum)[-2:] * SAMPLE_RATE / n)
    assert strongest == pytest.approx([440.0, 659.26], abs=0.5)


def test_strokes_ring_into_the_loop_and_keep_their_energy() -> None:
    drum = np.ones(100, np.float32)
    phrase = np.zeros(160, np.float32)
    strike(phrase, drum, np.array([[10.0, 0.5]]), step=10)
    assert phrase.sum() == pytest.approx(50)
    assert phrase[100:].sum() == pytest.approx(30)
    assert phrase[:40].sum() == pytest.approx(20)


# --- artists -------------------------------------------------------------------------------------


def test_artists_return_within_their_block() -> None:
    plans = [demo.plan_song(0, index) for index in range(2 * SONGS_PER_BLOCK)]
    blocks = [
        {a.artist_id for plan in plans[i : i + SONGS_PER_BLOCK] for a in plan.artists}
        for i in (0, SONGS_PER_BLOCK)
    ]
    assert not blocks[0] & blocks[1]
    assert all(ARTISTS_PER_BLOCK - 3 <= len(block) <= ARTISTS_PER_BLOCK for block in blocks)
    assert any(len(plan.artists) == 2 for plan in plans)
    assert artist(0, 5) == artist(0, 5) != artist(1, 5)


# --- plays ---------------------------------------------------------------------------------------


def test_plays_begin_with_the_release(tables: demo.DemoTables) -> None:
    plays = tables.plays.to_pandas().merge(tables.songs[["song_id", "release_date"]], on="song_id")
    assert (pd.to_datetime(plays["date"]) >= plays["release_date"]).all()
    assert (plays["plays"] > 0).all()
    assert not plays.duplicated(["song_id", "date"]).any()


def test_the_service_has_more_than_the_catalogue(tables: demo.DemoTables) -> None:
    plays = tables.plays.to_pandas()
    total = plays.groupby("date")["plays"].sum()
    other = plays[plays["song_id"] == OTHER_SONGS].groupby("date")["plays"].sum()
    assert len(total) == 547
    assert (other >= 0.1 * total - 1).all()
    assert OTHER_SONGS not in set(tables.songs["song_id"])


def test_a_share_does_not_depend_on_the_size_of_the_catalogue(scores: pd.DataFrame) -> None:
    small = demo.demo_tables(demo.DemoConfig(n_songs=100, seed=3))
    few = hit_scores(small.plays, small.songs).set_index("song_id")["hit_score"]
    many = scores.set_index("song_id")["hit_score"].reindex(few.index)
    assert np.allclose(few, many, rtol=0.01, equal_nan=True)


def test_day_60_lies_inside_the_log_for_nearly_all(scores: pd.DataFrame) -> None:
    undefined = scores["hit_score"].isna().mean()
    assert 0 < undefined < 0.04


def test_planted_causes_explain_the_hit_score(
    tables: demo.DemoTables, scores: pd.DataFrame
) -> None:
    """ln(share) on day 60 is the sum of the planted effects, up to days, bursts and counting."""
    truth = tables.truth.to_pandas().merge(scores, on="song_id")
    truth = truth[truth["hit_score"] > 1e-6]  # more than some 40 plays
    effects = truth[["appeal_effect", "following_effect", "genre_effect", "luck_effect"]]
    left = np.log(truth["hit_score"]) - effects.sum(axis=1)
    assert left.std() < 0.4
    assert np.log(truth["hit_score"]).std() > 1.3
    slope = np.polyfit(effects.sum(axis=1), np.log(truth["hit_score"]), 1)[0]
    assert slope == pytest.approx(1, abs=0.1)


def test_the_tail_and_the_ceiling(tables: demo.DemoTables, scores: pd.DataFrame) -> None:
    facts = demo.planted_facts(tables.truth, scores)
    assert facts.n_songs == N_SONGS
    assert 0.8 < facts.share_below_mean < 0.95
    assert 0.45 < facts.appeal_spearman < 0.68
    assert facts.other_spearman < facts.audible_spearman < facts.appeal_spearman + 0.03
    known = scores["hit_score"].notna().to_numpy()
    appeal = tables.truth["appeal"].to_numpy()
    assert facts.appeal_spearman == pytest.approx(
        spearmanr(appeal[known], scores["hit_score"][known])[0]
    )


def test_cumulative_counts_tell_less_of_the_appeal(
    tables: demo.DemoTables, scores: pd.DataFrame
) -> None:
    cumulative = hit_scores(tables.plays, tables.songs, "cumulative")["hit_score"]
    known = scores["hit_score"].notna()
    appeal = tables.truth["appeal"].to_numpy()[known]
    day_60 = spearmanr(appeal, scores["hit_score"][known])[0]
    assert spearmanr(appeal, cumulative[known])[0] < day_60 - 0.02


def test_promotions_multiply_plays_and_fade() -> None:
    config = demo.DemoConfig(n_songs=200, promoted_share=1.0)
    quiet = replace(config, promoted_share=0.0)
    plan = demo.plan_song(config.seed, 0)
    history = demo.play_history(config, plan)
    assert 1 <= len(history.burst_days) <= 2
    assert min(history.burst_factors) > 4
    assert demo.play_history(quiet, plan).burst_days == ()


# --- the workspace -------------------------------------------------------------------------------


def test_create_is_reproducible_to_the_byte(tmp_path: Path) -> None:
    seen = []

    def note(done: int, of: int) -> None:
        seen.append((done, of))

    one = demo.create(tmp_path / "one", 40, 5, n_audio=1, progress=note)
    two = demo.create(tmp_path / "two", 40, 5, n_audio=1)
    assert digest(one.path) == digest(two.path)
    assert digest(demo.create(tmp_path / "other", 40, 6).path) != digest(one.path)
    assert seen[-1] == (40, 40)


def test_a_workspace_that_other_modules_can_read(tmp_path: Path) -> None:
    workspace = demo.create(tmp_path / "demo", 40, 5)
    assert Workspace.open(tmp_path / "demo") == workspace
    catalogue = Catalogue.read(workspace.songs, workspace.hit_scores)
    assert len(catalogue) == 40
    assert len(catalogue.folds(3)) == 3
    shares = pd.read_parquet(workspace.daily_shares)
    assert list(shares.columns) == ["song_id", "date", "share"]
    assert set(shares["song_id"]) <= set(catalogue.song_ids)
    truth = pq.read_table(workspace.path / "truth.parquet")
    assert truth["song_id"].to_pylist() == list(catalogue.song_ids)
    written = json.loads((workspace.path / "demo.json").read_text())
    assert written["facts"]["appeal_spearman"] == demo.facts_of(workspace).appeal_spearman


def test_kept_sound_is_the_sound_that_the_source_gives(tmp_path: Path) -> None:
    workspace = demo.create(tmp_path / "demo", 20, 5, n_audio=1)
    first = pd.read_parquet(workspace.songs).iloc[0]
    kept = load_audio(workspace.audio / f"{first['song_id']}.flac")
    made = demo.waveform_of(first["source"])
    assert np.abs(kept.samples - made.samples).max() < 1e-4
    with pytest.raises(ParameterError, match="n_audio"):
        demo.create(tmp_path / "other", 20, n_audio=21)


def test_create_refuses_what_it_would_overwrite(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        demo.create(tmp_path / "full", 20)
    assert (tmp_path / "full" / "keep.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        demo.create(tmp_path / "file", 20)
    (tmp_path / "empty").mkdir()
    assert demo.create(tmp_path / "empty", 20).songs.exists()


def test_an_interrupted_creation_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.create(tmp_path / "demo", 20, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(DataError, match="No space left"):
        demo.create(tmp_path / "demo", 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_songs", [-1, 0, 19, 200_001])
def test_a_catalogue_too_small_or_too_large(tmp_path: Path, n_songs: int) -> None:
    with pytest.raises(ParameterError, match="allowed are 20"):
        demo.create(tmp_path / "demo", n_songs)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("source", ["", "demo:1", "demo:1:x", "demo:-1:2", "song.mp3", "demo:1:2 "])
def test_a_source_that_is_no_demo_song(source: str) -> None:
    with pytest.raises(ParameterError, match="demo:SEED:NUMBER"):
        demo.waveform_of(source)


def test_settings_outside_what_is_allowed() -> None:
    for wrong in ({"seed": -1}, {"n_days": 30}, {"promoted_share": 1.5}, {"service_plays": 0.0}):
        with pytest.raises(ParameterError):
            demo.DemoConfig(**wrong)
    with pytest.raises(ParameterError, match="songs 0 to 99"):
        demo.make_song(demo.DemoConfig(n_songs=100), 100)


# --- songs as files, the command line ------------------------------------------------------------


def test_shipped_songs_are_small_and_say_what_they_are(tmp_path: Path) -> None:
    path, described = demo.write_songs(tmp_path, seed=3, genres=["ballad"])
    (entry,) = json.loads(described.read_text())
    decoded = decode(path)
    assert path.stat().st_size < 1_000_000
    assert path.name == entry["file"]
    assert (decoded.info.title, decoded.info.artist) == (entry["title"], entry["artist"])
    made = demo.waveform_of(entry["source"])
    assert decoded.waveform.duration_s == pytest.approx(made.duration_s, abs=0.01)
    likeness = np.corrcoef(decoded.waveform.samples[:200_000], made.samples[:200_000])[0, 1]
    assert likeness > 0.97
    assert entry["choruses"] == [
        list(chorus) for chorus in demo.plan_song(3, int(entry["source"].split(":")[2])).choruses
    ]
    with pytest.raises(ParameterError, match="no genre 'polka'"):
        demo.write_songs(tmp_path, genres=["polka"])


def test_songs_in_the_assets_are_those_of_the_generator() -> None:
    folder = Path(__file__).parents[2] / "assets" / "demo_songs"
    entries = json.loads((folder / "songs.json").read_text())
    assert len(entries) == 4
    for entry in entries:
        plan = demo.plan_song(*parse_source(entry["source"]))
        assert (plan.title, plan.artist) == (entry["title"], entry["artist"])
        assert (folder / entry["file"]).stat().st_size < 1_000_000
    one = entries[0]
    shipped = load_audio(folder / one["file"]).samples
    made = demo.waveform_of(one["source"]).samples
    n = 10 * SAMPLE_RATE
    assert np.corrcoef(shipped[:n], made[:n])[0, 1] > 0.9, "make them anew: hitcore demo songs"


def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hitcore(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["hitcore", "demo", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    folder = str(tmp_path / "demo")
    assert hitcore("create", folder, "--songs", "30", "--seed", "2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n_songs"] == 30
    assert document["appeal_spearman"] == demo.facts_of(Workspace.open(folder)).appeal_spearman
    for wrong, said in ((("create", folder), "not empty"), (("create", "x", "--songs", "3"), "20")):
        assert hitcore(*wrong) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert len(err.strip().splitlines()) == 1

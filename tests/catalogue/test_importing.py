"""A workspace of one's own songs: from files and a log to results, by the commands of a user."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sounds import encoded, music

from hitcore.catalogue.importing import create, with_sources
from hitcore.catalogue.songs import Catalogue
from hitcore.catalogue.workspace import Workspace
from hitcore.cli import main
from hitcore.errors import DataError
from hitcore.plays import hitscores as playcounts

N_SONGS, N_SILENT = 12, 3


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sound files in two folders, a log of fifteen songs over a hundred days, a table."""
    folder = tmp_path_factory.mktemp("mine")
    for number in range(N_SONGS):
        place = folder / "audio" / f"{number % 2:03d}" / f"{number:06d}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded("wav", music(3 + 0.1 * number, 22_050), 22_050))
    (folder / "audio" / ".DS_Store").write_bytes(b"no song")
    days = pd.date_range("2024-01-01", periods=100)
    songs = pd.DataFrame(
        {
            "song_id": [str(number) for number in range(N_SONGS + N_SILENT)],
            "title": [f"Song {number}" for number in range(N_SONGS + N_SILENT)],
            "artist": [f"Artist {number % 4}" for number in range(N_SONGS + N_SILENT)],
            "released": days[np.arange(N_SONGS + N_SILENT) * 3].date,
        }
    )
    songs.to_csv(folder / "songs.csv", index=False)
    rng = np.random.default_rng(0)
    log = songs[["song_id"]].merge(pd.DataFrame({"date": days.date}), how="cross")
    log.assign(plays=rng.integers(1, 90, len(log))).to_csv(folder / "log.csv", index=False)
    return folder


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr("sys.argv", ["hitcore", *words])
    with pytest.raises(SystemExit) as end:
        main()
    read = capsys.readouterr()
    assert not end.value.code, read.err
    return read.out


def test_from_files_to_results_by_commands(
    mine: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = str(tmp_path / "w")
    out = run(
        capsys, monkeypatch, "workspace", "create", place, "--plays", str(mine / "log.csv"),
        "--songs", str(mine / "songs.csv"), "--audio", str(mine / "audio"),
    )  # fmt: skip
    assert "12 songs with sound, 3 left out without; 12 have a hit score" in out
    workspace = Workspace.open(place)
    scores = pd.read_parquet(workspace.hit_scores).set_index("song_id")["hit_score"]
    log, songs = playcounts.read_log([mine / "log.csv"], mine / "songs.csv")
    all_scores = playcounts.hit_scores(log, songs).set_index("song_id")["hit_score"]
    pd.testing.assert_series_equal(scores.sort_index(), all_scores[scores.index].sort_index())
    catalogue = Catalogue.read(workspace.songs, workspace.hit_scores)
    assert catalogue["7"].artist_ids == ("Artist 3",)
    built = run(
        capsys, monkeypatch, "features", "build", place, "--highlight", "middle",
        "--tagger", "none", "--workers", "1", "--json",
    )  # fmt: skip
    assert json.loads(built)["built"] == N_SONGS
    shown = run(
        capsys, monkeypatch, "experiment", "run", place, "--rows", "release-year,artist-prior",
        "--folds", "3", "--json",
    )  # fmt: skip
    assert {line["row"] for line in json.loads(shown)} == {"release-year", "artist-prior"}


def test_shares_are_of_all_plays_with_sound_or_without(mine: Path, tmp_path: Path) -> None:
    made = create(tmp_path / "w", [mine / "log.csv"], mine / "audio", mine / "songs.csv")
    assert (made.n_songs, made.n_silent, made.n_scored) == (N_SONGS, N_SILENT, N_SONGS)
    shares = pd.read_parquet(made.workspace.daily_shares)
    log = pd.read_csv(mine / "log.csv", dtype={"song_id": str})
    log["share"] = log["plays"] / log.groupby("date")["plays"].transform("sum")
    first = log[(log["date"] == "2024-02-03") & (log["song_id"] == "5")]["share"].item()
    ours = shares[(shares["date"] == "2024-02-03") & (shares["song_id"] == "5")]["share"].item()
    assert ours == pytest.approx(first, rel=1e-12)
    assert shares.groupby("date")["share"].sum().max() < 1


def test_a_column_says_which_file_is_whose(mine: Path, tmp_path: Path) -> None:
    songs = pd.read_csv(mine / "songs.csv", dtype=str)
    songs["source"] = ["001/000001.wav", "absent.wav", *[""] * (len(songs) - 2)]
    songs.to_csv(tmp_path / "songs.csv", index=False)
    made = create(tmp_path / "w", [mine / "log.csv"], mine / "audio", tmp_path / "songs.csv")
    assert pd.read_parquet(made.workspace.songs)["source"].tolist() == ["001/000001.wav"]


def test_what_lies_beside_songs_is_no_song(tmp_path: Path) -> None:
    """Albums as they are: covers, lyrics, cue sheets, and what systems leave behind."""
    song = encoded("wav", music(0.5, 22_050), 22_050)
    beside = {
        ".jpg": b"\xff\xd8\xff\xe0 JFIF",
        ".lrc": b"[00:01.00]la",
        ".cue": b'FILE "song.wav" WAVE',
    }
    for name in ("1", "2", "cafe\u0301"):  # An accent written apart, as macOS writes it.
        album = tmp_path / f"album {name}"
        (album / "__MACOSX").mkdir(parents=True)
        (album / f"{name}.wav").write_bytes(song)
        for suffix, content in beside.items():
            (album / f"{name}{suffix}").write_bytes(content)
        for other in ("cover.jpg", "Thumbs.db", f"._{name}.wav", f"__MACOSX/{name}.wav"):
            (album / other).write_bytes(b"\0\x05\x16\x07")
    songs = pd.DataFrame({"song_id": ["1", "2", "caf\u00e9", "4"]})
    apart = "album cafe\u0301/cafe\u0301.wav"
    expected = ["album 1/1.wav", "album 2/2.wav", apart, ""]
    assert with_sources(songs, tmp_path)["source"].tolist() == expected
    said = songs.assign(source=["album 1/1.wav", "", apart.replace("e\u0301", "\u00e9"), "no.wav"])
    assert with_sources(said, tmp_path)["source"].tolist() == ["album 1/1.wav", "", apart, ""]


def test_a_name_that_no_table_can_hold_is_said(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/Chansons d'\xe9t\xe9"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    with open(folder + b"/1.wav", "wb") as file:
        file.write(encoded("wav", music(0.5, 22_050), 22_050))
    with pytest.raises(DataError, match="is not UTF-8, so no table can hold it"):
        with_sources(pd.DataFrame({"song_id": ["1"]}), tmp_path)
    assert with_sources(pd.DataFrame({"song_id": ["2"]}), tmp_path)["source"].tolist() == [""]


def test_what_cannot_be_is_said_and_leaves_nothing(mine: Path, tmp_path: Path) -> None:
    log, songs = [mine / "log.csv"], mine / "songs.csv"
    (tmp_path / "empty").mkdir()
    twice = tmp_path / "twice"
    twice.mkdir()
    for name in ("7.wav", "007.mp3"):
        (twice / name).write_bytes(b"")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("do not lose me")
    cases = [
        ("w", tmp_path / "absent", songs, "is no folder"),
        ("w", tmp_path / "empty", songs, "none of 15 songs has a file"),
        ("w", twice, songs, "both named as one song"),
        ("w", mine / "audio", None, "by their ids only"),
        ("full", mine / "audio", songs, "not empty"),
    ]
    for name, audio, table, said in cases:
        with pytest.raises(DataError, match=said):
            create(tmp_path / name, log, audio, table)
    assert not (tmp_path / "w").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full", "twice"]
    assert [path.name for path in full.iterdir()] == ["mine.txt"]

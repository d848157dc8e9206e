"""`hitcore plays`: what it writes, what it prints, and how it refuses."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hitcore.cli import main
from hitcore.plays.readers import read_songs

LOG = "song_id,date,plays\n" + "".join(
    f"{song},2024-{month:02}-{day:02},{plays}\n"
    for month, day in [(1, 1), (2, 10), (3, 1), (3, 2)]
    for song, plays in [("=cmd()", 1), ("plain", 3)]
)
SONGS = "song_id,release_date\n=cmd(),2024-01-01\nplain,2024-01-02\nlate,2024-02-20\n"


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


Hitcore = Callable[..., Done]


@pytest.fixture
def hitcore(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hitcore:
    """Run the command line in this process, as `hitcore …` would."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["hitcore", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return Done(int(left.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    log, songs = tmp_path / "log.csv", tmp_path / "songs.csv"
    log.write_text(LOG)
    songs.write_text(SONGS)
    return log, songs


def test_score_writes_csv_and_parquet(
    hitcore: Hitcore, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    log, songs = files
    outputs = [tmp_path / "out" / name for name in ("scores.csv", "scores.parquet")]
    for out in outputs:
        done = hitcore("plays", "score", log, "--songs", songs, "--out", out)
        assert (done.returncode, done.stdout.strip()) == (0, str(out)), done.stderr
        assert "day:60 is defined for 2 of 3 songs" in done.stderr
    # 1 March 2024 is the 60th day after 1 January.
    assert outputs[0].read_text() == "song_id,hit_score\n=cmd(),0.25\nlate,\nplain,0.75\n"
    table = pq.read_table(outputs[1])
    assert table.column("song_id").to_pylist() == ["=cmd()", "late", "plain"]
    assert table.column("hit_score").to_pylist() == [0.25, None, 0.75]
    assert sorted(path.name for path in outputs[0].parent.iterdir()) == [
        "scores.csv",
        "scores.parquet",
    ]


ODD_IDS = ["-5", "-dash", "=1+1", "+x", "@at", "'quoted", "007", "a,b", 'say "x"']


def test_ids_that_a_spreadsheet_would_run_survive_a_round_trip(
    hitcore: Hitcore, tmp_path: Path
) -> None:
    log, songs, out = tmp_path / "log.csv", tmp_path / "songs.csv", tmp_path / "scores.csv"
    pd.DataFrame({"song_id": ODD_IDS, "date": "2024-01-01", "plays": 1}).to_csv(log, index=False)
    pd.DataFrame({"song_id": ODD_IDS, "release_date": "2024-01-01"}).to_csv(songs, index=False)
    done = hitcore(
        *("plays", "score", log, "--songs", songs, "--definition", "day:0", "--out", out)
    )
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(out, dtype={"song_id": str})
    assert sorted(found["song_id"]) == sorted(ODD_IDS)
    assert found["hit_score"].tolist() == pytest.approx([1 / 9] * 9)
    assert read_songs(out)["song_id"].to_pylist() == sorted(ODD_IDS)


def test_days_are_those_of_the_services_time_zone(hitcore: Hitcore, tmp_path: Path) -> None:
    """The log's own offset serves where none is named; `--time-zone` wins over it."""
    log, songs, out = tmp_path / "log.csv", tmp_path / "songs.csv", tmp_path / "scores.csv"
    rows = ["a,2024-03-02T07:00:00+08:00", "b,2024-03-02T12:00:00+08:00"]
    log.write_text("\n".join(["song_id,listened_at", *rows, ""]))
    songs.write_text("song_id,release_date\na,2024-03-02\nb,2024-03-02\n")
    command = ("plays", "score", log, "--songs", songs, "--definition", "day:0", "--out", out)
    expected = {(): [0.5, 0.5], ("--time-zone", "UTC"): [0.0, 1.0]}
    for zone, scores in expected.items():
        done = hitcore(*command, *zone)
        assert done.returncode == 0, done.stderr
        assert pd.read_csv(out)["hit_score"].tolist() == scores
        assert ("time zone +08:00" in done.stderr) == (not zone)
    done = hitcore(*command, "--time-zone", "Mars/Olympus")
    assert (done.returncode, "time zone 'Mars/Olympus' is unknown" in done.stderr) == (2, True)


def test_events_count_once_unless_they_are_meant(hitcore: Hitcore, tmp_path: Path) -> None:
    log, songs, out = tmp_path / "log.csv", tmp_path / "songs.csv", tmp_path / "scores.csv"
    rows = [f"{user},{song},2024-01-01T00:00:00Z" for user, song in ("ua", "ua", "ub", "va")]
    log.write_text("\n".join(["user_id,song_id,listened_at", *rows, ""]))
    songs.write_text("song_id,release_date\na,2024-01-01\nb,2024-01-01\n")
    command = ("plays", "score", log, "--songs", songs, "--definition", "day:0", "--out", out)
    for options, scores in (([], [2 / 3, 1 / 3]), (["--keep-duplicates"], [3 / 4, 1 / 4])):
        done = hitcore(*command, *options)
        assert done.returncode == 0, done.stderr
        assert pd.read_csv(out)["hit_score"].tolist() == pytest.approx(scores)
        said = "dropped 1: the same song, listener and time as another row" in done.stderr
        assert said == (not options)


def test_columns_by_number_and_decimals_are_said(hitcore: Hitcore, tmp_path: Path) -> None:
    log, songs, out = tmp_path / "log.csv", tmp_path / "songs.csv", tmp_path / "scores.csv"
    log.write_text("2024-01-01;x;1.000;A\n2024-01-01;y;3.000;B\n")
    songs.write_text("artist,title,release_date\nA,x,2024-01-01\nB,y,2024-01-01\n")
    columns = [f"--column={pair}" for pair in ("0=date", "1=title", "2=plays", "3=artist")]
    command = ("plays", "score", log, "--songs", songs, "--definition", "day:0", "--out", out)
    done = hitcore(*command, *columns)
    assert done.returncode == 2
    assert "'1.000' may be 1 (a point before decimals) or 1000" in done.stderr
    done = hitcore(*command, *columns, "--decimal", ".")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(out)["hit_score"].tolist() == [0.25, 0.75]


def test_stats_prints_one_json_document(hitcore: Hitcore, files: tuple[Path, Path]) -> None:
    log, songs = files
    done = hitcore("plays", "stats", log, "--songs", songs, "--definition", "cumulative", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["scores"]["definition"] == "cumulative"
    assert document["figures"]["n_songs"] == 3
    assert document["figures"]["top_10_share"] == 0.75
    assert document["power_law"] is None
    assert "at least 25" in document["notes"][-1]


def test_xiami_needs_no_songs_and_may_name_itself(
    hitcore: Hitcore, shared: Path, tmp_path: Path
) -> None:
    log = shared / "data" / "plays" / "ali_music_song_daily.csv.gz"
    for extra in ([], ["--songs", log]):
        out = tmp_path / "scores.parquet"
        done = hitcore("plays", "score", log, "--format", "xiami", *extra, "--out", out)
        assert done.returncode == 0, done.stderr
        scores = pd.read_parquet(out)
        assert (len(scores), int(scores["hit_score"].notna().sum())) == (8460, 307)
        assert "3,351 rows" in done.stderr


def test_stats_of_xiami(hitcore: Hitcore, shared: Path) -> None:
    log = shared / "data" / "plays" / "ali_music_song_daily.csv.gz"
    done = hitcore("plays", "stats", log, "--definition", "cumulative", "--json")
    figures = json.loads(done.stdout)["figures"]
    frame = pd.read_csv(log, dtype={"song_id": str})
    plays = frame.groupby("song_id")["plays"].sum()
    assert figures["n_songs"] == len(plays)
    assert figures["rank_of_mean"] == int((plays > plays.mean()).sum())
    assert figures["share_below_mean"] == (plays < plays.mean()).mean()
    share = plays / plays.sum()
    gini = np.abs(share.to_numpy()[:, None] - share.to_numpy()[None, :]).mean() / 2 / share.mean()
    assert figures["gini"] == pytest.approx(gini, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["LOG", "--out", "x.csv"], "songs"),
        (["LOG", "--songs", "SONGS", "--out", "x.xlsx"], ".csv or .parquet"),
        (["LOG", "--songs", "SONGS", "--out", "x.csv", "--definition", "day:x"], "day:N"),
        (["LOG", "--songs", "SONGS", "--out", "x.csv", "--engine", "oracle"], "duckdb, spark"),
        (["LOG", "--songs", "SONGS", "--out", "x.csv", "--format", "oracle"], "xiami"),
        (["LOG", "--songs", "SONGS", "--out", "x.csv", "--column", "date"], "NAME=COLUMN"),
        (["LOG", "--songs", "absent.csv", "--out", "x.csv"], "absent.csv"),
        (["absent.csv", "--out", "x.csv"], "absent.csv"),
        (["BAD", "--songs", "SONGS", "--out", "x.csv"], "line 2"),
        (["LOG", "--songs", "SONGS", "--out", "LOG/x.csv"], "written"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(
    hitcore: Hitcore,
    tmp_path: Path,
    files: tuple[Path, Path],
    arguments: list[str],
    message: str,
) -> None:
    log, songs = files
    bad = tmp_path / "bad.csv"
    bad.write_text("song_id,date,plays\na,2024-01-01,-5\n")
    before = sorted(tmp_path.rglob("*"))
    names = {"LOG": log, "SONGS": songs, "BAD": bad}
    actual = [
        str(names[a]) if a in names else str(tmp_path / a) if a.endswith((".csv", ".xlsx")) else a
        for a in (a.replace("LOG/", "log.csv/") for a in arguments)
    ]
    done = hitcore("plays", "score", *actual)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hitcore: ")
    assert message in last
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before

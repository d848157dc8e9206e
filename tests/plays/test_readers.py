"""Readers of play logs, on files of the exact shapes that the services give out."""

import gc
import gzip
import io
import json
import tarfile
import zipfile
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitcore.errors import DataError, ParameterError
from hitcore.plays.readers import (
    FORMATS,
    PLAYS_SCHEMAS,
    SONGS_SCHEMA,
    PlayLog,
    fma,
    read_plays,
    read_songs,
    sniff_format,
)


def plays(log: PlayLog) -> list[dict[str, object]]:
    """All rows of a small log; every file has just the canonical columns."""
    for path in log.plays:
        # A large string is the same thing on disk.
        given = [str(field.type).removeprefix("large_") for field in pq.read_schema(path)]
        assert given == [str(field.type) for field in PLAYS_SCHEMAS[log.kind]]
        assert pq.read_schema(path).names == PLAYS_SCHEMAS[log.kind].names
    return [row for path in log.plays for row in pq.read_table(path).to_pylist()]


def song(log: PlayLog, song_id: str) -> dict[str, object]:
    assert log.songs is not None
    assert log.songs.schema.names[:4] == SONGS_SCHEMA.names
    return next(row for row in log.songs.to_pylist() if row["song_id"] == song_id)


# -- tables of one's own ---------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_tabular_daily(tmp_path: Path, delimiter: str, end: str, bom: bytes) -> None:
    lines = ["Track ID,Day,Streams", "a,2024-01-01,3", 'b,20240102,"5"', ""]
    text = end.join(lines).replace(",", delimiter)
    path = tmp_path / "log.csv"
    path.write_bytes(bom + text.encode())
    log = read_plays(path)
    assert (log.kind, log.report.format) == ("daily", "tabular")
    assert plays(log) == [
        {"song_id": "a", "date": date(2024, 1, 1), "plays": 3},
        {"song_id": "b", "date": date(2024, 1, 2), "plays": 5},
    ]
    assert log.span == (date(2024, 1, 1), date(2024, 1, 2))
    assert log.songs is None


def test_tabular_events_convert_offsets_to_utc(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "user,track_id,timestamp,title,artist\n"
        "u1,a,2024-03-01T00:30:00+02:00,One,X;Y\n"
        "u2,a,2024-02-29T20:30:00-02:00,One,X;Y\n"
        ",b,2024-03-01T12:00:00Z,Two,Z\n"
    )
    log = read_plays(path)
    assert log.kind == "events"
    assert plays(log) == [
        {"song_id": "a", "user_id": "u1", "listened_at": datetime(2024, 2, 29, 22, 30)},
        {"song_id": "a", "user_id": "u2", "listened_at": datetime(2024, 2, 29, 22, 30)},
        {"song_id": "b", "user_id": None, "listened_at": datetime(2024, 3, 1, 12)},
    ]
    assert song(log, "a")["artist_ids"] == ["X", "Y"]
    assert log.span == (date(2024, 2, 29), date(2024, 3, 1))


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20)),
        ("1700000000123", datetime(2023, 11, 14, 22, 13, 20, 123000)),
        ("2023-11-14 22:13:20", datetime(2023, 11, 14, 22, 13, 20)),
        ("2023-11-14 22:13:20 UTC", datetime(2023, 11, 14, 22, 13, 20)),
        ("2023-11-14T22:13:20.5+00:00", datetime(2023, 11, 14, 22, 13, 20, 500000)),
        ("20231114T221320Z", datetime(2023, 11, 14, 22, 13, 20)),
    ],
)
def test_tabular_times(tmp_path: Path, cell: str, moment: datetime) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"song_id,listened_at\na,{cell}\n")
    log = read_plays(path)
    assert plays(log)[0]["listened_at"] == moment
    bare = {"times without an offset, taken as UTC": 1} if cell.endswith(":20") else {}
    assert log.report.odd == bare


def test_tabular_mapping_wins_over_guess(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("id,date,plays,downloads\na,2024-01-01,1,7\n")
    assert plays(read_plays(path))[0]["plays"] == 1
    assert plays(read_plays(path, mapping={"plays": "downloads"}))[0]["plays"] == 7


def test_tabular_without_ids_goes_by_artist_and_title(tmp_path: Path) -> None:
    path, songs = tmp_path / "log.csv", tmp_path / "songs.csv"
    path.write_text("Day,Artist,Track,Streams\n2024-01-01,A,Hello,1\n2024-01-01,B,Hello,2\n")
    songs.write_text("Artist,Title,Released\nA,hello,2024-01-01\n")
    log = read_plays(path)
    assert [row["song_id"] for row in plays(log)] == ["a – hello", "b – hello"]
    assert log.report.odd == {"no recording id; identified by artist and title": 2}
    assert song(log, "a – hello")["title"] == "Hello"
    assert read_songs(songs)["song_id"].to_pylist() == ["a – hello"]


def test_tabular_songs_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "song_id,date,plays,title,artist_id,release_date,language\n"
        "a,2024-01-01,1,,x | y,2024-01-02,fr\n"
        "a,2024-01-03,1,One,x|y,2024-01-02,fr\n"
        "b,2024-01-03,1,Two,,2024,\n"
        "c,2024-01-03,1,Three,z,2024-02-30,\n"
        "c,2024-01-04,1,Four,z,2025-01-01,\n"
    )
    log = read_plays(path)
    assert song(log, "a") == {
        "song_id": "a",
        "title": "One",
        "artist_ids": ["x", "y"],
        "release_date": date(2024, 1, 2),
        "language": "fr",
    }
    assert song(log, "b")["release_date"] is None
    assert song(log, "b")["artist_ids"] == []
    assert song(log, "c")["title"] == "Three"
    assert log.report.odd == {
        "plays dated before the song's release": 2,
        "release_date is not a day; taken as unknown": 1,
        "songs described in more than one way; the first is used": 1,
        "songs released after the last day of the log": 1,
    }


def test_tabular_parquet_of_loose_types(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame(
        {
            "track_id": [7, 8],
            "day": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "streams": [3.0, 4.0],
            "artists": [["x", "y"], ["z"]],
            "release_date": pd.to_datetime(["2023-01-01", None]),
        }
    ).to_parquet(path)
    log = read_plays(path)
    assert plays(log) == [
        {"song_id": "7", "date": date(2024, 1, 1), "plays": 3},
        {"song_id": "8", "date": date(2024, 1, 2), "plays": 4},
    ]
    assert song(log, "7")["artist_ids"] == ["x", "y"]
    assert song(log, "8")["release_date"] is None


def test_zoned_parquet_times_become_utc(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    times = pd.to_datetime(["2024-07-01 01:00"]).tz_localize("Europe/Berlin")
    pd.DataFrame({"song_id": ["a"], "listened_at": times}).to_parquet(path)
    assert plays(read_plays(path))[0]["listened_at"] == datetime(2024, 6, 30, 23)


def test_canonical_parquet_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    rows = {"song_id": ["a"], "date": [date(2024, 1, 1)], "plays": [1]}
    pq.write_table(pa.table(rows, PLAYS_SCHEMAS["daily"]), path)
    log = read_plays(path)
    assert log.plays == (path,)
    assert log.scratch is None
    # An engine would take this name for a pattern, so that file is copied.
    odd = path.rename(tmp_path / "log[1].parquet")
    assert read_plays(odd).plays != (odd,)


def test_packed_and_split_logs_give_the_same_rows(tmp_path: Path) -> None:
    head, rows = "song_id,date,plays\n", [f"s{i},2024-01-{i % 28 + 1:02d},{i}\n" for i in range(50)]
    whole = (head + "".join(rows)).encode()
    (tmp_path / "a.csv").write_bytes(whole)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(whole))
    (tmp_path / "a.csv.zst").write_bytes(zstandard.compress(whole))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.csv", whole)
        archive.writestr("__MACOSX/in/._a.csv", "junk")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("in/a.csv")
        info.size = len(whole)
        tar.addfile(info, io.BytesIO(whole))
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.csv").write_text(head + "".join(rows[:20]))
    (parts / "2.csv").write_text(head + "".join(rows[20:]))
    expected = plays(read_plays(tmp_path / "a.csv"))
    assert len(expected) == 50
    for name in ("a.csv.gz", "a.csv.zst", "a.zip", "a.tar.gz", "parts"):
        assert plays(read_plays(tmp_path / name)) == expected, name
    assert read_plays(tmp_path / "a.zip").report.files == ("a.zip:in/a.csv",)


# -- the services ----------------------------------------------------------------------------


def listen(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "user_id": 12,
        "user_name": "somebody",
        "listened_at": 1430000000,
        "recording_msid": "c559b2f8-41ff-4b55-ab3c-0b57d9b85d11",
        "track_metadata": {
            "artist_name": "Portishead",
            "track_name": "Strangers",
            "release_name": "Dummy",
            "additional_info": {
                "recording_mbid": "e97f805a-ab48-4c52-855e-07049142113d",
                "artist_mbids": ["8f6bd1e4-fbe1-4f50-aa9b-94c450ec0f11"],
                "tags": ["trip-hop"],
            },
        },
    }
    return row | changes


def lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def listens() -> list[dict[str, object]]:
    mapped = {
        "artist_name": "Portishead",
        "track_name": "Strangers (live)",
        "additional_info": {},
        "mbid_mapping": {
            "recording_mbid": "e97f805a-ab48-4c52-855e-07049142113d",
            "artist_mbids": ["8f6bd1e4-fbe1-4f50-aa9b-94c450ec0f11"],
        },
    }
    bare = {"artist_name": "Nobody", "track_name": "Nothing", "additional_info": {}}
    return [
        listen(),
        listen(listened_at=1430086400, user_id=13, track_metadata=mapped),
        listen(listened_at=1430086401, track_metadata=bare),
        listen(listened_at=0, track_metadata=bare),
    ]


def check_listens(log: PlayLog) -> None:
    mbid = "e97f805a-ab48-4c52-855e-07049142113d"
    assert log.kind == "events"
    assert plays(log) == [
        {"song_id": mbid, "user_id": "12", "listened_at": datetime(2015, 4, 25, 22, 13, 20)},
        {"song_id": mbid, "user_id": "13", "listened_at": datetime(2015, 4, 26, 22, 13, 20)},
        {
            "song_id": "nobody – nothing",
            "user_id": "12",
            "listened_at": datetime(2015, 4, 26, 22, 13, 21),
        },
    ]
    assert song(log, mbid)["artist_ids"] == ["8f6bd1e4-fbe1-4f50-aa9b-94c450ec0f11"]
    assert song(log, "nobody – nothing")["artist_ids"] == ["Nobody"]
    assert log.report.dropped == {"dated before 2002-10, as by a clock that was not set": 1}
    assert "somebody" not in str(plays(log)) + str(log.songs)


@pytest.mark.parametrize("name", ["1.listens", "listens.jsonl", "1.listens.zst"])
def test_listenbrainz_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = lines(listens())
    path.write_bytes(zstandard.compress(content) if name.endswith("zst") else content)
    check_listens(read_plays(path))


def test_listenbrainz_dump(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        root = "listenbrainz-listens-dump-1-20240101-000000-full"
        members = {
            "COPYING": b"licence",
            "TIMESTAMP": b"2024",
            "listens/2015/4.listens": lines(listens()[:2]),
            "listens/2015/5.listens": lines(listens()[2:]),
        }
        for name, content in members.items():
            info = tarfile.TarInfo(f"{root}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path = tmp_path / "listenbrainz-listens-dump-1-20240101-000000-full.tar.zst"
    path.write_bytes(zstandard.compress(buffer.getvalue()))
    check_listens(read_plays(path))
    assert len(read_plays(path).report.files) == 2


def test_listenbrainz_odd_types_are_read_line_by_line(tmp_path: Path) -> None:
    rows = listens()
    rows[0]["user_id"] = "12"
    info = rows[0]["track_metadata"]["additional_info"]  # type: ignore[index]
    info["artist_mbids"] = "8f6bd1e4-fbe1-4f50-aa9b-94c450ec0f11"
    rows[2]["track_metadata"]["additional_info"] = {"recording_mbid": 5}  # type: ignore[index]
    path = tmp_path / "odd.listens"
    path.write_bytes(lines(rows))
    check_listens(read_plays(path))


def test_listenbrainz_old_name_of_the_time(tmp_path: Path) -> None:
    old = listen()
    old["timestamp"] = old.pop("listened_at")
    path = tmp_path / "old.listens"
    path.write_bytes(lines([old]))
    assert plays(read_plays(path))[0]["listened_at"] == datetime(2015, 4, 25, 22, 13, 20)


def test_lastfm_exporter(tmp_path: Path) -> None:
    path = tmp_path / "recenttracks-somebody-1700000000.csv"
    path.write_text(
        "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid\n"
        '"","","Nina Simone","","","","Playing Now",""\n'
        '"1700000000","14 Nov 2023, 22:13","Nina Simone","b-1","Pastel ""Blues""","a-1",'
        '"Sinnerman","t-1"\n'
        '"1699999000","14 Nov 2023, 21:56","Tyler, The Creator","","IGOR","","EARFQUAKE",""\n'
        '"0","01 Jan 1970, 00:00","Nina Simone","b-1","","","Sinnerman","t-1"\n'
    )
    log = read_plays(path)
    assert log.report.format == "lastfm"
    assert plays(log) == [
        {"song_id": "t-1", "user_id": None, "listened_at": datetime(2023, 11, 14, 22, 13, 20)},
        {
            "song_id": "tyler, the creator – earfquake",
            "user_id": None,
            "listened_at": datetime(2023, 11, 14, 21, 56, 40),
        },
    ]
    assert song(log, "t-1")["artist_ids"] == ["b-1"]
    assert log.report.n_read == 4
    assert log.report.dropped == {
        "playing at the moment of export (no time)": 1,
        "dated before 2002-10, as by a clock that was not set": 1,
    }


def test_lastfm_1k_users(tmp_path: Path) -> None:
    path = tmp_path / "userid-timestamp-artid-artname-traid-traname.tsv"
    artist = "f1b1cf71-bd35-4e99-8624-24a6e15f133a"
    path.write_text(
        f"user_000001\t2009-05-04T23:08:57Z\t{artist}\tDeep Dish\t\tFuck Me Im Famous (Pacha)\n"
        f'user_000001\t2009-05-04T13:54:10Z\t\t坂本龍一\t\tComposition "0919" (Live\n'
        f'user_000002\t2009-05-04T13:52:04Z\t\t坂本龍一\tt-2\tMc2 ("Live_2009_4_15)\n'
    )
    log = read_plays(path)
    assert log.report.format == "lastfm"
    assert [row["user_id"] for row in plays(log)] == ["user_000001", "user_000001", "user_000002"]
    assert song(log, '坂本龍一 – composition "0919" (live')["title"] == 'Composition "0919" (Live'
    assert song(log, "t-2")["artist_ids"] == ["坂本龍一"]
    assert plays(log)[0]["listened_at"] == datetime(2009, 5, 4, 23, 8, 57)


def stream(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "ts": "2023-01-15T18:22:33Z",
        "username": "secret-name",
        "platform": "ios",
        "ms_played": 180000,
        "conn_country": "SE",
        "ip_addr": "203.0.113.9",
        "master_metadata_track_name": "Dancing Queen",
        "master_metadata_album_artist_name": "ABBA",
        "master_metadata_album_album_name": "Arrival",
        "spotify_track_uri": "spotify:track:0GjEhVFGZW8afUYGChu3Rr",
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": False,
        "offline": False,
        "offline_timestamp": 1673806773,
        "incognito_mode": False,
    }
    return row | changes


def streams() -> list[dict[str, object]]:
    return [
        stream(),
        stream(ts="2023-01-16T00:00:10Z", ms_played=30000),
        stream(ms_played=29999, skipped=True),
        stream(
            spotify_track_uri=None,
            master_metadata_track_name=None,
            master_metadata_album_artist_name=None,
            episode_name="A podcast",
        ),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_spotify_history(tmp_path: Path, packed: bool) -> None:
    content = json.dumps(streams(), indent=2)
    path = tmp_path / "Streaming_History_Audio_2023_0.json"
    path.write_text(content)
    if packed:
        path = tmp_path / "my_spotify_data.zip"
        folder = "Spotify Extended Streaming History"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{folder}/Streaming_History_Audio_2023_0.json", content)
            archive.writestr(f"{folder}/Streaming_History_Video_2023.json", content)
            archive.writestr(f"{folder}/ReadMeFirst_ExtendedStreamingHistory.pdf", b"%PDF\0")
    log = read_plays(path)
    uri = "spotify:track:0GjEhVFGZW8afUYGChu3Rr"
    assert plays(log) == [
        {"song_id": uri, "user_id": None, "listened_at": datetime(2023, 1, 15, 18, 19, 33)},
        {"song_id": uri, "user_id": None, "listened_at": datetime(2023, 1, 15, 23, 59, 40)},
    ]
    assert song(log, uri)["artist_ids"] == ["ABBA"]
    assert log.report.dropped == {
        "played for less than 30 seconds": 1,
        "a podcast's episode, not a song": 1,
    }
    stored = b"".join(file.read_bytes() for file in log.plays) + str(log.songs).encode()
    assert b"203.0.113.9" not in stored
    assert b"secret-name" not in stored


NEW_CHART = (
    "rank,uri,artist_names,track_name,source,peak_rank,previous_rank,days_on_chart,streams\n"
    '1,spotify:track:1Qrg8KqiBpW07V7PNxwwwL,"SZA, Lizzo",Kill Bill,Top Dawg,1,1,28,8093461\n'
    "2,spotify:track:3nqQXoyQOWXiESFLlDF1hG,Sam Smith,Unholy,Capitol,1,2,105,3412345\n"
)
OLD_CHART = (
    ',,,"Note that these figures are generated using a formula that protects against any '
    'artificial inflation of chart positions.",\n'
    "Position,Track Name,Artist,Streams,URL\n"
    '1,"Starboy",The Weeknd,3135625,https://open.spotify.com/track/5aAx2yezTd8zXrkmtKl66Z\n'
)


def test_spotify_charts_of_both_shapes(tmp_path: Path) -> None:
    new = tmp_path / "regional-global-daily-2023-01-05.csv"
    new.write_bytes(b"\xef\xbb\xbf" + NEW_CHART.encode())
    old = tmp_path / "regional-global-daily-2017-01-01.csv"
    old.write_text(OLD_CHART)
    for path in (new, old):
        assert sniff_format(path) == "spotify_charts"
    log = read_plays(tmp_path)
    first = {"song_id": "5aAx2yezTd8zXrkmtKl66Z", "date": date(2017, 1, 1), "plays": 3135625}
    assert plays(log)[0] == first
    assert [row["plays"] for row in plays(log)] == [3135625, 8093461, 3412345]
    assert song(log, "1Qrg8KqiBpW07V7PNxwwwL")["artist_ids"] == ["SZA", "Lizzo"]
    assert log.span == (date(2017, 1, 1), date(2023, 1, 5))
    assert any("last rank" in note for note in log.report.notes)


def test_xiami_agrees_with_pandas(shared: Path) -> None:
    path = shared / "data" / "plays" / "ali_music_song_daily.csv.gz"
    log = read_plays(path)
    given = pd.read_csv(path, dtype={"song_id": str})
    ours = pd.concat(pd.read_parquet(file) for file in log.plays)
    assert log.report.format == "xiami"
    assert len(ours) == len(given) == log.report.n_kept
    assert ours["plays"].sum() == given["plays"].sum()
    days = pd.to_datetime(given["date"].astype(str)).dt.date
    pd.testing.assert_series_equal(
        ours.set_index(["song_id", "date"])["plays"].sort_index(),
        given.assign(date=days).set_index(["song_id", "date"])["plays"].sort_index(),
    )
    assert log.songs is not None
    assert len(log.songs) == given["song_id"].nunique()
    per_song = given.drop_duplicates("song_id")
    late = (per_song["publish_time"] > given["date"].max()).sum()
    assert log.report.odd == {
        "plays dated before the song's release": (given["date"] < given["publish_time"]).sum(),
        "songs released after the last day of the log": late,
    }
    assert read_songs(path).equals(log.songs)


FMA_TRACKS = (
    ",album,album,artist,artist,set,track,track,track,track,track\n"
    ",comments,date_released,id,name,subset,date_created,genre_top,language_code,listens,title\n"
    "track_id,,,,,,,,,,\n"
    "2,0,2009-01-05 00:00:00,1,AWOL,small,2008-11-26 01:48:12,Hip-Hop,en,1293,Food\n"
    '155320,0,,24357,Spowus,large,2017-03-30 15:23:34,Rock,,283,"Two\nlines"\n'
)


@pytest.mark.parametrize("packed", [False, True])
def test_fma(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text(FMA_TRACKS)
    if packed:
        path = tmp_path / "fma_metadata.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("fma_metadata/tracks.csv", FMA_TRACKS)
            archive.writestr("fma_metadata/genres.csv", "genre_id,#tracks\n")
    log = read_plays(path)
    assert (log.kind, log.report.format, log.span) == ("totals", "fma", None)
    assert plays(log) == [{"song_id": "2", "plays": 1293}, {"song_id": "155320", "plays": 283}]
    food = song(log, "2")
    assert (food["title"], food["artist_ids"], food["release_date"]) == (
        "Food",
        ["1"],
        date(2009, 1, 5),
    )
    assert (food["genre"], food["subset"]) == ("Hip-Hop", "small")
    assert song(log, "155320")["title"] == "Two\nlines"
    assert fma.audio_path("fma", "155320") == Path("fma/155/155320.mp3")
    with pytest.raises(ParameterError, match="whole numbers from 0 to 999999"):
        fma.audio_path("fma", "../2")


# -- songs, the report, the life of the files --------------------------------------------------


def test_read_songs_keeps_further_columns(tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_text("song_id,name,artist,release_date,label\nb,B,x;y,2024,\na,A,,2024-01-02,L\n")
    assert read_songs(path).to_pylist() == [
        {
            "song_id": "a",
            "title": "A",
            "artist_ids": [],
            "release_date": date(2024, 1, 2),
            "label": "L",
        },
        {
            "song_id": "b",
            "title": "B",
            "artist_ids": ["x", "y"],
            "release_date": None,
            "label": None,
        },
    ]


def test_skipped_rows_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "song_id,date,plays\na,2024-01-01,1\nb,2024-01-01,-1\n,2024-01-01,1\nc,2024-02-30,1\n"
        "d,2024-01-01\ne,2024-01-01,2\n"
    )
    log = read_plays(path, on_error="skip")
    assert [row["song_id"] for row in plays(log)] == ["a", "e"]
    report = log.report
    assert report.n_read == 6
    assert report.n_read - report.n_kept == sum(report.dropped.values()) == 4
    assert report.lines()[0] == "read 6 rows of 1 file as tabular, kept 2"


def test_temporary_files_go_with_the_last_reference(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("song_id,date,plays\na,2024-01-01,1\n")
    log = read_plays(path)
    stored = log.plays[0]
    copy = replace(log, songs=None)
    del log
    gc.collect()
    assert stored.exists()
    del copy
    gc.collect()
    assert not stored.parent.exists()
    kept = read_plays(path, folder=tmp_path / "kept")
    assert kept.plays == (tmp_path / "kept" / "plays.parquet",)
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["plays.parquet"]


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("song_id,date,plays\n" + "".join(f"s{i},2024-01-01,1\n" for i in range(50000)))
    seen: list[tuple[int, int]] = []
    read_plays(path, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_unknown_arguments(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("song_id,date,plays\na,2024-01-01,1\n")
    with pytest.raises(ParameterError, match="format 'scrobbles'; it may be tabular, spotify_"):
        read_plays(path, "scrobbles")
    with pytest.raises(ParameterError, match="on_error 'ignore'; it may be 'raise' or 'skip'"):
        read_plays(path, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="mapping names 'streams'; the names it may give"):
        read_plays(path, mapping={"streams": "plays"})
    with pytest.raises(ParameterError, match="a mapping goes with the format 'tabular'"):
        read_plays(path, "xiami", mapping={"plays": "plays"})
    assert set(FORMATS) > {"tabular", "xiami"}


# -- round trips --------------------------------------------------------------------------------

IDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=12,
)
DAYS = st.dates(date(1900, 1, 1), date(2099, 12, 31))
COUNTS = st.integers(0, 10**12)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 31, 23, 59, 59))
QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(rows=st.dictionaries(st.tuples(IDS, DAYS), COUNTS, min_size=1, max_size=20))
def test_daily_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[tuple[str, date], int]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    frame = pd.DataFrame(
        [(song_id, day, n) for (song_id, day), n in rows.items()],
        columns=["song_id", "date", "plays"],
    )
    frame.to_csv(folder / "log.csv", index=False)
    frame.to_parquet(folder / "log.parquet")
    expected = frame.to_dict("records")
    assert plays(read_plays(folder / "log.csv", "tabular")) == expected
    assert plays(read_plays(folder / "log.parquet")) == expected


@QUICK
@given(rows=st.lists(st.tuples(IDS, IDS, MOMENTS), min_size=1, max_size=20, unique=True))
def test_events_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, datetime]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    frame = pd.DataFrame(rows, columns=["song_id", "user_id", "listened_at"])
    written = frame.assign(listened_at=[moment.isoformat() + "Z" for _, _, moment in rows])
    written.to_csv(folder / "log.csv", index=False)
    table = pa.Table.from_pylist(
        [dict(zip(frame.columns, row, strict=True)) for row in rows], PLAYS_SCHEMAS["events"]
    )
    pq.write_table(table, folder / "log.parquet")
    assert plays(read_plays(folder / "log.csv", "tabular")) == table.to_pylist()
    assert plays(read_plays(folder / "log.parquet")) == table.to_pylist()


def test_a_refused_log_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("song_id,date,plays\na,2024-01-01,1\nb,2024-01-01,x\n")
    with pytest.raises(DataError):
        read_plays(path, folder=tmp_path / "out")
    assert list((tmp_path / "out").glob("*")) == []

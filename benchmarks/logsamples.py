"""Small well-formed logs of every kind that is read, drawn from a seed, and ways to pack them."""

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable

from benchmarks import logexports


def daily_csv(rng: random.Random, delimiter: str = ",") -> bytes:
    rows = [f"s{i},2024-01-{i % 28 + 1:02d},{rng.randrange(1000)}" for i in range(40)]
    return "\n".join(["song_id,date,plays", *rows, ""]).replace(",", delimiter).encode()


def events_csv(rng: random.Random) -> bytes:
    rows = [f'u{i % 5},"s{i % 7}",2024-01-01T10:{i:02d}:00+02:00,"T, {i}"' for i in range(40)]
    return "\r\n".join(["user,track_id,timestamp,title", *rows, ""]).encode()


def xiami(rng: random.Random) -> bytes:
    head = (
        "song_id,downloads,collects,date,publish_time,song_init_plays,language,gender,plays,"
        "artist_id"
    )
    rows = [
        f"{i:032x},0,0,201503{i % 28 + 1:02d},20030201,6517,11,1,{i},a{i % 3}" for i in range(40)
    ]
    return "\n".join([head, *rows, ""]).encode()


def listens(rng: random.Random) -> bytes:
    rows = [
        {
            "user_id": i % 5,
            "listened_at": 1430000000 + i,
            "recording_msid": f"{i:08x}",
            "track_metadata": {
                "artist_name": "Ä",
                "track_name": f"Track {i}",
                "additional_info": {"recording_mbid": f"m{i % 7}", "artist_mbids": ["x", "y"]},
            },
        }
        for i in range(20)
    ]
    return "".join(
        json.dumps(row, ensure_ascii=bool(rng.randrange(2))) + "\n" for row in rows
    ).encode()


def scrobbles(rng: random.Random) -> bytes:
    head = "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid"
    rows = [f'"{1700000000 + i}","14 Nov","A ""{i}""","","B","","T{i}","t{i}"' for i in range(30)]
    return "\n".join([head, *rows, ""]).encode()


def users_1k(rng: random.Random) -> bytes:
    rows = [f'user_00000{i % 9}\t2009-05-04T23:{i:02d}:57Z\ta\tA "\t\tT{i}' for i in range(30)]
    return ("\n".join(rows) + "\n").encode()


def history(rng: random.Random) -> bytes:
    rows = [
        {
            "ts": f"2023-01-15T18:{i:02d}:33Z",
            "username": "u",
            "ms_played": 20000 + 2000 * i,
            "ip_addr": "203.0.113.9",
            "master_metadata_track_name": f"T{i}",
            "master_metadata_album_artist_name": "A",
            "spotify_track_uri": f"spotify:track:{i}" if i % 4 else None,
        }
        for i in range(20)
    ]
    return json.dumps(rows, indent=rng.choice([None, 2])).encode()


def chart(rng: random.Random) -> bytes:
    head = "rank,uri,artist_names,track_name,source,peak_rank,previous_rank,days_on_chart,streams"
    rows = [f'{i},spotify:track:{i},"A, B",T{i},C,1,1,1,{10**6 - i}' for i in range(30)]
    return b"\xef\xbb\xbf" + "\n".join([head, *rows, ""]).encode()


def old_chart(rng: random.Random) -> bytes:
    rows = [f'{i},"T{i}",A,{9000 - i},https://open.spotify.com/track/{i}' for i in range(30)]
    head = ',,,"Note that these figures are estimates.",'
    return "\n".join([head, "Position,Track Name,Artist,Streams,URL", *rows, ""]).encode()


def fma(rng: random.Random) -> bytes:
    head = (
        ",album,album,artist,set,track,track,track,track,track\n"
        ",comments,date_released,id,subset,date_created,genre_top,language_code,listens,title\n"
        "track_id,,,,,,,,,\n"
    )
    rows = [
        f'{i},0,2009-01-05 00:00:00,1,small,2008-11-26 01:48:12,Rock,en,{i},"T\n{i}"'
        for i in range(20)
    ]
    return (head + "\n".join(rows) + "\n").encode()


def parquet(rng: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hitcore.plays.readers import PLAYS_SCHEMAS

    n = 60
    canonical = bool(rng.randrange(2))
    columns = {
        "song_id": [f"s{i}" for i in range(n)],
        "date": pa.array(range(19000, 19000 + n), pa.int32()).cast(pa.date32()),
        "plays": pa.array(range(n), pa.int64() if canonical else pa.float64()),
    }
    buffer = io.BytesIO()
    table = pa.table(columns, PLAYS_SCHEMAS["daily"] if canonical else None)
    compression = rng.choice(["none", "snappy", "zstd", "gzip"])
    pq.write_table(table, buffer, row_group_size=20, compression=compression)
    return buffer.getvalue()


def export_lines(rng: random.Random) -> bytes:
    rows = [logexports.listen(i, f"m{i % 5}") for i in range(20)]
    return logexports.lines(*rows).encode()


def listen_list(rng: random.Random) -> bytes:
    rows = [logexports.listen(i, f"m{i % 5}") for i in range(20)]
    return json.dumps(rows, indent=rng.choice([None, 1])).encode()


def short_history(rng: random.Random) -> bytes:
    rows = [
        {"endTime": f"2023-01-15 18:{i:02d}", "artistName": "Ä", "trackName": "T", "msPlayed": 9**i}
        for i in range(10)
    ]
    return json.dumps(rows, indent=rng.choice([None, 2])).encode()


def watched(rng: random.Random) -> bytes:
    rows = [logexports.video(i, f"abcdefgh{i:03d}", f"Watched {i}") for i in range(30)]
    return json.dumps(rows).encode()


def apple(rng: random.Random) -> bytes:
    cells = [logexports.apple(i, f"S{i % 4}", start=i % 3 > 0) for i in range(30)]
    return logexports.rows(logexports.APPLE, *cells).encode()


def deezer(rng: random.Random) -> bytes:
    moments = [f"2023-01-15 18:{i:02d}:00" for i in range(30)]
    return logexports.workbook(*(("T", "A", f"I{m}", "", "", 60, m) for m in moments))


def headless_scrobbles(rng: random.Random) -> bytes:
    cells = [f'"A ""{i}""",B,T{i},15 Jan 2023 18:{i:02d}' for i in range(30)]
    return logexports.rows("", *cells).encode()


def lfm_events(rng: random.Random) -> bytes:
    if rng.randrange(2):
        cells = [f"{i % 3}\t{i}\t1\t2013-01-05 12:34:{i:02d}" for i in range(30)]
        return logexports.rows("user_id\ttrack_id\talbum_id\ttimestamp", *cells).encode()
    return logexports.rows(
        "", *[f"{i % 3}\t1\t1\t{i}\t{1385212958 + i}" for i in range(30)]
    ).encode()


def mlhd(rng: random.Random) -> bytes:
    cells = [f"{1385212958 + i}\t{logexports.MBID}1\t\t{logexports.MBID}{i % 9}" for i in range(30)]
    return logexports.rows("", *cells).encode()


def chart_table(rng: random.Random) -> bytes:
    cells = [
        f"T{i},{i},2024-01-{i % 28 + 1:02d},A,https://open.spotify.com/track/{i},Peru,top200,UP,{i}"
        for i in range(30)
    ]
    head = "title,rank,date,artist,url,region,chart,trend,streams"
    return logexports.rows(head, *cells).encode()


def spelt_counts(rng: random.Random) -> bytes:
    numbers = [rng.choice(["1.234", "12.000", "7", "1.000.000"]) for _ in range(40)]
    rows = [f"s{i};2024-01-01;{n}" for i, n in enumerate(numbers)]
    return logexports.rows("sep=;\nsong_id;date;plays", *rows).encode()


# -- packing -------------------------------------------------------------------------------------


def plain(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content


def gzipped(name: str, content: bytes) -> tuple[str, bytes]:
    return f"{name}.gz", gzip.compress(content, mtime=0)


def zstandard(name: str, content: bytes) -> tuple[str, bytes]:
    import zstandard as codec

    return f"{name}.zst", codec.compress(content)


def bzipped(name: str, content: bytes) -> tuple[str, bytes]:
    return f"{name}.bz2", bz2.compress(content)


def xzipped(name: str, content: bytes) -> tuple[str, bytes]:
    return f"{name}.xz", lzma.compress(content)


def nested(name: str, content: bytes) -> tuple[str, bytes]:
    """A zip in a zip."""
    _, inner = zipped(name, content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Activity.zip", inner)
    return "outer.zip", buffer.getvalue()


def packed_in_tar(name: str, content: bytes) -> tuple[str, bytes]:
    """A tar of packed files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for pack in (bzipped, xzipped, gzipped):
            member, packed = pack(name, content)
            info = tarfile.TarInfo(f"0/{pack.__name__}/{member}")
            info.size = len(packed)
            archive.addfile(info, io.BytesIO(packed))
    return "log.tar", buffer.getvalue()


def zipped(name: str, content: bytes) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"folder/{name}", content)
        archive.writestr("folder/ReadMe.pdf", b"%PDF")
    return "log.zip", buffer.getvalue()


def tarred(name: str, content: bytes) -> tuple[str, bytes]:
    import zstandard as codec

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in (f"listens/1/{name}", f"listens/{'long' * 40}/{name}"):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return "log.tar.zst", codec.compress(buffer.getvalue())


Make = Callable[[random.Random], bytes]
Pack = Callable[[str, bytes], tuple[str, bytes]]
CHART_NAME = "regional-global-daily-2023-01-05.csv"
KINDS: dict[str, tuple[str, Make, tuple[Pack, ...]]] = {
    "daily csv": ("log.csv", daily_csv, (plain, gzipped, zstandard, zipped)),
    "daily tsv": ("log.tsv", lambda rng: daily_csv(rng, "\t"), (plain,)),
    "events csv": ("log.csv", events_csv, (plain, gzipped)),
    "parquet": ("log.parquet", parquet, (plain,)),
    "xiami": ("log.csv", xiami, (plain, gzipped)),
    "listenbrainz": ("1.listens", listens, (plain, zstandard, tarred, tarred)),
    "lastfm exporter": ("recent.csv", scrobbles, (plain,)),
    "lastfm 1k": ("log.tsv", users_1k, (plain,)),
    "spotify history": ("Streaming_History_Audio_2023_0.json", history, (plain, zipped)),
    "spotify charts": (CHART_NAME, chart, (plain, zipped)),
    "spotify old charts": (CHART_NAME, old_chart, (plain,)),
    "fma": ("tracks.csv", fma, (plain, zipped)),
    "listenbrainz export": ("1.jsonl", export_lines, (zipped, bzipped, xzipped)),
    "listenbrainz list": ("listens.json", listen_list, (plain, zipped)),
    "spotify short": ("StreamingHistory_music_0.json", short_history, (plain, zipped)),
    "youtube music": ("watch-history.json", watched, (plain, zipped)),
    "apple music": ("Apple Music Play Activity.csv", apple, (plain, nested)),
    "deezer": ("deezer-data_1.xlsx", deezer, (plain, plain, zipped)),
    "lastfm without head": ("me.csv", headless_scrobbles, (plain, bzipped)),
    "lfm": ("listening-events.tsv", lfm_events, (plain, bzipped, xzipped)),
    "mlhd": ("u1.txt", mlhd, (plain, packed_in_tar)),
    "chart tables": ("charts.csv", chart_table, (plain,)),
    "numbers as spelt": ("log.csv", spelt_counts, (plain, xzipped)),
}

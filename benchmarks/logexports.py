"""Listening histories made up in the shapes that services export, from plays known beforehand.

Builders of single rows, of whole files, and of folders and archives around them; used by the table
of cases (`logcases.py`), by the fuzzing (`fuzz_logs.py`) and by tests.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Make = Callable[[Path], Path | list[Path]]
"""Writes a log into a folder and says where it is."""

T0 = datetime(2023, 1, 15, 18, 0, tzinfo=UTC)
"""When the first play of most histories began."""


def at(minute: float) -> str:
    """The moment so many minutes after the first, as plays are compared."""
    return (T0 + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")


def iso(minute: float) -> str:
    return (T0 + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(minute: float) -> int:
    return int((T0 + timedelta(minutes=minute)).timestamp())


def write(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def tree(files: Mapping[str, str | bytes]) -> Make:
    """A folder of files."""

    def make(folder: Path) -> Path:
        root = folder / "export"
        for name, content in files.items():
            write(name, content)(root)
        return root

    return make


def archive(files: Mapping[str, str | bytes]) -> Make:
    """A zip of the same files."""

    def make(folder: Path) -> Path:
        path = folder / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
        return path

    return make


def nested(name: str, inside: Make) -> Make:
    """A zip in a zip, as Apple packs."""

    def make(folder: Path) -> Path:
        inner = inside(folder)
        assert isinstance(inner, Path)
        path = folder / "outer.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr(name, inner.read_bytes())
        return path

    return make


def several(*makes: Make) -> Make:
    def make(folder: Path) -> list[Path]:
        made = [each(folder) for each in makes]
        return [path for path in made if isinstance(path, Path)]

    return make


def stream(minute: float, uri: str | None = "a", ms: int = 180_000, **more: Any) -> dict[str, Any]:
    """A record of Spotify's extended history that began so many minutes in."""
    end = T0 + timedelta(minutes=minute, milliseconds=ms)
    return {
        "ts": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "username": "secret",
        "ms_played": ms,
        "ip_addr": "203.0.113.9",
        "master_metadata_track_name": None if uri is None else f"T {uri}",
        "master_metadata_album_artist_name": None if uri is None else "ABBA",
        "spotify_track_uri": None if uri is None else f"spotify:track:{uri}",
        "episode_name": None,
        "spotify_episode_uri": None,
        "offline": False,
        "offline_timestamp": None,
        **more,
    }


def listen(minute: float, song: str = "m1", **more: Any) -> dict[str, Any]:
    """A listen as ListenBrainz's export of one's data has it."""
    return {
        "inserted_at": seconds(minute) + 60,
        "listened_at": float(seconds(minute)),
        "recording_msid": "x",
        "track_metadata": {
            "artist_name": "ABBA",
            "track_name": f"T {song}",
            "additional_info": {},
            "mbid_mapping": {"recording_mbid": song, "artist_mbids": ["ar"]},
        },
        **more,
    }


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows(head: str, *cells: str, end: str = "\n") -> str:
    return end.join([*([head] if head else []), *cells, ""])


def tarball(pack: Callable[[bytes], bytes], members: Mapping[str, bytes]) -> Make:
    def make(folder: Path) -> Path:
        path = folder / "MLHD_000.tar"
        with tarfile.open(path, "w") as tar:
            for name, content in members.items():
                packed = pack(content)
                info = tarfile.TarInfo(name)
                info.size = len(packed)
                tar.addfile(info, io.BytesIO(packed))
        return path

    return make


def workbook(*cells: tuple[Any, ...], sheet: str = "10_listeningHistory") -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "01_account"
    page = book.create_sheet(sheet)
    page.append(
        ("Song Title", "Artist", "ISRC", "Album Title", "IP Address", "Listening Time", "Date")
    )
    for row in cells:
        page.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def bomb_of_entities() -> bytes:
    """A workbook that declares entities which would unfold without end."""
    good = zipfile.ZipFile(
        io.BytesIO(workbook(("T", "A", "I1", "", "", 60, "2023-01-15 18:00:00")))
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in good.namelist():
            content = good.read(name)
            if name.endswith("sheet2.xml"):
                head = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaa">'
                more = b"".join(
                    b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
                )
                content = head + more + b"]>" + content[content.index(b"<worksheet") :]
            zipped.writestr(name, content)
    return buffer.getvalue()


def video(minute: float, key: str, title: str, **more: Any) -> dict[str, Any]:
    """An entry of a watch history."""
    return {
        "header": "YouTube Music",
        "title": title,
        "titleUrl": f"https://music.youtube.com/watch?v={key}",
        "subtitles": [{"name": "ABBA - Topic", "url": "https://www.youtube.com/channel/UC1"}],
        "time": (T0 + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "products": ["YouTube"],
        "activityControls": ["YouTube watch history"],
        **more,
    }


APPLE = (
    "Album Name,Container Artist Name,Event End Timestamp,Event Start Timestamp,Event Type,"
    "Media Type,Play Duration Milliseconds,Song Name,UTC Offset In Seconds"
)


def apple(
    minute: float,
    song: str,
    *,
    ms: object = 180_000,
    artist: str = "ABBA",
    event: str = "PLAY_END",
    media: str = "AUDIO",
    start: bool = True,
) -> str:
    began = iso(minute) if start else ""
    return f'"{song} album",{artist},{iso(minute + 3)},{began},{event},{media},{ms},"{song}",3600'


MBID = "00000000-0000-4000-8000-00000000000"
HISTORY = json.dumps([stream(0), stream(5, "b")])
LATER = json.dumps([stream(5, "b"), stream(10, "c")])
SPOTIFY = (("spotify:track:a", at(0)), ("spotify:track:b", at(5)))
THREE = (*SPOTIFY, ("spotify:track:c", at(10)))
VIDEOS = json.dumps([stream(60, "video")])
LB = {
    "user.json": '{"user_id": 1, "username": "me"}\n',
    "listens/2023/1.jsonl": lines(listen(0), listen(5, "m2")),
    "listens/2023/2.jsonl": lines(listen(10, "m3")),
    "feedback.jsonl": lines({"recording_msid": "x", "recording_mbid": None, "score": 1}),
    "manual_mappings.jsonl": lines({"recording_msid": "x", "recording_mbid": "y"}),
    "pinned_recording.jsonl": lines({"recording_msid": "x", "blurb_content": None}),
}
LB_PLAYS = (("m1", at(0)), ("m2", at(5)), ("m3", at(10)))
SCROBBLES = rows(
    "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid",
    f'"{seconds(5)}","15 Jan 2023, 18:05","ABBA","","","","SOS","t2"',
    f'"{seconds(0)}","15 Jan 2023, 18:00","ABBA","","","","Honey","t1"',
)
FM = (("t1", at(0)), ("t2", at(5)))
NAMED = (("abba – honey", at(0)), ("abba – sos", at(5)))
BY_NAME = {"no recording id; identified by artist and title": 2}
CHART = "rank,uri,artist_names,track_name,streams,date\n"
DAYS = (("a", "2024-01-01 12000"), ("b", "2024-01-01 7"))
TRACK = "0000000000000000000001"


def daily(*cells: str, delimiter: str = ",", first: str = "") -> str:
    head = delimiter.join(("song_id", "date", "plays"))
    return first + rows(head, *cells)

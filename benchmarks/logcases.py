"""Listening histories as they really are: each case with its right plays, and what is read of it.

    python benchmarks/logcases.py                          the table of cases, expected, got
    python benchmarks/logcases.py --write docs/reliability.md     the same, between its marks there

The cases are built here from plays that are known beforehand, in the shapes of public bug reports
of exporters, players and importers; `tests/plays/test_exports.py` tries the same ones.
"""

import argparse
import bz2
import gzip
import json
import lzma
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.logexports import (
    APPLE,
    BY_NAME,
    CHART,
    DAYS,
    FM,
    HISTORY,
    LATER,
    LB,
    LB_PLAYS,
    MBID,
    NAMED,
    SCROBBLES,
    SPOTIFY,
    THREE,
    TRACK,
    VIDEOS,
    Make,
    apple,
    archive,
    at,
    bomb_of_entities,
    daily,
    iso,
    lines,
    listen,
    nested,
    rows,
    seconds,
    several,
    stream,
    tarball,
    tree,
    video,
    workbook,
    write,
)

Play = tuple[str, str]
"""A song and when it began (UTC), or the day and the number of plays."""
TAKEOUT = "Takeout/YouTube and YouTube Music/"
AGAIN = "the same song, listener and time as another row"
SHORT = "played for less than 30 seconds"
START, END = "<!-- log cases: begin -->", "<!-- log cases: end -->"


@dataclass(frozen=True)
class Case:
    """One log, and what reading it must give."""

    name: str
    make: Make
    plays: tuple[Play, ...] = ()
    """The right plays, in any order."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    odd: Mapping[str, int] = field(default_factory=dict)
    refused: str = ""
    """Part of the message, where the log must be refused."""
    format: str = ""
    """The format that must be found; empty: not looked at."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def expected(self) -> str:
        """In words."""
        if self.refused:
            return f"refused: {self.refused}"
        return outcome(len(self.plays), self.dropped, self.odd)


def outcome(n_plays: int, dropped: Mapping[str, int], odd: Mapping[str, int]) -> str:
    """What was read, in words."""
    left = [f"{n} left out: {reason}" for reason, n in sorted(dropped.items())]
    kept = [f"{n} noted: {reason}" for reason, n in sorted(odd.items())]
    return "; ".join([f"{n_plays} play" + "s" * (n_plays != 1), *left, *kept])


# -- pieces ----------------------------------------------------------------------------------------


CASES = (
    # events that stand twice
    Case(
        "Spotify: two extended exports that overlap",
        several(
            write("Streaming_History_Audio_2023_0.json", HISTORY),
            write("Streaming_History_Audio_2023_1.json", LATER),
        ),
        THREE,
        {AGAIN: 1},
        format="spotify_history",
    ),
    Case(
        "the same with --keep-duplicates",
        several(write("endsong_0.json", HISTORY), write("endsong_1.json", LATER)),
        (*THREE, SPOTIFY[1]),
        options={"keep_duplicates": True},
    ),
    Case(
        "ListenBrainz: a listen inserted twice",
        write("1.jsonl", lines(listen(0), listen(0, inserted_at=1), listen(5, "m2"))),
        LB_PLAYS[:2],
        {AGAIN: 1},
        format="listenbrainz",
    ),
    Case(
        "ListenBrainz dump: one song and moment of two people",
        write("1.listens", lines(listen(0, user_id=1), listen(0, user_id=2))),
        (LB_PLAYS[0], LB_PLAYS[0]),
    ),
    Case(
        "Last.fm: a file that was appended to twice",
        write("scrobbles.csv", SCROBBLES + SCROBBLES.partition("\n")[2]),
        FM,
        {AGAIN: 2},
        format="lastfm",
    ),
    Case(
        "a table that names listeners, with a row twice",
        write("log.csv", rows("user_id,song_id,listened_at", *[f"u,a,{iso(0)}"] * 2)),
        (("a", at(0)),),
        {AGAIN: 1},
        format="tabular",
    ),
    Case(
        "a table without listeners, two rows alike",
        write("log.csv", rows("song_id,listened_at", *[f"a,{iso(0)}"] * 2)),
        (("a", at(0)), ("a", at(0))),
        odd={"the same song and time as another row, of listeners that are not named": 1},
    ),
    Case(
        "the same with --drop-duplicates",
        write("log.csv", rows("song_id,listened_at", *[f"a,{iso(0)}"] * 2)),
        (("a", at(0)),),
        {AGAIN: 1},
        options={"keep_duplicates": False},
    ),
    # official exports
    Case("ListenBrainz: the export's zip", archive(LB), LB_PLAYS, format="listenbrainz"),
    Case("ListenBrainz: the same as a folder", tree(LB), LB_PLAYS, format="listenbrainz"),
    Case(
        "ListenBrainz: a JSON list",
        write("listens.json", json.dumps([listen(0), listen(5, "m2"), listen(10, "m3")])),
        LB_PLAYS,
        format="listenbrainz",
    ),
    Case(
        "Spotify extended: zip with videos beside",
        archive(
            {
                "Spotify Extended/Streaming_History_Audio_2023_0.json": HISTORY,
                "Spotify Extended/Streaming_History_Video_2023.json": VIDEOS,
                "Spotify Extended/ReadMe.pdf": b"%PDF",
            }
        ),
        SPOTIFY,
        format="spotify_history",
    ),
    Case(
        "Spotify extended: the same as a folder",
        tree(
            {
                "Spotify Extended/Streaming_History_Audio_2023_0.json": HISTORY,
                "Spotify Extended/Streaming_History_Video_2023.json": VIDEOS,
                "Spotify Extended/ReadMe.pdf": b"%PDF",
            }
        ),
        SPOTIFY,
        format="spotify_history",
    ),
    Case(
        "Spotify: short history, podcasts in a file of their own",
        tree(
            {
                "StreamingHistory_music_0.json": json.dumps(
                    [
                        {
                            "endTime": "2023-01-15 18:03",
                            "artistName": "ABBA",
                            "trackName": "Honey",
                            "msPlayed": 180_000,
                        },
                        {
                            "endTime": "2023-01-15 18:08",
                            "artistName": "ABBA",
                            "trackName": "SOS",
                            "msPlayed": 180_000,
                        },
                        {
                            "endTime": "2023-01-15 18:08",
                            "artistName": "ABBA",
                            "trackName": "SOS",
                            "msPlayed": 10_000,
                        },
                    ]
                ),
                "StreamingHistory_podcast_0.json": json.dumps(
                    [
                        {
                            "endTime": "2023-01-15 18:03",
                            "podcastName": "P",
                            "episodeName": "E",
                            "msPlayed": 1_000_000,
                        }
                    ]
                ),
                "Playlist1.json": '{"playlists": []}',
            }
        ),
        NAMED,
        {SHORT: 1},
        {"no recording id; identified by artist and title": 3},
        format="spotify_short",
    ),
    Case(
        "Spotify: both histories in one folder",
        tree(
            {
                "a/StreamingHistory_music_0.json": json.dumps(
                    [
                        {
                            "endTime": "2023-01-15 18:03",
                            "artistName": "ABBA",
                            "trackName": "T a",
                            "msPlayed": 180_000,
                        }
                    ]
                ),
                "b/Streaming_History_Audio_2023_0.json": HISTORY,
            }
        ),
        SPOTIFY,
        format="spotify_history",
    ),
    Case(
        "Apple Music: play activity with videos, lyrics, skips, negative times",
        write(
            "Apple Music Play Activity.csv",
            rows(
                APPLE,
                apple(0, "Honey"),
                apple(5, "SOS", artist=""),
                apple(9, "SOS"),
                apple(20, "Honey", ms=-5),
                apple(21, "Honey", ms=0),
                apple(22, "Honey", ms=9_000),
                apple(23, "Clip", media="VIDEO"),
                apple(24, "Honey", event="LYRIC_DISPLAY"),
                apple(30, "Honey", start=False),
            ),
        ),
        (*NAMED, ("abba – sos", at(9)), ("abba – honey", at(30))),
        {
            SHORT: 1,
            "played for 0 milliseconds": 1,
            "played for a negative time": 1,
            "a video, not a song": 1,
            "no end of a play (lyrics shown, a play begun)": 1,
        },
        {"without a start; dated by the end less the time played": 1},
        format="apple_music",
    ),
    Case(
        "Apple Music: a zip in a zip, other tables beside",
        nested(
            "Apple_Media_Services/Apple Music Activity.zip",
            archive(
                {
                    "Apple Music Activity/Apple Music Play Activity.csv": rows(
                        APPLE, apple(0, "Honey"), apple(5, "SOS")
                    ),
                    "Apple Music Activity/Other.csv": "a,b\n1,2\n",
                }
            ),
        ),
        NAMED,
        format="apple_music",
    ),
    Case(
        "YouTube Music: Takeout's zip, with videos, searches, an advertisement",
        archive(
            {
                TAKEOUT + "history/watch-history.json": json.dumps(
                    [
                        video(5, "-e8Nfjl_AKk", "Watched SOS"),
                        video(0, "abcdefghijk", "Watched Honey"),
                        video(0, "abcdefghijk", "Watched Honey"),
                        video(6, "lllllllllll", "Watched Cats", header="YouTube"),
                        video(7, "mmmmmmmmmmm", "Watched x", details=[{"name": "From Google Ads"}]),
                        {"header": "YouTube Music", "title": "Watched what was removed"},
                    ]
                ),
                TAKEOUT + "playlists/Liked.csv": "a,b\n1,2\n",
            }
        ),
        (("abcdefghijk", at(0)), ("-e8Nfjl_AKk", at(5))),
        {
            AGAIN: 1,
            "of YouTube, not YouTube Music": 1,
            "an advertisement": 1,
            "no song (a search, or removed since)": 1,
        },
        format="youtube_music",
    ),
    Case(
        "Deezer: the workbook, a skip and a length that is not known",
        write(
            "deezer-data_123.xlsx",
            workbook(
                ("Honey", "ABBA", "I1", "", "203.0.113.9", 180, "2023-01-15 18:00:00"),
                ("SOS", "ABBA", None, "", "", 180, datetime(2023, 1, 15, 18, 5)),
                ("SOS", "ABBA", "I2", "", "", 10, "2023-01-15 18:09:00"),
                ("SOS", "ABBA", "I2", "", "", -1, "2023-01-15 18:10:00"),
            ),
        ),
        (("I1", at(0)), ("abba – sos", at(5)), ("I2", at(10))),
        {SHORT: 1},
        {
            "of unknown length; counted as a play": 1,
            "no recording id; identified by artist and title": 1,
        },
        format="deezer",
    ),
    Case(
        "Deezer: a workbook of another kind",
        write("book.xlsx", workbook(sheet="Sheet7")),
        refused="there is no sheet 10_listeningHistory",
    ),
    Case(
        "Deezer: a workbook that unfolds without end",
        write("deezer-data_1.xlsx", bomb_of_entities()),
        refused="declares entities, as XML bombs do",
    ),
    Case(
        "Last.fm: without a head, as lastfm-to-csv writes, one song playing",
        write(
            "me.csv",
            rows(
                "", "ABBA,A,Now,", "ABBA,A,SOS,15 Jan 2023 18:05", "ABBA,A,Honey,15 Jan 2023 18:00"
            ),
        ),
        NAMED,
        {"playing at the moment of export (no time)": 1},
        {"no recording id; identified by artist and title": 3},
        format="lastfm",
    ),
    Case(
        "Last.fm: the same with a head, and a comma in the date",
        write(
            "me.csv",
            rows(
                "Artist,Album,Track,Date",
                'ABBA,A,SOS,"15 Jan 2023, 18:05"',
                'ABBA,A,Honey,"15 Jan 2023, 18:00"',
            ),
        ),
        NAMED,
        odd=BY_NAME,
        format="lastfm",
    ),
    Case(
        "Last.fm: lastexport's tabs, a quote in a title",
        write(
            "exported_tracks.txt",
            rows(
                "",
                f"{seconds(5)}\tSOS\tABBA\tA\t\t\t",
                f'{seconds(0)}\tHoney "live\tABBA\tA\tt1\t\t',
            ),
        ),
        (("t1", at(0)), ("abba – sos", at(5))),
        odd={"no recording id; identified by artist and title": 1},
        format="lastfm",
    ),
    Case(
        "no head, columns by number (--column 0=artist …)",
        write("mine.csv", rows("", f"ABBA;Honey;{iso(0)}", f"ABBA;SOS;{iso(5)}")),
        NAMED,
        odd=BY_NAME,
        options={"mapping": {"artist": 0, "track": 1, "listened_at": 2}},
    ),
    Case(
        "LFM-1b: events without a head, .bz2",
        write(
            "LFM-1b_LEs.txt.bz2",
            bz2.compress(
                rows("", f"7\t2\t4\t1\t{seconds(0)}", f"7\t2\t4\t2\t{seconds(5)}").encode()
            ),
        ),
        (("1", at(0)), ("2", at(5))),
        format="lfm",
    ),
    Case(
        "LFM-2b: listening-events.tsv.xz",
        write(
            "listening-events.tsv.xz",
            lzma.compress(
                rows("user_id\ttrack_id\talbum_id\ttimestamp", f"7\t1\t4\t{at(0)}").encode()
            ),
        ),
        (("1", at(0)),),
        format="lfm",
    ),
    Case(
        "MLHD+: listeners as packed files of a tar, one song and moment of two",
        tarball(
            gzip.compress,
            {
                "0/u1.txt.gz": rows(
                    "", f"{seconds(0)}\t{MBID}1\t{MBID}2\t{MBID}3", f"{seconds(5)}\t{MBID}1\t\t"
                ).encode(),
                "0/u2.txt.gz": rows("", f"{seconds(0)}\t{MBID}1\t\t{MBID}3").encode(),
            },
        ),
        ((f"{MBID}3", at(0)), (f"{MBID}3", at(0))),
        {"no recording is known": 1},
        format="mlhd",
    ),
    # numbers, separators, times
    Case(
        "12.000 beside 1.234: points between thousands",
        write("log.csv", daily("a,2024-01-01,12.000", "b,2024-01-01,7", "c,2024-01-01,1.234")),
        (*DAYS, ("c", "2024-01-01 1234")),
    ),
    Case(
        "12.000 beside 7.5: refused, no play is half",
        write("log.csv", daily("a,2024-01-01,12.000", "b,2024-01-01,7.5")),
        refused="plays '7.5' is not a whole number",
    ),
    Case(
        "12.000 beside 7.00: points before decimals",
        write("log.csv", daily("a,2024-01-01,12.000", "b,2024-01-01,7.00")),
        (("a", "2024-01-01 12"), DAYS[1]),
    ),
    Case(
        "12.000 and nothing that tells",
        write("log.csv", daily("a,2024-01-01,12.000", "b,2024-01-01,7")),
        refused="'12.000' may be 12 (a point before decimals) or 12000 (a point between thousands)",
    ),
    Case(
        "the same with --decimal ,",
        write("log.csv", daily("a,2024-01-01,12.000", "b,2024-01-01,7")),
        DAYS,
        options={"decimal": ","},
    ),
    Case(
        "12 000 with narrow spaces",
        write("log.csv", daily("a,2024-01-01,12\u202f000", "b,2024-01-01,7")),
        DAYS,
    ),
    Case(
        "12,000.0 and 7.0 of a spreadsheet",
        write("log.csv", daily('a,2024-01-01,"12,000.0"', "b,2024-01-01,7.0")),
        DAYS,
    ),
    Case(
        "1,234 and 1.234 in one column",
        write("log.csv", daily('a,2024-01-01,"1,234"', "b,2024-01-01,1.234")),
        refused="are not written by one convention",
    ),
    Case(
        "sep=; before the head",
        write(
            "log.csv", daily("a;2024-01-01;12000", "b;2024-01-01;7", delimiter=";", first="sep=;\n")
        ),
        DAYS,
        format="tabular",
    ),
    Case(
        "times of 1, 2, 3",
        write("log.csv", rows("song_id,listened_at", "a,1", "b,2")),
        refused="is in 1970, when nothing was streamed",
    ),
    Case(
        "a chart with a column of dates, under any name",
        write(
            "all my charts.csv",
            CHART + f"1,spotify:track:{TRACK},A,T,12000,2024-01-01\n"
            f"1,spotify:track:{TRACK},A,T,7,2024-01-02\n",
        ),
        ((TRACK, "2024-01-01 12000"), (TRACK, "2024-01-02 7")),
        format="spotify_charts",
    ),
    Case(
        "the same with two regions",
        write(
            "charts.csv",
            "title,rank,date,artist,url,region,chart,trend,streams\n"
            + "".join(
                f"T,1,2024-01-01,A,https://open.spotify.com/track/{TRACK},{region},top200,UP,9\n"
                for region in ("Peru", "Chile")
            ),
        ),
        refused="charts of Chile and Peru; read one region at a time",
    ),
    Case(
        "a table of one's own called tracks.csv, in a zip",
        archive({"tracks.csv": daily("a,2024-01-01,12000", "b,2024-01-01,7")}),
        DAYS,
        format="tabular",
    ),
    # what is played without being a play
    Case(
        "Spotify: played offline, times in seconds and milliseconds, and none",
        write(
            "endsong_0.json",
            json.dumps(
                [
                    stream(600, "a", offline=True, offline_timestamp=seconds(0)),
                    stream(600, "b", offline=True, offline_timestamp=seconds(5) * 1000),
                    stream(10, "c", offline=True, offline_timestamp=0),
                    stream(20, "d", offline=False, offline_timestamp=seconds(0)),
                ]
            ),
        ),
        (*THREE, ("spotify:track:d", at(20))),
        odd={
            "played offline; dated by the device's clock": 2,
            "played offline without a sensible time of the device; dated by the end that was "
            "reported": 1,
        },
    ),
    Case(
        "Spotify: 0 ms, skips, podcasts, audiobooks",
        write(
            "endsong_0.json",
            json.dumps(
                [
                    stream(0),
                    stream(5, "b"),
                    stream(9, ms=0),
                    stream(9, ms=29_999),
                    stream(9, None, episode_name="E", spotify_episode_uri="spotify:episode:1"),
                    stream(9, None, audiobook_title="B", audiobook_uri="spotify:show:1"),
                    stream(9, None),
                ]
            ),
        ),
        SPOTIFY,
        {
            "played for 0 milliseconds": 1,
            SHORT: 1,
            "a podcast's episode, not a song": 1,
            "an audiobook's chapter, not a song": 1,
            "no song is named": 1,
        },
    ),
)


def read(case: Case, folder: Path) -> tuple[Any, list[Play]]:
    """The log of a case, and its plays."""
    import pyarrow.parquet as pq

    from hitcore.plays import read_plays

    log = read_plays(case.make(folder), **case.options)
    found: list[Play] = []
    for path in log.plays:
        for row in pq.read_table(path).to_pylist():
            if "plays" in row:
                day: date = row["date"]
                found.append((row["song_id"], f"{day} {row['plays']}"))
            else:
                found.append((row["song_id"], f"{row['listened_at']:%Y-%m-%d %H:%M:%S}"))
    return log, sorted(found)


def got(case: Case, folder: Path) -> tuple[str, bool]:
    """What reading a case gives, in words, and whether it is right."""
    from hitcore.errors import DataError

    try:
        log, found = read(case, folder)
    except DataError as error:
        right = bool(case.refused) and case.refused in str(error)
        return (f"refused: {case.refused}" if right else f"refused: {error}"), right
    words = outcome(len(found), log.report.dropped, log.report.odd)
    right = found == sorted(case.plays) and words == case.expected()
    if case.format:
        right &= log.report.format == case.format
    return words if right else f"{words}, of {log.report.format}: {found}", right


def table() -> tuple[list[str], int]:
    """The table of all cases in Markdown, and how many are wrong."""
    written = ["| case | expected | got |", "|---|---|---|"]
    n_wrong = 0
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="hitcore-logcase-") as folder:
            words, right = got(case, Path(folder))
        n_wrong += not right
        cells = (case.name, case.expected(), "as expected" if right else f"**wrong:** {words}")
        written.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return written, n_wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", metavar="FILE", help="put the table between the marks of a file")
    options = parser.parse_args()
    written, n_wrong = table()
    written.append("")
    written.append(f"{len(CASES) - n_wrong} of {len(CASES)} as expected.")
    if options.write:
        page = Path(options.write)
        before, _, rest = page.read_text().partition(START)
        _, _, after = rest.partition(END)
        page.write_text("\n".join([before + START, "", *written, "", END]) + after)
    else:
        print(*written, sep="\n")
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()

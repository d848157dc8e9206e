"""Cases of the exports that services and their usual exporters write, as they come."""

import bz2
import gzip
import json
import lzma
import sys
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.logcase import AGAIN, SHORT, Case
from benchmarks.logexports import (
    APPLE,
    BY_NAME,
    HISTORY,
    LB,
    LB_PLAYS,
    MBID,
    NAMED,
    SPOTIFY,
    VIDEOS,
    apple,
    archive,
    at,
    bomb_of_entities,
    iso,
    listen,
    nested,
    rows,
    seconds,
    tarball,
    tree,
    video,
    workbook,
    write,
)

TAKEOUT = "Takeout/YouTube and YouTube Music/"

EXTENDED = {
    "Spotify Extended/Streaming_History_Audio_2023_0.json": HISTORY,
    "Spotify Extended/Streaming_History_Video_2023.json": VIDEOS,
    "Spotify Extended/ReadMe.pdf": b"%PDF",
}

SERVICES = (
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
        archive(EXTENDED),
        SPOTIFY,
        format="spotify_history",
    ),
    Case(
        "Spotify extended: the same as a folder",
        tree(EXTENDED),
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
)

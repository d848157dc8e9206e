"""Listening histories as they really are: each case with its right plays, and what is read of it.

    python benchmarks/logcases.py                          the table of cases, expected, got
    python benchmarks/logcases.py --write docs/reliability.md     the same, between its marks there

The cases are built here from plays that are known beforehand, in the shapes of public bug reports
of exporters, players and importers; `tests/plays/test_exports.py` tries the same ones.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.logcase import AGAIN, SHORT, Case, got
from benchmarks.logexports import (
    CHART,
    DAYS,
    FM,
    HISTORY,
    LATER,
    LB_PLAYS,
    SCROBBLES,
    SPOTIFY,
    THREE,
    TRACK,
    archive,
    at,
    daily,
    iso,
    lines,
    listen,
    rows,
    seconds,
    several,
    stream,
    write,
)
from benchmarks.logservices import SERVICES

START, END = "<!-- log cases: begin -->", "<!-- log cases: end -->"

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
    *SERVICES,
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

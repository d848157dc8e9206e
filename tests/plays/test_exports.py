"""Exports and tables as they really are: every case of `benchmarks/logcases.py`, and their laws."""

import json
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.logcase import Case, got
from benchmarks.logcases import CASES, END, START
from benchmarks.logexports import listen, stream, video, write
from hitcore.errors import DataError, ParameterError
from hitcore.plays.hitscores import daily_shares, hit_scores
from hitcore.plays.parsing import duplicates
from hitcore.plays.parsing.counts import POSSIBLE, Count
from hitcore.plays.readers import FORMATS, PLAYS_SCHEMAS, PlayLog, read_plays
from hitcore.plays.readers.formats import READERS
from hitcore.plays.readers.personal.youtube_music import _without_watched

DOCS = Path(__file__).resolve().parents[2] / "docs"


def plays(log: PlayLog) -> list[dict[str, object]]:
    return [row for path in log.plays for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    words, right = got(case, tmp_path)
    assert right, words


def test_the_page_shows_just_these_cases() -> None:
    text = (DOCS / "reliability.md").read_text()
    table = text[text.index(START) : text.index(END)]
    for case in CASES:
        assert f"| {case.name.replace('|', chr(92) + '|')} |" in table
    assert f"{len(CASES)} of {len(CASES)} as expected" in table


def test_every_format_names_its_source_and_stands_on_the_page() -> None:
    page = (DOCS / "formats.md").read_text()
    assert set(FORMATS) == set(READERS)
    for name, reader in READERS.items():
        assert reader.source
        assert 2010 < int(reader.as_of) < 2030
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.endswith(f" {reader.as_of} |")


# -- identical events --------------------------------------------------------------------------

MOMENTS = st.integers(0, 5).map(lambda minute: datetime(2024, 1, 1) + timedelta(minutes=minute))
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["u", "v", None]), MOMENTS),
    min_size=1,
    max_size=30,
)


def events(rows: list[tuple[str, str | None, datetime]]) -> pa.Table:
    named = [dict(zip(("song_id", "user_id", "listened_at"), row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, PLAYS_SCHEMAS["events"])


def once(rows: list[tuple[str, str | None, datetime]]) -> list[tuple[str, str | None, datetime]]:
    """What must stay: the first of each that names a listener, and all others."""
    return [row for n, row in enumerate(rows) if row[1] is None or row not in rows[:n]]


def in_order(rows: object) -> list[tuple[str, str, str]]:
    return sorted(tuple(map(str, row)) for row in rows)  # type: ignore[arg-type, attr-defined]


@pytest.mark.parametrize("few", [duplicates.FEW_ROWS, 0], ids=["here", "on the engine"])
@settings(max_examples=25)
@given(rows=ROWS)
def test_events_of_one_listener_count_once(
    tmp_path_factory: pytest.TempPathFactory, few: int, rows: list[tuple[str, str | None, datetime]]
) -> None:
    """By the rule itself, in memory and on the engine; a file that has none stays in its place."""
    path = tmp_path_factory.mktemp("once") / "log.parquet"
    pq.write_table(events(rows), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "FEW_ROWS", few)
        log = read_plays(path)
    kept = once(rows)
    assert in_order(row.values() for row in plays(log)) == in_order(kept)
    assert log.report.n_kept == len(kept)
    assert log.report.dropped.get(duplicates.REASON, 0) == len(rows) - len(kept)
    assert (log.plays == (path,)) == (len(rows) == len(kept))


def test_scores_of_a_table_count_events_once(spark_or_none: ibis.BaseBackend | None) -> None:
    start = pd.Timestamp("2024-01-01")
    table = pd.DataFrame(
        {
            "song_id": ["a", "a", "a", "b", "b"],
            "user_id": ["u", "u", "v", None, None],
            "listened_at": [start] * 5,
        }
    )
    songs = pd.DataFrame({"song_id": ["a", "b"], "release_date": [start, start]})
    for engine in filter(None, ("duckdb", spark_or_none)):
        found = hit_scores(table, songs, "day:0", backend=engine)["hit_score"].tolist()
        assert found == [0.5, 0.5]  # u and v, and two of nobody
    kept = daily_shares(table, keep_duplicates=True)["share"].tolist()
    assert kept == [0.6, 0.4]


@pytest.fixture
def spark_or_none(request: pytest.FixtureRequest) -> ibis.BaseBackend | None:
    """A Spark session where there can be one; the test is of DuckDB alone elsewhere."""
    try:
        backend: ibis.BaseBackend = request.getfixturevalue("spark")
    except pytest.skip.Exception:
        return None
    return backend


def test_refused_rows_come_out_of_no_repeats(tmp_path: Path) -> None:
    """What was read is what is kept and what was dropped, repeats among it."""
    rows = [stream(0), stream(0), stream(0, ms=10), stream(0, None)]
    (tmp_path / "endsong_0.json").write_text(json.dumps(rows))
    report = read_plays(tmp_path / "endsong_0.json").report
    assert report.n_read == 4 == report.n_kept + sum(report.dropped.values())


# -- numbers -----------------------------------------------------------------------------------


def spelt(number: int, thousands: str, decimal: str, decimals: int) -> str:
    text = f"{number:,}".replace(",", thousands)
    return text + (decimal + "0" * decimals if decimals else "")


@given(
    numbers=st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    convention=st.sampled_from(POSSIBLE),
    decimals=st.integers(0, 4),
)
def test_a_column_reads_as_it_was_written_or_not_at_all(
    numbers: list[int], convention: object, decimals: int
) -> None:
    marks = (convention.thousands, convention.decimal)  # type: ignore[attr-defined]
    cells = pa.array([spelt(number, *marks, decimals) for number in numbers])
    told: DataError | None = None
    try:
        found, refused = Count().parse(cells)
    except DataError as error:
        told = error
    if told is not None:
        assert "may be" in str(told)
        assert all(n % 1000 == 0 or n < 1000 for n in numbers)
    else:
        assert not refused.any()
        assert found.to_pylist() == numbers


def test_the_whole_column_decides_not_the_first_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitcore.plays.parsing.delimited.BLOCK_BYTES", 64)
    rows = [f"s{i},2024-01-01,{i}.000" for i in range(1, 40)]
    for last, first in (("z,2024-01-01,1.234", 1000), ("z,2024-01-01,5.0", 1)):
        path = tmp_path / "log.csv"
        path.write_text("\n".join(["song_id,date,plays", *rows, last, ""]))
        assert plays(read_plays(path))[0]["plays"] == first
        pd.read_csv(path, dtype=str).to_parquet(tmp_path / "log.parquet")
        assert plays(read_plays(tmp_path / "log.parquet"))[0]["plays"] == first


def test_what_stands_between_thousands_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('song_id,date,plays\na,2024-01-01,"12,345"\n')
    note = "plays: written with a comma between thousands, a point before decimals."
    assert read_plays(path).report.notes == (note,)


# -- folders, archives, layouts ------------------------------------------------------------------


def test_a_folder_is_read_like_the_zip_of_it(tmp_path: Path) -> None:
    """Files below, packed or not, and what lies beside them."""
    inside = {
        "a/listens/1.jsonl": json.dumps(listen(0)) + "\n",
        "a/listens/2.jsonl": json.dumps(listen(5, "m2")) + "\n",
        "a/feedback.jsonl": '{"score": 1}\n',
        "b/cover.png": "x",
        ".hidden/3.jsonl": json.dumps(listen(9, "m3")) + "\n",
    }
    folder, packed = tmp_path / "export", tmp_path / "export.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in inside.items():
            write(name, content)(folder)
            if not name.startswith("."):
                archive.writestr(name, content)
    ours, theirs = read_plays(folder), read_plays(packed)
    assert plays(ours) == plays(theirs)
    assert len(plays(ours)) == 2
    assert ours.report.files == ("a/listens/1.jsonl", "a/listens/2.jsonl")


def test_the_line_of_a_fault_in_a_folder(tmp_path: Path) -> None:
    write("in/x.csv", "song_id,date,plays\na,2024-01-01,1\n")(tmp_path)
    write("in/y.csv", "song_id,date,plays\n\nb,2024-01-01,-1\n")(tmp_path)
    with pytest.raises(DataError, match=r"^y\.csv, line 3: plays '-1' is negative"):
        read_plays(tmp_path)


def test_a_service_zone_is_the_logs_own_where_all_times_have_it(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for times, zone in {
        ("2024-01-01T00:00:00+08:00", "2024-07-01T00:00:00+08:00"): "+08:00",
        ("2024-01-01T00:00:00+01:00", "2024-07-01T00:00:00+02:00"): None,
        ("2024-01-01T00:00:00Z", "2024-07-01T00:00:00Z"): None,
        ("2024-01-01 00:00:00", "2024-07-01 00:00:00"): None,
    }.items():
        path.write_text("\n".join(["song_id,listened_at", *(f"a,{t}" for t in times), ""]))
        assert read_plays(path).time_zone == zone
    for month, offset in (("01", "+01:00"), ("07", "+02:00")):
        text = f"song_id,listened_at\na,2024-{month}-01T00:00:00{offset}\n"
        write(f"both/{month}.csv", text)(tmp_path)
    assert read_plays(tmp_path / "both").time_zone is None


@pytest.mark.parametrize(
    ("before", "after"),
    [("Watched ", ""), ("Vous avez regardé ", ""), ("", " angesehen"), ("Hai guardato ", " ")],
)
def test_the_word_for_watched_is_found_in_any_language(before: str, after: str) -> None:
    titles = [f"Song {chr(97 + n)} of many" if n % 2 else f"{n} songs" for n in range(26)]
    wrapped = pa.array([before + title + after for title in titles])
    assert [text.strip() for text in _without_watched(wrapped).to_pylist()] == titles


def test_a_history_as_a_web_page_says_what_to_ask_for(tmp_path: Path) -> None:
    path = tmp_path / "watch-history.html"
    path.write_text("<html><body>Watched</body></html>")
    with pytest.raises(DataError, match="ask Takeout for JSON: Multiple formats, History, JSON"):
        read_plays(path, "youtube_music")


def test_personal_data_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text(json.dumps([stream(0), video(0, "abcdefghijk", "Watched x")]))
    (tmp_path / "endsong_0.json").write_text(json.dumps([stream(0)]))
    log = read_plays(tmp_path / "endsong_0.json")
    kept = str(plays(log)) + str(log.songs) + str(log.report)
    assert "secret" not in kept
    assert "203.0.113.9" not in kept


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("xl/sharedStrings.xml", b"\0" * 2 * 10**7, "more than 200 times, as archive bombs do"),
        ("xl/sharedStrings.xml", bytes(range(256)) * 100, "at most 1,000 are read"),
        ("xl/worksheets/../../x", b"x", "leads out of the archive"),
        ("xl/worksheets/sheet1.xml", b"<worksheet", "is not a whole workbook"),
    ],
)
def test_hostile_workbooks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    content: bytes,
    message: str,
) -> None:
    monkeypatch.setattr("hitcore.plays.readers.personal.deezer._MAX_PART_BYTES", 1000)
    path = tmp_path / "deezer-data_1.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr(part, content)
    with pytest.raises(DataError, match=message) as caught:
        read_plays(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": {"artist": 0, "title": "x"}}, "some columns by number and some by name"),
        ({"mapping": {"artist": 0, "artist_ids": 1}}, "gives artist_ids twice"),
        ({"decimal": ";"}, "decimal ';'; it may be"),
    ],
)
def test_refused_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b,1700000000\n")
    with pytest.raises(ParameterError, match=message):
        read_plays(path, "tabular", **options)  # type: ignore[arg-type]

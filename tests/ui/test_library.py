"""A person's songs: they outlive the server, are apart for each owner, and removing is final."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hitcore.errors import HitcoreError, ParameterError
from ui.server import uploads
from ui.server.library import Library
from ui.server.quotas import Quota, QuotaError, quota
from ui.server.uploads import UploadStore


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(UploadStore(tmp_path / "uploads", keep_hours=1))


def files(library: Library) -> list[str]:
    return sorted(path.name for path in library.store.root.glob("*/*"))


def test_everything_survives_a_restart(library: Library) -> None:
    song = library.add("me", "A.mp3", b"sound")
    library.rename("me", song.digest, "  Our\nsingle ")
    library.choose("me", song.digest, {"highlight": "middle"})
    library.put_report("me", song.digest, '{"report": 1}', {"places": []})
    word = library.share("me", song.digest)
    again = Library(UploadStore(library.store.root, keep_hours=1))
    (entry,) = again.songs("me")
    assert (entry.name, entry.choice, entry.line) == (
        "Our single",
        {"highlight": "middle"},
        {"places": []},
    )
    assert again.store.get_report("me", song.digest) == '{"report": 1}'
    assert again.shared(word) is not None


def test_bringing_a_song_again_changes_neither_name_nor_place(library: Library) -> None:
    first = library.add("me", "A.mp3", b"a")
    library.add("me", "B.mp3", b"b")
    library.rename("me", first.digest, "Renamed")
    library.add("me", "A.mp3", b"a")
    assert [entry.name for entry in library.songs("me")] == ["Renamed", "B.mp3"]


def test_removing_leaves_nothing_and_touches_nobody_else(library: Library) -> None:
    for owner in ("me", "you"):
        song = library.add(owner, "A.mp3", b"sound")
        library.put_report(owner, song.digest, "{}", {})
    word = library.share("me", song.digest)
    library.remove("me", [song.digest])
    assert library.songs("me") == []
    assert library.store.get_report("me", song.digest) is None
    assert library.shared(word) is None
    assert len(files(library)) == 2  # the other's sound and report
    assert library.is_held(song.digest)
    library.remove("you", [song.digest])
    assert files(library) == []
    assert not library.is_held(song.digest)


def test_a_report_of_a_song_removed_meanwhile_is_not_kept(library: Library) -> None:
    song = library.add("me", "A.mp3", b"sound")
    library.remove("me", [song.digest])
    library.put_report("me", song.digest, "{}", {})
    assert files(library) == []
    assert library.songs("me") == []


def test_when_its_time_is_over_a_song_and_its_report_are_gone(library: Library) -> None:
    old, new = library.add("me", "old", b"old"), library.add("me", "new", b"new")
    library.put_report("me", old.digest, "{}", {})
    word = library.share("me", old.digest)
    path = library.store.get("me", old.digest)
    assert path is not None
    os.utime(path, (time.time() - 3601,) * 2)
    gone: list[str] = []
    library.on_gone.append(gone.append)
    assert library.sweep() == 1
    assert gone == [old.digest]
    assert library.sweep() == 0
    assert gone == [old.digest]
    assert [entry.name for entry in library.songs("me")] == ["new"]
    assert library.shared(word) is None
    assert files(library) == [new.digest]


def everything(folder: Path) -> bytes:
    """All bytes of all files below a folder, and their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"".join(path.name.encode() + path.read_bytes() for path in files)


@pytest.mark.parametrize("by_time", [False, True])
def test_of_a_song_that_is_gone_no_byte_is_left(library: Library, by_time: bool) -> None:
    """Its sound, report, name, line and link, in whatever file they were."""
    song = library.add("me", "Distinctive title.mp3", b"a distinctive sound")
    library.put_report("me", song.digest, '"a distinctive report"', {"title": "distinctive line"})
    word = library.share("me", song.digest)
    other = library.add("you", "Another.mp3", b"another sound")
    traces = [b"istinctive", song.digest.encode(), word.encode()]
    assert all(trace in everything(library.store.root) for trace in traces)
    if by_time:
        path = library.store.get("me", song.digest)
        assert path is not None
        os.utime(path, (time.time() - 3601,) * 2)
        library.sweep()
    else:
        library.remove("me", [song.digest])
    left = everything(library.store.root)
    assert [trace for trace in traces if trace in left] == []
    assert other.digest.encode() in left


def test_a_song_that_is_brought_again_while_its_time_ends_is_not_lost(library: Library) -> None:
    song = library.add("me", "A.mp3", b"sound")
    path = library.store.get("me", song.digest)
    assert path is not None
    path.unlink()
    seen_as_gone = [(path.parent.name, song.digest)]
    library.add("me", "A.mp3", b"sound")
    library._forget_gone(seen_as_gone)
    assert [entry.name for entry in library.songs("me")] == ["A.mp3"]


# --- quotas --------------------------------------------------------------------------------------


def small(tmp_path: Path, **quota: float) -> Library:
    return Library(UploadStore(tmp_path / "uploads"), Quota(**quota))  # type: ignore[arg-type]


def test_more_songs_than_one_person_may_have_are_refused_and_another_is_not(tmp_path: Path) -> None:
    library = small(tmp_path, songs=2)
    first = library.add("many", "A", b"a")
    library.add("many", "B", b"b")
    with pytest.raises(QuotaError, match="you have 2 of 2 songs here"):
        library.add("many", "C", b"c")
    assert [entry.name for entry in library.songs("many")] == ["A", "B"]
    assert len(files(library)) == 2  # nothing of the third is left
    library.add("many", "A", b"a")  # what is here already takes no room
    library.add("few", "C", b"c")
    library.remove("many", [first.digest])
    library.add("many", "C", b"c")
    assert library.taken("many")[0] == 2


def test_more_megabytes_than_one_person_may_have_are_refused(tmp_path: Path) -> None:
    library = small(tmp_path, megabytes=1)
    song = library.add("many", "A", bytes(600_000))
    library.put_report("many", song.digest, " " * 300_000, {})
    with pytest.raises(QuotaError, match=r"it has 0.2 MB, and your songs take 0.9 of 1 MB"):
        library.add("many", "B", bytes(200_000))
    library.add("many", "B", bytes(50_000))
    library.add("few", "B", bytes(900_000))
    assert library.taken("many") == (2, pytest.approx(0.95))


def test_windows_of_one_person_do_not_share_the_last_place_out(tmp_path: Path) -> None:
    library = small(tmp_path, songs=5)

    def bring(number: int) -> bool:
        try:
            library.add("me", str(number), b"%d" % number)
        except QuotaError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        kept = list(threads.map(bring, range(40)))
    assert sum(kept) == len(library.songs("me")) == 5


def test_the_quotas_are_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SONGS", "MB", "WAITING", "WORK_S"):
        monkeypatch.delenv(f"HITCORE_QUOTA_{variable}", raising=False)
    assert quota() == Quota(songs=200, megabytes=2000, waiting=100, work_s=1800)
    for number, variable in enumerate(("SONGS", "MB", "WAITING", "WORK_S"), 1):
        monkeypatch.setenv(f"HITCORE_QUOTA_{variable}", str(number))
    assert quota() == Quota(songs=1, megabytes=2, waiting=3, work_s=4)
    for wrong in ("0", "-1", "many", "inf", "nan", "1.5"):
        monkeypatch.setenv("HITCORE_QUOTA_SONGS", wrong)
        with pytest.raises(ParameterError, match="HITCORE_QUOTA_SONGS"):
            quota()


def test_listing_does_not_keep_songs_and_opening_does(library: Library) -> None:
    song = library.add("me", "A.mp3", b"sound")
    path = library.store.get("me", song.digest)
    assert path is not None
    half_an_hour_ago = time.time() - 1800
    os.utime(path, (half_an_hour_ago,) * 2)
    library.songs("me")
    library.entry("me", song.digest)
    kept = library.store.kept_until("me", song.digest)
    assert kept == pytest.approx(half_an_hour_ago + 3600, abs=1)
    library.store.get("me", song.digest)
    assert library.store.kept_until("me", song.digest) == pytest.approx(time.time() + 3600, abs=5)


def test_sharing_is_an_act_and_can_be_ended(library: Library) -> None:
    song = library.add("me", "A.mp3", b"sound")
    assert library.word_of("me", song.digest) is None
    word = library.share("me", song.digest)
    assert library.share("me", song.digest) == word
    found = library.shared(word)
    assert found is not None
    assert found[0].read_bytes() == b"sound"
    with pytest.raises(HitcoreError, match="of your own"):
        library.share("you", song.digest)
    library.unshare("you", song.digest)
    assert library.shared(word) is not None
    library.unshare("me", song.digest)
    assert library.shared(word) is None
    assert library.share("me", song.digest) != word  # the old link stays dead


@pytest.mark.parametrize("word", ["", "x", "' OR 1=1 --", "../..", "\0"])
def test_a_word_that_nobody_made_opens_nothing(library: Library, word: str) -> None:
    library.share("me", library.add("me", "A.mp3", b"sound").digest)
    assert library.shared(word) is None


def test_many_threads_at_once_lose_nothing(library: Library) -> None:
    def bring(number: int) -> None:
        song = library.add("me", f"{number}.mp3", b"%d" % number)
        library.put_report("me", song.digest, "{}", {"number": number})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(bring, range(40)))
    found = library.songs("me")
    assert sorted(entry.line["number"] for entry in found if entry.line) == list(range(40))


def test_the_hours_are_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HITCORE_KEEP_HOURS", raising=False)
    assert uploads.keep_hours() == 24
    monkeypatch.setenv("HITCORE_KEEP_HOURS", "2.5")
    assert uploads.keep_hours() == 2.5
    for wrong in ("0", "-1", "soon", "inf", "nan"):
        monkeypatch.setenv("HITCORE_KEEP_HOURS", wrong)
        with pytest.raises(ParameterError, match="HITCORE_KEEP_HOURS"):
            uploads.keep_hours()

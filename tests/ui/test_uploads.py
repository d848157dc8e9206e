"""Uploads are kept under their hash, apart for each owner, and are forgotten in time."""

import errno
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hitcore.errors import HitcoreError
from ui.server.streamlit_private import browser_token
from ui.server.uploads import UploadStore


def test_an_upload_stands_under_its_hash_and_nowhere_else(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    digest = store.put("me", b"sound")
    assert digest == hashlib.sha256(b"sound").hexdigest()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files] == [digest]
    assert store.put("me", b"sound") == digest
    assert len(list(tmp_path.rglob("*"))) == 2


def test_another_owner_cannot_reach_it(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    digest = store.put("me", b"sound")
    assert store.get("you", digest) is None
    assert store.get("me", digest) is not None


@pytest.mark.parametrize("digest", ["", "../../secret", "a" * 63, "A" * 64, "g" * 64, "\0" * 64])
def test_what_is_no_hash_finds_nothing(tmp_path: Path, digest: str) -> None:
    assert UploadStore(tmp_path).get("me", digest) is None


def test_uploads_are_forgotten_after_their_time(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, keep_hours=1)
    old, new = store.put("me", b"old"), store.put("me", b"new")
    path = store.get("me", old)
    assert path is not None
    an_age_ago = time.time() - 3601
    os.utime(path, (an_age_ago, an_age_ago))
    assert store.sweep() == 1
    assert store.get("me", old) is None
    assert store.get("me", new) is not None


def test_the_token_survives_a_new_mask() -> None:
    first = browser_token("2|148bdcb1|7d0e1532dbb4298617cabf9edb5e6963|1795376311")
    second = browser_token("2|5bd7bf93|3252761094e84aa45896dcbc94020a41|1795376311")
    assert first == second is not None


@pytest.mark.parametrize("cookie", ["", "2|xx|00|1", "1|00|00|1", "2||00|1", "2|00||1", "2|00|0|1"])
def test_a_broken_cookie_names_nobody(cookie: str) -> None:
    assert browser_token(cookie) is None


def test_a_clock_that_was_set_back_does_not_keep_uploads_for_ever(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, keep_hours=1)
    digest = store.put("me", b"sound")
    path = store.get("me", digest)
    assert path is not None
    in_a_year = time.time() + 365 * 86_400
    os.utime(path, (in_a_year, in_a_year))
    assert store.sweep() == 0
    assert abs(path.stat().st_mtime - time.time()) < 60


def test_two_sweeps_at_once_are_no_error(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, keep_hours=1)
    for number in range(400):
        store.put("me", b"%d" % number)
    for path in tmp_path.glob("*/*"):
        os.utime(path, (0, 0))
    with ThreadPoolExecutor(4) as threads:
        swept = [threads.submit(store.sweep) for _ in range(4)]
        assert sum(each.result() for each in swept) == 400


def test_what_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ui.server.uploads.write_atomic", full)
    with pytest.raises(HitcoreError, match=r"the server \(No space left on device\)"):
        UploadStore(tmp_path).put("me", b"sound")

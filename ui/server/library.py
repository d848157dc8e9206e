"""A person's songs: the list of what they brought, until its time is over.

The sound and its report lie in the upload store; this is the list beside them, in one SQLite file:
what each song is called, what was chosen for it, the line that tables show, and who may open it by
a link. It outlives reload, restart and absence. A song whose upload is gone is gone from here too.

Sharing is an act: `share` makes a secret word, whoever has the link with it may open the song, and
`unshare` ends that at once.
"""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from hitcore.errors import HitcoreError
from ui.server import log
from ui.server.quotas import Quota, QuotaError
from ui.server.uploads import UploadStore, folder_of

MAX_NAME = 200
"""Letters of a name that are kept."""

SWEEP_S = 600.0
"""The server looks this often for songs whose time is over, visitors or none."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS songs (
    owner TEXT NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, added REAL NOT NULL,
    choice TEXT NOT NULL DEFAULT '{}', line TEXT, fault TEXT, paused INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, digest));
CREATE TABLE IF NOT EXISTS shares (
    word TEXT PRIMARY KEY, owner TEXT NOT NULL, digest TEXT NOT NULL, UNIQUE (owner, digest));
"""


@dataclass(frozen=True)
class Entry:
    """One song of one person."""

    digest: str
    """SHA-256 of the content."""
    name: str
    """What the file was called, or what the person renamed it to; untrusted text."""
    added: float
    """When it was brought, seconds since 1970."""
    choice: dict[str, Any]
    """What was chosen for it: highlight, window, tagger, models."""
    line: dict[str, Any] | None
    """What tables show of its report; None before it has one."""
    fault: str | None
    """Why there can be no report."""
    paused: bool
    """Whether its person does not want it analysed for now."""


class Library:
    """The songs of everybody on this server, apart for each owner.

    Example:
        >>> import tempfile
        >>> library = Library(UploadStore(Path(tempfile.mkdtemp())))
        >>> song = library.add("me", "Song.mp3", b"sound")
        >>> [entry.name for entry in library.songs("me")], library.songs("you")
        (['Song.mp3'], [])
        >>> word = library.share("me", song.digest)
        >>> library.shared(word)[1].name
        'Song.mp3'
        >>> library.remove("me", [song.digest])
        >>> library.songs("me"), library.shared(word)
        ([], None)
    """

    def __init__(self, store: UploadStore, quota: Quota | None = None) -> None:
        self.store = store
        self.quota = quota or Quota()
        self.on_gone: list[Callable[[str], None]] = []
        """Called with the hash of each song that nobody has any more, once its time is over."""
        self._adding: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._looking = threading.Lock()
        store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._changing() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(SCHEMA)

    # --- what is there ---------------------------------------------------------------------------

    def add(self, owner: str, name: str, content: bytes) -> Entry:
        """Keep a song; one that is there already stays as it is called, and is wanted again.

        Raises:
            QuotaError: this person has as many songs, or as much of the disk, as they may have.
            HitcoreError: the server's disk is full or cannot be written.
        """
        with self._lock_of(
            folder_of(owner)
        ):  # two windows of one person must not both take the last place
            self._check_room(owner, content)
            digest = self.store.put(owner, content)
            with self._changing() as database:
                database.execute(
                    "INSERT INTO songs (owner, digest, name, added) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET paused = 0, fault = NULL",
                    (folder_of(owner), digest, _plain_name(name), time.time()),
                )
        log.event("song kept", megabytes=len(content) / 1e6)
        found = self.entry(owner, digest)
        assert found is not None, "it was added a moment ago"
        return found

    def songs(self, owner: str) -> list[Entry]:
        """Everything that a person has here, the first brought first."""
        rows = self._rows("WHERE owner = ? ORDER BY added, rowid", folder_of(owner))
        gone = [row for row in rows if self.store.get(owner, row.digest, used=False) is None]
        self._forget_gone([(folder_of(owner), row.digest) for row in gone])
        return [row for row in rows if row not in gone]

    def entry(self, owner: str, digest: str) -> Entry | None:
        """One song of a person; None where they have no such song."""
        if self.store.get(owner, digest, used=False) is None:
            return None
        return next(
            iter(self._rows("WHERE owner = ? AND digest = ?", folder_of(owner), digest)), None
        )

    def taken(self, owner: str) -> tuple[int, float]:
        """How many songs a person has, and the megabytes of these and their reports."""
        return self.store.taken(owner)

    def is_held(self, digest: str) -> bool:
        """Whether anybody has this song."""
        return bool(self._rows("WHERE digest = ?", digest))

    # --- what a person does ----------------------------------------------------------------------

    def rename(self, owner: str, digest: str, name: str) -> None:
        """Call a song otherwise; a blank name changes nothing."""
        if name.strip():
            self._set(owner, digest, name=_plain_name(name))

    def choose(self, owner: str, digest: str, choice: dict[str, Any]) -> None:
        """Remember what was chosen for a song; it is then wanted again."""
        self._set(owner, digest, choice=json.dumps(choice), paused=0, fault=None)

    def pause(self, owner: str, digests: list[str], *, paused: bool = True) -> None:
        """Do not analyse these songs for now, or do."""
        for digest in digests:
            self._set(owner, digest, paused=int(paused))

    def remove(self, owner: str, digests: list[str]) -> None:
        """Delete songs with all that was derived from them, and end their sharing."""
        for digest in digests:
            self.store.remove(owner, digest)
        log.event("songs removed", songs=len(digests))
        self._forget([(folder_of(owner), digest) for digest in digests])

    def sweep(self) -> int:
        """Delete songs whose time is over with all that was derived; the number deleted."""
        deleted = self.store.sweep()
        with self._changing() as database:
            rows = database.execute("SELECT owner, digest FROM songs").fetchall()
        gone = [row for row in rows if not (self.store.root / row[0] / row[1]).exists()]
        self._forget_gone(gone)
        for digest in {digest for _, digest in gone if not self.is_held(digest)}:
            for forget in self.on_gone:
                forget(digest)
        return deleted

    def sweep_forever(self) -> None:
        """Sweep every `SWEEP_S` seconds, in a thread that ends with the server."""

        def work() -> None:
            while True:
                time.sleep(SWEEP_S)
                try:
                    log.event("swept", songs=self.sweep())
                except (HitcoreError, OSError) as error:  # it may go better in ten minutes
                    log.fault("sweeping", error)

        threading.Thread(target=work, name="uploads", daemon=True).start()

    # --- what is found out -----------------------------------------------------------------------

    def put_report(self, owner: str, digest: str, document: str, line: dict[str, Any]) -> None:
        """Keep the report of a song, and the line of it that tables show.

        Raises:
            HitcoreError: the server's disk is full or cannot be written.
        """
        self.store.put_report(owner, digest, document)
        self._set(owner, digest, line=json.dumps(line), fault=None)

    def put_fault(self, owner: str, digest: str, fault: str) -> None:
        """Remember why a song can have no report."""
        self._set(owner, digest, fault=fault, line=None)

    # --- sharing ---------------------------------------------------------------------------------

    def share(self, owner: str, digest: str) -> str:
        """The secret word of the link with which anybody may open this song.

        Raises:
            HitcoreError: this person has no such song.
        """
        if self.entry(owner, digest) is None:
            raise HitcoreError("only a song of your own can be shared: this one is gone")
        with self._changing() as database:
            database.execute(
                "INSERT OR IGNORE INTO shares (word, owner, digest) VALUES (?, ?, ?)",
                (secrets.token_urlsafe(16), folder_of(owner), digest),
            )
        word = self.word_of(owner, digest)
        assert word is not None, "it was shared a moment ago"
        return word

    def unshare(self, owner: str, digest: str) -> None:
        """End the sharing of a song: its link leads nowhere from now on."""
        with self._changing() as database:
            database.execute(
                "DELETE FROM shares WHERE owner = ? AND digest = ?", (folder_of(owner), digest)
            )

    def word_of(self, owner: str, digest: str) -> str | None:
        """The word under which a song is shared; None where it is not."""
        with self._changing() as database:
            row = database.execute(
                "SELECT word FROM shares WHERE owner = ? AND digest = ?", (folder_of(owner), digest)
            ).fetchone()
        return None if row is None else str(row[0])

    def shared(self, word: str) -> tuple[Path, Entry] | None:
        """The sound and the entry that a word opens; None where it opens nothing (any more)."""
        with self._changing() as database:
            row = database.execute(
                "SELECT owner, digest FROM shares WHERE word = ?", (word,)
            ).fetchone()
        if row is None:
            return None
        path = self.store.root / str(row[0]) / str(row[1])
        found = self._rows("WHERE owner = ? AND digest = ?", *row)
        return (path, found[0]) if found and path.exists() else None

    # --- inside ----------------------------------------------------------------------------------

    def _forget(self, keys: list[tuple[str, str]]) -> None:
        with self._changing() as database:
            database.executemany("DELETE FROM songs WHERE owner = ? AND digest = ?", keys)
            database.executemany("DELETE FROM shares WHERE owner = ? AND digest = ?", keys)

    def _forget_gone(self, keys: list[tuple[str, str]]) -> None:
        """Take songs off the list whose uploads are gone, unless they were just brought again."""
        for folder, digest in keys:
            with self._lock_of(folder):
                if not (self.store.root / folder / digest).exists():
                    self._forget([(folder, digest)])

    def _check_room(self, owner: str, content: bytes) -> None:
        """Refuse what one person may not have as well; what is here already takes nothing."""
        if self.store.has(owner, content):
            return
        n_songs, megabytes = self.taken(owner)
        if n_songs >= self.quota.songs:
            log.event("quota met", of="songs")
            raise QuotaError(
                f"you have {n_songs:,} of {self.quota.songs:,} songs here. "
                "Remove some, or come back when their time is over"
            )
        if megabytes + len(content) / 1e6 > self.quota.megabytes:
            log.event("quota met", of="megabytes")
            raise QuotaError(
                f"it has {len(content) / 1e6:,.1f} MB, and your songs take {megabytes:,.1f} of "
                f"{self.quota.megabytes:,.0f} MB. Remove some, or come back when their time is over"
            )

    def _lock_of(self, folder: str) -> threading.Lock:
        with self._looking:
            return self._adding.setdefault(folder, threading.Lock())

    def _rows(self, condition: str, *values: object) -> list[Entry]:
        with self._changing() as database:
            rows = database.execute(  # conditions and columns are words of this file
                f"SELECT digest, name, added, choice, line, fault, paused FROM songs {condition}",  # noqa: S608
                values,
            ).fetchall()
        return [
            Entry(
                digest, name, added, json.loads(choice), json.loads(line) if line else None, fault,
                bool(paused),
            )
            for digest, name, added, choice, line, fault, paused in rows
        ]  # fmt: skip

    def _set(self, owner: str, digest: str, **values: object) -> None:
        columns = ", ".join(f"{column} = ?" for column in values)
        with self._changing() as database:
            database.execute(
                f"UPDATE songs SET {columns} WHERE owner = ? AND digest = ?",  # noqa: S608
                (*values.values(), folder_of(owner), digest),
            )

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept together or not at all."""
        try:
            database = sqlite3.connect(self.store.root / "library.sqlite", timeout=20)
            try:
                database.execute("PRAGMA secure_delete=ON")  # names do not stay in free pages
                with database:
                    yield database
            finally:
                database.close()
        except sqlite3.OperationalError as error:
            raise HitcoreError(
                f"the list of songs cannot be kept on the server ({error}): its operator has to "
                "free space in the cache folder, or name another in HITCORE_CACHE"
            ) from error


def _plain_name(name: str) -> str:
    """A name on one line, of bearable length."""
    return " ".join(name.split())[:MAX_NAME] or "song"

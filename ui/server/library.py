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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hitcore.errors import HitcoreError
from ui.server.uploads import UploadStore, folder_of

MAX_NAME = 200
"""Letters of a name that are kept."""

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

    def __init__(self, store: UploadStore) -> None:
        self.store = store
        store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._changing() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(SCHEMA)

    # --- what is there ---------------------------------------------------------------------------

    def add(self, owner: str, name: str, content: bytes) -> Entry:
        """Keep a song; one that is there already stays as it is called, and is wanted again.

        Raises:
            HitcoreError: the server's disk is full or cannot be written.
        """
        digest = self.store.put(owner, content)
        with self._changing() as database:
            database.execute(
                "INSERT INTO songs (owner, digest, name, added) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET paused = 0, fault = NULL",
                (folder_of(owner), digest, _plain_name(name), time.time()),
            )
        found = self.entry(owner, digest)
        assert found is not None, "it was added a moment ago"
        return found

    def songs(self, owner: str) -> list[Entry]:
        """Everything that a person has here, the first brought first."""
        rows = self._rows("WHERE owner = ? ORDER BY added, rowid", folder_of(owner))
        gone = [row for row in rows if self.store.get(owner, row.digest, used=False) is None]
        if gone:
            self.remove(owner, [row.digest for row in gone])
        return [row for row in rows if row not in gone]

    def entry(self, owner: str, digest: str) -> Entry | None:
        """One song of a person; None where they have no such song."""
        if self.store.get(owner, digest, used=False) is None:
            return None
        return next(
            iter(self._rows("WHERE owner = ? AND digest = ?", folder_of(owner), digest)), None
        )

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
        keys = [(folder_of(owner), digest) for digest in digests]
        with self._changing() as database:
            database.executemany("DELETE FROM songs WHERE owner = ? AND digest = ?", keys)
            database.executemany("DELETE FROM shares WHERE owner = ? AND digest = ?", keys)

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

"""Where uploaded songs stay for a while: under the hash of their content, apart for each owner.

The name that a visitor's file had is never used as a path. An upload is reachable only by its
owner: the signed-in person, or else the browser that uploaded it (told apart by the secret cookie
that the server sets against cross-site requests). Uploads are deleted `KEEP_HOURS` after their
last use.
"""

import hashlib
import os
import re
import secrets
import threading
import time
from pathlib import Path

import streamlit as st

from hitcore.errors import HitcoreError
from hitcore.files import write_atomic

KEEP_HOURS = 24.0
"""Uploads are deleted this many hours after they were last used."""

SWEEP_S = 600.0
"""The server looks this often for uploads whose time is over, visitors or none."""

COOKIE = "_streamlit_xsrf"
HASH = re.compile(r"[0-9a-f]{64}")


class UploadStore:
    """A folder of uploads, apart for each owner, forgotten after a while.

    Example:
        >>> import tempfile
        >>> store = UploadStore(Path(tempfile.mkdtemp()))
        >>> song = store.put("me", b"sound")
        >>> store.get("me", song).read_bytes(), store.get("you", song)
        (b'sound', None)
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._root = root
        self._keep_s = keep_hours * 3600

    def put(self, owner: str, content: bytes) -> str:
        """Keep `content` for `owner`; the SHA-256 under which it can be had again.

        Raises:
            HitcoreError: the server's disk is full or cannot be written.
        """
        self.sweep()
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(owner, digest)
        if _used_now(path):
            return digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(path, content)
        except OSError as error:
            raise HitcoreError(
                f"the song cannot be kept on the server ({error.strerror}): its operator has to "
                "free space in the cache folder, or name another in HITCORE_CACHE"
            ) from error
        return digest

    def get(self, owner: str, digest: str) -> Path | None:
        """The file of an upload of this owner, or None where there is no such upload."""
        self.sweep()
        if not HASH.fullmatch(digest):
            return None
        path = self._path(owner, digest)
        return path if _used_now(path) else None

    def sweep(self) -> int:
        """Delete what was not used for `keep_hours`; the number of files deleted.

        A file of the future, left by a clock that was set back, starts its time anew: it must not
        stay for as long as the clock was wrong.
        """
        now, deleted = time.time(), 0
        for path in list(self._root.glob("*/*")):
            try:
                used = path.stat().st_mtime
                if used > now + 60:
                    os.utime(path, (now, now))
                elif used < now - self._keep_s:
                    path.unlink()
                    deleted += 1
            except FileNotFoundError:  # another visitor's sweep was first
                continue
        return deleted

    def sweep_forever(self) -> None:
        """Sweep every `SWEEP_S` seconds, in a thread that ends with the server."""

        def work() -> None:
            while True:
                time.sleep(SWEEP_S)
                self.sweep()

        threading.Thread(target=work, name="uploads", daemon=True).start()

    def _path(self, owner: str, digest: str) -> Path:
        return self._root / hashlib.sha256(owner.encode()).hexdigest()[:32] / digest


def _used_now(path: Path) -> bool:
    """Note that an upload is used; whether it is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


@st.cache_resource
def upload_store() -> UploadStore:
    """The store of this server, in the user's cache folder; swept from now on."""
    from hitcore.weights import cache_folder

    store = UploadStore(cache_folder() / "uploads")
    store.sweep_forever()
    return store


def current_owner() -> str:
    """Who uploads: the signed-in person, else this browser, else this session."""
    if st.user.get("is_logged_in"):
        # The provider's own number for a person: addresses are given to others in time.
        return f"person:{st.user.get('iss')}:{st.user.get('sub') or st.user.get('email')}"
    token = browser_token(st.context.cookies.get(COOKIE, ""))
    if token:
        return f"browser:{token}"
    return f"session:{st.session_state.setdefault('owner', secrets.token_hex(16))}"


def browser_token(cookie: str) -> str | None:
    """The secret inside a version 2 cross-site cookie; None where there is none.

    The cookie is `2|mask|masked token|time` in hexadecimal. Mask and time change with every page,
    the token stays as long as the browser is open.

    Example:
        >>> browser_token("2|01010101|0303|1700000000")
        '0202'
        >>> browser_token("garbage") is None
        True
    """
    parts = cookie.split("|")
    if len(parts) != 4 or parts[0] != "2":
        return None
    try:
        mask, masked = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        return None
    if not mask or not masked:
        return None
    return bytes(byte ^ mask[i % len(mask)] for i, byte in enumerate(masked)).hex()

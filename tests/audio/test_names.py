"""Names and tags as they really are: not UTF-8, copied from web pages, declared wrongly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hitcore.audio import decode
from hitcore.audio.tagtext import plain
from hitcore.files import shown
from tests.sounds import encoded, id3, music

LATIN_1 = 0


def tagged(encoding: int, title: bytes) -> bytes:
    """An MP3 whose title is these bytes in a declared encoding (0: Latin-1, 3: UTF-8)."""
    content = bytes([encoding]) + title
    frame = b"TIT2" + len(content).to_bytes(4, "big") + b"\0\0" + content
    tag = b"ID3\x03\0\0\0\0" + bytes([len(frame) >> 7, len(frame) & 127]) + frame
    return tag + encoded("mp3", music(0.5))


TITLES: dict[bytes, str | None] = {
    "Beyoncé".encode("latin-1"): "Beyoncé",
    "Beyoncé – Halo".encode(): "Beyoncé – Halo",
    "Песня".encode(): "Песня",
    "Песня о друге".encode("cp1251"): "Песня о друге",
    "Don’t stop".encode("cp1252"): "Don’t stop",
    b"Rock &amp; Roll &#39;n&#39; &eacute;": "Rock & Roll 'n' é",
    b"AT&T; R&B": "AT&T; R&B",
    b"One\0Two\0": "One / Two",
    b"\0\0": None,
    "Äs".encode("latin-1"): "Äs",
}
"""What stands in the tags of files, in whatever encoding, and what was meant."""


@pytest.mark.parametrize(("title", "meant"), TITLES.items())
def test_tags_are_read_as_they_were_meant(title: bytes, meant: str | None) -> None:
    assert decode(tagged(LATIN_1, title)).info.title == meant


def test_accents_are_composed_so_that_equal_names_are_equal() -> None:
    data = id3(TIT2="cafe\u0301", TPE1="A\u030angstro\u0308m") + encoded("mp3", music(0.5))
    info = decode(data).info
    assert (info.title, info.artist) == ("caf\u00e9", "\u00c5ngstr\u00f6m")


@given(st.text(max_size=400))
@example("ÀÀÀÀ\U00011af9")
def test_any_text_becomes_one_plain_line(text: str) -> None:
    line = plain(text)
    assert line is None or (line.isprintable() and 0 < len(line) <= 300 and line == line.strip())
    # What was escaped twice is unescaped once; and without a character that cannot be shown, a text
    # may look like bytes that were read in the wrong encoding.
    lost = any(letter > "\xff" and not letter.isprintable() for letter in text)
    assert plain(line) == line or "&" in text or lost


@given(st.binary(min_size=1, max_size=50))
def test_any_name_can_be_written(name: bytes) -> None:
    text = shown(os.fsdecode(name))
    assert text.encode().decode() == text
    assert shown(text) == text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_files_with_names_of_another_age(encoding: str, tmp_path: Path) -> None:
    """One that can be read and one that cannot, through the command line, in any terminal."""
    folder = os.fsencode(tmp_path)
    names = [b"Chanson d'\xe9t\xe9.wav", "日本.wav".encode(), b"\xff\xfe.mp3"]
    try:
        for name, content in zip(names, [b"no sound"] * 3, strict=True):
            with open(folder + b"/" + name, "wb") as file:
                file.write(content)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    paths = [folder + b"/" + name for name in names]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words in ([], ["--json"]):
        ran = subprocess.run(
            [sys.executable, "-m", "hitcore", "analyse", *paths, *words],
            capture_output=True,
            env=environment,
        )
        assert ran.returncode == 2, ran.stderr
        assert b"Traceback" not in ran.stderr
        assert ran.stderr.count(b"plain text") == len(names)
        if words:
            found = [song["name"] for song in json.loads(ran.stdout.decode(encoding))]
            assert found == ["Chanson d'\ufffdt\ufffd.wav", "日本.wav", "\ufffd\ufffd.mp3"]

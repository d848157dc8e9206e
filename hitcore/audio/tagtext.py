"""Title and artist as people would read them, from tags that were written by anything.

Tags hold what the web page held that a song was copied from (`&amp;`), several names with NUL
between them, and bytes of one encoding that are declared as another. What is certain is mended;
what is a guess is left as it is.
"""

import html
import os
import re
import unicodedata

from tinytag import TinyTag

_LONGEST_TEXT = 300
_SEVERAL = " / "
# The letters of Windows-1251 read as Latin-1 are all accented, which no word of a Latin script is.
_LATIN_LETTERS = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ]+")
_CYRILLIC_FROM = 4
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def read_tags(file: int) -> tuple[str | None, str | None]:
    """Title and artist as the file states them, as one plain line each; None where it does not."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        with os.fdopen(file, "rb", closefd=False) as opened:
            tag = TinyTag.get(file_obj=opened, duration=False)
        return plain(_all_of(tag, "title")), plain(_all_of(tag, "artist"))
    except Exception:
        # Whatever is wrong with the tag, the sound was fine.
        return None, None


def plain(text: object) -> str | None:
    """Text of a tag on one line: mended, composed (NFC), without control characters, bounded.

    Example:
        >>> plain("Simon &amp; Garfunkel\\x00"), plain("BeyoncÃ©"), plain("A\\x00B")
        ('Simon & Garfunkel', 'Beyoncé', 'A / B')
    """
    if not isinstance(text, str):
        return None
    parts = [_one_line(part) for part in text.split("\0")]
    return _SEVERAL.join(dict.fromkeys(filter(None, parts)))[:_LONGEST_TEXT].strip() or None


# --- inside --------------------------------------------------------------------------------------


def _all_of(tag: TinyTag, name: str) -> str | None:
    """All values of a field, with NUL between them."""
    values = [getattr(tag, name), *tag.other.get(name, [])]
    return "\0".join(value for value in values if isinstance(value, str)) or None


def _one_line(text: str) -> str:
    text = _encoded_as_meant(text[: 8 * _LONGEST_TEXT])
    if _ENTITY.search(text):
        text = html.unescape(text)
    text = unicodedata.normalize("NFC", text)
    cleaned = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(cleaned.split())


def _encoded_as_meant(text: str) -> str:
    """The text that the bytes meant, where they were read as Latin-1 and are certainly none."""
    if text.isascii():
        return text
    for encoding in ("latin-1", "cp1252"):
        try:
            raw = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            break
    else:
        return text
    letters = "".join(_LATIN_LETTERS.findall(text))
    if len(letters) >= _CYRILLIC_FROM and not any(letter.isascii() for letter in letters):
        return raw.decode("cp1251", "replace")
    if any("\x80" <= letter <= "\x9f" for letter in text):
        return raw.decode("cp1252", "replace")
    return text

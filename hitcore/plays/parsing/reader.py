"""What a reader of one format is: its name, its files, its function, and its source."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hitcore.plays.parsing.archives import Wanted
from hitcore.plays.parsing.reading import Batch, Reading


@dataclass(frozen=True)
class Reader:
    """The reader of one format."""

    name: str
    """As `format=` and `--format` name it."""

    batches: Callable[[Sequence[Path], Reading], Iterator[Batch]]
    """The canonical rows of some files, in batches."""

    wanted: Wanted
    """Its files in an archive or a folder."""

    begins: Callable[[bytes], bool]
    """Whether a file that begins so (with up to 64 KiB) is of this format."""

    source: str
    """What the reader was written from."""

    as_of: str
    """The state of the format, as a year or a day."""

    one_listener: bool = False
    """Whether a file holds the plays of one person, whom it need not name."""


def first_lines(head: bytes, n_lines: int = 2) -> list[bytes]:
    """The first lines of a file, without their ends; empty where there are fewer.

    Example:
        >>> first_lines(b"a\\r\\nb")
        [b'a', b'b']
    """
    lines = [line.rstrip(b"\r") for line in head.split(b"\n")[:n_lines]]
    return lines + [b""] * (n_lines - len(lines))

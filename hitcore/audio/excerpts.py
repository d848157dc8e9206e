"""Parts of a file as a file: what decoders are given where not all of its bytes are sound.

Cover pictures between two joined MP3s, pages of a video between those of its sound, a header that
lies: the decoder reads an excerpt without them, or with other bytes in their place. Nothing is
copied but what is read.
"""

import os
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

Piece = bytes | memoryview


class Excerpt:
    """Pieces of bytes, one after the other, as an open binary file.

    Example:
        >>> file = Excerpt([b"fLaC", memoryview(b"header, sound")[8:]])
        >>> file.read(6), file.read(), file.seek(-2, os.SEEK_END), file.read(1)
        (b'fLaCso', b'und', 7, b'n')
    """

    name = "excerpt"

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = [piece for piece in pieces if len(piece)]
        self._starts = [0, *accumulate(map(len, self._pieces))]
        self._at = 0

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer at the end; a negative `size` takes all that are left."""
        left = len(self) - self._at
        left = left if size < 0 else min(size, left)
        if left <= 0:
            return b""
        index = bisect_right(self._starts, self._at) - 1
        skip = self._at - self._starts[index]
        self._at += left
        found = bytes(self._pieces[index][skip : skip + left])
        if len(found) == left:
            return found
        parts = [found]
        left -= len(found)
        while left:
            index += 1
            parts.append(bytes(self._pieces[index][:left]))
            left -= len(parts[-1])
        return b"".join(parts)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` with the next bytes, and say how many there were."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, which never lies before the beginning."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

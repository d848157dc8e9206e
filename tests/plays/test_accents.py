"""One name is one name, whether its accents are written apart or not."""

import pyarrow as pa

from hitcore.plays.parsing.cells import or_null, trimmed
from hitcore.plays.parsing.reading import text_key

APART, COMPOSED = "Cafe\u0301 A\u030a", "Caf\u00e9 \u00c5"


def test_songs_without_ids_are_the_same_song() -> None:
    artist = pa.array([APART, COMPOSED, "ABBA", None])
    title = pa.array([COMPOSED, APART, "Fernando", APART])
    one, other, plain, missing = text_key(artist, title).to_pylist()
    assert one == other == f"{COMPOSED} – {COMPOSED}".lower()
    assert (plain, missing) == ("abba – fernando", None)


def test_cells_are_composed_whatever_holds_them() -> None:
    cells = [f" {APART} ", "plain", None]
    expected = [COMPOSED, "plain", ""]
    assert trimmed(pa.array(cells)).to_pylist() == expected
    assert trimmed(pa.chunked_array([cells[:1], cells[1:]])).to_pylist() == expected
    assert or_null(pa.array(cells)).to_pylist() == [COMPOSED, "plain", None]
    assert trimmed(pa.array([], pa.string())).to_pylist() == []

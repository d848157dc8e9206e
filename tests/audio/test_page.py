"""The page of reliability shows just the sound files that are tried."""

from pathlib import Path

from benchmarks.lengths import END, START, cases, sayings
from tests.audio.making import MORE_KINDS
from tests.audio.test_lengths import CASES

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_shows_just_these_cases() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text[text.index(START) : text.index(END)].splitlines()
    names = [line[2:].split(" | ")[0] for line in table if line.startswith("| ")]
    assert len(cases()) >= len(CASES) + len(MORE_KINDS) - 1
    assert names == ["case", *cases(), "other situations", *sayings()]
    assert f"{len(cases())} of {len(cases())} within 27 ms." in table
    assert f"{len(sayings())} of {len(sayings())} as expected." in table

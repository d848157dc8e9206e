"""What the paper claims, fixed before any run: the rows that test it, and how much counts.

Each claim has one comparison that decides: the mean difference over its pairs of rows in
`DECIDES`. All of them are one family. The other primary figures and the exploratory ones stand
beside and decide nothing.

Why this and not more tests: of the procedures that keep false claims below 5 % (every pair in every
figure under one correction; one comparison per claim in three figures; in one; in their mean) this
one finds effects of the paper's size most often (`benchmarks/verdict_power.py`, docs/verdicts.md).

References:
    Section 4.2 and Table 1 of the paper.
"""

from dataclasses import dataclass

from hitcore.experiments.variants import VARIANTS

DECIDES = "kendall"
"""The figure that decides: of the paper's three the one in which its effects are largest beside
their noise."""

NO_GAIN = 0.05
"""A gain in `DECIDES` below this counts as none: half of the smaller gain in Kendall@10 % that the
paper reports for A/B over naive sampling (0.102)."""


@dataclass(frozen=True)
class Claim:
    """What the paper says, and the pairs of rows that test it: first against second.

    Example:
        >>> claim = Claim("A/B sampling is better than naive", (("i", "e"), ("j", "f")))
        >>> round(claim.paper_effect, 3)
        0.119
    """

    words: str
    """As it stands in tables."""
    pairs: tuple[tuple[str, str], ...]
    """Pairs of rows."""
    of_no_gain: bool = False
    """Whether the claim is that the first is hardly better: within `NO_GAIN` either way."""

    @property
    def paper_effect(self) -> float:
        """The mean difference in `DECIDES` that the paper reports for these pairs.

        Pairs that are not in the paper are left out; NaN where none is.
        """
        gaps = []
        for pair in self.pairs:
            one, other = (VARIANTS[row].paper for row in pair)
            if one is not None and other is not None:
                gaps.append(getattr(one, DECIDES) - getattr(other, DECIDES))
        return sum(gaps) / len(gaps) if gaps else float("nan")


CLAIMS = (
    Claim("HL-30 is better than Mid-30", (("c", "a"), ("d", "b"))),
    Claim("Tags help", (("b", "a"), ("d", "c"), ("f", "e"), ("h", "g"), ("j", "i"))),
    Claim("Ranking beside rating helps (naive pairs)", (("e", "c"), ("f", "d"))),
    Claim("A/B sampling is better than naive", (("i", "e"), ("j", "f"))),
    Claim("A/B sampling is better than artist", (("i", "g"), ("j", "h"))),
    Claim("Fusing A/B and artist adds little to A/B", (("k", "i"), ("l", "j")), of_no_gain=True),
)
"""The paper's claims."""

ATTRIBUTE_CLAIMS = (
    Claim("Ranking beside rating helps (attributes)", (("attr-naive", "attr-rating"),)),
    Claim("A/B sampling is better than naive (attributes)", (("attr-ab", "attr-naive"),)),
    Claim("A/B sampling is better than artist (attributes)", (("attr-ab", "attr-artist"),)),
    Claim(
        "Fusing A/B and artist adds little to A/B (attributes)",
        (("attr-ab-artist", "attr-ab"),),
        of_no_gain=True,
    ),
)
"""The same claims where the tag network takes a catalogue's attributes in place of sound. The paper
has no such rows, so no power for an effect of its size is told."""

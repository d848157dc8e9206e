"""The rows of Table 1, and the baselines that stand beside them.

A row says what is trained (network, loss, pairs, features); a grid says which values of the
margin m, the rank weight w, the tag weight μ and the fusion weight are tried on the validation
fold. Only the parameters that a row has are varied.

References:
    Table 1; sections 2.1 to 2.4.
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Literal

from hitcore.errors import ParameterError
from hitcore.networks.registry import AUDIO_NETWORKS

Network = Literal[
    "cnn",
    "inception",
    "linear",
    "tags",
    "fusion",
    "artist-prior",
    "release-year",
    "decade",
    "genre",
    "loudness",
    "ridge-tags",
    "ridge-sound",
    "ridge-attributes",
    "lambdamart",
]
Objective = Literal["rating", "multi", "listwise", "listnet", "lambdarank", "neuralndcg", "none"]
Sampler = Literal["naive", "artist", "ab"]
Segment = Literal["middle", "highlight", "attention"]


OWN_WORDS = {
    "tags": "tags (HL-30)",
    "ridge-tags": "tags (HL-30)",
    "ridge-sound": "tags + mel statistics (HL-30)",
    "loudness": "loudness (HL-30)",
    "genre": "genre",
    "decade": "decade",
    "release-year": "release date",
}
"""Features of the rows that neither listen with a network nor fuse."""


@dataclass(frozen=True)
class PaperResult:
    """What the paper reports for a row, the mean of ten folds."""

    ndcg: float
    kendall: float
    spearman: float


@dataclass(frozen=True)
class Variant:
    """One row: what is trained, on which pairs, from which features.

    Example:
        >>> variant("j").title
        'Siamese, A/B, HL-30 + tags'
    """

    row: str
    """The paper's letter, or the name of a baseline."""
    title: str
    """As it stands in tables."""
    network: Network
    """What maps features to a score; "fusion" mixes two other rows."""
    objective: Objective
    """eq. 1 ("rating"), eq. 3 ("multi"), or a loss of whole lists."""
    sampler: Sampler | None = None
    """Which pairs the ranking loss compares."""
    segment: Segment | None = None
    """Mid-30, HL-30 by the default method, or HL-30 by attention; None where no sound is used."""
    tags: bool = False
    """Whether the tag network takes part (eq. 4)."""
    fuses: tuple[str, str] | None = None
    """The two rows whose scores are mixed: A/B first, artist second."""
    paper: PaperResult | None = None
    """The paper's figures; None for what is not in the paper."""
    attributes: bool = False
    """Whether it takes the catalogue's attributes in place of sound."""

    @property
    def trains(self) -> bool:
        """Whether a network is trained for this row."""
        return self.network == "tags" or self.network in AUDIO_NETWORKS

    @property
    def is_random(self) -> bool:
        """Whether another seed of training gives other scores."""
        return self.trains or self.network == "fusion"

    @property
    def ranks_lists(self) -> bool:
        """Whether its loss looks at whole lists (`hitcore.learning.listwise`)."""
        return self.objective not in ("rating", "multi", "none")

    @property
    def features(self) -> str:
        """The features in the paper's words, as shown in tables."""
        if self.attributes:
            return "attributes"
        if self.network in OWN_WORDS:
            return OWN_WORDS[self.network]
        if self.segment is None:
            return "none"
        names = {"middle": "Mid-30", "highlight": "HL-30", "attention": "HL-30 by attention"}
        name = names[self.segment]
        return f"audio ({name})" + (" + tag" if self.tags else "")


TABLE1: tuple[Variant, ...] = (
    Variant("a", "CNN, Mid-30", "cnn", "rating", None, "middle", False, None,
            PaperResult(0.0725, -0.0421, -0.0696)),
    Variant("b", "CNN, Mid-30 + tags", "cnn", "rating", None, "middle", True, None,
            PaperResult(0.0872, 0.0157, 0.0225)),
    Variant("c", "CNN, HL-30", "cnn", "rating", None, "highlight", False, None,
            PaperResult(0.0999, 0.0735, 0.1121)),
    Variant("d", "CNN, HL-30 + tags", "cnn", "rating", None, "highlight", True, None,
            PaperResult(0.1241, 0.1080, 0.1663)),
    Variant("e", "Siamese, naive, HL-30", "cnn", "multi", "naive", "highlight", False, None,
            PaperResult(0.1069, 0.0828, 0.1222)),
    Variant("f", "Siamese, naive, HL-30 + tags", "cnn", "multi", "naive", "highlight", True, None,
            PaperResult(0.0994, 0.1059, 0.1578)),
    Variant("g", "Siamese, artist, HL-30", "cnn", "multi", "artist", "highlight", False, None,
            PaperResult(0.1200, 0.0575, 0.0854)),
    Variant("h", "Siamese, artist, HL-30 + tags", "cnn", "multi", "artist", "highlight", True,
            None, PaperResult(0.1285, 0.1687, 0.2465)),
    Variant("i", "Siamese, A/B, HL-30", "cnn", "multi", "ab", "highlight", False, None,
            PaperResult(0.1127, 0.1852, 0.2713)),
    Variant("j", "Siamese, A/B, HL-30 + tags", "cnn", "multi", "ab", "highlight", True, None,
            PaperResult(0.1287, 0.2415, 0.3481)),
    Variant("k", "A/B + artist, HL-30", "fusion", "none", None, "highlight", False, ("i", "g"),
            PaperResult(0.1127, 0.1868, 0.2753)),
    Variant("l", "A/B + artist, HL-30 + tags", "fusion", "none", None, "highlight", True,
            ("j", "h"), PaperResult(0.1287, 0.2421, 0.3484)),
)  # fmt: skip
"""Rows (a) to (l) in the paper's order."""

BASELINES: tuple[Variant, ...] = (
    Variant("linear", "Linear rater, HL-30", "linear", "rating", None, "highlight"),
    Variant("c-attention", "CNN, HL-30 by attention", "cnn", "rating", None, "attention"),
    Variant("inception", "Inception CNN, HL-30", "inception", "rating", None, "highlight"),
    Variant("tags", "Tags only, HL-30", "tags", "rating", None, "highlight", True),
    Variant("listwise", "CNN, LambdaRank at 10 %, HL-30", "cnn", "listwise", None, "highlight"),
    Variant("listnet", "CNN, ListNet, HL-30", "cnn", "listnet", None, "highlight"),
    Variant("lambdarank", "CNN, LambdaRank, HL-30", "cnn", "lambdarank", None, "highlight"),
    Variant("neuralndcg", "CNN, NeuralNDCG, HL-30", "cnn", "neuralndcg", None, "highlight"),
    Variant("artist-prior", "Artist prior", "artist-prior", "none"),
    Variant("release-year", "Release year only", "release-year", "none"),
)
"""What a model must beat to be worth its sound, and today's losses of whole lists by the names of
the library allRank; `hitcore.learning.listwise` names the source of each."""

SIMPLE: tuple[Variant, ...] = (
    Variant("loudness", "Loudness alone", "loudness", "none", None, "highlight"),
    Variant("ridge-tags", "Ridge on tags", "ridge-tags", "none", None, "highlight", True),
    Variant("ridge-sound", "Ridge on tags and mel statistics", "ridge-sound", "none", None,
            "highlight", True),
    Variant("genre", "Genre alone", "genre", "none"),
    Variant("decade", "Decade alone", "decade", "none"),
)  # fmt: skip
"""What keeps a network honest: how far one gets without one."""

ATTRIBUTES: tuple[Variant, ...] = (
    Variant("attr-linear", "Ridge, attributes", "ridge-attributes", "none", attributes=True),
    Variant("attr-rating", "Tag network, rating", "tags", "rating", tags=True, attributes=True),
    Variant("attr-naive", "Tag network, naive", "tags", "multi", "naive", tags=True,
            attributes=True),
    Variant("attr-artist", "Tag network, artist", "tags", "multi", "artist", tags=True,
            attributes=True),
    Variant("attr-ab", "Tag network, A/B", "tags", "multi", "ab", tags=True, attributes=True),
    Variant("attr-ab-artist", "A/B + artist, attributes", "fusion", "none", tags=True,
            fuses=("attr-ab", "attr-artist"), attributes=True),
    Variant("attr-listnet", "Tag network, ListNet", "tags", "listnet", tags=True,
            attributes=True),
    Variant("attr-lambdarank", "Tag network, LambdaRank", "tags", "lambdarank", tags=True,
            attributes=True),
    Variant("attr-lambdamart", "LambdaMART (LightGBM)", "lambdamart", "none", attributes=True),
)  # fmt: skip
"""Rows for catalogues with attributes: the tag network takes them, with every sampler; LightGBM's
LambdaMART is the reference from outside."""

VARIANTS: dict[str, Variant] = {row.row: row for row in (*TABLE1, *BASELINES, *SIMPLE, *ATTRIBUTES)}


def variant(row: str) -> Variant:
    """The variant of that letter or name.

    Raises:
        ParameterError: there is no such row.
    """
    if row not in VARIANTS:
        raise ParameterError(f"row {row!r} is unknown: one of {', '.join(VARIANTS)} is allowed")
    return VARIANTS[row]


def with_parts(rows: list[str] | None) -> list[Variant]:
    """These rows (None: all of Table 1) and those that a fusion among them needs, parts first.

    Raises:
        ParameterError: a row is unknown, or none is asked for.

    Example:
        >>> [v.row for v in with_parts(["k"])]
        ['g', 'i', 'k']
    """
    asked = [variant(row) for row in rows] if rows is not None else list(TABLE1)
    if not asked:
        raise ParameterError(f"no rows asked for: give some of {', '.join(VARIANTS)}")
    names = {v.row for v in asked} | {part for v in asked for part in v.fuses or ()}
    return [v for v in VARIANTS.values() if v.row in names]


@dataclass(frozen=True)
class GridPoint:
    """One choice of the parameters that training depends on."""

    margin: float = 0.0
    """m of eq. 2, in standard deviations of the target."""
    rank_weight: float = 0.0
    """w of eq. 3."""
    tag_weight: float = 0.0
    """μ of eq. 4."""


@dataclass(frozen=True)
class Grid:
    """The values tried on the validation fold.

    Example:
        >>> grid = Grid(margins=(0.1, 1.0), rank_weights=(0.5,), tag_weights=(0.3, 0.5))
        >>> [len(grid.points(variant(row))) for row in "aej"]
        [1, 2, 4]
    """

    margins: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Candidates for m, in standard deviations of the training songs' target."""
    rank_weights: tuple[float, ...] = (0.5, 0.8, 0.95)
    """Candidates for w."""
    tag_weights: tuple[float, ...] = (0.3, 0.5, 0.7)
    """Candidates for μ."""
    fusion_weights: tuple[float, ...] = tuple(round(0.1 * step, 1) for step in range(11))
    """Candidates for the weight of the artist model beside the A/B model; costs no training."""

    def __post_init__(self) -> None:
        for name, values in asdict(self).items():
            if not values:
                raise ParameterError(f"{name} of the grid is empty: give at least one value")
        if min(self.margins) <= 0:
            raise ParameterError(f"a margin of {min(self.margins)}: margins are above 0")
        for name in ("rank_weights", "tag_weights", "fusion_weights"):
            values = getattr(self, name)
            if min(values) < 0 or max(values) > 1:
                raise ParameterError(f"{name} of {values}: weights lie between 0 and 1")

    def points(self, row: Variant) -> list[GridPoint]:
        """Every combination of the parameters that this row has."""
        ranks = row.objective == "multi"
        margins = self.margins if ranks else (0.0,)
        weights = self.rank_weights if ranks else (0.0,)
        mixes = (1.0,) if row.network == "tags" else self.tag_weights if row.tags else (0.0,)
        return [GridPoint(m, w, mu) for m, w, mu in product(margins, weights, mixes)]

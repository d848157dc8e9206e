"""The settings of an experiment, and the configuration and id of each of its runs."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hitcore import weights
from hitcore.catalogue.scores import scale_of
from hitcore.catalogue.songs import FOLD_KINDS, FoldKind
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import ParameterError
from hitcore.experiments.variants import Grid, Variant
from hitcore.featurestore import FeatureConfig, given_config
from hitcore.featurestore.recipe import GIVEN
from hitcore.highlights import DEFAULT_METHOD
from hitcore.learning import TrainConfig
from hitcore.networks.targets import TARGET_TRANSFORMS, TargetTransform

FORMAT = 2
"""Raised when the same settings would give other results."""


def _training() -> TrainConfig:
    """A batch of 16 gives up to 120 pairs at once; more epochs than this rarely helped."""
    return TrainConfig(batch_size=16, learning_rate=0.01, max_epochs=20, patience=6)


@dataclass(frozen=True)
class ExperimentConfig:
    """How the rows are run; the same for all of them.

    Example:
        >>> ExperimentConfig(n_folds=3).fold_kind
        'song'
    """

    n_folds: int = 10
    """Folds; each song is tested in one of them."""
    fold_kind: FoldKind = "song"
    """Song-disjoint as in the paper, or artist-disjoint."""
    seed: int = 0
    """Of the folds, and of everything random in training."""
    n_seeds: int = 1
    """How often each row that trains is trained on the same folds, each time with another seed of
    training; verdicts ask for three."""
    segment: str = DEFAULT_METHOD
    """The highlight method of the rows with HL-30."""
    tagger: str = "musicnn-mtt"
    """Whose tags the rows with tags use."""
    target: TargetTransform | None = None
    """What the networks learn in place of a hit score; None: what suits the catalogue's scores."""
    grid: Grid = field(default_factory=Grid)
    """What is tried on the validation songs."""
    training: TrainConfig = field(default_factory=_training)
    """How each model is trained."""

    def __post_init__(self) -> None:
        if self.n_folds < 3:
            raise ParameterError(f"n_folds is {self.n_folds}: at least 3 are needed")
        if self.n_seeds < 1:
            raise ParameterError(f"n_seeds is {self.n_seeds}: at least 1 is needed")
        if self.fold_kind not in FOLD_KINDS:
            raise ParameterError(f"fold_kind {self.fold_kind!r}: one of {', '.join(FOLD_KINDS)}")
        if self.target is not None and self.target not in TARGET_TRANSFORMS:
            raise ParameterError(f"target {self.target!r}: one of {', '.join(TARGET_TRANSFORMS)}")

    @classmethod
    def of_the_paper(cls, **settings: Any) -> "ExperimentConfig":
        """The paper's own settings as far as they can be told, with these others.

        JYnet's tags, explicit pairs (as many an epoch as there are training songs), HL-30 by
        attention (the authors' weights where they are installed, else ours), PAPER_MEL, the whole
        grid of m, w and μ, the authors' optimiser and batches, three seeds of training.

        Example:
            >>> ExperimentConfig.of_the_paper(n_folds=5).training.pairing
            'explicit'
        """
        segment = "attention:nam-lf" if weights.is_installed("nam-lf") else "attention"
        given: dict[str, Any] = {"segment": segment, "tagger": "jynet", "n_seeds": 3}
        given["training"] = TrainConfig(pairing="explicit")
        return cls(**given | settings)

    def for_workspace(self, workspace: Workspace) -> "ExperimentConfig":
        """The same, with what the workspace decides: its target, and the features it was given.

        Raises:
            DataError: a note of the workspace is damaged.
        """
        settled = replace(self, target=self.target or scale_of(workspace).target)
        given = given_config(workspace)
        if given is None:
            return settled
        return replace(settled, segment=GIVEN, tagger=given.tagger or settled.tagger)

    def features_of(self, row: Variant) -> FeatureConfig | None:
        """The feature store that a row needs; None where it uses no sound."""
        if row.segment is None:
            return None
        if self.segment == GIVEN:  # one clip per song, so Mid-30 and HL-30 are the same
            return FeatureConfig(segment=GIVEN, tagger=self.tagger)
        attention = self.segment if self.segment.startswith("attention") else "attention"
        segments = {"middle": "middle", "highlight": self.segment, "attention": attention}
        return FeatureConfig(segment=segments[row.segment], tagger=self.tagger)

    def training_of(self, row: Variant) -> TrainConfig:
        """The training settings of a row."""
        if not row.ranks_lists:
            return self.training
        # A whole list is needed at once, so these rows take whole batches whatever the pairing.
        return replace(self.training, objective=row.objective, pairing="in_batch")


def run_config(
    row: Variant, fold: int, config: ExperimentConfig, catalogue_hash: str, repeat: int = 0
) -> dict[str, Any]:
    """Everything that decides the outcome of one run, as JSON values."""
    features = config.features_of(row)
    document: dict[str, Any] = {
        "format": FORMAT,
        "row": row.row,
        "variant": asdict(row) | {"paper": None, "title": ""},
        "fold": fold,
        "repeat": repeat,
        "n_folds": config.n_folds,
        "fold_kind": config.fold_kind,
        "seed": config.seed,
        "target": config.target,
        "top": config.training.top,
        "catalogue": catalogue_hash,
        "features": features.fingerprint if features is not None else None,
    }
    if row.trains:
        document["points"] = [asdict(point) for point in config.grid.points(row)]
        training = asdict(config.training_of(row))
        # These change the speed of a run, not its outcome.
        for name in ("stack_size", "memory_limit_bytes", "checkpoint_interval_s"):
            training.pop(name)
        document["training"] = training
    if row.fuses:
        document["fusion_weights"] = list(config.grid.fusion_weights)
    plain: dict[str, Any] = json.loads(json.dumps(document, sort_keys=True, default=str))
    return plain


def run_id_of(config: dict[str, Any], parts: tuple[str, ...] = ()) -> str:
    """The id of a run: the hash of its configuration (and of its parts', for a fusion).

    Example:
        >>> run_id_of({"row": "a"}) == run_id_of({"row": "a"}) != run_id_of({"row": "b"})
        True
    """
    text = json.dumps({"config": config, "parts": list(parts)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

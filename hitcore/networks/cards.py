"""Model cards: what a model is, how well it does, and what it must not be trusted with.

The headings are those of Hugging Face's model cards. A card is written by the script that trains
the model, into the model's file or as `NAME.card.json` beside it, and never by hand.

References:
    M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hitcore import weights
from hitcore.errors import WeightsError
from hitcore.files import ASSETS, write_atomic


@dataclass(frozen=True)
class Figure:
    """One measured figure; the interval is None where none was made."""

    name: str
    """What was measured, on what."""
    value: float
    """The estimate."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Upper end of its 95 % interval."""
    n: int | None = None
    """On how many songs."""

    def __str__(self) -> str:
        """In words, such as `ρ: 0.60 [0.53, 0.65] (n = 522)`."""
        known = self.low is not None and self.high is not None
        interval = f" [{self.low:.2f}, {self.high:.2f}]" if known else ""
        songs = "" if self.n is None else f" (n = {self.n})"
        return f"{self.name}: {self.value:.2f}{interval}{songs}"


@dataclass(frozen=True)
class ModelCard:
    """What people should know of a model before they use it.

    Example:
        >>> card = ModelCard("tiny", "rates songs", evaluation=(Figure("ρ", 0.5, 0.4, 0.6, 90),))
        >>> ModelCard.from_dict(card.to_dict()) == card
        True
        >>> print(card.as_markdown().splitlines()[0])
        # Model card for tiny
    """

    name: str
    """What `load_model` calls it."""
    description: str
    """What it is and what it was taught to tell."""
    uses: str = ""
    """What it is for, and what it is not for."""
    limits: str = ""
    """Bias, risks and limitations."""
    training_data: str = ""
    """What it learned from."""
    label: str = ""
    """What the number that it was taught stands for."""
    training_procedure: str = ""
    """How it was trained, and by which command."""
    evaluation_data: str = ""
    """What it was judged by."""
    evaluation: tuple[Figure, ...] = field(default=())
    """How well it did."""
    sensitivity: tuple[Figure, ...] = field(default=())
    """How much its percentile moves with loudness and with coding."""
    licence: str = ""
    """Under which terms."""
    citation: str = ""
    """Whose work it rests on."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> ModelCard:
        """The card that `to_dict` gave; entries of later versions are ignored.

        Raises:
            WeightsError: It is no model card.
        """
        if not isinstance(document, dict):
            raise WeightsError("this is no model card: it is no JSON object")
        known = {one.name for one in fields(cls)}
        given = {key: value for key, value in document.items() if key in known}
        try:
            for part in ("evaluation", "sensitivity"):
                given[part] = tuple(Figure(**figure) for figure in given.get(part, ()))
            return cls(**given)
        except TypeError as error:
            raise WeightsError(f"this is no model card ({error})") from error

    def sections(self) -> list[tuple[str, str]]:
        """The headings of the card with their texts; what is empty is left out."""
        every = (
            ("Model description", self.description),
            ("Uses", self.uses),
            ("Bias, risks and limitations", self.limits),
            ("Training data", self.training_data),
            ("Label", self.label),
            ("Training procedure", self.training_procedure),
            ("Evaluation data", self.evaluation_data),
            ("Evaluation results", _listed(self.evaluation)),
            ("Sensitivity", _listed(self.sensitivity)),
            ("Licence", self.licence),
            ("Citation", self.citation),
        )
        return [(heading, text) for heading, text in every if text]

    def as_markdown(self) -> str:
        """The card as text under its headings."""
        parts = [f"# Model card for {self.name}"]
        parts += [f"## {heading}\n\n{text}" for heading, text in self.sections()]
        return "\n\n".join(parts) + "\n"


def load_card(name: str | os.PathLike[str]) -> ModelCard | None:
    """The card of a model by name, or of a `.safetensors` file; None where it has none.

    Args:
        name: A model of `assets/models`, a published model, or a path.

    Raises:
        ParameterError: Nothing goes by this name.
        WeightsError: The file or its card is damaged.

    Example:
        >>> load_card("demo-j") is None or load_card("demo-j").name
        'demo-j'
    """
    packaged = weights.packaged().get(str(name))
    file = Path(name) if packaged is None else packaged
    beside = (
        ASSETS / "references" / f"{name}.card.json"
        if str(name) in weights.REGISTRY and packaged is None
        else file.with_suffix(".card.json")
    )
    if beside.is_file():
        try:
            return ModelCard.from_dict(json.loads(beside.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{beside.name} is damaged ({error})") from error
    if str(name) in weights.REGISTRY and packaged is None:
        return None
    found = weights.load(name).metadata.get("card")
    return ModelCard.from_dict(found) if isinstance(found, dict) else None


def write_card(card: ModelCard, file: str | os.PathLike[str]) -> None:
    """Write a card as JSON beside a model's `.safetensors` file."""
    document = json.dumps(card.to_dict(), indent=2, ensure_ascii=False)
    write_atomic(Path(file).with_suffix(".card.json"), document + "\n")


def _listed(figures: tuple[Figure, ...]) -> str:
    return "\n".join(f"- {figure}" for figure in figures)

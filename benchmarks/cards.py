"""Write the model cards of the demo ensembles and of the highlighter, from what ships.

The figures of the ensembles are those of their references: every song of the demo catalogue, scored
by the network that had not learned from it. `train_real.py` writes the cards about real music.

    python benchmarks/cards.py
"""

import re
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from hitcore import weights
from hitcore.evaluation.calibration import places
from hitcore.evaluation.intervals import bootstrap_interval
from hitcore.evaluation.metrics import kendall_at, ndcg_at
from hitcore.networks.cards import Figure, ModelCard, write_card
from hitcore.networks.models import load_model

CITATION = (
    'L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen, "Hit Song Prediction for Pop Music by Siamese '
    'CNN with Ranking Loss", 2017.'
)


def rho(truth: np.ndarray, score: np.ndarray) -> float:
    return float(spearmanr(truth, score)[0])


def demo_card(name: str) -> ModelCard:
    """The card of an ensemble of the demo catalogue."""
    model = load_model(name)
    reference, spec = model.reference, model.spec
    assert reference is not None, "demo ensembles have a reference"
    put = np.empty(len(reference.score))
    for fold in np.unique(reference.fold):  # each fold's network has a scale of its own
        rows = reference.fold == fold
        put[rows] = places(reference.score[rows], reference.score[rows])
    figures = []
    for words, statistic in (
        ("Spearman's ρ, all songs", rho),
        ("nDCG at the top 10 %", ndcg_at),
        ("Kendall's τ at the top 10 %", kendall_at),
    ):
        found = bootstrap_interval(statistic, reference.hit_score, put, n_resamples=400)
        numbers = (round(float(v), 4) for v in (found.estimate, found.low, found.high))
        figures.append(Figure(words, *numbers, n=len(put)))
    for confidence in (0.8, 0.9):
        words = f"coverage of {confidence:.0%} intervals on folds that took no part"
        figures.append(Figure(words, round(reference.coverage(confidence), 4), n=len(put)))
    return ModelCard(
        name=name,
        description=f"{spec.title}: {spec.n_folds} networks of the paper, one for each fold of the "
        "demo catalogue.",
        uses="To try the app and to compare the paper's variants on songs whose success is known. "
        "It is asked about demo songs alone.",
        limits="Learned from synthetic songs with planted causes of success: it says nothing about "
        "real ones.",
        training_data=f"{spec.trained_on[:1].upper()}{spec.trained_on[1:]}, made by this project.",
        label="The share of all plays on the 60th day after release, simulated.",
        training_procedure="`hitcore experiment run` on the demo workspace, ten folds; grid points "
        "were chosen on validation songs (docs/table1-demo.md).",
        evaluation_data="The same songs, each scored by the network that had not learned from it. "
        "Intervals: 95 %, bootstrap over songs.",
        evaluation=tuple(figures),
        licence="MIT",
        citation=CITATION,
    )


def highlighter_card(name: str) -> ModelCard:
    """The card of the attention network that finds highlights."""
    described = weights.load(name).metadata
    return ModelCard(
        name=name,
        description=f"{described['title']}: which 30 seconds of a song its attention rests on.",
        uses="As one highlight method among others; docs/highlights.md compares them.",
        limits=str(described["limits"]),
        training_data=str(described["trained_on"]),
        label="Six qualities of the chorus of a generated song, without any time.",
        training_procedure="benchmarks/train_highlighter.py",
        evaluation_data="docs/highlights.md: recordings with chorus intervals, generated songs.",
        evaluation=chorus_figures(name),
        licence=str(described["licence"]),
        citation='Y.-S. Huang, S.-Y. Chou, Y.-H. Yang, "Pop Music Highlighter", TISMIR 2018.',
    )


def chorus_figures(name: str) -> tuple[Figure, ...]:
    """How much of a highlighter's 30 s is chorus, as `docs/highlights.md` has it."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "highlights.md").read_text("utf-8")
    figures = []
    for n_songs, kind, table in re.findall(
        r"^\*\*(\d+) (generated songs|recordings)\*\*(.*?)(?=^\*\*)", page, re.DOTALL | re.MULTILINE
    ):
        row = re.search(rf"`{re.escape(name)}`\) \| ([\d.]+)(?: \[([\d.]+), ([\d.]+)\])?", table)
        assert row is not None, f"docs/highlights.md has no figure of {name} on {kind}"
        value, *ends = (None if number is None else float(number) for number in row.groups())
        words = f"share of the 30 s that is chorus, {kind}"
        figures.append(Figure(words, value or 0.0, *ends, n=int(n_songs)))
    assert figures, "docs/highlights.md has lost its tables"
    return tuple(figures)


def main() -> None:
    for name, file in weights.packaged().items():
        if name.startswith("demo-"):
            write_card(demo_card(name), file)
        elif name.startswith("attention"):
            write_card(highlighter_card(name), file)
        else:
            continue
        print(file.with_suffix(".card.json").name)


if __name__ == "__main__":
    main()

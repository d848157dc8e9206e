"""Writes `docs/real-studies.md` from the results that ship: python benchmarks/real_songs_report.py

Sections below the line `<!-- by hand -->` are left as they are.
"""

import json

import numpy as np
import pandas as pd
from scipy import stats
from studies import ASSETS, ROOT, SEEDS, write_text

from hitcore.catalogue.workspace import Workspace
from hitcore.evaluation.intervals import (
    Interval,
    bootstrap_interval,
    holm,
    mean_interval,
    paired_test,
)
from hitcore.experiments import VARIANTS, Results, load_results
from hitcore.experiments.figures import Figures
from hitcore.experiments.verdicts import judge, too_small

DOC = ROOT / "docs" / "real-studies.md"
BY_HAND = "<!-- by hand -->"
FIGURES = {"ndcg": "nDCG@10 %", "spearman": "ρ@10 %", "pairwise_accuracy": "pairwise accuracy"}
PAIRS = {
    "real-clips": (
        ("ridge-sound", "loudness"), ("ridge-sound", "genre"), ("ridge-sound", "ridge-tags"),
        ("tags", "ridge-tags"), ("d", "ridge-sound"), ("d", "c"), ("f", "d"), ("j", "d"),
    ),
    "hot100": (
        ("attr-naive", "attr-rating"), ("attr-ab", "attr-naive"), ("attr-artist", "attr-naive"),
        ("attr-ab-artist", "attr-ab"), ("attr-listnet", "attr-naive"),
        ("attr-lambdarank", "attr-naive"), ("attr-lambdamart", "attr-naive"),
        ("attr-rating", "attr-linear"), ("attr-rating", "decade"),
    ),
}  # fmt: skip
"""What is compared, first minus second."""


def ratio(metrics: pd.DataFrame) -> float:
    """Test songs per training song, by which the folds' common songs widen an interval."""
    return float((metrics["n"] / metrics["n_train"]).mean())


def rho(results: Results, row: str) -> Interval:
    """Spearman's ρ over all songs by their places in their folds, the mean of the repetitions.

    A place is a percentile among the fold's songs: networks that rank have no scale, so scores of
    two folds cannot be put in one order. The 95 % interval is a bootstrap over songs, each with
    its places of every repetition.
    """
    scored = results.predictions[results.predictions["row"] == row].reset_index(drop=True)
    scored["repetition"] = scored.groupby("song_id").cumcount()
    scored["place"] = scored.groupby("fold")["y_score"].rank(pct=True)
    scores = scored.pivot(index="song_id", columns="repetition", values="place").dropna()
    truth = scored.groupby("song_id")["y_true"].first()[scores.index]

    def mean_rho(y_true: np.ndarray, y_score: np.ndarray) -> float:
        return float(np.mean([stats.spearmanr(y_true, one).statistic for one in y_score.T]))

    return bootstrap_interval(
        mean_rho, truth, scores, n_resamples=1000 if len(scores) < 5000 else 100
    )


def table(results: Results) -> list[str]:
    """Every row with its figures and 95 % intervals over all folds of all repetitions."""
    lines = [
        "| row | ρ, all test songs | " + " | ".join(FIGURES.values()) + " | folds |",
        "|---|---|" + "---|" * (len(FIGURES) + 1),
    ]
    for row in results.rows:
        folds = results.folds_of(row)
        figures = [mean_interval(folds[figure].dropna(), ratio(folds)) for figure in FIGURES]
        cells = [
            f"{at.estimate:.3f} [{at.low:.3f}, {at.high:.3f}]"
            for at in (rho(results, row), *figures)
        ]
        name = f"({row}) " if VARIANTS[row].paper else ""
        lines.append(f"| {name}{VARIANTS[row].title} | {' | '.join(cells)} | {len(folds)} |")
    return lines


def comparisons(results: Results, pairs: tuple[tuple[str, str], ...]) -> list[str]:
    """Some comparisons in pairwise accuracy, corrected together (Holm)."""
    made = []
    for first, second in pairs:
        if not {first, second} <= set(results.rows):
            continue
        one, other = (results.folds_of(r).set_index("fold") for r in (first, second))
        both = one.index.intersection(other.index)
        test = paired_test(
            one.loc[both, "pairwise_accuracy"], other.loc[both, "pairwise_accuracy"], ratio(one)
        )
        made.append((first, second, test, len(both)))
    corrected = holm([test.p_value for _, _, test, _ in made])
    lines = ["| first − second | difference | 95 % | p (Holm) | verdict |", "|---|---|---|---|---|"]
    for (first, second, test, _), p in zip(made, corrected, strict=True):
        sure = "first ahead" if test.difference > 0 else "second ahead"
        verdict = sure if p < 0.05 else "inconclusive"
        lines.append(
            f"| {VARIANTS[first].title} − {VARIANTS[second].title} | {test.difference:+.3f} | "
            f"{test.low:+.3f} to {test.high:+.3f} | {p:.3f} | {verdict} |"
        )
    return lines


def section(name: str, kinds: tuple[str, ...]) -> list[str]:
    workspace = Workspace.open(ASSETS / name)
    about = json.loads((workspace.path / "results" / "about.json").read_text())
    lines = [f"## {about['title']}", "", about["about"], ""]
    pairs = PAIRS.get(name, PAIRS["hot100"])
    for kind in kinds:
        results = load_results(workspace, {"fold_kind": kind})
        n = about["repetitions"][kind]
        lines += [
            f"### Folds that share no {kind}",
            "",
            f"Folds and networks drawn anew {n} of {len(SEEDS)} times.{unfinished(results)} "
            "Spearman's ρ is over all songs by their places among the "
            "songs of their fold, with a 95 % bootstrap interval over songs; the others are means "
            "over folds, with a 95 % interval, widened for the training songs that folds share.",
            "",
            *table(results),
            "",
            *claims(results),
            "Exploratory comparisons in the share of pairs of test songs put in order, corrected "
            "together:",
            "",
            *comparisons(results, pairs),
            "",
        ]
    return lines


def unfinished(results: Results) -> str:
    """Which rows have fewer folds than others, in a sentence; empty where none has."""
    folds = {row: len(results.folds_of(row)) for row in results.rows}
    fewer = [VARIANTS[row].title for row in folds if folds[row] < max(folds.values())]
    return f" With fewer folds than the others: {'; '.join(fewer)}." if fewer else ""


def claims(results: Results) -> list[str]:
    """The paper's claims that these rows can test, judged as on Compare and Samplers."""
    figures = Figures.of(results)
    found = judge(figures)
    if not found:
        return []
    lines = [
        too_small(figures)
        or "The paper's claims, decided by Kendall's τ@10 % and corrected "
        "together (docs/verdicts.md):",
        "",
        "| claim | difference | corrected interval | p (Holm) | verdict |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        low, high = each.interval()
        why = f" ({each.why})" if each.why and not too_small(figures) else ""
        lines.append(
            f"| {each.claim.words} | {each.decides.difference:+.3f} | {low:+.3f} to {high:+.3f} | "
            f"{each.p_holm:.3f} | {each.word}{why} |"
        )
    return [*lines, ""]


def write() -> None:
    """Write the page, keeping what was written by hand."""
    kept = (
        DOC.read_text().split(BY_HAND, 1)[1]
        if DOC.exists() and BY_HAND in DOC.read_text()
        else "\n"
    )
    lines = [
        "# Two studies of real songs",
        "",
        "Two studies of real songs, each made by one command that can be broken off and gone on "
        "with: `python benchmarks/real_table1.py WORKSPACE` and `python benchmarks/chart_study.py "
        "FOLDER`. This page is written from the results that ship (`assets/results`), by "
        "`python benchmarks/real_songs_report.py`. Songs are anonymous there and their truth is a "
        "rank; the metrics were measured on the figures themselves.",
        "",
        *section("real-clips", ("artist",)),
        *section("hot100", ("artist", "song")),
        *section("hot100-charted", ("artist", "song")),
    ]
    write_text(DOC, "\n".join(lines) + BY_HAND + kept)


if __name__ == "__main__":
    write()

"""The report of `table1.py`: every row, the paper's claims and their verdicts, what was planted.

No sentence of the findings is written by hand: each is put together from the figures, so that a
new run gives a new text. The claims, the comparison that decides each, and the rule that judges
them are the library's (`hitcore.experiments.claims`, `hitcore.experiments.verdicts`), the same that
the Compare page shows. Why a claim does not hold is the matter of `table1_why.py`.
"""

import json

import numpy as np
import pandas as pd
from table1_why import explanations

from hitcore.catalogue.workspace import Workspace
from hitcore.demo import PlantedFacts, facts_of
from hitcore.evaluation.intervals import mean_interval
from hitcore.evaluation.metrics import evaluate
from hitcore.experiments import METRICS, VARIANTS, Results
from hitcore.experiments.claims import DECIDES, NO_GAIN
from hitcore.experiments.export import about_results
from hitcore.experiments.figures import EXPLORATORY, Figures
from hitcore.experiments.verdicts import MIN_SEEDS, Comparison, Verdict, judge, too_small
from hitcore.featurestore import FeatureConfig, FeatureStore
from hitcore.highlights import METHODS

ALL = (*METRICS, *EXPLORATORY)
NAMES = {"ndcg": "nDCG@10 %", "kendall": "Kendall@10 %", "spearman": "Spearman@10 %",
         "auc": "AUC of the top 10 %", "pairwise_accuracy": "pairwise accuracy"}  # fmt: skip
PLANTED = {"HL-30 is better than Mid-30"}
"""Claims whose effect the generator of the demo catalogue makes on purpose."""
BASELINES = (
    ("c", "c-attention"),
    ("c", "inception"),
    ("c", "linear"),
    ("c", "listwise"),
    ("c", "listnet"),
    ("c", "lambdarank"),
    ("c", "neuralndcg"),
    ("j", "artist-prior"),
    ("j", "linear"),
    ("j", "tags"),
)


def report(workspace: Workspace, results: dict[str, Results]) -> str:
    """The whole report as Markdown; results by kind of folds."""
    main = results.get("song") or next(iter(results.values()))
    figures = Figures.of(main)
    found = judge(figures)
    truth = pd.read_parquet(workspace.path / "truth.parquet").set_index("song_id")
    told = about(workspace, main)
    words = {verdict.claim.words: verdict.word for verdict in found}
    parts = [
        "# Table 1 on the demo catalogue",
        introduction(told, main),
        warning(main, figures),
        "## What came out",
        RULES,
        *map(finding, found),
        "## Every row",
        table1(main),
        "Mean over the folds ± half of its 95 % interval (t, widened for the training songs that "
        "folds share), not corrected for the number of rows; beside it the paper's figure on "
        "KKBOX's songs, which are other songs.",
        "## The claims in every figure",
        claims_table(found),
        "First minus second, the mean over the claim's pairs of rows, fold by fold. The first line "
        "of a claim decides; p (Holm) is corrected over all claims, and every interval of a claim "
        "is as wide as its correction asks. What does not decide has no p.",
        "## Why",
        *explanations(workspace, main, truth, words),
    ]
    if any(set(pair) <= set(main.rows) for pair in BASELINES):
        parts += ["## Against the baselines (exploratory)", against(figures)]
    if "artist" in results and "song" in results:
        parts += ["## When test and training share no artist", *disjoint(results)]
    parts += [
        "## What is planted, and how much of it was found",
        planted(workspace, main, truth, facts_of(workspace), told.get("choruses")),
        "## What the generator plants by construction",
        CONSTRUCTION,
    ]
    return "\n\n".join(parts) + "\n"


RULES = (
    "One comparison decides each claim: the mean difference over its pairs of rows in "
    f"{NAMES[DECIDES]}. p is corrected over all claims at once (Holm), so that the chance of any "
    'false claim on this page is 5 %. "Adds little" needs proof that the gain is within '
    f"±{NO_GAIN:g} (two one-sided tests). Power is the chance that a difference of the paper's "
    "size would have been found here. The other two figures of the paper stand beside; AUC and "
    "pairwise accuracy are exploratory. `docs/verdicts.md` says why."
)


CONSTRUCTION = """\
- Appeal shows mostly in the chorus (six qualities of the chorus correlate about 0.7 with it, those
  of the other sections about 0.25), and the middle 30 seconds hold less chorus than an average
  window does, because of the forms the songs have. **A gain of HL-30 over Mid-30 is therefore
  planted**; what is measured is whether the highlight methods and the networks find it.
- An artist's following moves plays and is not audible. An artist prior can therefore beat every
  model that only listens, and songs of one artist in training and test help every row.
- Promotions lift plays before day 60, chance moves them at all times; both are noise to any model.
- Nothing about the order within the head or the tail is planted for the sake of a sampler: noise is
  the same for all songs on the logarithmic scale. `docs/ab-sampling.md` shows under which noise A/B
  sampling gains and under which it does not."""


def about(workspace: Workspace, results: Results) -> dict[str, object]:
    """How the results were made: as shipped beside them, else as the runs' folders tell."""
    shipped = workspace.path / "results" / "about.json"
    told = about_results(workspace, results)
    if shipped.exists() and "training" not in told:
        told |= json.loads(shipped.read_text(encoding="utf-8"))
    return told


def introduction(about: dict[str, object], results: Results) -> str:
    """What was run, and with which tagger, pairs and clips."""
    n_seeds = int(results.metrics["repeat"].nunique()) if "repeat" in results.metrics else 1
    text = (
        f"{about['songs']:,} synthetic songs, "
        f"{about['folds']} {about['fold_kind']}-disjoint folds, "
        f"{n_seeds} seed{'s' * (n_seeds > 1)} of training, "
        f"{len(results.rows)} rows, {about['hours']} hours of training (summed over "
        f"workers) on {about['device']} ({about['machine']})"
    )
    training, tried = about.get("training"), about.get("tried")
    if isinstance(training, dict) and isinstance(tried, dict):
        if training.get("precision") == "bfloat16":
            text += ", matrix products of training in bfloat16"
        text += (
            f"; at most {training['max_epochs']} epochs, grid m {listed(tried['margin'])}, "
            f"w {listed(tried['rank_weight'])}, μ {listed(tried['tag_weight'])}"
        )
    return (
        f"{text}. {made_with(results, about)} Made by `python benchmarks/table1.py WORKSPACE`, "
        "which anybody can run again; the text is put together from the figures."
    )


def made_with(results: Results, about: dict[str, object]) -> str:
    """Tagger, pairs and clips, as the table of metrics names them, else as noted with it."""
    told = []
    for name, words in (("tagger", "tagger"), ("pairing", "pairs"), ("highlight", "clips")):
        known = results.metrics[name].dropna() if name in results.metrics else []
        said = ", ".join(sorted(set(known))) or str(about.get(name, "not recorded"))
        told.append(f"{words}: {said.replace('_', '-')}")
    return "; ".join(told).capitalize() + "."


def warning(results: Results, figures: Figures) -> str:
    n_test, n_top = (int(results.metrics[name].median()) for name in ("n", "k"))
    single = [row for row in results.rows if VARIANTS[row].is_random and figures.n_seeds(row) < 3]
    text = (
        f"**Read this first.** A test fold has {n_test} songs, so its top 10 % are {n_top} songs, "
        "where the paper's are 150 of 1,500: the three figures @10 % are coarse here and their "
        "intervals wide. The runner takes 15,000 songs as it is; this size is what the machine "
        "named above could do."
    )
    if single:
        text += (
            f" Trained with fewer than {MIN_SEEDS} seeds, so without a verdict: rows "
            f"{', '.join(single)}."
        )
    small = too_small(figures)
    return f"{text} **{small}**" if small else text


# --- the claims ----------------------------------------------------------------------------------


def finding(verdict: Verdict) -> str:
    """A claim, its verdict and what it rests on."""
    claim, test = verdict.claim, verdict.decides
    low, high = verdict.interval()
    why = f" ({verdict.why})" if verdict.why else ""
    pairs = ", ".join(f"({one}) − ({other})" for one, other in claim.pairs)
    lines = [
        f"**{claim.words}: {verdict.word}{why}.** {NAMES[DECIDES]}, mean of {pairs}: "
        f"{test.difference:+.3f} (corrected interval {low:+.3f} to {high:+.3f}, "
        f"{p_words(verdict.p_holm)} after Holm); {folds_words(test)}. {power_words(verdict)}"
    ]
    if claim.words in PLANTED:
        lines.append("The generator plants this effect: finding it says that the method works.")
    beside = [figure(verdict, metric) for metric in METRICS if metric != DECIDES]
    lines.append(f"Beside it: {'; '.join(beside)}.")
    explored = [figure(verdict, m) for m in EXPLORATORY if m in verdict.figures]
    if explored:
        lines.append(f"Exploratory: {'; '.join(explored)}.")
    return "\n".join(lines)


def folds_words(test: Comparison) -> str:
    """How many folds and seeds, what each adds to the noise, and which folds had no value."""
    text = f"{test.n_folds} folds × {test.n_seeds} seed{'s' * (test.n_seeds != 1)}"
    if test.seed_sd == test.seed_sd:
        text += f" (deviation between folds {test.fold_sd:.3f}, between seeds {test.seed_sd:.3f})"
    if test.n_undefined:
        text += f"; {test.n_undefined} folds without a value are left out"
    return text


def power_words(verdict: Verdict) -> str:
    """How often the effect would have been found, were it as large as in the paper."""
    if np.isnan(verdict.power):
        return "Its power is unknown."
    if verdict.claim.of_no_gain:
        return (
            f"Were there no gain at all, that would be shown in {verdict.power:.0%} of such runs."
        )
    effect = verdict.claim.paper_effect
    return (
        f"The paper's difference is {effect:+.3f}; one of that size would be found in "
        f"{verdict.power:.0%} of such runs."
    )


def figure(verdict: Verdict, metric: str) -> str:
    """A difference that decides nothing, with the claim's interval."""
    test = verdict.figures[metric]
    if np.isnan(test.difference):
        return f"{NAMES[metric]} undefined"
    low, high = verdict.interval(metric)
    return f"{NAMES[metric]} {test.difference:+.3f} ({low:+.3f} to {high:+.3f})"


def p_words(p: float) -> str:
    if np.isnan(p):
        return "p undefined"
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def claims_table(found: tuple[Verdict, ...]) -> str:
    lines = ["| claim | figure | role | difference | corrected interval | p | p (Holm) | verdict |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for verdict in found:
        metrics = [DECIDES, *(m for m in ALL if m != DECIDES and m in verdict.figures)]
        for metric in metrics:
            test, (low, high) = verdict.figures[metric], verdict.interval(metric)
            decides = metric == DECIDES
            role = "decides" if decides else "primary" if metric in METRICS else "exploratory"
            p = f"{verdict.p_value:.3f} | {verdict.p_holm:.3f}" if decides else " | "
            lines.append(
                f"| {verdict.claim.words if decides else ''} | {NAMES[metric]} | {role} | "
                f"{test.difference:+.3f} | {low:+.3f} to {high:+.3f} | {p} | "
                f"{verdict.word if decides else ''} |"
            )
    return "\n".join(lines)


# --- tables --------------------------------------------------------------------------------------


def table1(results: Results) -> str:
    heads = [part for name in METRICS for part in (NAMES[name], "paper")]
    heads += [NAMES[name] for name in EXPLORATORY]
    lines = ["| row | | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for row in results.rows:
        cells = []
        for column in METRICS:
            paper = getattr(VARIANTS[row].paper, column, None)
            cells += [mean_of(results, row, column), "" if paper is None else f"{paper:.3f}"]
        cells += [mean_of(results, row, column) for column in EXPLORATORY]
        lines.append(f"| {row} | {VARIANTS[row].title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_of(results: Results, row: str, metric: str) -> str:
    values = results.folds_of(row)[metric].dropna().to_numpy(float)
    if len(values) < 2 or np.ptp(values) == 0:
        return f"{values.mean():.3f}" if len(values) else "undefined"
    interval = mean_interval(values)
    return f"{interval.estimate:.3f} ± {(interval.high - interval.low) / 2:.3f}"


def against(figures: Figures) -> str:
    lines = ["| rows | figure | difference | 95 % interval |", "|---|---|---|---|"]
    for first, second in BASELINES:
        if {first, second} <= set(figures.rows):
            for metric in (*METRICS, *EXPLORATORY):
                gaps = figures.difference(metric, ((first, second),))
                test = Comparison.of(gaps, figures.test_train_ratio)
                low, high = test.interval(0.05)
                lines.append(
                    f"| {first} − {second} | {NAMES[metric]} | {test.difference:+.3f} | "
                    f"{low:+.3f} to {high:+.3f} |"
                )
    return "\n".join([*lines, "", "Exploratory: not corrected, no p, and no verdict."])


def disjoint(results: dict[str, Results]) -> list[str]:
    """Rows that were run on both kinds of folds, side by side."""
    song, artist = results["song"], results["artist"]
    rows = [row for row in artist.rows if row in song.rows]
    shown = ("ndcg", "auc", "pairwise_accuracy")
    lines = ["| row | | folds | " + " | ".join(NAMES[m] for m in shown) + " |",
             "|---|---|---|" + "---|" * len(shown)]  # fmt: skip
    for row in rows:
        for kind, found in (("song", song), ("artist", artist)):
            cells = " | ".join(mean_of(found, row, metric) for metric in shown)
            lines.append(f"| {row} | {VARIANTS[row].title} | {kind}-disjoint | {cells} |")
    changes = []
    for row in rows:
        before, after = (r.folds_of(row)["pairwise_accuracy"].mean() for r in (song, artist))
        changes.append(f"({row}) {before:.3f} → {after:.3f}")
    words = (
        "The paper's folds share artists between training and test, so a model may know an "
        "artist's sound, and an artist prior the artist's following. Folds that keep each "
        "artist's songs together take that away: pairwise accuracy "
        + ", ".join(changes)
        + ". The folds are other folds, so the rows are compared by their means, not by a paired "
        "test; 0.5 is chance."
    )
    return ["\n".join(lines), words]


def planted(
    workspace: Workspace,
    results: Results,
    truth: pd.DataFrame,
    facts: PlantedFacts,
    noted: object,
) -> str:
    lines = [
        f"Rank correlation (Spearman) of the planted causes with the day-60 share, over "
        f"{facts.n_scored} songs: appeal {facts.appeal_spearman:.3f} (**the ceiling of any model "
        f"that only listens**), what the chorus shows of it {facts.audible_spearman:.3f}, what the "
        f"other sections show {facts.other_spearman:.3f}, the artists' following "
        f"{facts.following_spearman:.3f}. {facts.share_below_mean:.1%} of the songs lie below the "
        "mean hit score (the paper: 87.5 %).",
        "",
        "| row | Spearman of the score with the planted appeal | with the day-60 share |",
        "|---|---|---|",
    ]
    for row in results.rows:
        table = results.test_predictions(row)
        table["place"] = table.groupby("fold")["y_score"].rank(pct=True)
        appeal = truth.loc[table["song_id"], "appeal"].to_numpy(float)
        found = rank(table["place"], appeal), rank(table["place"], table["y_true"])
        lines.append(f"| {row} | {found[0]:.3f} | {found[1]:.3f} |")
    ceiling = results.test_predictions(results.rows[0])
    figures = [
        evaluate(fold["y_true"], truth.loc[fold["song_id"], "appeal"])
        for _, fold in ceiling.groupby("fold")
    ]
    best = {name: np.mean([getattr(f, name) for f in figures]) for name in ALL}
    lines += [
        "",
        "The planted appeal itself, scored like a model: "
        + ", ".join(f"{NAMES[name]} {value:.3f}" for name, value in best.items())
        + ".",
        "",
        *choruses(workspace, truth, noted),
    ]
    return "\n".join(lines)


def rank(a: object, b: object) -> float:
    return float(pd.Series(np.asarray(a)).corr(pd.Series(np.asarray(b)), method="spearman"))


def choruses(workspace: Workspace, truth: pd.DataFrame, noted: object) -> list[str]:
    """How often each method's clip is chorus; as noted where the features are not here."""
    lines = ["| highlight method | songs | clip that is chorus | clips at least half chorus |",
             "|---|---|---|---|"]  # fmt: skip
    measured = [each for method in METHODS if (each := chorus_share(workspace, truth, method))]
    for each in measured or (noted if isinstance(noted, list) else []):
        lines.append(
            f"| {each['method']} | {each['songs']} | {each['chorus']:.1%} | {each['half']:.1%} |"
        )
    return lines if len(lines) > 2 else []


def chorus_share(workspace: Workspace, truth: pd.DataFrame, method: str) -> dict[str, object]:
    """The share of a method's clips that is chorus, over the songs whose features were built."""
    index = FeatureStore(workspace, FeatureConfig(segment=method)).index()
    index = index[index["status"] == "ok"]
    if index.empty:
        return {}
    shares = np.array(
        [overlap(row.start_s, row.end_s, truth.loc[row.song_id, "choruses"])
         for row in index.itertuples()]
    )  # fmt: skip
    return {
        "method": method,
        "songs": len(shares),
        "chorus": float(shares.mean()),
        "half": float((shares >= 0.5).mean()),
    }


def overlap(start: float, end: float, choruses: list[dict[str, float]]) -> float:
    """The share of a clip that is chorus."""
    inside = sum(max(0.0, min(end, c["end"]) - max(start, c["start"])) for c in choruses)
    return inside / (end - start)


def listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"

"""Which rule finds effects of the paper's size most often, with false claims held to 5 %.

    python benchmarks/verdict_power.py             # 1,500 songs a fold, as in the paper; a minute

Ten rows are simulated as predictions of long-tailed hit scores, ten folds, three seeds; what the
folds share in training songs makes their luck correlate by 1/9. Each rule judges worlds in which no
row is better (false claims), and worlds whose rows differ as Table 1 of the paper says, in full and
by half. The last rule is the one in use (`hitcore.experiments.verdicts`).
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import special

from hitcore.evaluation.intervals import holm
from hitcore.evaluation.metrics import kendall_at, ndcg_at, spearman_at
from hitcore.experiments import METRICS, VARIANTS
from hitcore.experiments.claims import CLAIMS

ROWS = tuple("abcdefghij")
N_FOLDS, N_SEEDS, RATIO = 10, 3, 1 / 8
Judge = Callable[[dict[str, np.ndarray]], dict[str, list[tuple[float, float]]]]
"""From differences by claim, `(n_pairs, n_folds, 3)`, to each claim's p and difference."""


def pool_of_folds(n_folds: int, n_songs: int, rng: np.random.Generator) -> np.ndarray:
    """Figures of equally good rows: `(n_rows, n_folds, 3)`, the mean of three seeds."""
    found = np.empty((len(ROWS), n_folds, 3))
    for fold in range(n_folds):
        appeal, common = rng.normal(size=(2, n_songs))
        truth = np.exp(2 * appeal)
        for row in range(len(ROWS)):
            own = 0.3 * appeal + 0.7 * common + 0.5 * rng.normal(size=n_songs)
            scores = own + 0.4 * rng.normal(size=(N_SEEDS, n_songs))
            figures = [[f(truth, s) for f in (ndcg_at, kendall_at, spearman_at)] for s in scores]
            found[row, fold] = np.mean(figures, axis=0)
    return found


def world(pool: np.ndarray, effect: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Differences by claim where rows differ by a part of what the paper reports."""
    drawn = pool[:, rng.integers(pool.shape[1], size=N_FOLDS)]
    own = pool - pool.mean(axis=0)
    luck = np.sqrt(RATIO) * own.std(axis=(0, 1)) * rng.normal(size=(len(ROWS), 1))
    paper = np.array([[getattr(VARIANTS[row].paper, m) for m in METRICS] for row in ROWS])
    figures = drawn + luck[:, None] + effect * paper[:, None]
    place = {row: n for n, row in enumerate(ROWS)}
    return {
        claim.words: np.stack([figures[place[a]] - figures[place[b]] for a, b in claim.pairs])
        for claim in CLAIMS
        if not claim.of_no_gain
    }


def test(gaps: np.ndarray) -> tuple[float, float]:
    """p and mean of differences `(n_folds,)`."""
    scale = gaps.std(ddof=1) * np.sqrt(1 / len(gaps) + RATIO)
    mean = float(gaps.mean())
    return float(2 * special.stdtr(len(gaps) - 1, -abs(mean) / scale)), mean


RULES: dict[str, Judge] = {
    "every pair, three figures": lambda claims: {
        words: [test(pair[:, m]) for pair in gaps for m in range(3)]
        for words, gaps in claims.items()
    },
    "mean of the pairs, three figures": lambda claims: {
        words: [test(gaps.mean(0)[:, m]) for m in range(3)] for words, gaps in claims.items()
    },
    "mean of the pairs, nDCG alone": lambda claims: {
        words: [test(gaps.mean(0)[:, 0])] for words, gaps in claims.items()
    },
    "mean of the pairs and of the figures": lambda claims: {
        words: [test(gaps.mean((0, 2)))] for words, gaps in claims.items()
    },
    "mean of the pairs, Kendall alone": lambda claims: {
        words: [test(gaps.mean(0)[:, 1])] for words, gaps in claims.items()
    },
}


def supported(rule: Judge, claims: dict[str, np.ndarray]) -> dict[str, bool]:
    """Which claims a rule calls supported, all its tests in one family."""
    found = rule(claims)
    owners = [(words, mean) for words, tests in found.items() for _, mean in tests]
    corrected = holm([p for tests in found.values() for p, _ in tests])
    good = {
        words for (words, mean), p in zip(owners, corrected, strict=True) if p < 0.05 and mean > 0
    }
    return {words: words in good for words in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--songs", type=int, default=1500, help="songs in a test fold")
    parser.add_argument("--worlds", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    pool = pool_of_folds(80, options.songs, rng)
    names = [claim.words for claim in CLAIMS if not claim.of_no_gain]
    print(
        f"{options.songs} songs a fold, {N_FOLDS} folds, {N_SEEDS} seeds, {options.worlds} worlds"
    )
    print("| rule | worlds with a false claim | effect | " + " | ".join(names) + " |")
    print("|---|---|---|" + "---|" * len(names))
    for words, rule in RULES.items():
        told = {
            effect: [supported(rule, world(pool, effect, rng)) for _ in range(options.worlds)]
            for effect in (0.0, 0.5, 1.0)
        }
        false = np.mean([any(one.values()) for one in told[0.0]])
        for effect, name in ((1.0, "the paper's"), (0.5, "half of it")):
            cells = " | ".join(f"{np.mean([w[n] for w in told[effect]]):.2f}" for n in names)
            print(f"| {words} | {false:.1%} | {name} | {cells} |")


if __name__ == "__main__":
    main()

"""Does A/B sampling beat naive sampling on a planted long tail, and when does it not?

    python benchmarks/ab_sampling.py [--quick] [--full-network] [--seeds 40] [--json FILE]

The paper reports A/B far ahead of naive sampling (rows e, f against i, j of Table 1) on data that
nobody else can see. Here the truth is planted and one property of the data is varied at a time:
how noisy the order of the tail is, how large the head is, whether the head is ordered by the same
features that lift a song out of the tail, how well the network can fit, and how many pairs and
songs there are. Both samplers get the same songs, the same start, the same number of different
pairs, the same grid (margin, rank weight), and the same choice of grid point and moment by the
validation songs (nDCG@10 %, ties by Kendall). Every seed is a new set of songs and a new network,
so the seeds are independent and the plain paired t interval holds.

The network is small (16 features, 32 hidden units, or none) and all members of a condition run as
one batch; the losses, samplers, metrics and tests are the library's. With --full-network four of
the conditions are trained by `hitcore.learning.fit_stack` instead: the paper's tag network of
three hidden layers with dropout, explicit pairs, its own standardisation and choice of epoch.
"""

import argparse
import itertools
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from hitcore.evaluation.intervals import PairedTest, holm, paired_test
from hitcore.evaluation.metrics import kendall_at, ndcg_at, spearman_at
from hitcore.learning import Member, TrainConfig, TrainingData, fit_stack
from hitcore.learning.losses import multi_objective_loss
from hitcore.learning.pairs import AB, Naive
from hitcore.networks.targets import transform_target

METRICS = {"ndcg": ndcg_at, "kendall": kendall_at, "spearman": spearman_at}
SAMPLERS = ("naive", "ab")
MARGINS = (0.3, 1.0)
N_FEATURES, N_VALID, N_TEST = 16, 400, 2000
BATCH, LEARNING_RATE, N_LOOKS = 64, 3e-3, 12


@dataclass(frozen=True)
class Condition:
    """One kind of long tail, and how much is learned from it."""

    name: str
    """What is changed against the first condition."""
    below_mean: float = 0.875
    """Share of the songs below the mean hit score: the paper's Fig. 3."""
    tail_noise: float = 1.5
    """Standard deviation of what disturbs the order within the tail; appeal has 1."""
    head_noise: float = 0.5
    """The same for the order within the head, and for who is in the head at all."""
    other_features: float = 0.0
    """Part of the head's order that comes from features of its own: 0 none, 1 all."""
    n_hidden: int = 32
    """Hidden units; 0 is a linear model, which cannot fit the tail and the head apart."""
    n_train: int = 1000
    """Training songs."""
    n_pairs: int = 48_000
    """Different pairs that each sampler may use."""
    rank_weights: tuple[float, ...] = (0.5, 0.9)
    """Values of w in the grid; 1 is the ranking loss alone."""


BASE = Condition("as in the paper's Fig. 3")
CONDITIONS = [
    BASE,
    replace(BASE, name="tail order as clean as the head's", tail_noise=0.5),
    replace(BASE, name="tail order all noise", tail_noise=100.0),
    replace(BASE, name="larger head (75 % below the mean)", below_mean=0.75),
    replace(BASE, name="smaller head (95 % below the mean)", below_mean=0.95, n_pairs=20_000),
    replace(BASE, name="head half ordered by other features", other_features=0.5),
    replace(BASE, name="head ordered by other features", other_features=1.0),
    replace(BASE, name="linear model", n_hidden=0),
    replace(BASE, name="linear model, head by other features", n_hidden=0, other_features=1.0),
    replace(BASE, name="ranking loss alone", rank_weights=(1.0,)),
    replace(BASE, name="a tenth of the pairs", n_pairs=4_800),
    replace(BASE, name="a third of the songs", n_train=333, n_pairs=8_000),
]
FULL_NETWORK = {
    "tail order as clean as the head's",
    "tail order all noise",
    "head ordered by other features",
}
"""Conditions that the full network repeats, beside the first."""


@dataclass(frozen=True)
class Songs:
    """Planted songs: features, raw hit scores, and rows for training, validation and test."""

    features: np.ndarray
    hit_scores: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def plant(condition: Condition, seed: int) -> Songs:
    """Songs whose appeal is a smooth function of the features, and shares with a long tail."""
    rng = np.random.default_rng(seed)
    n_songs = condition.n_train + N_VALID + N_TEST
    x = rng.normal(size=(n_songs, N_FEATURES))
    direction = np.linalg.qr(rng.normal(size=(N_FEATURES, 4)))[0]
    along = x @ direction
    appeal = _standard(along[:, 0] + 0.5 * along[:, 1] * along[:, 2])
    order_of_head = (1 - condition.other_features) * appeal + condition.other_features * along[:, 3]
    noise = rng.normal(size=(3, n_songs))

    sigma = 2 * stats.norm.ppf(condition.below_mean)  # of a lognormal: P(below the mean) = Φ(σ/2)
    shares = np.exp(sigma * stats.norm.ppf((np.arange(n_songs) + 0.5) / n_songs))[::-1]
    shares = shares / shares.sum()
    n_head = int((shares > shares.mean()).sum())

    rank = np.argsort(-(appeal + condition.head_noise * noise[0]))
    head, tail = rank[:n_head], rank[n_head:]
    key = np.empty(n_songs)
    key[head] = order_of_head[head] + condition.head_noise * noise[1, head]
    key[tail] = appeal[tail] + condition.tail_noise * noise[2, tail]
    order = np.concatenate([head[np.argsort(-key[head])], tail[np.argsort(-key[tail])]])
    hit_scores = np.empty(n_songs)
    hit_scores[order] = shares
    rows = rng.permutation(n_songs)
    return Songs(x, hit_scores, *np.split(rows, [condition.n_train, condition.n_train + N_VALID]))


def run(condition: Condition, seeds: list[int]) -> dict[str, dict[str, list[float]]]:
    """Test metrics of each sampler, one value per seed."""
    sets = [plant(condition, seed) for seed in seeds]
    grid = list(itertools.product(MARGINS, condition.rank_weights))
    members = [(s, k, point) for s in range(len(seeds)) for k in SAMPLERS for point in grid]
    pairs = {
        (s, k): draw(condition, sets[s], k, seeds[s]) for s in range(len(sets)) for k in SAMPLERS
    }
    index = torch.stack([pairs[s, k] for s, k, _ in members])
    set_of = torch.tensor([s for s, _, _ in members])
    margin = torch.tensor([point[0] for *_, point in members])
    weight = torch.tensor([point[1] for *_, point in members])
    x, y = _training_tensors(sets)
    parameters = _start(condition, [seeds[s] for s, _, _ in members])
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)

    n_steps = index.shape[1] // BATCH
    looks = {round(n_steps * (look + 1) / N_LOOKS) for look in range(N_LOOKS)}
    best: dict[tuple[int, str], tuple[tuple[float, float], dict[str, float]]] = {}
    for step in range(n_steps):
        batch = index[:, step * BATCH : (step + 1) * BATCH].long()
        songs = batch.flatten(1)
        score = forward(parameters, x[set_of[:, None], songs]).unflatten(1, (-1, 2))
        truth = y[set_of[:, None], songs].unflatten(1, (-1, 2))
        loss = multi_objective_loss(
            score[..., 0], score[..., 1], truth[..., 0], truth[..., 1], margin, weight
        )
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        if step + 1 in looks:
            _look(sets, members, parameters, best)
    return {
        sampler: {name: [best[s, sampler][1][name] for s in range(len(sets))] for name in METRICS}
        for sampler in SAMPLERS
    }


def run_full_network(condition: Condition, seeds: list[int]) -> dict[str, dict[str, list[float]]]:
    """As `run`, with the paper's tag network on the features and the library's training."""
    sets = [plant(condition, seed) for seed in seeds]
    hit_scores = np.concatenate([each.hit_scores for each in sets])
    data = TrainingData(
        mel=None,
        tags=np.concatenate([each.features for each in sets]).astype(np.float32),
        y=transform_target(hit_scores),
        hit_scores=hit_scores,
    )
    starts = np.cumsum([0, *(each.hit_scores.size for each in sets)])
    members = [
        Member(
            train=start + each.train,
            valid=start + each.valid,
            test=start + each.test,
            audio=None,
            use_tags=True,
            sampler=sampler,
            margin=margin,
            rank_weight=0.9,
            seed=seed,
        )
        for start, each, seed in zip(starts, sets, seeds, strict=False)
        for sampler in SAMPLERS
        for margin in (0.01, 0.1)
    ]
    config = TrainConfig(
        optimiser="adam",
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
        max_epochs=N_LOOKS,
        best_by="ndcg",
        pairing="explicit",
        pairs_per_epoch=condition.n_pairs // N_LOOKS,
    )
    best: dict[tuple[int, str], tuple[tuple[float, float], dict[str, float]]] = {}
    for result in fit_stack(data, members, config).members:
        member = result.member
        valid, test = (
            (hit_scores[songs], result.scores[songs]) for songs in (member.valid, member.test)
        )
        merit = (ndcg_at(*valid), kendall_at(*valid))
        key = (member.seed, str(member.sampler))
        if key not in best or merit > best[key][0]:
            best[key] = merit, {name: metric(*test) for name, metric in METRICS.items()}
    return {
        sampler: {name: [best[seed, sampler][1][name] for seed in seeds] for name in METRICS}
        for sampler in SAMPLERS
    }


def draw(condition: Condition, songs: Songs, sampler: str, seed: int) -> Tensor:
    """The pairs of one sampler, all different; `(n_pairs, 2)` rows of the training set."""
    scores = songs.hit_scores[songs.train]
    rule = AB(scores) if sampler == "ab" else Naive(scores.size)
    pairs = rule.explicit(condition.n_pairs, np.random.default_rng(seed))
    return torch.from_numpy(pairs.astype(np.int32))


def forward(parameters: list[Tensor], x: Tensor) -> Tensor:
    """Scores `(K, n_songs)` of features `(K, n_songs, n_features)`."""
    *hidden, weight, bias = parameters
    if hidden:
        x = torch.nn.functional.leaky_relu(torch.baddbmm(hidden[1], x, hidden[0]), 0.1)
    return torch.baddbmm(bias, x, weight).squeeze(-1)


def _start(condition: Condition, seeds: list[int]) -> list[Tensor]:
    sizes = [N_FEATURES, *([condition.n_hidden] if condition.n_hidden else []), 1]
    parameters = []
    for n_in, n_out in itertools.pairwise(sizes):
        bound = math.sqrt(6 / (n_in + n_out))
        each = [np.random.default_rng(seed).uniform(-bound, bound, (n_in, n_out)) for seed in seeds]
        parameters.append(torch.tensor(np.stack(each), dtype=torch.float32, requires_grad=True))
        parameters.append(torch.zeros(len(seeds), 1, n_out, requires_grad=True))
    return parameters


def _training_tensors(sets: list[Songs]) -> tuple[Tensor, Tensor]:
    x = np.stack([each.features[each.train] for each in sets])
    y = np.stack([_standard(transform_target(each.hit_scores[each.train])) for each in sets])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def _look(
    sets: list[Songs],
    members: list[tuple[int, str, tuple[float, float]]],
    parameters: list[Tensor],
    best: dict[tuple[int, str], tuple[tuple[float, float], dict[str, float]]],
) -> None:
    """Keep, per seed and sampler, the test metrics of the best validation so far."""
    x = torch.tensor(
        np.stack([np.concatenate([e.features[e.valid], e.features[e.test]]) for e in sets]),
        dtype=torch.float32,
    )
    with torch.no_grad():
        score = forward(parameters, x[[s for s, *_ in members]]).numpy()
    for (s, sampler, _), scores in zip(members, score, strict=True):
        each = sets[s]
        truth = each.hit_scores[each.valid]
        merit = (ndcg_at(truth, scores[:N_VALID]), kendall_at(truth, scores[:N_VALID]))
        if (s, sampler) not in best or merit > best[s, sampler][0]:
            truth, scores = each.hit_scores[each.test], scores[N_VALID:]
            figures = {name: metric(truth, scores) for name, metric in METRICS.items()}
            best[s, sampler] = merit, figures


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def compare(results: dict[str, dict[str, list[float]]]) -> dict[str, PairedTest]:
    """A/B less naive, per metric, over independent seeds."""
    return {
        name: paired_test(results["ab"][name], results["naive"][name], test_train_ratio=0)
        for name in METRICS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 seeds, three conditions, few pairs")
    parser.add_argument("--full-network", action="store_true", help="train by fit_stack, slower")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write every seed's figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    conditions, n_seeds = CONDITIONS, options.seeds
    if options.quick:
        conditions = [replace(each, n_pairs=3_200) for each in (CONDITIONS[0], *CONDITIONS[6:8])]
        n_seeds = 4
    if options.full_network:
        names = {BASE.name, *FULL_NETWORK}
        conditions = [each for each in conditions if each.name in names]
    train = run_full_network if options.full_network else run
    seeds = list(range(options.first_seed, options.first_seed + n_seeds))

    print(
        f"A/B less naive, metrics @10 % of {N_TEST} test songs, {n_seeds} seeds, 95 % intervals\n"
    )
    documents, tests = [], []
    for condition in conditions:
        begin = time.perf_counter()
        results = train(condition, seeds)
        tests.append(compare(results))
        documents.append({"condition": asdict(condition), "seeds": seeds, "results": results})
        print(f"{condition.name}  ({time.perf_counter() - begin:.0f} s)", flush=True)
        for name, test in tests[-1].items():
            means = [np.mean(results[sampler][name]) for sampler in SAMPLERS]
            print(
                f"  {name:<9} naive {means[0]:7.4f}  A/B {means[1]:7.4f}  difference "
                f"{test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}]  p {test.p_value:.2g}",
                flush=True,
            )
    corrected = holm([test.p_value for each in tests for test in each.values()])
    print(f"\nAfter Holm's correction for {corrected.size} tests, at 5 %:")
    labels = [(c, name) for c in conditions for name in METRICS]
    for (condition, name), p in zip(labels, corrected, strict=True):
        if p < 0.05:
            test = tests[conditions.index(condition)][name]
            winner = "A/B" if test.difference > 0 else "naive"
            print(
                f"  {winner:<5} ahead: {condition.name}, {name} {test.difference:+.4f} (p {p:.2g})"
            )
    if not (corrected < 0.05).any():
        print("  no difference stands")
    if options.json:
        options.json.write_text(json.dumps(documents, indent=1))


if __name__ == "__main__":
    main()

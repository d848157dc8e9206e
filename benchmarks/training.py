"""Songs per second of training: a plain loop over pairs, one model in batch, and a whole stack.

    python benchmarks/training.py [--quick] [--device cpu|cuda] [--processor-time]

(a) is what the paper describes, in ordinary PyTorch: pairs from a DataLoader, both songs through
the network, one model at a time. (b) is `fit_member` with every pair within a batch, (c)
`fit_stack` with 10 folds x 27 grid points; on a CPU also with products in bfloat16, which some
multiply faster. All train the network of Fig. 1 on the same made-up songs, with the same
standardised inputs, first weights, optimiser, batch size, margin and rank weight. A song counts
each time it passes forward and back through one model; validation is in the times.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from hitcore.evaluation.metrics import ndcg_at
from hitcore.learning import Member, Precision, TrainConfig, TrainingData, fit_member, fit_stack
from hitcore.learning.losses import in_batch_loss, multi_objective_loss
from hitcore.learning.pairs import AB, mean_hit_score
from hitcore.networks.hitnet import HitCNN, HitNet, initialise

N_MELS, N_FRAMES, BATCH = 128, 323, 10
MARGIN, RANK_WEIGHT = 0.5, 0.5


clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Run:
    """What one way of training came to."""

    songs_per_s: float
    seconds: list[float]
    """Time at the end of each epoch, validation included."""
    valid_loss: list[float]
    valid_ndcg: list[float]


def made_up_songs(n_songs: int, seed: int = 0) -> TrainingData:
    """Songs of the real size whose quality shows in a third of the bins, under noise."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n_songs).astype(np.float32)
    mel = rng.normal(4, 1, size=(n_songs, N_MELS, N_FRAMES)).astype(np.float16)
    mel[:, :40] += (0.05 * quality)[:, None, None].astype(np.float16)
    share = 1e-4 * np.exp(1.5 * quality)
    return TrainingData(mel, None, y=-1 / np.log10(share), hit_scores=share)


def folds(n_songs: int, n_folds: int = 10) -> list[dict[str, np.ndarray]]:
    parts = np.array_split(np.random.default_rng(1).permutation(n_songs), n_folds)
    return [
        {
            "test": parts[k],
            "valid": parts[k - 1],
            "train": np.concatenate([parts[(k + i) % n_folds] for i in range(1, n_folds - 1)]),
        }
        for k in range(n_folds)
    ]


class Pairs(Dataset):
    """Pairs of songs as a DataLoader takes them."""

    def __init__(self, mel: torch.Tensor, y: torch.Tensor, pairs: np.ndarray) -> None:
        self.mel, self.y, self.pairs = mel, y, pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, ...]:
        i, j = self.pairs[place]
        return self.mel[i], self.mel[j], self.y[i], self.y[j]


def plain_loop(data: TrainingData, member: Member, n_epochs: int, device: str) -> Run:
    """(a): the Siamese network over explicit pairs, one model, with a DataLoader."""
    songs, valid = member.songs["train"], torch.from_numpy(member.songs["valid"])
    mel = torch.as_tensor(data.mel).float()
    mean, deviation = mel[songs].mean((0, 2)), mel[songs].std((0, 2))
    mel = (mel - mean[:, None]) / deviation[:, None]
    truth = np.asarray(data.y)
    unit = truth[songs].std()
    y = torch.from_numpy(truth / unit).float()
    net = initialise(HitNet(HitCNN(N_MELS, N_FRAMES)), member.seed).to(device)
    torch.nn.init.constant_(net.audio.conv5.bias, float(truth[songs].mean() / unit))
    optimiser = torch.optim.Adagrad(net.parameters(), 5e-3, initial_accumulator_value=0.1)
    rule = AB(np.asarray(data.hit_scores)[songs])
    permitted = AB(data.hit_scores, mean_hit_score(np.asarray(data.hit_scores)[songs]))
    rng = np.random.default_rng(member.seed)
    seconds, losses, ndcgs, n_seen = [], [], [], 0
    start = clock()
    for _ in range(n_epochs):
        net.train()
        pairs = songs[rule.explicit(len(songs), rng)]
        for one, two, y_one, y_two in DataLoader(Pairs(mel, y, pairs), BATCH, shuffle=True):
            score_one, score_two = net(one.to(device)).score, net(two.to(device)).score
            loss = multi_objective_loss(
                score_one, score_two, y_one.to(device), y_two.to(device), MARGIN, RANK_WEIGHT
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            n_seen += 2 * len(one)
        net.eval()
        with torch.no_grad():
            score = torch.cat([net(mel[part].to(device)).score for part in valid.split(64)]).cpu()
        mask = permitted.in_batch(valid)
        rated = (score - y[valid]).square().mean()
        ranked = in_batch_loss(score, y[valid], mask, MARGIN, 1.0)
        losses.append(float((1 - RANK_WEIGHT) * rated + RANK_WEIGHT * ranked))
        ndcgs.append(ndcg_at(np.asarray(data.hit_scores)[valid], score.numpy()))
        seconds.append(clock() - start)
    return Run(n_seen / seconds[-1], seconds, losses, ndcgs)


def in_batch(data: TrainingData, member: Member, n_epochs: int, device: str) -> Run:
    """(b): `fit`, every permitted pair within a batch, one model."""
    at: dict[int, float] = {}
    start = clock()
    config = TrainConfig(batch_size=BATCH, max_epochs=n_epochs, patience=n_epochs)
    result = fit_stack(
        data,
        [member],
        config,
        device=device,
        progress=lambda now: at.update({now.epoch: clock() - start}),
    )
    history = result.members[0].history
    return Run(
        len(history) * len(member.songs["train"]) / at[len(history)],
        [at[record.epoch] for record in history],
        [record.valid_loss for record in history],
        [record.valid_ndcg for record in history],
    )


def whole_stack(n_songs: int, device: str, precision: Precision = "auto") -> float:
    """(c): 10 folds x 27 grid points for two epochs; songs per second."""
    data = made_up_songs(n_songs)
    members = [
        Member(
            **fold, sampler="ab",
            margin=margin, rank_weight=weight, learning_rate=rate, seed=number,
        )
        for number, fold in enumerate(folds(data.n_songs))
        for margin in (0.1, 0.5, 1.0)
        for weight in (0.25, 0.5, 0.75)
        for rate in (2e-3, 5e-3, 1e-2)
    ]  # fmt: skip
    at: list[tuple[int, float]] = []
    fit_stack(
        data,
        members,
        TrainConfig(batch_size=BATCH, max_epochs=3, precision=precision),
        device=device,
        progress=lambda now: at.append((now.epoch, clock())),
    )
    # From the end of each chunk's first epoch to the end of its last.
    seconds, first = 0.0, 0.0
    for (epoch, now), (following, _) in zip(at, [*at[1:], (0, 0.0)], strict=True):
        if epoch == 1 and following != 1:
            first = now
        if epoch == 3 and following != 3:
            seconds += now - first
    return 2 * sum(len(member.songs["train"]) for member in members) / seconds


def best_time(work: Callable[[], object], device: str, n: int = 7) -> float:
    """The shortest of a few timings, in seconds."""
    times = []
    for _ in range(n):
        if device != "cpu":
            torch.cuda.synchronize()
        start = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times)


def product_rate(device: str) -> float:
    """Floating-point operations per second of a matrix product, in the precision of training."""
    n = 1024 if device == "cpu" else 8192
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return 2 * n**3 / best_time(lambda: a @ b, device)


def bandwidth(device: str) -> float:
    """Bytes per second of a copy, read and written."""
    a = torch.empty(64 * 2**20 if device == "cpu" else 2**30, dtype=torch.float32, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() * 4 / best_time(lambda: b.copy_(a), device)


def operations_per_song() -> float:
    """Multiplications and additions of one song forward and back (no gradient of the input)."""
    t1 = N_FRAMES - 3
    t2 = t1 // 2 - 3
    t3 = t2 // 2
    first = t1 * 4 * N_MELS * 32
    rest = t2 * 4 * 32 * 64 + t3 * (64 * 256 + 256 * 256 + 256)
    return 2.0 * (2 * first + 3 * rest)


def bytes_per_song(n_sharing: int, device: str) -> float:
    """The least a song of one member must move through memory, if caches held nothing.

    The half-precision spectrogram is read forward and back, shared by the members of a group; each
    layer's output and its gradient are written once and read twice; the weights, their gradients
    and the optimiser's sums are read and written once for each batch.
    """
    size = 4 if device == "cpu" else 2
    t1 = N_FRAMES - 3
    t2 = t1 // 2 - 3
    outputs = t1 // 2 * 32 + t2 // 2 * (64 + 256 + 256)
    weights = 107_361 * 4 * 6 / BATCH
    return 2 * 2 * N_MELS * N_FRAMES / n_sharing + outputs * size * 2 * 3 + weights


def share_line(name: str, speed: float, n_sharing: int, device: str) -> str:
    products, memory = product_rate(device), bandwidth(device)
    used = speed * operations_per_song() / products
    floor = memory / bytes_per_song(n_sharing, device)
    return (
        f"{name}: {used:6.1%} of the matrix-product rate ({products / 1e9:,.0f} GFLOP/s), "
        f"{speed / floor:6.1%} of the bandwidth floor ({floor:,.0f} songs/s at "
        f"{memory / 1e9:,.0f} GB/s)"
    )


def first_reaching(run: Run, loss: float, ndcg: float) -> float | None:
    """When a run first had at most this loss and at least this nDCG, in one epoch or before."""
    lowest, highest = float("inf"), float("-inf")
    for seconds, now_loss, now_ndcg in zip(
        run.seconds, run.valid_loss, run.valid_ndcg, strict=True
    ):
        lowest, highest = min(lowest, now_loss), max(highest, now_ndcg)
        if lowest <= loss and highest >= ndcg:
            return seconds
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer songs and epochs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count this process's processor time, for a machine that is shared (one thread)",
    )
    options = parser.parse_args()
    if options.processor_time:
        global clock
        clock = time.process_time
        torch.set_num_threads(1)
    device = options.device
    n_songs, n_epochs, n_in_stack = (150, 3, 30) if options.quick else (1000, 8, 100)
    if device != "cpu":
        n_in_stack *= 40
    name = torch.cuda.get_device_name() if device != "cpu" else platform.processor() or "CPU"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{name}, {torch.get_num_threads()} threads{load}; torch {torch.__version__}")
    print(f"{n_songs} songs of {N_MELS} x {N_FRAMES}, batches of {BATCH}, {n_epochs} epochs\n")
    data = made_up_songs(n_songs)
    fold = folds(n_songs)[0]
    member = Member(**fold, sampler="ab", margin=MARGIN, rank_weight=RANK_WEIGHT, seed=0)
    fit_member(
        data, replace(member, train=fold["train"][:40]), TrainConfig(max_epochs=1), device=device
    )

    a = plain_loop(data, member, n_epochs, device)
    b = in_batch(data, member, 2 * n_epochs, device)
    c = whole_stack(n_in_stack, device)
    print(f"{'':38}{'songs/s':>10}{'ratio':>8}")
    speeds = {
        "(a) pairs, DataLoader, one model": a.songs_per_s,
        "(b) in batch, one model": b.songs_per_s,
        "(c) in batch, 10 folds x 27 points": c,
    }
    if device == "cpu":
        speeds["(c) with products in bfloat16"] = whole_stack(n_in_stack, device, "bfloat16")
    for label, speed in speeds.items():
        print(f"{label:38}{speed:10,.0f}{speed / a.songs_per_s:8.1f}")
    print()
    print(share_line("(b)", b.songs_per_s, 1, device))
    print(share_line("(c)", c, 27, device))
    print()
    loss, ndcg = a.valid_loss[-1], a.valid_ndcg[-1]
    when = first_reaching(b, loss, ndcg)
    print(f"(a) ends at loss {loss:.4f}, nDCG@10% {ndcg:.3f} after {a.seconds[-1]:.1f} s")
    if when is None:
        print(f"(b) has not reached both after {b.seconds[-1]:.1f} s")
    else:
        share = when / a.seconds[-1]
        print(f"(b) has both after {when:.1f} s: {share:.2f} of (a)'s time (aim: at most 0.33)")
    print(f"(b) at best: loss {min(b.valid_loss):.4f}, nDCG@10% {max(b.valid_ndcg):.3f}")


if __name__ == "__main__":
    main()

"""Train and write what ships about real music: `real-clips`, `hot100-attributes`, and where the
published network's scores of real clips lie.

`real-clips`: ten raters, each of nine tenths of the artists of 522 clips. How smooth a rater is,
and whether it is one at all or a straight line (ridge), is chosen inside those nine tenths, by five
folds of their own, so that no clip has a part in choosing the rater that is judged by it. The
tenth left out gets its scores from that rater: they are the model's figures, its reference for
percentiles and the measure of its intervals. Four more divisions into ten tell how much the figure
hangs on the division.

`hot100-attributes`: seven attributes of the sound by ridge regression, then the log-odds of having
charted by logistic regression on 28,466 songs of other artists, with a constant for each decade.

What is done is kept in `--state` and not done again. About three minutes on one core.

    python benchmarks/train_real.py [--state FOLDER] [--out FOLDER]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from clips import ATTRIBUTES, Clips, artist_folds, read_charts, read_clips
from numpy.typing import NDArray
from realcards import charted_card, published_card, real_card, sensitivity
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from hitcore import weights
from hitcore.evaluation.calibration import places
from hitcore.evaluation.domain import Domain
from hitcore.evaluation.percentiles import Reference
from hitcore.files import ASSETS, write_atomic
from hitcore.networks.cards import ModelCard, write_card
from hitcore.networks.hitnet import HitNet
from hitcore.networks.kernels import KernelSettings, fit_kernel
from hitcore.networks.models import ModelSpec, save_model
from hitcore.networks.statistics import N_BANDS, sound_statistics

N_FOLDS, N_INNER, N_DIVISIONS = 10, 5, 5
KERNELS = [
    KernelSettings(bandwidth, penalty, tag_share)
    for bandwidth in (0.1, 0.2, 0.4)
    for penalty in (0.1, 0.3, 1.0)
    for tag_share in (0.3, 0.5)
]
LINES = [
    KernelSettings(0.0, penalty, tag_share)
    for penalty in (1.0, 3.0, 10.0)
    for tag_share in (0.3, 0.5, 0.7)
]
ATTRIBUTE_RIDGE = KernelSettings(0.0, 3.0, 0.5)
SMOOTHING = 0.01
"""Added to an attribute and to its complement before the log-odds."""
LICENCE = "Weights learned from commercial clips: for research use"

Floats = NDArray[np.float64]


def fitted(clips: Clips, rows: NDArray[np.bool_], y: Floats, settings: KernelSettings, seed: int):
    return fit_kernel(
        clips.mel[:1].expand(int(rows.sum()), -1, -1),  # for its shape alone
        clips.tags[rows],
        torch.from_numpy(y[rows]).float(),
        settings,
        seed=seed,
        statistics=clips.statistics[rows],
    )


def scores(net: HitNet, clips: Clips, rows: NDArray[np.bool_]) -> Floats:
    with torch.inference_mode():
        audio = net.audio.rate(clips.statistics[rows])
        return (audio + net.tag(clips.tags[rows])).double().numpy()


def chosen(clips: Clips, rows: NDArray[np.bool_], grid: list[KernelSettings], seed: int):
    """The settings that rank best inside these clips, and their Spearman's rho there."""
    y, where = clips.popularity, np.flatnonzero(rows)
    inner = artist_folds(clips.artists[where], N_INNER, seed)
    found = []
    for settings in grid:
        predicted = np.empty(len(where))
        for fold in range(N_INNER):
            train = np.zeros(len(y), bool)
            train[where[inner != fold]] = True
            test = np.zeros(len(y), bool)
            test[where[inner == fold]] = True
            predicted[inner == fold] = scores(fitted(clips, train, y, settings, seed), clips, test)
        found.append(float(spearmanr(predicted, y[where])[0]))
    best = int(np.argmax(found))
    return grid[best], found[best]


def division(clips: Clips, seed: int, state: Path) -> dict:
    """One division into ten folds: what was chosen in each, and the out-of-fold scores."""
    file = state / f"division-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text())
    y, fold = clips.popularity, artist_folds(clips.artists, N_FOLDS, seed)
    found: dict = {"fold": fold.tolist(), "kernel": [], "line": []}
    for name, grid in (("kernel", KERNELS), ("line", LINES)):
        oof = np.empty(len(y))
        for k in range(N_FOLDS):
            settings, inner = chosen(clips, fold != k, grid, seed * 100 + k)
            net = fitted(clips, fold != k, y, settings, seed * 100 + k)
            oof[fold == k] = scores(net, clips, fold == k)
            found[name].append({**vars(settings), "inner_rho": inner})
        found[f"{name}_oof"] = oof.tolist()
        print(f"division {seed}, {name}: rho {spearmanr(oof, y)[0]:.3f} out of fold", flush=True)
    write_atomic(file, json.dumps(found))
    return found


def train_real(clips: Clips, state: Path, out: Path) -> None:
    divisions = [division(clips, seed, state) for seed in range(N_DIVISIONS)]
    first, y = divisions[0], clips.popularity
    ahead = [
        sum(a["inner_rho"] > b["inner_rho"] for a, b in zip(d["kernel"], d["line"], strict=True))
        for d in divisions
    ]
    print(f"cosines rank better than a straight line inside {ahead} of {N_FOLDS} training sets")
    family = "kernel" if ahead[0] > N_FOLDS / 2 else "line"
    fold = np.asarray(first["fold"])
    names = ("bandwidth", "penalty", "tag_share")
    nets = [
        fitted(clips, fold != k, y, KernelSettings(**{n: one[n] for n in names}), k)
        for k, one in enumerate(first[family])
    ]
    card = real_card(clips, divisions, family, ahead)
    rho = card.evaluation[0]
    spec = ModelSpec(
        name="real-clips",
        audio=type(nets[0].audio).__name__,
        mel="paper",
        tagger="musicnn-mtt",
        tag_names=clips.tag_names,
        tag=type(nets[0].tag).__name__,
        tag_weights=(1.0,) * N_FOLDS,
        mix="additive",
        highlight="whole clip",
        target_transform=None,
        label="popularity of the artist",
        reference="522 real clips of commercial songs, by their artists' popularity",
        measured=f"ρ {rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}] with artists' popularity, on "
        f"{rho.n} clips by artists that it had not heard",
        title="Real clips",
        trained_on="522 clips of commercial songs with their artists' popularity",
        source="this project, benchmarks/train_real.py",
        licence=LICENCE,
        limits=card.limits,
    )
    domain = Domain.fit(sound_statistics(clips.mel, clips.tags).double().numpy(), clips.artists)
    reference = Reference(fold, oof_of(first, family, nets, clips), places(y, y))
    path = out / "real-clips.safetensors"
    save_model(path, nets, spec, reference, domain=domain, half_precision=True)
    finish(card, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def oof_of(first: dict, family: str, nets: list[HitNet], clips: Clips) -> Floats:
    """Out-of-fold scores by the very networks that ship; those of the division, to rounding."""
    fold, found = np.asarray(first["fold"]), np.empty(len(clips.table))
    for k, net in enumerate(nets):
        found[fold == k] = scores(net.half().float(), clips, fold == k)  # as they are stored
    before = np.asarray(first[f"{family}_oof"])
    print(f"rounding to 16 bits moves scores by {np.abs(found - before).max():.1e} at most")
    return found


def finish(card: ModelCard, path: Path) -> None:
    """Measure what only the finished model can tell, and write the card beside it."""
    if path.parent == ASSETS / "models":
        card = replace(card, sensitivity=sensitivity(card.name))
    write_card(card, path)


def log_odds(attributes: Floats) -> Floats:
    return np.log((attributes + SMOOTHING) / (1 - attributes + SMOOTHING))


def train_charted(clips: Clips, out: Path) -> None:
    charts = read_charts()
    decades = sorted(charts["decade"].unique())
    inputs = log_odds(charts[list(ATTRIBUTES)].to_numpy(float))
    constants = (charts["decade"].to_numpy()[:, None] == np.array(decades)) * 10.0  # hardly shrunk
    charted = (charts["weeks_on_chart"] > 0).to_numpy()
    fit = LogisticRegression(max_iter=5000).fit(np.hstack([inputs, constants]), charted)
    slopes = fit.coef_[0][: len(ATTRIBUTES)]
    by_decade = fit.intercept_[0] + 10.0 * fit.coef_[0][len(ATTRIBUTES) :]
    constant = float(by_decade.mean())  # the song's decade is not asked for: all count alike
    fold = artist_folds(clips.artists, N_FOLDS, 0)
    wanted = log_odds(clips.table[list(ATTRIBUTES)].to_numpy(float))
    nets, oof, heard = [], np.empty(len(fold)), np.empty(wanted.shape)
    ridge = np.zeros((len(ATTRIBUTES), 3 * N_BANDS + len(clips.tag_names) + 1))
    for k in range(N_FOLDS):
        parts = [
            fitted(clips, fold != k, wanted[:, i], ATTRIBUTE_RIDGE, k)
            for i in range(len(ATTRIBUTES))
        ]
        for i, part in enumerate(parts):
            heard[fold == k, i] = scores(part, clips, fold == k)
            state = part.state_dict()
            ridge[i] += (
                np.concatenate(
                    [
                        state["audio.out.weight"][0].numpy(),
                        state["tag.out.weight"][0].numpy(),
                        (state["audio.out.bias"] + state["tag.out.bias"]).numpy(),
                    ]
                )
                / N_FOLDS
            )
        net = joined(parts, slopes, constant)
        oof[fold == k] = scores(net, clips, fold == k)
        nets.append(net)
    card = charted_card(clips, charts, inputs, charted, oof, heard, wanted)
    auc, rho = card.evaluation[:2]
    spec = ModelSpec(
        name="hot100-attributes",
        audio="StatisticsLinear",
        mel="paper",
        tagger="musicnn-mtt",
        tag_names=clips.tag_names,
        tag="LogTagLinear",
        tag_weights=(1.0,) * N_FOLDS,
        mix="additive",
        highlight="whole clip",
        target_transform=None,
        gives_chance=False,  # see the card: the table's attributes are of another scale
        label="whether a song was on the Hot 100",
        reference="522 real clips of commercial songs, by their artists' popularity",
        measured=f"AUC {auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}] for clips that charted, "
        f"ρ {rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}] with artists' popularity",
        title="Sounds like songs that charted",
        trained_on=f"{len(charts):,} songs of 1960 to 2019, half of them on the Hot 100, by seven "
        "attributes of their sound",
        source="this project, benchmarks/train_real.py",
        licence=LICENCE,
        limits=card.limits,
    )
    y = clips.popularity
    domain = Domain.fit(sound_statistics(clips.mel, clips.tags).double().numpy(), clips.artists)
    path = out / "hot100-attributes.safetensors"
    reference = Reference(fold, oof, places(y, y))
    save_model(path, nets, spec, reference, domain=domain)
    finish(card, path)
    readable = {
        "what": "Log-odds of having charted = constant + the sum of each attribute's weight times "
        f"its log-odds, ln((a + {SMOOTHING}) / (1 − a + {SMOOTHING})); an attribute's log-odds = a "
        "weighted sum of the statistics (hitcore.networks.statistics), the mean over ten folds.",
        "source": "benchmarks/train_real.py: charts by the Spotify Hit Predictor table (Ansari) "
        "joined to the weekly Hot 100; attributes of the clips by VibeNet 0.1.0",
        "licence": LICENCE,
        "constant": round(constant, 4),
        "constant_by_decade": {
            str(d): round(float(c), 4) for d, c in zip(decades, by_decade, strict=True)
        },
        "weight": {n: round(float(s), 4) for n, s in zip(ATTRIBUTES, slopes, strict=True)},
        "statistics": [
            *(
                f"{kind} of band {band}"
                for kind in ("mean", "deviation", "mean step")
                for band in range(N_BANDS)
            ),
            *(f"log {name}" for name in clips.tag_names),
            "constant",
        ],
        "attributes": {n: ridge[i].round(4).tolist() for i, n in enumerate(ATTRIBUTES)},
    }
    write_atomic(path.with_suffix(".json"), json.dumps(readable, ensure_ascii=False) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB; weights {readable['weight']}")


def joined(parts: list[HitNet], slopes: Floats, constant: float) -> HitNet:
    """One straight line for the log-odds of having charted, from one for each attribute."""
    state = parts[0].state_dict()
    for key in state:
        state[key] = sum(
            float(slope) * part.state_dict()[key] for slope, part in zip(slopes, parts, strict=True)
        )
    state["audio.out.bias"] = state["audio.out.bias"] + constant
    parts[0].load_state_dict(state)
    return parts[0]


def place_published(clips: Clips) -> None:
    """The published network's scores of the clips, sorted and without ids, as its reference."""
    score = (clips.table["kkbox_audio_logit"] + 0.5 * clips.table["kkbox_tag_logit"]).to_numpy()
    order = np.argsort(score, kind="stable")
    y = places(clips.popularity, clips.popularity)
    reference = Reference(np.zeros(len(score), int), score[order].round(4), y[order].round(2))
    path = ASSETS / "references" / "kkbox-ret30.safetensors"
    path.parent.mkdir(exist_ok=True)
    card = published_card(clips, score)
    document = {
        "name": "kkbox-ret30",
        "kind": "reference",
        "title": "Scores of 522 real clips by the published network",
        "trained_on": "nothing",
        "source": "this project, benchmarks/train_real.py",
        "licence": "figures; MIT",
        "limits": "Popularity is the artist's, rounded to percentiles.",
    }
    weights.save(path, reference.to_tensors(), document)
    file = path.with_name("kkbox-ret30.card.json")
    write_atomic(file, json.dumps(card.to_dict(), indent=2, ensure_ascii=False) + "\n")
    print(f"{path.name}: rho {card.evaluation[0].value:.2f} with artists' popularity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=Path(".cache/train_real"))
    parser.add_argument("--out", type=Path, default=ASSETS / "models")
    given = parser.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    clips = read_clips()
    place_published(clips)
    train_charted(clips, given.out)
    train_real(clips, given.state, given.out)


if __name__ == "__main__":
    main()

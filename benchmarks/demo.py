"""Is the demo catalogue what it says it is? What is planted, what can be heard, what is found.

    python benchmarks/demo.py [--quick] [--songs 300] [--catalogue 1500] [--seeds 5] [--taggers]

Four tables: the plays (long tail, ceiling, what cumulative counts get wrong), the songs (seconds
to make one, where the choruses are), how often each highlight method finds a chorus, and how much
of the appeal a plain ridge regression on mel statistics hears in each part of the song, by
cross-validation, with the single most telling statistic beside it. With --taggers, how well the
genre shows in musicnn's tags.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hitcore import demo
from hitcore.errors import HitcoreError
from hitcore.features import PAPER_MEL, log_mel
from hitcore.highlights import METHODS, find_highlight
from hitcore.plays.hitscores import hit_scores

WINDOW_S = 30.0


def overlap(choruses: list[tuple[float, float]], start: float) -> float:
    """The fraction of the 30 seconds from `start` that is chorus."""
    end = start + WINDOW_S
    return sum(max(0.0, min(e, end) - max(s, start)) for s, e in choruses) / WINDOW_S


def catalogue_table(n_songs: int, n_seeds: int) -> None:
    print(f"\nPlays of {n_songs} songs, seeds 0 to {n_seeds - 1} (mean, lowest, highest)")
    rows = defaultdict(list)
    for seed in range(n_seeds):
        tables = demo.demo_tables(demo.DemoConfig(n_songs=n_songs, seed=seed))
        day_60 = hit_scores(tables.plays, tables.songs)
        facts = demo.planted_facts(tables.truth, day_60)
        known = day_60["hit_score"].notna().to_numpy()
        score = day_60["hit_score"].to_numpy()[known]
        total = hit_scores(tables.plays, tables.songs, "cumulative")["hit_score"].to_numpy()[known]
        appeal = tables.truth["appeal"].to_numpy()[known]
        top = len(score) // 10
        best = [set(np.argsort(-values)[:top]) for values in (score, total)]
        rows["below the mean hit score (paper 0.875)"].append(facts.share_below_mean)
        rows["songs without a 60th day in the log"].append(1 - facts.n_scored / n_songs)
        rows["songs without plays on day 60"].append(np.mean(score == 0))
        rows["ceiling: appeal ~ hit score"].append(facts.appeal_spearman)
        rows["  the chorus's six qualities ~ hit score"].append(facts.audible_spearman)
        rows["  the other sections' ~ hit score"].append(facts.other_spearman)
        rows["  the artists' following ~ hit score"].append(facts.following_spearman)
        rows["  appeal ~ cumulative plays"].append(spearmanr(appeal, total)[0])
        rows["cumulative ~ hit score"].append(spearmanr(score, total)[0])
        rows["top 10 % by day 60 missed by cumulative"].append(1 - len(best[0] & best[1]) / top)
        promoted = np.array([len(days) > 0 for days in tables.truth["burst_days"].to_pylist()])
        gain = (rankdata(total) - rankdata(score)) / len(score)
        rows["cumulative lifts promoted songs by (rank)"].append(
            gain[promoted[known]].mean() - gain[~promoted[known]].mean()
        )
    for name, values in rows.items():
        print(f"  {name:<42} {np.mean(values):6.3f}  {min(values):6.3f} {max(values):6.3f}")


def form_table(n_songs: int) -> None:
    plans = [demo.plan_song(0, index) for index in range(n_songs)]
    rng = np.random.default_rng(0)
    middle = [overlap(p.choruses, p.duration_s / 2 - WINDOW_S / 2) for p in plans]
    chance = [overlap(p.choruses, rng.uniform(0, p.duration_s - WINDOW_S)) for p in plans]
    first = [p.choruses[0][0] / p.duration_s for p in plans]
    covered = [sum(e - s for s, e in p.choruses) / p.duration_s for p in plans]
    louder = [max(p.sections, key=lambda s: s.energy).name != "chorus" for p in plans]
    print(f"\nForm of {n_songs} songs")
    quartiles = np.percentile(first, [5, 25, 50, 75, 95])
    print(f"  first chorus begins at (5 … 95 %)   {np.array2string(quartiles, precision=2)}")
    print(f"  fraction of the song that is chorus {np.mean(covered):.2f}")
    print(f"  loudest section is no chorus        {np.mean(louder):.2f}")
    for name, values in (("the middle 30 s", middle), ("any 30 s", chance)):
        half = np.mean(np.array(values) >= 0.5)
        print(f"  {name:<16} chorus in them {np.mean(values):.2f}, at least half {half:.2f}")


def statistics(mel: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """Mean, spread and movement of every mel band."""
    rate = PAPER_MEL.sample_rate / PAPER_MEL.hop_length
    part = mel[:, int(start * rate) : int(end * rate)]
    moves = np.abs(np.diff(part, axis=1)).mean(axis=1)
    return np.concatenate([part.mean(axis=1), part.std(axis=1), moves])


def works(method: str) -> bool:
    """Whether a highlight method has the weights that it needs; says so where not."""
    try:
        find_highlight(demo.waveform_of("demo:0:0"), method)
    except HitcoreError as error:
        print(f"\nleft out: {method} ({error})")
        return False
    return True


def sound_tables(n_songs: int) -> None:
    config = demo.DemoConfig(n_songs=max(n_songs, 20))
    found: dict[str, list[float]] = defaultdict(list)
    heard: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    appeal, genres, seconds = [], [], []
    available = [method for method in METHODS if works(method)]
    for index in range(n_songs):
        began = time.process_time()
        song = demo.make_song(config, index)
        seconds.append(time.process_time() - began)
        for method in available:
            start = find_highlight(song.waveform, method, length_s=WINDOW_S).start
            found[method].append(overlap(song.choruses, start))
        mel = np.asarray(log_mel(song.waveform.samples, PAPER_MEL))
        chorus, middle = song.choruses[0][0], song.waveform.duration_s / 2
        verse = next(section.start for section in song.sections if section.name == "verse")
        starts = {"chorus": chorus, "middle": middle - WINDOW_S / 2, "verse": verse}
        for name, start in starts.items():
            heard[name].append(statistics(mel, start, start + WINDOW_S))
        heard["whole song"].append(statistics(mel, 0, song.waveform.duration_s))
        appeal.append(song.plan.appeal)
        genres.append(song.plan.genre.name)
    print(f"\nSound of {n_songs} songs")
    typical, most = np.median(seconds), max(seconds)
    print(f"  seconds of one core per song: median {typical:.2f}, longest {most:.2f}")
    for method, values in found.items():
        half = np.mean(np.array(values) >= 0.5)
        print(f"  {method:<12} chorus in its 30 s {np.mean(values):.2f}, at least half {half:.2f}")
    hearing_table(heard, np.array(appeal), np.array(genres))


def hearing_table(
    heard: dict[str, list[NDArray[np.float32]]], appeal: NDArray[np.float64], genres: NDArray
) -> None:
    print("\nAppeal heard (Spearman, ridge on mel statistics and genre, 10-fold | best single one)")
    folds = KFold(10, shuffle=True, random_state=0)
    known = (genres[:, None] == np.unique(genres)).astype(np.float32)
    for name, rows in heard.items():
        single = max(abs(spearmanr(column, appeal)[0]) for column in np.array(rows).T)
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 5, 5)))
        guess = cross_val_predict(model, np.hstack([rows, known]), appeal, cv=folds)
        print(f"  {name:<12} {spearmanr(guess, appeal)[0]:.2f} | {single:.2f}")


def tag_table(n_per_genre: int) -> None:
    from hitcore.taggers import load_tagger

    tagger = load_tagger("musicnn-mtt")
    tags: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    names: tuple[str, ...] = ()
    for index in range(60 * n_per_genre):
        plan = demo.plan_song(0, index)
        if len(tags[plan.genre.name]) == n_per_genre:
            continue
        start = plan.choruses[0][0]
        taggram = tagger.tag(demo.waveform_of(plan.source).crop(start, start + 15))
        tags[plan.genre.name].append(np.asarray(taggram.mean()))
        names = tuple(taggram.tag_names)
    print(f"\nmusicnn's tags in 15 s of chorus, {n_per_genre} songs of each genre")
    for genre, rows in tags.items():
        mean = np.mean(rows, axis=0)
        top = ", ".join(f"{names[j]} {mean[j]:.2f}" for j in np.argsort(-mean)[:7])
        print(f"  {genre:<8} {top}")
    x = np.log(np.concatenate([np.array(rows) for rows in tags.values()]) + 1e-3)
    y = np.repeat(list(tags), [len(rows) for rows in tags.values()])
    score = cross_val_score(LogisticRegression(max_iter=2000), x, y, cv=min(5, n_per_genre)).mean()
    print(f"  genre told from the tags: {score:.2f}, by chance {1 / len(tags):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="30 songs, 300 in the catalogue")
    parser.add_argument("--songs", type=int, default=300, help="songs made as sound")
    parser.add_argument("--catalogue", type=int, default=1500, help="songs in the play log")
    parser.add_argument("--seeds", type=int, default=5, help="catalogues")
    parser.add_argument("--taggers", action="store_true", help="also ask musicnn")
    given = parser.parse_args()
    torch.set_num_threads(1)
    n_sound, n_songs, n_seeds = given.songs, given.catalogue, given.seeds
    if given.quick:
        n_sound, n_songs, n_seeds = 30, 300, 2
    steps: list[Callable[[], None]] = [
        lambda: catalogue_table(n_songs, n_seeds),
        lambda: form_table(2000),
        lambda: sound_tables(n_sound),
    ]
    if given.taggers:
        steps.append(lambda: tag_table(4 if given.quick else 12))
    for step in steps:
        step()


if __name__ == "__main__":
    main()

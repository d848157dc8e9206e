"""How well predicted scores rank songs, above all in the top 10 %, and how sure that figure is.

Most songs are hardly played; what matters is whether the hits are found and put in order. So the
three figures of the paper look at the top of the ranking, each in its own way: nDCG compares the
plays gathered by the *predicted* top with those of the true top, Kendall's τ and Spearman's ρ
compare the order of the songs of the *true* top alone.

Conventions:
    y_true: the raw hit score (a share, not its transform), finite, higher is better; it is the
        gain of nDCG, linear, so there it may not be negative.
    y_score: the prediction, finite, of any scale; only its order matters.
    top: a float is a fraction of the songs, 0 < top <= 1, rounded half up, at least one song
        (0.10 of 1,500 songs is 150, of 15 songs is 2); an int is a count, capped at all songs.
    Ties in y_score: nDCG, recall and AUC are the expected value over all orders of the tied
        songs, so no figure depends on the order in which songs are listed. τ is τ-b, ρ uses
        average ranks.
    Ties in y_true at the edge of the top: a song belongs to the true top k where fewer than k
        songs stand strictly above it, so songs tied with the k-th belong to it too.
    Undefined: fewer than two songs, or nothing to order because all are tied: NaN with an
        `UndefinedMetricWarning`, never 0.

References:
    Yu et al. 2017, section 4 (the three metrics). K. Järvelin, J. Kekäläinen, "Cumulated
    gain-based evaluation of IR techniques", TOIS 2002. F. McSherry, M. Najork, "Computing
    information retrieval performance measures efficiently in the presence of tied scores",
    ECIR 2008.
"""

import csv
import math
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from hitcore.errors import DataError, ParameterError, UndefinedMetricWarning

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """All figures of one list of predictions; see the functions of the same names."""

    ndcg: float
    """Plays gathered by the predicted top, relative to the true top; 0 to 1."""
    kendall: float
    """Order within the true top, by pairs; −1 to 1."""
    spearman: float
    """Order within the true top, by ranks; −1 to 1."""
    auc: float
    """Chance that a song of the true top scores above one outside it; 0 to 1."""
    recall: float
    """Share of the true top found in the predicted top; 0 to 1."""
    pairwise_accuracy: float
    """Share of all pairs with different hit scores put in the right order; 0 to 1."""
    n: int
    """Number of songs."""
    k: int
    """Number of songs asked for by `top` (before ties at the edge)."""

    def to_dict(self) -> dict[str, float | int | None]:
        """The figures by name, ready for JSON: an undefined one is None."""
        figures = asdict(self)
        return {name: None if math.isnan(value) else value for name, value in figures.items()}


def evaluate(y_true: ArrayLike, y_score: ArrayLike, top: float = 0.10) -> Evaluation:
    """Every figure of this module for one list of predictions.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths, values that are not finite, a negative gain, a bad `top`.

    Example:
        >>> evaluate([0.4, 0.3, 0.2, 0.1], [4.0, 3.0, 1.0, 2.0], top=2).ndcg
        1.0
    """
    truth, score = _checked(y_true, y_score)
    return Evaluation(
        ndcg=ndcg_at(truth, score, top),
        kendall=kendall_at(truth, score, top),
        spearman=spearman_at(truth, score, top),
        auc=auc_at(truth, score, top),
        recall=recall_at(truth, score, top),
        pairwise_accuracy=pairwise_accuracy(truth, score),
        n=truth.size,
        k=n_top(truth.size, top),
    )


def ndcg_at(y_true: ArrayLike, y_score: ArrayLike, top: float = 0.10) -> float:
    """Discounted plays gathered by the predicted top, relative to the best possible; 0 to 1.

    `DCG = Σ y_true / log2(rank + 1)` over the predicted top k of the whole set, divided by the
    same sum over the true top k.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths, values that are not finite, a negative y_true, a bad
            `top`.

    References:
        Yu et al. 2017, section 4, nDCG@10%.

    Example:
        >>> round(ndcg_at([3.0, 2.0, 1.0], [1.0, 3.0, 2.0], top=2), 4)  # (2 + 1/1.585) / 4.262
        0.6173
    """
    gain, score = _checked(y_true, y_score)
    if gain.size and gain.min() < 0:
        raise ParameterError(
            f"nDCG needs gains of at least 0, the lowest y_true is {gain.min():.6g}: give the raw "
            "hit score (a share), not its transform"
        )
    k = n_top(gain.size, top)
    if _nothing_to_order(gain):
        return _undefined("nDCG", "there are fewer than two songs or all have the same y_true")
    discount = np.zeros(gain.size)
    discount[:k] = 1 / np.log2(np.arange(2, k + 2))
    best = float(np.sort(gain)[::-1] @ discount)
    found = float(_expected_gain(gain, score) @ discount)
    return min(found / best, 1.0)  # the two sums round differently


def kendall_at(y_true: ArrayLike, y_score: ArrayLike, top: float = 0.10) -> float:
    """Kendall's τ-b between truth and prediction on the songs of the true top; −1 to 1.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths, values that are not finite, a bad `top`.

    References:
        Yu et al. 2017, section 4, Kendall@10%.

    Example:
        >>> round(kendall_at([4.0, 3.0, 2.0, 1.0], [9.0, 7.0, 8.0, 10.0], top=3), 4)
        0.3333
    """
    truth, score = _true_top(y_true, y_score, top)
    if _nothing_to_order(truth) or _nothing_to_order(score):
        return _undefined("Kendall's τ", "the true top has fewer than two songs or all are tied")
    return float(stats.kendalltau(truth, score, variant="b").statistic)


def spearman_at(y_true: ArrayLike, y_score: ArrayLike, top: float = 0.10) -> float:
    """Spearman's ρ between truth and prediction on the songs of the true top; −1 to 1.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths, values that are not finite, a bad `top`.

    References:
        Yu et al. 2017, section 4, Spearman@10%.

    Example:
        >>> spearman_at([4.0, 3.0, 2.0, 1.0], [9.0, 7.0, 8.0, 10.0], top=3)
        0.5
    """
    truth, score = _true_top(y_true, y_score, top)
    if _nothing_to_order(truth) or _nothing_to_order(score):
        return _undefined("Spearman's ρ", "the true top has fewer than two songs or all are tied")
    return float(np.clip(stats.spearmanr(truth, score).statistic, -1, 1))


def auc_at(y_true: ArrayLike, y_score: ArrayLike, top: float = 0.10) -> float:
    """Chance that a song of the true top scores above a song outside it; ties count half.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths, values that are not finite, a bad `top`.

    Example:
        >>> auc_at([4.0, 3.0, 2.0, 1.0], [4.0, 2.0, 3.0, 1.0], top=2)
        0.75
    """
    truth, score = _checked(y_true, y_score)
    hit = _in_true_top(truth, top)
    n_hits, n_others = int(hit.sum()), int((~hit).sum())
    if n_hits == 0 or n_others == 0:
        return _undefined("AUC", "no song stands outside the true top (or there is no song)")
    ranks = stats.rankdata(score)
    return float((ranks[hit].sum() - n_hits * (n_hits + 1) / 2) / (n_hits * n_others))


def recall_at(y_true: ArrayLike, y_score: ArrayLike, top: float = 0.10) -> float:
    """Share of the true top that the predicted top of the same size finds; 0 to 1.

    The predicted top has k songs. Where ties at the edge make the true top larger than k, no
    prediction could find all of it, so the count found is divided by k: the precision at k.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths, values that are not finite, a bad `top`.

    Example:
        >>> recall_at([4.0, 3.0, 2.0, 1.0], [4.0, 2.0, 3.0, 1.0], top=2)
        0.5
    """
    truth, score = _checked(y_true, y_score)
    if _nothing_to_order(truth):
        return _undefined("recall", "there are fewer than two songs or all have the same y_true")
    k = n_top(truth.size, top)
    hit = _in_true_top(truth, top).astype(np.float64)
    return float(_expected_gain(hit, score)[:k].sum()) / k


def pairwise_accuracy(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of the pairs with different y_true that y_score puts in the right order; ties half.

    Shape:
        y_true, y_score: `(n_songs,)`.

    Raises:
        ParameterError: unequal lengths or values that are not finite.

    Example:
        >>> pairwise_accuracy([3.0, 2.0, 1.0], [3.0, 1.0, 2.0])
        0.6666666666666666
    """
    truth, score = _checked(y_true, y_score)
    if _nothing_to_order(truth):
        return _undefined("pairwise accuracy", "there are fewer than two different y_true")
    if _nothing_to_order(score):
        return 0.5
    # scipy counts pairs in n·log n; τ-b times its denominator is the integer (right − wrong).
    comparable, ordered = _n_untied_pairs(truth), _n_untied_pairs(score)
    tau = stats.kendalltau(truth, score, variant="b").statistic
    right_minus_wrong = round(tau * math.sqrt(comparable) * math.sqrt(ordered))
    return float(0.5 + 0.5 * right_minus_wrong / comparable)


def n_top(n_songs: int, top: float) -> int:
    """Number of songs that `top` asks for: a float is a fraction, an int a count.

    Raises:
        ParameterError: a fraction outside (0, 1], a count below 1, or neither of both.

    Example:
        >>> n_top(1500, 0.10), n_top(15, 0.10), n_top(1500, 150), n_top(100, 150)
        (150, 2, 150, 100)
    """
    allowed = "a fraction as a float, 0 < top <= 1, or a count as an int of at least 1"
    if isinstance(top, bool | np.bool_) or not isinstance(top, int | float | np.number):
        raise ParameterError(f"top is {top!r}, allowed is {allowed}")
    if isinstance(top, int | np.integer):
        if top < 1:
            raise ParameterError(f"top is {top}, allowed is {allowed}")
        return min(int(top), n_songs)
    if not 0 < top <= 1:
        raise ParameterError(
            f"top is {top}, allowed is {allowed} (10 % is 0.10, 150 songs are 150)"
        )
    # Rounded first, so that 0.29 · 50 = 14.499999999999998 counts as the half that it is.
    half_up = math.floor(round(float(top) * n_songs, 9) + 0.5)
    return min(max(half_up, 1), n_songs)


def parse_top(text: str) -> float:
    """The `top` that a text means: "10%" and "0.1" a fraction, "150" a count.

    Raises:
        ParameterError: none of these.

    Example:
        >>> parse_top("10%"), parse_top("0.1"), parse_top("150")
        (0.1, 0.1, 150)
    """
    word = text.strip()
    try:
        top = float(word[:-1]) / 100 if word.endswith("%") else float(word)
        top = int(word) if word.isdecimal() else top
        n_top(1, top)
    except ValueError:
        raise ParameterError(
            f'top is "{text}", allowed is a percentage ("10%"), a fraction above 0 and up to 1 '
            '("0.1") or a whole number of songs ("150")'
        ) from None
    return top


def read_predictions(path: str | Path) -> tuple[Vector, Vector]:
    """The columns y_true and y_score of a CSV file; other columns are left alone.

    Shape:
        Returns two arrays `(n_songs,)`.

    Raises:
        DataError: no such file, not a UTF-8 table, a column missing, a cell that is not a finite
            number (with its line), or no row at all.
    """
    wanted = ("y_true", "y_score")
    rows: list[list[float]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            found = [name.strip() for name in reader.fieldnames or []]
            missing = [name for name in wanted if name not in found]
            if missing:
                raise DataError(
                    f"{path}: no column {' and no column '.join(missing)}; the first line names "
                    f"{', '.join(found) or 'nothing'}, needed are y_true and y_score"
                )
            reader.fieldnames = found
            for row in reader:
                rows.append([_number(row[name], name, path, reader.line_num) for name in wanted])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{path} cannot be read as a CSV file with columns y_true, y_score: {reason}"
        ) from error
    if not rows:
        raise DataError(f"{path} has no songs: below the line y_true,y_score stands one per song")
    y_true, y_score = np.array(rows).T
    return y_true, y_score


def _number(cell: str | None, column: str, path: str | Path, line: int) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f'{path}, line {line}: {column} is "{cell or ""}", a finite number is needed; leave '
            "out songs without a hit score or prediction"
        )
    return value


def _checked(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Vector, Vector]:
    for name, given in (("y_true", y_true), ("y_score", y_score)):
        if getattr(given, "requires_grad", False):
            raise ParameterError(f"{name} carries gradients: give {name}.detach() instead")
    truth, score = np.asarray(y_true, np.float64), np.asarray(y_score, np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise ParameterError(
            f"y_true has shape {truth.shape} and y_score {score.shape}: both must be (n_songs,), "
            "one value per song"
        )
    for name, values in (("y_true", truth), ("y_score", score)):
        n_bad = int((~np.isfinite(values)).sum())
        if n_bad:
            raise ParameterError(
                f"{name} has {n_bad} of {values.size} values that are NaN or infinite: drop songs "
                "without a hit score first; a NaN score means that training diverged"
            )
    return truth, score


def _in_true_top(truth: Vector, top: float) -> NDArray[np.bool_]:
    k = n_top(truth.size, top)
    if k == 0:
        return np.zeros(0, np.bool_)
    hit: NDArray[np.bool_] = truth >= np.partition(truth, truth.size - k)[truth.size - k]
    return hit


def _true_top(y_true: ArrayLike, y_score: ArrayLike, top: float) -> tuple[Vector, Vector]:
    truth, score = _checked(y_true, y_score)
    hit = _in_true_top(truth, top)
    return truth[hit], score[hit]


def _expected_gain(gain: Vector, score: Vector) -> Vector:
    """The mean gain at each predicted rank, over all orders of the songs with equal scores."""
    _, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    # Bincount adds in the order of the songs; sorting first keeps the sum free of that order.
    order = np.lexsort((gain, group))
    mean = np.bincount(group[order], weights=gain[order], minlength=size.size) / size
    return np.repeat(mean, size)


def _n_untied_pairs(values: Vector) -> int:
    size = np.unique(values, return_counts=True)[1].astype(np.int64)
    n = values.size
    return n * (n - 1) // 2 - int((size * (size - 1) // 2).sum())


def _nothing_to_order(values: Vector) -> bool:
    return values.size < 2 or bool((values == values[0]).all())


def _undefined(metric: str, why: str) -> float:
    warnings.warn(f"{metric} is undefined: {why}", UndefinedMetricWarning, stacklevel=3)
    return math.nan

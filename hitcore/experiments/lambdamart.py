"""LightGBM's LambdaMART: gradient-boosted trees on lists of songs, as a reference from outside.

Not ours and not needed by anything else, so LightGBM is no dependency of hitcore: install the
extra `benchmark` for this row.

References:
    C. Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82.
    G. Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NIPS 2017.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitcore.catalogue.songs import Split
from hitcore.errors import EngineError

Floats = NDArray[np.float64]

LIST_SIZE = 1000
"""Songs of one list; training songs are dealt to lists at random. LightGBM takes 10,000 at most."""

N_GRADES = 31
"""Grades of relevance: 0 for a hit score of 0, the others by rank. LightGBM takes whole numbers."""

SETTINGS: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "lambdarank_truncation_level": LIST_SIZE // 10,
    "label_gain": list(range(N_GRADES)),
    "eval_at": [LIST_SIZE // 10],
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}
"""Linear gains and the top 10 % of a list, as nDCG@10 % has them; the rest as LightGBM's guide."""

MAX_TREES, PATIENCE = 300, 20
"""Trees at most, and trees without a better nDCG on the validation songs after which it ends."""


def grades(hit_scores: Floats) -> NDArray[np.int64]:
    """Whole-number relevance of songs: 0 where the score is 0, else 1 to 30 by rank.

    Shape:
        hit_scores (n_songs,) -> (n_songs,)

    Example:
        >>> grades(np.array([0.0, 0.1, 0.2, 0.4])).tolist()
        [0, 10, 20, 30]
    """
    found = np.zeros(len(hit_scores), np.int64)
    positive = hit_scores > 0
    values = np.sort(hit_scores[positive])
    rank = np.searchsorted(values, hit_scores[positive], side="right")
    found[positive] = np.maximum(1, np.round((N_GRADES - 1) * rank / max(len(values), 1)))
    return found


def lambda_mart(x: Floats, hit_scores: Floats, split: Split, *, seed: int = 0) -> Floats:
    """Scores of all songs by LambdaMART, fitted on the training songs.

    Args:
        x: Inputs of each song.
        hit_scores: Raw hit scores.
        split: Who trains; the number of trees is chosen on the validation songs.
        seed: Of how songs are dealt to lists, and of LightGBM.

    Shape:
        x (n_songs, n_features), hit_scores (n_songs,) -> (n_songs,)

    Raises:
        EngineError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise EngineError(
            "this row needs LightGBM: run `pip install 'hitcore[benchmark]'`, or leave out "
            "attr-lambdamart"
        ) from error
    relevance = grades(hit_scores)
    rng = np.random.default_rng([seed, len(split.train)])

    def lists(songs: NDArray[np.int64], reference: Any = None) -> Any:
        order = rng.permutation(songs)
        sizes = [len(part) for part in np.array_split(order, -(-len(order) // LIST_SIZE))]
        return lightgbm.Dataset(x[order], relevance[order], group=sizes, reference=reference)

    train = lists(split.train)
    model = lightgbm.train(
        {**SETTINGS, "seed": seed},
        train,
        num_boost_round=MAX_TREES,
        valid_sets=[lists(split.valid, train)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return np.asarray(model.predict(x, num_iteration=model.best_iteration), np.float64)

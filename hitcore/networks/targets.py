"""What a network learns in place of a share of plays, and the way back.

Shares span many powers of ten, with most songs near zero, so networks learn a transformed share.
Each transform rises with the share, so it keeps the ranking.

References:
    The training and prediction code of the published model.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hitcore.errors import ParameterError

TargetTransform = Literal["neg_inv_log10", "identity", "log10"]
TARGET_TRANSFORMS: tuple[str, ...] = get_args(TargetTransform)


def transform_target(
    share: ArrayLike, kind: TargetTransform = "neg_inv_log10"
) -> NDArray[np.float64]:
    """What a network learns in place of a share.

    `neg_inv_log10` is `−1/log10(share)`: it rises with the share, maps 0 to 0 (its limit), one in
    a million to 1/6 and one in ten to 1. `identity` leaves the share; `log10` has no value at 0.
    NaN stays NaN.

    Shape:
        share (...) -> (...)

    Raises:
        ParameterError: unknown kind; a share outside 0 to 1; a share of exactly 1 under
            `neg_inv_log10` or of exactly 0 under `log10`, where the target would be infinite.

    Example:
        >>> transform_target([0.0, 1e-4, 0.1])
        array([0.  , 0.25, 1.  ])

    References:
        The training code of the published model; `docs/decisions.md`.
    """
    _require_kind(kind)
    shares = np.asarray(share, dtype=np.float64)
    if np.any((shares < 0) | (shares > 1)):
        raise ParameterError("a share is outside 0 to 1: give shares of plays, not counts")
    if kind == "identity":
        return shares.copy()
    if kind == "log10":
        if np.any(shares == 0):
            raise ParameterError(
                "log10 has no value at a share of 0: drop those songs, or use neg_inv_log10, "
                "which maps 0 to 0"
            )
        return np.log10(shares)
    if np.any(shares == 1):
        raise ParameterError(
            "a share is exactly 1, where -1/log10(share) is infinite: a song that is all plays "
            "of its day cannot be ranked; use identity or log10, or a log of more than one song"
        )
    with np.errstate(divide="ignore"):
        return np.abs(-1.0 / np.log10(shares))  # abs: -1/-inf is +0, and never -0


def inverse_target(
    target: ArrayLike, kind: TargetTransform = "neg_inv_log10"
) -> NDArray[np.float64]:
    """The share that a target (or a network's output) stands for; the inverse of the transform.

    Outputs beyond the range of any share take the nearest one: under `neg_inv_log10` everything
    at or below 0 is a share of 0, as in the published model. Rank songs by the output itself:
    the clipping ties songs that it keeps apart. NaN stays NaN.

    Shape:
        target (...) -> (...)

    Raises:
        ParameterError: unknown kind.

    Example:
        >>> inverse_target([-0.3, 0.0, 0.25, 1.0])
        array([0.    , 0.    , 0.0001, 0.1   ])

    References:
        The prediction script of the published model: `x < 0 → 0; share = 10^(−1/x)`.
    """
    _require_kind(kind)
    targets = np.asarray(target, dtype=np.float64)
    if kind == "identity":
        return np.clip(targets, 0.0, 1.0)
    if kind == "log10":
        return np.asarray(10.0 ** np.minimum(targets, 0.0), dtype=np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(10.0 ** (-1.0 / np.maximum(targets, 0.0)), dtype=np.float64)


def _require_kind(kind: str) -> None:
    if kind not in TARGET_TRANSFORMS:
        allowed = ", ".join(TARGET_TRANSFORMS)
        raise ParameterError(f"target transform {kind!r} is unknown: one of {allowed} is allowed")

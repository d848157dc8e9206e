"""What a tagger says about a piece of music, over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Taggram:
    """Activations of tags over time.

    Example:
        >>> taggram = Taggram(np.array([[0.2, 0.9], [0.4, 0.7]]), ("slow", "loud"), np.arange(2.0))
        >>> taggram.mean()
        array([0.3, 0.8])
        >>> taggram.top(1)
        [('loud', 0.8)]
    """

    activations: NDArray[np.float32]
    """`(n_patches, n_tags)`, each from 0 to 1."""
    tag_names: tuple[str, ...]
    """What the columns stand for."""
    times: NDArray[np.float64]
    """Where each patch starts, seconds `(n_patches,)`."""
    patch_s: float = 0.0
    """Length of a patch, seconds."""
    embeddings: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """The layer before the tags, `(n_patches, n_dimensions)`."""
    flags: tuple[str, ...] = ()
    """`padded`: the sound was shorter than the tagger's window and was filled with silence;
    `silent`: it holds nothing but zeros, so its tags mean nothing."""

    def __post_init__(self) -> None:
        shape = (len(self.times), len(self.tag_names))
        if self.activations.shape != shape:
            raise ParameterError(
                f"the activations have shape {self.activations.shape}; {shape[0]} times and "
                f"{shape[1]} tag names need {shape}"
            )

    def mean(self) -> NDArray[np.float32]:
        """The mean over time, kept off 0 and 1 by 1e-6 as in the published taggers, `(n_tags,)`."""
        mean: NDArray[np.float32] = self.activations.mean(axis=0)
        return mean.clip(1e-6, 1 - 1e-6)

    def top(self, n_tags: int) -> list[tuple[str, float]]:
        """The strongest tags of the mean, strongest first."""
        mean = self.mean()
        order = np.argsort(-mean, kind="stable")[:n_tags]
        return [(self.tag_names[i], round(float(mean[i]), 6)) for i in order]

    def select(self, tag_names: Sequence[str]) -> "Taggram":
        """The same with these tags in this order, which is how models want them.

        Raises:
            ParameterError: A tag is not among those of this tagger.

        Example:
            >>> Taggram(np.eye(2), ("a", "b"), np.arange(2.0)).select(["b"]).activations
            array([[0.],
                   [1.]])
        """
        missing = [name for name in tag_names if name not in self.tag_names]
        if missing:
            raise ParameterError(
                f"the tags {missing} are not among the {len(self.tag_names)} of this tagger: use "
                "the tagger that the model names"
            )
        columns = [self.tag_names.index(name) for name in tag_names]
        return replace(self, activations=self.activations[:, columns], tag_names=tuple(tag_names))

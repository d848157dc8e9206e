"""Training of a tagger on MagnaTagATune, or on anything in its format.

The inputs are computed once, by all cores; then epochs, of which the best on the validation clips
is kept; the scores on the test clips are those of that one. A run that was broken off goes on
where it stood.

Example:
    >>> clips = read_magnatagatune("MTT")                            # doctest: +SKIP
    >>> result = train_tagger(clips, "mine.safetensors")             # doctest: +SKIP
    >>> hitcore.load_tagger("mine.safetensors").tag(waveform)        # doctest: +SKIP

References:
    J. Pons et al., "End-to-end learning for music audio tagging at scale", ISMIR 2018.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from hitcore.errors import ParameterError
from hitcore.taggers import save_tagger
from hitcore.taggers.training.fitting import Epoch, TaggerConfig, TaggerFit
from hitcore.taggers.training.inputs import Inputs, Progress, prepare_inputs
from hitcore.taggers.training.magnatagatune import TaggedClips
from hitcore.taggers.training.scoring import TagScores, score_tags

__all__ = [
    "Epoch",
    "Inputs",
    "TagScores",
    "TaggerConfig",
    "TaggerFit",
    "TaggerTraining",
    "prepare_inputs",
    "score_tags",
    "train_tagger",
]


@dataclass(frozen=True)
class TaggerTraining:
    """A trained tagger and how it did."""

    path: Path
    """The weight file, for `load_tagger`."""
    test: TagScores
    """On the test clips."""
    history: tuple[Epoch, ...]
    """Epoch by epoch."""
    skipped: dict[str, int]
    """Clips that were left out, by reason."""


def train_tagger(
    clips: TaggedClips,
    out: str | os.PathLike[str],
    config: TaggerConfig | None = None,
    *,
    licence: str = "",
    device: torch.device | str = "cpu",
    n_workers: int | None = None,
    on_progress: Progress | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TaggerTraining:
    """A tagger that learnt from tagged clips, written to a file.

    Beside the file a folder `<out>.work` keeps the inputs and the checkpoint; with the same
    settings, a broken run goes on from there. It may be deleted when the training is done.

    Args:
        clips: What to learn from.
        out: The `.safetensors` file to write.
        config: How.
        licence: Terms of the result, which follow from those of the clips.
        device: Where to compute.
        n_workers: Processes that compute the inputs; None for one for each core, 0 for this one.
        on_progress: Called with the number of clips whose inputs are done, and of all.
        on_epoch: Called after each epoch.

    Raises:
        ParameterError: `out` is no `.safetensors` file.
        DataError: No clip of some part can be read; the work folder is of another run.
    """
    target, config = Path(out), config or TaggerConfig()
    if target.suffix != ".safetensors":
        raise ParameterError(f"{target} should end in .safetensors: load_tagger finds it by that")
    work = target.with_name(f"{target.stem}.work")
    inputs = prepare_inputs(
        clips, config.architecture, work / config.architecture, n_workers, on_progress
    )
    fit = TaggerFit(inputs, clips.tag_names, config, work / "checkpoint.safetensors", device)
    test = fit.run(on_epoch)
    figures = f"ROC-AUC {test.macro_roc_auc:.3f}, PR-AUC {test.macro_pr_auc:.3f}"
    n_train, n_test = len(inputs.splits["train"]), len(inputs.splits["test"])
    description = {
        "name": target.stem,
        "title": f"{config.architecture}, trained here",
        "trained_on": f"{n_train} clips with {len(clips.tag_names)} tags",
        "source": "trained on this machine with `hitcore train tagger`",
        "licence": licence or "that of the clips",
        "limits": f"Macro figures on {n_test} held-out clips: {figures}.",
    }
    save_tagger(target, fit.network, clips.tag_names, description)
    return TaggerTraining(target, test, tuple(fit.history), {**clips.skipped, **inputs.skipped})

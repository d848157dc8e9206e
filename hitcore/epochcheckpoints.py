"""The state of a network's training after an epoch, on disk: a broken run goes on where it stood.

For the tagger and the highlighter, which are one network each with Adam; stacks of hit models keep
theirs in `hitcore.training.checkpoints`. One safetensors file holds the weights, the best weights
so far and the optimiser's moments, and names the run that it is of.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hitcore import weights
from hitcore.errors import DataError, WeightsError

State = dict[str, Tensor]


def state_of(network: torch.nn.Module) -> State:
    """A copy of a network's state, on the CPU.

    Example:
        >>> list(state_of(torch.nn.Linear(2, 1)))
        ['weight', 'bias']
    """
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def save_epoch(
    path: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    identity: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> None:
    """Write all that is needed to go on, in place of the epoch before.

    Args:
        path: The file.
        network: As it is now.
        optimiser: Adam, as it is now.
        best: The state of the best epoch so far.
        identity: What makes the run this run and not another.
        history: One entry for each epoch so far.

    Raises:
        WeightsError: The file cannot be written, or a weight is not finite.
    """
    tensors = {f"network.{key}": value for key, value in state_of(network).items()}
    tensors |= {f"best.{key}": value for key, value in best.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{key}": value.cpu() for key, value in state.items()}
    arrays = {key: value.numpy() for key, value in tensors.items()}
    metadata = {"kind": "checkpoint", "identity": dict(identity), "history": list(history)}
    weights.save(path, arrays, metadata)


def resume_epoch(
    path: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: Mapping[str, Any],
    differs_in: str,
) -> tuple[State, list[dict[str, Any]]]:
    """Bring network and optimiser to where the file stands; the best state and the history.

    Args:
        path: The file.
        network: Gets its weights.
        optimiser: Gets its moments.
        identity: That of the run that wants to go on.
        differs_in: What another run would differ in, for the message.

    Raises:
        DataError: The file is of another run.
        WeightsError: The file is damaged.
    """
    found = weights.read(path)
    if found.metadata.get("identity") != identity:
        raise DataError(
            f"{path} is of a run with other {differs_in}: remove it, or give another --out"
        )
    tensors = {key: torch.tensor(value) for key, value in found.tensors.items()}
    try:
        network.load_state_dict(_below(tensors, "network"))
        groups = optimiser.state_dict()["param_groups"]
        moments = {i: _below(tensors, f"adam.{i}") for i in range(len(groups[0]["params"]))}
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
        return _below(tensors, "best"), [dict(epoch) for epoch in found.metadata["history"]]
    except (RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} cannot be taken up ({error})") from error


def _below(tensors: State, prefix: str) -> State:
    """The entries under a prefix, without it."""
    start = f"{prefix}."
    return {
        key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)
    }

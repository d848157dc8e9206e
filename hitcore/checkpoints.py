"""Where a training stands, on disk: one safetensors file that is replaced as a whole.

The tensors (weights, the optimiser's sums, the best weights so far) and the rest (epoch, histories,
as JSON in the file's metadata) stand in one file, so they always belong together, and what is on
disk can be loaded whenever the process ends. A stack of hit models has one file per chunk of
members (`write_checkpoint`); the tagger and the highlighter, one network each, have one file in all
(`save_epoch`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hitcore.errors import DataError
from hitcore.files import remove_leftovers, replacing

FORMAT = "hitcore-training-1"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a chunk at the end of an epoch."""

    members: list[int]
    """Numbers of the members of this chunk."""
    tensors: dict[str, Tensor]
    """Weights, optimiser and best weights, by name."""
    state: dict[str, Any]
    """Everything else, as JSON can hold it."""


def write_checkpoint(folder: Path, fingerprint: str, checkpoint: Checkpoint) -> Path:
    """Write the file of a chunk, or replace it as a whole.

    Raises:
        DataError: The disk is full or cannot be written.
    """
    path = folder / _name(checkpoint.members)
    _write(path, fingerprint, checkpoint)
    return path


def read_checkpoints(folder: Path, fingerprint: str) -> list[Checkpoint]:
    """The chunks that a training has in a folder; none where it is new.

    Only one training at a time works in a folder; what a killed one left half written goes.

    Raises:
        DataError: The folder holds another training, or a file that cannot be read.
    """
    remove_leftovers(folder)
    return [_read(path, fingerprint) for path in sorted(folder.glob("chunk-*.safetensors"))]


def drop_checkpoint(folder: Path, members: Sequence[int]) -> None:
    """Remove the file of a chunk, as when it is cut into smaller ones."""
    (folder / _name(members)).unlink(missing_ok=True)


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
    """Write all that one network needs to go on, in place of the epoch before.

    Args:
        path: The file.
        network: As it is now.
        optimiser: As it is now.
        best: The state of the best epoch so far.
        identity: What makes the run this run and not another.
        history: One entry for each epoch so far.

    Raises:
        DataError: The disk is full or cannot be written.
    """
    tensors = {f"network.{key}": value for key, value in state_of(network).items()}
    tensors |= {f"best.{key}": value for key, value in best.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{key}": value for key, value in state.items()}
    _write(path, _as_text(identity), Checkpoint([], tensors, {"history": list(history)}))


def resume_epoch(
    path: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: Mapping[str, Any],
) -> tuple[State, list[dict[str, Any]]]:
    """Bring network and optimiser to where the file stands; the best state and the history.

    Args:
        path: The file.
        network: Gets its weights.
        optimiser: Gets its moments.
        identity: That of the run that wants to go on.

    Raises:
        DataError: The file is of another run, or damaged.
    """
    found = _read(path, _as_text(identity))
    try:
        network.load_state_dict(_below(found.tensors, "network"))
        groups = optimiser.state_dict()["param_groups"]
        sums = {i: _below(found.tensors, f"optimiser.{i}") for i in range(len(groups[0]["params"]))}
        optimiser.load_state_dict({"state": sums, "param_groups": groups})
        return _below(found.tensors, "best"), [dict(epoch) for epoch in found.state["history"]]
    except (RuntimeError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be resumed ({error}): delete it to start anew") from error


def _write(path: Path, fingerprint: str, checkpoint: Checkpoint) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    content = {"members": checkpoint.members, "state": checkpoint.state}
    metadata = {"format": FORMAT, "fingerprint": fingerprint, "content": json.dumps(content)}
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()
    }
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"the checkpoint {path} cannot be written ({error}): free some space or check the "
            "folder, then run again; the last checkpoint stands"
        ) from error


def _read(path: Path, fingerprint: str) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a readable checkpoint ({error}): delete it") from error
    if metadata.get("format") != FORMAT or metadata.get("fingerprint") != fingerprint:
        raise DataError(
            f"{path} is the checkpoint of another training (other data, members, settings or "
            "version): choose an empty folder, or delete this one"
        )
    content = json.loads(metadata["content"])
    return Checkpoint(content["members"], tensors, content["state"])


def _name(members: Sequence[int]) -> str:
    digest = hashlib.sha256(repr(list(members)).encode()).hexdigest()
    return f"chunk-{members[0]:05d}-{digest[:8]}.safetensors"


def _as_text(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


def _below(tensors: State, prefix: str) -> State:
    """The entries under a prefix, without it."""
    start = f"{prefix}."
    return {
        key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)
    }

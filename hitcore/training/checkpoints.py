"""Where a training stands, on disk: one safetensors file per chunk of members.

The tensors (weights, the optimiser's sums, the best weights so far) and the rest (epoch, histories,
as JSON in the file's metadata) stand in one file that is replaced as a whole, so they always belong
together, and what is on disk can be loaded whenever the process ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    content = {"members": checkpoint.members, "state": checkpoint.state}
    metadata = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "content": json.dumps(content),
    }
    path = folder / _name(checkpoint.members)
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
    return path


def read_checkpoints(folder: Path, fingerprint: str) -> list[Checkpoint]:
    """The chunks that a training has in a folder; none where it is new.

    Only one training at a time works in a folder; what a killed one left half written goes.

    Raises:
        DataError: The folder holds another training, or a file that cannot be read.
    """
    remove_leftovers(folder)
    return [_read(path, fingerprint) for path in sorted(folder.glob("chunk-*.safetensors"))]


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


def drop_checkpoint(folder: Path, members: Sequence[int]) -> None:
    """Remove the file of a chunk, as when it is cut into smaller ones."""
    (folder / _name(members)).unlink(missing_ok=True)


def _name(members: Sequence[int]) -> str:
    digest = hashlib.sha256(repr(list(members)).encode()).hexdigest()
    return f"chunk-{members[0]:05d}-{digest[:8]}.safetensors"

"""Weights on disk: safetensors files that carry what they are, checked when they are read.

A file's header holds one JSON document under the key `hitcore`: name, title, kind, what it was
trained on, source, licence, limits, whatever its network needs to be built (`spec`, `tag_names`),
and `digest`, the checksum of all tensors. Files appear whole or not at all.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import WeightsError
from hitcore.files import write_atomic
from hitcore.weights.foreign import Tensors

DESCRIPTION = ("title", "kind", "trained_on", "source", "licence", "limits")


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and what they are."""

    tensors: Tensors
    """Arrays by name."""
    metadata: dict[str, Any]
    """The JSON document of the file's header."""


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], metadata: dict[str, Any]
) -> None:
    """Write a weight file that `load` reads back: tensors, metadata and their checksum.

    Args:
        path: Where to; an existing file is replaced at once.
        tensors: Arrays of numbers by name.
        metadata: JSON values; `name`, `title`, `kind` ("tagger", "hit model", "highlighter"),
            `trained_on`, `source`, `licence` and `limits` are shown to people.

    Raises:
        WeightsError: A tensor holds NaN or infinity, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "small.safetensors"
        >>> save(file, {"bias": np.ones(3, np.float32)}, {"name": "small"})
        >>> read(file).tensors["bias"]
        array([1., 1., 1.], dtype=float32)
    """
    from safetensors.numpy import save as serialised

    arrays = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    _check_finite(arrays, str(path))
    document = {**metadata, "digest": digest(arrays)}
    try:
        # Written here and not by the library, whose own temporary files would outlive a kill and
        # whose errors of a full disk are not the system's.
        header = {"hitcore": json.dumps(document, ensure_ascii=False)}
        write_atomic(path, serialised(arrays, header))
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be written ({error}): free space there, or set HITCORE_CACHE to a "
            "folder that can be written"
        ) from error


def read(path: str | os.PathLike[str]) -> Weights:
    """The tensors and metadata of a weight file, its checksum compared.

    Raises:
        WeightsError: The file is absent, damaged, or not one that hitcore wrote.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"{file} does not exist; give the path of a .safetensors file")
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = json.loads((opened.metadata() or {}).get("hitcore", "null"))
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, OSError, RecursionError) as error:
        raise WeightsError(f"{file} is damaged or no safetensors file ({error})") from error
    if not isinstance(metadata, dict) or "digest" not in metadata:
        raise WeightsError(
            f"{file} does not say what it is: its header has no document named `hitcore`; "
            "only files that hitcore wrote can be loaded"
        )
    _check_finite(tensors, file.name)
    if digest(tensors) != metadata["digest"]:
        raise WeightsError(f"{file} is damaged: the checksum of its tensors disagrees")
    return Weights(tensors, metadata)


def digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """The SHA-256 of all names, types, shapes and values, whatever their order.

    Example:
        >>> a, b = np.zeros(2, np.float32), np.ones(2, np.float32)
        >>> digest({"a": a, "b": b}) == digest({"b": b, "a": a}) != digest({"a": b, "b": a})
        True
    """
    state = hashlib.sha256()
    for key in sorted(tensors):
        value = np.asarray(tensors[key], order="C")
        state.update(json.dumps([key, value.dtype.str, value.shape]).encode())
        state.update(value.tobytes())
    return state.hexdigest()


def check_shapes(tensors: Tensors, shapes: Mapping[str, tuple[int, ...]], name: str) -> Tensors:
    """Those tensors that `shapes` lists, if they are as it says and finite.

    Raises:
        WeightsError: One is missing, of another shape or type, or holds NaN or infinity; the
            message names it.
    """
    for key, shape in shapes.items():
        if key not in tensors:
            raise WeightsError(f"{name}: the tensor {key} is missing: it is another network's file")
        found = tensors[key]
        if found.shape != shape or found.dtype != np.float32:
            raise WeightsError(
                f"{name}: the tensor {key} is {found.dtype} {found.shape}, expected float32 "
                f"{shape}: it is another network's file"
            )
    kept = {key: tensors[key] for key in shapes}
    _check_finite(kept, name)
    return kept


def _check_finite(tensors: Tensors, name: str) -> None:
    for key, value in tensors.items():
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise WeightsError(f"{name}: the tensor {key} holds NaN or infinite values")

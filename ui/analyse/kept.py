"""Reports as text on disk and back: JSON, arrays in base64, nothing that could run.

What an older version of the app has kept, or what is damaged, is as if it had not been kept.
"""

import base64
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_origin

import cattrs
import numpy as np

from hitcore.analysis.song import ModelScore, SongReport

FIELDS = ",".join(field.name for kind in (SongReport, ModelScore) for field in fields(kind))
"""What this version of the app keeps of a report; a report of other fields is made again."""

KINDS = ("b", "f", "i", "u")
"""Kinds of numbers that arrays of a report hold."""


def document_of(report: SongReport, key: str) -> str:
    """A report with what decided it, as JSON; where its file lies is left out."""
    plain = _CONVERTER.unstructure(replace(report, source_path=None))
    return json.dumps({"decides": key, "report": plain})


def report_from(document: str, key: str, source_path: Path | None) -> SongReport | None:
    """The report that `document_of` wrote; None where something else decides, or it is damaged."""
    try:
        found = json.loads(document)
        if found["decides"] != key:
            return None
        report = _CONVERTER.structure(found["report"], SongReport)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError):
        return None
    return replace(report, source_path=source_path)


def _is_array(kind: Any) -> bool:
    return kind is np.ndarray or get_origin(kind) is np.ndarray


def _array_out(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind not in KINDS:
        raise TypeError(f"an array of {array.dtype} is not kept")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def _array_in(document: dict[str, Any], _: Any) -> np.ndarray:
    dtype = np.dtype(document["dtype"])
    if dtype.kind not in KINDS:
        raise ValueError(f"an array of {dtype} is not read")
    flat = np.frombuffer(base64.b64decode(document["data"]), dtype)
    return flat.reshape(document["shape"]).copy()


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook_func(_is_array, _array_out)
    converter.register_structure_hook_func(_is_array, _array_in)
    converter.register_unstructure_hook(np.generic, lambda number: number.item())
    converter.register_structure_hook(Path, lambda text, _: Path(text))
    return converter


_CONVERTER = _converter()

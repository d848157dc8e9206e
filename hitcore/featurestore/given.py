"""Features that were made elsewhere: one NPZ file becomes a feature store, or is refused.

    song_id        (n_songs,)                    as in the table of songs
    log_mel        (n_songs, n_mels, n_frames)   of the preset; or
    log_mel_u8     the same as bytes, with `scale`: log_mel = log_mel_u8 × scale
    tags           (n_songs, n_tags)             mean activations, 0 to 1; may be left out
    tag_names      (n_tags,)                     in the order of the tagger's outputs
    preset, tagger                               names; "paper" and "musicnn-mtt" where left out

A spectrogram of another preset, or tags in another order, would train and score without a word and
mean nothing, so whatever can be told from the numbers is checked. How the clips were chosen is not
known here: their store has the segment "given", which stands for all segments of Table 1.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.features import MEL_PRESETS
from hitcore.featurestore.recipe import GIVEN, FeatureConfig
from hitcore.featurestore.store import FeatureStore, digest_of
from hitcore.files import replacing, sha256_of, write_atomic
from hitcore.taggers.names import TAG_NAMES

SHARD_SIZE = 64
"""Songs in a shard."""

HIGHEST_LOG_MEL = 30.0
"""ln(1 + 10,000·S) of samples up to 1 stays far below this; decibels and raw power do not."""


@dataclass(frozen=True, eq=False)
class GivenFeatures:
    """Features of an NPZ file, checked."""

    song_ids: tuple[str, ...]
    """The songs, in the order of the arrays."""
    mel: NDArray[np.float16] = field(repr=False)
    """Log-mel spectrograms, (n_songs, n_mels, n_frames)."""
    tags: NDArray[np.float32] | None = field(repr=False)
    """Tag activations, (n_songs, n_tags); None where the file has none."""
    config: FeatureConfig
    """The store that they become."""
    notes: tuple[str, ...] = ()
    """What was taken for granted, in sentences."""

    def of(self, song_ids: Sequence[str]) -> "GivenFeatures":
        """Those of these songs, in this order."""
        place = {song: row for row, song in enumerate(self.song_ids)}
        rows = [place[song] for song in song_ids]
        tags = None if self.tags is None else self.tags[rows]
        return GivenFeatures(tuple(song_ids), self.mel[rows], tags, self.config, self.notes)

    def write(self, workspace: Workspace) -> FeatureStore:
        """Write them as a feature store of the workspace."""
        store = FeatureStore(workspace, self.config)
        store.folder.mkdir(parents=True, exist_ok=True)
        for number, first in enumerate(range(0, len(self.song_ids), SHARD_SIZE)):
            self._write_shard(store, number, slice(first, first + SHARD_SIZE))
        store.write_index()
        return store

    def _write_shard(self, store: FeatureStore, number: int, rows: slice) -> None:
        mel_config = self.config.mel_config
        end_s = self.config.n_frames * mel_config.hop_length / mel_config.sample_rate
        songs = [
            {
                "song_id": song,
                "shard": number,
                "row": row,
                "content_hash": hashlib.sha256(mel.tobytes()).hexdigest(),
                "start_s": 0.0,
                "end_s": end_s,
                "status": "ok",
                "error": None,
            }
            for row, (song, mel) in enumerate(zip(self.song_ids[rows], self.mel[rows], strict=True))
        ]
        about: dict[str, Any] = {"songs": songs, "mel": None, "tags": None, "tag_names": []}
        about |= _write_array(store.folder, number, "mel", self.mel[rows])
        if self.tags is not None:
            about |= _write_array(store.folder, number, "tags", self.tags[rows])
            about["tag_names"] = list(TAG_NAMES[str(self.config.tagger)])
        about["sha256"] = digest_of(about)
        write_atomic(store.folder / f"shard-{number:05d}.json", json.dumps(about))


def read_given(path: str | os.PathLike[str]) -> GivenFeatures:
    """The features of an NPZ file, in the form that this module's head describes.

    Raises:
        DataError: the file is no NPZ or lacks an array; a shape, a preset, a value or the order of
            the tags does not fit.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "two.npz"
        >>> np.savez(file, song_id=["a", "b"], log_mel=np.ones((2, 128, 323), np.float16))
        >>> read_given(file).config.segment
        'given'
    """
    file = Path(path)
    arrays = _arrays(file)
    preset = _name_in(arrays, "preset", "paper", MEL_PRESETS, file.name)
    config = FeatureConfig(segment=GIVEN, mel=preset, tagger=None)
    mel = _mel(arrays, config, file.name)
    ids = _ids(arrays, len(mel), file.name)
    notes = (
        [] if "preset" in arrays else [f"{file.name} names no mel preset; it is taken for 'paper'"]
    )
    tags = None
    if "tags" in arrays:
        tagger = _name_in(arrays, "tagger", "musicnn-mtt", TAG_NAMES, file.name)
        tags = _tags(arrays, tagger, len(mel), file.name)
        config = FeatureConfig(segment=GIVEN, mel=preset, tagger=tagger)
    return GivenFeatures(ids, mel, tags, config, tuple(notes))


def given_config(workspace: Workspace) -> FeatureConfig | None:
    """The settings of the features that a workspace was given; None where it was given none."""
    workspace.refresh(workspace.features, "config.json", deep=True)
    for path in sorted(workspace.features.glob("*/config.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.get("segment") == GIVEN:
                return FeatureConfig(**document)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path} cannot be read ({error}): make the workspace again") from error
    return None


# --- inside --------------------------------------------------------------------------------------


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as found:
            if not hasattr(found, "files"):
                raise DataError(f"{file.name} is a single array: an NPZ file is expected")
            return {name: found[name] for name in found.files}
    except FileNotFoundError as error:
        raise DataError(f"there is no file {file}: give the features as an NPZ file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        reason = str(error).splitlines()[0][:120]
        raise DataError(f"{file.name} cannot be read as NPZ: {reason}") from error


def _name_in(
    arrays: dict[str, NDArray[Any]], key: str, usual: str, known: object, file: str
) -> str:
    """A name that the file gives, or the usual one."""
    name = str(arrays[key]) if key in arrays else usual
    names = list(known)  # type: ignore[call-overload]
    if name != usual:
        more = f" (known, but not for networks: {name})" if name in names else ""
        raise DataError(
            f"{file}: {key} is {name[:40]!r}; {usual!r} is what the networks of Table 1 take"
            f"{more}: make the features again with it"
        )
    return name


def _mel(arrays: dict[str, NDArray[Any]], config: FeatureConfig, file: str) -> NDArray[np.float16]:
    if "log_mel" not in arrays and not {"log_mel_u8", "scale"} <= set(arrays):
        have = ", ".join(arrays) or "nothing"
        raise DataError(f"{file} has {have}; log_mel, or log_mel_u8 with scale, is expected")
    plain = "log_mel" in arrays
    found = arrays["log_mel" if plain else "log_mel_u8"]
    shape = (config.mel_config.n_mels, config.n_frames)
    if found.ndim != 3 or found.shape[1:] != shape or not len(found):
        raise DataError(
            f"{file}: log_mel has shape {found.shape}; (n_songs, {shape[0]}, {shape[1]}) is "
            f"expected: {shape[0]} bins and {shape[1]} frames of the preset {config.mel!r}"
        )
    if found.dtype.kind not in ("f" if plain else "u"):
        raise DataError(f"{file}: log_mel is of type {found.dtype}; numbers are expected")
    scale = np.float32(1.0) if plain else np.float32(arrays["scale"])
    mel = np.empty(found.shape, np.float16)
    for first in range(0, len(found), 64):
        part = found[first : first + 64].astype(np.float32) * scale
        wrong = ~np.isfinite(part).all(axis=(1, 2))
        if wrong.any():
            raise DataError(
                f"{file}: the log-mel of row {first + int(wrong.argmax())} is NaN or infinite"
            )
        if part.min() < 0 or part.max() > HIGHEST_LOG_MEL:
            raise DataError(
                f"{file}: log_mel spans {part.min():.4g} to {part.max():.4g}; the preset "
                f"{config.mel!r} is ln(1 + 10,000·S), from 0 to {HIGHEST_LOG_MEL:g}: this is of "
                "another preset, make the features again with it"
            )
        mel[first : first + 64] = part.astype(np.float16)
    return mel


def _ids(arrays: dict[str, NDArray[Any]], n_songs: int, file: str) -> tuple[str, ...]:
    if "song_id" not in arrays or arrays["song_id"].shape != (n_songs,):
        raise DataError(f"{file}: song_id with one id for each of {n_songs} songs is expected")
    ids = pd.Series(arrays["song_id"].astype(str))
    if ids.duplicated().any():
        raise DataError(f"{file}: song_id {ids[ids.duplicated()].iloc[0]!r} stands twice")
    return tuple(ids)


def _tags(
    arrays: dict[str, NDArray[Any]], tagger: str, n_songs: int, file: str
) -> NDArray[np.float32]:
    expected = TAG_NAMES[tagger]
    listed = arrays["tag_names"].astype(str).ravel().tolist() if "tag_names" in arrays else []
    names = tuple(listed)
    if names != expected:
        place = next((i for i, pair in enumerate(zip(names, expected, strict=False)) if
                      pair[0] != pair[1]), len(names))  # fmt: skip
        why = (
            f"the tags stand in another order (number {place} is {names[place]!r}, "
            f"{expected[place]!r} is expected)"
            if sorted(names) == sorted(expected)
            else f"{len(names)} tag_names that are not the {len(expected)} of {tagger}"
        )
        raise DataError(f"{file}: {why}: give tags as the tagger {tagger} orders them")
    found = arrays["tags"]
    if found.shape != (n_songs, len(expected)) or found.dtype.kind != "f":
        raise DataError(
            f"{file}: tags have shape {found.shape} and type {found.dtype}; numbers of shape "
            f"({n_songs}, {len(expected)}) are expected"
        )
    tags = found.astype(np.float32)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(tags).all(axis=1) & ((tags >= 0) & (tags <= 1)).all(axis=1)
    if not good.all():
        raise DataError(
            f"{file}: the tags of row {int((~good).argmax())} are NaN or outside 0 to 1"
        )
    return tags


def _write_array(folder: Path, number: int, name: str, array: NDArray[Any]) -> dict[str, str]:
    path = folder / f"shard-{number:05d}-{name}.npy"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)
    return {name: path.name, f"{name}_sha256": sha256_of(path)}

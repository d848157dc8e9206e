"""Attributes of songs: named numbers that need no sound, such as tempo, energy or duration.

A catalogue may bring a table of them beside its scores, or in place of sound. They are a feature
set of their own: the tag network takes them as it takes tags, each brought to mean 0 and deviation
1 over the training songs.

Conventions:
    values: `(n_songs, n_attributes)`, finite, in the units of the table.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hitcore.catalogue.scores import numeric
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError
from hitcore.files import replacing


@dataclass(frozen=True, eq=False)
class Attributes:
    """Attributes of songs in a given order.

    Example:
        >>> one = Attributes(("a", "b"), ("tempo",), np.array([[90.0], [120.0]]))
        >>> one.of(["b"]).values.tolist()
        [[120.0]]
    """

    song_ids: tuple[str, ...]
    """The songs, in the order of the rows."""
    names: tuple[str, ...]
    """What the columns are."""
    values: NDArray[np.float64] = field(repr=False)
    """The numbers."""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.song_ids), len(self.names)):
            raise DataError(
                f"attributes of shape {self.values.shape} for {len(self.song_ids)} songs and "
                f"{len(self.names)} names"
            )
        if not np.isfinite(self.values).all():
            raise DataError("an attribute is NaN or infinite")

    @property
    def fingerprint(self) -> str:
        """Changes with the songs, the names or any number."""
        digest = hashlib.sha256("\n".join((*self.song_ids, *self.names)).encode())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()[:16]

    def of(self, song_ids: Sequence[str]) -> "Attributes":
        """Those of these songs, in this order.

        Raises:
            DataError: a song has none.
        """
        place = {song: row for row, song in enumerate(self.song_ids)}
        missing = [song for song in song_ids if song not in place]
        if missing:
            raise DataError(f"{len(missing):,} songs have no attributes (first: {missing[0]!r})")
        rows = [place[song] for song in song_ids]
        return Attributes(tuple(song_ids), self.names, self.values[rows])

    def write(self, workspace: Workspace) -> None:
        """Write them as the workspace's `attributes.parquet`, whole or not at all."""
        table = pd.DataFrame(self.values, columns=list(self.names))
        table.insert(0, "song_id", list(self.song_ids))
        with replacing(workspace.attributes) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")


def read_attributes(workspace: Workspace) -> Attributes:
    """The attributes of a workspace.

    Raises:
        DataError: it has none, or they are damaged.
    """
    try:
        table = pd.read_parquet(workspace.attributes)
        names = tuple(name for name in table.columns if name != "song_id")
        values = table[list(names)].to_numpy(np.float64)
        return Attributes(tuple(table["song_id"].astype(str)), names, values)
    except FileNotFoundError as error:
        raise DataError(
            f"{workspace.path} has no attributes: make it with `hitcore workspace create "
            "--scores TABLE --attributes tempo,energy,…`"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{workspace.attributes} cannot be read ({error})") from error


def attributes_of(table: pd.DataFrame, names: Sequence[str], file: str) -> Attributes:
    """Columns of a table of songs as attributes.

    Args:
        table: With `song_id`; its columns may be text.
        names: Which columns.
        file: What messages call the table.

    Raises:
        ParameterError: no name, or one twice.
        DataError: a column is absent, a cell is no number, or a column does not vary.

    Example:
        >>> songs = pd.DataFrame({"song_id": ["a", "b"], "tempo": ["90", "120"]})
        >>> attributes_of(songs, ["tempo"], "songs.csv").values.ravel().tolist()
        [90.0, 120.0]
    """
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"attributes {', '.join(names)!r}: give names of columns, each once")
    columns = []
    for name in names:
        if name not in table.columns:
            have = ", ".join(map(str, table.columns[:30]))
            raise DataError(f"{file}: there is no column {name!r} for an attribute among {have}")
        values = numeric(table[name])
        wrong = ~np.isfinite(values)
        if wrong.any():
            first = table[wrong].iloc[0]
            raise DataError(
                f"{file}: {name} of song {str(first['song_id'])[:40]!r} is "
                f"{str(first[name])[:40]!r} ({int(wrong.sum()):,} of {len(table):,} rows are like "
                "that): an attribute is a number in every row; mend them or leave the column out"
            )
        if values.min() == values.max():
            raise DataError(f"{file}: the attribute {name!r} is {values[0]:g} in every row")
        columns.append(values)
    ids = tuple(table["song_id"].astype(str))
    return Attributes(ids, tuple(names), np.column_stack(columns))

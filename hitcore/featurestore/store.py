"""Reading a feature store: whole arrays out, checked against what was written."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, StoreError
from hitcore.featurestore.mapped import MappedMel
from hitcore.featurestore.recipe import GIVEN, FeatureConfig
from hitcore.files import replacing, sha256_of, write_atomic

INDEX_COLUMNS = (
    "song_id",
    "shard",
    "row",
    "content_hash",
    "start_s",
    "end_s",
    "status",
    "error",
)


_ROWS_AT_ONCE = 1 << 16
"""Lines of an index that are held as Python objects at once."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of songs in a given order, as the networks take them."""

    song_ids: tuple[str, ...]
    """The songs, in the order of the arrays."""
    mel: NDArray[np.float16]
    """Log-mel spectrograms, (n_songs, n_mels, n_frames)."""
    tags: NDArray[np.float32] | None
    """Tag activations, (n_songs, n_tags); None where the store has no tagger."""
    tag_names: tuple[str, ...]
    """Names of the tags."""
    config: FeatureConfig
    """What the features are made of."""


@dataclass(frozen=True, eq=False)
class MappedFeatures:
    """As `Features`, with spectrograms that stay on disk until they are asked for."""

    song_ids: tuple[str, ...]
    """The songs, in the order of the arrays."""
    mel: MappedMel
    """Log-mel spectrograms of (n_songs, n_mels, n_frames), read when asked for."""
    tags: NDArray[np.float32] | None
    """Tag activations, (n_songs, n_tags); None where the store has no tagger."""
    tag_names: tuple[str, ...]
    """Names of the tags."""
    config: FeatureConfig
    """What the features are made of."""


class FeatureStore:
    """One folder of features of a workspace.

    Args:
        workspace: The workspace.
        config: The settings; the folder's name follows from them.
    """

    def __init__(self, workspace: Workspace, config: FeatureConfig) -> None:
        self.workspace = workspace
        self.config = config
        self.folder = workspace.features_folder(config.fingerprint)

    def refresh(self) -> None:
        """See that index and descriptions are those of the workspace's address, if it has one.

        Arrays come from there when they are asked for, and stay.
        """
        for pattern in ("*.parquet", "*.json"):
            self.workspace.refresh(self.folder, pattern)

    # --- looking ----------------------------------------------------------------------------------

    def index(self) -> pd.DataFrame:
        """One line per song: its shard and row, content hash, clip, status and error."""
        path = self.folder / "index.parquet"
        if not path.exists():
            return pd.DataFrame(columns=list(INDEX_COLUMNS))
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}): {self._mend()}") from error

    def places(self) -> pd.DataFrame:
        """Where each song with features stands: shard and row, by song_id; read from the index.

        Raises:
            DataError: the index is damaged.
        """
        path = self.folder / "index.parquet"
        if not path.exists():
            none = pd.Index([], dtype=object, name="song_id")
            return pd.DataFrame({"shard": [], "row": []}, dtype=np.int64, index=none)
        try:
            table = pq.read_table(path, columns=["song_id", "shard", "row", "status"])
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}): {self._mend()}") from error
        good = table.filter(pc.equal(table["status"], "ok"))
        # The ids stay Arrow's: as Python objects, millions of them would take seconds.
        ids = pd.Index(good["song_id"].to_pandas(types_mapper=pd.ArrowDtype), name="song_id")
        where = {name: good[name].to_numpy().astype(np.int64) for name in ("shard", "row")}
        return pd.DataFrame(where, index=ids)

    def missing(self, song_ids: list[str]) -> list[str]:
        """Those songs that have no features here, in order."""
        present = set(self.places().index)
        return [song for song in song_ids if song not in present]

    def load(self, song_ids: list[str]) -> Features:
        """The features of these songs, in this order, every shard checked against its checksum.

        Raises:
            DataError: a song has no features (the message says why and what to run), or a shard
                is not as it was written.
        """
        table = self._rows_of(song_ids)
        self._bring(table["shard"])
        mel_config = self.config.mel_config
        mel = np.empty((len(table), mel_config.n_mels, self.config.n_frames), np.float16)
        tags: NDArray[np.float32] | None = None
        names: tuple[str, ...] = ()
        for shard in np.unique(table["shard"]):
            rows = table[table["shard"] == shard]
            about = self.checked_shard(int(shard))
            self._compare(rows, about)
            where, within = rows["position"].to_numpy(), rows["row"].to_numpy()
            mel[where] = _mapped(self.folder / about["mel"])[within]
            if about["tags"] is not None:
                shard_tags = _mapped(self.folder / about["tags"])
                names = tuple(about["tag_names"])
                if tags is None:
                    tags = np.empty((len(table), shard_tags.shape[1]), np.float32)
                tags[where] = shard_tags[within]
        return Features(tuple(song_ids), mel, tags, names, self.config)

    def tags_alone(self) -> tuple[list[str], NDArray[np.float32], tuple[str, ...]]:
        """All songs that have features, their tags, and the tags' names, without the spectrograms.

        Shape:
            song ids (n_songs), tags `(n_songs, n_tags)`, names (n_tags).

        Raises:
            DataError: the store has no tags, or a shard is not described as it should be.
        """
        table = self.index()
        table = table[table["status"] == "ok"]
        self._bring(table["shard"], ("tags",))
        found, names = [], ()
        for shard, rows in table.groupby(table["shard"].astype(int)):
            about = read_sidecar(self.folder, int(str(shard)))
            if about is None or about["tags"] is None:
                raise DataError(f"{self.folder.name} has no tags: {self._mend()}")
            names = tuple(about["tag_names"])
            found.append(_mapped(self.folder / about["tags"])[rows["row"].astype(int).to_numpy()])
        if not found:
            raise DataError(f"{self.folder.name} has no songs yet: {self._mend()}")
        order = table.sort_values("shard", kind="stable")
        return [str(song) for song in order["song_id"]], np.concatenate(found), names

    def map(self, song_ids: list[str]) -> MappedFeatures:
        """The same without the spectrograms in memory; shards are trusted by size and time.

        Raises:
            DataError: as `load`.
        """
        table = self._rows_of(song_ids)
        self._bring(table["shard"])
        shards, part_of = np.unique(table["shard"], return_inverse=True)
        files: list[Path] = []
        digest = hashlib.sha256("\n".join(song_ids).encode())
        tags: NDArray[np.float32] | None = None
        names: tuple[str, ...] = ()
        for part, shard in enumerate(shards):
            about = self.checked_shard(int(shard), trust=True)
            where = np.flatnonzero(part_of == part)
            self._compare(table.iloc[where], about)
            files.append(self.folder / about["mel"])
            digest.update(str(about["mel_sha256"]).encode())
            if about["tags"] is not None:
                shard_tags = _mapped(self.folder / about["tags"])
                names = tuple(about["tag_names"])
                if tags is None:
                    tags = np.empty((len(table), shard_tags.shape[1]), np.float32)
                tags[where] = shard_tags[table["row"].to_numpy()[where]]
        size = (self.config.mel_config.n_mels, self.config.n_frames)
        rows = table["row"].to_numpy()
        mel = MappedMel.of(files, part_of.astype(np.int64), rows, size, digest.hexdigest())
        return MappedFeatures(tuple(song_ids), mel, tags, names, self.config)

    def verify(self) -> list[str]:
        """What is wrong with the store, one line each; an empty list where all is well."""
        try:
            index = self.index()
        except DataError as error:
            return [str(error)]
        problems = []
        for shard in np.unique(index["shard"].astype(int)):
            try:
                self._bring([shard], anew=True)
                self._compare(index[index["shard"] == shard], self.checked_shard(int(shard)))
            except DataError as error:
                problems.append(str(error))
        return problems

    def checked_shard(self, number: int, *, trust: bool = False) -> dict[str, Any]:
        """The description of a shard whose files are as they were written.

        Args:
            number: Which one.
            trust: Take a file of the noted size and time of change for what was written, without
                reading it. Stores that were copied, or written before this was noted, are read.

        Raises:
            DataError: a file is absent or differs from what was written.
        """
        about = read_sidecar(self.folder, number)
        if about is None:
            raise DataError(f"shard {number} of {self.folder.name} is absent: {self._mend()}")
        for name in ("mel", "tags"):
            if about[name] is None:
                continue
            path = self.folder / about[name]
            if trust and path.exists() and _stamp(path) == about.get(f"{name}_stamp"):
                continue
            if not path.exists() or sha256_of(path) != about[f"{name}_sha256"]:
                self.workspace.fetch(path)  # this machine's copy may be of an earlier shard
                if not path.exists() or sha256_of(path) != about[f"{name}_sha256"]:
                    raise DataError(
                        f"{path.name} of {self.folder.name} is not as it was written (truncated or "
                        f"changed on disk): {self._mend()}"
                    )
            self._note_as_written(path, about.get(f"{name}_stamp"))
        return about

    def _note_as_written(self, path: Path, stamp: list[int] | None) -> None:
        """Give a copy whose checksum holds the time of what it is the copy of."""
        if self.workspace.address is not None and stamp is not None:
            os.utime(path, ns=(stamp[1], stamp[1]))

    def _bring(
        self, shards: ArrayLike, names: tuple[str, ...] = ("mel", "tags"), anew: bool = False
    ) -> None:
        """Fetch arrays that have no copy here yet, or all of them anew, side by side."""
        if self.workspace.address is None:
            return
        numbers = np.unique(np.asarray(shards, dtype=np.int64))
        abouts = [read_sidecar(self.folder, int(number)) for number in numbers]
        paths = [self.folder / a[name] for a in abouts if a for name in names if a[name]]
        for path in paths if anew else ():
            path.unlink(missing_ok=True)
        self.workspace.fetch(*(path for path in paths if not path.exists()))

    # --- mending ----------------------------------------------------------------------------------

    def drop_damaged_shards(self) -> int:
        """Forget shards that are not as they were written, so that a build makes them again.

        Size and time of change are looked at, not every byte, which `verify` reads.
        Arrays without a description, which a killed build leaves, go too.
        """
        mirror = self.workspace.mirror
        sizes = {} if mirror is None else mirror.sizes(self.folder, "shard-*.npy")
        damaged = 0
        for path in sorted(self.folder.glob("shard-*.json")):
            try:
                if mirror is None:
                    self.checked_shard(_number(path), trust=True)
                else:
                    self._compare_sizes(_number(path), sizes)
            except StoreError:
                raise
            except DataError:
                damaged += 1
                self.workspace.remove(path)
        whole = {_number(path) for path in self.folder.glob("shard-*.json")}
        for path in {*self.folder.glob("shard-*.npy"), *(self.folder / name for name in sizes)}:
            if _number(path) not in whole:
                self.workspace.remove(path)
        return damaged

    def _compare_sizes(self, number: int, sizes: dict[str, int]) -> None:
        """Refuse a shard whose arrays at the workspace's address are absent or of another size."""
        about = read_sidecar(self.folder, number) or {}
        for name in ("mel", "tags"):
            array = about.get(name)
            if array and sizes.get(array) != about.get(f"{name}_stamp", [sizes.get(array)])[0]:
                raise DataError(f"{array} of {self.folder.name} is absent or of another size")

    def drop_outdated_shards(self, index: pd.DataFrame) -> None:
        """Remove shards of failed songs alone that a later try has replaced."""
        current = set(index["shard"].astype(int))
        for path in self.folder.glob("shard-*.json"):
            if _number(path) not in current:
                self.workspace.remove(path)

    def drop_parts(self) -> None:
        """Remove what a build keeps of unfinished shards, here and at the address."""
        parts = self.folder / "parts"
        shutil.rmtree(parts, ignore_errors=True)
        if self.workspace.mirror is not None:
            self.workspace.mirror.remove_below(parts)

    def write_index(self) -> pd.DataFrame:
        """Gather the descriptions of all shards into `index.parquet`; the table."""
        tables = [pd.DataFrame(columns=list(INDEX_COLUMNS))]
        rows: list[dict[str, object]] = []
        for path in sorted(self.folder.glob("shard-*.json")):
            rows += (read_sidecar(self.folder, _number(path)) or {"songs": []})["songs"]
            if len(rows) >= _ROWS_AT_ONCE:
                tables.append(pd.DataFrame(rows, columns=list(INDEX_COLUMNS)))
                rows = []
        tables.append(pd.DataFrame(rows, columns=list(INDEX_COLUMNS)))
        full = [table for table in tables if len(table)]
        table = pd.concat(full, ignore_index=True) if full else tables[0]
        # A song that failed once and came right later stands in two shards; the good one counts.
        table["failed"] = table["status"] != "ok"
        table = table.sort_values(["failed", "shard"], ascending=[True, False])
        table = table.drop_duplicates("song_id").drop(columns="failed")
        table = table.sort_values(["shard", "row"]).reset_index(drop=True)
        with replacing(self.folder / "index.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        write_atomic(self.folder / "config.json", json.dumps(asdict(self.config), indent=2) + "\n")
        self.workspace.push(self.folder / "index.parquet", self.folder / "config.json")
        return table

    # --- inside -----------------------------------------------------------------------------------

    def _rows_of(self, song_ids: list[str]) -> pd.DataFrame:
        good = self.places()
        at = good.index.get_indexer(pd.Index(song_ids, dtype=good.index.dtype))
        missing = [song_ids[place] for place in np.flatnonzero(at < 0)]
        if missing:
            why = self.index().set_index("song_id")["error"].get(missing[0])
            reason = f" ({why})" if isinstance(why, str) else ""
            raise DataError(
                f"{len(missing):,} of {len(song_ids):,} songs have no features "
                f"({self.config.segment}), first {missing[0]!r}{reason}: {self._mend()}"
            )
        table = good.iloc[at].reset_index(drop=True)
        table.insert(0, "song_id", song_ids)
        table["position"] = np.arange(len(table))
        return table

    def _compare(self, rows: pd.DataFrame, about: dict[str, Any]) -> None:
        """Refuse an index that says other than the shard of where its songs stand."""
        places = {song["song_id"]: song["row"] for song in about["songs"]}
        for song, row in zip(rows["song_id"], rows["row"], strict=True):
            if places.get(song) != row:
                raise DataError(
                    f"index.parquet of {self.folder.name} and its shards differ on {song!r} "
                    f"(changed on disk): {self._mend()}"
                )

    def _mend(self) -> str:
        if self.config.segment == GIVEN:
            return (
                "these features were made elsewhere: give them again with `hitcore workspace "
                "create NEW --scores TABLE --features FILE.npz`"
            )
        usual = FeatureConfig(segment=self.config.segment)
        tagger = (
            ""
            if self.config.tagger == usual.tagger
            else f" --tagger {self.config.tagger or 'none'}"
        )
        return (
            f"run `hitcore features build {self.workspace.place} --highlight {self.config.segment}"
            f"{tagger}`"
        )


def digest_of(about: Mapping[str, Any]) -> str:
    """The checksum of a shard's description, which stands in it as `sha256`.

    Example:
        >>> digest_of({"songs": []}) == digest_of({"songs": [], "sha256": "any"})
        True
    """
    content = {name: value for name, value in about.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> list[int]:
    """Size and time of change of a file, as a shard's description notes them."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def read_sidecar(folder: Path, number: int) -> dict[str, Any] | None:
    """The description of a shard, or None where there is none.

    Raises:
        DataError: it is not as it was written.
    """
    path = folder / f"shard-{number:05d}.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        # The first stores were written without this checksum.
        good = {"songs", "mel", "tags"} <= set(about)
        good = good and about.get("sha256") in (None, digest_of(about))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise DataError(f"{path} is damaged: build the features again, which mends it")
    return dict(about)


def _number(path: Path) -> int:
    """The number of a shard, from one of its files."""
    return int(path.stem.split("-")[1])


def _mapped(path: Path) -> NDArray[np.generic]:
    """A shard's array, mapped into memory."""
    array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array

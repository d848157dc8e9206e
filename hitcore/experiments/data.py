"""What the runs of an experiment work on: songs, folds, features, targets."""

import hashlib
import importlib.util
import os
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hitcore.catalogue.attributes import read_attributes
from hitcore.catalogue.scores import FILE as SCORES_FILE
from hitcore.catalogue.songs import Catalogue, Split
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError
from hitcore.experiments.plan import ExperimentConfig
from hitcore.experiments.variants import VARIANTS, Variant
from hitcore.featurestore import (
    FeatureConfig,
    Features,
    FeatureStore,
    MappedFeatures,
    given_config,
)
from hitcore.featurestore.recipe import GIVEN
from hitcore.learning import TrainingData
from hitcore.networks.targets import transform_target


@dataclass(frozen=True, eq=False)
class ExperimentSongs:
    """The songs that take part, and how they are divided."""

    catalogue: Catalogue
    """Songs with a defined hit score and readable sound, in a fixed order."""
    folds: tuple[Split, ...] = field(repr=False)
    """The splits."""
    n_left_out: int
    """Songs of the catalogue that take no part."""

    @property
    def fingerprint(self) -> str:
        """Changes with the songs, their scores or their artists."""
        digest = hashlib.sha256()
        digest.update("\n".join(self.catalogue.song_ids).encode())
        digest.update(self.catalogue.hit_scores.tobytes())
        digest.update(repr(self.catalogue.artist_ids).encode())
        return digest.hexdigest()[:16]


def songs_of(
    workspace: Workspace, config: ExperimentConfig, variants: list[Variant]
) -> ExperimentSongs:
    """The songs of a workspace that every one of these rows can use, and their folds.

    Raises:
        DataError: no catalogue, no features for some rows (with the command that makes them), or
            fewer songs than folds.
    """
    catalogue = Catalogue.read(workspace.songs, workspace.hit_scores)
    defined = catalogue.defined()
    failed: set[str] = set()
    if any(row.attributes for row in variants):
        failed |= set(defined.song_ids) - set(read_attributes(workspace).song_ids)
    for store in _stores(workspace, config, variants):
        store.refresh()
        index = store.index()
        failed |= set(index.loc[index["status"] == "failed", "song_id"])
        known = set(index["song_id"]) | _silent(defined, store)
        failed |= known - set(index["song_id"])
        missing = [song for song in defined.song_ids if song not in known]
        if missing:
            raise DataError(
                f"{len(missing):,} of {len(defined):,} songs have no features with the segment "
                f"{store.config.segment!r}: run `hitcore features build {workspace.place} "
                f"--highlight {store.config.segment}`"
            )
    keep = [song not in failed for song in defined.song_ids]
    usable = Catalogue(defined.songs[keep])
    folds = usable.folds(config.n_folds, config.fold_kind, config.seed)
    return ExperimentSongs(usable, tuple(folds), len(catalogue) - len(usable))


def usable_rows(workspace: Workspace) -> tuple[str, ...]:
    """The rows that a catalogue can take part in, features not looked at: those can be built.

    Rows of sound need songs with sound or features, rows of attributes a table of them; a rule on
    artists, genres or dates needs some; LambdaMART needs LightGBM installed; a fusion its parts.

    Raises:
        DataError: the workspace has no catalogue, or a note of it is damaged.
    """
    catalogue = Catalogue.read(workspace.songs, workspace.hit_scores).defined()
    config = ExperimentConfig().for_workspace(workspace)
    given = given_config(workspace)
    try:
        _silent(catalogue, FeatureStore(workspace, given or FeatureConfig()))
        sound = True
    except DataError:
        sound = False
    tags = given is None or given.tagger is not None
    dated = bool(np.isfinite(release_years(catalogue)).any())
    knows = {
        "artist-prior": any(catalogue.artist_ids),
        "genre": bool((catalogue.songs["genre"].fillna("") != "").any()),
        "release-year": dated,
        "decade": dated,
        "lambdamart": importlib.util.find_spec("lightgbm") is not None,
    }

    def usable(row: Variant) -> bool:
        if row.fuses:
            return all(usable(VARIANTS[part]) for part in row.fuses)
        if row.attributes and not workspace.attributes.exists():
            return False
        if config.features_of(row) is not None and not (sound and (tags or not row.tags)):
            return False
        return knows.get(row.network, True)

    return tuple(name for name, row in VARIANTS.items() if usable(row))


def training_data(
    workspace: Workspace,
    songs: ExperimentSongs,
    features: FeatureConfig | None,
    target: str | None,
    *,
    attributes: bool = False,
) -> TrainingData:
    """Features and truth of all songs, as the training engine takes them.

    Attributes stand where tags would.
    """
    ids = tuple(songs.catalogue.song_ids)
    loaded: Features | MappedFeatures | None = None
    if features is not None:
        keep = _map if _outgrows_memory(len(ids), features) else _load
        loaded = keep(workspace, features, ids)
    tags = None if loaded is None else loaded.tags
    if attributes:
        tags = read_attributes(workspace).of(ids).values.astype(np.float32)
    shares = songs.catalogue.hit_scores.copy()  # the table's own is read-only
    return TrainingData(
        mel=None if loaded is None else loaded.mel,
        tags=tags,
        y=transform_target(shares, target),  # type: ignore[arg-type]
        hit_scores=shares,
        artist_ids=songs.catalogue.artist_ids,
        preset=None if features is None else features.mel,
    )


def tag_names(
    workspace: Workspace, songs: ExperimentSongs, features: FeatureConfig
) -> tuple[str, ...]:
    """The names of the tags in a feature store, in order."""
    keep = _map if _outgrows_memory(len(songs.catalogue), features) else _load
    return keep(workspace, features, tuple(songs.catalogue.song_ids)).tag_names


@lru_cache(maxsize=1)
def _load(workspace: Workspace, features: FeatureConfig, ids: tuple[str, ...]) -> Features:
    """The features, kept for the next run of the same row."""
    return FeatureStore(workspace, features).load(list(ids))


@lru_cache(maxsize=1)
def _map(workspace: Workspace, features: FeatureConfig, ids: tuple[str, ...]) -> MappedFeatures:
    return FeatureStore(workspace, features).map(list(ids))


def _outgrows_memory(n_songs: int, features: FeatureConfig) -> bool:
    """Whether the spectrograms in half precision, and as much again, would not be free memory."""
    needed = 2 * 2 * n_songs * features.mel_config.n_mels * features.n_frames
    try:
        return needed > os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not told on every system
        return False


def features_of_songs(
    workspace: Workspace, songs: ExperimentSongs, features: FeatureConfig
) -> Features:
    """The features of all songs, in their order."""
    return _load(workspace, features, tuple(songs.catalogue.song_ids))


def _silent(catalogue: Catalogue, store: FeatureStore) -> set[str]:
    """Songs that have no sound: not an error, but they take no part in rows that need it.

    Raises:
        DataError: no song has any.
    """
    table = catalogue.songs
    if store.config.segment == GIVEN:
        silent = set(table["song_id"]) - set(store.index()["song_id"])
    elif "source" in table.columns:
        silent = set(table.loc[table["source"].fillna("").astype(str) == "", "song_id"])
    elif (store.workspace.path / SCORES_FILE).exists():
        silent = set(table["song_id"])
    else:
        return set()
    if len(silent) == len(table):
        raise DataError(
            f"no song of {store.workspace.place} has sound, which these rows need: make the "
            "workspace with --audio or --features, or ask for rows that need none "
            "(--preset attributes)"
        )
    return silent


def _stores(
    workspace: Workspace, config: ExperimentConfig, variants: list[Variant]
) -> list[FeatureStore]:
    wanted = {config.features_of(row) for row in variants} - {None}
    return [FeatureStore(workspace, one) for one in sorted(wanted, key=str) if one is not None]


def release_years(catalogue: Catalogue) -> NDArray[np.float64]:
    """The year of each song's release with its fraction, (n_songs,); NaN where unknown."""
    dates = catalogue.songs["release_date"]
    years = dates.dt.year + (dates.dt.day_of_year - 1) / 365.25
    return np.asarray(years, dtype=np.float64)

"""Songs that sound alike: nearest neighbours by tags and embedding, and a map of songs.

A tagger describes a song twice: in 50 words, and in the layer before them, which knows more than
the words say. Two songs are as far apart as both descriptions are, in equal parts: the tags as
log-odds, so that 0.01 and 0.02 differ as much as 0.4 and 0.6 do, and the embedding, each in units
of its own spread over the library. Where a side has no embedding, the tags speak alone.

The map shows the same descriptions in the two directions in which the library's songs differ most
(principal components); a song that is looked up is laid into it and does not change it.

Conventions:
    distance: 0 for equal descriptions; 1 is the (root mean square) distance of two of its songs.
    untrusted: titles come from files and are never markup.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hitcore import weights
from hitcore.analysis.report import SongReport
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, ParameterError
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.featurestore.store import FeatureStore
from hitcore.files import ASSETS

Floats = NDArray[np.float64]

DEMO_LIBRARY = ASSETS / "demo" / "similar.safetensors"
"""The sample of the demo catalogue that ships."""

_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class SongLibrary:
    """Songs to compare with: a catalogue's, or those that a person brought.

    Example:
        >>> tags = np.array([[0.9, 0.1], [0.8, 0.1], [0.1, 0.9]])
        >>> library = SongLibrary(("a", "b", "c"), ("A", "B", "C"), tags, ("loud", "slow"))
        >>> [song.title for song in nearest(library, [0.88, 0.1], n_songs=2)]
        ['A', 'B']
    """

    ids: tuple[str, ...]
    """One per song."""
    titles: tuple[str, ...]
    """What people call them; untrusted text."""
    tags: Floats = field(repr=False)
    """Mean activation of each tag, (n_songs, n_tags)."""
    tag_names: tuple[str, ...]
    """What the columns stand for."""
    embeddings: Floats | None = field(default=None, repr=False)
    """The mean of the layer before the tags, (n_songs, n_dimensions)."""
    popularity: Floats | None = field(default=None, repr=False)
    """What each song achieved, NaN where that is unknown, (n_songs,)."""
    sources: tuple[str, ...] = ()
    """Where each song's sound is, as feature stores say it; empty where there is none."""

    def __post_init__(self) -> None:
        n_songs = len(self.ids)
        if not n_songs:
            raise DataError("a library of no songs: give at least one")
        if self.tags.shape != (n_songs, len(self.tag_names)) or len(self.titles) != n_songs:
            raise DataError(
                f"{n_songs} songs with {len(self.titles)} titles and tags of shape "
                f"{self.tags.shape}: one row of {len(self.tag_names)} tags per song is needed"
            )
        for name in ("embeddings", "popularity"):
            given = getattr(self, name)
            if given is not None and len(given) != n_songs:
                raise DataError(f"{name} has {len(given)} rows for {n_songs} songs")
        if self.sources and len(self.sources) != n_songs:
            raise DataError(f"{len(self.sources)} sources for {n_songs} songs")

    @classmethod
    def of_reports(cls, reports: Sequence[SongReport], ids: Sequence[str] = ()) -> "SongLibrary":
        """The library of songs that were analysed with one tagger.

        Args:
            reports: Their reports.
            ids: What to call them; their content hashes where left out.

        Raises:
            DataError: no report, or reports by different taggers.
        """
        if len({report.tagger for report in reports}) != 1:
            raise DataError("songs to compare need reports by one tagger; analyse them with one")
        embedded = [report.taggram.embeddings for report in reports]
        known = all(len(rows) for rows in embedded)
        return cls(
            ids=tuple(ids) or tuple(report.content_hash for report in reports),
            titles=tuple(report.display_name for report in reports),
            tags=np.array([report.taggram.mean() for report in reports], np.float64),
            tag_names=reports[0].taggram.tag_names,
            embeddings=np.array([rows.mean(axis=0) for rows in embedded]) if known else None,
        )

    @classmethod
    def of_workspace(cls, workspace: Workspace) -> "SongLibrary":
        """The songs of a catalogue whose features have been built, by their tags.

        Feature stores keep no embeddings, so its songs are compared by tags alone.

        Raises:
            DataError: no features with tags have been built there.
        """
        for path in sorted(workspace.features.glob("*/config.json")):
            try:
                config = FeatureConfig(**json.loads(path.read_text(encoding="utf-8")))
                ids, tags, names = FeatureStore(workspace, config).tags_alone()
            except (DataError, ParameterError, TypeError, ValueError):
                continue  # another store may do
            return _of_catalogue(workspace, ids, tags, names)
        raise DataError(
            f"{workspace.path.name} has no features with tags: run `hitcore features build "
            f"{workspace.path}`"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the library to a file that `load` reads back; numbers in half precision.

        Raises:
            WeightsError: it cannot be written.
        """
        tensors: dict[str, NDArray[Any]] = {"tags": self.tags.astype(np.float16)}
        if self.embeddings is not None:
            tensors["embeddings"] = self.embeddings.astype(np.float16)
        if self.popularity is not None:
            # NaN is no weight: -1 stands for what is unknown.
            tensors["popularity"] = np.nan_to_num(self.popularity, nan=-1.0)
        lists = {name: list(getattr(self, name)) for name in ("ids", "titles", "tag_names")}
        described = dict.fromkeys(weights.DESCRIPTION, "") | {"kind": "song library"}
        weights.save(path, tensors, {**described, **lists, "sources": list(self.sources)})

    @classmethod
    def load(cls, path: str | os.PathLike[str] = DEMO_LIBRARY) -> "SongLibrary":
        """The library in a file; the sample of the demo catalogue unless told otherwise.

        Raises:
            WeightsError: the file is absent or damaged.
            DataError: it holds no library.
        """
        found = weights.read(path)
        if found.metadata.get("kind") != "song library":
            raise DataError(f"{path} holds no songs to compare with")
        achieved, embeddings = (found.tensors.get(key) for key in ("popularity", "embeddings"))
        popularity = None if achieved is None else achieved.astype(np.float64)
        return cls(
            ids=tuple(found.metadata["ids"]),
            titles=tuple(found.metadata["titles"]),
            tags=found.tensors["tags"].astype(np.float64),
            tag_names=tuple(found.metadata["tag_names"]),
            embeddings=None if embeddings is None else embeddings.astype(np.float64),
            popularity=None if popularity is None else np.where(popularity < 0, np.nan, popularity),
            sources=tuple(found.metadata["sources"]),
        )


@dataclass(frozen=True)
class Neighbour:
    """A song that sounds like another."""

    number: int
    """Its place in the library."""
    song_id: str
    """Its id."""
    title: str
    """Untrusted text."""
    distance: float
    """0 for equal descriptions; 1 is the (root mean square) distance of two of its songs."""
    popularity: float | None
    """What it achieved, where that is known."""
    source: str
    """Where its sound is; empty where there is none."""


@dataclass(frozen=True, eq=False)
class SongMap:
    """Songs in two dimensions."""

    points: Floats
    """Where each of the library's songs lies, (n_songs, 2)."""
    here: Floats
    """Where the songs lie that were looked up, (n_looked_up, 2)."""
    explained: tuple[float, float]
    """Share of the library's spread that each direction shows."""
    ends: tuple[tuple[str, str], tuple[str, str]]
    """For each direction the tag that most goes with its low and its high end."""


def nearest(
    library: SongLibrary,
    tags: ArrayLike,
    embedding: ArrayLike | None = None,
    n_songs: int = 5,
    *,
    without: Sequence[str] = (),
) -> list[Neighbour]:
    """The library's songs that sound most like one song, nearest first.

    Args:
        library: The songs to choose from.
        tags: The song's tags, in the library's order.
        embedding: Its embedding; None: the tags alone count.
        n_songs: How many at most.
        without: Ids to leave out, such as the song's own.

    Shape:
        tags `(n_tags,)`, embedding `(n_dimensions,)`.

    Raises:
        ParameterError: not as many tags or dimensions as the library has.
    """
    space = _Space(library, with_embedding=embedding is not None)
    far = space.distances(space.place(tags, embedding))
    left_out = set(without)
    order = [i for i in np.argsort(far, kind="stable") if library.ids[i] not in left_out]
    return [_neighbour(library, int(i), float(far[i])) for i in order[:n_songs]]


def nearest_to(
    library: SongLibrary, report: SongReport, n_songs: int = 5, *, without: Sequence[str] = ()
) -> list[Neighbour]:
    """The library's songs that sound most like an analysed one; its own content is left out.

    Raises:
        ParameterError: the report's tagger lacks one of the library's tags.
    """
    tags, embedding = description_of(report, library)
    return nearest(library, tags, embedding, n_songs, without=(*without, report.content_hash))


def description_of(report: SongReport, library: SongLibrary) -> tuple[Floats, Floats | None]:
    """A report's tags in a library's order, and its embedding where both have the same kind."""
    tags = np.asarray(report.taggram.select(library.tag_names).mean(), np.float64)
    rows = report.taggram.embeddings
    known = library.embeddings
    fits = known is not None and len(rows) > 0 and rows.shape[1] == known.shape[1]
    return tags, np.asarray(rows.mean(axis=0), np.float64) if fits else None


def song_map(library: SongLibrary, tags: ArrayLike, embeddings: ArrayLike | None = None) -> SongMap:
    """The library's songs in two dimensions, with others laid into the same plane.

    Args:
        library: The songs that make the map.
        tags: Of the songs to lay into it, in the library's order.
        embeddings: Theirs; None: the map is made of tags alone.

    Shape:
        tags `(n_looked_up, n_tags)`, embeddings `(n_looked_up, n_dimensions)`.

    Raises:
        ParameterError: not as many tags or dimensions as the library has.
    """
    space = _Space(library, with_embedding=embeddings is not None)
    mean = space.points.mean(axis=0)
    _, spread, directions = np.linalg.svd(space.points - mean, full_matrices=False)
    plane = np.zeros((2, space.points.shape[1]))
    plane[: min(2, len(directions))] = directions[:2]
    # A direction has no sign of its own: its largest part points up, so that maps do not flip.
    plane *= np.where(np.take_along_axis(plane, np.abs(plane).argmax(1)[:, None], 1) < 0, -1, 1)
    wanted = np.atleast_2d(np.asarray(tags, np.float64))
    sides: list[Any] = [None] * len(wanted)
    if embeddings is not None:
        sides = list(np.atleast_2d(np.asarray(embeddings, np.float64)))
    others = np.stack([space.place(t, e) for t, e in zip(wanted, sides, strict=True)])
    points = (space.points - mean) @ plane.T
    total = float((spread**2).sum()) or 1.0
    shares = [float(s**2) / total for s in (*spread[:2], 0.0, 0.0)[:2]]
    return SongMap(
        points=points,
        here=(others - mean) @ plane.T,
        explained=(shares[0], shares[1]),
        ends=(_ends(library, points[:, 0]), _ends(library, points[:, 1])),
    )


# --- inside --------------------------------------------------------------------------------------


class _Space:
    """Where songs lie: log-odds of tags and embeddings, each in equal parts of the distance."""

    def __init__(self, library: SongLibrary, *, with_embedding: bool) -> None:
        self.n_tags = len(library.tag_names)
        blocks = [_log_odds(library.tags)]
        if with_embedding:
            if library.embeddings is None:
                raise ParameterError("the library has no embeddings: compare by tags alone")
            blocks.append(np.asarray(library.embeddings, np.float64))
        self.means = [block.mean(axis=0) for block in blocks]
        # The root mean square distance of two songs is √2 times that from the mean.
        centred = [block - mean for block, mean in zip(blocks, self.means, strict=True)]
        spreads = [float(np.sqrt(2 * len(blocks) * (c**2).sum(axis=1).mean())) for c in centred]
        self.spreads = [spread if spread > 0 else 1.0 for spread in spreads]
        self.points = self._joined(blocks)

    def place(self, tags: ArrayLike, embedding: ArrayLike | None) -> Floats:
        """Where a song lies, (n_dimensions,)."""
        blocks = [np.asarray(tags, np.float64)]
        if blocks[0].shape != (self.n_tags,):
            raise ParameterError(f"{blocks[0].shape} tags, the library has {self.n_tags}")
        blocks[0] = _log_odds(blocks[0])
        if len(self.means) > 1:
            blocks.append(np.asarray(embedding, np.float64))
            if blocks[1].shape != self.means[1].shape:
                raise ParameterError(
                    f"an embedding of {blocks[1].shape}, the library's have {self.means[1].shape}"
                )
        return np.asarray(self._joined([block[None] for block in blocks])[0])

    def distances(self, place: Floats) -> Floats:
        """How far each of the library's songs is from a place, (n_songs,)."""
        far: Floats = np.sqrt(((self.points - place) ** 2).sum(axis=1))
        return far

    def _joined(self, blocks: list[Floats]) -> Floats:
        parts = [(b - m) / s for b, m, s in zip(blocks, self.means, self.spreads, strict=True)]
        return np.concatenate(parts, axis=1)


def _log_odds(tags: Floats) -> Floats:
    kept = np.clip(tags, _FLOOR, 1 - _FLOOR)
    return np.asarray(np.log(kept / (1 - kept)))


def _neighbour(library: SongLibrary, number: int, distance: float) -> Neighbour:
    achieved = None if library.popularity is None else float(library.popularity[number])
    return Neighbour(
        number=number,
        song_id=library.ids[number],
        title=library.titles[number],
        distance=distance,
        popularity=None if achieved is None or np.isnan(achieved) else achieved,
        source=library.sources[number] if library.sources else "",
    )


def _of_catalogue(
    workspace: Workspace, ids: list[str], tags: NDArray[Any], names: tuple[str, ...]
) -> SongLibrary:
    """The songs of a workspace with what its tables know of them."""
    songs = pd.read_parquet(workspace.songs).set_index("song_id").reindex(ids)

    def texts(column: str) -> list[str]:
        if column not in songs:
            return [""] * len(ids)
        return ["" if pd.isna(cell) else str(cell) for cell in songs[column]]

    titles = [
        " — ".join(part for part in parts if part) or song
        for song, *parts in zip(ids, texts("title"), texts("artist"), strict=True)
    ]
    popularity = None
    if workspace.hit_scores.exists():
        scores = pd.read_parquet(workspace.hit_scores).set_index("song_id")["hit_score"]
        popularity = scores.reindex(ids).to_numpy(np.float64)
    return SongLibrary(
        ids=tuple(ids),
        titles=tuple(titles),
        tags=np.asarray(tags, np.float64),
        tag_names=names,
        popularity=popularity,
        sources=tuple(texts("source")),
    )


def _ends(library: SongLibrary, along: Floats) -> tuple[str, str]:
    """The tags that fall and rise most with a direction."""
    odds = _log_odds(library.tags)
    together = (odds - odds.mean(axis=0)).T @ (along - along.mean())
    return library.tag_names[int(together.argmin())], library.tag_names[int(together.argmax())]

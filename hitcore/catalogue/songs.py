"""A catalogue: songs, what they achieved, and how they divide into training, validation and test.

Conventions:
    hit_score: a share of plays, 0 to 1, higher is better; NaN where it is undefined (a song whose
        60th day lies outside the log has no score, which is not a score of zero).
    artist_ids: all artists of a song; a duet belongs to both.
    fold k of n: block k is the test set, block k+1 the validation set, all others are training
        data, so that ten folds give the paper's 8:1:1 and every song is tested exactly once.

Networks learn a transformed share; `transform_target` and `inverse_target`, offered here too,
translate between the two (`hitcore.networks.targets`).

References:
    Sections 3 and 4 of the paper: hit score, ten-fold splits.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hitcore.errors import DataError, ParameterError, SplitLeakageError
from hitcore.files import replacing
from hitcore.networks.targets import (
    TARGET_TRANSFORMS,
    TargetTransform,
    inverse_target,
    transform_target,
)

__all__ = [
    "FOLD_KINDS",
    "TARGET_TRANSFORMS",
    "Catalogue",
    "FoldKind",
    "Song",
    "Split",
    "TargetTransform",
    "artist_groups",
    "check_split",
    "inverse_target",
    "transform_target",
]

FoldKind = Literal["song", "artist"]
FOLD_KINDS: tuple[str, ...] = get_args(FoldKind)

_TEXT_COLUMNS = ("title", "artist", "genre")


# --- songs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Song:
    """One song of a catalogue.

    Example:
        >>> Song("s1", title="First", artist_ids=("a1", "a2")).artist_ids
        ('a1', 'a2')
    """

    song_id: str
    """Unique in its catalogue."""
    title: str = ""
    """As it is shown; empty where unknown."""
    artist_ids: tuple[str, ...] = ()
    """Every artist of the song; empty where unknown."""
    artist: str = ""
    """The artists' names as they are shown."""
    genre: str = ""
    """Empty where unknown."""
    release_date: date | None = None
    """The day of the first release; None where unknown."""
    hit_score: float = float("nan")
    """Share of plays, 0 to 1; NaN where undefined."""

    def __post_init__(self) -> None:
        if not self.song_id:
            raise DataError("a song has an empty song_id: every song needs one")


class Split(NamedTuple):
    """Row numbers of the songs of one fold; the three arrays share no song."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Songs in a fixed order, their hit scores, and reproducible folds over them.

    The table has the columns `song_id, title, artist_ids, artist, genre, release_date, hit_score`
    and whatever else it came with; those that were missing are filled in as unknown.

    Raises:
        DataError: a song_id is missing, empty or repeated, or a hit score is outside 0 to 1.

    Example:
        >>> songs = pd.DataFrame({"song_id": [f"s{i}" for i in range(20)], "hit_score": 0.001})
        >>> fold = Catalogue(songs).folds(n_folds=10, seed=0)[0]
        >>> len(fold.train), len(fold.valid), len(fold.test)
        (16, 2, 2)
    """

    songs: pd.DataFrame = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "songs", _normalised(self.songs))

    def __len__(self) -> int:
        return len(self.songs)

    def __iter__(self) -> Iterator[Song]:
        return (_song_of(row) for row in self.songs.to_dict("records"))

    def __getitem__(self, song_id: str) -> Song:
        """The song of that id.

        Raises:
            DataError: there is none.
        """
        rows = self.songs[self.songs["song_id"] == song_id]
        if rows.empty:
            raise DataError(f"song {song_id!r} is not in this catalogue of {len(self):,} songs")
        return _song_of(rows.to_dict("records")[0])

    @classmethod
    def from_songs(cls, songs: Iterable[Song]) -> "Catalogue":
        """A catalogue of these songs, in this order.

        Example:
            >>> [song.song_id for song in Catalogue.from_songs([Song("b"), Song("a")])]
            ['b', 'a']
        """
        names = list(Song.__dataclass_fields__)
        return cls(pd.DataFrame([{n: getattr(s, n) for n in names} for s in songs], columns=names))

    @classmethod
    def read(
        cls, songs: str | os.PathLike[str], hit_scores: str | os.PathLike[str] | None = None
    ) -> "Catalogue":
        """A catalogue from Parquet: a table of songs and, where it is apart, one of hit scores.

        Raises:
            DataError: a file is absent or no Parquet, or a scored song is not among the songs.

        Example:
            >>> import tempfile
            >>> path = os.path.join(tempfile.mkdtemp(), "songs.parquet")
            >>> Catalogue.from_songs([Song("a", artist_ids=("x",))]).write(path)
            >>> Catalogue.read(path)["a"].artist_ids
            ('x',)
        """
        table = _read_parquet(songs)
        catalogue = cls(table)
        return catalogue if hit_scores is None else catalogue.scored(_read_parquet(hit_scores))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table of songs as Parquet, whole or not at all."""
        with replacing(path) as temporary:
            lists = self.songs["artist_ids"].map(list)
            self.songs.assign(artist_ids=lists).to_parquet(temporary, index=False)

    @property
    def song_ids(self) -> NDArray[np.str_]:
        """The ids in order, shape (n_songs,)."""
        return self.songs["song_id"].to_numpy(dtype=str)

    @property
    def hit_scores(self) -> NDArray[np.float64]:
        """The hit scores in order, shape (n_songs,); NaN where undefined."""
        return self.songs["hit_score"].to_numpy(dtype=np.float64)

    @property
    def artist_ids(self) -> list[tuple[str, ...]]:
        """The artists of each song, in order."""
        return list(self.songs["artist_ids"])

    def scored(self, table: pd.DataFrame) -> "Catalogue":
        """The same songs with the hit scores of a table `song_id, hit_score`; others undefined.

        Raises:
            DataError: a column is missing, a score is no number, or the table names a song twice
                or one not in here.

        Example:
            >>> songs = Catalogue.from_songs([Song("a"), Song("b")])
            >>> songs.scored(pd.DataFrame({"song_id": ["b"], "hit_score": [0.5]})).hit_scores
            array([nan, 0.5])
        """
        _require_columns(table, ("song_id", "hit_score"))
        scores = table.assign(song_id=table["song_id"].astype(str)).set_index("song_id")
        if not scores.index.is_unique:
            raise DataError("the hit scores name a song more than once")
        unknown = scores.index.difference(pd.Index(self.songs["song_id"]))
        if len(unknown):
            raise DataError(
                f"{len(unknown):,} scored songs are not in the catalogue (first: {unknown[0]!r}): "
                "the scores belong to another catalogue, or the ids are written differently"
            )
        try:
            column = scores["hit_score"].reindex(self.songs["song_id"]).to_numpy(dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise DataError(f"a hit_score is no number ({error})") from error
        return Catalogue(self.songs.assign(hit_score=column))

    def defined(self) -> "Catalogue":
        """The songs whose hit score is defined.

        Example:
            >>> len(Catalogue.from_songs([Song("a"), Song("b", hit_score=0.0)]).defined())
            1
        """
        return Catalogue(self.songs[np.isfinite(self.hit_scores)])

    def top(self, n_songs: int) -> "Catalogue":
        """The songs of the highest defined hit scores, best first, ties by song_id.

        Example:
            >>> songs = [Song("a", hit_score=0.1), Song("b", hit_score=0.3), Song("c")]
            >>> [song.song_id for song in Catalogue.from_songs(songs).top(1)]
            ['b']

        References:
            Section 4: "we sampled 15K songs with highest hit score".
        """
        if n_songs < 1:
            raise ParameterError(f"n_songs is {n_songs}: at least 1 song is needed")
        table = self.defined().songs.sort_values(["hit_score", "song_id"], ascending=[False, True])
        return Catalogue(table.head(n_songs))

    def folds(
        self, n_folds: int = 10, kind: FoldKind = "song", seed: int | None = 0
    ) -> list[Split]:
        """`n_folds` splits; every song is in the test set of exactly one of them.

        A song's fold depends on the seed and the set of songs, not on the order of the rows.
        With kind "artist" no artist stands in two parts of a split: songs linked by a shared
        artist, directly or through others, stay together, and such groups are dealt out largest
        first to the block that has the fewest songs, so blocks differ in size by what the groups
        force. A song without artists is a group of its own.

        Raises:
            ParameterError: fewer than 3 folds, or an unknown kind.
            DataError: fewer songs (or groups of linked artists) than folds.

        Example:
            >>> pair = [Song("a", artist_ids=("x", "y")), Song("b", artist_ids=("y", "z"))]
            >>> rest = [Song(f"s{i}", artist_ids=(f"t{i}",)) for i in range(4)]
            >>> folds = Catalogue.from_songs(pair + rest).folds(3, kind="artist")
            >>> [0 in fold.test for fold in folds] == [1 in fold.test for fold in folds]
            True

        References:
            Section 4: ten-fold cross validation, 8:1:1.
        """
        if kind not in FOLD_KINDS:
            raise ParameterError(f"kind is {kind!r}: one of {', '.join(FOLD_KINDS)} is allowed")
        if n_folds < 3:
            raise ParameterError(
                f"n_folds is {n_folds}: at least 3 are needed, for training, validation and test"
            )
        groups = np.arange(len(self)) if kind == "song" else artist_groups(self.artist_ids)
        blocks = _deal(groups, self.song_ids, n_folds, np.random.default_rng(seed), kind)
        splits = [_split_of(blocks, k, n_folds) for k in range(n_folds)]
        for split in splits:
            check_split(split, self, kind)
        return splits


def check_split(split: Split, catalogue: Catalogue, kind: FoldKind = "song") -> None:
    """Make sure that no song (kind "artist": no artist) stands in two parts of a split.

    Raises:
        SplitLeakageError: one does; the message names it.
        DataError: a row number is outside the catalogue, or a part is empty.

    Example:
        >>> catalogue = Catalogue.from_songs([Song("a"), Song("b"), Song("c")])
        >>> check_split(Split(np.array([0]), np.array([1]), np.array([2])), catalogue)
        >>> check_split(Split(np.array([0]), np.array([1]), np.array([0])), catalogue)
        Traceback (most recent call last):
        hitcore.errors.SplitLeakageError: song 'a' stands in both train and test
    """
    if kind not in FOLD_KINDS:
        raise ParameterError(f"kind is {kind!r}: one of {', '.join(FOLD_KINDS)} is allowed")
    song_ids, artist_ids = catalogue.song_ids, catalogue.artist_ids
    seen_songs: dict[str, str] = {}
    seen_artists: dict[str, str] = {}
    for part, rows in split._asdict().items():
        if not len(rows):
            raise DataError(f"the {part} part of a split is empty: use fewer folds or more songs")
        if rows.min() < 0 or rows.max() >= len(catalogue):
            raise DataError(
                f"the {part} part names row {rows.max()}, outside this catalogue of "
                f"{len(catalogue):,} songs: the split belongs to another catalogue"
            )
        for row in rows:
            _refuse_second_part(seen_songs, "song", str(song_ids[row]), part)
            for artist in artist_ids[row] if kind == "artist" else ():
                _refuse_second_part(seen_artists, "artist", artist, part)


def artist_groups(artist_ids: Iterable[Iterable[str]]) -> NDArray[np.int64]:
    """A group number for each song, shape (n_songs,): songs linked by shared artists share it.

    Linked means connected: if A sings with B and B with C, their songs are one group.

    Example:
        >>> artist_groups([["a", "b"], ["b", "c"], ["c"], ["d"], []]).tolist()
        [0, 0, 0, 1, 2]
    """
    artists = [list(names) for names in artist_ids]
    number = {name: i for i, name in enumerate(sorted({n for names in artists for n in names}))}
    links = [(row, number[name]) for row, names in enumerate(artists) for name in names]
    n_songs, n_nodes = len(artists), len(artists) + len(number)
    rows = np.array([song for song, _ in links], dtype=np.int64)
    columns = np.array([n_songs + artist for _, artist in links], dtype=np.int64)
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(n_nodes, n_nodes))
    labels = connected_components(graph, directed=False)[1][:n_songs]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


# --- inside --------------------------------------------------------------------------------------


def _require_columns(table: pd.DataFrame, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise DataError(
            f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, table))}"
        )


def _read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"there is no table at {os.fspath(path)}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)} cannot be read as Parquet: {error}") from error


def _normalised(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every column of `Song`, in plain types; a copy."""
    _require_columns(table, ("song_id",))
    table = table.reset_index(drop=True).copy()
    if table["song_id"].isna().any() or (table["song_id"].astype(str) == "").any():
        raise DataError("a song has an empty song_id: every song needs one")
    table["song_id"] = table["song_id"].astype(str)
    repeated = table["song_id"][table["song_id"].duplicated()]
    if len(repeated):
        raise DataError(
            f"song_id {repeated.iloc[0]!r} stands {len(repeated):,} or more times in the "
            "catalogue: each song may stand there once"
        )
    for name in _TEXT_COLUMNS:
        values = table[name] if name in table else pd.Series("", index=table.index)
        table[name] = values.fillna("").astype(str)
    artists = table["artist_ids"] if "artist_ids" in table else [()] * len(table)
    table["artist_ids"] = pd.Series([_as_ids(value) for value in artists], dtype=object)
    dates = table.get("release_date", pd.NaT)
    table["release_date"] = _as_days(pd.Series(dates, index=table.index))
    scores = table.get("hit_score", np.nan)
    table["hit_score"] = pd.Series(scores, index=table.index).astype("float64")
    if not table["hit_score"].dropna().between(0.0, 1.0).all():
        raise DataError("a hit score is outside 0 to 1: hit scores are shares of plays")
    first = list(Song.__dataclass_fields__)
    return table[first + [name for name in table.columns if name not in first]]


def _as_ids(value: object) -> tuple[str, ...]:
    """The artists of one song, each once, in order."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, Iterable):
        raise DataError(f"artist_ids holds {value!r}: a list of ids is expected")
    return tuple(dict.fromkeys(str(item) for item in value))


def _as_days(dates: "pd.Series[Any]") -> "pd.Series[Any]":
    try:
        return pd.to_datetime(dates).dt.normalize().astype("datetime64[us]")
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"a release_date cannot be read as a day: {error}") from error


def _song_of(row: Mapping[Any, Any]) -> Song:
    day = row["release_date"]
    values = {name: row[name] for name in Song.__dataclass_fields__}
    return Song(**{**values, "release_date": None if pd.isna(day) else day.date()})


def _deal(
    groups: NDArray[np.int64],
    song_ids: NDArray[np.str_],
    n_folds: int,
    rng: np.random.Generator,
    kind: str,
) -> NDArray[np.int64]:
    """The block of each song: whole groups, largest first, to the block with the fewest songs."""
    sizes = np.bincount(groups)
    if len(sizes) < n_folds:
        noun = "songs" if kind == "song" else "groups of songs without a common artist"
        raise DataError(
            f"{n_folds} folds need at least {n_folds} {noun}; this catalogue has {len(sizes)}: "
            "use fewer folds or more songs"
        )
    # Groups are named by their first song id, so that the order of rows plays no part.
    by_id = np.argsort(song_ids, kind="stable")
    _, first = np.unique(groups[by_id], return_index=True)
    in_id_order = np.argsort(first)
    shuffled = in_id_order[rng.permutation(len(sizes))]
    block_of_group = np.empty(len(sizes), dtype=np.int64)
    n_in_block = np.zeros(n_folds, dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        block_of_group[group] = block = int(np.argmin(n_in_block))
        n_in_block[block] += sizes[group]
    return block_of_group[groups]


def _split_of(blocks: NDArray[np.int64], fold: int, n_folds: int) -> Split:
    test, valid = blocks == fold, blocks == (fold + 1) % n_folds
    return Split(*(np.flatnonzero(part) for part in (~(test | valid), valid, test)))


def _refuse_second_part(seen: dict[str, str], noun: str, name: str, part: str) -> None:
    earlier = seen.setdefault(name, part)
    if earlier != part:
        raise SplitLeakageError(f"{noun} {name!r} stands in both {earlier} and {part}")

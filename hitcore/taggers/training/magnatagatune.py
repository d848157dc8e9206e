"""MagnaTagATune: 25,863 clips of 29 seconds with 188 tags, as a folder on disk.

The folder holds `annotations_final.csv` (tab-separated; `clip_id`, one column of 0 and 1 for each
tag, `mp3_path`), `clip_info_final.csv` (artists; needed for the artist-disjoint split only) and
the folders `0` to `f` with the clips. What cannot be used is left out and counted.

References:
    E. Law, K. West, M. Mandel, M. Bay, J. S. Downie, "Evaluation of algorithms using games: the
    case of music tagging", ISMIR 2009. The 12:1:3 split by folder is that of S. Dieleman,
    B. Schrauwen, "End-to-end learning for music audio", ICASSP 2014.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import DataError, ParameterError

Split = Literal["folders", "artists"]
FOLDERS = "0123456789abcdef"
PARTS = {"train": 12, "valid": 1, "test": 3}
"""How many sixteenths of the clips each part has; by folder: 0 to b, c, d to f."""

SYNONYMS = (
    ("beat", "beats"),
    ("chant", "chanting"),
    ("choir", "choral"),
    ("classical", "clasical", "classic"),
    ("drums", "drum"),
    ("electronic", "electro", "electronica", "electric"),
    ("fast", "fast beat", "quick"),
    (
        "female vocal",
        *("female", "female singer", "female singing", "female vocals", "female voice"),
        *("woman", "woman singing", "women"),
    ),
    ("flute", "flutes"),
    ("guitar", "guitars"),
    ("hard rock", "hard"),
    ("harpsichord", "harpsicord"),
    ("metal", "heavy", "heavy metal"),
    ("horn", "horns"),
    ("indian", "india"),
    ("jazz", "jazzy"),
    (
        "male vocal",
        *("male", "male singer", "male vocals", "male voice", "man", "man singing", "men"),
    ),
    ("no beat", "no drums"),
    (
        "no vocal",
        *("no singer", "no singing", "no vocals", "no voice", "no voices", "instrumental"),
    ),
    ("opera", "operatic"),
    ("orchestra", "orchestral"),
    ("quiet", "silence"),
    ("singing", "singer"),
    ("space", "spacey"),
    ("strings", "string"),
    ("synth", "synthesizer"),
    ("violin", "violins"),
    ("vocal", "vocals", "voice", "voices"),
    ("weird", "strange"),
)
"""Tags that mean the same, the one that stays first."""


@dataclass(frozen=True)
class TaggedClips:
    """Clips with their tags, split into training, validation and test."""

    clip_ids: tuple[str, ...]
    """Names of the clips, unique."""
    paths: tuple[Path, ...]
    """Where each clip lies."""
    artists: tuple[str, ...]
    """Each clip's artist; empty where unknown."""
    tag_names: tuple[str, ...]
    """The tags, most frequent first."""
    labels: NDArray[np.uint8]
    """`(n_clips, n_tags)`: 1 where the tag was given."""
    splits: dict[str, NDArray[np.int64]]
    """Indices of the clips of `train`, `valid` and `test`."""
    skipped: dict[str, int] = field(default_factory=dict)
    """How many rows were left out, by reason."""


def read_magnatagatune(
    folder: str | Path,
    *,
    n_tags: int = 50,
    tags: Sequence[str] | None = None,
    merge_synonyms: bool = False,
    split: Split = "folders",
    seed: int = 0,
) -> TaggedClips:
    """The clips of a MagnaTagATune folder.

    Args:
        folder: The folder.
        n_tags: How many tags to keep, most frequent first; those that no clip has are left out.
        tags: Keep exactly these instead.
        merge_synonyms: Whether tags that mean the same become one (`SYNONYMS`).
        split: `folders`: 0 to b, c, d to f, as usual; `artists`: the same shares, no artist in two
            parts.
        seed: Of the draw of artists.

    Raises:
        DataError: A file or column is missing, a label is neither 0 nor 1, or a part of the split
            is empty.
        ParameterError: An unknown split, or fewer than one tag.
    """
    root = Path(folder)
    if split not in get_args(Split):
        raise ParameterError(f"split is {split!r}; allowed are {', '.join(get_args(Split))}")
    if n_tags < 1:
        raise ParameterError(f"n_tags is {n_tags}; at least 1 is needed")
    artists = _artists(root) if split == "artists" else {}
    rows = _Rows(root)
    all_names, labels = rows.tag_names, np.array(rows.labels, np.uint8).reshape(len(rows.ids), -1)
    if merge_synonyms:
        all_names, labels = _merged(all_names, labels)
    columns = _chosen(all_names, labels, n_tags, tags, root)
    found = [artists.get(clip, "") for clip in rows.ids]
    if split == "artists":
        parts = _artist_split(found, seed)
    else:
        parts = [_part_of(path.relative_to(root).parts[0]) for path in rows.paths]
    return TaggedClips(
        clip_ids=tuple(rows.ids),
        paths=tuple(rows.paths),
        artists=tuple(found),
        tag_names=tuple(all_names[i] for i in columns),
        labels=labels[:, columns],
        splits=_indices(parts, rows.skipped, root),
        skipped=dict(rows.skipped),
    )


class _Rows:
    """The rows of `annotations_final.csv` whose clip is there."""

    def __init__(self, root: Path) -> None:
        self.ids: list[str] = []
        self.paths: list[Path] = []
        self.labels: list[list[int]] = []
        self.skipped: Counter[str] = Counter()
        table = root / "annotations_final.csv"
        lines = _lines(table, ("clip_id", "mp3_path"))
        header = next(lines)
        id_column, path_column = header.index("clip_id"), header.index("mp3_path")
        tag_columns = [i for i in range(len(header)) if i not in (id_column, path_column)]
        self.tag_names = [header[i] for i in tag_columns]
        if not self.tag_names or len(set(self.tag_names)) < len(self.tag_names):
            raise DataError(f"{table}: the header should name each tag once, found {header[:6]}…")
        seen: set[str] = set()
        for number, line in enumerate(lines, start=2):
            labels = [line[i] for i in tag_columns]
            bad = next((i for i, label in enumerate(labels) if label not in ("0", "1")), None)
            if bad is not None:
                raise DataError(
                    f"{table}, line {number}: {self.tag_names[bad]} is {labels[bad][:20]!r}; "
                    "allowed are 0 and 1"
                )
            reason = self._refused(root, line[path_column])
            if reason is None and not line[id_column].isdecimal():
                reason = "clip_id is no number"
            if reason is None and line[id_column] in seen:
                reason = "clip listed twice"
            if reason is not None:
                self.skipped[reason] += 1
                continue
            seen.add(line[id_column])
            self.ids.append(line[id_column])
            self.paths.append(root / line[path_column])
            self.labels.append([int(label) for label in labels])
        if not self.ids:
            raise DataError(
                f"none of the clips of {table} is in {root} ({_counted(self.skipped)}): join and "
                "unpack the archives mp3.zip.001 to .003 there, so that it holds the folders 0 to f"
            )

    @staticmethod
    def _refused(root: Path, path: str) -> str | None:
        """Why a clip cannot be used, or None."""
        if not path.strip():
            return "no mp3_path"
        parts = PurePosixPath(path).parts
        if parts[0] not in tuple(FOLDERS) or ".." in parts:
            return "mp3_path outside the folders 0 to f"
        if not (root / path).is_file():
            return "file absent" if (root / parts[0]).is_dir() else f"folder {parts[0]} absent"
        return None


def _lines(table: Path, needed: Sequence[str]) -> Iterator[list[str]]:
    """The cells of each line of a tab-separated table, the header first."""
    if not table.is_file():
        raise DataError(
            f"{table} does not exist: give the folder of MagnaTagATune, which holds "
            "annotations_final.csv, clip_info_final.csv and the folders 0 to f"
        )
    try:
        with open(table, encoding="utf-8", newline="") as file:
            reader = csv.reader(file, delimiter="\t")
            header = next(reader, [])
            missing = [name for name in needed if name not in header]
            if missing:
                raise DataError(
                    f"{table}: the columns {', '.join(missing)} are missing; its header starts "
                    f"with {header[:4]}: it should be tab-separated"
                )
            yield header
            for line in reader:
                if len(line) != len(header):
                    raise DataError(
                        f"{table}, line {reader.line_num}: {len(line)} columns, the header has "
                        f"{len(header)}: the file is cut off or was changed"
                    )
                yield line
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no tab-separated text in UTF-8 ({error})") from error


def _artists(root: Path) -> dict[str, str]:
    """The artist of each clip, by the clip's id."""
    lines = _lines(root / "clip_info_final.csv", ("clip_id", "artist"))
    header = next(lines)
    id_column, artist_column = header.index("clip_id"), header.index("artist")
    return {line[id_column]: line[artist_column] for line in lines}


def _merged(names: Sequence[str], labels: NDArray[np.uint8]) -> tuple[list[str], NDArray[np.uint8]]:
    """Each group of synonyms as one tag, given where any of them was."""
    first_of = {name: group[0] for group in SYNONYMS for name in group}
    kept = list(dict.fromkeys(first_of.get(name, name) for name in names))
    merged = np.zeros((len(labels), len(kept)), np.uint8)
    for i, name in enumerate(names):
        merged[:, kept.index(first_of.get(name, name))] |= labels[:, i]
    return kept, merged


def _chosen(
    names: Sequence[str],
    labels: NDArray[np.uint8],
    n_tags: int,
    tags: Sequence[str] | None,
    root: Path,
) -> list[int]:
    """The columns that are kept."""
    counts = labels.sum(axis=0, dtype=np.int64)
    if tags is not None:
        missing = [tag for tag in tags if tag not in names]
        if missing or not tags:
            raise DataError(
                f"the tags {missing} have no column in {root / 'annotations_final.csv'}; it has "
                f"{len(names)}: {', '.join(names[:8])}…"
            )
        return [names.index(tag) for tag in tags]
    return [int(i) for i in np.argsort(-counts, kind="stable")[:n_tags] if counts[i]]


def _part_of(folder: str) -> str:
    """The part of the split that a folder belongs to."""
    names = [name for name, size in PARTS.items() for _ in range(size)]
    return names[FOLDERS.index(folder)]


def _artist_split(artists: Sequence[str], seed: int) -> list[str]:
    """The part of each clip: artists in random order, each to the part that lacks most clips."""
    sizes = Counter(artists)
    order = sorted(sizes)
    np.random.default_rng(seed).shuffle(order)
    filled = dict.fromkeys(PARTS, 0)
    part: dict[str, str] = {}
    for artist in sorted(order, key=lambda name: -sizes[name]):
        part[artist] = min(filled, key=lambda name: filled[name] / PARTS[name])
        filled[part[artist]] += sizes[artist]
    return [part[artist] for artist in artists]


def _indices(
    parts: Sequence[str], skipped: Counter[str], root: Path
) -> dict[str, NDArray[np.int64]]:
    """The clips of each part; none may be empty."""
    names = np.array(parts)
    splits = {name: np.flatnonzero(names == name) for name in PARTS}
    empty = [name for name, indices in splits.items() if not len(indices)]
    if empty:
        raise DataError(
            f"{root}: no clips are left for {', '.join(empty)} ({_counted(skipped)}); by folder, "
            "train is 0 to b, valid is c, test is d to f: unpack the missing archives"
        )
    return splits


def _counted(skipped: Counter[str]) -> str:
    return ", ".join(f"{reason}: {n}" for reason, n in skipped.most_common()) or "nothing skipped"

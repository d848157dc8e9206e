"""The published weights that hitcore knows by name: what they are, whence, what is in them.

Each entry pins its files by checksum, so that neither a mirror nor a disk can pass off others, and
lists the tensors that its network needs with their shapes. A reader turns the files' contents
into tensors under the names that their authors gave them; the networks know those names.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hitcore.errors import ParameterError, WeightsError
from hitcore.weights.foreign import Tensors, read_npz, read_tensor_bundle

Contents = Mapping[str, bytes]
Reader = Callable[[str, Contents], tuple[Tensors, dict[str, Any]]]
Shapes = dict[str, tuple[int, ...]]
Kind = Literal["tagger", "hit model", "highlighter"]


@dataclass(frozen=True)
class SourceFile:
    """One file that weights are read from."""

    path: str
    """Where it lies in its repository or wheel."""
    sha256: str | None
    """Its checksum; None where nobody has published one."""
    n_bytes: int | None = None
    """Its size, where known."""


@dataclass(frozen=True)
class Wheel:
    """A package of the Python package index that carries weights; only its file is taken."""

    package: str
    """Name in the index."""
    version: str
    """The one version that is accepted."""
    sha256: str
    """Checksum of the wheel."""

    @property
    def file_name(self) -> str:
        """The wheel's own file name."""
        return f"{self.package}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True)
class NamedWeights:
    """One set of published weights."""

    name: str
    """What `load` and the command line call it."""
    title: str
    """The network and its authors' name for these weights."""
    kind: Kind
    """What the network does."""
    trained_on: str
    """The data that they learnt from."""
    source: str
    """Where they are published."""
    licence: str
    """Under which terms."""
    limits: str
    """What they should not be trusted with."""
    files: tuple[SourceFile, ...]
    """What is read."""
    read: Reader
    """From the files' contents to tensors and further metadata."""
    shapes: Shapes
    """The tensors that are kept, with their shapes; all are float32."""
    wheel: Wheel | None = None
    """The wheel that carries the files, if one does."""
    base_url: str | None = None
    """The address under which the files' paths can be downloaded, if they may be."""

    @property
    def fetchable(self) -> bool:
        """Whether they may be downloaded; some are for import by those who have them only."""
        return self.wheel is not None or self.base_url is not None


def registered(name: str) -> NamedWeights:
    """The entry of the registry with this name.

    Raises:
        ParameterError: There is none.
    """
    if name not in REGISTRY:
        raise ParameterError(f"no weights are named {name!r}; known are {', '.join(REGISTRY)}")
    return REGISTRY[name]


# --- readers -------------------------------------------------------------------------------------


def _read_bundle(name: str, contents: Contents) -> tuple[Tensors, dict[str, Any]]:
    """A TensorFlow checkpoint alone."""
    index = next(content for path, content in contents.items() if path.endswith(".index"))
    data = next(content for path, content in contents.items() if path.endswith("-of-00001"))
    return read_tensor_bundle(index, data, name), {}


def _read_musicnn(name: str, contents: Contents) -> tuple[Tensors, dict[str, Any]]:
    """A checkpoint and the labels that stand in the package's configuration."""
    tensors, _ = _read_bundle(name, contents)
    wanted = f"{name.removeprefix('musicnn-').upper()}_LABELS"
    try:
        tree = ast.parse(contents["musicnn/configuration.py"])
        values = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == wanted
        ]
    except (SyntaxError, ValueError) as error:
        raise WeightsError(f"{name}: configuration.py cannot be read ({error})") from error
    labels = values[0] if values else []
    return tensors, {"tag_names": _tag_list(labels, 50, f"{name}: {wanted} of configuration.py")}


def _read_jynet(name: str, contents: Contents) -> tuple[Tensors, dict[str, Any]]:
    """The archive and its two lists of tags: all that it gives, and those that are used."""
    lists = "data/data.magnatagatune/tag_list.top"
    tags = {n: contents[f"{lists}{n}.txt"].decode().split("\n") for n in (188, 50)}
    names = {n: _tag_list([tag for tag in tags[n] if tag], n, f"{lists}{n}.txt") for n in tags}
    missing = sorted(set(names[50]) - set(names[188]))
    if missing:
        raise WeightsError(f"{name}: tags {missing} of the short list are not in the long one")
    tensors = read_npz(contents["data/models/model.20160309_111546.npz"], name)
    return tensors, {"tag_names": names[50], "all_tag_names": names[188]}


def _tag_list(names: object, n_tags: int, where: str) -> list[str]:
    if not isinstance(names, list) or len(set(map(str, names))) != n_tags or len(names) != n_tags:
        found = len(names) if isinstance(names, list) else 0
        raise WeightsError(f"{where} should list {n_tags} different tags, found {found}")
    return [str(name) for name in names]


# --- shapes --------------------------------------------------------------------------------------


def _musicnn_shapes() -> Shapes:
    convolutions = [
        (7, 38, 1, 204),
        (7, 67, 1, 204),
        (128, 1, 1, 51),
        (64, 1, 1, 51),
        (32, 1, 1, 51),
        (7, 561, 1, 64),
        (7, 64, 1, 64),
        (7, 64, 1, 64),
    ]
    dense = [(1506, 200), (200, 50)]
    normalised = [1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200]
    shapes: Shapes = {}
    for layer, kernels in (("conv2d", convolutions), ("dense", dense)):
        for i, kernel in enumerate(kernels):
            prefix = layer + (f"_{i}" if i else "")
            shapes |= {f"{prefix}/kernel": kernel, f"{prefix}/bias": kernel[-1:]}
    for i, n_channels in enumerate(normalised):
        prefix = "batch_normalization" + (f"_{i}" if i else "")
        for statistic in ("beta", "gamma", "moving_mean", "moving_variance"):
            shapes[f"{prefix}/{statistic}"] = (n_channels,)
    return shapes


def _jynet_shapes() -> Shapes:
    scale: list[tuple[int, ...]] = [(32, 1, 8, 128), (32,), (32, 32, 8, 1), (32,)]
    head: list[tuple[int, ...]] = [(512, 192, 1, 1), (512,), (512, 512, 1, 1), (512,)]
    last: list[tuple[int, ...]] = [(188, 512, 1, 1), (188,), (188,)]
    return {f"arr_{i}": shape for i, shape in enumerate(scale * 6 + head + last)}


def _hit_shapes() -> Shapes:
    kernels: dict[str, tuple[int, ...]] = {
        "conv2d": (128, 4, 1, 32),
        "conv2d_1": (1, 4, 32, 64),
        "conv2d_2": (1, 1, 64, 256),
        "conv2d_3": (1, 1, 256, 256),
        "conv2d_4": (1, 1, 256, 1),
        "dense1": (50, 100),
        "dense2": (100, 100),
        "dense3": (100, 30),
        "logits_tag": (30, 1),
    }
    shapes: Shapes = {}
    for layer, kernel in kernels.items():
        shapes |= {f"{layer}/kernel": kernel, f"{layer}/bias": kernel[-1:]}
    return shapes


def _highlighter_shapes() -> Shapes:
    kernels: dict[str, tuple[int, ...]] = {
        "Conv": (3, 128, 1, 64),
        "Conv_1": (4, 1, 64, 128),
        "Conv_2": (4, 1, 128, 256),
        "fully_connected": (256, 256),
        "fully_connected_1": (256, 256),
        "fully_connected_2": (256, 256),
        "fully_connected_3": (256, 1),
    }
    shapes: Shapes = {}
    for layer, kernel in kernels.items():
        shapes[f"{layer}/weights"] = kernel
        for statistic in ("beta", "gamma"):
            shapes[f"{layer}/BatchNorm/{statistic}"] = kernel[-1:]
    return shapes


# --- the registry --------------------------------------------------------------------------------

_MUSICNN_WHEEL = Wheel(
    "musicnn", "0.1.0", "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
)
_HSP_COMMIT = "9a1be3d782ef978a840dec6b83b66f74e7d452ba"
_HSP_SOURCE = f"https://github.com/OckhamsRazor/HSP_CNN, commit {_HSP_COMMIT[:7]}"
_HSP_URL = f"https://raw.githubusercontent.com/OckhamsRazor/HSP_CNN/{_HSP_COMMIT}/"
_NAM_COMMIT = "0b98636ef4713d3a45ba47a99d4443be4e92fd88"
_TAG_LIMITS = (
    "Tags of mostly Western, pre-2010 music; vocal and genre tags lean on production style."
)


def _musicnn(name: str, trained_on: str, figures: str, index: str, data: str) -> NamedWeights:
    folder = f"musicnn/{name.removeprefix('musicnn-').upper()}_musicnn"
    labels = "00fd595eb16bad3a605e10bb6eaf0152cb8125bed6e2c884a636f679ae100419"
    return NamedWeights(
        name=name,
        title=f"musicnn ({folder.removeprefix('musicnn/')})",
        kind="tagger",
        trained_on=trained_on,
        source="musicnn 0.1.0 of the Python Package Index (Jordi Pons, MTG, UPF)",
        licence="ISC",
        limits=f"{figures} {_TAG_LIMITS}",
        files=(
            SourceFile(f"{folder}/.index", index, 4_948),
            SourceFile(f"{folder}/.data-00000-of-00001", data, 9_465_596),
            SourceFile("musicnn/configuration.py", labels, 1_229),
        ),
        read=_read_musicnn,
        shapes=_musicnn_shapes(),
        wheel=_MUSICNN_WHEEL,
    )


_ENTRIES = (
    _musicnn(
        "musicnn-mtt",
        "MagnaTagATune, 50 tags",
        "Published test figures: ROC-AUC 0.907, PR-AUC 0.383.",
        "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    ),
    _musicnn(
        "musicnn-msd",
        "Million Song Dataset, 50 tags of Last.fm",
        "Published test figures: ROC-AUC 0.880, PR-AUC 0.289.",
        "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
        "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    ),
    NamedWeights(
        name="jynet",
        title="JYnet (clip2frame), the tagger of the paper",
        kind="tagger",
        trained_on="MagnaTagATune, 188 tags, of which 50 are used",
        source=f"{_HSP_SOURCE} (model: Jen-Yu Liu, ciaua/clip2frame)",
        licence="ISC",
        limits=f"Listens to the first 29 s of each half minute as one. {_TAG_LIMITS}",
        files=(
            SourceFile(
                "data/models/model.20160309_111546.npz",
                "d5be3cba2bee9af5b09bc76d8f09ad8c2e48541a3085b9eed40f360c2be164aa",
                2_822_498,
            ),
            SourceFile(
                "data/data.magnatagatune/tag_list.top188.txt",
                "743fc1574272b84e4509671bdb33cf03956af4290ab9dbaf2af0d32589679332",
                1_469,
            ),
            SourceFile(
                "data/data.magnatagatune/tag_list.top50.txt",
                "be858688808eab31eea31bf33f7bfa0891946a671adafb320aed15be9f7c040c",
                355,
            ),
        ),
        read=_read_jynet,
        shapes=_jynet_shapes(),
        base_url=_HSP_URL,
    ),
    NamedWeights(
        name="kkbox-ret30",
        title="HSP-CNN, the authors' published hit model",
        kind="hit model",
        trained_on="KKBOX songs and their 30-day retention (squared error; no ranking loss)",
        source=_HSP_SOURCE,
        licence="Apache-2.0",
        limits="Knows one service's listeners; its share has no catalogue to be compared with. Not "
        "the Siamese model of the paper, which was never published.",
        files=(
            SourceFile(
                "ret30.mdl/model.ckpt.index",
                "3ba372197c50379e6ecaae7c6f5701d5fc27291b97a195ff360c0b58a8d15c95",
                1_403,
            ),
            SourceFile(
                "ret30.mdl/model.ckpt.data-00000-of-00001",
                "81c0656e7b81b36dcea65c5e052098c77657167d5cb92477650773250b9bcdaf",
                1_004_976,
            ),
        ),
        read=_read_bundle,
        shapes=_hit_shapes(),
        base_url=_HSP_URL,
    ),
    NamedWeights(
        name="nam-lf",
        title="NAM-LF (pos), Pop Music Highlighter",
        kind="highlighter",
        trained_on="Songs with emotion labels, 190 classes (TISMIR 2018)",
        source="https://github.com/remyhuang/pop-music-highlighter, "
        f"commit {_NAM_COMMIT[:7]}: model/",
        licence="CC BY-NC 4.0 (not for commercial use; never downloaded by hitcore)",
        limits="Trained on emotion labels of one service's songs; see that its highlight moves "
        "with the music and not with the position alone.",
        files=(
            SourceFile(
                "model/model.index",
                "c5826795b0e8ef6f86a7a802dee7303c560c2f3eb23dd94ce1e1e8983df8c81c",
            ),
            SourceFile("model/model.data-00000-of-00001", None),
        ),
        read=_read_bundle,
        shapes=_highlighter_shapes(),
    ),
)

REGISTRY: dict[str, NamedWeights] = {entry.name: entry for entry in _ENTRIES}
"""Every published set of weights by its name."""

"""Who may import whom, checked by parsing every file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hitcore"

# Earlier groups may not import later ones, and files of one group do not import each other.
GROUPS = [
    {"errors"},
    {"devices", "files", "targets", "standing"},
    {
        "audio",
        "features",
        "metrics",
        "intervals",
        "losses",
        "pairs",
        "catalogue",
        "workspace",
        "weights",
        "engines",
        "hitscores",
        "longtail",
        "queryengines",
    },
    {"highlights", "taggers", "hitnet", "sources", "tailfits", "playtables", "paircounts"},
    {"models", "songreport", "songlabels", "epochcheckpoints"},
    {"playcounts", "training", "analysis", "taggertraining", "highlighter_training"},
    {"demo", "owncatalogue"},
    {"featurestore", "reporting"},
    {"experiments"},
    {"commands"},
    {"cli"},
]
LEVEL = {name: level for level, group in enumerate(GROUPS) for name in group}
BARE_GPU = {"training", "losses", "pairs", "metrics", "hitnet", "features"}
BARE_GPU_ALLOWS = {"torch", "numpy", "scipy", "hitcore"}
STANDARD = set(__import__("sys").stdlib_module_names)


def top_imports(path: Path) -> set[str]:
    """Dotted names imported when the module itself is imported (not inside functions)."""
    found: set[str] = set()
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        for node in ast.iter_child_nodes(stack.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            found |= names_of(node)
            stack.append(node)
    return found


def all_imports(path: Path) -> set[str]:
    """Dotted names imported anywhere in the file."""
    return set().union(*(names_of(node) for node in ast.walk(ast.parse(path.read_text()))))


def names_of(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        if node.module == "hitcore":
            names = [alias.name for alias in node.names if not alias.name.startswith("__")]
            return {f"hitcore.{name}" for name in names}
        return {node.module}
    return set()


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def unit(path: Path) -> str:
    """The concept a file belongs to: its own name, or that of the folder it stands in."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_earlier_groups(path: Path) -> None:
    name = unit(path)
    if name == "__init__":
        return
    assert name in LEVEL, f"{name} stands in no group of the design"
    for imported in all_imports(path):
        parts = imported.split(".")
        if parts[0] != "hitcore" or len(parts) < 2 or parts[1] == name:
            continue
        assert parts[1] in LEVEL, f"{name} imports the unknown {imported}"
        assert LEVEL[parts[1]] < LEVEL[name], f"{name} may not import {imported}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_library_never_imports_the_face(path: Path) -> None:
    tops = {name.split(".")[0] for name in all_imports(path)}
    assert not tops & {"streamlit", "plotly", "altair", "ui", "pages"}


@pytest.mark.parametrize("name", sorted(BARE_GPU))
def test_training_core_needs_only_torch_numpy_scipy(name: str) -> None:
    files = [PACKAGE / f"{name}.py", *(PACKAGE / name).glob("*.py")]
    for path in files:
        if path.exists():
            tops = {imported.split(".")[0] for imported in top_imports(path)}
            assert tops <= BARE_GPU_ALLOWS | STANDARD


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda p: p.name)
def test_pages_are_thin(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    assert len(source.splitlines()) <= 100, "a page is at most 100 lines"
    assert not {name.split(".")[0] for name in all_imports(path)} & {"torch"}
    opens = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "open"]
    assert not opens, "pages never open files"


@pytest.mark.parametrize(
    "path",
    sorted([*PACKAGE.rglob("*.py"), *(ROOT / "ui").glob("*.py"), *(ROOT / "pages").glob("*.py")]),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_nothing_unsafe(path: Path) -> None:
    source = path.read_text()
    for word in (
        "torch.load(",
        "import pickle",
        "pickle.load",
        "allow_pickle=True",
        "unsafe_allow_html",
    ):
        assert word not in source
    assert len(source.splitlines()) <= 450, "past 450 lines a file asks to become two concepts"

"""Who may import whom: the order of the rooms, checked by parsing every file."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hitcore"

# A room may import those on the lines above its own; rooms of one line do not import each other.
ROOMS = """
    errors
    devices files objects
    audio checkpoints engines evaluation features remote weights
    networks taggers
    highlights plays
    catalogue learning
    demo
    featurestore
    analysis experiments
    commands
    cli
"""
LEVEL = {room: level for level, line in enumerate(ROOMS.split("\n")) for room in line.split()}
BARE_GPU = ("learning", "networks/hitnet.py", "evaluation/metrics.py", "features.py")
"""What runs on a machine that has torch, numpy and scipy alone."""
BARE_GPU_ALLOWS = {"torch", "triton", "numpy", "scipy", "hitcore"}  # Triton comes with torch
MAX_LINES, MAX_PAGE_LINES, MAX_FILES = 450, 100, 16
UNSAFE = (
    "torch.load(",
    "import pickle",
    "pickle.load",
    "allow_pickle=True",
    "unsafe_allow_html",
)


def sources(*folders: str) -> Iterator[tuple[str, Path, ast.Module]]:
    """Every file of the folders: its name for messages, its path, and what it says."""
    for folder in folders:
        path = ROOT / folder
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield str(file.relative_to(ROOT)), file, ast.parse(file.read_text())


def imports(tree: ast.AST, *, at_top: bool = False) -> set[str]:
    """Dotted names imported anywhere, or only where the module itself is imported."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if at_top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if at_top and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module in ("hitcore", "ui") else {node.module}
        found |= imports(node, at_top=at_top)
    return found


def test_rooms_import_only_rooms_above_them() -> None:
    faults = []
    for name, path, tree in sources("hitcore"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room in ("__init__", "__main__"):
            continue
        assert room in LEVEL, f"{name} stands in no room of the plan"
        for imported in sorted(imports(tree)):
            parts = imported.split(".")
            if parts[0] != "hitcore" or parts[1] == room or parts[1].startswith("__"):
                continue
            if LEVEL.get(parts[1], len(LEVEL)) >= LEVEL[room]:
                faults.append(f"{name} imports {imported}")
    assert not faults


def test_no_room_is_unused() -> None:
    found = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert set(LEVEL) <= found


def test_the_library_never_imports_the_face() -> None:
    face = {"streamlit", "plotly", "altair", "ui", "pages"}
    for name, _, tree in sources("hitcore"):
        assert not {imported.split(".")[0] for imported in imports(tree)} & face, name


def test_the_server_imports_no_page() -> None:
    """In the face: pages ← server ← frame, in this direction alone."""
    for name, _, tree in sources("ui/server", "ui/frame"):
        rooms = {imported.split(".")[1] for imported in imports(tree) if imported[:3] == "ui."}
        assert rooms <= {"server", "frame"}, name


def test_the_training_core_needs_only_torch_numpy_and_scipy() -> None:
    for name, _, tree in sources(*(f"hitcore/{part}" for part in BARE_GPU)):
        tops = {imported.split(".")[0] for imported in imports(tree, at_top=True)}
        assert tops <= BARE_GPU_ALLOWS | set(sys.stdlib_module_names), name


def test_pages_are_thin() -> None:
    for name, path, tree in sources("pages"):
        assert len(path.read_text().splitlines()) <= MAX_PAGE_LINES, name
        assert "torch" not in {imported.split(".")[0] for imported in imports(tree)}, name
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert "open" not in {ast.unparse(call.func) for call in calls}, f"{name} opens a file"


def test_nothing_unsafe() -> None:
    for name, path, _ in sources("hitcore", "ui", "pages", "app.py", "server.py"):
        assert not [word for word in UNSAFE if word in path.read_text()], name


def test_files_and_folders_stay_small() -> None:
    for name, path, _ in sources("hitcore", "ui", "pages"):
        n_lines = len(path.read_text().splitlines())
        assert n_lines <= MAX_LINES, f"{name} has {n_lines} lines: is it two concepts?"
    for folder in {path.parent for _, path, _ in sources("hitcore", "ui", "pages")}:
        n_files = len(list(folder.glob("*.py")))
        assert n_files <= MAX_FILES, f"{folder.relative_to(ROOT)} holds {n_files} files"


def test_every_package_says_what_it_is_for() -> None:
    for name, path, tree in sources("hitcore", "ui"):
        if path.name == "__init__.py":
            assert ast.get_docstring(tree), f"{name} has no map"

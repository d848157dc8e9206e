"""What is used of Streamlit's private parts is listed, as it was when it was last looked at."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from starlette.routing import Mount
from streamlit.web.server.starlette.starlette_static_routes import (
    create_streamlit_static_assets_routes,
)

from ui.server import streamlit_private

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {"streamlit", "streamlit.errors", "streamlit.column_config", "streamlit.components.v2"}
"""What Streamlit documents."""


def named(path: str) -> Any:
    """The object with this dotted name."""
    module, found = path, None
    while found is None:
        module = module.rpartition(".")[0]
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
    for part in path.removeprefix(f"{module}.").split("."):
        found = getattr(found, part)
    return found


def test_the_version_is_the_one_that_was_looked_at() -> None:
    """At an upgrade: read the changes of every name below, then change VERSION."""
    pinned = re.search(r"^streamlit==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == st.__version__ == streamlit_private.VERSION


@pytest.mark.parametrize("path", streamlit_private.SURFACE)
def test_each_name_is_there_as_it_was(path: str) -> None:
    found = named(path)
    if path.endswith("uses_pages_directory") and isinstance(found, bool):
        return  # another test of this process has shown a page by then
    shown = str(inspect.signature(found)) if inspect.isfunction(found) else repr(found)
    assert shown == streamlit_private.SURFACE[path]


def test_the_frame_and_the_cookie_are_still_called_so() -> None:
    (frame,) = create_streamlit_static_assets_routes(base_url="hits")
    assert isinstance(frame, Mount)
    assert (frame.name, frame.path) == (streamlit_private.FRAME, "/hits")
    cookie = named("streamlit.web.server.starlette.starlette_server_config.XSRF_COOKIE_NAME")
    assert cookie == streamlit_private.XSRF_COOKIE


def imported(file: Path) -> set[str]:
    """Dotted names under `streamlit` that a file imports, from which module."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {(alias.name, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(node.module, f"{node.module}.{alias.name}") for alias in node.names}
    return {name for module, name in found if module.partition(".")[0] == "streamlit"
            and module not in PUBLIC}  # fmt: skip


def test_nothing_private_is_used_anywhere_else() -> None:
    listed = Path(streamlit_private.__file__)
    for folder in ("ui", "pages", "app.py", "server.py"):
        path = ROOT / folder
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            private = imported(file) if file != listed else set()
            assert not private, f"{file.relative_to(ROOT)} uses {private}; see streamlit_private.py"
            assert not re.search(r"\bst(\.\w+)*\._\w", file.read_text()), file


def test_all_that_the_list_imports_is_listed() -> None:
    tops = imported(Path(streamlit_private.__file__))
    assert tops
    for name in tops:
        assert any(
            path == name or path.startswith(f"{name}.") for path in streamlit_private.SURFACE
        )

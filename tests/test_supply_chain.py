"""What is installed and loaded is what was chosen: pins, checksums, no file that runs when read."""

import ast
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from hitcore.weights import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
OURS = sorted(
    path
    for folder in ("hitcore", "ui", "pages", "benchmarks", "tests", ".")
    for path in (ROOT.glob("*.py") if folder == "." else (ROOT / folder).rglob("*.py"))
)
LOCKED = {
    canonicalize_name(name): (version, hashes)
    for name, version, hashes in re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$",
        (ROOT / "requirements.lock").read_text(),
        re.MULTILINE,
    )
}


def pinned(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def test_every_line_of_the_lock_has_checksums() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert len(LOCKED) == len(re.findall(r"^[\w]", text, re.MULTILINE)) > 50
    assert "://" not in text, "the lock names no host: any index may serve what the checksums say"


def test_pins_and_lock_agree() -> None:
    for requirement in pinned("requirements.txt"):
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        locked = LOCKED[canonicalize_name(requirement.name)][0]
        assert Version(locked) == Version(pin.version), f"{requirement.name}: run `make lock`"


def test_the_app_needs_nothing_that_is_not_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["app"]]
    pins = {canonicalize_name(r.name): next(iter(r.specifier)) for r in pinned("requirements.txt")}
    for line in needed:
        requirement = Requirement(line)
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), line


def test_the_lock_holds_all_that_the_pins_bring_along() -> None:
    """Walks what is installed here, which may be more than the pins ask for and never less."""
    seen: set[str] = set()
    todo = pinned("requirements.txt")
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in seen:
            continue
        seen.add(key)
        assert name in LOCKED, f"{name} is not in requirements.lock: run `make lock`"
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(here.version) != Version(LOCKED[name][0]):
            continue  # what the checks need on top may ask for an older one
        brought = here.requires or []
        environments = [
            {**default_environment(), "extra": extra} for extra in ("", *requirement.extras)
        ]
        for line in brought:
            other = Requirement(line)
            if other.marker is None or any(other.marker.evaluate(e) for e in environments):
                todo.append(other)
    assert len(seen) > 50


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_on_reading_and_no_markup_is_trusted(path: Path) -> None:
    """By syntax, so that words in comments and strings do not count and aliases do."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                modules = {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=module):
                modules = {(module or "").split(".")[0]}
                imported = {f"{module}.{alias.name}" for alias in node.names}
                assert not imported & {"torch.load", "pandas.read_pickle"}
            case ast.Call():
                modules = set()
                called = ast.unparse(node.func)
                ours = path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks")
                assert not (ours and called in ("eval", "exec")), called
                assert not re.search(r"^torch\.load$|\.read_pickle$", called), called
                for keyword in node.keywords:
                    if keyword.arg in ("allow_pickle", "unsafe_allow_html", "trust_remote_code"):
                        assert ast.unparse(keyword.value) == "False", keyword.arg
                    if keyword.arg == "shell":
                        assert ast.unparse(keyword.value) == "False", "no shell"
            case _:
                continue
        assert not modules & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def test_what_is_downloaded_is_verified() -> None:
    for name, entry in REGISTRY.items():
        if not entry.fetchable:
            continue
        sums = [entry.wheel.sha256] if entry.wheel else [file.sha256 for file in entry.files]
        assert sums, name
        for checksum in sums:
            assert re.fullmatch(r"[0-9a-f]{64}", str(checksum)), name
        if entry.wheel is None:
            assert entry.base_url.startswith("https://"), name


def test_the_server_is_closed_by_default() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["server"]["enableXsrfProtection"] is True
    assert settings["server"]["allowedHosts"] == ["localhost", "127.0.0.1"]
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False
    for dangerous in ("enableStaticServing", "enableAgentApi", "trustedUserHeaders", "enableCORS"):
        assert dangerous not in settings["server"]
    assert ".streamlit/secrets.toml" in (ROOT / ".gitignore").read_text().splitlines()

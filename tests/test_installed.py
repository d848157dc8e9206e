"""The wheel is whole: library, pages, models and results, in a folder that is no clone."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest

from tests.browser.conftest import free_port

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("analyse", "compare", "samplers", "distribution", "experiments", "models", "method")
OPEN_ALL = """
import json, os
from hitcore.files import APP
import hitcore
from streamlit.testing.v1 import AppTest
os.chdir(APP)
import sys; sys.path.insert(0, str(APP))
found = {"at": str(APP), "model": hitcore.load_model("demo-j").spec.name}
for page in %r:
    test = AppTest.from_file(str(APP / "pages" / f"{page}.py"), default_timeout=120).run()
    found[page] = [str(error.value) for error in test.exception]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel; dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("installed")
    built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    alone = environment(folder)
    subprocess.run([*built, "-w", str(folder), str(ROOT)], check=True, cwd=folder, env=alone)
    (wheel,) = folder.glob("hitcore-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, cwd=folder, env=alone)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # A plain path, so that the clone's own installation there is not taken up.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept | {"HITCORE_WORKSPACES": str(folder / "workspaces")}


@pytest.mark.slow
def test_every_page_opens_with_its_results(python: Path, tmp_path: Path) -> None:
    command = [str(python), "-W", "ignore", "-c", OPEN_ALL % (PAGES,)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path), check=True
    )
    found = json.loads(result.stdout.splitlines()[-1])
    assert str(ROOT) not in found.pop("at")
    assert found.pop("model") == "demo-j"
    assert found == {page: [] for page in PAGES}


@pytest.mark.slow
def test_the_command_analyses_and_serves(python: Path, tmp_path: Path) -> None:
    hitcore, song = python.with_name("hitcore"), next(ROOT.glob("assets/demo_songs/*.ogg"))
    command = [str(hitcore), "analyse", str(song), "--json"]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path), check=True
    )
    assert json.loads(result.stdout)["scores"]
    port = free_port()
    serve = [str(hitcore), "app", "--port", str(port)]
    with subprocess.Popen(serve, cwd=tmp_path, env=environment(tmp_path)) as server:
        try:
            assert _answers(f"http://127.0.0.1:{port}/_stcore/health") == b"ok"
            assert b"<title>" in _answers(f"http://127.0.0.1:{port}/compare")
        finally:
            server.terminate()
        server.wait(timeout=60)
        with pytest.raises(OSError, match="refused"):  # whoever ends the command ends the server
            socket.create_connection(("127.0.0.1", port), timeout=5)


def _answers(address: str) -> bytes:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} does not answer")

"""The short half of `benchmarks/serverfaults.py`: kills, a cut, a full disk, clocks, odd files."""

import json
import subprocess
import sys

import pytest

from hitcore import weights
from tests.browser.conftest import ROOT


@pytest.mark.parametrize("parts", ["server", "experiment", "disk", "clock files"])
def test_nothing_that_was_said_to_be_kept_is_lost(parts: str) -> None:
    if parts == "server" and not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    command = [sys.executable, "benchmarks/serverfaults.py", "--quick", "--json"]
    for part in parts.split():
        command += ["--only", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)
    if any(row["tried"] == 0 for row in rows):
        pytest.skip(rows[0]["remark"])
    assert all(row["survived"] == row["tried"] > 0 for row in rows), rows

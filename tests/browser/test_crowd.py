"""A few people at once; `benchmarks/crowd.py` has the whole crowd."""

import json
import subprocess
import sys

import pytest

from hitcore import weights
from tests.browser.conftest import ROOT, chromium

pytestmark = pytest.mark.browser
N_PEOPLE = 4


def test_everybody_gets_the_right_answer_and_their_own() -> None:
    if chromium() is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or set CHROMIUM")
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    command = [sys.executable, "benchmarks/crowd.py", "--people", str(N_PEOPLE)]
    done = subprocess.run(
        [*command, "--patience", "0", "--json"],
        capture_output=True, text=True, timeout=500, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["right"], found["lost"], found["failures"]) == (N_PEOPLE, 0, [])
    assert found["other_pages"] > 0

"""Ten windows at once, by Streamlit's own messages; `benchmarks/load.py` has fifty."""

import json
import subprocess
import sys

import pytest

from benchmarks.load import in_order
from hitcore import weights
from tests.browser.conftest import ROOT

N_SESSIONS, N_SONGS = 10, 3


def test_everybody_gets_their_own_in_the_order_of_the_line_and_memory_returns() -> None:
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    command = [sys.executable, "benchmarks/load.py", "--sessions", str(N_SESSIONS)]
    command += ["--songs", str(N_SONGS), "--pause", "1", "--patience", "0", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["right_pages"], found["failures"]) == (N_SESSIONS, [])
    assert found["own_reports"] == found["reports"] == N_SONGS + 1
    assert found["in_order"], found["order"]
    assert found["sessions_left"] == 0
    # What ten windows hold, of which Streamlit keeps two minutes' worth: not a copy of anything.
    assert found["after_mb"] - found["base_mb"] < 20 * N_SESSIONS


@pytest.mark.parametrize(
    ("order", "n_before", "right"),
    [
        ([1, 10, 2, 11, 12, 3], 0, True),
        ([1, 10, 11, 12, 2, 3], 0, True),
        ([1, 2, 10, 11, 12, 3], 0, False),  # two of who brought many before another's first
        ([1, 2, 10, 11, 12, 3], 1, True),  # the first was done before the others stood there
        ([1, 2, 10, 3, 4, 11, 12], 2, False),
        ([1, 10, 2, 12, 11, 3], 0, False),
        ([1, 10, 2, 12, 11, 3], 5, False),
        ([1, 10, 2, 11, 12], 0, False),
        ([1, 10, 2, 11, 11, 12, 3], 0, False),
    ],
)
def test_the_order_of_the_line_is_told_from_others(
    order: list[int], n_before: int, right: bool
) -> None:
    assert in_order(order, n_before, [1, 2, 3], [10, 11, 12]) is right

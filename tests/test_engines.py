"""Work handed out: outcomes, failures, deaths, limits, and nothing left behind."""

import importlib.util
import math
import operator
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from hitcore.engines import map_songs
from hitcore.errors import EngineError, ParameterError


def test_each_item_has_one_outcome() -> None:
    outcomes = list(map_songs(math.sqrt, range(40), n_workers=2))
    assert sorted(o.item for o in outcomes) == list(range(40))
    assert all(o.ok and o.value == math.sqrt(o.item) for o in outcomes)


def test_no_items_no_outcomes() -> None:
    assert list(map_songs(abs, [])) == []


def test_a_failure_names_its_cause_and_the_others_go_on() -> None:
    outcomes = {o.item: o for o in map_songs(math.sqrt, [4, -1, 9], n_workers=1)}
    assert (outcomes[4].value, outcomes[9].value) == (2.0, 3.0)
    assert not outcomes[-1].ok
    assert outcomes[-1].cause == "ValueError"


def test_a_dead_worker_and_a_hanging_one_cost_only_their_items() -> None:
    items = [partial(abs, -1), partial(os._exit, 3), partial(time.sleep, 600), partial(abs, -2)]
    outcomes = list(map_songs(operator.call, items, n_workers=2, timeout_s=4))
    by_function = {(o.item.func.__name__, o.item.args): o for o in outcomes}
    assert by_function["abs", (-1,)].value == 1
    assert by_function["abs", (-2,)].value == 2
    assert by_function["_exit", (3,)].cause == "worker died"
    hung = by_function["sleep", (600,)]
    assert hung.cause == "timeout"
    assert hung.error == "gave up after its limit of 4 s"


def test_stopping_early_ends_the_workers() -> None:
    before = set(psutil.Process().children())
    outcomes = map_songs(time.sleep, [0, 600, 600], n_workers=2)
    next(outcomes)
    outcomes.close()
    assert not [p for p in psutil.Process().children() if p not in before and p.is_running()]


SCRIPT = """
import time
from hitcore.engines import map_songs
if __name__ == "__main__":
    for outcome in map_songs(time.sleep, [0, 600, 600], n_workers=2):
        print("started", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's parent-death signal")
def test_workers_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.parametrize("engine", ["", "slurm", "locally", "ra:y"])
def test_an_unknown_engine_is_refused(engine: str) -> None:
    with pytest.raises(ParameterError, match="local, ray or ray:ADDRESS"):
        map_songs(abs, [1], engine)


@pytest.mark.parametrize("options", [{"n_workers": 0}, {"timeout_s": 0}, {"timeout_s": -1}])
def test_senseless_numbers_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ParameterError):
        map_songs(abs, [1], **options)


@pytest.mark.ray
def test_no_cluster_at_an_address_is_an_engine_error() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'hitcore[ray]'")
    with pytest.raises(EngineError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        list(map_songs(abs, [1], "ray:127.0.0.1:1"))

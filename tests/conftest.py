"""What all tests share: where the reference material lies, bounded threads, one main module."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(min(2, torch.get_num_threads()))
# A tool of mutations runs one test several times in one process.
unwarned = [HealthCheck.differing_executors]
settings.register_profile(
    "untimed", settings.default, deadline=None, suppress_health_check=unwarned
)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _the_main_module_stays() -> Iterator[None]:
    """Streamlit's AppTest puts its script in its place; processes started later would run that."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; skips the test where it is absent."""
    default = Path(__file__).resolve().parent.parent.parent / "shared"
    folder = Path(os.environ.get("HITCORE_SHARED", default))
    if not (folder / "reference").is_dir():
        pytest.skip(f"the reference material is not at {folder} (set HITCORE_SHARED)")
    return folder

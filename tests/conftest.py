"""What all tests share: where the reference material lies, and bounded threads."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(min(2, torch.get_num_threads()))
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; skips the test where it is absent."""
    default = Path(__file__).resolve().parent.parent.parent / "shared"
    folder = Path(os.environ.get("HITCORE_SHARED", default))
    if not (folder / "reference").is_dir():
        pytest.skip(f"the reference material is not at {folder} (set HITCORE_SHARED)")
    return folder

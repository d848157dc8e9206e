"""Secrets of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Path]:
    """A secrets.toml of the test's own; the settings come back as they were."""
    file = tmp_path / "secrets.toml"
    before = st.get_option("secrets.files")
    config.set_option("secrets.files", [str(file)])
    st.secrets._reset()
    yield file
    config.set_option("secrets.files", before)
    st.secrets._reset()

"""What tests of play logs share: a Spark session, where there is Java."""

import shutil

import ibis
import pytest

from hitcore.plays.queryengines import opened


@pytest.fixture(scope="session")
def spark() -> ibis.BaseBackend:
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is no `java` on this machine")
    pytest.importorskip("pyspark", reason="Spark needs the extra `spark`")
    with opened("spark") as backend:
        return backend

"""One scene for each process of the test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.scene import Scene
from tests.faults.scene import scene as started
from tests.lab.build import Binaries
from tests.lab.fixtures import binaries

__all__ = ["binaries", "scene"]


@pytest.fixture(scope="session")
def scene(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An API server, a Git host, and a first revision in force."""
    with started(binaries, tmp_path_factory.mktemp("faults") / "scene") as found:
        yield found

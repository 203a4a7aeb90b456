"""The short form of the net: `make faults`. The long one is `python -m tests.faults`."""

from __future__ import annotations

import os

import pytest

from tests.faults.campaigns import CAMPAIGNS
from tests.faults.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.faults]


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_nothing_is_lost_orphaned_foreign_forbidden_or_written_in_vain(name: str, scene: Scene) -> None:
    campaign, short, _ = CAMPAIGNS[name]
    seed = os.environ.get("GITMESH_FAULTS_SEED", "1")
    assert campaign(scene, short, seed).total() >= short

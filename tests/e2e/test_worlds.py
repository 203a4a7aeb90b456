"""Worlds of tests/worlds on real sidecars, waypoints and ztunnels, a few of them: as many as you like by
`python -m tests.e2e.worlds`.

`GITMESH_E2E_WORLDS=100:150` takes other seeds than those of every run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.summary import SuiteSummary
from tests.e2e.worlds.cluster import StandingWorld, standing
from tests.e2e.worlds.syncing import syncing
from tests.e2e.worlds.trying import judged, tried
from tests.lab.build import Binaries, ConformancePrograms
from tests.worlds.histories import history
from tests.worlds.playing import Moment

pytestmark = pytest.mark.e2e
SEEDS_VARIABLE = "GITMESH_E2E_WORLDS"
SEEDS = (13, 6, 26, 48)
"""Sidecars with a timeout, beside strangers; ambient; two revisions; ambient with HTTPRoutes."""
SPOILT = 2
"""Sidecars with grants, and a split that leads round who may call."""


def seeds() -> Sequence[int]:
    """The seeds of this run."""
    if SEEDS_VARIABLE not in os.environ:
        return SEEDS
    first, _, end = os.environ[SEEDS_VARIABLE].partition(":")
    return range(int(first), int(end))


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: f"seed-{seed}")
def test_proxies_do_what_policies_and_strangers_say(
    seed: int, mesh_binaries: Binaries, conformance_programs: ConformancePrograms, summary: SuiteSummary
) -> None:
    """Play it without a lab by `python -m tests.worlds 1 SEED`."""
    found = tried(seed, mesh_binaries, conformance_programs)
    summary.worlds.append(found)
    summary.disagreements += len(found.wrong)
    assert not found.wrong, "\n".join([f"seed {seed}", *found.wrong])


def test_what_is_gone_shows(
    mesh_binaries: Binaries,
    conformance_programs: ConformancePrograms,
    summary: SuiteSummary,
    tmp_path: Path,
) -> None:
    """The same requests find out that an object of GitMesh's is not there any more."""
    (world, *_) = history(SPOILT)
    with (
        standing(mesh_binaries, conformance_programs, world) as stands,
        syncing(stands.api, tmp_path) as gitmesh,
    ):
        moment = gitmesh.rest(world)
        found = judged(moment, stands)
        summary.worlds.append(found)
        assert not found.wrong, "\n".join(found.wrong)
        for kind, law in (
            ("AuthorizationPolicy", "proxies_do_as_read"),
            ("VirtualService", "answered_as_routed"),
        ):
            _delete(stands, moment, kind)
            assert any(law in text for text in judged(moment, stands).wrong), kind


def _delete(stands: StandingWorld, moment: Moment, kind: str) -> None:
    """Everything of a kind that GitMesh wrote; the moment is as it was."""
    client = stands.api.client
    for one in moment.ours:
        if one["kind"] == kind:
            meta = one["metadata"]
            client.call(
                "DELETE", client.resource_path(one["apiVersion"], kind, meta["namespace"], meta["name"])
            )

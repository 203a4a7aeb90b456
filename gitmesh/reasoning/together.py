"""What only all units of a cluster together show: none of them is wrong by itself."""

from __future__ import annotations

from collections.abc import Iterator

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.reasoning.detours import detours
from gitmesh.reasoning.mismatched import mismatched
from gitmesh.reasoning.probes import cut_off
from gitmesh.reasoning.unfollowed import unfollowed


def shown_together(facts: ClusterFacts, built: Build) -> Iterator[Diagnostic]:
    """The findings on requests that are led round a guard, on probes and connections that are refused, and on
    clients for whom nobody routes."""
    yield from detours(facts, built)
    yield from cut_off(facts, built)
    yield from unfollowed(facts, built)
    yield from mismatched(facts, built)

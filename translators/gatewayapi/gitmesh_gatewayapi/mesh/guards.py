"""Who may call whom: of that the Gateway API says nothing, so there is nothing to order, find, or keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import Body, ObjectKey
from gitmesh.model.plan import Live
from gitmesh.ports import Aside, Claim


def foreign(
    lives: Sequence[Live],  # noqa: ARG001 - the port gives it
    ours: Mapping[ObjectKey, Manifest],  # noqa: ARG001 - the port gives it
    meshes: Sequence[Mesh],  # noqa: ARG001 - the port gives it
) -> tuple[Claim, ...]:
    """None."""
    return ()


def beside(
    ours: Mapping[ObjectKey, Manifest],  # noqa: ARG001 - the port gives it
    others: Sequence[Live],  # noqa: ARG001 - the port gives it
    meshes: Sequence[Mesh],  # noqa: ARG001 - the port gives it
    facts: ClusterFacts,  # noqa: ARG001 - the port gives it
) -> Mapping[ObjectKey, Aside]:
    """None."""
    return {}


def retain(
    live: Body,  # noqa: ARG001 - the port gives it
    wanted: Body | None,  # noqa: ARG001 - the port gives it
    parts: frozenset[str] | None,  # noqa: ARG001 - the port gives it
) -> Mapping[str, Any] | None:
    """None: a route has no parts of several policies' own."""
    return None


def narrowed(
    live: Body | None,  # noqa: ARG001 - the port gives it
    wanted: Body | None,  # noqa: ARG001 - the port gives it
    parts: frozenset[str] | None,  # noqa: ARG001 - the port gives it
) -> Mapping[str, Any] | None:
    """None."""
    return None


def guarded(body: Body) -> Mapping[str, str] | None:  # noqa: ARG001 - the port gives it
    """None."""
    return None

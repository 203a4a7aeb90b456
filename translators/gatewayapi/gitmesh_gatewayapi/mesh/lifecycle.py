"""The kinds that are written, in which order, and what they are to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.links import Links, Ref
from gitmesh.model.objects import ApiKind, Body
from gitmesh_gatewayapi import grants
from gitmesh_gatewayapi.kinds import GRPC_ROUTE, HTTP_ROUTE, REFERENCE_GRANT
from gitmesh_gatewayapi.mesh.detect import TRANSLATOR
from gitmesh_gatewayapi.mesh.names import served_version

RESOURCES: Sequence[ApiKind] = (HTTP_ROUTE, GRPC_ROUTE, REFERENCE_GRANT)
OPT_OUT_KEYS: frozenset[str] = frozenset()
"""No label or annotation makes meshes ignore a route, as far as the Gateway API says."""


def writes(facts: ClusterFacts) -> Sequence[ApiKind]:
    """The kinds for such a cluster; of those that came later than HTTPRoute the served ones."""
    if not facts.meshes_of(TRANSLATOR):
        return ()
    # HTTPRoute also where it is not served: without it nothing can be routed, and GM504 tells that at the
    # policy.
    return [kind for kind in RESOURCES if kind is HTTP_ROUTE or served_version(kind, facts)]


def decides(body: Body) -> Subject:  # noqa: ARG001 - the port gives it
    """Routes, and the leave that they need, decide how requests go."""
    return "routing"


def effect(before: Body | None, after: Body | None) -> Effect:  # noqa: ARG001 - the port gives them
    """Nothing that it writes decides who may call."""
    return Effect.NEITHER


def links(body: Body, meshes: Sequence[Mesh]) -> Links:  # noqa: ARG001 - the port gives them
    """The leave that a route uses, and a ReferenceGrant gives."""
    return grants.links(body)


def between(before: Body | None, after: Body | None, kept: frozenset[Ref]) -> Mapping[str, Any] | None:
    """A ReferenceGrant with the leave that must stay."""
    return grants.between(before, after, kept) if before is not None and kept else None

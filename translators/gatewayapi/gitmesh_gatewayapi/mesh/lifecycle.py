"""The kinds that are written, in which order, and what they are to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.links import Links, Ref
from gitmesh.model.manifests import Phase
from gitmesh.model.objects import ApiKind, Body
from gitmesh.model.plan import Live
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
    return [kind for kind in RESOURCES if kind is HTTP_ROUTE or served_version(kind, facts)]


def phase(live: Live) -> Phase:
    """Leave is given before the routes that need it, and taken after them."""
    return Phase.DESTINATION if live.key.kind == REFERENCE_GRANT.kind else Phase.ROUTE


def links(body: Body, meshes: Sequence[Mesh]) -> Links:  # noqa: ARG001 - the port gives them
    """The leave that a route uses, and a ReferenceGrant gives."""
    return grants.links(body)


def between(before: Body, after: Body | None, kept: frozenset[Ref]) -> Mapping[str, Any] | None:
    """A ReferenceGrant with the leave that must stay."""
    return grants.between(before, after, kept)

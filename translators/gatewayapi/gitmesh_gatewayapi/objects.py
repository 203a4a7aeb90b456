"""What is written for a destination, before it has marks and a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gitmesh.model.objects import ApiKind, listed, text
from gitmesh.model.policies import Origin


class RouteObject(Struct, frozen=True, kw_only=True):
    """One route in the namespace of its Service. `origins`: dotted path below spec -> where it comes from."""

    kind: ApiKind
    name: str
    spec: Mapping[str, Any]
    origins: Mapping[str, Origin]


class GrantObject(Struct, frozen=True, kw_only=True):
    """One ReferenceGrant in the namespace whose Services it opens. `origins` as those of a route."""

    namespace: str
    name: str
    spec: Mapping[str, Any]
    origins: Mapping[str, Origin]


def parents_of(spec: Mapping[str, Any], namespace: str) -> list[tuple[str, str]]:
    """(namespace, name) of the Services that are parents of a route in a namespace."""
    return [
        (text(parent.get("namespace")) or namespace, text(parent.get("name")))
        for parent in listed(spec.get("parentRefs"))
        if parent.get("kind") == "Service" and not parent.get("group")
    ]

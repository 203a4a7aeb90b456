"""What is written for a destination, before it has marks and a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gitmesh.model.objects import ApiKind
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

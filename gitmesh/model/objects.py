"""Kubernetes objects as the core sees them: identity, content as canonical bytes, served kinds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import orjson
from msgspec import Struct

Body: TypeAlias = Mapping[str, Any]
"""A decoded Kubernetes object."""
# dict first: it is nearly always one, and asking the abstract class takes ten times as long.
_MAPPINGS = (dict, Mapping)


# A tuple, as tens of thousands of them are hashed and sorted in each cycle.
class ObjectKey(NamedTuple):
    """Identity of an object inside one cluster. `namespace` is "" for cluster-scoped kinds."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"

    def id(self, cluster: str) -> str:
        """`<cluster>/<group>/<Kind>/<namespace>/<name>`, as in the annotation gitmesh.io/id."""
        return f"{cluster}/{self.group}/{self.kind}/{self.namespace}/{self.name}"


class ApiKind(Struct, frozen=True, kw_only=True):
    """A kind that a cluster serves. `versions` are the served ones, preferred first.

    `fields` are the dotted paths of the preferred version's schema, lists elided (`spec.http.mirrors`); where
    anything may stand below a path, `<path>.*` is in it. Empty = the schema is unknown.
    """

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...]
    namespaced: bool = True
    fields: frozenset[str] = frozenset()

    def serves(self, path: str) -> bool:
        """Whether the schema has this field; true where the schema is unknown."""
        # A schema that is unknown refuses nothing: the server does when it must, and its answer is told.
        if not self.fields or path in self.fields:
            return True
        parts = path.split(".")
        return any(".".join((*parts[:depth], "*")) in self.fields for depth in range(len(parts)))


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def is_label(name: str) -> bool:
    """Whether a Namespace or a Service can have this name: a DNS label (RFC 1123)."""
    return _LABEL.match(name) is not None


_TRUST_DOMAIN = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")


def is_trust_domain(name: str) -> bool:
    """Whether a mesh can have this trust domain (SPIFFE-ID, section 2.1; Istio takes capitals too)."""
    return _TRUST_DOMAIN.match(name) is not None


def canonical(body: Body) -> bytes:
    """Sorted compact JSON: equal objects are equal bytes."""
    # A copy, as orjson's own result keeps the whole buffer that it grew: many times the size, for as long as
    # it lives.
    return bytes(memoryview(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)))


def decode(content: bytes) -> dict[str, Any]:
    """The object behind canonical bytes."""
    body: dict[str, object] = orjson.loads(content)
    return body


def digest(content: bytes) -> str:
    """Short hash of an object's content."""
    return sha256(content).hexdigest()[:16]


def text(value: object) -> str:
    """A string as it is; anything else is absent."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping as it is; anything else is empty."""
    return value if isinstance(value, _MAPPINGS) else {}


def listed(value: object) -> list[Mapping[str, Any]]:
    """The mappings of a list; anything else is empty."""
    return [item for item in value if isinstance(item, _MAPPINGS)] if isinstance(value, list) else []

"""URL paths of the Kubernetes API. Every segment passes one guard before any request is made.

`..` or an empty name in a path turns the deletion of an object into that of a namespace or of a whole
collection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from gitmesh.model.objects import ApiKind, ObjectKey

_SEGMENT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?\Z")


class PathError(ClusterError):
    """A name that must not become part of an API path; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False, code="GM505")


def segment(text: str) -> str:
    """`text` itself, if it can stand as one segment of a path. Raises PathError otherwise."""
    if not _SEGMENT.match(text):
        raise PathError(f"{text[:80]!r} cannot be part of an API path")
    return text


def group_version(group: str, version: str) -> str:
    """`/api/v1` for the core group, else `/apis/<group>/<version>`. Raises PathError."""
    return f"/apis/{segment(group)}/{segment(version)}" if group else f"/api/{segment(version)}"


def collection(kind: ApiKind, version: str, namespace: str = "") -> str:
    """The list of a kind, in one namespace or in all. Raises PathError."""
    root = group_version(kind.group, version)
    place = f"/namespaces/{segment(namespace)}" if namespace else ""
    return f"{root}{place}/{segment(kind.plural)}"


def item(kind: ApiKind, version: str, key: ObjectKey) -> str:
    """One object; a namespaced kind must come with a namespace and a cluster-scoped one without. Raises
    PathError.
    """
    if kind.namespaced != bool(key.namespace):
        raise PathError(f"{key}: {kind.kind} is {'namespaced' if kind.namespaced else 'cluster-scoped'}")
    return f"{collection(kind, version, key.namespace)}/{segment(key.name)}"

"""What a cluster serves of a kind: its versions and the fields of its schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitmesh.model.objects import ApiKind, Body

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?\Z")
_STABILITY = {None: 2, "beta": 1, "alpha": 0}
MAX_DEPTH = 64
"""Levels of a schema that are read; what lies deeper counts as anything."""


def version_rank(version: str) -> tuple[int, int, int, int]:
    """Kubernetes' order of version names, least first: others, v1alpha1, v1beta1, v1, v2
    (apimachinery/pkg/version).
    """
    match = _VERSION.match(version)
    if not match:
        return (0, 0, 0, 0)
    major, stability, minor = match.groups()
    return (1, _STABILITY[stability], int(major), int(minor or 0))


def preferred(versions: Iterable[str]) -> tuple[str, ...]:
    """Version names, best first."""
    return tuple(sorted(set(versions), key=lambda name: (version_rank(name), name), reverse=True))


def schema_fields(schema: object) -> frozenset[str]:
    """Dotted paths of an OpenAPI v3 schema as in `ApiKind.fields`: lists elided, `<path>.*` where anything
    may stand.
    """
    return frozenset(_paths(schema, "", MAX_DEPTH))


def _paths(schema: object, path: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    # A `$ref` may lead round; like a schema that ends too deep it counts as taking anything.
    if depth == 0 or schema.get("x-kubernetes-preserve-unknown-fields") is True or "$ref" in schema:
        yield f"{path}.*" if path else "*"
        return
    inner = schema.get("items")
    if inner is not None:
        yield from _paths(inner, path, depth - 1)
        return
    yield from _open_paths(schema, path, depth)
    properties = schema.get("properties")
    for name, below in sorted(properties.items()) if isinstance(properties, Mapping) else ():
        here = f"{path}.{name}" if path else str(name)
        yield here
        yield from _paths(below, here, depth - 1)


def _open_paths(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    """What a map, the metadata that every object has, or a choice of schemas adds."""
    if schema.get("additionalProperties"):
        yield f"{path}.*" if path else "*"
    elif path == "metadata":
        yield "metadata.*"
    # An object without properties adds nothing: the server of a structural schema prunes what stands below
    # it.
    for choice in _choices(schema):
        yield from _paths(choice, path, depth - 1)


def _choices(schema: Mapping[str, Any]) -> list[object]:
    found: list[object] = []
    for word in ("allOf", "anyOf", "oneOf"):
        listed = schema.get(word)
        found += listed if isinstance(listed, list) else []
    return found


def api_kind(crd: Body, groups: frozenset[str]) -> ApiKind | None:
    """A CustomResourceDefinition of one of `groups` as the kind that it makes; None for others and for broken
    ones.
    """
    spec = crd.get("spec")
    names = spec.get("names") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(names, Mapping) or spec.get("group") not in groups:
        return None
    listed = spec.get("versions")
    served = {
        str(version.get("name")): version
        for version in (listed if isinstance(listed, list) else ())
        if isinstance(version, Mapping) and version.get("served") is True
    }
    versions = preferred(served)
    if not versions or not isinstance(names.get("kind"), str) or not isinstance(names.get("plural"), str):
        return None
    # Of the version that is written: an older one may lack fields that are served.
    schema = served[versions[0]].get("schema")
    return ApiKind(
        group=spec["group"],
        kind=names["kind"],
        plural=names["plural"],
        versions=versions,
        namespaced=spec.get("scope") != "Cluster",
        fields=schema_fields(schema.get("openAPIV3Schema")) if isinstance(schema, Mapping) else frozenset(),
    )

"""Requests that change one object, or would (`dry`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.paths import item
from gitmesh.model.ownership import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitmesh.model.objects import ApiKind, ObjectKey
    from gitmesh.model.plan import Change

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
NEW = "0"
"""The resourceVersion that makes an apply create and never change: custom resources refuse it for what
exists.
"""
_NOT_CONTENT = frozenset({"apiVersion", "kind", "metadata", "status"})


def apply_request(
    kind: ApiKind, version: str, key: ObjectKey, desired: Mapping[str, Any], at: str, *, dry: bool = False
) -> ApiRequest:
    """Server-side apply of all that is ours of an object of ours, never forced, on exactly the version `at`
    of it.
    """
    return _patch(kind, version, key, APPLY, _at_version(desired, at), dry)


def fields_request(
    kind: ApiKind, change: Change, part: Mapping[str, Any], *, dry: bool = False
) -> ApiRequest:
    """Server-side apply of some fields of somebody else's object: of this very object (uid) in exactly this
    version, so that it never makes one. What the manager applied before and this leaves out goes, unless
    another has it too. Forced, over whoever edits a field of ours; that nobody applies it is known before.
    """
    group = change.key.group
    api_version = f"{group}/{change.version}" if group else change.version
    named = {**part, "apiVersion": api_version, "metadata": {**part["metadata"], "uid": change.uid}}
    body = _at_version(named, change.resource_version)
    request = _patch(kind, change.version, change.key, APPLY, body, dry)
    return replace(request, query={**request.query, "fieldManager": change.manager, "force": "true"})


def _at_version(body: Mapping[str, Any], at: str) -> bytes:
    made = {**body, "metadata": {**body["metadata"], "resourceVersion": at}}
    # The server reads it as YAML, whose scanner keeps each line until none of it can be a key: on one line
    # a write costs it a fifth more.
    return orjson.dumps(made, option=orjson.OPT_INDENT_2)


def claims_request(
    kind: ApiKind, version: str, key: ObjectKey, at: str, entries: Sequence[Mapping[str, Any]]
) -> ApiRequest:
    """Replace the managedFields of the version `at`; nothing else of the object changes."""
    steps = [
        {"op": "replace", "path": "/metadata/managedFields", "value": list(entries)},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": at},
    ]
    return _patch(kind, version, key, JSON_PATCH, orjson.dumps(steps), dry=False)


def content_request(
    kind: ApiKind, change: Change, live: Mapping[str, Any], desired: Mapping[str, Any]
) -> ApiRequest:
    """A dry run of the whole content being ours: what the cluster's defaults and webhooks make of it, whoever
    claims what.
    """
    steps: list[dict[str, object]] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": change.resource_version}
    ]
    for part in ("labels", "annotations"):
        kept = {
            name: value
            for name, value in (live["metadata"].get(part) or {}).items()
            if name not in change.forbidden
        }
        merged = {**kept, **(desired["metadata"].get(part) or {})}
        steps.append({"op": "add", "path": f"/metadata/{part}", "value": merged})
    ours, theirs = desired.keys() - _NOT_CONTENT, live.keys() - _NOT_CONTENT
    steps += [{"op": "add", "path": f"/{name}", "value": desired[name]} for name in sorted(ours)]
    steps += [{"op": "remove", "path": f"/{name}"} for name in sorted(theirs - ours)]
    return _patch(kind, change.version, change.key, JSON_PATCH, orjson.dumps(steps), dry=True)


def delete_request(kind: ApiKind, version: str, key: ObjectKey, uid: str, at: str) -> ApiRequest:
    """Delete exactly this object in exactly this version; what it owns goes in the background."""
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid, "resourceVersion": at},
    }
    return ApiRequest(method="DELETE", path=item(kind, version, key), body=orjson.dumps(body))


def get_request(kind: ApiKind, version: str, key: ObjectKey) -> ApiRequest:
    """Read one object from the quorum."""
    return ApiRequest(method="GET", path=item(kind, version, key))


def _patch(
    kind: ApiKind, version: str, key: ObjectKey, content_type: str, body: bytes, dry: bool
) -> ApiRequest:
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    if dry:
        query["dryRun"] = "All"
    path = item(kind, version, key)
    return ApiRequest(method="PATCH", path=path, query=query, body=body, content_type=content_type)

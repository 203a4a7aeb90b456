"""Live objects of the kinds that translators write, ours and others'."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from gitmesh.adapters.kube import managed
from gitmesh.adapters.kube.errors import ApiError
from gitmesh.adapters.kube.lists import everything
from gitmesh.adapters.kube.paths import collection
from gitmesh.adapters.kube.writes import get_request
from gitmesh.adapters.writing import finalizers_of
from gitmesh.model.objects import ApiKind, ObjectKey, canonical
from gitmesh.model.ownership import FIELD_MANAGER
from gitmesh.model.plan import Live

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitmesh.adapters.kube.client import KubeClient

_METADATA = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")


class Reading(NamedTuple):
    """Every object of some kinds, and the kinds (group, kind) of them that the cluster does not serve."""

    live: dict[ObjectKey, Live]
    missing: frozenset[tuple[str, str]]


class LiveObjects:
    """The last reading of one cluster. An object whose resourceVersion did not move is the same `Live`
    again.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._known: dict[ObjectKey, Live] = {}
        self._shared: set[ObjectKey] = set()
        self._served: dict[tuple[str, str], str] = {}

    def read(self, kinds: Sequence[ApiKind]) -> Reading:
        """All that is there now. Raises ClusterError."""
        lists = self._client.each(self._list, kinds)
        found = {live.key: live for listed in lists if listed is not None for live in listed}
        missing = frozenset(
            (k.group, k.kind) for k, listed in zip(kinds, lists, strict=True) if listed is None
        )
        self._known = found
        self._shared &= found.keys()
        return Reading(found, missing)

    def find(self, asked: Sequence[tuple[ApiKind, ObjectKey]]) -> dict[ObjectKey, Live]:
        """Those of these objects that are there, of kinds that `read` found served. Raises ClusterError."""
        found: dict[ObjectKey, Live] = {}
        for (_, key), live in zip(asked, self._client.each(self._one, asked), strict=True):
            # First of all: where the answer is that it is gone, the old value must not stay.
            self._known.pop(key, None)
            if live is not None:
                found[key] = self._known[key] = live
        return found

    def _one(self, asked: tuple[ApiKind, ObjectKey]) -> Live | None:
        kind, key = asked
        # The version in which it was listed: a kind may be served in others than the first that we know.
        version = self._served[key[:2]]
        answer = self._client.send(get_request(kind, version, key))
        if answer.is_absent:
            return None
        raw, _ = answer.json(), answer.identity(key)
        return self._take(kind, version, raw)

    def known(self, key: ObjectKey) -> Live | None:
        """The object as last read."""
        return self._known.get(key)

    def is_sole(self, key: ObjectKey, resource_version: str) -> bool:
        """Whether nobody but us claimed a field of this version of the object, its status left out."""
        live = self._known.get(key)
        return live is not None and live.resource_version == resource_version and key not in self._shared

    def _list(self, kind: ApiKind) -> list[Live] | None:
        """All objects in the first version that is served; None if none is."""
        # From the one that we write on: an older cluster may serve the kind in an older version only, and
        # its objects are the same.
        for version in kind.versions:
            try:
                listed = everything(
                    self._client, collection(kind, version), partial(self._take, kind, version)
                )
            except ApiError as error:
                if (
                    error.status != 404 or error.code != "GM504"
                ):  # a proxy's page is no word on what is served
                    raise
            else:
                self._served[kind.group, kind.kind] = version
                return listed
        return None

    def _take(self, kind: ApiKind, version: str, raw: Mapping[str, Any]) -> Live | None:
        key = key_of(kind, raw)
        if key is None:
            return None
        known = self._known.get(key)
        metadata = raw["metadata"]
        if (
            known is not None
            and known.resource_version == metadata.get("resourceVersion")
            # The version alone is no identity: once etcd was restored from a backup, versions repeat.
            and known.uid == metadata.get("uid")
        ):
            return known
        live = live_of(kind, version, raw, key)
        if known is not None and known.body == live.body:
            live = replace(
                live, body=known.body
            )  # only its status moved: comparisons of the body are remembered by identity
        (
            self._shared.add
            if live.managers != {FIELD_MANAGER: "Apply"} or live.field_managers
            else self._shared.discard
        )(key)
        return live


def key_of(kind: ApiKind, raw: Mapping[str, Any]) -> ObjectKey | None:
    """The identity of an object of a kind; None for what has no name."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    return ObjectKey(
        group=kind.group,
        kind=kind.kind,
        namespace=str(metadata.get("namespace") or ""),
        name=metadata["name"],
    )


def live_of(kind: ApiKind, version: str, raw: Mapping[str, Any], key: ObjectKey) -> Live:
    """An object as the core sees it."""
    metadata, entries = raw["metadata"], managed.entries(raw)
    return Live(
        key=key,
        uid=str(metadata.get("uid") or ""),
        body=canonical(content_of(kind, version, raw)),
        labels=_strings(metadata.get("labels")),
        annotations=_strings(metadata.get("annotations")),
        resource_version=str(metadata.get("resourceVersion") or ""),
        managers=managed.managers(entries),
        field_managers=managed.field_managers(entries),
        deleting="deletionTimestamp" in metadata,
        finalizers=finalizers_of(metadata),
        status=canonical(raw["status"]) if raw.get("status") else b"",
        # `type` and not `isinstance`: JSON's true would pass for 1.
        generation=generation if type(generation := metadata.get("generation")) is int else 0,
        written=managed.written(entries),
    )


def content_of(kind: ApiKind, version: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object without status and what only the server writes."""
    metadata = raw["metadata"]
    kept = {name: value for name in _METADATA if (value := metadata.get(name))}
    rest = {
        name: value for name, value in raw.items() if name not in ("metadata", "status", "apiVersion", "kind")
    }
    api_version = f"{kind.group}/{version}" if kind.group else version
    return {"apiVersion": api_version, "kind": kind.kind, "metadata": kept, **rest}


def _strings(value: object) -> dict[str, str]:
    """A mapping of strings; anything else is empty."""
    return (
        {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}
        if isinstance(value, dict)
        else {}
    )

"""The ledger as a small JSON document: one file in a directory cluster, one ConfigMap in Kubernetes (1 MiB at most)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gitmesh.codec import CodecError, closed, decode
from gitmesh.model.facts import Mesh
from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.objects import ObjectKey

API_VERSION = "gitmesh.io/v1alpha1"
SCHEMA = 1
"""Raised with every change that an older version would misread."""

_KEYS = frozenset({"apiVersion", "kind", "schema", "instance", "clusterUid", "sources", "commits", "entries", "meshes"})


class FutureLedgerError(ValueError):
    """A newer version wrote this ledger; nothing may be concluded from it, and it must not be overwritten."""


def dump_ledger(ledger: Ledger) -> dict[str, Any]:
    """The document: entries by `group/Kind`, namespace and name as [uid, digest, index into commits, *warnings]."""
    commits = sorted({entry.commit for entry in ledger.entries.values()})
    index = {commit: place for place, commit in enumerate(commits)}
    entries: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for key in sorted(ledger.entries):
        entry = ledger.entries[key]
        names = entries.setdefault(f"{key.group}/{key.kind}", {}).setdefault(key.namespace, {})
        names[key.name] = [entry.uid, entry.digest, index[entry.commit], *entry.warnings]
    return {
        "apiVersion": API_VERSION,
        "kind": "Ledger",
        "schema": SCHEMA,
        "instance": ledger.instance,
        "clusterUid": ledger.cluster_uid,
        "sources": dict(sorted(ledger.sources.items())),
        "commits": commits,
        "entries": entries,
        "meshes": {name: [[m.translator, m.name, m.trust_domain] for m in found] for name, found in sorted(ledger.meshes.items())},
    }


def load_ledger(document: object) -> Ledger:
    """The ledger in a document. Raises FutureLedgerError, or CodecError where it is no ledger."""
    if isinstance(document, Mapping) and type(document.get("schema")) is int and document["schema"] > SCHEMA:
        raise FutureLedgerError(f"the ledger has schema {document['schema']}, this version knows {SCHEMA}: a newer GitMesh wrote it")
    body = closed(document, _KEYS, "")
    missing = sorted(_KEYS - body.keys())
    if missing:
        raise CodecError("", f"the field {missing[0]!r} is missing")
    if (body["apiVersion"], body["kind"], decode(int, body["schema"], "schema")) != (API_VERSION, "Ledger", SCHEMA):
        raise CodecError("", "not a ledger")
    return Ledger(
        instance=decode(str, body["instance"], "instance"),
        cluster_uid=decode(str, body["clusterUid"], "clusterUid"),
        sources=decode(Mapping[str, str], body["sources"], "sources"),
        entries=_entries(body["entries"], decode(tuple[str, ...], body["commits"], "commits")),
        meshes=_meshes(body["meshes"]),
    )


def encode_ledger(ledger: Ledger) -> bytes:
    """The document as compact JSON, which is YAML too: equal ledgers are equal bytes."""
    return orjson.dumps(dump_ledger(ledger))


def read_ledger(content: bytes, instance: str, version: str) -> Stored:
    """What a store holds. Content that is no ledger reads as empty and `corrupt`, for the caller to rebuild from the cluster
    (reliability X11). Raises FutureLedgerError."""
    try:
        return Stored(ledger=load_ledger(orjson.loads(content)), version=version)
    except FutureLedgerError:
        raise
    except ValueError:
        return Stored(ledger=Ledger(instance=instance), version=version, corrupt=True)


def _entries(document: object, commits: tuple[str, ...]) -> dict[ObjectKey, Entry]:
    entries: dict[ObjectKey, Entry] = {}
    for group_kind, namespaces in _mapping(document).items():
        group, _, kind = group_kind.rpartition("/")
        for namespace, names in _mapping(namespaces).items():
            for name, row in _mapping(names).items():
                entries[ObjectKey(group=group, kind=kind, namespace=namespace, name=name)] = _entry(row, commits)
    return entries


def _entry(row: object, commits: tuple[str, ...]) -> Entry:
    match row:
        case [str(uid), str(digest), int(place), *warnings] if 0 <= place < len(commits):
            told = decode(tuple[str, ...], warnings, "entries") if warnings else ()
            return Entry(uid=uid, digest=digest, commit=commits[place], warnings=told)
    raise CodecError("entries", "an entry is not [uid, digest, commit, *warnings]")


def _meshes(document: object) -> dict[str, tuple[Mesh, ...]]:
    rows = {name: decode(tuple[tuple[str, ...], ...], found, "meshes") for name, found in _mapping(document).items()}
    return {name: tuple(map(_mesh, found)) for name, found in rows.items()}


def _mesh(row: tuple[str, ...]) -> Mesh:
    match row:
        case (translator, name, trust_domain):
            return Mesh(translator=translator, name=name, trust_domain=trust_domain)
    raise CodecError("meshes", "a mesh is not [translator, name, trust domain]")


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CodecError("entries", "expected a mapping")
    return value

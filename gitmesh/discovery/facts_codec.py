"""Facts as a versioned document: what `gitmesh discover -o yaml` prints and `--facts FILE` reads. Lossless.

Only what the fact types list goes out: no annotations, environment, addresses or Secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gitmesh.codec import CodecError, closed, decode, encode
from gitmesh.discovery.averaged import AveragedWorkload, as_shapes
from gitmesh.discovery.naming import usable
from gitmesh.model.facts import Caveat, ClusterFacts, Mesh
from gitmesh.model.objects import ApiKind, canonical
from gitmesh.model.services import Service
from gitmesh.model.strangers import Stranger
from gitmesh.model.workloads import Workload

API_VERSION = "gitmesh.io/v1alpha1"

_MEMBERS: tuple[tuple[str, str, Any], ...] = (
    ("labels", "labels", Mapping[str, str]),
    ("namespaces", "namespaces", Mapping[str, Mapping[str, str]]),
    ("services", "services", tuple[Service, ...]),
    ("workloads", "workloads", tuple[Workload, ...]),
    ("meshes", "meshes", tuple[Mesh, ...]),
    ("kinds", "kinds", tuple[ApiKind, ...]),
    ("seen", "seen", tuple[str, ...]),
    ("caveats", "caveats", tuple[Caveat, ...]),
    ("unusable", "unusable", tuple[str, ...]),
    ("strangers", "strangers", tuple[Stranger, ...]),
)
"""(key in the document, field of ClusterFacts, type); omitted where empty."""
_BY_SHAPE = ("podsBy", "shape")
"""What a document says whose workloads are pods of one shape each. Where it does not, they are averages of
older versions."""
_KEYS = frozenset(
    {"name", "uid", "complete", "serviceAccounts", _BY_SHAPE[0], *(key for key, _, _ in _MEMBERS)}
)


def dump_facts(facts: Mapping[str, ClusterFacts]) -> dict[str, Any]:
    """The document of the facts of some clusters."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Facts",
        "clusters": [_dump(facts[name]) for name in sorted(facts)],
    }


def load_facts(document: object) -> Mapping[str, ClusterFacts]:
    """The facts in a document. Raises CodecError, a ValueError that names the place, for what is not one."""
    root = closed(document, {"apiVersion", "kind", "clusters"}, "")
    if root.get("kind") != "Facts" or root.get("apiVersion") != API_VERSION:
        raise CodecError("", f"not a document of apiVersion {API_VERSION} and kind Facts")
    clusters = root.get("clusters")
    if not isinstance(clusters, list):
        raise CodecError("clusters", "a list of clusters is missing")
    loaded = [_load(cluster, f"clusters[{index}]") for index, cluster in enumerate(clusters)]
    facts = {cluster.cluster: cluster for cluster in loaded}
    # Whichever of the two came last would decide who may call there.
    if len(facts) != len(loaded):
        raise CodecError("clusters", "a cluster is listed twice")
    return facts


def facts_digest(facts: ClusterFacts) -> str:
    """sha256 of the content in hex: equal facts, equal digests."""
    return hashlib.sha256(canonical(_dump(facts))).hexdigest()


def with_digest(facts: ClusterFacts) -> ClusterFacts:
    """The same facts, without what no object can be called, with the digest of their content."""
    # Before the digest: what is left out must not make two facts different that act alike.
    known = usable(facts)
    return replace(known, digest=facts_digest(known))


def _dump(facts: ClusterFacts) -> dict[str, object]:
    body: dict[str, object] = {"name": facts.cluster, "complete": facts.complete}
    if facts.uid:
        body["uid"] = facts.uid
    if facts.service_accounts:
        body["serviceAccounts"] = _accounts(facts.service_accounts)
    for key, name, _ in _MEMBERS:
        value = getattr(facts, name)
        if value:
            body[key] = encode(value)
    if facts.workloads:
        body[_BY_SHAPE[0]] = _BY_SHAPE[1]
    return body


def _accounts(accounts: frozenset[tuple[str, str]]) -> dict[str, list[str]]:
    """namespace -> names."""
    found: dict[str, list[str]] = {}
    for namespace, name in sorted(accounts):
        found.setdefault(namespace, []).append(name)
    return found


def _load(document: object, path: str) -> ClusterFacts:
    body = closed(document, _KEYS, path)
    if not body.get("name"):
        raise CodecError(f"{path}.name", "the name of the cluster is missing")
    members = {
        name: decode(kind, body[key], f"{path}.{key}")
        for key, name, kind in _MEMBERS
        if key in body and key != "workloads"
    }
    accounts = decode(
        Mapping[str, tuple[str, ...]], body.get("serviceAccounts", {}), f"{path}.serviceAccounts"
    )
    return with_digest(
        ClusterFacts(
            cluster=decode(str, body["name"], f"{path}.name"),
            uid=decode(str, body.get("uid", ""), f"{path}.uid"),
            complete=decode(bool, body.get("complete", True), f"{path}.complete"),
            service_accounts=frozenset(
                (namespace, name) for namespace, names in accounts.items() for name in names
            ),
            workloads=_workloads(body, path),
            **members,
        )
    )


def _workloads(body: Mapping[str, Any], path: str) -> tuple[Workload, ...]:
    name, by_shape = _BY_SHAPE
    listed, place = body.get("workloads", []), f"{path}.workloads"
    # Facts that older versions saved have an average for each controller in place of its shapes.
    if name not in body:
        averages = decode(tuple[AveragedWorkload, ...], listed, place)
        return tuple(shape for one in averages for shape in as_shapes(one))
    if body[name] != by_shape:
        raise CodecError(f"{path}.{name}", f"expected {by_shape!r}")
    found: tuple[Workload, ...] = decode(tuple[Workload, ...], listed, place)
    return found

"""What tests of plans share: wanted and live objects of one mesh, and the plan that is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitmesh.diagnostics import Severity
from gitmesh.model.facts import Mesh
from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey, canonical, decode, digest
from gitmesh.model.plan import Action, Live, Observed, Plan
from gitmesh.planning.diff import diff
from gitmesh.planning.guard import Consent
from gitmesh.planning.ownership import marks
from tests.fake_mesh import GROUP, FakeMesh, rule

CLUSTER, INSTANCE = "east", "shop"
FAKE = Mesh(translator="fake", name="fake")


def body(
    key: ObjectKey,
    spec: Mapping[str, Any],
    *,
    cluster: str = CLUSTER,
    instance: str = INSTANCE,
    marked: bool = True,
) -> bytes:
    labels, annotations = marks(cluster, instance, key, ("TrafficPolicy/shop/p",))
    metadata: dict[str, Any] = {"name": key.name, "namespace": key.namespace}
    if marked:
        metadata |= {"labels": labels, "annotations": annotations}
    return canonical(
        {"apiVersion": f"{GROUP}/v1", "kind": key.kind, "metadata": metadata, "spec": dict(spec)}
    )


def want(name: str, **spec: Any) -> Manifest:
    key = rule(name)
    content = body(key, spec)
    return Manifest(
        key=key,
        version="v1",
        decides="routing",
        body=content,
        digest=digest(content),
        policies=("TrafficPolicy/shop/p",),
    )


def is_live(
    name: str, *, uid: str = "u1", marked: bool = True, extra: Mapping[str, str] | None = None, **spec: Any
) -> Live:
    key = rule(name)
    content = decode(body(key, spec, marked=marked))
    content["metadata"].setdefault("annotations", {}).update(extra or {})
    metadata = content["metadata"]
    return Live(
        key=key,
        uid=uid,
        body=canonical(content),
        labels=metadata.get("labels", {}),
        annotations=metadata["annotations"],
        managers={"kubectl": "Update"},
    )


def plan(
    wanted: Iterable[Manifest] = (),
    live: Iterable[Live] = (),
    ledger: Iterable[str] = (),
    *,
    consent: Consent | None = None,
    held: Iterable[str] = (),
    complete: bool = True,
    corrupt: bool = False,
    version: str = "1",
    mesh: FakeMesh | None = None,
    uid: str = "u1",
    applied: Mapping[str, str] | None = None,
    meshes: tuple[Mesh, ...] = (FAKE,),
    leaving: Iterable[str] = (),
    cluster: str = CLUSTER,
) -> Plan:
    built = Build(
        cluster=cluster,
        manifests={m.key: m for m in wanted},
        held=frozenset(map(rule, held)),
        complete=complete,
        meshes=meshes,
    )
    entries = {rule(name): Entry(uid=uid, digest=(applied or {}).get(name, "")) for name in ledger}
    stored = Stored(ledger=Ledger(instance=INSTANCE, entries=entries), version=version, corrupt=corrupt)
    observed = Observed(cluster=cluster, live={one.key: one for one in live}, leaving=frozenset(leaving))
    return diff(built, observed, stored, {"fake": mesh or FakeMesh()}, consent or Consent(), {}, {})


def actions(result: Plan) -> dict[str, Action]:
    return {change.key.name: change.action for change in result.changes}


def codes(result: Plan) -> list[str]:
    return [diagnostic.code for diagnostic in result.diagnostics]


def said(result: Plan) -> list[tuple[str, Severity]]:
    return [(diagnostic.code, diagnostic.severity) for diagnostic in result.diagnostics]

"""Facts as documents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.codec import CodecError
from gitmesh.discovery.facts_codec import dump_facts, load_facts, with_digest
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.objects import ApiKind
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from gitmesh.yaml_documents import read_documents
from gitmesh.yaml_text import dump
from tests.unit.bookshop import bookshop
from tests.unit.test_discover import discovered

names = st.text(alphabet="abcxyz0.-/é", min_size=1, max_size=8)
labels = st.dictionaries(names, names, max_size=3)
ports = st.builds(
    ServicePort,
    number=st.integers(1, 65535),
    name=names,
    target=st.integers(1, 65535) | names,
    protocol=names,
)
services = st.builds(
    Service,
    namespace=names,
    name=names,
    labels=labels,
    selector=labels,
    ports=st.lists(ports, max_size=2).map(tuple),
    headless=st.booleans(),
)
workloads = st.builds(
    Workload,
    kind=names,
    namespace=names,
    name=names,
    labels=labels,
    ports=st.dictionaries(names, st.integers(1, 65535), max_size=2),
    mesh=names,
    gateway=st.booleans(),
    localities=st.lists(names, max_size=2).map(tuple),
    pods=st.integers(0, 9),
)
meshes = st.builds(Mesh, translator=names, name=names, version=names, ambient=st.booleans(), settings=labels)
kinds = st.builds(
    ApiKind,
    group=names,
    kind=names,
    plural=names,
    versions=st.lists(names, max_size=2).map(tuple),
    fields=st.frozensets(names, max_size=4),
)
clusters = st.builds(
    ClusterFacts,
    cluster=names,
    uid=names,
    labels=labels,
    complete=st.booleans(),
    namespaces=st.dictionaries(names, labels, max_size=2),
    services=st.lists(services, max_size=2).map(tuple),
    service_accounts=st.frozensets(st.tuples(names, names), max_size=3),
    workloads=st.lists(workloads, max_size=2).map(tuple),
    meshes=st.lists(meshes, max_size=2).map(tuple),
    kinds=st.lists(kinds, max_size=2).map(tuple),
).map(with_digest)


@given(st.lists(clusters, max_size=3, unique_by=lambda facts: facts.cluster))
def test_facts_survive_the_document_and_its_text(found: list[ClusterFacts]) -> None:
    facts = {one.cluster: one for one in found}
    assert load_facts(dump_facts(facts)) == facts
    assert load_facts(read_documents(dump(dump_facts(facts)))[0].value) == facts


def test_bookshop_survives() -> None:
    facts = {"east": discovered(bookshop())}
    assert load_facts(dump_facts(facts)) == facts


def test_R12_facts_hold_no_secret_of_the_cluster() -> None:
    objects = bookshop()
    for body in objects:
        body["metadata"]["annotations"] = {"note": "canary-1"}
        for container in body.get("spec", {}).get("containers", []):
            container["env"] = [{"name": "PASSWORD", "value": "canary-2"}]
    text = dump(dump_facts({"east": discovered(objects)}))
    assert "canary" not in text
    assert "hunter2" not in text


def document(**cluster: Any) -> dict[str, Any]:
    return {"apiVersion": "gitmesh.io/v1alpha1", "kind": "Facts", "clusters": [{"name": "east", **cluster}]}


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        (None, ""),
        ([], ""),
        ({"apiVersion": "gitmesh.io/v2", "kind": "Facts", "clusters": []}, ""),
        ({"apiVersion": "gitmesh.io/v1alpha1", "kind": "Facts"}, "clusters"),
        (document(colour="red"), "clusters[0]"),
        (document(name=""), "clusters[0].name"),
        (document(complete="yes"), "clusters[0].complete"),
        (document(labels={"a": 1}), "clusters[0].labels.a"),
        (
            document(services=[{"namespace": "n", "name": "s", "ports": [{"number": "80"}]}]),
            "clusters[0].services[0].ports[0].number",
        ),
        (
            document(services=[{"namespace": "n", "name": "s", "ports": [{"number": True}]}]),
            "clusters[0].services[0].ports[0].number",
        ),
        (
            document(services=[{"namespace": "n", "name": "s", "ports": [{"number": 2**64}]}]),
            "clusters[0].services[0].ports[0].number",
        ),
        (document(services=[{"name": "s"}]), "clusters[0].services[0]"),
        (document(serviceAccounts={"n": "a"}), "clusters[0].serviceAccounts.n"),
        ({**document(), "clusters": [{"name": "a"}, {"name": "a"}]}, "clusters"),
    ],
)
def test_a_broken_document_is_refused_with_its_place(broken: object, path: str) -> None:
    with pytest.raises(CodecError) as raised:
        load_facts(broken)
    assert raised.value.path == path

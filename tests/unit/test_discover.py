"""Discovery: raw objects to facts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gitmesh.discovery.crd import schema_fields
from gitmesh.discovery.discover import assemble
from gitmesh.discovery.reducer import Reducer
from gitmesh.discovery.rows import FACT_KINDS, ValidatorRow
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.workloads import PortRange, Workload
from tests.unit.bookshop import (
    NETWORKING,
    PROXY,
    TRANSLATORS,
    VIRTUAL_SERVICE,
    app_spec,
    bookshop,
    control_plane,
    route,
    service,
    thing,
)


def discovered(objects: list[dict[str, Any]], **options: Any) -> ClusterFacts:
    reducer = Reducer(TRANSLATORS)
    rows = [row for body in objects if (row := reducer.reduce(body)) is not None]
    return assemble("east", {"region": "eu"}, rows, TRANSLATORS, **options)


def workload(facts: ClusterFacts, name: str) -> Workload:
    return next(w for w in facts.workloads if w.name == name)


def crd(*versions: tuple[str, bool, dict[str, Any]], group: str = NETWORKING) -> dict[str, Any]:
    listed = [
        {"name": name, "served": served, "schema": {"openAPIV3Schema": schema}}
        for name, served, schema in versions
    ]
    names = {"kind": "VirtualService", "plural": "virtualservices"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": listed}
    return thing(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"virtualservices.{group}", "", spec=spec
    )


def test_bookshop_is_discovered_whole() -> None:
    facts = discovered(bookshop())
    assert facts.uid == "11111111-2222-4333-8444-555555555555"
    assert [
        (mesh.name, mesh.version, mesh.root_namespace, mesh.trust_domain, mesh.revision)
        for mesh in facts.meshes
    ] == [("istio", "1.30.3", "istio-system", "cluster.local", "default")]
    assert facts.namespaces["bookshop"] == {"istio-injection": "enabled"}
    assert [(s.key, s.selector) for s in facts.services] == [
        (("bookshop", "ratings"), {"app": "ratings"}),
        (("bookshop", "reviews"), {"app": "reviews"}),
    ]
    assert facts.service_accounts == {("bookshop", "ratings"), ("bookshop", "reviews")}
    assert workload(facts, "reviews-v1") == Workload(
        kind="Deployment",
        namespace="bookshop",
        name="reviews-v1",
        labels={"app": "reviews", "version": "v1"},
        service_account="reviews",
        ports={"http": 9080},
        mesh="istio",
        dropped=("pod-template-hash",),
        localities=("eu/eu-1/rack", "eu/eu-2"),
        pods=2,
    )
    assert [w.name for w in facts.behind(facts.services[1])] == ["reviews-v1"]


def test_order_of_objects_does_not_matter() -> None:
    objects = bookshop()
    expected = discovered(objects)
    for seed in range(5):
        random.Random(seed).shuffle(objects)
        assert discovered(objects) == expected


def test_digest_follows_content() -> None:
    assert discovered(bookshop()).digest == discovered(bookshop()).digest
    assert discovered(bookshop()).digest != discovered(control_plane()).digest
    assert discovered(bookshop()).digest != discovered(bookshop(), complete=False).digest


def test_without_replicaset_the_pod_template_hash_tells_the_deployment() -> None:
    objects = [body for body in bookshop() if body["kind"] != "ReplicaSet"]
    assert discovered(objects) == discovered(bookshop())


def test_deployment_without_pods_is_a_workload_outside_meshes() -> None:
    facts = discovered([body for body in bookshop() if body["kind"] != "Pod"])
    found = workload(facts, "reviews-v1")
    assert (found.pods, found.mesh, found.labels["app"], found.ports) == (0, "", "reviews", {"http": 9080})


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (None, ("Pod", "p")),
        (("Node", "node-a"), ("Pod", "p")),
        (("StatefulSet", "db"), ("StatefulSet", "db")),
        (("Job", "import"), ("Job", "import")),
        (("ReplicaSet", "alone"), ("ReplicaSet", "alone")),
    ],
)
def test_pods_are_grouped_by_what_controls_them(
    owner: tuple[str, str] | None, expected: tuple[str, str]
) -> None:
    facts = discovered([thing("v1", "Pod", "p", owner=owner, spec=app_spec("p", proxy=False))])
    assert [(w.kind, w.name) for w in facts.workloads] == [expected]


def test_finished_pods_are_no_workload() -> None:
    assert not discovered([thing("v1", "Pod", "p", spec={}, status={"phase": "Succeeded"})]).workloads


def test_pods_of_a_controller_that_differ_in_labels_are_shapes_of_it() -> None:
    def pod(name: str, **labels: str) -> dict[str, Any]:
        return thing(
            "v1", "Pod", name, owner=("StatefulSet", "db"), labels=labels, spec=app_spec("db", proxy=False)
        )

    facts = discovered(
        [
            pod("db-0", app="db", role="main"),
            pod("db-1", app="db", role="copy"),
            pod("db-2", app="db", role="copy"),
        ]
    )
    assert [(w.key, w.labels, w.pods) for w in facts.workloads] == [
        (("StatefulSet", "bookshop", "db"), {"app": "db", "role": role}, pods)
        for role, pods in (("copy", 2), ("main", 1))
    ]


def test_gateway_and_native_sidecar() -> None:
    router = {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "router"]}
    native = {**PROXY, "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 15090}]}
    plain = {"name": "setup", "image": "x", "ports": [{"name": "never", "containerPort": 1}]}
    facts = discovered(
        [
            *control_plane(),
            thing("v1", "Pod", "edge", spec={"containers": [router]}),
            thing(
                "v1", "Pod", "new", spec={"containers": [{"name": "a"}], "initContainers": [plain, native]}
            ),
        ]
    )
    edge, new = workload(facts, "edge"), workload(facts, "new")
    assert (edge.mesh, edge.router, edge.gateway, edge.native_sidecar) == ("istio", True, False, False)
    assert (new.mesh, new.router, new.native_sidecar, new.ports) == ("istio", False, True, {"metrics": 15090})


def test_pods_of_a_workload_that_lack_the_proxy_of_the_others_are_a_shape() -> None:
    def pod(name: str, *, proxy: bool, **annotations: str) -> dict[str, Any]:
        body = thing("v1", "Pod", name, owner=("StatefulSet", "db"), spec=app_spec("db", proxy=proxy))
        return {**body, "metadata": {**body["metadata"], "annotations": annotations}}

    pods = [
        pod("db-0", proxy=True),
        pod("db-1", proxy=False),
        pod("db-2", proxy=False),
        pod("db-3", proxy=True, unseen="9090"),
    ]
    found = discovered([*control_plane(), *pods]).workloads
    assert [(db.mesh, db.pods, db.unguarded) for db in found if db.name == "db"] == [
        ("", 2, ()),
        ("istio", 1, ()),
        ("istio", 1, (PortRange(first=9090, last=9090),)),
    ]


@pytest.mark.parametrize(
    ("port", "target", "protocol"),
    [
        ({"port": 80}, 80, ""),
        ({"port": 80, "targetPort": 8080, "name": "http"}, 8080, "http"),
        ({"port": 80, "targetPort": "web", "name": "HTTP2-api"}, "web", "http2"),
        ({"port": 80, "name": "grpc-web-ui"}, 80, "grpc-web"),
        ({"port": 80, "name": "grpc-api"}, 80, "grpc"),
        ({"port": 80, "name": "web"}, 80, ""),
        ({"port": 80, "name": "http-x", "appProtocol": "TCP"}, 80, "tcp"),
        ({"port": 80, "appProtocol": "kubernetes.io/h2c"}, 80, "http2"),
        ({"port": 53, "name": "http", "protocol": "UDP"}, 53, "udp"),
        ({"port": 53, "protocol": "SCTP"}, 53, "sctp"),
    ],
)
def test_service_ports(port: dict[str, Any], target: int | str, protocol: str) -> None:
    facts = discovered([thing("v1", "Service", "s", spec={"ports": [port]})])
    assert [(p.target, p.protocol) for p in facts.services[0].ports] == [(target, protocol)]


def test_headless_and_external_services() -> None:
    facts = discovered(
        [
            thing("v1", "Service", "a", spec={"clusterIP": "None"}),
            thing("v1", "Service", "b", spec={"type": "ExternalName", "externalName": "example.com"}),
        ]
    )
    assert [(s.name, s.headless, s.type) for s in facts.services] == [
        ("a", True, "ClusterIP"),
        ("b", False, "ExternalName"),
    ]


@pytest.mark.parametrize(
    ("spec", "alias"),
    [
        (
            {"type": "ExternalName", "externalName": "Stock.depot.svc.cluster.local."},
            "stock.depot.svc.cluster.local",
        ),
        ({"type": "ExternalName", "externalName": "stock.depot.svc"}, "stock.depot.svc"),
        ({"type": "ExternalName", "externalName": "db.internal.example.com"}, ""),
        ({"type": "ClusterIP", "externalName": "stock.depot.svc.cluster.local"}, ""),
        ({"type": "ExternalName", "externalName": 5}, ""),
    ],
)
def test_of_an_external_name_only_that_of_a_service_is_a_fact(spec: dict[str, Any], alias: str) -> None:
    """Addresses of other hosts are published nowhere."""
    facts = discovered([thing("v1", "Service", "b", spec=spec)])
    assert facts.services[0].alias == alias


def test_a_label_hides_nothing_from_the_facts() -> None:
    marked = service("reviews")
    for body in marked:
        body["metadata"]["labels"] = {**body["metadata"]["labels"], "app.kubernetes.io/managed-by": "gitmesh"}
    facts = discovered([*control_plane(), *marked])
    assert facts.service_index.keys() == {("bookshop", "reviews")}
    assert [w.name for w in facts.workloads if w.namespace == "bookshop"]


def test_only_configmaps_that_a_translator_reads_are_kept() -> None:
    reducer = Reducer(TRANSLATORS)
    kept = [
        body["metadata"]["name"]
        for body in bookshop()
        if body["kind"] == "ConfigMap" and reducer.reduce(body)
    ]
    assert kept == ["istio"]


def test_another_groups_service_is_no_service() -> None:
    assert Reducer(TRANSLATORS).reduce(thing("serving.knative.dev/v1", "Service", "s")) is None


def test_items_of_a_list_carry_no_kind() -> None:
    body = {"metadata": {"name": "s", "namespace": "n"}, "spec": {}}
    row = Reducer(TRANSLATORS).reduce(body, "", "Service")
    assert row is not None
    assert {(group, kind) for group, _, _, kind, _ in FACT_KINDS} >= {("", "Service"), ("apps", "Deployment")}


@pytest.mark.parametrize(
    "spec", [None, [], "x", {"ports": 3, "template": [], "containers": {}, "versions": 1}]
)
@pytest.mark.parametrize(
    ("version", "kind"), [(f"{group}/{v}" if group else v, kind) for group, v, _, kind, _ in FACT_KINDS]
)
def test_malformed_objects_are_read_as_far_as_they_go(version: str, kind: str, spec: object) -> None:
    body = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x", "labels": [1], "ownerReferences": {}},
        "spec": spec,
    }
    discovered([body, {"apiVersion": 3, "kind": [], "metadata": "x"}])


def test_kinds_come_from_definitions_preferred_version_first() -> None:
    http = {
        "properties": {
            "http": {"type": "array", "items": {"properties": {"mirrors": {"type": "array", "items": {}}}}}
        }
    }
    old: dict[str, Any] = {"properties": {"spec": {"properties": {"old": {}}}}}
    facts = discovered(
        [
            crd(
                ("v1alpha3", True, old),
                ("v1beta1", True, old),
                ("v1", True, {"properties": {"spec": http}}),
                ("v2", False, old),
            )
        ]
    )
    kind = facts.kind_index[NETWORKING, "VirtualService"]
    assert kind.versions == ("v1", "v1beta1", "v1alpha3")
    assert kind.serves("spec.http.mirrors")
    assert not kind.serves("spec.old")


def test_definitions_of_other_groups_are_left_out_and_assumed_kinds_give_way() -> None:
    facts = discovered([crd(("v1", True, {}), group="example.com")], assumed=[VIRTUAL_SERVICE])
    assert facts.kinds == (VIRTUAL_SERVICE,)
    real = discovered([crd(("v1", True, {"properties": {"spec": {}}}))], assumed=[VIRTUAL_SERVICE])
    assert real.kinds[0].fields == {"spec"}


def test_schema_fields_know_where_anything_may_stand() -> None:
    schema = {
        "properties": {
            "metadata": {"type": "object"},
            "spec": {
                "properties": {
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "port": {
                        "x-kubernetes-int-or-string": True,
                        "anyOf": [{"type": "integer"}, {"type": "string"}],
                    },
                    "empty": {"type": "object"},
                    "far": {"$ref": "#/components/schemas/x"},
                }
            },
        }
    }
    assert schema_fields(schema) == {
        *(
            "metadata",
            "metadata.*",
            "spec",
            "spec.labels",
            "spec.labels.*",
            "spec.free",
            "spec.free.*",
            "spec.port",
            "spec.empty",
        ),
        *("spec.far", "spec.far.*"),
    }


def test_our_own_objects_are_not_facts() -> None:
    assert Reducer(TRANSLATORS).reduce(route()) is None


def webhook_configuration(**webhook: Any) -> dict[str, Any]:
    return thing(
        "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validator", webhooks=[webhook]
    )


def test_validators_of_the_meshes_kinds_are_kept_without_address_and_certificates() -> None:
    rules = [{"apiGroups": ["networking.istio.io"], "resources": ["*"]}]
    row = Reducer(TRANSLATORS).reduce(
        webhook_configuration(name="x", rules=rules, clientConfig={"caBundle": "A" * 9999})
    )
    assert row == ValidatorRow(
        "validator", {"metadata": {"name": "validator"}, "webhooks": [{"name": "x", "rules": rules}]}
    )


@pytest.mark.parametrize("rules", [None, [], "x", [{"apiGroups": ["apps"]}], [{"apiGroups": [7]}]])
def test_validators_of_other_kinds_are_no_fact(rules: Any) -> None:
    assert Reducer(TRANSLATORS).reduce(webhook_configuration(name="x", rules=rules)) is None

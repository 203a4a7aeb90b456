"""Pods of one controller that differ: a Service of one pod of a StatefulSet, of the pods with a role, of one
generation of a rollout. Each is judged by itself: whose it is, who may call it, what is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.discovery.discover import assemble
from gitmesh.discovery.facts_codec import dump_facts, load_facts
from gitmesh.discovery.reducer import Reducer
from gitmesh.discovery.shapes import Selectors
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.model.units import half_key
from gitmesh.model.workloads import ROLLING_LABELS
from gitmesh.planning.options import Memo
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission
from gitmesh.reasoning.questions import Client, Question
from tests import factories
from tests.asking import known
from tests.factories import access, policies_of, traffic
from tests.folders import Body, Folders, allow, authorization, istiod, thing
from tests.rendered import Rendered, rendered, translators
from tests.soundness.istio import Istio
from tests.soundness.requests import ArrivingCall, AskedRequest
from tests.soundness.requests import CallingPod as Caller

POD_NAME = "statefulset.kubernetes.io/pod-name"
ROLLOUT = "rollouts-pod-template-hash"
SQL, PEER = 5432, 8300


def pod(
    name: str,
    owner: str,
    ports: Mapping[str, int],
    labels: Mapping[str, str],
    *,
    kind: str = "StatefulSet",
    proxy: bool = True,
    account: str = "default",
) -> Body:
    """A pod of a controller."""
    listed = [{"name": port, "containerPort": number} for port, number in ports.items()]
    containers: list[Body] = [{"name": "app", "image": "app:1", "ports": listed}]
    if proxy:
        containers.append({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3"})
    body = thing("Pod", name, "shop", labels=labels, status={"phase": "Running"})
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": f"{owner}-uid", "controller": True}
    ]
    return {**body, "spec": {"serviceAccountName": account, "containers": containers}}


def service(name: str, port: int, target: int | str, protocol: str = "tcp", **selector: str) -> Body:
    """A Service of namespace shop."""
    ports = [{"name": f"{protocol}-main", "port": port, "targetPort": target}]
    return thing("Service", name, "shop", spec={"selector": selector, "ports": ports})


def world(*bodies: Body, accounts: Sequence[str] = ("packer", "clerk", "front", "tester")) -> ClusterFacts:
    """What is discovered in a cluster with Istio and these objects."""
    own = [
        istiod(),
        thing("Namespace", "istio-system"),
        thing("Namespace", "shop", labels={"istio-injection": "enabled"}),
        *(thing("ServiceAccount", name, "shop") for name in accounts),
    ]
    reducer = Reducer(tuple(translators().values()))
    rows = [row for body in (*own, *bodies) if (row := reducer.reduce(body)) is not None]
    return assemble("east", {}, rows, tuple(translators().values()))


def grant(name: str, to: str, *callers: str, **more: Any) -> Policy:
    """An AccessPolicy for ServiceAccounts of namespace shop."""
    return access(name, to, sources=[{"serviceAccounts": [{"name": caller} for caller in callers]}], **more)


def answer(policies: Sequence[Policy], facts: ClusterFacts, who: str, to: str) -> Admission:
    client = Client(namespace="shop", service_account=who, trust_domain="cluster.local", mesh="istio")
    port = facts.service_index["shop", to].ports[0].number
    return can(
        Question(client=client, service=("shop", to), port=port, http=False), known(policies, facts)["east"]
    )


def says(policies: Sequence[Policy], facts: ClusterFacts, who: str, to: str) -> str:
    return answer(policies, facts, who, to).answer.value


def document_of(policy: Policy) -> Body:
    """The policy as a user writes it."""
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": policy.kind,
        "metadata": {"name": policy.name, "namespace": policy.namespace},
        "spec": policy.spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }


def written(policies: Sequence[Policy], facts: ClusterFacts) -> Rendered:
    """What is written for these policies."""
    documents = {f"{one.name}.yaml": yaml.safe_dump(document_of(one)) for one in policies}
    return rendered(documents, {"east": facts})


def specs(found: Rendered) -> dict[str, Body]:
    return {body["metadata"]["name"]: body["spec"] for body in found.bodies}


def admitted(found: Rendered, facts: ClusterFacts, who: str, port: int, **labels: str) -> bool:
    """Whether Istio, given the objects, lets a caller through to a port of the pods with these labels."""
    (workload,) = [w for w in facts.workloads if labels.items() <= w.labels.items() and w.mesh]
    client = Caller(cluster="east", namespace="shop", account=who, trust_domain="cluster.local")
    call = ArrivingCall(
        client=client, cluster="east", workload=workload, port=port, request=AskedRequest(http=False)
    )
    return Istio(found.bodies, facts.meshes).admitted(call)


def codes(found: Rendered) -> list[str]:
    return [one.code for one in found.findings]


# --- a Service of each pod


def log(*, target: int | str = 9092, proxy: bool = True, pods: Sequence[int] = (0, 1)) -> ClusterFacts:
    """A StatefulSet with a Service of each pod and one of all."""
    labels = [{"app": "log", POD_NAME: f"log-{number}"} for number in (0, 1)]
    return world(
        *(service(f"log-{number}", 9092, target, **labels[number]) for number in (0, 1)),
        service("log-all", 9092, target, app="log"),
        *(pod(f"log-{n}", "log", {"client": 9092, "peer": 9093}, labels[n], proxy=proxy) for n in pods),
    )


PACKER = grant("packer-to-first", "log-0", "packer")
NO_CLERK = grant("no-clerk-at-second", "log-1", "clerk", action="Deny")


@pytest.mark.parametrize("target", [9092, "client"])
def test_a_service_of_one_pod_is_guarded_at_its_port_alone(target: int | str) -> None:
    facts = log(target=target)
    found = written([PACKER], facts)
    assert specs(found) == {
        "log-0-allow": {
            "action": "ALLOW",
            "selector": {"matchLabels": {"app": "log", POD_NAME: "log-0"}},
            "rules": [
                {
                    "from": [{"source": {"principals": ["cluster.local/ns/shop/sa/packer"]}}],
                    "to": [{"operation": {"ports": ["9092"]}}],
                },
                {"to": [{"operation": {"notPorts": ["9092"]}}]},
            ],
        }
    }
    assert codes(found) == ["GM213"]


def test_who_may_call_one_pod_is_told_of_that_pod() -> None:
    facts = log()
    told = {to: [says([PACKER], facts, who, to) for who in ("packer", "clerk")] for to in ("log-0", "log-1")}
    assert told == {"log-0": ["Allowed", "Denied"], "log-1": ["Allowed", "Allowed"]}


def test_of_a_service_whose_pods_decide_differently_it_depends() -> None:
    found = answer([PACKER], log(), "clerk", "log-all")
    assert found.answer.value == "Depends"
    assert {(w.labels[POD_NAME], ruling.answer.value) for w, _, ruling in found.pods} == {
        ("log-0", "Denied"),
        ("log-1", "Allowed"),
    }


def test_the_service_that_shares_the_pod_is_named_and_no_other() -> None:
    (shared,) = [one for one in written([PACKER], log()).findings if one.code == "GM213"]
    assert "shop/log-all" in shared.message
    assert "log-1" not in shared.message


def test_services_that_share_pods_but_no_port_share_nothing() -> None:
    facts = log()
    apart = world(
        service("log-0", 9092, 9092, app="log", **{POD_NAME: "log-0"}),
        service("log-peers", 9093, "peer", app="log"),
        pod("log-0", "log", {"client": 9092, "peer": 9093}, {"app": "log", POD_NAME: "log-0"}),
    )
    assert codes(written([PACKER], facts)) == ["GM213"]
    assert not codes(written([PACKER], apart))


def test_a_deny_at_a_named_port_of_one_pod_is_for_that_port_alone() -> None:
    facts = log(target="client")
    found = written([PACKER, NO_CLERK], facts)
    rules = specs(found)["log-1-deny"]["rules"]
    assert [one["operation"]["ports"] for rule in rules for one in rule["to"]] == [["9092"]] * len(rules)
    assert "GM304" not in codes(found)
    assert [says([PACKER, NO_CLERK], facts, "clerk", to) for to in ("log-0", "log-1")] == ["Denied"] * 2
    assert admitted(found, facts, "clerk", 9093, **{POD_NAME: "log-1"})


def test_pods_without_a_proxy_are_said_to_be_open() -> None:
    facts = log(proxy=False)
    (open_,) = [one for one in written([PACKER], facts).findings if one.code == "GM308"]
    assert open_.is_error
    assert "shop/log-0" in open_.message
    assert says([PACKER], facts, "clerk", "log-0") == "Allowed"


def test_a_pod_without_a_proxy_is_no_matter_for_the_service_of_another() -> None:
    bare = world(
        *(service(f"log-{n}", 9092, 9092, app="log", **{POD_NAME: f"log-{n}"}) for n in (0, 1)),
        pod("log-0", "log", {}, {"app": "log", POD_NAME: "log-0"}),
        pod("log-1", "log", {}, {"app": "log", POD_NAME: "log-1"}, proxy=False),
    )
    assert not codes(written([PACKER], bare))
    assert codes(written([grant("all", "log-1", "packer")], bare)) == ["GM308"]


def test_while_the_pod_is_made_anew_its_named_port_is_that_of_its_sisters() -> None:
    """Else what guards it would be written without its port, and close it when it comes."""
    facts = log(target="client", pods=[1])
    assert specs(written([PACKER], facts)) == specs(written([PACKER], log(target="client")))
    assert says([PACKER], facts, "packer", "log-0") == "Unknown"


# --- roles


def ledger(*, reader: Mapping[str, str] | None = None, more: Sequence[Body] = ()) -> ClusterFacts:
    """A database with a Service of its writer, one of its readers and one of the members' own port."""
    ports = {"sql": SQL, "peer": PEER}
    labels = {"app": "ledger", **({"role": "reader"} if reader is None else reader)}
    return world(
        service("ledger-write", SQL, SQL, app="ledger", role="writer"),
        service("ledger-read", SQL, SQL, **labels)
        if reader is None
        else service("sql", SQL, SQL, app="ledger"),
        service("ledger-peers", PEER, PEER, "http", app="ledger"),
        pod("ledger-0", "ledger", ports, {"app": "ledger", "role": "writer"}, account="ledger"),
        pod("ledger-1", "ledger", ports, labels, account="ledger"),
        *more,
        accounts=("ledger", "orders", "reports"),
    )


ROLES = (grant("orders-write", "ledger-write", "orders"), grant("peers", "ledger-peers", "ledger"))


def test_what_one_service_guards_is_not_closed_on_pods_of_another() -> None:
    facts = ledger()
    found = written(ROLES, facts)
    open_to = {
        (role, port, who)
        for role in ("writer", "reader")
        for port in (SQL, PEER, 9999)
        for who in ("orders", "reports", "ledger")
        if admitted(found, facts, who, port, role=role)
    }
    everybody = {
        (role, port, who)
        for role, port in (("reader", SQL), ("reader", 9999), ("writer", 9999))
        for who in ("orders", "reports", "ledger")
    }
    assert open_to == everybody | {
        ("writer", SQL, "orders"),
        ("writer", PEER, "ledger"),
        ("reader", PEER, "ledger"),
    }
    assert not codes(found)


def test_the_calculator_knows_roles() -> None:
    facts = ledger()
    told = {
        (who, to): says(ROLES, facts, who, to)
        for who in ("orders", "reports")
        for to in ("ledger-write", "ledger-read", "ledger-peers")
    }
    assert told == {
        ("orders", "ledger-write"): "Allowed",
        ("orders", "ledger-read"): "Allowed",
        ("orders", "ledger-peers"): "Denied",
        ("reports", "ledger-write"): "Denied",
        ("reports", "ledger-read"): "Allowed",
        ("reports", "ledger-peers"): "Denied",
    }


def test_pods_that_no_label_tells_apart_are_closed_and_that_is_told() -> None:
    facts = ledger(reader={"tier": "spare"})
    found = written(ROLES, facts)
    assert not admitted(found, facts, "reports", SQL, tier="spare")
    told = [one for one in found.findings if one.code == "GM304"]
    assert [one.policy for one in told] == ["AccessPolicy/shop/peers"]
    assert f"port {SQL} of StatefulSet shop/ledger" in told[0].message
    answers = {ruling.answer.value for _, _, ruling in answer(ROLES, facts, "reports", "sql").pods}
    assert answers == {"Denied"}


def test_what_is_closed_on_such_pods_admits_whom_the_same_allow_admits_elsewhere() -> None:
    """The object says numbers, not pairs of pods and ports; the calculator says what it does."""
    facts = world(
        service("web", 80, "http", "http", app="web"),
        service("side", 81, 8081, "http", app="web", gen="old"),
        pod("web-0", "web", {"http": 8080, "side": 8081}, {"app": "web", "gen": "old"}),
        pod("web-1", "web", {"http": 8081}, {"app": "web", "gen": "new"}),
    )
    policy = grant("front", "web", "front")
    found = written([policy], facts)
    for who in ("front", "clerk"):
        reaches = admitted(found, facts, who, 8081, gen="old")
        assert says([policy], facts, who, "side") == ("Allowed" if reaches else "Denied")
    assert "GM304" in codes(found)


def test_a_port_of_which_nobody_says_that_it_is_there_stays_open_too() -> None:
    """Clients reach a pod of a StatefulSet by its own name, on any port."""
    bare: dict[str, int] = {}
    facts = world(
        service("ledger-write", SQL, SQL, app="ledger", role="writer"),
        service("ledger-peers", PEER, PEER, "http", app="ledger"),
        pod("ledger-0", "ledger", bare, {"app": "ledger", "role": "writer"}, account="ledger"),
        pod("ledger-1", "ledger", bare, {"app": "ledger", "role": "reader"}, account="ledger"),
        accounts=("ledger", "orders", "reports"),
    )
    found = written(ROLES, facts)
    assert admitted(found, facts, "reports", SQL, role="reader")
    assert not admitted(found, facts, "reports", SQL, role="writer")


def test_pods_of_another_controller_are_not_closed_either() -> None:
    facts = world(
        service("write", SQL, SQL, app="ledger", role="writer"),
        service("read", SQL, SQL, app="ledger", role="reader"),
        service("peers", PEER, PEER, "http", app="ledger"),
        pod("one-0", "one", {"sql": SQL}, {"app": "ledger", "role": "writer"}, kind="DaemonSet"),
        pod("two-0", "two", {"sql": SQL}, {"app": "ledger", "role": "reader"}),
    )
    policies = [grant("orders", "write", "front"), grant("members", "peers", "tester")]
    found = written(policies, facts)
    assert admitted(found, facts, "clerk", SQL, role="reader")
    assert says(policies, facts, "clerk", "read") == "Allowed"
    assert not admitted(found, facts, "clerk", SQL, role="writer")
    assert says(policies, facts, "clerk", "write") == "Denied"


def test_without_another_policy_there_is_one_object_for_all_pods() -> None:
    assert specs(written(ROLES[1:], ledger())).keys() == {"ledger-peers-allow"}
    assert specs(written(ROLES, ledger())).keys() == {
        "ledger-write-allow",
        "ledger-peers-allow",
        "ledger-peers.role-reader-allow",
    }


def test_under_a_default_of_deny_nothing_is_left_open() -> None:
    mesh = policies_of(
        "{apiVersion: gitmesh.io/v1alpha1, kind: VirtualMesh, metadata: {name: all, namespace: shop},"
        " spec: {meshes: [{selector: {all: true}}], accessDefault: Deny}}"
    )
    facts = ledger()
    found = written([*ROLES, *mesh], facts)
    assert not admitted(found, facts, "reports", SQL, role="reader")
    assert says([*ROLES, *mesh], facts, "reports", "ledger-read") == "Denied"


def test_of_pods_that_only_partly_are_gateways_it_depends() -> None:
    mesh = policies_of(
        "{apiVersion: gitmesh.io/v1alpha1, kind: VirtualMesh, metadata: {name: all, namespace: shop},"
        " spec: {meshes: [{selector: {all: true}}], accessDefault: Deny, gateways: [{labels: {role: edge}}]}}"
    )
    facts = world(
        service("web", 80, 8080, "http", app="web"),
        pod("web-0", "web", {}, {"app": "web", "role": "edge"}),
        pod("web-1", "web", {}, {"app": "web", "role": "inner"}),
    )
    found = answer(mesh, facts, "clerk", "web")
    assert {(w.labels["role"], ruling.basis.value) for w, _, ruling in found.pods} == {
        ("edge", "Gateway"),
        ("inner", "Default"),
    }
    assert found.answer.value == "Depends"


def test_more_kinds_of_pods_than_can_be_told_apart_are_closed_and_told() -> None:
    crowd = [
        pod(f"l-{number:03d}", "ledger", {"sql": SQL}, {"app": "ledger", "role": f"r{number:03d}"})
        for number in range(80)
    ]
    found = written(ROLES, ledger(more=crowd))
    assert sum(name.startswith("ledger-peers.") for name in specs(found)) == 64
    assert "GM304" in codes(found)


def test_pods_that_were_told_apart_keep_their_object_while_the_destination_is_held() -> None:
    facts = ledger()
    held = [*ROLES, grant("odd", "ledger-peers", "ledger", rules=[{"ports": ["nowhere"]}])]
    build = written(held, facts).builds["east"]
    assert {key.name for key in build.held} >= {"ledger-peers-allow", "ledger-peers.role-reader-allow"}


# --- generations


def page(*, key: str = ROLLOUT, generations: Sequence[str] = ("blue1", "green2")) -> ClusterFacts:
    """Blue-green: a Service of each generation of a Rollout."""
    owners = [
        {
            **thing("ReplicaSet", f"page-{one}", "shop", "apps/v1", {"app": "page", key: one}),
            "spec": {},
        }
        for one in ("blue1", "green2")
    ]
    for one in owners:
        one["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Rollout",
                "name": "page",
                "uid": "u",
                "controller": True,
            }
        ]
    return world(
        service("page", 80, "http", "http", app="page", **{key: "blue1"}),
        service("page-preview", 80, "http", "http", app="page", **{key: "green2"}),
        *owners,
        *(
            pod(f"page-{one}-0", f"page-{one}", {"http": 8080}, {"app": "page", key: one}, kind="ReplicaSet")
            for one in generations
        ),
    )


GENERATIONS = (grant("front", "page", "front"), grant("tester", "page-preview", "tester"))


@pytest.mark.parametrize("key", [ROLLOUT, "pod-template-hash", "colour"])
def test_each_generation_has_its_own_callers(key: str) -> None:
    facts = page(key=key)
    found = written(GENERATIONS, facts)
    assert {name: one["selector"]["matchLabels"][key] for name, one in specs(found).items()} == {
        "page-allow": "blue1",
        "page-preview-allow": "green2",
    }
    assert all(
        {"to": [{"operation": {"notPorts": ["8080"]}}]} in one["rules"] for one in specs(found).values()
    )
    assert not codes(found)
    told = {
        (who, to): says(GENERATIONS, facts, who, to)
        for who in ("front", "tester")
        for to in ("page", "page-preview")
    }
    assert told == {
        ("front", "page"): "Allowed",
        ("tester", "page-preview"): "Allowed",
        ("tester", "page"): "Denied",
        ("front", "page-preview"): "Denied",
    }
    assert admitted(found, facts, "front", 8080, **{key: "blue1"})
    assert not admitted(found, facts, "front", 8080, **{key: "green2"})


def test_a_generation_that_is_scaled_down_keeps_its_rules() -> None:
    both, one = written(GENERATIONS, page()), written(GENERATIONS, page(generations=["blue1"]))
    assert specs(one) == specs(both)


# --- numbers of one name


def cart(*numbers: int, **more: int) -> ClusterFacts:
    """A rolling update: each pod of a template of its own."""
    return world(
        service("cart", 80, "http", "http", app="cart"),
        *(
            pod(
                f"cart-{number}",
                f"cart-{number}",
                {"http": number, **more},
                {"app": "cart", "pod-template-hash": str(number)},
                kind="ReplicaSet",
            )
            for number in numbers
        ),
    )


@pytest.mark.parametrize("deny", [False, True])
def test_every_number_of_a_port_is_guarded_while_it_changes(deny: bool) -> None:
    mesh = policies_of(
        "{apiVersion: gitmesh.io/v1alpha1, kind: VirtualMesh, metadata: {name: all, namespace: shop},"
        " spec: {meshes: [{selector: {all: true}}], accessDefault: Deny}}"
    )
    policies = [grant("front", "cart", "front"), *(mesh if deny else ())]
    facts = cart(8080, 8081)
    rules = specs(written(policies, facts))["cart-allow"]["rules"]
    assert rules[0]["to"] == [{"operation": {"ports": ["8080", "8081"]}}]
    assert rules[1:] == ([] if deny else [{"to": [{"operation": {"notPorts": ["8080", "8081"]}}]}])
    assert [says(policies, facts, who, "cart") for who in ("front", "clerk")] == ["Allowed", "Denied"]
    after = specs(written(policies, cart(8081)))["cart-allow"]["rules"]
    assert after[0]["to"] == [{"operation": {"ports": ["8081"]}}]


# --- facts


@pytest.mark.parametrize("rules", [None, [{"ports": [80]}]])
def test_a_number_that_is_another_services_on_some_pods_is_denied_there_and_that_is_told(
    rules: list[dict[str, Any]] | None,
) -> None:
    """A Deny names pods and numbers, no pairs: the calculator says what is so."""
    facts = world(
        service("main", 80, "web", "http", app="cart"),
        service("side", 81, 8080, "http", app="cart", gen="new"),
        pod("cart-0", "cart", {"web": 8080}, {"app": "cart", "gen": "old"}),
        pod("cart-1", "cart", {"web": 8081, "side": 8080}, {"app": "cart", "gen": "new"}),
    )
    policy = grant("clerk", "main", "clerk", action="Deny", **({"rules": rules} if rules else {}))
    found = written([policy], facts)
    assert not admitted(found, facts, "clerk", 8080, gen="new")
    assert says([policy], facts, "clerk", "side") == "Denied"
    assert says([policy], facts, "front", "side") == "Allowed"
    [told] = [one for one in found.findings if one.code == "GM304"]
    assert "port 8080 of StatefulSet shop/cart" in told.message


def test_a_number_that_no_pod_has_otherwise_is_told_of_none() -> None:
    facts = world(
        service("main", 80, "web", "http", app="cart"),
        pod("cart-0", "cart", {"web": 8080}, {"app": "cart", "gen": "old"}),
        pod("cart-1", "cart", {"web": 8081}, {"app": "cart", "gen": "new"}),
    )
    found = written([grant("clerk", "main", "clerk", action="Deny")], facts)
    assert "GM304" not in codes(found)


@pytest.mark.parametrize("ports", [["http-main"], None])
def test_what_only_some_pods_have_behind_the_service_is_exempt_on_none(ports: list[str] | None) -> None:
    facts = world(
        service("main", 80, "web", "http", app="cart"),
        pod("cart-0", "cart", {"web": 8080}, {"app": "cart", "gen": "old"}, kind="DaemonSet"),
        pod("bare-0", "bare", {}, {"app": "cart"}),
    )
    exempt: dict[str, Any] = {"ports": ports} if ports else {"sources": [{"authenticated": True}]}
    mesh: dict[str, Any] = {"meshes": [{"selector": {"all": True}}], "accessDefault": "Deny"}
    policy = factories.policy("VirtualMesh", "m", accessExempt=exempt, **mesh)
    found = written([policy], facts)
    assert not admitted(found, facts, "clerk", 8080, gen="old")
    assert says([policy], facts, "clerk", "main") == "Denied"


def test_a_rollout_of_equal_pods_leaves_the_facts_as_they_are() -> None:
    def rolled(generation: str) -> ClusterFacts:
        more = {"controller-revision-hash": generation, "pod-template-hash": generation, POD_NAME: generation}
        return world(*(pod(f"a-{generation}-{n}", "a", {"http": 80}, {"app": "a", **more}) for n in range(3)))

    assert rolled("one").digest == rolled("two").digest
    (one,) = [w for w in rolled("one").workloads if w.name == "a"]
    assert (one.labels, one.pods) == ({"app": "a"}, 3)
    assert one.dropped == (
        "controller-revision-hash",
        "pod-template-hash",
        POD_NAME,
    )


def test_a_rolling_label_is_kept_only_on_pods_that_a_selector_could_mean_by_it() -> None:
    facts = world(
        service("log-0", 80, 80, app="log", **{POD_NAME: "log-0"}),
        *(pod(f"log-{n}", "log", {}, {"app": "log", POD_NAME: f"log-{n}"}) for n in range(3)),
        *(pod(f"db-{n}", "db", {}, {"app": "db", POD_NAME: f"db-{n}"}) for n in range(3)),
    )
    kept = {
        name: [w.labels.get(POD_NAME) for w in facts.workloads if w.name == name] for name in ("log", "db")
    }
    assert kept == {"log": ["log-0", "log-1", "log-2"], "db": [None]}


@pytest.mark.parametrize(
    ("subset", "is_told"), [({"pod-template-hash": "8080"}, False), ({"pod-hash": "8080"}, True)]
)
def test_a_subset_by_a_label_that_was_dropped_may_have_pods(subset: dict[str, str], is_told: bool) -> None:
    policy = traffic(
        "canary", "cart", split=[{"weight": 1, "destination": {"name": "cart", "subset": subset}}]
    )
    assert ("GM209" in codes(written([policy], cart(8080)))) == is_told


@pytest.mark.parametrize(
    "policy",
    [
        traffic("a", split=[{"weight": 1, "destination": {"name": "cart", "subset": {POD_NAME: "a-0"}}}]),
        traffic("a", mirror=[{"percent": 1, "destination": {"name": "cart", "subset": {POD_NAME: "a-0"}}}]),
        traffic("a", sources=[{"labels": {POD_NAME: "a-0"}}], timeout="1s"),
        factories.policy(
            "VirtualMesh", "m", meshes=[{"selector": {"all": True}}], gateways=[{"labels": {POD_NAME: "a-0"}}]
        ),
    ],
    ids=["split", "mirror", "sources", "gateways"],
)
def test_a_label_that_a_policy_names_is_kept(policy: Policy, tmp_path: Path) -> None:
    folders = Folders(tmp_path, ("east",))
    members = [pod(f"a-{n}", "a", {"http": 80}, {"app": "a", POD_NAME: f"a-{n}"}) for n in range(2)]
    folders.put("east", "members", *members, service("cart", 80, 80, app="a"))

    def kept(*policies: Policy) -> list[str | None]:
        folders.commit(*map(document_of, policies))
        facts = folders.run().clusters["east"].facts
        assert facts is not None
        return [w.labels.get(POD_NAME) for w in facts.workloads if w.name == "a"]

    assert kept(access("b", "cart")) == [None]
    assert kept(access("b", "cart"), policy) == ["a-0", "a-1"]


NAMING: list[tuple[Body, dict[str, list[str | None]]]] = [
    (
        authorization("one", "shop", {"selector": {"matchLabels": {"app": "log", POD_NAME: "log-0"}}}),
        {"log": ["log-0", "log-1"], "db": [None]},
    ),
    (
        authorization("all", "istio-system", {"selector": {"matchLabels": {POD_NAME: "log-0"}}}),
        {"log": ["log-0", "log-1"], "db": ["db-0", "db-1"]},
    ),
    (
        thing(
            "PeerAuthentication",
            "one",
            "shop",
            "security.istio.io/v1",
            spec={"selector": {"matchLabels": {POD_NAME: "db-0", "app": "db"}}, "mtls": {"mode": "DISABLE"}},
        ),
        {"log": [None], "db": ["db-0", "db-1"]},
    ),
    (
        thing(
            "DestinationRule",
            "one",
            "shop",
            "networking.istio.io/v1",
            spec={"host": "*", "workloadSelector": {"matchLabels": {"app": "db", POD_NAME: "db-0"}}},
        ),
        {"log": [None], "db": ["db-0", "db-1"]},
    ),
    (
        authorization("far", "far", {"selector": {"matchLabels": {POD_NAME: "log-0"}}}),
        {"log": [None], "db": [None]},
    ),
]


@pytest.mark.parametrize("memo", [None, Memo()], ids=["sync", "agent"])
@pytest.mark.parametrize(("body", "kept"), NAMING)
def test_a_label_that_a_stranger_selects_by_is_kept_for_as_long_as_he_does(
    body: Body, kept: dict[str, list[str | None]], memo: Memo | None, tmp_path: Path
) -> None:
    folders = Folders(tmp_path, ("east",), memo=memo and Memo())
    for name in kept:
        own = [pod(f"{name}-{n}", name, {"http": 80}, {"app": name, POD_NAME: f"{name}-{n}"}) for n in (0, 1)]
        folders.put("east", name, *own)
    folders.commit(allow("web", "web", "api"))

    def found() -> dict[str, list[str | None]]:
        facts = folders.run().clusters["east"].facts
        assert facts is not None
        mine = [w for w in facts.workloads if w.kind == "StatefulSet"]
        return {name: [w.labels.get(POD_NAME) for w in mine if w.name == name] for name in kept}

    dropped: dict[str, list[str | None]] = {name: [None] for name in kept}
    assert found() == dropped
    folders.put("east", "theirs", body)
    assert found() == kept
    assert found() == kept
    folders.drop("east", "theirs")
    assert found() == dropped


def test_of_many_selectors_only_the_labels_count_that_they_name() -> None:
    crowd = [("shop", {"app": f"a{n}", POD_NAME: "a-0"}) for n in range(2_000)]
    assert Selectors(crowd).kept("shop", (("app", "other"),)) == {POD_NAME}
    assert Selectors(crowd[:10]).kept("shop", (("app", "other"),)) == frozenset()
    assert Selectors(crowd).kept("bank", (("app", "a1"),)) == frozenset()


def test_shapes_survive_the_document() -> None:
    for facts in (log(), ledger(), page(), cart(8080, 8081)):
        assert load_facts(dump_facts({"east": facts})) == {"east": facts}


def saved(service_selector: Mapping[str, str], **workload: Any) -> ClusterFacts:
    """Facts as an older version saved them."""
    one = {"kind": "StatefulSet", "namespace": "shop", "name": "log", "labels": {"app": "log"}, **workload}
    ports = [{"number": 9092, "name": "tcp-client", "target": "client", "protocol": "tcp"}]
    services = [{"namespace": "shop", "name": "log-0", "selector": dict(service_selector), "ports": ports}]
    mesh = {"translator": "istio", "name": "istio", "rootNamespace": "istio-system", "trustDomain": "x"}
    cluster = {"name": "east", "services": services, "workloads": [one], "meshes": [mesh]}
    accounts = {"serviceAccounts": {"shop": ["packer", "clerk"]}}
    document = {"apiVersion": "gitmesh.io/v1alpha1", "kind": "Facts", "clusters": [{**cluster, **accounts}]}
    return load_facts(document)["east"]


def test_averages_of_older_versions_are_read_as_the_shapes_of_which_they_speak() -> None:
    facts = saved(
        {"app": "log"},
        differing=["role"],
        ports={"client": 9092, "peer": 1},
        further={"client": [9093]},
        mesh="istio",
        pods=5,
        bare=1,
    )
    shapes = [(w.ports["client"], w.mesh, w.pods) for w in facts.workloads]
    assert shapes == [(9092, "istio", 3), (9093, "istio", 1), (9092, "", 1)]
    assert all(set(w.dropped) == ROLLING_LABELS | {"role"} for w in facts.workloads)
    assert load_facts(dump_facts({"east": facts})) == {"east": facts}


@pytest.mark.parametrize("key", [POD_NAME, "role"])
def test_a_selector_on_a_label_that_old_facts_left_out_is_unknown(key: str) -> None:
    facts = saved({"app": "log", key: "x"}, differing=["role"], ports={"client": 9092}, mesh="istio", pods=2)
    found = written([PACKER], facts)
    assert "GM216" in codes(found)
    assert not found.bodies
    assert found.builds["east"].held_units == {half_key("access", "east", ("shop", "log-0"))}
    assert says([PACKER], facts, "clerk", "log-0") == "Unknown"


def test_a_selector_that_old_facts_can_answer_is_answered() -> None:
    facts = saved({"app": "log"}, differing=["role"], ports={"client": 9092}, mesh="istio", pods=2)
    assert not codes(written([PACKER], facts))
    assert says([PACKER], facts, "clerk", "log-0") == "Denied"


def test_of_a_controller_without_pods_it_is_not_known_whether_they_will_be_guarded() -> None:
    template = {"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "app"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "log"}}, "template": template}
    facts = world(
        service("log", 9092, 9092, app="log"), thing("Deployment", "log", "shop", "apps/v1", spec=spec)
    )
    assert says([grant("packer-to-all", "log", "packer")], facts, "clerk", "log") == "Unknown"

"""What a tenant does in a namespace of its own, or whoever may write one cluster, brings about nothing
mesh-wide and nothing elsewhere (docs/security.md). Each of these did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.model.report import State
from tests.folders import (
    AUTHORIZATION,
    Body,
    Folders,
    allow,
    app,
    codes,
    deny,
    istiod,
    mesh_config,
    said,
    service,
    thing,
    virtual_mesh,
)

DEFAULT_DENY = f"istio-system/{AUTHORIZATION}/gitmesh-default-deny.yaml"
STRICT = "istio-system/peerauthentication.security.istio.io/default.yaml"
OPENER = f"evil/{AUTHORIZATION}/g-istio-gitmesh-gateway.yaml"


def gateway() -> list[Body]:
    """A programmed Gateway with its pods, in the tenant's namespace."""
    conditions = [{"type": "Programmed", "status": "True"}]
    owner = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "name": "g",
        "uid": "g",
        "controller": True,
    }
    labels = {"gateway.networking.k8s.io/gateway-name": "g"}
    named = thing(
        "Gateway",
        "g",
        "evil",
        "gateway.networking.k8s.io/v1",
        spec={"gatewayClassName": "istio"},
        status={"conditions": conditions},
    )
    spec: Body = {
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", "router"]}]},
        }
    }
    deployment = thing("Deployment", "g-istio", "evil", "apps/v1", labels, spec=spec)
    deployment["metadata"]["ownerReferences"] = [owner]
    owned = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "g-istio-1",
        "uid": "r",
        "controller": True,
    }
    replicas = thing("ReplicaSet", "g-istio-1", "evil", "apps/v1")
    replicas["metadata"]["ownerReferences"] = [{**owned, "kind": "Deployment", "name": "g-istio"}]
    pod = app("g-istio", "evil", pod="g-istio-1-x", labels=labels)
    pod["spec"]["containers"] = [
        {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3", "args": ["proxy", "router"]}
    ]
    pod["metadata"]["ownerReferences"] = [owned]
    return [
        thing("Namespace", "evil", labels={"istio-injection": "enabled"}),
        named,
        deployment,
        replicas,
        pod,
    ]


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    own = allow("own", "own", "web", sources=[{"serviceAccounts": [{"name": "web", "namespace": "shop"}]}])
    own["metadata"]["namespace"] = "evil"
    for name in made.names:
        made.put(name, "gateway", *gateway())
        made.put(
            name, "own", service("own", "evil"), app("own", "evil"), thing("ServiceAccount", "own", "evil")
        )
    made.commit(
        own, allow("web-api", "api", "web"), virtual_mesh(accessDefault="Deny", mtls={"mode": "Strict"})
    )
    made.settle()
    assert {DEFAULT_DENY, STRICT, OPENER} <= made.live("east").keys()
    return made


def change(world: Folders, path: str, **metadata: Any) -> None:
    file = world.root / "east" / path
    body = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name, value in metadata.items():
        body["metadata"][name] = {**body["metadata"][name], **value} if isinstance(value, dict) else value
    file.write_text(yaml.safe_dump(body), encoding="utf-8")


def lose(world: Folders) -> None:
    """What is mesh-wide goes by a hand, and must come back."""
    for path in (DEFAULT_DENY, STRICT):
        (world.root / "east" / path).unlink()


def test_an_annotation_in_a_namespace_holds_nothing_mesh_wide(world: Folders) -> None:
    world.put("east", "own", app("own", "evil"), thing("ServiceAccount", "own", "evil"))
    change(world, OPENER, annotations={"gitmesh.io/policies": "AccessPolicy/evil/own"})
    lose(world)
    report = world.run()
    assert "GM208" in codes(report)
    assert {DEFAULT_DENY, STRICT} <= world.live("east").keys()


PENDING = allow("pending", "missing", "db")
EVERYBODY = {"from": [{"source": {"namespaces": ["*"]}}]}


@pytest.mark.parametrize(
    "claimed", ["AccessPolicy/shop/grants,AccessPolicy/shop/pending", "AccessPolicy/shop/pending"]
)
def test_an_object_that_claims_a_policy_that_waits_is_healed_all_the_same(
    tmp_path: Path, claimed: str
) -> None:
    """The policy names what is not there, so what it did stays; that it did this, only the object says."""
    world = Folders(tmp_path, names=("east",))
    world.commit(virtual_mesh(accessDefault="Deny"), allow("grants", "api", "db"), PENDING)
    world.settle()
    before = world.spec("east", "api-allow")
    path = tmp_path / "east" / "shop" / AUTHORIZATION / "api-allow.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    body["spec"]["rules"].append(EVERYBODY)
    body["metadata"]["annotations"]["gitmesh.io/policies"] = claimed
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    report = world.settle()
    assert world.spec("east", "api-allow") == before
    assert "GM314" not in codes(report)


@pytest.mark.parametrize("hides", [False, True])
def test_what_a_policy_did_that_waits_stays_and_nothing_that_was_added_to_it(
    tmp_path: Path, hides: bool
) -> None:
    """The counter-proof: the ledger knows that the grant is of a policy that now names what is not there."""
    world = Folders(tmp_path, names=("east",))
    world.commit(virtual_mesh(accessDefault="Deny"), allow("pending", "api", "db"))
    world.settle()
    before = world.spec("east", "api-allow")
    world.commit(virtual_mesh(accessDefault="Deny"), PENDING)
    world.settle()
    path = tmp_path / "east" / "shop" / AUTHORIZATION / "api-allow.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    body["spec"]["rules"].append(EVERYBODY)
    if hides:
        body["metadata"]["annotations"]["gitmesh.io/policies"] = ""
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    world.settle()
    assert world.spec("east", "api-allow") == before


def test_an_opener_that_does_not_go_keeps_no_default_deny_away(world: Folders) -> None:
    change(world, OPENER, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["evil/x"])
    lose(world)
    assert "GM514" in codes(world.run())
    assert {DEFAULT_DENY, STRICT} <= world.live("east").keys()


def test_an_opener_that_cannot_be_written_keeps_no_default_deny_away(world: Folders) -> None:
    (world.root / "east" / OPENER).unlink()
    (world.root / "east" / OPENER).mkdir()
    lose(world)
    assert world.run().clusters["east"].state is State.FAILED
    assert all((world.root / "east" / path).is_file() for path in (DEFAULT_DENY, STRICT))


def test_a_pod_that_keeps_a_revision_from_being_forgotten_keeps_no_grant_and_nothing_that_others_share(
    tmp_path: Path,
) -> None:
    made = Folders(tmp_path)
    made.put("east", "istiod", istiod(), istiod(revision="old"))
    made.put(
        "east",
        "mesh",
        mesh_config(trustDomain="east.example"),
        mesh_config(revision="old", trustDomain="east.example"),
    )
    every = virtual_mesh(accessDefault="Deny", mtls={"mode": "Strict"})
    made.commit(allow("web-api", "api", "web"), every)
    made.settle()
    made.restore("east", "istiod", "mesh")
    made.put("east", "evil", thing("Namespace", "evil"), app("own", "evil", revision="old"))
    (made.root / "east" / STRICT).unlink()
    made.commit(every)
    report = made.settle()
    assert "GM507" in codes(report)
    assert STRICT in made.live("east")
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in made.live("east"), (
        "a grant that Git withdrew is withdrawn"
    )


def test_one_ledger_does_not_say_who_the_callers_of_another_cluster_are(tmp_path: Path) -> None:
    made = Folders(tmp_path, names=("east", "south", "west"))
    bound = deny("no", "api", sources=[{"serviceAccounts": [{"name": "web", "cluster": "west"}]}])
    made.commit(bound)
    made.settle()
    before = made.live("south")
    (made.root / "west").rename(made.root / "away")

    def forged(document: Body) -> None:
        document["meshes"]["west"][0]["trustDomain"] = "evil.example"

    made.tamper("east", forged)
    report = made.run()
    assert "GM216" in codes(report)
    assert made.live("south") == before


def test_one_ledger_ends_no_hold_of_a_source_while_the_other_clusters_do_not_answer(world: Folders) -> None:
    before = world.live("west")
    world.sources[0].commit("", good=True)
    [empty] = said(world.run(), "GM110")
    world.approve(empty.hold, "east")
    (world.root / "west").rename(world.root / "away")
    assert "GM110" in codes(world.run())
    (world.root / "away").rename(world.root / "west")
    assert "GM110" in codes(world.run())
    assert world.live("west") == before


def test_no_pod_is_hidden_by_what_it_says_of_its_owner(tmp_path: Path) -> None:
    made = Folders(tmp_path, names=("east",))
    made.commit(allow("web-api", "api", "web"))
    made.put("east", "services", service("web"), service("api"), service("db"))
    odd = app("api", pod="api-9", ports={"http": 8080})
    odd["metadata"]["ownerReferences"] = [
        {"apiVersion": "x/v1", "kind": "Foo", "name": "API_x", "uid": "u", "controller": True}
    ]
    made.put("east", "odd", odd)
    assert codes(made.settle()) == []
    assert ("shop", "api-9") in {(one.namespace, one.name) for one in facts(made)}


def facts(world: Folders) -> Any:
    found = world.run().clusters["east"].facts
    assert found is not None
    return found.workloads


def test_marks_that_were_changed_on_an_object_of_ours_are_told_as_such(world: Folders) -> None:
    change(world, f"shop/{AUTHORIZATION}/api-allow.yaml", labels={"gitmesh.io/instance": ""})
    [told] = said(world.run(), "GM401")
    assert (told.severity, "marks that somebody changed" in told.message) == ("error", True)


@pytest.mark.parametrize("where", ["annotations", "args"])
def test_an_interface_that_the_proxy_leaves_out_guards_nothing(tmp_path: Path, where: str) -> None:
    made = Folders(tmp_path, names=("east",))
    pod = app("api")
    if where == "annotations":
        pod["metadata"]["annotations"] = {"traffic.sidecar.istio.io/excludeInterfaces": "eth0"}
    else:
        pod["spec"]["initContainers"] = [
            {"name": "istio-init", "image": "proxyv2", "args": ["istio-iptables", "-b", "*", "-c", "eth0"]}
        ]
    made.put("east", "pods", app("web"), pod, app("db"))
    made.commit(deny("no", "api", "web"))
    report = made.run()
    assert [one.severity for one in said(report, "GM308")] == ["error"]


def test_runs_of_a_cron_job_are_one_workload(tmp_path: Path) -> None:
    made = Folders(tmp_path, names=("east",))
    made.commit(deny("no", "api", "web"))
    names = set()
    for minute in ("28391055", "28391056"):
        pod = app("api", pod=f"sweep-{minute}-x")
        pod["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": f"sweep-{minute}",
                "uid": minute,
                "controller": True,
            }
        ]
        made.put("east", "job", pod)
        names |= {(one.kind, one.name) for one in facts(made) if one.name.startswith("sweep")}
    assert names == {("CronJob", "sweep")}

"""What others wrote for one control plane of several (label `istio.io/rev`) does nothing to pods of another:
it neither closes, widens nor overrides there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitmesh.cli.asking import known_clusters
from gitmesh.model.report import Report
from gitmesh.reasoning.access import can
from gitmesh.reasoning.questions import Client, Question
from tests.folders import Body, Folders, allow, app, authorization, codes, istiod, service, thing, webhook
from tests.properties.history import document

REVISION = "istio.io/rev"
BLUE = {REVISION: "blue"}
REST = {"to": [{"operation": {"notPorts": ["8080"]}}]}
SUBSET = document(
    "TrafficPolicy",
    "pinned",
    destinations=[{"name": "api"}],
    split=[{"weight": 1, "destination": {"name": "api", "subset": {"app": "api"}}}],
)


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """`shop` is of green and `old` of blue; they share a root namespace."""
    made = Folders(tmp_path, ("east",))
    spaces = [thing("Namespace", "shop", labels={REVISION: "green"}), thing("Namespace", "old", labels=BLUE)]
    made.put("east", "namespaces", thing("Namespace", "istio-system"), *spaces)
    made.put("east", "istiod", istiod(revision="blue"), istiod(revision="green"))
    made.drop("east", "mesh")
    crone = (thing("ServiceAccount", "crone", "old"), app("crone", "old"), service("crone", "old"))
    made.put("east", "old", *crone)
    return made


def hand(world: Folders, *bodies: Body) -> None:
    world.put("east", "hand", *bodies)


def rules(world: Folders) -> list[Body]:
    return list(world.spec("east", "api-allow")["rules"])


@pytest.mark.parametrize(
    ("revision", "closes"),
    [
        pytest.param("blue", False, id="another control plane's"),
        pytest.param("green", True, id="its own"),
        pytest.param("", True, id="of no revision, so everybody's"),
        pytest.param("prod", True, id="of a name that may be a tag of its own"),
    ],
)
@pytest.mark.parametrize("namespace", ["istio-system", "shop"])
def test_what_another_control_plane_reads_closes_nothing(
    world: Folders, namespace: str, revision: str, closes: bool
) -> None:
    labels = {REVISION: revision} if revision else None
    hand(world, authorization("allow-nothing", namespace, {}, **({"labels": labels} if labels else {})))
    world.commit(allow("readers", "api", "web"))
    report = world.settle()
    assert codes(report) == (["GM410"] if closes else [])
    assert (REST in rules(world)) is not closes


def answer(report: Report, service: tuple[str, str]) -> str:
    client = Client(namespace="shop", service_account="web", trust_domain="cluster.local", mesh="istio-green")
    return can(Question(client=client, service=service, port=80), known_clusters(report)["east"]).answer.value


def test_the_calculator_counts_it_where_it_is_read(world: Folders) -> None:
    hand(world, authorization("allow-nothing", "istio-system", {}, labels=BLUE))
    world.commit(allow("readers", "api", "web"))
    report = world.settle()
    assert answer(report, ("shop", "db")) == "Allowed"
    assert answer(report, ("old", "crone")) == "Denied"


@pytest.mark.parametrize("revision", ["blue", "green"])
def test_mtls_of_one_revision_beside_that_of_another_is_no_conflict(world: Folders, revision: str) -> None:
    """Ours has the label of the mesh that the policy selects."""
    spec = {"mtls": {"mode": "STRICT"}}
    peer = thing("PeerAuthentication", "by-hand", "istio-system", "security.istio.io/v1", spec=spec)
    peer["metadata"]["labels"] = {REVISION: revision}
    hand(world, peer)
    meshes = [{"cluster": "east", "name": "istio-green"}]
    world.commit(document("VirtualMesh", "green", meshes=meshes, mtls={"mode": "Permissive"}))
    assert codes(world.settle()) == (["GM401"] if revision == "green" else [])


def networking(kind: str, revision: str, **spec: object) -> Body:
    """Somebody's object for the host of `api`, for the clients in `old`."""
    host = "api.shop.svc.cluster.local"
    named = {"host": host} if kind == "DestinationRule" else {"hosts": [host], "exportTo": ["."]}
    body = thing(kind, "private", "old", "networking.istio.io/v1", spec={**named, **spec})
    body["metadata"]["labels"] = {REVISION: revision}
    return body


@pytest.mark.parametrize(("revision", "found"), [("blue", ["GM401"]), ("green", [])])
@pytest.mark.parametrize("kind", ["DestinationRule", "VirtualService"])
def test_clients_follow_what_their_own_control_plane_reads(
    world: Folders, kind: str, revision: str, found: list[str]
) -> None:
    hand(world, networking(kind, revision))
    world.commit(SUBSET)
    assert codes(world.settle()) == found


def tag(name: str, revision: str) -> Body:
    body = webhook(revision)
    body["metadata"]["name"] = f"istio-revision-tag-{name}-istio-system"
    body["metadata"]["labels"]["istio.io/tag"] = name
    return body


@pytest.mark.parametrize(("revision", "closes"), [("blue", False), ("green", True)])
def test_a_tag_is_another_name_of_its_revision(world: Folders, revision: str, closes: bool) -> None:
    """For the namespace whose pods it names, and for objects."""
    world.put("east", "tags", tag("prod", revision), tag("stable", "green"))
    spaces = [thing("Namespace", "shop", labels={REVISION: "stable"}), thing("Namespace", "old", labels=BLUE)]
    world.put("east", "namespaces", thing("Namespace", "istio-system"), *spaces)
    hand(world, authorization("allow-nothing", "istio-system", {}, labels={REVISION: "prod"}))
    world.commit(allow("readers", "api", "web"))
    report = world.settle()
    assert codes(report) == (["GM410"] if closes else []), "and no pod is in no mesh"
    assert (REST in rules(world)) is not closes


@pytest.mark.parametrize("revision", ["blue", "green"])
def test_pods_to_come_may_be_of_any(world: Folders, revision: str) -> None:
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "app"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "api"}}, "template": template}
    world.put("east", "pods", app("web"), thing("Deployment", "api", "shop", "apps/v1", spec=spec))
    hand(world, authorization("allow-nothing", "istio-system", {}, labels={REVISION: revision}))
    world.commit(allow("readers", "api", "web"))
    world.settle()
    assert REST not in rules(world)

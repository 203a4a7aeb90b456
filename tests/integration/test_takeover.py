"""What an older version left behind is taken over: nothing is deleted, opened or closed, one VirtualService
is said otherwise, and what is newly needed is told with the line to write (tests/takeover/README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.planning.ledger_codec import SCHEMA
from tests.lab.apiserver import ApiServer
from tests.lab.build import Binaries
from tests.shop import SyncReport
from tests.takeover.state import (
    CLUSTERS,
    HERE,
    STATUS,
    TakenOver,
    install,
    ledger,
    place,
    rows,
    world,
    written,
)

CYCLES = 3
NEEDED = {"GM315", "GM507", "GM523"}
"""Of a gateway outside of the control plane's namespace, and of a control plane outside of the usual one."""
REWRITTEN = "virtualservices/reviews"
"""In each cluster: its shares named the only port of the Service itself (docs/upgrading.md)."""
Seen = Callable[[], Mapping[str, object]]
"""What tells the state of the clusters, and any write between two calls of it."""


def objects(root: Path) -> Mapping[str, object]:
    """Every file of directory clusters but the ledgers and what is rewritten: a file that is written anew is
    another one, whatever is in it.
    """
    found = [
        path
        for path in sorted((root / "clusters").rglob("*"))
        if path.is_file() and ".gitmesh" not in path.parts and path not in rewritten(root)
    ]
    return {str(path): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def rewritten(root: Path) -> list[Path]:
    """The files of `REWRITTEN`, a cluster each."""
    name = "shop/virtualservice.networking.istio.io/reviews.yaml"
    return [root / "clusters" / cluster / name for cluster in CLUSTERS]


def line_of(report: SyncReport, code: str, field: str) -> str:
    """The line that the hints of a code name, all of them the same."""
    hints = {one["hint"] for one in report.findings if one["code"] == code}
    found = {re.sub(r"(, or, where .*|\.)\Z", "", hint[hint.index(f"{field}: ") :]) for hint in hints}
    (line,) = found
    return line


def held(report: SyncReport, cluster: str) -> list[str]:
    """The names of the objects that are left as they are."""
    (found,) = (one for one in report.document["clusters"] if one["name"] == cluster)
    return sorted(change["name"] for change in found["changes"] if change["action"] == "held")


def go_through(shop: TakenOver, seen: Seen) -> None:
    """Take the state over as it is, then with the first line that is asked for, then with the second."""
    before, tip = seen(), shop.repo.tip(STATUS)
    for _ in range(2):
        report = shop.sync(code=2)
        assert {one["code"] for one in report.findings} == NEEDED
        assert report.codes() == {"GM315"}
        assert held(report, "east") == ["ingress-gitmesh-gateway"]
        assert held(report, "west") == sorted(body["metadata"]["name"] for body in written("west"))
    assert seen() == before
    assert shop.repo.log(STATUS)[1:] == [tip], "one status commit, on top of what was there"
    run_agent(shop)
    assert seen() == before

    shop.allow_control_planes(line_of(report, "GM507", "controlPlanes"))
    report = shop.sync(code=2)
    assert {one["code"] for one in report.findings} == {"GM315"}
    assert (held(report, "east"), held(report, "west")) == (["ingress-gitmesh-gateway"], [])
    assert seen() == before

    shop.declare_gateways(line_of(report, "GM315", "gateways"))
    report = shop.sync(code=0)
    assert report.findings == []
    assert {report.state(name) for name in CLUSTERS} == {"Synced"}
    run_agent(shop)
    assert seen() == before


def run_agent(shop: TakenOver) -> None:
    """Some cycles of the agent, which come to no other end than a sync."""
    tip = shop.repo.tip(STATUS)
    with shop.agent() as agent:
        agent.ready()
        agent.ticks(CYCLES)
        assert agent.events("write") == []
    assert shop.repo.tip(STATUS) == tip


def goes_on(shop: TakenOver, read: Callable[[str, str, str], Any], edit: Callable[[], object]) -> None:
    """What was taken over is ours as ever: it is healed, and goes with its policy."""
    deny = read("east", "AuthorizationPolicy", "reviews-deny")
    edit()
    assert read("east", "AuthorizationPolicy", "reviews-deny") != deny
    shop.sync(code=0)
    assert read("east", "AuthorizationPolicy", "reviews-deny") == deny
    text = shop.repo.files()["policies/access.yaml"].decode()
    shop.repo.update({"policies/access.yaml": text.rpartition("---\n")[0]})
    shop.sync(code=0)
    names = ("page", "ratings", "reviews")
    assert {
        read(cluster, "AuthorizationPolicy", f"{name}-deny") is None for cluster in CLUSTERS for name in names
    } == {True}
    assert {
        read(cluster, "AuthorizationPolicy", f"{name}-allow") is None
        for cluster in CLUSTERS
        for name in names
    } == {False}


# --- the state itself


def test_the_state_is_whole() -> None:
    """Of every kind that is written, in both clusters; each object in its ledger, and nothing else."""
    kinds = {"AuthorizationPolicy", "DestinationRule", "PeerAuthentication", "VirtualService"}
    for name in CLUSTERS:
        known = ledger(name)
        made = {place(body) for body in written(name)}
        assert known["schema"] == 1
        assert {(*where, one) for where, row in rows(known) for one in row} == made
        assert {kind.partition("/")[2] for kind, _, _ in made} == kinds
        assert not [body for body in world(name) if "gitmesh" in json.dumps(body)]


# --- directory clusters


@pytest.fixture
def shop(tmp_path: Path) -> TakenOver:
    return TakenOver(tmp_path)


def test_directory_clusters_are_taken_over_without_a_write(shop: TakenOver) -> None:
    assert ledger("east")["sources"] == {"policies": shop.commit_id}
    go_through(shop, lambda: objects(shop.root))
    for name in CLUSTERS:
        now = json.loads(
            (shop.root / "clusters" / name / ".gitmesh" / "ledger.yaml").read_text(encoding="utf-8")
        )
        assert now["schema"] == SCHEMA
        assert now["origins"] == [["policies"]]
        assert {mesh["rootNamespace"] for mesh in now["meshes"]["west"]} == {"istio-prod"}
    goes_on(shop, lambda *place: read_file(shop, *place), lambda: open_by_hand(shop))


def test_the_shares_of_a_service_with_one_port_are_all_that_is_said_otherwise(shop: TakenOver) -> None:
    """And what is held, as its mesh is not known, is said as before."""
    before = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in rewritten(shop.root)]
    shop.sync(code=2)
    east, west = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in rewritten(shop.root))
    for row in before[0]["spec"]["http"]:
        for share in row["route"]:
            assert share["destination"].pop("port") == {"number": 80}
    assert [east, west] == before


def read_file(shop: TakenOver, cluster: str, kind: str, name: str) -> Any:
    paths = list((shop.root / "clusters" / cluster / "shop").glob(f"{kind.lower()}.*/{name}.yaml"))
    return yaml.safe_load(paths[0].read_text(encoding="utf-8"))["spec"] if paths else None


def open_by_hand(shop: TakenOver) -> None:
    (path,) = (shop.root / "clusters/east/shop").glob("authorizationpolicy.*/reviews-deny.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("sa/batch", "sa/nobody"), encoding="utf-8")


def test_facts_of_an_older_version_are_read(shop: TakenOver) -> None:
    ran = shop.gitmesh("render", str(HERE / "policies"), "--facts", str(HERE / "facts.yaml"), code=0)
    rendered = {
        (o["kind"], o["metadata"]["annotations"]["gitmesh.io/id"]) for o in yaml.safe_load_all(ran.out) if o
    }
    assert rendered == {
        (o["kind"], o["metadata"]["annotations"]["gitmesh.io/id"]) for name in CLUSTERS for o in written(name)
    }


def test_a_revision_that_is_refused_now_leaves_everything_as_it_is(shop: TakenOver) -> None:
    """It was in force, its source has no other, and the first run says what is wrong in it."""
    bad = shop.edit("traffic.yaml", 'exact: "https://shop.example"', 'prefix: "https://"')
    for name in CLUSTERS:
        path = shop.root / "clusters" / name / ".gitmesh" / "ledger.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace(shop.commit_id, bad), encoding="utf-8")
    before = objects(shop.root)
    for _ in range(2):
        report = shop.sync(code=2)
        assert {"GM203", "GM605", "GM606"} <= report.codes()
        assert "nothing of this source is in force" in report.one("GM605")["message"]
    assert objects(shop.root) == before
    shop.edit("traffic.yaml", 'prefix: "https://"', 'exact: "https://shop.example"')
    assert shop.sync(code=2).codes() == {"GM315"}
    assert objects(shop.root) == before


def test_what_is_held_keeps_what_an_older_version_wrote(shop: TakenOver) -> None:
    """Its ledger does not say whose the objects are."""
    preview = "split: [{destination: {name: reviews, subset: {version: v2}}}]"
    shop.edit("traffic.yaml", preview, "split: [{destination: {name: gone}}]")
    shop.edit("traffic.yaml", "{name: reviews, namespace: shop}", "{name: renamed, namespace: shop}")
    before = objects(shop.root)
    for _ in range(2):
        assert "GM208" in shop.sync(code=2).codes()
    assert objects(shop.root) == before


# --- API servers


@pytest.fixture
def servers(binaries: Binaries) -> Iterator[dict[str, ApiServer]]:
    """Servers of their own, as the state has fixed names."""
    with ApiServer(binaries, name="takeover-east") as east, ApiServer(binaries, name="takeover-west") as west:
        found = {"east": east, "west": west}
        for name, server in found.items():
            assert binaries.istio_crds is not None
            server.install_crds(binaries.istio_crds)
            install(server, name)
        yield found


def istio_writes(
    servers: Mapping[str, ApiServer], marks: Mapping[str, int]
) -> Mapping[str, list[tuple[str, str]]]:
    """What was asked to be changed of anything but the ledger, and what is rewritten, since the marks."""
    events = {name: server.audit_events(marks[name]) for name, server in servers.items()}
    return {
        name: [
            (e.verb, e.request_uri)
            for e in found
            if e.is_write and e.user_agent.startswith("gitmesh/") and "istio.io" in e.api_group
            if not e.request_uri.partition("?")[0].endswith(REWRITTEN)
        ]
        for name, found in events.items()
    }


@pytest.mark.lab
def test_real_clusters_are_taken_over_without_a_write_and_with_the_rights_of_before(
    servers: dict[str, ApiServer], tmp_path: Path
) -> None:
    """The ServiceAccount has what the manifests of the older version gave it, and `check` names what it
    lacks.
    """
    clusters = []
    for name, server in servers.items():
        server.apply(rights(name))
        path = server.serviceaccount_kubeconfig("gitmesh-system", "gitmesh", tmp_path / f"{name}.kubeconfig")
        clusters.append({"name": name, "kubeconfig": {"path": str(path)}})
    shop = TakenOver(tmp_path, clusters=clusters)
    marks = {name: server.audit_mark() for name, server in servers.items()}
    go_through(shop, lambda: istio_writes(servers, marks))
    assert istio_writes(servers, marks) == {"east": [], "west": []}
    checked = shop.gitmesh("check", code=2).out
    lacking = (
        "missing: list mutatingwebhookconfigurations.admissionregistration.k8s.io, list"
        " gateways.gateway.networking.k8s.io\n"
    )
    assert checked.count(lacking) == 2
    for server in servers.values():
        config = server.get("v1", "ConfigMap", "gitmesh-system", "gitmesh-shop")
        assert config is not None
        assert json.loads(config["data"]["ledger.json"])["schema"] == SCHEMA
    for name, server in servers.items():
        asked = [e.request_uri for e in server.audit_events(marks[name]) if e.is_write]
        assert len([uri for uri in asked if REWRITTEN in uri and "dryRun" not in uri]) == 1
    goes_on(shop, lambda *place: read_live(servers, *place), lambda: open_live(servers["east"]))
    done = {(verb, re.sub(r".*/|\?.*", "", uri)) for verb, uri in istio_writes(servers, marks)["east"]}
    gone = {("delete", f"{name}-deny") for name in ("page", "ratings", "reviews")}
    assert done == {("patch", "reviews-deny"), *gone}, "the judge sees what is written"


def rights(cluster: str) -> list[dict[str, Any]]:
    """The rights of before, without Roles for namespaces that the cluster lacks."""
    there = {body["metadata"]["name"] for body in world(cluster) if body["kind"] == "Namespace"}
    documents = yaml.safe_load_all((HERE / "rbac.yaml").read_text(encoding="utf-8"))
    return [
        body
        for body in documents
        if body["metadata"].get("namespace", "gitmesh-system") in {*there, "gitmesh-system"}
    ]


GROUPS = {"AuthorizationPolicy": "security.istio.io/v1", "VirtualService": "networking.istio.io/v1"}


def read_live(servers: Mapping[str, ApiServer], cluster: str, kind: str, name: str) -> Any:
    found = servers[cluster].get(GROUPS[kind], kind, "shop", name)
    return found["spec"] if found else None


def open_live(server: ApiServer) -> None:
    path = server.client.resource_path(
        GROUPS["AuthorizationPolicy"], "AuthorizationPolicy", "shop", "reviews-deny"
    )
    spec = {"spec": {"rules": [{"from": [{"source": {"principals": ["east.example/ns/shop/sa/nobody"]}}]}]}}
    server.client.call(
        "PATCH", f"{path}?fieldManager=kubectl-edit", spec, content_type="application/merge-patch+json"
    )

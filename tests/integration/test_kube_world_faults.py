"""Bad clusters through the real command line, on real API servers: each is a finding on its own, and east is
always kept.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.apiserver import ApiServer
from tests.lab.build import Binaries
from tests.lab.fixtures import not_available
from tests.lab.installation import OWN_NAMESPACE
from tests.patience import GIVEN_UP
from tests.shop import Shop, SyncReport, bookshop, policy, traffic

pytestmark = [pytest.mark.lab, pytest.mark.e2e]

NETWORKING = "networking.istio.io/v1"
SHARED_CRDS = Path(__file__).parents[3] / "shared/crds/istio"


@dataclass
class Mixed:
    """East as a directory, which never fails, and `lab` as a real server with a namespace of its own in
    it.
    """

    shop: Shop
    server: ApiServer
    namespace: str

    def commit(self, timeout: str) -> str:
        """A timeout for ratings, everywhere."""
        return self.shop.commit(self.ratings(timeout))

    def ratings(self, timeout: str, **spec: Any) -> dict[str, Any]:
        """The policy on ratings in both namespaces."""
        destinations = [
            {"name": "ratings", "clusters": ["east"]},
            {"name": "ratings", "namespace": self.namespace, "clusters": ["lab"]},
        ]
        return traffic(
            "ratings", timeout=timeout, destinations=[self.destination(one) for one in destinations], **spec
        )

    def destination(self, one: dict[str, Any]) -> dict[str, Any]:
        """As a selector: a name in a namespace."""
        namespace = one.pop("namespace", "bookshop")
        return {**one, "namespaces": [namespace]}

    def path(self) -> str:
        """The URL of the VirtualService in lab."""
        return self.server.client.resource_path(NETWORKING, "VirtualService", self.namespace, "ratings")

    def live(self) -> dict[str, Any]:
        """The VirtualService in lab."""
        found: dict[str, Any] = self.server.client.call("GET", self.path())
        return found

    def timeout(self) -> str:
        """Its timeout."""
        return str(self.live()["spec"]["http"][-1]["timeout"])

    def fails(self, word: str, timeout: str, code: int = 3) -> SyncReport:
        """A sync in which lab fails with a code or text and east gets its new timeout."""
        self.commit(timeout)
        report = self.shop.sync(code=code)
        assert word in str([one for one in report.findings if one.get("cluster") == "lab"])
        assert f"timeout: {timeout}".encode() in self.shop.live("ratings").read_bytes(), "east is kept"
        return report

    def reach(self, **cluster: Any) -> None:
        """Change how lab is reached."""
        self.shop.clusters = (self.shop.clusters[0], {**self.shop.clusters[1], **cluster})
        self.shop.configure()


def in_namespace(namespace: str) -> list[dict[str, Any]]:
    """The bookshop in a namespace of another name; the control plane stays where it is."""
    objects = deepcopy(bookshop("east"))
    for body in objects:
        metadata = body["metadata"]
        if metadata.get("namespace") == "bookshop":
            metadata["namespace"] = namespace
        if body["kind"] == "Namespace" and metadata["name"] == "bookshop":
            metadata["name"] = namespace
    return objects


def mixed(server: ApiServer, root: Path) -> Mixed:
    """Synced once, with a timeout of one second."""
    namespace = server.new_namespace("shop", {"istio-injection": "enabled"})
    server.apply([*in_namespace(namespace), OWN_NAMESPACE])
    server.kubeconfig(root / "lab.kubeconfig")
    lab = {"name": "lab", "kubeconfig": {"path": "lab.kubeconfig"}, "timeout": "3s"}
    shop = Shop(root, clusters=({"name": "east", "directory": "clusters/east"}, lab))
    shop.configure(instance=namespace)
    made = Mixed(shop, server, namespace)
    made.commit("1s")
    shop.sync(code=0)
    assert made.timeout() == "1s"
    return made


@pytest.fixture
def world(apiserver: ApiServer, tmp_path: Path) -> Mixed:
    return mixed(apiserver, tmp_path)


# --- the server


def test_a_cluster_that_refuses_connections(world: Mixed) -> None:
    with world.server.down():
        world.fails("GM501", "2s")
    world.shop.sync(code=0)
    assert world.timeout() == "2s"


def test_K07_a_cluster_that_hangs_costs_no_more_than_its_timeout(world: Mixed) -> None:
    with world.server.hanging():
        began = time.monotonic()
        world.fails("GM501", "2s")
        assert time.monotonic() - began < GIVEN_UP
    world.shop.sync(code=0)
    assert world.timeout() == "2s"


def test_a_port_that_speaks_no_tls_is_a_finding(world: Mixed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = yaml.safe_load((tmp_path / "lab.kubeconfig").read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        (tmp_path / "silent.kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
        world.reach(kubeconfig={"path": "silent.kubeconfig"})
        world.fails("GM501", "2s")
    assert world.timeout() == "1s"


def test_K17_a_token_that_is_refused_is_a_finding_that_does_not_show_it(world: Mixed, tmp_path: Path) -> None:
    config = yaml.safe_load((tmp_path / "lab.kubeconfig").read_text(encoding="utf-8"))
    config["users"][0]["user"]["token"] = "hunter2-wrong"
    (tmp_path / "wrong.kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
    world.reach(kubeconfig={"path": "wrong.kubeconfig"})
    report = world.fails("GM502", "2s")
    assert "hunter2" not in str(report.document)
    assert world.timeout() == "1s"


def test_K16_a_cluster_that_denies_everything_or_one_verb(world: Mixed, tmp_path: Path) -> None:
    server = world.server
    server.serviceaccount_kubeconfig(world.namespace, "agent", tmp_path / "denied.kubeconfig")
    world.reach(kubeconfig={"path": "denied.kubeconfig"})
    world.fails("GM503", "2s")
    reading = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    ledger = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["update", "create"]}]
    grant(server, world.namespace, [*reading, *ledger])
    report = world.fails("GM503", "3s", code=2)
    assert "patch" in str(report.findings)
    assert "virtualservices" in str(report.findings)
    assert world.timeout() == "1s"
    grant(
        server,
        world.namespace,
        [*reading, *ledger, {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["patch"]}],
    )
    world.shop.sync(code=0)
    assert world.timeout() == "3s"


def grant(server: ApiServer, namespace: str, rules: list[dict[str, list[str]]]) -> None:
    """Rights of the ServiceAccount `agent`, in the whole cluster."""
    rbac = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": namespace}, "rules": rules}
    who = [{"kind": "ServiceAccount", "name": "agent", "namespace": namespace}]
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
    server.apply(
        [
            role,
            {
                "apiVersion": rbac,
                "kind": "ClusterRoleBinding",
                "metadata": {"name": namespace},
                "roleRef": ref,
                "subjects": who,
            },
        ]
    )


def test_K11_a_kubeconfig_that_points_to_another_cluster_stops_that_cluster(
    world: Mixed, second_apiserver: ApiServer, tmp_path: Path
) -> None:
    """The ledger moves along, as a restored backup would bring it; the cluster is recognised all the same."""
    name = f"gitmesh-{world.shop.more['instance']}"
    ledger = world.server.get("v1", "ConfigMap", "gitmesh-system", name)
    assert ledger is not None
    second_apiserver.apply([*in_namespace(world.namespace), OWN_NAMESPACE])
    copy = {"name": name, "namespace": "gitmesh-system", "labels": ledger["metadata"]["labels"]}
    second_apiserver.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": copy, "data": ledger["data"]}
    )
    second_apiserver.kubeconfig(tmp_path / "other.kubeconfig")
    world.reach(kubeconfig={"path": "other.kubeconfig"})
    mark = second_apiserver.audit_mark()
    report = world.fails("GM506", "2s", code=2)
    assert report.state("lab") == "Held", "it did answer"
    assert [e.request_uri for e in second_apiserver.audit_events(mark) if e.is_write] == []
    assert world.timeout() == "1s"


# --- objects


def test_K01_an_object_edited_deleted_or_applied_by_somebody_else(world: Mixed) -> None:
    server = world.server
    patch = {"spec": {"http": [{"route": [{"destination": {"host": "elsewhere"}}]}]}}
    before = world.live()["spec"]
    server.client.call(
        "PATCH",
        f"{world.path()}?fieldManager=kubectl-edit",
        patch,
        content_type="application/merge-patch+json",
    )
    world.shop.sync(code=0)
    assert world.live()["spec"] == before
    server.client.call("DELETE", world.path())
    report = world.shop.sync(code=0)
    assert "deleted by hand" in str(report.document)
    assert world.live()["spec"] == before
    theirs = {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {"name": "ratings", "namespace": world.namespace},
    }
    theirs["spec"] = {"hosts": ["elsewhere"]}
    server.client.call(
        "PATCH",
        f"{world.path()}?fieldManager=argocd&force=true",
        yaml.safe_dump(theirs),
        content_type="application/apply-patch+yaml",
    )
    report = world.shop.sync()
    assert "GM405" in {one["code"] for one in report.findings}
    assert "argocd" in str(report.findings)
    assert world.live()["spec"]["hosts"] == ["elsewhere"], "managers that apply are reported, not fought"


def test_K13_an_object_that_cannot_be_deleted_stays_known_and_is_tried_again(world: Mixed) -> None:
    server = world.server
    hold = {"metadata": {"finalizers": ["example.com/wait"]}}
    server.client.call("PATCH", world.path(), hold, content_type="application/merge-patch+json")
    world.shop.commit(
        traffic("details", timeout="1s", destinations=[{"name": "details", "clusters": ["east"]}])
    )
    report = world.shop.sync("--approve-prune", world.shop.repo.tip())
    assert "example.com/wait" in str(report.document)
    server.client.call(
        "PATCH", world.path(), {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json"
    )
    world.shop.sync("--approve-prune", world.shop.repo.tip(), code=0)
    assert server.request("GET", world.path()).status == 404


# --- schemas


@pytest.fixture(scope="module")
def crds(binaries: Binaries) -> list[dict[str, Any]]:
    """Istio's CRDs of the lab's version."""
    assert binaries.istio_crds is not None
    return [
        document
        for document in yaml.safe_load_all(binaries.istio_crds.read_text(encoding="utf-8"))
        if document
    ]


@pytest.fixture
def own(binaries: Binaries) -> Iterator[ApiServer]:
    """A server without any CRD."""
    with ApiServer(binaries, name="own") as made:
        yield made


def installed(server: ApiServer, crds: list[dict[str, Any]], folder: Path) -> None:
    """Install these CRDs."""
    (folder / "crds.yaml").write_text(yaml.safe_dump_all(crds), encoding="utf-8")
    server.install_crds(folder / "crds.yaml")


def details(world: Mixed) -> dict[str, Any]:
    """A timeout for details in lab."""
    destinations = [world.destination({"name": "details", "clusters": ["lab"], "namespace": world.namespace})]
    return traffic("details", timeout="4s", destinations=destinations)


def kind_of(crd: dict[str, Any]) -> str:
    """The kind that it defines."""
    return str(crd["spec"]["names"]["kind"])


def test_K15_a_cluster_that_lacks_a_kind_keeps_the_others_and_gets_it_when_it_comes(
    own: ApiServer, crds: list[dict[str, Any]], tmp_path: Path
) -> None:
    installed(own, [crd for crd in crds if kind_of(crd) != "DestinationRule"], tmp_path)
    world = mixed(own, tmp_path)
    breaker = {"consecutiveErrors": 5}
    world.shop.commit(world.ratings("2s", outlierDetection=breaker), details(world))
    report = world.shop.sync(code=2)
    assert "GM504" in report.codes()
    assert "DestinationRule" in str(report.findings)
    assert world.timeout() == "1s", "the destination that needs it is held: its last good objects stay"
    assert own.request("GET", world.path().replace("ratings", "details")).ok, "the others go on"
    assert world.shop.live("ratings", kind="destinationrule.networking.istio.io").exists(), "east has both"
    installed(own, [crd for crd in crds if kind_of(crd) == "DestinationRule"], tmp_path)
    world.shop.sync(code=0)
    path = own.client.resource_path(NETWORKING, "DestinationRule", world.namespace, "ratings")
    assert (
        own.client.call("GET", path)["spec"]["trafficPolicy"]["outlierDetection"]["consecutive5xxErrors"] == 5
    )


def test_P07_an_older_schema_that_lacks_a_field_holds_that_unit_with_a_finding_at_the_policy(
    own: ApiServer, crds: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The field is taken out of the lab's own schema, as an older version has it."""
    without_retries = deepcopy(crds)
    for crd in without_retries:
        if kind_of(crd) == "VirtualService":
            for version in crd["spec"]["versions"]:
                routes = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["http"][
                    "items"
                ]["properties"]
                assert routes.pop("retries")
    installed(own, without_retries, tmp_path)
    world = mixed(own, tmp_path)
    world.shop.commit(world.ratings("2s", retries={"attempts": 3}))
    report = world.shop.sync(code=2)
    said = [one for one in report.findings if one.get("cluster") == "lab" and one["severity"] == "error"]
    assert any("retries" in one["message"] and "policies/all.yaml" in str(one) for one in said), said
    assert {one["code"] for one in said} == {"GM302"}
    assert world.timeout() == "1s", "held: the last good object stays"
    assert b"attempts: 3" in world.shop.live("ratings").read_bytes()
    installed(own, crds, tmp_path)
    world.shop.sync(code=0)
    assert world.live()["spec"]["http"][-1]["retries"]["attempts"] == 3, (
        "upgraded: the unit goes on by itself"
    )


def test_a_newer_schema_with_more_fields_and_defaults_is_quiet(
    own: ApiServer, crds: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A field that nobody knows, with a default: the live object has it, and that is no drift."""
    newer = deepcopy(crds)
    for crd in newer:
        if kind_of(crd) == "VirtualService":
            for version in crd["spec"]["versions"]:
                spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
                spec["sinceTomorrow"] = {"type": "string", "default": "yes"}
    installed(own, newer, tmp_path)
    world = mixed(own, tmp_path)
    assert world.live()["spec"]["sinceTomorrow"] == "yes"
    mark = own.audit_mark()
    report = world.shop.sync(code=0)
    assert report.document["summary"]["objects"]["update"] == 0
    assert [e.request_uri for e in own.audit_events(mark) if e.is_write] == []


@pytest.mark.parametrize(
    ("version", "path"), [("1.30.3", "crd-all.gen.yaml"), ("1.31.0-rc.0", "1.31.0-rc.0/crd-all.gen.yaml")]
)
def test_real_schemas_of_other_versions(own: ApiServer, tmp_path: Path, version: str, path: str) -> None:
    """CRDs as Istio published them; not part of the repository."""
    file = SHARED_CRDS / path
    if not file.exists():
        not_available(f"no CRDs of Istio {version} at hand")
    own.install_crds(file)
    world = mixed(own, tmp_path)
    world.shop.commit(
        world.ratings("2s", retries={"attempts": 2}, outlierDetection={"consecutiveErrors": 5}), access(world)
    )
    world.shop.sync(code=0)
    assert world.timeout() == "2s"
    mark = own.audit_mark()
    world.shop.sync(code=0)
    assert [e.request_uri for e in own.audit_events(mark) if e.is_write] == []


def access(world: Mixed) -> dict[str, Any]:
    """Anybody with an identity may read ratings."""
    destinations = [world.destination({"name": "ratings", "clusters": ["lab"], "namespace": world.namespace})]
    return policy(
        "AccessPolicy",
        "ratings",
        {"sources": [{"authenticated": True}], "destinations": destinations, "rules": [{"methods": ["GET"]}]},
    )

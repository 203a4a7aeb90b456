"""Objects that are not ours as a whole, on a real API server: an annotation of somebody else's Service, the
data of a ConfigMap, and an object in which another manager writes a field. Each cycle is a new process's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.fields import write_fields
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.adapters.kube.writes import fields_request
from gitmesh.diagnostics import Diagnostic
from gitmesh.model.objects import ApiKind
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, Stage, State
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from tests.integration.kube_support import DEADLINE, edit
from tests.lab.apiserver import ApiServer
from tests.owning_mesh import CONFIG_MAP, ROUTE, SERVICE, TIMEOUT, OwningMesh, key_of
from tests.properties.history import History

pytestmark = pytest.mark.lab

NAMES = ("reviews", "ratings")


@dataclass
class Tenant:
    """A namespace with two Services of its owner's, policies for them, and an instance of its own."""

    server: ApiServer
    folder: Path
    mesh: OwningMesh = field(default_factory=OwningMesh)
    instance: str = ""

    def __post_init__(self) -> None:
        self.namespace = self.server.new_namespace()
        self.instance = self.instance or self.namespace
        system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitmesh-system"}}
        self.server.apply(system)
        for name in NAMES:
            self.make(name)
        self.source = History("alpha")

    def make(self, name: str, **annotations: str) -> None:
        """Its owner makes a Service."""
        noted = {"annotations": annotations} if annotations else {}
        metadata = {"name": name, "namespace": self.namespace, "labels": {"team": "a"}, **noted}
        spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        self.server.apply(body, field_manager="owner")

    def commit(self, **timeouts: str) -> None:
        """A policy for each of these Services."""
        self.source.commit(
            yaml.safe_dump_all([self._policy(name, timeout) for name, timeout in timeouts.items()]), good=True
        )

    def _policy(self, name: str, timeout: str) -> dict[str, Any]:
        return {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"destinations": [{"name": name}], "timeout": timeout},
        }

    def run(self, until: Stage = Stage.APPLY) -> Report:
        """A cycle of a process that knows nothing but the cluster."""
        endpoint = read_kubeconfig(self.server.kubeconfig(self.folder / f"{self.namespace}.yaml"))
        client = KubeClient(endpoint, timeout=DEADLINE, user_agent="gitmesh-tests")
        cluster = KubeCluster("lab", client, [self.mesh], settle=0.0)
        options = Options(instance=self.instance, clusters={"lab": {}})
        try:
            return run(
                [self.source],
                LocalFleet([cluster]),
                {"fake": self.mesh},
                until=until,
                options=options,
                memo=Memo(),
                clock=lambda: 0.0,
            )
        finally:
            cluster.close()

    def get(self, kind: ApiKind = SERVICE, name: str = "reviews") -> Mapping[str, Any]:
        """An object as the server has it, without what changes by itself."""
        api_version = f"{kind.group}/v1" if kind.group else "v1"
        found = self.server.get(api_version, kind.kind, self.namespace, name)
        return {} if found is None else found

    def annotations(self, name: str = "reviews") -> Mapping[str, str]:
        found: Mapping[str, str] = self.get(name=name)["metadata"].get("annotations", {})
        return found

    def edit(self, patch: Mapping[str, Any], kind: ApiKind = SERVICE, name: str = "reviews") -> None:
        """What its owner does with kubectl."""
        edit(self.server, key_of(kind, self.namespace, name), patch)


@pytest.fixture
def tenant(apiserver: ApiServer, tmp_path: Path) -> Tenant:
    return Tenant(apiserver, tmp_path)


def wrote(report: Report) -> list[tuple[str, Action, bool]]:
    return [(one.key.name, one.action, one.ok) for one in report.clusters["lab"].outcomes]


def said(report: Report) -> list[Diagnostic]:
    # Other tests share the server, and the control planes that they leave there are told of.
    return [one for one in report.diagnostics if one.code != "GM523"]


def codes(report: Report) -> list[str]:
    return [one.code for one in said(report)]


def is_quiet(tenant: Tenant) -> bool:
    """Whether a cycle writes nothing there, by the server's own account."""
    mark = tenant.server.audit_mark()
    report = tenant.run()
    assert codes(report) == []
    assert report.clusters["lab"].state is State.SYNCED
    place = f"/namespaces/{tenant.namespace}/"
    return not [e for e in tenant.server.audit_events(mark) if e.is_write and place in e.request_uri]


# --- only an annotation is ours


def test_an_annotation_of_somebody_elses_service_is_set_healed_and_taken_off(tenant: Tenant) -> None:
    before = tenant.get()
    tenant.commit(reviews="5s", ratings="5s")
    assert wrote(tenant.run()) == [("ratings", Action.UPDATE, True), ("reviews", Action.UPDATE, True)]
    assert tenant.annotations() == {TIMEOUT: "5000"}
    assert is_quiet(tenant)

    tenant.edit(
        {"metadata": {"annotations": {TIMEOUT: "9", "pager": "42"}}, "spec": {"selector": {"app": "x"}}}
    )
    report = tenant.run()
    assert wrote(report) == [("reviews", Action.UPDATE, True)]
    assert tenant.annotations() == {TIMEOUT: "5000", "pager": "42"}
    assert tenant.get()["spec"]["selector"] == {"app": "x"}
    assert is_quiet(tenant), "what its owner changed of the rest is no drift"

    tenant.edit({"metadata": {"annotations": {TIMEOUT: None}}})
    assert wrote(tenant.run()) == [("reviews", Action.UPDATE, True)]
    assert tenant.annotations()[TIMEOUT] == "5000"

    tenant.commit(ratings="5s")
    assert wrote(tenant.run()) == [("reviews", Action.RELEASE, True)]
    after = tenant.get()
    assert after["metadata"]["annotations"] == {"pager": "42"}
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"], "no mark of ours was ever there"
    assert is_quiet(tenant)


def test_a_service_that_is_not_there_is_never_made(tenant: Tenant) -> None:
    tenant.server.kubectl("delete", "service", "reviews", "-n", tenant.namespace)
    tenant.commit(reviews="5s", ratings="5s")
    report = tenant.run()
    assert wrote(report) == [("ratings", Action.UPDATE, True)]
    assert not tenant.get()


def test_a_service_that_goes_while_we_write_is_not_made_again(tenant: Tenant) -> None:
    """The plan is from before; the write names the object by its uid."""
    tenant.commit(reviews="5s")
    plan = tenant.run(Stage.PLAN).clusters["lab"].plan
    assert plan is not None
    (change,) = plan.writes
    tenant.server.kubectl("delete", "service", "reviews", "-n", tenant.namespace)
    endpoint = read_kubeconfig(tenant.server.kubeconfig(tenant.folder / "admin"))
    client = KubeClient(endpoint, timeout=DEADLINE, user_agent="gitmesh-tests")
    outcome = write_fields(client, SERVICE, change)
    part = {"kind": "Service", "metadata": {"name": "reviews", "namespace": tenant.namespace}}
    answer = client.send(fields_request(SERVICE, change, part))
    client.close()
    assert (outcome.ok, outcome.message) == (False, "it was deleted since the plan was made")
    assert answer.status == 409, "nor by who comes between the reading and the write"
    assert not tenant.get()


def test_a_value_that_somebody_else_applies_is_told_and_left(tenant: Tenant) -> None:
    tenant.make("reviews", **{TIMEOUT: "9"})
    tenant.commit(reviews="5s", ratings="5s")
    report = tenant.run()
    assert (codes(report), wrote(report)) == (["GM416"], [("ratings", Action.UPDATE, True)])
    assert "owner" in said(report)[0].message
    assert tenant.annotations() == {TIMEOUT: "9"}
    assert wrote(tenant.run()) == []


def test_a_value_that_somebody_comes_to_apply_over_ours_is_told_and_not_fought(tenant: Tenant) -> None:
    tenant.commit(reviews="5s")
    tenant.run()
    tenant.edit({"metadata": {"annotations": {TIMEOUT: None}}})
    tenant.make("reviews", **{TIMEOUT: "9"})
    report = tenant.run()
    assert (codes(report), wrote(report)) == (["GM416"], [])
    assert tenant.annotations() == {TIMEOUT: "9"}


def test_a_value_that_two_apply_stays_the_others(tenant: Tenant) -> None:
    tenant.commit(reviews="5s", ratings="5s")
    tenant.run()
    tenant.make("reviews", **{TIMEOUT: "5000"})
    assert is_quiet(tenant)
    tenant.commit(ratings="5s")
    assert wrote(tenant.run()) == [("reviews", Action.RELEASE, True)]
    assert tenant.annotations() == {TIMEOUT: "5000"}
    assert is_quiet(tenant)


def test_two_instances_have_each_their_field_in_one_object(tenant: Tenant) -> None:
    tenant.commit(reviews="5s", ratings="5s")
    tenant.run()
    mine, tenant.instance, tenant.mesh = (
        (tenant.instance, tenant.mesh),
        f"{tenant.instance}-b",
        OwningMesh(key="mesh.test/other"),
    )
    tenant.run()
    assert tenant.annotations() == {TIMEOUT: "5000", "mesh.test/other": "5000"}
    assert is_quiet(tenant)
    tenant.instance, tenant.mesh = mine
    assert is_quiet(tenant)
    tenant.commit(ratings="5s")
    tenant.run()
    assert tenant.annotations() == {"mesh.test/other": "5000"}


def test_two_instances_that_want_one_field_otherwise_are_a_conflict(tenant: Tenant) -> None:
    tenant.commit(reviews="5s", ratings="5s")
    tenant.run()
    tenant.instance = f"{tenant.instance}-b"
    tenant.commit(reviews="6s", ratings="5s")
    report = tenant.run()
    assert (codes(report), wrote(report)) == (["GM416"], [])
    assert tenant.annotations() == {TIMEOUT: "5000"}


def test_a_lost_ledger_is_made_again_from_who_set_what(tenant: Tenant) -> None:
    tenant.commit(reviews="5s", ratings="5s")
    tenant.run()
    name = f"gitmesh-{tenant.instance}"
    tenant.server.kubectl("delete", "configmap", name, "-n", "gitmesh-system")
    tenant.commit(ratings="5s")
    tenant.run()
    assert wrote(tenant.run()) == [("reviews", Action.RELEASE, True)]
    assert tenant.annotations() == {}


# --- the data of an object


def test_the_data_of_a_config_map_is_ours(apiserver: ApiServer, tmp_path: Path) -> None:
    tenant = Tenant(apiserver, tmp_path, OwningMesh(CONFIG_MAP))
    tenant.commit(reviews="5s", ratings="5s")
    tenant.run()
    assert tenant.get(CONFIG_MAP, "reviews-mesh")["data"] == {"timeout": "5000"}
    assert is_quiet(tenant)
    tenant.edit({"data": {"timeout": "9", "more": "1"}}, CONFIG_MAP, "reviews-mesh")
    assert wrote(tenant.run()) == [("reviews-mesh", Action.UPDATE, True)]
    assert tenant.get(CONFIG_MAP, "reviews-mesh")["data"] == {"timeout": "5000"}
    tenant.commit(ratings="5s")
    assert wrote(tenant.run()) == [("reviews-mesh", Action.DELETE, True)]
    assert not tenant.get(CONFIG_MAP, "reviews-mesh")


# --- all but a field that another writes


@pytest.mark.parametrize("applies", [True, False], ids=["applies", "updates"])
def test_a_field_that_another_manager_writes_is_quiet(
    apiserver: ApiServer, tmp_path: Path, applies: bool
) -> None:
    tenant = Tenant(apiserver, tmp_path, OwningMesh(ROUTE))
    tenant.commit(reviews="5s", ratings="5s")
    tenant.run()
    theirs = {"spec": {"exportTo": ["."]}}
    if applies:
        metadata = {"name": "reviews-mesh", "namespace": tenant.namespace}
        head = {"apiVersion": f"{ROUTE.group}/v1", "kind": ROUTE.kind, "metadata": metadata}
        apiserver.apply({**head, **theirs}, field_manager="control-plane")
    else:
        tenant.edit(theirs, ROUTE, "reviews-mesh")
    assert is_quiet(tenant)
    tenant.commit(reviews="7s", ratings="5s")
    assert wrote(tenant.run()) == [("reviews-mesh", Action.UPDATE, True)]
    spec = tenant.get(ROUTE, "reviews-mesh")["spec"]
    assert (spec["http"][0]["timeout"], spec["exportTo"]) == ("7000ms", ["."])
    assert is_quiet(tenant)
    tenant.edit({"spec": {"gateways": ["mesh"]}}, ROUTE, "reviews-mesh")
    assert wrote(tenant.run()) == [("reviews-mesh", Action.UPDATE, True)]
    spec = tenant.get(ROUTE, "reviews-mesh")["spec"]
    assert ("gateways" in spec, spec["exportTo"]) == (False, ["."]), "any other field is drift as ever"
    tenant.commit(ratings="5s")
    assert wrote(tenant.run()) == [("reviews-mesh", Action.DELETE, True)]

"""Names that no object can have: that object's finding, never its cluster's end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.adapters.fleet import LocalFleet
from gitmesh.diagnostics import Severity
from gitmesh.discovery.controlplanes import wanted_configmaps
from gitmesh.discovery.discover import assemble
from gitmesh.discovery.facts_codec import dump_facts, facts_digest, load_facts, with_digest
from gitmesh.discovery.naming import unusable_names
from gitmesh.discovery.reducer import Reducer
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.objects import is_label
from gitmesh.model.report import Stage, State
from gitmesh.model.units import mesh_key
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from gitmesh.plugins import load_translators
from gitmesh.resolution.resolve import resolve
from tests.factories import access, facts, policy, service, shop, traffic, workload
from tests.properties.history import History, document

CONTROL_PLANE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
    "spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": "istio/pilot:1.30.3"}]}}},
}
BAD = ["../../x", "Big Apple", "..", "", "a/b", "A", "-a", "a-", "a" * 64, "a\n", "é", "*", "a.b"]


def said(*known: ClusterFacts) -> list[str]:
    return [d.message for d in unusable_names({one.cluster: one for one in known})]


@pytest.mark.parametrize("name", BAD)
def test_a_service_and_a_namespace_are_named_by_dns_labels(name: str) -> None:
    fine = with_digest(facts("east", service()))
    known = with_digest(
        facts("east", service(), service(name), service("x", namespace=name), namespaces={name: {}})
    )
    assert [one.name for one in known.services] == ["reviews"]
    assert name not in known.namespaces
    assert len(known.unusable) == 3
    assert len(said(known)) == 3
    assert not fine.unusable
    assert not said(fine)


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("a" * 64, "a.b")])
def test_workloads_and_accounts_are_named_by_dns_subdomains(name: str) -> None:
    accounts = frozenset({("shop", name), ("shop", "web")})
    gateways = (
        workload(name, gateway=True),
        workload("gate", namespace=name, gateway=True),
        workload("v1", service_account=name),
    )
    known = with_digest(facts("east", workload("web.v1"), *gateways, service_accounts=accounts))
    assert [one.name for one in known.workloads] == ["web.v1"]
    assert known.service_accounts == {("shop", "web")}
    assert len(known.unusable) == 4


def test_each_is_a_warning_that_names_it_and_very_many_are_counted() -> None:
    known = with_digest(facts("east", *[service(f"Bad {n:03}") for n in range(500)]))
    found = list(unusable_names({"east": known}))
    assert {(d.code, d.severity, d.cluster) for d in found} == {("GM508", Severity.WARNING, "east")}
    assert [found[0].message, found[-1].message] == [
        "no object can have the name of Service 'shop/Bad 000', so it is left out",
        "480 more objects have names that no object can have, and are left out",
    ]
    assert len(found) == 21


def test_what_was_left_out_is_part_of_saved_facts() -> None:
    known = with_digest(facts("east", service(), service("Big Apple")))
    assert load_facts(dump_facts({"east": known})) == {"east": known}
    document = dump_facts({"east": facts("east", service(), service("Big Apple"))})
    assert load_facts(document) == {"east": known}
    assert facts_digest(known) == known.digest


@pytest.mark.parametrize(
    ("namespace", "revision"), [("../../x", "default"), ("Big Apple", "default"), ("shop", "../../x")]
)
def test_a_control_plane_with_such_a_name_is_none_and_asks_for_nothing(namespace: str, revision: str) -> None:
    labels = {"app": "istiod", "istio.io/rev": revision}
    metadata = {"name": "istiod", "namespace": namespace, "labels": labels}
    translators = list(load_translators().values())
    row = Reducer(translators).reduce({**CONTROL_PLANE, "metadata": metadata})
    assert row is not None
    assert not wanted_configmaps([row], translators, {"istio": [namespace]})
    assert bool(assemble("east", {}, [row], translators, homes={"istio": [namespace]}).meshes) == is_label(
        namespace
    )


def test_a_cluster_with_such_names_works_on(tmp_path: Path) -> None:
    ports = {"ports": [{"port": 80, "name": "http"}]}
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": ports,
        }
        for name, namespace in (("reviews", "shop"), ("../../x", "shop"), ("x", "Big Apple"))
    ]
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all([*objects, CONTROL_PLANE]))
    history = History("alpha")
    every = document("TrafficPolicy", "every", destinations=[{"all": True}], timeout="5s")
    history.commit(yaml.safe_dump(every), good=True)
    translators = load_translators()
    cluster = DirectoryCluster("east", tmp_path, list(translators.values()))
    given = Options(instance="shop", clusters={"east": {}})
    report = run(
        [history],
        LocalFleet([cluster]),
        translators,
        until=Stage.APPLY,
        options=given,
        memo=Memo(),
        clock=lambda: 0.0,
    )
    assert [d.code for d in report.diagnostics] == ["GM508", "GM508"]
    assert report.clusters["east"].state is State.SYNCED
    assert [path.name for path in sorted(tmp_path.glob("shop/virtualservice*/*.yaml"))] == ["reviews.yaml"]


def meshes(*roots: str) -> Sequence[Mesh]:
    return [
        Mesh(
            translator="istio",
            name=f"istio-{n}",
            namespace="istio-system",
            root_namespace=root,
            trust_domain="t",
        )
        for n, root in enumerate(roots)
    ]


@pytest.mark.parametrize("root", ["../../x", "Big Apple", "a.b", "*"])
def test_a_root_namespace_that_cannot_exist_holds_that_mesh_and_nothing_else(root: str) -> None:
    known = shop("east", *meshes(root, "istio-system"))
    owner = policy("VirtualMesh", "all", meshes=[{"cluster": "east"}], accessDefault="Deny")
    one = [owner, access("a", sources=[{"namespaces": ["shop"]}]), traffic("t", timeout="1s")]
    resolution = resolve(one, {"east": known}, {"east": {}})
    assert resolution.held["east"] == (mesh_key("east", "istio-0"),)
    assert [(unit.key.half, unit.key.name) for unit in resolution.units["east"]] == [
        ("access", "reviews"),
        ("mesh", "istio-1"),
        ("routing", "reviews"),
    ]
    [finding] = [d for d in resolution.diagnostics if d.code == "GM508"]
    assert (finding.is_error, finding.mesh, finding.field, repr(root) in finding.message) == (
        True,
        "istio-0",
        "spec.meshes[0]",
        True,
    )


def test_a_mesh_that_says_no_root_namespace_is_not_held() -> None:
    owner = policy("VirtualMesh", "all", meshes=[{"cluster": "east"}], accessDefault="Deny")
    resolution = resolve([owner], {"east": shop("east", *meshes("", "istio-system"))}, {"east": {}})
    assert not resolution.held["east"]

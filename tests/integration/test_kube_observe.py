"""Reading a real API server: facts, live objects, served kinds, dry runs, and what is missing or
forbidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters.kube import lists
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.adapters.kube.lists import everything
from gitmesh.adapters.kube.paths import collection
from gitmesh.errors import ClusterError
from gitmesh.model.objects import ApiKind
from gitmesh.model.plan import Action, Plan
from tests.integration.kube_support import (
    HOME,
    KINDS,
    VIRTUAL_SERVICE,
    body,
    carry_out,
    cluster_at,
    create,
    edit,
    lab_cluster,
    live_of,
    step,
    vs_key,
    vs_spec,
)
from tests.lab.apiserver import ApiServer
from tests.lab.process import wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def cluster(apiserver: ApiServer, tmp_path: Path) -> Iterator[KubeCluster]:
    with lab_cluster(apiserver, tmp_path) as found:
        yield found


def restricted(server: ApiServer, folder: Path, rules: list[dict[str, list[str]]]) -> KubeCluster:
    """The cluster as a ServiceAccount that has these rights only."""
    namespace = server.new_namespace()
    rbac = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": namespace}, "rules": rules}
    binding = {
        "apiVersion": rbac,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": namespace}],
    }
    server.apply([role, binding])
    return cluster_at(read_kubeconfig(server.serviceaccount_kubeconfig(namespace, "agent", folder / "agent")))


def test_facts_are_read_and_the_same_value_again_while_nothing_changed(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    namespace = apiserver.new_namespace(labels={"team": "a"})
    metadata = {"name": "web", "namespace": namespace}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mesh-settings", "namespace": HOME},
        "data": {"a": "1"},
    }
    other = {**settings, "metadata": {"name": "passwords", "namespace": HOME}}
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": pod}
    control = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "control", "namespace": HOME},
        "spec": spec,
    }
    apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}})
    apiserver.apply(
        [
            service,
            settings,
            other,
            control,
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        ]
    )
    mark = apiserver.audit_mark()
    facts = cluster.facts()
    asked = [e for e in apiserver.audit_events(mark) if e.resource == "configmaps"]
    assert [(e.verb, e.namespace, e.name) for e in asked] == [("get", HOME, "mesh-settings")], (
        "by name: no other is read"
    )
    assert facts.complete
    assert facts.uid == (apiserver.get("v1", "Namespace", "", "kube-system") or {})["metadata"]["uid"]
    assert facts.namespaces[namespace]["team"] == "a"
    assert facts.service_index[namespace, "web"].ports[0].protocol == "http"
    assert (namespace, "web") in facts.service_accounts

    def asks_for_schemas() -> bool:
        mark = apiserver.audit_mark()
        cluster.facts()
        return any("openapi/v3/apis" in event.request_uri for event in apiserver.audit_events(mark))

    # The server may still be publishing schemas of CRDs that a test before this one touched.
    wait_until(lambda: not asks_for_schemas(), "facts without schemas asked for again", 30.0)
    facts = cluster.facts()
    assert cluster.facts() is facts
    apiserver.apply({**service, "metadata": {**metadata, "name": "shop"}})
    assert (namespace, "shop") in cluster.facts().service_index


def test_served_kinds_come_with_versions_and_fields(cluster: KubeCluster) -> None:
    kind = cluster.facts().kind_index["networking.istio.io", "VirtualService"]
    assert (kind.plural, kind.namespaced, kind.versions) == (
        "virtualservices",
        True,
        ("v1", "v1beta1", "v1alpha3"),
    )
    assert kind.serves("spec.http.mirrors.percentage.value")
    assert not kind.serves("spec.http.mirrorz")


def test_observed_objects_are_the_same_values_while_they_do_not_change(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    namespace = apiserver.new_namespace()
    create(cluster, vs_key(namespace), vs_spec())
    apiserver.apply(body(vs_key(namespace, "foreign"), vs_spec(), owned=False), field_manager="them")
    first = cluster.observe(KINDS)
    assert {vs_key(namespace), vs_key(namespace, "foreign")} <= first.live.keys()
    assert cluster.observe(KINDS) is first
    edit(apiserver, vs_key(namespace, "foreign"), {"spec": {"exportTo": ["."]}})
    second = cluster.observe(KINDS)
    assert second is not first
    assert second.live[vs_key(namespace)] is first.live[vs_key(namespace)]


def lists_of(server: ApiServer, mark: int) -> list[str]:
    return [event.resource for event in server.audit_events(mark) if event.verb == "list"]


def test_what_was_prefetched_answers_once_and_is_read_as_it_was_then(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    mark = apiserver.audit_mark()
    cluster.prefetch((VIRTUAL_SERVICE,))
    wait_until(lambda: bool(lists_of(apiserver, mark)), "list in the log of the server", deadline_seconds=30)
    apiserver.apply(body(key, vs_spec(), owned=False), field_manager="them")
    assert key not in cluster.observe((VIRTUAL_SERVICE,)).live
    assert lists_of(apiserver, mark) == ["virtualservices"]
    assert key in cluster.observe((VIRTUAL_SERVICE,)).live


def test_what_was_prefetched_answers_for_its_own_kinds_and_only_the_last_time(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    cluster.prefetch(())
    create(cluster, key, vs_spec())
    assert key in cluster.observe(KINDS).live
    cluster.prefetch(KINDS)
    cluster.prefetch((VIRTUAL_SERVICE,))
    assert key in cluster.observe((VIRTUAL_SERVICE,)).live


def test_what_only_the_server_writes_is_no_part_of_the_body_and_status_is_kept(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec())
    path = apiserver.client.resource_path("networking.istio.io/v1", key.kind, key.namespace, key.name)
    apiserver.client.call(
        "PATCH",
        f"{path}/status",
        {"status": {"observedGeneration": "1"}},
        content_type="application/merge-patch+json",
    )
    again = live_of(cluster, key)
    assert (again.status, again.resource_version == live.resource_version) == (
        b'{"observedGeneration":"1"}',
        False,
    )
    assert again.body is live.body
    assert again.managers == {"gitmesh": "Apply"}
    assert b"resourceVersion" not in again.body


def test_K26_a_long_list_is_read_in_pages(apiserver: ApiServer, cluster: KubeCluster) -> None:
    namespace = apiserver.new_namespace()
    cluster.observe(KINDS)
    keys = [vs_key(namespace, f"web-{number}") for number in range(7)]
    assert all(o.ok for o in carry_out(cluster, *(step(Action.CREATE, key, vs_spec()) for key in keys)))
    mark = apiserver.audit_mark()
    path = collection(VIRTUAL_SERVICE, "v1", namespace)
    names = everything(cluster.client, path, lambda raw: str(raw["metadata"]["name"]), page=3)
    assert names == [key.name for key in keys]
    assert len(apiserver.audit_events(mark)) == 3
    assert lists.PAGE == 500


def test_K15_a_kind_that_is_not_served_is_missing_until_its_crd_comes(
    apiserver: ApiServer, cluster: KubeCluster, tmp_path: Path
) -> None:
    kind = ApiKind(group="late.example.com", kind="Late", plural="lates", versions=("v2", "v1"))
    assert cluster.observe((kind, VIRTUAL_SERVICE)).missing_kinds == {("late.example.com", "Late")}
    key = vs_key(apiserver.new_namespace())._replace(group="late.example.com", kind="Late")
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, {"size": 1}))
    assert (outcome.ok, outcome.code) == (False, "GM504")
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    names = {"kind": kind.kind, "plural": kind.plural}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lates.late.example.com"},
        "spec": {"group": kind.group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(crd))
    apiserver.install_crds(tmp_path / "crd.yaml")
    assert cluster.observe((kind, VIRTUAL_SERVICE)).missing_kinds == frozenset()
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, {"size": 1}))
    assert outcome.ok, outcome


def test_a_dry_run_drops_an_update_that_the_schemas_defaults_undo(
    apiserver: ApiServer, cluster: KubeCluster, tmp_path: Path
) -> None:
    kind = ApiKind(group="default.example.com", kind="Defaulted", plural="defaulteds", versions=("v1",))
    size = {"type": "integer", "default": 3}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": size, "name": {"type": "string"}}}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "defaulteds.default.example.com"},
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "plural": kind.plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(crd))
    apiserver.install_crds(tmp_path / "crd.yaml")
    cluster.observe((kind,))
    key = vs_key(apiserver.new_namespace())._replace(group=kind.group, kind=kind.kind)
    assert all(o.ok for o in carry_out(cluster, step(Action.CREATE, key, {"name": "a"})))
    live = cluster.observe((kind,)).live[key]
    same, other = step(Action.UPDATE, key, {"name": "a"}, live), step(Action.UPDATE, key, {"name": "b"}, live)
    mark = apiserver.audit_mark()
    assert [c.action for c in cluster.predict(Plan(cluster="lab", changes=(same,))).changes] == [Action.KEEP]
    assert [c.action for c in cluster.predict(Plan(cluster="lab", changes=(same,))).changes] == [Action.KEEP]
    assert cluster.predict(Plan(cluster="lab", changes=(other,))).changes == (other,)
    events = apiserver.audit_events(mark)
    assert [e.is_dry_run for e in events] == [True, True], "the first answer is remembered"
    assert cluster.observe((kind,)).live[key] is live


def test_a_dry_run_keeps_a_heal(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    edit(apiserver, key, {"spec": {"gateways": ["mesh"]}})
    change = step(Action.UPDATE, key, vs_spec(), live_of(cluster, key))
    assert cluster.predict(Plan(cluster="lab", changes=(change,))).changes == (change,)


def test_K16_kinds_that_may_not_be_listed_leave_facts_incomplete_with_a_finding(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    rules = [
        {
            "apiGroups": [""],
            "resources": ["namespaces", "services", "pods", "serviceaccounts", "configmaps"],
            "verbs": ["list", "get"],
        },
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["list"]},
        {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["list"]},
    ]
    cluster = restricted(apiserver, tmp_path, rules)
    facts = cluster.facts()
    observed = cluster.observe(KINDS)
    cluster.close()
    assert not facts.complete
    assert facts.namespaces
    (denied,) = observed.diagnostics
    assert denied.code == "GM503"
    assert "nodes" in denied.message


def test_K16_a_forbidden_write_names_verb_and_resource_and_others_go_on(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    rules = [
        {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["list", "get"]},
        {
            "apiGroups": ["networking.istio.io"],
            "resources": ["destinationrules"],
            "verbs": ["create", "patch"],
        },
    ]
    cluster = restricted(apiserver, tmp_path, rules)
    cluster.observe(KINDS)
    namespace = apiserver.new_namespace()
    rule = vs_key(namespace)._replace(kind="DestinationRule")
    denied, done = carry_out(
        cluster, step(Action.CREATE, vs_key(namespace), vs_spec()), step(Action.CREATE, rule, {"host": "web"})
    )
    answers = {str(right): right.allowed for right in cluster.rights("default")}
    cluster.close()
    assert (denied.ok, denied.code, done.ok) == (False, "GM503", True)
    assert 'cannot patch resource "virtualservices"' in denied.message
    assert answers["patch destinationrules.networking.istio.io"] is True
    assert answers["patch virtualservices.networking.istio.io"] is False
    assert answers["list nodes"] is False


def test_K16_a_kind_that_may_not_be_observed_is_an_error_not_an_empty_set(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    cluster = restricted(apiserver, tmp_path, [])
    with pytest.raises(ClusterError) as refused:
        cluster.observe(KINDS)
    cluster.close()
    assert refused.value.code == "GM503"


def test_a_cluster_in_observe_mode_is_never_written(apiserver: ApiServer, tmp_path: Path) -> None:
    key = vs_key(apiserver.new_namespace())
    with lab_cluster(apiserver, tmp_path, enforce=False) as cluster:
        cluster.observe(KINDS)
        plan = Plan(cluster="lab", changes=(step(Action.CREATE, key, vs_spec()),))
        mark = apiserver.audit_mark()
        assert cluster.predict(plan) is plan
        with pytest.raises(ClusterError, match="Observe"):
            cluster.apply(plan)
        assert apiserver.audit_events(mark) == []

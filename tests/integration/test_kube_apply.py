"""Writing to a real API server: what is created, healed, refused, left alone and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.model.manifests import Phase
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action, Plan
from gitmesh.model.units import half_key
from tests.integration.kube_support import (
    DEADLINE,
    KINDS,
    WRITER,
    body,
    carry_out,
    create,
    edit,
    lab_cluster,
    live_of,
    spec_of,
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


def test_K29_a_creation_is_one_apply_under_our_name(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    cluster.observe(KINDS)
    mark = apiserver.audit_mark()
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, vs_spec()))
    (write,) = [e for e in apiserver.audit_events(mark) if e.is_write]
    assert (outcome.ok, write.verb, write.code) == (True, "patch", 201)
    assert "fieldManager=gitmesh" in write.request_uri
    assert "fieldValidation=Strict" in write.request_uri
    live = live_of(cluster, key)
    assert live.uid == outcome.uid
    assert live.managers == {"gitmesh": "Apply"}
    assert decode(live.body)["spec"] == vs_spec()


def test_a_creation_never_changes_what_somebody_else_made(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    cluster.observe(KINDS)
    apiserver.apply(body(key, vs_spec("theirs"), owned=False), field_manager="them")
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, vs_spec()))
    assert not outcome.ok
    assert "somebody made it" in outcome.message
    assert spec_of(apiserver, key) == vs_spec("theirs")


def test_K06_a_creation_whose_answer_was_lost_counts_as_done(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec())
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, vs_spec()))
    assert (outcome.ok, outcome.uid) == (True, live.uid)


def test_what_relies_on_a_write_comes_when_the_cluster_has_settled(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    subset, route = (vs_key(apiserver.new_namespace(), name) for name in ("subset", "route"))
    seen: list[tuple[float, bool, bool]] = []

    class Noting(KubeClient):
        def pause(self, seconds: float) -> None:
            seen.append(
                (seconds, spec_of(apiserver, subset) is not None, spec_of(apiserver, route) is not None)
            )

    endpoint = read_kubeconfig(apiserver.kubeconfig(tmp_path / "admin"))
    cluster = KubeCluster(
        "lab", Noting(endpoint, timeout=DEADLINE, user_agent="gitmesh-tests"), [WRITER], settle=7.0
    )
    cluster.observe(KINDS)
    relying = step(Action.CREATE, route, vs_spec(), phase=Phase.ROUTE, settled=True)
    outcomes = carry_out(cluster, step(Action.CREATE, subset, vs_spec(), phase=Phase.DESTINATION), relying)
    cluster.close()
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert seen == [(7.0, True, False)]


def test_an_update_is_one_request_where_nobody_else_wrote(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec(gateways=["mesh"]))
    mark = apiserver.audit_mark()
    (outcome,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(exportTo=["."]), live))
    assert outcome.ok
    assert [e.verb for e in apiserver.audit_events(mark)] == ["patch"]
    assert spec_of(apiserver, key) == vs_spec(exportTo=["."])


def test_a_hand_edit_is_healed_value_and_added_field(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    edit(apiserver, key, {"spec": {"hosts": ["other"], "gateways": ["mesh"]}})
    live = live_of(cluster, key)
    assert live.field_managers == {"spec.hosts": "kubectl-edit", "spec.gateways": "kubectl-edit"}
    (outcome,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(), live))
    assert outcome.ok
    assert spec_of(apiserver, key) == vs_spec()
    assert live_of(cluster, key).managers == {"gitmesh": "Apply"}


def test_labels_of_others_stay_while_a_hand_edit_is_healed(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    edit(
        apiserver,
        key,
        {
            "metadata": {"labels": {"team": "a"}, "annotations": {"gitmesh.io/policies": "x"}},
            "spec": {"hosts": ["other"]},
        },
    )
    (outcome,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(), live_of(cluster, key)))
    live = live_of(cluster, key)
    assert outcome.ok
    assert (live.labels["team"], live.annotations["gitmesh.io/policies"]) == ("a", "")
    assert live.field_managers == {"metadata.labels.team": "kubectl-edit"}


def test_a_label_that_hides_the_object_from_the_mesh_is_taken_away(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    """The contents are equal; only what was put beside them makes the mesh ignore the object."""
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    hidden = frozenset({"istio.io/rev", "istio.io/dry-run"})
    edit(
        apiserver,
        key,
        {
            "metadata": {
                "labels": {"team": "a", "istio.io/rev": "x"},
                "annotations": {"istio.io/dry-run": "true"},
            }
        },
    )
    change = step(Action.UPDATE, key, vs_spec(), live_of(cluster, key), forbidden=hidden)
    assert [c.action for c in cluster.predict(Plan(cluster="lab", changes=(change,))).changes] == [
        Action.UPDATE
    ]
    (outcome,) = carry_out(cluster, change)
    live = live_of(cluster, key)
    assert outcome.ok
    assert hidden.isdisjoint((*live.labels, *live.annotations))
    assert live.labels["team"] == "a"
    theirs = body(key, {}, owned=False)
    metadata = {**theirs.pop("metadata"), "labels": {"istio.io/rev": "x"}}
    apiserver.apply({"apiVersion": theirs["apiVersion"], "kind": theirs["kind"], "metadata": metadata})
    (outcome,) = carry_out(
        cluster, step(Action.UPDATE, key, vs_spec(), live_of(cluster, key), forbidden=hidden)
    )
    assert (outcome.ok, outcome.code, outcome.message) == (
        False,
        "GM405",
        "manager lab applies metadata.labels.istio.io/rev",
    )


def test_K22_an_object_once_applied_by_kubectl_is_adopted_whole(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    theirs = body(key, vs_spec("theirs", gateways=["mesh"]), owned=False)
    apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(theirs))
    live = live_of(cluster, key)
    assert live.managers == {"kubectl-client-side-apply": "Update"}
    (outcome,) = carry_out(cluster, step(Action.ADOPT, key, vs_spec(), live))
    assert outcome.ok
    assert spec_of(apiserver, key) == vs_spec()
    carry_out(cluster, step(Action.UPDATE, key, vs_spec(exportTo=["."]), live_of(cluster, key)))
    assert spec_of(apiserver, key) == vs_spec(exportTo=["."])


def test_an_object_that_another_manager_applied_is_adopted_whole_and_is_ours_alone(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    apiserver.apply(body(key, vs_spec("theirs", gateways=["mesh"]), owned=False), field_manager="argocd")
    (outcome,) = carry_out(cluster, step(Action.ADOPT, key, vs_spec(), live_of(cluster, key)))
    assert outcome.ok, outcome
    assert spec_of(apiserver, key) == vs_spec()
    apiserver.apply(body(key, vs_spec("theirs"), owned=False), field_manager="argocd")
    (outcome,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(), live_of(cluster, key)))
    assert (outcome.ok, outcome.code) == (False, "GM405"), "whoever applies it again is reported, as ever"


def test_K01_a_field_that_another_manager_applies_is_reported_not_forced(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    theirs = body(key, {"hosts": ["theirs"]}, owned=False)
    apiserver.apply(theirs, field_manager="argocd")
    (outcome,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(), live_of(cluster, key)))
    assert (outcome.ok, outcome.code) == (False, "GM405")
    assert '"argocd"' in outcome.message
    assert "spec.hosts" in outcome.message
    assert spec_of(apiserver, key)["hosts"] == ["theirs"]


def test_K31_a_field_that_another_manager_adds_by_apply_is_reported(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    apiserver.apply(body(key, {"gateways": ["mesh"]}, owned=False), field_manager="argocd")
    change = step(Action.UPDATE, key, vs_spec(), live_of(cluster, key))
    (outcome,) = carry_out(cluster, change)
    assert (outcome.ok, outcome.code) == (False, "GM405")
    assert outcome.message == "manager argocd applies spec.gateways"
    plan = cluster.predict(
        Plan(cluster="lab", changes=(step(Action.UPDATE, key, vs_spec(), live_of(cluster, key)),))
    )
    assert [c.action for c in plan.changes] == [Action.KEEP]
    assert [d.code for d in plan.diagnostics] == ["GM405"]


def test_a_plan_that_is_out_of_date_changes_nothing(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec())
    edit(apiserver, key, {"spec": {"hosts": ["newer"]}})
    (outcome,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(exportTo=["."]), live))
    assert (outcome.ok, outcome.retryable) == (False, True)
    assert spec_of(apiserver, key)["hosts"] == ["newer"]


@pytest.mark.parametrize(
    ("spec", "sign"),
    [
        (vs_spec(bogus=1), "field not declared in schema"),
        ({**vs_spec(), "http": [{"timeout": "soon"}]}, "spec.http[0].timeout"),
    ],
)
def test_K04_K30_what_the_schema_refuses_is_told_once(
    apiserver: ApiServer, cluster: KubeCluster, spec: dict[str, object], sign: str
) -> None:
    key = vs_key(apiserver.new_namespace())
    cluster.observe(KINDS)
    mark = apiserver.audit_mark()
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, spec))
    assert (outcome.ok, outcome.code, outcome.retryable) == (False, "GM505", False)
    assert sign in f"{outcome.message} ({outcome.detail})"
    assert len(apiserver.audit_events(mark)) == 1
    assert spec_of(apiserver, key) is None


def test_a_failed_step_stops_the_later_steps_of_its_unit_only(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    namespace = apiserver.new_namespace()
    cluster.observe(KINDS)
    mine, other = (half_key("routing", "east", (namespace, name)) for name in ("web", "other"))
    outcomes = carry_out(
        cluster,
        step(Action.CREATE, vs_key(namespace, "bad"), vs_spec(bogus=1), phase=Phase.DENY, units=(mine,)),
        step(Action.CREATE, vs_key(namespace, "after"), vs_spec(), units=(mine,)),
        step(Action.CREATE, vs_key(namespace, "free"), vs_spec(), units=(other,)),
    )
    assert [o.ok for o in outcomes] == [False, False, True]
    assert spec_of(apiserver, vs_key(namespace, "after")) is None


def test_several_steps_of_one_object_follow_each_other(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec())
    outcomes = carry_out(
        cluster,
        step(Action.UPDATE, key, vs_spec(exportTo=["."]), live, phase=Phase.DENY),
        step(Action.UPDATE, key, vs_spec(exportTo=["*"]), live, phase=Phase.ALLOW),
        step(Action.DELETE, key, None, live, phase=Phase.ALLOW),
    )
    assert [o.ok for o in outcomes] == [True, True, True]
    assert spec_of(apiserver, key) is None


def test_a_deletion_names_uid_and_version(apiserver: ApiServer, cluster: KubeCluster) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec())
    mark = apiserver.audit_mark()
    (outcome,) = carry_out(cluster, step(Action.DELETE, key, None, live))
    (write,) = [e for e in apiserver.audit_events(mark) if e.is_write]
    assert outcome.ok
    assert write.request_object["preconditions"] == {
        "uid": live.uid,
        "resourceVersion": live.resource_version,
    }
    assert write.request_object["propagationPolicy"] == "Background"
    assert spec_of(apiserver, key) is None


def test_K12_a_replaced_or_vanished_object_is_not_deleted(apiserver: ApiServer, cluster: KubeCluster) -> None:
    namespace = apiserver.new_namespace()
    replaced, gone, edited = (vs_key(namespace, name) for name in ("replaced", "gone", "edited"))
    lives = {key: create(cluster, key, vs_spec()) for key in (replaced, gone, edited)}
    for key in (replaced, gone):
        apiserver.client.call(
            "DELETE",
            apiserver.client.resource_path("networking.istio.io/v1", "VirtualService", namespace, key.name),
        )
    apiserver.apply(body(replaced, vs_spec("theirs"), owned=False), field_manager="them")
    edit(apiserver, edited, {"metadata": {"annotations": {"gitmesh.io/prune": "disabled"}}})
    outcomes = carry_out(
        cluster, *(step(Action.DELETE, key, None, lives[key]) for key in (replaced, gone, edited))
    )
    assert [(o.ok, o.message.split(",")[0]) for o in outcomes[:2]] == [
        (True, "somebody replaced it by another object"),
        (True, "it was gone already"),
    ]
    assert not outcomes[2].ok
    assert spec_of(apiserver, replaced) == vs_spec("theirs")
    assert spec_of(apiserver, edited) == vs_spec()


def test_K18_an_object_with_a_finalizer_is_not_counted_as_deleted(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    create(cluster, key, vs_spec())
    edit(apiserver, key, {"metadata": {"finalizers": ["example.com/wait"]}})
    (outcome,) = carry_out(cluster, step(Action.DELETE, key, None, live_of(cluster, key)))
    assert (outcome.ok, outcome.retryable, outcome.pending) == (False, True, True)
    assert "example.com/wait" in outcome.message
    assert live_of(cluster, key).deleting


def test_P09_a_name_that_leaves_its_path_is_refused_before_anything_is_sent(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    namespace = apiserver.new_namespace()
    live = create(cluster, vs_key(namespace), vs_spec())
    mark = apiserver.audit_mark()
    for name in ("..", ".", "", "a/b", "%2e%2e"):
        (outcome,) = carry_out(cluster, step(Action.DELETE, vs_key(namespace, name), None, live))
        assert (outcome.ok, outcome.code) == (False, "GM505")
    assert apiserver.audit_events(mark) == []


@contextmanager
def denied(apiserver: ApiServer, namespace: str, reason: str) -> Iterator[None]:
    """An admission policy in force that refuses every change of VirtualServices in a namespace."""
    name = f"deny-{namespace}"
    rule = {
        "apiGroups": ["networking.istio.io"],
        "apiVersions": ["*"],
        "operations": ["UPDATE", "DELETE"],
        "resources": ["virtualservices"],
    }
    admission = "admissionregistration.k8s.io/v1"
    policy = {
        "apiVersion": admission,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": reason}],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "apiVersion": admission,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    }
    apiserver.apply([policy, binding])
    path = apiserver.client.resource_path("networking.istio.io/v1", "VirtualService", namespace, "web")
    wait_until(
        lambda: apiserver.request("DELETE", f"{path}?dryRun=All").status == 422,
        "admission policy in force",
        30.0,
    )
    try:
        yield
    finally:
        for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"):
            apiserver.client.call("DELETE", apiserver.client.resource_path(admission, kind, "", name))


def test_K13_K14_a_denied_write_is_told_with_the_denials_words(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    key = vs_key(apiserver.new_namespace())
    live = create(cluster, key, vs_spec())
    with denied(apiserver, key.namespace, "not on a Friday"):
        (update,) = carry_out(cluster, step(Action.UPDATE, key, vs_spec(exportTo=["."]), live))
        (delete,) = carry_out(cluster, step(Action.DELETE, key, None, live))
    assert [(o.ok, o.code) for o in (update, delete)] == [(False, "GM505")] * 2
    assert "not on a Friday" in update.detail
    assert "not on a Friday" in delete.detail
    assert spec_of(apiserver, key) == vs_spec()

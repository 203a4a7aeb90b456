"""With which TLS clients connect, as objects of others and the mesh's settings say, and whose identities
pods take: what `can` answers, and what is told where a policy makes pods refuse it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.report import Report, Stage
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission, Answer
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.population import populations
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.table import callers_of
from tests.folders import (
    Body,
    Folders,
    allow,
    app,
    calculator,
    istiod,
    mesh_config,
    said,
    thing,
    virtual_mesh,
    webhook,
)
from tests.properties.history import document

NETWORKING = "networking.istio.io/v1"
HOST = "api.shop.svc.cluster.local"
STRICT = virtual_mesh(mtls={"mode": "Strict"})
PERMISSIVE = virtual_mesh(mtls={"mode": "Permissive"})


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    """A Service in shop, and clients there, in desk and in yard."""
    found = Folders(tmp_path, names=("east",))
    found.put("east", "pods", app("web"), app("db"), app("api"))
    injected = {"istio-injection": "enabled"}
    for name in ("desk", "yard"):
        account = thing("ServiceAccount", name, name)
        found.put("east", name, thing("Namespace", name, labels=injected), account, app(name, name))
    return found


def rule(
    mode: str | None = "DISABLE", namespace: str = "shop", host: str = HOST, name: str = "theirs", **more: Any
) -> Body:
    policy = {**({"tls": {"mode": mode}} if mode else {}), **more.pop("policy", {})}
    return thing(
        "DestinationRule", name, namespace, NETWORKING, spec={"host": host, "trafficPolicy": policy, **more}
    )


def asked(shop: Folders, account: str, namespace: str = "", domain: str = "east.example") -> Admission:
    client = Client(
        namespace=namespace or account, service_account=account, trust_domain=domain, mesh="istio"
    )
    return can(Question(client=client, service=("shop", "api"), port=80), calculator(shop.run(Stage.BUILD)))


def why(found: Admission) -> str:
    return found.pods[0][2].text


def told(report: Report) -> Diagnostic:
    [found] = said(report, "GM327")
    assert found.severity == "warning"
    return found


@pytest.mark.parametrize("mode", ["DISABLE", "SIMPLE"])
@pytest.mark.parametrize(
    ("namespace", "host"), [("shop", HOST), ("istio-system", "*.shop.svc.cluster.local"), ("shop", "*.local")]
)
def test_strict_refuses_clients_whom_somebody_tells_to_connect_otherwise_and_it_is_told_at_its_line(
    shop: Folders, mode: str, namespace: str, host: str
) -> None:
    shop.put("east", "theirs", rule(mode, namespace, host))
    shop.commit(STRICT)
    report = shop.run()
    said = told(report)
    assert (said.field, "shop/api" in said.message) == ("spec.mtls.mode", True)
    assert f"DestinationRule {namespace}/theirs" in said.message
    found = asked(shop, "desk")
    assert found.answer is Answer.DENIED
    assert f"DestinationRule {namespace}/theirs, which is not ours, makes it" in why(found)


def test_one_for_the_clients_of_a_namespace_is_theirs_alone(shop: Folders) -> None:
    shop.put("east", "theirs", rule(namespace="desk"))
    shop.commit(STRICT)
    assert "clients in desk connect to Service shop/api" in told(shop.run()).message
    assert asked(shop, "desk").answer is Answer.DENIED
    assert asked(shop, "yard").answer is Answer.ALLOWED


def test_a_port_of_which_it_speaks_apart_counts_by_itself(shop: Folders) -> None:
    plain = {"portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}]}
    shop.put("east", "theirs", rule("ISTIO_MUTUAL", policy=plain))
    shop.commit(STRICT)
    assert asked(shop, "desk").answer is Answer.DENIED
    own = {"portLevelSettings": [{"port": {"number": 80}, "connectionPool": {"tcp": {"maxConnections": 1}}}]}
    shop.put("east", "theirs", rule("DISABLE", policy=own))
    report = shop.run()
    assert said(report, "GM327") == []
    assert asked(shop, "desk").answer is Answer.ALLOWED


@pytest.mark.parametrize(
    "number", [0, -1, 65536, 10**30, "80", True, None, {"number": 80}], ids=lambda one: str(one)[:9]
)
def test_what_is_no_port_is_nothing(shop: Folders, number: Any) -> None:
    level = {"port": {"number": number}, "tls": {"mode": "DISABLE"}}
    shop.put("east", "theirs", rule("ISTIO_MUTUAL", policy={"portLevelSettings": [level]}))
    shop.commit(STRICT)
    assert said(shop.run(), "GM327") == []
    assert asked(shop, "desk").answer is Answer.ALLOWED


@pytest.mark.parametrize("mode", ["ISTIO_MUTUAL", None])
def test_what_is_the_mesh_s_own_is_refused_nowhere(shop: Folders, mode: str | None) -> None:
    shop.put("east", "theirs", rule(mode))
    shop.commit(STRICT)
    assert said(shop.run(), "GM327") == []
    assert asked(shop, "desk").answer is Answer.ALLOWED


def test_permissive_takes_it_without_the_identity_by_which_an_allow_would_admit_it(shop: Folders) -> None:
    shop.put("east", "theirs", rule(namespace="desk"))
    sources = [{"namespaces": ["desk", "yard"]}]
    shop.commit(PERMISSIVE, allow("readers", "api", sources=sources))
    assert said(shop.run(), "GM327") == []
    found = asked(shop, "desk")
    assert found.answer is Answer.DENIED
    assert "the connection shows no identity: DestinationRule desk/theirs" in why(found)
    assert asked(shop, "yard").answer is Answer.ALLOWED


def test_a_certificate_of_somebody_s_own_is_not_known(shop: Folders) -> None:
    shop.put("east", "theirs", rule("MUTUAL"))
    shop.commit(STRICT)
    assert said(shop.run(), "GM327") == []
    assert asked(shop, "desk").answer is Answer.UNKNOWN


def test_ours_goes_before_one_that_all_find_and_behind_one_of_the_clients(shop: Folders) -> None:
    shop.put("east", "theirs", rule(host="*.shop.svc.cluster.local"))
    ours = document(
        "TrafficPolicy", "limits", destinations=[{"name": "api"}], outlierDetection={"consecutiveErrors": 5}
    )
    shop.commit(STRICT, ours)
    assert "Service shop/db, shop/web with" in told(shop.settle()).message
    assert asked(shop, "desk").answer is Answer.ALLOWED
    shop.put("east", "local", rule(namespace="desk"))
    local, others = said(shop.run(), "GM327")
    assert local.message.startswith("DestinationRule desk/theirs")
    assert "shop/api" not in others.message
    assert asked(shop, "desk").answer is Answer.DENIED
    assert asked(shop, "yard").answer is Answer.ALLOWED


def test_where_the_mesh_does_not_choose_mtls_clients_send_plaintext(shop: Folders) -> None:
    shop.put("east", "mesh", mesh_config(trustDomain="east.example", enableAutoMtls=False))
    shop.commit(STRICT)
    found = told(shop.run())
    assert found.message.startswith("the mesh's settings have clients connect to Service shop/api")
    assert asked(shop, "desk").answer is Answer.DENIED
    shop.put("east", "theirs", rule("ISTIO_MUTUAL", "istio-system", "*.local"))
    assert said(shop.run(), "GM327") == []
    assert asked(shop, "desk").answer is Answer.ALLOWED


def test_pods_that_a_stranger_lets_take_plaintext_refuse_nobody(shop: Folders) -> None:
    lax = thing(
        "PeerAuthentication",
        "lax",
        "shop",
        "security.istio.io/v1",
        spec={"selector": {"matchLabels": {"app": "api"}}, "mtls": {"mode": "PERMISSIVE"}},
    )
    shop.put("east", "theirs", rule(), lax)
    shop.commit(STRICT)
    assert said(shop.run(), "GM327") == []
    assert asked(shop, "desk").answer is Answer.ALLOWED


# --- trust domains


def test_an_identity_of_a_trust_domain_that_pods_do_not_take_is_refused_whatever_admits_it(
    shop: Folders,
) -> None:
    shop.commit(PERMISSIVE)
    found = asked(shop, "desk", domain="west.example")
    assert found.answer is Answer.DENIED
    assert "take identities of trust domain east.example alone" in why(found)
    assert asked(shop, "desk").answer is Answer.ALLOWED


@pytest.mark.parametrize("aliases", [["west.example"], ["old.example", "west.example"]])
def test_one_that_the_mesh_holds_for_its_own_is_taken(shop: Folders, aliases: list[str]) -> None:
    shop.put("east", "mesh", mesh_config(trustDomain="east.example", trustDomainAliases=aliases))
    shop.commit(PERMISSIVE)
    assert asked(shop, "desk", domain="west.example").answer is Answer.ALLOWED


def test_an_istiod_that_has_no_domain_verified_takes_all(shop: Folders) -> None:
    body = istiod()
    [container] = body["spec"]["template"]["spec"]["containers"]
    container["env"] = [
        *container.get("env", ()),
        {"name": "PILOT_SKIP_VALIDATE_TRUST_DOMAIN", "value": "true"},
    ]
    shop.put("east", "istiod", body)
    shop.commit(PERMISSIVE)
    assert asked(shop, "desk", domain="west.example").answer is Answer.ALLOWED


@pytest.fixture
def both(tmp_path: Path) -> Folders:
    """Two clusters, each with a trust domain of its own."""
    found = Folders(tmp_path, names=("east", "west"))
    for name in ("east", "west"):
        found.put(name, "pods", app("web"), app("api"))
    return found


def test_an_allow_of_callers_whom_no_pod_takes_is_told(both: Folders) -> None:
    caller = {"name": "web", "cluster": "west"}
    both.commit(allow("guests", "api", sources=[{"serviceAccounts": [caller]}]))
    found = [one for one in said(both.run(), "GM327") if one.cluster == "east"]
    assert [one.severity for one in found] == ["warning"]
    assert "west.example come to no pod of mesh istio" in found[0].message


def test_one_of_callers_wherever_they_are_is_not(both: Folders) -> None:
    both.commit(allow("guests", "api", "web"))
    assert said(both.run(), "GM327") == []


def callers(both: Folders, answer: Answer = Answer.ALLOWED) -> set[str]:
    """Who may call the Service in east, or may not."""
    report = both.run(Stage.BUILD)
    crowd = Crowd(populations({name: one.facts for name, one in report.clusters.items()})["east"])
    rows = callers_of(("shop", "api"), calculator(report), crowd)
    return {caller for row in rows if row.answer is answer for caller in row.callers}


def test_of_whom_no_pod_takes_nothing_is_said(both: Folders) -> None:
    both.commit(allow("guests", "api", "web"))
    assert callers(both) == {"shop/web"}
    assert "anybody else" in callers(both, Answer.DENIED)
    assert not {one for one in callers(both, Answer.DENIED) if "west" in one}
    both.put("east", "mesh", mesh_config(trustDomain="east.example", trustDomainAliases=["west.example"]))
    assert callers(both) == {"shop/web", "shop/web@west"}


def test_where_nobody_is_refused_that_is_everybody(both: Folders) -> None:
    both.commit(allow("anybody", "api", sources=[{"all": True}]))
    assert callers(both) == {"anybody"}
    both.commit(allow("anybody", "api", sources=[{"authenticated": True}]))
    assert callers(both) == {"anybody with an identity"}


def test_of_two_meshes_in_a_cluster_each_takes_its_own(shop: Folders) -> None:
    """Their pods behind one Service answer otherwise, which is told of both."""
    shop.put("east", "canary", istiod(revision="canary"), webhook("canary"))
    shop.put("east", "canary-mesh", mesh_config(revision="canary", trustDomain="new.example"))
    canary = app("api", pod="api-canary", revision="canary")
    shop.put("east", "canary-pods", canary, app("late", revision="canary"))
    shop.put("east", "account", thing("ServiceAccount", "late", "shop"))
    shop.commit(allow("guests", "api", sources=[{"authenticated": True}]))
    split = callers(shop, Answer.DEPENDS)
    assert {"shop/web", "shop/late"} <= split

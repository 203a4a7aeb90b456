"""Objects of others beside those of ours that decide who may call, and deletion phases."""

from __future__ import annotations

from typing import Any

import gitmesh_istio
import pytest

from gitmesh.model.facts import Mesh
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import ObjectKey, canonical
from gitmesh.model.plan import Live
from tests.unit.istio.units import MESH

GROUPS = {
    "VirtualService": "networking",
    "DestinationRule": "networking",
    "AuthorizationPolicy": "security",
    "PeerAuthentication": "security",
}


def key(kind: str, name: str, namespace: str = "shop") -> ObjectKey:
    return ObjectKey(group=f"{GROUPS[kind]}.istio.io", kind=kind, namespace=namespace, name=name)


def live(
    kind: str,
    namespace: str = "shop",
    status: Any = None,
    annotations: Any = None,
    name: str = "theirs",
    **spec: Any,
) -> Live:
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    return Live(
        key=key(kind, name, namespace),
        uid="u",
        body=canonical(body),
        annotations=annotations or {},
        status=canonical(status) if status else b"",
    )


def ours(kind: str, name: str, namespace: str = "shop", **spec: Any) -> tuple[ObjectKey, Manifest]:
    at = key(kind, name, namespace)
    return at, Manifest(
        key=at, version="v1", decides="routing", body=canonical({"spec": spec}), digest="", policies=()
    )


GUARD = ours(
    "AuthorizationPolicy",
    "reviews-allow",
    action="ALLOW",
    selector={"matchLabels": {"app": "reviews"}},
    rules=[{"to": []}],
)
GATEWAY = ours(
    "AuthorizationPolicy",
    "edge-gitmesh-gateway",
    action="ALLOW",
    selector={"matchLabels": {"istio": "x"}},
    rules=[{}],
)
PEER = ours("PeerAuthentication", "default", "istio-system", mtls={"mode": "STRICT"})
OURS = dict((GUARD, GATEWAY, PEER))


def hit(theirs: Live, *meshes: Mesh) -> list[tuple[str, str]]:
    return [(claim.code, claim.on.name) for claim in gitmesh_istio.foreign([theirs], OURS, meshes or (MESH,))]


ADMITS: dict[str, Any] = {"action": "ALLOW", "rules": [{}]}


@pytest.mark.parametrize(
    "spec",
    [
        ADMITS,
        {"rules": [{}]},
        {**ADMITS, "selector": {"matchLabels": {"app": "reviews"}}},
        {**ADMITS, "selector": {"matchLabels": {"version": "v1"}}},
    ],
)
def test_allow_that_may_select_our_pods_widens(spec: dict[str, Any]) -> None:
    assert hit(live("AuthorizationPolicy", **spec)) == [("GM403", "reviews-allow")]


def test_mesh_wide_allow_widens_everything() -> None:
    assert hit(live("AuthorizationPolicy", "istio-system", **ADMITS)) == [("GM403", "reviews-allow")]
    custom = Mesh(translator="istio", name="istio", root_namespace="mesh-root")
    assert hit(live("AuthorizationPolicy", "mesh-root", **ADMITS), custom) == [("GM403", "reviews-allow")]


@pytest.mark.parametrize(
    ("namespace", "spec"),
    [
        ("far", ADMITS),
        ("shop", {**ADMITS, "selector": {"matchLabels": {"app": "ratings"}}}),
        ("shop", {"action": "DENY", "rules": [{}]}),
        ("shop", {"action": "ALLOW"}),
        ("shop", {}),
        ("shop", {**ADMITS, "annotations": {"istio.io/dry-run": "true"}}),
        ("shop", {**ADMITS, "annotations": {"istio.io/dry-run": "T"}}),
        ("shop", {**ADMITS, "targetRefs": [{"kind": "Service", "name": "reviews"}]}),
    ],
)
def test_policies_that_do_not_widen(namespace: str, spec: dict[str, Any]) -> None:
    assert hit(live("AuthorizationPolicy", namespace, **spec)) == []


def test_another_mesh_wide_peer_authentication() -> None:
    assert hit(live("PeerAuthentication", "istio-system", mtls={"mode": "DISABLE"})) == [("GM401", "default")]


NAMING = ours(
    "AuthorizationPolicy",
    "reviews-allow",
    "shop",
    action="ALLOW",
    selector={"matchLabels": {"app": "reviews"}},
    rules=[{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}],
)
EVERYBODY = ours(
    "AuthorizationPolicy",
    "ratings-deny",
    "shop",
    action="DENY",
    selector={"matchLabels": {"app": "ratings"}},
    rules=[{"to": [{"operation": {"ports": ["8080"]}}]}],
)


@pytest.mark.parametrize(
    ("namespace", "spec", "taken"),
    [
        ("shop", {"mtls": {"mode": "DISABLE"}}, True),
        ("istio-system", {"mtls": {"mode": "DISABLE"}}, True),
        ("shop", {"portLevelMtls": {"8080": {"mode": "DISABLE"}}}, True),
        ("shop", {"selector": {"matchLabels": {"app": "reviews"}}, "mtls": {"mode": "DISABLE"}}, True),
        ("shop", {"selector": {"matchLabels": {"app": "ratings"}}, "mtls": {"mode": "DISABLE"}}, False),
        ("shop", {"mtls": {"mode": "PERMISSIVE"}}, False),
        ("far", {"mtls": {"mode": "DISABLE"}}, False),
    ],
)
def test_a_mode_that_takes_identities_away_is_told(namespace: str, spec: dict[str, Any], taken: bool) -> None:
    """An Allow of identities then admits nobody; what looks at no identity is as it was."""
    found = gitmesh_istio.foreign(
        [live("PeerAuthentication", namespace, **spec)], dict((NAMING, EVERYBODY)), (MESH,)
    )
    assert [(claim.code, claim.on.name) for claim in found] == ([("GM415", "reviews-allow")] if taken else [])


APP: dict[str, Any] = {"selector": {"matchLabels": {"app": "x"}}}


@pytest.mark.parametrize(
    "spec",
    [
        {"mtls": {"mode": "DISABLE"}},
        {"mtls": {"mode": "PERMISSIVE"}},
        {**APP, "mtls": {"mode": "PERMISSIVE"}},
        {**APP, "mtls": {"mode": "STRICT"}, "portLevelMtls": {"8080": {"mode": "DISABLE"}}},
        {**APP, "portLevelMtls": {"8080": {"mode": "PERMISSIVE"}}},
    ],
)
def test_a_mode_of_mtls_that_admits_plaintext_in_part_of_a_strict_mesh_widens(spec: dict[str, Any]) -> None:
    assert hit(live("PeerAuthentication", **spec)) == [("GM403", "default")]
    lax = ours("PeerAuthentication", "default", "istio-system", mtls={"mode": "PERMISSIVE"})
    assert gitmesh_istio.foreign([live("PeerAuthentication", **spec)], dict((lax,)), (MESH,)) == ()


@pytest.mark.parametrize(
    ("namespace", "spec"),
    [
        ("shop", {}),
        ("shop", {"mtls": {"mode": "STRICT"}}),
        ("shop", {"mtls": {"mode": "UNSET"}}),
        ("shop", {**APP, "portLevelMtls": {"8080": {"mode": "STRICT"}}}),
        ("shop", {**APP, "portLevelMtls": "nonsense", "mtls": ["nonsense"]}),
        (
            "istio-system",
            {**APP, "mtls": {"mode": "DISABLE"}},
        ),  # Istio takes no selector in the root namespace
    ],
)
def test_modes_of_mtls_that_do_not_widen(namespace: str, spec: dict[str, Any]) -> None:
    assert hit(live("PeerAuthentication", namespace, **spec)) == []


def test_an_allow_where_only_the_default_denies_widens() -> None:
    gateway = ours(
        "AuthorizationPolicy",
        "edge-gitmesh-gateway",
        "edge",
        action="ALLOW",
        selector={"matchLabels": {"istio": "x"}},
        rules=[{}],
    )
    closed = dict((GUARD, gateway, ours("AuthorizationPolicy", "gitmesh-default-deny", "istio-system")))

    def widened(namespace: str, **spec: Any) -> list[tuple[str, str]]:
        theirs = live("AuthorizationPolicy", namespace, **{**ADMITS, **spec})
        return [(claim.code, claim.on.name) for claim in gitmesh_istio.foreign([theirs], closed, (MESH,))]

    assert widened("far") == [("GM403", "gitmesh-default-deny")]
    assert widened("shop", selector={"matchLabels": {"app": "ratings"}}) == [
        ("GM403", "gitmesh-default-deny")
    ]
    assert widened("edge") == [("GM403", "gitmesh-default-deny")]
    both = [("GM403", "reviews-allow"), ("GM403", "gitmesh-default-deny")]
    assert sorted(widened("shop")) == sorted(both), "pods that no Allow of ours selects are opened, too"
    assert sorted(widened("istio-system")) == sorted(both)
    guarded = {"app": "reviews", "version": "v1"}
    assert widened("shop", selector={"matchLabels": guarded}) == [("GM403", "reviews-allow")], (
        "all its pods are those of an Allow of ours"
    )
    assert widened("edge", selector={"matchLabels": {"istio": "x"}}) == [], (
        "a default of Deny does not cover gateways"
    )

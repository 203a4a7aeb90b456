"""Random AccessPolicies and VirtualMeshes, as YAML gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def _some(items: st.SearchStrategy[T], *, unique: bool = False) -> st.SearchStrategy[list[T]]:
    return st.lists(items, min_size=1, max_size=2, unique=unique)


_namespaces = _some(st.sampled_from(("shop", "bank")), unique=True)
_clusters = _some(st.sampled_from(("east", "west")), unique=True)
_blocks = _some(st.sampled_from(("10.0.0.0/8", "192.168.0.0/16", "10.0.0.9")), unique=True)
_addresses = {"ipBlocks": _blocks, "notIpBlocks": _blocks}
_accounts = st.fixed_dictionaries(
    {"name": st.sampled_from(("default", "web"))},
    optional={"namespace": st.sampled_from(("shop", "bank")), "cluster": st.sampled_from(("east", "west"))},
)
identities = st.one_of(
    st.just({"all": True}),
    st.just({"authenticated": True}),
    st.fixed_dictionaries(
        {"serviceAccounts": st.lists(_accounts, min_size=1, max_size=2)}, optional=_addresses
    ),
    st.fixed_dictionaries({"namespaces": _namespaces}, optional={"clusters": _clusters, **_addresses}),
    st.fixed_dictionaries({"clusters": _clusters}, optional=_addresses),
    st.fixed_dictionaries({"ipBlocks": _blocks}, optional={"notIpBlocks": _blocks}),
    st.fixed_dictionaries({"notIpBlocks": _blocks}),
)
destinations = st.one_of(
    st.just({"all": True}),
    st.fixed_dictionaries(
        {"name": st.sampled_from("rst")}, optional={"namespaces": _namespaces, "clusters": _clusters}
    ),
    st.fixed_dictionaries({"namespaces": _namespaces}, optional={"clusters": _clusters}),
    st.fixed_dictionaries({"labels": st.fixed_dictionaries({"team": st.sampled_from(("red", "blue"))})}),
)
_form = st.sampled_from(
    ({"exact": "red"}, {"prefix": "red"}, {"suffix": "red"}, {"present": True}, {"exact": ""})
)
_headers = st.builds(
    lambda form, more: {"name": "X-Team", **form, **more}, _form, st.sampled_from(({}, {"invert": True}))
)
_PORTS = (80, "http", 81, "admin", 82, 83, 84)
_RULE = {
    "paths": _some(st.sampled_from(("/api", "/api*", "*.php", "*", "/x{y}")), unique=True),
    "methods": _some(st.sampled_from(("GET", "POST")), unique=True),
    "ports": _some(st.sampled_from(_PORTS)),
    "hosts": _some(st.sampled_from(("r.shop", "r.*", "*.shop", "r.shop:80", "*")), unique=True),
    "headers": _some(_headers),
}
_rules = st.fixed_dictionaries({}, optional=_RULE).filter(bool)


def _document(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _with_rest(draw: st.DrawFn, rule: dict[str, Any]) -> dict[str, Any]:
    """A rule of a Deny that says what becomes of what is not HTTP, where it may."""
    rest = draw(st.sampled_from((None, "Deny", "Ignore"))) if rule.keys() - {"ports"} else None
    return {**rule, "nonHTTP": rest} if rest else rule


@st.composite
def access_policies(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One AccessPolicy."""
    spec: dict[str, Any] = {
        "sources": draw(st.lists(identities, min_size=1, max_size=2)),
        "destinations": draw(st.lists(destinations, min_size=1, max_size=2)),
    }
    action = draw(st.sampled_from((None, "Allow", "Deny")))
    if action is not None:
        spec["action"] = action
    if draw(st.booleans()):
        rules = draw(st.lists(_rules, min_size=1, max_size=2))
        spec["rules"] = [_with_rest(draw, rule) if action == "Deny" else rule for rule in rules]
    return _document("AccessPolicy", name, draw(st.sampled_from(("shop", "shop", "bank"))), spec)


def as_files(policies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A file each; JSON is YAML, and much faster to write."""
    return {f"{number}.yaml": json.dumps(policy) for number, policy in enumerate(policies)}


_meshes = st.one_of(
    st.just([{"selector": {"all": True}}]),
    st.just([{"cluster": "east"}]),
    st.just([{"cluster": "east", "name": "istio"}]),
    st.just([{"selector": {"clusters": ["west"]}}]),
)


@st.composite
def virtual_meshes(draw: st.DrawFn) -> dict[str, Any]:
    """One VirtualMesh."""
    default = draw(st.sampled_from((None, "Deny", "Deny", "Allow", "MeshDefault")))
    spec: dict[str, Any] = {"meshes": draw(_meshes)}
    if default is not None:
        spec["accessDefault"] = default
    if default == "Deny" and draw(st.booleans()):
        ports, sources = (
            st.lists(st.sampled_from(_PORTS), min_size=1, max_size=2),
            st.lists(identities, min_size=1, max_size=2),
        )
        spec["accessExempt"] = draw(
            st.fixed_dictionaries({}, optional={"ports": ports, "sources": sources}).filter(bool)
        )
    mode = draw(st.sampled_from((None, "Strict", "Permissive", "Disabled")))
    if mode is not None:
        spec["mtls"] = {"mode": mode}
    return _document("VirtualMesh", "all", "shop", spec)


@st.composite
def policy_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to three AccessPolicies and a VirtualMesh."""
    count = draw(st.integers(0, 3))
    found = [draw(access_policies(f"p{number}")) for number in range(count)]
    return [*found, draw(virtual_meshes())] if draw(st.booleans()) or not found else found


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was and what shall be: of up to three AccessPolicies and a VirtualMesh each is kept, replaced,
    added or removed.
    """
    old: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for number in range(4):
        made = virtual_meshes() if number == 3 else access_policies(f"p{number}")
        fate = draw(st.sampled_from(("replaced", "replaced", "kept", "added", "removed")))
        first = draw(made)
        old += [] if fate == "added" else [first]
        new += [] if fate == "removed" else [draw(made) if fate == "replaced" else first]
    return old, new

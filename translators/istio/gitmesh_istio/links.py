"""Subsets: DestinationRules provide them, VirtualServices use them. A route to one that no rule has is 503
(istio.io, DestinationRule, 'Subset').

What lets a waypoint in to pods uses the decision at the waypoint: without that all would come that way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.links import UNLINKED, Links, Ref
from gitmesh.model.objects import Body, listed, mapping, text
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DESTINATION_RULE, VIRTUAL_SERVICE
from gitmesh_istio.names import cluster_domain, full_host, host, waypoint_name
from gitmesh_istio.reading import namespace_of, rules_of, spec_of, targets_of
from gitmesh_istio.waypoints import Binding, places


def links(body: Body, meshes: Sequence[Mesh]) -> Links:
    """The subsets that an object offers to all clients, or leads requests and copies to; the waypoint that
    it guards, or lets in.
    """
    domain = cluster_domain(meshes)
    match body.get("kind"):
        case DESTINATION_RULE.kind:
            return Links(provides=frozenset(_provided(body, domain)))
        case VIRTUAL_SERVICE.kind:
            return Links(uses=frozenset(_used(body, domain)))
        case AUTHORIZATION_POLICY.kind:
            return _of_access(body, meshes, domain)
        case _:
            return UNLINKED


def with_subsets(before: Body, after: Body | None, kept: frozenset[Ref]) -> Mapping[str, Any] | None:
    """The DestinationRule with the subsets that must stay; as it was where it is to go, or is for another
    host.
    """
    old, new = spec_of(before), spec_of(after)
    if after is None or old.get("host") != new.get("host"):
        return None
    names = {ref.name for ref in kept}
    both = {**{n: s for n, s in subsets_of(before).items() if n in names}, **subsets_of(after)}
    return {**new, "subsets": [both[name] for name in sorted(both)]}


def subsets_of(rule: Body | None) -> dict[str, Mapping[str, Any]]:
    """Name -> subset of a DestinationRule."""
    subsets = listed(spec_of(rule).get("subsets"))
    return {name: subset for subset in subsets if (name := text(subset.get("name")))}


def _provided(rule: Body, domain: str) -> Iterable[Ref]:
    """Its subsets, where clients of every namespace come to it."""
    spec, namespace = spec_of(rule), namespace_of(rule)
    host = full_host(text(spec.get("host")), namespace, domain)
    shown = spec.get("exportTo") or ["*"]
    # A subset that only some clients find is none that a route may be kept for: it would be 503 for all
    # others.
    # Clients look for a rule in the Service's own namespace last but one, so that one elsewhere is for some
    # of them; and so is one that is shown to some alone (istio.io, DestinationRule, `exportTo`).
    elsewhere = host.endswith(f".svc.{domain}") and host.split(".")[1] != namespace
    if elsewhere or "*" not in shown:
        return
    yield from (Ref(kind="subset", name=name, of=host) for name in subsets_of(rule))


def _used(service: Body, domain: str) -> Iterable[Ref]:
    for destination in _destinations(spec_of(service)):
        if name := text(destination.get("subset")):
            host = full_host(text(destination.get("host")), namespace_of(service), domain)
            yield Ref(kind="subset", name=name, of=host)


def _destinations(spec: Mapping[str, Any]) -> Iterable[Mapping[str, object]]:
    """Every destination of a VirtualService: of routes and mirrors, http, tls and tcp."""
    for route in (route for kind in ("http", "tls", "tcp") for route in listed(spec.get(kind))):
        for share in (*listed(route.get("route")), *listed(route.get("mirrors"))):
            yield mapping(share.get("destination"))
        yield mapping(route.get("mirror"))


def _of_access(policy: Body, meshes: Sequence[Mesh], domain: str) -> Links:
    """Of an Allow or a Deny of one Service, by its name."""
    waypoints = {one for place in places(meshes) for one in _identity(place).principals(meshes)}
    rest, _, role = text(mapping(policy.get("metadata")).get("name")).rpartition("-")
    if not waypoints or role not in ("allow", "deny"):
        return UNLINKED
    service, _, _ = rest.partition(".")
    owner = host(namespace_of(policy), service, domain)
    guard = frozenset({Ref(kind="gateway", name=f"waypoint ({role})", of=owner)})
    if targets_of(spec_of(policy)):
        return Links(provides=guard) if f"{rest}-{role}" == waypoint_name(service, role) else UNLINKED
    let_in = "principals" if role == "allow" else "notPrincipals"
    named = {name for rule in rules_of(policy) for name in _named(rule, let_in)}
    return UNLINKED if waypoints.isdisjoint(named) else Links(uses=guard)


def _identity(place: tuple[str, str]) -> Binding:
    return Binding(namespace=place[0], name=place[1])


def _named(rule: Mapping[str, Any], field: str) -> Iterable[str]:
    for one in listed(rule.get("from")):
        names = mapping(one.get("source")).get(field)
        yield from map(str, names) if isinstance(names, list) else ()

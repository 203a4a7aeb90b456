"""ReferenceGrants: the leave of a namespace that routes of another one may name its Services (GEP-709).

A grant cannot name a route, only a namespace: it opens its Services to the routes of everybody who may write
some there, those of gateways included. So there is one for exactly the namespace of the routes and exactly
the Services that they lead to, where the mesh asks for one, and for no longer than they do. Each destination
has its own, so that what one withdraws another one keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitmesh.model.links import UNLINKED, Links, Ref
from gitmesh.model.objects import Body, canonical, listed, mapping, text
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service
from gitmesh_gatewayapi.kinds import GROUP, REFERENCE_GRANT, ROUTES
from gitmesh_gatewayapi.objects import GrantObject, RouteObject
from gitmesh_gatewayapi.remarks import Remarks

MAX_GRANTED = 16
"""Services that one ReferenceGrant names (CRD)."""
_ROUTES = frozenset(one.kind for one in ROUTES)


def grant_name(service: tuple[str, str]) -> str:
    """`<namespace>.<name>` of the destination for whose routes it is. Neither has a dot, so no two give
    one."""
    return ".".join(service)


def grants(routes: Iterable[RouteObject], called: Service, remarks: Remarks) -> tuple[GrantObject, ...]:
    """The grants that the routes of a destination need. What they open is told."""
    wanted: dict[str, dict[str, Origin]] = {}
    kinds: dict[str, set[str]] = {}
    for route in routes:
        for (namespace, name), path in _led_to(route.spec):
            if namespace:
                at, known = _nearest(path, route.origins), wanted.setdefault(namespace, {})
                known[name] = min(at, known.get(name, at))
                kinds.setdefault(namespace, set()).add(route.kind.kind)
    return tuple(
        _grant(place, wanted[place], sorted(kinds[place]), called, remarks) for place in sorted(wanted)
    )


def _grant(
    place: str, services: Mapping[str, Origin], kinds: Iterable[str], called: Service, remarks: Remarks
) -> GrantObject:
    first = min(services.values())
    shown = ", ".join(sorted(services))
    # An error, as the routes would be accepted and answer 500 (HTTPBackendRef, ReferenceGrant).
    if not remarks.dialect.grantable:
        text = (
            f"the routes of {called.namespace}/{called.name} lead to {shown} in namespace {place} only by"
            " leave of that namespace, and the cluster serves no ReferenceGrant"
        )
        remarks.add("GM319", text, first)
    if len(services) > MAX_GRANTED:
        remarks.unsupported(
            f"one destination leads to at most {MAX_GRANTED} Services of another namespace", first
        )
    for name, origin in sorted(services.items()):
        opened = (
            f"a ReferenceGrant lets the routes of everybody in namespace {called.namespace}, those of"
            f" gateways included, lead to Service {place}/{name}"
        )
        remarks.add("GM324", opened, origin)
    spec = {
        "from": [{"group": GROUP, "kind": kind, "namespace": called.namespace} for kind in kinds],
        "to": [{"group": "", "kind": "Service", "name": name} for name in sorted(services)],
    }
    origins = {f"to[{number}]": services[name] for number, name in enumerate(sorted(services))}
    return GrantObject(
        namespace=place, name=grant_name(called.key), spec=spec, origins={"": first, **origins}
    )


def _led_to(spec: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """((namespace, name), path below the spec) of each Service that a route leads requests or copies to;
    namespace "" is its own."""
    for number, rule in enumerate(listed(spec.get("rules"))):
        at = f"rules[{number}]"
        backends = [(one, f"{at}.backendRefs") for one in listed(rule.get("backendRefs"))]
        for place, one in enumerate(listed(rule.get("filters"))):
            copied = mapping(mapping(one.get("requestMirror")).get("backendRef"))
            backends += [(copied, f"{at}.filters[{place}]")] if copied else []
        for one, path in backends:
            # Both may be left out: a backend is a Service of the core group then (BackendObjectReference).
            if (one.get("kind", "Service"), one.get("group", "")) == ("Service", ""):
                yield (text(one.get("namespace")), text(one.get("name"))), path


def _nearest(path: str, origins: Mapping[str, Origin]) -> Origin:
    return next(origins[one] for one in (path, path.partition(".")[0], "") if one in origins)


def links(body: Body) -> Links:
    """The leave that a route uses, or that a ReferenceGrant gives by name: one that opens a whole namespace
    is somebody else's, and may end without our knowing."""
    place, spec = text(mapping(body.get("metadata")).get("namespace")), mapping(body.get("spec"))
    kind = text(body.get("kind"))
    if kind == REFERENCE_GRANT.kind:
        return Links(provides=frozenset(_given(spec, place)))
    if kind not in _ROUTES:
        return UNLINKED
    elsewhere = (to for to, _ in _led_to(spec) if to[0] not in ("", place))
    return Links(uses=frozenset(_leave(kind, place, to) for to in elsewhere))


def between(before: Body, after: Body | None, kept: frozenset[Ref]) -> Mapping[str, Any] | None:
    """The grant with what must stay open; as it was where it is to go. Routes of another kind are let in
    before those are gone that they replace."""
    if after is None:
        return None
    old, new = mapping(before.get("spec")), mapping(after.get("spec"))
    place = text(mapping(before.get("metadata")).get("namespace"))
    return {
        **new,
        **{side: _both(old, new, side, place, kept) for side in ("from", "to")},
    }


def _both(
    old: Mapping[str, Any], new: Mapping[str, Any], side: str, place: str, kept: frozenset[Ref]
) -> list[Mapping[str, Any]]:
    """The items of one side that are wanted, and those without which something kept would not be open."""
    # One item at a time beside all of the other side: a grant opens every pair of a source and a Service.
    stays = [one for one in listed(old.get(side)) if not kept.isdisjoint(_given({**old, side: [one]}, place))]
    both = {canonical(one): one for one in (*stays, *listed(new.get(side)))}
    return [both[content] for content in sorted(both)]


def _given(spec: Mapping[str, Any], place: str) -> Iterator[Ref]:
    for giving in listed(spec.get("from")):
        kind, source = text(giving.get("kind")), text(giving.get("namespace"))
        for to in listed(spec.get("to")):
            # Without a name it opens all Services of the namespace: that is nothing we write, and not ours
            # to rely on.
            named = (to.get("kind"), to.get("group", "")) == ("Service", "") and text(to.get("name"))
            if named and giving.get("group") == GROUP and kind in _ROUTES:
                yield _leave(kind, source, (place, named))


def _leave(kind: str, source: str, to: tuple[str, str]) -> Ref:
    return Ref(kind="grant", of="/".join(to), name=f"to each {kind} of namespace {source}")

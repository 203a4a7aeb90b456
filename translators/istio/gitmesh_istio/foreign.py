"""Somebody else's objects that stand in the way of ours, and where objects stand in the order of
deletions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitmesh_gatewayapi import HTTP_ROUTE

from gitmesh.model.facts import Mesh
from gitmesh.model.manifests import Manifest, Phase
from gitmesh.model.objects import Body, ObjectKey, decode, mapping, text
from gitmesh.model.plan import Live
from gitmesh.ports import Claim
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DESTINATION_RULE, PEER_AUTHENTICATION, VIRTUAL_SERVICE
from gitmesh_istio.meshwide import DEFAULT_DENY, GATEWAY_SUFFIX, root_of
from gitmesh_istio.names import cluster_domain, full_host, host, host_matches
from gitmesh_istio.reading import (
    is_enforced_allow,
    is_enforced_at_waypoint,
    mode_of,
    parents_of,
    selector_of,
    spec_of,
    targets_of,
)

_HOSTED = (VIRTUAL_SERVICE.kind, DESTINATION_RULE.kind)
_PHASES = {
    VIRTUAL_SERVICE.kind: Phase.ROUTE,
    HTTP_ROUTE.kind: Phase.ROUTE,
    DESTINATION_RULE.kind: Phase.DESTINATION,
}


def foreign(
    lives: Sequence[Live], ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]
) -> tuple[Claim, ...]:
    """What the foreign live objects do to our desired ones: claim a host of ours, or admit more."""
    index = _Ours(ours, meshes)
    found = [claim for live in lives for claim in index.claims(live)]
    return tuple(sorted(found))


class _Ours:
    """Our desired objects, indexed by what a foreign one can clash with."""

    def __init__(self, ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]) -> None:
        self.domain = cluster_domain(meshes)
        self.roots = frozenset(root_of(mesh) for mesh in meshes)
        self.hosts: dict[tuple[str, str], ObjectKey] = {}
        self.guards: dict[str, list[tuple[ObjectKey, Mapping[str, str]]]] = defaultdict(list)
        self.gateways: list[tuple[str, Mapping[str, str]]] = []
        self.peers: dict[ObjectKey, str] = {}
        self.defaults: list[ObjectKey] = []
        self.routed: dict[tuple[str, str], list[ObjectKey]] = defaultdict(list)
        self.waypoints: dict[tuple[str, str], list[ObjectKey]] = defaultdict(list)
        for key, manifest in sorted(ours.items()):
            self._add(key, spec_of(decode(manifest.body)))

    def _add(self, key: ObjectKey, spec: Mapping[str, Any]) -> None:
        if key.kind in _HOSTED:
            for name in _hosts(spec):
                self.hosts[key.kind, name] = key
        elif key.kind == HTTP_ROUTE.kind:
            for place in parents_of(spec, key.namespace):
                self.routed[place].append(key)
        elif key.kind == PEER_AUTHENTICATION.kind:
            self.peers[key] = mode_of(spec.get("mtls"))
        elif key.name == DEFAULT_DENY:
            self.defaults.append(key)
        elif key.name.endswith(GATEWAY_SUFFIX):
            self.gateways.append((key.namespace, selector_of(spec)))
        elif targets := targets_of(spec):
            for target in targets if spec.get("action") == "ALLOW" else ():
                self.waypoints[key.namespace, text(target.get("name"))].append(key)
        elif spec.get("action") == "ALLOW" and spec.get("rules") != [{}]:
            self.guards[key.namespace].append((key, selector_of(spec)))

    def claims(self, live: Live) -> Iterable[Claim]:
        spec = spec_of(decode(live.body))
        if live.key.kind in _HOSTED:
            return self._hosted(live, spec)
        if live.key.kind == HTTP_ROUTE.kind:
            return self._routing(live, spec)
        if live.key.kind == AUTHORIZATION_POLICY.kind:
            return (*self._widening(live, spec), *self._widening_at_waypoint(live, spec))
        return self._peer(live, spec) if live.key.kind == PEER_AUTHENTICATION.kind else ()

    def _peer(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """Of two for a whole mesh Istio takes the older, in the root namespace none with a selector;
        elsewhere the narrower one wins.
        """
        if live.key.namespace not in self.roots:
            said = f"{live.key} may admit plaintext where mTLS is Strict"
            strict = [key for key, mode in self.peers.items() if mode == "STRICT"]
            yield from (
                Claim(by=live.key, on=key, code="GM403", text=said)
                for key in strict
                if _admits_plaintext(spec)
            )
        elif not selector_of(spec):
            said = f"{live.key} sets mTLS for the whole mesh too; Istio takes the older one"
            yield from (
                Claim(by=live.key, on=key, code="GM401", text=said)
                for key in self.peers
                if key.namespace == live.key.namespace
            )

    def _hosted(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """Sidecars take one VirtualService for each host, and of DestinationRules the oldest
        trafficPolicy.
        """
        gateways = spec.get("gateways")
        if live.key.kind == VIRTUAL_SERVICE.kind and gateways and "mesh" not in gateways:
            return
        for given in _hosts(spec):
            pattern = full_host(given, live.key.namespace, self.domain)
            for key in self._meant(live.key.kind, pattern):
                yield Claim(
                    by=live.key, on=key, code="GM401", text=f"{live.key} claims the host {given} of {key}"
                )

    def _routing(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """Routes of one Service are merged, and of equally specific matches the older route decides."""
        for place in parents_of(spec, live.key.namespace):
            for key in self.routed.get(place, ()):
                said = f"{live.key} routes requests for Service {'/'.join(place)}, too"
                yield Claim(by=live.key, on=key, code="GM401", text=said)

    def _meant(self, kind: str, pattern: str) -> Iterable[ObjectKey]:
        """Ours for the hosts of a pattern; a VirtualService beside HTTPRoutes is undefined (istio.io,
        'Migrate policies')."""
        if kind == VIRTUAL_SERVICE.kind:
            for (namespace, name), keys in self.routed.items():
                if host_matches(pattern, host(namespace, name, self.domain)):
                    yield from keys
        yield from self._hosting(kind, pattern)

    def _hosting(self, kind: str, pattern: str) -> Iterable[ObjectKey]:
        if not pattern.startswith("*"):
            return (self.hosts[kind, pattern],) if (kind, pattern) in self.hosts else ()
        if kind == DESTINATION_RULE.kind:
            return ()  # the more specific host wins: ours
        return (
            key for (other, name), key in self.hosts.items() if other == kind and host_matches(pattern, name)
        )

    def _widening(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """Every ALLOW adds to the others; one without rules admits nothing, one on trial is not enforced."""
        if not spec.get("rules") or not is_enforced_allow(live):
            return
        for key in self._guards(live.key.namespace, selector_of(spec)) or self._defaults(
            live.key.namespace, selector_of(spec)
        ):
            yield Claim(
                by=live.key, on=key, code="GM403", text=f"{live.key} may admit callers that {key} does not"
            )

    def _widening_at_waypoint(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """The same at waypoints, for Services by name, and for all that a Gateway or its class serves."""
        if not spec.get("rules") or not is_enforced_at_waypoint(live):
            return
        named = {text(one.get("name")) for one in targets_of(spec) if one.get("kind") == "Service"}
        broad = any(one.get("kind") != "Service" for one in targets_of(spec))
        for (namespace, name), keys in self.waypoints.items():
            if broad or (namespace == live.key.namespace and name in named):
                for key in keys:
                    said = f"{live.key} may admit callers at a waypoint that {key} does not"
                    yield Claim(by=live.key, on=key, code="GM403", text=said)

    def _guards(self, namespace: str, wanted: Mapping[str, str]) -> list[ObjectKey]:
        """Our Allows whose pods an object with this selector may select; one in the root namespace selects
        everywhere.
        """
        places = list(self.guards.values()) if namespace in self.roots else [self.guards.get(namespace, [])]
        return [
            key
            for guards in places
            for key, selector in guards
            if all(selector.get(name, value) == value for name, value in wanted.items())
        ]

    def _defaults(self, namespace: str, wanted: Mapping[str, str]) -> list[ObjectKey]:
        """The default denies that it may undo: all, unless it selects a gateway, which a default never
        covers.
        """
        everywhere = namespace in self.roots
        opened = (selector for place, selector in self.gateways if everywhere or place == namespace)
        return (
            [] if wanted and any(wanted.items() <= selector.items() for selector in opened) else self.defaults
        )


def _hosts(spec: Mapping[str, Any]) -> list[str]:
    given = spec.get("hosts", [spec["host"]] if isinstance(spec.get("host"), str) else [])
    return [host for host in given if isinstance(host, str)] if isinstance(given, list) else []


def _admits_plaintext(spec: Mapping[str, Any]) -> bool:
    parts = (spec.get("mtls"), *mapping(spec.get("portLevelMtls")).values())
    return any(mode_of(part) in ("PERMISSIVE", "DISABLE") for part in parts)


def phase(live: Live) -> Phase:
    """Where a live object of ours stands in the order of deletions."""
    kind = live.key.kind
    if kind != AUTHORIZATION_POLICY.kind:
        return _PHASES.get(kind, Phase.TRUST)
    if live.key.name == DEFAULT_DENY:
        return Phase.DEFAULT_DENY
    if live.key.name.endswith(GATEWAY_SUFFIX):
        # After the default deny, which would close the gateway for as long as it outlived this object.
        return Phase.PROTOCOL
    return phase_of(decode(live.body))


def phase_of(policy: Body) -> Phase:
    """Where the access of one Service stands: at a waypoint it is written before, and deleted after, what
    lets the waypoint come to the pods."""
    spec = spec_of(policy)
    denies = spec.get("action") == "DENY"
    if targets_of(spec):
        return Phase.TRUST if denies else Phase.DENY
    return Phase.DENY if denies else Phase.ALLOW

"""Somebody else's objects beside those of ours that decide who may call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import ObjectKey, decode, listed, mapping, text
from gitmesh.model.plan import Live
from gitmesh.ports import Claim
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, PEER_AUTHENTICATION
from gitmesh_istio.meshwide import DEFAULT_DENY, GATEWAY_SUFFIX, root_of
from gitmesh_istio.readers import readers, share_a_reader
from gitmesh_istio.reading import (
    is_enforced_allow,
    is_enforced_at_waypoint,
    mode_of,
    selector_of,
    spec_of,
    targets_of,
)

_OF_IDENTITY = frozenset({"principals", "notPrincipals", "namespaces", "notNamespaces"})


def foreign(
    lives: Sequence[Live], ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]
) -> tuple[Claim, ...]:
    """What foreign live objects do to our desired ones: say the same, admit more, take identities away."""
    index = _Ours(ours, meshes)
    found = [
        claim
        for live in lives
        for claim in index.claims(live)
        if share_a_reader(readers(live.labels, meshes), index.read[claim.on])
    ]
    return tuple(sorted(found))


class _Ours:
    """Our desired objects, indexed by what a foreign one can clash with."""

    def __init__(self, ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]) -> None:
        self.roots = frozenset(root_of(mesh) for mesh in meshes)
        self.read: dict[ObjectKey, tuple[str, ...]] = {}
        self.guards: dict[str, list[tuple[ObjectKey, Mapping[str, str]]]] = defaultdict(list)
        self.gateways: list[tuple[str, Mapping[str, str]]] = []
        self.peers: dict[ObjectKey, str] = {}
        self.defaults: list[ObjectKey] = []
        self.naming: dict[str, list[tuple[ObjectKey, Mapping[str, str]]]] = defaultdict(list)
        self.waypoints: dict[tuple[str, str], list[ObjectKey]] = defaultdict(list)
        for key, manifest in sorted(ours.items()):
            body = decode(manifest.body)
            self.read[key] = readers(mapping(mapping(body.get("metadata")).get("labels")), meshes)
            self._add(key, spec_of(body))

    def _add(self, key: ObjectKey, spec: Mapping[str, Any]) -> None:
        if key.kind == PEER_AUTHENTICATION.kind:
            self.peers[key] = mode_of(spec.get("mtls"))
        elif key.kind == AUTHORIZATION_POLICY.kind and (targets := targets_of(spec)):
            for target in targets if spec.get("action") == "ALLOW" else ():
                self.waypoints[key.namespace, text(target.get("name"))].append(key)
        elif key.kind == AUTHORIZATION_POLICY.kind:
            self._add_at_pods(key, spec)

    def _add_at_pods(self, key: ObjectKey, spec: Mapping[str, Any]) -> None:
        if key.name == DEFAULT_DENY:
            self.defaults.append(key)
        elif key.name.endswith(GATEWAY_SUFFIX):
            self.gateways.append((key.namespace, selector_of(spec)))
        # What admits everybody already cannot be widened.
        elif spec.get("action") == "ALLOW" and spec.get("rules") != [{}]:
            self.guards[key.namespace].append((key, selector_of(spec)))
        if any(map(_names_callers, listed(spec.get("rules")))):
            self.naming[key.namespace].append((key, selector_of(spec)))

    def claims(self, live: Live) -> Iterable[Claim]:
        spec = spec_of(decode(live.body))
        if live.key.kind == AUTHORIZATION_POLICY.kind:
            return (*self._widening(live, spec), *self._widening_at_waypoint(live, spec))
        if live.key.kind == PEER_AUTHENTICATION.kind:
            return (*self._peer(live, spec), *self._nameless(live, spec))
        return ()

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

    def _nameless(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """The claims where somebody else switches mTLS off."""
        selector = selector_of(spec)
        # In the root namespace such an object counts for the whole mesh, or, with a selector, not at all.
        if "DISABLE" not in _modes(spec) or (selector and live.key.namespace in self.roots):
            return
        for key in self._meant(self.naming, live.key.namespace, selector):
            # Without mTLS nobody shows an identity: callers that are admitted by theirs are refused, and a
            # Deny by identity refuses everybody.
            said = f"{live.key} switches mTLS off where {key} decides by identity: nobody shows one there"
            yield Claim(by=live.key, on=key, code="GM415", text=said)

    def _widening(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """Every ALLOW adds to the others; one without rules admits nothing, one on trial is not enforced."""
        if not spec.get("rules") or not is_enforced_allow(live):
            return
        place, wanted = live.key.namespace, selector_of(spec)
        for key in (*self._meant(self.guards, place, wanted), *self._defaults(place, wanted)):
            yield Claim(
                by=live.key, on=key, code="GM403", text=f"{live.key} may admit callers that {key} does not"
            )

    def _widening_at_waypoint(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """The same at waypoints, for Services by name, and for all that a Gateway or its class serves."""
        if not spec.get("rules") or not is_enforced_at_waypoint(live):
            return
        named = {text(one.get("name")) for one in targets_of(spec) if one.get("kind") == "Service"}
        # A Gateway, or a GatewayClass: every Service behind it is meant, and which ones those are changes
        # with labels.
        broad = any(one.get("kind") != "Service" for one in targets_of(spec))
        for (namespace, name), keys in self.waypoints.items():
            if broad or (namespace == live.key.namespace and name in named):
                for key in keys:
                    said = f"{live.key} may admit callers at a waypoint that {key} does not"
                    yield Claim(by=live.key, on=key, code="GM403", text=said)

    def _meant(
        self,
        guards: Mapping[str, Sequence[tuple[ObjectKey, Mapping[str, str]]]],
        namespace: str,
        wanted: Mapping[str, str],
    ) -> list[ObjectKey]:
        """Of such objects of ours those whose pods an object with this selector may select; one in the root
        namespace selects everywhere.
        """
        places = list(guards.values()) if namespace in self.roots else [guards.get(namespace, ())]
        return [
            key
            for found in places
            for key, selector in found
            if all(selector.get(name, value) == value for name, value in wanted.items())
        ]

    def _defaults(self, namespace: str, wanted: Mapping[str, str]) -> list[ObjectKey]:
        """The default denies that it may undo: all, unless it selects a gateway, which a default never
        covers, or no other pods than those of an Allow of ours.
        """
        everywhere = namespace in self.roots
        governed = () if everywhere else self.guards.get(namespace, ())
        if any(selector.items() <= wanted.items() for _, selector in governed):
            return []
        opened = (selector for place, selector in self.gateways if everywhere or place == namespace)
        return (
            [] if wanted and any(wanted.items() <= selector.items() for selector in opened) else self.defaults
        )


def _admits_plaintext(spec: Mapping[str, Any]) -> bool:
    return not _modes(spec).isdisjoint(("PERMISSIVE", "DISABLE"))


def _modes(spec: Mapping[str, Any]) -> frozenset[str]:
    """Every mode that it sets, for all ports or for one."""
    parts = (spec.get("mtls"), *mapping(spec.get("portLevelMtls")).values())
    return frozenset(map(mode_of, parts))


def _names_callers(rule: Mapping[str, Any]) -> bool:
    """Whether a rule means callers by an identity that they show."""
    sources = (mapping(mapping(one).get("source")) for one in listed(rule.get("from")))
    return any(not _OF_IDENTITY.isdisjoint(source) for source in sources)

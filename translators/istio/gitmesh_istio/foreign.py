"""Somebody else's objects beside those of ours that decide who may call, and where objects stand in the order
of deletions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.manifests import Manifest, Phase
from gitmesh.model.objects import ObjectKey, decode, mapping
from gitmesh.model.plan import Live
from gitmesh.ports import Claim
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DESTINATION_RULE, PEER_AUTHENTICATION, VIRTUAL_SERVICE
from gitmesh_istio.meshwide import DEFAULT_DENY, GATEWAY_SUFFIX, root_of
from gitmesh_istio.reading import is_enforced_allow, mode_of, selector_of, spec_of


def foreign(
    lives: Sequence[Live], ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]
) -> tuple[Claim, ...]:
    """What the foreign live objects do to our desired ones: say the same, or admit more."""
    index = _Ours(ours, meshes)
    found = [claim for live in lives for claim in index.claims(live)]
    return tuple(sorted(found))


class _Ours:
    """Our desired objects, indexed by what a foreign one can clash with."""

    def __init__(self, ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]) -> None:
        self.roots = frozenset(root_of(mesh) for mesh in meshes)
        self.guards: dict[str, list[tuple[ObjectKey, Mapping[str, str]]]] = defaultdict(list)
        self.gateways: list[tuple[str, Mapping[str, str]]] = []
        self.peers: dict[ObjectKey, str] = {}
        self.defaults: list[ObjectKey] = []
        for key, manifest in sorted(ours.items()):
            self._add(key, spec_of(decode(manifest.body)))

    def _add(self, key: ObjectKey, spec: Mapping[str, Any]) -> None:
        if key.kind == PEER_AUTHENTICATION.kind:
            self.peers[key] = mode_of(spec.get("mtls"))
        elif key.kind != AUTHORIZATION_POLICY.kind:
            return
        elif key.name == DEFAULT_DENY:
            self.defaults.append(key)
        elif key.name.endswith(GATEWAY_SUFFIX):
            self.gateways.append((key.namespace, selector_of(spec)))
        elif spec.get("action") == "ALLOW" and spec.get("rules") != [{}]:
            self.guards[key.namespace].append((key, selector_of(spec)))

    def claims(self, live: Live) -> Iterable[Claim]:
        spec = spec_of(decode(live.body))
        if live.key.kind == AUTHORIZATION_POLICY.kind:
            return self._widening(live, spec)
        return self._peer(live, spec) if live.key.kind == PEER_AUTHENTICATION.kind else ()

    def _peer(self, live: Live, spec: Mapping[str, Any]) -> Iterable[Claim]:
        """Of two for a whole mesh Istio takes the older, in the root namespace none with a selector;
        elsewhere the narrower one wins.
        """
        if live.key.namespace not in self.roots:
            text = f"{live.key} may admit plaintext where mTLS is Strict"
            strict = [key for key, mode in self.peers.items() if mode == "STRICT"]
            yield from (
                Claim(by=live.key, on=key, code="GM403", text=text)
                for key in strict
                if _admits_plaintext(spec)
            )
        elif not selector_of(spec):
            text = f"{live.key} sets mTLS for the whole mesh too; Istio takes the older one"
            yield from (
                Claim(by=live.key, on=key, code="GM401", text=text)
                for key in self.peers
                if key.namespace == live.key.namespace
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


def _admits_plaintext(spec: Mapping[str, Any]) -> bool:
    parts = (spec.get("mtls"), *mapping(spec.get("portLevelMtls")).values())
    return any(mode_of(part) in ("PERMISSIVE", "DISABLE") for part in parts)


def phase(live: Live) -> Phase:
    """Where a live object of ours stands in the order of deletions."""
    kind = live.key.kind
    if kind != AUTHORIZATION_POLICY.kind:
        return {VIRTUAL_SERVICE.kind: Phase.ROUTE, DESTINATION_RULE.kind: Phase.DESTINATION}.get(
            kind, Phase.TRUST
        )
    if live.key.name == DEFAULT_DENY:
        return Phase.DEFAULT_DENY
    if live.key.name.endswith(GATEWAY_SUFFIX):
        # After the default deny, which would close the gateway for as long as it outlived this object.
        return Phase.PROTOCOL
    return Phase.DENY if spec_of(decode(live.body)).get("action") == "DENY" else Phase.ALLOW

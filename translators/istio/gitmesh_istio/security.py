"""Access decisions -> AuthorizationPolicies `<service>-allow` and `<service>-deny`.

What Istio does: DENY before ALLOW; a request that some ALLOW object selects the pod for, and none admits, is
denied - on **every** port of the pod. So one ALLOW object flips the whole pod to default deny, and these
rules make up for it:

1. Every rule of a grant carries the workload ports of its destination.
2. Where the default is not Deny, one more rule admits everything on ports that no Allow guards (`notPorts`),
  so that other ports
   keep their default. If some guarded port is not known, the rule is left out: the pod is closed there
   (Narrowed). Where the default is Deny there is no such rule.
   On pods that can be told apart and have fewer guarded ports, another object, for these pods alone, admits
   what is guarded on the others only. Nor is there such a rule for pods that a stranger's ALLOW closes.
3. What the default of Deny exempts is admitted on ports that no Allow guards.
4. A governed destination of which no grant can be said still gets its object: absence would be open. Without
  rules it denies all;
   with rule 2 it denies the guarded ports.
5. An Allow never says more than the policy, a Deny never less; `callers` and `operations` see to it.

An identity-based Deny also denies callers without identity. Under strict mTLS there are none, and it says so
all the same: the mode is another object, which may come later, go earlier, or be somebody else's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Fragment, Phase
from gitmesh.model.objects import canonical
from gitmesh.model.policies import Origin
from gitmesh.model.units import Access, DestinationUnit, Exemption, Grant, Operation
from gitmesh_istio import callers, operations
from gitmesh_istio.kinds import AUTHORIZATION_POLICY
from gitmesh_istio.names import Labels, access_name
from gitmesh_istio.scope import Notes, Part, fragment

MAX_RULES = 512
"""Rules of one object, and sources of one rule, that the CRD takes."""

Rule: TypeAlias = tuple[dict[str, Any], Origin]


def authorization(unit: DestinationUnit, access: Access, version: str, notes: Notes) -> tuple[Fragment, ...]:
    """The access objects of a destination. Errors are noted; what can be closed is closed in spite of them.

    A Service without selector has none: its object would select every pod of the namespace.
    """
    if not unit.service.selector:
        return ()
    made = (*_allow(unit, access, version, notes), _deny(unit, access, version, notes))
    return tuple(found for found in made if found is not None)


def _meshes(unit: DestinationUnit, notes: Notes) -> tuple[Mesh, ...]:
    """The meshes of the pods, whose trust domains decide what a principal means."""
    own = tuple(mesh for mesh in notes.scope.meshes if mesh.name in unit.meshes)
    return own or notes.scope.meshes


def access_names(place: tuple[str, str], facts: ClusterFacts) -> tuple[str, ...]:
    """The names of all access objects that the destination (namespace, name) may own."""
    service, name = facts.service_index.get(place), place[1]
    pods = [facts.telling(workload) for workload in facts.behind(service)] if service else []
    more = [tuple(sorted(labels.items() - service.selector.items())) for labels in pods] if service else []
    parts = (access_name(name, "allow", labels) for labels in more)
    return tuple(dict.fromkeys((access_name(name, "allow"), access_name(name, "deny"), *parts)))


def _allow(unit: DestinationUnit, access: Access, version: str, notes: Notes) -> tuple[Fragment, ...]:
    """The object for all pods, and one for each kind of pods that are told apart."""
    rules = [rule for grant in access.allows for rule in _grant_rules(grant, unit, access, notes)]
    if access.exempt is not None and access.default == "Deny":
        rules += _exempt_rules(access.exempt, unit, access, notes)
    rest = _rest_rules(access, notes) if access.governed and access.default != "Deny" else []
    if not access.governed and not rules:
        return ()
    given = [grant.origin for grant in access.allows] or [origin for _, origin in rules]
    wanted: dict[Labels, list[Rule]] = {(): [*rules, *(rest if access.shut_by is None else ())]}
    wanted |= {part.labels: [*rules, *_but(part.guarded, rest)] for part in access.apart}
    return tuple(
        _object(unit, "allow", _at_most(MAX_RULES, found, notes), given, version, pods)
        for pods, found in wanted.items()
    )


def _at_most(most: int, rules: list[Rule], notes: Notes) -> list[Rule]:
    if len(rules) <= most:
        return rules
    notes.add(
        "GM304",
        f"an AuthorizationPolicy takes {most} rules: the last {len(rules) - most} are left out",
        rules[-1][1],
    )
    return _in_order(rules)[:most]


def _deny(unit: DestinationUnit, access: Access, version: str, notes: Notes) -> Fragment | None:
    rules: list[Rule] = []
    for grant in access.denies:
        sources = callers.denied(grant.callers, _meshes(unit, notes), grant.origin, notes)
        asked = [
            operations.denied(o, access, grant.origin, notes) for o in grant.operations or (Operation(),)
        ]
        rules += [(_rule(sources, one), grant.origin) for one in asked if one is not None and sources]
    if not rules:
        return None
    if len(rules) > MAX_RULES:
        notes.add(
            "GM304",
            f"an AuthorizationPolicy takes {MAX_RULES} rules: everything is denied instead",
            rules[-1][1],
        )
        rules = [({}, rules[0][1])]
    return _object(unit, "deny", rules, [grant.origin for grant in access.denies], version)


def _grant_rules(grant: Grant, unit: DestinationUnit, access: Access, notes: Notes) -> list[Rule]:
    """One rule an operation: Istio drops a whole rule of an ALLOW for one operation that does not fit the
    port.
    """
    sources = callers.allowed(grant.callers, _meshes(unit, notes), grant.origin, notes)
    asked = [
        operations.allowed(o, unit, access, grant.origin, notes) for o in grant.operations or (Operation(),)
    ]
    if not access.targets:
        notes.add("GM304", "no port of the workloads is known, so nothing is admitted", grant.origin)
    return [(_rule(sources, one), grant.origin) for one in asked if one is not None and sources]


def _exempt_rules(exempt: Exemption, unit: DestinationUnit, access: Access, notes: Notes) -> list[Rule]:
    ports = sorted(
        operations.open_ports(exempt.targets or access.targets, access, exempt.origin, notes)
        - set(access.guarded)
    )
    sources = (
        callers.allowed(exempt.callers, _meshes(unit, notes), exempt.origin, notes)
        if exempt.callers
        else callers.ANYBODY
    )
    if not exempt.targets and access.unresolved_targets:
        unknown = ", ".join(access.unresolved_targets)
        notes.add("GM304", f"port {unknown} is not known at the workloads and is not exempt", exempt.origin)
    if not ports or not sources:
        return []
    return [
        (_rule(sources, operations.Asked(operation={"ports": [str(port) for port in ports]})), exempt.origin)
    ]


def _rest_rules(access: Access, notes: Notes) -> list[Rule]:
    """Everything on ports that no Allow guards."""
    origin = access.allows[0].origin if access.allows else None
    if origin is None:
        return []
    if access.unresolved_targets:
        unknown = ", ".join(access.unresolved_targets)
        notes.add(
            "GM304",
            f"port {unknown} is not known at the workloads, so all further ports of the pods are closed",
            origin,
        )
        return []
    return _but(access.guarded, [({}, origin)])


def _but(guarded: Sequence[int], rules: Sequence[Rule]) -> list[Rule]:
    """In place of each of the rules one that admits everything on all ports but the guarded ones."""
    ports = [str(port) for port in sorted(set(guarded))]
    rule: dict[str, Any] = {"to": [{"operation": {"notPorts": ports}}]} if ports else {}
    return [(rule, origin) for _, origin in rules]


def _rule(sources: Sequence[callers.Source], asked: operations.Asked) -> dict[str, Any]:
    """Istio refuses empty lists, so what means `any` is left out."""
    rule: dict[str, Any] = {}
    if tuple(sources) != callers.ANYBODY:
        rule["from"] = callers.as_from(sources)
    if asked.operation:
        rule["to"] = [{"operation": asked.operation}]
    if asked.when:
        rule["when"] = list(asked.when)
    return rule


def _in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Rules are a set, so they are written in an order of their own, once each."""
    unique = {
        canonical(rule): (rule, origin)
        for rule, origin in sorted(rules, key=lambda pair: pair[1], reverse=True)
    }
    return [unique[key] for key in sorted(unique)]


def _object(
    unit: DestinationUnit,
    role: str,
    rules: Sequence[Rule],
    given: Sequence[Origin],
    version: str,
    pods: Labels = (),
) -> Fragment:
    """The object for the destination's pods, of all or of those with these labels. An ALLOW without rules
    admits nothing (authorization_policy.proto).
    """
    ordered = _in_order(rules)
    selector = unit.service.selector
    spec: dict[str, Any] = {
        "selector": {"matchLabels": dict(sorted({**selector, **dict(pods)}.items()))},
        "action": role.upper(),
    }
    if ordered:
        spec["rules"] = [rule for rule, _ in ordered]
    origins = {f"rules[{number}]": origin for number, (_, origin) in enumerate(ordered)}
    if given:
        origins[""] = min(given)
    more = tuple(sorted(dict(pods).items() - selector.items()))
    place = (unit.service.namespace, access_name(unit.service.name, role, more))
    phase = Phase.ALLOW if role == "allow" else Phase.DENY
    made = fragment(
        AUTHORIZATION_POLICY, place, version, phase, Part(spec, origins), [origin.policy for origin in given]
    )
    return replace(made, owners=_owners(rules, ordered))


def _owners(rules: Sequence[Rule], ordered: Sequence[Rule]) -> dict[str, tuple[str, ...]]:
    """The policies of each rule that several say."""
    found: dict[bytes, set[str]] = defaultdict(set)
    for rule, origin in rules:
        found[canonical(rule)].add(origin.policy)
    behind = ((number, found[canonical(rule)]) for number, (rule, _) in enumerate(ordered))
    return {f"spec.rules[{number}]": tuple(sorted(names)) for number, names in behind if len(names) > 1}

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
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.facts import Mesh
from gitmesh.model.grants import Access, Exemption, Grant, Operation, PodsApart
from gitmesh.model.manifests import Fragment
from gitmesh.model.objects import canonical
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service
from gitmesh.model.units import AccessUnit
from gitmesh_istio import callers, operations
from gitmesh_istio.kinds import AUTHORIZATION_POLICY
from gitmesh_istio.names import Labels, access_name, waypoint_name
from gitmesh_istio.scope import Notes, Part, fragment

MAX_RULES = 512
"""Rules of one object, and sources of one rule, that the CRD takes."""

Rule: TypeAlias = tuple[dict[str, Any], Origin]


Role: TypeAlias = Literal["allow", "deny"]


class Ruleset(Struct, frozen=True):
    """What an object says, and where that was asked for. `rest` are the rules of an ALLOW that leave other
    ports as they are; on the pods that are `apart` they leave more ports so. `shut`: on all others somebody
    else keeps these ports closed, and so do we."""

    rules: Sequence[Rule]
    given: Sequence[Origin]
    rest: Sequence[Rule] = ()
    apart: tuple[PodsApart, ...] = ()
    shut: bool = False


class Door(Struct, frozen=True, kw_only=True):
    """Where access is decided: at the pods that a Service selects, or, with names of Services as `targets`,
    at their waypoints."""

    service: Service
    targets: tuple[str, ...] = ()

    def about(self, pods: Labels) -> dict[str, Any]:
        """What an object names there, `pods` by labels of their own."""
        if self.targets:
            return {"targetRefs": [{"group": "", "kind": "Service", "name": name} for name in self.targets]}
        return {"selector": {"matchLabels": dict(sorted({**self.service.selector, **dict(pods)}.items()))}}

    def name(self, role: Role, pods: Labels) -> str:
        """The name of an object there."""
        if self.targets:
            return waypoint_name(self.service.name, role)
        more = tuple(sorted(dict(pods).items() - self.service.selector.items()))
        return access_name(self.service.name, role, more)


def access_objects(
    allow: Ruleset | None, deny: Ruleset | None, door: Door, version: str, notes: Notes
) -> tuple[Fragment, ...]:
    """The objects of a door, each where something is decided: an ALLOW for all pods, and one for each kind of
    pods that are told apart.
    """
    made: list[Fragment] = []
    if allow is not None:
        # The same grants on every kind of pods: ALLOW objects that select one pod add up, so none of them
        # may admit more than the narrowest must.
        wanted: dict[Labels, list[Rule]] = {(): [*allow.rules, *(() if allow.shut else allow.rest)]}
        wanted |= {
            part.labels: [*allow.rules, *_but(part.governed_ports, allow.rest)] for part in allow.apart
        }
        made += (
            _object("allow", _at_most(rules, notes), allow.given, door, version, pods)
            for pods, rules in wanted.items()
        )
    if deny is not None:
        # One DENY for all pods, whichever are told apart: a DENY needs no exception, as it says what it
        # refuses.
        made.append(_object("deny", _all_or(deny.rules, notes), deny.given, door, version))
    return tuple(made)


def _at_most(rules: Sequence[Rule], notes: Notes) -> Sequence[Rule]:
    """As many rules of an ALLOW as an object takes."""
    if len(rules) <= MAX_RULES:
        return rules
    left_out = len(rules) - MAX_RULES
    text = f"an AuthorizationPolicy takes {MAX_RULES} rules: the last {left_out} are left out"
    notes.add("GM304", text, rules[-1][1])
    # By content and not by policy: which rules fit must not depend on the order of files.
    return _in_order(rules)[:MAX_RULES]


def _all_or(rules: Sequence[Rule], notes: Notes) -> Sequence[Rule]:
    """The rules of a DENY, or one for everything where an object does not take them."""
    if len(rules) <= MAX_RULES:
        return rules
    text = f"an AuthorizationPolicy takes {MAX_RULES} rules: everything is denied instead"
    notes.add("GM304", text, rules[-1][1])
    # A rule with no condition matches everything (authorization_policy.proto, Rule); leaving rules out
    # would admit what they refuse.
    return [({}, rules[0][1])]


def _meshes(unit: AccessUnit, notes: Notes) -> tuple[Mesh, ...]:
    """The meshes of the pods, whose trust domains decide what a principal means."""
    own = tuple(mesh for mesh in notes.scope.meshes if mesh.name in unit.meshes)
    # No pods yet: they may come in any mesh, so a principal must be sayable in each.
    return own or notes.scope.meshes


def allowing(unit: AccessUnit, access: Access, notes: Notes) -> Ruleset | None:
    """What the ALLOW objects say; None where there are none."""
    rules = [rule for grant in access.allows for rule in _grant_rules(grant, unit, access, notes)]
    if access.exempt is not None and access.default == "Deny":
        rules += _exempt_rules(access.exempt, unit, access, notes)
    rest = _rest_rules(access, notes) if access.governed and access.default != "Deny" else []
    # Neither an Allow nor an exemption: without an ALLOW object the pods stay as the mesh has them.
    if not access.governed and not rules:
        return None
    given = [grant.origin for grant in access.allows] or [origin for _, origin in rules]
    return Ruleset(rules, given, rest, access.apart, access.shut_by is not None)


def denying(unit: AccessUnit, access: Access, notes: Notes) -> Ruleset | None:
    """What the DENY object says; None where there is none."""
    rules: list[Rule] = []
    for grant in access.denies:
        sources = callers.denied(grant.callers, _meshes(unit, notes), grant.origin, notes)
        asked = [
            operations.denied(o, access, grant.origin, notes) for o in grant.operations or (Operation(),)
        ]
        rules += [(_rule(sources, one), grant.origin) for one in asked if one is not None and sources]
    if not rules:
        return None
    return Ruleset(rules, [grant.origin for grant in access.denies])


def _grant_rules(grant: Grant, unit: AccessUnit, access: Access, notes: Notes) -> list[Rule]:
    """The rules of a grant, one for each operation."""
    sources = callers.allowed(grant.callers, _meshes(unit, notes), grant.origin, notes)
    asked = [
        operations.allowed(o, unit, access, grant.origin, notes) for o in grant.operations or (Operation(),)
    ]
    if not access.targets:
        notes.add("GM304", "no port of the workloads is known, so nothing is admitted", grant.origin)
    # Not in one rule: Istio drops a whole rule of an ALLOW for one operation that does not fit the port.
    return [(_rule(sources, one), grant.origin) for one in asked if one is not None and sources]


def _exempt_rules(exempt: Exemption, unit: AccessUnit, access: Access, notes: Notes) -> list[Rule]:
    ports = sorted(
        operations.open_ports(exempt.targets or access.targets, access, exempt.origin, notes)
        # Of a guarded port its Allow says who may call; an exemption would admit everybody beside it.
        - set(access.governed_ports)
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
        (
            _rule(sources, operations.RequestTerms(operation={"ports": [str(port) for port in ports]})),
            exempt.origin,
        )
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
    # By `notPorts`, as nobody knows all ports that pods listen on: naming those that stay open would close
    # the rest.
    return _but(access.governed_ports, [({}, origin)])


def _but(covered: Sequence[int], rules: Sequence[Rule]) -> list[Rule]:
    """In place of each of the rules one that admits everything on all ports but the guarded ones."""
    ports = [str(port) for port in sorted(set(covered))]
    rule: dict[str, object] = {"to": [{"operation": {"notPorts": ports}}]} if ports else {}
    return [(rule, origin) for _, origin in rules]


def _rule(sources: Sequence[callers.Source], asked: operations.RequestTerms) -> dict[str, object]:
    """Istio refuses empty lists, so what means `any` is left out."""
    rule: dict[str, object] = {}
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
        # Reversed, so that of equal rules the one with the first origin is what provenance names.
        for rule, origin in sorted(rules, key=lambda pair: pair[1], reverse=True)
    }
    return [unique[key] for key in sorted(unique)]


def _object(
    role: Role,
    rules: Sequence[Rule],
    given: Sequence[Origin],
    door: Door,
    version: str,
    pods: Labels = (),
) -> Fragment:
    """The object for all pods, or for those with these labels. An ALLOW without rules admits nothing
    (authorization_policy.proto).
    """
    ordered = _in_order(rules)
    spec: dict[str, object] = {**door.about(pods), "action": role.upper()}
    if ordered:
        spec["rules"] = [rule for rule, _ in ordered]
    origins = {f"rules[{number}]": origin for number, (_, origin) in enumerate(ordered)}
    if given:
        origins[""] = min(given)
    place, policies = (door.service.namespace, door.name(role, pods)), [origin.policy for origin in given]
    made = fragment(AUTHORIZATION_POLICY, place, version, Part(spec, origins), policies)
    return replace(made, owners=_owners(rules, ordered))


def _owners(rules: Sequence[Rule], ordered: Sequence[Rule]) -> dict[str, tuple[str, ...]]:
    """The policies of each rule that several say."""
    found: dict[bytes, set[str]] = defaultdict(set)
    for rule, origin in rules:
        found[canonical(rule)].add(origin.policy)
    behind = ((number, found[canonical(rule)]) for number, (rule, _) in enumerate(ordered))
    return {f"spec.rules[{number}]": tuple(sorted(names)) for number, names in behind if len(names) > 1}

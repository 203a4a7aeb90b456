"""Our AuthorizationPolicies of which a part stays as it is: what nobody can read now, or what errors hold.
They never become wider than that part and what is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.objects import Body, canonical, digest, listed, mapping
from gitmesh_istio.beside import Rule, is_rest
from gitmesh_istio.kinds import AUTHORIZATION_POLICY
from gitmesh_istio.reading import rules_of, spec_of, targets_of
from gitmesh_istio.security import MAX_RULES


def retain(live: Body, wanted: Body | None, parts: frozenset[str] | None) -> Mapping[str, Any] | None:
    """The spec of an AuthorizationPolicy in which the rules of `parts` stay; other kinds are of one piece.

    A DENY keeps what may not be told apart, and takes new rules. An ALLOW then stays as it is. Known parts
    stay beside what is wanted, but nothing is opened that was not open: what leaves other ports as they were
    is as narrow as both.
    """
    if not _is_of_destination(live):
        return None
    denies = _denies(live)
    # Of an ALLOW whose parts nobody knows no rule can be shown to be safe: it stays as it is.
    if parts is None and not denies:
        return None
    there, new = rules_of(live), rules_of(wanted)
    kept = [rule for rule in there if parts is None or digest(canonical(rule)) in parts]
    # A DENY denies the more the more rules it has, so both together are as narrow as either.
    rules = [*new, *kept] if denies else allowed(there, new, kept, wanted)
    return with_rules(spec_of(wanted or live), rules)


def narrowed(
    live: Body | None, wanted: Body | None, parts: frozenset[str] | None
) -> Mapping[str, Any] | None:
    """A DENY takes new rules and loses none; one that is not there comes. An ALLOW keeps the rules of
    `parts`, and of the others what is wanted and live. It goes on to be about the pods, or Services at
    waypoints, that it is about.
    """
    if live is None:
        return spec_of(wanted) if _denies(wanted) else None
    if not _is_of_destination(live):
        return None
    there, new = rules_of(live), rules_of(wanted)
    if _denies(live):
        rules = [*there, *new]
        unique = {canonical(rule) for rule in rules}
        # More rules than one object holds cannot all be said: only a DENY of everybody is surely as narrow.
        return with_rules(spec_of(live), [{}] if len(unique) > MAX_RULES else rules)
    if parts is None:
        return None
    kept = [rule for rule in there if digest(canonical(rule)) in parts]
    return with_rules(spec_of(live), allowed(there, new, kept, wanted))


def _is_of_destination(body: Body) -> bool:
    """Whether it decides about one destination, at its pods or at waypoints."""
    spec = spec_of(body)
    return body.get("kind") == AUTHORIZATION_POLICY.kind and ("selector" in spec or bool(targets_of(spec)))


def _denies(body: Body | None) -> bool:
    return spec_of(body).get("action") == "DENY"


def with_rules(spec: Mapping[str, Any], rules: Sequence[Rule]) -> Mapping[str, object]:
    """The spec with these rules, once each, in the order in which rules are written."""
    unique = {canonical(rule): rule for rule in rules}
    others = {name: value for name, value in spec.items() if name != "rules"}
    return {**others, "rules": [unique[key] for key in sorted(unique)]} if unique else others


def allowed(
    there: Sequence[Rule], new: Sequence[Rule], kept: Sequence[Rule], wanted: Body | None
) -> list[Rule]:
    """Of an ALLOW: known parts, grants that are live and wanted still, and the narrower of two rests."""
    # Only what something live admits already: this is written while other objects cannot be, and what they
    # would deny may not be open meanwhile.
    stay = [part for rule in new if not is_rest(rule) and (part := _admitted_by(there, rule))]
    grants = [rule for rule in kept if not is_rest(rule)] + stay
    rests = [rule for rule in there if is_rest(rule)]
    if wanted is not None:
        rests = [_narrower(one, two) for one in rests for two in new if is_rest(two)]
    return [*grants, *rests]


def _admitted_by(there: Sequence[Rule], rule: Rule) -> Rule | None:
    """What of a rule is for callers whom something there admits already."""
    if any(covers(one, rule) for one in there):
        return rule
    sources = [mapping(item.get("source")) for item in listed(rule.get("from"))]
    left = [
        {"source": {**source, "principals": names}}
        for source in sources
        if (names := [name for name in _principals(source) if _admits(there, rule, source, name)])
    ]
    return {**rule, "from": left} if left else None


def _principals(source: Mapping[str, Any]) -> list[str]:
    names = source.get("principals")
    return names if isinstance(names, list) else []


def _admits(there: Sequence[Rule], rule: Rule, source: Mapping[str, Any], name: str) -> bool:
    one = {**rule, "from": [{"source": {**source, "principals": [name]}}]}
    return any(covers(admitting, one) for admitting in there)


def _narrower(one: Rule, two: Rule) -> Rule:
    """What both of two rests admit."""
    ports = sorted({port for rule in (one, two) for port in _left_out(rule)}, key=int)
    return {"to": [{"operation": {"notPorts": ports}}]} if ports else {}


def _left_out(rule: Rule) -> list[str]:
    return list(rule["to"][0]["operation"]["notPorts"]) if rule else []


def covers(wide: Rule, rule: Rule) -> bool:
    """Whether whatever the rule admits the wide one admits, as far as can be seen without reading wildcards.

    Of sources and operations one is enough, and all conditions of `when` must hold
    (authorization_policy.proto).
    """
    return (
        _any_covers(wide.get("from"), rule.get("from"), "source")
        and _any_covers(wide.get("to"), rule.get("to"), "operation")
        and {canonical(one) for one in listed(wide.get("when"))}
        <= {canonical(one) for one in listed(rule.get("when"))}
    )


def _any_covers(wide: object, rule: object, name: str) -> bool:
    if wide is None:
        return True
    given = [mapping(mapping(one).get(name)) for one in listed(rule)]
    there = [mapping(mapping(one).get(name)) for one in listed(wide)]
    return bool(given) and all(any(_is_within(one, other) for other in there) for one in given)


def _is_within(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether every field of the other one holds where all fields of the one do."""
    return all(_keeps_to(one, name, _texts(values)) for name, values in other.items())


def _keeps_to(one: Mapping[str, Any], name: str, values: frozenset[str]) -> bool:
    mine = _texts(one.get(name))
    if not name.startswith("not"):
        return bool(mine) and mine <= values
    # A `not` field admits the less the longer its list is; and who names ports leaves out all others
    # anyway.
    ports = _texts(one.get("ports")) if name == "notPorts" else frozenset()
    return values <= mine or (bool(ports) and ports.isdisjoint(values))


def _texts(values: object) -> frozenset[str]:
    return frozenset(map(str, values)) if isinstance(values, list) else frozenset()

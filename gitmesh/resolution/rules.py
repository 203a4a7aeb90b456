"""Rules: one policy, one of its matches and one of its sources (api.md, Precedence). Who decides, who
conflicts, who is shadowed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from gitmesh.model.base import Disabled, Model
from gitmesh.model.empty import EMPTY
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.selectors import WorkloadSelector
from gitmesh.model.traffic import (
    CONNECTION_FIELDS,
    REQUEST_FIELDS,
    ROUTING_FIELDS,
    HeaderMatch,
    HeaderOps,
    Headers,
    Match,
    PathMatch,
    QueryParamMatch,
    StringMatch,
    TrafficPolicySpec,
)
from gitmesh.model.units import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.resolution.matching import Conjunction, implies, normal, overlaps
from gitmesh.resolution.precedence import Key, precedence

Slot: TypeAlias = tuple[str, ...]
"""What precedence decides as one: ("timeout",), ("routing",), ("headers", "request", "x-user"), ("headers",)
= no more headers.
"""

Parts: TypeAlias = Mapping[Slot, Mapping[str, Origin]]
"""Where the values of a policy stand: slot -> dotted path of a part below the field, as policies spell it (""
= the field) -> place. Found once for a policy, as very many routes name the same."""

NO_PARTS: Parts = EMPTY
WHOLE: Slot = ()
MATCHES: Slot = ("matches",)
"""Where the policy begins, and, with the index of one, where its matches stand."""
ROUTING: Slot = ("routing",)
NO_MORE_HEADERS: Slot = ("headers",)
_FORMS: Mapping[str, Literal["exact", "prefix", "stringPrefix", "suffix", "regex"]] = {
    "exact": "exact",
    "prefix": "prefix",
    "string_prefix": "stringPrefix",
    "suffix": "suffix",
    "regex": "regex",
}
_ORDERED = frozenset({"failover_priority"})
"""Lists whose order has a meaning; every other list of a TrafficPolicy is a set."""


class Rule(Struct, frozen=True, kw_only=True, eq=False):
    """One rule on one destination. `number` is the index of its match in the policy, None where the policy
    has no matches.
    """

    policy: Policy
    key: Key
    match: RequestMatch
    number: int | None
    slots: Mapping[Slot, Any]
    parts: Parts = NO_PARTS

    def sort_key(self) -> tuple[Any, ...]:
        """Ascending for the smallest rule first; equal ones by content, never by position in a file."""
        return (self.key, self.policy.id, repr(self.match))

    def place(self) -> Origin:
        """Where the rule stands: its match, or the document of a policy without matches."""
        known = self.parts.get(WHOLE if self.number is None else (*MATCHES, str(self.number)), {}).get("")
        return known or (
            self.policy.origin() if self.number is None else self.policy.origin("matches", self.number)
        )

    def origin(self, slot: Slot) -> Origin:
        """Where the slot's value stands."""
        known = self.parts.get(slot, {}).get("")
        return known or self.policy.origin(*slot_path(self, slot))


def slot_path(rule: Rule, slot: Slot) -> tuple[str, ...]:
    """The field of the slot below spec, by its Python names."""
    if slot == ROUTING:
        return next((name,) for name in ROUTING_FIELDS if getattr(rule.policy.spec, name) is not None)
    return slot[:2]


def slots_of(policy: Policy) -> Mapping[Slot, Any]:
    """Every slot that the policy sets, with its value in canonical form; `Disabled` ends inheritance."""
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    slots: dict[Slot, Any] = {}
    for name in spec.given((*REQUEST_FIELDS, *CONNECTION_FIELDS)):
        value = canonical(getattr(spec, name))
        if name == "headers" and isinstance(value, Headers):
            slots |= _header_slots(value)
        else:
            slots[ROUTING if name in ROUTING_FIELDS else (name,)] = value
    return slots


def parts_of(policy: Policy) -> Parts:
    """Where the policy's values and the parts of compound ones stand."""
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    given = {
        name: getattr(spec, name)
        for name in spec.given((*REQUEST_FIELDS, *CONNECTION_FIELDS))
        if name != "headers"
    }
    values = {
        ROUTING if name in ROUTING_FIELDS else (name,): _places(policy, name, value)
        for name, value in given.items()
    }
    rules = {
        (*MATCHES, str(number)): {"": policy.origin(*MATCHES, number)}
        for number in range(len(spec.matches or ()))
    }
    return {**values, **rules, WHOLE: {"": policy.origin()}}


def _places(policy: Policy, name: str, value: object) -> Mapping[str, Origin]:
    leaves = _leaves(value, ()) if isinstance(value, Model) and not is_disabled(value) else ()
    return {
        "": policy.origin(name),
        **{".".join(map(camel, path)): policy.origin(name, *path) for path in leaves},
    }


def _leaves(value: Model, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of the parts that are given."""
    for name in sorted(value.model_fields_set):
        part = getattr(value, name)
        if isinstance(part, Model):
            yield from _leaves(part, (*path, name))
        else:
            yield (*path, name)


def canonical(value: Any, name: str = "") -> Any:
    """The same value with set-like lists and mappings sorted, so that their order in a file changes
    nothing.
    """
    if isinstance(value, Model):
        return value.model_copy(
            update={field: canonical(getattr(value, field), field) for field in type(value).model_fields}
        )
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        items = tuple(canonical(item) for item in value)
        return items if name in _ORDERED else tuple(sorted(items, key=repr))
    return value


def _header_slots(headers: Headers) -> dict[Slot, Any]:
    slots: dict[Slot, Any] = {}
    for side in ("request", "response"):
        ops: HeaderOps | None = getattr(headers, side)
        if ops is None:
            continue
        for name in {*(ops.set or ()), *(ops.add or ()), *(ops.remove or ())}:
            slots["headers", side, name] = (
                (ops.set or {}).get(name),
                (ops.add or {}).get(name),
                name in (ops.remove or ()),
            )
    return slots


def rules_of(
    policy: Policy,
    slots: Mapping[Slot, Any],
    destination: int,
    cluster: str,
    port: Callable[[int | str], int],
    *,
    parts: Parts = NO_PARTS,
    idle: Collection[int] = (),
) -> Iterator[tuple[int | None, Rule | Conjunction]]:
    """The policy's rules for clients of `cluster`; `destination` is the form by which it selects the
    destination; of `idle` items of its `sources` there are none.

    `port` gives the Service port number of a match's port. A match that is no rule (nothing can meet it, or
    no mesh can say it) comes as what `normal` made of it.
    """
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    for number, match in enumerate(spec.matches) if spec.matches else ((None, None),):
        for place, source in enumerate(spec.sources or (None,)):
            if source is not None and (place in idle or (source.clusters and cluster not in source.clusters)):
                continue
            request = normal(request_match(match, source, port))
            if isinstance(request, RequestMatch):
                key = precedence(spec.priority, match, source, destination)
                yield (
                    number,
                    Rule(policy=policy, key=key, match=request, number=number, slots=slots, parts=parts),
                )
            else:
                yield number, request


def request_match(
    match: Match | None, source: WorkloadSelector | None, port: Callable[[int | str], int]
) -> RequestMatch:
    """The policy's match and source item as one conjunction."""
    clients = SourceCondition() if source is None else _source_condition(source)
    if match is None:
        return RequestMatch(source=clients)
    return RequestMatch(
        path=None if match.path is None else _text(match.path, match.path.ignore_case),
        headers=tuple(
            NamedCondition(name=h.name.lower(), condition=_text(h), invert=h.invert)
            for h in match.headers or ()
        ),
        query=tuple(NamedCondition(name=q.name, condition=_text(q)) for q in match.query_params or ()),
        method=match.method or "",
        port=0 if match.port is None else port(match.port),
        authority=None if match.authority is None else _text(match.authority),
        source=clients,
    )


def _source_condition(source: WorkloadSelector) -> SourceCondition:
    return SourceCondition(
        labels=tuple(sorted((source.labels or {}).items())),
        namespaces=tuple(sorted(set(source.namespaces or ()))),
        service_accounts=tuple(sorted(set(source.service_accounts or ()))),
    )


def _text(
    model: PathMatch | StringMatch | HeaderMatch | QueryParamMatch, ignore_case: bool = False
) -> TextCondition:
    for name, form in _FORMS.items():
        value = getattr(model, name, None)
        if value is not None:
            return TextCondition(form=form, value=value, ignore_case=ignore_case)
    return TextCondition(form="present")


def in_precedence(rules: Iterable[Rule]) -> list[Rule]:
    """Greatest first."""
    return sorted(
        sorted(rules, key=lambda rule: rule.sort_key()[1:]), key=lambda rule: rule.key, reverse=True
    )


def covers(slots: Mapping[Slot, Any], slot: Slot) -> bool:
    """Whether the slot is decided by them: set, or ended by `headers: {disabled: true}`."""
    return slot in slots or (slot[0] == "headers" and NO_MORE_HEADERS in slots)


def contradictions(a: Rule, b: Rule) -> list[tuple[Slot, Slot]]:
    """Slots to which the two give different values, as each of them names it."""
    found = [(slot, slot) for slot in sorted(a.slots) if slot in b.slots and a.slots[slot] != b.slots[slot]]
    for one, other, turn in ((a, b, 1), (b, a, -1)):
        if NO_MORE_HEADERS in one.slots and NO_MORE_HEADERS not in other.slots:
            pairs = [(NO_MORE_HEADERS, slot)[::turn] for slot in sorted(other.slots) if slot[0] == "headers"]
            found += [(first, second) for first, second in pairs[:1]]
    return found


def conflicts(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule, Slot, Slot]]:
    """Equal rules of different policies that give one slot different values for requests which both may
    match.

    `rules` are in precedence. Of each pair the one whose policy comes first by name is given first.
    """
    for _, group in groupby(rules, key=lambda rule: rule.key):
        equal = sorted(group, key=Rule.sort_key)
        for position, a in enumerate(equal):
            differing: dict[str, Sequence[tuple[Slot, Slot]]] = {a.policy.id: ()}
            for b in equal[position + 1 :]:
                found = differing.get(b.policy.id)
                if found is None:
                    found = differing[b.policy.id] = contradictions(a, b)
                if found and overlaps(a.match, b.match):
                    yield from ((a, b, first, second) for first, second in found)


def shadows(rule: Rule, greater: Sequence[Rule]) -> Rule | None:
    """The greatest rule of those that decide everything `rule` sets, if they do; never one of its own
    policy.
    """
    over = [
        g
        for g in greater
        if g.key > rule.key and g.policy.id != rule.policy.id and implies(rule.match, g.match)
    ]
    deciders = [next((g for g in over if covers(g.slots, slot)), None) for slot in rule.slots]
    return next((g for g in over if g in deciders), None) if None not in deciders else None


def is_disabled(value: Any) -> bool:
    """Whether the value ends inheritance."""
    return isinstance(value, Disabled)

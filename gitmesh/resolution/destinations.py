"""What TrafficPolicies say of one destination in one cluster: routes, settings, and the targets they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.empty import EMPTY, no_items, sealed
from gitmesh.model.facts import Service
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.traffic import DestinationRef, Mirror, SplitTarget, TrafficPolicySpec
from gitmesh.model.units import Decided, Ended, Route, Target
from gitmesh.resolution.access import missing_port
from gitmesh.resolution.connections import CONNECTION, beyond, settings
from gitmesh.resolution.effects import Effects, LaidOn
from gitmesh.resolution.index import Index, World, port_of
from gitmesh.resolution.items import Items, items_of
from gitmesh.resolution.matching import Disjoint, Inexpressible
from gitmesh.resolution.precedence import BY_NAME
from gitmesh.resolution.routes import (
    MOST_CONJUNCTIONS,
    Row,
    first_match,
    header_origins,
    row_fields,
    row_origins,
)
from gitmesh.resolution.rules import (
    NO_PARTS,
    Parts,
    Rule,
    Slot,
    conflicts,
    in_precedence,
    is_disabled,
    rules_of,
    shadows,
    slot_path,
)
from gitmesh.resolution.selection import near_service

RuleId = tuple[str, int | None]
"""(policy, index of the match)."""
MOST_CONFLICTS = 100
"""Pairs shown of one destination."""


class Acting(Struct, frozen=True, kw_only=True):
    """A TrafficPolicy that selects the destination, the form by which it does, and its values by slot; `idle`
    are the items of its `sources` that act on nobody here.
    """

    policy: Policy
    form: int
    slots: Mapping[Slot, Any]
    parts: Parts = NO_PARTS
    idle: frozenset[int] = frozenset()


class Need(Struct, frozen=True, kw_only=True):
    """A subset of another (or the same) Service that a route sends requests to."""

    service: tuple[str, str]
    labels: tuple[tuple[str, str], ...]
    origin: Origin


class Traffic(Struct, frozen=True, kw_only=True):
    """The decision. `wins` are rules that decide something here, `shadowed` those that nothing is left to,
    with the greater rule.
    """

    routes: tuple[Route, ...] = ()
    settings: Mapping[int, Mapping[str, Decided]] = {}
    ended: tuple[Ended, ...] = ()
    policies: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    wins: frozenset[RuleId] = frozenset()
    shadowed: Mapping[RuleId, tuple[Origin, Origin]] = no_items()
    diagnostics: tuple[Diagnostic, ...] = ()
    held: bool = False


def resolve_traffic(
    cluster: str, service: Service, acting: Sequence[Acting], index: Index, effects: Effects
) -> Traffic:
    """Decide everything that TrafficPolicies say of the Service in its cluster."""
    return _Destination(cluster, service, index, effects).resolved(acting)


class _Destination:
    def __init__(self, cluster: str, service: Service, index: Index, effects: Effects) -> None:
        self.cluster, self.service, self.index = cluster, service, index
        self.laid = LaidOn(cluster, service, effects)
        self.diagnostics = self.laid.diagnostics
        self.needs: list[Need] = []
        self.items: dict[tuple[str, str], Items] = {}
        self.unsure = False

    @property
    def name(self) -> str:
        return f"{self.service.namespace}/{self.service.name}"

    def resolved(self, acting: Sequence[Acting]) -> Traffic:
        rules = in_precedence(rule for one in acting for rule in self._rules(one))
        self._conflicts(rules)
        over = [(rule, shadows(rule, rules[:position])) for position, rule in enumerate(rules)]
        routes = self._routes(rules)
        return Traffic(
            routes=routes,
            settings=self._settings(rules),
            ended=tuple(_ended(rules)),
            policies=tuple(sorted({rule.policy.id for rule in rules})),
            needs=tuple(self.needs),
            wins=sealed((rule.policy.id, rule.number) for rule, greater in over if greater is None),
            shadowed={
                (rule.policy.id, rule.number): (rule.place(), greater.place())
                for rule, greater in over
                if greater
            }
            or EMPTY,
            diagnostics=tuple(self.diagnostics),
            held=self.unsure or any(diagnostic.is_error for diagnostic in self.diagnostics),
        )

    def _settings(self, rules: Sequence[Rule]) -> Mapping[int, Mapping[str, Decided]]:
        """The connection fields, where no field has more values by clients than overlaps are allowed."""
        found = settings(rules)
        for name, chain in (
            (name, chain) for table in found.values() for name, chain in sorted(table.items())
        ):
            last = beyond(chain, MOST_CONJUNCTIONS)
            if last is not None:
                policy = next(rule.policy for rule in rules if rule.policy.id == last.policy)
                text = (
                    f"{camel(name)} of Service {self.name} is decided for more than {MOST_CONJUNCTIONS}"
                    " groups of clients"
                )
                self._say("GM212", text, policy, name)
                return {}
        return found

    def _say(self, code: str, text: str, policy: Policy, *path: str | int, hint: str = "") -> None:
        at, name = policy.at(*path), policy.origin(*path).field
        self.diagnostics.append(
            finding(code, text, at=at, policy=policy.id, field=name, cluster=self.cluster, hint=hint)
        )

    def _rules(self, acting: Acting) -> Iterator[Rule]:
        spec = _traffic(acting.policy)
        missing: set[int | str] = set()
        port = partial(self._port, missing=missing)
        for number, rule in rules_of(
            acting.policy,
            acting.slots,
            acting.form,
            self.cluster,
            port,
            parts=acting.parts,
            idle=acting.idle,
        ):
            path = () if number is None else ("matches", number)
            if isinstance(rule, Rule):
                left = self.laid.left(rule, named=acting.form == BY_NAME)
                yield from (left,) if left else ()
            elif isinstance(rule, Disjoint):
                self._say(
                    "GM211",
                    "no request can meet this match: its conditions exclude each other",
                    acting.policy,
                    *path,
                )
            elif isinstance(rule, Inexpressible):
                self._say("GM301", f"no mesh can express this match: {rule.reason}", acting.policy, *path)
        for number, match in enumerate(spec.matches or ()):
            if match.port is not None and match.port in missing:
                self.diagnostics.append(
                    missing_port(
                        acting.policy, ("matches", number, "port"), self.service, match.port, self.cluster
                    )
                )

    def _port(self, reference: int | str, missing: set[int | str]) -> int:
        port = port_of(self.service, reference)
        if port is None:
            missing.add(reference)
            return -1
        return port.number

    def _conflicts(self, rules: Sequence[Rule]) -> None:
        self.diagnostics += conflict_findings(rules, self.cluster, self.name)

    def _routes(self, rules: Sequence[Rule]) -> tuple[Route, ...]:
        relevant = [_restricted(rule) for rule in rules if not rule.slots.keys() <= CONNECTION]
        table = first_match(relevant)
        if table.too_many:
            least = table.too_many[-1]
            path = () if least.number is None else ("matches", least.number)
            text = (
                f"rules for Service {self.name} overlap more than {MOST_CONJUNCTIONS} times; this one adds to"
                " them"
            )
            self._say("GM212", text, least.policy, *path)
        for greater, lesser, reason in table.inexpressible:
            path = () if lesser.number is None else ("matches", lesser.number)
            other = greater.place()
            self._say(
                "GM301",
                f"requests that also match {other.policy} ({other.at}) cannot be matched: {reason}",
                lesser.policy,
                *path,
            )
        return tuple(self._route(row) for row in table.rows)

    def _route(self, row: Row) -> Route:
        fields, failed = row_fields(row)
        for rule, slot in failed:
            text = (
                "for some requests the replaced prefix cannot be told, because another rule matches their"
                " path in another form"
            )
            self._say("GM301", text, rule.policy, *slot_path(rule, slot))
        split, mirror = fields.get("split"), fields.get("mirror")
        return Route(
            match=row.match,
            fields=fields,
            targets=self._targets(row, "split", split) if split else (),
            mirrors=self._targets(row, "mirror", mirror) if mirror else (),
            origins=row_origins(row),
            header_origins=header_origins(row) or EMPTY,
            item_origins={
                name: self._items(_decider(row, one), name, one).parts
                for name, one in (("split", split), ("mirror", mirror))
                if one
            }
            or EMPTY,
        )

    def _targets(self, row: Row, name: str, decided: Decided) -> tuple[Target, ...]:
        policy = _decider(row, decided)
        placed = zip(self._items(policy, name, decided).places, decided.value, strict=True)
        found = (self._target(row, policy, (name, place, "destination"), item) for place, item in placed)
        return tuple(target for target in found if target is not None)

    def _items(self, policy: Policy, name: str, decided: Decided) -> Items:
        """Found once for all rows: the value of a policy's list is the same in each."""
        if (policy.id, name) not in self.items:
            self.items[policy.id, name] = items_of(policy, name, decided.value)
        return self.items[policy.id, name]

    def _target(
        self, row: Row, policy: Policy, path: tuple[str | int, ...], item: SplitTarget | Mirror
    ) -> Target | None:
        reference = item.destination
        namespace = reference.namespace or self.service.namespace
        service = self.index.service(namespace, reference.name)
        if service is None and not self.index.facts.complete:
            self.unsure = True
            text = (
                f"the facts of cluster {self.cluster} are incomplete, so it is not known whether"
                f" {namespace}/{reference.name} is there"
            )
            self._say("GM216", text, policy, *path, "name")
            return None
        if service is None:
            world = World({self.cluster: self.index})
            hint = near_service(world, (namespace,), reference.name)
            text = f"Service {namespace}/{reference.name} does not exist in cluster {self.cluster}"
            self._say("GM208", text, policy, *path, "name", hint=hint)
            return None
        port = self._target_port(row, policy, path, reference, service)
        subset = tuple(sorted((reference.subset or {}).items()))
        target = Target(service=service, port=port or 0, subset=subset)
        if port is None or not self.laid.reaches(str(path[0]), target, row.match.port, policy):
            return None
        if subset:
            self._need(policy, (*path, "subset"), service, subset)
        return target

    def _target_port(
        self,
        row: Row,
        policy: Policy,
        path: tuple[str | int, ...],
        reference: DestinationRef,
        service: Service,
    ) -> int | None:
        if reference.port is not None:
            port = port_of(service, reference.port)
            if port is None:
                self.diagnostics.append(
                    missing_port(policy, (*path, "port"), service, reference.port, self.cluster)
                )
            return port.number if port else None
        if len(service.ports) == 1:
            return service.ports[0].number
        requested = {row.match.port} if row.match.port else {port.number for port in self.service.ports}
        if requested and requested <= {port.number for port in service.ports}:
            return 0
        text = (
            f"Service {service.namespace}/{service.name} does not have every port of {self.name}; name the"
            " port that is meant"
        )
        self._say("GM218", text, policy, *path)
        return None

    def _need(
        self,
        policy: Policy,
        path: tuple[str | int, ...],
        service: Service,
        labels: tuple[tuple[str, str], ...],
    ) -> None:
        self.needs.append(Need(service=service.key, labels=labels, origin=policy.origin(*path)))
        wanted = dict(labels)
        if self.index.facts.complete and not any(w.may_carry(wanted) for w in self.index.behind(service)):
            shown = ", ".join(f"{key}={value}" for key, value in labels)
            self._say(
                "GM209",
                f"no pod behind Service {service.namespace}/{service.name} carries {shown}",
                policy,
                *path,
            )


def _decider(row: Row, decided: Decided) -> Policy:
    return next(rule.policy for rule in row.rules if rule.policy.id == decided.origin.policy)


def _ended(rules: Sequence[Rule]) -> Iterator[Ended]:
    """Rules with `{disabled: true}`; they are in precedence."""
    for rule in rules:
        for slot, value in sorted(rule.slots.items(), key=lambda item: item[0]):
            if is_disabled(value):
                yield Ended(field=slot_path(rule, slot)[0], match=rule.match, origin=rule.origin(slot))


def _traffic(policy: Policy) -> TrafficPolicySpec:
    assert isinstance(policy.spec, TrafficPolicySpec)
    return policy.spec


def _restricted(rule: Rule) -> Rule:
    """The rule without its connection fields."""
    if not rule.slots.keys() & CONNECTION:
        return rule
    return replace(rule, slots={slot: value for slot, value in rule.slots.items() if slot not in CONNECTION})


def conflict_findings(rules: Sequence[Rule], cluster: str, destination: str) -> Iterator[Diagnostic]:
    """A finding on each of two rules that contradict each other; of very many the first, and one that says
    so.
    """
    for number, (a, b, first, second) in enumerate(conflicts(rules)):
        if number == MOST_CONFLICTS:
            text = f"more than {MOST_CONFLICTS} conflicts on {destination}, of which the first are shown"
            yield finding(
                "GM210",
                text,
                at=b.origin(second).at,
                policy=b.policy.id,
                field=b.origin(second).field,
                cluster=cluster,
            )
            return
        yield conflict(a, first, b, second, cluster, destination)
        yield conflict(b, second, a, first, cluster, destination)


def conflict(
    mine: Rule, slot: Slot, other: Rule, other_slot: Slot, cluster: str, destination: str
) -> Diagnostic:
    """The finding on one of two equal rules that contradict each other."""
    where = other.origin(other_slot)
    what = f"header {slot[2]} ({slot[1]})" if len(slot) == 3 else ".".join(slot_path(mine, slot))
    return finding(
        "GM210",
        f"{what} of {destination} is given another value by {where.policy} ({where.at}) for the same"
        " requests, with equal precedence",
        at=mine.origin(slot).at,
        policy=mine.policy.id,
        field=mine.origin(slot).field,
        cluster=cluster,
    )

"""What TrafficPolicies say of one destination in one cluster: routes, settings, and the targets they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.empty import EMPTY, no_items, sealed
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.routes import Decided, Ended, Route
from gitmesh.model.services import Service
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.resolution.comparing import conflict_findings, shadows
from gitmesh.resolution.connections import CONNECTION, beyond, settings
from gitmesh.resolution.index import Index, port_of
from gitmesh.resolution.laying import Effects, LaidOn, Need, Targets
from gitmesh.resolution.matching import Disjoint, Inexpressible
from gitmesh.resolution.routes import (
    MOST_CONJUNCTIONS,
    Row,
    first_match,
    header_origins,
    row_fields,
    row_origins,
)
from gitmesh.resolution.rules import BY_NAME, Rule, ended, in_precedence, rules_of
from gitmesh.resolution.selection import missing_port
from gitmesh.resolution.slots import NO_PARTS, Parts, Slot, slot_path

RuleId = tuple[str, int | None]
"""(policy, index of the match)."""


class Acting(Struct, frozen=True, kw_only=True):
    """A TrafficPolicy that selects the destination, the form by which it does, and its values by slot; `idle`
    are the items of its `sources` that act on nobody here.
    """

    policy: Policy
    form: int
    slots: Mapping[Slot, object]
    parts: Parts = NO_PARTS
    idle: frozenset[int] = frozenset()


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
        self.cluster, self.service = cluster, service
        self.laid = LaidOn(cluster, service, effects)
        self.diagnostics = self.laid.diagnostics
        self.targets = Targets(cluster, service, index, self.laid)

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
            ended=tuple(ended(rules)),
            policies=tuple(sorted({rule.policy.id for rule in rules})),
            needs=tuple(self.targets.needs),
            wins=sealed((rule.policy.id, rule.number) for rule, greater in over if greater is None),
            shadowed={
                (rule.policy.id, rule.number): (rule.place(), greater.place())
                for rule, greater in over
                if greater
            }
            or EMPTY,
            diagnostics=tuple(self.diagnostics),
            held=self.targets.unsure or any(diagnostic.is_error for diagnostic in self.diagnostics),
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
                self.laid.tell("GM212", text, policy, name)
                # Nothing at all: with a part of the chain the clients behind it would have a value that no
                # policy gives them.
                return {}
        return found

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
                self.laid.tell(
                    "GM211",
                    "no request can meet this match: its conditions exclude each other",
                    acting.policy,
                    *path,
                )
            elif isinstance(rule, Inexpressible):
                self.laid.tell(
                    "GM301", f"no mesh can express this match: {rule.reason}", acting.policy, *path
                )
        # Only now: `missing` is filled while the rules above are made.
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
        # A connection carries requests of many rows, so its fields make no row of their own.
        relevant = [_restricted(rule) for rule in rules if not rule.slots.keys() <= CONNECTION]
        table = first_match(relevant)
        if table.too_many:
            least = table.too_many[-1]
            path = () if least.number is None else ("matches", least.number)
            text = (
                f"rules for Service {self.name} overlap more than {MOST_CONJUNCTIONS} times; this one adds to"
                " them"
            )
            self.laid.tell("GM212", text, least.policy, *path)
        for greater, lesser, reason in table.inexpressible:
            path = () if lesser.number is None else ("matches", lesser.number)
            other = greater.place()
            self.laid.tell(
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
            self.laid.tell("GM301", text, rule.policy, *slot_path(rule.policy, slot))
        split, mirror = fields.get("split"), fields.get("mirror")
        return Route(
            match=row.match,
            fields=fields,
            targets=self.targets.of(row, "split", split) if split else (),
            mirrors=self.targets.of(row, "mirror", mirror) if mirror else (),
            origins=row_origins(row),
            header_origins=header_origins(row) or EMPTY,
            item_origins={
                name: self.targets.items(row, name, one).parts
                for name, one in (("split", split), ("mirror", mirror))
                if one
            }
            or EMPTY,
        )


def _traffic(policy: Policy) -> TrafficPolicySpec:
    assert isinstance(policy.spec, TrafficPolicySpec)
    return policy.spec


def _restricted(rule: Rule) -> Rule:
    """The rule without its connection fields."""
    if not rule.slots.keys() & CONNECTION:
        return rule
    return replace(rule, slots={slot: value for slot, value in rule.slots.items() if slot not in CONNECTION})

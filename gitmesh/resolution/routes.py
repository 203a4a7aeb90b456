"""First-match lists: rows that give every request the fields its rules decide (docs/concepts.md#precedence,
overlap).

Rules are added from the greatest to the least. A rule that adds something to a row puts, before that row, one
for the requests that both mean; last comes a row of its own. So each request finds first the row of exactly
its own rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitmesh.model.conditions import RequestMatch
from gitmesh.model.empty import EMPTY
from gitmesh.model.policies import Origin
from gitmesh.model.requests import HeaderOps, Headers, PathRewrite
from gitmesh.model.routes import Decided
from gitmesh.resolution.comparing import MOST_COMPARISONS
from gitmesh.resolution.matching import Inexpressible, conjunction, implies, overlaps
from gitmesh.resolution.rules import Rule
from gitmesh.resolution.slots import NO_MORE_HEADERS, ROUTING, Slot, covers, is_disabled, slot_path

MOST_CONJUNCTIONS = 64
"""More overlaps for one destination are an error (docs/concepts.md#precedence)."""
_MOST_TRIED = 4 * MOST_CONJUNCTIONS
"""Overlaps that are looked at: some turn out to say nothing new, and rules that all meet each other make more
than can be told apart in time, for each destination anew.
"""

_LEADING = ("prefix", "stringPrefix")


class Row(Struct, frozen=True, kw_only=True, eq=False):
    """Requests that match, and for each slot the rule that decides it. `parts` are the matches whose
    conjunction it is.
    """

    match: RequestMatch
    parts: tuple[RequestMatch, ...]
    decided: Mapping[Slot, Rule]
    rules: tuple[Rule, ...]

    @property
    def joined(self) -> bool:
        """Whether no single rule means these requests."""
        return self.match not in self.parts

    def implies(self, match: RequestMatch) -> bool:
        return implies(self.match, match) or (
            len(self.parts) > 1 and any(implies(part, match) for part in self.parts)
        )

    def within(self, other: Row) -> bool:
        """Whether every request of this row matches the other too."""
        simple = len(self.parts) == 1 == len(other.parts)
        return implies(self.match, other.match) or (
            not simple and all(self.implies(part) for part in other.parts)
        )

    def plus(self, rule: Rule, match: RequestMatch) -> Row:
        decided = {**{slot: rule for slot in rule.slots if not covers(self.decided, slot)}, **self.decided}
        return Row(match=match, parts=(*self.parts, rule.match), decided=decided, rules=(*self.rules, rule))

    def effect(self) -> Mapping[Slot, Any]:
        """What requests get, to be compared."""
        live = {slot: rule for slot, rule in self.decided.items() if not is_disabled(rule.slots[slot])}
        return {
            # A replaced prefix means something only beside the prefix that it replaces.
            slot: (rule.slots[slot], rule.match.path if replaces_prefix(rule.slots[slot]) else None)
            for slot, rule in live.items()
        }


class Table(Struct, frozen=True, kw_only=True):
    """A first-match list, or why there is none: rule pairs (greater, lesser) that cannot be joined, or too
    many overlaps.
    """

    rows: tuple[Row, ...] = ()
    inexpressible: tuple[tuple[Rule, Rule, str], ...] = ()
    too_many: tuple[Rule, ...] = ()


class _TooMuchError(Exception):
    """More comparisons than a destination may cost."""


class _Work(Struct):
    """Comparisons of rows that are left to do: each rule may double the rows. Those of long conditions count
    several times.
    """

    left: int = MOST_COMPARISONS

    def spend(self, row: Row, match: RequestMatch) -> None:
        """One comparison of a row with a match. Raises _TooMuchError."""
        self.left -= len(row.parts) * (
            1 + (len(row.match.headers) + len(row.match.query)) * (len(match.headers) + len(match.query)) // 8
        )
        if self.left < 0:
            raise _TooMuchError

    def within(self, row: Row, other: Row) -> bool:
        """Whether one is within the other. Raises _TooMuchError."""
        self.spend(other, row.match)
        return row.within(other)


class _Builder(Struct):
    work: _Work
    rows: list[Row] = []
    problems: list[tuple[Rule, Rule, str]] = []
    tried: int = 0

    def add(self, rule: Rule) -> None:
        before, self.rows = self.rows, []
        for row in before:
            self.rows += self._joined(row, rule)
        own = Row(
            match=rule.match, parts=(rule.match,), decided=dict.fromkeys(rule.slots, rule), rules=(rule,)
        )
        if not self._unreachable(own):
            self.rows.append(own)

    def _joined(self, row: Row, rule: Rule) -> Iterator[Row]:
        # The rule adds nothing to these requests, so they need no row of their own with it.
        if all(covers(row.decided, slot) for slot in rule.slots):
            yield row
            return
        self.work.spend(row, rule.match)
        if row.implies(rule.match):
            yield row.plus(rule, row.match)
            return
        both = conjunction(row.match, rule.match)
        if isinstance(both, Inexpressible):
            # Told, and the row left as it is: requests that both mean would get the greater rule's values
            # only.
            self.problems.append((row.rules[-1], rule, both.reason))
        elif isinstance(both, RequestMatch):
            new = row.plus(rule, both)
            if not self._unreachable(new):
                self._count(new)
                yield new
        yield row

    def _count(self, new: Row) -> None:
        """One more row that no single rule means. Raises _TooMuchError."""
        self.tried += new.joined
        if self.tried > _MOST_TRIED:
            raise _TooMuchError

    def _unreachable(self, row: Row) -> bool:
        return any(self.work.within(row, earlier) for earlier in self.rows)


def first_match(rules: Sequence[Rule]) -> Table:
    """The list for these rules, which are in precedence and set request fields."""
    builder = _Builder(work=_Work())
    for rule in rules:
        try:
            builder.add(rule)
        except _TooMuchError:
            return Table(too_many=(rule,))
    try:
        rows = _without_redundant(builder.rows, builder.work)
    except _TooMuchError:
        return Table(too_many=(rules[-1],))
    joined = [row for row in rows if row.joined]
    if len(joined) > MOST_CONJUNCTIONS:
        return Table(too_many=joined[-1].rules)
    return Table(rows=tuple(rows), inexpressible=tuple(builder.problems))


def _without_redundant(rows: Sequence[Row], work: _Work) -> list[Row]:
    """Drop, from the end, rows whose requests get the same from what follows."""
    kept: list[tuple[Row, Mapping[Slot, object]]] = []
    for row in reversed(rows):
        effect = row.effect()
        # A row of one rule with something to say stays even where a later row says the same: it is what
        # findings and provenance point to.
        if (effect and not row.joined) or not _falls_through(row, effect, kept, work):
            kept.append((row, effect))
    return [row for row, _ in reversed(kept)]


def _falls_through(
    row: Row, effect: Mapping[Slot, Any], later: Sequence[tuple[Row, Mapping[Slot, Any]]], work: _Work
) -> bool:
    """`later` begins with the last row."""
    for other, others in reversed(later):
        if others == effect:
            if work.within(row, other):
                return True
            continue
        work.spend(row, other.match)
        # A row between that gives some of these requests something else would catch them first.
        if overlaps(row.match, other.match):
            return False
    return not effect


def replaces_prefix(value: Any) -> bool:
    """Whether the value (a rewrite or a redirect) replaces the prefix that its rule matches."""
    return getattr(getattr(value, "path", None), "replace_prefix_match", None) is not None


def row_fields(row: Row) -> tuple[dict[str, Decided], tuple[tuple[Rule, Slot], ...]]:
    """The row's fields by the policy model's names, and the rules whose prefix replacement cannot be said for
    this row.
    """
    fields: dict[str, Decided] = {}
    failed: list[tuple[Rule, Slot]] = []
    for slot, rule in sorted(row.decided.items(), key=lambda item: item[0]):
        value = rule.slots[slot]
        # Headers are merged by name across rules, below; every other field is one rule's.
        if is_disabled(value) or slot[0] == "headers":
            continue
        name = slot_path(rule.policy, slot)[0] if slot == ROUTING else slot[0]
        if replaces_prefix(value):
            path = replacement(value.path.replace_prefix_match, rule.match, row.match)
            if path is None:
                failed.append((rule, slot))
                continue
            value = value.model_copy(update={"path": path})
        fields[name] = Decided(value=value, origin=rule.origin(slot), parts=rule.parts.get(slot, EMPTY))
    headers = _headers(row)
    return ({**fields, "headers": headers} if headers else fields), tuple(failed)


def replacement(new: str, rule: RequestMatch, row: RequestMatch) -> PathRewrite | None:
    """What a narrower row must replace so that the rule's prefix becomes `new`; None where the row's path
    leaves that open.

    As in the Gateway API a segment prefix is replaced with its slash: /api -> / turns /api/v1 into /v1.
    """
    old, path = rule.path, row.path
    if old is None or path is None or old.form not in _LEADING or path.form not in ("exact", *_LEADING):
        return None
    if old == path:
        return PathRewrite(replacePrefixMatch=new)
    base = old.value.rstrip("/") if old.form == "prefix" else old.value
    rest = path.value[len(base) :]
    # The rest is copied from the match, but a request may have it in another case.
    if path.ignore_case and rest.lower() != rest.upper():
        return None
    text = (new.rstrip("/") if old.form == "prefix" and rest else new) + rest
    return (
        PathRewrite(replaceFullPath=text or "/")
        if path.form == "exact"
        else PathRewrite(replacePrefixMatch=text or "/")
    )


def _headers(row: Row) -> Decided | None:
    """The header changes of all rules, merged per name."""
    slots = [slot for slot in sorted(row.decided) if slot[0] == "headers" and slot != NO_MORE_HEADERS]
    if not slots:
        return None
    sides = {
        side: _operations(row, [slot for slot in slots if slot[1] == side])
        for side in ("request", "response")
    }
    greatest = next(rule for rule in row.rules if any(row.decided[slot] is rule for slot in slots))
    return Decided(value=Headers(**sides), origin=greatest.policy.origin("headers"))


def _operations(row: Row, slots: Sequence[Slot]) -> HeaderOps | None:
    if not slots:
        return None
    values = {slot[2]: row.decided[slot].slots[slot] for slot in slots}
    return HeaderOps(
        set={name: value[0] for name, value in values.items() if value[0] is not None} or None,
        add={name: value[1] for name, value in values.items() if value[1] is not None} or None,
        remove=tuple(name for name, value in values.items() if value[2]) or None,
    )


def row_origins(row: Row) -> tuple[Origin, ...]:
    """The rules that take part, greatest first, each by its match."""
    taking_part = [rule for rule in row.rules if any(decider is rule for decider in row.decided.values())]
    return tuple(dict.fromkeys(rule.place() for rule in taking_part))


def header_origins(row: Row) -> dict[tuple[str, str], Origin]:
    """(side, header name) -> where the change of it stands."""
    names = [slot for slot in sorted(row.decided) if len(slot) == 3]
    return {
        (side, name): row.decided[slot, side, name].policy.origin("headers", side)
        for slot, side, name in names
    }

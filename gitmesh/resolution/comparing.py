"""The rules of one destination, each compared with each other: what that costs, told before any of them is
made; which contradict each other, and which are left nothing to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.expressions import instructions
from gitmesh.model.matches import HeaderMatch, Match, PathMatch, QueryParamMatch, StringMatch
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import WorkloadSelector
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.resolution.matching import implies, overlaps
from gitmesh.resolution.rules import Rule
from gitmesh.resolution.slots import NO_MORE_HEADERS, Slot, covers, slot_path

_Text: TypeAlias = PathMatch | StringMatch | HeaderMatch | QueryParamMatch
MOST_COMPARISONS = 1_000_000
"""For one destination: two seconds, a thousand rules of one policy, or 500 policies of one rule."""
MOST_IN_ALL = 20_000_000
"""For all destinations of all clusters."""
MOST_CONFLICTS = 100
"""Pairs shown of one destination."""


def comparisons(extents: Iterable[int]) -> int:
    """What it costs to compare rules of policies with these extents; two of different policies are compared
    four times.
    """
    sizes = tuple(extents)
    # Rules of one policy never contradict each other, so of its own pairs one comparison is left, not four.
    return 4 * sum(sizes) ** 2 - 3 * sum(size * size for size in sizes)


def extent(spec: TrafficPolicySpec, slots: Mapping[tuple[str, ...], object]) -> int:
    """What the rules of a policy that sets these values count for on each destination that it selects.

    A rule counts once for itself, and again for two conditions on headers or parameters, 16 names of clients,
    64 characters or 16 instructions of an expression, eight values, or two kilobytes of them.
    """
    values = len(slots) // 8 + sum(len(repr(value)) for value in slots.values()) // 2048
    matches, sources = (
        [_match(match) for match in spec.matches or ()] or [0],
        [_source(source) for source in spec.sources or ()] or [0],
    )
    return (
        len(matches) * len(sources) * (1 + values) + sum(matches) * len(sources) + sum(sources) * len(matches)
    )


def _match(match: Match) -> int:
    named: list[HeaderMatch | QueryParamMatch] = [*(match.headers or ()), *(match.query_params or ())]
    texts: list[_Text | None] = [match.path, match.authority, *named]
    # In halves, sixteenths and 64ths of a plain comparison: long conditions cost more to compare.
    return len(named) // 2 + sum(_text(text) for text in texts if text is not None)


def _text(text: _Text) -> int:
    if text.regex is not None:
        return instructions(text.regex) // 16
    return (
        max(len(getattr(text, form, None) or "") for form in ("exact", "prefix", "string_prefix", "suffix"))
        // 64
    )


def _source(source: WorkloadSelector) -> int:
    return (
        len(source.labels or ()) + len(source.namespaces or ()) + len(source.service_accounts or ())
    ) // 16


def too_many(
    policies: Iterable[tuple[Policy, int]], destination: str, cluster: str, total: int = 0
) -> Diagnostic:
    """The finding on the policy with the greatest extent; `total` is what all destinations cost, where that
    is too much.
    """
    sized = tuple(policies)
    policy = min(sized, key=lambda one: (-one[1], one[0].id))[0]
    cost = comparisons(size for _, size in sized)
    text = f"telling the rules for {destination} apart takes {cost:,} comparisons, " + (
        f"and for all destinations {total:,}, more than {MOST_IN_ALL:,}"
        if total
        else f"more than {MOST_COMPARISONS:,}"
    )
    assert isinstance(policy.spec, TrafficPolicySpec)
    where = _longest_list(policy.spec)
    return policy.origin(*where).finding("GM212", text + "; this policy makes most of them", cluster=cluster)


def _longest_list(spec: TrafficPolicySpec) -> tuple[str, ...]:
    """The field that makes most of the policy's rules; none for a policy of one rule."""
    lengths = {name: len(getattr(spec, name) or ()) for name in ("matches", "sources")}
    return next(
        ((name,) for name, length in lengths.items() if length > 1 and length == max(lengths.values())), ()
    )


def contradictions(a: Rule, b: Rule) -> list[tuple[Slot, Slot]]:
    """Slots to which the two give different values, as each of them names it."""
    found = [(slot, slot) for slot in sorted(a.slots) if slot in b.slots and a.slots[slot] != b.slots[slot]]
    for one, other, turn in ((a, b, 1), (b, a, -1)):
        # `headers: {disabled: true}` contradicts every header that the other one changes, one such pair is
        # enough.
        if NO_MORE_HEADERS in one.slots and NO_MORE_HEADERS not in other.slots:
            pairs = [(NO_MORE_HEADERS, slot)[::turn] for slot in sorted(other.slots) if slot[0] == "headers"]
            found += [(first, second) for first, second in pairs[:1]]
    return found


def conflicts(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule, Slot, Slot]]:
    """Equal rules of different policies that give one slot different values for requests which both may
    match.

    `rules` are in precedence. Of each pair the one whose policy comes first by name is given first.
    """
    # Only rules of equal precedence can be at odds: of others the greater one wins.
    for _, group in groupby(rules, key=lambda rule: rule.key):
        equal = sorted(group, key=Rule.sort_key)
        for position, a in enumerate(equal):
            # What two policies set is the same in all of their rules, so it is compared once.
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
    # Matches of one policy are alternatives that say the same: none takes anything from another.
    over = [
        g
        for g in greater
        if g.key > rule.key and g.policy.id != rule.policy.id and implies(rule.match, g.match)
    ]
    deciders = [next((g for g in over if covers(g.slots, slot)), None) for slot in rule.slots]
    return next((g for g in over if g in deciders), None) if None not in deciders else None


def conflict_findings(rules: Sequence[Rule], cluster: str, destination: str) -> Iterator[Diagnostic]:
    """A finding on each of two rules that contradict each other; of very many the first, and one that says
    so.
    """
    for number, (a, b, first, second) in enumerate(conflicts(rules)):
        if number == MOST_CONFLICTS:
            text = f"more than {MOST_CONFLICTS} conflicts on {destination}, of which the first are shown"
            yield b.origin(second).finding("GM210", text, cluster=cluster)
            return
        yield conflict(a, first, b, second, cluster, destination)
        yield conflict(b, second, a, first, cluster, destination)


def conflict(
    mine: Rule, slot: Slot, other: Rule, other_slot: Slot, cluster: str, destination: str
) -> Diagnostic:
    """The finding on one of two equal rules that contradict each other."""
    where = other.origin(other_slot)
    what = f"header {slot[2]} ({slot[1]})" if len(slot) == 3 else ".".join(slot_path(mine.policy, slot))
    return mine.origin(slot).finding(
        "GM210",
        f"{what} of {destination} is given another value by {where.policy} ({where.at}) for the same"
        " requests, with equal precedence",
        cluster=cluster,
    )

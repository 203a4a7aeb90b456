"""How much the rules of a destination cost, told before any of them is made: each is compared with each
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.expressions import instructions
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import WorkloadSelector
from gitmesh.model.traffic import (
    HeaderMatch,
    Match,
    PathMatch,
    QueryParamMatch,
    StringMatch,
    TrafficPolicySpec,
)

_Text: TypeAlias = PathMatch | StringMatch | HeaderMatch | QueryParamMatch

MOST_COMPARISONS = 1_000_000
"""For one destination: two seconds, a thousand rules of one policy, or 500 policies of one rule."""
MOST_IN_ALL = 20_000_000
"""For all destinations of all clusters."""


def comparisons(extents: Iterable[int]) -> int:
    """What it costs to compare rules of policies with these extents; two of different policies are compared
    four times.
    """
    sizes = tuple(extents)
    return 4 * sum(sizes) ** 2 - 3 * sum(size * size for size in sizes)


MOST_CALLERS = 20_000
"""Callers of one AccessPolicy, counted for each of its rules: meshes write each rule with all of them."""


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


def too_many_callers(policy: Policy) -> Iterator[Diagnostic]:
    """The finding where the rules of an AccessPolicy, each with all its callers, are more than can be
    written.
    """
    spec = policy.spec
    assert isinstance(spec, AccessPolicySpec)
    names = sum(
        1 + len(s.namespaces or ()) + len(s.service_accounts or ()) + len(s.ip_blocks or ())
        for s in spec.sources
    )
    rules = len(spec.rules or (None,))
    if rules > 1 and names * rules > MOST_CALLERS:
        text = (
            f"{rules:,} rules for {names:,} callers are more than {MOST_CALLERS:,} together, and meshes write"
            " each rule with all of them"
        )
        field = "rules" if rules > names else "sources"
        yield finding(
            "GM103",
            text,
            at=policy.at(field),
            policy=policy.id,
            field=f"spec.{field}",
            hint="Split the policy.",
        )


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
    field = policy.origin(*where).field
    return finding(
        "GM212",
        text + "; this policy makes most of them",
        at=policy.at(*where),
        policy=policy.id,
        field=field,
        cluster=cluster,
    )


def _longest_list(spec: TrafficPolicySpec) -> tuple[str, ...]:
    """The field that makes most of the policy's rules; none for a policy of one rule."""
    lengths = {name: len(getattr(spec, name) or ()) for name in ("matches", "sources")}
    return next(
        ((name,) for name, length in lengths.items() if length > 1 and length == max(lengths.values())), ()
    )

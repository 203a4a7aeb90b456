"""Rules: one policy, one of its matches and one of its sources, and the order in which they decide
(docs/concepts.md#precedence). Every part of a rule's key is syntactic, so that no new object in a cluster
changes who wins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.model.matches import HeaderMatch, Match, PathMatch, QueryParamMatch, StringMatch
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.routes import Ended
from gitmesh.model.selectors import DestinationSelector, WorkloadSelector
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.resolution.matching import Conjunction, normal
from gitmesh.resolution.slots import MATCHES, NO_PARTS, WHOLE, Parts, Slot, is_disabled, slot_path

Key: TypeAlias = tuple[int, tuple[int, int], int, int, bool, bool, bool, int, int]
"""Greater decides: priority, path, header conditions, query conditions, method, authority, port, source form,
destination form.
"""
_PATH_FORMS = (("exact", 5), ("prefix", 4), ("string_prefix", 3), ("suffix", 2), ("regex", 1))
_SOURCE_FORMS = (("service_accounts", 4), ("labels", 3), ("namespaces", 2), ("clusters", 1))
_DESTINATION_FORMS = (("name", 4), ("labels", 3), ("namespaces", 2), ("clusters", 1))
BY_NAME = 4
"""The destination form of an exact name."""
_FORMS: Mapping[str, Literal["exact", "prefix", "stringPrefix", "suffix", "regex"]] = {
    "exact": "exact",
    "prefix": "prefix",
    "string_prefix": "stringPrefix",
    "suffix": "suffix",
    "regex": "regex",
}


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
        return known or self.policy.origin(*slot_path(self.policy, slot))


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
            # Left out, and not made a match that nobody meets: the other items of `sources` still act.
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
            # Names of headers have no case (RFC 9110, 5.1); those of query parameters have.
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
    # The sort is stable: equal keys stay in the order of their content, which no file's layout changes.
    return sorted(
        sorted(rules, key=lambda rule: rule.sort_key()[1:]), key=lambda rule: rule.key, reverse=True
    )


def ended(rules: Sequence[Rule]) -> Iterator[Ended]:
    """Rules with `{disabled: true}`; they are in precedence."""
    for rule in rules:
        for slot, value in sorted(rule.slots.items(), key=lambda item: item[0]):
            if is_disabled(value):
                yield Ended(field=slot_path(rule.policy, slot)[0], match=rule.match, origin=rule.origin(slot))


def precedence(priority: int, match: Match | None, source: WorkloadSelector | None, destination: int) -> Key:
    """The key of one rule; `destination` is the greatest form by which its policy selects the destination."""
    if match is None:
        return (priority, (0, 0), 0, 0, False, False, False, source_form(source), destination)
    return (
        priority,
        path_rank(match.path),
        len(match.headers or ()),
        len(match.query_params or ()),
        match.method is not None,
        match.authority is not None,
        match.port is not None,
        source_form(source),
        destination,
    )


def path_rank(path: PathMatch | None) -> tuple[int, int]:
    """Exact, longer prefix, longer stringPrefix, suffix, regex, none. A prefix's trailing slash has no
    length.
    """
    if path is None:
        return (0, 0)
    if path.prefix is not None:
        # The Gateway API ranks prefixes by their number of characters (HTTPRouteRule, matches), and `/foo/`
        # and `/foo` mean the same paths.
        return (4, len(path.prefix.rstrip("/") or "/"))
    if path.string_prefix is not None:
        return (3, len(path.string_prefix))
    return (next(rank for name, rank in _PATH_FORMS if getattr(path, name) is not None), 0)


def source_form(item: WorkloadSelector | None) -> int:
    """serviceAccounts, labels, namespaces, clusters, none."""
    return _form(item, _SOURCE_FORMS)


def destination_form(item: DestinationSelector) -> int:
    """name, labels, namespaces, clusters, all."""
    return _form(item, _DESTINATION_FORMS)


def _form(item: WorkloadSelector | DestinationSelector | None, forms: tuple[tuple[str, int], ...]) -> int:
    return next((rank for name, rank in forms if item is not None and getattr(item, name)), 0)

"""Whose the rules of one object are: the items of lists in its spec, by what the ledger remembers of who made
them. No I/O.

What stands on a live object is no authority over that, nor is the name of a policy: whoever may write there,
or commit to another source, could otherwise end what a source says that cannot be read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gitmesh.model.admission import GUARDING, Effect
from gitmesh.model.empty import EMPTY
from gitmesh.model.objects import canonical, decode, digest, mapping
from gitmesh.planning.ownership import policies_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitmesh.model.ledger import Entry, Parts
    from gitmesh.model.manifests import Manifest
    from gitmesh.model.objects import Body
    from gitmesh.model.plan import Live
    from gitmesh.planning.revisions import Revisions
    from gitmesh.ports import Translator

ITEM = re.compile(r"spec\.(\w+)\[(\d+)\]\Z")
"""The path to an item of a list right in the spec."""


def spec_of(body: Body | None) -> Mapping[str, Any]:
    """The spec of an object; empty where there is none."""
    return mapping(body.get("spec")) if body is not None else {}


def parts_in(spec: Mapping[str, Any]) -> frozenset[str]:
    """The digests of the items of lists in a spec."""
    return frozenset(digest(canonical(item)) for _, item in items_of(spec))


def items_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each item of a list right in the spec, and the path to it."""
    for name, items in spec.items():
        for number, item in enumerate(items) if isinstance(items, list) else ():
            yield f"spec.{name}[{number}]", item


def item_at(spec: Mapping[str, Any], path: str) -> bytes:
    """The canonical bytes of the item of a list that a path leads to; none where there is no such item."""
    match = ITEM.match(path)
    items = spec.get(match[1]) if match else None
    return (
        canonical(items[int(match[2])])
        if match and isinstance(items, list) and int(match[2]) < len(items)
        else b""
    )


def parts_of(manifest: Manifest, homes: Mapping[str, str]) -> Parts:
    """The digests of the items of lists by the policy that made them, where somebody's part may have to be
    told: where several sources share the object, where it decides who may call, and where only some fields of
    it are ours. Of such an object all policies are in it, as what it says of itself is no authority, or says
    nothing of us."""
    sources = {homes.get(policy, "") for policy in manifest.policies}
    guards = manifest.decides in GUARDING or not manifest.ownership.is_object
    # Of routing one source's parts are told by the object alone; access must be narrowed policy by policy.
    if len(sources) < 2 and not guards:
        return EMPTY
    spec = decode(manifest.body).get("spec", {})
    found: dict[str, dict[str, set[str]]] = {}
    # An empty set, too: that a policy is behind the object although no rule is its own, as with an Allow of
    # nobody.
    for policy in filter(homes.__contains__, manifest.policies if guards else ()):
        found.setdefault(homes[policy], {})[policy] = set()
    for path, origin in manifest.fields.items():
        if ITEM.match(path) and origin.policy in homes:
            for policy in manifest.owners.get(path, (origin.policy,)):
                mine = found.setdefault(homes.get(policy, ""), {})
                mine.setdefault(policy, set()).add(digest(item_at(spec, path)))
    return {
        source: {policy: tuple(sorted(parts)) for policy, parts in sorted(policies.items())}
        for source, policies in sorted(found.items())
    }


def lost_of(live: Live, entry: Entry | None, revisions: Revisions) -> frozenset[str]:
    """The policies behind an object that no source in force has, unless the ledger knows that they came from
    sources in force, and so were withdrawn."""
    if entry is not None and entry.sources and revisions.in_force_sources.issuperset(entry.sources):
        return frozenset()
    return (policies_behind(live, entry) - revisions.homes.keys()) | _taken_over(entry, revisions)


def _taken_over(entry: Entry | None, revisions: Revisions) -> frozenset[str]:
    """The policies of absent sources whose names another source has now. That makes them nobody else's: who
    may commit to one source must not end what another one says."""
    parts = entry.parts if entry else {}
    return frozenset(
        policy
        for source in revisions.absent & parts.keys()
        for policy in filter(None, parts[source])
        if revisions.homes.get(policy) != source
    )


def kept_parts(
    live: Live, translator: Translator, entry: Entry | None, revisions: Revisions
) -> frozenset[str] | None:
    """The digests of the rules that absent sources made; None where they cannot be told from those of
    others.
    """
    if entry is None or not entry.parts:
        return None
    body, parts = decode(live.body), parts_of_absent(entry, revisions)
    if translator.effect(None, body) is not Effect.NARROWS:
        return parts
    # A rule that nobody is known to have made may be an absent source's that somebody changed. Of what denies
    # it stays: putting it right by taking it out would open more than that hand did.
    others = _digests(entry, lambda source: source in revisions.in_force_sources)
    return parts | (parts_in(spec_of(body)) - others)


def is_changed(live: Live, translator: Translator, entry: Entry | None, revisions: Revisions) -> bool:
    """Whether rules of an absent source, in an object that decides who may call, are not there any more."""
    if entry is None or not entry.ownership.is_object:
        return False
    body = decode(live.body)
    # Of other kinds a server completes what it is given, so that a rule may be the same and look otherwise.
    return translator.decides(body) in GUARDING and not parts_of_absent(entry, revisions) <= parts_in(
        spec_of(body)
    )


def parts_of_absent(entry: Entry, revisions: Revisions) -> frozenset[str]:
    """The digests of an object's rules that sources made which are not in force."""
    return _digests(entry, lambda source: source not in revisions.in_force_sources)


def _digests(entry: Entry, of: Callable[[str], bool]) -> frozenset[str]:
    return frozenset(
        part
        for source, policies in entry.parts.items()
        if of(source)
        for parts in policies.values()
        for part in parts
    )

"""What others wrote for the meshes of a cluster, as facts: every live object that is not ours, reduced by the
translator that writes its kind. Read once a cycle, and known to translation and to the calculator alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec.structs import replace

from gitmesh.discovery.facts_codec import with_digest
from gitmesh.errors import ClusterError
from gitmesh.model.facts import Caveat
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.workloads import ROLLING_LABELS
from gitmesh.planning.electing import of_kinds
from gitmesh.planning.ownership import strangers_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping, Sequence

    from gitmesh.model.facts import ClusterFacts, Mesh, Remembered
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.strangers import Stranger
    from gitmesh.model.workloads import Pairs
    from gitmesh.ports import Cluster, Translator


_Known: TypeAlias = "tuple[Live, object, _Reduced]"
"""An object, all of the ledger by which it is told whose it is, and what is not ours of it was reduced to."""
_Reduced: TypeAlias = "tuple[Stranger | None, ...]"
"""Nothing where an object does nothing to anybody; None where that could not be told."""


def whose(cluster: Cluster, instance: str) -> Stored:
    """The ledger that tells ours from strangers' where nothing is planned; an empty one, so that marks alone
    tell, where it cannot be read."""
    try:
        return cluster.load(instance)
    except ClusterError:
        return Stored(ledger=Ledger(instance=instance))


def told_apart(
    cluster: Cluster,
    remembered: Remembered,
    facts: ClusterFacts,
    observed: Observed,
    stored: Stored,
    translators: Mapping[str, Translator],
    memo: MutableMapping[Any, Any],
) -> ClusterFacts:
    """The facts with the strangers, read anew where these select pods by labels that were left out for want
    of anybody who names them. What was asked for then is in `memo` for the next reading. Raises
    ClusterError.
    """
    found = with_strangers(facts, observed, stored, translators, memo)
    wanted = frozenset(_rolling(found))
    # Nearly always: no second reading, which would be paid in each cycle.
    if wanted == remembered.selectors:
        return found
    memo["selectors"] = wanted
    again = cluster.facts(replace(remembered, selectors=wanted))
    return with_strangers(again, observed, stored, translators, memo)


def asked_before(memo: Mapping[Any, Any]) -> frozenset[tuple[str, Pairs]]:
    """The strangers' selectors with labels that controllers set anew, as they were."""
    found: frozenset[tuple[str, Pairs]] = memo.get("selectors", frozenset())
    return found


def _rolling(facts: ClusterFacts) -> Iterator[tuple[str, Pairs]]:
    for stranger in facts.strangers:
        guarding = ((guard.namespace, guard.selector) for guard in stranger.guards)
        for namespace, selector in (*guarding, (stranger.namespace, stranger.clients)):
            if not ROLLING_LABELS.isdisjoint(selector):
                yield namespace, tuple(sorted(selector.items()))


def with_strangers(
    facts: ClusterFacts,
    observed: Observed,
    stored: Stored,
    translators: Mapping[str, Translator],
    memo: MutableMapping[Any, Any],
) -> ClusterFacts:
    """The facts with the strangers among the live objects; the same value again while nothing moved. Facts
    that were saved with theirs keep them: nothing else is live there. While the ledger is not known, marks
    alone tell what is ours."""
    inputs = (facts, observed, stored.ledger.entries)
    found = memo.get("strangers")
    if found and all(old is new for old, new in zip(found[0], inputs, strict=True)):
        kept: ClusterFacts = found[1]
        return kept
    read = dict(_read(facts, observed, stored, translators, memo))
    # Saved facts bring their own; where a cluster is live, what was read just now is the newer.
    known = {**{one.key: one for one in facts.strangers}, **{key: one for key, one in read.items() if one}}
    strangers = tuple(known[key] for key in sorted(known))
    unread = tuple(_unread(key) for key, one in sorted(read.items()) if one is None)
    # The very same value again, although the lists were read anew: everything behind it is remembered by
    # identity.
    if found and found[0][0] is facts and found[1].strangers == strangers:
        made: ClusterFacts = found[1]
    elif strangers != facts.strangers or unread:
        made = with_digest(replace(facts, strangers=strangers, caveats=(*facts.caveats, *unread)))
    else:
        made = facts
    memo["strangers"] = (inputs, made)
    return made


def _unread(key: ObjectKey) -> Caveat:
    """One object of one tenant is no reason to know nothing of the others."""
    return Caveat(code="GM313", text=f"its translator fell over {key}, which is not ours and does not count")


def _read(
    facts: ClusterFacts,
    observed: Observed,
    stored: Stored,
    translators: Mapping[str, Translator],
    memo: MutableMapping[Any, Any],
) -> Iterator[tuple[ObjectKey, Stranger | None]]:
    """What does anything to anybody, None where that could not be told. Each object is decoded once, for as
    long as neither it nor the meshes move.
    """
    by_kind, rebuilt = of_kinds(translators, facts.meshes), stored.corrupt or not stored.version
    entries = stored.ledger.entries
    meshes, known = memo.get("reduced", ((), {}))
    old: Mapping[ObjectKey, _Known] = known if meshes == facts.meshes else {}
    seen: dict[ObjectKey, _Known] = {}
    for key, live in observed.live.items():
        translator = by_kind.get(key[:2])
        if translator is None:
            continue
        before, entry = old.get(key), entries.get(key)
        told = (rebuilt, entry.uid, entry.ownership) if entry else rebuilt
        # Readings share what did not change, so identity is a comparison of thousands of bodies for
        # nothing.
        if before is None or before[0] is not live or before[1] != told:
            theirs = strangers_part(live, facts.cluster, stored.ledger, rebuilt=rebuilt)
            own = facts.meshes_of(translator.name)
            # What we own is never a fact: what we decided must not become a reason for what we decide. And
            # a kind of a mesh that is not here does nothing to anybody here.
            before = (live, told, _reduced(translator, key, theirs, own) if theirs and own else ())
        seen[key] = before
        yield from ((key, one) for one in before[2])
    memo["reduced"] = (facts.meshes, seen)


def _reduced(translator: Translator, key: ObjectKey, live: Live, meshes: Sequence[Mesh]) -> _Reduced:
    try:
        found = translator.reduced(key, decode(live.body), meshes)
    except Exception:  # noqa: BLE001 - a plug-in's defect on one tenant's object must not end the work on all
        return (None,)
    return () if found is None else (found,)

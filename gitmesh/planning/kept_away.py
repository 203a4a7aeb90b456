"""What would narrow who may call and is not as it is wanted after a plan, and so refuses too little: what
stands beside it refuses on meanwhile (design law 2). Called by ordering; no I/O.

There nothing refuses less, and nowhere else: what a tenant makes holds nobody else's, so only what a mesh has
in its root namespace is about all. What errors hold is as it is to be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from gitmesh.model.admission import GUARDING, NARROWING, Effect
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change
from gitmesh.planning.moves import body_in

if TYPE_CHECKING:
    from gitmesh.model.manifests import Build
    from gitmesh.model.plan import Live
    from gitmesh.model.units import UnitKey
    from gitmesh.planning.electing import Writers
    from gitmesh.planning.scenery import Scenery


def closes_all(
    built: Build, live: Mapping[ObjectKey, Live], writers: Writers, moving: Collection[ObjectKey]
) -> bool:
    """Whether every mesh has what closes all of it by existing, and keeps it: it is not `moving`."""
    roots = built.roots
    there = (key for key in built.manifests if key.namespace in roots and key in live)
    closed = {
        key.namespace
        for key in there
        if key not in moving and writers[key].effect(None, decode(live[key].body)) is Effect.CLOSES
    }
    return bool(closed) and closed == roots


class KeptAway:
    """The objects that narrow and are kept from it. `rows` are all of a plan, `moving` the keys of those that
    are written and decide who may call."""

    def __init__(self, rows: Sequence[Change], moving: Collection[ObjectKey], scenery: Scenery) -> None:
        self._scenery = scenery
        self._moving = moving
        self._roots = scenery.built.roots
        kept = [row for row in rows if self._is_kept_away(row)]
        wanted = [row.key for row in kept]
        self._taken = {
            unit: row.key
            for row in kept
            if row.action is Action.CONFLICT and self._alone(row.key) is Effect.NARROWS
            for unit in row.units
        }
        going = {row.key for row in rows if row.writes and row.withdraws}
        self._wanted = self._by_place(wanted)
        self._all = self._by_place((*wanted, *self._staying(going)))

    def narrowing(self, namespace: str) -> ObjectKey | None:
        """What does not refuse there as it is wanted, or still grants though nobody wants it."""
        return self._all.get(namespace) or self._all.get("")

    def refusal(self, units: Iterable[UnitKey]) -> ObjectKey | None:
        """What is to refuse for one of these destinations, and has somebody else's object in its place."""
        return next((self._taken[unit] for unit in units if unit in self._taken), None)

    def missed(self, namespace: str, *, by_pods: bool) -> ObjectKey | None:
        """What is to close or to refuse there when a grant has gone, and is kept away.

        A refusal may be missed by whom the grant alone kept out, so the grant stays, with those whom it
        admitted until now; where all is closed anyway nobody comes in, and it goes. What keeps a refusal away
        may be a tenant's: it is missed in that namespace alone; of what is about pods they tell whether it is
        missed there (planning/relieving).
        """
        everywhere = self._wanted.get("")
        if everywhere is not None and self._alone(everywhere) is Effect.CLOSES:
            return everywhere
        return None if self.stays_closed or by_pods else self._wanted.get(namespace)

    def _by_place(self, keys: Iterable[ObjectKey]) -> Mapping[str, ObjectKey]:
        """By namespace one of them, "" for one that is about all."""
        found = sorted(keys, reverse=True)
        # Only who may write a mesh's root namespace can write what is about all pods.
        everywhere = [key for key in found if key.namespace in self._roots]
        # Found in reverse, so that the first by name of each namespace is the one that is told.
        places = {key.namespace: key for key in found}
        return {**places, "": everywhere[-1]} if everywhere else places

    def _is_kept_away(self, row: Change) -> bool:
        """Whether a stranger in its place, a finalizer, or what it waits for keeps a wanted object away. What
        a stranger's object does instead counts in the root namespaces of meshes alone, which no tenant has.
        """
        wanted = self._scenery.built.manifests.get(row.key)
        if wanted is None or row.decides not in GUARDING or row.writes:
            return False
        if row.action not in (Action.CONFLICT, Action.HELD) and not row.staged:
            return False
        # A tenant who puts an object of his own in our place must not be able to hold up what others are
        # denied.
        tenants = row.action is Action.CONFLICT and row.key.namespace not in self._roots
        before = body_in(row.before)
        after = wanted.ownership.onto(decode(wanted.body), before)
        # Of somebody else's object the rest is as it is: there is no state without it.
        there = None if tenants and wanted.ownership.is_object else before
        return self._scenery.writers[row.key].effect(there, after) in NARROWING

    def _staying(self, going: Collection[ObjectKey]) -> Iterator[ObjectKey]:
        """Ours that nobody wants and this plan does not delete, for whatever reason: it is protected, too
        many would go, its finalizers wait, or the ledger that tells what may go is lost."""
        built, live = self._scenery.built, self._scenery.observed.live
        unwanted = live.keys() - built.manifests.keys() - built.held - set(going)
        ours = (key for key in unwanted if self._is_ours(key))
        for key in ours:
            before, mine = decode(live[key].body), self._scenery.ours_in(live[key])
            rest = mine.rest(before) if mine else None
            if self._scenery.writers[key].effect(before, rest) in NARROWING:
                yield key

    def _is_ours(self, key: ObjectKey) -> bool:
        return (
            self._scenery.ours_in(self._scenery.observed.live[key]) is not None
            and self._scenery.writers.get(key) is not None
        )

    @cached_property
    def stays_closed(self) -> bool:
        """Whether every mesh has what closes all of it by existing, and keeps it."""
        scenery = self._scenery
        return closes_all(scenery.built, scenery.observed.live, scenery.writers, self._moving)

    def _alone(self, key: ObjectKey) -> Effect:
        """What a wanted object does by coming where nothing is."""
        wanted = self._scenery.built.manifests[key]
        return self._scenery.writers[key].effect(None, decode(wanted.body))

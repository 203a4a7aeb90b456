"""Objects that use what others provide: a route to a subset, say (docs/design.md#order). Called by diff; no
I/O.

A row that would use what is not there waits, whatever keeps it away; what comes with the same plan it follows
when proxies have had the time to learn of it. What a live object of ours uses stays. Both sides of a change
go through a state between that provides old and new. What only narrows who may call never waits; what grants
waits for what is wanted beside it, and not for what nobody wants to be there.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import GUARDING, Effect
from gitmesh.model.links import UNLINKED, Links, Ref
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change
from gitmesh.planning.linking import LinkPair, LinkReader
from gitmesh.planning.moves import staged
from gitmesh.planning.ownership import behind
from gitmesh.planning.rows import in_state, is_same
from gitmesh.planning.unwanted import NOT_ENFORCED

if TYPE_CHECKING:
    from gitmesh.planning.scenery import Scenery

_NAMED = 5


class Relied(Struct, frozen=True, kw_only=True):
    """Rows of a plan that rely on each other rightly, and what is said of those that are not as wanted."""

    rows: tuple[Change, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


def relied(rows: Sequence[Change], scenery: Scenery) -> Relied:
    """The rows, with those staged or held that would take away what is used, or use what is not there."""
    reader = LinkReader(scenery)
    changing = {
        row.key: LinkPair(reader.links(row.key, row.before), reader.links(row.key, row.body))
        for row in rows
        if row.writes
    }
    # Most plans touch nothing that is linked; reading all live objects for them would be paid in each tick.
    if not any(pair.before or pair.after for pair in changing.values()):
        return Relied(rows=tuple(rows))
    return _Relying(rows, changing, scenery, reader).relied()


class _Relying:
    """`changing` is what the rows that write do to links: a row that becomes another changes it."""

    def __init__(
        self,
        rows: Sequence[Change],
        changing: dict[ObjectKey, LinkPair],
        scenery: Scenery,
        reader: LinkReader,
    ) -> None:
        self.rows, self.changing, self.scenery, self.reader = list(rows), changing, scenery, reader
        self.live = scenery.observed.live
        self.of_live = reader.of_all(self.live)
        self.ready = self._ready()
        self.waiting: set[ObjectKey] = set()
        self.diagnostics: list[Diagnostic] = []

    def relied(self) -> Relied:
        used, strangers = self._used()
        self.rows = [self._without_losses(row, used, strangers) for row in self.rows]
        waiting = -1
        # Ends: each round holds at least one row more, and there are no more than the plan has.
        while len(self.waiting) > waiting:  # what waits provides nothing new either
            waiting, offers = len(self.waiting), self._offers()
            self.rows = [self._after_needs(row, offers) for row in self.rows]
            self.rows = self._in_levels()
        self.diagnostics += [self._told(row) for row in self.rows if row.key in self.waiting]
        return Relied(rows=tuple(self.rows), diagnostics=tuple(self.diagnostics))

    # --- what is there

    def _versions(self, key: ObjectKey) -> Iterator[Links]:
        """What an object is to others, by each state of it by which a proxy may work."""
        yield self.of_live.get(key, UNLINKED)
        for earlier in self.scenery.before.get(key, ()):
            yield self.reader.links(key, earlier.body) if earlier else UNLINKED

    def _ready(self) -> frozenset[Ref]:
        """What every proxy finds. What is being deleted cannot be relied on."""
        found: set[Ref] = set()
        for key, live in self.live.items():
            if self.of_live[key].provides and not live.deleting:
                # Of all versions that a proxy may work by: what only the newest one offers is not known to
                # all of them.
                found |= frozenset.intersection(*(links.provides for links in self._versions(key)))
        return frozenset(found)

    def _used(self) -> tuple[Mapping[Ref, set[ObjectKey]], Mapping[Ref, set[ObjectKey]]]:
        """What ours use, as they are, were, and will be; and what strangers' objects use."""
        ours: dict[Ref, set[ObjectKey]] = defaultdict(set)
        strangers: dict[Ref, set[ObjectKey]] = defaultdict(set)
        for key in self.live.keys() | self.scenery.before.keys():
            # A stranger's use is told and binds nothing, else anybody could keep our objects alive.
            theirs = self._theirs(key)
            for links in self._versions(key):
                for ref in links.uses:
                    (strangers if theirs is None or ref in theirs else ours)[ref].add(key)
        # What is about to use it counts: the same plan could bring the user and take what it uses.
        for key, pair in self.changing.items():
            for ref in pair.after.uses:
                ours[ref].add(key)
        return ours, strangers

    def _theirs(self, key: ObjectKey) -> frozenset[Ref] | None:
        """What an object uses by what of it is somebody else's; None for all of it."""
        live = self.live.get(key)
        part = self.scenery.strangers_part(live) if live else None
        if part is None:
            return frozenset()
        return None if part is live else self.reader.links(key, part.body).uses

    def _offers(self) -> Mapping[Ref, set[ObjectKey]]:
        """What is there once the rows are written, and by which objects."""
        offers: dict[Ref, set[ObjectKey]] = defaultdict(set)
        after = {row.key: self.changing[row.key].after for row in self.rows if row.writes}
        standing = {key: self.of_live[key] for key, live in self.live.items() if not live.deleting}
        for key, links in {**standing, **after}.items():
            for ref in links.provides:
                offers[ref].add(key)
        return offers

    # --- what goes

    def _without_losses(
        self, row: Change, used: Mapping[Ref, set[ObjectKey]], strangers: Mapping[Ref, set[ObjectKey]]
    ) -> Change:
        if not row.writes:
            return row
        pair = self.changing[row.key]
        lost = pair.before.provides - pair.after.provides
        kept = frozenset(
            ref for ref in lost if used.get(ref, set()) - {row.key} or self.scenery.elsewhere.uses(ref)
        )
        self._tell_strangers(row, lost - kept, strangers)
        return self._keeping(row, kept) if kept else row

    def _keeping(self, row: Change, kept: frozenset[Ref]) -> Change:
        """The row in the state between, which still provides what is used; else the object as it is."""
        after = decode(row.body) if row.body else None
        spec = self.scenery.writers[row.key].between(decode(row.before), after, kept)
        note = f"{_named(kept)} stays until nothing live needs it"
        self.diagnostics.append(staged(row, note, self.scenery.cluster))
        body = in_state(row, spec or {})
        if spec is None or is_same(decode(body), decode(row.before), row.forbidden, row.ownership):
            return replace(row, action=Action.KEEP, body=None, fields=(), note=note, staged=True)
        self.changing[row.key] = self.changing[row.key]._replace(after=self.reader.links(row.key, body))
        action = Action.UPDATE if row.withdraws else row.action
        return replace(row, action=action, body=body, note=note, staged=True)

    def _tell_strangers(
        self, row: Change, lost: Iterable[Ref], strangers: Mapping[Ref, set[ObjectKey]]
    ) -> None:
        for ref in sorted(lost):
            for key in sorted(strangers.get(ref, ()))[:_NAMED]:
                text = f"{key} in {self.scenery.cluster}, which is not ours, uses {ref}, which goes"
                self.diagnostics.append(finding("GM412", text, cluster=self.scenery.cluster, **behind(row)))

    # --- what comes

    def _after_needs(self, row: Change, offers: Mapping[Ref, set[ObjectKey]]) -> Change:
        """The row behind those that bring what it uses; held where nothing does."""
        if not row.writes or row.body is None or not self.changing[row.key].after.uses:
            return row
        # What closes never waits (design law 2): a missing target makes a Deny no less needed.
        if self._only_narrows(row):
            return row
        before, after = self.changing[row.key]
        # What it used before and lacks already is no reason to hold it: the new version is no worse.
        lacking = after.uses - offers.keys() - before.uses
        # Access waits for what is wanted beside it. A grant on something that nobody will ever make would
        # wait for ever, and what it replaces would stay in force.
        if row.decides in GUARDING and lacking:
            lacking &= self._wanted_refs
        lacking -= {ref for ref in lacking if self.scenery.elsewhere.offers(ref)}
        if lacking:
            return self._held(row, f"{_named(lacking)}, which nothing live provides{self._why(lacking)}")
        new = (after.uses & offers.keys()) - self.ready
        if not new:
            return row
        bringing = sorted({key for ref in new for key in offers[ref]} & self.changing.keys() - {row.key})
        note = f"comes when proxies have had the time for {_named(new)}"
        return replace(row, note=note, settled=True, relies_on=tuple(bringing))

    def _held(self, row: Change, missing: str) -> Change:
        self.waiting.add(row.key)
        given: Any = {"body": None, "fields": (), "drift": False, "settled": False, "relies_on": ()}
        return replace(row, action=Action.HELD, note=f"waits for {missing}", **given)

    def _only_narrows(self, row: Change) -> bool:
        """Whether it closes, and so waits for nothing."""
        if row.decides not in GUARDING:
            return False
        before = decode(row.before) if row.before else None
        effect = self.scenery.writers[row.key].effect(before, decode(row.body or b""))
        return effect in (Effect.NARROWS, Effect.CLOSES)

    @cached_property
    def _wanted_refs(self) -> frozenset[Ref]:
        """What would be there if all were that is wanted."""
        manifests = self.scenery.built.manifests.items()
        return frozenset().union(*(self.reader.links(key, one.body).provides for key, one in manifests))

    def _in_levels(self) -> list[Change]:
        """The rows, each behind those that it relies on; those that rely on each other are held."""
        relying = {row.key: frozenset(row.relies_on) for row in self.rows if row.writes and row.relies_on}
        levels: dict[ObjectKey, int] = {}
        while free := [key for key, those in relying.items() if those.isdisjoint(relying)]:
            level = 1 + max(levels.values(), default=0)
            levels |= dict.fromkeys(free, level)
            relying = {key: those for key, those in relying.items() if key not in levels}
        # Whom nobody relies on only waits for a circle and is none of it: the next round holds it for what it
        # lacks.
        while ends := relying.keys() - frozenset().union(*relying.values()):
            relying = {key: those for key, those in relying.items() if key not in ends}
        return [self._in_turn(row, relying.get(row.key), levels) for row in self.rows]

    def _in_turn(
        self, row: Change, circle: frozenset[ObjectKey] | None, levels: Mapping[ObjectKey, int]
    ) -> Change:
        if circle is not None:
            return self._held(row, f"{min(circle)}, which waits for it")
        pair = self.changing.get(row.key)
        # What was used goes after what used it.
        leaves_last = row.withdraws and pair is not None and bool(pair.before.provides)
        level = levels.get(row.key, int(leaves_last))
        return row if level == row.level else replace(row, level=level)

    def _why(self, lacking: frozenset[Ref]) -> str:
        """Which objects would bring it, and why they do not."""
        rows = {row.key: row for row in self.rows}
        bringing = [
            f"; {key} would, but {_state(rows.get(key))}"
            for key, manifest in sorted(self.scenery.built.manifests.items())
            if not lacking.isdisjoint(self.reader.links(key, manifest.body).provides)
        ]
        return "".join(bringing[:_NAMED])

    def _told(self, row: Change) -> Diagnostic:
        text = f"{row.key} in {self.scenery.cluster} {row.note}"
        severity = None
        if row.decides in GUARDING:
            text, severity = f"{text}; {NOT_ENFORCED}", Severity.ERROR
        return finding("GM411", text, cluster=self.scenery.cluster, severity=severity, **behind(row))


def _state(row: Change | None) -> str:
    """Why an object does not bring what it would."""
    match row.action if row else Action.HELD:
        case Action.CONFLICT:
            return "is in conflict"
        case Action.HELD:
            return "is held"
        case _:
            return f"is left as it is: {row.note}" if row and row.note else "is left as it is"


def _named(refs: frozenset[Ref]) -> str:
    """The first of them, those of one owner together."""
    shown = sorted(refs)[:_NAMED]
    groups = itertools.groupby(shown, key=lambda ref: (ref.kind, ref.of, ref.cluster))
    texts = [
        f"{kind} {', '.join(r.name for r in those)}{f' of {of}' if of else ''}"
        f"{f' in cluster {cluster}' if cluster else ''}"
        for (kind, of, cluster), those in groups
    ]
    more = len(refs) - len(shown)
    return ", ".join(texts) + (f" and {more} more" if more else "")

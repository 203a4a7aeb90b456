"""Objects of ours that nobody wants any more: what goes, what may not, and what is on its way. Called by
diff; no I/O.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import GUARDING
from gitmesh.model.objects import canonical, decode, digest
from gitmesh.model.ownership import WHOLE
from gitmesh.model.plan import Action
from gitmesh.planning.leaving import held_still, unwanted_still, waits
from gitmesh.planning.ownership import PRUNE, RECONCILE
from gitmesh.planning.relieving import is_copy
from gitmesh.planning.rows import held_row, live_row, released_row

if TYPE_CHECKING:
    from gitmesh.model.ledger import Entry
    from gitmesh.model.plan import Change, Live
    from gitmesh.planning.scenery import Scenery

NO_MORE_MISSED = "what is to guard its pods is there"
NOT_ENFORCED = "what the policies say may not be enforced there"
"""Said where an object that decides who may call is not as we want it (security law)."""


class Unwanted:
    """The objects of one cluster that its build does not want, and the findings on them."""

    def __init__(self, scenery: Scenery) -> None:
        self.built, self.observed, self.consent = scenery.built, scenery.observed, scenery.consent
        self.cluster, self.ledger, self.rebuilt = scenery.cluster, scenery.ledger, scenery.rebuilt
        self.writers, self.ours, self.decides = scenery.writers, scenery.ours, scenery.decides
        self.ours_in = scenery.ours_in
        self.diagnostics: list[Diagnostic] = []

    def deletions(self) -> list[Change]:
        """What the ledger lists, nobody wants, and is still exactly ours.

        A failed or partial reading deletes nothing; nor does a mesh that is not found, for its objects only
        seem unwanted. What other meshes have is decided all the same: a tenant's pod that keeps a revision
        from being forgotten keeps no grant.
        """
        # A rebuilt ledger lists what bears our marks, and marks can be copied: nothing goes on their word.
        if self.rebuilt:
            return []
        found_meshes = {mesh.translator for mesh in self.built.meshes}
        unwanted = (
            self.ledger.entries.keys()
            - self.built.manifests.keys()
            - self.built.held
            - self.built.stays.keys()
        )
        # In a reading in part what seems unwanted may only be unread; `decided` is what no doubt concerns.
        if not self.built.complete:
            unwanted &= self.built.decided
        doomed = (self.observed.live.get(key) for key in sorted(unwanted))
        return [
            self._delete(live)
            for live in doomed
            # A control plane that is down for a moment must not take its objects along.
            if live
            and not live.deleting
            and self.ours_in(live)
            and self.writers[live.key].name in found_meshes
        ]

    def staying(self) -> list[Change]:
        """Objects of ours that nobody wants and that must not be missed while it is not decided whether they
        are.
        """
        lives = (
            self.observed.live.get(key)
            for key in sorted(self.built.stays.keys() - self.built.manifests.keys() - self.built.held)
        )
        found = [live for live in lives if live and not live.deleting and self.ours_in(live)]
        self.diagnostics += [self._stays(live) for live in found]
        return [
            live_row(
                Action.HELD,
                live,
                self.built,
                "it stays until a policy decides about it",
                self.decides(live),
            )
            for live in found
        ]

    def _stays(self, live: Live) -> Diagnostic:
        said, entry = self.built.stays[live.key], self.ledger.entries.get(live.key)
        # Without a digest it is not known what we wrote, so nobody can be said to have changed it.
        if entry is None or not entry.digest or entry.digest == _digest(live, entry):
            return said
        return replace(
            said,
            message=(
                f"{said.message}; somebody changed it since it was written, so it may admit more than it did"
            ),
        )

    def unknown(self) -> list[Change]:
        """Objects of ours of which a doubt about the cluster, or a reading in part, leaves open whether they
        are wanted, as of a mesh whose root namespace nobody remembers."""
        if self.built.complete and not self.built.doubtful:
            return []
        known = self.built.manifests.keys() | self.built.held | self.built.stays.keys() | self.built.decided
        found = (self.observed.live.get(key) for key in sorted(self.ledger.entries.keys() - known))
        return [
            held_row(live, self.built, self.decides(live))
            for live in found
            if live and not live.deleting and self.ours_in(live)
        ]

    def leaving(self) -> list[Change]:
        """Objects of ours that nobody wants and that are not gone yet; of those that are held is only
        told.
        """
        unwanted: list[Change] = []
        for key in sorted(
            key for key, live in self.observed.live.items() if live.deleting and self.ours(live)
        ):
            live = self.observed.live[key]
            if key in self.built.held:
                self.diagnostics.append(held_still(live, self.cluster))
            elif key not in self.built.manifests:
                state = waits(live.finalizers)
                row = replace(live_row(Action.KEEP, live, self.built, state, self.decides(live)), staged=True)
                self.diagnostics.append(unwanted_still(row, row.note, self.cluster))
                unwanted.append(row)
        return unwanted

    def _delete(self, live: Live) -> Change:
        if is_copy(live.key):
            return live_row(Action.DELETE, live, self.built, NO_MORE_MISSED, self.decides(live))
        guards = self.decides(live) in GUARDING
        if any(fnmatch.fnmatchcase(live.key.id(self.cluster), pattern) for pattern in self.consent.protect):
            return self._not_pruned(live, "prune.protect lists it", Severity.ERROR if guards else None)
        if live.annotations.get(PRUNE) == "disabled" or live.annotations.get(RECONCILE) == "disabled":
            # Whoever may annotate an object could else keep a grant that was withdrawn.
            if not guards:
                return self._not_pruned(live, "its annotation forbids it", None)
            text = (
                f"an annotation of {live.key} in {self.cluster} forbids to prune it; it decides who may call,"
                " and goes all the same"
            )
            self.diagnostics.append(finding("GM407", text, cluster=self.cluster, severity=Severity.WARNING))
        note, mine = "no policy wants it any more", self.ours_in(live)
        if mine is not None and not mine.is_object:
            return released_row(live, mine, self.ledger, note, self.decides(live))
        return live_row(Action.DELETE, live, self.built, note, self.decides(live))

    def _not_pruned(self, live: Live, why: str, severity: Severity | None) -> Change:
        text = f"{live.key} in {self.cluster} is not pruned: {why}{f'; {NOT_ENFORCED}' if severity else ''}"
        self.diagnostics.append(finding("GM407", text, cluster=self.cluster, severity=severity))
        return live_row(Action.KEEP, live, self.built, why, self.decides(live))


def _digest(live: Live, entry: Entry) -> str:
    """The hash of what of a live object is ours."""
    if entry.ownership == WHOLE:
        return digest(live.body)
    return digest(canonical(entry.ownership.part(decode(live.body))))

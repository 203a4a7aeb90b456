"""Objects that are wanted: what is to be written of each, and what stands in the way. Called by diff; no
I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import GUARDING, Subject
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, Change, Live
from gitmesh.planning.estranged import Estranged, estranged, told, was_ours
from gitmesh.planning.fields_of_others import wanted_fields
from gitmesh.planning.leaving import namespace_leaves, waits, wanted_again
from gitmesh.planning.ownership import RECONCILE, blame, may_adopt
from gitmesh.planning.rows import field_changes, is_kept, laid_over, live_row, wanted_row
from gitmesh.planning.unwanted import NOT_ENFORCED

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from gitmesh.model.ledger import Entry
    from gitmesh.planning.scenery import Scenery


class _Kept(NamedTuple):
    """An object that needed nothing, and what it was compared with: as long as all three stay, so does the
    row.
    """

    manifest: Manifest
    live: Live
    entry: Entry
    change: Change


class Wanting:
    """The rows of what is wanted, and the findings on them. `gone_soon`: rows of objects on their way out."""

    def __init__(self, scenery: Scenery) -> None:
        self.built, self.observed, self.consent = scenery.built, scenery.observed, scenery.consent
        self.cluster, self.ledger, self.ours = scenery.cluster, scenery.ledger, scenery.ours
        self.decides, self.strangers_part = scenery.decides, scenery.strangers_part
        self.writers, self.translators = scenery.writers, scenery.translators
        known: MutableMapping[ObjectKey, _Kept] = scenery.memo.get("kept", {})
        self.kept = scenery.memo["kept"] = {k: row for k, row in known.items() if k in self.built.manifests}
        self.diagnostics: list[Diagnostic] = []
        self.gone_soon: list[Change] = []
        self.strangers: dict[Estranged, dict[ObjectKey, Subject]] = {}
        if scenery.stored.corrupt:
            text = f"the ledger of cluster {self.cluster} was unreadable; deletions wait"
            self.diagnostics.append(finding("GM408", text, cluster=self.cluster))
        self.blocked = self._foreign_claims()

    # --- objects that are wanted

    def want(self, manifest: Manifest) -> Change:
        live = self.observed.live.get(manifest.key)
        # First of all: a row that was kept in the last cycle says nothing of a deletion that began since.
        if leaving := self._leaving(manifest, live):
            self.gone_soon.append(leaving)
            return leaving
        if kept := self._kept(manifest, live):
            return kept
        if manifest.key[:2] in self.observed.missing_kinds:
            return self._conflict(
                manifest,
                None,
                "GM504",
                f"cluster {self.cluster} does not serve {manifest.key.kind}.{manifest.key.group}",
            )
        if not manifest.ownership.is_object:
            return self._fields(manifest, live)
        if live is None:
            if manifest.key in self.blocked:
                return self._conflict(manifest, None, *self.blocked[manifest.key])
            return self._create(manifest)
        if self.ours(live):
            if manifest.key in self.blocked:
                self._say_in_the_way(manifest, *self.blocked[manifest.key])
            return self._own(manifest, live)
        if self._may_adopt(live):
            return self._write(Action.ADOPT, manifest, live)
        # Told together with all others of that cause: after a renamed instance these are all objects of the
        # cluster.
        if why := estranged(live, self.cluster, self.ledger):
            self.strangers.setdefault(why, {})[live.key] = manifest.decides
            return self._in_conflict(manifest, live, f"carries {why.what}")
        owner = ", ".join(sorted(live.managers)) or "another tool"
        return self._conflict(
            manifest,
            live,
            "GM401",
            f"{manifest.key} in {self.cluster} exists and is not ours (made by {owner})",
        )

    def _leaving(self, manifest: Manifest, live: Live | None) -> Change | None:
        """The row of a wanted object that goes, or cannot come, as somebody asked for its deletion or for
        that of its namespace.
        """
        if manifest.key.namespace in self.observed.leaving:
            said, note = (
                namespace_leaves(manifest.key.namespace, self.cluster),
                "its namespace is being deleted",
            )
        elif (
            live
            and live.deleting
            and manifest.ownership.is_object
            and (self.ours(live) or self._may_adopt(live))
        ):
            decides_otherwise = manifest.decides in GUARDING and not self._says(manifest, live)
            said, note = (
                wanted_again(manifest, live, self.cluster, otherwise=decides_otherwise),
                waits(live.finalizers),
            )
        else:
            return None
        if said not in self.diagnostics:  # one for a namespace
            self.diagnostics.append(said)
        before, uid = (live.body, live.uid) if live else (b"", "")
        return wanted_row(Action.KEEP, manifest, body=None, before=before, uid=uid, note=note, staged=True)

    def _may_adopt(self, live: Live) -> bool:
        return may_adopt(live, self.cluster, self.ledger.instance, self.consent.adoptions)

    def _create(self, manifest: Manifest) -> Change:
        entry = self.ledger.entries.get(manifest.key)
        # An entry without uid is an intent that came to nothing: making it is no repair.
        gone = entry is not None and bool(entry.uid)
        # Nor is it a repair where Git wants it otherwise since: what comes is new, whoever deleted the old.
        drift = gone and entry is not None and entry.digest == manifest.digest
        return replace(
            wanted_row(Action.CREATE, manifest), drift=drift, note="it was deleted by hand" if gone else ""
        )

    def _own(self, manifest: Manifest, live: Live) -> Change:
        if left := self._left_alone(manifest, live):
            return left
        if not self._says(manifest, live):
            return self._write(Action.UPDATE, manifest, live)
        return self._keep(manifest, live)

    def _keep(self, manifest: Manifest, live: Live) -> Change:
        change = wanted_row(Action.KEEP, manifest, body=None, uid=live.uid, before=live.body)
        # Kept only with an entry: without one the next plan has to write the ledger, so the row is looked
        # at again.
        if entry := self.ledger.entries.get(manifest.key):
            self.kept[manifest.key] = _Kept(manifest, live, entry, change)
        return change

    def _fields(self, manifest: Manifest, live: Live | None) -> Change:
        """Fields of ours in somebody else's object."""
        if manifest.key in self.blocked:
            return self._conflict(manifest, live, *self.blocked[manifest.key])
        if live and (left := self._left_alone(manifest, live)):
            return left
        found = wanted_fields(
            manifest, live, self.cluster, self.ledger, is_object=bool(live and self.ours(live))
        )
        if found is None:
            assert live is not None
            return self._keep(manifest, live)
        if found.code:
            self._say_in_the_way(manifest, found.code, found.text)
        return found.row

    def _left_alone(self, manifest: Manifest, live: Live) -> Change | None:
        if live.annotations.get(RECONCILE) != "disabled":
            return None
        says = self._says(manifest, live)
        self._asks_to_be_left_alone(manifest, says=says)
        if manifest.decides in GUARDING:
            return None
        action = Action.KEEP if says else Action.HELD
        return live_row(action, live, self.built, "reconcile is disabled", manifest.decides)

    def _says(self, manifest: Manifest, live: Live) -> bool:
        """Whether a live object says what is wanted. Equal bytes first: that is what most objects are, and
        decoding both costs more than the rest of a quiet cycle."""
        return manifest.body == live.body or is_kept(manifest, live)

    def _kept(self, manifest: Manifest, live: Live | None) -> Change | None:
        """The row of an object of ours that said what we want, for as long as nothing that was looked at
        moved.
        """
        found = self.kept.get(manifest.key)
        if (
            found is None
            or found.manifest is not manifest
            or found.live is not live
            or manifest.key in self.blocked
        ):
            return None
        return found.change if found.entry == self.ledger.entries.get(manifest.key) else None

    def _write(self, action: Action, manifest: Manifest, live: Live) -> Change:
        entry = self.ledger.entries.get(manifest.key)
        # What is wanted has not moved since we wrote it, so somebody moved what is live.
        drift = action is Action.UPDATE and entry is not None and entry.digest == manifest.digest
        return replace(
            wanted_row(action, manifest, body=laid_over(manifest, live)),
            before=live.body,
            uid=live.uid,
            resource_version=live.resource_version,
            fields=field_changes(manifest, live),
            drift=drift,
        )

    def _conflict(self, manifest: Manifest, live: Live | None, code: str, text: str) -> Change:
        self._say_in_the_way(manifest, code, text)
        return self._in_conflict(manifest, live, text)

    def _in_conflict(self, manifest: Manifest, live: Live | None, text: str) -> Change:
        fields = field_changes(manifest, live) if live else ()
        before = live.body if live else b""
        return replace(
            wanted_row(Action.CONFLICT, manifest), body=None, before=before, fields=fields, note=text
        )

    def _say_in_the_way(self, manifest: Manifest, code: str, text: str) -> None:
        """Of what decides who may call nothing may stand in the way."""
        if manifest.decides in GUARDING:
            self._say(manifest, code, f"{text}; {NOT_ENFORCED}", Severity.ERROR)
        else:
            self._say(manifest, code, text)

    def _asks_to_be_left_alone(self, manifest: Manifest, *, says: bool) -> None:
        """A mark that whoever may write there can set is honoured for routing, and silences nothing that
        decides who may call.
        """
        if manifest.decides in GUARDING:
            text = (
                f"{RECONCILE} is disabled on {manifest.key} in {self.cluster}, which decides who may call: it"
                " is kept all the same"
            )
            self._say(manifest, "GM407", text, Severity.WARNING)
        else:
            otherwise = "" if says else ", though the policies want it otherwise"
            text = f"{manifest.key} in {self.cluster} is left alone{otherwise}: {RECONCILE} is disabled"
            self._say(manifest, "GM407", text)

    def _say(self, manifest: Manifest, code: str, text: str, severity: Severity | None = None) -> None:
        behind = blame(manifest.policies, manifest.fields.values())
        mesh = self.built.mesh_of(manifest)
        self.diagnostics.append(
            finding(code, text, cluster=self.cluster, mesh=mesh, severity=severity, **behind)
        )

    def _foreign_claims(self) -> dict[ObjectKey, tuple[str, str]]:
        """Our objects that a foreign one stands in the way of, with code and text."""
        blocked: dict[ObjectKey, tuple[str, str]] = {
            key: ("GM401", f"in {self.cluster}, {manifest.contested[0]}; it is not ours")
            for key, manifest in self.built.manifests.items()
            if manifest.contested
        }
        ours = {key for key, one in self.built.manifests.items() if one.ownership.is_object}
        strangers = [
            live for key in sorted(self.observed.live.keys() - ours) if (live := self._stranger(key))
        ]
        for _, translator in sorted(self.translators.items()):
            kinds = {(one.group, one.kind) for one in translator.resources}
            theirs = [live for live in strangers if live.key[:2] in kinds]
            for claim in (
                translator.foreign(theirs, self.built.manifests, self.built.meshes) if theirs else ()
            ):
                text = f"in {self.cluster}, {claim.text}; it is not ours"
                # Only a claim on the same host or name keeps ours away; anything else is told and we write
                # all the same.
                if claim.code == "GM401":
                    blocked[claim.on] = (claim.code, text)
                else:
                    self._say(self.built.manifests[claim.on], claim.code, text)
        return blocked

    def _stranger(self, key: ObjectKey) -> Live | None:
        """What of an object nobody of ours is the cause of; of what the ledger knows under other marks or
        another uid is told together.
        """
        live = self.strangers_part(self.observed.live[key])
        if live is None:
            return None
        # What was ours is no stranger whose objects widen or narrow: those would be findings without end on
        # our own.
        if not was_ours(live, self.cluster, self.ledger):
            return live
        why = estranged(live, self.cluster, self.ledger)
        if why and self.writers.get(key):
            self.strangers.setdefault(why, {})[key] = self.decides(live)
        return None

    def told_of_strangers(self) -> Iterator[Diagnostic]:
        """One finding for each cause for which objects with our marks are not ours."""
        for why, subjects in sorted(self.strangers.items()):
            security = f"; {NOT_ENFORCED}" if not GUARDING.isdisjoint(subjects.values()) else ""
            yield told(why, subjects.keys(), self.cluster, security=security)

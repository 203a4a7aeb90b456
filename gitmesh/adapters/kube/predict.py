"""Asking the server, by dry runs, which planned updates would change nothing (defaults, webhooks, other
managers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.adapters.kube import managed, writes
from gitmesh.adapters.kube.apply import shared_text
from gitmesh.adapters.kube.errors import ApiError
from gitmesh.adapters.kube.live import LiveObjects, content_of
from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.objects import ApiKind, Body, ObjectKey, canonical, decode
from gitmesh.model.ownership import FIELD_MANAGER
from gitmesh.model.plan import Action, Change, Plan
from gitmesh.planning.ownership import blame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.adapters.kube.client import KubeClient


class Predictor:
    """Remembers what was found equal, so that a difference that stays is asked about once."""

    def __init__(self, client: KubeClient, live: LiveObjects) -> None:
        self._client = client
        self._live = live
        self._equal: dict[ObjectKey, tuple[bytes, str, str]] = {}

    def predict(self, plan: Plan, kinds: Mapping[tuple[str, str], ApiKind]) -> Plan:
        """The plan with KEEP in place of each update that changes nothing; a refused dry run leaves its
        update as it is.
        """
        counts: dict[ObjectKey, int] = {}
        for change in plan.writes:
            counts[change.key] = counts.get(change.key, 0) + 1
        asked = [
            c
            for c in plan.writes
            # An object with two steps goes through a state between, whose dry run says nothing of the
            # second one.
            if c.action is Action.UPDATE and counts[c.key] == 1 and (c.key.group, c.key.kind) in kinds
        ]
        answers = self._client.each(
            lambda change: self._changes_nothing(change, kinds[change.key[:2]]), asked
        )
        notes = {change.key: note for change, note in zip(asked, answers, strict=True) if note is not None}
        if not notes:
            return plan
        changes = tuple(
            _kept(change, notes[change.key]) if change.key in notes else change for change in plan.changes
        )
        said = tuple(
            _finding(change, plan.cluster, notes[change.key]) for change in asked if notes.get(change.key)
        )
        return replace(plan, changes=changes, diagnostics=(*plan.diagnostics, *said))

    def _changes_nothing(self, change: Change, kind: ApiKind) -> str | None:
        """None if it changes something; else "" or what another manager keeps there."""
        remembered = self._equal.get(change.key)
        if remembered is not None and remembered[:2] == (change.body, change.resource_version):
            return remembered[2]
        try:
            note = self._ask(change, kind)
        except ApiError as error:
            if error.status == 401:
                raise
            return None
        if note is not None:
            self._equal[change.key] = (change.body or b"", change.resource_version, note)
        return note

    def _ask(self, change: Change, kind: ApiKind) -> str | None:
        desired, live = decode(change.body or b""), decode(change.before)
        known = self._live.known(change.key)
        applied = known is not None and any(
            op == "Apply" and name != FIELD_MANAGER for name, op in known.managers.items()
        )
        at, part = change.resource_version, change.ownership.part(desired)
        if not change.ownership.is_object:
            applied, request = False, writes.fields_request(kind, change, part, dry=True)
        elif applied:
            request = writes.apply_request(kind, change.version, change.key, part, at, dry=True)
        else:
            request = writes.content_request(kind, change, live, desired)
        answer = self._client.send(request)
        raw, _ = answer.json(), answer.identity(change.key)
        if not _equal(kind, change.version, raw, live):
            return None
        found, terms = managed.entries(raw), (desired, change.forbidden, change.ownership)
        others = managed.appliers(found, *terms) if applied else {}
        if applied and managed.taken_over(found, raw, *terms) is not None:
            # An Update manager's claim stands in the way of the dry run, and the real write takes it over.
            return None
        return shared_text(others)


def _equal(kind: ApiKind, version: str, raw: Body, live: Body) -> bool:
    return canonical(content_of(kind, version, raw)) == canonical(live)


def _kept(change: Change, note: str) -> Change:
    return replace(
        change,
        action=Action.KEEP,
        body=None,
        fields=(),
        drift=False,
        note=note or "the cluster's own defaults make it equal",
    )


def _finding(change: Change, cluster: str, note: str) -> Diagnostic:
    return finding(
        "GM405",
        f"{change.key} in {cluster}: {note}",
        cluster=cluster,
        **blame(change.policies, change.origins),
    )

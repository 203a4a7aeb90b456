"""Rows of a plan: one for a wanted object, one for a live one, and whether they are the same in what is
ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.model.objects import canonical, decode
from gitmesh.model.ownership import WHOLE, Ownership
from gitmesh.model.plan import Action, Change, FieldChange
from gitmesh.planning.fields import changes
from gitmesh.planning.ownership import manager_of_fields, policies_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.admission import Subject
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.plan import Live


def is_same(
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    forbidden: frozenset[str],
    ownership: Ownership = WHOLE,
) -> bool:
    """Whether all that is ours of a live object is as it is wanted, in the version in which it is wanted."""
    if ownership.is_object and desired["apiVersion"] != live.get("apiVersion"):
        return False
    found, wanted = (ownership.compared(one, desired, forbidden) for one in (live, desired))
    return found == wanted


def is_kept(manifest: Manifest, live: Live, ownership: Ownership | None = None) -> bool:
    """Whether a live object says what is wanted; `ownership` where more of it is ours than is wanted."""
    mine = ownership or manifest.ownership
    return is_same(decode(manifest.body), decode(live.body), manifest.forbidden, mine)


def field_changes(
    manifest: Manifest, live: Live, ownership: Ownership | None = None
) -> tuple[FieldChange, ...]:
    """The fields in which a live object differs from what is wanted; `ownership` as in `is_kept`."""
    return changes(
        decode(live.body),
        decode(manifest.body),
        live.field_managers,
        manifest.fields,
        manifest.forbidden,
        ownership or manifest.ownership,
    )


def laid_over(manifest: Manifest, live: Live, ownership: Ownership | None = None) -> bytes:
    """The whole object as it is to be: what is wanted, and what is live of what is not ours."""
    mine = ownership or manifest.ownership
    if mine == WHOLE:
        return manifest.body
    return canonical(mine.onto(decode(manifest.body), decode(live.body)))


def in_state(row: Change, state: Mapping[str, Any]) -> bytes:
    """The object of a row in a state on the way, as a translator says it (`between`), in what of it is
    ours."""
    ownership, before = row.ownership, decode(row.before) if row.before else None
    return canonical(ownership.onto(ownership.in_state(decode(row.body or row.before), state), before))


def wanted_row(action: Action, manifest: Manifest, **more: Any) -> Change:
    """A row about a wanted object, whose body is written unless `more` says otherwise."""
    given = {"body": manifest.body, **more}
    return Change(
        action=action,
        key=manifest.key,
        decides=manifest.decides,
        version=manifest.version,
        policies=manifest.policies,
        origins=tuple(sorted(set(manifest.fields.values()))),
        # An object that stands apart is no part of its unit's order: a failure of it stops none of the
        # others.
        units=() if manifest.apart else manifest.units,
        forbidden=manifest.forbidden,
        **{"ownership": manifest.ownership, **given},
    )


def live_row(action: Action, live: Live, built: Build, note: str, decides: Subject) -> Change:
    """A row about a live object that is not written (or is deleted, where the body does not matter)."""
    manifest = built.manifests.get(live.key)
    policies = manifest.policies if manifest else policies_of(live)
    version = decode(live.body)["apiVersion"].rpartition("/")[2]
    return Change(
        action=action,
        key=live.key,
        decides=decides,
        version=version,
        before=live.body,
        uid=live.uid,
        resource_version=live.resource_version,
        policies=policies,
        note=note,
    )


def released_row(live: Live, ownership: Ownership, ledger: Ledger, note: str, decides: Subject) -> Change:
    """A row that takes our fields off somebody else's object."""
    body, entry = decode(live.body), ledger.entries.get(live.key)
    return Change(
        action=Action.RELEASE,
        key=live.key,
        decides=decides,
        version=body["apiVersion"].rpartition("/")[2],
        body=canonical(ownership.rest(body) or body),
        before=live.body,
        uid=live.uid,
        resource_version=live.resource_version,
        fields=changes(body, {}, live.field_managers, {}, ownership=ownership),
        policies=policies_of(live, entry),
        ownership=ownership,
        manager=manager_of_fields(ledger.instance),
        note=note,
    )


def held_row(live: Live, built: Build, decides: Subject) -> Change:
    """A row about an object that is left as it is, with why."""
    return live_row(Action.HELD, live, built, _why(live, built), decides)


def _why(live: Live, built: Build) -> str:
    """Why an object is held."""
    if built.doubtful:
        return "what was read of the cluster is in doubt"
    if not built.complete and live.key not in built.held:
        return "the cluster was read in part only"
    pending = sorted(built.pending.intersection(policies_of(live)))
    return (
        f"{', '.join(pending)} names what is not there" if pending else "findings on what it is for hold it"
    )

"""Rows of a plan: one for a wanted object, one for a live one, and whether they are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.model.objects import decode, mapping
from gitmesh.model.plan import Action, Change, FieldChange
from gitmesh.planning.fields import changes
from gitmesh.planning.ownership import policies_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.admission import Subject
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.plan import Live


def is_same(desired: Mapping[str, Any], live: Mapping[str, Any], forbidden: frozenset[str]) -> bool:
    """Our labels and annotations are there (others that are not forbidden may be too) and the whole spec is
    equal.
    """
    # The whole spec: a field that somebody added is drift (law 4), while other labels are their owners'
    # own.
    if desired["apiVersion"] != live.get("apiVersion") or desired.get("spec") != live.get("spec", {}):
        return False
    metadata = mapping(live.get("metadata"))
    pairs = ((desired["metadata"][part], mapping(metadata.get(part))) for part in ("labels", "annotations"))
    return all(
        wanted.items() <= found.items() and forbidden & found.keys() <= wanted.keys()
        for wanted, found in pairs
    )


def is_kept(manifest: Manifest, live: Live) -> bool:
    """Whether a live object says what is wanted."""
    return is_same(decode(manifest.body), decode(live.body), manifest.forbidden)


def field_changes(manifest: Manifest, live: Live) -> tuple[FieldChange, ...]:
    """The fields in which a live object differs from what is wanted."""
    return changes(
        decode(live.body), decode(manifest.body), live.field_managers, manifest.fields, manifest.forbidden
    )


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
        **given,
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
    return f"{', '.join(pending)} names what is not there" if pending else "findings on its policies hold it"

"""Writing some fields of somebody else's object: server-side apply of these alone, under a name of our own.

The server keeps count of what that name has set, so an apply that leaves a field out takes just that field
off, and never what others have set meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.adapters.kube import managed, writes
from gitmesh.adapters.kube.errors import ApiError
from gitmesh.model.objects import decode
from gitmesh.model.ownership import differing, dotted
from gitmesh.model.plan import Outcome
from gitmesh.planning.rows import is_same

if TYPE_CHECKING:
    from gitmesh.adapters.kube.client import KubeClient
    from gitmesh.adapters.kube.exchange import ApiAnswer
    from gitmesh.model.objects import ApiKind, Body
    from gitmesh.model.plan import Change

_MOST_NAMED = 5


def write_fields(client: KubeClient, kind: ApiKind, change: Change) -> Outcome:
    """Set our fields as they are wanted, or take them off. Raises ClusterError."""
    answer = client.send(writes.get_request(kind, change.version, change.key))
    if answer.is_absent:
        return _gone(change, "it was deleted since the plan was made")
    raw, (uid, at) = answer.json(), answer.identity(change.key)
    if uid != change.uid:
        return _gone(change, "somebody replaced it by another object, which is left alone")
    # The plan looked at this very version: who set what in it since is not known.
    if at != change.resource_version:
        return _rechecked(change, raw)
    # Forced over whoever edits, so it must be certain that nobody applies.
    if theirs := _applied_by_others(change, raw):
        return failed(change, theirs, "GM405")
    part = change.ownership.part(decode(change.body or b""))
    written = client.send(writes.fields_request(kind, change, part))
    try:
        return _done(change, written)
    except ApiError as error:
        if error.status != 409:
            raise
        return failed(change, "it was changed since the plan was made", "GM505", error.text)


def failed(change: Change, text: str, code: str, detail: str = "") -> Outcome:
    """A write that did not happen, and may at the next attempt."""
    return Outcome(
        key=change.key, action=change.action, ok=False, message=text, detail=detail, code=code, retryable=True
    )


def _done(change: Change, answer: ApiAnswer) -> Outcome:
    answer.json()
    uid = answer.identity(change.key).uid
    return Outcome(key=change.key, action=change.action, ok=True, uid=uid, warnings=answer.warnings)


def _gone(change: Change, text: str) -> Outcome:
    """Of an object that is not there any more nothing is ours."""
    if change.withdraws:
        return Outcome(key=change.key, action=change.action, ok=True, uid=change.uid, message=text)
    return failed(change, text, "GM505")


def _rechecked(change: Change, raw: Body) -> Outcome:
    """The version moved: perhaps by our own write, whose answer was lost."""
    if is_same(decode(change.body or b""), raw, change.forbidden, change.ownership):
        return Outcome(key=change.key, action=change.action, ok=True, uid=change.uid)
    return failed(change, "it was changed since the plan was made", "GM505")


def _applied_by_others(change: Change, raw: Body) -> str:
    """Which managers apply fields that we want otherwise; "" where nobody does."""
    # What we withdraw is ours to remove, also where another manager applies the same field.
    if change.withdraws:
        return ""
    entries, wanted = managed.entries(raw), decode(change.body or b"")
    paths = [path for path in differing(change.ownership, raw, wanted) if change.ownership.sets(wanted, path)]
    found = [(managed.applied(entries, path, change.manager), path) for path in paths]
    told = [f"manager {manager} applies {dotted(path)}" for manager, path in found if manager]
    return "; ".join(told[:_MOST_NAMED])

"""What clusters share in writing; most of it is carrying out a plan against a store of objects, a directory
or memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from sys import intern

from gitmesh.errors import ClusterError
from gitmesh.model.empty import EMPTY
from gitmesh.model.objects import Body, ObjectKey, canonical, decode
from gitmesh.model.plan import Action, Change, Live, Outcome, Plan
from gitmesh.model.units import UnitKey

SERVER_FIELDS = ("resourceVersion", "managedFields", "uid", "creationTimestamp", "generation", "selfLink")
"""metadata that servers add; no part of a live object's content."""

_MOST_FINALIZERS, _LONGEST_NAME = 8, 128
# Texts up to this length are kept once for all objects; longer ones seldom occur in a second object.
_SHARED = 512


class StepError(Exception):
    """One step could not be carried out; the object is as it was. `retryable`: a later tick may succeed."""

    def __init__(self, message: str, *, retryable: bool = True, code: str = "GM505") -> None:
        super().__init__(message)
        self.retryable = retryable
        self.code = code


def live_object(key: ObjectKey, uid: str, body: Body) -> Live:
    """A live object as observed: content without status and server fields, and a version that changes with
    the content.
    """
    given = body.get("metadata")
    metadata = dict(given) if isinstance(given, dict) else {}
    deleting = "deletionTimestamp" in metadata
    for name in SERVER_FIELDS:
        metadata.pop(name, None)
    content = canonical(
        {**{name: value for name, value in body.items() if name != "status"}, "metadata": metadata}
    )
    return Live(
        key=key,
        uid=uid,
        body=content,
        labels=_labels(tuple(_strings(metadata.get("labels")).items())),
        annotations=_strings(metadata.get("annotations")),
        resource_version=version_of(content),
        deleting=deleting,
        finalizers=finalizers_of(metadata),
    )


def finalizers_of(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """What the deletion of an object waits for."""
    found = metadata.get("finalizers")
    names = (
        # At most a handful is told, each cut: a list of an object may be anybody's, and of any length.
        (str(name)[:_LONGEST_NAME] for name in found[:_MOST_FINALIZERS]) if isinstance(found, list) else ()
    )
    # They are told to people, in one line.
    return tuple(name for name in names if name.isprintable())


def version_of(content: bytes) -> str:
    """A short hash that stands for content."""
    return hashlib.sha256(content).hexdigest()[:32]


def _strings(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return EMPTY
    return {
        intern(k): intern(v) if len(v) <= _SHARED else v
        for k, v in value.items()
        if isinstance(k, str) and isinstance(v, str)
    } or EMPTY


@lru_cache(maxsize=1024)
def _labels(pairs: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The labels of an object."""
    # One mapping for all objects with these labels, since all of ours have the same.
    return dict(pairs) or EMPTY


def refuse_observed(name: str, enforce: bool) -> None:
    """Raise ClusterError for a cluster that must never be written."""
    if not enforce:
        raise ClusterError(
            f"cluster {name} is in mode Observe: nothing was written", retryable=False, code="GM509"
        )


def lost_race(ledger: str) -> ClusterError:
    """The error where somebody wrote the ledger since it was read."""
    # What was decided by the ledger may be wrong, so that the next cycle decides anew.
    text = f"the ledger {ledger} was changed by somebody else; is another agent at work?"
    return ClusterError(
        text, code="GM505", hint="Let one agent of an instance be at work; the next cycle decides anew."
    )


def carry_out(plan: Plan, write: Callable[[Change, str], Live | None]) -> tuple[Outcome, ...]:
    """Do the writes of a plan in order; a failed step stops the later ones that share one of its units, or
    that rely on its object.

    `write(change, version)` does one step on the object of that version ("" = must be absent, "*" = any) and
    returns the object as it then is, None after a deletion. It raises StepError. A ClusterError ends the
    whole plan.
    """
    outcomes: list[Outcome] = []
    stopped: set[UnitKey | ObjectKey] = set()
    written: dict[ObjectKey, Live | None] = {}
    for change in plan.writes:
        # Of one unit a later step may widen what an earlier one should have narrowed first.
        if not stopped.isdisjoint((*change.units, *change.relies_on)):
            # Whoever relies on this one lacks it just as much.
            stopped.update((change.key, *change.units))
            outcomes.append(_failed(change, "an earlier step that it needs failed", "GM505", True))
            continue
        try:
            live = write(change, _expected(change, written))
        except StepError as error:
            stopped.update((change.key, *change.units))
            outcomes.append(_failed(change, str(error), error.code, error.retryable))
            continue
        written[change.key] = live
        outcomes.append(
            Outcome(key=change.key, action=change.action, ok=True, uid=live.uid if live else change.uid)
        )
    return tuple(outcomes)


def _failed(change: Change, message: str, code: str, retryable: bool) -> Outcome:
    return Outcome(
        key=change.key,
        action=change.action,
        ok=False,
        uid=change.uid,
        message=message,
        code=code,
        retryable=retryable,
    )


def _expected(change: Change, written: dict[ObjectKey, Live | None]) -> str:
    """The version that the step may replace: what an earlier step of this plan wrote, else what was
    observed.
    """
    if change.key in written:
        live = written[change.key]
        return live.resource_version if live else ""
    if change.action is Action.CREATE:
        return ""
    return change.resource_version or (version_of(change.before) if change.before else "*")


def check_step(change: Change, expected: str, current: Live | None) -> None:
    """Raise StepError unless the object is as the plan saw it."""
    if expected == "" and current is not None:
        raise StepError(f"{change.key} exists already")
    if expected != "" and current is None:
        raise StepError(f"{change.key} is gone")
    if current is None:
        return
    if expected != "*" and current.resource_version != expected:
        raise StepError(f"{change.key} was changed since it was read")
    # The same key made anew is another object, which is perhaps somebody else's.
    if (change.action is Action.DELETE or change.uid) and change.uid != current.uid:
        raise StepError(f"{change.key} is another object than the one that was read")


def body_of(change: Change) -> dict[str, object]:
    """The object that a step writes. Raises StepError where there is none, or it is not the object of the
    key.
    """
    body = decode(change.body) if change.body is not None else None
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        raise StepError(f"{change.key} has no content to write", retryable=False)
    return body

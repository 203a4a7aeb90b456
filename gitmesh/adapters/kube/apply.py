"""Carrying out a plan: turn after turn, the steps of a turn at once, what fails stops what depends on it.

Every write names the version of the object that the plan was made from, so a plan that is out of date changes
nothing.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.adapters.kube import managed, writes
from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.errors import ApiError, api_error, clean, unrelated
from gitmesh.adapters.kube.exchange import ApiAnswer, Identity
from gitmesh.adapters.kube.fields import failed, write_fields
from gitmesh.adapters.kube.lists import everything
from gitmesh.adapters.kube.paths import collection
from gitmesh.adapters.writing import finalizers_of
from gitmesh.errors import ClusterError
from gitmesh.model.objects import ApiKind, Body, ObjectKey, decode, listed, mapping
from gitmesh.model.plan import Action, Change, Outcome, Plan
from gitmesh.planning.leaving import LEAVING, waits
from gitmesh.planning.rows import is_same

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitmesh.adapters.kube.live import LiveObjects
    from gitmesh.model.units import UnitKey

_MANAGER_CONFLICT = "FieldManagerConflict"
_WEBHOOKS = tuple(
    ApiKind(
        group="admissionregistration.k8s.io",
        kind=kind,
        plural=f"{kind.lower()}s",
        versions=("v1",),
        namespaced=False,
    )
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
)


class Applier:
    """Applies one plan. `kinds` are those that were observed, `settle` the seconds in which proxies learn of
    a write.
    """

    def __init__(
        self, client: KubeClient, kinds: Mapping[tuple[str, str], ApiKind], live: LiveObjects, settle: float
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._live = live
        self._settle = settle
        self._written: dict[ObjectKey, Identity] = {}
        self._failed: dict[UnitKey | ObjectKey, Outcome] = {}
        self._lost: Outcome | None = None
        self._owners: dict[str, str] = {}

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """One outcome for each write of the plan, in its order. Never raises for the world's failures."""
        outcomes: list[Outcome] = []
        for batch in batches(plan.writes):
            # Proxies learn of a write at different times, so what relies on the batch before gives the
            # slowest its time.
            if any(change.settled for change in batch):
                self._client.pause(self._settle)
            done = self._client.each(partial(self._step, self._lost), batch)
            for change, outcome in zip(batch, done, strict=True):
                if not outcome.ok:
                    # By unit as well: later steps of a unit may rely on this one without naming it.
                    self._failed.update(dict.fromkeys((change.key, *change.units), outcome))
            outcomes += done
        return tuple(outcomes)

    def _step(self, lost: Outcome | None, change: Change) -> Outcome:
        before = (change.key, *change.units, *change.relies_on)
        cause = lost or next((self._failed[one] for one in before if one in self._failed), None)
        if cause is not None:
            text = f"not tried, as an earlier step failed ({cause.key})"
            return Outcome(
                key=change.key, action=change.action, ok=False, message=text, code=cause.code, retryable=True
            )
        try:
            outcome = self._carried_out(change)
        except ClusterError as error:
            outcome = self._failure(change, error)
            if error.retryable and not isinstance(error, ApiError):
                self._lost = outcome  # no answer at all: the rest would only wait for its deadline too
        return outcome

    def _carried_out(self, change: Change) -> Outcome:
        if not change.ownership.is_object:
            return write_fields(self._client, self._kind(change), change)
        return self._delete(change) if change.action is Action.DELETE else self._write(change)

    def _failure(self, change: Change, error: ClusterError) -> Outcome:
        text, detail = str(error), error.detail
        if isinstance(error, ApiError):  # the outcome names its object: no need for a path
            text, detail = f"{error.known}{self._owner(error.webhook)}", error.text
        outcome = failed(change, text, error.code, detail)
        return replace(outcome, hint=error.hint, retryable=error.retryable, pending=error.code == LEAVING)

    def _owner(self, webhook: str) -> str:
        """Which configuration a webhook is of, as far as we may read them: its server's words do not tell."""
        if webhook and webhook not in self._owners:
            found = (owner for kind in _WEBHOOKS for owner in owners(self._client, kind, webhook))
            self._owners[webhook] = f" of {owner}" if (owner := next(found, "")) else ""
        return self._owners.get(webhook, "")

    # -- create, update, adopt --------------------------------------------------------------------------

    def _write(self, change: Change) -> Outcome:
        desired = decode(change.body or b"")
        written = self._written.get(change.key)
        if written is not None:
            return self._put(change, desired, written.version)
        if change.action is Action.CREATE:
            return self._put(change, desired, writes.NEW)
        # Nobody else claims a field: one request is enough, and most updates are such.
        if change.action is Action.UPDATE and self._live.is_sole(change.key, change.resource_version):
            return self._put(change, desired, change.resource_version)
        return self._put_shared(change, desired)

    def _put(self, change: Change, desired: Body, at: str) -> Outcome:
        kind, part = self._kind(change), change.ownership.part(desired)
        answer = self._client.send(writes.apply_request(kind, change.version, change.key, part, at))
        try:
            return self._done(change, desired, answer)
        except ApiError as error:
            if at != writes.NEW and any(cause.reason == _MANAGER_CONFLICT for cause in error.causes):
                return _other_manager(change, error)
            if not _is_outdated(error, at):
                raise
        return self._recheck(change, desired)

    def _put_shared(self, change: Change, desired: Body) -> Outcome:
        """Others claim fields of the object: take over what Update managers claim, and leave Apply managers
        theirs unless it is adopted.
        """
        answer = self._get(change)
        raw, (uid, at) = answer.json(), answer.identity(change.key)
        if (uid, at) != (change.uid, change.resource_version):
            return failed(change, "it was changed since the plan was made", "GM505")
        claims = managed.taken_over(
            managed.entries(raw),
            raw,
            desired,
            change.forbidden,
            change.ownership,
            adopted=change.action is Action.ADOPT,
        )
        if claims is not None:
            moved = self._client.send(
                writes.claims_request(self._kind(change), change.version, change.key, at, claims)
            )
            at = moved.identity(change.key).version
        return self._put(change, desired, at)

    def _recheck(self, change: Change, desired: Body) -> Outcome:
        """The server says that the version moved: perhaps by our own write, whose answer was lost."""
        answer = self._get(change)
        if answer.is_absent:
            return failed(change, "it was deleted since the plan was made", "GM505")
        raw, _ = answer.json(), answer.identity(change.key)
        # Only with an entry of ours in managedFields: somebody else may have written the same content.
        if is_same(desired, raw, change.forbidden, change.ownership) and any(
            managed.is_ours(entry) for entry in managed.entries(raw)
        ):
            return self._done(change, desired, answer)
        what = "somebody made it" if change.action is Action.CREATE else "it was changed"
        return failed(change, f"{what} since the plan was made", "GM505")

    def _done(self, change: Change, desired: Body, answer: ApiAnswer) -> Outcome:
        raw, written = answer.json(), answer.identity(change.key)
        # Deleted and made anew between two requests: what we wrote is then on somebody's object.
        if change.uid and written.uid != change.uid and change.action is not Action.CREATE:
            raise unrelated(str(answer.request), answer.body)
        self._written[change.key] = written
        done = Outcome(
            key=change.key, action=change.action, ok=True, uid=written.uid, warnings=answer.warnings
        )
        others = managed.appliers(managed.entries(raw), desired, change.forbidden, change.ownership)
        if is_same(desired, raw, change.forbidden, change.ownership) or not others:
            return done
        return replace(done, ok=False, message=shared_text(others), code="GM405")

    # -- delete -----------------------------------------------------------------------------------------

    def _delete(self, change: Change) -> Outcome:
        written = self._written.get(change.key, Identity(change.uid, change.resource_version))
        request = writes.delete_request(
            self._kind(change), change.version, change.key, written.uid, written.version
        )
        answer = self._client.send(request)
        done = Outcome(
            key=change.key, action=change.action, ok=True, uid=change.uid, warnings=answer.warnings
        )
        if answer.is_absent:
            return replace(done, message="it was gone already")
        if answer.status == 409:
            return self._not_deleted(change, done, api_error(str(request), answer.status, answer.body))
        if answer.is_deleted(written.uid):
            return done
        metadata = mapping(answer.json().get("metadata"))
        if answer.identity(change.key).uid != written.uid or "deletionTimestamp" not in metadata:
            raise unrelated(str(request), answer.body)  # the next reading tells what became of it
        return replace(failed(change, waits(finalizers_of(metadata)), "GM505"), pending=True)

    def _not_deleted(self, change: Change, done: Outcome, error: ApiError) -> Outcome:
        """A precondition failed: ours is gone, replaced by another object, or changed."""
        answer = self._get(change)
        if answer.is_absent:
            return replace(done, message="it was gone already")
        if answer.identity(change.key).uid != change.uid:
            return replace(done, message="somebody replaced it by another object, which is left alone")
        return failed(change, "it was changed since the plan was made, and not deleted", "GM505", error.text)

    # -- both -------------------------------------------------------------------------------------------

    def _get(self, change: Change) -> ApiAnswer:
        return self._client.send(writes.get_request(self._kind(change), change.version, change.key))

    def _kind(self, change: Change) -> ApiKind:
        kind = self._kinds.get((change.key.group, change.key.kind))
        if kind is None:
            raise ClusterError(
                f"{change.key}: the cluster does not serve {change.key.kind}.{change.key.group}",
                retryable=False,
                code="GM504",
            )
        return kind


def batches(steps: Sequence[Change]) -> Iterator[list[Change]]:
    """Runs of steps that may happen at once: one turn and level, each object once."""
    batch: dict[ObjectKey, Change] = {}
    rank = None
    for step in steps:
        # An object that is written twice in one turn is written in order, not at once.
        if batch and (_rank(step) != rank or step.key in batch):
            yield list(batch.values())
            batch = {}
        rank = _rank(step)
        batch[step.key] = step
    if batch:
        yield list(batch.values())


def _rank(step: Change) -> tuple[int, int]:
    return (step.turn, step.level)


def owners(client: KubeClient, kind: ApiKind, webhook: str) -> Iterator[str]:
    """The configurations of a kind that name a webhook; none where we may not read them."""
    with contextlib.suppress(ClusterError):
        yield from sorted(
            everything(client, collection(kind, kind.versions[0]), partial(_naming, kind, webhook))
        )


def _naming(kind: ApiKind, webhook: str, raw: Body) -> str | None:
    names = {entry.get("name") for entry in listed(raw.get("webhooks"))}
    return f"{kind.kind} {clean(raw['metadata']['name'], 253)}" if webhook in names else None


def shared_text(others: Mapping[str, Sequence[str]]) -> str:
    """Which managers apply which of our fields."""
    return "; ".join(f"manager {manager} applies {', '.join(paths[:5])}" for manager, paths in others.items())


def _is_outdated(error: ApiError, at: str) -> bool:
    """Whether the server refused the version that the request named (422 for a creation of what exists)."""
    outdated = at == writes.NEW and any(cause.field == "metadata.resourceVersion" for cause in error.causes)
    return error.status == 409 or outdated


def _other_manager(change: Change, error: ApiError) -> Outcome:
    causes = "; ".join(
        f"{cause.message}: {cause.field.lstrip('.')}"
        for cause in error.causes[:5]
        if cause.reason == _MANAGER_CONFLICT
    )
    return failed(change, causes, "GM405", error.text)

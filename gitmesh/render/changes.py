"""What a reader is told of one object's changes: the same for text, documents and comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, Change, FieldChange, Outcome, Plan
from gitmesh.model.policies import Origin
from gitmesh.model.report import ClusterResult
from gitmesh.render.paint import Role

MARKS: Mapping[Action, tuple[str, Role]] = {
    Action.CREATE: ("+", "add"),
    Action.UPDATE: ("~", "change"),
    Action.DELETE: ("-", "remove"),
    Action.RELEASE: ("release", "remove"),
    Action.ADOPT: ("adopt", "change"),
    Action.CONFLICT: ("conflict", "warning"),
    Action.HELD: ("held", "warning"),
    Action.KEEP: ("=", "faint"),
}
"""Action -> the mark before an object in a plan, and its colour."""


class ObjectChange(Struct, frozen=True, kw_only=True):
    """One object of a plan with all of its steps folded into one. `drift`: the cluster moved, not Git.
    `done`: the cluster took every step of it; `failure` is why it did not."""

    key: ObjectKey
    action: Action
    fields: tuple[FieldChange, ...] = ()
    policies: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    notes: tuple[str, ...] = ()
    drift: bool = False
    done: bool = False
    failure: str = ""

    @property
    def left(self) -> bool:
        """Whether it was, or is, to be written, and was not."""
        written = (Action.CREATE, Action.UPDATE, Action.DELETE, Action.RELEASE, Action.ADOPT)
        return self.action in written and not self.done


def object_changes(result: ClusterResult, *, unchanged: bool = False) -> tuple[ObjectChange, ...]:
    """The objects of a cluster's plan in the order of their first step."""
    if result.plan is None:
        return ()
    failures = {outcome.key: outcome.message for outcome in failed(result.outcomes)}
    waiting = {outcome.key: outcome.message for outcome in result.outcomes if outcome.pending}
    done = {outcome.key for outcome in result.outcomes} - failures.keys() - waiting.keys()
    rows = (
        (key, _object(key, steps, failures.get(key, ""), done=key in done))
        for key, steps in _by_object(result.plan).items()
    )
    found = (replace(row, notes=(*row.notes, waiting[key])) if key in waiting else row for key, row in rows)
    return tuple(change for change in found if unchanged or change.action is not Action.KEEP)


def tally(result: ClusterResult, *, done: bool) -> Mapping[Action, int]:
    """Objects of one cluster by action: those of the plan or, with `done`, of them only what really came
    about.
    """
    changes = object_changes(result, unchanged=True)
    return dict.fromkeys(Action, 0) | Counter(
        change.action for change in changes if not (done and change.left)
    )


def failed(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """The writes that did not happen; one that the cluster took and has not finished is none of them."""
    return tuple(outcome for outcome in outcomes if not outcome.ok and not outcome.pending)


def _by_object(plan: Plan) -> Mapping[ObjectKey, list[tuple[Action, Change]]]:
    steps: dict[ObjectKey, list[tuple[Action, Change]]] = {}
    for change in plan.changes:
        steps.setdefault(change.key, []).append((change.action, change))
    for change in plan.prune_held:
        # Shown as held, not as the deletions that they would be: without consent none of them is carried out.
        steps.setdefault(change.key, []).append((Action.HELD, change))
    return steps


def _object(key: ObjectKey, steps: list[tuple[Action, Change]], failure: str, *, done: bool) -> ObjectChange:
    changes = [change for _, change in steps]
    fields = {change.path: change for step in changes for change in step.fields}
    return ObjectChange(
        key=key,
        action=steps[0][0],
        fields=tuple(fields.values()),
        policies=tuple(sorted({policy for change in changes for policy in change.policies})),
        origins=tuple(sorted({origin for change in changes for origin in change.origins})),
        # What a step waits for is of no interest once it was carried out.
        notes=tuple(
            dict.fromkeys(change.note for change in changes if change.note and not (done and change.settled))
        ),
        drift=any(change.drift for change in changes),
        done=done,
        failure=failure,
    )

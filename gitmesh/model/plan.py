"""What must be written to make a cluster equal to its build, and what came of it."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitmesh.model.empty import no_items
from gitmesh.model.ownership import FIELD_MANAGER, WHOLE, Ownership

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.diagnostics import Diagnostic
    from gitmesh.model.admission import Subject
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.policies import Origin
    from gitmesh.model.units import UnitKey


SETTLE = 5.0
"""Seconds in which every proxy is taken to learn of a write, where a cluster's configuration says nothing
else. Until then some work by what was before it, so that what relies on a write waits so long: a tick, and
all the more a plan, may be shorter than a busy control plane takes (design law 2)."""


class Action(StrEnum):
    """What happens to one object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RELEASE = "release"
    """Our fields are taken off somebody else's object, which stays."""
    KEEP = "keep"
    ADOPT = "adopt"
    CONFLICT = "conflict"
    HELD = "held"


class Turn(IntEnum):
    """When a step is carried out, the earliest first (design law 2): what refuses comes before what grants,
    grants before routes and before what closes by existing, deletions after all of these, and what refuses
    less than before, last. What comes in one turn may come at once.
    """

    STAYS = 0
    """What others are to follow at pods leaves a copy of itself there."""
    PREPARES = 1
    """What closes by existing, in a form that keeps the access in force."""
    REFUSES = 2
    GRANTS = 3
    ROUTES = 4
    CLOSES = 5
    LEAVES = 6
    """Routes and destinations go."""
    OPENS = 7
    WITHDRAWS = 8
    """Grants go."""
    RELEASES = 9
    """What refused refuses less, or goes."""
    ENDS = 10
    """What nothing hangs on any more goes; mTLS takes more."""


WITHDRAWING = frozenset({Action.DELETE, Action.RELEASE})
_WRITING = WITHDRAWING | {Action.CREATE, Action.UPDATE, Action.ADOPT}
# KEEP is none of these: such an object is as policies want it.
_LEAVING = frozenset({Action.CONFLICT, Action.HELD})


class Live(Struct, frozen=True, kw_only=True):
    """A live object. `body` is canonical JSON without status and server-side metadata (resourceVersion,
    managedFields, uid, creationTimestamp, generation). `managers` maps a field manager to its operation
    (`Apply` or `Update`); `field_managers` maps a dotted path to the manager that set it, where known.
    `status` is canonical JSON of the object's status, for verdicts (empty bytes = it has none). `generation`
    counts the versions of its content (0 = the cluster does not count), `written` is when it was last
    written, in seconds since the epoch by the cluster's own clock (0 = not known); a write of its status
    counts in neither. `deleting`: somebody asked for its deletion, which waits for `finalizers`; until they
    are gone it is in force as ever.
    """

    key: ObjectKey
    uid: str
    body: bytes
    labels: Mapping[str, str] = no_items()
    annotations: Mapping[str, str] = no_items()
    resource_version: str = ""
    managers: Mapping[str, str] = no_items()
    field_managers: Mapping[str, str] = no_items()
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    status: bytes = b""
    generation: int = 0
    written: float = 0.0


class Observed(Struct, frozen=True, kw_only=True):
    """A complete reading of the kinds that translators write. A failed or partial reading is an exception,
    never this.

    `leaving` are namespaces that are being deleted, with all that is in them: nothing can be created there
    any more.
    """

    cluster: str
    live: Mapping[ObjectKey, Live]
    missing_kinds: frozenset[tuple[str, str]] = frozenset()
    leaving: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()


class FieldChange(Struct, frozen=True, kw_only=True):
    """One field that differs. `want` or `live` is None where the field is absent on that side."""

    path: str
    want: Any = None
    live: Any = None
    manager: str = ""
    origin: Origin | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One step on one object. An object may have several steps in one plan (design law 2); `note` says why.

    `body` is the whole object as it is to be (None for delete, keep, conflict, held), of which `ownership` is
    ours and is applied, under the name `manager`; `before` the live content ("" bytes if absent). A failed
    step stops the later steps that share one of its `units`, or that rely on its object (`relies_on`). Of one
    `turn` those of a lesser `level` come first. `drift`: the cluster moved, not Git. `forbidden` are labels
    and annotations that a write takes away from the object unless `body` has them. `staged`: more steps
    follow in later ticks. `settled`: it comes when every proxy has had the time to take up the writes before.
    """

    action: Action
    key: ObjectKey
    decides: Subject
    turn: Turn = Turn.ROUTES
    level: int = 0
    version: str = ""
    body: bytes | None = None
    before: bytes = b""
    uid: str = ""
    resource_version: str = ""
    fields: tuple[FieldChange, ...] = ()
    policies: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    units: tuple[UnitKey, ...] = ()
    relies_on: tuple[ObjectKey, ...] = ()
    forbidden: frozenset[str] = frozenset()
    ownership: Ownership = WHOLE
    manager: str = FIELD_MANAGER
    note: str = ""
    drift: bool = False
    staged: bool = False
    settled: bool = False

    @property
    def writes(self) -> bool:
        """Whether this step calls the cluster."""
        return self.action in _WRITING

    @property
    def withdraws(self) -> bool:
        """Whether it takes away what nobody wants any more: the object, or our fields of it."""
        return self.action in WITHDRAWING

    @property
    def is_left(self) -> bool:
        """Whether the object stays as it is although policies want another one."""
        return self.action in _LEAVING


class Plan(Struct, frozen=True, kw_only=True, dict=True):
    """Steps in the order in which they are carried out. `prune_held` are deletions that wait for consent."""

    cluster: str
    changes: tuple[Change, ...] = ()
    prune_held: tuple[Change, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @cached_property
    def writes(self) -> tuple[Change, ...]:
        """The steps that call the cluster."""
        return tuple(change for change in self.changes if change.writes)

    def counts(self) -> Mapping[Action, int]:
        """Objects by action."""
        seen: dict[ObjectKey, Action] = {}
        for change in self.changes:
            # An object counts once, by its first step; any others are the way to the same end.
            seen.setdefault(change.key, change.action)
        for change in self.prune_held:
            seen.setdefault(change.key, Action.HELD)
        totals = dict.fromkeys(Action, 0)
        for action in seen.values():
            totals[action] += 1
        return totals


class Outcome(Struct, frozen=True, kw_only=True):
    """What the cluster said to one step. `uid` and `body` are those of the object after a write.

    `message` is what GitMesh knows of a failure, the same each time, and `detail` the cluster's own words.
    `pending`: nothing failed, but it is not done yet, as something is being deleted first.
    """

    key: ObjectKey
    action: Action
    ok: bool
    uid: str = ""
    message: str = ""
    detail: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    code: str = ""
    retryable: bool = False
    pending: bool = False

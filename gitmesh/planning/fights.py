"""Objects that somebody keeps changing back (docs/reliability.md K21). What counts is the alternation, at
whatever interval: the same object corrected to the same wanted state in consecutive cycles. The count is kept
in the ledger, so runs of `sync` and a restarted agent go on counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import GUARDING
from gitmesh.model.ledger import FIGHT
from gitmesh.model.plan import Action, Change, Outcome, Plan
from gitmesh.planning.ownership import blame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.model.objects import ObjectKey

RETRY = 20
"""Cycles between two attempts to have the object our way all the same."""


def without_fights(
    rows: Iterable[Change], counts: Mapping[ObjectKey, int], cluster: str
) -> tuple[list[Change], list[Diagnostic]]:
    """Leave alone what somebody else keeps changing back, but for one attempt now and then. An object that
    decides who may call is put right every time: as long as it is not, more is admitted than the policies
    say, or less.
    """
    diagnostics: list[Diagnostic] = []
    kept: list[Change] = []
    for row in rows:
        count = counts.get(row.key, 0)
        # A change that a commit asks for is no fight, however often the object was put right before.
        if not (row.writes and row.drift) or count < FIGHT:
            kept.append(row)
            continue
        diagnostics.append(_told(row, cluster, count))
        # Left alone for good, it would stay wrong after the other side has given up, and nobody would
        # notice.
        fought = row.decides in GUARDING or (count - FIGHT) % RETRY == RETRY - 1
        kept.append(row if fought else replace(row, action=Action.HELD, body=None, note="a fight"))
    return kept, diagnostics


def _told(change: Change, cluster: str, count: int) -> Diagnostic:
    rivals = ", ".join(sorted({field.manager for field in change.fields if field.manager})) or "somebody"
    fields = ", ".join(sorted({field.path for field in change.fields})[:3])
    then = "it is put right every time" if change.decides in GUARDING else "it is left alone for now"
    text = (
        f"{change.key} in {cluster}{f', {fields},' if fields else ''} is changed back again and again by"
        f" {rivals}; {then}"
    )
    severity = Severity.ERROR if change.decides in GUARDING else None
    detail = f"corrected in {count} cycles in a row"
    return finding(
        "GM404",
        text,
        cluster=cluster,
        severity=severity,
        detail=detail,
        **blame(change.policies, change.origins),
    )


def heals(
    plan: Plan, outcomes: Iterable[Outcome], counts: Mapping[ObjectKey, int]
) -> Mapping[ObjectKey, int]:
    """The counts after a cycle: one more for what was corrected, or left alone as a fight. What needed
    nothing, or was wanted otherwise than before, counts from the beginning; a write that the cluster refused
    is no correction.
    """
    # A refused write changed nothing, so nobody can have changed it back.
    failed = {outcome.key for outcome in outcomes if not outcome.ok}
    drifted = {
        change.key
        for change in plan.changes
        if change.drift and (change.writes or change.action is Action.HELD)
    }
    return {key: counts.get(key, 0) + 1 for key in sorted(drifted - failed)}
